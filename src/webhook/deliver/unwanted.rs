//! A receiver that has not said that it wants to hear: it is asked, and what waits for it is
//! kept for a while.

use std::time::Duration;

use tokio::time::Instant;

use super::{Ended, Worker};
use crate::clock::UnixTime;
use crate::outbound::Shown;
use crate::store::outbox::{DeliveryState, Progress};
use crate::telemetry::Told;

/// How often a receiver is asked whether it wants to hear, and what is too old looked for.
const ASKED_AGAIN: Duration = Duration::from_secs(60);
/// How long an event waits for a receiver that wants to hear.
const WAITS: Duration = Duration::from_secs(3 * 24 * 3600);

impl Worker {
    /// Asks the receiver whether it wants to hear: at once for a URL that is new, then again
    /// and again.
    pub(super) fn ask(&mut self) {
        let webhook = self.endpoint.webhook.load_full();
        let is_due = self
            .asked
            .is_none_or(|(print, asked)| print != webhook.print || asked.elapsed() >= ASKED_AGAIN);
        if self.asking || !is_due {
            return;
        }
        (self.asking, self.asked) = (true, Some((webhook.print, Instant::now())));
        let (webhooks, hook) = (self.webhooks.clone(), self.endpoint.hook.clone());
        self.under_way.spawn(async move {
            let answer = webhooks.challenge(&webhook, None).await.and_then(|(_, judged)| judged);
            if answer.is_ok() {
                webhooks.heed_wish(&hook, &webhook, true);
            }
            Ended::Challenge(answer)
        });
    }

    /// Puts back what was taken, and now and then buries what has waited too long.
    pub(super) async fn wait_unwanted(&mut self, now: UnixTime) {
        self.let_go().await;
        if self.buried.is_some_and(|buried| buried.elapsed() < ASKED_AGAIN) {
            return;
        }
        self.buried = Some(Instant::now());
        let hook = &self.endpoint.hook;
        let outbox = self.webhooks.store.outbox();
        let Ok(taken) = outbox.take(hook, now, 1000).await else { return };
        for (delivery, before) in taken {
            if now.since(delivery.event.at) < WAITS {
                outbox.give_back(hook, &delivery.id).await;
                continue;
            }
            let problem = Some("three days passed without a confirmed receiver".to_owned());
            let progress = Progress { state: DeliveryState::Dead, problem, at: now, ..before };
            if outbox.settle(hook, &delivery.id, progress).await.is_err() {
                outbox.give_back(hook, &delivery.id).await;
                continue;
            }
            self.webhooks.count(&hook.name, Told::Dead);
            tracing::warn!(site = %hook.site, webhook = %hook.name, id = %delivery.id, "an event is a dead letter: no receiver confirmed for three days");
        }
    }

    pub(super) fn heed_answer(&mut self, answer: Result<(), String>) {
        self.asking = false;
        let webhook = self.endpoint.webhook.load();
        let (site, name) = (&*self.endpoint.hook.site, &*self.endpoint.hook.name);
        let url = Shown(&webhook.url);
        match &answer {
            Ok(()) => {
                tracing::info!(site, webhook = name, %url, "the receiver has confirmed the subscription");
            }
            Err(problem) if self.endpoint.trouble().as_ref() != Some(problem) => {
                tracing::warn!(site, webhook = name, %url, problem, "the receiver has not confirmed the subscription: nothing is delivered");
            }
            Err(_) => {}
        }
        self.endpoint.set_trouble(answer.err());
    }
}
