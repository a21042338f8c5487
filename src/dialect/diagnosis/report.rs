//! What a diagnosis says: the same for terminals, programs and pages.
//!
//! As JSON: `{"verified": bool, "code": null | "…", "checks": [{"name", "ok", "detail"}],
//! "hints": ["…"]}`. `code` is the reason in the vocabulary of refusals, `null` when
//! verified. `ok` is `true`, `false` for the one check that failed, and `null` for those
//! after it, which were not judged.

use serde::{Serialize, Serializer};

use crate::dialect::Reason;

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the site's dialect and keys prove it at that moment.
    pub verified: bool,
    /// Why not.
    #[serde(serialize_with = "code")]
    pub code: Option<Reason>,
    /// Every check in the order in which they run.
    pub checks: Vec<Check>,
    /// The likely fix, the likeliest first. May also warn about a verified credential.
    pub hints: Vec<Hint>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// One word: `size`, `signature`, …
    pub name: &'static str,
    /// Whether it held; `None` where it was not judged.
    pub ok: Option<bool>,
    /// What was found, in a few words or one sentence.
    pub detail: String,
}

/// A sentence that says what to mend. In JSON the sentence alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Hint {
    /// The mistake in one word, for tests and programs in this process.
    #[serde(skip)]
    pub cause: &'static str,
    /// The sentence.
    pub text: String,
}

impl Hint {
    /// A hint with its cause.
    pub fn new(cause: &'static str, text: impl Into<String>) -> Self {
        Self { cause, text: text.into() }
    }
}

impl Report {
    /// The check that failed.
    pub fn failed(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.ok == Some(false))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn code<S: Serializer>(reason: &Option<Reason>, serializer: S) -> Result<S::Ok, S::Error> {
    reason.map(Reason::code).serialize(serializer)
}
