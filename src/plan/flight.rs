//! One fetch at a time, shared by all who wait for it.
//!
//! Whoever finds a fetch under way, or asked for, waits for that one. Nobody can have more
//! than one fetch made within [`BETWEEN`]: else anybody with made-up tokens could have
//! Countersign hammer the server that the keys come from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Least time between two fetches that requests ask for.
const BETWEEN: Duration = Duration::from_secs(10);

/// Who fetches, and who waits for it.
#[derive(Debug)]
pub struct Flight {
    state: Mutex<State>,
    wanted: Arc<Notify>,
    landed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// One is under way, or has been asked for.
    under_way: bool,
    /// When one was last asked for.
    asked: Option<Instant>,
    /// When the last one ended.
    landed: Option<Instant>,
    /// Somebody fetches at all.
    kept: bool,
}

/// What becomes of somebody who would like a fetch.
#[derive(Debug)]
pub enum Joined {
    /// One has ended since they looked: look again.
    Landed,
    /// One is under way; this tells when it has ended.
    UnderWay(watch::Receiver<u64>),
    /// There was one just now, and they have seen what came of it.
    TooSoon,
}

impl Default for Flight {
    fn default() -> Self {
        let (landed, _) = watch::channel(0);
        Self { state: Mutex::default(), wanted: Arc::default(), landed }
    }
}

impl Flight {
    /// Joins the fetch under way, or asks for one. `seen`: when they began to look at what
    /// was there.
    pub fn join(&self, seen: Instant, now: Instant) -> Joined {
        // Before looking: one that ends in between is not missed.
        let landed = self.landed.subscribe();
        let mut state = self.state.lock();
        if state.landed.is_some_and(|landed| landed >= seen) {
            return Joined::Landed;
        }
        if !state.under_way {
            if state.asked.is_some_and(|last| now.duration_since(last) < BETWEEN) {
                return Joined::TooSoon;
            }
            state.asked = Some(now);
            state.under_way = true;
            self.wanted.notify_one();
        }
        Joined::UnderWay(landed)
    }

    /// Claims the fetching; false: somebody else does it.
    pub fn keep(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().kept, true)
    }

    /// A fetch begins.
    pub fn depart(&self) {
        self.state.lock().under_way = true;
    }

    /// It has ended, whatever came of it.
    pub fn land(&self) {
        let mut state = self.state.lock();
        state.under_way = false;
        state.landed = Some(Instant::now());
        drop(state);
        self.landed.send_modify(|count| *count += 1);
    }

    /// What tells the fetcher that one is asked for.
    pub fn wanted(&self) -> Arc<Notify> {
        self.wanted.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joins(flight: &Flight, at: Instant) -> Option<watch::Receiver<u64>> {
        match flight.join(at, at) {
            Joined::UnderWay(landed) => Some(landed),
            Joined::TooSoon => None,
            Joined::Landed => panic!("nothing has landed since"),
        }
    }

    #[test]
    fn all_who_come_while_one_is_under_way_share_it_and_the_next_is_ten_seconds_later() {
        let (flight, start) = (Flight::default(), Instant::now());
        let first = joins(&flight, start).expect("the first asks for one");
        let second = joins(&flight, start).expect("the second joins it");
        flight.depart();
        assert!(joins(&flight, start).is_some(), "under way");
        assert!(!first.has_changed().unwrap());
        flight.land();
        assert!(first.has_changed().unwrap() && second.has_changed().unwrap());
        assert!(matches!(flight.join(start, start), Joined::Landed), "look again");
        let soon = start + BETWEEN - Duration::from_millis(1);
        assert!(joins(&flight, soon).is_none());
        assert!(joins(&flight, start + BETWEEN).is_some());
    }

    #[test]
    fn a_fetch_that_nobody_asked_for_delays_no_other() {
        let flight = Flight::default();
        flight.depart();
        flight.land();
        assert!(joins(&flight, Instant::now()).is_some());
    }

    #[test]
    fn one_fetches_for_all() {
        let flight = Flight::default();
        assert!(flight.keep());
        assert!(!flight.keep());
    }
}
