//! How often one client may do what nobody needs to do often: use the widget's own endpoints,
//! which cost a verification and may write, or try passwords.
//!
//! There is a fixed number of counters, and a client's is found by a hash that nobody outside
//! can compute. Two clients may have the same one, which is no harm at these numbers; but
//! nobody can use up room, or choose whom to share a counter with. One who has IPv6 has 2⁶⁴
//! addresses: the network counts as the client.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Calls of one client in each window, on one site.
const MOST: u32 = 30;
/// How long a window lasts: who has called too often may call again after it.
pub const WINDOW: Duration = Duration::from_secs(10);
/// How many counters there are; a power of two.
const COUNTERS: usize = 1 << 16;

/// Counts calls by who makes them, in windows that all begin together.
pub struct Pace {
    begun: Instant,
    hasher: RandomState,
    /// Each a window's number and, in the lower half, the calls in it.
    counters: Box<[AtomicU64]>,
}

impl Default for Pace {
    fn default() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { begun: Instant::now(), hasher: RandomState::new(), counters }
    }
}

impl Pace {
    /// Counts a call of a client; whether it may be made.
    pub fn permits(&self, site: usize, client: Option<IpAddr>, now: Instant) -> bool {
        self.permits_to(&(site, Network::of(client)), now)
    }

    /// Counts a call of whomever this stands for; whether it may be made.
    pub fn permits_to(&self, whom: &impl Hash, now: Instant) -> bool {
        let Some((counter, window)) = self.counter(whom, now) else { return false };
        let next = |before: u64| match before >> 32 == window {
            // Calls that are turned away need not be counted.
            true if is_spent(before) => None,
            true => Some(before + 1),
            false => Some(window << 32 | 1),
        };
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Whether no further call may be made in this window; counts nothing.
    pub fn is_over(&self, whom: &impl Hash, now: Instant) -> bool {
        self.counter(whom, now).is_none_or(|(counter, window)| {
            let calls = counter.load(Ordering::Relaxed);
            calls >> 32 == window && is_spent(calls)
        })
    }

    fn counter(&self, whom: &impl Hash, now: Instant) -> Option<(&AtomicU64, u64)> {
        let window = now.duration_since(self.begun).as_secs() / WINDOW.as_secs();
        let hash = self.hasher.hash_one(whom);
        let place = usize::try_from(hash % COUNTERS as u64).unwrap_or_default();
        Some((self.counters.get(place)?, window))
    }
}

fn is_spent(calls: u64) -> bool {
    calls & u64::from(u32::MAX) >= u64::from(MOST)
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 address is in. All
/// whose address is not known are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(Option<(Option<Ipv4Addr>, u64)>);

impl Network {
    /// Where a client is.
    pub fn of(client: Option<IpAddr>) -> Self {
        Self(client.map(|client| match client.to_canonical() {
            IpAddr::V4(address) => (Some(address), 0),
            IpAddr::V6(address) => (None, (address.to_bits() >> 64) as u64),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_may_call_so_often_in_a_window_and_others_as_well() {
        let (pace, now) = (Pace::default(), Instant::now());
        let client = |last| Some(IpAddr::from([203, 0, 113, last]));
        let one = (0_usize, Network::of(client(1)));
        for _ in 0..MOST {
            assert!(!pace.is_over(&one, now));
            assert!(pace.permits(0, client(1), now));
        }
        assert!(pace.is_over(&one, now) && !pace.is_over(&one, now + WINDOW));
        assert!(!pace.permits(0, client(1), now));
        assert!(pace.permits(1, client(1), now), "another site");
        assert!(pace.permits(0, client(2), now), "another client");
        assert!(pace.permits(0, client(1), now + WINDOW), "later");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_so_is_an_address_of_ipv4_however_spelled() {
        let (pace, now) = (Pace::default(), Instant::now());
        let client = |address: &str| Some(address.parse::<IpAddr>().unwrap());
        for host in 0..MOST {
            assert!(pace.permits(0, client(&format!("2001:db8:0:1::{host:x}")), now));
            assert!(pace.permits(0, client("::ffff:203.0.113.1"), now));
        }
        assert!(!pace.permits(0, client("2001:db8:0:1:ffff::1"), now));
        assert!(!pace.permits(0, client("203.0.113.1"), now));
        assert!(pace.permits(0, client("2001:db8:0:2::1"), now), "another network");
        assert!(pace.permits(0, client("::ffff:203.0.113.2"), now), "another address");
    }

    #[test]
    fn nobody_is_kept_out_because_there_are_many() {
        let (pace, now) = (Pace::default(), Instant::now());
        for n in 0..120_000_u32 {
            pace.permits(0, Some(IpAddr::from(n.to_be_bytes())), now);
        }
        assert!(pace.permits(1, Some(IpAddr::from([203, 0, 113, 1])), now));
    }
}
