//! The store that keeps nothing: what is remembered ends with the process.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Change, DigestKey, Keeper, Memory, Outage, State, Store};

/// Applies changes and leaves it at that.
struct Volatile(Arc<Memory>);

/// A store of this kind; none if the system has no randomness to give for its key.
pub fn open() -> Option<Store> {
    let memory = Arc::new(Memory::new(&DigestKey::generate()?));
    Some(Store::new(memory.clone(), Box::new(Volatile(memory))))
}

#[async_trait]
impl Keeper for Volatile {
    async fn write(&self, change: Change) -> Result<(), Outage> {
        self.0.apply(&change);
        Ok(())
    }

    fn note(&self, _change: Change) {}

    fn state(&self) -> State {
        let detail = "what is remembered ends with the process".to_owned();
        State { kind: "memory", up: true, synced: true, detail }
    }
}
