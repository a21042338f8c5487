//! Asking the website's server about a verified visitor whose chat begins (`enrich:`).

use std::sync::Arc;

use super::Webhooks;
use crate::identity::Identity;
use crate::plan::Site;

/// About whom is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The verified id.
    pub id: Arc<str>,
    /// The signed name, if there is one.
    pub name: Option<String>,
    /// The signed email, if there is one.
    pub email: Option<String>,
    /// The request that gave rise to it.
    pub request_id: Arc<str>,
}

impl Webhooks {
    /// Asks in the background; the answer comes with a later request. Does nothing where
    /// nobody is to be asked, or where an answer still holds.
    pub fn enrich(self: &Arc<Self>, _site: &Site, _question: Question) {}

    /// The same for any request of somebody verified whose chat has begun, if what was
    /// answered holds no longer. Costs one look-up.
    pub fn enrich_if_stale(
        self: &Arc<Self>,
        _site: &Site,
        _identity: &Identity,
        _request_id: &str,
    ) {
    }
}
