//! One span a request, for whoever collects traces: by OpenTelemetry's semantic conventions for
//! HTTP servers, and `countersign.*` beside.
//!
//! The span begins with the first judgement and is the parent of what the backend does: the
//! request's `traceparent` (W3C Trace Context) is continued, and the backend gets ours in its
//! place. What never gets into a span: queries, tokens, identities. A WebSocket's span is its
//! handshake's.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{
    Span as _, SpanKind, Status, TraceContextExt, Tracer as _, TracerProvider,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use parking_lot::Mutex;

use super::{Occurrence, SiteMeters};
use crate::clock::UnixTime;
use crate::gate::Edits;

/// W3C Trace Context: the trace, and the span that is the parent.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The same of each vendor; means nothing without the other.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Where spans go; nowhere by default.
#[derive(Clone, Default)]
pub struct Traces(Option<SdkTracer>);

/// A request's span; of nobody's interest by default.
#[derive(Default)]
pub struct Span(Option<Box<Kept>>);

struct Kept {
    span: Mutex<opentelemetry_sdk::trace::Span>,
    began: UnixTime,
    continues: bool,
}

impl Traces {
    /// Spans are this provider's, which samples and exports them.
    pub fn of(provider: &SdkTracerProvider) -> Self {
        Self(Some(provider.tracer("countersign")))
    }

    /// The span of a request that came so long ago.
    pub fn begin(&self, method: &http::Method, headers: &HeaderMap, ago: Duration) -> Span {
        let Some(tracer) = &self.0 else { return Span::default() };
        let parent = TraceContextPropagator::new().extract(&Fields(headers));
        let continues = parent.span().span_context().is_valid();
        let began = UnixTime::from_millis(
            UnixTime::now().as_millis().saturating_sub(ago.as_millis() as u64),
        );
        let name = known(method.as_str()).unwrap_or("HTTP");
        let builder = tracer.span_builder(name).with_kind(SpanKind::Server);
        let span = builder.with_start_time(at(began)).start_with_context(tracer, &parent);
        Span(Some(Box::new(Kept { span: Mutex::new(span), began, continues })))
    }
}

impl Span {
    /// Has the backend told which span it works for.
    pub fn pass_on(&self, edits: &mut Edits) {
        let Some(kept) = &self.0 else { return };
        let span = kept.span.lock();
        let context = span.span_context();
        let (trace, id) = (context.trace_id(), context.span_id());
        let sampled = u8::from(context.is_sampled());
        if let Ok(value) = HeaderValue::from_str(&format!("00-{trace}-{id}-{sampled:02x}")) {
            edits.set.push((TRACEPARENT, value));
        }
        if !kept.continues {
            edits.remove.push(TRACESTATE);
        }
    }

    /// The end: what became of the request.
    pub fn end(&self, occurrence: &Occurrence<'_>, meters: &SiteMeters) {
        let Some(kept) = &self.0 else { return };
        let mut span = kept.span.lock();
        if span.is_recording() {
            span.set_attributes(attributes(occurrence, meters));
            if occurrence.status >= 500 {
                span.set_status(Status::error(""));
            }
        }
        span.end_with_timestamp(at(kept.began) + occurrence.duration);
    }
}

fn at(moment: UnixTime) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_millis(moment.as_millis())
}

/// Others would be a name for each client's whim.
fn known(method: &str) -> Option<&'static str> {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method)
}

fn attributes(
    occurrence: &Occurrence<'_>,
    meters: &SiteMeters,
) -> impl Iterator<Item = KeyValue> + use<> {
    let path = occurrence.path.split(['?', '#']).next().unwrap_or_default();
    let decided = occurrence.decision;
    let reason = decided.and_then(|decided| decided.reason).map(|reason| reason.code());
    let dialect = decided.and_then(|decided| meters.dialects.get(decided.way));
    let text = |name: &'static str, value: String| KeyValue::new(name, value);
    let version = occurrence.protocol.trim_start_matches("HTTP/");
    let status = i64::from(occurrence.status);
    let error = match occurrence.upstream_error {
        Some(error) => Some(error.name().to_owned()),
        None => (status >= 500).then(|| status.to_string()),
    };
    [
        text("http.request.method", known(occurrence.method).unwrap_or("_OTHER").to_owned()),
        text("url.path", path.to_owned()),
        text("network.protocol.name", "http".to_owned()),
        text("network.protocol.version", version.to_owned()),
        KeyValue::new("http.response.status_code", status),
        text("countersign.site", meters.site.to_string()),
        text("countersign.request_id", occurrence.request_id.to_owned()),
    ]
    .into_iter()
    .chain(occurrence.client.map(|client| text("client.address", client.to_string())))
    .chain(error.map(|error| text("error.type", error)))
    .chain(dialect.map(|dialect| text("countersign.dialect", dialect.to_string())))
    .chain(decided.map(|it| text("countersign.status", it.decision.name().to_owned())))
    .chain(reason.or(occurrence.code).map(|code| text("countersign.reason", code.to_owned())))
}

/// Header fields as OpenTelemetry reads them: one that occurs twice is none.
struct Fields<'h>(&'h HeaderMap);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut values = self.0.get_all(key).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
