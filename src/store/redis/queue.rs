//! Changes on their way to Redis.
//!
//! - What somebody waits for goes first, and never makes room: whoever brings about many
//!   changes must not hold up his own ban. While Redis is away it does not wait: it fails.
//! - What requests brought about follows, first in, first out: a session's end must not
//!   overtake its beginning. It stays here while Redis is away, up to a bound; beyond, the
//!   oldest goes.
//!
//! That a ban or a logout overtakes what was noted before it changes nothing: sessions are
//! judged by when they were bound, not by when that was told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, oneshot};

use super::entry::EntryId;
use crate::clock::UnixTime;
use crate::store::{Change, Outage};

/// Most changes that nobody waits for: a few MB.
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
    items: Mutex<Items>,
    more: Notify,
    /// A batch was taken and is not settled.
    sending: AtomicBool,
    settled: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Items {
    /// What somebody waits for.
    writes: VecDeque<Item>,
    notes: VecDeque<Item>,
}

impl Items {
    fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.notes.is_empty()
    }
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
        if item.wait.is_some() {
            items.writes.push_back(item);
        } else {
            if items.notes.len() >= MOST {
                let oldest = items.notes.pop_front();
                self.drop_item(oldest);
            }
            items.notes.push_back(item);
        }
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
        let writes = most.min(items.writes.len());
        let notes = (most - writes).min(items.notes.len());
        let mut batch: Vec<_> = items.writes.drain(..writes).collect();
        batch.retain(|item| !given_up(item));
        batch.extend(items.notes.drain(..notes));
        batch
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
            |items: &mut Items| !items.is_empty() || self.sending.load(Ordering::Relaxed);
        !self.settled.wait_while_for(&mut items, under_way, within).timed_out()
    }

    /// Puts back what could not be kept, in its order; fails what somebody waits for, here
    /// and behind.
    pub fn put_back(&self, batch: Vec<Item>, why: &Outage) {
        let mut items = self.items.lock();
        let (mut waiting, notes): (VecDeque<_>, VecDeque<_>) =
            batch.into_iter().partition(|item| item.wait.is_some());
        waiting.append(&mut items.writes);
        for item in notes.into_iter().rev() {
            items.notes.push_front(item);
        }
        while items.notes.len() > MOST {
            let oldest = items.notes.pop_front();
            self.drop_item(oldest);
        }
        drop(items);
        waiting.into_iter().for_each(|item| item.settle(Err(why.clone())));
    }

    /// Drops what names credentials and sessions by digests that mean nothing any more.
    pub fn drop_digests(&self) {
        self.items.lock().notes.retain(|item| !is_by_digest(&item.change));
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

/// Whether a change says nothing to whoever has another digest key. A chat does: somebody is
/// to hear of it, if perhaps once more.
pub fn is_by_digest(change: &Change) -> bool {
    matches!(
        change,
        Change::Hold { .. } | Change::Use { .. } | Change::Bind { .. } | Change::End { .. }
    )
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
        assert_eq!(times(&batch), [2, 1]);
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
    fn what_somebody_waits_for_passes_whatever_fills_the_queue() {
        let queue = Queue::default();
        let mut write = queue.write(logout(9), UnixTime::from_secs(9));
        for at in 0..MOST as u64 + 2 {
            queue.note(logout(at));
        }
        let _later = queue.write(logout(10), UnixTime::from_secs(9));
        assert!(write.try_recv().is_err(), "it waits");
        assert_eq!(times(&queue.take(3)), [9, 10, 2]);
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
