//! From where right credentials came lately: there they are not taken for guessed ones.
//!
//! Only who has them is noted, so nobody else can use up room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::pace::Network;

/// How long an address is trusted.
const TRUSTED: Duration = Duration::from_secs(60 * 60);
/// Most addresses, over all sites; of more, the one that was seen longest ago goes.
const MOST: usize = 1024;

/// By site and address: when its credentials came last.
#[derive(Default)]
pub(super) struct Trusted(Mutex<HashMap<(Arc<str>, Network), Instant>>);

impl Trusted {
    /// Whether the credentials of this site came from there lately.
    pub fn holds(&self, site: &Arc<str>, network: Network, now: Instant) -> bool {
        let last = self.0.lock().get(&(site.clone(), network)).copied();
        last.is_some_and(|last| now.duration_since(last) < TRUSTED)
    }

    /// They came from there, and were let in.
    pub fn note(&self, site: &Arc<str>, network: Network, now: Instant) {
        let mut trusted = self.0.lock();
        trusted.insert((site.clone(), network), now);
        if trusted.len() > MOST {
            let oldest = trusted.iter().min_by_key(|(_, last)| **last);
            if let Some(oldest) = oldest.map(|(whose, _)| whose.clone()) {
                trusted.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_trusted_for_an_hour_and_those_seen_longest_ago_make_room() {
        let (trusted, now) = (Trusted::default(), Instant::now());
        let address = |number: u32| Network::of(Some(number.to_be_bytes().into()));
        let (acme, other): (Arc<str>, Arc<str>) = ("acme".into(), "other".into());
        trusted.note(&acme, address(0), now);
        assert!(trusted.holds(&acme, address(0), now + TRUSTED - Duration::from_secs(1)));
        assert!(!trusted.holds(&acme, address(0), now + TRUSTED));
        assert!(!trusted.holds(&other, address(0), now) && !trusted.holds(&acme, address(1), now));
        let later = now + Duration::from_secs(1);
        (1..=1024).for_each(|number| trusted.note(&acme, address(number), later));
        assert!(
            !trusted.holds(&acme, address(0), later) && trusted.holds(&acme, address(1), later)
        );
    }
}
