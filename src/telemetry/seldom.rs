//! What may happen very often is said now and then, with its number.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often the log says one thing, at most.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// What may happen very often, and is said once a minute at most.
#[derive(Default)]
pub struct Seldom(Mutex<Unsaid>);

#[derive(Default)]
struct Unsaid {
    said: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// It has happened. If it is to be said now: how often it has since it was said last.
    pub fn happened(&self, now: Instant) -> Option<u64> {
        let mut unsaid = self.0.lock();
        unsaid.times += 1;
        if unsaid.said.is_some_and(|said| now.duration_since(said) < SAID_AGAIN) {
            return None;
        }
        unsaid.said = Some(now);
        Some(std::mem::take(&mut unsaid.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_said_once_a_minute_with_how_often() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        let said = [0, 1, 59, 60, 61].map(|secs| seldom.happened(now + Duration::from_secs(secs)));
        assert_eq!(said, [Some(1), None, None, Some(3), None]);
    }
}
