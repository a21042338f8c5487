//! What is told of a request after the fact: one [`Occurrence`] writes both the access
//! line and the metrics, so the two cannot disagree.
//!
//! What never gets here: tokens, hashes, cookies, keys, queries and email addresses. An
//! identity reaches the log as [`identity::shown`] allows, and never a metric.

pub mod family;
#[cfg(test)]
pub(crate) mod fixture;
mod identity;
mod key_meters;
#[cfg(feature = "server")]
pub mod log;
mod meters;
pub mod metrics;
mod outcomes;
mod seldom;
#[cfg_attr(not(feature = "otlp"), path = "untraced.rs")]
mod traces;
mod webhooks;

use std::net::IpAddr;
use std::time::Duration;

pub use meters::{LiveGuard, Meters, SiteMeters};
pub use metrics::{GaugeGuard, Listener, Metrics, Trigger};
pub use outcomes::{CloseReason, Decided, Decision, StoreOperation, UpstreamError, Waited};
pub use seldom::Seldom;
pub use traces::{Span, Traces};
pub use webhooks::{Told, Waiting};

use crate::dialect::Reason;
use crate::plan::AccessLog;

/// How a request came; its access line begins with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// To be forwarded.
    #[default]
    Request,
    /// To become a WebSocket.
    Upgrade,
    /// In another gateway's question, which forwards it by itself.
    Decision,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Upgrade => "upgrade",
            Self::Decision => "decision",
        }
    }
}

/// One request that has been answered.
#[derive(Clone, Debug, Default)]
pub struct Occurrence<'a> {
    /// `Countersign-Request-Id`.
    pub request_id: &'a str,
    /// The method as sent.
    pub method: &'a str,
    /// The path as sent. Should a query hang on it, it is cut off.
    pub path: &'a str,
    /// Who asked, with trusted proxies looked through.
    pub client: Option<IpAddr>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The answer's status code.
    pub status: u16,
    /// The judgement; none where the request never came to one.
    pub decision: Option<Decided>,
    /// The problem's `code`, if Countersign refused.
    pub code: Option<&'static str>,
    /// What `require` would have refused, in `observe` and `accept`.
    pub overlooked: Option<Reason>,
    /// `id` of the configured key that verified, or that a bad credential names or fits.
    pub key: Option<&'a str>,
    /// The proven id.
    pub identity: Option<&'a str>,
    /// Reserved header fields that were removed.
    pub stripped: usize,
    /// Trusted headers left out for size.
    pub omitted: &'a [&'static str],
    /// From the request's head to the end of its answer.
    pub duration: Duration,
    /// Of that, what Countersign itself took.
    pub overhead: Duration,
    /// `jwt` or `hmac`, and how long the verification took.
    pub verification: Option<(&'static str, Duration)>,
    /// How it came.
    pub kind: Kind,
    /// The backend address that was tried last.
    pub upstream: Option<&'a str>,
    /// Why the backend gave no answer.
    pub upstream_error: Option<UpstreamError>,
}

impl Occurrence<'_> {
    /// Counts the request and writes its access line, if the site wants one.
    pub fn record(&self, meters: &SiteMeters) {
        meters.count(self);
        let wanted = match meters.log.access {
            AccessLog::All => true,
            AccessLog::Refusals => self.code.is_some(),
            AccessLog::None => false,
        };
        if wanted && tracing::enabled!(target: "access", tracing::Level::INFO) {
            self.write(meters);
        }
    }

    fn write(&self, meters: &SiteMeters) {
        let identity =
            self.identity.and_then(|id| identity::shown(meters.log.identities, &meters.site, id));
        let decided = self.decision;
        tracing::info!(
            target: "access",
            request_id = self.request_id,
            site = &*meters.site,
            method = self.method,
            path = self.path.split(['?', '#']).next(),
            status = self.status,
            decision = decided.map(|decided| decided.decision.name()),
            reason = decided.and_then(|decided| decided.reason).map(Reason::code),
            mode = decided.map(|decided| decided.mode.name()),
            code = self.code,
            overlooked = self.overlooked.map(Reason::code),
            key = self.key,
            identity = identity.as_deref(),
            client = self.client.map(display),
            protocol = self.protocol,
            stripped = (self.stripped > 0).then_some(self.stripped),
            omitted = (!self.omitted.is_empty()).then(|| self.omitted.join(",")),
            duration_us = micros(self.duration),
            overhead_us = micros(self.overhead),
            upstream = self.upstream,
            upstream_error = self.upstream_error.map(UpstreamError::name),
            "{}", self.kind.name(),
        );
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::fixture::{plan, site};
    use super::log::Format;
    use super::log::tests::lines_of;
    use super::*;
    use crate::gate::Mode;
    use crate::plan::{LogIdentities, LogSettings};

    fn occurrence<'a>() -> Occurrence<'a> {
        let verified =
            Decided { way: 0, mode: Mode::Prefer, decision: Decision::Verified, reason: None };
        Occurrence {
            request_id: "r-1",
            method: "GET",
            path: "/chat\u{1b}[2J\n?jwt=SECRET",
            client: Some([192, 0, 2, 7].into()),
            protocol: "HTTP/1.1",
            status: 200,
            decision: Some(verified),
            key: Some("new"),
            identity: Some("ana"),
            omitted: &["claimed", "details"],
            duration: Duration::from_millis(2),
            overhead: Duration::from_micros(40),
            upstream: Some("http://127.0.0.1:3000"),
            ..Occurrence::default()
        }
    }

    fn lines(log: LogSettings, occurrence: &Occurrence<'_>) -> Vec<String> {
        let mut plan = plan(vec![site(0, "acme", Mode::Prefer)]);
        plan.log = log;
        let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
        let meters = Meters::new(&metrics, &plan);
        lines_of(Format::Json, "info", || occurrence.record(&meters.sites[0]))
    }

    #[test]
    fn an_access_line_holds_what_was_decided_and_neither_query_nor_plain_identity() {
        let lines = lines(LogSettings::default(), &occurrence());
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains("SECRET") && !lines[0].contains("ana"), "{}", lines[0]);
        let mut line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        let identity = line["identity"].take();
        assert_eq!(identity.as_str().map(str::len), Some(16));
        line["timestamp"].take();
        let expected = serde_json::json!({
            "timestamp": null, "level": "INFO", "target": "access", "message": "request",
            "request_id": "r-1", "site": "acme", "method": "GET", "path": "/chat\u{1b}[2J\n",
            "status": 200, "decision": "verified", "mode": "prefer", "key": "new",
            "identity": null, "client": "192.0.2.7", "protocol": "HTTP/1.1",
            "omitted": "claimed,details", "duration_us": 2000, "overhead_us": 40,
            "upstream": "http://127.0.0.1:3000",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn the_site_says_which_requests_get_a_line_and_how_identities_look() {
        let refused =
            Occurrence { status: 401, code: Some("expired"), decision: None, ..occurrence() };
        let (refused, passed) = (&refused, &occurrence());
        let count = |access, occurrence| {
            lines(LogSettings { access, ..LogSettings::default() }, occurrence).len()
        };
        assert_eq!(count(AccessLog::Refusals, passed), 0);
        assert_eq!(count(AccessLog::Refusals, refused), 1);
        assert_eq!(count(AccessLog::None, refused), 0);
        let plain = LogSettings { identities: LogIdentities::Plain, ..LogSettings::default() };
        assert!(lines(plain, &occurrence())[0].contains(r#""identity":"ana""#));
        let none = LogSettings { identities: LogIdentities::None, ..LogSettings::default() };
        assert!(!lines(none, &occurrence())[0].contains("identity"));
    }
}
