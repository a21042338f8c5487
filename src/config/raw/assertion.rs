//! What signs what backends are told: `assertion`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{List, Period, Secret};

/// Sign what backends are told, as `Countersign-Assertion`. `{}`: with a generated key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// Private keys in PEM (PKCS#8, P-256): the first one signs, all are published. Absent: one
    /// is generated, and kept where an embedded store is.
    pub keys: Option<List<Secret>>,
    /// How long an assertion holds, 2s to 60s (default 60s); it serves again for half of that.
    pub ttl: Option<Period>,
    /// Who signs (default countersign).
    pub issuer: Option<String>,
}
