//! Compact JWS tokens (RFC 7515, RFC 7519), checked by the rules of RFC 8725.
//!
//! [`verify`] reads top to bottom in the order of the checks. Nothing in the token is
//! believed before its signature holds, except `alg` and `kid`, and these two can only
//! choose among what the site has configured.
//!
//! What general libraries let pass is refused here: unknown `crit`, `zip`, a foreign
//! `typ`, keys brought along in the header, members named twice, and base64 that could be
//! written in another way.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::claims::{self, Claims};
use super::json::{self, Fault, Json};
use super::keyring::KeyState;
use super::{Algorithm, JwtRules, Key, KeySelection, Keyring, Reason, Rejection, UnsignedRules};
use crate::clock::UnixTime;
use crate::identity::Identity;

/// Header members whose mere presence is refused: extensions that change what is signed
/// or how (RFC 7515 §4.1.11, RFC 7797, RFC 7516), and keys that the token brings along.
const FORBIDDEN: [&str; 8] = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"];

/// All that a stranger is told about keys.
const NO_KEY_FITS: &str = "no key of this site fits";
const KEYS_TO_COME: &str = "the keys of this site have not been fetched yet; try again soon";

pub(super) fn verify(
    rules: &JwtRules,
    unsigned: &UnsignedRules,
    token: &str,
    keyring: &Keyring,
    now: UnixTime,
) -> Result<Identity, Rejection> {
    if token.len() > rules.max_bytes {
        let detail = format!("the token is larger than {} bytes", rules.max_bytes);
        return Err(Rejection::new(Reason::TooLarge, detail));
    }
    let token = Token::decode(token)?;
    let header = Header::read(&token, rules)?;
    let algorithm = header.algorithm(rules, keyring)?;
    let key = signer(rules, &token, &header, algorithm, keyring, now)?;
    claims::prove(rules, unsigned, token.payload(), key, now)
        .map(Identity::attest)
        .map_err(|rejection| rejection.with_key(key.id()))
}

/// A token's parts, decoded from strict base64url into one buffer.
struct Token<'t> {
    decoded: Vec<u8>,
    header: Range<usize>,
    payload: Range<usize>,
    signature: Range<usize>,
    /// What the signature covers: the first two parts as they were sent.
    message: &'t str,
}

impl<'t> Token<'t> {
    fn decode(token: &'t str) -> Result<Self, Rejection> {
        let (message, header, payload, signature) = split(token)
            .ok_or_else(|| malformed("a token has exactly three parts, separated by dots"))?;
        // Three bytes of four characters, and up to three more for each part's last group.
        let mut decoded = vec![0; token.len() / 4 * 3 + 9];
        let mut end = 0;
        // Canonical: no padding, no line breaks, no stray bits at the end.
        let mut decode = |part: &str| {
            let start = end;
            let rest = decoded.get_mut(start..).unwrap_or_default();
            end += BASE64_URL_SAFE_NO_PAD
                .decode_slice(part, rest)
                .map_err(|_| malformed("a part of the token is not base64url without padding"))?;
            Ok::<_, Rejection>(start..end)
        };
        let (header, payload) = (decode(header)?, decode(payload)?);
        let signature = decode(signature)?;
        Ok(Self { decoded, header, payload, signature, message })
    }

    fn header(&self) -> &[u8] {
        self.decoded.get(self.header.clone()).unwrap_or_default()
    }

    fn payload(&self) -> &[u8] {
        self.decoded.get(self.payload.clone()).unwrap_or_default()
    }

    fn signature(&self) -> &[u8] {
        self.decoded.get(self.signature.clone()).unwrap_or_default()
    }
}

/// Splits a token into what is signed, its header, its payload, and the signature.
fn split(token: &str) -> Option<(&str, &str, &str, &str)> {
    let mut dots = memchr::memchr_iter(b'.', token.as_bytes());
    let (first, second) = (dots.next()?, dots.next()?);
    if dots.next().is_some() {
        return None;
    }
    let (message, signature) = (token.get(..second)?, token.get(second + 1..)?);
    Some((message, token.get(..first)?, token.get(first + 1..second)?, signature))
}

/// The JOSE header (RFC 7515 §4), as far as it may say anything.
struct Header<'t>(Json<'t>);

impl<'t> Header<'t> {
    fn read(token: &'t Token<'_>, rules: &JwtRules) -> Result<Self, Rejection> {
        let header = match json::parse(token.header()) {
            Ok(object @ Json::Object(_)) => Self(object),
            Ok(_) => return Err(malformed("the header is not a JSON object")),
            Err(fault) => return Err(malformed(format!("the header {fault}"))),
        };
        if let Some(name) = FORBIDDEN.iter().find(|name| header.0.get(name).is_some()) {
            return Err(malformed(format!("the header has `{name}`; such tokens are refused")));
        }
        let [alg, typ, _kid] = [header.text("alg")?, header.text("typ")?, header.text("kid")?];
        if alg.is_none() {
            return Err(malformed("the header has no `alg`"));
        }
        if typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(malformed("the header's `typ` is not `JWT`"));
        }
        // A missing `kid` is the key's matter.
        let mut required = rules.required_header.iter().filter(|name| *name != "kid");
        match required.find(|name| header.get(name).is_none()) {
            Some(name) => Err(malformed(format!("the header has no `{name}`"))),
            None => Ok(header),
        }
    }

    #[inline]
    fn get(&self, name: &str) -> Option<&Json<'t>> {
        self.0.get(name).filter(|value| **value != Json::Null)
    }

    /// A member that must be a string where it is present.
    fn text(&self, name: &str) -> Result<Option<&str>, Rejection> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.as_str();
        text.map(Some).ok_or_else(|| malformed(format!("the header's `{name}` is not a string")))
    }

    /// The token's algorithm, if the dialect allows it and some key is pinned to it.
    fn algorithm(&self, rules: &JwtRules, keyring: &Keyring) -> Result<Algorithm, Rejection> {
        let refused = |detail: &'static str| Rejection::new(Reason::UnsupportedAlgorithm, detail);
        let algorithm = self
            .text("alg")?
            .and_then(Algorithm::from_name)
            .filter(|algorithm| rules.algorithms.contains(algorithm))
            .ok_or_else(|| refused("the token's `alg` is not one of this dialect's"))?;
        if keyring.keys().iter().any(|key| key.algorithm() == algorithm) {
            return Ok(algorithm);
        }
        match keyring.is_incomplete() {
            true => Err(Rejection::new(Reason::Unavailable, KEYS_TO_COME)),
            false => Err(refused("no key of this site is for the token's `alg`")),
        }
    }
}

