//! What Countersign remembers: bans, logouts, single uses and sessions.
//!
//! Requests read [`Memory`] and nothing else. A [`Keeper`] makes changes last: nowhere
//! ([`volatile`]), in a file, or in a Redis that all replicas share. There are two ways to
//! change something:
//!
//! - [`Store::write`], for whoever must know that it will last (the admin API): it answers
//!   once the change is durable and in force, or changes nothing.
//! - [`Store::note`], for what requests bring about: in force at once, kept in the
//!   background.

mod change;
mod digest;
mod embedded;
mod listeners;
mod losses;
mod memory;
mod open;
pub mod outbox;
#[cfg(feature = "redis")]
mod redis;
mod sessions;
mod shards;
mod site;
mod subscriptions;
mod visits;
pub mod volatile;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use async_trait::async_trait;

use crate::assertion::SigningKey;
use crate::secret::Secret;
use crate::telemetry::{Metrics, StoreOperation};

pub use change::{Ban, Binding, Change, Confirmation};
pub use digest::{Digest, DigestKey, Purpose};
pub use memory::Memory;
pub use open::{OpenError, Opening, open};
pub use outbox::Outbox;
pub use site::{Mark, SiteMemory};
pub use visits::{Chat, MOST_FIELDS, Posted, Visit, Visits, is_guests};

/// Makes changes last.
#[async_trait]
pub trait Keeper: Send + Sync + 'static {
    /// Makes a change durable and applies it to [`Memory`], in the order in which changes
    /// became durable; returns when both have happened.
    ///
    /// # Errors
    /// It could not be made durable, and was not applied.
    async fn write(&self, change: Change) -> Result<(), Outage>;

    /// Keeps a change that memory has already. Never waits; what cannot be kept is counted.
    fn note(&self, change: Change);

    /// Looks for a session that another replica may have bound, for as long as a request
    /// can wait, and applies it to memory if it is there. Says whether it was.
    async fn find_session(&self, _site: &Arc<str>, _session: Digest) -> bool {
        false
    }

    /// Whether there are replicas, so that [`Keeper::find_session`] is worth asking.
    fn is_shared(&self) -> bool {
        false
    }

    /// Where deliveries are, if not in memory.
    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        None
    }

    /// The generated key that signs assertions, if it is kept: PKCS#8 in DER.
    fn signing_key(&self) -> Option<Secret> {
        None
    }

    /// How it is.
    fn state(&self) -> State;

    /// Keeps what was noted so far and lets go of what is held open; waits for it. What
    /// comes later is not kept.
    fn close(&self) {}
}

/// How a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its kind: `memory`, `embedded` or `redis`.
    pub kind: &'static str,
    /// Changes can be made durable now.
    pub up: bool,
    /// Memory has held all that was kept, at least once since the start.
    pub synced: bool,
    /// One sentence for an operator.
    pub detail: String,
}

/// A change could not be made durable: why, in a sentence for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Outage(pub String);

/// What is remembered, and who makes it last.
pub struct Store {
    memory: Arc<Memory>,
    keeper: Arc<dyn Keeper>,
    outbox: Arc<dyn Outbox>,
    metrics: OnceLock<Arc<Metrics>>,
}

impl Store {
    /// A store out of its parts; `keeper` applies its changes to this `memory`.
    pub fn new(memory: Arc<Memory>, keeper: Box<dyn Keeper>) -> Self {
        let keeper: Arc<dyn Keeper> = keeper.into();
        let following = Arc::downgrade(&keeper);
        memory.keep_what_follows(move |change| {
            if let Some(keeper) = following.upgrade() {
                keeper.note(change.clone());
            }
        });
        let local = || Arc::new(outbox::queues::Local::new(memory.clone(), keeper.clone())) as _;
        let outbox = keeper.outbox().unwrap_or_else(local);
        Self { memory, keeper, outbox, metrics: OnceLock::new() }
    }

    /// Has its state and its operations counted.
    pub(crate) fn count_in(&self, metrics: &Arc<Metrics>) {
        let asked = Arc::downgrade(&self.keeper);
        metrics.follow_store(move || asked.upgrade().is_some_and(|keeper| keeper.state().up));
        self.memory.losses().count_in(metrics);
        // The first metrics stay; nobody has others.
        let _ = self.metrics.set(metrics.clone());
    }

    /// What requests read.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// What is to be told to subscribers.
    pub fn outbox(&self) -> &Arc<dyn Outbox> {
        &self.outbox
    }

    /// A generated key that signs assertions, the same as at the last start where it is kept;
    /// none if the system has no randomness to give.
    pub fn signing_key(&self) -> Option<Secret> {
        self.keeper.signing_key().or_else(SigningKey::generate)
    }

    /// Makes a change that lasts.
    ///
    /// # Errors
    /// It could not be made durable: nothing has changed.
    pub async fn write(&self, change: Change) -> Result<(), Outage> {
        let begun = Instant::now();
        let written = self.keeper.write(change).await;
        self.took(StoreOperation::Write, begun);
        written
    }

    /// Makes a change at once, and has it kept in the background.
    ///
    /// A session that was just bound to the same is not bound anew: with every request of
    /// somebody's there would be something to keep. Nor does a chat begin twice, and nothing is
    /// said of whoever is not known.
    pub fn note(&self, change: Change) {
        if self.memory.knows(&change) || self.memory.is_of_nobody(&change) {
            return;
        }
        self.memory.apply(&change);
        self.keeper.note(change);
    }

    /// Looks for a session that memory does not know; says whether it does now.
    pub async fn find_session(&self, site: &Arc<str>, session: Digest) -> bool {
        let begun = Instant::now();
        let found = self.keeper.find_session(site, session).await;
        self.took(StoreOperation::Find, begun);
        found
    }

    /// Whether other replicas share it.
    pub fn is_shared(&self) -> bool {
        self.keeper.is_shared()
    }

    /// How it is.
    pub fn state(&self) -> State {
        self.keeper.state()
    }

    /// Keeps what was noted so far, and waits for it: for the end of the process.
    pub fn close(&self) {
        self.keeper.close();
    }

    fn took(&self, operation: StoreOperation, begun: Instant) {
        if let Some(metrics) = self.metrics.get() {
            metrics.store_operated(operation, begun.elapsed());
        }
    }
}

#[cfg(test)]
mod tests;
