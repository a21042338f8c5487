//! What entries of the log name alone, fetched: visitors of whom something was said, and
//! subscriptions.
//!
//! What is fetched may be newer than the entry, never older. It is taken over where the entry
//! stands: whoever is forgotten before and comes back behind keeps what was said since.

use std::collections::HashMap;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;

use super::entry::{Entry, Said};
use super::layout;
use super::link::Trouble;
use super::shared::Shared;
use super::visits::{self, Name};
use crate::store::change::Change;
use crate::store::visits::Visit;

/// What was fetched.
#[derive(Default)]
pub struct Told {
    visitors: HashMap<Name, Option<Visit>>,
    subscriptions: HashMap<Name, Option<String>>,
}

impl Told {
    /// Fetches what these entries name.
    ///
    /// # Errors
    /// Redis cannot be read.
    pub async fn fetch(
        connection: &mut MultiplexedConnection,
        entries: &[Entry],
    ) -> Result<Self, Trouble> {
        let mut told = Self::default();
        for entry in entries {
            match &entry.said {
                Said::Posted(site, visitor) => {
                    told.visitors.insert((site.clone(), visitor.clone()), None);
                }
                Said::Subscribed(site, webhook) => {
                    told.subscriptions.insert((site.clone(), webhook.clone()), None);
                }
                _ => {}
            }
        }
        let names: Vec<Name> = told.visitors.keys().cloned().collect();
        let visits = visits::fetch_visits(connection, &names).await?;
        told.visitors = names.into_iter().zip(visits).collect();
        for ((site, webhook), entry) in &mut told.subscriptions {
            let name = format!("{site}/{webhook}");
            let mut fetch = redis::cmd("HGET");
            *entry = fetch.arg(layout::SUBSCRIPTIONS).arg(name).query_async(connection).await?;
        }
        Ok(told)
    }

    /// Takes over what is known of a visitor.
    pub fn visitor(&self, name: Name, shared: &Shared) {
        shared.know(&name, self.visitors.get(&name).cloned().flatten());
    }

    /// Takes over a subscription, or its end.
    pub fn subscription(&self, name: Name, shared: &Shared) {
        let entry = self.subscriptions.get(&name).cloned().flatten().map(Arc::from);
        let (site, webhook) = name;
        shared.memory.apply(&Change::Subscription { site, webhook, entry });
    }
}
