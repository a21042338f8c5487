//! Asking the website's server about a verified visitor whose chat begins (`enrich:`).
//!
//! Nobody waits for it: the answer comes with a later request. One question about a visitor
//! is under way at a time; an answer holds for `ttl`, and where there was none the next
//! question waits a while.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::wire::{self, Letter};
use super::{Webhooks, details, fields};
use crate::clock::UnixTime;
use crate::identity::Identity;
use crate::outbound::{self, Shown};
use crate::plan::{Enrich, Reach, Site};
use crate::store::is_guests;
use crate::telemetry::{Seldom, Told};

/// What questions are called among subscriptions: no other has a dot in its name.
pub const ENRICH: &str = "details.enrich";

/// How soon somebody is asked again who did not answer.
const ASKED_AGAIN: Duration = Duration::from_secs(10);
/// Most visitors of a site of whom it is known that they have been asked about, and most of its
/// questions that are under way.
const MOST: usize = 100_000;
const MOST_AT_ONCE: usize = 64;
/// How many of whom that need not be known any more are let go with each question. One is
/// added with each: so they never have to be looked through while a request waits.
const LET_GO: usize = 4;

/// About whom is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// The verified id.
    pub id: Arc<str>,
    /// The signed name; none: `null`.
    pub name: Option<String>,
    /// The signed email; none: `null`.
    pub email: Option<String>,
    /// The request that gave rise to it.
    pub request_id: Arc<str>,
}

#[derive(Serialize)]
struct Body<'a> {
    site: &'a str,
    #[serde(flatten)]
    question: &'a Question,
}

/// Who has been asked about, by site.
#[derive(Default)]
pub struct AskedAbout(Mutex<HashMap<Arc<str>, State>>);

#[derive(Default)]
struct State {
    /// By id: until when nobody asks again; none: the question is under way.
    until: HashMap<Arc<str>, Option<UnixTime>>,
    /// The same times, the earliest first; also ones that do not count any more.
    ends: BinaryHeap<Reverse<(UnixTime, Arc<str>)>>,
    under_way: usize,
    /// The site's server did not answer.
    failed: Seldom,
}

impl State {
    fn holds(&self, id: &str, now: UnixTime) -> bool {
        self.until.get(id).is_some_and(|until| until.is_none_or(|until| now < until))
    }

    /// Lets go of some of whom no answer holds any more.
    fn let_go(&mut self, now: UnixTime) {
        for _ in 0..LET_GO {
            let Some(Reverse((end, id))) = self.ends.pop() else { return };
            if now < end {
                self.ends.push(Reverse((end, id)));
                return;
            }
            // He may have been asked about again.
            if self.until.get(&id) == Some(&Some(end)) {
                self.until.remove(&id);
            }
        }
    }
}

impl AskedAbout {
    /// Whether nobody is to ask about this visitor now.
    fn holds(&self, site: &str, id: &str, now: UnixTime) -> bool {
        self.0.lock().get(site).is_some_and(|state| state.holds(id, now))
    }

    /// Says that a question is under way from now on; not, if one is, or an answer holds.
    fn begin(&self, site: &Arc<str>, id: &Arc<str>, now: UnixTime) -> bool {
        let mut sites = self.0.lock();
        let state = sites.entry(site.clone()).or_default();
        state.let_go(now);
        let is_full = state.under_way >= MOST_AT_ONCE || state.until.len() >= MOST;
        if is_full || state.holds(id, now) {
            return false;
        }
        state.until.insert(id.clone(), None);
        state.under_way += 1;
        true
    }

    fn end(&self, site: &str, id: &Arc<str>, until: UnixTime) {
        let mut sites = self.0.lock();
        let Some(state) = sites.get_mut(site) else { return };
        state.under_way = state.under_way.saturating_sub(1);
        state.until.insert(id.clone(), Some(until));
        state.ends.push(Reverse((until, id.clone())));
    }

    /// Whether it is time to complain of a site's server again.
    fn complains(&self, site: &Arc<str>, now: Instant) -> bool {
        let mut sites = self.0.lock();
        sites.entry(site.clone()).or_default().failed.happened(now).is_some()
    }
}

impl Webhooks {
    /// Asks in the background; the answer comes with a later request. Does nothing where
    /// nobody is to be asked, or where an answer still holds. Needs a Tokio runtime.
    pub fn enrich(self: &Arc<Self>, site: &Site, question: Question) {
        let Some(enrich) = &site.website.enrich else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (webhooks, enrich) = (self.clone(), enrich.clone());
        let (name, ttl) = (site.name.clone(), site.website.ttl);
        let tells = site.website.push().is_some();
        if !self.asked.begin(&name, &question.id, (self.clock)()) {
            return;
        }
        runtime.spawn(async move {
            let answer = webhooks.ask(&enrich, &name, &question).await;
            let now = (webhooks.clock)();
            let holds = match answer {
                Ok(fields) => {
                    if !fields.is_empty() {
                        let until = now.after(ttl);
                        let id = &question.id;
                        let learned = details::learned(&name, id, fields, now, until, tells);
                        webhooks.store.note(learned);
                    }
                    webhooks.count(ENRICH, Told::Delivered);
                    enrich.ttl
                }
                Err(problem) => {
                    webhooks.count(ENRICH, Told::Failed);
                    if webhooks.asked.complains(&name, Instant::now()) {
                        let url = Shown(&enrich.url);
                        tracing::warn!(site = %name, %url, problem, "a question about a visitor was not answered");
                    }
                    ASKED_AGAIN.min(enrich.ttl)
                }
            };
            webhooks.asked.end(&name, &question.id, now.after(holds));
        });
    }

