//! What is remembered of one request, from its head to its last log line.
//!
//! A journey holds its [`Generation`] only until the answer's head has been sent or the
//! upgrade made; from then on it keeps ids and meters, so that a long answer or an idle
//! WebSocket keeps no old Plan alive.

mod judged;
mod record;
mod sequel;
mod unjudged;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderName;

use super::crossing::Crossing;
use super::farewell::Farewell;
use super::hooks::Gate;
use super::passage::Passage;
use super::presence::{Circumstances, Presence};
use crate::gate::contract::{self, SiteHeaders};
use crate::gate::framing::Ancestors;
use crate::gate::origin::Origin;
use crate::gate::{Fault, Forward, NewBody, Peer, Refusal};
use crate::plan::KeySet;
use crate::refusal::{self, Reply};
use crate::reload::{Current, Generation};
use crate::store::Digest;
use crate::telemetry::{Decided, GaugeGuard, SiteMeters, Span, UpstreamError};
use crate::upstream::Cutter;

use self::sequel::Sequel;
pub use record::Trace;

/// The time that replicas get to hear of a new session before its client does: a few round
/// trips to the store.
const HEAD_START: Duration = Duration::from_millis(20);

/// One request's way through Countersign.
pub struct Journey {
    started: Instant,
    own: Duration,
    generation: Option<Arc<Generation>>,
    meters: Arc<SiteMeters>,
    request_id: String,
    pub(super) client: Option<IpAddr>,
    site: Option<usize>,
    origin: Option<String>,
    allowed_origins: Arc<[Origin]>,
    frame_ancestors: Option<Arc<Ancestors>>,
    forward: Option<Box<Forward>>,
    pub(super) decided: Option<Decided>,
    code: Option<&'static str>,
    key: Option<Arc<str>>,
    identity: Option<String>,
    overlooked: Option<crate::dialect::Reason>,
    omitted: Vec<&'static str>,
    stripped: usize,
    distrusted: bool,
    verification: Option<(&'static str, Duration)>,
    /// Its way to the backend.
    pub(super) crossing: Crossing,
    farewell: Option<Farewell>,
    lacks_key: Vec<Arc<KeySet>>,
    /// Sessions that only other replicas may know, and their site.
    unknown_sessions: Option<(Arc<str>, Vec<Digest>)>,
    /// One of our own endpoints has not acted yet.
    waits: bool,
    /// What is to happen once the backend has answered.
    sequel: Option<Box<Sequel>>,
    pub(super) body: Passage,
    pub(super) circumstances: Circumstances,
    pub(super) presence: Presence,
    span: Option<Span>,
    _in_flight: Option<GaugeGuard>,
}

/// What the judgement asks the proxy to do.
pub enum Step {
    /// Send it on.
    Forward,
    /// Answer it with this.
    Answer(Reply),
}

impl Journey {
    /// The beginning, under the configuration in force now.
    pub fn begin(current: &Current) -> Self {
        let generation = current.load();
        Self {
            started: Instant::now(),
            own: Duration::ZERO,
            meters: generation.meters.none.clone(),
            generation: Some(generation),
            request_id: String::new(),
            client: None,
            site: None,
            origin: None,
            allowed_origins: Arc::default(),
            frame_ancestors: None,
            forward: None,
            decided: None,
            code: None,
            key: None,
            identity: None,
            overlooked: None,
            omitted: Vec::new(),
            stripped: 0,
            distrusted: false,
            verification: None,
            crossing: Crossing::default(),
            farewell: None,
            lacks_key: Vec::new(),
            unknown_sessions: None,
            waits: false,
            sequel: None,
            body: Passage::default(),
            circumstances: Circumstances::default(),
            presence: Presence::default(),
            span: None,
            _in_flight: None,
        }
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The configuration the request is judged under, until the answer's head is sent.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        self.generation.as_ref()
    }

    /// The site's meters (those of no site before one is known).
    pub fn meters(&self) -> &Arc<SiteMeters> {
        &self.meters
    }

    /// Position of the request's site in its Plan.
    pub fn site(&self) -> Option<usize> {
        self.site
    }

    /// Whether forwarding headers of an untrusted peer were replaced.
    pub fn distrusted(&self) -> bool {
        self.distrusted
    }

    /// What the backend is to see as `Host` instead of the client's.
    pub fn upstream_host(&self) -> Option<&str> {
        let sites = &self.generation.as_ref()?.plan.sites;
        sites.get(self.site?)?.upstream.host.as_deref()
    }

    /// What the headers of its site are called.
    pub(super) fn site_headers(&self) -> Option<&SiteHeaders> {
        let sites = &self.generation.as_ref()?.plan.sites;
        Some(&sites.get(self.site?)?.headers)
    }

    /// Whether an answer may not bring a header of this name.
    pub(super) fn owns(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        self.site_headers().map_or_else(|| contract::is_reserved(name), |site| site.is_own(name))
    }

