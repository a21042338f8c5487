//! What is remembered has its say in a judgement: logouts, single uses, sessions, bans, in
//! this order ([`Reason`]'s own), after the credential itself.
//!
//! A session stands for the identity that was proven in it, until its time is over. If it
//! was ended before (a logout, a ban, the key that proved it gone), whoever carries it is
//! turned away, and only a fresh proof of the same identity makes it good again.

use std::sync::Arc;
use std::time::Duration;

use super::{Carried, Shown, details};
use crate::clock::UnixTime;
use crate::dialect::keyring::KeyState;
use crate::dialect::{Reason, Rejection};
use crate::gate::policy::{self, Finding};
use crate::gate::{Asked, Mode, Recalled, session};
use crate::identity::Identity;
use crate::plan::{OnStoreOutage, Settings, Site};
use crate::store::{Binding, Change, Digest, Memory, Purpose, SiteMemory};

/// Widgets call twice: a repeat within this time is the same use.
const SAME_USE: Duration = Duration::from_secs(10);
/// How long a use matters of a credential that never ends.
const USES_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Asks memory about a request.
pub(super) fn recall(memory: &Memory, asked: Asked<'_, '_>, carried: &mut Carried) -> Recalled {
    let (site, settings, now) = (asked.site, asked.settings, asked.now);
    let known = memory.site_or_new(&site.name);
    let mut bindings = Vec::new();
    for token in asked.sessions {
        let digest = memory.digest(Purpose::Session, &token.value);
        let caused = token.ambient && asked.caused;
        carried.sessions.push(Shown { digest, own: token.own, caused });
        match known.session(&digest) {
            Some(binding) => bindings.push(binding),
            None => carried.unknown.push(digest),
        }
    }
    let keeps = asked.credential.filter(|_| asked.keeps);
    carried.credential = keeps.map(|credential| digest_of(memory, credential));
    let inquiry = Inquiry { memory, known: &known, site, settings, now, bindings: &bindings };
    let mut holder = None;
    let mut recalled = match asked.presented {
        Some(Ok(identity)) => {
            holder = identity.id.clone();
            let finding = inquiry.of_proven(identity, asked.credential, carried);
            Recalled::of(finding)
        }
        Some(Err(rejection)) => {
            holder = rejection.holder.as_deref().map(str::to_owned);
            let out_of_time = is_of_time(rejection.reason);
            let finding = Finding::Rejected(rejection);
            let banned = inquiry
                .keeps_out(holder.as_deref())
                .filter(|why| out_of_time && why.reason == Reason::Banned);
            Recalled::of(banned.map_or(finding, Finding::Rejected))
        }
        None => inquiry.of_session(asked.objection, carried),
    };
    // `accept` overlooks what is wrong with a request, but not who is kept out.
    let overlooked = match &recalled.finding {
        Finding::Rejected(why) | Finding::Barred(_, why) => {
            settings.mode == Mode::Accept && !policy::holds(why.reason)
        }
        Finding::Absent { .. } | Finding::Proven(_) => false,
    };
    if overlooked && let Some(why) = inquiry.keeps_out(holder.as_deref()) {
        recalled.finding = Finding::Rejected(why);
    }
    let finding = &recalled.finding;
    recalled.details = details::of(finding, settings.mode, carried, (memory, &known), now);
    recalled
}

/// By what a credential is known again.
fn digest_of(memory: &Memory, credential: &str) -> Digest {
    memory.digest(Purpose::Credential, session::signed_part(credential))
}

/// Whether the signature holds, and nothing but its time is wrong with a credential.
const fn is_of_time(reason: Reason) -> bool {
    matches!(reason, Reason::Expired | Reason::NotYetValid | Reason::LifetimeTooLong)
}

struct Inquiry<'a, 'p> {
    memory: &'a Memory,
    known: &'a SiteMemory,
    site: &'p Site,
    settings: &'p Settings,
    now: UnixTime,
    /// What the sessions that the request shows stand or stood for, as far as that is known.
    bindings: &'a [Arc<Binding>],
}

