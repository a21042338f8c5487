//! The worker of one subscription: takes deliveries whose time has come out of the outbox and
//! has them told, a few at once.
//!
//! - Whose turn it is say the [`Lanes`].
//! - Nothing is told to a receiver that has not confirmed that it wants to hear. What has
//!   waited for that for three days is a dead letter.
//! - An endpoint in trouble is left alone ([`Breaker`]); that uses up no attempts.
//! - Of replicas that share a store only the owner delivers.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{self, JoinError, JoinSet};
use tokio::time::Instant;

use super::Webhooks;
use super::breaker::Breaker;
use super::confirm::Wish;
use super::details;
use super::endpoint::Endpoint;
use super::lanes::Lanes;
use super::retry::Outcome;
use crate::clock::UnixTime;
use crate::outbound::{Failure, Shown};
use crate::store::outbox::{DeliveryState, Progress};
use crate::telemetry::Told;

/// Attempts that are under way at once.
const AT_ONCE: usize = 8;
/// How often ownership is asked for, and the least that is looked for something to do.
const ROUND: Duration = Duration::from_secs(1);
/// How often a receiver is asked whether it wants to hear, and what is too old looked for.
const ASKED_AGAIN: Duration = Duration::from_secs(60);
/// How long an event waits for a receiver that wants to hear.
const WAITS: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long attempts may take that are under way when the worker is to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often it is said what waits.
const COUNTED: Duration = Duration::from_secs(5);

/// Runs until the endpoint is stopped.
pub async fn work(webhooks: Arc<Webhooks>, endpoint: Arc<Endpoint>) {
    let mut worker = Worker::new(webhooks, endpoint.clone());
    let stopped = endpoint.stopped();
    tokio::pin!(stopped);
    loop {
        // Never broken off: what was taken is known here or put back.
        let pause = worker.round().await;
        tokio::select! {
            () = &mut stopped => break,
            Some(ended) = worker.under_way.join_next_with_id() => {
                worker.heed(ended).await;
                while let Some(ended) = worker.under_way.try_join_next_with_id() {
                    worker.heed(ended).await;
                }
            }
            () = endpoint.wake.notified() => worker.look = true,
            () = tokio::time::sleep(pause) => worker.look = true,
        }
    }
    worker.end().await;
}

/// Something that was under way and has ended.
enum Ended {
    Attempt(Option<Outcome>),
    Challenge(Result<(), String>),
}

struct Worker {
    webhooks: Arc<Webhooks>,
    endpoint: Arc<Endpoint>,
    breaker: Breaker,
    under_way: JoinSet<Ended>,
    lanes: Lanes,
    /// There may be something in the outbox that this process does not know of.
    look: bool,
    owns: bool,
    ownership_asked: Option<Instant>,
    asking: bool,
    asked: Option<(u64, Instant)>,
    counted: Option<Instant>,
    buried: Option<Instant>,
}

impl Worker {
    fn new(webhooks: Arc<Webhooks>, endpoint: Arc<Endpoint>) -> Self {
        Self {
            webhooks,
            endpoint,
            breaker: Breaker::default(),
            under_way: JoinSet::new(),
            lanes: Lanes::default(),
            look: true,
            owns: false,
            ownership_asked: None,
            asking: false,
            asked: None,
            counted: None,
            buried: None,
        }
    }

    /// Does what there is to do now, and says how long nothing else will be.
    async fn round(&mut self) -> Duration {
        self.ask_ownership().await;
        self.say_what_waits().await;
        if !self.owns {
            self.let_go().await;
            return ROUND;
        }
        let now = (self.webhooks.clock)();
        match self.wish() {
            Wish::Wants => {}
            Wish::Unsaid => {
                self.ask();
                self.wait_unwanted(now).await;
                return ROUND;
            }
            Wish::WantsNoMore => {
                self.wait_unwanted(now).await;
                return ROUND;
            }
        }
        if let Some(until) = self.breaker.rests(now) {
            return until.since(now).min(ROUND);
        }
        self.take(now).await;
        self.begin(now);
        self.idle(now)
    }

    fn wish(&self) -> Wish {
        // The backend is the operator's own, and is not asked.
        match details::is_push(&self.endpoint.hook) {
            true => Wish::Wants,
            false => self.webhooks.wish(&self.endpoint.hook, &self.endpoint.webhook.load()),
        }
    }

    async fn ask_ownership(&mut self) {
        if self.ownership_asked.is_none_or(|asked| asked.elapsed() >= ROUND) {
            let owns = self.webhooks.store.outbox().owns(&self.endpoint.hook).await;
            self.owns = owns.unwrap_or(false);
            self.ownership_asked = Some(Instant::now());
        }
    }

    async fn say_what_waits(&mut self) {
        if self.counted.is_none_or(|counted| counted.elapsed() >= COUNTED) {
            let depth = match self.owns {
                true => self.webhooks.store.outbox().depth(&self.endpoint.hook).await.ok(),
                false => None,
            };
            self.webhooks.say_what_waits(&self.endpoint.hook, depth.unwrap_or_default());
            self.counted = Some(Instant::now());
        }
    }

