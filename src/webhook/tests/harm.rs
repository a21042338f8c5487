//! Receivers, visitors and operators that would harm others.

use std::time::Duration;

use super::super::State;
use super::stage::{Receiver, Reply, Stage, clock, plan_with, subscription};
use crate::plan::Webhook;
use crate::store::outbox::{DeliveryState, Progress};
use crate::store::{Change, Confirmation};

fn secs_of(receiver: &Receiver, visitor: &str) -> Vec<u64> {
    let arrived = receiver.arrived.lock();
    arrived.iter().filter(|one| one.visitor == visitor).map(|one| one.secs).collect()
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_confirms_and_answers_410_is_not_asked_in_a_circle() {
    let receiver = Receiver::new(|_, _| Reply::Status(410));
    let stage = Stage::new(subscription(), receiver.clone());
    stage.begin("ada");
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (site, webhook) = (&stage.plan.sites[0], &stage.plan.sites[0].website.webhooks[0]);
        stage.webhooks.heed_wish(&stage.hook, webhook, true);
        assert_eq!(&*site.name, "acme");
    }
    assert_eq!(receiver.arrived.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_counts_although_the_confirmation_came_from_a_clock_that_runs_ahead() {
    let receiver = Receiver::new(|_, _| Reply::Status(410));
    let stage = Stage::new(subscription(), receiver.clone());
    let confirmation = Confirmation {
        print: subscription().print,
        wanted: true,
        at: clock().after(Duration::from_secs(3600)),
    };
    let (site, webhook) = ("acme".into(), "crm".into());
    stage.store.note(Change::Confirmation { site, webhook, confirmation });
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!((stage.state().0, receiver.arrived.lock().len()), (State::Stopped, 1));
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_an_attempt_says_nothing_of_a_subscription_that_has_changed() {
    let receiver = Receiver::new(|_, _| Reply::Slow(Duration::from_secs(5), 410));
    let stage = Stage::new(subscription(), receiver.clone());
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut elsewhere = subscription();
    elsewhere.print += 1;
    stage.webhooks.adopt(&plan_with(elsewhere.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let status = stage.webhooks.status(&stage.plan.sites[0], &elsewhere);
    assert_eq!((status.state, receiver.arrived.lock().len()), (State::Active, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_more_is_told_of_who_is_forgotten_although_it_waits_its_turn() {
    let receiver = Receiver::new(|_, arrived| match arrived.visitor.as_str() {
        "ada" => Reply::Slow(Duration::from_secs(5), 200),
        _ => Reply::Status(200),
    });
    let stage = Stage::new(subscription(), receiver.clone());
    for _ in 0..3 {
        stage.begin("ada");
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (site, id, at) = ("acme".into(), "ada".into(), clock());
    stage.store.note(Change::Forget { site, id, at });
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.begin("ada");
    stage.begin("bob");
    stage.settled(30).await;
    // What was under way, and the chat that began after that.
    assert_eq!((secs_of(&receiver, "ada").len(), secs_of(&receiver, "bob").len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_for_their_first_attempt_hold_up_no_retry() {
    let receiver = Receiver::new(|_, arrived| {
        let fails = arrived.visitor == "ada" && arrived.attempt == 1;
        Reply::Status(if fails { 404 } else { 200 })
    });
    let retry = [600, 60].map(Duration::from_secs).to_vec();
    let stage = Stage::new(Webhook { retry, ..subscription() }, receiver.clone());
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(590)).await;
    for number in 0..300 {
        stage.begin(&format!("v{number}"));
    }
    tokio::time::sleep(Duration::from_secs(90)).await;
    let of_ada = secs_of(&receiver, "ada");
    assert!(of_ada.len() == 2 && (660..=668).contains(&of_ada[1]), "{of_ada:?}");
    stage.settled(540).await;
    let arrived = receiver.arrived.lock().clone();
    let others: Vec<_> = arrived.iter().filter(|one| one.visitor != "ada").collect();
    assert!(others.len() == 300 && others.iter().all(|one| (1190..=1200).contains(&one.secs)));
    assert!(others.is_sorted_by_key(|one| &one.id), "in the order of their events");
}

#[tokio::test(start_paused = true)]
async fn one_visitors_many_chats_keep_nobody_else_waiting() {
    let receiver = Receiver::new(|_, _| Reply::Slow(Duration::from_secs(10), 200));
    let stage = Stage::new(subscription(), receiver.clone());
    for _ in 0..400 {
        stage.begin("ada");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.begin("bob");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let of_bob = secs_of(&receiver, "bob");
    assert!(of_bob.len() == 1 && of_bob[0] <= 5, "{of_bob:?}");
    assert_eq!(secs_of(&receiver, "ada").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn half_of_what_is_taken_at_once_has_been_tried_before_if_there_is_so_much() {
    let receiver = Receiver::well();
    *receiver.confirms.lock() = false;
    let stage = Stage::new(subscription(), receiver);
    let ids: Vec<_> = (0..10).map(|number| stage.begin(&format!("v{number}"))).collect();
    let outbox = stage.store.outbox();
    for id in &ids[..4] {
        let progress = Progress { attempts: 1, ..Progress::fresh(clock()) };
        outbox.settle(&stage.hook, &id.as_str().into(), progress).await.unwrap();
    }
    let taken = outbox.take(&stage.hook, clock(), 4).await.unwrap();
    let attempts: Vec<_> = taken.iter().map(|(_, progress)| progress.attempts).collect();
    assert_eq!(attempts, [0, 0, 1, 1]);
    let taken = outbox.take(&stage.hook, clock(), 20).await.unwrap();
    assert_eq!((taken.len(), stage.list(DeliveryState::Queued).await.len()), (6, 10));
}

#[tokio::test(start_paused = true)]
async fn one_answer_silences_a_subscription_for_an_hour_at_most_and_says_so() {
    let receiver = Receiver::new(|_, arrived| match arrived.secs {
        0..50 => Reply::RetryAfter(503, 86_400),
        _ => Reply::Status(200),
    });
    let stage = Stage::new(subscription(), receiver.clone());
    stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(5)).await;
    stage.begin("bob");
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(secs_of(&receiver, "bob").is_empty());
    let problem = stage.state().1.unwrap();
    assert!(problem.contains("503") && problem.contains("3600 s"), "{problem}");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(secs_of(&receiver, "bob")[0] <= 3605);
    assert_eq!((stage.state().1, secs_of(&receiver, "ada").len()), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_test_that_goes_well_ends_the_silence_and_so_does_another_url() {
    for tests in [true, false] {
        let receiver = Receiver::new(|_, arrived| match arrived.visitor.as_str() {
            "ada" => Reply::RetryAfter(429, 3000),
            _ => Reply::Status(200),
        });
        let stage = Stage::new(subscription(), receiver.clone());
        stage.begin("ada");
        tokio::time::sleep(Duration::from_secs(5)).await;
        stage.begin("bob");
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(secs_of(&receiver, "bob").is_empty());
        let (site, own) = (&stage.plan.sites[0], &stage.plan.sites[0].website.webhooks[0]);
        if tests {
            let report = stage.webhooks.test(site, own).await;
            assert!(report.delivery.ok, "{report:?}");
        } else {
            let mut elsewhere = subscription();
            elsewhere.print += 1;
            stage.webhooks.adopt(&plan_with(elsewhere));
            // What waits is the other one's.
            stage.begin("bob");
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!((secs_of(&receiver, "bob").len(), stage.state().1), (1, None));
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_meet_the_challenge_is_sent_no_sample() {
    let receiver = Receiver::well();
    *receiver.confirms.lock() = false;
    let stage = Stage::new(subscription(), receiver.clone());
    let site = &stage.plan.sites[0];
    let report = stage.webhooks.test(site, &site.website.webhooks[0]).await;
    assert!(!report.delivery.ok && report.delivery.detail.starts_with("not sent"), "{report:?}");
    let posted = receiver.other.lock().iter().any(|request| request.method() == "POST");
    assert!(!posted);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_one_url_is_not_told_another_unless_it_is_replayed() {
    let receiver = Receiver::new(|_, arrived| match arrived.secs {
        0..30 => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let stage = Stage::new(subscription(), receiver.clone());
    let id = stage.begin("ada");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut elsewhere = subscription();
    elsewhere.print += 1;
    stage.webhooks.adopt(&plan_with(elsewhere));
    assert_eq!(stage.settled(60).await.dead, 1);
    assert_eq!(receiver.arrived.lock().len(), 1);
    let dead = stage.list(DeliveryState::Dead).await.remove(0).progress;
    assert!(dead.problem.unwrap().contains("another URL") && dead.attempts == 1);
    assert_eq!(stage.counted("dead"), 1);
    stage.store.outbox().replay(&stage.hook, &id, clock()).await.unwrap();
    assert_eq!(stage.settled(10).await.dead, 0);
    assert_eq!(receiver.arrived.lock().len(), 2);
}
