//! How the process ends without cutting anybody off.
//!
//! 1. *Draining*: readiness fails, every answer says `Connection: close` (HTTP/2: GOAWAY),
//!    new connections still pass, for `drain.delay`.
//! 2. *Closing*: the listeners close, idle connections end, live ones are asked to over
//!    `drain.spread`.
//! 3. The process exits as soon as nothing is open, at the latest after `drain.timeout`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::plan;

/// How far a shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No shutdown.
    Serving,
    /// Asked to go; still accepting.
    Draining,
    /// The listeners are closed.
    Closing,
    /// Nothing is served any more.
    Ended,
}

/// The shutdown's state, shared by everything that serves.
pub struct Drain {
    phase: watch::Sender<Phase>,
    /// Pingora's own sign: makes it answer `Connection: close` and send GOAWAY.
    stop: watch::Sender<bool>,
    open: AtomicUsize,
    /// Listeners that may still take connections out of the kernel's queue.
    accepting: AtomicUsize,
    emptied: Notify,
}

/// One open connection; dropping it counts it out.
pub struct Open(Arc<Drain>);

/// A listener that accepts; dropping it says that it no longer does.
pub struct Accepting(Arc<Drain>);

impl Drain {
    /// Serving.
    pub fn new() -> Arc<Self> {
        let (phase, _) = watch::channel(Phase::Serving);
        let (stop, _) = watch::channel(false);
        let (open, accepting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { phase, stop, open, accepting, emptied: Notify::new() })
    }

    /// How far the shutdown has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// What Pingora watches.
    pub fn pingora(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Resolves once the shutdown has come that far.
    pub async fn reached(&self, phase: Phase) {
        let mut changes = self.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = changes.wait_for(|current| *current >= phase).await;
    }

    /// Counts a connection in.
    pub fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Counts a public listener in: what it has yet to accept is waited for, too.
    pub fn accepting(self: &Arc<Self>) -> Accepting {
        self.accepting.fetch_add(1, Ordering::Relaxed);
        Accepting(self.clone())
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Runs the shutdown to its end; true if nothing was left to cut.
    pub async fn run(&self, settings: plan::Drain, delay: Duration) -> bool {
        self.stop.send_replace(true);
        self.phase.send_replace(Phase::Draining);
        tokio::time::sleep(delay).await;
        self.phase.send_replace(Phase::Closing);
        let clean = tokio::time::timeout(settings.timeout, self.nothing_open()).await.is_ok();
        self.phase.send_replace(Phase::Ended);
        clean
    }

    async fn nothing_open(&self) {
        loop {
            let emptied = self.emptied.notified();
            // A listener opens connections before it stops: hence in this order.
            if self.accepting.load(Ordering::Acquire) == 0 && self.open_connections() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.accepting.fetch_sub(1, Ordering::AcqRel);
        self.0.emptied.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(timeout: Duration) -> plan::Drain {
        plan::Drain { timeout, ..plan::Drain::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_as_soon_as_nothing_is_open() {
        let drain = Drain::new();
        let open = drain.open();
        let begun = tokio::time::Instant::now();
        let running = {
            let drain = drain.clone();
            tokio::spawn(async move {
                drain.run(settings(Duration::from_secs(25)), Duration::from_secs(5)).await
            })
        };
        drain.reached(Phase::Closing).await;
        drop(open);
        assert!(running.await.unwrap());
        assert_eq!(begun.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_listener_still_takes_out_of_its_queue_is_waited_for() {
        let drain = Drain::new();
        let accepting = drain.accepting();
        let listener = {
            let drain = drain.clone();
            tokio::spawn(async move {
                drain.reached(Phase::Closing).await;
                // The task is late; a connection waits in the queue.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let open = drain.open();
                drop(accepting);
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(open);
            })
        };
        let begun = tokio::time::Instant::now();
        assert!(drain.run(settings(Duration::from_secs(25)), Duration::ZERO).await);
        assert_eq!(begun.elapsed().as_secs(), 2);
        assert!(listener.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_at_the_timeout_whatever_is_left() {
        let drain = Drain::new();
        let _open = drain.open();
        assert!(!drain.run(settings(Duration::from_secs(25)), Duration::ZERO).await);
    }
}
