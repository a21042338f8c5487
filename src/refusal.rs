//! The one map from a [`Refusal`] to HTTP.
//!
//! A refusal is a problem document (RFC 9457) with a challenge on 401 (RFC 6750 §3) and
//! the CORS fields without which a widget would see nothing but "network error". Listed
//! origins are echoed, or any where none are listed; a foreign one never is. Nothing here
//! knows a server: a [`Reply`] is plain data.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use serde::Serialize;

use crate::dialect::Reason;
use crate::gate::origin::Origin;
use crate::gate::{Cause, Fault, Outcome, Refusal, RequestView, Verdict};
use crate::plan::{ErrorStyle, Plan};

/// `Countersign-Request-Id`, on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("countersign-request-id");

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const EXPOSED: HeaderValue = HeaderValue::from_static("WWW-Authenticate, Countersign-Request-Id");
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);

/// An answer of our own. `Content-Length` is among the headers; to a HEAD request the
/// body is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header fields in their order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The first value of a header field.
    pub fn header(&self, name: impl PartialEq<HeaderName>) -> Option<&str> {
        self.headers.iter().find(|(found, _)| name == *found)?.1.to_str().ok()
    }
}

/// A problem document; members in the order in which people read them.
#[derive(Debug, Serialize)]
pub struct Problem<'a> {
    /// `urn:countersign:<code>`, or `about:blank` where nothing is told.
    pub r#type: String,
    /// Fixed for each type.
    pub title: &'a str,
    /// The status code again, for those who see only the body.
    pub status: u16,
    /// The word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    /// One helpful sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
    /// `Countersign-Request-Id` again.
    pub request_id: &'a str,
}

