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
/// Most questions at a time.
const QUESTIONS: usize = 1_000;

type Session = (Arc<str>, Digest);
/// Whether it was there; none: Redis could not tell.
type Answer = Joined<BoxFuture<'static, Option<bool>>>;

/// Questions under way, and what is not there.
#[derive(Default)]
pub struct Lookups {
    under_way: Mutex<HashMap<Session, Answer>>,
    missed: Mutex<HashMap<Session, Instant>>,
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
            let mut missed = self.missed.lock();
            if missed.len() >= MISSES {
                missed.retain(|_, since| since.elapsed() < MISSED);
            }
            if missed.len() < MISSES {
                missed.insert(session.clone(), Instant::now());
            }
        }
        self.under_way.lock().remove(&session);
    }

    fn is_missed(&self, session: &Session) -> bool {
        self.missed.lock().get(session).is_some_and(|since| since.elapsed() < MISSED)
    }
}
