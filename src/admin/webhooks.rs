//! `/v1/sites/{site}/webhooks`: who hears of chats, told, ended and tried out. No secret is
//! shown: of header fields only their names, of an address no query (and a password before
//! its host is none of the configuration).

use std::collections::BTreeMap;

use http::Method;
use http::header::{HeaderValue, LOCATION};
use serde::Serialize;

use super::act::{Act, Done, Told, away, bad};
use super::reply::{empty, json, not_allowed, problem};
use crate::clock::UnixTime;
use crate::plan::{Site, Webhook};
use crate::refusal::Reply;
use crate::store::outbox::{EventKind, Hook};
use crate::webhook::{Status, SubscribeError, Unsubscribed};

#[derive(Debug, Serialize)]
struct Subscriptions {
    webhooks: Vec<SubscriptionView>,
}

/// A subscription. Times are in Unix seconds.
#[derive(Debug, Serialize)]
struct SubscriptionView {
    name: String,
    /// Without its query.
    url: String,
    format: &'static str,
    events: [&'static str; 1],
    include: Vec<&'static str>,
    /// Names alone.
    headers: Vec<String>,
    properties: BTreeMap<String, String>,
    retry: Vec<String>,
    /// Who made it: `configuration` or `admin`.
    origin: &'static str,
    #[serde(flatten)]
    status: Status,
    /// Deliveries that wait; `null` where nobody can say, as of the next two.
    queued: Option<usize>,
    /// Dead letters.
    dead: Option<usize>,
    /// When the oldest event happened that waits; `null` also where none does.
    oldest: Option<u64>,
}

impl SubscriptionView {
    async fn of(act: &Act<'_>, webhook: &Webhook) -> Self {
        let depth = act.store.outbox().depth(&hook(act.site, &webhook.name)).await.ok();
        let include = [(webhook.include.visitor, "visitor"), (webhook.include.claimed, "claimed")];
        Self {
            name: webhook.name.to_string(),
            url: webhook.shown(),
            format: webhook.format.name(),
            events: [EventKind::ChatStarted.name()],
            include: include.into_iter().filter_map(|(on, name)| on.then_some(name)).collect(),
            headers: webhook.headers.iter().map(|(name, _)| name.to_string()).collect(),
            properties: webhook.properties.iter().cloned().collect(),
            retry: webhook.retry.iter().map(|wait| format!("{}s", wait.as_secs_f64())).collect(),
            origin: if is_own(act.site, &webhook.name) { "configuration" } else { "admin" },
            status: act.webhooks.status(act.site, webhook),
            queued: depth.map(|depth| depth.queued),
            dead: depth.map(|depth| depth.dead),
            oldest: depth.and_then(|depth| depth.oldest).map(UnixTime::as_secs),
        }
    }
}

/// A subscription of a site, in the outbox.
pub(super) fn hook(site: &Site, name: &str) -> Hook {
    Hook { site: site.name.clone(), name: name.into() }
}

/// There is no subscription of the name that was asked for.
pub(super) fn unknown() -> Reply {
    problem(404, "not_found", "Not found", "the site has no subscription of this name")
}

fn is_own(site: &Site, name: &str) -> bool {
    site.website.webhooks.iter().any(|own| *own.name == *name)
}

/// Every one: shown; or one more.
pub(super) async fn all(act: &Act<'_>) -> Done {
    match *act.asked.method {
        Method::GET | Method::HEAD => {
            let mut webhooks = Vec::new();
            for webhook in act.webhooks.subscriptions(act.site) {
                webhooks.push(SubscriptionView::of(act, &webhook).await);
            }
            Ok(json(200, &Subscriptions { webhooks }))
        }
        Method::POST => make(act).await,
        _ => Err(not_allowed("GET, HEAD, POST")),
    }
}

async fn make(act: &Act<'_>) -> Done {
    let entry = std::str::from_utf8(act.asked.body).map_err(|_| bad("the body is not UTF-8"))?;
    let told = Told { action: "subscribe", ..Told::default() };
    match act.webhooks.subscribe(act.site, entry).await {
        Ok(webhook) => {
            act.tell(&Told { webhook: Some(&webhook.name), ..told });
            let mut reply = json(201, &SubscriptionView::of(act, &webhook).await);
            let place = format!("/v1/sites/{}/webhooks/{}", act.site.name, webhook.name);
            reply.headers.extend(HeaderValue::try_from(place).ok().map(|place| (LOCATION, place)));
            Ok(reply)
        }
        Err(error @ SubscribeError::Exists) => {
            Err(problem(409, "conflict", "Conflict", &error.to_string()))
        }
        Err(SubscribeError::Invalid(sentences)) => Err(bad(&sentences)),
        Err(SubscribeError::Store(outage)) => {
            act.tell(&Told { problem: Some(&outage.0), ..told });
            Err(away(&outage))
        }
    }
}

/// One: shown, or ended.
pub(super) async fn one(act: &Act<'_>, name: &str) -> Done {
    match *act.asked.method {
        Method::GET | Method::HEAD => {
            let subscribed = act.webhooks.subscriptions(act.site);
            let webhook = subscribed.iter().find(|webhook| *webhook.name == *name);
            let webhook = webhook.ok_or_else(unknown)?;
            Ok(json(200, &SubscriptionView::of(act, webhook).await))
        }
        Method::DELETE => end(act, name).await,
        _ => Err(not_allowed("GET, HEAD, DELETE")),
    }
}

async fn end(act: &Act<'_>, name: &str) -> Done {
    let told = Told { action: "unsubscribe", webhook: Some(name), ..Told::default() };
    match act.webhooks.unsubscribe(act.site, name).await {
        Ok(Unsubscribed::Done) => {
            act.tell(&told);
            Ok(empty(204))
        }
        Ok(Unsubscribed::OfConfiguration) => {
            let detail = "this subscription is the configuration's: remove it from the file";
            Err(problem(409, "conflict", "Conflict", detail))
        }
        Ok(Unsubscribed::Unknown) => Err(unknown()),
        Err(outage) => {
            act.tell(&Told { problem: Some(&outage.0), ..told });
            Err(away(&outage))
        }
    }
}

/// Tries a receiver, and says what was found.
pub(super) async fn test(act: &Act<'_>, name: &str) -> Done {
    if *act.asked.method != Method::POST {
        return Err(not_allowed("POST"));
    }
    let subscribed = act.webhooks.subscriptions(act.site);
    let webhook = subscribed.iter().find(|webhook| *webhook.name == *name).ok_or_else(unknown)?;
    let report = act.webhooks.test(act.site, webhook).await;
    act.tell(&Told { action: "test", webhook: Some(name), ..Told::default() });
    Ok(json(200, &report))
}
