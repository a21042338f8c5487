//! One site's backend addresses, and which of them a request gets.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::pki_types::ServerName;

use super::endpoint::{Endpoint, Secured};
use super::name::Name;
use crate::plan::{Balance, HealthCheck, Tls, Upstream, UpstreamTarget};

/// One site's backend addresses.
pub struct Pool {
    targets: Vec<Target>,
    next: AtomicUsize,
    balance: Balance,
    pub(super) health: Option<HealthCheck>,
    /// How each address is doing; only kept where the choice depends on it.
    states: Option<Mutex<HashMap<Endpoint, Arc<State>>>>,
}

/// What `upstream` lists, and what a probe writes into `Host`.
struct Target {
    host: String,
    addresses: Addresses,
}

enum Addresses {
    Fixed(Endpoint),
    Named(Arc<Name>, Option<Arc<Secured>>),
}

/// How an address is doing.
#[derive(Debug, Default)]
struct State {
    requests: AtomicUsize,
    ill: AtomicBool,
}

/// An address for one request, which counts as busy with it until this is dropped.
#[derive(Debug)]
pub struct Picked {
    /// Where it leads.
    pub endpoint: Endpoint,
    state: Option<Arc<State>>,
}

impl Drop for Picked {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.requests.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Pool {
    /// The pool of a site; `named` hands out its names.
    pub(super) fn new(upstream: &Upstream, mut named: impl FnMut(&str, u16) -> Arc<Name>) -> Self {
        let target = |target: &UpstreamTarget| {
            let (host, port, tls) = match target {
                UpstreamTarget::Tcp { host, port, tls } => (host, *port, *tls),
                UpstreamTarget::Unix(path) => {
                    let endpoint = Endpoint::Unix(Arc::new(path.clone()));
                    let addresses = Addresses::Fixed(endpoint);
                    return Some(Target { host: "localhost".to_owned(), addresses });
                }
            };
            // One that wants TLS never goes without.
            let secured = if tls { Some(secured(host, upstream.tls.as_ref()?)?) } else { None };
            let addresses = match host.parse::<IpAddr>() {
                Ok(ip) => {
                    let address = SocketAddr::new(ip, port);
                    Addresses::Fixed(endpoint_at(address, secured.as_ref()))
                }
                Err(_) => Addresses::Named(named(host, port), secured),
            };
            let shown = target.to_string();
            let host = shown.split_once("://").map_or(shown.as_str(), |(_, host)| host).to_owned();
            Some(Target { host, addresses })
        };
        let targets = upstream.targets.iter().filter_map(target).collect();
        let (balance, health) = (upstream.balance, upstream.health.clone());
        let states = (balance != Balance::RoundRobin || health.is_some()).then(Mutex::default);
        Self { targets, next: AtomicUsize::new(0), balance, health, states }
    }

