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
pub fn heed(memory: &Memory, live: Arc<Registry>) {
    memory.listen(move |change| act_on(change, &live, UnixTime::now()));
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
        Change::Hold { site, credential, .. } => {
            live.end(site, Selector::Session(credential.0, now), End::REVOKED);
        }
        Change::Unban { .. } | Change::Use { .. } | Change::Bind { .. } | Change::Forget { .. } => {
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Reason;
    use crate::gate::Mode;
    use crate::live::{Facts, Handle, Kind, Trust, Who};
    use crate::secret::Secret;
    use crate::store::{Ban, Digest};

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

    /// What becomes of Ana's connection, of one she opened later, of Bob's and of a guest's.
    fn after(change: Change) -> [Option<End>; 4] {
        let memory = Memory::new(&Secret::new(vec![1; 32]));
        let live = Registry::new();
        heed(&memory, live.clone());
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
        let (credential, until) = (Digest([8; 16]), UnixTime::from_secs(4000));
        let hold = Change::Hold { site: site.clone(), credential, until };
        assert_eq!(after(hold), [revoked, revoked, revoked, None], "whoever showed it");
        assert_eq!(after(Change::Unban { site, id, at }), [None; 4]);
    }
}
