//! The widget's own endpoints, answered: `whoami`, `logout`, `refresh`.
//!
//! Whoever asks has been judged as a request to the backend would have been. `logout` is
//! the exception: it takes what it is given, because a widget must be able to log out
//! with a token that has expired meanwhile.

use std::time::Instant;

use http::{HeaderMap, HeaderValue, header};
use serde_json::json;

use super::hooks::Gate;
use super::journey::Journey;
use crate::clock::UnixTime;
use crate::dialect::Reason;
use crate::gate::{Cause, Outcome, Refusal, Verb};
use crate::identity::{Identity, Standing};
use crate::judge::Carried;
use crate::plan::{OnEnd, Session, Site};
use crate::refusal::{self, Reply};
use crate::store::Change;

/// What a verb is about.
pub(super) struct Asked<'a> {
    /// What is asked.
    pub verb: Verb,
    /// Of which site.
    pub site: &'a Site,
    /// Sessions and credential of whoever asks.
    pub carried: &'a Carried,
    /// When.
    pub now: UnixTime,
}

/// Why a verb is not for this client now, if it is not.
pub(super) fn too_often(gate: &Gate, journey: &Journey, asked: &Asked<'_>) -> Option<Refusal> {
    let permitted = gate.pace().permits(asked.site.index, journey.client, Instant::now());
    (!permitted)
        .then(|| Refusal::identity(Reason::RateLimited, "this endpoint has been called too often"))
}

/// The answer to a verb; the refusal, where whoever asks is refused.
pub(super) fn answer(
    gate: &Gate,
    journey: &mut Journey,
    asked: &Asked<'_>,
    outcome: &Outcome,
) -> Result<Reply, Refusal> {
    match (asked.verb, outcome) {
        (Verb::Unknown, _) => Ok(refusal::bare(404, journey.request_id())),
        (Verb::Wrong(method), _) => {
            let mut reply = refusal::bare(405, journey.request_id());
            reply.headers.push((header::ALLOW, HeaderValue::from_static(method)));
            Ok(reply)
        }
        (Verb::Logout, outcome) => logout(gate, journey, asked, outcome),
        (_, Outcome::Refuse(refusal)) => Err(refusal.clone()),
        (Verb::Whoami, outcome) => Ok(whoami(journey, outcome)),
        (Verb::Refresh, outcome) => refresh(gate, journey, asked, outcome),
    }
}

fn whoami(journey: &Journey, outcome: &Outcome) -> Reply {
    let told = match standing(outcome) {
        Some(Standing::Verified(identity)) => json!({
            "status": "verified",
            "id": identity.id,
            "name": identity.name,
            "email": identity.email,
            "expires": identity.expires.map(UnixTime::as_secs),
        }),
        Some(Standing::Guest(_)) | None => {
            json!({"status": "guest", "id": null, "name": null, "email": null, "expires": null})
        }
    };
    journey.own_answer(Some(&told))
}

/// Takes a fresh proof: the session lasts as long as if it had been opened with it, and so
/// do the connections that end with their proof.
fn refresh(
    gate: &Gate,
    journey: &mut Journey,
    asked: &Asked<'_>,
    outcome: &Outcome,
) -> Result<Reply, Refusal> {
    let identity = verified(outcome).filter(|_| asked.carried.by_session.is_none());
    let Some(identity) = identity else {
        return Err(Refusal::identity(Reason::Missing, "a refresh needs a fresh credential"));
    };
    if let (Some(id), OnEnd::Close) = (&identity.id, asked.site.remembers.live.on_expiry) {
        // All of this identity's, whatever sessions they are of.
        gate.live().extend(&asked.site.name, id, &[], identity.expires);
    }
    let told = json!({"expires": identity.expires.map(UnixTime::as_secs)});
    let cookie = journey.answered(200, &HeaderMap::new(), gate);
    let mut reply = journey.own_answer(Some(&told));
    reply.headers.extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok(reply)
}

/// Ends the sessions that are shown, and refuses the credential that is, on every replica.
/// What a page of another site may have caused ends nothing.
fn logout(
    gate: &Gate,
    journey: &Journey,
    asked: &Asked<'_>,
    outcome: &Outcome,
) -> Result<Reply, Refusal> {
    if let Outcome::Refuse(refusal) = outcome
        && !matches!(refusal.cause, Cause::Identity(reason) if may_leave(reason))
    {
        return Err(refusal.clone());
    }
    let Asked { site, carried, now, .. } = asked;
    let memory = gate.store().memory().site(&site.name);
    for shown in carried.sessions.iter().filter(|shown| !shown.caused) {
        if memory.as_ref().is_some_and(|memory| memory.session(&shown.digest).is_some()) {
            let (site, session, at) = (site.name.clone(), shown.digest, *now);
            gate.store().note(Change::End { site, session, at });
        }
    }
    let proven = verified(outcome).filter(|_| carried.by_session.is_none());
    if let (Some(identity), Some(credential)) = (proven, carried.credential) {
        let until = held_until(site, identity, *now);
        if until > *now {
            let site = site.name.clone();
            gate.store().note(Change::Hold { site, credential, until });
        }
    }
    let mut reply = journey.own_answer(None);
    if site.remembers.session.as_ref().is_some_and(|session| session.cookie) {
        let gone = format!(
            "{}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=None; Partitioned",
            Session::COOKIE
        );
        reply
            .headers
            .extend(HeaderValue::try_from(gone).ok().map(|gone| (header::SET_COOKIE, gone)));
    }
    Ok(reply)
}

/// Whether somebody who is turned away for this may still log out.
const fn may_leave(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::Ambiguous | Reason::OriginNotAllowed | Reason::RateLimited | Reason::Unavailable
    )
}

/// A credential is refused until it expires. A hash never does, and is the same on every
/// device: only the site's `logout_hold` holds it.
fn held_until(site: &Site, identity: &Identity, now: UnixTime) -> UnixTime {
    // With a margin for its dialect's leeway.
    const LEEWAY: std::time::Duration = std::time::Duration::from_secs(600);
    match identity.expires {
        Some(expires) => expires.after(LEEWAY),
        None => now.after(site.remembers.logout_hold),
    }
}

fn standing(outcome: &Outcome) -> Option<&Standing> {
    match outcome {
        Outcome::Forward(forward) => Some(&forward.visitor.standing),
        Outcome::Refuse(_) | Outcome::Preflight { .. } => None,
    }
}

fn verified(outcome: &Outcome) -> Option<&Identity> {
    match standing(outcome)? {
        Standing::Verified(identity) => Some(identity),
        Standing::Guest(_) => None,
    }
}
