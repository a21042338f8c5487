//! A subscription's receiver, tried out on an operator's behalf: the challenge, what it says
//! of other origins, TLS, and an event that is made up.

use std::time::Instant;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN,
};
use http::{HeaderMap, HeaderValue, Method, Request};
use serde::Serialize;

use super::retry::Outcome;
use super::{Webhooks, wire};
use crate::outbound::Answer;
use crate::plan::{Site, Webhook};
use crate::store::outbox::{Delivery, Event, EventKind, Hook};

/// What was found, as the admin API answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The challenge; where it is met, the subscription is confirmed with it.
    pub echo: Finding,
    /// What it answers to requests from the site's own pages (CORS). LiveSupporti asks for
    /// it; nothing here needs it.
    pub cors: Finding,
    /// Which version of TLS it speaks, if any.
    pub tls: Finding,
    /// An event about a visitor who is made up, signed as all are.
    pub delivery: Finding,
    /// How long the answer to the event took, in milliseconds.
    pub latency_ms: u64,
}

/// One thing that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// It is as it should be.
    pub ok: bool,
    /// The status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What was found, in a sentence without secrets.
    pub detail: String,
}

impl Finding {
    fn new(ok: bool, detail: impl Into<String>) -> Self {
        Self { ok, status: None, detail: detail.into() }
    }
}

impl Webhooks {
    /// Tries a subscription's receiver. Takes as long as the receiver does, a minute at most.
    pub async fn test(&self, site: &Site, webhook: &Webhook) -> Report {
        let hook = Hook { site: site.name.clone(), name: webhook.name.clone() };
        let origin = self.subscribed.origin(&site.name);
        let origin = origin.and_then(|origin| HeaderValue::from_str(&origin).ok());
        let challenged = self.challenge(webhook, origin.as_ref()).await;
        let echo = match &challenged {
            Ok((_, Ok(()))) => {
                self.heed_wish(&hook, webhook, true);
                self.wake(&hook.site, &hook.name);
                Finding::new(true, "the receiver has confirmed the subscription")
            }
            Ok((_, Err(problem))) => Finding::new(false, problem),
            Err(failure) => Finding::new(false, failure),
        };
        let answer = challenged.ok().map(|(answer, _)| answer);
        let status = answer.as_ref().map(|answer| answer.status.as_u16());
        let cors = match &origin {
            Some(origin) => self.try_cors(webhook, origin, answer.as_ref()).await,
            None => {
                Finding::new(false, "the site names no origin of its pages: see `allowed_origins`")
            }
        };
        let begun = Instant::now();
        let (delivery, told) = self.try_delivery(site, &hook, webhook).await;
        let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let tls = tls(webhook, told.as_ref().or(answer.as_ref()));
        Report { echo: Finding { status, ..echo }, cors, tls, delivery, latency_ms }
    }

    /// What the challenge's answer and a preflight say of this origin.
    async fn try_cors(
        &self,
        webhook: &Webhook,
        origin: &HeaderValue,
        answer: Option<&Answer>,
    ) -> Finding {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = webhook.url.clone();
        *request.headers_mut() = HeaderMap::from_iter([
            (ORIGIN, origin.clone()),
            (ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST")),
            (ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("content-type")),
        ]);
        let preflight = self.carry(webhook, request).await;
        let status = preflight.as_ref().ok().map(|answer| answer.status.as_u16());
        let preflight = preflight.as_ref().ok().filter(|answer| answer.status.is_success());
        let said = [("the challenge", answer), ("a preflight", preflight)].map(|(what, answer)| {
            let allowed = answer.and_then(|answer| answer.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN));
            let ok = allowed.is_some_and(|allowed| allowed == origin || allowed == "*");
            let allowed =
                allowed.map_or("none", |allowed| allowed.to_str().unwrap_or("unreadable"));
            (ok, format!("to {what}: {allowed}"))
        });
        let [(one, first), (other, second)] = said;
        let origin = origin.to_str().unwrap_or_default();
        let detail = format!("Access-Control-Allow-Origin for {origin}, {first}, {second}");
        Finding { ok: one && other, status, detail }
    }

    async fn try_delivery(
        &self,
        site: &Site,
        hook: &Hook,
        webhook: &Webhook,
    ) -> (Finding, Option<Answer>) {
        let endpoint = self.endpoints.lock().get(hook).cloned();
        let turn = endpoint.as_ref().map_or(0, |endpoint| endpoint.turns.now());
        let at = (self.clock)();
        let attempt = wire::Attempt { number: 1, at, secret: turn };
        let marked = marked(webhook);
        let request = match wire::write(&marked, &site.name, &sample(site, &marked, at), attempt) {
            Ok(letter) => letter.to(&webhook.url),
            Err(why) => return (Finding::new(false, why), None),
        };
        match self.carry(webhook, request).await {
            Err(failure) => (Finding::new(false, failure.to_string()), None),
            Ok(answer) => {
                let status = answer.status.as_u16();
                if let Some(endpoint) = &endpoint {
                    endpoint.turns.heed(turn, status);
                }
                let problem = Outcome::of(status, &answer.headers, at).problem();
                let ok = problem.is_none();
                let detail = problem.unwrap_or_else(|| "the receiver took an event".to_owned());
                (Finding { ok, status: Some(status), detail }, Some(answer))
            }
        }
    }
}

/// The subscription with a property that tells a sample from what really happened.
fn marked(webhook: &Webhook) -> Webhook {
    let mut marked = webhook.clone();
    if !marked.properties.iter().any(|(name, _)| name.eq_ignore_ascii_case("sample")) {
        marked.properties.push(("Sample".to_owned(), "true".to_owned()));
    }
    marked
}

fn sample(site: &Site, webhook: &Webhook, at: crate::clock::UnixTime) -> Delivery {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let tail: String = id.chars().skip(8).collect();
    Delivery {
        webhook: webhook.name.clone(),
        visitor: format!("g_sample{tail}").into(),
        event: Event {
            kind: EventKind::ChatStarted,
            at,
            request_id: id.as_str().into(),
            account_id: site.website.account_id.clone(),
            agent_id: site.website.agent_id.clone(),
            verified: false,
            email: None,
            name: None,
            claimed: None,
        },
        id: id.into(),
    }
}

fn tls(webhook: &Webhook, answer: Option<&Answer>) -> Finding {
    match answer.map(|answer| answer.tls) {
        Some(Some(version)) => Finding::new(true, version),
        Some(None) => Finding::new(false, "none: whoever is on the way can read what is sent"),
        None if webhook.url.scheme_str() == Some("https") => {
            Finding::new(false, "there was no answer to see it by")
        }
        None => Finding::new(false, "none"),
    }
}
