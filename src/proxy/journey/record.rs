//! A request's one line in the log, its counts, and the end of its span.

use super::Journey;
use crate::telemetry::{Kind, Occurrence};

/// Facts of a request that outlive its head, for the log.
pub struct Trace<'a> {
    /// Method as sent.
    pub method: &'a str,
    /// Path as sent, without the query.
    pub path: &'a str,
    /// `HTTP/1.1`, …
    pub protocol: &'static str,
    /// The answer's status; 499 if the client left before there was one.
    pub status: u16,
    /// How it came.
    pub kind: Kind,
}

impl Journey {
    /// Writes the request's line, counts it and ends its span, once.
    pub fn record(&self, trace: &Trace<'_>) {
        let upstream = self.crossing.endpoint.as_ref().map(ToString::to_string);
        let occurrence = Occurrence {
            request_id: &self.request_id,
            method: trace.method,
            path: trace.path,
            client: self.client,
            protocol: trace.protocol,
            status: trace.status,
            decision: self.decided,
            code: self.code,
            overlooked: self.overlooked,
            key: self.key.as_deref(),
            identity: self.identity.as_deref(),
            stripped: self.stripped,
            omitted: &self.omitted,
            duration: self.started.elapsed(),
            overhead: self.own,
            verification: self.verification,
            kind: trace.kind,
            upstream: upstream.as_deref(),
            upstream_error: self.crossing.error,
        };
        occurrence.record(&self.meters);
        if let Some(span) = &self.span {
            span.end(&occurrence, &self.meters);
        }
    }
}
