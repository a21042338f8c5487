//! A subscription that is delivered to, and what this process knows of its receiver.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::turns::Turns;
use crate::plan::Webhook;
use crate::store::outbox::Hook;

/// A subscription with its worker.
pub struct Endpoint {
    /// Which one.
    pub hook: Hook,
    /// As it stands in the configuration in force, or was made.
    pub webhook: ArcSwap<Webhook>,
    /// Rings when there is something to do.
    pub wake: Notify,
    /// Whose signature it is.
    pub turns: Turns,
    /// What is wrong with the receiver, in a sentence without secrets.
    trouble: Mutex<Option<String>>,
    /// Visitors of whom nothing is to be told any more that was held for it.
    forgotten: Mutex<Vec<Arc<str>>>,
    /// It is to be left alone no more: it was tried, and was well.
    is_well: AtomicBool,
    stop: watch::Sender<bool>,
}

impl Endpoint {
    /// One that nobody knows anything of.
    pub fn new(hook: Hook, webhook: Arc<Webhook>) -> Self {
        Self {
            hook,
            webhook: ArcSwap::new(webhook),
            wake: Notify::new(),
            turns: Turns::default(),
            trouble: Mutex::default(),
            forgotten: Mutex::default(),
            is_well: AtomicBool::new(false),
            stop: watch::Sender::new(false),
        }
    }

    /// What is wrong with the receiver.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Says what is wrong, or that nothing is.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock() = trouble;
    }

    /// Has its worker let go of what is about a visitor.
    pub fn forget(&self, visitor: &Arc<str>) {
        self.forgotten.lock().push(visitor.clone());
        self.wake.notify_one();
    }

    /// Those that are to be forgotten since this was last asked.
    pub fn forgotten(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut *self.forgotten.lock())
    }

    /// It was tried by somebody, and was well.
    pub fn was_well(&self) {
        self.is_well.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether it was since this was last asked.
    pub fn has_been_well(&self) -> bool {
        self.is_well.swap(false, Ordering::AcqRel)
    }

    /// Has its worker end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Resolves once its worker is to end.
    pub async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }
}
