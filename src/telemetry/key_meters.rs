//! Handles into the metrics of a site's keys. Those of the configuration are resolved when
//! the plan comes into force, those of a fetched key at first sight: the id is one that the
//! key's provider publishes, never a token's own word.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus::{IntCounter, IntGauge};

use super::metrics::{Metrics, gauge};
use crate::clock::UnixTime;
use crate::plan::Site;

/// Of one site, between two reloads.
const MOST_FETCHED_KEYS: usize = 1000;

/// The handles of one site.
#[derive(Default)]
pub(super) struct KeyMeters {
    known: Vec<KeyMeter>,
    /// Where the site fetches keys: those that did not exist when the plan came into force.
    fetched: Option<RwLock<Vec<KeyMeter>>>,
}

struct KeyMeter {
    id: Arc<str>,
    verified: IntCounter,
    rejected: IntCounter,
    last_used: IntGauge,
}

impl KeyMeters {
    pub fn new(metrics: &Metrics, site: &Site) -> Self {
        let keys = site.keys();
        let meter = |key: &Arc<crate::dialect::Key>| {
            KeyMeter::new(metrics, &site.name, key.id(), key.not_after())
        };
        Self {
            known: keys.iter().map(meter).collect(),
            fetched: site.fetches_keys().then(RwLock::default),
        }
    }

    /// When a key last verified a credential, if it has since the start.
    pub fn last_used(&self, id: &str) -> Option<UnixTime> {
        let among = |keys: &[KeyMeter]| Some(find(keys, id)?.last_used.get());
        let later = || among(&self.fetched.as_ref()?.read());
        let secs = among(&self.known).or_else(later)?;
        u64::try_from(secs).ok().filter(|secs| *secs > 0).map(UnixTime::from_secs)
    }

    /// Counts a credential judged with a key.
    pub fn count(&self, metrics: &Metrics, site: &str, id: &str, verified: bool) {
        if let Some(key) = find(&self.known, id) {
            return key.count(verified);
        }
        let Some(fetched) = &self.fetched else { return };
        if let Some(key) = find(&fetched.read(), id) {
            return key.count(verified);
        }
        // A site that a reload has removed does not come back.
        if !metrics.sites.read().contains_key(site) {
            return;
        }
        let mut fetched = fetched.write();
        if fetched.len() < MOST_FETCHED_KEYS && find(&fetched, id).is_none() {
            fetched.push(KeyMeter::new(metrics, site, &id.into(), None));
        }
        if let Some(key) = find(&fetched, id) {
            key.count(verified);
        }
    }
}

fn find<'k>(keys: &'k [KeyMeter], id: &str) -> Option<&'k KeyMeter> {
    keys.iter().find(|key| *key.id == *id)
}

impl KeyMeter {
    fn count(&self, verified: bool) {
        if !verified {
            return self.rejected.inc();
        }
        self.verified.inc();
        let now = gauge(UnixTime::now().as_secs());
        // A store per second, not per request: the gauge's cache line is shared.
        if self.last_used.get() != now {
            self.last_used.set(now);
        }
    }

    fn new(metrics: &Metrics, site: &str, name: &Arc<str>, not_after: Option<UnixTime>) -> Self {
        let id: &str = name;
        if let Some(end) = not_after {
            metrics.key_not_after.with(&[site, id]).set(gauge(end.as_secs()));
        } else {
            metrics
                .key_not_after
                .retain(|values| *values != [Box::<str>::from(site), Box::from(id)]);
        }
        Self {
            id: name.clone(),
            verified: metrics.key_verifications.with(&[site, id, "verified"]),
            rejected: metrics.key_verifications.with(&[site, id, "rejected"]),
            last_used: metrics.key_last_used.with(&[site, id]),
        }
    }
}