impl Inquiry<'_, '_> {
    fn of_proven(
        &self,
        identity: Identity,
        credential: Option<&str>,
        carried: &mut Carried,
    ) -> Finding {
        match self.objection(&identity, credential, carried) {
            Some(rejection) => {
                let rejection = rejection.with_key(&identity.key);
                Finding::Barred(identity, rejection)
            }
            None if self.is_in_the_dark() => Finding::Rejected(unavailable()),
            None => Finding::Proven(identity),
        }
    }

    fn objection(
        &self,
        identity: &Identity,
        credential: Option<&str>,
        carried: &mut Carried,
    ) -> Option<Rejection> {
        // Without an id there is nobody to remember.
        let id = identity.id.as_deref()?;
        let mark = self.known.mark(id, self.now);
        let before_logout = mark.logout.zip(identity.issued_at).is_some_and(|(l, i)| i <= l);
        if before_logout || self.is_held(identity, id, credential, carried.credential) {
            return Some(Rejection::new(Reason::Revoked, "the visitor has been logged out since"));
        }
        if self.is_replayed(identity, carried) {
            let detail = "the token may be used once, and has been used before";
            return Some(Rejection::new(Reason::Replayed, detail));
        }
        let is_anothers = |binding: &Binding| {
            let look = self.look(binding);
            let counts = binding.stands() || look.has_ended() || look.banned;
            counts && !look.over
        };
        let mut others = self.bindings.iter().filter(|binding| **binding.id() != *id);
        if others.any(|binding| is_anothers(binding)) {
            return Some(conflict());
        }
        mark.banned.then(banned)
    }

    /// Whether this very credential is refused. One that does not say when it was issued is
    /// known again at a logout only if its digest is remembered now.
    fn is_held(
        &self,
        identity: &Identity,
        id: &str,
        credential: Option<&str>,
        digest: Option<Digest>,
    ) -> bool {
        let undated = identity.issued_at.is_none() && !self.site.remembers.logout_hold.is_zero();
        if !undated && !self.known.holds_any() {
            return false;
        }
        let computed = || credential.map(|credential| digest_of(self.memory, credential));
        let Some(digest) = digest.or_else(computed) else { return false };
        if undated {
            self.known.saw(id, digest, self.now);
        }
        self.known.is_held(&digest, self.now)
    }

    fn is_replayed(&self, identity: &Identity, carried: &mut Carried) -> bool {
        let Some(own_id) = &identity.single_use else { return false };
        // Two keys may have signed the same id for two credentials.
        let named = format!("{:x} {own_id}", identity.print);
        let credential = self.memory.digest(Purpose::SingleUse, &named);
        // Leeway included, with a margin.
        let until = identity.expires.unwrap_or(self.now).after(USES_KEPT);
        let first = self.known.use_once(credential, self.now, until);
        if first == self.now {
            let site = self.site.name.clone();
            carried.used = Some(Change::Use { site, credential, at: first, until });
        }
        self.now.since(first) > SAME_USE
    }

    /// Why whoever holds the credential, or a session that the request shows, is kept out
    /// whatever else is wrong with the request; a ban first.
    fn keeps_out(&self, holder: Option<&str>) -> Option<Rejection> {
        if holder.is_some_and(|id| self.known.mark(id, self.now).banned) {
            return Some(banned());
        }
        let mut ended_one = None;
        for look in self.bindings.iter().map(|binding| self.look(binding)) {
            if look.banned {
                return Some(banned());
            }
            if !look.over && look.has_ended() {
                ended_one = Some(ended());
            }
        }
        ended_one
    }

