//! The first thing a connection meets: whose protocol is it, is its head complete in time,
//! does it mean one thing only?
//!
//! HTTP/2 with prior knowledge goes to Pingora as it is. HTTP/1.x heads are read here,
//! within `timeouts.head`, examined by [`head`], and handed to Pingora with their body and
//! nothing behind it ([`Bounded`]); WebSocket handshakes go to our own [`tunnel`], which
//! knows neither Pingora's 60 s idle cut nor its early-101 teardown, and so never reach the
//! `ProxyHttp` behind this.

mod bounded;
mod chunks;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::{HttpServerApp, HttpServerOptions, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::server::HttpSession;
use pingora::proxy::{HttpProxy, ProxyHttp};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use tokio::time::{Instant, timeout_at};

use self::bounded::{Bounded, Remains};
use crate::drain::Phase;
use crate::gate::{Fault, Peer, Refusal};
use crate::plan::{Limits, Timeouts};
use crate::proxy::head::{self, Framing, Kind};
use crate::proxy::{Gate, close_lingering, peer, tunnel};

const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Once the listeners are closed, a connection without a request is given this long.
const LAST_CHANCE: Duration = Duration::from_millis(500);

/// What serves the connections of public listeners: Countersign's own, around
/// [`Proxy`](crate::proxy::Proxy), or those of a Pingora server around somebody else's.
///
/// As Pingora's [`ServerApp`] it goes into a `pingora::services::listening::Service`, whose
/// listeners may do TLS; what they accept beyond `limits.connections` is closed at once.
pub struct Front<P> {
    gate: Gate,
    proxy: Arc<HttpProxy<P>>,
}

/// An accepted connection.
pub struct Accepted {
    /// The byte stream, with its socket's addresses noted in it.
    pub stream: Stream,
    /// The other end.
    pub peer: Peer,
    /// The port it arrived at.
    pub local_port: Option<u16>,
}

/// How waiting for a head ended.
enum Arrival {
    /// It is complete: its length.
    Complete(usize),
    /// The client left, or never said a word: there is nobody to answer.
    Gone,
    /// It has begun, but did not end in time.
    Late,
    /// It is larger than the limit.
    TooLarge,
}

impl<P> Front<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    /// Hands requests to `proxy`, which calls the hooks of this `gate`; `threads` is how many
    /// serve, for what Pingora keeps by the thread.
    pub fn new(gate: Gate, proxy: P, threads: usize) -> Self {
        let mut conf = ServerConf { threads, ..ServerConf::default() };
        // The gate keeps its own, and lends them.
        conf.upstream_keepalive_pool_size = 0;
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(gate.current().load().plan.timeouts.idle);
        let mut proxy = pingora::proxy::http_proxy(&Arc::new(conf), proxy);
        proxy.server_options = Some(options);
        Self { gate, proxy: Arc::new(proxy) }
    }

    /// The hooks.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Serves one connection to its end.
    pub async fn serve(&self, accepted: Accepted) {
        let Accepted { stream, peer, local_port } = accepted;
        let (timeouts, _) = self.settings();
        let remains = Remains::default();
        let mut client = Box::new(Bounded::new(stream, timeouts.idle, remains.clone()));
        let mut deadline = Instant::now() + timeouts.head;
        if !self.first_bytes(&mut client, deadline).await {
            return;
        }
        if is_http2(&mut client, deadline).await {
            client.unbind();
            self.proxy.process_new(client, &self.gate.drain().pingora()).await;
            return;
        }
        loop {
            let (timeouts, limits) = self.settings();
            let arrival = read_head(&mut client, limits.head, deadline).await;
            let length = match arrival {
                Arrival::Complete(length) => length,
                Arrival::Gone => return,
                Arrival::Late => {
                    return self.gate.give_up_head(client.into_parts().0, peer).await;
                }
                Arrival::TooLarge => {
                    let refusal = Refusal::fault(
                        Fault::HeadersTooLarge,
                        format!("the request head is larger than {} bytes", limits.head),
                    );
                    return self.gate.refuse_head(client.into_parts().0, peer, &refusal).await;
                }
            };
            let head = client.received().get(..length).unwrap_or_default();
            let head = match head::examine(head, limits.headers) {
                Err(refusal) => {
                    return self.gate.refuse_head(client.into_parts().0, peer, &refusal).await;
                }
                Ok(Kind::Upgrade(handshake)) => {
                    client.begin(length, Framing::None);
                    let (stream, early) = client.into_parts();
                    let client = tunnel::Client { stream, peer, local_port, early };
                    return tunnel::serve(&self.gate, client, *handshake).await;
                }
                Ok(Kind::Ordinary(framing)) => client.begin(length, framing),
                Ok(Kind::Rewritten(head, framing)) => {
                    client.begin(length, framing);
                    head
                }
            };
            client = match self.forward(client, head, &timeouts).await {
                Some(client) => client,
                None => {
                    if let Some(stream) = remains.take() {
                        close_lingering(stream).await;
                    }
                    return;
                }
            };
            if !self.first_bytes(&mut client, Instant::now() + timeouts.idle).await {
                return;
            }
            deadline = Instant::now() + self.settings().0.head;
        }
    }

