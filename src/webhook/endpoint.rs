//! A subscription that is delivered to, and what this process knows of its receiver.

use std::sync::Arc;

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
