//! The table: `assertions.yaml`, and how one of its cases becomes headers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::keys::Ring;
use crate::support::sign;

/// A row.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    #[serde(default)]
    pub passes: bool,
    #[serde(default = "nothing")]
    header: Value,
    #[serde(default = "nothing")]
    claims: Value,
    only: Option<Value>,
    #[serde(default)]
    key: Name,
    #[serde(default)]
    signature: Signature,
    #[serde(default = "nothing")]
    then: Value,
    #[serde(default = "once")]
    sent: Vec<String>,
}

/// A key of the ring.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Name {
    #[default]
    First,
    Second,
    Stranger,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Signature {
    #[default]
    Own,
    Altered,
    Half,
    Empty,
    Missing,
    Zeros,
    HmacPem,
    HmacDer,
    HmacJwk,
    HmacNothing,
}

/// All of them.
pub fn table() -> Vec<Case> {
    serde_yaml::from_str(include_str!("assertions.yaml")).expect("assertions.yaml is well formed")
}

/// What a visitor's assertion says, but for the times.
pub fn visitor() -> Value {
    json!({
        "iss": "countersign", "aud": super::SITE, "sub": "u-1001", "status": "verified",
        "dialect": "zendesk-chat", "via": "credential",
        "name": "Zoë \"Z\" Müller, Ñandú", "email": "zoe+chat@acme.example",
        "attributes": { "plan": { "name": "gold", "seats": [1, 2], "more": {} }, "vip": true },
        "claimed": { "user_id": "someone-else" },
        "details": { "Age": "25" },
    })
}

impl Case {
    /// The claims and the headers' values, now.
    pub fn make(&self, ring: &Ring, jku: &str) -> (Value, Vec<String>) {
        let (claims, assertion) = self.assertion(ring, jku);
        let segments: Vec<&str> = assertion.split('.').collect();
        let sent = self.sent.iter().map(|value| {
            let value = value.replace("@claims", segments[1]);
            let value = value.replace("@signature", segments.get(2).unwrap_or(&""));
            value.replace('@', &assertion)
        });
        (claims, sent.collect())
    }

    fn assertion(&self, ring: &Ring, jku: &str) -> (Value, String) {
        let signer = ring.key(self.key);
        let mut header = json!({ "alg": "ES256", "typ": "countersign+jwt", "kid": signer.kid });
        merge(&mut header, &filled(&self.header, ring, jku));
        let mut claims = self.only.clone().unwrap_or_else(visitor);
        if self.only.is_none() {
            merge(&mut claims, &json!({ "iat": 0, "exp": 60 }));
            merge(&mut claims, &self.claims);
        }
        for time in ["iat", "exp"] {
            if let Some(value) = claims.get_mut(time) {
                let offset = value.as_i64().expect("seconds from now");
                *value = json!(i64::try_from(sign::now()).expect("a time") + offset);
            }
        }
        let message = format!("{}.{}", segment(&header), segment(&claims));
        let signature = self.signature(ring, &message);
        merge(&mut claims, &self.then);
        (claims.clone(), format!("{}.{}{signature}", segment(&header), segment(&claims)))
    }

    /// The third segment with its dot.
    fn signature(&self, ring: &Ring, message: &str) -> String {
        let mut own = ring.key(self.key).sign(message);
        let known = ring.key(Name::First);
        let bytes = match self.signature {
            Signature::Own => own,
            Signature::Altered => {
                own[10] ^= 1;
                own
            }
            Signature::Half => own[..32].to_vec(),
            Signature::Empty => Vec::new(),
            Signature::Missing => return String::new(),
            Signature::Zeros => vec![0; 64],
            Signature::HmacPem => mac(known.pem().as_bytes(), message),
            Signature::HmacDer => mac(&known.der(), message),
            Signature::HmacJwk => mac(known.jwk.to_string().as_bytes(), message),
            Signature::HmacNothing => mac(b"", message),
        };
        format!(".{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

fn nothing() -> Value {
    json!({})
}

fn once() -> Vec<String> {
    vec!["@".to_owned()]
}

fn segment(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn mac(secret: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length of key will do");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn merge(into: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().expect("members") {
        let members = into.as_object_mut().expect("an object to change");
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

/// The same with what the words that begin with `@` stand for.
fn filled(members: &Value, ring: &Ring, jku: &str) -> Value {
    match members {
        Value::String(text) => match text.as_str() {
            "@kid" => json!(ring.key(Name::First).kid),
            "@jwk" => ring.key(Name::Stranger).jwk.clone(),
            "@jku" => json!(jku),
            other => json!(other),
        },
        Value::Array(values) => values.iter().map(|value| filled(value, ring, jku)).collect(),
        Value::Object(members) => Value::Object(
            members.iter().map(|(name, value)| (name.clone(), filled(value, ring, jku))).collect(),
        ),
        other => other.clone(),
    }
}
