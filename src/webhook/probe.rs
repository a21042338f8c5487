//! A subscription's receiver, tried out on an operator's behalf: the challenge, what it says
//! of other origins, TLS, and an event that is made up.

use serde::Serialize;

use super::Webhooks;
use crate::plan::{Site, Webhook};

/// What was found, as the admin API answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The challenge; where it is met, the subscription is confirmed with it.
    pub echo: Finding,
    /// What it answers to requests from the site's own pages (CORS). LiveSupporti asks for
    /// it; nothing here needs it.
    pub cors: Finding,
    /// Which version of TLS it speaks, if any.
    pub tls: Finding,
    /// An event about a visitor who is made up, signed as all are.
    pub delivery: Finding,
    /// How long the answer to the event took, in milliseconds.
    pub latency_ms: u64,
}

/// One thing that was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// It is as it should be.
    pub ok: bool,
    /// The status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What was found, in a sentence without secrets.
    pub detail: String,
}

impl Webhooks {
    /// Tries a subscription's receiver. Takes as long as the receiver does, a minute at most.
    pub async fn test(&self, _site: &Site, _webhook: &Webhook) -> Report {
        Report::default()
    }
}
