//! The subscriptions that were made through the admin API, and what receivers said of all.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::change::{Change, Confirmation};

/// The subscriptions of a site.
#[derive(Default)]
pub struct Subscriptions(RwLock<Known>);

#[derive(Default)]
struct Known {
    /// Entries as they would stand in the configuration, in JSON, by name.
    entries: BTreeMap<Arc<str>, Arc<str>>,
    confirmations: BTreeMap<Arc<str>, Confirmation>,
}

impl Subscriptions {
    /// Makes a subscription, or ends it.
    pub fn set(&self, webhook: &Arc<str>, entry: Option<&Arc<str>>) {
        let mut known = self.0.write();
        match entry {
            Some(entry) => _ = known.entries.insert(webhook.clone(), entry.clone()),
            None => {
                known.entries.remove(webhook);
                known.confirmations.remove(webhook);
            }
        }
    }

    /// A receiver has said something; what it said later before stays.
    pub fn confirm(&self, webhook: &Arc<str>, confirmation: &Confirmation) {
        let mut known = self.0.write();
        let before = known.confirmations.get(webhook);
        if before.is_none_or(|before| before.at <= confirmation.at) {
            known.confirmations.insert(webhook.clone(), confirmation.clone());
        }
    }

    /// The entries, by name.
    pub fn entries(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let known = self.0.read();
        known.entries.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect()
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.0.read().entries.is_empty()
    }

    /// What a receiver said last.
    pub fn confirmation(&self, webhook: &str) -> Option<Confirmation> {
        self.0.read().confirmations.get(webhook).cloned()
    }

    /// Every change that would make none into these.
    pub fn each_change(&self, site: &Arc<str>, tell: &mut impl FnMut(Change)) {
        let known = self.0.read();
        for (webhook, entry) in &known.entries {
            let (site, webhook, entry) = (site.clone(), webhook.clone(), Some(entry.clone()));
            tell(Change::Subscription { site, webhook, entry });
        }
        for (webhook, confirmation) in &known.confirmations {
            let (site, webhook) = (site.clone(), webhook.clone());
            let confirmation = confirmation.clone();
            tell(Change::Confirmation { site, webhook, confirmation });
        }
    }
}
