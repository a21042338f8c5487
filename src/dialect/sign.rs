//! The inverse of verification: the credential that a website would sign, written by the
//! very rules that verify it.
//!
//! For the command line, demonstrations, tests, and backends that want a proof of their
//! own. What is signed is verified at once; where the site would refuse it (an id that is
//! a placeholder, a lifetime too long, a private key that is not the other half), that is
//! a warning and not an error, for the credential may be wanted just for that.

use std::borrow::Cow;
use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::EncodingKey;
use serde_json::{Map, Value, json};

use super::digest::{self, Message};
use super::keyring::library_name;
use super::{
    Algorithm, Attributes, AudienceRule, ClaimType, Credential, Dialect, Hash, HashField,
    HmacRules, JwtRules, Key, KeySelection, Keyring, Mechanism, Pattern, Piece, Pointer, Rejection,
};
use crate::clock::UnixTime;

/// Seconds that a token is valid for where nobody says otherwise and the dialect allows it.
const DEFAULT_TTL: u64 = 300;

/// Whom to sign for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// The stable identity.
    pub id: Option<String>,
    /// Display name.
    pub name: Option<String>,
    /// Email address.
    pub email: Option<String>,
    /// Other claims.
    pub attributes: Map<String, Value>,
}

/// What to sign with: a key of the site, and for a public key its other half.
#[derive(Clone, Copy, Debug)]
pub struct SigningKey<'a> {
    /// The site's key; its id and algorithm are what the credential names.
    pub key: &'a Arc<Key>,
    /// The private key in PEM (PKCS#8; RSA also PKCS#1), if `key` is a public one.
    pub private_pem: Option<&'a [u8]>,
}

/// A credential, ready to be presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The token, or the bare hash.
    pub credential: String,
    /// When it ends; a hash never does.
    pub expires: Option<UnixTime>,
    /// What whoever presents it should know, in sentences.
    pub warnings: Vec<String>,
}

