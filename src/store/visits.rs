//! Whose chats have begun, and what the website's server said of them.
//!
//! A visitor here is an identity, or a guest of whom only the session is known: `g_…`. Both
//! are known for a while after a chat has begun or something was said; nothing is taken in of
//! anybody else.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::outbox::Delivery;
use super::shards::Shards;
use crate::clock::UnixTime;
use crate::dialect::json::write_string;

/// Most visitors of a site that are known, and most sessions whose chats are.
const MOST: usize = 100_000;
/// Most fields of one visitor.
pub const MOST_FIELDS: usize = 100;

/// A chat that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// What makes it one chat: a session, or its visitor.
    pub session: Arc<str>,
    /// Whose it is.
    pub visitor: Arc<str>,
    /// The account that events of it name.
    pub account_id: Arc<str>,
    /// The agent that events of it name.
    pub agent_id: Arc<str>,
    /// When.
    pub at: UnixTime,
    /// Until when no other begins in the same session.
    pub until: UnixTime,
    /// Until when its visitor is known.
    pub known_until: UnixTime,
    /// Who is to hear of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Arc<Delivery>>,
}

/// Something that the website's server said of a visitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// Of whom.
    pub visitor: Arc<str>,
    /// What: names and values; a name that is there already gets the new value.
    pub fields: Vec<(Arc<str>, Arc<str>)>,
    /// When.
    pub at: UnixTime,
    /// Until when it holds.
    pub until: UnixTime,
    /// Who is to hear of it: the backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<Arc<Delivery>>,
}

/// What is known of a visitor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The account that the last event named.
    pub account_id: Arc<str>,
    /// The agent that the last event named.
    pub agent_id: Arc<str>,
    /// When the last chat began.
    pub at: UnixTime,
    /// Until when he is known.
    pub until: UnixTime,
    /// What was said of him, in the order in which it was first said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(Arc<str>, Arc<str>)>,
    /// The fields as one compact ASCII JSON object.
    #[serde(skip)]
    pub(super) json: Option<Arc<str>>,
}

impl Posted {
    /// This, said after something else.
    pub(super) fn after(&self, before: &Self) -> Self {
        let fields = before.fields.clone();
        let mut both = Visit { until: before.until, fields, ..Visit::default() };
        both.learn(self);
        Self { at: self.at, ..both.as_posted(&self.visitor) }
    }
}

impl Visit {
    /// Takes in what was posted.
    fn learn(&mut self, posted: &Posted) {
        for (name, value) in &posted.fields {
            if let Some((_, known)) = self.fields.iter_mut().find(|(known, _)| known == name) {
                *known = value.clone();
            } else if self.fields.len() < MOST_FIELDS {
                self.fields.push((name.clone(), value.clone()));
            }
        }
        self.until = self.until.max(posted.until);
        self.render();
    }

    /// All that was said of him, as if it had been said at once.
    pub(super) fn as_posted(&self, visitor: &Arc<str>) -> Posted {
        let (fields, at, until) = (self.fields.clone(), self.at, self.until);
        Posted { visitor: visitor.clone(), fields, at, until, deliveries: Vec::new() }
    }

    fn render(&mut self) {
        let mut json = String::from("{");
        for (index, (name, value)) in self.fields.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            write_string(name, &mut json);
            json.push(':');
            write_string(value, &mut json);
        }
        json.push('}');
        self.json = (!self.fields.is_empty()).then(|| json.into());
    }
}

/// The visits of a site.
#[derive(Default)]
pub struct Visits {
    chats: Shards<Arc<str>, Arc<Chat>>,
    visitors: Shards<Arc<str>, Visit>,
}

impl Visits {
    /// A chat begins; says whether it is the first one of its session.
    pub fn begin(&self, chat: &Chat) -> bool {
        let kept = || Arc::new(Chat { deliveries: Vec::new(), ..chat.clone() });
        let news = self.chats.write(&*chat.session, |map| match map.get_mut(&chat.session) {
            Some(known) if chat.at < known.until => false,
            Some(known) => {
                *known = kept();
                true
            }
            None => map.insert(chat.session.clone(), kept()).is_none(),
        });
        if news != Some(true) {
            return false;
        }
        self.visitors.write(&*chat.visitor, |map| {
            let visit = map.entry(chat.visitor.clone()).or_default();
            if visit.at <= chat.at {
                visit.account_id = chat.account_id.clone();
                visit.agent_id = chat.agent_id.clone();
                visit.at = chat.at;
            }
            visit.until = visit.until.max(chat.known_until);
        });
        true
    }

    /// Whether a chat of this session has begun and still counts.
    pub fn has_begun(&self, session: &str, now: UnixTime) -> bool {
        self.chats.read(session, |chat| now < chat.until).unwrap_or_default()
    }

    /// Something is said of a visitor; of nobody, if he is not known.
    pub fn learn(&self, posted: &Posted) {
        self.visitors.write(&*posted.visitor, |map| {
            if let Some(visit) = map.get_mut(&posted.visitor) {
                visit.learn(posted);
            }
        });
    }

    /// Takes over what is known of a visitor from where all of it is kept, in its order. A
    /// chat of his may have begun here that is not known there yet.
    #[cfg(feature = "redis")]
    pub fn know(&self, visitor: &Arc<str>, mut visit: Visit) {
        visit.render();
        self.visitors.write(&**visitor, |map| {
            if let Some(known) = map.get(visitor) {
                visit.until = visit.until.max(known.until);
                if known.at > visit.at {
                    visit.account_id = known.account_id.clone();
                    visit.agent_id = known.agent_id.clone();
                    visit.at = known.at;
                }
            }
            map.insert(visitor.clone(), visit);
        });
    }

