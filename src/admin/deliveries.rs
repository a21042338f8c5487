//! `/v1/sites/{site}/webhooks/{name}/deliveries`: what became of each event, and another try
//! for those that nobody took.

use http::Method;
use serde::Serialize;

use super::act::{Act, Done, Told, away, bad};
use super::reply::{json, not_allowed, problem};
use super::webhooks::{hook, unknown};
use crate::clock::UnixTime;
use crate::refusal::Reply;
use crate::store::outbox::{DeliveryState, Kept, Replayed};
use crate::webhook::PUSH;

/// How many are shown where nothing is said, and at most.
const SHOWN: (usize, usize) = (100, 1000);

#[derive(Debug, Serialize)]
struct Deliveries {
    deliveries: Vec<DeliveryView>,
}

/// Times are in Unix seconds.
#[derive(Debug, Serialize)]
struct DeliveryView {
    id: String,
    event: &'static str,
    state: DeliveryState,
    attempts: u32,
    last_status: Option<u16>,
    problem: Option<String>,
    /// When this was noted.
    at: u64,
    /// When it is tried next, if it is.
    due: Option<u64>,
}

impl From<Kept> for DeliveryView {
    fn from(Kept { id, kind, progress, .. }: Kept) -> Self {
        let queued = progress.state == DeliveryState::Queued;
        Self {
            id: id.to_string(),
            event: kind.name(),
            state: progress.state,
            attempts: progress.attempts,
            last_status: progress.last_status,
            problem: progress.problem,
            at: progress.at.as_secs(),
            due: queued.then_some(progress.due.as_secs()),
        }
    }
}

/// Shows them, the latest events first: `?state=queued|delivered|dead&limit=N`.
pub(super) async fn list(act: &Act<'_>, name: &str) -> Done {
    if !matches!(*act.asked.method, Method::GET | Method::HEAD) {
        return Err(not_allowed("GET, HEAD"));
    }
    exists(act, name)?;
    let (state, most) = wanted(act.asked.query)?;
    let kept = act.store.outbox().list(&hook(act.site, name), state, most).await;
    let deliveries = kept.map_err(|outage| away(&outage))?.into_iter().map(Into::into).collect();
    Ok(json(200, &Deliveries { deliveries }))
}

/// Queues a dead letter again.
pub(super) async fn replay(act: &Act<'_>, name: &str, id: &str) -> Done {
    if *act.asked.method != Method::POST {
        return Err(not_allowed("POST"));
    }
    exists(act, name)?;
    let told = Told { action: "replay", webhook: Some(name), why: Some(id), ..Told::default() };
    match act.store.outbox().replay(&hook(act.site, name), id, UnixTime::now()).await {
        Ok(Replayed::Queued) => {
            act.tell(&told);
            Ok(json(202, &serde_json::json!({"id": id, "state": DeliveryState::Queued})))
        }
        Ok(Replayed::NotDead) => {
            let detail = "this delivery is no dead letter: it is queued, or has been delivered";
            Err(problem(409, "conflict", "Conflict", detail))
        }
        Ok(Replayed::Unknown) => {
            let detail = "no delivery of this id is kept for the subscription";
            Err(problem(404, "not_found", "Not found", detail))
        }
        Err(outage) => {
            act.tell(&Told { problem: Some(&outage.0), ..told });
            Err(away(&outage))
        }
    }
}

fn exists(act: &Act<'_>, name: &str) -> Result<(), Reply> {
    let pushes = act.site.website.push().is_some();
    let subscribed = act.webhooks.subscriptions(act.site);
    let is_there = name == PUSH && pushes || subscribed.iter().any(|known| *known.name == *name);
    is_there.then_some(()).ok_or_else(unknown)
}

fn wanted(query: &str) -> Result<(Option<DeliveryState>, usize), Reply> {
    let (mut state, mut most) = (None, SHOWN.0);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match (name, value) {
            ("state", "queued") => state = Some(DeliveryState::Queued),
            ("state", "delivered") => state = Some(DeliveryState::Delivered),
            ("state", "dead") => state = Some(DeliveryState::Dead),
            ("state", _) => return Err(bad("`state` is none of queued, delivered, dead")),
            ("limit", number) => {
                let number = number.parse().ok().filter(|number| (1..=SHOWN.1).contains(number));
                most = number.ok_or_else(|| bad("`limit` is no number from 1 to 1000"))?;
            }
            _ => {}
        }
    }
    Ok((state, most))
}
