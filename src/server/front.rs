//! The first thing a connection meets: whose protocol is it, is its head complete in time,
//! does it mean one thing only?
//!
//! HTTP/2 with prior knowledge goes to Pingora as it is. HTTP/1.x heads are read here,
//! within `timeouts.head`, examined by [`head`], and handed to Pingora with the bytes
//! already read; WebSocket handshakes go to our own [`tunnel`], which knows neither
//! Pingora's 60 s idle cut nor its early-101 teardown.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::server::HttpSession;
use pingora::proxy::HttpProxy;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use crate::drain::Phase;
use crate::gate::{Fault, Peer, Refusal};
use crate::plan::{Limits, Timeouts};
use crate::proxy::head::{self, Kind};
use crate::proxy::{Gate, Proxy, tunnel};
use crate::server::listen::Accepted;

const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Once the listeners are closed, a connection without a request is given this long.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// What serves the connections of all public listeners.
pub struct Front {
    /// The gate's hooks.
    pub gate: Gate,
    /// Pingora's proxy around the same hooks.
    pub proxy: Arc<HttpProxy<Proxy>>,
}

/// How waiting for a head ended.
enum Arrival {
    /// It is complete: its length.
    Complete(usize),
    /// The client left, never came, or was too slow: there is nobody to answer.
    Gone,
    /// It is larger than the limit.
    TooLarge,
}

impl Front {
    /// Serves one connection to its end.
    pub async fn serve(&self, accepted: Accepted) {
        let Accepted { mut stream, peer, local_port } = accepted;
        let (timeouts, _) = self.settings();
        let deadline = Instant::now() + timeouts.head;
        let mut first = [0; 4];
        if !self.peek(&mut stream, &mut first, deadline).await {
            return;
        }
        if first == HTTP2_PREFACE[..4] {
            let mut preface = [0; 24];
            if self.peek(&mut stream, &mut preface, deadline).await && preface == *HTTP2_PREFACE {
                self.proxy.process_new(stream, &self.gate.drain().pingora()).await;
            }
            return;
        }
        self.serve_http1(stream, peer, local_port, deadline).await;
    }

    fn settings(&self) -> (Timeouts, Limits) {
        let generation = self.gate.current().load();
        (generation.plan.timeouts, generation.plan.limits)
    }

    async fn peek(&self, stream: &mut Stream, bytes: &mut [u8], deadline: Instant) -> bool {
        tokio::select! {
            biased;
            peeked = timeout_at(deadline, stream.try_peek(bytes)) => matches!(peeked, Ok(Ok(true))),
            () = self.last_chance() => false,
        }
    }

    /// A request that is on its way when the listeners close is still answered.
    async fn last_chance(&self) {
        self.gate.drain().reached(Phase::Closing).await;
        tokio::time::sleep(LAST_CHANCE).await;
    }

    async fn serve_http1(
        &self,
        mut stream: Stream,
        peer: Peer,
        local_port: Option<u16>,
        mut deadline: Instant,
    ) {
        let mut buffer = BytesMut::with_capacity(2048);
        loop {
            let (timeouts, limits) = self.settings();
            let arrival = read_head(&mut stream, &mut buffer, limits.head, deadline).await;
            let length = match arrival {
                Arrival::Complete(length) => length,
                Arrival::Gone => return,
                Arrival::TooLarge => {
                    let refusal = Refusal::fault(
                        Fault::HeadersTooLarge,
                        format!("the request head is larger than {} bytes", limits.head),
                    );
                    return self.gate.refuse_head(stream, &refusal).await;
                }
            };
            let examined = head::examine(buffer.get(..length).unwrap_or_default(), limits.headers);
            match examined {
                Err(refusal) => return self.gate.refuse_head(stream, &refusal).await,
                Ok(Kind::Upgrade(handshake)) => {
                    let early = buffer.split_off(length);
                    drop(buffer);
                    let client = tunnel::Client { stream, peer, local_port, early };
                    return tunnel::serve(&self.gate, client, *handshake).await;
                }
                Ok(Kind::Ordinary) => {}
                Ok(Kind::Rewritten(mut bytes)) => {
                    bytes.extend_from_slice(buffer.get(length..).unwrap_or_default());
                    buffer = bytes;
                }
            }
            stream = match self.forward(stream, buffer, &timeouts).await {
                Some(stream) => stream,
                None => return,
            };
            buffer = BytesMut::with_capacity(2048);
            if !self.next_request(&mut stream, &mut buffer, timeouts.idle).await {
                return;
            }
            deadline = Instant::now() + self.settings().0.head;
        }
    }

    /// One ordinary request through Pingora; the stream, if it may carry another.
    async fn forward(
        &self,
        stream: Stream,
        received: BytesMut,
        timeouts: &Timeouts,
    ) -> Option<Stream> {
        let mut session = HttpSession::new(stream);
        session.set_pipelined_prefix(received);
        session.set_read_timeout(Some(timeouts.body));
        let mut session = ServerSession::H1(session);
        session.set_keepalive(Some(timeouts.idle.as_secs().max(1)));
        let reused = self.proxy.process_new_http(session, &self.gate.drain().pingora()).await?;
        Some(reused.consume().0)
    }

    /// Waits for the first bytes of a kept-alive connection's next request.
    async fn next_request(
        &self,
        stream: &mut Stream,
        buffer: &mut BytesMut,
        idle: Duration,
    ) -> bool {
        tokio::select! {
            biased;
            read = tokio::time::timeout(idle, stream.read_buf(buffer)) => {
                matches!(read, Ok(Ok(read)) if read > 0)
            }
            () = self.last_chance() => false,
        }
    }
}

async fn read_head(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    limit: usize,
    deadline: Instant,
) -> Arrival {
    let mut searched = 0;
    loop {
        // RFC 9112 §2.2: empty lines before a request line are to be ignored.
        while matches!(buffer.first(), Some(b'\r' | b'\n')) {
            let _ = buffer.split_to(1);
            searched = 0;
        }
        if let Some(length) = head::end(buffer, searched) {
            return if length > limit { Arrival::TooLarge } else { Arrival::Complete(length) };
        }
        searched = buffer.len().saturating_sub(2);
        if buffer.len() >= limit {
            return Arrival::TooLarge;
        }
        buffer.reserve(2048);
        match timeout_at(deadline, stream.read_buf(buffer)).await {
            Ok(Ok(read)) if read > 0 => {}
            _ => return Arrival::Gone,
        }
    }
}
