//! Signing as a website does it, written apart from the library so that the two can
//! disagree.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// Now, in Unix seconds.
pub fn now() -> u64 {
    countersign::clock::UnixTime::now().as_secs()
}

/// An HS256 token with the usual header.
pub fn token(secret: &str, claims: &Value) -> String {
    token_with(secret, &json!({ "typ": "JWT", "alg": "HS256" }), claims)
}

/// An HS256 token whose header names a key.
pub fn token_by(secret: &str, kid: &str, claims: &Value) -> String {
    token_with(secret, &json!({ "typ": "JWT", "alg": "HS256", "kid": kid }), claims)
}

/// A token with any header, signed with HMAC-SHA-256.
pub fn token_with(secret: &str, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(mac(secret, &message));
    format!("{message}.{signature}")
}

/// The same token with other claims under its old signature.
pub fn tampered(token: &str, claims: &Value) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    parts[1] = &claims;
    parts.join(".")
}

/// A lower-case hexadecimal HMAC-SHA-256.
pub fn hash(secret: &str, message: &str) -> String {
    mac(secret, message).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(secret: &str, message: &str) -> Vec<u8> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length of key will do");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
