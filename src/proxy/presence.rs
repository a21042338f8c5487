//! How requests enter the registry of live connections, and how answers leave it early.
//!
//! Every WebSocket is listed, once it is one, and every event stream, from its head. Any other
//! answer is, if its visitor is verified and it streams: of no stated length, and from the
//! first piece of its body that is not the last. Answers that state their length, and those that
//! are complete with their first piece, end by themselves: they cost nothing here.
//!
//! An answer that is ended breaks off where it is.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header};
use pingora::{Error, ErrorType, Result};

use super::hooks::Gate;
use super::journey::Journey;
use crate::clock::UnixTime;
use crate::identity::{Identity, Standing};
use crate::live::{End, Facts, Handle, Kind, SessionPrint, Trust, Who};
use crate::plan::{OnEnd, Site};
use crate::store::{Digest, Mark, SiteMemory};

/// What a judgement says of a connection besides the visitor.
#[derive(Default)]
pub(super) struct Circumstances {
    /// When it was made.
    pub judged: UnixTime,
    /// The session tokens that the request carried.
    pub sessions: Vec<Digest>,
    /// The credential, where something lasts that rests on it.
    pub credential: Option<Digest>,
    /// Whether a session alone proved the identity.
    pub by_session: bool,
}

/// Where an answer stands.
#[derive(Default)]
pub(super) enum Presence {
    /// It is none of a live one.
    #[default]
    Passing,
    /// It is, if more than one piece comes.
    Beginning(Box<Facts>),
    /// It is listed.
    Listed(Handle),
}

impl Presence {
    /// How it was ended by us, if it was.
    pub(super) fn end(&self) -> Option<End> {
        match self {
            Self::Listed(handle) => handle.end(),
            Self::Passing | Self::Beginning(_) => None,
        }
    }
}

impl Gate {
    /// Lists a connection, and ends it at once if what was remembered since it was judged
    /// says so. `most` WebSockets may its identity have; 0: any number.
    pub(super) fn list(&self, facts: Facts, most: usize) -> Handle {
        let now = UnixTime::now();
        let handle = self.live().open(facts, most, now);
        let facts = handle.facts();
        let known = self.store().memory().site(&facts.site);
        if let Some(end) = known.and_then(|known| objection(&known, facts, now)) {
            handle.finish(end);
        }
        handle
    }

    /// Lists an answer; it is severed when it is to end, however silent it is.
    fn list_answer(&self, facts: Facts, journey: &Journey) -> Handle {
        let handle = self.list(facts, 0);
        if let Some(cutter) = journey.cutter() {
            handle.on_end(move || cutter.cut());
        }
        handle
    }

    /// A proof that has just been judged lets the same identity's connections last longer,
    /// where they end with it.
    pub(super) fn prolong(&self, journey: &Journey) {
        let Some((site, identity)) = verified(journey) else { return };
        // That a session goes on proves nothing anew.
        let Circumstances { sessions, by_session: false, .. } = &journey.circumstances else {
            return;
        };
        if site.remembers.live.on_expiry == OnEnd::Close
            && let Some(id) = &identity.id
        {
            self.live().extend(&site.name, id, &prints(sessions), identity.expires);
        }
    }

    /// Takes note of an answer's head.
    pub(super) fn answer_begins(
        &self,
        journey: &mut Journey,
        (method, path): (&Method, &str),
        (status, headers): (StatusCode, &HeaderMap),
    ) {
        let bodiless = *method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || headers.contains_key(header::CONTENT_LENGTH);
        let is_event_stream = is_event_stream(headers);
        if bodiless || !is_event_stream && verified(journey).is_none() {
            return;
        }
        if let Some(facts) = journey.facts(Kind::Answer, method, path) {
            journey.presence = match is_event_stream {
                true => Presence::Listed(self.list_answer(facts, journey)),
                false => Presence::Beginning(Box::new(facts)),
            };
        }
    }

    /// Lets a piece of an answer's body pass.
    ///
    /// # Errors
    /// The answer has been ended.
    pub(super) fn answer_goes_on(&self, last: bool, journey: &mut Journey) -> Result<()> {
        if !last && matches!(journey.presence, Presence::Beginning(_)) {
            let presence = std::mem::take(&mut journey.presence);
            if let Presence::Beginning(facts) = presence {
                journey.presence = Presence::Listed(self.list_answer(*facts, journey));
            }
        }
        match journey.presence.end() {
            Some(_) => Error::e_explain(ErrorType::ConnectionClosed, "the answer was ended"),
            None => Ok(()),
        }
    }
}

impl Journey {
    /// The request's site, until the answer's head is sent.
    pub(super) fn site_in_force(&self) -> Option<&Site> {
        self.generation()?.plan.sites.get(self.site()?)
    }

    /// What the registry is told of a request that has been let through; none once its Plan
    /// has been let go.
    pub(super) fn facts(&self, kind: Kind, method: &Method, path: &str) -> Option<Facts> {
        let (site, generation) = (self.site_in_force()?, self.generation()?.plan.generation);
        let decided = self.decided?;
        let who = match &self.forward()?.visitor.standing {
            Standing::Verified(identity) => {
                let dialect = site.dialects().nth(decided.way)?;
                Who::Verified(trust(dialect.clone(), identity))
            }
            Standing::Guest(reason) => Who::Guest(*reason),
        };
        Some(Facts {
            kind,
            site: site.name.clone(),
            judged: self.circumstances.judged,
            generation,
            mode: decided.mode,
            who,
            sessions: prints(&self.circumstances.sessions),
            credential: self.circumstances.credential.map(|credential| credential.0),
            method: method.clone(),
            path: path.into(),
            client: self.client,
        })
    }
}