    /// The key sets that may change the judgement once they have been fetched anew.
    pub(super) fn lacks_key(&self) -> &[Arc<KeySet>] {
        &self.lacks_key
    }

    /// Who may show the answer in a frame, where the configuration says it.
    pub(super) fn frame_ancestors(&self) -> Option<&Ancestors> {
        self.frame_ancestors.as_deref()
    }

    /// What a refused handshake is told within the WebSocket, where it is.
    pub(super) fn farewell(&mut self) -> Option<Farewell> {
        self.farewell.take()
    }

    /// What ends the request from outside, once it is on its way to the backend: its answer
    /// breaks off (HTTP/1.1: the connection closes, HTTP/2: the stream is reset). None for
    /// what never gets there, and for WebSockets.
    pub fn cutter(&self) -> Option<Arc<Cutter>> {
        self.crossing.cutter.clone()
    }

    /// How the request goes on, if it does.
    pub fn forward(&self) -> Option<&Forward> {
        self.forward.as_deref()
    }

    /// What becomes of the body, to be had once.
    pub fn take_new_body(&mut self) -> NewBody {
        self.forward.as_mut().map(|forward| std::mem::take(&mut forward.body)).unwrap_or_default()
    }

    /// Lets go of the Plan and of everything computed for the request's head.
    pub fn release(&mut self) {
        self.generation = None;
        self.forward = None;
    }

    /// Adds time of our own to what the overhead metric will say.
    pub fn spend(&mut self, since: Instant) {
        self.own += since.elapsed();
    }

    /// Whether one of our own endpoints has yet to act, on a last judgement.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// Sessions that only other replicas may know, and their site.
    pub(super) fn unknown_sessions(&self) -> Option<&(Arc<str>, Vec<Digest>)> {
        self.unknown_sessions.as_ref().filter(|(_, sessions)| !sessions.is_empty())
    }

    /// The answer's head has come; says which cookie it is to set besides its own.
    pub(super) fn answered(
        &mut self,
        status: u16,
        headers: &http::HeaderMap,
        gate: &Gate,
    ) -> Option<http::HeaderValue> {
        self.sequel.as_mut()?.head(status, headers, gate)
    }

    /// A part of the answer's body goes by; says how long it is to be held back. Its end
    /// is, where a session is new: the client's next request may go to another replica, and
    /// should not be there before the session.
    pub(super) fn answers(
        &mut self,
        part: Option<&[u8]>,
        end: bool,
        gate: &Gate,
    ) -> Option<Duration> {
        let is_new = self.sequel.as_mut()?.body(part, end, gate);
        (is_new && gate.store().is_shared()).then_some(HEAD_START)
    }

    /// The answer to a head that could not be read as a request.
    pub fn refuse_head(&mut self, peer: Peer, refusal: &Refusal) -> Reply {
        self.unread(peer);
        self.code = Some(refusal.code());
        self.reply(refusal)
    }

    /// The answer to a head that did not end in time: bare, for no code fits.
    pub fn give_up_head(&mut self, peer: Peer) -> Reply {
        self.unread(peer);
        refusal::bare(408, &self.request_id)
    }

    /// Of a head that could not be read only the connection is known.
    fn unread(&mut self, peer: Peer) {
        self.request_id = uuid::Uuid::now_v7().simple().to_string();
        self.client = match peer {
            Peer::Ip(ip) => Some(ip),
            Peer::Unix => None,
        };
    }

    /// The answer to a fault, noted for the log.
    pub fn fault(&mut self, fault: Fault, detail: &'static str) -> Reply {
        self.refuse(&Refusal::fault(fault, detail))
    }

    /// The answer to a request that goes no further after all, noted for the log.
    pub fn refuse(&mut self, refusal: &Refusal) -> Reply {
        self.code = Some(refusal.code());
        self.reply(refusal)
    }

    /// Notes why the backend could not answer.
    pub fn upstream_failed(&mut self, error: UpstreamError) {
        self.crossing.error = Some(error);
    }

    fn reply(&self, refusal: &Refusal) -> Reply {
        let site = match (&self.generation, self.site) {
            (Some(generation), Some(site)) => generation.plan.sites.get(site),
            _ => None,
        };
        let style = match &self.generation {
            Some(generation) => generation.plan.errors,
            None => crate::plan::ErrorStyle::default(),
        };
        let realm = site.map(|site| &*site.name);
        let mut reply = refusal::reply(
            refusal,
            style,
            realm,
            self.origin.as_deref(),
            &self.allowed_origins,
            &self.request_id,
        );
        if let Some(ancestors) = self.frame_ancestors() {
            let policy = ancestors.policy(&http::HeaderMap::new());
            reply.headers.push((http::header::CONTENT_SECURITY_POLICY, policy));
        }
        reply
    }
}
