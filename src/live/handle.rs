//! The holder's side of a listed connection.

use std::sync::Arc;

use super::{End, Entry, Facts, Registry, Selector};

/// A listed connection; dropped, it is listed no more.
pub struct Handle {
    registry: Arc<Registry>,
    entry: Arc<Entry>,
}

impl Handle {
    pub(super) fn new(registry: Arc<Registry>, entry: Arc<Entry>) -> Self {
        Self { registry, entry }
    }

    /// Resolves when the connection is to end. For one waiter at a time; may be dropped and
    /// asked for again.
    pub async fn ended(&self) -> End {
        self.entry.rung().await
    }

    /// What was known of it when it was listed.
    pub fn facts(&self) -> &Facts {
        &self.entry.facts
    }

    /// How it is to end, if it is.
    pub fn end(&self) -> Option<End> {
        self.entry.end()
    }

    /// Calls once when the connection is to end, at once if it is already; what was to be
    /// called before is forgotten.
    pub fn on_end(&self, call: impl FnOnce() + Send + 'static) {
        self.entry.on_end(Box::new(call));
    }

    /// Ends this very connection: what [`Registry::open`] could not know has come to light.
    pub fn finish(&self, end: End) {
        let Entry { facts, number, .. } = &*self.entry;
        self.registry.end(&facts.site, Selector::Number(*number), end);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.registry.close(&self.entry);
    }
}
