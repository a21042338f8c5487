//! What the website's server says of a visitor, and passing it on to the backend.
//!
//! The backend is told with an event like all others, signed as in Standard Webhooks where
//! there is a secret. What it is told is looked up at each attempt: the latest counts.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Webhooks;
use super::wire::{self, Letter};
use crate::clock::UnixTime;
use crate::plan::{Format, Include, Reach, Site, Webhook, Website};
use crate::store::outbox::{Delivery, Event, EventKind, Hook};
use crate::store::{Change, Memory, Posted};

/// What the backend is called among subscriptions: no other has a dot in its name.
pub const PUSH: &str = "details.push";

/// Whether it is the backend that is told.
pub fn is_push(hook: &Hook) -> bool {
    &*hook.name == PUSH
}

/// The backend as a subscription, where it is to be told.
pub fn receiver(website: &Website) -> Option<Arc<Webhook>> {
    let push = website.push()?;
    Some(Arc::new(Webhook {
        name: PUSH.into(),
        url: push.url.clone(),
        format: Format::Standard,
        secrets: push.secret.iter().cloned().collect(),
        include: Include::default(),
        headers: Vec::new(),
        properties: Vec::new(),
        retry: Format::Standard.retry(),
        reach: Reach::Anywhere,
        print: 0,
    }))
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    site: &'a str,
    id: &'a str,
    account_id: &'a str,
    agent_id: &'a str,
    details: &'a RawValue,
}

/// What the backend is told; none, if the visitor is not known any more.
pub fn letter(
    webhook: &Webhook,
    site: &str,
    delivery: &Delivery,
    memory: &Memory,
    now: UnixTime,
) -> Option<Result<Letter, String>> {
    let known = memory.site(site)?;
    let visit = known.visits().visit(&delivery.visitor, now)?;
    let details = known.visits().details(&delivery.visitor, now)?;
    let details = RawValue::from_string(details.to_string()).ok()?;
    let body = Body {
        r#type: EventKind::DetailsUpdated.name(),
        site,
        id: &delivery.visitor,
        account_id: &visit.account_id,
        agent_id: &visit.agent_id,
        details: &details,
    };
    let body = serde_json::to_string(&body).ok()?;
    let letter = Letter::new(webhook, body);
    Some(wire::standard::sign(letter, &webhook.secrets, &delivery.id, now))
}

impl Webhooks {
    /// The change that somebody's details bring about, with the event for the backend where
    /// the site asks for one (`details.push`). The fields have been looked at already.
    pub fn details_posted(
        &self,
        site: &Site,
        visitor: &str,
        fields: Vec<(Arc<str>, Arc<str>)>,
        now: UnixTime,
    ) -> Change {
        let tells = site.website.push().is_some();
        learned(&site.name, visitor, fields, now, now.after(site.website.ttl), tells)
    }
}

/// What is said of somebody from now `until` then, and an event for the backend.
pub fn learned(
    site: &Arc<str>,
    visitor: &str,
    fields: Vec<(Arc<str>, Arc<str>)>,
    now: UnixTime,
    until: UnixTime,
    tells: bool,
) -> Change {
    let visitor: Arc<str> = visitor.into();
    let event = || Delivery {
        id: uuid::Uuid::now_v7().simple().to_string().into(),
        webhook: PUSH.into(),
        visitor: visitor.clone(),
        event: Event {
            kind: EventKind::DetailsUpdated,
            at: now,
            request_id: "".into(),
            account_id: "".into(),
            agent_id: "".into(),
            verified: false,
            email: None,
            name: None,
            claimed: None,
        },
        print: 0,
    };
    let deliveries = tells.then(|| Arc::new(event())).into_iter().collect();
    let posted = Posted { visitor: visitor.clone(), fields, at: now, until, deliveries };
    Change::Details { site: site.clone(), posted: Arc::new(posted) }
}
