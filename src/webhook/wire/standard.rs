//! Standard Webhooks 1.0 (standardwebhooks.com): `webhook-id`, `webhook-timestamp` and, for
//! each secret, a signature over `id.timestamp.body`. Receivers refuse what was signed more
//! than five minutes ago, so every attempt is signed anew.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Letter, hmac};
use crate::clock::UnixTime;
use crate::plan::Webhook;
use crate::secret::Secret;
use crate::store::outbox::{Delivery, Event};

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    site: &'a str,
    account_id: &'a str,
    agent_id: &'a str,
    request_id: &'a str,
    visitor: Visitor<'a>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    properties: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Visitor<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<Box<RawValue>>,
}

/// The body of every attempt.
pub fn body(webhook: &Webhook, site: &str, delivery: &Delivery) -> String {
    let event = &delivery.event;
    let included = webhook.include.visitor;
    let visitor = Visitor {
        id: &delivery.visitor,
        verified: included.then_some(event.verified),
        email: event.email.as_deref().filter(|_| included),
        name: event.name.as_deref().filter(|_| included),
        claimed: claimed(webhook, event),
    };
    let properties = webhook.properties.iter();
    let properties = properties.map(|(name, value)| (name.clone(), value.as_str().into()));
    let data = Data {
        site,
        account_id: &event.account_id,
        agent_id: &event.agent_id,
        request_id: &event.request_id,
        visitor,
        properties: properties.collect(),
    };
    let body = Body { r#type: event.kind.name(), timestamp: rfc3339(event.at), data };
    serde_json::to_string(&body).unwrap_or_default()
}

/// What was claimed without proof, if the subscription includes it.
pub fn claimed(webhook: &Webhook, event: &Event) -> Option<Box<RawValue>> {
    let claimed = event.claimed.as_ref().filter(|_| webhook.include.claimed)?;
    RawValue::from_string(claimed.clone()).ok()
}

/// Signs it with every secret; with none it has an id and a time alone.
///
/// # Errors
/// A secret cannot be used, or the id cannot stand in a header.
pub fn sign(letter: Letter, secrets: &[Secret], id: &str, at: UnixTime) -> Result<Letter, String> {
    let timestamp = at.as_secs().to_string();
    let mut signatures = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &letter.body];
        signatures.push(format!("v1,{}", STANDARD.encode(hmac(secret, &parts)?)));
    }
    let letter = letter.with("webhook-id", id)?.with("webhook-timestamp", &timestamp)?;
    match signatures.is_empty() {
        true => Ok(letter),
        false => letter.with("webhook-signature", &signatures.join(" ")),
    }
}

fn rfc3339(time: UnixTime) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{delivery, webhook};
    use super::*;
    use crate::plan::{Format, Include};

    #[test]
    fn the_reference_message_has_the_reference_signature_once_for_each_secret() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secrets = [Secret::new(secret), Secret::new(vec![1; 24])];
        let letter = Letter::plain(r#"{"test": 2432232314}"#.to_owned());
        let at = UnixTime::from_millis(1_614_265_330_999);
        let letter = sign(letter, &secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", at).unwrap();
        assert_eq!(letter.headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(letter.headers["webhook-timestamp"], "1614265330");
        let signatures: Vec<_> =
            letter.headers["webhook-signature"].to_str().unwrap().split(' ').collect();
        assert_eq!(signatures[0], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(signatures.len() == 2 && signatures[1].starts_with("v1,"), "{signatures:?}");
    }

    #[test]
    fn a_body_is_compact_and_says_no_more_than_is_included() {
        let mut webhook = webhook(Format::Standard, "http://crm.example/");
        let mut delivery = delivery("1", "ada");
        delivery.event.name = Some("Ada".to_owned());
        delivery.event.claimed = Some(r#"{"plan":"pro"}"#.to_owned());
        let head = r#"{"type":"chat.started","timestamp":"2023-11-14T22:13:20.123Z","data":{"site":"acme","account_id":"b943010f-b565-4731-9f34-42c54319957f","agent_id":"150","request_id":"r-1","visitor":{"id":"ada""#;
        let rest = |webhook: &Webhook| {
            let body = body(webhook, "acme", &delivery);
            body.strip_prefix(head).unwrap().to_owned()
        };
        let included = r#","verified":true,"email":"jason@example.com","name":"Ada"}}}"#;
        assert_eq!(rest(&webhook), included);
        webhook.include = Include { visitor: false, claimed: true };
        assert_eq!(rest(&webhook), r#","claimed":{"plan":"pro"}}}}"#);
        webhook.include = Include::default();
        webhook.properties = vec![("team".to_owned(), "a".to_owned())];
        assert_eq!(rest(&webhook), r#"},"properties":{"team":"a"}}}"#);
    }
}
