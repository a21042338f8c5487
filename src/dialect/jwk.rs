//! Key sets (RFC 7517 §5), as identity providers publish them.
//!
//! - A key that cannot be used here is passed over, and why is told: another type, curve
//!   or algorithm than this site's, `use` other than `sig`, `key_ops` without `verify`,
//!   no sound key. That is how providers add kinds of key that not everybody knows.
//! - A key's own `alg` pins it; without one its type does, or the site's `algorithm`. It
//!   never becomes anything else because a token says so.
//! - `oct` keys are secrets. In a set that anybody can fetch there can be none, so they
//!   count only where the caller says that the set is no public one.
//! - A private key is none for verifying: whoever publishes one has lost it.
//! - Keys may share a `kid` (for several algorithms, RFC 7517 §4.5): each is tried.
//! - A document that names a member twice is refused as a whole.

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::json::{self, Json};
use super::keyring::KeyError;
use super::pem::{KeyType, PublicKey};
use super::{Algorithm, Key};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// A larger document is refused.
pub const MAX_BYTES: usize = 256 * 1024;
/// So is one with more keys.
pub const MAX_KEYS: usize = 100;
/// As long as an id may be anywhere.
const LONGEST_ID: usize = 256;

/// What the keys of a set are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What the dialect allows.
    pub algorithms: Vec<Algorithm>,
    /// The one algorithm of all keys, if the site pins it.
    pub pinned: Option<Algorithm>,
    /// Whether `oct` keys count: never in a set from a URL.
    pub secrets: bool,
    /// Start of every key's window.
    pub not_before: Option<UnixTime>,
    /// End of every key's window.
    pub not_after: Option<UnixTime>,
}

/// What a document holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// The keys that can be used, in the order of the document.
    pub keys: Vec<Key>,
    /// What was passed over: `key 2 ("old"): its use is not sig`. No key material.
    pub passed_over: Vec<String>,
}

/// Reads a JWK Set.
///
/// # Errors
/// The document is too large, no JSON object with `keys`, names a member twice, or has too
/// many keys.
pub fn read(document: &[u8], terms: &Terms) -> Result<Contents, KeyError> {
    if document.len() > MAX_BYTES {
        return Err(KeyError::new("the key set is larger than 256 KiB"));
    }
    let set =
        json::parse(document).map_err(|fault| KeyError::new(format!("the key set {fault}")))?;
    let Some(Json::Array(entries)) = set.get("keys") else {
        return Err(KeyError::new("this is no key set: { \"keys\": […] } is expected"));
    };
    if entries.len() > MAX_KEYS {
        return Err(KeyError::new(format!("the key set has more than {MAX_KEYS} keys")));
    }
    let mut contents = Contents::default();
    for (index, entry) in entries.iter().enumerate() {
        match key(entry, terms) {
            Ok(key) => contents.keys.push(key.with_window(terms.not_before, terms.not_after)),
            Err(KeyError(why)) => {
                let name = text(entry, "kid").map(|kid| format!(" ({kid:?})")).unwrap_or_default();
                contents.passed_over.push(format!("key {}{name}: {why}", index + 1));
            }
        }
    }
    Ok(contents)
}

fn key(jwk: &Json<'_>, terms: &Terms) -> Result<Key, KeyError> {
    let refused = |why: &'static str| Err(KeyError::new(why));
    if text(jwk, "use").is_some_and(|purpose| purpose != "sig") {
        return refused("its `use` is not `sig`");
    }
    if let Some(Json::Array(operations)) = jwk.get("key_ops")
        && !operations.iter().any(|operation| operation.as_str() == Some("verify"))
    {
        return refused("its `key_ops` do not include `verify`");
    }
    let own = match text(jwk, "alg") {
        None => None,
        Some(name) => Some(
            Algorithm::from_name(name)
                .ok_or_else(|| KeyError::new("its `alg` is not one that is verified here"))?,
        ),
    };
    if own.is_some() && terms.pinned.is_some() && own != terms.pinned {
        return refused("its `alg` is not the site's `algorithm`");
    }
    let algorithm = own.or(terms.pinned);
    let key = match text(jwk, "kty") {
        Some("oct") if !terms.secrets => {
            return refused("a secret (`oct`) has no place in a set that is fetched");
        }
        Some("oct") => {
            let secret = Secret::new(bytes(jwk, "k")?);
            Key::secret(&id(jwk)?, algorithm.unwrap_or(Algorithm::HS256), &secret)?
        }
        _ if jwk.get("d").is_some() => return refused("it is a private key"),
        Some(kty) => {
            let key = public(jwk, kty)?;
            Key::public(&id(jwk)?, algorithm, &key)?
        }
        None => return refused("it has no `kty`"),
    };
    if !terms.algorithms.contains(&key.algorithm()) {
        let name = key.algorithm().name();
        return Err(KeyError::new(format!("the site's dialect does not use {name}")));
    }
    Ok(key)
}

