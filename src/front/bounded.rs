//! A client's connection as Pingora gets to see it: the bytes of one request, and not one
//! more.
//!
//! What comes behind the request stays here until its turn, so a client may pipeline
//! (RFC 9112 §9.3.2), every head is read by our own strict reader, and two readers that
//! disagree about where a body ends cannot make a second request of it.
//!
//! A client that takes not one byte of its answer for a while is let go. When Pingora is
//! done with a connection, it comes back through [`Remains`]: closing one with unread bytes
//! would reset it and take the answer with it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use parking_lot::Mutex;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::chunks::Chunks;
use crate::proxy::head::Framing;

/// Where a connection that ends is left, unless its client has ended it.
#[derive(Clone, Debug, Default)]
pub struct Remains(Arc<Mutex<Option<Stream>>>);

impl Remains {
    /// What was left.
    pub fn take(&self) -> Option<Stream> {
        self.0.lock().take()
    }
}

/// A client's connection, of which one request at a time can be read.
pub struct Bounded {
    stream: Stream,
    /// Received, not yet handed on.
    buffer: BytesMut,
    open: Open,
    patience: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The client has closed, or the connection is broken.
    ended: bool,
    remains: Remains,
}

/// What may be read now.
enum Open {
    Length(u64),
    Chunked(Chunks),
    Everything,
}

impl Open {
    fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::Everything => false,
        }
    }

    /// How many of these bytes may be read.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Length(left) => {
                let mine = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= mine as u64;
                Ok(mine)
            }
            Self::Chunked(chunks) => {
                chunks.take(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
            }
            Self::Everything => Ok(bytes.len()),
        }
    }
}

impl Bounded {
    /// A connection of which nothing can be read yet. A write that makes no progress for
    /// `patience` fails.
    pub fn new(stream: Stream, patience: Duration, remains: Remains) -> Self {
        let (buffer, open) = (BytesMut::new(), Open::Length(0));
        Self { stream, buffer, open, patience, stalled: None, ended: false, remains }
    }

