//! The decision: one request, one Plan, one moment in; one [`Verdict`] out.
//!
//! The examination runs top to bottom in `examine_with`: host → site → path → route →
//! credential → finding → policy → edits. Everything here is pure: no Pingora, no clock,
//! no log, no metric.
//!
//! - In every mode reserved headers are removed and ours set, and forwarding headers are
//!   put right.
//! - `require`, `prefer` and `accept` clean the request besides: the spent credential, the
//!   identity fields that nothing proved. `observe` and `off` leave all that as it came.
//! - A preflight is never asked for identity (browsers send it without credentials).

mod body;
mod claimed;
mod cleaning;
mod content;
pub mod contract;
mod document;
mod edits;
mod examination;
mod fields;
pub mod forwarded;
pub mod framing;
pub mod host;
mod inbound;
mod member;
mod multipart;
mod naming;
pub mod of_http;
pub mod origin;
pub mod path;
pub mod policy;
mod presented;
mod prover;
mod query;
mod reading;
pub mod route;
pub(crate) mod session;
pub(crate) mod shown;
mod source;
mod spent;
#[cfg(test)]
pub(crate) mod testing;
mod translated;
mod values;
pub mod verb;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::dialect::Reason;
use crate::identity::Visitor;
use crate::plan::{Settings, Site, TrustedProxies};
use origin::Origin;

pub use body::{Body, Wanted};
pub use edits::Edits;
pub(crate) use examination::examine_with;
pub use examination::wanted;
pub use fields::Fields;
pub use multipart::{Overlong, Renamer};
pub use policy::Mode;
pub(crate) use prover::{Asked, Prover, Recalled};
pub use source::offers;
pub use verb::Verb;

/// What the gate sees of a request: borrowed, and of no particular server.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// Method, as sent.
    pub method: &'a Method,
    /// Origin-form request target as sent: path and, after `?`, the query.
    pub target: &'a str,
    /// HTTP/2's `:authority` or an absolute-form target's authority; otherwise the `Host`
    /// header is looked at.
    pub authority: Option<&'a str>,
    /// Every header field as received.
    pub headers: &'a HeaderMap,
    /// Who sent it.
    pub peer: Peer,
    /// Whether it came over TLS (for `X-Forwarded-Proto`).
    pub tls: bool,
    /// Port it arrived at, where there is one (for `X-Forwarded-Port`).
    pub local_port: Option<u16>,
    /// A WebSocket handshake (`Upgrade: websocket` on HTTP/1.1).
    pub upgrade: bool,
    /// The request's id: [`forwarded::request_id`], or a new one.
    pub request_id: &'a str,
    /// What is known of the body; all of it, where [`wanted`] asks for it.
    pub body: Body<'a>,
}

impl<'a> RequestView<'a> {
    /// The target's path.
    pub fn path(&self) -> &'a str {
        let end = memchr::memchr(b'?', self.target.as_bytes());
        end.and_then(|end| self.target.get(..end)).unwrap_or(self.target)
    }

    /// The target's query, without its `?`.
    pub fn query(&self) -> Option<&'a str> {
        let end = memchr::memchr(b'?', self.target.as_bytes())?;
        self.target.get(end + 1..)
    }
}

impl std::fmt::Debug for RequestView<'_> {
    /// Without what a query, a header field or a body says.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestView")
            .field("method", self.method)
            .field("target", &shown::Target(self.target))
            .field("authority", &self.authority)
            .field("headers", &shown::Headers(self.headers))
            .field("peer", &self.peer)
            .field("tls", &self.tls)
            .field("local_port", &self.local_port)
            .field("upgrade", &self.upgrade)
            .field("request_id", &self.request_id)
            .field("body", &self.body)
            .finish()
    }
}

/// The other end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Ip(IpAddr),
    /// A Unix socket's peer: always trusted.
    Unix,
}

