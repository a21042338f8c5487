//! Subscriptions that come and go through the admin API, here and on another replica.

use std::time::Duration;

use super::super::{SubscribeError, Unsubscribed};
use super::stage::{Receiver, Reply, Stage, plan_with, subscription};
use crate::plan::Reach;
use crate::store::outbox::{Depth, Hook};
use crate::store::{Change, volatile};

const ENTRY: &str = r#"{"name":"made","url":"https://crm.example/made","format":"livesupporti",
    "secret":"a-secret-of-thirty-two-characters"}"#;

fn stage(receiver: &std::sync::Arc<Receiver>) -> Stage {
    let store = std::sync::Arc::new(volatile::open().unwrap());
    Stage::over(store, plan_with(subscription()), receiver.clone())
}

fn made() -> Hook {
    Hook { site: "acme".into(), name: "made".into() }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_made_is_asked_at_once_told_of_events_and_ended_with_all_that_waits() {
    let receiver = Receiver::new(|request, _| match request.uri().path() {
        "/made" => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let stage = stage(&receiver);
    let site = &stage.plan.sites[0];
    tokio::time::sleep(Duration::from_secs(2)).await;
    let webhook = stage.webhooks.subscribe(site, ENTRY).await.unwrap();
    assert_eq!((&*webhook.name, webhook.reach), ("made", Reach::Outside));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receiver.asked.lock().len(), 2);
    assert_eq!(stage.webhooks.subscriptions(site).len(), 2);
    let again = stage.webhooks.subscribe(site, ENTRY).await.unwrap_err();
    assert_eq!(again, SubscribeError::Exists);
    stage.begin_for("ada", &["crm", "made"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let outbox = stage.store.outbox();
    assert_eq!(outbox.depth(&made()).await.unwrap().queued, 1);
    assert_eq!(stage.counted("delivered"), 1);
    let unsubscribed = stage.webhooks.unsubscribe(site, "made").await;
    assert_eq!(unsubscribed, Ok(Unsubscribed::Done));
    tokio::time::sleep(Duration::from_secs(100)).await;
    let tries = receiver.other.lock().iter().filter(|one| one.uri().path() == "/made").count();
    assert_eq!((tries, outbox.depth(&made()).await.unwrap()), (1, Depth::default()));
    assert_eq!(stage.webhooks.unsubscribe(site, "made").await, Ok(Unsubscribed::Unknown));
}

#[tokio::test(start_paused = true)]
async fn the_configurations_own_can_neither_be_made_again_nor_ended() {
    let receiver = Receiver::well();
    let stage = stage(&receiver);
    let site = &stage.plan.sites[0];
    let entry = ENTRY.replace("made", "crm");
    assert_eq!(stage.webhooks.subscribe(site, &entry).await.unwrap_err(), SubscribeError::Exists);
    let invalid = stage.webhooks.subscribe(site, r#"{"name":"made"}"#).await.unwrap_err();
    assert!(matches!(invalid, SubscribeError::Invalid(_)), "{invalid:?}");
    let unsubscribed = stage.webhooks.unsubscribe(site, "crm").await;
    assert_eq!(unsubscribed, Ok(Unsubscribed::OfConfiguration));
    assert_eq!(stage.webhooks.subscriptions(site).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_another_replica_made_is_told_of_events_here() {
    let receiver = Receiver::well();
    let stage = stage(&receiver);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let change = |entry: Option<&str>| Change::Subscription {
        site: "acme".into(),
        webhook: "made".into(),
        entry: entry.map(Into::into),
    };
    stage.store.memory().apply(&change(Some(ENTRY)));
    stage.begin_for("ada", &["made"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let told = || receiver.other.lock().iter().filter(|one| one.uri().path() == "/made").count();
    assert_eq!(told(), 1);
    stage.store.memory().apply(&change(None));
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.begin_for("bob", &["made"]);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(told(), 1);
}
