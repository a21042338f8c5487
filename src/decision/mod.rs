//! The same judgement for another gateway: it keeps the request, asks what is to become of it,
//! and forwards it by itself.
//!
//! - A question is one request without a body. Method, host and target of the visitor's
//!   request come in the fields that the configured gateway uses (`question`); all others
//!   decide nothing. A field that is missing, or there twice in whatever spelling, is a fault of
//!   the gateway's configuration: 400, for every gateway. So is a header field of a client's
//!   that has to go, and that the gateway would keep (`irremovable`).
//! - The answer is 200 with what the backend is to be told, or the refusal as the visitor is to
//!   get it (`answer`).
//! - The gateway is trusted like a proxy of `trusted_proxies`: nobody else may reach this
//!   listener. Its `X-Forwarded-For` and `X-Request-Id` are believed, for the log.
//! - Answers, bodies and live connections are never seen, so there are no sessions to bind, no
//!   chats that begin and nothing that could be closed. Sessions that were bound elsewhere hold.
//! - Preflights that an `allowed_origins` admits go on to the backend, and so do the widget's own
//!   endpoints: who wants these served sends their paths to a public listener.
//!
//! It is the first who embeds [`Gate`]: a [`Journey`] that ends where others set out.

mod answer;
mod caddy;
mod connection;
mod envoy;
mod irremovable;
mod question;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use self::question::{Confusion, Question};
use crate::gate::{Body, Fault, Forward, Peer, Refusal, RequestView};
use crate::plan::{Decision, Gateway};
use crate::proxy::head::Parsed;
use crate::proxy::journey::{Step, Trace};
use crate::proxy::{Gate, Journey};
use crate::refusal::Reply;
use crate::telemetry::{Kind, Seldom};

/// What answers the questions of one gateway.
pub struct Desk {
    gate: Gate,
    decision: Decision,
    /// Open connections.
    open: AtomicUsize,
    /// There were too many of them.
    crowded: Seldom,
    /// A question could not be understood.
    puzzled: Seldom,
}

impl Desk {
    /// A desk that judges as `gate` does.
    pub fn new(gate: Gate, decision: Decision) -> Arc<Self> {
        let (crowded, puzzled) = (Seldom::default(), Seldom::default());
        Arc::new(Self { gate, decision, open: AtomicUsize::new(0), crowded, puzzled })
    }

    /// What is to become of the request that a question is about.
    async fn answer(&self, asked: Parsed, peer: Peer) -> Reply {
        let gateway = self.decision.gateway;
        let mut journey = self.gate.journey();
        let question = match Question::of(&self.decision, asked) {
            Ok(question) => question,
            Err(why) => return self.puzzled_by(journey, peer, why),
        };
        let forged = journey.generation().and_then(|generation| {
            irremovable::reserved(gateway, &question.headers, &generation.plan.reserved)
        });
        if let Some(name) = forged {
            let detail = format!("the header field `{name}` is not a client's to send");
            return self.misheard(&mut journey, peer, &Refusal::fault(Fault::BadRequest, detail));
        }
        let view = RequestView {
            method: &question.method,
            target: &question.target,
            authority: None,
            headers: &question.headers,
            // Trusted, and no part of the way: it is no proxy that requests come through.
            peer: Peer::Unix,
            tls: false,
            local_port: None,
            upgrade: question.is_upgrade(),
            request_id: "",
            body: Body::Elsewhere,
        };
        let step = self.gate.judge(&mut journey, &view).await;
        let granted = match (&step, journey.forward()) {
            (Step::Forward, Some(forward)) => Some(grant(gateway, &question, &journey, forward)),
            _ => None,
        };
        let reply = match (granted, step) {
            (Some(Ok(reply)), _) => reply,
            (Some(Err(refusal)), _) => journey.refuse(&refusal),
            (None, Step::Answer(reply)) if reply.status >= 400 => reply,
            // Nothing else comes of a judgement here. Did it, it must not let anybody in.
            (None, _) => {
                let detail = "there is no decision on this request";
                journey.fault(Fault::UpstreamUnavailable, detail)
            }
        };
        let status = reply.status;
        journey.record(&Trace {
            method: view.method.as_str(),
            path: view.path(),
            protocol: "HTTP/1.1",
            status,
            kind: Kind::Decision,
        });
        if status == 200 { reply } else { answer::refused(gateway, reply) }
    }

    /// What cannot be judged. Where that is the gateway's own fault, whoever runs it hears of it,
    /// and it gets a plain 400, whichever it is: no recipe should make a visitor's refusal of it.
    fn puzzled_by(&self, mut journey: Journey, peer: Peer, why: Confusion) -> Reply {
        let refusal = Refusal::fault(Fault::BadRequest, why.to_string());
        if !why.is_the_gateways() {
            return self.misheard(&mut journey, peer, &refusal);
        }
        if self.puzzled.happened(Instant::now()).is_some() {
            tracing::warn!(
                gateway = self.decision.gateway.name(),
                "a question to the decision listener was no question: {why}; compare the \
                 gateway's configuration with its recipe, and `decision.for` with the gateway"
            );
        }
        self.unjudged(&mut journey, peer, &refusal)
    }

    /// Answers a visitor's request that is not judged.
    fn misheard(&self, journey: &mut Journey, peer: Peer, refusal: &Refusal) -> Reply {
        answer::refused(self.decision.gateway, self.unjudged(journey, peer, refusal))
    }

    /// Counts and logs what is not judged.
    fn unjudged(&self, journey: &mut Journey, peer: Peer, refusal: &Refusal) -> Reply {
        let reply = journey.refuse_head(peer, refusal);
        journey.record(&Trace {
            method: "",
            path: "",
            protocol: "HTTP/1.1",
            status: reply.status,
            kind: Kind::Decision,
        });
        reply
    }
}

/// What a gateway is answered about a request that may go on, if it can take out what has to go.
fn grant(
    gateway: Gateway,
    question: &Question,
    journey: &Journey,
    forward: &Forward,
) -> Result<Reply, Refusal> {
    let sites = journey.generation().map_or(&[][..], |generation| &generation.plan.sites);
    let site = journey.site().and_then(|index| sites.get(index));
    if let Some(name) = irremovable::taken(gateway, &question.headers, &forward.edits, site) {
        let gateway = gateway.name();
        let detail = format!("the header field `{name}` would have to go, and {gateway} keeps it");
        return Err(Refusal::fault(Fault::BadRequest, detail));
    }
    answer::go_on(gateway, question, &forward.edits, journey.request_id())
}
