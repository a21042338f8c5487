//! Follows the log: whatever it says is applied to memory in its order, on every replica.
//!
//! 1. Greet the database: it says where its log stands ([`Greeting`]).
//! 2. Unless the log still has the last entry that memory has, load everything. Changes
//!    made meanwhile come again in 3, which changes nothing.
//! 3. Wait for entries from there on, for ever; any trouble leads back to 1.
//!
//! Entries are numbered without gaps, and a database has an epoch: so a log that was trimmed
//! while we lagged, and a database that was emptied under us, are noticed at once.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use redis::aio::MultiplexedConnection;

use super::entry::{Entry, EntryId, Said, entries};
use super::greeting::{Greeting, Meeting};
use super::layout::{LOG, META};
use super::link::{ANSWER, Kind, Link, Server, Trouble};
use super::shared::Shared;
use super::snapshot::{self, Known};
use super::told::Told;
use super::writer::probe;
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::telemetry::StoreOperation;

/// How long Redis waits for an entry before it says that there is none: how soon a dead
/// connection is noticed, and a link that could not write is tried again.
const BLOCK: Duration = Duration::from_millis(400);
/// Most entries in one answer.
const COUNT: usize = 500;
/// Between attempts to connect: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How long loading everything may take.
const LOAD: Duration = Duration::from_secs(60);

/// Where memory stands.
pub struct Reader {
    shared: Arc<Shared>,
    server: Server,
    /// Tells its own entries from those of others.
    replica: String,
    key: Secret,
    place: Option<Place>,
    pause: Duration,
}

/// Up to where memory has the log.
struct Place {
    epoch: String,
    id: EntryId,
    n: u64,
    /// Entries in between were missed.
    missed: bool,
}

impl Reader {
    /// Follows a server. `key` is the digest key until there is a shared one.
    pub fn new(shared: Arc<Shared>, server: Server, replica: String, key: Secret) -> Self {
        Self { shared, server, replica, key, place: None, pause: PAUSES.0 }
    }

