//! From the setting to the store.

use std::sync::Arc;

use super::{Store, volatile};
use crate::plan::StoreSettings;

/// Why a store cannot be opened: what happened, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

/// Opens the store of a configuration.
///
/// # Errors
/// It cannot be opened; nothing that was kept has been touched.
pub async fn open(settings: &StoreSettings) -> Result<Arc<Store>, OpenError> {
    match settings {
        StoreSettings::Memory => volatile::open()
            .map(Arc::new)
            .ok_or_else(|| OpenError("the system has no randomness to give".to_owned())),
        StoreSettings::Embedded(_) | StoreSettings::Redis(_) => {
            Err(OpenError("this kind of store is not supported by this version".to_owned()))
        }
    }
}
