//! OpenTelemetry's exporter, over our own HTTP client.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

use super::Unexported;
use crate::config;
use crate::outbound;
use crate::plan::Reach;
use crate::telemetry::Traces;

/// One attempt takes no longer; the exporter's own time-out may be shorter.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10);
/// Bytes of a collector's answer.
const MOST_BYTES: usize = 64 * 1024;
/// What is still to be sent at the end has this long.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// What is exported, if anything is.
pub struct Exporting(Option<SdkTracerProvider>);

/// Exports to the collector that the environment names, over connections of this runtime; nowhere
/// if it names none. Spans are sent in batches by a thread of their own; when they come too fast
/// some are dropped.
///
/// # Errors
/// The environment's settings cannot be followed.
pub fn from_environment(runtime: &Handle) -> Result<Exporting, Unexported> {
    if !config::names_a_collector() {
        return Ok(Exporting(None));
    }
    let client =
        Client { runtime: runtime.clone(), client: outbound::Client::new(Reach::Anywhere) };
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    let exporter = exporter.map_err(|error| Unexported(error.to_string()))?;
    let mut resource = Resource::builder();
    if !config::names_the_service() {
        resource = resource.with_service_name("countersign");
    }
    let provider = SdkTracerProvider::builder();
    let provider = provider.with_resource(resource.build()).with_batch_exporter(exporter).build();
    Ok(Exporting(Some(provider)))
}

impl Exporting {
    /// Where spans go.
    pub fn traces(&self) -> Traces {
        self.0.as_ref().map(Traces::of).unwrap_or_default()
    }

    /// Sends what is left, and waits for it for a few seconds: blocks.
    pub fn close(&self) {
        let Some(provider) = &self.0 else { return };
        if let Err(error) = provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans have not been exported");
        }
    }
}

#[derive(Debug)]
struct Client {
    runtime: Handle,
    client: outbound::Client,
}

#[async_trait]
impl HttpClient for Client {
    // Called on a thread that knows no Tokio.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = async move { client.send(request, LONGEST_ATTEMPT, MOST_BYTES).await };
        let answer = self.runtime.spawn(sending).await??;
        let mut response = Response::new(answer.body?);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}
