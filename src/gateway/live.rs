//! Ends live connections when trust in them ends: soon after it has, wherever that was.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::drain::{Drain, Phase};
use crate::live::{End, Registry, Selector};
use crate::reload::Current;
use crate::store::{Change, Memory};

/// How often time and keys are looked at; a reload is, at once.
const ROUND: Duration = Duration::from_millis(200);

/// Later than anything.
const ALWAYS: UnixTime = UnixTime::from_millis(u64::MAX);

/// Runs until a shutdown has ended.
pub async fn keep(current: Arc<Current>, live: Arc<Registry>, drain: Arc<Drain>) {
    let mut changes = current.subscribe();
    while drain.phase() < Phase::Ended {
        live.sweep(&current.load().plan, UnixTime::now());
        let _ = tokio::time::timeout(ROUND, changes.changed()).await;
    }
}

/// Has bans and logouts end what is open, whoever made them: the admin API, a widget,
/// another replica.
pub fn heed(memory: &Arc<Memory>, live: Arc<Registry>) {
    // Memory holds its listeners, and is not to be held by them.
    let known = Arc::downgrade(memory);
    memory.listen(move |change| {
        let now = UnixTime::now();
        act_on(change, &live, now);
        if let Some(memory) = known.upgrade() {
            end_early_guests(change, &memory, &live, now);
        }
    });
}

/// Ends what somebody opened as a guest, in sessions that were proven to be an identity's
/// only later, where they are refused now.
fn end_early_guests(change: &Change, memory: &Memory, live: &Registry, now: UnixTime) {
    let (site, id, until, end) = match change {
        Change::Ban { site, id, ban } if ban.holds(now) => (site, id, ALWAYS, End::BANNED),
        Change::Ban { site, id, ban } => (site, id, ban.since, End::REVOKED),
        Change::Logout { site, id, at } => (site, id, *at, End::REVOKED),
        _ => return,
    };
    let Some(known) = memory.site(site) else { return };
    for (session, binding) in known.sessions_of(id) {
        if binding.bound <= until {
            live.end(site, Selector::GuestsOf(session.0, until), end);
        }
    }
}

