//! Whose chats have begun, and what the website's server said of them.
//!
//! A visitor here is an identity, or a guest of whom only the session is known: `g_…`
//! ([`is_guests`]; no identity may be called so here). Both are known for a while after a chat
//! has begun or something was said; nothing is taken in of anybody else. Where there are too
//! many, guests go first: anybody can be as many of them as he likes.

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

/// Whether somebody called so is a guest: `g_` and 32 hexadecimal digits. An identity of such
/// an id would be told what was said of a guest, and the other way round: none has visits.
pub fn is_guests(visitor: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = visitor.strip_prefix("g_");
    digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit))
}

/// A chat that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// What makes it one chat: a session and its visitor, or the visitor alone. Empty: nothing,
    /// because its visitor can never be seen again; no other chat is ever taken for it, and it
    /// is not kept.
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

impl Chat {
    /// This one, made to last by a later one of the same session: it still counts, but its
    /// visitor is not known by it any more. Nobody hears of it again.
    pub(super) fn renewed_by(&self, later: &Self) -> Option<Self> {
        let lapsed = self.known_until <= later.at && self.known_until < later.known_until;
        let renewed = || Self { until: self.until, deliveries: Vec::new(), ..later.clone() };
        (lapsed && later.at < self.until).then(renewed)
    }
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
    /// A chat begins, or makes its visitor known again; says whether it is the first one of
    /// its session.
    pub fn begin(&self, chat: &Chat) -> bool {
        let Some(is_first) = self.noted(chat) else { return false };
        self.visitors.write(&*chat.visitor, |map| {
            let visit = map.entry(chat.visitor.clone()).or_default();
            // He was not known any more: nothing of then comes back.
            if visit.until <= chat.at {
                *visit = Visit::default();
            }
            if visit.at <= chat.at {
                visit.account_id = chat.account_id.clone();
                visit.agent_id = chat.agent_id.clone();
                visit.at = chat.at;
            }
            visit.until = visit.until.max(chat.known_until);
        });
        is_first
    }

    /// Notes a chat: says whether it is the first one of its session; nothing, if it changes
    /// nothing.
    fn noted(&self, chat: &Chat) -> Option<bool> {
        if chat.session.is_empty() {
            return Some(true);
        }
        let kept = || Arc::new(Chat { deliveries: Vec::new(), ..chat.clone() });
        let news = self.chats.write(&*chat.session, |map| match map.get_mut(&chat.session) {
            Some(known) if chat.at < known.until => {
                *known = Arc::new(known.renewed_by(chat)?);
                Some(false)
            }
            Some(known) => {
                *known = kept();
                Some(true)
            }
            None => Some(map.insert(chat.session.clone(), kept()).is_none()),
        });
        news.flatten()
    }

    /// Whether a chat of this session has begun and still counts: nobody hears of another.
    pub fn counts(&self, session: &str, now: UnixTime) -> bool {
        self.chats.read(session, |chat| now < chat.until).unwrap_or_default()
    }

    /// The same, and its visitor is still known by it: another one changes nothing.
    pub fn has_begun(&self, session: &str, now: UnixTime) -> bool {
        let says_all = |chat: &Arc<Chat>| now < chat.until && now < chat.known_until;
        self.chats.read(session, says_all).unwrap_or_default()
    }

