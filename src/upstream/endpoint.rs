//! Where a connection leads, and everything that two connections must agree on before one
//! may be used in the other's place.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::pki_types::ServerName;

use crate::plan::Tls;

/// How often the log says why there is no TLS.
const REMINDER: Duration = Duration::from_secs(60);

/// An address to connect to. Equal ones are the same in every respect: an idle connection
/// to one serves the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// TLS at a TCP address.
    Tls(SocketAddr, Arc<Secured>),
    /// A Unix socket's path.
    Unix(Arc<PathBuf>),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Tls(address, _) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who must be there.
#[derive(Debug)]
pub struct Secured {
    /// The name that the certificate must have, and that is asked for (SNI).
    pub name: ServerName<'static>,
    /// Whose word counts.
    pub tls: Arc<Tls>,
    complained: Mutex<Option<Instant>>,
}

impl Secured {
    /// That name, vouched for as `tls` asks.
    pub fn new(name: ServerName<'static>, tls: Arc<Tls>) -> Self {
        Self { name, tls, complained: Mutex::new(None) }
    }

    /// Logs why the handshake fails, once a minute.
    pub(super) fn complain(&self, error: &io::Error) {
        let mut complained = self.complained.lock();
        if complained.is_none_or(|last| last.elapsed() >= REMINDER) {
            *complained = Some(Instant::now());
            let host = self.name.to_str();
            tracing::warn!(%host, %error, "there is no TLS with the backend");
        }
    }
}

/// Connections of two configurations are never exchanged, equal though they may look.
impl PartialEq for Secured {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(self.tls.client(), other.tls.client())
    }
}

impl Eq for Secured {}

impl Hash for Secured {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        std::ptr::hash(Arc::as_ptr(self.tls.client()), state);
    }
}
