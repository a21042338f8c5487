//! The gate as hooks into Pingora's phases. Our own [`Proxy`](super::Proxy) calls exactly
//! these, and so may anybody's `ProxyHttp`.
//!
//! Identity headers are written in the phase right before the wire, after Pingora has
//! dropped hop-by-hop fields, so that a client cannot have them removed by naming them in
//! `Connection`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{COOKIE, EXPECT};
use http::{HeaderName, Version};
use pingora::ErrorType::{
    ConnectProxyFailure, ConnectTimedout, ConnectionClosed, HTTPStatus, InvalidHTTPHeader,
    ReadError, ReadTimedout, WriteError, WriteTimedout,
};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::proxy::{FailToProxy, Session};
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::ends::peer;
use super::journey::{Journey, Step, Trace};
use super::lease::{Lender, Way};
use super::passage::Passage;
use super::spelling::{spelled, spelled_for};
use super::{details, head, key_set, wire};
use crate::details::Details;
use crate::drain::{Drain, Phase};
use crate::gate::contract::SiteHeaders;
use crate::gate::{self, Body, Edits, Fault, Peer, Refusal, RequestView};
use crate::jwks;
use crate::live::Registry;
use crate::pace::Pace;
use crate::refusal::Reply;
use crate::reload::Current;
use crate::store::Store;
use crate::telemetry::{Kind, Seldom, Traces, UpstreamError};
use crate::upstream::{Endpoint, Upstreams};
use crate::webhook::Webhooks;

/// A name could not be resolved: our own kind of connect error.
const UNRESOLVED: ErrorType = ErrorType::new("Unresolved");

/// How often another backend address is tried when one does not accept a connection.
const MOST_ATTEMPTS: usize = 3;

/// The gate's hooks. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
    traces: Traces,
}

struct Shared {
    current: Arc<Current>,
    upstreams: Upstreams,
    drain: Arc<Drain>,
    store: Arc<Store>,
    webhooks: Arc<Webhooks>,
    live: Arc<Registry>,
    pace: Pace,
    details: Details,
    /// Forwarding headers of an untrusted peer were dropped.
    distrusted: Seldom,
}

impl Gate {
    /// Hooks that judge by `current`, forward to `upstreams`, and tell clients to leave
    /// once `drain` has begun. What visitors bring about is remembered in `store`, what
    /// stays open is listed in `live`, and whoever is subscribed in `webhooks` hears of
    /// chats that begin.
    pub fn new(
        current: Arc<Current>,
        upstreams: Upstreams,
        drain: Arc<Drain>,
        store: Arc<Store>,
        webhooks: Arc<Webhooks>,
        live: Arc<Registry>,
    ) -> Self {
        let pace = Pace::default();
        let details = Details::new(store.clone(), webhooks.clone());
        let shared = Shared {
            current,
            upstreams,
            drain,
            store,
            webhooks,
            live,
            pace,
            details,
            distrusted: Seldom::default(),
        };
        Self { shared: Arc::new(shared), traces: Traces::default() }
    }

