//! Sockets, bound by us before anything else starts, so that a port in use is one clear
//! line and a shutdown decides when they close.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{GetSocketDigest, SocketDigest};
use socket2::{Domain, Protocol, Socket, Type};
use std::os::fd::AsRawFd;
use tokio::net::{TcpListener, UnixListener};

use crate::drain::{Drain, Phase};
use crate::front::Accepted;
use crate::gate::Peer;
use crate::plan::Address;
use crate::upstream::keepalive;

/// A full accept queue drops new connections: as long as the kernel allows.
const BACKLOG: i32 = 4096;

/// A bound socket, not yet accepting.
pub struct Bound {
    address: Address,
    socket: Socket,
}

/// Why an address could not be bound: one line for the person who starts it.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    address: String,
    reason: String,
}

/// Binds an address.
///
/// # Errors
/// In use, not permitted, not an address of this machine.
pub fn bind(address: &Address) -> Result<Bound, BindError> {
    let bound = match address {
        Address::Tcp(tcp) => bind_tcp(*tcp),
        Address::Unix(path) => bind_unix(path),
    };
    match bound {
        Ok(socket) => Ok(Bound { address: address.clone(), socket }),
        Err(error) => {
            let reason = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "the address is in use by another process".to_owned()
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    "this machine has no such address".to_owned()
                }
                std::io::ErrorKind::PermissionDenied => {
                    "permission denied (ports below 1024 need CAP_NET_BIND_SERVICE)".to_owned()
                }
                _ => error.to_string(),
            };
            Err(BindError { address: address.to_string(), reason })
        }
    }
}

fn bind_tcp(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it: a client that lost its network must not leave an
    // idle WebSocket behind for ever.
    socket.set_tcp_keepalive(&keepalive())?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn bind_unix(path: &Path) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = socket2::SockAddr::unix(path)?;
    // A socket file that nobody answers at is left over from a crash.
    let stale = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
        && Socket::new(Domain::UNIX, Type::STREAM, None)?.connect(&address).is_err();
    if stale {
        std::fs::remove_file(path)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

impl Bound {
    /// Where it listens; a port 0 of the configuration is the one really bound.
    pub fn address(&self) -> Address {
        match self.socket.local_addr().ok().and_then(|local| local.as_socket()) {
            Some(local) => Address::Tcp(local),
            None => self.address.clone(),
        }
    }

    /// Accepts connections and hands each to `serve` until `until` is reached; what was
    /// waiting in the kernel's queue by then is still served.
    pub async fn accept<F>(self, drain: Arc<Drain>, until: Phase, serve: F)
    where
        F: Fn(Accepted) + Send + Sync,
    {
        let listener = match Listener::new(self.socket, &self.address) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(address = %self.address, %error, "cannot accept connections");
                return;
            }
        };
        let closing = drain.reached(until);
        tokio::pin!(closing);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut closing => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => serve(accepted),
                Err(error) => pause_after(&error).await,
            }
        }
        // Closing a listener resets what is still in its queue.
        while let Ok(Ok(accepted)) =
            tokio::time::timeout(Duration::from_millis(1), listener.accept()).await
        {
            serve(accepted);
        }
        drop(listener);
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Out of file descriptors: accepting again at once would only spin.
async fn pause_after(error: &std::io::Error) {
    let per_connection = matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::ConnectionReset
    );
    if !per_connection {
        tracing::error!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(socket: Socket, address: &Address) -> std::io::Result<Self> {
        match address {
            Address::Tcp(_) => Ok(Self::Tcp(TcpListener::from_std(socket.into())?)),
            Address::Unix(_) => Ok(Self::Unix(UnixListener::from_std(socket.into())?)),
        }
    }

    async fn accept(&self) -> std::io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (tcp, peer) = listener.accept().await?;
                let _ = tcp.set_nodelay(true);
                let local_port = tcp.local_addr().ok().map(|local| local.port());
                let digest = SocketDigest::from_raw_fd(tcp.as_raw_fd());
                // The kernel forgets it as soon as the client resets the connection.
                let _ = digest.peer_addr.set(Some(peer.into()));
                let mut stream = L4Stream::from(tcp);
                stream.set_socket_digest(digest);
                let peer = Peer::Ip(peer.ip().to_canonical());
                Ok(Accepted { stream: Box::new(stream), peer, local_port })
            }
            Self::Unix(listener) => {
                let (unix, _) = listener.accept().await?;
                let digest = SocketDigest::from_raw_fd(unix.as_raw_fd());
                let mut stream = L4Stream::from(unix);
                stream.set_socket_digest(digest);
                Ok(Accepted { stream: Box::new(stream), peer: Peer::Unix, local_port: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_notices_that_its_client_is_gone() {
        let bound = bind(&Address::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let Address::Tcp(address) = bound.address() else { panic!("not TCP") };
        let client = tokio::net::TcpStream::connect(address).await.unwrap();
        let listener = TcpListener::from_std(bound.socket.into()).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        drop(client);
    }

    #[tokio::test]
    async fn whoever_resets_its_connection_is_still_known_by_its_address() {
        let bound = bind(&Address::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let Address::Tcp(address) = bound.address() else { panic!("not TCP") };
        let listener = Listener::new(bound.socket, &bound.address).unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let accepted = listener.accept().await.unwrap();
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let mut stream = accepted.stream;
        assert!(tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await.is_err(), "reset");
        let digest = stream.get_socket_digest().unwrap();
        let peer = digest.peer_addr().and_then(|peer| peer.as_inet()).map(SocketAddr::ip);
        assert_eq!(peer, Some("127.0.0.1".parse().unwrap()), "or it would be believed");
    }

    #[tokio::test]
    async fn a_port_in_use_is_said_in_one_line() {
        let first = bind(&Address::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let Err(error) = bind(&first.address()) else { panic!("bound twice") };
        let line = error.to_string();
        assert!(line.ends_with("the address is in use by another process"), "{line}");
    }

    #[tokio::test]
    async fn a_socket_file_left_by_a_crash_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("countersign.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let address = Address::Unix(path);
        let first = bind(&address).unwrap();
        assert!(bind(&address).is_err());
        drop(first);
    }
}
