//! Who is subscribed to what.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config;
use crate::plan::{Plan, Site, Webhook};
use crate::store::Memory;

/// The subscriptions made through the admin API, ready to be used, by site.
#[derive(Default)]
pub struct Subscribed(ArcSwap<HashMap<Arc<str>, Vec<Arc<Webhook>>>>);

impl Subscribed {
    /// Reads what memory has of the sites of a Plan.
    pub fn adopt(&self, plan: &Plan, memory: &Memory) {
        let of = |site: &Site| Some((site.name.clone(), read(site, memory)?));
        self.0.store(Arc::new(plan.sites.iter().filter_map(of).collect()));
    }

    /// The configuration's and these.
    pub fn of(&self, site: &Site) -> Vec<Arc<Webhook>> {
        let mut all = site.website.webhooks.clone();
        if let Some(made) = self.0.load().get(&site.name) {
            let named = |name: &str| site.website.webhooks.iter().any(|own| *own.name == *name);
            all.extend(made.iter().filter(|made| !named(&made.name)).cloned());
        }
        all
    }
}

fn read(site: &Site, memory: &Memory) -> Option<Vec<Arc<Webhook>>> {
    let known = memory.site(&site.name)?;
    let entry = |(name, entry): (Arc<str>, Arc<str>)| match config::subscription(&entry, site) {
        Ok(webhook) => Some(Arc::new(webhook)),
        Err(problem) => {
            tracing::error!(site = %site.name, webhook = %name, problem, "a subscription that was made cannot be read");
            None
        }
    };
    Some(known.subscriptions().entries().into_iter().filter_map(entry).collect())
}