    /// The same for any request of somebody verified whose chat has begun, if what was
    /// answered holds no longer. Costs a look-up or two.
    pub fn enrich_if_stale(self: &Arc<Self>, site: &Site, identity: &Identity, request_id: &str) {
        let id = identity.id.as_deref().filter(|id| !is_guests(id));
        let (Some(_), Some(id)) = (&site.website.enrich, id) else { return };
        let now = (self.clock)();
        if self.asked.holds(&site.name, id, now) {
            return;
        }
        let known = self.store.memory().site(&site.name);
        if known.is_some_and(|known| known.visits().knows(id, now)) {
            let (name, email) = (identity.name.clone(), identity.email.clone());
            let (id, request_id) = (id.into(), request_id.into());
            self.enrich(site, Question { id, name, email, request_id });
        }
    }

    async fn ask(
        &self,
        enrich: &Enrich,
        site: &str,
        question: &Question,
    ) -> Result<Vec<(Arc<str>, Arc<str>)>, String> {
        let body = serde_json::to_string(&Body { site, question });
        let letter = Letter::plain(body.map_err(|error| error.to_string())?);
        let id = uuid::Uuid::now_v7().simple().to_string();
        let letter = wire::standard::sign(letter, &enrich.secrets, &id, (self.clock)())?;
        let request = letter.to(&enrich.url);
        let answer = self.carrier.carry(Reach::Anywhere, request, enrich.timeout).await;
        let answer = answer.map_err(|failure| failure.to_string())?;
        match answer.status.as_u16() {
            // Nothing is known of him.
            204 => Ok(Vec::new()),
            200..=299 => fields::read(&answer.body.map_err(|failure| failure.to_string())?),
            status => Err(outbound::in_words(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn one_question_about_a_visitor_is_under_way_and_its_answer_holds() {
        let asked = AskedAbout::default();
        let (site, ada): (Arc<str>, Arc<str>) = ("acme".into(), "ada".into());
        assert!(!asked.holds("acme", "ada", at(0)) && asked.begin(&site, &ada, at(0)));
        assert!(asked.holds("acme", "ada", at(999)) && !asked.begin(&site, &ada, at(999)));
        assert!(asked.begin(&site, &"bob".into(), at(0)));
        asked.end("acme", &ada, at(10));
        assert!(asked.holds("acme", "ada", at(9)) && !asked.begin(&site, &ada, at(9)));
        assert!(asked.begin(&site, &ada, at(10)));
    }

    #[test]
    fn no_more_questions_are_under_way_than_a_server_can_be_asked() {
        let asked = AskedAbout::default();
        let site: Arc<str> = "acme".into();
        let begun = (0..100).filter(|id| asked.begin(&site, &id.to_string().into(), at(0)));
        assert_eq!(begun.count(), MOST_AT_ONCE);
        assert!(asked.begin(&"other".into(), &"0".into(), at(0)), "another site's server");
        asked.end("acme", &"0".into(), at(1));
        assert!(asked.begin(&site, &"99".into(), at(0)));
    }

    #[test]
    fn of_whom_no_answer_holds_any_more_nothing_is_known() {
        let (asked, site) = (AskedAbout::default(), Arc::<str>::from("acme"));
        let ask = |id: u64, now: u64| {
            let id = Arc::<str>::from(id.to_string());
            let begun = asked.begin(&site, &id, at(now));
            asked.end("acme", &id, at(now + 10));
            begun
        };
        assert!((0..1000).all(|id| ask(id, 0)) && (1000..1400).all(|id| ask(id, 20)));
        let known = asked.0.lock().get("acme").map(|state| (state.until.len(), state.ends.len()));
        assert_eq!(known, Some((400, 400)));
        // Whom the next question is about again is not let go with his first answer.
        assert!(ask(1000, 30) && asked.holds("acme", "1000", at(39)));
        assert!(ask(2000, 31) && asked.holds("acme", "1000", at(39)));
    }

    #[test]
    fn it_is_said_once_a_minute_that_a_server_does_not_answer() {
        let (asked, site) = (AskedAbout::default(), "acme".into());
        let begun = Instant::now();
        let after = |secs| begun + Duration::from_secs(secs);
        let said = [0, 1, 59, 60, 61].map(|secs| asked.complains(&site, after(secs)));
        assert_eq!(said, [true, false, false, true, false]);
    }
}
