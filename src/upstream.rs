//! Where a site's requests go: addresses resolved in the background, last good ones kept,
//! taken in turn. A request that cannot connect goes on from its own turn to the next
//! address, whatever others do meanwhile.
//!
//! A request never resolves a name itself. The one exception is a name that has never
//! been resolved (the site is new): then connecting includes waiting for the first answer,
//! within the connect time-out.

use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::plan::{Plan, UpstreamTarget};

/// How often a name is resolved again.
const REFRESH: Duration = Duration::from_secs(10);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How often the log says that it still fails.
const REMINDER: Duration = Duration::from_secs(60);

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
        // A request that still runs under an older Plan gets its pools, but neither they nor
        // its names take the place of the newer ones.
        let mut known = names.clone();
        let by_site = plan
            .sites
            .iter()
            .map(|site| Arc::new(self.build_pool(&site.upstream.targets, &mut known)))
            .collect();
        let pools = Arc::new(Pools { generation: plan.generation, by_site });
        if plan.generation > newest.generation {
            self.shared.pools.store(pools.clone());
            let targets = plan.sites.iter().flat_map(|site| &site.upstream.targets);
            let used: HashSet<(&str, u16)> = targets
                .filter_map(|target| match target {
                    UpstreamTarget::Tcp { host, port } => Some((host.as_str(), *port)),
                    UpstreamTarget::Unix(_) => None,
                })
                .collect();
            known.retain(|(host, port), _| used.contains(&(host.as_str(), *port)));
            *names = known;
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
        let name = Arc::new(Name { host: host.to_owned(), port, addresses });
        self.shared.runtime.spawn(keep_resolved(Arc::downgrade(&name)));
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

/// Ends when no pool uses the name any more.
async fn keep_resolved(name: Weak<Name>) {
    let mut said: Option<Instant> = None;
    while let Some(name) = name.upgrade() {
        let pause = match name.resolve().await {
            Ok(()) => {
                if said.take().is_some() {
                    tracing::info!(host = %name.host, "the backend's name resolves again");
                }
                REFRESH
            }
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= REMINDER) {
                    said = Some(Instant::now());
                    let kept = name.addresses.borrow().len();
                    tracing::warn!(
                        host = %name.host, %error, kept,
                        "the backend's name cannot be resolved; the last good addresses stay in use"
                    );
                }
                RETRY
            }
        };
        drop(name);
        tokio::time::sleep(pause).await;
    }
}

impl Name {
    async fn resolve(&self) -> std::io::Result<()> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let mut found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(std::io::Error::other("it has no address"));
        }
        found.sort_unstable();
        found.dedup();
        self.addresses.send_if_modified(|current| {
            let differs = current[..] != found[..];
            if differs {
                *current = found.into();
            }
            differs
        });
        Ok(())
    }

    async fn first_resolution(&self) {
        let mut changes = self.addresses.subscribe();
        let _ = changes.wait_for(|addresses| !addresses.is_empty()).await;
    }
}

impl Pool {
    /// The turn of a new request.
    pub fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The address whose turn it is. Where none is known it waits for the first that
    /// resolves, at most `patience`; `None`: none does.
    pub async fn pick(&self, turn: usize, patience: Duration) -> Option<Endpoint> {
        if let Some(endpoint) = self.known(turn) {
            return Some(endpoint);
        }
        let names = self.targets.iter().filter_map(|target| match target {
            Target::Named(name) => Some(Box::pin(name.first_resolution())),
            Target::Fixed(_) => None,
        });
        let mut waiting: Vec<_> = names.collect();
        let any = poll_fn(|context| {
            match waiting.iter_mut().any(|name| name.as_mut().poll(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        tokio::time::timeout(patience, any).await.ok()?;
        self.known(turn)
    }

    fn known(&self, turn: usize) -> Option<Endpoint> {
        let mut skipped = turn.checked_rem(self.len())?;
        for target in &self.targets {
            match target {
                Target::Fixed(endpoint) if skipped == 0 => return Some(endpoint.clone()),
                Target::Fixed(_) => skipped -= 1,
                Target::Named(name) => {
                    let addresses = name.addresses.borrow();
                    if let Some(address) = addresses.get(skipped) {
                        return Some(Endpoint::Tcp(*address));
                    }
                    skipped -= addresses.len();
                }
            }
        }
        // Resolved anew in between: there are fewer now.
        None
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

#[cfg(test)]
mod tests {
    use super::*;

    fn named(addresses: &[&str]) -> Arc<Name> {
        let found: Vec<SocketAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        let (addresses, _) = watch::channel(found.into());
        Arc::new(Name { host: "backend".into(), port: 80, addresses })
    }

    fn pool(targets: Vec<Target>) -> Pool {
        Pool { targets, next: AtomicUsize::new(0) }
    }

    fn fixed(address: &str) -> Target {
        Target::Fixed(Endpoint::Tcp(address.parse().unwrap()))
    }

    #[tokio::test]
    async fn every_known_address_has_its_turn_and_an_unknown_name_has_none() {
        let pool = pool(vec![
            Target::Named(named(&[])),
            fixed("127.0.0.1:1"),
            Target::Named(named(&["127.0.0.2:1", "127.0.0.3:1"])),
            Target::Fixed(Endpoint::Unix(Arc::new("/run/x".into()))),
        ]);
        let mut seen = Vec::new();
        for _ in 0..5 {
            let endpoint = pool.pick(pool.turn(), Duration::ZERO).await;
            seen.push(endpoint.unwrap().to_string());
        }
        let expected = ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1", "unix:/run/x", "127.0.0.1:1"];
        assert_eq!(seen, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_name_is_waited_for_but_not_for_ever() {
        let (late, never) = (named(&[]), named(&[]));
        let pool = pool(vec![Target::Named(never), Target::Named(late.clone())]);
        let begun = tokio::time::Instant::now();
        assert_eq!(pool.pick(0, Duration::from_secs(3)).await, None);
        assert_eq!(begun.elapsed().as_secs(), 3);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            late.addresses.send_replace(["127.0.0.2:1".parse().unwrap()].into());
        });
        let endpoint = pool.pick(0, Duration::from_secs(3)).await;
        assert_eq!(endpoint.unwrap().to_string(), "127.0.0.2:1");
        assert_eq!(begun.elapsed().as_secs(), 4);
    }
}
