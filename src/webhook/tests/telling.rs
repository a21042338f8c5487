//! Events reach who wants them: in order, once if all goes well, again if not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::stage::{Receiver, Reply, Stage, subscription};
use crate::outbound::Failure;
use crate::plan::Webhook;
use crate::secret::Secret;
use crate::store::outbox::{DeliveryState, Replayed};

/// First attempts, by visitor.
fn first_attempts(receiver: &Receiver) -> HashMap<String, Vec<String>> {
    let mut first: HashMap<String, Vec<String>> = HashMap::new();
    for arrived in receiver.arrived.lock().iter().filter(|arrived| arrived.attempt == 1) {
        first.entry(arrived.visitor.clone()).or_default().push(arrived.id.clone());
    }
    first
}

#[tokio::test(start_paused = true)]
async fn one_visitors_events_go_one_after_the_other_and_no_more_than_eight_at_once() {
    let receiver = Receiver::new(|_, _| Reply::Slow(Duration::from_secs(2), 200));
    let stage = Stage::new(subscription(), receiver.clone());
    for number in 0..60 {
        stage.begin(&format!("v{}", number % 20));
    }
    stage.settled(60).await;
    assert_eq!(receiver.most_at_once.load(Ordering::SeqCst), 8);
    let first = first_attempts(&receiver);
    assert_eq!(first.len(), 20);
    for ids in first.values() {
        assert!(ids.len() == 3 && ids.is_sorted(), "{ids:?}");
    }
    // One after the other's answer.
    let of_one = receiver.arrived.lock().clone().into_iter().filter(|one| one.visitor == "v3");
    let times: Vec<u64> = of_one.map(|arrived| arrived.secs).collect();
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0] + 2), "{times:?}");
    assert_eq!(stage.counted("delivered"), 60);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_half_the_time_gets_every_event_under_one_id() {
    let mut number = 0;
    let receiver = Receiver::new(move |_, _| {
        number += 1;
        Reply::Status(if number % 2 == 0 { 200 } else { 500 })
    });
    let mut webhook = subscription();
    webhook.retry = vec![Duration::ZERO; 20];
    let stage = Stage::new(webhook, receiver.clone());
    let begun: BTreeSet<String> = (0..500).map(|n| stage.begin(&format!("v{}", n % 50))).collect();
    let depth = stage.settled(600).await;
    let mut attempts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for arrived in receiver.arrived.lock().iter() {
        attempts.entry(arrived.id.clone()).or_default().push(arrived.attempt);
    }
    assert_eq!(attempts.keys().cloned().collect::<BTreeSet<_>>(), begun);
    for attempts in attempts.values() {
        assert!(attempts.iter().copied().eq(1..=attempts.len() as u32), "{attempts:?}");
    }
    assert!(first_attempts(&receiver).values().all(|ids| ids.is_sorted()));
    assert_eq!(stage.counted("delivered") as usize + depth.dead, 500);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_scheduled_and_holds_nothing_back() {
    let receiver = Receiver::new(|_, arrived| {
        let fails = arrived.id.ends_with('0') && arrived.attempt < 3;
        Reply::Status(if fails { 500 } else { 200 })
    });
    let stage = Stage::new(subscription(), receiver.clone());
    stage.begin("ada");
    stage.begin("ada");
    stage.settled(400).await;
    let arrived = receiver.arrived.lock().clone();
    let order: Vec<_> = arrived.iter().map(|one| (one.id.ends_with('0'), one.attempt)).collect();
    assert_eq!(order, [(true, 1), (false, 1), (true, 2), (true, 3)]);
    let waits: Vec<_> = arrived.iter().map(|one| one.secs).collect();
    assert!((60..=67).contains(&waits[2]) && (300..=335).contains(&waits[3]), "{waits:?}");
    assert_eq!((stage.counted("retry"), stage.counted("delivered")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_takes_is_a_dead_letter_that_can_be_replayed() {
    let receiver = Receiver::new(|_, arrived| match arrived.secs {
        0..1000 => Reply::Status(404),
        _ => Reply::Status(202),
    });
    let stage = Stage::new(subscription(), receiver.clone());
    let id = stage.begin("ada");
    assert_eq!(stage.settled(900).await.dead, 1);
    let dead = stage.list(DeliveryState::Dead).await.remove(0);
    let progress = &dead.progress;
    assert_eq!((&*dead.id, progress.attempts, progress.last_status), (&*id, 3, Some(404)));
    assert_eq!((stage.counted("retry"), stage.counted("dead")), (2, 1));
    tokio::time::sleep(Duration::from_secs(1000)).await;
    let replayed = stage.store.outbox().replay(&stage.hook, &id, super::stage::clock()).await;
    assert_eq!(replayed, Ok(Replayed::Queued));
    assert_eq!(stage.settled(10).await.dead, 0);
    assert_eq!(receiver.arrived.lock().last().unwrap().attempt, 1);
    assert_eq!(stage.counted("delivered"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_in_trouble_is_left_alone_and_that_uses_up_no_attempts() {
    let receiver = Receiver::new(|_, arrived| match arrived.secs {
        0..100 => Reply::Fail(Failure::Unreachable("cannot connect".to_owned())),
        _ => Reply::Status(200),
    });
    let mut webhook = subscription();
    webhook.retry = [Duration::ZERO].into_iter().chain([Duration::from_secs(1); 12]).collect();
    let stage = Stage::new(webhook, receiver.clone());
    for number in 0..100 {
        stage.begin(&format!("v{number}"));
    }
    let depth = stage.settled(300).await;
    assert_eq!(depth.dead, 0);
    let failed = receiver.arrived.lock().iter().filter(|arrived| arrived.secs < 100).count();
    // Ten in a row, those that were under way beside them, then one after each pause.
    assert!((11..=30).contains(&failed), "{failed}");
    assert_eq!(stage.counted("delivered"), 100);
    assert_eq!(stage.state().1, None);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_a_pause_is_given_one_by_all() {
    let receiver = Receiver::new(|_, arrived| match arrived.secs {
        0..90 => Reply::RetryAfter(503, 90),
        _ => Reply::Status(200),
    });
    let stage = Stage::new(subscription(), receiver.clone());
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.begin("bob");
    stage.settled(200).await;
    let times: Vec<_> =
        receiver.arrived.lock().iter().map(|one| (one.visitor.clone(), one.secs)).collect();
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(times[1..].iter().all(|(_, secs)| (90..=92).contains(secs)), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn the_schedules_first_entry_is_the_wait_before_the_first_attempt() {
    let receiver = Receiver::well();
    let retry = vec![Duration::from_secs(30)];
    let stage = Stage::new(Webhook { retry, ..subscription() }, receiver.clone());
    stage.begin("ada");
    stage.settled(60).await;
    let secs = receiver.arrived.lock()[0].secs;
    assert!((30..=31).contains(&secs), "{secs}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_knows_only_the_old_secret_is_signed_for_with_that_one() {
    let knows = Secret::new(b"12345678901234567890123456789012".to_vec());
    let mut webhook = subscription();
    webhook.secrets = vec![Secret::new(vec![b'n'; 32]), knows.clone()];
    let receiver = Receiver::new(move |request, _| {
        use super::super::wire::{Letter, livesupporti};
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        let expected = livesupporti::sign(Letter::plain(body), std::slice::from_ref(&knows), 0);
        let expected = expected.unwrap().to(request.uri());
        let same = expected.headers()["ms-signature"] == request.headers()["ms-signature"];
        Reply::Status(if same { 200 } else { 400 })
    });
    let stage = Stage::new(webhook, receiver.clone());
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.begin("ada");
    stage.settled(100).await;
    let tries: Vec<_> =
        receiver.arrived.lock().iter().map(|one| (one.id.ends_with('1'), one.attempt)).collect();
    // The second event is signed with the old secret from the start.
    assert_eq!(tries, [(false, 1), (true, 1), (false, 2)]);
}