    /// The turn of a new request.
    pub fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The address for a request whose turn it is and that has not reached those in
    /// `tried`. Where none is known it waits for the first that resolves, at most
    /// `patience`; `None`: none does.
    pub async fn pick(
        &self,
        turn: usize,
        tried: &[Endpoint],
        patience: Duration,
    ) -> Option<Picked> {
        if let Some(picked) = self.choose(turn, tried) {
            return Some(picked);
        }
        let names = self.targets.iter().filter_map(|target| match &target.addresses {
            Addresses::Named(name, _) => Some(Box::pin(name.first_resolution())),
            Addresses::Fixed(_) => None,
        });
        let mut waiting: Vec<_> = names.collect();
        let any = poll_fn(|context| {
            match waiting.iter_mut().any(|name| name.as_mut().poll(context).is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        tokio::time::timeout(patience, any).await.ok()?;
        self.choose(turn, tried)
    }

    fn choose(&self, turn: usize, tried: &[Endpoint]) -> Option<Picked> {
        let Some(states) = &self.states else {
            let endpoint = self.known(turn.wrapping_add(tried.len()))?;
            return Some(Picked { endpoint, state: None });
        };
        let mut all: Vec<Endpoint> = self.all().map(|(_, endpoint)| endpoint).collect();
        let begin = turn.checked_rem(all.len())?;
        all.rotate_left(begin);
        let mut states = states.lock();
        if states.len() > 2 * all.len() {
            states.retain(|endpoint, _| all.contains(endpoint));
        }
        // Of equals the one whose turn it is: the first.
        let chosen = all.into_iter().min_by_key(|endpoint| {
            let state = states.get(endpoint);
            let ill = state.is_some_and(|state| state.ill.load(Ordering::Relaxed));
            let requests = match self.balance {
                Balance::RoundRobin => 0,
                Balance::LeastRequests => {
                    state.map_or(0, |state| state.requests.load(Ordering::Relaxed))
                }
            };
            (tried.contains(endpoint), ill, requests)
        })?;
        let state = states.entry(chosen.clone()).or_default().clone();
        state.requests.fetch_add(1, Ordering::Relaxed);
        Some(Picked { endpoint: chosen, state: Some(state) })
    }

    fn known(&self, turn: usize) -> Option<Endpoint> {
        let mut skipped = turn.checked_rem(self.len())?;
        for target in &self.targets {
            match &target.addresses {
                Addresses::Fixed(endpoint) if skipped == 0 => return Some(endpoint.clone()),
                Addresses::Fixed(_) => skipped -= 1,
                Addresses::Named(name, secured) => {
                    if let Some(address) = name.address(skipped) {
                        return Some(endpoint_at(address, secured.as_ref()));
                    }
                    skipped = skipped.saturating_sub(name.len());
                }
            }
        }
        // Resolved anew in between: there are fewer now.
        None
    }

    /// Every known address, with what belongs into `Host` there.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, Endpoint)> {
        self.targets.iter().flat_map(|target| {
            let endpoints = match &target.addresses {
                Addresses::Fixed(endpoint) => vec![endpoint.clone()],
                Addresses::Named(name, secured) => {
                    let at = |address: &SocketAddr| endpoint_at(*address, secured.as_ref());
                    name.addresses().iter().map(at).collect()
                }
            };
            endpoints.into_iter().map(|endpoint| (target.host.as_str(), endpoint))
        })
    }

    /// Notes how an address is; whether that is news.
    pub(super) fn note_health(&self, endpoint: &Endpoint, ill: bool) -> bool {
        let Some(states) = &self.states else { return false };
        let state = states.lock().entry(endpoint.clone()).or_default().clone();
        state.ill.swap(ill, Ordering::Relaxed) != ill
    }

    /// Addresses that failed their last probe.
    pub(super) fn ill(&self) -> Vec<String> {
        let Some(states) = &self.states else { return Vec::new() };
        let states = states.lock();
        let is_ill = |endpoint: &Endpoint| {
            states.get(endpoint).is_some_and(|state| state.ill.load(Ordering::Relaxed))
        };
        let all = self.all().map(|(_, endpoint)| endpoint);
        all.filter(is_ill).map(|endpoint| endpoint.to_string()).collect()
    }

    /// How many addresses are known: how often another one is worth a try.
    pub fn len(&self) -> usize {
        let count = |target: &Target| match &target.addresses {
            Addresses::Fixed(_) => 1,
            Addresses::Named(name, _) => name.len(),
        };
        self.targets.iter().map(count).sum()
    }

    /// Whether no address is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn secured(host: &str, tls: &Arc<Tls>) -> Option<Arc<Secured>> {
    let name = ServerName::try_from(host).ok()?.to_owned();
    Some(Arc::new(Secured::new(name, tls.clone())))
}

fn endpoint_at(address: SocketAddr, secured: Option<&Arc<Secured>>) -> Endpoint {
    match secured {
        Some(secured) => Endpoint::Tls(address, secured.clone()),
        None => Endpoint::Tcp(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(balance: Balance, targets: Vec<Addresses>) -> Pool {
        let target = |addresses| Target { host: "backend".into(), addresses };
        let targets = targets.into_iter().map(target).collect();
        let states = (balance != Balance::RoundRobin).then(Mutex::default);
        Pool { targets, next: AtomicUsize::new(0), balance, health: None, states }
    }

    fn fixed(address: &str) -> Addresses {
        Addresses::Fixed(Endpoint::Tcp(address.parse().unwrap()))
    }

    fn named(addresses: &[&str]) -> Addresses {
        Addresses::Named(Name::resolved(addresses), None)
    }

    fn shown(picked: &Picked) -> String {
        picked.endpoint.to_string()
    }

    #[tokio::test]
    async fn every_known_address_has_its_turn_and_an_unknown_name_has_none() {
        let targets = vec![
            named(&[]),
            fixed("127.0.0.1:1"),
            named(&["127.0.0.2:1", "127.0.0.3:1"]),
            Addresses::Fixed(Endpoint::Unix(Arc::new("/run/x".into()))),
        ];
        let pool = pool(Balance::RoundRobin, targets);
        let mut seen = Vec::new();
        for _ in 0..5 {
            let picked = pool.pick(pool.turn(), &[], Duration::ZERO).await;
            seen.push(shown(&picked.unwrap()));
        }
        let expected = ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1", "unix:/run/x", "127.0.0.1:1"];
        assert_eq!(seen, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_name_is_waited_for_but_not_for_ever() {
        let (late, never) = (Name::resolved(&[]), Name::resolved(&[]));
        let targets = vec![Addresses::Named(never, None), Addresses::Named(late.clone(), None)];
        let pool = pool(Balance::RoundRobin, targets);
        let begun = tokio::time::Instant::now();
        assert!(pool.pick(0, &[], Duration::from_secs(3)).await.is_none());
        assert_eq!(begun.elapsed().as_secs(), 3);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            late.becomes(&["127.0.0.2:1"]);
        });
        let picked = pool.pick(0, &[], Duration::from_secs(3)).await;
        assert_eq!(shown(&picked.unwrap()), "127.0.0.2:1");
        assert_eq!(begun.elapsed().as_secs(), 4);
    }

    #[test]
    fn the_least_busy_is_chosen_and_of_equals_the_one_whose_turn_it_is() {
        let targets = vec![fixed("127.0.0.1:1"), named(&["127.0.0.2:1", "127.0.0.3:1"])];
        let pool = pool(Balance::LeastRequests, targets);
        let pick = || pool.choose(pool.turn(), &[]).unwrap();
        let (first, second, third) = (pick(), pick(), pick());
        let all: Vec<_> = [&first, &second, &third].map(shown).into();
        assert_eq!(all, ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"]);
        drop(second);
        let again = pick();
        assert_eq!(shown(&again), "127.0.0.2:1");
        drop((third, again));
        // Two are idle: one of those, and then the other.
        let (one, other) = (pick(), pick());
        assert_ne!(shown(&one), shown(&other));
        assert!([&one, &other].iter().all(|picked| shown(picked) != "127.0.0.1:1"));
    }

    #[test]
    fn an_ill_address_is_passed_over_while_another_is_well_and_one_already_tried_too() {
        let targets = vec![fixed("127.0.0.1:1"), fixed("127.0.0.2:1")];
        let pool = pool(Balance::LeastRequests, targets);
        let (one, other) = (pool.all().next().unwrap().1, pool.all().last().unwrap().1);
        assert!(pool.note_health(&one, true));
        assert!(!pool.note_health(&one, true), "no news");
        assert_eq!(pool.ill(), ["127.0.0.1:1"]);
        let held: Vec<_> = (0..4).map(|turn| pool.choose(turn, &[]).unwrap()).collect();
        assert!(held.iter().all(|picked| picked.endpoint == other), "however busy");
        let second = pool.choose(0, std::slice::from_ref(&other)).unwrap();
        assert_eq!(second.endpoint, one, "better than one that could not be reached");
        assert!(pool.note_health(&other, true));
        assert_eq!(pool.choose(0, &[]).unwrap().endpoint, one, "if all are ill, all are used");
    }
}
