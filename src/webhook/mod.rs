//! The website's server in the loop: it hears of chats that begin, and may say more of a
//! visitor.
//!
//! Whatever happens becomes a [`Delivery`] for each subscription, in one change with what
//! brought it about; no request waits for more than that. Delivering is somebody else's time:
//! [`Webhooks::keep`].

mod attempt;
mod breaker;
mod carrier;
mod chat;
mod confirm;
mod count;
mod deliver;
mod details;
mod endpoint;
mod enrich;
mod fields;
mod lanes;
mod probe;
mod retry;
mod status;
mod subscribe;
mod subscriptions;
mod turns;
mod wire;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use chat::{Asked, Beginning};
pub use details::PUSH;
pub use enrich::Question;
pub use fields::check as check_field;
pub use probe::{Finding, Report};
pub use status::{State, Status};
pub use subscribe::{SubscribeError, Unsubscribed};

use self::carrier::{Carrier, Network};
use self::endpoint::Endpoint;
use self::subscriptions::Subscribed;
use crate::clock::UnixTime;
use crate::drain::{Drain, Phase};
use crate::plan::{Plan, Site, Webhook};
use crate::store::outbox::{Delivery, Hook};
use crate::store::{Change, Store};
use crate::telemetry::{Metrics, Seldom, Waiting};

/// The events of all sites, and who hears of them.
pub struct Webhooks {
    store: Arc<Store>,
    subscribed: Subscribed,
    /// Held while a chat begins.
    beginning: Mutex<()>,
    /// A verified visitor had the id of a guest.
    misnamed: Seldom,
    metrics: OnceLock<Arc<Metrics>>,
    carrier: Arc<dyn Carrier>,
    clock: fn() -> UnixTime,
    /// Those that are delivered to.
    endpoints: Mutex<HashMap<Hook, Arc<Endpoint>>>,
    /// Rings when there may be others.
    changed: Notify,
    waiting: Mutex<HashMap<Hook, Waiting>>,
    /// Subscriptions that are gone, and of whose deliveries it was said that they wait.
    abandoned: Mutex<HashSet<Hook>>,
    asked: enrich::AskedAbout,
}

impl Webhooks {
    /// For the sites of this Plan, until another is adopted.
    pub fn new(store: Arc<Store>, plan: &Plan) -> Arc<Self> {
        Self::with(store, plan, Arc::new(Network::new()), UnixTime::now)
    }

    fn with(
        store: Arc<Store>,
        plan: &Plan,
        carrier: Arc<dyn Carrier>,
        clock: fn() -> UnixTime,
    ) -> Arc<Self> {
        let webhooks = Arc::new(Self {
            store,
            subscribed: Subscribed::default(),
            beginning: Mutex::default(),
            misnamed: Seldom::default(),
            metrics: OnceLock::new(),
            carrier,
            clock,
            endpoints: Mutex::default(),
            changed: Notify::new(),
            waiting: Mutex::default(),
            abandoned: Mutex::default(),
            asked: enrich::AskedAbout::default(),
        });
        webhooks.adopt(plan);
        // Memory holds its listeners, and is not to be held by them.
        let listening = Arc::downgrade(&webhooks);
        webhooks.store.memory().listen(move |change| {
            if let Some(webhooks) = listening.upgrade() {
                webhooks.heed(change);
            }
        });
        webhooks
    }

    /// Has deliveries counted.
    pub fn count_in(&self, metrics: &Arc<Metrics>) {
        // The first metrics stay; nobody has others.
        let _ = self.metrics.set(metrics.clone());
    }

    /// Takes over the subscriptions of a Plan that has come into force.
    pub fn adopt(&self, plan: &Plan) {
        self.subscribed.adopt(plan, self.store.memory());
        self.changed.notify_one();
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
        let mut workers = JoinSet::new();
        let closing = drain.reached(Phase::Closing);
        tokio::pin!(closing);
        loop {
            self.hire(&mut workers);
            tokio::select! {
                () = &mut closing => break,
                () = self.changed.notified() => {}
                // Keeps the set small; a worker ends only with its subscription.
                Some(_) = workers.join_next() => {}
            }
        }
        let endpoints = std::mem::take(&mut *self.endpoints.lock());
        endpoints.values().for_each(|endpoint| endpoint.stop());
        while workers.join_next().await.is_some() {}
    }

    /// Has every subscription delivered to, and those no more that are gone.
    fn hire(self: &Arc<Self>, workers: &mut JoinSet<()>) {
        let subscribed = self.subscribed.all();
        self.warn_of_abandoned(|hook| subscribed.contains_key(hook));
        let mut endpoints = self.endpoints.lock();
        endpoints.retain(|hook, endpoint| {
            let stays = subscribed.contains_key(hook);
            if !stays {
                endpoint.stop();
            }
            stays
        });
        for (hook, webhook) in subscribed {
            if let Some(endpoint) = endpoints.get(&hook) {
                endpoint.webhook.store(webhook);
                endpoint.wake.notify_one();
                continue;
            }
            let endpoint = Arc::new(Endpoint::new(hook.clone(), webhook));
            endpoints.insert(hook, endpoint.clone());
            workers.spawn(deliver::work(self.clone(), endpoint));
        }
        self.show(&endpoints);
    }

    /// Says once of each subscription that has gone what waits for it.
    fn warn_of_abandoned(&self, is_subscribed: impl Fn(&Hook) -> bool) {
        let mut abandoned = self.abandoned.lock();
        abandoned.retain(|hook| !is_subscribed(hook));
        for (hook, waiting) in self.store.memory().waiting() {
            if !is_subscribed(&hook) && abandoned.insert(hook.clone()) {
                let (site, webhook) = (&*hook.site, &*hook.name);
                tracing::warn!(
                    site,
                    webhook,
                    waiting,
                    "deliveries wait for a subscription of that name, and there is none"
                );
            }
        }
    }

    /// Acts on what has become known, here or on another replica.
    fn heed(&self, change: &Change) {
        match change {
            Change::Chat { site, chat } => self.wake_for(site, &chat.deliveries),
            Change::Details { site, posted } => self.wake_for(site, &posted.deliveries),
            Change::Subscription { site, .. } => {
                self.subscribed.follow(site, self.store.memory());
                self.changed.notify_one();
            }
            Change::Confirmation { site, webhook, .. } | Change::Progress { site, webhook, .. } => {
                self.wake(site, webhook)
            }
            Change::Forget { site, id, .. } => {
                let endpoints = self.endpoints.lock();
                let of_site = endpoints.values().filter(|endpoint| endpoint.hook.site == *site);
                of_site.for_each(|endpoint| endpoint.forget(id));
            }
            Change::Delivery { site, delivery, .. } => self.wake(site, &delivery.webhook),
            _ => {}
        }
    }

    fn wake_for(&self, site: &Arc<str>, deliveries: &[Arc<Delivery>]) {
        deliveries.iter().for_each(|delivery| self.wake(site, &delivery.webhook));
    }

    fn wake(&self, site: &Arc<str>, webhook: &Arc<str>) {
        let hook = Hook { site: site.clone(), name: webhook.clone() };
        if let Some(endpoint) = self.endpoints.lock().get(&hook) {
            endpoint.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
