//! Receivers, visitors and operators that would harm others.

use std::time::Duration;

use super::super::State;
use super::stage::{Receiver, Reply, Stage, clock, plan_with, subscription};
use crate::store::{Change, Confirmation};

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
