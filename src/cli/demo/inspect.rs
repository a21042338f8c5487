//! The page's inspector: the report of `countersign explain` for a credential that the page
//! has sent. It is made on this machine, by the very rules that judged the request.

use serde::Deserialize;
use serde_json::Value;

use super::gateway::{Gateway, System};
use crate::clock::UnixTime;
use crate::config;
use crate::dialect::diagnosis::{self, Case, Party, Presented};

/// What was sent.
#[derive(Deserialize)]
struct Sent {
    /// The token or the hash, if there was one.
    credential: Option<String>,
    /// The id beside a hash.
    id: Option<String>,
}

/// Every check of what a request presented to a system, as JSON.
///
/// # Errors
/// A sentence: the question or the configuration cannot be read.
pub fn report(gateway: &Gateway, system: &System, question: &[u8]) -> Result<Value, String> {
    let sent: Sent = serde_json::from_slice(question).map_err(|error| error.to_string())?;
    let (plan, written) =
        config::load_for_diagnosis(&gateway.file()).map_err(|problems| problems.to_string())?;
    let parties = plan.sites.iter().map(|site| Party {
        name: &site.name,
        dialect: &site.dialect,
        keyring: &site.keyring,
        written: written.get(&*site.name).map_or(&[], Vec::as_slice),
    });
    let (own, others): (Vec<_>, Vec<_>) = parties.partition(|party| party.name == system.name);
    let presented = sent.credential.map(|credential| Presented {
        proof: Some(credential.into()),
        id: sent.id.map(Into::into),
        ..Presented::default()
    });
    let report = diagnosis::diagnose(&Case {
        site: *own.first().ok_or("there is no such site")?,
        others: &others,
        presented: presented.as_slice(),
        now: UnixTime::now(),
    });
    serde_json::to_value(report).map_err(|error| error.to_string())
}
