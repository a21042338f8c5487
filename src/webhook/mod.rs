//! The website's server in the loop: it hears of chats that begin, and may say more of a
//! visitor.
//!
//! Whatever happens becomes a [`Delivery`](crate::store::outbox::Delivery) for each
//! subscription, in one change with what brought it about; no request waits for more than
//! that. Delivering is somebody else's time.

mod chat;
mod subscriptions;

use std::sync::Arc;

pub use chat::{Asked, Beginning};

use self::subscriptions::Subscribed;
use crate::plan::{Plan, Site, Webhook};
use crate::store::Store;

/// The events of all sites, and who hears of them.
pub struct Webhooks {
    store: Arc<Store>,
    subscribed: Subscribed,
}

impl Webhooks {
    /// For the sites of this Plan, until another is adopted.
    pub fn new(store: Arc<Store>, plan: &Plan) -> Arc<Self> {
        let webhooks = Self { store, subscribed: Subscribed::default() };
        webhooks.adopt(plan);
        Arc::new(webhooks)
    }

    /// Takes over the subscriptions of a Plan that has come into force.
    pub fn adopt(&self, plan: &Plan) {
        self.subscribed.adopt(plan, self.store.memory());
    }

    /// The subscriptions of a site: the configuration's, and those made through the admin
    /// API. Of two with one name the configuration's counts.
    pub fn subscriptions(&self, site: &Site) -> Vec<Arc<Webhook>> {
        self.subscribed.of(site)
    }
}
