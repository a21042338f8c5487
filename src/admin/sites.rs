//! What `/v1/sites` shows of a plan: everything but secrets.

use serde::Serialize;

use super::times::rfc3339;
use crate::clock::UnixTime;
use crate::gate::Mode;
use crate::plan::{Plan, Site};
use crate::reload::Generation;

#[derive(Debug, Serialize)]
pub(super) struct Sites<'a> {
    generation: u64,
    sites: Vec<SiteView<'a>>,
    /// What `check` warns about.
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct SiteView<'a> {
    name: &'a str,
    /// As in the configuration; `*` is every host that no other site has.
    hosts: Vec<String>,
    dialect: &'a str,
    mode: Mode,
    upstream: Vec<String>,
    keys: usize,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Keys {
    keys: Vec<KeyView>,
}

/// Times are RFC 3339 in UTC, or `null`.
#[derive(Debug, Serialize)]
struct KeyView {
    id: String,
    algorithm: &'static str,
    state: &'static str,
    not_before: Option<String>,
    not_after: Option<String>,
    /// When its file was last read, or its set fetched.
    loaded_at: Option<String>,
    /// When it last verified a credential, since the start.
    last_used: Option<String>,
}

pub(super) fn sites(plan: &Plan) -> Sites<'_> {
    let sites = plan.sites.iter().map(|site| SiteView {
        name: &site.name,
        hosts: hosts(plan, site),
        dialect: &site.dialect.name,
        mode: site.settings.mode,
        upstream: site.upstream.targets.iter().map(ToString::to_string).collect(),
        keys: site.keys().len(),
        warnings: site.weak_modes(),
    });
    Sites { generation: plan.generation, sites: sites.collect(), warnings: &plan.warnings }
}

pub(super) fn keys(generation: &Generation, site: &Site, now: UnixTime) -> Keys {
    let meters = generation.meters.sites.get(site.index);
    let now_there = site.keys();
    let keys = now_there.iter().map(|key| KeyView {
        id: key.id().to_string(),
        algorithm: key.algorithm().name(),
        state: key.state(now).name(),
        not_before: key.not_before().and_then(rfc3339),
        not_after: key.not_after().and_then(rfc3339),
        loaded_at: rfc3339(site.fetched_at(key).unwrap_or(generation.loaded_at)),
        last_used: meters.and_then(|meters| meters.key_last_used(key.id())).and_then(rfc3339),
    });
    Keys { keys: keys.collect() }
}

fn hosts(plan: &Plan, site: &Site) -> Vec<String> {
    let ours = |index: &usize| *index == site.index;
    let exact = plan.hosts.exact.iter().filter(|(_, index)| ours(index));
    let mut hosts: Vec<_> = exact.map(|(host, _)| host.clone()).collect();
    let wildcards = plan.hosts.wildcards.iter().filter(|(_, index)| ours(index));
    hosts.extend(wildcards.map(|(suffix, _)| format!("*{suffix}")));
    hosts.extend(plan.hosts.fallback.filter(ours).map(|_| "*".to_owned()));
    hosts.sort_unstable();
    hosts
}
