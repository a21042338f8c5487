//! Keeps the key sets of the Plan in force fresh, and readiness informed of how they are.
//!
//! A set that cannot be fetched makes `degraded`, never unready: another instance could not
//! fetch it either.

use std::sync::Arc;
use std::time::Duration;

use super::backends::READINESS_ROUND;
use crate::clock::UnixTime;
use crate::drain::{Drain, Phase};
use crate::jwks;
use crate::plan::{KeySet, Plan, Site};
use crate::readiness::Readiness;
use crate::reload::Current;

/// What readiness calls the sets of a site, before its name.
const CHECK: &str = "jwks ";

/// Waits until every set has been tried once.
pub async fn first_fetch(current: &Current) {
    adopt(current);
    let plan = current.load();
    let tried = |set: &Arc<KeySet>| {
        let fetched = set.fetched();
        fetched.at.is_some() || fetched.problem.is_some()
    };
    while !plan.plan.sites.iter().flat_map(Site::key_sets).all(tried) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fetches the sets of each new Plan too, until the shutdown.
pub async fn keep(current: Arc<Current>, readiness: Arc<Readiness>, drain: Arc<Drain>) {
    let mut changes = current.subscribe();
    while drain.phase() < Phase::Closing {
        adopt(&current);
        report(&current.load().plan, &readiness, UnixTime::now());
        let _ = tokio::time::timeout(READINESS_ROUND, changes.changed()).await;
    }
}

fn adopt(current: &Current) {
    for site in &current.load().plan.sites {
        for set in site.key_sets() {
            jwks::keep(set, &site.name, current.metrics());
        }
    }
}

fn report(plan: &Plan, readiness: &Readiness, now: UnixTime) {
    let fetching = || plan.sites.iter().filter(|site| site.fetches_keys());
    readiness.retain_checks(|name| match name.strip_prefix(CHECK) {
        Some(site) => fetching().any(|own| *own.name == *site),
        None => true,
    });
    for site in fetching() {
        let states: Vec<_> = site.key_sets().map(|set| state(set, now)).collect();
        let sound = states.iter().all(|(sound, _)| *sound);
        let words: Vec<_> = states.into_iter().map(|(_, words)| words).collect();
        readiness.set_check(&format!("{CHECK}{}", site.name), sound, words.join("; "));
    }
}

/// Whether a set is as it should be, and how it is.
fn state(set: &KeySet, now: UnixTime) -> (bool, String) {
    let (url, fetched) = (set.source.shown(), set.fetched());
    let ago = |at: UnixTime| now.as_secs().saturating_sub(at.as_secs());
    match (fetched.at, &fetched.problem) {
        (None, None) => (false, format!("{url}: not fetched yet")),
        (None, Some(problem)) => (false, format!("{url}: {problem}; no keys are in force")),
        (Some(at), Some(problem)) => {
            (false, format!("{url}: {problem}; keys of {} s ago stay in force", ago(at)))
        }
        (Some(_), None) if fetched.keys.is_empty() => {
            (false, format!("{url}: holds no key that can be used here"))
        }
        (Some(at), None) => {
            (true, format!("{url}: {} keys, fetched {} s ago", fetched.keys.len(), ago(at)))
        }
    }
}
