//! How a vendor signs identity, as data, and the proof itself.
//!
//! A [`Dialect`] is a resolved recipe: where a request carries the credential
//! ([`Carrier`]), how it is checked ([`Mechanism`]), which claims mean what
//! ([`ClaimRules`]) and which request fields claim identity without proof
//! ([`UnsignedRules`]). [`Dialect::verify`] is the one way to an [`Identity`].
//!
//! Everything here is pure: time is an argument, nothing is read from outside.

pub mod builtin;
mod carrier;
pub mod claims;
pub mod diagnosis;
pub mod digest;
#[cfg(test)]
pub(crate) mod founding;
pub mod fresh;
pub mod json;
pub mod jwk;
pub mod jwt;
pub mod keyring;
pub(crate) mod pem;
pub mod placeholder;
mod pointer;
mod rejection;
pub mod sample;
pub mod sign;
mod signer;
mod times;

use std::borrow::Cow;
use std::sync::Arc;

pub use carrier::{Carrier, Names, Part, Source};
pub use claims::is_id;
pub use keyring::{Key, Keyring};
pub use pointer::{FieldName, Pointer};
pub use rejection::{Reason, Rejection};
pub use signer::Signer;

use crate::clock::UnixTime;
use crate::identity::Identity;

/// A site's resolved recipe: the vendor's rules with the site's own settings
/// (`audience`, `issuer`, `id_claim`, `require_claims`, `leeway`, `sources`) worked in.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// `zendesk-chat`, …; metric label and `Countersign-Dialect`.
    pub name: Arc<str>,
    /// What people call it.
    pub title: String,
    /// The vendor's page.
    pub documented_at: Option<String>,
    /// Where a request may carry the credential.
    pub sources: Vec<Source>,
    /// How the credential is checked.
    pub mechanism: Mechanism,
    /// Which request fields claim identity without proof.
    pub unsigned: UnsignedRules,
}

/// What a request presented as proof.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential<'a> {
    /// A compact JWS (RFC 7515 §3.1).
    Token(Cow<'a, str>),
    /// A message authentication code over fields that lie beside it.
    Hash(Hash<'a>),
}

/// A message authentication code and the fields that it may cover; absent is `None`,
/// never empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hash<'a> {
    /// The code itself, as sent.
    pub proof: Cow<'a, str>,
    /// The id beside it.
    pub id: Option<Cow<'a, str>>,
    /// The email beside it.
    pub email: Option<Cow<'a, str>>,
    /// The name beside it.
    pub name: Option<Cow<'a, str>>,
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(token) => write!(f, "Token({} bytes)", token.len()),
            Self::Hash(hash) => hash.fmt(f),
        }
    }
}

impl std::fmt::Debug for Hash<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({} bytes)", self.proof.len())
    }
}

/// The closed set of ways to prove.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one a site, and never moved by a request")]
pub enum Mechanism {
    /// A signed token.
    Jwt(JwtRules),
    /// A keyed hash over fields of the request.
    Hmac(HmacRules),
}

/// Rules for tokens. Durations are whole seconds.
#[derive(Clone, Debug)]
pub struct JwtRules {
    /// What the dialect allows; each key is pinned to one of them.
    pub algorithms: Vec<Algorithm>,
    /// How `kid` chooses among the site's keys.
    pub key: KeySelection,
    /// Header members that must be present (RingCentral: `typ`, `alg`, `kid`).
    pub required_header: Vec<String>,
    /// Longest token in bytes; one byte more is `too_large`.
    pub max_bytes: usize,
    /// Beyond this many bytes `sign` warns that the vendor's own widget will not carry it.
    pub warn_bytes: Option<usize>,
    /// How far ahead `iat` and `nbf` may lie.
    pub leeway_iat: u64,
    /// How long past `exp` a token still passes: expired is `now − leeway ≥ exp`.
    pub leeway_exp: u64,
    /// Longest `exp − iat`, inclusive.
    pub max_lifetime: Option<u64>,
    /// A token without `exp` ends this long after `iat`.
    pub lifetime_without_exp: Option<u64>,
    /// Least time that must be left when presented.
    pub min_remaining: u64,
    /// A token serves once: it needs a `jti`, and a repeat is `replayed`.
    pub single_use: bool,
    /// Which claims mean what.
    pub claims: ClaimRules,
}