/// The key that signed the token, if it is in force.
fn signer<'k>(
    rules: &JwtRules,
    token: &Token<'_>,
    header: &Header<'_>,
    algorithm: Algorithm,
    keyring: &'k Keyring,
    now: UnixTime,
) -> Result<&'k Arc<Key>, Rejection> {
    let (named, only) = named_key(rules, token, header, keyring)?;
    let fits = |key: &&Arc<Key>| {
        key.algorithm() == algorithm && key.verifies(token.message.as_bytes(), token.signature())
    };
    let Some(key) = keyring.candidates(named, only, now).find(fits) else {
        return Err(match named.and_then(|id| keyring.get(id)).filter(|_| only) {
            Some(key) => Rejection::new(Reason::BadSignature, NO_KEY_FITS).with_key(key.id()),
            None => no_key(Reason::BadSignature, keyring),
        });
    };
    let detail = match key.state(now) {
        KeyState::Active => return Ok(key),
        KeyState::Scheduled => "the key that fits is not in force yet (`not_before`)",
        KeyState::Lapsed => "the key that fits is no longer in force (`not_after`)",
    };
    Err(Rejection::new(Reason::KeyExpired, detail).with_key(key.id()))
}

/// That no key fits, or that the one that does may still come.
fn no_key(reason: Reason, keyring: &Keyring) -> Rejection {
    match keyring.is_incomplete() {
        true => Rejection::new(Reason::Unavailable, KEYS_TO_COME),
        false => Rejection::new(reason, NO_KEY_FITS),
    }
}

/// Whether a token that was turned away names a key that is not there.
pub(super) fn names_unknown_key(rules: &JwtRules, token: &str, keyring: &Keyring) -> bool {
    let named = || -> Option<bool> {
        let token = Token::decode(token).ok()?;
        let header = Header::read(&token, rules).ok()?;
        let id = match &rules.key {
            KeySelection::Claim(claim) => Some(claimed_key(claim, &token).ok()??),
            _ => header.text("kid").ok()?.map(str::to_owned),
        };
        Some(id.is_some_and(|id| keyring.get(&id).is_none()))
    };
    named().unwrap_or(false)
}

/// The key's id, out of the one claim that is read before the signature holds; it only
/// chooses among our keys.
fn claimed_key(claim: &str, token: &Token<'_>) -> Result<Option<String>, Rejection> {
    let claims = Claims::parse(token.payload())?;
    let id = claims.get(claim).and_then(Json::as_str).and_then(|id| id.rsplit('/').next());
    Ok(id.map(str::to_owned))
}

/// The id of the key that the token names, and whether no other may have signed it.
fn named_key<'k>(
    rules: &JwtRules,
    token: &Token<'_>,
    header: &Header<'_>,
    keyring: &'k Keyring,
) -> Result<(Option<&'k str>, bool), Rejection> {
    let unknown = || no_key(Reason::UnknownKey, keyring);
    let known = |id: &str| keyring.get(id).map(|key| &**key.id());
    let kid = header.text("kid")?;
    if kid.is_none() && rules.required_header.iter().any(|name| name == "kid") {
        return Err(Rejection::new(Reason::UnknownKey, NO_KEY_FITS));
    }
    match (&rules.key, kid) {
        (KeySelection::Any, _) | (KeySelection::KidIfPresent, None) => Ok((None, false)),
        (KeySelection::KidOrAny, kid) => Ok((kid.and_then(known), false)),
        (KeySelection::Kid | KeySelection::KidIfPresent, kid) => {
            let kid = kid.ok_or_else(|| Rejection::new(Reason::UnknownKey, NO_KEY_FITS))?;
            Ok((Some(known(kid).ok_or_else(unknown)?), true))
        }
        (KeySelection::Claim(claim), _) => {
            let id = claimed_key(claim, token)?;
            Ok((Some(id.as_deref().and_then(known).ok_or_else(unknown)?), true))
        }
    }
}

/// Whether a value is a token, good or bad: three base64url parts, the first a JSON
/// object. Generous: what some backend might read as a token is judged, never passed on.
pub(super) fn has_shape(value: &str) -> bool {
    const GENEROUS: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let Some((_, header, _, _)) = split(value) else { return false };
    // Without an early exit, so that the compiler looks at many bytes at once.
    let foreign =
        |byte: u8| !(byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_' | b'=' | b'.'));
    if value.bytes().fold(false, |any, byte| any | foreign(byte)) {
        return false;
    }
    GENEROUS.decode(header).is_ok_and(|header| match json::parse(&header) {
        Ok(value) => matches!(value, Json::Object(_)),
        Err(Fault::Duplicate | Fault::Depth) => header.trim_ascii_start().starts_with(b"{"),
        Err(Fault::Syntax) => false,
    })
}

fn malformed(detail: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::Malformed, detail)
}

#[cfg(test)]
mod tests;
