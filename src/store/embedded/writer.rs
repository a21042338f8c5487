//! The one thread that writes the file.
//!
//! Changes that come while a commit is under way are kept with the next, up to [`BATCH`] at
//! once; those of the background wait a moment for company. Changes that somebody waits for
//! come into force after their commit, in its order.
//!
//! When a commit fails nothing of it is in force, and the file is opened anew for the next.
//! What requests brought about meanwhile is in memory: with the first commit that succeeds
//! the file becomes what memory is, which also undoes whatever a failed commit left there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use redb::{Database, WriteTransaction};
use tokio::sync::oneshot;

use super::file::Folder;
use super::jobs::{Batch, Came, Jobs};
use super::rows;
use super::trouble::Trouble;
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::store::{Change, Keeper, Memory, Outage, State};
use crate::telemetry::{Metrics, StoreOperation};

/// Changes of one commit.
const BATCH: usize = 256;
/// How long changes of the background wait for company.
const COMPANY: Duration = Duration::from_millis(5);
/// How often what is over is removed.
const SWEEP: Duration = Duration::from_secs(300);
/// How often a file that could not be written is tried.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of the process waits for the last commit.
const LAST: Duration = Duration::from_secs(5);

/// Hands changes to the thread. How many it takes: [`Jobs`].
pub struct Embedded {
    jobs: Arc<Jobs>,
    status: Arc<Status>,
    signing_key: Option<Secret>,
}

#[derive(Default)]
struct Status {
    /// Why the file cannot be written, if it cannot.
    trouble: Mutex<Option<String>>,
    /// Changes of the background that found the queue full.
    dropped: AtomicU64,
    /// The file lacks something that memory has.
    behind: AtomicBool,
    file: String,
}

/// Starts the thread. It ends when the keeper is dropped or closed.
pub fn start(
    folder: Folder,
    (database, signing_key): (Database, Option<Secret>),
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
) -> std::io::Result<Embedded> {
    let jobs = Arc::<Jobs>::default();
    let file = folder.file().display().to_string();
    let status = Arc::new(Status { file, ..Status::default() });
    let sweep_at = Instant::now() + SWEEP;
    let database = Some(database);
    let shown = status.clone();
    let taken = jobs.clone();
    let writer = Writer { folder, database, memory, metrics, status: shown, jobs: taken, sweep_at };
    std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run())?;
    Ok(Embedded { jobs, status, signing_key })
}

#[async_trait]
impl Keeper for Embedded {
    async fn write(&self, change: Change) -> Result<(), Outage> {
        let (tell, told) = oneshot::channel();
        if !self.jobs.write(change, tell) {
            return Err(closed());
        }
        told.await.unwrap_or_else(|_| Err(closed()))
    }

    fn note(&self, change: Change) {
        // What found no room is written from memory.
        if !self.jobs.note(change) {
            self.status.dropped.fetch_add(1, Ordering::Relaxed);
            self.status.behind.store(true, Ordering::Relaxed);
        }
    }

    fn signing_key(&self) -> Option<Secret> {
        self.signing_key.clone()
    }

    fn state(&self) -> State {
        let trouble = self.status.trouble.lock().clone();
        let up = trouble.is_none();
        let mut detail = match trouble {
            None => format!("kept in {}", self.status.file),
            Some(why) => format!(
                "{} cannot be written: {why}; what was known holds, bans and logouts are \
                 answered with 503",
                self.status.file
            ),
        };
        let dropped = self.status.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            detail += &format!("; {dropped} changes came faster than the disk took them");
        }
        State { kind: "embedded", up, synced: true, detail }
    }

    fn close(&self) {
        let (done, closed) = sync_channel(1);
        if self.jobs.close(done) {
            // Past it, the next start finds what is missing gone, as after a crash.
            let _ = closed.recv_timeout(LAST);
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.jobs.end(false);
    }
}

fn closed() -> Outage {
    Outage("the store is closed".to_owned())
}

