//! Subscriptions that are made and ended through the admin API.

use std::sync::Arc;

use super::Webhooks;
use crate::config;
use crate::plan::{Site, Webhook};
use crate::store::outbox::{Depth, Hook};
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
        let webhook = config::subscription(entry, site.website.reach_of_made())
            .map_err(SubscribeError::Invalid)?;
        let is_it = |other: &Arc<Webhook>| other.name == webhook.name;
        if self.subscriptions(site).iter().any(is_it) {
            return Err(SubscribeError::Exists);
        }
        let (name, entry) = (webhook.name.clone(), Some(entry.into()));
        let change = Change::Subscription { site: site.name.clone(), webhook: name, entry };
        self.store.write(change).await?;
        // The very one that is delivered to, if it can be found already.
        let made = self.subscriptions(site).into_iter().find(is_it);
        Ok(made.unwrap_or_else(|| Arc::new(webhook)))
    }

    /// Ends one that was made so, and drops what is kept for it. What is kept for one that is
    /// not there any more is dropped as well.
    ///
    /// # Errors
    /// It could not be made durable; to be tried again.
    pub async fn unsubscribe(&self, site: &Site, name: &str) -> Result<Unsubscribed, Outage> {
        if site.website.webhooks.iter().any(|own| *own.name == *name) {
            return Ok(Unsubscribed::OfConfiguration);
        }
        let hook = Hook { site: site.name.clone(), name: name.into() };
        let known = self.store.memory().site(&site.name);
        let known = known.map(|known| known.subscriptions().entries()).unwrap_or_default();
        if known.iter().any(|(made, _)| **made == *name) {
            let (site, webhook) = (hook.site.clone(), hook.name.clone());
            self.store.write(Change::Subscription { site, webhook, entry: None }).await?;
        } else if self.store.outbox().depth(&hook).await? == Depth::default() {
            return Ok(Unsubscribed::Unknown);
        }
        // Last: while the subscription is there, nothing of it may be lost.
        self.store.outbox().drop_all(&hook).await?;
        Ok(Unsubscribed::Done)
    }
}
