//! One attempt at telling a receiver of an event, and settling what came of it.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::retry::Outcome;
use super::{Webhooks, details, wire};
use crate::outbound::{Failure, Shown};
use crate::plan::Webhook;
use crate::store::outbox::{Delivery, DeliveryState, EventKind, Progress};
use crate::telemetry::Told;

/// How soon, at first and at last, it is tried again to note what came of an attempt.
const NOTED_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

impl Webhooks {
    /// Makes one attempt, and returns once what came of it is noted. None: there is nothing
    /// to tell any more.
    pub(super) async fn attempt(
        &self,
        endpoint: &Endpoint,
        webhook: &Webhook,
        delivery: &Arc<Delivery>,
        before: &Progress,
    ) -> Option<Outcome> {
        let outcome = self.tell(endpoint, webhook, delivery, before).await;
        let now = (self.clock)();
        let progress = match &outcome {
            Some(outcome) => outcome.after(before, &webhook.retry, now, luck()),
            None => Progress { state: DeliveryState::Delivered, at: now, ..before.clone() },
        };
        if let Some(outcome) = &outcome {
            self.account(endpoint, webhook, delivery, outcome, &progress);
        }
        self.settle(endpoint, &delivery.id, progress).await;
        outcome
    }

    async fn tell(
        &self,
        endpoint: &Endpoint,
        webhook: &Webhook,
        delivery: &Arc<Delivery>,
        before: &Progress,
    ) -> Option<Outcome> {
        let (site, at) = (&*endpoint.hook.site, (self.clock)());
        let turn = endpoint.turns.now();
        let letter = match delivery.event.kind {
            EventKind::ChatStarted => {
                let number = before.attempts.saturating_add(1);
                wire::write(webhook, site, delivery, wire::Attempt { number, at, secret: turn })
            }
            EventKind::DetailsUpdated => {
                details::letter(webhook, site, delivery, self.store.memory(), at)?
            }
        };
        let request = match letter {
            Ok(letter) => letter.to(&webhook.url),
            Err(why) => return Some(Outcome::Unwritable(why)),
        };
        Some(match self.carry(webhook, request).await {
            Ok(answer) => {
                endpoint.turns.heed(turn, answer.status.as_u16());
                Outcome::of(answer.status.as_u16(), &answer.headers, (self.clock)())
            }
            Err(failure) => Outcome::Failed(failure),
        })
    }

    fn account(
        &self,
        endpoint: &Endpoint,
        webhook: &Webhook,
        delivery: &Delivery,
        outcome: &Outcome,
        progress: &Progress,
    ) {
        let (site, name, id) = (&*endpoint.hook.site, &*endpoint.hook.name, &*delivery.id);
        let (url, attempts) = (Shown(&webhook.url), progress.attempts);
        let problem = progress.problem.as_deref().unwrap_or_default();
        let is_dead = progress.state == DeliveryState::Dead;
        let told = match outcome {
            Outcome::Delivered(_) => Some(Told::Delivered),
            Outcome::Gone => Some(Told::Gone),
            // Counted by whoever refused to carry it.
            Outcome::Failed(Failure::Blocked(_)) => None,
            _ => (!is_dead).then_some(Told::Retry),
        };
        for told in told.into_iter().chain(is_dead.then_some(Told::Dead)) {
            self.count(name, told);
        }
        match progress.state {
            DeliveryState::Delivered => {
                tracing::debug!(site, webhook = name, id, attempts, "an event was delivered");
            }
            DeliveryState::Queued => {
                tracing::debug!(site, webhook = name, id, %url, attempts, problem, "an event was not delivered");
            }
            DeliveryState::Dead => {
                tracing::warn!(site, webhook = name, id, %url, attempts, problem, "an event is a dead letter: it was tried as often as it could be");
            }
        }
    }

    /// Notes what came of a delivery, however long that takes: what cannot be noted would be
    /// told again.
    pub(super) async fn settle(&self, endpoint: &Endpoint, id: &Arc<str>, progress: Progress) {
        let mut pause = NOTED_AGAIN.0;
        while let Err(outage) =
            self.store.outbox().settle(&endpoint.hook, id, progress.clone()).await
        {
            let (site, webhook) = (&*endpoint.hook.site, &*endpoint.hook.name);
            tracing::warn!(site, webhook, %id, %outage, "what came of a delivery cannot be noted yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(NOTED_AGAIN.1);
        }
    }
}

/// Something between 0 and 1.
fn luck() -> f64 {
    let [.., high, low] = *uuid::Uuid::now_v7().as_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}