    /// Something is said of a visitor; of nobody, if he is not known, or if it held no longer
    /// when his last chat began. Says whether it is known now.
    pub fn learn(&self, posted: &Posted) -> bool {
        let learned = self.visitors.write(&*posted.visitor, |map| {
            let Some(visit) = map.get_mut(&posted.visitor) else { return false };
            let holds = visit.at < posted.until;
            if holds {
                visit.learn(posted);
            }
            holds
        });
        learned == Some(true)
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

    /// All about a visitor until then is forgotten. Of one who has come back since it is known
    /// that he did.
    pub fn forget(&self, visitor: &str, at: UnixTime) {
        self.visitors.write(visitor, |map| {
            let Some(visit) = map.get_mut(visitor) else { return };
            if visit.at <= at {
                map.remove(visitor);
            } else {
                (visit.fields, visit.json) = (Vec::new(), None);
            }
        });
        self.chats.retain(|_, chat| *chat.visitor != *visitor || at < chat.at);
    }

    /// Whether this very chat is known.
    pub fn holds(&self, chat: &Chat) -> bool {
        self.chats.read(&*chat.session, |known| known.at == chat.at).unwrap_or_default()
    }

    /// Whether a chat still says something: that none is to begin, or who its visitor is.
    pub fn needs(&self, chat: &Chat, now: UnixTime) -> bool {
        let is_his_last = |visit: &Visit| now < visit.until && visit.at <= chat.at;
        now < chat.until || self.visitors.read(&*chat.visitor, is_his_last) == Some(true)
    }

    /// Forgets what has come to its end, and of too many those that would come to it first:
    /// guests before all others.
    pub fn purge(&self, now: UnixTime) {
        let mut ends = Ends::default();
        self.visitors.each(|visitor, visit| ends.add(visitor, visit.until));
        let over = ends.last_of_surplus(MOST);
        self.visitors.retain(|visitor, visit| over.of(visitor).max(now) < visit.until);
        let mut ends = Ends::default();
        self.chats.each(|_, chat| ends.add(&chat.visitor, chat.until));
        let over = ends.last_of_surplus(MOST);
        self.chats.retain(|_, chat| over.of(&chat.visitor) < chat.until && self.needs(chat, now));
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

/// Until when each of them lasts.
#[derive(Default)]
struct Ends {
    guests: Vec<UnixTime>,
    verified: Vec<UnixTime>,
}

/// Until when those last that have to go.
struct Over {
    guests: UnixTime,
    verified: UnixTime,
}

impl Ends {
    fn add(&mut self, visitor: &str, until: UnixTime) {
        if is_guests(visitor) { &mut self.guests } else { &mut self.verified }.push(until);
    }

    fn last_of_surplus(mut self, most: usize) -> Over {
        let surplus = (self.guests.len() + self.verified.len()).saturating_sub(most);
        let of_guests = surplus.min(self.guests.len());
        Over {
            guests: last_of_first(&mut self.guests, of_guests),
            verified: last_of_first(&mut self.verified, surplus - of_guests),
        }
    }
}

impl Over {
    fn of(&self, visitor: &str) -> UnixTime {
        if is_guests(visitor) { self.guests } else { self.verified }
    }
}

/// The last of so many that come first; nothing is as early as what is answered for none.
fn last_of_first(ends: &mut [UnixTime], count: usize) -> UnixTime {
    let Some(last) = count.checked_sub(1) else { return UnixTime::default() };
    *ends.select_nth_unstable(last).1
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
    fn a_chat_that_outlives_what_is_known_of_its_visitor_makes_him_known_again() {
        let visits = Visits::default();
        let lasting = |begun| Chat { until: at(begun + 1000), ..chat("s1", "ada", begun) };
        assert!(visits.begin(&lasting(10)) && !visits.begin(&lasting(50)));
        assert!(!visits.knows("ada", at(120)) && visits.counts("s1", at(120)));
        assert!(!visits.has_begun("s1", at(120)) && !visits.begin(&lasting(120)));
        assert!(visits.knows("ada", at(219)) && visits.has_begun("s1", at(219)));
        assert!(!visits.counts("s1", at(1010)), "it lasts no longer for that");
    }

    #[test]
    fn a_chat_without_a_session_is_not_kept_and_its_visitor_is_known_for_as_long_as_it_says() {
        let visits = Visits::default();
        assert!(visits.begin(&chat("", "g_1", 10)) && visits.begin(&chat("", "g_2", 10)));
        visits.each_chat(|chat| panic!("{chat:?}"));
        assert!(!visits.has_begun("", at(20)));
        assert!(visits.knows("g_1", at(20)) && !visits.knows("g_1", at(110)));
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
        visits.begin(&chat("s2", "ada", 15));
        visits.forget("ada", at(14));
        assert!(!visits.has_begun("s1", at(20)) && visits.has_begun("s2", at(20)));
        assert!(visits.knows("ada", at(20)) && visits.details("ada", at(20)).is_none());
        visits.forget("ada", at(15));
        assert_eq!(visits.visit("ada", at(20)), None);
    }

    #[test]
    fn guests_go_before_whoever_is_verified_where_there_are_too_many() {
        let guest = |number: u64| format!("g_{number:032x}");
        assert!(is_guests(&guest(7)) && !is_guests("g_7") && !is_guests(&guest(10).to_uppercase()));
        let over = |guests: u64, verified: u64, most| {
            let mut ends = Ends::default();
            (0..guests).for_each(|number| ends.add(&guest(number), at(1000 + number)));
            (0..verified).for_each(|number| ends.add("ada", at(100 + number)));
            let over = ends.last_of_surplus(most);
            (over.guests.as_secs(), over.verified.as_secs())
        };
        assert_eq!(over(10, 10, 20), (0, 0));
        assert_eq!(over(10, 10, 17), (1002, 0), "the three guests that come to their end first");
        assert_eq!(over(10, 10, 8), (1009, 101), "all of them, and two more");
    }

    #[test]
    fn what_was_over_does_not_come_back_with_the_next_chat() {
        let visits = Visits::default();
        visits.begin(&chat("s1", "ada", 10));
        let age = posted("ada", &[("Age", "25")]);
        assert!(visits.learn(&age));
        visits.begin(&chat("s2", "ada", 200));
        assert_eq!(visits.details("ada", at(201)), None);
        assert!(!visits.learn(&age), "nor if it is told again");
        assert_eq!(visits.details("ada", at(201)), None);
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