    /// What the sessions of a request stand for that carries no credential.
    fn of_session(
        &self,
        ambient_objection: Option<&'static str>,
        carried: &mut Carried,
    ) -> Recalled {
        let mut bound: Option<Arc<Binding>> = None;
        let mut barred: Option<(Arc<Binding>, Rejection)> = None;
        for binding in self.bindings {
            let look = self.look(binding);
            let why = match (look.over, look.banned) {
                (true, true) => Some(banned()),
                (true, false) => continue,
                (false, _) if look.ended => Some(ended()),
                (false, true) => Some(banned()),
                (false, false) if look.was_banned => Some(ended()),
                (false, false) if look.rests == Rests::Unknown => Some(unavailable()),
                (false, false) => None,
            };
            let binding = binding.clone();
            if let Some(why) = why {
                // The one that the order of checks puts first.
                let first = barred.as_ref().is_none_or(|(_, known)| why.reason < known.reason);
                barred = if first { Some((binding, why)) } else { barred };
                continue;
            }
            // Its identity has nothing against it, but it had to make room.
            if !binding.stands() {
                continue;
            }
            match &bound {
                Some(other) if other.id() != binding.id() => {
                    barred = barred.or(Some((binding, conflict())));
                }
                Some(_) => {}
                None => bound = Some(binding),
            }
        }
        let absent = Recalled::of(Finding::Absent { unsigned: false });
        let (binding, why) = match (barred, bound) {
            (Some((binding, why)), _) => (binding, Some(why)),
            (None, Some(binding)) => (binding, None),
            // Nobody can say whose sessions they are.
            (None, None) if !carried.unknown.is_empty() && self.is_in_the_dark() => {
                return Recalled::of(Finding::Rejected(unavailable()));
            }
            (None, None) => return absent,
        };
        let proof = self.site.proofs(self.settings).find(|p| p.dialect.name == binding.dialect);
        let proof = proof.unwrap_or_else(|| self.site.proof(self.settings));
        let identity = binding.identity(proof.dialect);
        let finding = match (why, ambient_objection) {
            (Some(why), _) => Finding::Barred(identity, why),
            (None, Some(objection)) => {
                Finding::Rejected(Rejection::new(Reason::OriginNotAllowed, objection))
            }
            (None, None) if self.is_in_the_dark() => Finding::Rejected(unavailable()),
            (None, None) => {
                carried.by_session = Some(binding.clone());
                Finding::Proven(identity)
            }
        };
        Recalled { dialect: Some(binding.dialect.clone()), ..Recalled::of(finding) }
    }

    /// Where a session stands.
    fn look(&self, binding: &Binding) -> Look {
        let mark = self.known.mark(binding.id(), self.now);
        let until = |ended: Option<UnixTime>| ended.is_some_and(|at| binding.bound <= at);
        let rests = self.rests_on(binding);
        Look {
            over: binding.until <= self.now,
            banned: mark.banned,
            ended: binding.ended.is_some() || until(mark.logout) || rests == Rests::OnNothing,
            was_banned: until(mark.ended),
            rests,
        }
    }

    /// Whether the site still has the key that proved it.
    fn rests_on(&self, binding: &Binding) -> Rests {
        let mut incomplete = false;
        for proof in self.site.proofs(self.settings) {
            let keys = proof.keys();
            incomplete |= keys.is_incomplete();
            if keys.keys().iter().any(|key| {
                key.print() == binding.print() && key.state(self.now) == KeyState::Active
            }) {
                return Rests::OnAKey;
            }
        }
        if incomplete { Rests::Unknown } else { Rests::OnNothing }
    }

    /// Whether nobody can say who is banned, and that matters here.
    fn is_in_the_dark(&self) -> bool {
        self.site.remembers.on_store_outage == OnStoreOutage::Refuse && !self.memory.is_current()
    }
}

/// Where a session stands, all of it looked at once.
struct Look {
    /// It has come to its own end.
    over: bool,
    /// Its identity is banned.
    banned: bool,
    /// It was ended before its own end, by anything but a ban.
    ended: bool,
    /// Its identity has been banned, or logged out, since it was bound.
    was_banned: bool,
    /// What it rests on.
    rests: Rests,
}

impl Look {
    /// Whether it was ended before its own end.
    const fn has_ended(&self) -> bool {
        self.ended || self.was_banned
    }
}

/// What a session rests on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rests {
    OnAKey,
    /// A set of keys has not been fetched yet, and may hold it.
    Unknown,
    OnNothing,
}

fn banned() -> Rejection {
    Rejection::new(Reason::Banned, "this visitor is banned")
}

fn ended() -> Rejection {
    Rejection::new(Reason::Revoked, "this session has been ended; sign in again")
}

fn conflict() -> Rejection {
    Rejection::new(Reason::SessionConflict, "this session belongs to another visitor")
}

fn unavailable() -> Rejection {
    let detail = "whether this visitor may pass cannot be looked up; try again soon";
    Rejection::new(Reason::Unavailable, detail)
}

#[cfg(test)]
mod tests;
