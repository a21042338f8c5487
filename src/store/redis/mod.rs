//! The store that replicas share: a Redis (or Valkey) server.
//!
//! State and one stream, `countersign:log`, in which every change is an entry: log and
//! notification at once. A change is one call of `apply.lua`, which alters the state and
//! adds the entry, or does neither. Every replica reads the stream on a connection of its
//! own and applies it to memory in its order, its own changes too; so all agree.
//!
//! - Redis away: memory serves what it knew last and says that it may not be current;
//!   writes fail, what requests bring about waits in a bounded queue. A write that has failed
//!   was made all the same only if the answer alone was lost.
//! - Redis back: the stream goes on from the last entry that memory has. Where that was
//!   trimmed, everything is loaded. Where Redis has lost data, memory writes back what it
//!   knows: a ban that was lifted elsewhere meanwhile may return, but none is lost.
//! - Deliveries lie in Redis alone ([`outbox`]); what waited there when Redis lost its data is
//!   lost.
//! - Redis talks nonsense: an outage, or an entry that is passed over and counted.

mod entry;
mod greeting;
mod layout;
mod link;
mod lookup;
mod outbox;
mod queue;
mod reader;
mod shared;
mod snapshot;
mod told;
mod visits;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::AbortHandle;

use self::link::Server;
use self::lookup::Lookups;
use self::outbox::Deliveries;
use self::queue::is_by_digest;
use self::reader::Reader;
use self::shared::Shared;
use super::open::{Opening, no_randomness};
use super::{Change, Digest, DigestKey, Keeper, Memory, OpenError, Outage, Outbox, State, Store};
use crate::clock::UnixTime;
use crate::dialect::digest::write_hex;
use crate::plan::RedisUrl;

/// How long a start waits for Redis before it goes on without.
const FIRST_SYNC: Duration = Duration::from_secs(3);
/// How long Redis may take to come to a change that somebody waits for. By then it is made or
/// never: this is less than an answer may take, so what has failed is not made afterwards.
const MADE: Duration = Duration::from_millis(750);
/// How long somebody waits to hear of it.
const WRITE: Duration = Duration::from_millis(1500);
/// How long, once it is made, for the log to bring it.
const ECHO: Duration = Duration::from_secs(1);

/// How long, at the end of the process, what is still on its way is waited for.
const LAST: Duration = Duration::from_secs(1);

/// The keeper.
struct Redis {
    shared: Arc<Shared>,
    lookups: Arc<Lookups>,
    outbox: Arc<Deliveries>,
    tasks: [AbortHandle; 2],
}

/// Opens the store. A Redis that cannot be reached is waited for a little here, and then in
/// the background.
///
/// # Errors
/// The URL is no URL of a Redis server.
pub async fn open(url: &RedisUrl, opening: &Opening<'_>) -> Result<Store, OpenError> {
    let server = Server::at(url)?;
    // Until there is a shared key: what is remembered by its digest until then is lost.
    let key = DigestKey::generate().ok_or_else(no_randomness)?;
    let replica = DigestKey::generate().ok_or_else(no_randomness)?;
    let memory = Arc::new(Memory::without_deliveries(&key));
    // What is loaded must find its limits.
    memory.prepare(opening.plan);
    let shown = server.shown.clone();
    let shared = Arc::new(Shared::new(memory.clone(), opening.metrics.clone(), shown));
    let replica = write_hex(replica.expose());
    let outbox = Deliveries::new(shared.clone(), replica.clone());
    let reader = Reader::new(shared.clone(), server, replica, key);
    let mut links = shared.link.subscribe();
    let tasks = [
        tokio::spawn(reader.keep()).abort_handle(),
        tokio::spawn(writer::keep(shared.clone())).abort_handle(),
    ];
    let first = links.wait_for(Option::is_some);
    if tokio::time::timeout(FIRST_SYNC, first).await.is_err() {
        tracing::warn!(problem = shared.outage().0, "starting without what Redis keeps");
    }
    let keeper = Redis { shared, lookups: Arc::default(), outbox, tasks };
    Ok(Store::new(memory, Box::new(keeper)))
}

#[async_trait]
impl Keeper for Redis {
    async fn write(&self, change: Change) -> Result<(), Outage> {
        if self.shared.link.borrow().is_none() {
            return Err(self.shared.outage());
        }
        let told = self.shared.queue.write(change.clone(), UnixTime::now().after(MADE));
        let made = match tokio::time::timeout(WRITE, told).await {
            Ok(Ok(outcome)) => outcome?,
            _ => return Err(Outage("Redis did not answer in time".to_owned())),
        };
        // The log brings it, in its order. If that takes long, it is in force all the same.
        let echo = async {
            let mut applied = self.shared.applied.subscribe();
            applied.wait_for(|applied| made.is_some_and(|made| *applied >= made)).await.is_ok()
        };
        if made.is_none() || tokio::time::timeout(ECHO, echo).await != Ok(true) {
            self.shared.memory.apply(&change);
        }
        Ok(())
    }

    fn note(&self, change: Change) {
        // Before the first greeting digests are made with a key that nobody knows.
        if self.shared.synced() || !is_by_digest(&change) {
            self.shared.queue.note(change);
        }
    }

    async fn find_session(&self, site: &Arc<str>, session: Digest) -> bool {
        self.lookups.find(&self.shared, (site.clone(), session)).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        Some(self.outbox.clone())
    }

    fn state(&self) -> State {
        self.shared.state()
    }

    fn close(&self) {
        if self.shared.link.borrow().is_some() && !self.shared.queue.wait_until_empty(LAST) {
            tracing::warn!("Redis is too slow: some sessions are not kept");
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
