//! What a judgement makes of a journey.

use std::time::Instant;

use http::header::ACCEPT_ENCODING;

use super::sequel::Sequel;
use super::{Journey, Step};
use crate::clock::UnixTime;
use crate::gate::{
    Cause, Fault, Forward, Mode, Outcome, Peer, Refusal, RequestView, Verdict, forwarded,
};
use crate::identity::Standing;
use crate::judge;
use crate::proxy::farewell::Farewell;
use crate::proxy::hooks::Gate;
use crate::proxy::presence::Circumstances;
use crate::proxy::verbs;
use crate::refusal::{self, Reply};
use crate::telemetry::{Decided, Decision};
use crate::webhook::{self, Beginning};

impl Journey {
    /// Judges the request and says what to do with it. `head` has an empty `request_id`:
    /// it is chosen here.
    ///
    /// It may be judged again, once what was lacking has been looked up; so our own endpoints
    /// act only on the `last` judgement, or one that nothing is lacking for. What is said
    /// while they wait ([`Journey::waits`]) is not to be heeded.
    pub fn judge(&mut self, head: &RequestView<'_>, gate: &Gate, last: bool) -> Step {
        let begun = Instant::now();
        (self.code, self.key, self.overlooked, self.forward) = (None, None, None, None);
        let Some(generation) = self.generation.clone() else {
            return Step::Answer(self.fault(Fault::UpstreamUnavailable, "the request is over"));
        };
        let plan = &generation.plan;
        let trusted = match head.peer {
            Peer::Unix => true,
            Peer::Ip(ip) => plan.trusted_proxies.contains(ip),
        };
        self.client = forwarded::client_ip(head.headers, head.peer, &plan.trusted_proxies);
        let span = || gate.traces().begin(head.method, head.headers, self.started.elapsed());
        self.span.get_or_insert_with(span);
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
        let (now, store) = (UnixTime::now(), gate.store());
        let mut judgement = judge::judge(plan, store.memory(), &view, now);
        let binder = judgement.binder(store.memory(), now);
        if let Some(used) = judgement.carried.used.take() {
            store.note(used);
        }
        let judge::Judgement { mut verdict, lacks_key, verification, carried } = judgement;
        let beginning = self.beginning(gate, &mut verdict, head);
        let sequel = verdict.site.and_then(|site| Sequel::of(site, &carried, binder, beginning));
        self.sequel = sequel.map(Box::new);
        self.unknown_sessions =
            verdict.site.map(|site| (site.name.clone(), carried.unknown.clone()));
        let by_session = carried.by_session.is_some();
        self.circumstances = Circumstances {
            judged: now,
            sessions: carried.digests().collect(),
            credential: carried.credential,
            by_session,
        };
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
        let asked = verdict.verb.zip(verdict.site).map(|(verb, site)| verbs::Asked {
            verb,
            site,
            carried: &carried,
            now,
        });
        let lacking =
            !self.lacks_key.is_empty() || store.is_shared() && self.unknown_sessions().is_some();
        self.waits = asked.is_some() && lacking && !last;
        let (outcome, own) = match asked {
            Some(asked) if !self.waits => self.own_endpoint(gate, &asked, verdict.outcome),
            _ => (verdict.outcome, None),
        };
        let step = match outcome {
            Outcome::Forward(forward) => {
                self.note_forward(verdict.mode, verdict.way, forward);
                own.map_or(Step::Forward, Step::Answer)
            }
            Outcome::Refuse(refusal) => {
                self.note_refusal(verdict.mode, verdict.way, &refusal);
                let placed = verdict.site.zip(verdict.settings).filter(|_| head.upgrade);
                self.farewell = placed.and_then(|(site, settings)| {
                    Farewell::of(&refusal, site, settings, head.headers, plan.errors)
                });
                Step::Answer(own.unwrap_or_else(|| self.reply(&refusal)))
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

    /// The chat that begins if the backend answers as it should. Of a visitor whose chat has
    /// begun before, what the website says is kept fresh.
    fn beginning(
        &self,
        gate: &Gate,
        verdict: &mut Verdict<'_>,
        head: &RequestView<'_>,
    ) -> Option<Beginning> {
        let site = verdict.site.filter(|_| verdict.verb.is_none())?;
        let Outcome::Forward(forward) = &mut verdict.outcome else { return None };
        let website = &site.website;
        if let Some(identity) = forward.visitor.identity().filter(|_| website.enrich.is_some()) {
            gate.webhooks().enrich_if_stale(site, identity, &self.request_id);
        }
        let asked = webhook::Asked {
            method: head.method,
            path: head.path(),
            upgrade: head.upgrade,
            request_id: &self.request_id,
        };
        let beginning = Beginning::of(gate.webhooks(), site, &forward.visitor, &asked)?;
        if site.remembers.session.as_ref().is_some_and(|session| session.reads_answers()) {
            // What the backend compresses could not be read. (For verified visitors it is
            // declined anyway.)
            forward.edits.remove.push(ACCEPT_ENCODING);
        }
        Some(beginning)
    }

    /// Has one of our own endpoints answer, unless it refuses to.
    fn own_endpoint(
        &mut self,
        gate: &Gate,
        asked: &verbs::Asked<'_>,
        outcome: Outcome,
    ) -> (Outcome, Option<Reply>) {
        if matches!(outcome, Outcome::Preflight { .. }) {
            return (outcome, None);
        }
        let answered = match verbs::too_often(gate, self, asked) {
            Some(refusal) => Err(refusal),
            None => verbs::answer(gate, self, asked, &outcome),
        };
        match answered {
            Ok(reply) => (outcome, Some(reply)),
            Err(refusal) => (Outcome::Refuse(refusal), None),
        }
    }

    /// An answer of one of our own endpoints.
    pub(in crate::proxy) fn own_answer(&self, told: Option<&serde_json::Value>) -> Reply {
        refusal::own(told, self.origin.as_deref(), &self.allowed_origins, &self.request_id)
    }

    fn note_forward(&mut self, mode: Option<Mode>, way: usize, mut forward: Box<Forward>) {
        if let Some(span) = &self.span {
            span.pass_on(&mut forward.edits);
        }
        let (decision, reason) = match &forward.visitor.standing {
            Standing::Verified(identity) => {
                self.key = Some(identity.key.clone());
                self.identity = identity.id.clone();
                (Decision::Verified, None)
            }
            Standing::Guest(reason) => (Decision::Guest, Some(*reason)),
        };
        self.decided = mode.map(|mode| Decided { way, mode, decision, reason });
        if let Some(overlooked) = &forward.overlooked {
            self.overlooked = overlooked.reason();
            self.key = overlooked.key.clone();
        }
        self.omitted = forward.omitted.clone();
        self.forward = Some(forward);
    }

    fn note_refusal(&mut self, mode: Option<Mode>, way: usize, refusal: &Refusal) {
        self.code = Some(refusal.code());
        self.key = refusal.key.clone();
        if let (Some(mode), Cause::Identity(reason)) = (mode, refusal.cause) {
            self.decided =
                Some(Decided { way, mode, decision: Decision::Rejected, reason: Some(reason) });
        }
    }
}
