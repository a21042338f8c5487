//! WebSockets, from the handshake to the last byte, without Pingora.
//!
//! The handshake is judged and cleaned like any request, sent to the backend over a
//! connection of its own, and its answer passed back. After a 101 bytes are relayed both
//! ways for as long as both sides like: no time-out but `timeouts.websocket_idle`, and no
//! race between the backend's 101 and our own bookkeeping. Bytes that a client sends
//! before the 101 wait for it; if it does not come they are dropped with the connection.
//!
//! Frames are followed, not read: whoever ends a WebSocket from outside (a shutdown, a ban,
//! the proof's end) puts a Close frame between two of them.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::protocols::Stream;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::frames::{close_from_client, close_from_server};
use super::hooks::Gate;
use super::journey::{Journey, Step, Trace};
use super::relay::Lane;
use super::subprotocol::Offer;
use super::wire::{self, Answer};
use crate::drain::Phase;
use crate::gate::contract::SiteHeaders;
use crate::gate::{Body, Edits, Fault, Peer, RequestView};
use crate::live::{End, Handle, Kind};
use crate::plan::ErrorStyle;
use crate::proxy::head::Handshake;
use crate::telemetry::{self, CloseReason, UpstreamError};
use crate::upstream::{self, ConnectError, Line, Picked};

/// After one side has closed, the other has this long to do the same.
const HALF_OPEN: Duration = Duration::from_secs(10);
/// How long a shutdown waits for the ends of frames before it cuts.
const FRAME_END: Duration = Duration::from_millis(500);
/// The same where somebody has lost the right to be heard.
const FRAME_END_AT_ONCE: Duration = Duration::from_millis(250);
/// WebSocket close codes (RFC 6455 §7.4.1, IANA registry).
const GOING_AWAY: u16 = 1001;
const SERVICE_RESTART: u16 = 1012;

/// Fields that concern one connection only (RFC 9110 §7.6.1); `Upgrade` and `Connection`
/// are written anew. Not all that is HTTP's own (`gate::of_http`), and exact: another spelling
/// concerns nobody's connection.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
];

/// The client's side of a handshake.
pub struct Client {
    /// The connection.
    pub stream: Stream,
    /// Its other end.
    pub peer: Peer,
    /// The port it arrived at.
    pub local_port: Option<u16>,
    /// What the client sent after the handshake's head.
    pub early: BytesMut,
}

/// Serves one handshake and the WebSocket that comes of it.
pub async fn serve(gate: &Gate, client: Client, handshake: Handshake) {
    let mut journey = gate.journey();
    let view = RequestView {
        method: &Method::GET,
        target: &handshake.target,
        authority: handshake.authority.as_deref(),
        headers: &handshake.headers,
        peer: client.peer,
        tls: client.stream.get_ssl_digest().is_some(),
        local_port: client.local_port,
        upgrade: true,
        request_id: "",
        body: Body::Unseen,
    };
    let path = handshake.target.split('?').next().unwrap_or_default().to_owned();
    let trace = |status| Trace {
        method: "GET",
        path: &path,
        protocol: "HTTP/1.1",
        status,
        kind: telemetry::Kind::Upgrade,
    };
    if let Step::Answer(reply) = gate.judge(&mut journey, &view).await {
        if let Some(farewell) = journey.farewell() {
            journey.record(&trace(StatusCode::SWITCHING_PROTOCOLS.as_u16()));
            return farewell.say(client.stream, journey.request_id()).await;
        }
        journey.record(&trace(reply.status));
        return wire::answer_and_close(client.stream, &reply).await;
    }
    let asked = ask_backend(gate, &mut journey, handshake).await;
    let ((picked, mut backend), mut answer, read) = match asked {
        Ok(answered) => answered,
        Err((fault, detail)) => {
            let reply = journey.fault(fault, detail);
            journey.record(&trace(reply.status));
            return wire::answer_and_close(client.stream, &reply).await;
        }
    };
    let switched = answer.status == StatusCode::SWITCHING_PROTOCOLS;
    clean_answer(&mut answer, &journey, switched);
    let status = answer.status.as_u16();
    if let Some(cookie) = journey.answered(status, &answer.headers, gate) {
        answer.headers.append(header::SET_COOKIE, cookie);
    }
    let idle = journey.generation().and_then(|generation| generation.plan.timeouts.websocket_idle);
    let patience =
        journey.generation().map_or(HALF_OPEN, |generation| generation.plan.timeouts.response);
    let spread =
        journey.generation().map_or(Duration::ZERO, |generation| generation.plan.drain.spread);
    let limits = journey.site_in_force().map(|site| site.remembers.live);
    let facts = journey.facts(Kind::WebSocket, &Method::GET, &path);
    journey.release();
    let Client { mut stream, early, .. } = client;
    let sent = async {
        stream.write_all(&wire::answer_head(&answer)).await?;
        stream.flush().await
    };
    if sent.await.is_err() {
        journey.record(&trace(499));
        return;
    }
    journey.record(&trace(answer.status.as_u16()));
    if !switched {
        let passed = wire::pass_body(&answer, read, &mut backend, &mut stream, patience).await;
        if passed.is_ok() {
            wire::close_lingering(stream).await;
        }
        return;
    }
    // Without a decision there is nothing to relay.
    let Some((facts, limits)) = facts.zip(limits) else { return };
    let listed = gate.list(facts, limits.max_connections_per_identity);
    let mut live = journey.meters().live();
    let request_id = journey.request_id().to_owned();
    // What an idle WebSocket holds from here on is small and named.
    drop(journey);
    drop(answer);
    let tunnel = Tunnel {
        client: stream,
        backend,
        upward: Lane::starting_with(&early),
        downward: Lane::starting_with(&read),
        upward_first: true,
        idle,
        active: Instant::now(),
        first_end: None,
        _picked: picked,
    };
    drop((early, read, path));
    let end = tunnel.run(gate, &listed, spread, &request_id).await;
    live.ended(end);
}

