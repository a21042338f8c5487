//! Why a credential fails, for people: every check in its order, and the likely fix.
//!
//! [`diagnose`] first lets the dialect judge as it judges every request: nothing here
//! has a say in that. Where the answer is no, the usual mistakes of websites are tried one
//! after the other (the secret decoded or not, other hashes, another field, milliseconds,
//! another site's key, …), and what fits is named as a [`Hint`].
//!
//! - A mistake that is found is never accepted: what is tried can only become a sentence.
//! - No sentence holds a secret, a token, a hash, or anything from which one could be made.
//!   Claims are quoted (shortened, control characters escaped), for the report is read by
//!   whoever holds the credential.
//! - Nothing leaves the machine; time is an argument.
//!
//! Caveat: some mistakes can only be told apart where the secret is known as it was
//! written ([`Written`]). Without it those trials are left out.

mod afterwards;
mod checks;
mod claims;
mod digests;
mod form;
mod hashes;
mod hints;
mod purpose;
mod report;
mod secrets;
mod sentences;
mod signature;
mod times;
mod token;

use std::borrow::Cow;
use std::sync::Arc;

pub use report::{Check, Hint, Report};

use super::{Credential, Dialect, Keyring};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// What is to be explained.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The site that judges.
    pub site: Party<'a>,
    /// The other sites of the configuration: a credential may be meant for one of them.
    pub others: &'a [Party<'a>],
    /// What the request presented: usually one, none for a request without, several where
    /// several sources carry one.
    pub presented: &'a [Presented<'a>],
    /// When.
    pub now: UnixTime,
}

/// A site, as far as a diagnosis needs it.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// Its rules.
    pub dialect: &'a Dialect,
    /// Its keys.
    pub keyring: &'a Keyring,
    /// Its keys as they were written, where they are known; may be empty.
    pub written: &'a [Written],
}

/// A key as somebody wrote it: the text of a secret before it is decoded, or the PEM of a
/// public key.
#[derive(Clone, Debug)]
pub struct Written {
    /// The key's id.
    pub key: Arc<str>,
    /// The text.
    pub text: Secret,
}

/// What a request presented, sound or not. For tokens only `proof` counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented<'a> {
    /// The token, or the hash.
    pub proof: Option<Cow<'a, str>>,
    /// The id beside a hash.
    pub id: Option<Cow<'a, str>>,
    /// The email beside it: hashed where the dialect says so, and by mistake elsewhere.
    pub email: Option<Cow<'a, str>>,
    /// The name beside it.
    pub name: Option<Cow<'a, str>>,
}

impl<'a> Presented<'a> {
    /// Only a token, or only a hash.
    pub fn proof(proof: &'a str) -> Self {
        Self { proof: Some(proof.into()), ..Self::default() }
    }
}

impl<'a> From<&Credential<'a>> for Presented<'a> {
    fn from(credential: &Credential<'a>) -> Self {
        match credential {
            Credential::Token(token) => Self { proof: Some(token.clone()), ..Self::default() },
            Credential::Hash(hash) => Self {
                proof: Some(hash.proof.clone()),
                id: hash.id.clone(),
                email: hash.email.clone(),
                name: hash.name.clone(),
            },
        }
    }
}

/// Judges what was presented, check by check, and looks for the mistake behind a refusal.
///
/// # Cost
/// A verified credential costs one verification more than a request; a refused one up to
/// some ten thousand hashes, a few milliseconds. Not for the path of requests.
pub fn diagnose(case: &Case<'_>) -> Report {
    checks::judge(case)
}
