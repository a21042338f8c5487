//! What is remembered of one request, from its head to its last log line.
//!
//! A journey holds its [`Generation`] only until the answer's head has been sent or the
//! upgrade made; from then on it keeps ids and meters, so that a long answer or an idle
//! WebSocket keeps no old Plan alive.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crossing::Crossing;
use super::farewell::Farewell;
use super::passage::Passage;
use crate::clock::UnixTime;
use crate::gate::framing::Ancestors;
use crate::gate::origin::Origin;
use crate::gate::{
    Cause, Fault, Forward, Mode, NewBody, Outcome, Peer, Refusal, RequestView, forwarded,
};
use crate::identity::Standing;
use crate::judge;
use crate::plan::KeySet;
use crate::refusal::{self, Reply};
use crate::reload::{Current, Generation};
use crate::telemetry::{Decided, Decision, GaugeGuard, Occurrence, SiteMeters, UpstreamError};
use crate::upstream::Cutter;

/// One request's way through Countersign.
pub struct Journey {
    started: Instant,
    own: Duration,
    generation: Option<Arc<Generation>>,
    meters: Arc<SiteMeters>,
    request_id: String,
    client: Option<IpAddr>,
    site: Option<usize>,
    origin: Option<String>,
    allowed_origins: Arc<[Origin]>,
    frame_ancestors: Option<Arc<Ancestors>>,
    forward: Option<Box<Forward>>,
    decided: Option<Decided>,
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
    pub(super) body: Passage,
    _in_flight: Option<GaugeGuard>,
}

/// What the judgement asks the proxy to do.
pub enum Step {
    /// Send it on.
    Forward,
    /// Answer it with this.
    Answer(Reply),
}

/// Facts of a request that outlive its head, for the log.
pub struct Trace<'a> {
    /// Method as sent.
    pub method: &'a str,
    /// Path as sent, without the query.
    pub path: &'a str,
    /// `HTTP/1.1`, …
    pub protocol: &'static str,
    /// The answer's status; 499 if the client left before there was one.
    pub status: u16,
    /// Whether this is an upgrade.
    pub upgrade: bool,
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
            body: Passage::default(),
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

    /// Judges the request and says what to do with it. `head` has an empty `request_id`:
    /// it is chosen here.
    pub fn judge(&mut self, head: &RequestView<'_>) -> Step {
        let begun = Instant::now();
        // It may be the second time.
        (self.code, self.key, self.overlooked) = (None, None, None);
        let Some(generation) = self.generation.clone() else {
            return Step::Answer(self.fault(Fault::UpstreamUnavailable, "the request is over"));
        };
        let plan = &generation.plan;
        let trusted = match head.peer {
            Peer::Unix => true,
            Peer::Ip(ip) => plan.trusted_proxies.contains(ip),
        };
        self.client = forwarded::client_ip(head.headers, head.peer, &plan.trusted_proxies);
        self.request_id = match forwarded::request_id(head.headers, trusted) {
            Some(id) => id.to_owned(),
            None => uuid::Uuid::now_v7().simple().to_string(),
        };
        self.origin = head
            .headers
            .get(http::header::ORIGIN)
            .and_then(|origin| origin.to_str().ok())
            .map(str::to_owned);
        let view = RequestView { request_id: &self.request_id, ..*head };
        let judge::Judgement { verdict, lacks_key, verification } =
            judge::judge(plan, &view, UnixTime::now());
        self.lacks_key = lacks_key.into_iter().flat_map(|sets| sets.iter().cloned()).collect();
        self.stripped = verdict.stripped;
        self.distrusted = verdict.distrusted;
        self.allowed_origins = verdict.allowed_origins;
        self.frame_ancestors =
            verdict.settings.and_then(|settings| settings.frame_ancestors.clone());
        if let Some(site) = verdict.site {
            self.site = Some(site.index);
            self.verification = verification;
            if let Some(meters) = generation.meters.sites.get(site.index) {
                self.meters = meters.clone();
            }
        }
        self._in_flight = Some(self.meters.in_flight());
        let step = match verdict.outcome {
            Outcome::Forward(forward) => {
                self.note_forward(verdict.mode, forward);
                Step::Forward
            }
            Outcome::Refuse(refusal) => {
                self.note_refusal(verdict.mode, &refusal);
                self.farewell = verdict
                    .settings
                    .filter(|_| head.upgrade)
                    .and_then(|site| Farewell::of(&refusal, site, head.headers, plan.errors));
                Step::Answer(self.reply(&refusal))
            }
            Outcome::Preflight { allowed } => Step::Answer(refusal::preflight(
                allowed,
                self.origin.as_deref(),
                head.headers.get(http::header::ACCESS_CONTROL_REQUEST_METHOD),
                head.headers.get(http::header::ACCESS_CONTROL_REQUEST_HEADERS),
                plan.errors,
                &self.request_id,
            )),
        };
        self.own += begun.elapsed();
        step
    }

    fn note_forward(&mut self, mode: Option<Mode>, forward: Box<Forward>) {
        let (decision, reason) = match &forward.visitor.standing {
            Standing::Verified(identity) => {
                self.key = Some(identity.key.clone());
                self.identity = identity.id.clone();
                (Decision::Verified, None)
            }
            Standing::Guest(reason) => (Decision::Guest, Some(*reason)),
        };
        self.decided = mode.map(|mode| Decided { mode, decision, reason });
        if let Some(overlooked) = &forward.overlooked {
            self.overlooked = overlooked.reason();
            self.key = overlooked.key.clone();
        }
        self.omitted = forward.omitted.clone();
        self.forward = Some(forward);
    }

    fn note_refusal(&mut self, mode: Option<Mode>, refusal: &Refusal) {
        self.code = Some(refusal.code());
        self.key = refusal.key.clone();
        if let (Some(mode), Cause::Identity(reason)) = (mode, refusal.cause) {
            self.decided =
                Some(Decided { mode, decision: Decision::Rejected, reason: Some(reason) });
        }
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
        let refusal = Refusal::fault(fault, detail);
        self.code = Some(refusal.code());
        self.reply(&refusal)
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

    /// Writes the request's line and counts it, once.
    pub fn record(&self, trace: &Trace<'_>) {
        let upstream = self.crossing.endpoint.as_ref().map(ToString::to_string);
        let occurrence = Occurrence {
            request_id: &self.request_id,
            method: trace.method,
            path: trace.path,
            client: self.client,
            protocol: trace.protocol,
            status: trace.status,
            decision: self.decided,
            code: self.code,
            overlooked: self.overlooked,
            key: self.key.as_deref(),
            identity: self.identity.as_deref(),
            stripped: self.stripped,
            omitted: &self.omitted,
            duration: self.started.elapsed(),
            overhead: self.own,
            verification: self.verification,
            upgrade: trace.upgrade,
            upstream: upstream.as_deref(),
            upstream_error: self.crossing.error,
        };
        occurrence.record(&self.meters);
    }
}