/// RFC 7518 §6.2, §6.3; RFC 8037 §2.
fn public(jwk: &Json<'_>, kty: &str) -> Result<PublicKey, KeyError> {
    let unsupported = || KeyError::new("its type or curve is not one that is verified here");
    let curve = text(jwk, "crv");
    let (key_type, size) = match (kty, curve) {
        ("RSA", _) => {
            let (modulus, exponent) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
            let numbers = [integer(&modulus), integer(&exponent)].concat();
            return Ok(PublicKey { key_type: KeyType::Rsa, bytes: element(0x30, &numbers) });
        }
        ("EC", Some("P-256")) => (KeyType::P256, 32),
        ("EC", Some("P-384")) => (KeyType::P384, 48),
        ("OKP", Some("Ed25519")) => (KeyType::Ed25519, 32),
        _ => return Err(unsupported()),
    };
    let coordinate = |name| match bytes(jwk, name)? {
        bytes if bytes.len() == size => Ok(bytes),
        _ => Err(KeyError(format!("its `{name}` has the wrong length"))),
    };
    let bytes = match kty {
        // An uncompressed point (SEC 1 §2.3.3).
        "EC" => [vec![4], coordinate("x")?, coordinate("y")?].concat(),
        _ => coordinate("x")?,
    };
    Ok(PublicKey { key_type, bytes })
}

/// `kid`, or the key's thumbprint.
fn id(jwk: &Json<'_>) -> Result<String, KeyError> {
    match jwk.get("kid") {
        None | Some(Json::Null) => thumbprint(jwk),
        Some(Json::String(kid)) if (1..=LONGEST_ID).contains(&kid.len()) => match kid {
            kid if kid.chars().any(char::is_control) => {
                Err(KeyError::new("its `kid` holds control characters"))
            }
            kid => Ok(kid.to_string()),
        },
        Some(_) => Err(KeyError::new("its `kid` is no text of 1 to 256 bytes")),
    }
}

/// RFC 7638: the SHA-256 of the members that make the key, in the order of their names.
fn thumbprint(jwk: &Json<'_>) -> Result<String, KeyError> {
    let names: &[&str] = match text(jwk, "kty") {
        Some("RSA") => &["e", "kty", "n"],
        Some("EC") => &["crv", "kty", "x", "y"],
        Some("OKP") => &["crv", "kty", "x"],
        _ => &["k", "kty"],
    };
    let mut canonical = String::from("{");
    for name in names {
        let comma = if canonical.len() > 1 { "," } else { "" };
        // Base64url and registered names need no escapes.
        let value = text(jwk, name).ok_or_else(|| missing(name))?;
        canonical.push_str(&format!("{comma}\"{name}\":\"{value}\""));
    }
    canonical.push('}');
    Ok(BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes())))
}

fn text<'j>(jwk: &'j Json<'_>, name: &str) -> Option<&'j str> {
    jwk.get(name).and_then(Json::as_str)
}

fn bytes(jwk: &Json<'_>, name: &str) -> Result<Vec<u8>, KeyError> {
    let encoded = text(jwk, name).ok_or_else(|| missing(name))?;
    BASE64_URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| KeyError(format!("its `{name}` is not base64url without padding")))
}

fn missing(name: &str) -> KeyError {
    KeyError(format!("it has no `{name}`"))
}

/// A DER INTEGER of an unsigned number (X.690 §8.3).
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = number.get(zeros..).unwrap_or_default();
    let negative = digits.first().is_none_or(|first| first & 0x80 != 0);
    let sign: &[u8] = if negative { &[0] } else { &[] };
    element(0x02, &[sign, digits].concat())
}

