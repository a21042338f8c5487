//! Spans on their way to a collector, by OTLP over HTTP in protobuf.
//!
//! Off unless it is built in (feature `otlp`) and `OTEL_EXPORTER_OTLP_ENDPOINT` (or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) is set. OpenTelemetry's other variables mean what they
//! always mean: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`,
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_BSP_…`.
//!
//! Whoever embeds the library and has a tracer provider already needs none of this:
//! `gateway::Setup::traces` takes it.

#[cfg_attr(not(feature = "otlp"), path = "absent.rs")]
mod export;

pub use export::{Exporting, from_environment};

/// Why nothing can be exported, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spans cannot be exported: {0}")]
pub struct Unexported(String);