    /// Runs for ever.
    pub async fn keep(mut self) {
        loop {
            // What a server that is none answers must not end the process's memory of Redis.
            let trouble = match AssertUnwindSafe(self.follow()).catch_unwind().await {
                Ok(Ok(never)) => match never {},
                Ok(Err(trouble)) => trouble,
                Err(_) => Trouble::lost("an answer that cannot be read"),
            };
            self.shared.lose(&trouble);
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSES.1);
        }
    }

    async fn follow(&mut self) -> Result<Infallible, Trouble> {
        let mut reading = self.server.connect(BLOCK + ANSWER).await?;
        let writing = self.server.connect(ANSWER).await?;
        let mine = self.place.as_ref().map(|place| place.id);
        let greeting = Greeting::exchange(writing, &self.key, mine).await?;
        let mut link = greeting.link.clone();
        match tokio::time::timeout(LOAD, self.catch_up(greeting)).await {
            Ok(caught_up) => caught_up?,
            Err(_) => return Err(Trouble::lost("loading what is kept takes too long")),
        }
        self.shared.follows();
        loop {
            self.try_writing(&mut link).await?;
            self.next_entries(&mut reading, &mut link).await?;
            self.pause = PAUSES.0;
        }
    }

    /// Brings memory to where the log stood at the greeting, or leaves that to the log.
    async fn catch_up(&mut self, greeting: Greeting) -> Result<(), Trouble> {
        let meeting = match &self.place {
            None => Meeting::First,
            Some(place) => greeting.meeting(&place.epoch, place.id, place.n, place.missed),
        };
        if meeting == Meeting::Goes {
            return Ok(());
        }
        let mut link = greeting.link.clone();
        let mut known = Known::default();
        match meeting {
            Meeting::Missed => {
                known = Known::of(&self.shared);
                tracing::info!(server = %self.server.shown, "Redis' log was trimmed meanwhile: all is loaded");
            }
            Meeting::Lost => self.restore(&greeting, &mut link).await?,
            Meeting::First | Meeting::Goes => {}
        }
        self.take_key(&greeting.key);
        self.load(&mut link, known).await?;
        let (epoch, id, n) = (greeting.link.caller.epoch, greeting.last, greeting.entries);
        self.place = Some(Place { epoch, id, n, missed: false });
        self.shared.applied.send_replace(id);
        Ok(())
    }

    async fn restore(&self, greeting: &Greeting, link: &mut Link) -> Result<(), Trouble> {
        let same = self.key.matches(greeting.key.expose());
        if !same {
            self.shared.queue.drop_digests();
        }
        let written = snapshot::restore(&self.shared, link, same, &self.replica).await?;
        tracing::error!(
            server = %self.server.shown,
            written,
            sessions = if same { "written back" } else { "lost" },
            "Redis has lost data: what this instance knows of bans and logouts was written \
             back; see to its persistence"
        );
        Ok(())
    }

    fn take_key(&mut self, key: &Secret) {
        if !self.key.matches(key.expose()) {
            self.shared.memory.set_key(key);
            self.key = key.clone();
        }
    }

    async fn load(&self, link: &mut Link, known: Known) -> Result<(), Trouble> {
        let start = Instant::now();
        snapshot::load(&self.shared, link, known).await?;
        self.shared.metrics.store_operated(StoreOperation::Load, start.elapsed());
        Ok(())
    }

    /// Opens the link, if it is not open and changes can be made.
    async fn try_writing(&self, link: &mut Link) -> Result<(), Trouble> {
        if self.shared.link.borrow().is_some() {
            return Ok(());
        }
        match probe(link).await {
            Ok(()) => self.shared.open(link.clone()),
            Err(trouble) if trouble.kind == Kind::ReadOnly => self.shared.close(&trouble),
            Err(trouble) => return Err(trouble),
        }
        Ok(())
    }

    async fn next_entries(
        &mut self,
        reading: &mut MultiplexedConnection,
        link: &mut Link,
    ) -> Result<(), Trouble> {
        let Some(place) = &mut self.place else { return Err(Trouble::lost("never greeted")) };
        let mut calls = redis::pipe();
        calls.cmd("XREAD").arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        calls.arg("STREAMS").arg(LOG).arg(place.id.to_string());
        // Behind the entries: whether they are of the database that was greeted.
        calls.cmd("HGET").arg(META).arg("epoch");
        let (answer, epoch): (redis::Value, Option<String>) = calls.query_async(reading).await?;
        if epoch.as_ref() != Some(&place.epoch) {
            return Err(Trouble::lost("it was emptied, or replaced by another"));
        }
        let Some(entries) = entries(answer) else {
            return Err(Trouble::lost("an answer that makes no sense"));
        };
        let bound = self.shared.unknown_sessions(&entries);
        snapshot::fetch(&self.shared, reading, &bound).await?;
        let told = Told::fetch(reading, &entries).await?;
        for entry in entries {
            if entry.n.is_some_and(|n| n != place.n + 1) {
                place.missed = true;
                return Err(Trouble::lost("entries of its log are missing"));
            }
            place.n = entry.n.unwrap_or(place.n);
            place.id = entry.id;
            if let Some(webhook) = entry.dropped {
                tracing::error!(webhook, "too many deliveries wait: one was dropped");
            }
            match entry.said {
                Said::Posted(site, visitor) => told.visitor((site, visitor), &self.shared),
                Said::Subscribed(site, webhook) => told.subscription((site, webhook), &self.shared),
                Said::Change(change) => self.shared.retell(&change, UnixTime::now()),
                Said::Resync(replica) if replica != self.replica => {
                    snapshot::load(&self.shared, link, Known::default()).await?;
                }
                Said::Bound(..) | Said::Resync(_) | Said::Began => {}
                Said::Nonsense => self.shared.skip(LOG),
            }
            self.shared.applied.send_replace(entry.id);
        }
        Ok(())
    }
}

impl Shared {
    /// Sessions that were bound and that memory does not have in that binding.
    fn unknown_sessions(&self, entries: &[Entry]) -> Vec<(Arc<str>, crate::store::Digest)> {
        let unknown = |entry: &Entry| {
            let Said::Bound(site, session, at) = &entry.said else { return None };
            let known = self.memory.site(site).and_then(|memory| memory.session(session));
            known.is_none_or(|known| known.bound < *at).then(|| (site.clone(), *session))
        };
        entries.iter().filter_map(unknown).collect()
    }
}
