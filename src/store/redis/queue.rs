//! Changes on their way to Redis, first in, first out: a session's end must not overtake
//! its beginning.
//!
//! What requests brought about stays here while Redis is away, up to a bound; beyond, the
//! oldest goes. What somebody waits for does not wait: it fails.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, oneshot};

use super::entry::EntryId;
use crate::clock::UnixTime;
use crate::store::{Change, Outage};

/// Most changes that wait: a few MB.
const MOST: usize = 20_000;

/// What becomes of a write: its entry, if it made one.
pub type Outcome = Result<Option<EntryId>, Outage>;

/// One change on its way.
pub struct Item {
    /// What.
    pub change: Change,
    /// Who waits for it, and until when; nobody, if requests brought it about.
    pub wait: Option<(UnixTime, oneshot::Sender<Outcome>)>,
}

impl Item {
    /// Tells whoever waits. Whoever has given up is not missed.
    pub fn settle(self, outcome: Outcome) {
        if let Some((_, waiting)) = self.wait {
            let _ = waiting.send(outcome);
        }
    }
}

/// The changes.
#[derive(Default)]
pub struct Queue {
    items: Mutex<VecDeque<Item>>,
    more: Notify,
    /// A batch was taken and is not settled.
    sending: AtomicBool,
    settled: Condvar,
    dropped: AtomicU64,
}

impl Queue {
    /// Adds a change that nobody waits for.
    pub fn note(&self, change: Change) {
        self.push(Item { change, wait: None });
    }

    /// Adds a change that somebody waits for, until then.
    pub fn write(&self, change: Change, until: UnixTime) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        self.push(Item { change, wait: Some((until, tell)) });
        told
    }

    fn push(&self, item: Item) {
        let mut items = self.items.lock();
        if items.len() >= MOST {
            let oldest = items.pop_front();
            self.drop_item(oldest);
        }
        items.push_back(item);
        drop(items);
        self.more.notify_one();
    }

    /// Waits until there is something.
    pub async fn some(&self) {
        while self.items.lock().is_empty() {
            self.more.notified().await;
        }
    }

    /// Takes the next few, without those that nobody waits for any more.
    pub fn take(&self, most: usize) -> Vec<Item> {
        let mut items = self.items.lock();
        let given_up =
            |item: &Item| item.wait.as_ref().is_some_and(|(_, waiting)| waiting.is_closed());
        self.sending.store(true, Ordering::Relaxed);
        let upto = most.min(items.len());
        items.drain(..upto).filter(|item| !given_up(item)).collect()
    }

    /// Notes that all that was taken is settled, or put back.
    pub fn sent(&self) {
        let _items = self.items.lock();
        self.sending.store(false, Ordering::Relaxed);
        self.settled.notify_all();
    }

    /// Blocks until nothing is on its way; says whether that came to pass.
    pub fn wait_until_empty(&self, within: Duration) -> bool {
        let mut items = self.items.lock();
        let under_way =
            |items: &mut VecDeque<Item>| !items.is_empty() || self.sending.load(Ordering::Relaxed);
        !self.settled.wait_while_for(&mut items, under_way, within).timed_out()
    }

    /// Puts back what could not be kept, in its order; fails what somebody waits for, here
    /// and behind.
    pub fn put_back(&self, batch: Vec<Item>, why: &Outage) {
        let mut items = self.items.lock();
        for item in batch.into_iter().rev() {
            items.push_front(item);
        }
        let (waiting, kept): (VecDeque<_>, VecDeque<_>) =
            items.drain(..).partition(|item| item.wait.is_some());
        *items = kept;
        while items.len() > MOST {
            let oldest = items.pop_front();
            self.drop_item(oldest);
        }
        drop(items);
        waiting.into_iter().for_each(|item| item.settle(Err(why.clone())));
    }

    /// Drops what names credentials and sessions by digests that mean nothing any more.
    pub fn drop_digests(&self) {
        let by_digest = |change: &Change| {
            matches!(
                change,
                Change::Hold { .. } | Change::Use { .. } | Change::Bind { .. } | Change::End { .. }
            )
        };
        self.items.lock().retain(|item| item.wait.is_some() || !by_digest(&item.change));
    }

    /// Counts a change that is not kept.
    pub fn drop_item(&self, item: Option<Item>) {
        let Some(item) = item else { return };
        self.dropped.fetch_add(1, Ordering::Relaxed);
        item.settle(Err(Outage("too many changes are waiting for Redis".to_owned())));
    }

    /// How many were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logout(at: u64) -> Change {
        Change::Logout { site: "acme".into(), id: "ada".into(), at: UnixTime::from_secs(at) }
    }

    fn times(items: &[Item]) -> Vec<u64> {
        let at = |item: &Item| match &item.change {
            Change::Logout { at, .. } => Some(at.as_secs()),
            _ => None,
        };
        items.iter().filter_map(at).collect()
    }

    #[test]
    fn what_could_not_be_kept_comes_first_again_and_writes_fail() {
        let queue = Queue::default();
        queue.note(logout(1));
        let mut write = queue.write(logout(2), UnixTime::from_secs(9));
        queue.note(logout(3));
        let batch = queue.take(2);
        assert_eq!(times(&batch), [1, 2]);
        let mut behind = queue.write(logout(4), UnixTime::from_secs(9));
        let why = Outage("gone".to_owned());
        queue.put_back(batch, &why);
        assert_eq!(write.try_recv().unwrap(), Err(why.clone()));
        assert_eq!(behind.try_recv().unwrap(), Err(why));
        assert_eq!(times(&queue.take(9)), [1, 3]);
    }

    #[test]
    fn a_write_that_nobody_waits_for_is_not_made() {
        let queue = Queue::default();
        drop(queue.write(logout(1), UnixTime::from_secs(9)));
        assert!(queue.take(9).is_empty());
    }

    #[test]
    fn beyond_the_bound_the_oldest_is_dropped_and_counted() {
        let queue = Queue::default();
        for at in 0..MOST as u64 + 2 {
            queue.note(logout(at));
        }
        assert_eq!(queue.dropped(), 2);
        assert_eq!(times(&queue.take(1)), [2]);
    }
}