fn act_on(change: &Change, live: &Registry, now: UnixTime) {
    match change {
        Change::Ban { site, id, ban } if ban.holds(now) => {
            live.end(site, Selector::Identity(id), End::BANNED);
        }
        // It has ended meanwhile, and what was open when it began is over all the same.
        Change::Ban { site, id, ban } => {
            live.end(site, Selector::JudgedUntil(id, ban.since), End::REVOKED);
        }
        Change::Logout { site, id, at } => {
            live.end(site, Selector::LoggedOut(id, *at), End::REVOKED);
        }
        Change::End { site, session, at } => {
            live.end(site, Selector::Session(session.0, *at), End::REVOKED);
        }
        Change::Hold { site, credential, until } if now < *until => {
            live.end(site, Selector::Session(credential.0, now), End::REVOKED);
        }
        Change::Hold { .. }
        | Change::Unban { .. }
        | Change::Use { .. }
        | Change::Bind { .. }
        | Change::Forget { .. }
        | Change::Chat { .. }
        | Change::Details { .. }
        | Change::Subscription { .. }
        | Change::Confirmation { .. }
        | Change::Delivery { .. }
        | Change::Progress { .. }
        | Change::Drop { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Reason;
    use crate::dialect::founding::jwt;
    use crate::gate::Mode;
    use crate::identity::{Identity, Proven};
    use crate::live::{Facts, Handle, Kind, Trust, Who};
    use crate::secret::Secret;
    use crate::store::{Ban, Binding, Digest};

    const BEFORE: UnixTime = UnixTime::from_secs(1000);
    const AFTER: UnixTime = UnixTime::from_secs(3000);

    fn guest() -> Facts {
        Facts {
            kind: Kind::WebSocket,
            site: "acme".into(),
            judged: BEFORE,
            generation: 1,
            mode: Mode::Prefer,
            who: Who::Guest(Reason::Missing),
            sessions: Box::default(),
            credential: None,
            method: http::Method::GET,
            path: "/".into(),
            client: None,
        }
    }

    fn of(id: &str, judged: UnixTime) -> Facts {
        let trust = Trust {
            id: Some(id.into()),
            dialect: "jwt".into(),
            key: "k".into(),
            print: 1,
            issued_at: Some(judged),
            expires: None,
        };
        let (sessions, credential) = ([[7; 16]].into(), Some([8; 16]));
        Facts { who: Who::Verified(trust), judged, sessions, credential, ..guest() }
    }

    fn heeded() -> (Arc<Memory>, Arc<Registry>) {
        let memory = Arc::new(Memory::new(&Secret::new(vec![1; 32])));
        let live = Registry::new();
        heed(&memory, live.clone());
        (memory, live)
    }

    /// What becomes of Ana's connection, of one she opened later, of Bob's and of a guest's.
    fn after(change: Change) -> [Option<End>; 4] {
        let (memory, live) = heeded();
        let facts = [of("ana", BEFORE), of("ana", AFTER), of("bob", AFTER), guest()];
        let handles = facts.map(|facts| live.open(facts, 0, BEFORE));
        memory.apply(&change);
        handles.each_ref().map(Handle::end)
    }

    #[test]
    fn what_is_remembered_of_somebody_ends_what_that_person_has_open() {
        let at = UnixTime::from_secs(2000);
        let [site, id]: [Arc<str>; 2] = ["acme".into(), "ana".into()];
        let ban = |until| Ban { reason: None, since: at, until };
        let revoked = Some(End::REVOKED);
        let banned = Change::Ban { site: site.clone(), id: id.clone(), ban: ban(None) };
        assert_eq!(after(banned), [Some(End::BANNED), Some(End::BANNED), None, None]);
        let lapsed = Change::Ban { site: site.clone(), id: id.clone(), ban: ban(Some(at)) };
        assert_eq!(after(lapsed), [revoked, None, None, None]);
        let logout = Change::Logout { site: site.clone(), id: id.clone(), at };
        assert_eq!(after(logout), [revoked, None, None, None]);
        let session = Digest([7; 16]);
        let end = Change::End { site: site.clone(), session, at };
        assert_eq!(after(end), [revoked, None, None, None]);
        let hold = |until| Change::Hold { site: site.clone(), credential: Digest([8; 16]), until };
        let lasting = hold(UnixTime::now().after(Duration::from_secs(60)));
        assert_eq!(after(lasting), [revoked, revoked, revoked, None], "whoever showed it");
        assert_eq!(after(hold(AFTER)), [None; 4], "it is over");
        assert_eq!(after(Change::Unban { site, id, at }), [None; 4]);
    }

    /// What becomes of a guest in the session in which Ana proved herself later, of Bob with
    /// his own proof in it, and of a guest elsewhere.
    fn after_proof(bound: UnixTime, change: &Change) -> [Option<End>; 3] {
        let (memory, live) = heeded();
        let of_session = |facts| Facts { sessions: [[7; 16]].into(), ..facts };
        let facts = [of_session(guest()), of_session(of("bob", AFTER)), guest()];
        let handles = facts.map(|facts| live.open(facts, 0, BEFORE));
        let proven = Proven { id: Some("ana".into()), ..Proven::default() };
        let ana = Identity::attest(proven);
        let binding = Binding::of(&ana, &jwt(), bound, UnixTime::from_secs(9000)).unwrap();
        let (site, binding) = ("acme".into(), Arc::new(binding));
        memory.apply(&Change::Bind { site, session: Digest([7; 16]), binding });
        memory.apply(change);
        handles.each_ref().map(Handle::end)
    }

    #[test]
    fn whoever_was_a_guest_before_proving_who_it_is_goes_with_the_identity() {
        let at = UnixTime::from_secs(2000);
        let [site, id]: [Arc<str>; 2] = ["acme".into(), "ana".into()];
        let ban = |until| {
            let ban = Ban { reason: None, since: at, until };
            Change::Ban { site: site.clone(), id: id.clone(), ban }
        };
        let (banned, revoked) = (Some(End::BANNED), Some(End::REVOKED));
        let logout = Change::Logout { site: site.clone(), id: id.clone(), at };
        assert_eq!(after_proof(BEFORE, &ban(None)), [banned, None, None]);
        assert_eq!(after_proof(BEFORE, &ban(Some(at))), [revoked, None, None]);
        assert_eq!(after_proof(BEFORE, &logout), [revoked, None, None]);
        assert_eq!(after_proof(AFTER, &logout), [None; 3], "it was proven anew since");
        assert_eq!(after_proof(AFTER, &ban(None)), [banned, None, None], "that does not help");
    }
}
