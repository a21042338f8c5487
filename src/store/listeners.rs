//! Who hears of every change.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::change::Change;

type Listener = Arc<dyn Fn(&Change) + Send + Sync>;

/// Any number of listeners, told in the order in which they came.
#[derive(Default)]
pub struct Listeners(ArcSwap<Vec<Listener>>);

impl Listeners {
    /// One more.
    pub fn add(&self, listener: impl Fn(&Change) + Send + Sync + 'static) {
        let listener: Listener = Arc::new(listener);
        self.0.rcu(|before| {
            let mut listeners = Vec::clone(before);
            listeners.push(listener.clone());
            listeners
        });
    }

    /// Tells all of them.
    pub fn tell(&self, change: &Change) {
        for listener in &**self.0.load() {
            listener(change);
        }
    }
}
