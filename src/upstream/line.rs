//! One connection to a backend: TCP, TLS over TCP, or a Unix socket. Nothing else in the
//! crate connects to a backend.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::{Endpoint, Secured};

/// How a connection finds out that its other end is gone without a word: asked after a
/// minute of silence, given up after nine questions, ten seconds apart.
pub fn keepalive() -> socket2::TcpKeepalive {
    socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
}

/// A connection to a backend.
#[derive(Debug)]
pub enum Line {
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
    /// A Unix socket.
    Unix(UnixStream),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It took too long, whichever step did.
    #[error("the backend does not answer in time")]
    Timeout,
    /// Nobody listens there.
    #[error("{0}")]
    Refused(io::Error),
    /// Somebody does, who is not the backend, or speaks no TLS.
    #[error("{0}")]
    Tls(io::Error),
}

/// Connects, and shakes hands where the endpoint asks for TLS, within `patience` in all.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Line, ConnectError> {
    let connecting = async {
        match endpoint {
            Endpoint::Tcp(address) => {
                dial(*address).await.map(Line::Tcp).map_err(ConnectError::Refused)
            }
            Endpoint::Tls(address, secured) => {
                let stream = dial(*address).await.map_err(ConnectError::Refused)?;
                secure(stream, secured).await.map_err(|error| {
                    secured.complain(&error);
                    ConnectError::Tls(error)
                })
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path.as_ref()).await;
                stream.map(Line::Unix).map_err(ConnectError::Refused)
            }
        }
    };
    timeout(patience, connecting).await.unwrap_or(Err(ConnectError::Timeout))
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive());
    Ok(stream)
}

async fn secure(stream: TcpStream, secured: &Secured) -> io::Result<Line> {
    let connector = TlsConnector::from(secured.tls.client().clone());
    let stream = connector.connect(secured.name.clone(), stream).await?;
    Ok(Line::Tls(Box::new(stream)))
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
