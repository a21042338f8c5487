//! What is counted: by the names of the configuration's subscriptions, which sites may share;
//! those made through the admin API are counted as one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::carrier::PATIENCE;
use super::enrich::ENRICH;
use super::{Webhooks, endpoint::Endpoint};
use crate::outbound::{Answer, Failure};
use crate::plan::Webhook;
use crate::store::outbox::{Depth, Hook};
use crate::telemetry::{Told, Waiting};

impl Webhooks {
    /// Carries a request to a subscription's receiver; counts those that lead inside.
    pub(super) async fn carry(
        &self,
        webhook: &Webhook,
        request: Request<Bytes>,
    ) -> Result<Answer, Failure> {
        let answer = self.carrier.carry(webhook.reach, request, PATIENCE).await;
        if let Err(Failure::Blocked(_)) = &answer {
            self.count(&webhook.name, Told::Blocked);
        }
        answer
    }

    /// Counts an attempt, a dead letter or a question.
    pub(super) fn count(&self, name: &str, told: Told) {
        if let Some(metrics) = self.metrics.get() {
            metrics.told(self.subscribed.label(name), told);
        }
    }

    /// Says what waits for a subscription: the metric shows the sum over all of its label, and
    /// the oldest of them.
    pub(super) fn say_what_waits(&self, hook: &Hook, depth: Depth) {
        let Some(metrics) = self.metrics.get() else { return };
        let now = (self.clock)();
        let oldest = depth.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
        let waiting = Waiting { queued: depth.queued, dead: depth.dead, oldest };
        let label = self.subscribed.label(&hook.name);
        let mut known = self.waiting.lock();
        known.insert(hook.clone(), waiting);
        let of_label =
            known.iter().filter(|(other, _)| self.subscribed.label(&other.name) == label);
        let sum = of_label.fold(Waiting::default(), |sum, (_, waiting)| Waiting {
            queued: sum.queued + waiting.queued,
            dead: sum.dead + waiting.dead,
            oldest: sum.oldest.max(waiting.oldest),
        });
        metrics.waits(label, sum);
    }

    /// Has the series of these subscriptions shown, and of no others.
    pub(super) fn show(&self, endpoints: &HashMap<Hook, Arc<Endpoint>>) {
        self.waiting.lock().retain(|hook, _| endpoints.contains_key(hook));
        if let Some(metrics) = self.metrics.get() {
            let names: BTreeSet<&str> =
                endpoints.keys().map(|hook| self.subscribed.label(&hook.name)).collect();
            let asks = self.subscribed.asks().then_some(ENRICH);
            metrics.keep_webhooks(names, asks);
        }
    }
}
