//! A handle that ends one request's exchange with its backend from outside.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

/// Ends one request's exchange with its backend, from any thread, once. It belongs to the
/// request, not to the connection: whatever the connection carries later is not touched.
#[derive(Debug, Default)]
pub struct Cutter {
    cut: AtomicBool,
    waiting: AtomicWaker,
}

impl Cutter {
    /// Cuts: the answer breaks off where it is, also if nothing of it is on its way, and
    /// the backend's connection is closed. Without effect once the answer is complete. A
    /// client that has stopped reading an answer hears of it when it reads on.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.waiting.wake();
    }

    /// Whether it has been.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Has whoever waits woken by a cut.
    ///
    /// # Errors
    /// It has been cut already.
    pub fn watch(&self, waker: &Waker) -> io::Result<()> {
        self.waiting.register(waker);
        self.check()
    }

    /// # Errors
    /// It has been cut.
    pub fn check(&self) -> io::Result<()> {
        match self.is_cut() {
            true => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut from outside")),
            false => Ok(()),
        }
    }
}