/// JWS algorithms (RFC 7518 §3.1, RFC 8037 §3.1) that Countersign verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // named by their RFC
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS512,
    PS256,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: &[Algorithm] = &[
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS512,
        Self::PS256,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The registered name, case-sensitive.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm of that registered name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.name() == name)
    }

    /// Whether it needs a shared secret rather than a public key.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// How a token's `kid` chooses among the site's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySelection {
    /// Must be present and match.
    Kid,
    /// Must match if present; without one every key is tried.
    KidIfPresent,
    /// A hint: the key it names first, then every other.
    KidOrAny,
    /// Not looked at: every key is tried.
    Any,
    /// The key's id stands in this claim instead (its last path segment, as Tiledesk's `aud`).
    Claim(String),
}

/// Which claims mean what.
#[derive(Clone, Debug, Default)]
pub struct ClaimRules {
    /// Where the id stands; the first that is present wins.
    pub id: Vec<Pattern>,
    /// A token without an id still proves (Amazon Connect).
    pub id_optional: bool,
    /// Where the name stands.
    pub name: Vec<Pattern>,
    /// Where the email stands.
    pub email: Vec<Pattern>,
    /// What `Countersign-Attributes` is made of.
    pub attributes: Attributes,
    /// Top-level claims that stay among the attributes although they gave id, name or email.
    pub keep: Vec<String>,
    /// Claims that must be present, with their types.
    pub required: Vec<(Pointer, ClaimType)>,
    /// Claims whose types are checked if they are present.
    pub optional: Vec<(Pointer, ClaimType)>,
    /// Which claim must hold the site's audience.
    pub audience: AudienceRule,
    /// The site's audiences.
    pub audiences: Vec<String>,
    /// The site's issuer, if `iss` must equal one.
    pub issuer: Option<String>,
}

/// A claim, or text made of several: `/screenname`, `"{/firstname} {/lastname}"`.
/// Absent parts are left out and the result is trimmed; empty means absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// The claim itself.
    Claim(Pointer),
    /// Text with claims in it.
    Text(Vec<Piece>),
}

/// A piece of a [`Pattern::Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Literal(String),
    /// A claim's text.
    Claim(Pointer),
}

/// What `Countersign-Attributes` is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Attributes {
    /// Every claim but `iss sub aud exp nbf iat jti` and those that gave id, name, email.
    #[default]
    Rest,
    /// The object at this place, whole.
    At(Pointer),
    /// Nothing.
    None,
}

/// The type that a claim must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimType {
    /// A non-empty string.
    String,
    /// A JSON integer of seconds, 0 ≤ t < 10^11.
    Time,
    /// An object of string → string, with keys of at least one character.
    Strings,
    /// An object.
    Object,
    /// `true` or `false`.
    Boolean,
    /// Anything but `null`.
    Any,
    /// Exactly this string: what the same key signs for other purposes is no identity.
    Exactly(String),
}

/// Which claim must hold the site's audience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudienceRule {
    /// None is looked at.
    #[default]
    None,
    /// `aud` (string or array of strings): if the token has one, the site's must be among
    /// it, also when the site has none (RFC 7519 §4.1.3); if the site has one, the token must.
    Aud,
    /// `sub` must equal the site's audience (Amazon Connect's widget id).
    Sub,
}

/// Rules for keyed hashes.
#[derive(Clone, Debug)]
pub struct HmacRules {
    /// The hash function.
    pub hash: HashFunction,
    /// What is hashed.
    pub message: Vec<MessagePiece>,
    /// How the code is written.
    pub output: Output,
}

