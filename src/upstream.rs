//! Where a site's requests go: addresses resolved in the background, last good ones kept,
//! taken in turn.
//!
//! A request never resolves a name itself. The one exception is a name that has never
//! been resolved (the site is new): then connecting includes waiting for the first answer,
//! within the connect time-out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::plan::{Plan, UpstreamTarget};

/// How often a name is resolved again.
const REFRESH: Duration = Duration::from_secs(10);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// How a connection finds out that its other end is gone without a word: asked after a
/// minute of silence, given up after nine questions, ten seconds apart.
pub fn keepalive() -> socket2::TcpKeepalive {
    socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
}

/// An address to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(Arc<PathBuf>),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

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
    runtime: tokio::runtime::Handle,
}

struct Pools {
    generation: u64,
    by_site: Vec<Arc<Pool>>,
}

/// One site's backend addresses.
pub struct Pool {
    targets: Vec<Target>,
    next: AtomicUsize,
}

enum Target {
    Fixed(Endpoint),
    Named(Arc<Name>),
}

/// A name and what it last resolved to.
struct Name {
    host: String,
    port: u16,
    addresses: watch::Sender<Arc<[SocketAddr]>>,
    next: AtomicUsize,
}

impl Upstreams {
    /// No backends yet; names are resolved on `runtime`.
    pub fn new(runtime: tokio::runtime::Handle) -> Self {
        let pools = ArcSwap::from_pointee(Pools { generation: 0, by_site: Vec::new() });
        Self { shared: Arc::new(Shared { pools, names: Mutex::default(), runtime }) }
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
        let by_site = plan
            .sites
            .iter()
            .map(|site| Arc::new(self.build_pool(&site.upstream.targets, &mut names)))
            .collect();
        let pools = Arc::new(Pools { generation: plan.generation, by_site });
        // A request that still runs under an older Plan gets its pools without replacing
        // the newer ones.
        if plan.generation > newest.generation {
            self.shared.pools.store(pools.clone());
            drop(newest);
            // Held here and by its resolver only: unused by the newest Plan.
            names.retain(|_, name| Arc::strong_count(name) > 1);
        }
        pools
    }

    fn build_pool(
        &self,
        targets: &[UpstreamTarget],
        names: &mut HashMap<(String, u16), Arc<Name>>,
    ) -> Pool {
        let targets = targets
            .iter()
            .map(|target| match target {
                UpstreamTarget::Unix(path) => Target::Fixed(Endpoint::Unix(Arc::new(path.clone()))),
                UpstreamTarget::Tcp { host, port } => match host.parse::<IpAddr>() {
                    Ok(ip) => Target::Fixed(Endpoint::Tcp(SocketAddr::new(ip, *port))),
                    Err(_) => {
                        let name = names
                            .entry((host.clone(), *port))
                            .or_insert_with(|| self.start_resolving(host, *port));
                        Target::Named(name.clone())
                    }
                },
            })
            .collect();
        Pool { targets, next: AtomicUsize::new(0) }
    }

    fn start_resolving(&self, host: &str, port: u16) -> Arc<Name> {
        let (addresses, _) = watch::channel(Arc::from([]));
        let name =
            Arc::new(Name { host: host.to_owned(), port, addresses, next: AtomicUsize::new(0) });
        let weak = Arc::downgrade(&name);
        self.shared.runtime.spawn(async move {
            // Ends when no pool uses the name any more.
            while let Some(name) = weak.upgrade() {
                let pause = name.resolve().await;
                drop(name);
                tokio::time::sleep(pause).await;
            }
        });
        name
    }

    /// Names of the newest Plan that have never been resolved.
    pub fn unresolved(&self) -> Vec<String> {
        let names = self.shared.names.lock();
        let mut missing: Vec<_> = names
            .values()
            .filter(|name| name.addresses.borrow().is_empty())
            .map(|name| format!("{}:{}", name.host, name.port))
            .collect();
        missing.sort();
        missing
    }
}

impl Name {
    async fn resolve(&self) -> Duration {
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                let mut found: Vec<_> = found.collect();
                found.sort_unstable();
                found.dedup();
                if found.is_empty() {
                    return RETRY;
                }
                self.addresses.send_if_modified(|current| {
                    let differs = current[..] != found[..];
                    if differs {
                        *current = found.into();
                    }
                    differs
                });
                REFRESH
            }
            Err(error) => {
                let kept = self.addresses.borrow().len();
                tracing::warn!(
                    host = %self.host, %error, kept,
                    "the backend's name cannot be resolved; the last good addresses stay in use"
                );
                RETRY
            }
        }
    }
}

impl Pool {
    /// The next address in turn; waits for a name's first resolution at most `patience`.
    /// `None`: the name does not resolve.
    pub async fn pick(&self, patience: Duration) -> Option<Endpoint> {
        if self.targets.is_empty() {
            return None;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.targets.len();
        match self.targets.get(turn)? {
            Target::Fixed(endpoint) => Some(endpoint.clone()),
            Target::Named(name) => name.pick(patience).await,
        }
    }

    /// How many addresses are known: how often another one is worth a try.
    pub fn len(&self) -> usize {
        let count = |target: &Target| match target {
            Target::Fixed(_) => 1,
            Target::Named(name) => name.addresses.borrow().len(),
        };
        self.targets.iter().map(count).sum()
    }

    /// Whether no address is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Name {
    async fn pick(&self, patience: Duration) -> Option<Endpoint> {
        if self.addresses.borrow().is_empty() {
            let mut changes = self.addresses.subscribe();
            let resolved = changes.wait_for(|addresses| !addresses.is_empty());
            let _ = tokio::time::timeout(patience, resolved).await;
        }
        let addresses = self.addresses.borrow();
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
        addresses.get(turn).copied().map(Endpoint::Tcp)
    }
}
