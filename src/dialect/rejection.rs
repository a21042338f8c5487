//! Why a request is turned away or downgraded: one closed vocabulary of words, the same
//! in problem `code`, `Countersign-Reason`, log field, metric label and documentation.

use std::borrow::Cow;
use std::sync::Arc;

macro_rules! reasons {
    ($($variant:ident $code:literal $status:literal $doc:literal,)*) => {
        /// A reason, in the order in which the checks run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $(#[doc = $doc] $variant,)* }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The word itself: metric label, log field, problem code, docs anchor.
            pub const fn code(self) -> &'static str {
                match self { $(Reason::$variant => $code,)* }
            }

            /// HTTP status of a refusal for this reason.
            pub const fn status(self) -> u16 {
                match self { $(Reason::$variant => $status,)* }
            }
        }
    };
}

reasons! {
    NotChecked "not_checked" 401 "The route is `off`, or the request is a preflight: identity was not looked at.",
    Missing "missing" 401 "No credential and no identity field.",
    Unsigned "unsigned" 401 "Identity fields without any credential.",
    Ambiguous "ambiguous" 400 "Two sources carry different credentials.",
    OriginNotAllowed "origin_not_allowed" 403 "A cookie credential or an upgrade from a foreign `Origin`.",
    TooLarge "too_large" 401 "The credential is larger than its dialect allows.",
    Malformed "malformed" 401 "The credential does not have its dialect's form.",
    UnsupportedAlgorithm "unsupported_algorithm" 401 "The token's `alg` is not one this site verifies.",
    UnknownKey "unknown_key" 401 "The token's `kid` is missing or names no key of this site.",
    KeyExpired "key_expired" 401 "The key that fits is outside its `not_before`/`not_after`.",
    BadSignature "bad_signature" 401 "No key of this site fits.",
    MissingClaim "missing_claim" 401 "A required claim is absent.",
    InvalidClaim "invalid_claim" 401 "A claim has the wrong type or form.",
    PlaceholderIdentity "placeholder_identity" 401 "The id is an unfilled template such as `{user_id}` or `null`.",
    WrongAudience "wrong_audience" 401 "The token is meant for somebody else.",
    WrongIssuer "wrong_issuer" 401 "The token comes from somebody else.",
    Expired "expired" 401 "The token's time has passed.",
    NotYetValid "not_yet_valid" 401 "The token's time has not come.",
    LifetimeTooLong "lifetime_too_long" 401 "The token is valid for longer than its dialect allows.",
    Revoked "revoked" 401 "Issued before a logout.",
    Replayed "replayed" 401 "A single-use token was used before.",
    SessionConflict "session_conflict" 401 "Another identity is bound to this session.",
    Banned "banned" 403 "The identity is banned.",
    RateLimited "rate_limited" 429 "Too many requests.",
    Unavailable "unavailable" 503 "The keys or the state needed to judge are not there yet.",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

/// A credential that proves nothing: why, in one word and in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The word.
    pub reason: Reason,
    /// One helpful sentence for the website's developer; holds no secret, no token and
    /// nothing else that the client sent.
    pub detail: Cow<'static, str>,
    /// The configured key that the credential fits or names, where that is known.
    pub key: Option<Arc<str>>,
    /// Whose credential it was, where the signature holds and only its time has passed or
    /// not come: a ban is judged all the same.
    pub holder: Option<Box<str>>,
}

impl Rejection {
    /// A rejection with its sentence.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into(), key: None, holder: None }
    }

    /// Names whose credential it was.
    pub fn of(mut self, holder: Option<&str>) -> Self {
        self.holder = holder.map(Into::into);
        self
    }

    /// Names the configured key concerned.
    pub fn with_key(mut self, key: &Arc<str>) -> Self {
        self.key = Some(key.clone());
        self
    }
}
