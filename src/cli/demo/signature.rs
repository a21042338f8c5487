//! Whether a webhook is signed, as its receiver finds out: the example website's server and
//! the example backend, from the formats' own documents.
//!
//! A signature covers the bytes as they came. Whatever is parsed and written again has others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;

use crate::clock::UnixTime;
use crate::dialect::digest::read_hex;

/// Seconds that clocks may differ, and that a delivery may take (Standard Webhooks 1.0,
/// "Verifying the timestamp").
const TOLERANCE: u64 = 300;

/// LiveSupporti's: `ms-signature: sha256=<hex>`, that of ASP.NET WebHooks.
pub fn livesupporti(secret: &[u8], headers: &HeaderMap, body: &[u8]) -> bool {
    let header = text(headers, "ms-signature").and_then(|header| header.strip_prefix("sha256="));
    let given = header.and_then(|hex| read_hex(hex.as_bytes()));
    given.is_some_and(|given| fits(secret, &[body], &given))
}

/// Standard Webhooks 1.0: `webhook-signature: v1,<base64>`, several of them where a secret is
/// being replaced, over id, time and body.
pub fn standard(secret: &str, headers: &HeaderMap, body: &[u8], now: UnixTime) -> bool {
    let field = |name| text(headers, name);
    let key = secret.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    let (Some(key), Some(id), Some(at), Some(signatures)) =
        (key, field("webhook-id"), field("webhook-timestamp"), field("webhook-signature"))
    else {
        return false;
    };
    let recent = at.parse().is_ok_and(|at| now.as_secs().abs_diff(at) <= TOLERANCE);
    let parts = [id.as_bytes(), b".", at.as_bytes(), b".", body];
    recent
        && signatures
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .any(|given| STANDARD.decode(given).is_ok_and(|given| fits(&key, &parts, &given)))
}

/// Compares in constant time.
fn fits(key: &[u8], parts: &[&[u8]], given: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(given).is_ok()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(name), value.parse().unwrap())
        };
        fields.iter().map(field).collect()
    }

    /// The test of ASP.NET WebHooks' own sender.
    #[test]
    fn the_vendors_own_body_fits_its_signature_and_no_other() {
        let secret = b"123456789012345678901234567890123456789012345678";
        let body = "{\r\n  \"Id\": \"1234567890\",\r\n  \"Attempt\": 1,\r\n  \"Properties\": {\r\n    \"p1\": \"pv1\"\r\n  },\r\n  \"Notifications\": [\r\n    {\r\n      \"Action\": \"a1\",\r\n      \"d1\": \"dv1\"\r\n    },\r\n    {\r\n      \"Action\": \"a1\",\r\n      \"d2\": \"http://localhost\"\r\n    }\r\n  ]\r\n}";
        let signature = "sha256=DCDEB62502988CDEDE464AF6A97566D61288C446CFC46F74F341E11173FF30A1";
        let signed = |secret: &[u8], signature: &str, body: &str| {
            livesupporti(secret, &headers(&[("ms-signature", signature)]), body.as_bytes())
        };
        assert!(signed(secret, signature, body));
        assert!(!signed(secret, signature, &body.replace('\r', "")));
        assert!(!signed(&secret[1..], signature, body));
        for bad in ["", "sha256=", "sha256=DC", &signature[7..], &signature.replace('F', "G")] {
            assert!(!signed(secret, bad, body), "{bad}");
        }
        assert!(!livesupporti(secret, &HeaderMap::new(), body.as_bytes()));
    }

    /// The sample of the Standard Webhooks specification.
    #[test]
    fn the_specifications_sample_fits_in_its_time() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = |signature: &str, now: u64, body: &str| {
            let headers = headers(&[
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", signature),
            ]);
            standard(secret, &headers, body.as_bytes(), UnixTime::from_secs(now))
        };
        let (good, body) =
            ("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", r#"{"test": 2432232314}"#);
        assert!(signed(good, 1_614_265_330, body));
        assert!(signed(&format!("v1,AAAA v2,x {good}"), 1_614_265_600, body));
        assert!(!signed(good, 1_614_265_631, body), "too late");
        assert!(!signed(good, 1_614_265_029, body), "too early");
        assert!(!signed(good, 1_614_265_330, "{}"));
        assert!(!signed("v1,AAAA", 1_614_265_330, body));
    }
}
