//! A backend connection as Pingora sees it: a plain stream, whatever lies beneath, lent to
//! one request.
//!
//! - Pingora keeps no such stream: its own pool knows connections by their file descriptors,
//!   which these do not show. When it tests whether one could be used again, which is the one
//!   time that it reads without waiting, the connection goes back to [`Idle`] and Pingora is
//!   told that it has ended. Should Pingora ever test in another way, connections would be
//!   closed after one request, and `tests/it/upstream.rs` fails.
//! - So a stream serves one request, and its [`Cutter`] ends that request and no other.
//! - What Pingora takes for a new connection may be a used one that the backend has just
//!   closed: [`Way::is_reused`] says so, for the one retry that is safe.
//!
//! [`Idle`]: crate::upstream::Idle

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

use crate::upstream::{ConnectError, Cutter, Line, Picked, Upstreams, connect};

/// Small writes (a chunk's size, its bytes, its end) leave together; larger ones at once.
const WRITE_BUFFER: usize = 2048;

/// One request's way to its backend.
pub struct Way {
    upstreams: Upstreams,
    picked: Picked,
    /// How long connecting may take.
    patience: Duration,
    /// How long the connection may wait for another request afterwards.
    idle: Duration,
    /// Whether a connection that has served others will do.
    used_will_do: bool,
    reused: AtomicBool,
    cutter: Arc<Cutter>,
}

impl Way {
    /// A way that leads where `picked` says until `cutter` cuts it; over a new connection only,
    /// if `used_will_do` is false.
    pub fn new(
        upstreams: Upstreams,
        picked: Picked,
        (patience, idle): (Duration, Duration),
        used_will_do: bool,
        cutter: Arc<Cutter>,
    ) -> Self {
        let reused = AtomicBool::new(false);
        Self { upstreams, picked, patience, idle, used_will_do, reused, cutter }
    }

    /// Whether the connection had served another request before.
    pub fn is_reused(&self) -> bool {
        self.reused.load(Ordering::Relaxed)
    }

    async fn line(&self) -> Result<BufWriter<Line>> {
        let used = if self.used_will_do {
            self.upstreams.idle().take(&self.picked.endpoint)
        } else {
            None
        };
        if let Some(line) = used {
            self.reused.store(true, Ordering::Relaxed);
            return Ok(line);
        }
        match connect(&self.picked.endpoint, self.patience).await {
            Ok(line) => Ok(BufWriter::with_capacity(WRITE_BUFFER, line)),
            Err(error) => {
                let kind = match error {
                    ConnectError::Timeout => ErrorType::ConnectTimedout,
                    ConnectError::Refused(_) => ErrorType::ConnectError,
                    ConnectError::Tls(_) => ErrorType::TLSHandshakeFailure,
                };
                Err(Error::because(kind, "connecting to the backend", error))
            }
        }
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Way to {}", self.picked.endpoint)
    }
}

/// What Pingora asks for a connection.
#[derive(Clone, Debug)]
pub struct Lender(pub Arc<Way>);

#[async_trait]
impl L4Connect for Lender {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        let line = Some(self.0.line().await?);
        let lease = Lease { line, way: self.0.clone() };
        Ok(VirtualSocketStream::new(Box::new(lease)).into())
    }
}

/// The stream.
#[derive(Debug)]
struct Lease {
    /// None once it has been given back.
    line: Option<BufWriter<Line>>,
    way: Arc<Way>,
}

impl Lease {
    /// Nothing was there to be read. Whoever neither waits for it nor has room for more than
    /// a byte asks whether all has been said.
    fn give_back_if_asked(&mut self, context: &Context<'_>, room: usize) -> bool {
        let cannot_be_woken = context.waker().data().is_null();
        let said = self.line.as_ref().is_some_and(|line| line.buffer().is_empty());
        if !cannot_be_woken || room != 1 || !said {
            return false;
        }
        let way = &self.way;
        if let Some(line) = self.line.take() {
            way.upstreams.idle().keep(&way.picked.endpoint, line, way.idle);
        }
        true
    }

    /// The connection, unless it has been cut.
    fn uncut(&mut self) -> io::Result<&mut BufWriter<Line>> {
        self.way.cutter.check()?;
        self.line.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Lets a cut wake whoever waits.
    fn wait<T>(&self, context: &Context<'_>) -> Poll<io::Result<T>> {
        match self.way.cutter.watch(context.waker()) {
            Ok(()) => Poll::Pending,
            Err(cut) => Poll::Ready(Err(cut)),
        }
    }
}

impl AsyncRead for Lease {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let lease = self.get_mut();
        if lease.line.is_none() {
            return Poll::Ready(Ok(()));
        }
        let line = lease.uncut()?;
        // Nobody waits for an answer to what is still here.
        if !line.buffer().is_empty()
            && let Poll::Ready(Err(error)) = Pin::new(&mut *line).poll_flush(context)
        {
            return Poll::Ready(Err(error));
        }
        if let Poll::Ready(read) = Pin::new(line).poll_read(context, buffer) {
            return Poll::Ready(read);
        }
        if lease.give_back_if_asked(context, buffer.remaining()) {
            return Poll::Ready(Ok(()));
        }
        lease.wait(context)
    }
}

impl AsyncWrite for Lease {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let lease = self.get_mut();
        match Pin::new(lease.uncut()?).poll_write(context, bytes) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => lease.wait(context),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lease = self.get_mut();
        if lease.line.is_none() {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(lease.uncut()?).poll_flush(context) {
            Poll::Ready(flushed) => Poll::Ready(flushed),
            Poll::Pending => lease.wait(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().line.as_mut() {
            Some(line) => Pin::new(line).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl VirtualSocket for Lease {
    /// They were set when it was connected.
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}