type Asked = ((Picked, Line), Answer, BytesMut);

/// Connects, sends the cleaned handshake and reads the answer's head.
async fn ask_backend(
    gate: &Gate,
    journey: &mut Journey,
    handshake: Handshake,
) -> Result<Asked, (Fault, &'static str)> {
    let unreachable = (Fault::UpstreamUnavailable, "the chat backend cannot be reached");
    let late = (Fault::UpstreamTimeout, "the chat backend did not answer in time");
    let Some(generation) = journey.generation().cloned() else { return Err(unreachable) };
    let timeouts = generation.plan.timeouts;
    let pool = journey.site().and_then(|site| gate.upstreams().pool(&generation.plan, site));
    let pool = pool.ok_or(unreachable)?;
    let connected = async {
        // Each known address gets a try.
        let mut failure = UpstreamError::Dns;
        let turn = pool.turn();
        let mut tried = Vec::new();
        for _ in 0..pool.len().clamp(1, 3) {
            let Some(picked) = pool.pick(turn, &tried, timeouts.connect).await else { break };
            tried.push(picked.endpoint.clone());
            failure = match upstream::connect(&picked.endpoint, timeouts.connect).await {
                Ok(backend) => return Ok((picked, backend)),
                Err(ConnectError::Refused(_)) => UpstreamError::Connect,
                Err(ConnectError::Tls(_)) => UpstreamError::Tls,
                Err(ConnectError::Timeout) => UpstreamError::Timeout,
            };
        }
        Err(failure)
    };
    let (picked, mut backend) = match connected.await {
        Ok(connected) => connected,
        Err(failure) => {
            journey.upstream_failed(failure);
            let timed_out = failure == UpstreamError::Timeout;
            return Err(if timed_out { late } else { unreachable });
        }
    };
    journey.crossing.endpoint = Some(picked.endpoint.clone());
    let Some(forward) = journey.forward() else { return Err(unreachable) };
    let site = (journey.site_headers(), journey.upstream_host());
    let (head, offer) = handshake_head(handshake, &forward.edits, site);
    let mut buffer = BytesMut::new();
    let exchange = async {
        backend.write_all(&head).await?;
        backend.flush().await?;
        wire::read_answer(&mut backend, &mut buffer).await
    };
    let mut answer = match timeout(timeouts.response, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            journey.upstream_failed(UpstreamError::Protocol);
            return Err((Fault::UpstreamUnavailable, "the chat backend's answer is not HTTP"));
        }
        Ok(Err(_)) => {
            journey.upstream_failed(UpstreamError::Reset);
            return Err((Fault::UpstreamUnavailable, "the chat backend closed the connection"));
        }
        Err(_) => {
            journey.upstream_failed(UpstreamError::Timeout);
            return Err(late);
        }
    };
    let switched = answer.status == StatusCode::SWITCHING_PROTOCOLS;
    let to_websocket = answer
        .headers
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if switched && !to_websocket {
        journey.upstream_failed(UpstreamError::Protocol);
        return Err((Fault::UpstreamUnavailable, "the chat backend switched to another protocol"));
    }
    if switched && offer.settle(&mut answer.headers).is_err() {
        journey.upstream_failed(UpstreamError::Protocol);
        let detail = "the chat backend selected a subprotocol that the client did not offer";
        return Err((Fault::UpstreamUnavailable, detail));
    }
    Ok(((picked, backend), answer, buffer))
}