/// Hash functions for [`HmacRules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

/// How a code is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Lower-case hexadecimal.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// A piece of a hashed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagePiece {
    /// As it stands.
    Literal(String),
    /// One field, or the first present of several (`{id|email}`).
    Field(Vec<HashField>),
}

/// A field that a hash may cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum HashField {
    Id,
    Email,
    Name,
}

/// Which request fields claim identity without proof, and what becomes of them.
#[derive(Clone, Debug, Default)]
pub struct UnsignedRules {
    /// Fields that claim identity, wherever a backend could read them.
    pub fields: Vec<UnsignedField>,
    /// Names (a final `*` is a prefix) that are no identity: they stay and are copied
    /// into `Countersign-Claimed`.
    pub copied: Vec<FieldName>,
    /// Prefix that marks unsigned attributes (Amazon's `HostedWidget-`); a signed
    /// attribute may not begin with it.
    pub prefix: Option<String>,
}

/// One field that claims identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedField {
    /// The field's own name, as the dialect spells it.
    pub name: FieldName,
    /// The claim or hash field that would prove it, if the dialect ever signs it.
    pub proof: Option<FieldProof>,
    /// An object in a JSON body under this name stays, its keys marked with this prefix
    /// (Amazon's `Attributes`, `HostedWidget-`).
    pub prefix: Option<String>,
}

/// What a signature would have to cover to prove an [`UnsignedField`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldProof {
    /// The claim at this place.
    Claim(Pointer),
    /// A field of the hashed message.
    Hashed(HashField),
}

impl Dialect {
    /// Judges one credential against the site's keys at a moment.
    ///
    /// # Errors
    /// The first failing check, in the order of [`Reason`].
    ///
    /// # Cost
    /// One signature verification per key tried, and a single pass over the claims.
    pub fn verify(
        &self,
        credential: &Credential<'_>,
        keyring: &Keyring,
        now: UnixTime,
    ) -> Result<Identity, Rejection> {
        match (&self.mechanism, credential) {
            (Mechanism::Jwt(rules), Credential::Token(token)) => {
                jwt::verify(rules, &self.unsigned, token, keyring, now)
            }
            (Mechanism::Hmac(rules), Credential::Hash(hash)) => {
                digest::verify(rules, &self.unsigned, hash, keyring, now)
            }
            _ => Err(Rejection::new(
                Reason::Malformed,
                "the credential is of another kind than this site's dialect",
            )),
        }
    }

    /// Whether a credential that was turned away names a key that the keyring does not have:
    /// then newer keys, fetched from where the site's come from, might verify it.
    pub fn names_unknown_key(&self, credential: &Credential<'_>, keyring: &Keyring) -> bool {
        match (&self.mechanism, credential) {
            (Mechanism::Jwt(rules), Credential::Token(token)) => {
                jwt::names_unknown_key(rules, token, keyring)
            }
            _ => false,
        }
    }

    /// Whether a value in a shared place has this dialect's shape: a JWT (three base64url
    /// parts, the first a JSON object), or a hash (its length and alphabet).
    pub fn has_shape(&self, value: &str) -> bool {
        match &self.mechanism {
            Mechanism::Jwt(_) => jwt::has_shape(value),
            Mechanism::Hmac(rules) => digest::has_shape(rules, value),
        }
    }

    /// The mechanism's word in metrics: `jwt` or `hmac`.
    pub fn scheme(&self) -> &'static str {
        match &self.mechanism {
            Mechanism::Jwt(_) => "jwt",
            Mechanism::Hmac(_) => "hmac",
        }
    }

    /// Longest credential in bytes; one byte more is `too_large`.
    pub fn max_bytes(&self) -> usize {
        match &self.mechanism {
            Mechanism::Jwt(rules) => rules.max_bytes,
            Mechanism::Hmac(_) => digest::MAX_BYTES,
        }
    }
}