/// What ends a connection that has just been listed: what was remembered of its identity,
/// its sessions and its credential since it was judged.
fn objection(known: &SiteMemory, facts: &Facts, now: UnixTime) -> Option<End> {
    let since = |ended: Option<UnixTime>| ended.is_some_and(|at| facts.judged <= at);
    if let Some(id) = facts.identity() {
        let mark = known.mark(id, now);
        if mark.banned {
            return Some(End::BANNED);
        }
        if since(mark.ended) {
            return Some(End::REVOKED);
        }
    }
    // A guest's has proven nothing that could be taken back.
    let proof = facts.credential.filter(|_| facts.trust().is_some());
    if proof.is_some_and(|credential| known.is_held(&Digest(credential), now)) {
        return Some(End::REVOKED);
    }
    let bindings = facts.sessions.iter().filter_map(|session| known.session(&Digest(*session)));
    bindings.into_iter().find_map(|binding| {
        // A guest may have proven itself in its session, and been put out, in between.
        let mark = match facts.identity() {
            Some(_) => Mark::default(),
            None => known.mark(binding.id(), now),
        };
        let left = mark.ended.filter(|at| binding.bound <= *at);
        let end = if mark.banned { End::BANNED } else { End::REVOKED };
        (mark.banned || since(left) || since(binding.ended)).then_some(end)
    })
}

fn prints(sessions: &[Digest]) -> Box<[SessionPrint]> {
    sessions.iter().map(|session| session.0).collect()
}

fn trust(dialect: Arc<str>, identity: &Identity) -> Trust {
    Trust {
        id: identity.id.as_deref().map(Into::into),
        dialect,
        key: identity.key.clone(),
        print: identity.print,
        issued_at: identity.issued_at,
        expires: identity.expires,
    }
}

/// The site and the proven identity of a request that goes on.
fn verified(journey: &Journey) -> Option<(&Site, &Identity)> {
    let identity = journey.forward()?.visitor.identity()?;
    Some((journey.site_in_force()?, identity))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Reason;
    use crate::dialect::founding::jwt;
    use crate::gate::Mode;
    use crate::identity::Proven;
    use crate::secret::Secret;
    use crate::store::{Ban, Binding, Change, Memory};

    const SESSION: Digest = Digest([7; 16]);
    const CREDENTIAL: Digest = Digest([8; 16]);

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    /// Judged at 1000 in the session and with the credential.
    fn facts(id: Option<&str>) -> Facts {
        let trust = |id: &str| Trust {
            id: Some(id.into()),
            dialect: "jwt".into(),
            key: "k".into(),
            print: 1,
            issued_at: None,
            expires: None,
        };
        Facts {
            kind: Kind::Answer,
            site: "acme".into(),
            judged: at(1000),
            generation: 1,
            mode: Mode::Prefer,
            who: id.map_or(Who::Guest(Reason::Missing), |id| Who::Verified(trust(id))),
            sessions: [SESSION.0].into(),
            credential: Some(CREDENTIAL.0),
            method: Method::GET,
            path: "/".into(),
            client: None,
        }
    }

    /// What becomes of Ada's, of Bob's and of a guest's, listed at 1100, if that happened
    /// besides Ada's binding the session at that time.
    fn after(bound: u64, changes: &[Change]) -> [Option<End>; 3] {
        let memory = Memory::new(&Secret::new(vec![1; 32]));
        let ada = Identity::attest(Proven { id: Some("ada".into()), ..Proven::default() });
        let binding = Arc::new(Binding::of(&ada, &jwt(), at(bound), at(9000)).unwrap());
        memory.apply(&Change::Bind { site: "acme".into(), session: SESSION, binding });
        changes.iter().for_each(|change| memory.apply(change));
        let known = memory.site("acme").unwrap();
        let facts = [facts(Some("ada")), facts(Some("bob")), facts(None)];
        facts.map(|facts| objection(&known, &facts, at(1100)))
    }

    #[test]
    fn what_happens_between_judgement_and_listing_ends_a_connection() {
        let [site, id]: [Arc<str>; 2] = ["acme".into(), "ada".into()];
        let (banned, revoked) = (Some(End::BANNED), Some(End::REVOKED));
        let ban = Ban { reason: None, since: at(1050), until: None };
        let ban = Change::Ban { site: site.clone(), id: id.clone(), ban };
        let logout = |secs| Change::Logout { site: site.clone(), id: id.clone(), at: at(secs) };
        let end = |secs| Change::End { site: site.clone(), session: SESSION, at: at(secs) };
        let hold = |secs| {
            let (site, credential) = (site.clone(), CREDENTIAL);
            Change::Hold { site, credential, until: at(secs) }
        };
        assert_eq!(after(900, &[]), [None; 3]);
        assert_eq!(after(900, &[ban]), [banned, None, banned]);
        assert_eq!(after(900, &[logout(1050)]), [revoked, None, revoked]);
        assert_eq!(after(1060, &[logout(1050)]), [revoked, None, None], "proven anew since");
        assert_eq!(after(900, &[logout(950)]), [None; 3], "judged after it");
        assert_eq!(after(900, &[end(1000)]), [revoked; 3]);
        assert_eq!(after(900, &[end(999)]), [None; 3], "judged after it");
        assert_eq!(after(900, &[hold(1101)]), [revoked, revoked, None]);
        assert_eq!(after(900, &[hold(1100)]), [None; 3], "it is over");
    }
}