    /// Asks the receiver whether it wants to hear: at once for a URL that is new, then again
    /// and again.
    fn ask(&mut self) {
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
    async fn wait_unwanted(&mut self, now: UnixTime) {
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

    async fn take(&mut self, now: UnixTime) {
        let hook = &self.endpoint.hook;
        let outbox = self.webhooks.store.outbox();
        let room = self.lanes.room().min(AT_ONCE * 4);
        let is_due = outbox.next_due(hook).is_some_and(|due| due <= now);
        if room == 0 || !(is_due || self.look) {
            return;
        }
        match outbox.take(hook, now, room).await {
            Ok(taken) => {
                self.look = taken.len() == room;
                self.lanes.take_in(taken);
            }
            Err(outage) => {
                tracing::debug!(site = %hook.site, webhook = %hook.name, %outage, "deliveries cannot be read");
            }
        }
    }

    /// Begins as many attempts as may be under way.
    fn begin(&mut self, now: UnixTime) {
        let most = self.breaker.allows(AT_ONCE);
        for (delivery, before) in self.lanes.next(now, self.first_wait(), most) {
            let (webhooks, endpoint) = (self.webhooks.clone(), self.endpoint.clone());
            let webhook = endpoint.webhook.load_full();
            let told = delivery.clone();
            let task = self.under_way.spawn(async move {
                let outcome = webhooks.attempt(&endpoint, &webhook, &told, &before).await;
                if outcome == Some(Outcome::Gone) && !details::is_push(&endpoint.hook) {
                    webhooks.heed_wish(&endpoint.hook, &webhook, false);
                }
                Ended::Attempt(outcome)
            });
            self.lanes.began(task.id(), delivery);
        }
    }

    /// The schedule's first entry.
    fn first_wait(&self) -> Duration {
        self.endpoint.webhook.load().retry.first().copied().unwrap_or_default()
    }

    /// How long there is nothing to do, unless something is rung for.
    fn idle(&self, now: UnixTime) -> Duration {
        let next = self.webhooks.store.outbox().next_due(&self.endpoint.hook);
        let next = next.filter(|_| self.lanes.room() > 0);
        let held = self.lanes.soonest(self.first_wait(), self.breaker.allows(AT_ONCE));
        let soonest = next.into_iter().chain(held).min();
        let pause = soonest.map_or(ROUND, |soonest| soonest.since(now));
        // What could not be taken although its time has come is not asked for in a circle.
        pause.clamp(Duration::from_millis(10), ROUND)
    }

    async fn heed(&mut self, ended: Result<(task::Id, Ended), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let attempted = self.lanes.ended(id);
        match (ended, attempted) {
            (Ok((_, Ended::Attempt(Some(outcome)))), _) => {
                self.judge(&outcome, (self.webhooks.clock)());
            }
            (Ok((_, Ended::Attempt(None))), _) => {}
            (Ok((_, Ended::Challenge(answer))), _) => self.heed_answer(answer),
            // Broken off, which only a fault of ours can do.
            (Err(_), Some(attempted)) => {
                self.webhooks.store.outbox().give_back(&self.endpoint.hook, &attempted.id).await;
            }
            (Err(_), None) => self.asking = false,
        }
    }

    fn heed_answer(&mut self, answer: Result<(), String>) {
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

    /// What an attempt says of the endpoint.
    fn judge(&mut self, outcome: &Outcome, now: UnixTime) {
        if let Some(wait) = outcome.hush() {
            self.breaker.hush(now.after(wait));
        }
        let hook = &self.endpoint.hook;
        let problem = outcome.problem().unwrap_or_default();
        if outcome.is_trouble() {
            if let Some(pause) = self.breaker.ill(now) {
                let secs = pause.as_secs();
                tracing::warn!(site = %hook.site, webhook = %hook.name, problem, secs, "the endpoint is in trouble and left alone for a while");
                self.endpoint.set_trouble(Some(problem));
            }
            return;
        }
        self.breaker.well();
        let is_lasting = matches!(outcome, Outcome::Gone | Outcome::Failed(Failure::Blocked(_)));
        self.endpoint.set_trouble(is_lasting.then_some(problem));
    }

    /// Puts back what was taken and is not under way.
    async fn let_go(&mut self) {
        for delivery in self.lanes.put_down() {
            self.webhooks.store.outbox().give_back(&self.endpoint.hook, &delivery.id).await;
        }
    }

    /// Takes leave: what is under way may come to its end, all else is put back.
    async fn end(mut self) {
        self.let_go().await;
        let lanes = &mut self.lanes;
        let under_way = &mut self.under_way;
        let rest = async {
            while let Some(ended) = under_way.join_next_with_id().await {
                if let Ok((id, _)) = ended {
                    lanes.ended(id);
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, rest).await;
        self.under_way.shutdown().await;
        for attempted in self.lanes.left() {
            self.webhooks.store.outbox().give_back(&self.endpoint.hook, &attempted.id).await;
        }
        self.webhooks.say_what_waits(&self.endpoint.hook, Default::default());
    }
}
