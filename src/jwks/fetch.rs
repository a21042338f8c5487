//! One GET for a key set: no redirect, no proxy, no cookie, a bounded answer.
//!
//! TLS is verified against the system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` name
//! others), by the same cryptographic library as everything else. They are read once, when
//! the first set is fetched.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::dialect::jwk::MAX_BYTES;

/// From the look-up of the name to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// What fetches key sets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(Pooled<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Client {
    /// A client that trusts the system's roots.
    ///
    /// # Errors
    /// There are none. A sentence.
    pub fn new() -> Result<Self, String> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| {
                format!(
                    "no trusted root certificates ({error}); install ca-certificates or set \
                     SSL_CERT_FILE"
                )
            })?
            .https_or_http()
            .enable_http1()
            .build();
        // A set is fetched every few minutes: no connection is worth keeping.
        let mut builder = Pooled::builder(TokioExecutor::new());
        Ok(Self(builder.pool_max_idle_per_host(0).build(connector)))
    }

    /// The document behind a URL, at most [`MAX_BYTES`] of it.
    ///
    /// # Errors
    /// Anything but a whole answer of status 200, in one sentence. Redirects are not
    /// followed: whoever can redirect could choose the keys.
    pub async fn get(&self, url: &Uri) -> Result<Bytes, String> {
        match tokio::time::timeout(PATIENCE, self.exchange(url)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no whole answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn exchange(&self, url: &Uri) -> Result<Bytes, String> {
        let request = Request::get(url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let answer = self.0.request(request).await.map_err(|error| causes(&error))?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => {
                return Err(format!("status {}: redirects are not followed", status.as_u16()));
            }
            status => return Err(format!("status {}", status.as_u16())),
        }
        match Limited::new(answer.into_body(), MAX_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err("the answer is larger than 256 KiB".to_owned())
            }
            Err(error) => Err(causes(&*error)),
        }
    }
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
