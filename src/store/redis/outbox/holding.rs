//! What a replica knows of the deliveries to one subscription, between two questions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::UnixTime;
use crate::store::outbox::{DeliveryState, Progress};

/// For how long a subscription is this replica's, each time that it asks.
pub const LEASE: Duration = Duration::from_secs(5);
/// How long it counts on that, from before it asked: another one must not have begun then,
/// however far apart the two machines' clocks run.
const COUNTED_ON: Duration = Duration::from_secs(4);
/// The first entry of a stream.
const FIRST: &str = "0-0";

/// What is known.
#[derive(Default)]
pub struct Holding {
    /// Until when it is this replica that delivers.
    until: Option<Instant>,
    /// From which entry on what was taken once, and is not settled, is taken again.
    again: Option<String>,
    /// Handed out and not settled.
    out: HashSet<Arc<str>>,
    /// What became of some of them could not be noted yet.
    unsettled: HashMap<Arc<str>, Progress>,
    /// There is something that was never taken.
    untaken: bool,
    /// How often something new was heard of.
    heard: u64,
    /// When the next one is to be tried again.
    due: Option<UnixTime>,
}

/// What is asked for next.
pub struct Next {
    /// From which entry on to take again; empty: nothing.
    pub from: String,
    heard: u64,
}

impl Holding {
    /// What Redis said of the lease, which was asked for then.
    pub fn lease(&mut self, is: u8, asked: Instant, untaken: bool, due: Option<UnixTime>) {
        if is == 0 {
            self.until = None;
            return;
        }
        // A former owner's, perhaps this one's, which came too late to go on.
        if is == 2 {
            self.again = Some(FIRST.to_owned());
        }
        self.until = Some(asked + COUNTED_ON);
        (self.untaken, self.due) = (untaken, due);
    }

    /// Whether it is this replica that delivers.
    pub fn is_held(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// It is not, after all.
    pub fn lose(&mut self) {
        self.until = None;
    }

    /// Something new was put in, perhaps for this subscription.
    pub fn hear(&mut self) {
        self.untaken = true;
        self.heard += 1;
    }

    /// When there is something to take; none while another replica delivers.
    pub fn next_due(&self, now: Instant) -> Option<UnixTime> {
        match self.untaken || self.again.is_some() {
            _ if !self.is_held(now) => None,
            true => Some(UnixTime::default()),
            false => self.due,
        }
    }

    /// What to ask for next.
    pub fn next(&self) -> Next {
        Next { from: self.again.clone().unwrap_or_default(), heard: self.heard }
    }

    /// What Redis said to that: from which entry on to ask again, and what is left.
    pub fn took(&mut self, next: &Next, from: String, untaken: bool, due: Option<UnixTime>) {
        // Something may have been given back meanwhile.
        if self.again.clone().unwrap_or_default() == next.from {
            self.again = Some(from).filter(|from| !from.is_empty());
        }
        if self.heard == next.heard {
            self.untaken = untaken;
        }
        self.due = due;
    }

    /// Whether what was taken in part is yet to be taken in full.
    pub fn has_more_to_take_again(&self) -> bool {
        self.again.is_some()
    }

    /// Hands one out, unless it is out already.
    pub fn hand_out(&mut self, id: &Arc<str>) -> bool {
        self.out.insert(id.clone())
    }

    /// It was not tried, or nobody knows whether it was taken: it is taken again.
    pub fn give_back(&mut self, id: Option<&Arc<str>>) {
        id.map(|id| self.out.remove(id));
        self.again = Some(FIRST.to_owned());
    }

    /// What became of one is known in Redis.
    pub fn settled(&mut self, id: &Arc<str>, progress: &Progress) {
        self.out.remove(id);
        self.unsettled.remove(id);
        if progress.state == DeliveryState::Queued {
            self.due = Some(self.due.map_or(progress.due, |due| due.min(progress.due)));
        }
    }

    /// What became of one could not be noted yet.
    pub fn owe(&mut self, id: &Arc<str>, progress: Progress) {
        self.unsettled.insert(id.clone(), progress);
    }

    /// What could not be noted yet.
    pub fn owed(&self) -> Vec<(Arc<str>, Progress)> {
        self.unsettled.iter().map(|(id, progress)| (id.clone(), progress.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(now: Instant) -> Holding {
        let mut holding = Holding::default();
        holding.lease(2, now, false, None);
        holding
    }

    #[test]
    fn it_delivers_for_less_long_than_its_lease_lasts() {
        let asked = Instant::now();
        let mut holding = held(asked);
        assert!(holding.is_held(asked + COUNTED_ON - Duration::from_millis(1)));
        assert!(!holding.is_held(asked + COUNTED_ON) && COUNTED_ON < LEASE);
        assert_eq!(holding.next_due(asked + COUNTED_ON), None);
        holding.lease(0, asked, true, None);
        assert!(!holding.is_held(asked));
    }

    #[test]
    fn whoever_has_a_lease_anew_takes_again_and_whoever_renews_it_does_not() {
        let now = Instant::now();
        let mut holding = held(now);
        let next = holding.next();
        assert_eq!((next.from.as_str(), holding.next_due(now)), (FIRST, Some(UnixTime::default())));
        holding.took(&next, "5-1".into(), false, None);
        assert!(holding.has_more_to_take_again());
        let next = holding.next();
        holding.took(&next, String::new(), false, Some(UnixTime::from_secs(9)));
        holding.lease(1, now, false, Some(UnixTime::from_secs(8)));
        assert!(!holding.has_more_to_take_again());
        assert_eq!(holding.next_due(now), Some(UnixTime::from_secs(8)));
    }

    #[test]
    fn what_happens_while_redis_is_asked_is_not_lost() {
        let now = Instant::now();
        let mut holding = held(now);
        let next = holding.next();
        holding.took(&next, String::new(), false, None);
        let next = holding.next();
        holding.hear();
        holding.give_back(None);
        holding.took(&next, String::new(), false, None);
        assert!(holding.untaken && holding.next().from == FIRST);
    }

    #[test]
    fn what_is_out_is_not_handed_out_again_until_it_is_settled_or_given_back() {
        let mut holding = held(Instant::now());
        let id: Arc<str> = "d1".into();
        let progress = Progress::fresh(UnixTime::from_secs(9));
        assert!(holding.hand_out(&id) && !holding.hand_out(&id));
        holding.owe(&id, progress.clone());
        assert!(!holding.hand_out(&id) && holding.owed().len() == 1);
        holding.settled(&id, &progress);
        assert!(holding.owed().is_empty() && holding.due == Some(progress.due));
        assert!(holding.hand_out(&id));
        holding.give_back(Some(&id));
        assert!(holding.hand_out(&id));
    }
}
