//! Built without: asked to export, it says so.

use tokio::runtime::Handle;

use super::Unexported;
use crate::config;
use crate::telemetry::Traces;

/// Nothing is exported.
pub struct Exporting(());

/// Says that this build exports nothing, where it is asked to.
///
/// # Errors
/// None: who is not watched is to be served all the same.
pub fn from_environment(_: &Handle) -> Result<Exporting, Unexported> {
    if config::names_a_collector() {
        tracing::warn!("no spans are exported: this build was made without its feature `otlp`");
    }
    Ok(Exporting(()))
}

impl Exporting {
    /// No spans.
    pub fn traces(&self) -> Traces {
        Traces::default()
    }

    /// Nothing is left to send.
    pub fn close(&self) {}
}
