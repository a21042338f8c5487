//! How a subscription is: whether its receiver has said that it wants to hear.

use serde::Serialize;

use super::Webhooks;
use crate::plan::{Site, Webhook};
use crate::store::outbox::Hook;

/// How a subscription is, as the admin API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether events are delivered.
    pub state: State,
    /// Since when, in Unix seconds; none where nothing has been heard of its receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Why its receiver could not be asked, or what was wrong with the answer: a sentence
    /// without secrets, if this process has tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Whether events are delivered to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its receiver has not answered the challenge yet: nothing is delivered.
    Unverified,
    /// It has.
    Active,
    /// It answered an event with 410 (Gone), and has to answer the challenge again.
    Stopped,
}

impl Webhooks {
    /// How a subscription of a site is.
    pub fn status(&self, site: &Site, webhook: &Webhook) -> Status {
        let hook = Hook { site: site.name.clone(), name: webhook.name.clone() };
        let problem = self.endpoints.lock().get(&hook).and_then(|endpoint| endpoint.trouble());
        match self.said(&site.name, webhook) {
            None => Status { state: State::Unverified, since: None, problem },
            Some(said) => {
                let state = if said.wanted { State::Active } else { State::Stopped };
                Status { state, since: Some(said.at.as_secs()), problem }
            }
        }
    }
}