    /// What is known of a visitor.
    pub fn visit(&self, visitor: &str, now: UnixTime) -> Option<Visit> {
        self.visitors.read(visitor, |visit| (now < visit.until).then(|| visit.clone()))?
    }

    /// Whether a visitor is known.
    pub fn knows(&self, visitor: &str, now: UnixTime) -> bool {
        self.visitors.read(visitor, |visit| now < visit.until).unwrap_or_default()
    }

    /// What was said of a visitor, as one compact ASCII JSON object of texts.
    pub fn details(&self, visitor: &str, now: UnixTime) -> Option<Arc<str>> {
        self.visitors.read(visitor, |visit| visit.json.clone().filter(|_| now < visit.until))?
    }

    /// Whether nobody is known, so that nobody need be looked up.
    pub fn is_empty(&self) -> bool {
        self.visitors.is_empty()
    }

    /// All about a visitor is forgotten.
    pub fn forget(&self, visitor: &str) {
        self.visitors.write(visitor, |map| map.remove(visitor));
        self.chats.retain(|_, chat| *chat.visitor != *visitor);
    }

    /// Whether a chat still says something: that none is to begin, or who its visitor is.
    pub fn needs(&self, chat: &Chat, now: UnixTime) -> bool {
        let is_his_last = |visit: &Visit| now < visit.until && visit.at <= chat.at;
        now < chat.until || self.visitors.read(&*chat.visitor, is_his_last) == Some(true)
    }

    /// Forgets what has come to its end, and of too many those that would come to it first.
    pub fn purge(&self, now: UnixTime) {
        let mut ends = Vec::with_capacity(self.visitors.len());
        self.visitors.each(|_, visit| ends.push(visit.until));
        let over = last_of_surplus(ends).unwrap_or(now).max(now);
        self.visitors.retain(|_, visit| over < visit.until);
        let mut ends = Vec::with_capacity(self.chats.len());
        self.chats.each(|_, chat| ends.push(chat.until));
        let surplus = last_of_surplus(ends).unwrap_or_default();
        self.chats.retain(|_, chat| surplus < chat.until && self.needs(chat, now));
    }

    /// Looks at every chat that has begun.
    pub fn each_chat(&self, mut look: impl FnMut(&Arc<Chat>)) {
        self.chats.each(|_, chat| look(chat));
    }

    /// Looks at everybody who is known.
    pub fn each_visitor(&self, look: impl FnMut(&Arc<str>, &Visit)) {
        self.visitors.each(look);
    }
}

/// Until when those last that have to go, where there are too many.
fn last_of_surplus(mut ends: Vec<UnixTime>) -> Option<UnixTime> {
    let surplus = ends.len().checked_sub(MOST)?.checked_sub(1)?;
    Some(*ends.select_nth_unstable(surplus).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn chat(session: &str, visitor: &str, begun: u64) -> Chat {
        Chat {
            session: session.into(),
            visitor: visitor.into(),
            account_id: "acme".into(),
            agent_id: "150".into(),
            at: at(begun),
            until: at(begun + 100),
            known_until: at(begun + 100),
            deliveries: Vec::new(),
        }
    }

    fn posted(visitor: &str, fields: &[(&str, &str)]) -> Posted {
        let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let (at, until) = (at(5), at(50));
        let deliveries = Vec::new();
        Posted { visitor: visitor.into(), fields: fields.collect(), at, until, deliveries }
    }

    #[test]
    fn a_session_begins_one_chat_until_it_is_over() {
        let visits = Visits::default();
        assert!(visits.begin(&chat("s1", "ada", 10)));
        assert!(!visits.begin(&chat("s1", "ada", 20)) && visits.has_begun("s1", at(20)));
        assert!(visits.begin(&chat("s2", "ada", 20)));
        assert!(visits.begin(&chat("s1", "ada", 200)));
    }

    #[test]
    fn details_are_kept_of_whoever_is_known_in_their_order_and_replaced_by_name() {
        let visits = Visits::default();
        visits.learn(&posted("ada", &[("Age", "25")]));
        assert_eq!(visits.details("ada", at(1)), None);
        visits.begin(&chat("s1", "ada", 10));
        visits.learn(&posted("ada", &[("Name", "Jāson"), ("Age", "25")]));
        visits.learn(&posted("ada", &[("Name", "Jason \"J\""), ("Plan", "pro")]));
        let expected = r#"{"Name":"Jason \"J\"","Age":"25","Plan":"pro"}"#;
        assert_eq!(visits.details("ada", at(20)).as_deref(), Some(expected));
        assert_eq!(visits.details("ada", at(110)), None);
        visits.forget("ada");
        assert_eq!(visits.visit("ada", at(20)), None);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let visits = Visits::default();
        visits.begin(&chat("s1", "ada", 10));
        visits.begin(&chat("s2", "bob", 50));
        visits.purge(at(120));
        let mut left = Vec::new();
        visits.each_visitor(|visitor, _| left.push(visitor.to_string()));
        visits.each_chat(|chat| left.push(chat.session.to_string()));
        assert_eq!(left, ["bob", "s2"]);
    }
}