/// Why nothing could be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key only verifies.
    #[error("key `{0}` is a public key: signing needs its private half")]
    NeedsPrivateKey(Arc<str>),
    /// The private key cannot be read or does not fit.
    #[error(
        "the private key does not serve {0} ({1}); PKCS#8 in PEM is needed, as \
         `openssl pkcs8 -topk8 -nocrypt` writes it"
    )]
    PrivateKey(&'static str, String),
    /// The dialect has nowhere to put this.
    #[error("this dialect signs no {0}")]
    NoPlace(&'static str),
    /// Two values for one claim.
    #[error("two values for the claim `{0}`")]
    Taken(String),
    /// The hashed message lacks a field.
    #[error("{0}")]
    Incomplete(String),
}

/// Signs a credential for `subject`, valid from `now` for `ttl` seconds (by default five
/// minutes, or what the dialect allows).
///
/// # Errors
/// Only where no credential can be made; see the module for what is a warning instead.
pub fn sign(
    dialect: &Dialect,
    key: SigningKey<'_>,
    subject: &Subject,
    now: UnixTime,
    ttl: Option<u64>,
) -> Result<Signed, SignError> {
    let mut signed = match &dialect.mechanism {
        Mechanism::Jwt(rules) => token(rules, key, subject, now, ttl)?,
        Mechanism::Hmac(rules) => hash(rules, key, subject)?,
    };
    let credential = match &dialect.mechanism {
        Mechanism::Jwt(_) => Credential::Token(signed.credential.as_str().into()),
        Mechanism::Hmac(_) => {
            Credential::Hash(Hash { proof: signed.credential.as_str().into(), ..beside(subject) })
        }
    };
    let keyring = Keyring::new(vec![key.key.clone()]);
    if let Err(Rejection { reason, detail, .. }) = dialect.verify(&credential, &keyring, now) {
        signed.warnings.push(format!("the site will refuse this credential: {reason} ({detail})"));
    }
    Ok(signed)
}

fn token(
    rules: &JwtRules,
    key: SigningKey<'_>,
    subject: &Subject,
    now: UnixTime,
    ttl: Option<u64>,
) -> Result<Signed, SignError> {
    let longest = rules.max_lifetime.unwrap_or(u64::MAX);
    let ttl = ttl.unwrap_or(DEFAULT_TTL.max(rules.min_remaining).min(longest));
    let expires = now.as_secs().saturating_add(ttl);
    let named = match rules.key {
        KeySelection::Any | KeySelection::Claim(_) => None,
        _ => Some(&**key.key.id()),
    };
    let message = message(rules, key.key, named, subject, now, ttl)?;
    let credential = format!("{message}.{}", signature(key, message.as_bytes())?);
    let mut warnings = Vec::new();
    if let Some(most) = rules.warn_bytes.filter(|most| credential.len() > *most) {
        warnings.push(format!(
            "the token has {} characters; beyond {most} the vendor's own widget will not carry it",
            credential.len()
        ));
    }
    Ok(Signed { credential, expires: Some(UnixTime::from_secs(expires)), warnings })
}

/// A token but for its signature: header and claims, with `kid` where one is `named`.
pub(super) fn message(
    rules: &JwtRules,
    key: &Key,
    named: Option<&str>,
    subject: &Subject,
    now: UnixTime,
    ttl: u64,
) -> Result<String, SignError> {
    let alg = key.algorithm().name();
    let header = match named {
        None => json!({ "typ": "JWT", "alg": alg }),
        Some(kid) => json!({ "typ": "JWT", "alg": alg, "kid": kid }),
    };
    let mut payload = payload(rules, key, subject)?;
    put(&mut payload, &["iat".to_owned()], now.as_secs().into())?;
    put(&mut payload, &["exp".to_owned()], now.as_secs().saturating_add(ttl).into())?;
    let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
    Ok(format!("{}.{}", part(header.to_string()), part(Value::Object(payload).to_string())))
}

/// The claims, each where the dialect reads it first.
fn payload(
    rules: &JwtRules,
    key: &Key,
    subject: &Subject,
) -> Result<Map<String, Value>, SignError> {
    let claims = &rules.claims;
    let mut payload = Map::new();
    let people = [
        ("id", &subject.id, &claims.id),
        ("name", &subject.name, &claims.name),
        ("email", &subject.email, &claims.email),
    ];
    for (what, value, patterns) in people {
        if let Some(value) = value {
            let place = place(patterns).ok_or(SignError::NoPlace(what))?;
            put(&mut payload, &place.0, value.as_str().into())?;
        }
    }
    let audience = claims.audiences.first();
    let addressed = match claims.audience {
        AudienceRule::None => None,
        AudienceRule::Aud => audience.map(|audience| ("aud", audience)),
        AudienceRule::Sub => audience.map(|audience| ("sub", audience)),
    };
    let issued = claims.issuer.as_ref().map(|issuer| ("iss", issuer));
    for (name, value) in addressed.into_iter().chain(issued) {
        put(&mut payload, &[name.to_owned()], value.as_str().into())?;
    }
    if let KeySelection::Claim(claim) = &rules.key
        && !payload.contains_key(claim)
    {
        put(&mut payload, std::slice::from_ref(claim), (**key.id()).into())?;
    }
    for (place, kind) in &claims.required {
        if let ClaimType::Exactly(text) = kind
            && !subject.attributes.contains_key(place.0.first().map_or("", String::as_str))
        {
            put(&mut payload, &place.0, text.as_str().into())?;
        }
    }
    for (name, value) in &subject.attributes {
        let above = match &claims.attributes {
            Attributes::Rest => [].as_slice(),
            Attributes::At(place) => &place.0,
            Attributes::None => return Err(SignError::NoPlace("attributes")),
        };
        put(&mut payload, &[above, std::slice::from_ref(name)].concat(), value.clone())?;
    }
    Ok(payload)
}

/// Where a value goes so that the patterns read it back: into the first claim; in text
/// made of several, where only white space lies between, the others may stay away.
pub(super) fn place(patterns: &[Pattern]) -> Option<&Pointer> {
    patterns.iter().find_map(|pattern| match pattern {
        Pattern::Claim(place) => Some(place),
        Pattern::Text(pieces) => {
            let blank = |piece: &Piece| match piece {
                Piece::Literal(literal) => literal.trim().is_empty(),
                Piece::Claim(_) => true,
            };
            pieces.iter().all(blank).then(|| pattern.places().next())?
        }
    })
}

/// Sets a value at a path, making the objects above it.
fn put(payload: &mut Map<String, Value>, path: &[String], value: Value) -> Result<(), SignError> {
    let taken = || SignError::Taken(path.join("/"));
    match path {
        [] => Err(taken()),
        [name] => match payload.insert(name.clone(), value) {
            None => Ok(()),
            Some(_) => Err(taken()),
        },
        [name, rest @ ..] => {
            let above = payload.entry(name.clone()).or_insert_with(|| Map::new().into());
            put(above.as_object_mut().ok_or_else(taken)?, rest, value)
        }
    }
}

/// The signature in base64url.
fn signature(signing: SigningKey<'_>, message: &[u8]) -> Result<String, SignError> {
    if let Some(signature) = signing.key.sign(message) {
        return Ok(BASE64_URL_SAFE_NO_PAD.encode(signature));
    }
    let pem =
        signing.private_pem.ok_or_else(|| SignError::NeedsPrivateKey(signing.key.id().clone()))?;
    let algorithm = signing.key.algorithm();
    let private = match algorithm {
        Algorithm::RS256 | Algorithm::RS512 | Algorithm::PS256 => EncodingKey::from_rsa_pem(pem),
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Ok(EncodingKey::from_secret(pem)),
    };
    private
        .and_then(|key| jsonwebtoken::crypto::sign(message, &key, library_name(algorithm)))
        .map_err(|error| SignError::PrivateKey(algorithm.name(), error.to_string()))
}

fn hash(
    rules: &HmacRules,
    signing: SigningKey<'_>,
    subject: &Subject,
) -> Result<Signed, SignError> {
    let fields = beside(subject);
    let message = Message::of(rules, &fields)
        .map_err(|rejection| SignError::Incomplete(rejection.detail.into_owned()))?;
    let code = signing
        .key
        .authentication(rules.hash, message.text.as_bytes())
        .ok_or_else(|| SignError::NeedsPrivateKey(signing.key.id().clone()))?;
    let mut warnings = Vec::new();
    for (what, field, value) in
        [("name", HashField::Name, &fields.name), ("email", HashField::Email, &fields.email)]
    {
        if value.is_some() && message.value(field).is_none() {
            warnings.push(format!("this dialect's hash does not cover the {what}"));
        }
    }
    if !subject.attributes.is_empty() {
        return Err(SignError::NoPlace("attributes"));
    }
    Ok(Signed { credential: digest::encode(rules, &code), expires: None, warnings })
}

/// The fields that lie beside a hash; empty ones are absent.
pub(super) fn beside(subject: &Subject) -> Hash<'_> {
    fn text(value: &Option<String>) -> Option<Cow<'_, str>> {
        value.as_deref().filter(|value| !value.is_empty()).map(Cow::Borrowed)
    }
    Hash {
        proof: "".into(),
        id: text(&subject.id),
        email: text(&subject.email),
        name: text(&subject.name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::founding::*;
    use super::super::{Identity, fresh};
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn jane() -> Subject {
        let mut attributes = Map::new();
        attributes.insert("plan".to_owned(), "gold".into());
        Subject {
            id: Some("u1".to_owned()),
            name: Some("Jane Doe".to_owned()),
            email: Some("jane@example.com".to_owned()),
            attributes,
        }
    }

    fn signed(dialect: &Dialect, key: &Arc<Key>, subject: &Subject) -> Signed {
        let key = SigningKey { key, private_pem: None };
        sign(dialect, key, subject, NOW, None).unwrap()
    }

    fn proven(dialect: &Dialect, key: &Arc<Key>, signed: &Signed) -> Identity {
        let token = Credential::Token(signed.credential.as_str().into());
        dialect.verify(&token, &Keyring::new(vec![key.clone()]), NOW).unwrap()
    }

    #[test]
    fn each_algorithm_signs_what_it_verifies() {
        for algorithm in Algorithm::ALL {
            let pair = fresh::pair(*algorithm).ok();
            let key = match &pair {
                Some(pair) => Key::public_pem("k1", Some(*algorithm), pair.public.as_bytes()),
                None => Key::secret("k1", *algorithm, &fresh::secret().unwrap()),
            };
            let key = Arc::new(key.unwrap());
            let private_pem = pair.as_ref().map(|pair| pair.private.expose());
            let signing = SigningKey { key: &key, private_pem };
            let signed = sign(&jwt(), signing, &jane(), NOW, None).unwrap();
            assert_eq!(signed.warnings, Vec::<String>::new(), "{algorithm:?}");
            let identity = proven(&jwt(), &key, &signed);
            assert_eq!(identity.id.as_deref(), Some("u1"));
            // One changed bit of the message is no longer what was signed.
            let forged = signed.credential.replacen(".eyJ", ".fyJ", 1);
            let forged = Credential::Token(forged.into());
            assert!(jwt().verify(&forged, &Keyring::new(vec![key]), NOW).is_err());
        }
    }

    #[test]
    fn every_dialect_reads_back_what_it_signs() {
        let key = Arc::new(secret("k1", Algorithm::HS256, "0123456789abcdef"));
        for dialect in [jwt(), zendesk_chat(), ringcentral_engage(), amazon_connect("w")] {
            let signed = signed(&dialect, &key, &jane());
            assert_eq!(signed.warnings, Vec::<String>::new(), "{}", dialect.name);
            let identity = proven(&dialect, &key, &signed);
            assert_eq!(identity.id.as_deref(), Some("u1"), "{}", dialect.name);
            assert_eq!(identity.name.as_deref(), Some("Jane Doe"), "{}", dialect.name);
            assert_eq!(identity.email.as_deref(), Some("jane@example.com"));
            assert!(identity.attributes.as_deref().unwrap().contains(r#""plan":"gold""#));
            assert_eq!(identity.expires, Some(UnixTime::from_secs(1_700_000_300)));
            assert_eq!(identity.expires, signed.expires);
        }
    }

    #[test]
    fn audience_issuer_and_key_claim_are_filled_in() {
        let dialect = with(jwt(), "full", |rules| {
            rules.key = KeySelection::Claim("project".to_owned());
            rules.claims.audiences = vec!["me".to_owned()];
            rules.claims.issuer = Some("https://i".to_owned());
            rules.max_lifetime = Some(60);
            rules.claims.required.push((pointer("/scope"), ClaimType::Exactly("user".to_owned())));
        });
        let key = Arc::new(secret("k1", Algorithm::HS256, "0123456789abcdef"));
        let signed = signed(&dialect, &key, &jane());
        assert_eq!(signed.warnings, Vec::<String>::new());
        assert_eq!(signed.expires, Some(UnixTime::from_secs(1_700_000_060)));
    }

    #[test]
    fn a_hash_is_bare_and_says_what_it_does_not_cover() {
        let key = Arc::new(secret("k1", Algorithm::HS256, "b02612a8bdf5e736c41ce2002181d124"));
        let subject = Subject { id: Some("12345".to_owned()), ..Subject::default() };
        let bare = signed(&user_hash(), &key, &subject);
        let hash = "5039ecb10eaff468ea0297d57c00438d6a37696ab71c423c023317e425fa27da";
        assert_eq!(bare, Signed { credential: hash.to_owned(), expires: None, warnings: vec![] });
        let named = Subject { name: Some("Jane".to_owned()), ..subject };
        let named = signed(&user_hash(), &key, &named);
        assert_eq!(named.credential, hash);
        assert_eq!(named.warnings, ["this dialect's hash does not cover the name"]);
    }

    #[test]
    fn what_the_site_would_refuse_is_signed_with_a_warning() {
        let key = Arc::new(secret("k1", Algorithm::HS256, "0123456789abcdef"));
        let id = |id: &str| Subject { id: Some(id.to_owned()), ..Subject::default() };
        let with_email = with(jwt(), "email", |rules| {
            rules.claims.required.push((pointer("/email"), ClaimType::String));
        });
        let long = Subject {
            attributes: Map::from_iter([("k".to_owned(), Value::from("x".repeat(2500)))]),
            ..Subject::default()
        };
        let other = Arc::new(secret("k1", Algorithm::HS256, "x").with_window(Some(NOW), Some(NOW)));
        for (dialect, key, subject, ttl, expected) in [
            (jwt(), &key, id("{user_id}"), None, "placeholder_identity"),
            (jwt(), &key, Subject::default(), None, "missing_claim"),
            (with_email, &key, id("u1"), None, "`email` is missing"),
            (zendesk_chat(), &key, id("u1"), Some(421), "lifetime_too_long"),
            (jwt(), &other, id("u1"), None, "key_expired"),
            (amazon_connect("w"), &key, long, None, "beyond 3000"),
            (user_hash(), &key, id("null"), None, "placeholder_identity"),
        ] {
            let signing = SigningKey { key, private_pem: None };
            let signed = sign(&dialect, signing, &subject, NOW, ttl).unwrap();
            let [warning] = &signed.warnings[..] else { panic!("{:?}", signed.warnings) };
            assert!(warning.contains(expected), "{warning}");
        }
        let (one, other) =
            (fresh::pair(Algorithm::ES256).unwrap(), fresh::pair(Algorithm::ES256).unwrap());
        let key = Arc::new(Key::public_pem("k1", None, one.public.as_bytes()).unwrap());
        let signing = SigningKey { key: &key, private_pem: Some(other.private.expose()) };
        let signed = sign(&jwt(), signing, &jane(), NOW, None).unwrap();
        assert!(signed.warnings[0].contains("bad_signature"), "{:?}", signed.warnings);
    }

    #[test]
    fn what_cannot_be_signed_is_an_error() {
        let key = Arc::new(secret("k1", Algorithm::HS256, "0123456789abcdef"));
        let of = |dialect: &Dialect, subject: &Subject| {
            let signing = SigningKey { key: &key, private_pem: None };
            sign(dialect, signing, subject, NOW, None).unwrap_err()
        };
        let nameless = with(jwt(), "nameless", |rules| rules.claims.name.clear());
        assert_eq!(of(&nameless, &jane()), SignError::NoPlace("name"));
        let mut subject = jane();
        subject.attributes.insert("exp".to_owned(), 0.into());
        assert_eq!(of(&jwt(), &subject), SignError::Taken("exp".to_owned()));
        assert_eq!(of(&user_hash(), &jane()), SignError::NoPlace("attributes"));
        assert!(matches!(of(&user_hash(), &Subject::default()), SignError::Incomplete(_)));

        let pair = fresh::pair(Algorithm::EdDSA).unwrap();
        let public = Arc::new(Key::public_pem("k1", None, pair.public.as_bytes()).unwrap());
        let of = |private_pem| {
            let signing = SigningKey { key: &public, private_pem };
            sign(&jwt(), signing, &jane(), NOW, None).unwrap_err()
        };
        assert!(matches!(of(None), SignError::NeedsPrivateKey(_)));
        let rsa = fresh::pair(Algorithm::RS256).unwrap();
        assert!(matches!(of(Some(rsa.private.expose())), SignError::PrivateKey("EdDSA", _)));
        assert!(matches!(of(Some(b"nonsense")), SignError::PrivateKey("EdDSA", _)));
    }
}
