//! The proof that travels: what the backend's headers say, signed, so that a backend need not
//! trust the network between us (`Countersign-Assertion`).
//!
//! A compact JWT (RFC 7519), ES256, with `typ: countersign+jwt`, so that nobody takes it for a
//! token of another kind, this gateway least of all. It is about a decision and not about one
//! request: the same decision gets the same assertion for half its life, and has no `jti`.
//!
//! # Cost
//! A look-up where the decision was signed a moment ago; else one signature.

mod cache;
mod key;

use std::fmt::Write as _;
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::HeaderValue;

use crate::clock::UnixTime;
use crate::dialect::json::write_string;

pub use cache::Cache;
pub use key::{SigningKey, key_set};

/// Where the public keys are, on every listener.
pub const KEY_SET_PATH: &str = "/.well-known/countersign/jwks.json";

/// What signs, and for how long it holds.
#[derive(Debug)]
pub struct Assertion {
    /// The first one signs.
    keys: Vec<SigningKey>,
    /// The protected header, encoded, with its dot.
    header: String,
    issuer: String,
    ttl: Duration,
    cache: Cache,
}

/// What is asserted. Texts that are JSON are inserted as they are: compact and in ASCII.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    /// The site: whom it is for.
    pub audience: &'a str,
    /// The verified id.
    pub subject: Option<&'a str>,
    /// `verified` or `guest`.
    pub status: &'a str,
    /// Why a guest is one.
    pub reason: Option<&'a str>,
    /// The dialect's name.
    pub dialect: &'a str,
    /// Signed name.
    pub name: Option<&'a str>,
    /// Signed email.
    pub email: Option<&'a str>,
    /// Other signed attributes: a JSON object.
    pub attributes: Option<&'a str>,
    /// What was claimed: a JSON object.
    pub claimed: Option<&'a str>,
    /// What the website's server said: a JSON object.
    pub details: Option<&'a str>,
    /// `credential` or `session`; none for guests.
    pub via: Option<&'a str>,
}

impl Assertion {
    /// The default of `assertion.issuer`.
    pub const ISSUER: &str = "countersign";
    /// The default, and the most, of `assertion.ttl`.
    pub const TTL: Duration = Duration::from_secs(60);

    /// Signs with the first of these keys; all are published. None without a key.
    pub fn new(keys: Vec<SigningKey>, issuer: &str, ttl: Duration) -> Option<Self> {
        let header = format!(
            "{{\"alg\":\"ES256\",\"typ\":\"countersign+jwt\",\"kid\":\"{}\"}}",
            keys.first()?.kid()
        );
        let header = BASE64_URL_SAFE_NO_PAD.encode(header) + ".";
        Some(Self { keys, header, issuer: issuer.to_owned(), ttl, cache: Cache::default() })
    }

    /// The public keys as a JWK Set (RFC 7517 §5).
    pub fn key_set(&self) -> String {
        key_set(self.keys.iter())
    }

    /// Bytes of an assertion of this.
    pub fn len_of(&self, content: &Content<'_>) -> usize {
        // Signature: 64 bytes; `iat` and `exp` with their names: 36.
        const REST: usize = 86 + 36 * 4 / 3 + 3;
        self.header.len() + self.members(content).len() * 4 / 3 + REST
    }

    /// Asserts this, now; none if the system has no randomness to give.
    pub fn of(&self, content: &Content<'_>, now: UnixTime) -> Option<HeaderValue> {
        let members = self.members(content);
        if let Some(known) = self.cache.get(&members, now) {
            return Some(known);
        }
        let issued = now.as_secs();
        let expires = issued.saturating_add(self.ttl.as_secs());
        let claims = format!("{{\"iat\":{issued},\"exp\":{expires},{members}}}");
        let mut token = self.header.clone();
        BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = self.keys.first()?.sign(token.as_bytes())?;
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        let value = HeaderValue::try_from(token).ok()?;
        self.cache.put(members, value.clone(), now, now.after(self.ttl / 2));
        Some(value)
    }