    /// What has been received and is not read yet: the next request.
    pub fn received(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Receives more; 0: the client has closed.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn receive(&mut self) -> io::Result<usize> {
        self.buffer.reserve(2048);
        self.stream.read_buf(&mut self.buffer).await
    }

    /// Takes the head off what was received, and lets the body behind it be read.
    pub fn begin(&mut self, head: usize, framing: Framing) -> BytesMut {
        self.open = match framing {
            Framing::None => Open::Length(0),
            Framing::Length(length) => Open::Length(length),
            Framing::Chunked => Open::Chunked(Chunks::default()),
        };
        let bytes = self.buffer.split_to(head.min(self.buffer.len()));
        if self.buffer.is_empty() {
            // The rest of the allocation belongs to the head now.
            self.buffer = BytesMut::new();
        }
        bytes
    }

    /// Lets everything be read: this is not HTTP/1.
    pub fn unbind(&mut self) {
        self.open = Open::Everything;
    }

    /// Whether the request has been read to its end, so that another may follow.
    pub fn is_over(&self) -> bool {
        self.open.is_over()
    }

    /// The bare connection, and what was received of it.
    pub fn into_parts(mut self) -> (Stream, BytesMut) {
        (self.take_stream(), std::mem::take(&mut self.buffer))
    }

    fn take_stream(&mut self) -> Stream {
        self.ended = true;
        std::mem::replace(&mut self.stream, Box::new(io::Cursor::new(Vec::new())))
    }

    /// Behind the request: waits for the client to close, and keeps what comes instead.
    fn poll_beyond(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.buffer.is_empty() {
            // Its turn comes; nothing wakes a reader before that.
            return Poll::Pending;
        }
        let read = ready!(pin!(self.stream.read_buf(&mut self.buffer)).poll(context));
        match self.noting_the_end(read)? {
            0 => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    fn noting_the_end(&mut self, read: io::Result<usize>) -> io::Result<usize> {
        self.ended |= matches!(read, Ok(0) | Err(_));
        read
    }

    /// Gives up on a client that has long taken nothing.
    fn patient<T>(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &wrote {
            self.stalled = None;
            self.ended |= result.is_err();
            return wrote;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        self.ended = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.open.is_over() {
            return this.poll_beyond(context);
        }
        if !this.buffer.is_empty() {
            let most = this.buffer.len().min(out.remaining());
            let mine = this.open.take(this.buffer.get(..most).unwrap_or_default())?;
            out.put_slice(&this.buffer.split_to(mine));
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(context, out));
        this.noting_the_end(read.map(|()| out.filled().len() - before))?;
        let fresh = out.filled().get(before..).unwrap_or_default();
        let mine = this.open.take(fresh)?;
        this.buffer.extend_from_slice(fresh.get(mine..).unwrap_or_default());
        out.set_filled(before + mine);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patient(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.patient(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.patient(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        if !self.ended {
            let stream = self.take_stream();
            *self.remains.0.lock() = Some(stream);
        }
    }
}

/// What is received may be a token.
impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bounded").finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for Bounded {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

#[async_trait]
impl Peek for Bounded {
    /// Only of what has been received.
    async fn try_peek(&mut self, wanted: &mut [u8]) -> io::Result<bool> {
        match self.buffer.get(..wanted.len()) {
            Some(received) => {
                wanted.copy_from_slice(received);
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

impl UniqueID for Bounded {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Bounded {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Bounded {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Bounded {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Bounded {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, duplex};

    /// A connection on which these bytes have come, all at once.
    async fn with(bytes: &[u8]) -> (Bounded, tokio::io::DuplexStream) {
        let (mut client, server) = duplex(4096);
        client.write_all(bytes).await.unwrap();
        (Bounded::new(Box::new(server), Duration::from_secs(60), Remains::default()), client)
    }

    async fn read(bounded: &mut Bounded) -> Vec<u8> {
        let mut body = Vec::new();
        while !bounded.is_over() {
            assert!(bounded.read_buf(&mut body).await.unwrap() > 0);
        }
        body
    }

    #[tokio::test]
    async fn a_body_is_read_to_its_end_and_the_next_request_stays() {
        for (framing, body) in
            [(Framing::Length(5), "hello"), (Framing::Chunked, "5\r\nhello\r\n0\r\n\r\n")]
        {
            let (mut bounded, _client) = with(format!("HEAD{body}NEXT").as_bytes()).await;
            bounded.receive().await.unwrap();
            assert_eq!(&bounded.begin(4, framing)[..], b"HEAD");
            assert_eq!(read(&mut bounded).await, body.as_bytes());
            assert_eq!(&bounded.received()[..], b"NEXT");
            // The same when the body comes after the head.
            let (mut bounded, mut client) = with(b"HEAD").await;
            bounded.receive().await.unwrap();
            bounded.begin(4, framing);
            client.write_all(format!("{body}NEXT").as_bytes()).await.unwrap();
            assert_eq!(read(&mut bounded).await, body.as_bytes());
            assert_eq!(&bounded.received()[..], b"NEXT");
        }
    }

    #[tokio::test]
    async fn behind_a_request_only_the_clients_end_is_read() {
        let (mut bounded, mut client) = with(b"HEAD").await;
        bounded.receive().await.unwrap();
        bounded.begin(4, Framing::None);
        let mut scratch = [0; 10];
        let waiting = tokio::time::timeout(Duration::from_millis(20), bounded.read(&mut scratch));
        assert!(waiting.await.is_err());
        client.write_all(b"NEXT").await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(20), bounded.read(&mut scratch));
        assert!(waiting.await.is_err());
        assert_eq!(&bounded.received()[..], b"NEXT");
        bounded.received().clear();
        drop(client);
        assert_eq!(bounded.read(&mut scratch).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_its_client_has_not_closed_is_left_behind() {
        for client_closes in [false, true] {
            let (client, server) = duplex(64);
            let remains = Remains::default();
            let stream = Box::new(server);
            let mut bounded = Bounded::new(stream, Duration::from_secs(60), remains.clone());
            if client_closes {
                drop(client);
                assert_eq!(bounded.read(&mut [0; 9]).await.unwrap(), 0);
            }
            drop(bounded);
            assert_eq!(remains.take().is_none(), client_closes);
        }
    }

    #[tokio::test]
    async fn a_broken_chunk_is_an_error_and_no_end() {
        let (mut bounded, _client) = with(b"HEAD5\nhello").await;
        bounded.receive().await.unwrap();
        bounded.begin(4, Framing::Chunked);
        let error = bounded.read(&mut [0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(!bounded.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_let_go_and_a_slow_one_is_not() {
        let (client, server) = duplex(16);
        let mut bounded =
            Bounded::new(Box::new(server), Duration::from_secs(60), Remains::default());
        let begun = tokio::time::Instant::now();
        let error = bounded.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 60);
        drop(client);

        let (mut client, server) = duplex(16);
        let mut bounded =
            Bounded::new(Box::new(server), Duration::from_secs(60), Remains::default());
        let slow = tokio::spawn(async move {
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                let mut scratch = [0; 16];
                client.read_exact(&mut scratch).await.unwrap();
            }
            client
        });
        bounded.write_all(&[0; 96]).await.unwrap();
        slow.await.unwrap();
    }
}