/// The handshake as the backend gets it: hop-by-hop fields dropped first, then the gate's
/// edits, so that naming a trusted header in `Connection` takes nothing away. Besides, what
/// the client offered to speak.
fn handshake_head(
    handshake: Handshake,
    edits: &Edits,
    (site, host): (Option<&SiteHeaders>, Option<&str>),
) -> (BytesMut, Offer) {
    let Handshake { target, authority, mut headers } = handshake;
    let mut offer = Offer::of(&headers);
    drop_hop_by_hop(&mut headers);
    edits.apply(&mut headers);
    offer.leave(&headers);
    let host = host.or(authority.as_deref()).and_then(|host| HeaderValue::from_str(host).ok());
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let target = edits.target.as_deref().unwrap_or(&target);
    (wire::request_head("GET", target, &headers, site), offer)
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // Nobody may take the host or the handshake's own fields away.
        .filter(|name| *name != header::HOST && !name.as_str().starts_with("sec-websocket-"))
        .collect();
    for name in nominated.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The answer as the client gets it.
fn clean_answer(answer: &mut Answer, journey: &Journey, switched: bool) {
    let reserved: Vec<HeaderName> =
        answer.headers.keys().filter(|name| journey.owns(name)).cloned().collect();
    for name in &reserved {
        answer.headers.remove(name);
    }
    if let Ok(id) = HeaderValue::from_str(journey.request_id()) {
        answer.headers.insert(HeaderName::from_static("countersign-request-id"), id);
    }
    if let Some(ancestors) = journey.frame_ancestors().filter(|_| !switched) {
        let policy = ancestors.policy(&answer.headers);
        answer.headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        answer.headers.remove(header::X_FRAME_OPTIONS);
    }
    // No body, no length (RFC 9110 §8.6); of two, chunks count (RFC 9112 §6.3).
    if switched || answer.headers.contains_key(header::TRANSFER_ENCODING) {
        answer.headers.remove(header::CONTENT_LENGTH);
    }
    if switched {
        answer.headers.remove(header::TRANSFER_ENCODING);
    }
    answer.headers.remove("keep-alive");
    let connection = if switched { "Upgrade" } else { "close" };
    answer.headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
}

/// An open WebSocket.
struct Tunnel {
    client: Stream,
    backend: Line,
    /// Client to backend.
    upward: Lane,
    /// Backend to client.
    downward: Lane,
    /// Which one is moved first, in turn: one that never pauses must not starve the other.
    upward_first: bool,
    idle: Option<Duration>,
    /// When a byte last went by, or one side closed.
    active: Instant,
    /// Which side closed first.
    first_end: Option<CloseReason>,
    /// Counts it among what the backend is busy with.
    _picked: Picked,
}

type Lap = Poll<std::io::Result<()>>;

/// Why relaying paused.
enum Relayed {
    /// It is over.
    Done(CloseReason),
    /// One side has closed; the other may still have something to say.
    HalfClosed,
}

impl Tunnel {
    /// Relays until both sides have closed, one breaks, nothing goes by for too long, or it
    /// is ended from outside.
    async fn run(
        mut self,
        gate: &Gate,
        listed: &Handle,
        spread: Duration,
        request_id: &str,
    ) -> CloseReason {
        let asked_to_end = async {
            gate.drain().reached(Phase::Closing).await;
            tokio::time::sleep(share_of(spread, request_id)).await;
        };
        let ended = listed.ended();
        tokio::pin!(asked_to_end, ended);
        let goodbye = loop {
            let patience = self.first_end.map(|_| HALF_OPEN).or(self.idle);
            let deadline = patience.map(|patience| self.active + patience);
            tokio::select! {
                biased;
                // First, because relaying may use up all the time a task has.
                end = &mut ended => break Goodbye::of(end, gate.current().guard().plan.errors),
                () = &mut asked_to_end => break Goodbye::RESTART,
                relayed = poll_fn(|context| self.poll_relay(context)) => match relayed {
                    Relayed::Done(end) => return end,
                    Relayed::HalfClosed => {}
                },
                () = wait_until(deadline) => {
                    let patience = patience.unwrap_or_default();
                    if self.active.elapsed() >= patience {
                        return self.first_end.unwrap_or(CloseReason::Idle);
                    }
                }
            }
        };
        self.say(&goodbye).await;
        goodbye.reason
    }

    fn poll_relay(&mut self, context: &mut Context<'_>) -> Poll<Relayed> {
        let before = self.upward.passed + self.downward.passed;
        let (up, down) = self.poll_lanes(context);
        if self.upward.passed + self.downward.passed != before {
            self.active = Instant::now();
        }
        let ended = match (up, down) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => {
                return Poll::Ready(Relayed::Done(self.first_end.unwrap_or(CloseReason::Aborted)));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                return Poll::Ready(Relayed::Done(self.first_end.unwrap_or(CloseReason::Client)));
            }
            (Poll::Ready(Ok(())), Poll::Pending) => CloseReason::Client,
            (Poll::Pending, Poll::Ready(Ok(()))) => CloseReason::Backend,
            (Poll::Pending, Poll::Pending) => return Poll::Pending,
        };
        if self.first_end.is_some() {
            return Poll::Pending;
        }
        self.first_end = Some(ended);
        self.active = Instant::now();
        Poll::Ready(Relayed::HalfClosed)
    }

    fn poll_lanes(&mut self, context: &mut Context<'_>) -> (Lap, Lap) {
        let Self { client, backend, upward, downward, .. } = self;
        self.upward_first = !self.upward_first;
        if self.upward_first {
            let up = upward.poll(context, client, backend);
            (up, downward.poll(context, backend, client))
        } else {
            let down = downward.poll(context, backend, client);
            (upward.poll(context, client, backend), down)
        }
    }

    /// A Close frame to each side, between two frames; in the middle of one, a cut. The
    /// backend hears that its client goes away, as browsers put it when they leave a page:
    /// 1000 would be the chat's own end, which it is not.
    async fn say(mut self, goodbye: &Goodbye) {
        self.downward.say_goodbye(close_from_server(goodbye.code, goodbye.text));
        self.upward.say_goodbye(close_from_client(GOING_AWAY, "going away"));
        let said = poll_fn(|context| {
            let (up, down) = self.poll_lanes(context);
            if up.is_ready() && down.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        });
        let said = timeout(goodbye.patience, said).await.is_ok();
        let Self { client, backend, downward, .. } = self;
        let backend = said.then_some(backend);
        // What the client still sends must not reset what it has been told.
        if downward.is_closed() {
            wire::close_lingering(client).await;
        }
        drop(backend);
    }
}

/// How a WebSocket is ended from outside.
struct Goodbye {
    reason: CloseReason,
    code: u16,
    text: &'static str,
    patience: Duration,
}

impl Goodbye {
    const RESTART: Self = Self {
        reason: CloseReason::Drain,
        code: SERVICE_RESTART,
        text: "service restart",
        patience: FRAME_END,
    };

    fn of(end: End, style: ErrorStyle) -> Self {
        let text = match style {
            ErrorStyle::Helpful => end.text,
            ErrorStyle::Terse => "",
        };
        Self { reason: end.reason, code: end.code, text, patience: FRAME_END_AT_ONCE }
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A connection's share of the time over which a shutdown spreads the goodbyes.
fn share_of(spread: Duration, request_id: &str) -> Duration {
    let hash = request_id
        .bytes()
        .fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    spread.mul_f64(f64::from(hash % 1000) / 1000.0)
}