    fn settings(&self) -> (Timeouts, Limits) {
        let generation = self.gate.current().load();
        (generation.plan.timeouts, generation.plan.limits)
    }

    /// Waits for the beginning of a request, unless it is here already.
    async fn first_bytes(&self, client: &mut Bounded, deadline: Instant) -> bool {
        if !client.received().is_empty() {
            return true;
        }
        tokio::select! {
            biased;
            received = timeout_at(deadline, client.receive()) => {
                matches!(received, Ok(Ok(length)) if length > 0)
            }
            () = self.last_chance() => false,
        }
    }

    /// A request that is on its way when the listeners close is still answered.
    async fn last_chance(&self) {
        self.gate.drain().reached(Phase::Closing).await;
        tokio::time::sleep(LAST_CHANCE).await;
    }

    /// One ordinary request through Pingora; the connection, if it may carry another.
    async fn forward(
        &self,
        client: Box<Bounded>,
        head: BytesMut,
        timeouts: &Timeouts,
    ) -> Option<Box<Bounded>> {
        let mut session = HttpSession::new(client);
        session.set_pipelined_prefix(head);
        session.set_read_timeout(Some(timeouts.body));
        let mut session = ServerSession::H1(session);
        session.set_keepalive(Some(timeouts.idle.as_secs().max(1)));
        let reused = self.proxy.process_new_http(session, &self.gate.drain().pingora()).await?;
        let (stream, _) = reused.consume();
        // Pingora may have ended the request before its body did.
        stream.into_any().downcast::<Bounded>().ok().filter(|client| client.is_over())
    }
}

#[async_trait]
impl<P> ServerApp for Front<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    // A shutdown is heard of by the gate, which lets WebSockets say goodbye.
    async fn process_new(self: &Arc<Self>, stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        let drain = self.gate.drain();
        if drain.open_connections() >= self.settings().1.connections {
            return None;
        }
        let open = drain.open();
        self.serve(Accepted::of(stream)).await;
        drop(open);
        None
    }
}

impl Accepted {
    /// A connection that somebody else has accepted.
    fn of(stream: Stream) -> Self {
        let digest = stream.get_socket_digest();
        let client = digest.as_ref().and_then(|digest| digest.peer_addr());
        let server = digest.as_ref().and_then(|digest| digest.local_addr());
        let local_port = server.and_then(|server| server.as_inet()).map(|at| at.port());
        let peer = peer(client, server);
        Self { stream, peer, local_port }
    }
}

/// Whether the connection begins with HTTP/2's preface (RFC 9113 §3.4), all of it.
async fn is_http2(client: &mut Bounded, deadline: Instant) -> bool {
    loop {
        let received: &[u8] = client.received();
        if received.starts_with(HTTP2_PREFACE) {
            return true;
        }
        if !HTTP2_PREFACE.starts_with(received) {
            return false;
        }
        match timeout_at(deadline, client.receive()).await {
            Ok(Ok(received)) if received > 0 => {}
            _ => return false,
        }
    }
}

async fn read_head(client: &mut Bounded, limit: usize, deadline: Instant) -> Arrival {
    let mut searched = 0;
    loop {
        let buffer = client.received();
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
        let begun = !buffer.is_empty();
        match timeout_at(deadline, client.receive()).await {
            Ok(Ok(received)) if received > 0 => {}
            Err(_) if begun => return Arrival::Late,
            _ => return Arrival::Gone,
        }
    }
}
