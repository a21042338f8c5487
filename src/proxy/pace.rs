//! How often one client may use the widget's own endpoints: they cost a verification and
//! may write, and no widget needs them more than a few times a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Calls of one client in each window, on one site.
const MOST: u32 = 30;
const WINDOW: Duration = Duration::from_secs(10);
/// Clients that are counted; whoever comes later in the window waits for the next.
const CLIENTS: usize = 100_000;

/// Counts calls by site and client, in windows that all begin together.
pub struct Pace(Mutex<Window>);

struct Window {
    begun: Instant,
    calls: HashMap<(usize, Option<IpAddr>), u32, ahash::RandomState>,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Window { begun: Instant::now(), calls: HashMap::default() }))
    }
}

impl Pace {
    /// Counts a call; whether it may be made.
    pub fn permits(&self, site: usize, client: Option<IpAddr>, now: Instant) -> bool {
        let mut window = self.0.lock();
        if now.duration_since(window.begun) >= WINDOW {
            window.begun = now;
            window.calls.clear();
        }
        let room = window.calls.len() < CLIENTS;
        match window.calls.get_mut(&(site, client)) {
            Some(calls) => {
                *calls = calls.saturating_add(1);
                *calls <= MOST
            }
            None if room => window.calls.insert((site, client), 1).is_none(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_may_call_so_often_in_a_window_and_others_as_well() {
        let (pace, now) = (Pace::default(), Instant::now());
        let client = |last| Some(IpAddr::from([203, 0, 113, last]));
        for _ in 0..MOST {
            assert!(pace.permits(0, client(1), now));
        }
        assert!(!pace.permits(0, client(1), now));
        assert!(pace.permits(1, client(1), now), "another site");
        assert!(pace.permits(0, client(2), now), "another client");
        assert!(pace.permits(0, client(1), now + WINDOW), "later");
    }
}
