//! Connecting: the name is resolved, every address of it looked at, and one of these very
//! addresses connected to. Nothing is resolved twice, so what was looked at is what is
//! reached.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::guard;
use super::stream::Stream;
use crate::plan::{Reach, Tls};

/// How long one address is given, before the next is tried.
const PATIENCE: Duration = Duration::from_secs(5);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Resolves a name to addresses.
pub type Lookup = Arc<dyn Fn(String, u16) -> Boxed<io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0}")]
    Blocked(String),
    #[error("the name cannot be resolved: {0}")]
    Name(io::Error),
    #[error("cannot connect: {0}")]
    Refused(io::Error),
    #[error("no TLS: {0}")]
    Tls(io::Error),
    #[error("{0}")]
    NoTrust(String),
}

/// Connects for hyper's client.
#[derive(Clone)]
pub struct Connector {
    reach: Reach,
    lookup: Lookup,
    /// Read with the first connection that needs it.
    tls: Arc<OnceCell<Result<Tls, String>>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("reach", &self.reach).finish_non_exhaustive()
    }
}

impl Connector {
    pub fn new(reach: Reach) -> Self {
        Self::looking_up(reach, Arc::new(|host, port| Box::pin(by_the_system(host, port))))
    }

    pub fn looking_up(reach: Reach, lookup: Lookup) -> Self {
        Self { reach, lookup, tls: Arc::default() }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let secured = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if secured { 443 } else { 80 });
        let addresses = self.addresses(host, port).await?;
        let stream = dial(&addresses).await?;
        let stream = match secured {
            true => Stream::Tls(Box::new(self.secure(stream, host).await?)),
            false => Stream::Plain(stream),
        };
        Ok(TokioIo::new(stream))
    }

    /// The addresses of a host, all of which may be connected to.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        // A literal never meets a resolver; odd spellings of one (`0x7f.1`, `2130706433`) do.
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => (self.lookup)(host.to_owned(), port).await.map_err(ConnectError::Name)?,
        };
        if self.reach == Reach::Outside
            && let Some((address, what)) =
                addresses.iter().find_map(|one| Some((one.ip(), guard::refused(one.ip())?)))
        {
            // Whoever makes subscriptions is not to learn what names inside stand for.
            tracing::info!(host, %address, what, "nothing is sent to an address inside");
            return Err(ConnectError::Blocked(format!(
                "{host} leads inside: {what}, which subscriptions made through the admin API \
                 may not reach without `webhook_private_targets: true`"
            )));
        }
        Ok(addresses)
    }

    async fn secure(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
        let tls = self.tls.get_or_init(|| async {
            // Reads some hundred certificates.
            let tls = tokio::task::spawn_blocking(system_roots).await;
            tls.unwrap_or_else(|error| Err(error.to_string()))
        });
        let tls = tls.await.as_ref().map_err(|problem| ConnectError::NoTrust(problem.clone()))?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
        let connector = TlsConnector::from(tls.client().clone());
        connector.connect(name, stream).await.map_err(ConnectError::Tls)
    }
}

async fn by_the_system(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut problem = io::Error::other("the name has no address");
    for address in addresses {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => problem = error,
            Err(_) => problem = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ConnectError::Refused(problem))
}

/// TLS by the authorities that this machine trusts.
///
/// # Errors
/// It trusts none.
pub fn system_roots() -> Result<Tls, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "no trusted root certificates{why}; install ca-certificates or set SSL_CERT_FILE"
        ));
    }
    Tls::new(Some(Arc::new(roots))).map_err(|error| error.to_string())
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = Boxed<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
