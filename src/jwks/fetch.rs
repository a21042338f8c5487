//! One GET for a key set, whose answer is bounded and whose redirects are not followed:
//! whoever can redirect could choose the keys.

use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode, Uri};

use crate::dialect::jwk::MAX_BYTES;
use crate::outbound;
use crate::plan::Reach;

/// From the look-up of the name to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// What fetches key sets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client(outbound::Client);

impl Client {
    /// A client that trusts the system's roots.
    pub fn new() -> Self {
        Self(outbound::Client::new(Reach::Anywhere))
    }

    /// The document behind a URL, at most [`MAX_BYTES`] of it.
    ///
    /// # Errors
    /// Anything but a whole answer of status 200, in one sentence.
    pub async fn get(&self, url: &Uri) -> Result<Bytes, String> {
        let request = Request::get(url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let answer = self.0.send(request, PATIENCE, MAX_BYTES).await;
        let answer = answer.map_err(|failure| failure.to_string())?;
        match answer.status {
            StatusCode::OK => answer.body.map_err(|failure| failure.to_string()),
            status => Err(outbound::in_words(status.as_u16())),
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}
