//! The one wait of the request path on Redis: for a session that another replica has bound.
//!
//! One question for each session at a time, whoever asks; nobody waits longer than
//! [`PATIENCE`], and what is not there is not asked for again within [`MISSED`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt, Shared as Joined};
use parking_lot::Mutex;

use super::layout;
use super::shared::Shared;
use crate::store::{Change, Digest};
use crate::telemetry::Waited;

/// How long a request waits.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long a session that is not there counts as not there.
const MISSED: Duration = Duration::from_secs(1);
/// Most sessions of which that is known.
const MISSES: usize = 10_000;
/// How often those are looked through that need not be known any more.
const SWEPT: Duration = Duration::from_millis(100);
/// Most questions at a time.
const QUESTIONS: usize = 1_000;

type Session = (Arc<str>, Digest);
/// Whether it was there; none: Redis could not tell.
type Answer = Joined<BoxFuture<'static, Option<bool>>>;

/// Questions under way, and what is not there.
#[derive(Default)]
pub struct Lookups {
    under_way: Mutex<HashMap<Session, Answer>>,
    missed: Mutex<Missed>,
}

/// What was not there, and since when that is known.
#[derive(Default)]
struct Missed {
    since: HashMap<Session, Instant>,
    swept: Option<Instant>,
}

impl Missed {
    /// Notes one, unless there are too many already: then a flood of them is under way, and
    /// looking through all of them for each would be its aim.
    fn add(&mut self, session: Session, now: Instant) {
        let due = self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEPT);
        if self.since.len() >= MISSES && due {
            self.swept = Some(now);
            self.since.retain(|_, since| now.duration_since(*since) < MISSED);
        }
        if self.since.len() < MISSES {
            self.since.insert(session, now);
        }
    }
}

impl Lookups {
    /// Whether a session is there; if so, memory has it now.
    pub async fn find(self: &Arc<Self>, shared: &Arc<Shared>, session: Session) -> bool {
        if self.is_missed(&session) {
            return false;
        }
        let Some(answer) = self.join(shared, session) else { return false };
        let (result, found) = match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Some(found)) => (Waited::Success, found),
            Ok(None) => (Waited::Failure, false),
            Err(_) => (Waited::Timeout, false),
        };
        shared.metrics.waited_for_session(result);
        found
    }

    /// Joins the question under way, or asks; none where nobody can be asked.
    fn join(self: &Arc<Self>, shared: &Arc<Shared>, session: Session) -> Option<Answer> {
        let mut under_way = self.under_way.lock();
        if let Some(answer) = under_way.get(&session) {
            return Some(answer.clone());
        }
        let mut link = shared.link.borrow().clone()?;
        if under_way.len() >= QUESTIONS {
            return None;
        }
        let (lookups, shared, asked) = (self.clone(), shared.clone(), session.clone());
        // A task of its own: whoever asked first may go away.
        let task = tokio::spawn(async move {
            let call = layout::fetch(&asked.0, asked.1);
            let answer = call.query_async(&mut link.connection).await;
            let found = answer.ok().map(layout::binding);
            if let Some(Some(binding)) = &found {
                let (site, session, binding) = (asked.0.clone(), asked.1, binding.clone());
                shared.memory.apply(&Change::Bind { site, session, binding });
            }
            let found = found.map(|binding| binding.is_some());
            lookups.landed(asked, found);
            found
        });
        let answer = task.map(|joined| joined.ok().flatten()).boxed().shared();
        under_way.insert(session, answer.clone());
        Some(answer)
    }

    fn landed(&self, session: Session, found: Option<bool>) {
        if found == Some(false) {
            self.missed.lock().add(session.clone(), Instant::now());
        }
        self.under_way.lock().remove(&session);
    }

    fn is_missed(&self, session: &Session) -> bool {
        self.missed.lock().since.get(session).is_some_and(|since| since.elapsed() < MISSED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_unknown_sessions_is_looked_through_now_and_then_alone() {
        let (mut missed, begun) = (Missed::default(), Instant::now());
        let session = |number: u128| (Arc::from("acme"), Digest(number.to_be_bytes()));
        for number in 0..MISSES as u128 {
            missed.add(session(number), begun);
        }
        missed.add(session(u128::MAX), begun);
        assert_eq!((missed.since.len(), missed.swept), (MISSES, Some(begun)));
        // Nothing can be let go yet, and nobody looks again so soon.
        missed.add(session(u128::MAX), begun + SWEPT / 2);
        assert_eq!(missed.swept, Some(begun));
        missed.add(session(u128::MAX), begun + MISSED);
        assert_eq!(missed.since.len(), 1);
    }
}
