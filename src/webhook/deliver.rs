//! The worker of one subscription: takes deliveries whose time has come out of the outbox and
//! has them told, a few at once.
//!
//! - Whose turn it is say the [`Lanes`].
//! - Nothing is told to a receiver that has not confirmed that it wants to hear. What has
//!   waited for that for three days is a dead letter.
//! - An endpoint in trouble is left alone ([`Breaker`]); that uses up no attempts. Meanwhile
//!   nothing is held here: what is erased or dropped in the outbox is gone.
//! - A worker that fails puts back what it has, and another one takes its place.
//! - Of replicas that share a store only the owner delivers.

mod unwanted;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
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
use crate::outbound::Failure;
use crate::store::outbox::{Delivery, Progress};

/// Attempts that are under way at once.
const AT_ONCE: usize = 8;
/// How often ownership is asked for, and the least that is looked for something to do.
const ROUND: Duration = Duration::from_secs(1);
/// How long attempts may take that are under way when the worker is to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often it is said what waits.
const COUNTED: Duration = Duration::from_secs(5);

/// Runs until the endpoint is stopped.
pub async fn work(webhooks: Arc<Webhooks>, endpoint: Arc<Endpoint>) {
    loop {
        let mut worker = Worker::new(webhooks.clone(), endpoint.clone());
        let ran = AssertUnwindSafe(worker.run()).catch_unwind().await;
        let ended = AssertUnwindSafe(worker.end()).catch_unwind().await;
        if ran.is_ok() && ended.is_ok() {
            return;
        }
        let (site, webhook) = (&*endpoint.hook.site, &*endpoint.hook.name);
        tracing::error!(site, webhook, "a fault here stopped deliveries: they begin anew");
        tokio::select! {
            () = endpoint.stopped() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
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
    /// Of the subscription as it was last looked at.
    print: u64,
}

impl Worker {
    fn new(webhooks: Arc<Webhooks>, endpoint: Arc<Endpoint>) -> Self {
        let print = endpoint.webhook.load().print;
        Self {
            print,
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

    /// Runs until the endpoint is stopped.
    async fn run(&mut self) {
        let endpoint = self.endpoint.clone();
        let stopped = endpoint.stopped();
        tokio::pin!(stopped);
        loop {
            // Never broken off: what was taken is known here or put back.
            let pause = self.round().await;
            tokio::select! {
                () = &mut stopped => return,
                Some(ended) = self.under_way.join_next_with_id() => {
                    self.heed(ended).await;
                    while let Some(ended) = self.under_way.try_join_next_with_id() {
                        self.heed(ended).await;
                    }
                }
                () = endpoint.wake.notified() => self.look = true,
                () = tokio::time::sleep(pause) => self.look = true,
            }
        }
    }

    /// Does what there is to do now, and says how long nothing else will be.
    async fn round(&mut self) -> Duration {
        self.forget().await;
        self.look_anew();
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
        if let Some(until) = self.breaker.rests(Instant::now()) {
            self.let_go().await;
            return until.saturating_duration_since(Instant::now()).min(ROUND);
        }
        self.take(now).await;
        self.begin();
        self.idle(now)
    }

    /// Lets go of what is held about visitors who are to be forgotten.
    async fn forget(&mut self) {
        for visitor in self.endpoint.forgotten() {
            for delivery in self.lanes.put_down_of(&visitor) {
                self.webhooks.store.outbox().give_back(&self.endpoint.hook, &delivery.id).await;
            }
        }
    }

    /// Forgets what is known of a receiver whose place another one has, or that was well when
    /// somebody tried it.
    fn look_anew(&mut self) {
        let print = self.endpoint.webhook.load().print;
        let is_another = std::mem::replace(&mut self.print, print) != print;
        if is_another {
            self.endpoint.set_trouble(None);
        }
        if self.endpoint.has_been_well() || is_another {
            self.breaker = Breaker::default();
        }
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

    async fn take(&mut self, now: UnixTime) {
        let hook = &self.endpoint.hook;
        let outbox = self.webhooks.store.outbox();
        let room = self.lanes.room().min(self.breaker.allows(AT_ONCE) * 4);
        let is_due = outbox.next_due(hook).is_some_and(|due| due <= now);
        if room == 0 || !(is_due || self.look) {
            return;
        }
        match outbox.take(hook, now, room).await {
            Ok(taken) => {
                self.look = taken.len() == room;
                let wait = self.first_wait();
                for (delivery, progress) in taken {
                    match waits_until(&delivery, &progress, wait, now) {
                        Some(due) => self.defer(&delivery, progress, now, due).await,
                        None => self.lanes.take_in([(delivery, progress)]),
                    }
                }
            }
            Err(outage) => {
                tracing::debug!(site = %hook.site, webhook = %hook.name, %outage, "deliveries cannot be read");
            }
        }
    }

    /// Puts back what is not to be tried yet, so that it takes nobody's room.
    async fn defer(&self, delivery: &Delivery, before: Progress, now: UnixTime, due: UnixTime) {
        let hook = &self.endpoint.hook;
        let outbox = self.webhooks.store.outbox();
        let progress = Progress { at: now, due, ..before };
        if outbox.settle(hook, &delivery.id, progress).await.is_err() {
            outbox.give_back(hook, &delivery.id).await;
        }
    }

    /// Begins as many attempts as may be under way.
    fn begin(&mut self) {
        let most = self.breaker.allows(AT_ONCE);
        for (delivery, before) in self.lanes.next(most) {
            let (webhooks, endpoint) = (self.webhooks.clone(), self.endpoint.clone());
            let webhook = endpoint.webhook.load_full();
            let told = delivery.clone();
            let task = self.under_way.spawn(async move {
                let outcome = webhooks.attempt(&endpoint, &webhook, &told, &before).await;
                if outcome == Some(Outcome::Gone) {
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
        let pause = next.map_or(ROUND, |soonest| soonest.since(now));
        // What could not be taken although its time has come is not asked for in a circle.
        pause.clamp(Duration::from_millis(10), ROUND)
    }

    async fn heed(&mut self, ended: Result<(task::Id, Ended), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let attempted = self.lanes.ended(id);
        match (ended, attempted) {
            (Ok((_, Ended::Attempt(Some(outcome)))), _) => {
                self.judge(&outcome);
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

    /// What an attempt says of the endpoint.
    fn judge(&mut self, outcome: &Outcome) {
        let now = Instant::now();
        let hook = &self.endpoint.hook;
        let problem = outcome.problem().unwrap_or_default();
        if outcome.is_trouble() {
            if let Some(pause) = self.breaker.ill(now) {
                let secs = pause.as_secs();
                tracing::warn!(site = %hook.site, webhook = %hook.name, problem, secs, "the endpoint is in trouble and left alone for a while");
                self.endpoint.set_trouble(Some(problem.clone()));
            }
            if let Some(wait) = outcome.hush().filter(|wait| !wait.is_zero()) {
                let secs = self.breaker.hush(wait, now).as_secs();
                let problem = format!("{problem}, asking to be left alone for {secs} s");
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
    async fn end(&mut self) {
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

/// Until when an event waits that the subscription hears of only after this wait; none: it
/// does not. One from the future would, for as long as the clock was put back.
fn waits_until(
    delivery: &Delivery,
    progress: &Progress,
    wait: Duration,
    now: UnixTime,
) -> Option<UnixTime> {
    let at = delivery.event.at;
    let ready = at.after(wait);
    (progress.is_fresh() && at <= now && now < ready).then_some(ready)
}