    /// The claims but for the times, without braces.
    fn members(&self, content: &Content<'_>) -> String {
        let Content { attributes, claimed, details, .. } = *content;
        let mut out = String::with_capacity(512);
        let texts = [
            ("iss", Some(self.issuer.as_str())),
            ("aud", Some(content.audience)),
            ("sub", content.subject),
            ("status", Some(content.status)),
            ("reason", content.reason),
            ("dialect", Some(content.dialect)),
            ("name", content.name),
            ("email", content.email),
            ("via", content.via),
        ];
        for (name, text) in texts {
            let Some(text) = text else { continue };
            let comma = if out.is_empty() { "" } else { "," };
            // Writing into a text cannot fail.
            let _ = write!(out, "{comma}\"{name}\":");
            write_string(text, &mut out);
        }
        let objects = [("attributes", attributes), ("claimed", claimed), ("details", details)];
        for (name, json) in objects {
            let Some(json) = json.filter(|json| !json.is_empty()) else { continue };
            let _ = write!(out, ",\"{name}\":{json}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn assertion() -> Assertion {
        let key = || SigningKey::from_der(&SigningKey::generate().unwrap()).unwrap();
        Assertion::new(vec![key(), key()], Assertion::ISSUER, Assertion::TTL).unwrap()
    }

    fn ada<'a>() -> Content<'a> {
        Content {
            audience: "acme",
            subject: Some("u-1"),
            status: "verified",
            dialect: "jwt",
            name: Some("Āda \"A\""),
            details: Some("{\"Age\":\"25\"}"),
            via: Some("credential"),
            ..Content::default()
        }
    }

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    /// Read by another library, with the published key.
    fn read(assertion: &Assertion, token: &HeaderValue) -> (Value, Value) {
        let token = token.to_str().unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&assertion.key_set()).unwrap();
        let jwk = set.find(header.kid.as_deref().unwrap()).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(jwk).unwrap();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.set_audience(&["acme"]);
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
        (serde_json::to_value(header).unwrap(), claims)
    }

    #[test]
    fn it_says_what_the_headers_say_and_others_can_verify_it() {
        let assertion = assertion();
        let token = assertion.of(&ada(), at(1_700_000_000)).unwrap();
        let (header, claims) = read(&assertion, &token);
        assert_eq!(header["typ"], "countersign+jwt");
        assert_eq!(header["kid"], assertion.keys[0].kid());
        let expected = json!({
            "iss": "countersign", "aud": "acme", "sub": "u-1", "status": "verified",
            "dialect": "jwt", "name": "Āda \"A\"", "details": {"Age": "25"}, "via": "credential",
            "iat": 1_700_000_000, "exp": 1_700_000_060,
        });
        assert_eq!(claims, expected);
        let length = token.len();
        assert!(length.abs_diff(assertion.len_of(&ada())) < 8, "{length}");
    }

    #[test]
    fn the_same_decision_gets_the_same_for_half_its_life_and_another_one_never() {
        let assertion = assertion();
        let first = assertion.of(&ada(), at(1000)).unwrap();
        assert_eq!(assertion.of(&ada(), at(1029)).unwrap(), first);
        assert_ne!(assertion.of(&ada(), at(1030)).unwrap(), first);
        let bob = Content { subject: Some("u-2"), ..ada() };
        let guest = Content {
            audience: "acme",
            status: "guest",
            reason: Some("missing"),
            dialect: "jwt",
            ..Content::default()
        };
        for other in [bob, guest, Content { audience: "other", ..ada() }] {
            assert_ne!(assertion.of(&other, at(1001)).unwrap(), first);
        }
        let (_, claims) = read(&assertion, &assertion.of(&guest, at(1000)).unwrap());
        assert_eq!((claims.get("sub"), &claims["reason"]), (None, &json!("missing")));
    }
}