impl Peer {
    /// Whether its forwarding headers are believed.
    pub fn is_trusted(self, trusted: &TrustedProxies) -> bool {
        match self {
            Self::Ip(address) => trusted.contains(address),
            Self::Unix => true,
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub struct Verdict<'p> {
    /// The site that the host chose; none only where the outcome is a fault before that.
    pub site: Option<&'p Site>,
    /// The mode in force, once the route is known.
    pub mode: Option<Mode>,
    /// What is asked of Countersign itself, where the request is none for the backend.
    pub verb: Option<Verb>,
    /// Whose credential was judged: [`Proof::way`](crate::plan::Proof::way); 0, the site's
    /// own, where there was none.
    pub way: usize,
    /// What holds for the route, once it is known.
    pub settings: Option<&'p Settings>,
    /// Origins whose pages may read the answer; empty: any.
    pub allowed_origins: Arc<[Origin]>,
    /// Forward, refuse or answer.
    pub outcome: Outcome,
    /// Reserved header fields that the client had made up.
    pub stripped: usize,
    /// Forwarding headers of a peer outside `trusted_proxies` were dropped.
    pub distrusted: bool,
}

/// The three ways a request can go.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Send it on, edited.
    Forward(Box<Forward>),
    /// Turn it away.
    Refuse(Refusal),
    /// A preflight that Countersign answers itself (`allowed_origins` are configured):
    /// 204 for a listed origin, else 403.
    Preflight {
        /// Whether the origin is listed.
        allowed: bool,
    },
}

/// A request that goes on.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Whom the backend is told of.
    pub visitor: Visitor,
    /// What must change before the request is sent.
    pub edits: Edits,
    /// `observe` and `accept`: what `require` would have refused it with, or why a bad
    /// credential was overlooked.
    pub overlooked: Option<Box<Refusal>>,
    /// Fields left out for size, for `Countersign-Omitted` and its metric: `claimed`,
    /// `details`, `attributes`, `email`, `name`, `assertion`, in this order.
    pub omitted: Vec<&'static str>,
    /// What becomes of the body.
    pub body: NewBody,
}

/// What becomes of a request's body.
#[derive(Clone, Default)]
pub enum NewBody {
    /// It goes on as it comes.
    #[default]
    Same,
    /// These bytes go instead; the edits have their length.
    Replaced(bytes::Bytes),
    /// It goes through this while it streams; its length stays.
    Renamed(Box<Renamer>),
}

impl std::fmt::Debug for NewBody {
    /// Without its bytes.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Same => f.write_str("Same"),
            Self::Replaced(bytes) => {
                f.debug_tuple("Replaced").field(&shown::Size(bytes.len())).finish()
            }
            Self::Renamed(renamer) => f.debug_tuple("Renamed").field(renamer).finish(),
        }
    }
}

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A judgement of identity, or a fault of the request or of the way.
    pub cause: Cause,
    /// One helpful sentence without secrets.
    pub detail: std::borrow::Cow<'static, str>,
    /// The configured key concerned, for the log.
    pub key: Option<std::sync::Arc<str>>,
}

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Identity: counted in `decisions_total`.
    Identity(Reason),
    /// Not about identity: counted in `http_requests_total` alone.
    Fault(Fault),
}

macro_rules! faults {
    ($($variant:ident $code:literal $status:literal $title:literal,)*) => {
        /// What goes wrong apart from identity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault { $(#[doc = $title] $variant,)* }

        impl Fault {
            /// Every fault there is.
            pub const ALL: &[Fault] = &[$(Fault::$variant,)*];
            /// Problem `code` and log field.
            pub const fn code(self) -> &'static str { match self { $(Fault::$variant => $code,)* } }
            /// HTTP status.
            pub const fn status(self) -> u16 { match self { $(Fault::$variant => $status,)* } }
        }
    };
}

faults! {
    BadRequest "bad_request" 400 "A path of two meanings, a bad Host, bad framing.",
    BodyTimeout "body_timeout" 408 "The body did not arrive in time.",
    BodyTooLarge "body_too_large" 413 "The body is larger than the limit.",
    UnsupportedBody "unsupported_body" 415 "The body cannot be inspected.",
    UnknownSite "unknown_site" 421 "No site serves this host.",
    HeadersTooLarge "headers_too_large" 431 "Too many or too large header fields.",
    UpstreamUnavailable "upstream_unavailable" 502 "The chat backend cannot be reached.",
    Draining "draining" 503 "Countersign is shutting down.",
    UpstreamTimeout "upstream_timeout" 504 "The chat backend did not answer in time.",
}

impl Refusal {
    /// A refusal for a reason of identity.
    pub fn identity(reason: Reason, detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { cause: Cause::Identity(reason), detail: detail.into(), key: None }
    }

    /// A refusal for a fault.
    pub fn fault(fault: Fault, detail: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { cause: Cause::Fault(fault), detail: detail.into(), key: None }
    }

    /// The reason, if it is one of identity.
    pub const fn reason(&self) -> Option<Reason> {
        match self.cause {
            Cause::Identity(reason) => Some(reason),
            Cause::Fault(_) => None,
        }
    }

    /// The problem's `code`.
    pub fn code(&self) -> &'static str {
        match self.cause {
            Cause::Identity(reason) => reason.code(),
            Cause::Fault(fault) => fault.code(),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self.cause {
            Cause::Identity(reason) => reason.status(),
            Cause::Fault(fault) => fault.status(),
        }
    }
}
