//! Keeps memory tidy: new sites get their room, and what has come to its end is forgotten.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::drain::{Drain, Phase};
use crate::reload::Current;
use crate::store::Store;

/// How often what is over is looked for.
const ROUND: Duration = Duration::from_secs(10);

/// Runs until a shutdown closes what is open.
pub async fn keep(current: Arc<Current>, store: Arc<Store>, drain: Arc<Drain>) {
    let mut changes = current.subscribe();
    while drain.phase() < Phase::Closing {
        store.memory().prepare(&current.load().plan);
        store.memory().purge(UnixTime::now());
        let _ = tokio::time::timeout(ROUND, changes.changed()).await;
    }
}
