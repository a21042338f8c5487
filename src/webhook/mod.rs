//! The website's server in the loop: it hears of chats that begin, and may say more of a
//! visitor.
//!
//! Whatever happens becomes a [`Delivery`](crate::store::outbox::Delivery) for each
//! subscription, in one change with what brought it about; no request waits for more than
//! that. Delivering is somebody else's time: [`Webhooks::keep`].

mod breaker;
mod chat;
mod details;
mod enrich;
mod probe;
mod retry;
mod status;
mod subscribe;
mod subscriptions;
mod turns;
mod wire;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

pub use chat::{Asked, Beginning};
pub use enrich::Question;
pub use probe::{Finding, Report};
pub use status::{State, Status};
pub use subscribe::{SubscribeError, Unsubscribed};

use self::subscriptions::Subscribed;
use crate::drain::{Drain, Phase};
use crate::plan::{Plan, Site, Webhook};
use crate::store::Store;
use crate::telemetry::Metrics;

/// The events of all sites, and who hears of them.
pub struct Webhooks {
    store: Arc<Store>,
    subscribed: Subscribed,
    /// Held while a chat begins.
    beginning: Mutex<()>,
    metrics: OnceLock<Arc<Metrics>>,
}

impl Webhooks {
    /// For the sites of this Plan, until another is adopted.
    pub fn new(store: Arc<Store>, plan: &Plan) -> Arc<Self> {
        let webhooks = Self {
            store,
            subscribed: Subscribed::default(),
            beginning: Mutex::default(),
            metrics: OnceLock::new(),
        };
        webhooks.adopt(plan);
        Arc::new(webhooks)
    }

    /// Has deliveries counted.
    pub fn count_in(&self, metrics: &Arc<Metrics>) {
        // The first metrics stay; nobody has others.
        let _ = self.metrics.set(metrics.clone());
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

    /// Delivers until a shutdown closes the listeners; attempts that are under way then may
    /// take a few seconds more. What is adopted meanwhile counts at once. Needs a Tokio
    /// runtime.
    pub async fn keep(self: Arc<Self>, drain: Arc<Drain>) {
        drain.reached(Phase::Closing).await;
    }
}