    /// The same, with a span for each request.
    pub fn traced(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Where spans go.
    pub(super) fn traces(&self) -> &Traces {
        &self.traces
    }

    /// What is remembered.
    pub fn store(&self) -> &Arc<Store> {
        &self.shared.store
    }

    /// Who hears of chats that begin.
    pub fn webhooks(&self) -> &Arc<Webhooks> {
        &self.shared.webhooks
    }

    /// The configuration in force.
    pub fn current(&self) -> &Arc<Current> {
        &self.shared.current
    }

    /// The backends.
    pub fn upstreams(&self) -> &Upstreams {
        &self.shared.upstreams
    }

    /// The shutdown.
    pub fn drain(&self) -> &Arc<Drain> {
        &self.shared.drain
    }

    /// The live connections.
    pub fn live(&self) -> &Arc<Registry> {
        &self.shared.live
    }

    /// How often the widget's own endpoints may be called.
    pub(super) fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    /// What takes details of visitors.
    pub(super) fn details(&self) -> &Details {
        &self.shared.details
    }

    /// The context of a new request.
    pub fn journey(&self) -> Journey {
        Journey::begin(&self.shared.current)
    }

    /// Judges a request; `true` if it has been answered and goes no further.
    ///
    /// # Errors
    /// The client went away while being answered.
    pub async fn request(&self, session: &mut Session, journey: &mut Journey) -> Result<bool> {
        if self.shared.drain.phase() > Phase::Serving {
            session.set_keepalive(None);
        }
        let own = match self.unfit(session.req_header(), journey) {
            Some(refusal) => Some(journey.refuse_head(ends(session).0, &refusal)),
            None => match key_set::answer(session, journey) {
                Some(reply) => Some(reply),
                None => details::answer(self, session, journey).await,
            },
        };
        let step = match own {
            Some(reply) => Step::Answer(reply),
            None => {
                let mut body = std::mem::take(&mut journey.body);
                if !session.as_mut().is_body_empty() {
                    self.receive(session, journey, &mut body).await;
                }
                let step = self.judge(journey, &view(session, body.seen())).await;
                body.becomes(journey.take_new_body());
                journey.body = body;
                step
            }
        };
        match step {
            Step::Forward => Ok(false),
            Step::Answer(reply) => {
                answer(session, &reply).await?;
                Ok(true)
            }
        }
    }

    /// Reads of the body what must be known before the request can be judged.
    async fn receive(&self, session: &mut Session, journey: &Journey, body: &mut Passage) {
        let Some(generation) = journey.generation() else { return };
        let plan = &generation.plan;
        if let Some(wanted) = gate::wanted(plan, &view(session, Body::Unseen)) {
            body.receive(session, wanted, plan.timeouts.body).await;
        }
    }

    /// HTTP/2 heads have not been through [`head`].
    fn unfit(&self, request: &RequestHeader, journey: &Journey) -> Option<Refusal> {
        let limits = journey.generation()?.plan.limits;
        if request.version != Version::HTTP_2 {
            return None;
        }
        let fields = request.headers.iter();
        let size: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if size + request.raw_path().len() > limits.head || request.headers.len() > limits.headers {
            let detail = "the request's head is larger than this gateway accepts";
            return Some(Refusal::fault(Fault::HeadersTooLarge, detail));
        }
        head::examine_line(request.method.as_str(), request.raw_path()).err()
    }

    /// Judges, once more where a key or a session had to be fetched first, and says once a
    /// minute when forwarding headers were not believed.
    pub(crate) async fn judge(&self, journey: &mut Journey, view: &RequestView<'_>) -> Step {
        let begun = Instant::now();
        let store = &*self.shared.store;
        let mut step = journey.judge(view, self, false);
        if !journey.lacks_key().is_empty()
            && jwks::freshen(journey.lacks_key(), begun, self.shared.current.metrics()).await
        {
            step = journey.judge(view, self, false);
        }
        if store.is_shared()
            && let Some((site, sessions)) = journey.unknown_sessions().cloned()
        {
            let finds = sessions.iter().map(|session| store.find_session(&site, *session));
            let found = futures_util::future::join_all(finds).await;
            if found.contains(&true) {
                step = journey.judge(view, self, false);
            }
        }
        if journey.waits() {
            step = journey.judge(view, self, true);
        }
        if journey.distrusted() && self.shared.distrusted.happened(Instant::now()).is_some() {
            tracing::warn!(
                peer = ?view.peer,
                "forwarding headers (X-Forwarded-For, …) of a peer that is not in \
                 `trusted_proxies` were replaced; list your load balancer there"
            );
        }
        self.prolong(journey);
        step
    }

    /// Answers a head that nobody else gets to see, counts it and ends the connection.
    pub async fn refuse_head(&self, stream: Stream, peer: Peer, refusal: &Refusal) {
        let mut journey = self.journey();
        let reply = journey.refuse_head(peer, refusal);
        self.end_unread(stream, &journey, &reply).await;
    }

    /// Answers a head that has begun and did not end in time.
    pub async fn give_up_head(&self, stream: Stream, peer: Peer) {
        let mut journey = self.journey();
        let reply = journey.give_up_head(peer);
        self.end_unread(stream, &journey, &reply).await;
    }

    async fn end_unread(&self, stream: Stream, journey: &Journey, reply: &Reply) {
        journey.record(&Trace {
            method: "",
            path: "",
            protocol: "HTTP/1.1",
            status: reply.status,
            kind: Kind::Request,
        });
        wire::answer_and_close(stream, reply).await;
    }

    /// Where the request goes.
    ///
    /// # Errors
    /// The backend's name does not resolve.
    pub async fn peer(&self, journey: &mut Journey) -> Result<Box<HttpPeer>> {
        let Some(generation) = journey.generation().cloned() else {
            return Error::e_explain(ErrorType::InternalError, "no plan");
        };
        let plan = &generation.plan;
        let pool = journey.site().and_then(|site| self.shared.upstreams.pool(plan, site));
        let timeouts = &plan.timeouts;
        let picked = match &pool {
            Some(pool) => {
                let turn = *journey.crossing.turn.get_or_insert_with(|| pool.turn());
                pool.pick(turn, &journey.crossing.tried, timeouts.connect).await
            }
            None => None,
        };
        let Some(picked) = picked else {
            let mut error = Error::explain(UNRESOLVED, "the backend's name does not resolve");
            error.as_up();
            return Err(error);
        };
        if journey.crossing.is_cut() {
            return Error::e_explain(ErrorType::ConnectionClosed, "cut");
        }
        // TLS is none of Pingora's business: what it gets is a plain stream.
        let endpoint = picked.endpoint.clone();
        let mut peer = match &endpoint {
            Endpoint::Tcp(address) | Endpoint::Tls(address, _) => {
                HttpPeer::new(*address, false, String::new())
            }
            Endpoint::Unix(path) => {
                HttpPeer::new_uds(&path.to_string_lossy(), false, String::new())?
            }
        };
        // One that broke off was closed while idle, and so may be its like.
        let used_will_do = !journey.crossing.is_reused();
        let way = Arc::new(Way::new(
            self.shared.upstreams.clone(),
            picked,
            (timeouts.connect, timeouts.upstream_idle),
            used_will_do,
            journey.crossing.cutter.get_or_insert_default().clone(),
        ));
        let options = &mut peer.options;
        options.custom_l4 = Some(Arc::new(Lender(way.clone())));
        options.read_timeout = Some(timeouts.response);
        options.write_timeout = Some(timeouts.response);
        // Handshakes never come this way; any other upgrade is not for a chat backend.
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        journey.crossing.way = Some(way);
        journey.crossing.endpoint = Some(endpoint);
        Ok(Box::new(peer))
    }

    /// Lets another address have a try while there is one.
    pub fn connect_failed(&self, journey: &mut Journey, mut error: Box<Error>) -> Box<Error> {
        journey.crossing.tried.extend(journey.crossing.endpoint.clone());
        let known = journey
            .generation()
            .zip(journey.site())
            .and_then(|(generation, site)| self.shared.upstreams.pool(&generation.plan, site))
            .map_or(0, |pool| pool.len());
        error.set_retry(
            journey.crossing.tried.len() < known.min(MOST_ATTEMPTS) && !journey.crossing.is_cut(),
        );
        error
    }

    /// Lets a request that the backend cannot have acted on have another try, over a new
    /// connection, where the one that broke was a used one: the backend may have closed it
    /// just when the request was sent.
    pub fn broke_off(
        &self,
        session: &mut Session,
        journey: &Journey,
        mut error: Box<Error>,
    ) -> Box<Error> {
        let repeatable = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated()
            && !journey.crossing.is_cut();
        if repeatable {
            error.retry.decide_reuse(journey.crossing.is_reused());
        } else {
            error.set_retry(false);
        }
        error
    }

    /// Writes the trusted headers: the last thing before the wire. Safe to repeat.
    ///
    /// # Errors
    /// There is no decision: then nothing may reach the backend.
    pub fn upstream_request(
        &self,
        upstream: &mut RequestHeader,
        journey: &mut Journey,
    ) -> Result<()> {
        let begun = Instant::now();
        let Some(forward) = journey.forward() else {
            return Error::e_explain(ErrorType::InternalError, "no decision");
        };
        apply(&forward.edits, journey.site_headers(), upstream)?;
        join_cookies(upstream)?;
        if let Some(host) = journey.upstream_host() {
            upstream.insert_header("Host", host)?;
        }
        if journey.body.is_read() {
            upstream.remove_header(&EXPECT);
        }
        journey.body.rewind();
        journey.spend(begun);
        Ok(())
    }

    /// Passes a piece of the body on, as the judgement left it.
    ///
    /// # Errors
    /// It cannot be read as what it says it is (400).
    pub fn body(&self, body: &mut Option<Bytes>, end: bool, journey: &mut Journey) -> Result<()> {
        journey.body.pass(body, end)
    }

    /// Cleans the backend's answer and lets go of the Plan.
    ///
    /// # Errors
    /// None in practice: the request id is always a valid header value.
    pub fn response(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        journey: &mut Journey,
    ) -> Result<()> {
        let reserved: Vec<HeaderName> =
            response.headers.keys().filter(|name| journey.owns(name)).cloned().collect();
        for name in &reserved {
            response.remove_header(name);
        }
        response.insert_header("Countersign-Request-Id", journey.request_id())?;
        if let Some(ancestors) = journey.frame_ancestors()
            && !response.status.is_informational()
        {
            let policy = ancestors.policy(&response.headers);
            response.insert_header("Content-Security-Policy", policy)?;
            response.remove_header("X-Frame-Options");
        }
        if !response.status.is_informational() {
            let status = response.status.as_u16();
            if let Some(cookie) = journey.answered(status, &response.headers, self) {
                response.append_header("Set-Cookie", cookie)?;
                // A cache that replays it would make one visitor of all.
                if !is_private(&response.headers) {
                    response.insert_header("Cache-Control", "private")?;
                }
            }
            let request = session.req_header();
            let place = (&request.method, path_of(request));
            self.answer_begins(journey, place, (response.status, &response.headers));
            journey.release();
        }
        if self.shared.drain.phase() > Phase::Serving {
            session.set_keepalive(None);
        }
        Ok(())
    }

    /// A part of the answer's body goes by: it may bring a session's token. Says how long
    /// it is to be held back.
    ///
    /// # Errors
    /// The answer streams, and has been ended.
    pub fn response_body(
        &self,
        body: Option<&Bytes>,
        end: bool,
        journey: &mut Journey,
    ) -> Result<Option<Duration>> {
        let pause = journey.answers(body.map(|part| &part[..]), end, self);
        self.answer_goes_on(end, journey)?;
        Ok(pause)
    }

    /// Answers a request whose way to the backend failed.
    pub async fn failed(
        &self,
        session: &mut Session,
        error: &Error,
        journey: &mut Journey,
    ) -> FailToProxy {
        let fault = classify(error, journey);
        let error_code = match fault {
            Some((fault, detail)) => {
                let reply = journey.fault(fault, detail);
                let _ = write_error(session, &reply).await;
                reply.status
            }
            None => 0,
        };
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// The end: one log line, one count.
    pub fn done(&self, session: &Session, error: Option<&Error>, journey: &Journey) {
        let request = session.req_header();
        let status = match session.response_written() {
            Some(response) => response.status.as_u16(),
            // The client left before there was an answer.
            None => 499,
        };
        if let Some(error) = error {
            tracing::debug!(
                request_id = journey.request_id(),
                kind = error.etype().as_str(),
                "the request ended with an error"
            );
        }
        journey.record(&Trace {
            method: request.method.as_str(),
            path: path_of(request),
            protocol: protocol(request.version),
            status,
            kind: Kind::Request,
        });
        if let Some(end) = journey.presence.end() {
            journey.meters().cut(end.reason);
        }
    }
}

/// What the judgement is told of a request. Its id is chosen there.
pub(super) fn view<'s>(session: &'s Session, body: Body<'s>) -> RequestView<'s> {
    let request = session.req_header();
    let (peer, tls, local_port) = ends(session);
    RequestView {
        method: &request.method,
        target: std::str::from_utf8(request.raw_path()).unwrap_or_default(),
        authority: request.uri.authority().map(http::uri::Authority::as_str),
        headers: &request.headers,
        peer,
        tls,
        local_port,
        upgrade: false,
        request_id: "",
        body,
    }
}

/// Both ends of the connection, from its digest.
fn ends(session: &Session) -> (Peer, bool, Option<u16>) {
    let peer = peer(session.client_addr(), session.server_addr());
    let local_port = match session.server_addr() {
        Some(SocketAddr::Inet(address)) => Some(address.port()),
        _ => None,
    };
    let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    (peer, tls, local_port)
}

/// Whether no shared cache may keep an answer.
fn is_private(headers: &http::HeaderMap) -> bool {
    headers.get_all(http::header::CACHE_CONTROL).iter().any(|value| {
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        value.split(',').any(|word| matches!(word.trim(), "private" | "no-store"))
    })
}

/// The path as sent, without its query.
pub(super) fn path_of(request: &RequestHeader) -> &str {
    let target = std::str::from_utf8(request.raw_path()).unwrap_or_default();
    target.split('?').next().unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn apply(edits: &Edits, site: Option<&SiteHeaders>, upstream: &mut RequestHeader) -> Result<()> {
    for name in &edits.remove {
        upstream.remove_header(name);
    }
    for (name, value) in &edits.set {
        upstream.insert_header(spelled_for(site, name), value)?;
    }
    for (name, value) in &edits.append {
        upstream.append_header(spelled_for(site, name), value)?;
    }
    if let Some(target) = &edits.target {
        upstream.set_raw_path(target.as_bytes())?;
    }
    Ok(())
}

/// HTTP/2 may split `Cookie` into several fields; HTTP/1.1 knows one (RFC 9113 §8.2.3).
fn join_cookies(upstream: &mut RequestHeader) -> Result<()> {
    let mut crumbs = upstream.headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return Ok(());
    }
    let crumbs: Vec<_> = upstream.headers.get_all(COOKIE).iter().map(|c| c.as_bytes()).collect();
    let joined = crumbs.join(&b"; "[..]);
    upstream.insert_header("Cookie", joined)
}

/// Answers before the backend was involved; the connection may be used again.
async fn answer(session: &mut Session, reply: &Reply) -> Result<()> {
    let header = response_header(reply)?;
    let bodiless = session.req_header().method == http::Method::HEAD || reply.body.is_empty();
    session.write_response_header(Box::new(header), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(reply.body.clone()), true).await?;
    }
    Ok(())
}

/// Answers after something broke; the connection ends.
async fn write_error(session: &mut Session, reply: &Reply) -> Result<()> {
    let header = response_header(reply)?;
    session.as_downstream_mut().write_error_response(header, reply.body.clone()).await
}

fn response_header(reply: &Reply) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(reply.status, Some(reply.headers.len()))?;
    for (name, value) in &reply.headers {
        header.append_header(spelled(name), value)?;
    }
    Ok(header)
}

