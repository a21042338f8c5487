//! Events for which there was no room: counted each, and said once a minute at most.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::telemetry::{Metrics, Seldom, Told};

/// What was lost.
#[derive(Default)]
pub struct Losses {
    metrics: OnceLock<Arc<Metrics>>,
    said: Seldom,
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
        if let Some(lost) = self.said.happened(Instant::now()) {
            tracing::error!(
                webhook,
                lost,
                "too many deliveries wait: events are dropped; see to the subscription's receiver"
            );
        }
    }
}
