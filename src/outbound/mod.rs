//! Requests of our own to somebody else's server: key sets, webhooks, questions.
//!
//! No redirect, no proxy, no cookie, a bounded answer. TLS is verified against the system's
//! roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), by the same cryptographic library
//! as everything else; they are read once, with the first connection that needs them.
//!
//! Where an administrator's URL must not lead inside, every address that its name has is
//! looked at by whoever connects ([`connect`]), and no other is connected to: a name that
//! means something else a moment later changes nothing.

mod connect;
mod guard;
mod stream;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::rt::{TokioExecutor, TokioTimer};

#[cfg(test)]
use connect::Lookup;
#[cfg(feature = "server")]
pub use connect::system_roots;

use self::connect::{ConnectError, Connector};
use self::stream::Secured;
use crate::plan::Reach;

/// How long a connection is kept for the next request: servers that close idle ones sooner
/// are rare.
const IDLE: Duration = Duration::from_secs(4);
/// Connections kept to one server.
const MOST_IDLE: usize = 8;

/// What sends requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Pooled<Connector, Full<Bytes>>);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body, if it came whole, in time, and was not too large.
    pub body: Result<Bytes, Failure>,
    /// The version of TLS that it came by.
    pub tls: Option<&'static str>,
}

/// Why there was no answer, or not all of it. Each is a sentence without the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The URL leads where it must not.
    #[error("{0}")]
    Blocked(String),
    /// It took too long.
    #[error("no whole answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// Nobody is there, or not whom the certificate should name.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke, or what came is no HTTP.
    #[error("{0}")]
    Broken(String),
    /// The answer is larger than is wanted.
    #[error("the answer is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
}

impl Client {
    /// A client that goes no further than this.
    pub fn new(reach: Reach) -> Self {
        Self::over(Connector::new(reach))
    }

    /// The same with names resolved in another way.
    #[cfg(test)]
    pub fn looking_up(reach: Reach, lookup: Lookup) -> Self {
        Self::over(Connector::looking_up(reach, lookup))
    }

    fn over(connector: Connector) -> Self {
        let mut builder = Pooled::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_max_idle_per_host(MOST_IDLE);
        Self(builder.pool_timer(TokioTimer::new()).build(connector))
    }

    /// Sends a request and reads the answer, `most` bytes of its body, within `patience` in
    /// all.
    ///
    /// # Errors
    /// There is no answer. One whose body is not all there has a status all the same.
    pub async fn send(
        &self,
        mut request: Request<Bytes>,
        patience: Duration,
        most: usize,
    ) -> Result<Answer, Failure> {
        let us = concat!("countersign/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(us));
        let deadline = tokio::time::Instant::now() + patience;
        let sending = self.0.request(request.map(Full::new));
        let answer = match tokio::time::timeout_at(deadline, sending).await {
            Ok(answer) => answer.map_err(|error| why(&error))?,
            Err(_) => return Err(Failure::Timeout(patience)),
        };
        let tls = answer.extensions().get().and_then(|Secured(version)| *version);
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, most).collect();
        let body = match tokio::time::timeout_at(deadline, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::TooLarge(most)),
            Ok(Err(error)) => Err(Failure::Broken(causes(&*error))),
            Err(_) => Err(Failure::Timeout(patience)),
        };
        Ok(Answer { status: head.status, headers: head.headers, body, tls })
    }
}

/// What a status says that was not hoped for, in words.
pub fn in_words(status: u16) -> String {
    match status {
        300..=399 => format!("status {status}: redirects are not followed"),
        _ => format!("status {status}"),
    }
}

/// A URL as a log may show it: without user, query and fragment.
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub &'a Uri);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.0;
        write!(f, "{}://{}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default())?;
        if let Some(port) = uri.port_u16() {
            write!(f, ":{port}")?;
        }
        f.write_str(uri.path())
    }
}

/// What lies behind a client's error.
fn why(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        match cause.downcast_ref() {
            Some(ConnectError::Blocked(why)) => return Failure::Blocked(why.clone()),
            Some(other) => return Failure::Unreachable(other.to_string()),
            None => source = cause.source(),
        }
    }
    Failure::Broken(causes(error))
}

/// An error with what lies behind it: the outermost alone says "client error".
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let word = cause.to_string();
        if !words.contains(&word) {
            words.push(word);
        }
        source = cause.source();
    }
    words.join(": ")
}

#[cfg(test)]
mod tests;
