//! What is counted of events told to websites' servers.
//!
//! Labels are subscriptions' names. Sites that share a name share its series; what is not a
//! subscription (`details.push`, `details.enrich`) has a name with a dot, as none can have.

use std::collections::BTreeSet;

use super::metrics::{Metrics, gauge};

/// What became of an attempt, or of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The receiver has it.
    Delivered,
    /// The attempt failed, and there will be another one.
    Retry,
    /// The receiver answered 410: it wants no more.
    Gone,
    /// Nothing was sent: the URL leads where it must not.
    Blocked,
    /// The delivery became a dead letter.
    Dead,
    /// A question was not answered as it should be.
    Failed,
}

impl Told {
    /// Every one.
    pub const ALL: &[Self] =
        &[Self::Delivered, Self::Retry, Self::Gone, Self::Blocked, Self::Dead, Self::Failed];
    /// What can become of events.
    const OF_EVENTS: &[Self] =
        &[Self::Delivered, Self::Retry, Self::Gone, Self::Blocked, Self::Dead];
    /// What can become of questions.
    const OF_QUESTIONS: &[Self] = &[Self::Delivered, Self::Failed];

    /// Its word in the metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Gone => "gone",
            Self::Blocked => "blocked",
            Self::Dead => "dead",
            Self::Failed => "failed",
        }
    }
}

/// What waits for a subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Queued deliveries.
    pub queued: usize,
    /// Dead letters.
    pub dead: usize,
    /// How long ago the oldest queued event happened, in seconds.
    pub oldest: u64,
}

impl Metrics {
    /// Removes the series of all subscriptions but these, and has those of these begin at
    /// zero. `questions` are the names of those who are asked rather than told.
    pub fn keep_webhooks<'n>(
        &self,
        events: impl IntoIterator<Item = &'n str>,
        questions: impl IntoIterator<Item = &'n str>,
    ) {
        let mut known = self.webhooks.write();
        known.clear();
        for name in events {
            for result in Told::OF_EVENTS {
                self.webhook_deliveries.with(&[name, result.name()]);
            }
            for gauges in [&self.webhook_queue, &self.webhook_oldest, &self.webhook_dead] {
                gauges.with(&[name]);
            }
            known.insert(name.into());
        }
        for name in questions {
            for result in Told::OF_QUESTIONS {
                self.webhook_deliveries.with(&[name, result.name()]);
            }
            known.insert(name.into());
        }
        let keep = |values: &[Box<str>]| values.first().is_some_and(|name| known.contains(&**name));
        self.webhook_deliveries.retain(keep);
        for gauges in [&self.webhook_queue, &self.webhook_oldest, &self.webhook_dead] {
            gauges.retain(keep);
        }
    }

    /// Counts an attempt, or a dead letter; nothing, if the subscription is gone.
    pub fn told(&self, webhook: &str, result: Told) {
        if self.knows_webhook(webhook) {
            self.webhook_deliveries.with(&[webhook, result.name()]).inc();
        }
    }

    /// Says what waits for the subscriptions of a name.
    pub fn waits(&self, webhook: &str, waiting: Waiting) {
        if self.knows_webhook(webhook) {
            self.webhook_queue.with(&[webhook]).set(gauge(waiting.queued as u64));
            self.webhook_dead.with(&[webhook]).set(gauge(waiting.dead as u64));
            self.webhook_oldest.with(&[webhook]).set(gauge(waiting.oldest));
        }
    }

    fn knows_webhook(&self, name: &str) -> bool {
        let known: &BTreeSet<Box<str>> = &self.webhooks.read();
        known.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::plan;
    use super::*;
    use crate::clock::UnixTime;

    #[test]
    fn series_begin_at_zero_and_go_with_their_subscription() {
        let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
        let shown = || {
            let text = metrics.render(&plan(Vec::new()), UnixTime::from_secs(0));
            let ours = text.lines().filter(|line| line.starts_with("countersign_webhook"));
            ours.map(str::to_owned).collect::<Vec<_>>()
        };
        metrics.keep_webhooks(["crm", "details.push"], ["details.enrich"]);
        assert_eq!(shown().len(), 2 * (5 + 3) + 2);
        assert!(shown().iter().all(|line| line.ends_with(" 0")));
        metrics.told("crm", Told::Retry);
        metrics.waits("crm", Waiting { queued: 3, dead: 1, oldest: 70 });
        metrics.keep_webhooks(["crm"], []);
        metrics.told("details.push", Told::Dead);
        metrics.waits("details.push", Waiting::default());
        let of_crm = "{webhook=\"crm\"}";
        for line in [
            format!("countersign_webhook_queue_depth{of_crm} 3"),
            format!("countersign_webhook_dead_letters{of_crm} 1"),
            format!("countersign_webhook_oldest_age_seconds{of_crm} 70"),
            r#"countersign_webhook_deliveries_total{result="retry",webhook="crm"} 1"#.to_owned(),
        ] {
            assert!(shown().contains(&line), "{line}: {:?}", shown());
        }
        assert_eq!(shown().len(), 5 + 3);
    }
}
