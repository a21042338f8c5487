//! Subscriptions that are made and ended through the admin API.

use std::sync::Arc;

use super::Webhooks;
use crate::config;
use crate::plan::{Site, Webhook};
use crate::store::{Change, Outage};

/// Why a subscription was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The entry is not one: what is wrong with it, in sentences.
    #[error("{0}")]
    Invalid(String),
    /// The site has one of this name already.
    #[error("the site has a subscription of this name already")]
    Exists,
    /// It could not be made durable.
    #[error(transparent)]
    Store(#[from] Outage),
}

/// What became of ending a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsubscribed {
    /// It has ended, and nothing that was kept for it is left.
    Done,
    /// The configuration file says that it is there: it has to be taken out there.
    OfConfiguration,
    /// There is none of this name.
    Unknown,
}

impl Webhooks {
    /// Makes a subscription out of an entry of `webhooks:` in JSON; it is asked to confirm
    /// itself at once.
    ///
    /// # Errors
    /// Nothing has changed.
    pub async fn subscribe(
        &self,
        site: &Site,
        entry: &str,
    ) -> Result<Arc<Webhook>, SubscribeError> {
        let webhook = config::subscription(entry, site).map_err(SubscribeError::Invalid)?;
        if self.subscriptions(site).iter().any(|other| other.name == webhook.name) {
            return Err(SubscribeError::Exists);
        }
        let (name, entry) = (webhook.name.clone(), Some(entry.into()));
        let change = Change::Subscription { site: site.name.clone(), webhook: name, entry };
        self.store.write(change).await?;
        Ok(Arc::new(webhook))
    }

    /// Ends one that was made so, and drops what is kept for it.
    ///
    /// # Errors
    /// It could not be made durable.
    pub async fn unsubscribe(&self, site: &Site, name: &str) -> Result<Unsubscribed, Outage> {
        if site.website.webhooks.iter().any(|own| *own.name == *name) {
            return Ok(Unsubscribed::OfConfiguration);
        }
        let subscribed = self.subscriptions(site);
        let Some(webhook) = subscribed.iter().find(|made| *made.name == *name) else {
            return Ok(Unsubscribed::Unknown);
        };
        let (site, webhook) = (site.name.clone(), webhook.name.clone());
        self.store.write(Change::Subscription { site, webhook, entry: None }).await?;
        Ok(Unsubscribed::Done)
    }
}
