//! LiveSupporti's format, which is that of ASP.NET WebHooks
//! (aspnet/AspNetWebHooks@d2ae8af8, `WebHookSender`): `ms-signature` over the exact bytes.
//!
//! A receiver of that framework accepts exactly one `ms-signature`, so only one secret signs,
//! whichever the receiver took last: see [`Turns`](crate::webhook::turns::Turns).

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Letter, hmac, newtonsoft};
use crate::plan::Webhook;
use crate::secret::Secret;
use crate::store::outbox::Delivery;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    id: &'a str,
    attempt: u32,
    properties: serde_json::Map<String, serde_json::Value>,
    notifications: [Notification<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Notification<'a> {
    action: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data<'a> {
    account_id: &'a str,
    agent_id: &'a str,
    visitor: Visitor<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Visitor<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<Box<RawValue>>,
}

/// The body of an attempt.
pub fn body(webhook: &Webhook, delivery: &Delivery, attempt: u32) -> String {
    let event = &delivery.event;
    let properties = webhook.properties.iter();
    let properties = properties.map(|(name, value)| (name.clone(), value.as_str().into()));
    let included = webhook.include.visitor;
    let visitor = Visitor {
        id: &delivery.visitor,
        email: included.then(|| event.email.as_deref().unwrap_or_default()),
        verified: included.then_some(event.verified),
        claimed: super::standard::claimed(webhook, event),
    };
    let (account_id, agent_id) = (&event.account_id, &event.agent_id);
    let body = Body {
        id: &delivery.id,
        attempt,
        properties: properties.collect(),
        notifications: [Notification {
            action: event.kind.name(),
            data: Data { account_id, agent_id, visitor },
        }],
    };
    newtonsoft::indented(&serde_json::to_string(&body).unwrap_or_default())
}

/// Signs it with one of the secrets.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn sign(letter: Letter, secrets: &[Secret], turn: usize) -> Result<Letter, String> {
    let secret = secrets.get(turn % secrets.len().max(1)).ok_or("there is no secret")?;
    let signature = hmac(secret, &[&letter.body])?;
    let hex: String = signature.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    letter.with("ms-signature", &format!("sha256={hex}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::{delivery, webhook};
    use super::*;
    use crate::plan::{Format, Include};

    /// The entry of a name in `tests/vectors/primitives`.
    fn vector(file: &str, name: &str) -> BTreeMap<String, String> {
        let cases: Vec<BTreeMap<String, String>> = serde_yaml::from_str(file).unwrap();
        cases.into_iter().find(|case| case["name"] == name).unwrap()
    }

    fn signature(letter: Letter) -> String {
        letter.headers["ms-signature"].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_published_bodies_have_the_published_signatures() {
        let ours = include_str!("../../../tests/vectors/primitives/webhooks.yaml");
        let published = include_str!("../../../tests/vectors/primitives/signatures.yaml");
        for (file, name) in [
            (ours, "livesupporti-chat-started"),
            (published, "aspnet-webhooks-sender"),
            (published, "aspnet-webhooks-receiver-valid"),
        ] {
            let case = vector(file, name);
            let secrets = [Secret::new(case["secret"].clone().into_bytes())];
            let letter = sign(Letter::plain(case["message"].clone()), &secrets, 0).unwrap();
            assert_eq!(signature(letter), format!("sha256={}", case["signature"].to_uppercase()));
        }
    }

    #[test]
    fn a_chat_that_began_is_written_as_the_vendor_writes_it() {
        let case = vector(
            include_str!("../../../tests/vectors/primitives/webhooks.yaml"),
            "livesupporti-chat-started",
        );
        let webhook = webhook(Format::Livesupporti, "http://crm.example/");
        let delivery = delivery("4f0c1f6b0b1d4f6d9a2e3c5b7d8e9f01", "169.26.97.99-1231178");
        let body = body(&webhook, &delivery, 1);
        let ours = ",\r\n          \"Verified\": true";
        assert!(body.contains(ours), "{body}");
        assert_eq!(body.replace(ours, ""), case["message"]);
        let letter = sign(Letter::plain(body.replace(ours, "")), &webhook.secrets, 0).unwrap();
        assert_eq!(signature(letter), format!("sha256={}", case["signature"].to_uppercase()));
    }

    #[test]
    fn properties_and_text_beyond_ascii_stand_as_they_are() {
        let mut webhook = webhook(Format::Livesupporti, "http://crm.example/");
        webhook.properties = vec![("p1".to_owned(), "Zoë".to_owned())];
        let body = body(&webhook, &delivery("1", "ünï"), 12);
        let head = "{\r\n  \"Id\": \"1\",\r\n  \"Attempt\": 12,\r\n  \"Properties\": {\r\n    \"p1\": \
                    \"Zoë\"\r\n  },";
        assert!(body.starts_with(head) && body.contains("\"Id\": \"ünï\""), "{body}");
    }

    #[test]
    fn a_visitor_is_an_id_unless_more_is_to_be_included() {
        let mut webhook = webhook(Format::Livesupporti, "http://crm.example/");
        let mut delivery = delivery("1", "g_0");
        (delivery.event.verified, delivery.event.email) = (false, None);
        delivery.event.claimed = Some(r#"{"n":1.50,"a":{"b":[]},"c":"\u00e9"}"#.to_owned());
        let tail = |webhook: &Webhook, delivery: &Delivery| {
            let body = body(webhook, delivery, 1);
            body.split_once("\"Visitor\": ").unwrap().1.replace("\r\n", "").replace("  ", "")
        };
        let guest = r#"{"Id": "g_0","Email": "","Verified": false}}}]}"#;
        assert_eq!(tail(&webhook, &delivery), guest);
        webhook.include = Include::default();
        assert_eq!(tail(&webhook, &delivery), r#"{"Id": "g_0"}}}]}"#);
        webhook.include.claimed = true;
        let claimed = r#"{"Id": "g_0","Claimed": {"n": 1.50,"a": {"b": []},"c": "é"}}}}]}"#;
        assert_eq!(tail(&webhook, &delivery), claimed);
    }

    #[test]
    fn one_secret_signs_at_a_time() {
        let first = Secret::new(vec![1; 32]);
        let second = Secret::new(vec![2; 32]);
        let secrets = [first.clone(), second.clone()];
        let signed = |secrets: &[Secret], turn| {
            let letter = sign(Letter::plain("{}".to_owned()), secrets, turn).unwrap();
            assert_eq!(letter.headers.get_all("ms-signature").iter().count(), 1);
            signature(letter)
        };
        assert_eq!(signed(&secrets, 0), signed(&[first], 0));
        assert_eq!(signed(&secrets, 1), signed(&[second], 0));
        assert_eq!(signed(&secrets, 2), signed(&secrets, 0));
        assert!(sign(Letter::plain("{}".to_owned()), &[], 0).is_err());
    }
}