/// A DER element: tag, length, contents (X.690 §8.1).
fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    match digits.as_slice() {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        long => {
            der.push(0x80 | long.len() as u8);
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(contents);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> Terms {
        Terms {
            algorithms: Algorithm::ALL.to_vec(),
            pinned: None,
            secrets: false,
            not_before: None,
            not_after: None,
        }
    }

    /// RFC 7517 A.1, the EC key.
    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
    /// RFC 7638 §3.1.
    const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn ec(more: &str) -> String {
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"{more}}}"#)
    }

    fn rsa(more: &str) -> String {
        format!(r#"{{"kty":"RSA","n":"{N}","e":"AQAB"{more}}}"#)
    }

    fn contents(keys: &[String], terms: &Terms) -> Contents {
        read(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes(), terms).unwrap()
    }

    /// `id algorithm` of the only key, or why there is none.
    fn one(key: &str, terms: &Terms) -> String {
        let contents = contents(&[key.to_owned()], terms);
        match (contents.keys.as_slice(), contents.passed_over.as_slice()) {
            ([key], []) => format!("{} {}", key.id(), key.algorithm().name()),
            ([], [why]) => why.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_key_of_rfc_7638_has_its_thumbprint_as_its_id() {
        assert_eq!(one(&rsa(""), &terms()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs RS256");
        assert_eq!(one(&rsa(r#","kid":"2011-04-29","alg":"PS256""#), &terms()), "2011-04-29 PS256");
    }

    #[test]
    fn a_key_is_pinned_by_its_alg_or_its_type_or_the_site() {
        let pinned = Terms { pinned: Some(Algorithm::PS256), ..terms() };
        assert_eq!(one(&ec(r#","kid":"a""#), &terms()), "a ES256");
        assert_eq!(one(&rsa(r#","kid":"a""#), &pinned), "a PS256");
        let ed = r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        assert_eq!(one(ed, &terms()), "e EdDSA");
        for (key, terms, why) in [
            (rsa(r#","alg":"RS256""#), &pinned, "not the site's"),
            (rsa(r#","alg":"RS384""#), &terms(), "not one that is verified"),
            (rsa(r#","alg":"ES256""#), &terms(), "does not fit"),
            (ec(""), &pinned, "does not fit"),
            (
                ec(""),
                &Terms { algorithms: vec![Algorithm::RS256], ..terms() },
                "the site's dialect does not use ES256",
            ),
        ] {
            let said = one(&key, terms);
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn what_is_no_key_for_verifying_is_passed_over_and_the_rest_is_kept() {
        let odd = [
            (ec(r#","use":"enc","kid":"c""#), "key 1 (\"c\"): its `use`"),
            (ec(r#","key_ops":["sign"]"#), "`key_ops`"),
            (ec(r#","d":"AA""#), "private"),
            (ec(r#","kid":"""#), "`kid`"),
            (ec(r#","kid":7"#), "`kid`"),
            (ec(r#","kid":"a\u0007""#), "control"),
            (ec("").replace(Y, X), "not those of a P-256"),
            (ec("").replace(X, "AA"), "`x` has the wrong length"),
            (ec("").replace(X, "A="), "not base64url"),
            (ec("").replace("P-256", "secp256k1"), "type or curve"),
            (rsa("").replace(N, "AQAB"), "bits"),
            (r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned(), "`oct`"),
            (r#"{"kty":"RSA","e":"AQAB"}"#.to_owned(), "no `n`"),
            (r#"{"kty":"new"}"#.to_owned(), "type or curve"),
            ("{}".to_owned(), "no `kty`"),
            ("[]".to_owned(), "no `kty`"),
        ];
        for (key, why) in &odd {
            let said = one(key, &terms());
            assert!(said.contains(why), "{why}: {said}");
        }
        let mut keys: Vec<String> = odd.into_iter().map(|(key, _)| key).collect();
        keys.push(ec(r#","use":"sig","key_ops":["verify"],"kid":"good""#));
        let contents = contents(&keys, &terms());
        assert_eq!(contents.keys.len(), 1);
        assert_eq!(contents.passed_over.len(), keys.len() - 1);
    }

    #[test]
    fn a_secret_counts_only_in_a_set_that_is_no_public_one() {
        let local = Terms { secrets: true, ..terms() };
        let key = r#"{"kty":"oct","k":"c2VjcmV0","kid":"s","alg":"HS512"}"#;
        assert_eq!(one(key, &local), "s HS512");
        assert!(one(&key.replace("HS512", "RS256"), &local).contains("RS256"));
    }

    #[test]
    fn keys_may_share_a_kid() {
        let keys = [rsa(r#","kid":"a""#), ec(r#","kid":"a""#)];
        let ids: Vec<_> =
            contents(&keys, &terms()).keys.iter().map(|key| key.id().to_string()).collect();
        assert_eq!(ids, ["a", "a"]);
    }

    #[test]
    fn what_is_no_key_set_is_refused_as_a_whole() {
        let many = format!(r#"{{"keys":[{}]}}"#, vec!["{}"; MAX_KEYS + 1].join(","));
        let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(MAX_BYTES));
        for (document, why) in [
            ("<html>", "not valid JSON"),
            ("{}", "no key set"),
            (r#"{"keys":{}}"#, "no key set"),
            (r#"{"keys":[{"kid":"a","kid":"b"}]}"#, "names a member twice"),
            (&many, "more than 100 keys"),
            (&large, "larger than 256 KiB"),
        ] {
            let error = read(document.as_bytes(), &terms()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(read(br#"{"keys":[]}"#, &terms()).unwrap().keys.len(), 0);
    }
}
