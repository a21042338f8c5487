//! Events for which there was no room: counted each, and said once a minute at most.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::telemetry::{Metrics, Told};

/// How often it is said.
const SAID: Duration = Duration::from_secs(60);

/// What was lost.
#[derive(Default)]
pub struct Losses {
    metrics: OnceLock<Arc<Metrics>>,
    unsaid: Mutex<Unsaid>,
}

#[derive(Default)]
struct Unsaid {
    lost: u64,
    said: Option<Instant>,
}

impl Losses {
    /// Has them counted.
    pub fn count_in(&self, metrics: &Arc<Metrics>) {
        // The first metrics stay; nobody has others.
        let _ = self.metrics.set(metrics.clone());
    }

    /// A subscription's event found no room.
    pub fn lost(&self, webhook: &str) {
        if let Some(metrics) = self.metrics.get() {
            metrics.told(webhook, Told::Dropped);
        }
        if let Some(lost) = self.unsaid.lock().one_more(Instant::now()) {
            tracing::error!(
                webhook,
                lost,
                "too many deliveries wait: events are dropped; see to the subscription's receiver"
            );
        }
    }
}

impl Unsaid {
    /// How many to speak of now, if it is time to.
    fn one_more(&mut self, now: Instant) -> Option<u64> {
        self.lost += 1;
        if self.said.is_some_and(|said| now.duration_since(said) < SAID) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute_with_its_number() {
        let (mut unsaid, start) = (Unsaid::default(), Instant::now());
        assert_eq!(unsaid.one_more(start), Some(1));
        for _ in 0..41 {
            assert_eq!(unsaid.one_more(start + SAID / 2), None);
        }
        assert_eq!(unsaid.one_more(start + SAID), Some(42));
    }
}
