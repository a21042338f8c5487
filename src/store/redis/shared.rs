//! What the parts of the keeper have in common: memory, the queue, the link, and how it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::entry::EntryId;
use super::link::{Link, Trouble};
use super::queue::Queue;
use super::recent::Recent;
use crate::clock::UnixTime;
use crate::store::{Change, Memory, Outage, State};
use crate::telemetry::Metrics;

/// The common ground.
pub struct Shared {
    /// What requests read.
    pub memory: Arc<Memory>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The server's address, without password.
    pub server: String,
    /// Changes on their way.
    pub queue: Queue,
    /// Chats that Redis was just told of.
    pub recent: Recent,
    /// Over which changes can be made, while they can.
    pub link: watch::Sender<Option<Link>>,
    /// The last entry of the log that memory has.
    pub applied: watch::Sender<EntryId>,
    synced: AtomicBool,
    skipped: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    /// Nothing is known yet.
    pub fn new(memory: Arc<Memory>, metrics: Arc<Metrics>, server: String) -> Self {
        memory.set_current(false);
        Self {
            memory,
            metrics,
            server,
            queue: Queue::default(),
            recent: Recent::default(),
            link: watch::channel(None).0,
            applied: watch::channel(EntryId::default()).0,
            synced: AtomicBool::new(false),
            skipped: AtomicU64::new(0),
            trouble: Mutex::new(Some("not reached yet".to_owned())),
        }
    }

    /// Memory has all that is kept, and follows.
    pub fn follows(&self) {
        self.memory.set_current(true);
        self.synced.store(true, Ordering::Release);
    }

    /// Whether memory has had all that is kept.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Changes can be made.
    pub fn open(&self, link: Link) {
        self.link.send_replace(Some(link));
        if self.trouble.lock().take().is_some() {
            tracing::info!(server = %self.server, "Redis can be reached: memory follows it");
        }
    }

    /// Changes cannot be made, for this reason.
    pub fn close(&self, trouble: &Trouble) {
        if self.link.send_replace(None).is_some() {
            self.recent.lose(UnixTime::now());
        }
        let mut said = self.trouble.lock();
        if said.as_ref() != Some(&trouble.said) {
            tracing::warn!(server = %self.server, problem = trouble.said, "Redis: an outage");
            *said = Some(trouble.said.clone());
        }
        drop(said);
        self.queue.put_back(Vec::new(), &self.outage());
    }

    /// Memory may not have all that is kept.
    pub fn lose(&self, trouble: &Trouble) {
        self.memory.set_current(false);
        self.close(trouble);
    }

    /// Applies what Redis tells of. That may be long ago: whoever acts on a refused credential
    /// need not hear of one that is over.
    pub fn retell(&self, change: &Change, now: UnixTime) {
        if !change.has_lapsed(now) {
            self.memory.apply(change);
        }
    }

    /// Passes over something in Redis that makes no sense.
    pub fn skip(&self, what: &str) {
        if self.skipped.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(server = %self.server, what, "Redis holds what makes no sense; it is passed over");
        }
    }

    /// Why nothing can be written.
    pub fn outage(&self) -> Outage {
        let trouble = self.trouble.lock();
        let why = trouble.as_deref().unwrap_or("the connection has just ended");
        Outage(format!("Redis at {}: {why}", self.server))
    }

    /// How it is.
    pub fn state(&self) -> State {
        let up = self.link.borrow().is_some();
        let mut detail = match up {
            true => format!("follows {}", self.server),
            false => self.outage().0,
        };
        let count = |count: u64, what: &str| match count {
            0 => String::new(),
            count => format!("; {count} {what}"),
        };
        detail += &count(self.queue.dropped(), "changes could not be kept");
        detail += &count(self.skipped.load(Ordering::Relaxed), "entries make no sense");
        State { kind: "redis", up, synced: self.synced(), detail }
    }
}