struct Writer {
    folder: Folder,
    /// None after a failure: redb wants it opened anew.
    database: Option<Database>,
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
    status: Arc<Status>,
    jobs: Arc<Jobs>,
    sweep_at: Instant,
}

impl Writer {
    fn run(mut self) {
        loop {
            let is_up = self.status.trouble.lock().is_none();
            let due = if is_up { self.sweep_at } else { Instant::now() + RETRY };
            match self.jobs.wait(due) {
                Came::Something => {
                    if let Some(asked) = self.keep() {
                        // The folder with it. Nobody may be waiting any more.
                        drop(self);
                        let _ = asked.send(());
                        return;
                    }
                }
                Came::Nothing if is_up => self.sweep(),
                Came::Nothing => drop(self.commit(StoreOperation::Commit, |_| Ok(()))),
                Came::End => return,
            }
        }
    }

    /// Keeps a batch; says whom to tell if the end was among it.
    fn keep(&mut self) -> Option<SyncSender<()>> {
        let Batch { changes: batch, close } = self.jobs.batch(BATCH, COMPANY);
        if batch.is_empty() {
            return close;
        }
        let memory = self.memory.clone();
        let kept = self.commit(StoreOperation::Commit, |file| {
            for (change, _) in &batch {
                if memory.is_of_nobody(change) {
                    continue;
                }
                rows::put(file, change)?;
                for follows in memory.would_follow(change) {
                    rows::put(file, &follows)?;
                }
            }
            Ok(())
        });
        if kept.is_err() {
            self.status.behind.store(true, Ordering::Relaxed);
        }
        for (change, waiting) in batch {
            let Some(waiting) = waiting else { continue };
            if kept.is_ok() {
                self.memory.apply(&change);
            }
            // Whoever asked may have gone; the change stands all the same.
            let _ = waiting.send(kept.clone());
        }
        close
    }

    fn sweep(&mut self) {
        self.sweep_at = Instant::now() + SWEEP;
        let memory = self.memory.clone();
        // A failure is in the log and the state, and the next sweep finds what is left.
        let _ =
            self.commit(StoreOperation::Sweep, |file| rows::sweep(file, &memory, UnixTime::now()));
    }

    /// Writes and commits, what memory has and the file lacks first.
    fn commit(
        &mut self,
        operation: StoreOperation,
        write: impl FnOnce(&WriteTransaction) -> Result<(), Trouble>,
    ) -> Result<(), Outage> {
        let begun = Instant::now();
        // Taken back if it fails: what comes meanwhile sets it again.
        let behind = self.status.behind.swap(false, Ordering::Relaxed);
        let attempt = AssertUnwindSafe(|| {
            let database = match self.database.take() {
                Some(database) => database,
                None => self.folder.reopen()?,
            };
            let writing = database.begin_write()?;
            if behind {
                rows::replace(&writing, &self.memory)?;
            }
            write(&writing)?;
            writing.commit()?;
            self.database = Some(database);
            Ok(())
        });
        let done = catch_unwind(attempt)
            .unwrap_or_else(|_| Err(Trouble::Unreachable("writing it ended unexpectedly".into())));
        self.metrics.store_operated(operation, begun.elapsed());
        if behind && done.is_err() {
            self.status.behind.store(true, Ordering::Relaxed);
        }
        self.tell(done.as_ref().err());
        done.map_err(|trouble| Outage(format!("{} cannot be written: {trouble}", self.status.file)))
    }

    /// Notes how it went, and logs where that changes.
    fn tell(&self, trouble: Option<&Trouble>) {
        let mut noted = self.status.trouble.lock();
        let file = &self.status.file;
        match (&*noted, trouble) {
            (None, Some(problem)) => {
                tracing::error!(%file, %problem, "the store cannot be written")
            }
            (Some(_), None) => tracing::info!(%file, "the store can be written again"),
            _ => {}
        }
        *noted = trouble.map(ToString::to_string);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs.end(true);
    }
}
