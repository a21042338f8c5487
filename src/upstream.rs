//! Where a site's requests go: addresses resolved in the background, last good ones kept,
//! taken in turn. A request that cannot connect goes on from its own turn to the next
//! address, whatever others do meanwhile. And how they get there: connections, plain and
//! over TLS, made in one place and kept between requests.
//!
//! A request never resolves a name itself. The one exception is a name that has never
//! been resolved (the site is new): then connecting includes waiting for the first answer,
//! within the connect time-out.

mod cutter;
mod endpoint;
mod health;
mod idle;
mod line;
mod name;
mod pool;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use self::name::Name;
use crate::plan::{Plan, Site, UpstreamTarget};

pub use cutter::Cutter;
pub use endpoint::{Endpoint, Secured};
pub use idle::Idle;
pub use line::{ConnectError, Line, connect, keepalive};
pub use pool::{Picked, Pool};

/// All the sites' backends. Cheap to clone; lives as long as the process.
#[derive(Clone)]
pub struct Upstreams {
    shared: Arc<Shared>,
}

struct Shared {
    /// The pools of the newest Plan that asked.
    pools: ArcSwap<Pools>,
    /// Every name in use. Taken only when a Plan is new and by the resolver.
    names: Mutex<HashMap<(String, u16), Arc<Name>>>,
    idle: Idle,
    runtime: tokio::runtime::Handle,
}

struct Pools {
    generation: u64,
    by_site: Vec<Arc<Pool>>,
}

impl Upstreams {
    /// No backends yet; names are resolved on `runtime`.
    pub fn new(runtime: tokio::runtime::Handle) -> Self {
        let pools = ArcSwap::from_pointee(Pools { generation: 0, by_site: Vec::new() });
        let (names, idle) = (Mutex::default(), Idle::default());
        let shared = Arc::new(Shared { pools, names, idle, runtime });
        let owner = Arc::downgrade(&shared);
        shared.runtime.spawn(idle::keep_swept(owner, |shared: &Shared| &shared.idle));
        Self { shared }
    }

    /// Connections that wait for the next request.
    pub fn idle(&self) -> &Idle {
        &self.shared.idle
    }

    /// The pool of a Plan's site. Lock-free while the Plan is the newest one seen.
    pub fn pool(&self, plan: &Plan, site: usize) -> Option<Arc<Pool>> {
        let pools = self.shared.pools.load();
        if pools.generation == plan.generation {
            return pools.by_site.get(site).cloned();
        }
        self.prepare(plan).by_site.get(site).cloned()
    }

    /// Starts resolving the names of a Plan and forgets those that it no longer uses.
    pub fn adopt(&self, plan: &Plan) {
        self.prepare(plan);
    }

    fn prepare(&self, plan: &Plan) -> Arc<Pools> {
        let mut names = self.shared.names.lock();
        let newest = self.shared.pools.load_full();
        if newest.generation == plan.generation {
            return newest;
        }
        // A request that still runs under an older Plan gets its pools, but neither they nor
        // its names take the place of the newer ones.
        let mut known = names.clone();
        let by_site = plan
            .sites
            .iter()
            .map(|site| {
                let pool = Arc::new(Pool::new(&site.upstream, |host, port| {
                    let name = known.entry((host.to_owned(), port));
                    name.or_insert_with(|| self.start_resolving(host, port)).clone()
                }));
                self.start_probing(&pool, site);
                pool
            })
            .collect();
        let pools = Arc::new(Pools { generation: plan.generation, by_site });
        if plan.generation > newest.generation {
            self.shared.pools.store(pools.clone());
            let targets = plan.sites.iter().flat_map(|site| &site.upstream.targets);
            let used: HashSet<(&str, u16)> = targets
                .filter_map(|target| match target {
                    UpstreamTarget::Tcp { host, port, .. } => Some((host.as_str(), *port)),
                    UpstreamTarget::Unix(_) => None,
                })
                .collect();
            known.retain(|(host, port), _| used.contains(&(host.as_str(), *port)));
            *names = known;
        }
        pools
    }

    fn start_resolving(&self, host: &str, port: u16) -> Arc<Name> {
        let name = Arc::new(Name::new(host, port));
        self.shared.runtime.spawn(name::keep_resolved(Arc::downgrade(&name)));
        name
    }

    fn start_probing(&self, pool: &Arc<Pool>, site: &Site) {
        if pool.health.is_some() {
            let host = site.upstream.host.clone();
            let probing = health::keep_probed(Arc::downgrade(pool), site.name.clone(), host);
            self.shared.runtime.spawn(probing);
        }
    }

    /// Addresses of the newest Plan that failed their last probe.
    pub fn ill(&self) -> Vec<String> {
        self.shared.pools.load().by_site.iter().flat_map(|pool| pool.ill()).collect()
    }

    /// Names of the newest Plan that have never been resolved.
    pub fn unresolved(&self) -> Vec<String> {
        let names = self.shared.names.lock();
        let mut missing: Vec<_> = names
            .values()
            .filter(|name| name.len() == 0)
            .map(|name| format!("{}:{}", name.host, name.port))
            .collect();
        missing.sort();
        missing
    }
}