/// What an error means for the client; `None`: there is nobody left to tell.
fn classify(error: &Error, journey: &mut Journey) -> Option<(Fault, &'static str)> {
    if journey.presence.end().is_some() || journey.crossing.is_cut() {
        // Its head has been sent, and whoever ended it has said why; here it just ends.
        return None;
    }
    let unreachable = "the chat backend cannot be reached";
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(400)) | (ErrorSource::Downstream, InvalidHTTPHeader) => {
            Some((Fault::BadRequest, "the request is malformed"))
        }
        (ErrorSource::Downstream, ReadTimedout) => {
            Some((Fault::BodyTimeout, "the request body did not arrive in time"))
        }
        (ErrorSource::Downstream, ReadError) if misframed(error) => {
            Some((Fault::BadRequest, "the request's body is not well-formed chunks"))
        }
        (ErrorSource::Downstream, ReadError | WriteError | ConnectionClosed | WriteTimedout) => {
            None
        }
        (ErrorSource::Downstream, _) => Some((Fault::BadRequest, "the request is malformed")),
        // A body over HTTP/2 knows no time-out of its own: the backend only waited for it.
        (ErrorSource::Upstream, ReadTimedout) if !journey.body.whole => {
            Some((Fault::BodyTimeout, "the request body did not arrive in time"))
        }
        (_, etype) => {
            let kind = if broke_tls(error) { UpstreamError::Tls } else { upstream_error(etype) };
            journey.upstream_failed(kind);
            Some(match kind {
                UpstreamError::Timeout => {
                    (Fault::UpstreamTimeout, "the chat backend did not answer in time")
                }
                UpstreamError::Protocol => {
                    (Fault::UpstreamUnavailable, "the chat backend's answer is not HTTP")
                }
                UpstreamError::Reset => {
                    (Fault::UpstreamUnavailable, "the chat backend closed the connection")
                }
                _ => (Fault::UpstreamUnavailable, unreachable),
            })
        }
    }
}

/// Whether our own reader of chunked bodies has given up, rather than the connection.
fn misframed(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::InvalidData)
}

/// Whether what came from the backend was not what TLS protects: it says so while reading.
fn broke_tls(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    let inner = cause.and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

fn upstream_error(etype: &ErrorType) -> UpstreamError {
    use ErrorType::{
        H1Error, H2Downgrade, H2Error, HandshakeError, InvalidCert, InvalidH2, TLSHandshakeFailure,
        TLSHandshakeTimedout, TLSWantX509Lookup,
    };
    match etype {
        other if *other == UNRESOLVED => UpstreamError::Dns,
        ConnectTimedout | ReadTimedout | WriteTimedout => UpstreamError::Timeout,
        ReadError | WriteError | ConnectionClosed => UpstreamError::Reset,
        TLSWantX509Lookup | TLSHandshakeFailure | TLSHandshakeTimedout | InvalidCert
        | HandshakeError => UpstreamError::Tls,
        InvalidHTTPHeader | H1Error | H2Error | H2Downgrade | InvalidH2 | ConnectProxyFailure => {
            UpstreamError::Protocol
        }
        _ => UpstreamError::Connect,
    }
}
