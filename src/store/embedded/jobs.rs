//! What waits for the thread that writes the file.
//!
//! What somebody waits for comes first and finds room always: whoever brings about many
//! changes of the background must not hold up his own ban. That is sound because what is
//! remembered is merged by its times, not by its order; only bans and their lifting need
//! theirs, and keep it, since somebody waits for each.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::store::{Change, Outage};

/// Changes of the background that wait; beyond, none is taken.
const QUEUE: usize = 16 * 1024;

/// Whom to tell what became of a change.
pub type Tell = oneshot::Sender<Result<(), Outage>>;

/// The changes.
#[derive(Default)]
pub struct Jobs {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    writes: VecDeque<(Change, Tell)>,
    notes: VecDeque<Change>,
    /// Who is to be told once all of them are kept.
    close: Option<SyncSender<()>>,
    /// Nobody has any more to give, or nobody takes any more.
    over: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.notes.is_empty() && self.close.is_none()
    }
}

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// There is something to do.
    Something,
    /// Nothing until then.
    Nothing,
    /// Nothing, nor will there be.
    End,
}

/// Changes to be kept together, and whom to tell if they are the last.
#[derive(Default)]
pub struct Batch {
    /// The changes, and who waits for them.
    pub changes: Vec<(Change, Option<Tell>)>,
    /// Told after it.
    pub close: Option<SyncSender<()>>,
}

impl Jobs {
    /// Takes a change that somebody waits for; says whether it did.
    pub fn write(&self, change: Change, tell: Tell) -> bool {
        self.put(|waiting| waiting.writes.push_back((change, tell)))
    }

    /// Takes a change that nobody waits for; says whether it did.
    pub fn note(&self, change: Change) -> bool {
        let mut taken = false;
        let open = self.put(|waiting| {
            taken = waiting.notes.len() < QUEUE;
            if taken {
                waiting.notes.push_back(change);
            }
        });
        open && taken
    }

    /// Takes nothing more, and has somebody told once all is kept; says whether it did.
    pub fn close(&self, tell: SyncSender<()>) -> bool {
        self.put(|waiting| waiting.close = Some(tell))
    }

    /// Nobody will give or take any more. Whoever still waits learns that it was not done
    /// if it is the taker who has gone.
    pub fn end(&self, taker_gone: bool) {
        let mut waiting = self.waiting.lock();
        waiting.over = true;
        if taker_gone {
            waiting.writes.clear();
            waiting.notes.clear();
        }
        drop(waiting);
        self.more.notify_all();
    }

    fn put(&self, add: impl FnOnce(&mut Waiting)) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.over || waiting.close.is_some() {
            return false;
        }
        add(&mut waiting);
        drop(waiting);
        self.more.notify_all();
        true
    }

    /// Blocks until there is something to do, or the time has come.
    pub fn wait(&self, until: Instant) -> Came {
        let mut waiting = self.waiting.lock();
        let idle = |waiting: &mut Waiting| waiting.is_empty() && !waiting.over;
        let timed_out = self.more.wait_while_until(&mut waiting, idle, until).timed_out();
        match (waiting.is_empty(), timed_out) {
            (false, _) => Came::Something,
            (true, true) => Came::Nothing,
            (true, false) => Came::End,
        }
    }

    /// Takes the next changes, those first that somebody waits for. If there are none of
    /// these, waits a moment for company.
    pub fn batch(&self, most: usize, company: Duration) -> Batch {
        let mut waiting = self.waiting.lock();
        let alone = |waiting: &mut Waiting| {
            let hurried = !waiting.writes.is_empty() || waiting.close.is_some() || waiting.over;
            !hurried && waiting.notes.len() < most
        };
        self.more.wait_while_for(&mut waiting, alone, company);
        let mut batch = Batch::default();
        let writes = most.min(waiting.writes.len());
        let notes = (most - writes).min(waiting.notes.len());
        let awaited = waiting.writes.drain(..writes);
        batch.changes.extend(awaited.map(|(change, tell)| (change, Some(tell))));
        batch.changes.extend(waiting.notes.drain(..notes).map(|change| (change, None)));
        if waiting.writes.is_empty() && waiting.notes.is_empty() {
            batch.close = waiting.close.take();
            waiting.over |= batch.close.is_some();
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;

    fn logout(at: usize) -> Change {
        let at = UnixTime::from_secs(at as u64);
        Change::Logout { site: "acme".into(), id: "ada".into(), at }
    }

    #[test]
    fn what_somebody_waits_for_passes_whatever_fills_the_queue() {
        let jobs = Jobs::default();
        assert!((0..QUEUE).all(|n| jobs.note(logout(n))));
        assert!(!jobs.note(logout(QUEUE)));
        let (tell, mut told) = oneshot::channel();
        assert!(jobs.write(logout(9), tell));
        let batch = jobs.batch(2, Duration::ZERO);
        assert!(matches!(&*batch.changes, [(first, Some(_)), (then, None)]
            if *first == logout(9) && *then == logout(0)));
        drop(batch);
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn the_end_comes_after_all_that_was_taken_and_nothing_after_it() {
        let jobs = Jobs::default();
        assert_eq!(jobs.wait(Instant::now()), Came::Nothing);
        jobs.note(logout(1));
        jobs.note(logout(2));
        let (tell, _told) = std::sync::mpsc::sync_channel(1);
        assert!(jobs.close(tell.clone()) && !jobs.note(logout(3)) && !jobs.close(tell));
        assert_eq!(jobs.wait(Instant::now()), Came::Something);
        assert!(jobs.batch(1, Duration::ZERO).close.is_none());
        let last = jobs.batch(1, Duration::ZERO);
        assert!(last.close.is_some() && last.changes.len() == 1);
        assert_eq!(jobs.wait(Instant::now()), Came::End);
        let (tell, mut told) = oneshot::channel();
        assert!(!jobs.write(logout(4), tell));
        assert!(matches!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    }
}
