//! Connections to the server, and what goes wrong with them.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError};

use super::layout::Caller;
use crate::clock::UnixTime;
use crate::plan::RedisUrl;
use crate::store::OpenError;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(500);
/// How long an answer may take.
pub const ANSWER: Duration = Duration::from_secs(1);

/// Where the server is.
pub struct Server {
    client: Client,
    /// Its address, without password.
    pub shown: String,
}

impl Server {
    /// The server of an URL.
    ///
    /// # Errors
    /// The URL is none of a Redis server.
    pub fn at(url: &RedisUrl) -> Result<Self, OpenError> {
        // What the library says of an URL could repeat it, password and all.
        let wrong = || {
            OpenError(
                "the URL of the Redis server is none: redis://[user:password@]host[:port][/database], \
                 rediss://… for TLS, or unix:/path is expected"
                    .to_owned(),
            )
        };
        let text = std::str::from_utf8(url.0.expose()).map_err(|_| wrong())?;
        let client = Client::open(text.trim()).map_err(|_| wrong())?;
        let shown = client.get_connection_info().addr().to_string();
        // An embedder may have brought its own; two in one build leave rustls at a loss.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        Ok(Self { client, shown })
    }

    /// A connection on which an answer may take `answer`.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn connect(&self, answer: Duration) -> Result<MultiplexedConnection, Trouble> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(answer));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        // The library's own limit does not cover everything that a silent server can do.
        match tokio::time::timeout(CONNECT * 2, connecting).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(Trouble::lost("no connection in time")),
        }
    }
}

/// Over which changes are made, while there is one.
#[derive(Clone)]
pub struct Link {
    /// For all but waiting for the log.
    pub connection: MultiplexedConnection,
    /// How the script is called.
    pub caller: Caller,
    /// Redis' clock when it was greeted, and ours.
    pub clocks: (UnixTime, UnixTime),
}

impl Link {
    /// What Redis' clock will show at this moment of ours.
    pub fn theirs(&self, ours: UnixTime) -> UnixTime {
        self.clocks.0.after(ours.since(self.clocks.1))
    }
}

/// Something went wrong: a sentence, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For an operator.
    pub said: String,
    /// What follows.
    pub kind: Kind,
}

/// What follows from a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The connection is of no use any more.
    Lost,
    /// What was read is right, but nothing can be written for now.
    ReadOnly,
    /// It lies with what was asked, and would be the same again.
    Asked,
}

impl Trouble {
    /// The connection is of no use.
    pub fn lost(said: impl Into<String>) -> Self {
        Self { said: said.into(), kind: Kind::Lost }
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        let kind = match (error.kind(), error.code()) {
            (_, Some("OOM" | "MISCONF" | "NOREPLICAS")) => Kind::ReadOnly,
            (_, Some("ERR" | "WRONGTYPE" | "NOPERM" | "LATE")) => Kind::Asked,
            (ErrorKind::UnexpectedReturnType, _) => Kind::Asked,
            _ => Kind::Lost,
        };
        Self { said: error.to_string(), kind }
    }
}
