//! One HTTP/1.1 request to one address, and what came back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, DATE, HOST, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;

use crate::cli::healthcheck::reachable;
use crate::clock::UnixTime;
use crate::outbound;
use crate::plan::{Address, Tls, UpstreamTarget};
use crate::upstream::{ConnectError, Endpoint, Secured, connect};

/// Time for one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// As much of an answer as is looked at, in bytes.
const MOST: usize = 1024 * 1024;

/// An address, and what to call it there.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// As people write it.
    pub shown: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header.
    pub headers: HeaderMap,
    /// Its body, as far as it could be read.
    pub body: Bytes,
    /// Seconds by which its `Date` is ahead of this machine's clock, if it has one.
    pub ahead: Option<i64>,
}

/// Why nothing came back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nobody listens there.
    #[error("nobody answers at {0} ({1})")]
    Unreachable(String, String),
    /// Somebody does, and does not answer.
    #[error("{0} gives no answer ({1})")]
    Mute(String, String),
}

impl Place {
    /// A listener of ours; one at every address is asked over loopback.
    pub fn of_listener(address: &Address) -> Self {
        let endpoint = match address {
            Address::Tcp(address) => Endpoint::Tcp(reachable(*address)),
            Address::Unix(path) => Endpoint::Unix(Arc::new(path.clone())),
        };
        let shown = match &endpoint {
            Endpoint::Unix(_) => endpoint.to_string(),
            _ => format!("http://{endpoint}"),
        };
        Self { endpoint, shown }
    }

    /// Where a URL leads: `http`, or `https` by the system's authorities.
    ///
    /// # Errors
    /// It is no such URL, or its name has no address.
    pub async fn of_url(url: &str) -> Result<Self, String> {
        let bad = || format!("{url}: expected http://host:port or https://host:port");
        let uri: http::Uri = url.parse().map_err(|_| bad())?;
        let host = uri.host().ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad()),
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let target = UpstreamTarget::Tcp { host, port, tls };
        let tls = tls.then(outbound::system_roots).transpose()?.map(Arc::new);
        let places = Self::of_backend(&target, tls.as_ref()).await?;
        places.into_iter().next().ok_or_else(|| format!("{url}: the name has no address"))
    }

    /// Every address of one of a site's backends.
    ///
    /// # Errors
    /// Its name does not resolve.
    pub async fn of_backend(
        target: &UpstreamTarget,
        tls: Option<&Arc<Tls>>,
    ) -> Result<Vec<Self>, String> {
        let (host, port, secured) = match target {
            UpstreamTarget::Unix(path) => {
                let endpoint = Endpoint::Unix(Arc::new(path.clone()));
                return Ok(vec![Self { endpoint, shown: target.to_string() }]);
            }
            UpstreamTarget::Tcp { host, port, tls } => (host, *port, *tls),
        };
        let secured = match (secured, tls) {
            (true, Some(tls)) => {
                let name = ServerName::try_from(host.clone());
                let name = name.map_err(|_| format!("{host} is no name for a certificate"))?;
                Some(Arc::new(Secured::new(name, tls.clone())))
            }
            _ => None,
        };
        let found = tokio::net::lookup_host((host.as_str(), port)).await;
        let found = found.map_err(|error| format!("{host} does not resolve: {error}"))?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_unstable();
        addresses.dedup();
        let place = |address: SocketAddr| {
            let address_of = |shown: String| match host.parse::<IpAddr>() {
                Ok(_) => shown,
                Err(_) => format!("{shown} ({})", address.ip()),
            };
            let shown = address_of(target.to_string());
            let endpoint = match &secured {
                Some(secured) => Endpoint::Tls(address, secured.clone()),
                None => Endpoint::Tcp(address),
            };
            Self { endpoint, shown }
        };
        Ok(addresses.into_iter().map(place).collect())
    }

    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        match &self.endpoint {
            Endpoint::Tcp(address) | Endpoint::Tls(address, _) => address.ip().is_loopback(),
            Endpoint::Unix(_) => true,
        }
    }

    /// Sends a request over a connection of its own. `Host` is `host`, whatever is called.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub async fn ask(&self, mut request: Request<Bytes>, host: &str) -> Result<Answer, Unanswered> {
        let mute = |error: String| Unanswered::Mute(self.shown.clone(), error);
        let line = connect(&self.endpoint, PATIENCE).await.map_err(|error| match error {
            ConnectError::Tls(error) => mute(error.to_string()),
            error => Unanswered::Unreachable(self.shown.clone(), error.to_string()),
        })?;
        let headers = request.headers_mut();
        headers.insert(HOST, host.parse().map_err(|_| mute(format!("{host} is no host")))?);
        headers.insert(CONNECTION, http::HeaderValue::from_static("close"));
        let us = concat!("countersign-doctor/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, http::HeaderValue::from_static(us));
        let exchange = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(line)).await?;
            // Ends with the answer: the connection is closed after it.
            tokio::spawn(connection);
            let answer = sender.send_request(request.map(Full::new)).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MOST).collect().await;
            Ok::<_, hyper::Error>((head, body.map(|body| body.to_bytes()).unwrap_or_default()))
        };
        let (head, body) = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(mute(error.to_string())),
            Err(_) => return Err(mute(format!("within {} s", PATIENCE.as_secs()))),
        };
        let ahead = ahead(&head.headers, UnixTime::now());
        Ok(Answer { status: head.status, headers: head.headers, body, ahead })
    }
}

impl Answer {
    /// Whether the body shows a text.
    pub fn shows(&self, text: &str) -> bool {
        memchr::memmem::find(&self.body, text.as_bytes()).is_some()
    }

    /// Whether who asked is turned away for who he is.
    pub fn turns_away(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// The body as JSON, if it is any.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// `Date` (RFC 9110 §6.6.1) less the time here.
fn ahead(headers: &HeaderMap, now: UnixTime) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(date.as_second() - i64::try_from(now.as_secs()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        let at = |date: &'static str| {
            let headers = HeaderMap::from_iter([(DATE, http::HeaderValue::from_static(date))]);
            ahead(&headers, UnixTime::from_secs(784_111_770))
        };
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(at("Sun, 06 Nov 1994 08:49:20 GMT"), Some(-10));
        assert_eq!(at("yesterday"), None);
        assert_eq!(ahead(&HeaderMap::new(), UnixTime::from_secs(0)), None);
    }
}
