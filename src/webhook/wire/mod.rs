//! An event as its subscription's format has it: the bytes of a body, and the header fields
//! that sign it.
//!
//! The same event is written anew for each attempt: `Attempt`, the time of signing and what
//! memory knows of a visitor by then are part of it. Only the delivery's id stays.

pub mod livesupporti;
mod newtonsoft;
pub mod standard;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use sha2::Sha256;

use crate::clock::UnixTime;
use crate::plan::{Format, Webhook};
use crate::secret::Secret;
use crate::store::outbox::Delivery;

/// What is sent to a subscription's receiver.
pub struct Letter {
    headers: HeaderMap,
    body: Bytes,
}

/// Which attempt it is for.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// When it is signed.
    pub at: UnixTime,
    /// Which of the subscription's secrets signs, where a format has room for one signature
    /// alone.
    pub secret: usize,
}

/// Writes an event of a site's for a subscription.
///
/// # Errors
/// It cannot be written: one of its parts cannot stand in a header. A sentence.
pub fn write(
    webhook: &Webhook,
    site: &str,
    delivery: &Delivery,
    attempt: Attempt,
) -> Result<Letter, String> {
    match webhook.format {
        Format::Livesupporti => {
            let body = livesupporti::body(webhook, delivery, attempt.number);
            livesupporti::sign(Letter::new(webhook, body), &webhook.secrets, attempt.secret)
        }
        Format::Standard => {
            let body = standard::body(webhook, site, delivery);
            standard::sign(Letter::new(webhook, body), &webhook.secrets, &delivery.id, attempt.at)
        }
    }
}

impl Letter {
    /// With a subscription's own header fields; those that the format needs count for more.
    pub fn new(webhook: &Webhook, body: String) -> Self {
        let mut letter = Self::plain(body);
        for (name, value) in &webhook.headers {
            letter.headers.entry(name).or_insert_with(|| value.clone());
        }
        letter
    }

    /// With JSON's content type alone.
    pub fn plain(body: String) -> Self {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json)]);
        Self { headers, body: body.into() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Result<Self, String> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("`{name}` cannot be written as a header"))?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// Ready to be posted.
    pub fn to(self, url: &http::Uri) -> Request<Bytes> {
        let mut request = Request::new(self.body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = self.headers;
        request
    }
}

fn hmac(secret: &Secret, parts: &[&[u8]]) -> Result<impl AsRef<[u8]> + use<>, String> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose());
    let mut mac = mac.map_err(|_| "the secret cannot be used".to_owned())?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes())
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::{Include, Reach};
    use crate::store::outbox::{Event, EventKind};

    pub fn webhook(format: Format, url: &str) -> Webhook {
        Webhook {
            name: "crm".into(),
            url: url.parse().unwrap(),
            format,
            secrets: vec![Secret::new(b"12345678901234567890123456789012".to_vec())],
            include: Include { visitor: true, claimed: false },
            headers: Vec::new(),
            properties: Vec::new(),
            retry: vec![Duration::ZERO, Duration::from_secs(60)],
            reach: Reach::Anywhere,
            print: 7,
        }
    }

    pub fn delivery(id: &str, visitor: &str) -> Delivery {
        let event = Event {
            kind: EventKind::ChatStarted,
            at: UnixTime::from_millis(1_700_000_000_123),
            request_id: "r-1".into(),
            account_id: "b943010f-b565-4731-9f34-42c54319957f".into(),
            agent_id: "150".into(),
            verified: true,
            email: Some("jason@example.com".to_owned()),
            name: None,
            claimed: None,
        };
        Delivery { id: id.into(), webhook: "crm".into(), visitor: visitor.into(), event }
    }

    #[test]
    fn a_subscriptions_own_header_is_sent_but_replaces_none_that_the_format_needs() {
        let mut webhook = webhook(Format::Standard, "http://crm.example/hook?key=1");
        for (name, value) in [("x-team", "a"), ("content-type", "text/html"), ("webhook-id", "z")] {
            let name = HeaderName::from_static(name);
            webhook.headers.push((name, HeaderValue::from_static(value)));
        }
        let attempt = Attempt { number: 1, at: UnixTime::from_secs(1), secret: 0 };
        let letter = write(&webhook, "acme", &delivery("4f", "ada"), attempt).unwrap();
        let request = letter.to(&webhook.url);
        assert_eq!(request.headers()["x-team"], "a");
        assert_eq!(request.headers()["content-type"], "application/json; charset=utf-8");
        assert_eq!(request.headers()["webhook-id"], "4f");
        assert_eq!(request.uri().query(), Some("key=1"));
    }
}
