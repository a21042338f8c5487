//! Receivers that want to hear, want no more, or have not said; and the end of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::super::State;
use super::stage::{Receiver, Reply, Stage, clock, plan_with, subscription};
use crate::clock::UnixTime;
use crate::store::outbox::queues::Local;
use crate::store::outbox::{
    Delivery, DeliveryState, Depth, Hook, Kept, Outbox, Progress, Replayed,
};
use crate::store::{self, Change, DigestKey, Keeper, Memory, Outage, Store};

#[tokio::test(start_paused = true)]
async fn nothing_is_told_to_who_has_not_confirmed_and_is_asked_each_minute() {
    let receiver = Receiver::well();
    *receiver.confirms.lock() = false;
    let stage = Stage::new(subscription(), receiver.clone());
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(*receiver.asked.lock(), [0, 60, 120]);
    assert!(receiver.arrived.lock().is_empty());
    let (state, problem) = stage.state();
    assert_eq!(state, State::Unverified);
    assert!(problem.unwrap().contains("something else than `echo`"));
    *receiver.confirms.lock() = true;
    stage.settled(60).await;
    assert_eq!(stage.state(), (State::Active, None));
    assert_eq!((receiver.arrived.lock().len(), receiver.asked.lock().len()), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn who_has_confirmed_is_not_asked_after_a_restart_but_for_another_url() {
    let receiver = Receiver::well();
    let stage = Stage::new(subscription(), receiver.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let store = stage.close().await;
    let stage = Stage::over(store, plan_with(subscription()), receiver.clone());
    stage.begin("ada");
    stage.settled(5).await;
    assert_eq!(receiver.asked.lock().len(), 1);
    let mut elsewhere = subscription();
    elsewhere.print += 1;
    stage.webhooks.adopt(&plan_with(elsewhere));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receiver.asked.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_410_stops_everything_until_the_receiver_is_tried_and_confirms_again() {
    let receiver = Receiver::new(|_, arrived| match arrived.secs {
        0..1000 => Reply::Status(410),
        _ => Reply::Status(200),
    });
    let stage = Stage::new(subscription(), receiver.clone());
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(10)).await;
    stage.begin("bob");
    tokio::time::sleep(Duration::from_secs(990)).await;
    assert_eq!(stage.state().0, State::Stopped);
    assert_eq!((receiver.arrived.lock().len(), receiver.asked.lock().len()), (1, 1));
    assert_eq!((stage.depth().await.queued, stage.counted("gone")), (2, 1));
    let site = &stage.plan.sites[0];
    let report = stage.webhooks.test(site, &site.website.webhooks[0]).await;
    assert!(report.echo.ok && report.delivery.ok, "{report:?}");
    stage.settled(10).await;
    assert_eq!(stage.state().0, State::Active);
    assert_eq!(stage.counted("delivered"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_three_days_for_a_receiver_is_a_dead_letter() {
    let receiver = Receiver::well();
    *receiver.confirms.lock() = false;
    let stage = Stage::new(subscription(), receiver.clone());
    let four_days_ago = UnixTime::from_secs(clock().as_secs() - 4 * 86400);
    let old = stage.begin_at("ada", four_days_ago);
    stage.begin("bob");
    tokio::time::sleep(Duration::from_secs(70)).await;
    let dead = stage.list(DeliveryState::Dead).await;
    assert_eq!(dead.iter().map(|kept| &*kept.id).collect::<Vec<_>>(), [&*old]);
    assert!(dead[0].progress.problem.as_deref().unwrap().contains("three days"));
    assert_eq!((stage.depth().await.queued, stage.counted("dead")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_under_way_ends_and_all_else_is_left_for_the_next_start() {
    let receiver = Receiver::new(|_, _| Reply::Slow(Duration::from_secs(3), 200));
    let stage = Stage::new(subscription(), receiver.clone());
    for _ in 0..3 {
        stage.begin("ada");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let store = stage.close().await;
    assert_eq!(receiver.arrived.lock().len(), 1);
    let hook = Hook { site: "acme".into(), name: "crm".into() };
    let left = store.outbox().list(&hook, Some(DeliveryState::Queued), 10).await.unwrap();
    assert_eq!(left.len(), 2);
    let stage = Stage::over(store, plan_with(subscription()), receiver.clone());
    stage.settled(30).await;
    assert_eq!(receiver.arrived.lock().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_gone_is_delivered_to_no_more_and_its_series_go() {
    let receiver = Receiver::well();
    let stage = Stage::new(subscription(), receiver.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.counted("delivered"), 0);
    let mut without = plan_with(subscription());
    without.sites[0].website.webhooks.clear();
    stage.webhooks.adopt(&without);
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(receiver.arrived.lock().is_empty());
    let shown = stage.metrics.render(&stage.plan, clock());
    assert!(!shown.contains("webhook=\"crm\""), "{shown}");
}

/// An outbox that cannot note what became of deliveries, for a while.
struct Forgetful {
    local: Local,
    failures: AtomicUsize,
}

#[async_trait]
impl Outbox for Forgetful {
    async fn owns(&self, hook: &Hook) -> Result<bool, Outage> {
        self.local.owns(hook).await
    }

    async fn take(
        &self,
        hook: &Hook,
        now: UnixTime,
        most: usize,
    ) -> Result<Vec<(Arc<Delivery>, Progress)>, Outage> {
        self.local.take(hook, now, most).await
    }

    fn next_due(&self, hook: &Hook) -> Option<UnixTime> {
        self.local.next_due(hook)
    }

    async fn settle(&self, hook: &Hook, id: &Arc<str>, progress: Progress) -> Result<(), Outage> {
        let less = |left: usize| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Err(Outage("gone for a while".to_owned())),
            Err(_) => self.local.settle(hook, id, progress).await,
        }
    }

    async fn give_back(&self, hook: &Hook, id: &Arc<str>) {
        self.local.give_back(hook, id).await;
    }

    async fn list(
        &self,
        hook: &Hook,
        state: Option<DeliveryState>,
        most: usize,
    ) -> Result<Vec<Kept>, Outage> {
        self.local.list(hook, state, most).await
    }

    async fn replay(&self, hook: &Hook, id: &str, now: UnixTime) -> Result<Replayed, Outage> {
        self.local.replay(hook, id, now).await
    }

    async fn depth(&self, hook: &Hook) -> Result<Depth, Outage> {
        self.local.depth(hook).await
    }

    async fn drop_all(&self, hook: &Hook) -> Result<(), Outage> {
        self.local.drop_all(hook).await
    }
}

struct Keeping(Arc<Memory>, Arc<Forgetful>);

/// Keeps nothing; its outbox needs a keeper of its own.
struct Nothing(Arc<Memory>);

#[async_trait]
impl Keeper for Nothing {
    async fn write(&self, change: Change) -> Result<(), Outage> {
        self.0.apply(&change);
        Ok(())
    }

    fn note(&self, _change: Change) {}

    fn state(&self) -> store::State {
        store::State { kind: "memory", up: true, synced: true, detail: String::new() }
    }
}

#[async_trait]
impl Keeper for Keeping {
    async fn write(&self, change: Change) -> Result<(), Outage> {
        self.0.apply(&change);
        Ok(())
    }

    fn note(&self, _change: Change) {}

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        Some(self.1.clone())
    }

    fn state(&self) -> store::State {
        store::State { kind: "memory", up: true, synced: true, detail: String::new() }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_noted_is_noted_later_and_not_told_again() {
    let memory = Arc::new(Memory::new(&DigestKey::generate().unwrap()));
    let local = Local::new(memory.clone(), Arc::new(Nothing(memory.clone())));
    let outbox = Arc::new(Forgetful { local, failures: AtomicUsize::new(5) });
    let store = Store::new(memory.clone(), Box::new(Keeping(memory, outbox)));
    let receiver = Receiver::well();
    let stage = Stage::over(Arc::new(store), plan_with(subscription()), receiver.clone());
    stage.begin("ada");
    stage.settled(100).await;
    assert_eq!(receiver.arrived.lock().len(), 1);
    assert_eq!(stage.list(DeliveryState::Delivered).await.len(), 1);
}
