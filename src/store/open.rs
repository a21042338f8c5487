//! From the setting to the store.

use std::sync::Arc;

use super::{Store, embedded, volatile};
use crate::plan::{Plan, RedisUrl, StoreSettings};
use crate::telemetry::Metrics;

/// Why a store cannot be opened: what happened, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

/// What a store is opened with.
pub struct Opening<'a> {
    /// Where it lies, and the limits of each site's memory.
    pub plan: &'a Plan,
    /// Where its operations are counted.
    pub metrics: &'a Arc<Metrics>,
    /// Whether a store that cannot be read is put aside and an empty one begun
    /// (`--accept-empty-store`).
    pub accept_empty: bool,
}

/// Opens the store of a configuration. What was kept is in memory when this returns, except
/// where Redis cannot be reached: that is waited for in the background. Needs a Tokio runtime.
///
/// # Errors
/// It cannot be opened; nothing that was kept has been touched.
pub async fn open(opening: &Opening<'_>) -> Result<Arc<Store>, OpenError> {
    let store = match &opening.plan.process.store {
        StoreSettings::Memory => volatile::open().ok_or_else(no_randomness),
        StoreSettings::Embedded(folder) => embedded::open(folder, opening),
        StoreSettings::Redis(url) => redis(url, opening).await,
    }?;
    store.memory().prepare(opening.plan);
    store.count_in(opening.metrics);
    Ok(Arc::new(store))
}

#[cfg(feature = "redis")]
async fn redis(url: &RedisUrl, opening: &Opening<'_>) -> Result<Store, OpenError> {
    super::redis::open(url, opening).await
}

#[cfg(not(feature = "redis"))]
async fn redis(_: &RedisUrl, _: &Opening<'_>) -> Result<Store, OpenError> {
    Err(OpenError("this build knows no Redis: it was made without its feature `redis`".to_owned()))
}

/// The system cannot make a key.
pub(super) fn no_randomness() -> OpenError {
    OpenError("the system has no randomness to give".to_owned())
}
