//! Who somebody is, once proven ([`Identity`]), and what the backend is told of any
//! visitor, proven or not ([`Visitor`]).

use std::sync::Arc;

use crate::clock::UnixTime;
use crate::dialect::Reason;

/// What a credential proved. Born only in [`Identity::attest`], which only `dialect` calls,
/// and remembered as it was by `store` alone ([`Identity::remembered`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    proven: Proven,
}

/// The facts of an [`Identity`], as the dialect read them from a verified credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proven {
    /// The stable identity, 1–256 bytes of UTF-8 without control characters. Absent only
    /// where the dialect says that it is optional (Amazon Connect).
    pub id: Option<String>,
    /// Display name, if the signature covers one; at most 1024 bytes.
    pub name: Option<String>,
    /// Email address, if the signature covers one; at most 1024 bytes.
    pub email: Option<String>,
    /// The other signed attributes: one compact JSON object in ASCII, without the empty one.
    pub attributes: Option<String>,
    /// `id` of the key that verified.
    pub key: Arc<str>,
    /// Which key that was, whatever it is called: [`crate::dialect::Key::print`].
    pub print: u64,
    /// When the proof ends, if it does.
    pub expires: Option<UnixTime>,
    /// When the proof was issued, if it says so.
    pub issued_at: Option<UnixTime>,
    /// The credential's own id (`jti`), where its dialect lets it be used only once.
    pub single_use: Option<String>,
    /// Signed values of the dialect's identity fields, by the field's index in
    /// `Dialect::unsigned.fields`: a request field that equals its entry is proven.
    pub fields: Vec<(usize, String)>,
}

impl Identity {
    /// Turns facts that a signature covers into an identity.
    ///
    /// Only `dialect` may call this (held by `tests/tidy.rs`), and only after the
    /// signature and every claim have been checked.
    pub(crate) fn attest(proven: Proven) -> Self {
        Self { proven }
    }

    /// Brings back what was attested before and has been remembered since.
    ///
    /// Only `store` may call this (held by `tests/tidy.rs`), with what it was given as an
    /// [`Identity`].
    pub(crate) fn remembered(proven: Proven) -> Self {
        Self { proven }
    }
}

impl std::ops::Deref for Identity {
    type Target = Proven;

    fn deref(&self) -> &Proven {
        &self.proven
    }
}

/// Whom the backend is told of: a proven identity, or a guest and the reason why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Proven or not.
    pub standing: Standing,
    /// What was claimed without proof, under the request's own field names: one compact
    /// ASCII JSON object. Absent when there is none.
    pub claimed: Option<String>,
    /// What the website's server said of the visitor: one compact ASCII JSON object of
    /// texts. Absent when there is nothing.
    pub details: Option<Arc<str>>,
}

/// Whether a visitor is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A credential proved the identity.
    Verified(Identity),
    /// Nothing was proven; the reason says why.
    Guest(Reason),
}

impl Visitor {
    /// The proven identity, if there is one.
    pub fn identity(&self) -> Option<&Identity> {
        match &self.standing {
            Standing::Verified(identity) => Some(identity),
            Standing::Guest(_) => None,
        }
    }
}