impl<'a> Problem<'a> {
    /// A problem that says what it is.
    pub fn new(
        status: u16,
        code: &'a str,
        title: &'a str,
        detail: &'a str,
        request_id: &'a str,
    ) -> Self {
        let r#type = format!("urn:countersign:{code}");
        Self { r#type, title, status, code: Some(code), detail: Some(detail), request_id }
    }

    /// The answer that carries it, not to be cached by anybody.
    pub fn reply(&self) -> Reply {
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(self).unwrap_or_default();
        let headers = vec![
            (header::CONTENT_TYPE, PROBLEM),
            (header::CONTENT_LENGTH, HeaderValue::from(body.len())),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let mut reply = Reply { status: self.status, headers, body: body.into() };
        identify(&mut reply, self.request_id);
        reply
    }
}

/// What a refusal looks like on the wire.
///
/// `realm` is the site's name; `origin` the request's `Origin`; `allowed` the origins
/// listed for the route, none meaning any.
pub fn reply(
    refusal: &Refusal,
    style: ErrorStyle,
    realm: Option<&str>,
    origin: Option<&str>,
    allowed: &[Origin],
    request_id: &str,
) -> Reply {
    let status = refusal.status();
    let mut reply = match style {
        ErrorStyle::Helpful => {
            Problem::new(status, refusal.code(), title(refusal.cause), &refusal.detail, request_id)
        }
        ErrorStyle::Terse => Problem {
            r#type: "about:blank".to_owned(),
            title: status_title(status),
            status,
            code: None,
            detail: None,
            request_id,
        },
    }
    .reply();
    match status {
        401 => set(&mut reply, header::WWW_AUTHENTICATE, &challenge(refusal.cause, realm)),
        // The window in which the widget's endpoints are counted: none is longer.
        429 => set(&mut reply, header::RETRY_AFTER, "10"),
        _ => {}
    }
    share_if_it_may(&mut reply, origin, allowed);
    reply
}

/// What a judged request is answered with if it goes no further, for whoever judges without a
/// proxy; `None`: it goes on. Asks nothing of `verdict.verb`, which somebody has to answer.
pub fn answer(plan: &Plan, verdict: &Verdict<'_>, request: &RequestView<'_>) -> Option<Reply> {
    let origin = request.headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let field = |name: HeaderName| request.headers.get(name);
    let mut reply = match &verdict.outcome {
        Outcome::Forward(_) => return None,
        Outcome::Refuse(refusal) => {
            let realm = verdict.site.map(|site| &*site.name);
            let allowed = &verdict.allowed_origins;
            self::reply(refusal, plan.errors, realm, origin, allowed, request.request_id)
        }
        Outcome::Preflight { allowed } => {
            let method = field(header::ACCESS_CONTROL_REQUEST_METHOD);
            let headers = field(header::ACCESS_CONTROL_REQUEST_HEADERS);
            return Some(preflight(
                *allowed,
                origin,
                method,
                headers,
                plan.errors,
                request.request_id,
            ));
        }
    };
    let framing = verdict.settings.and_then(|settings| settings.frame_ancestors.as_deref());
    if let Some(ancestors) = framing {
        let policy = ancestors.policy(&HeaderMap::new());
        reply.headers.push((header::CONTENT_SECURITY_POLICY, policy));
    }
    Some(reply)
}

/// The answer of an endpoint of our own: JSON, or nothing (204). The page behind it may
/// read it as it may read a refusal; see [`reply`].
pub fn own(
    told: Option<&serde_json::Value>,
    origin: Option<&str>,
    allowed: &[Origin],
    request_id: &str,
) -> Reply {
    let mut headers = vec![(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let body = match told {
        Some(told) => {
            let json = HeaderValue::from_static("application/json");
            let body = told.to_string();
            headers.push((header::CONTENT_TYPE, json));
            headers.push((header::CONTENT_LENGTH, HeaderValue::from(body.len())));
            body.into()
        }
        None => Bytes::new(),
    };
    let status = if told.is_some() { 200 } else { 204 };
    let mut reply = Reply { status, headers, body };
    share_if_it_may(&mut reply, origin, allowed);
    identify(&mut reply, request_id);
    reply
}

/// Lets the page read the answer, if its origin may.
fn share_if_it_may(reply: &mut Reply, origin: Option<&str>, allowed: &[Origin]) {
    set(reply, header::VARY, "Origin");
    if let Some(origin) = origin.filter(|origin| may_read(origin, allowed)) {
        share(reply, origin);
        reply.headers.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED));
    }
}

/// A JWK Set, for anybody: it may be kept for a few minutes, also by caches.
pub fn key_set(document: String, request_id: &str) -> Reply {
    let headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json")),
        (header::CONTENT_LENGTH, HeaderValue::from(document.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    ];
    let mut reply = Reply { status: 200, headers, body: document.into() };
    identify(&mut reply, request_id);
    reply
}

/// A status and nothing more, for what is no request yet.
pub fn bare(status: u16, request_id: &str) -> Reply {
    let headers = vec![(header::CONTENT_LENGTH, HeaderValue::from_static("0"))];
    let mut reply = Reply { status, headers, body: Bytes::new() };
    identify(&mut reply, request_id);
    reply
}

/// The answer to a preflight that is ours to answer: 204 with everything that was asked
/// for, or the refusal of a foreign origin.
///
/// `method` and `headers` are the request's `Access-Control-Request-Method` and `-Headers`.
pub fn preflight(
    allowed: bool,
    origin: Option<&str>,
    method: Option<&HeaderValue>,
    headers: Option<&HeaderValue>,
    style: ErrorStyle,
    request_id: &str,
) -> Reply {
    let mut answer = if allowed {
        Reply { status: 204, headers: Vec::new(), body: Bytes::new() }
    } else {
        let refusal = Refusal::identity(
            Reason::OriginNotAllowed,
            "this site does not list the page's origin among its allowed_origins",
        );
        let mut refused = reply(&refusal, style, None, None, &[], request_id);
        refused.headers.retain(|(name, _)| *name != header::VARY);
        refused
    };
    answer.headers.push((header::VARY, PREFLIGHT_VARY));
    if !allowed {
        return answer;
    }
    if let Some(origin) = origin {
        share(&mut answer, origin);
    }
    let echoed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, method),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, headers),
    ];
    for (name, value) in echoed {
        answer.headers.extend(value.map(|value| (name, value.clone())));
    }
    set(&mut answer, header::ACCESS_CONTROL_MAX_AGE, "600");
    identify(&mut answer, request_id);
    answer
}

/// RFC 6750 §3.1: a request without any credential is told no error.
fn challenge(cause: Cause, realm: Option<&str>) -> String {
    let mut parts = Vec::new();
    // Site names need no quoting.
    parts.extend(realm.map(|realm| format!("realm=\"{realm}\"")));
    if !matches!(cause, Cause::Identity(Reason::Missing | Reason::Unsigned)) {
        parts.push("error=\"invalid_token\"".to_owned());
    }
    format!("Bearer {}", parts.join(", ")).trim_end().to_owned()
}

fn may_read(origin: &str, allowed: &[Origin]) -> bool {
    allowed.is_empty() || Origin::parse(origin).is_some_and(|origin| allowed.contains(&origin))
}

