//! Who is subscribed to what: the configuration's subscriptions, those made through the admin
//! API on any replica, and the backend where it is told of details.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::details;
use crate::config;
use crate::plan::{Plan, Reach, Site, Webhook};
use crate::store::Memory;
use crate::store::outbox::Hook;

/// What those are called in metrics that were made through the admin API, all together.
const MADE: &str = "admin";

/// The subscriptions of all sites, ready to be used.
#[derive(Default)]
pub struct Subscribed {
    sites: ArcSwap<HashMap<Arc<str>, Known>>,
    /// Held while they are written anew.
    writing: Mutex<()>,
}

/// What is known of a site.
#[derive(Clone)]
struct Known {
    /// The configuration's.
    own: Vec<Arc<Webhook>>,
    /// Those made through the admin API whose names the configuration has not taken.
    made: Vec<Arc<Webhook>>,
    /// The backend.
    push: Option<Arc<Webhook>>,
    /// Somebody is asked about visitors.
    asks: bool,
    /// How far those may reach that are made.
    reach: Reach,
    /// Of one of the site's own pages.
    origin: Option<Arc<str>>,
}

impl Subscribed {
    /// Takes over those of a Plan, and reads what memory has of its sites.
    pub fn adopt(&self, plan: &Plan, memory: &Memory) {
        let _writing = self.writing.lock();
        let known = |site: &Site| {
            let website = &site.website;
            let mut known = Known {
                own: website.webhooks.clone(),
                made: Vec::new(),
                push: details::receiver(website),
                asks: website.enrich.is_some(),
                reach: website.reach_of_made(),
                origin: origin(plan, site),
            };
            known.read(&site.name, memory);
            (site.name.clone(), known)
        };
        self.sites.store(Arc::new(plan.sites.iter().map(known).collect()));
    }

    /// Reads anew what memory has of a site.
    pub fn follow(&self, site: &Arc<str>, memory: &Memory) {
        let _writing = self.writing.lock();
        let mut sites = HashMap::clone(&self.sites.load());
        if let Some(known) = sites.get_mut(site) {
            known.read(site, memory);
            self.sites.store(Arc::new(sites));
        }
    }

    /// The configuration's and those that were made.
    pub fn of(&self, site: &Site) -> Vec<Arc<Webhook>> {
        let mut all = site.website.webhooks.clone();
        if let Some(known) = self.sites.load().get(&site.name) {
            let named = |name: &str| site.website.webhooks.iter().any(|own| *own.name == *name);
            all.extend(known.made.iter().filter(|made| !named(&made.name)).cloned());
        }
        all
    }

    /// Everybody who is told of something, by name.
    pub fn all(&self) -> HashMap<Hook, Arc<Webhook>> {
        let mut all = HashMap::new();
        for (site, known) in &**self.sites.load() {
            for webhook in known.own.iter().chain(&known.made).chain(&known.push) {
                let hook = Hook { site: site.clone(), name: webhook.name.clone() };
                all.insert(hook, webhook.clone());
            }
        }
        all
    }

    /// What one of this name is called in metrics: as the configuration calls one. Others'
    /// names are anybody's, and any number. What is no subscription has a dot in its name.
    pub fn label<'n>(&self, name: &'n str) -> &'n str {
        let is_known = |known: &Known| known.own.iter().any(|webhook| *webhook.name == *name);
        match name.contains('.') || self.sites.load().values().any(is_known) {
            true => name,
            false => MADE,
        }
    }

    /// One of them.
    pub fn get(&self, hook: &Hook) -> Option<Arc<Webhook>> {
        let sites = self.sites.load();
        let known = sites.get(&hook.site)?;
        let mut all = known.own.iter().chain(&known.made).chain(&known.push);
        all.find(|webhook| webhook.name == hook.name).cloned()
    }

    /// The origin of one of a site's own pages, if its settings name one.
    pub fn origin(&self, site: &str) -> Option<Arc<str>> {
        self.sites.load().get(site)?.origin.clone()
    }

    /// Whether any site has somebody asked about visitors.
    pub fn asks(&self) -> bool {
        self.sites.load().values().any(|known| known.asks)
    }
}

impl Known {
    fn read(&mut self, site: &Arc<str>, memory: &Memory) {
        let entries = memory.site(site).map(|known| known.subscriptions().entries());
        let entries = entries.unwrap_or_default().into_iter();
        let is_free = |name: &str| !self.own.iter().any(|own| *own.name == *name);
        let entry = |(name, entry): (Arc<str>, Arc<str>)| match config::subscription(
            &entry, self.reach,
        ) {
            Ok(webhook) => Some(Arc::new(webhook)),
            Err(problem) => {
                tracing::error!(%site, webhook = %name, problem, "a subscription that was made cannot be read");
                None
            }
        };
        let free = entries.filter(|(name, _)| is_free(name));
        self.made = free.filter_map(entry).collect();
    }
}

fn origin(plan: &Plan, site: &Site) -> Option<Arc<str>> {
    if let Some(listed) = site.settings.allowed_origins.first() {
        return Some(listed.as_str().into());
    }
    let own = plan.hosts.exact.iter().filter(|(_, index)| **index == site.index);
    own.map(|(host, _)| host).min().map(|host| format!("https://{host}").into())
}
