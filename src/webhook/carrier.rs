//! Who carries requests to receivers: two clients, one of which goes nowhere inside.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;

use crate::outbound::{Answer, Client, Failure};
use crate::plan::Reach;

/// From the look-up of a receiver's name to the last byte of its answer.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Most bytes of an answer that are read.
pub const MOST_BYTES: usize = 64 * 1024;

/// Carries a request and brings the answer.
#[async_trait]
pub trait Carrier: Send + Sync + 'static {
    /// See [`Client::send`].
    ///
    /// # Errors
    /// There is no answer.
    async fn carry(
        &self,
        reach: Reach,
        request: Request<Bytes>,
        patience: Duration,
    ) -> Result<Answer, Failure>;
}

/// Over the network.
pub struct Network {
    anywhere: Client,
    outside: Client,
}

impl Network {
    /// Connections are made as they are needed.
    pub fn new() -> Self {
        Self { anywhere: Client::new(Reach::Anywhere), outside: Client::new(Reach::Outside) }
    }
}

#[async_trait]
impl Carrier for Network {
    async fn carry(
        &self,
        reach: Reach,
        request: Request<Bytes>,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let client = match reach {
            Reach::Anywhere => &self.anywhere,
            Reach::Outside => &self.outside,
        };
        client.send(request, patience, MOST_BYTES).await
    }
}