fn share(reply: &mut Reply, origin: &str) {
    set(reply, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    set(reply, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
}

fn identify(reply: &mut Reply, request_id: &str) {
    set(reply, REQUEST_ID, request_id);
}

/// Adds a field, unless its value cannot stand in one.
fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    reply.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
}

/// A status's registered title (RFC 9110 §15).
fn status_title(status: u16) -> &'static str {
    let status = http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

/// The title of each type of problem: fixed, as RFC 9457 §3.1.3 asks.
const fn title(cause: Cause) -> &'static str {
    match cause {
        Cause::Identity(reason) => match reason {
            Reason::NotChecked => "Identity was not checked",
            Reason::Missing => "No credential",
            Reason::Unsigned => "Identity without a signature",
            Reason::Ambiguous => "More than one credential",
            Reason::OriginNotAllowed => "Origin not allowed",
            Reason::TooLarge => "Credential too large",
            Reason::Malformed => "Malformed credential",
            Reason::UnsupportedAlgorithm => "Unsupported algorithm",
            Reason::UnknownKey => "Unknown key",
            Reason::KeyExpired => "Key outside its time",
            Reason::BadSignature => "Bad signature",
            Reason::MissingClaim => "Missing claim",
            Reason::InvalidClaim => "Invalid claim",
            Reason::PlaceholderIdentity => "Unfilled placeholder as identity",
            Reason::WrongAudience => "Wrong audience",
            Reason::WrongIssuer => "Wrong issuer",
            Reason::Expired => "Expired",
            Reason::NotYetValid => "Not yet valid",
            Reason::LifetimeTooLong => "Lifetime too long",
            Reason::Revoked => "Revoked",
            Reason::Replayed => "Used before",
            Reason::SessionConflict => "Session of another identity",
            Reason::Banned => "Banned",
            Reason::RateLimited => "Too many requests",
            Reason::Unavailable => "Identity cannot be judged now",
        },
        Cause::Fault(fault) => match fault {
            Fault::BadRequest => "Bad request",
            Fault::BodyTimeout => "Body too slow",
            Fault::BodyTooLarge => "Body too large",
            Fault::UnsupportedBody => "Body cannot be inspected",
            Fault::UnknownSite => "Unknown site",
            Fault::HeadersTooLarge => "Header fields too large",
            Fault::UpstreamUnavailable => "Chat backend unavailable",
            Fault::Draining => "Shutting down",
            Fault::UpstreamTimeout => "Chat backend too slow",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRED: &str = "the token expired 35 s ago; leeway is 10 s";

    fn expired() -> Refusal {
        Refusal::identity(Reason::Expired, EXPIRED)
    }

    fn helpful(refusal: &Refusal, origin: Option<&str>, allowed: &[Origin]) -> Reply {
        reply(refusal, ErrorStyle::Helpful, Some("acme"), origin, allowed, "r-1")
    }

    fn origins() -> Vec<Origin> {
        vec![Origin::parse("https://www.acme.example").unwrap()]
    }

    #[test]
    fn a_refusal_is_a_problem_document_that_names_its_reason() {
        let reply = helpful(&expired(), None, &[]);
        assert_eq!(reply.status, 401);
        assert_eq!(
            String::from_utf8(reply.body.to_vec()).unwrap(),
            r#"{"type":"urn:countersign:expired","title":"Expired","status":401,"code":"expired","detail":"the token expired 35 s ago; leeway is 10 s","request_id":"r-1"}"#
        );
        assert_eq!(reply.header(header::CONTENT_TYPE), Some("application/problem+json"));
        assert_eq!(reply.header(header::CACHE_CONTROL), Some("no-store"));
        assert_eq!(reply.header(header::CONTENT_LENGTH), Some(&*reply.body.len().to_string()));
        assert_eq!(reply.header(REQUEST_ID), Some("r-1"));
        assert_eq!(reply.header(header::VARY), Some("Origin"));
        assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), None);
    }

    #[test]
    fn terse_tells_the_status_alone() {
        let reply = reply(&expired(), ErrorStyle::Terse, Some("acme"), None, &[], "r-1");
        assert_eq!(reply.status, 401);
        assert_eq!(
            String::from_utf8(reply.body.to_vec()).unwrap(),
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"request_id":"r-1"}"#
        );
    }

    #[test]
    fn only_a_401_carries_a_challenge_and_only_a_bad_credential_an_error() {
        let challenge = |refusal| {
            helpful(&refusal, None, &[]).header(header::WWW_AUTHENTICATE).map(str::to_owned)
        };
        for reason in Reason::ALL.iter().copied() {
            let expected = match (reason.status(), reason) {
                (401, Reason::Missing | Reason::Unsigned) => Some(r#"Bearer realm="acme""#),
                (401, _) => Some(r#"Bearer realm="acme", error="invalid_token""#),
                _ => None,
            };
            assert_eq!(challenge(Refusal::identity(reason, "")).as_deref(), expected, "{reason}");
        }
        for fault in Fault::ALL.iter().copied() {
            assert_eq!(challenge(Refusal::fault(fault, "")), None);
        }
    }

    #[test]
    fn statuses_are_those_of_the_contract() {
        let other = |reason: &Reason| match reason {
            Reason::Ambiguous => 400,
            Reason::Banned | Reason::OriginNotAllowed => 403,
            Reason::RateLimited => 429,
            Reason::Unavailable => 503,
            _ => 401,
        };
        for reason in Reason::ALL {
            let reply = helpful(&Refusal::identity(*reason, ""), None, &[]);
            assert_eq!(reply.status, other(reason), "{reason}");
            let asks_to_wait = reply.header(header::RETRY_AFTER).is_some();
            assert_eq!(asks_to_wait, *reason == Reason::RateLimited);
        }
    }

    #[test]
    fn titles_differ_as_the_types_do() {
        let causes = Reason::ALL.iter().map(|reason| Cause::Identity(*reason));
        let causes = causes.chain(Fault::ALL.iter().map(|fault| Cause::Fault(*fault)));
        let titles: Vec<_> = causes.map(title).collect();
        let different: std::collections::HashSet<_> = titles.iter().collect();
        assert_eq!(different.len(), titles.len());
    }

    #[test]
    fn where_no_origins_are_listed_any_page_may_read_the_refusal() {
        let reply = helpful(&expired(), Some("https://shop.example"), &[]);
        assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://shop.example"));
        assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), Some("true"));
        assert_eq!(
            reply.header(header::ACCESS_CONTROL_EXPOSE_HEADERS),
            Some("WWW-Authenticate, Countersign-Request-Id")
        );
    }

    #[test]
    fn a_foreign_origin_is_never_echoed_where_origins_are_listed() {
        let listed = helpful(&expired(), Some("https://www.acme.example"), &origins());
        let allowed = listed.header(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed, Some("https://www.acme.example"));
        for foreign in ["https://evil.example", "null", "https://www.acme.example.evil", "\u{7f}"] {
            let reply = helpful(&expired(), Some(foreign), &origins());
            assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), None, "{foreign}");
            assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS), None);
            assert_eq!(reply.header(header::VARY), Some("Origin"));
        }
    }

    #[test]
    fn an_origin_that_cannot_stand_in_a_header_field_is_left_out() {
        let reply = helpful(&expired(), Some("https://a\r\nSet-Cookie: x"), &[]);
        assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), None);
    }

    #[test]
    fn a_preflight_from_a_listed_origin_gets_what_it_asked_for() {
        let (method, headers) =
            (HeaderValue::from_static("PUT"), HeaderValue::from_static("x-a, authorization"));
        let origin = Some("https://www.acme.example");
        let reply =
            preflight(true, origin, Some(&method), Some(&headers), ErrorStyle::Helpful, "r-1");
        assert_eq!((reply.status, reply.body.len()), (204, 0));
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "https://www.acme.example"),
            (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "PUT"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "x-a, authorization"),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
            (REQUEST_ID, "r-1"),
        ] {
            assert_eq!(reply.header(&name), Some(value), "{name}");
        }
        assert_eq!(reply.header(header::CONTENT_LENGTH), None); // RFC 9110 §8.6
    }

    #[test]
    fn a_preflight_from_a_foreign_origin_is_refused_without_cors() {
        let origin = Some("https://evil.example");
        let reply = preflight(false, origin, None, None, ErrorStyle::Helpful, "r-1");
        assert_eq!(reply.status, 403);
        assert_eq!(reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), None);
        let vary = reply.headers.iter().filter(|(name, _)| *name == header::VARY);
        assert_eq!(vary.count(), 1);
        assert!(String::from_utf8_lossy(&reply.body).contains(r#""code":"origin_not_allowed""#));
    }
}
