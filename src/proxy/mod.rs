//! Pingora's side: its phases, each a call into [`Gate`]'s hooks, and the WebSocket
//! [`tunnel`] beside it.

mod crossing;
mod details;
mod ends;
mod farewell;
pub mod frames;
pub mod head;
pub mod hooks;
pub mod journey;
mod key_set;
mod lease;
mod passage;
mod presence;
mod relay;
mod spelling;
mod subprotocol;
pub mod tunnel;
mod verbs;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

pub use ends::peer;
pub use hooks::Gate;
pub use journey::Journey;
pub use wire::{close_lingering, own_answer};

/// Countersign's own Pingora proxy: nothing but the hooks, in Pingora's order.
pub struct Proxy {
    gate: Gate,
}

impl Proxy {
    /// The proxy that calls the hooks of this gate.
    pub fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Journey;

    fn new_ctx(&self) -> Journey {
        self.gate.journey()
    }

    async fn request_filter(&self, session: &mut Session, journey: &mut Journey) -> Result<bool> {
        self.gate.request(session, journey).await
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        journey: &mut Journey,
    ) -> Result<Box<HttpPeer>> {
        self.gate.peer(journey).await
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        journey: &mut Journey,
        error: Box<Error>,
    ) -> Box<Error> {
        self.gate.connect_failed(journey, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        journey: &mut Journey,
        _client_reused: bool,
    ) -> Box<Error> {
        self.gate.broke_off(session, journey, error)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        journey: &mut Journey,
    ) -> Result<()> {
        self.gate.upstream_request(upstream, journey)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        journey: &mut Journey,
    ) -> Result<()> {
        self.gate.body(body, end, journey)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        journey: &mut Journey,
    ) -> Result<()> {
        self.gate.response(session, response, journey)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        journey: &mut Journey,
    ) -> Result<Option<Duration>> {
        self.gate.response_body(body.as_ref(), end, journey)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        journey: &mut Journey,
    ) -> FailToProxy {
        self.gate.failed(session, error, journey).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, journey: &mut Journey) {
        self.gate.done(session, error, journey);
    }

    // Pingora's own lines quote the request with its query, where tokens travel; ours say
    // the same without.
    fn suppress_error_log(&self, _session: &Session, _journey: &Journey, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _journey: &Journey,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, _session: &Session, journey: &Journey) -> String {
        format!("request {}", journey.request_id())
    }
}
