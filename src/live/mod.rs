//! Live connections: a token is checked at a door, and a chat lasts an hour.
//!
//! Every open WebSocket, and every answer to a verified visitor that streams, is listed in
//! the [`Registry`] for as long as its [`Handle`] lives. It is ended by us
//!
//! - when its identity is banned or logs out, or an operator asks for it ([`Registry::end`]),
//! - when the key that proved it goes, when its proof has expired (`live.on_expiry: close`),
//!   or when guests like it are let in no more ([`Registry::sweep`]),
//! - when its identity opens more WebSockets than it may ([`Registry::open`]).
//!
//! To end is to ring: [`Handle::ended`] resolves, and whoever holds the connection says
//! goodbye in its own way. The first end counts. Modes `observe` and `off` turn nobody away
//! for identity, so there only an operator and the number of connections end anything.
//!
//! A connection is listed after it was judged, and what is banned in between would be
//! missed: whoever lists one looks at the memory of bans once more after [`Registry::open`].
//! Keys, time and modes need no such look; the next sweep finds them.
//!
//! Nothing here waits or knows a server. One lock a site, held for a few look-ups; nobody is
//! rung under it.

mod connections;
mod end;
mod entry;
mod handle;
mod sweep;
#[cfg(test)]
mod testing;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use self::connections::Connections;
use crate::clock::UnixTime;

pub use end::End;
pub use entry::{Entry, Facts, Kind, SessionPrint, Trust, Who};
pub use handle::Handle;

/// Every live connection of the process.
#[derive(Default)]
pub struct Registry {
    last: AtomicU64,
    /// Written only when a site's first connection comes or its last one goes. Nobody takes
    /// it twice at a time.
    sites: RwLock<HashMap<Arc<str>, Mutex<Connections>>>,
}

/// Which connections of a site are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector<'s> {
    /// All of an identity's, on every device.
    Identity(&'s str),
    /// Those of an identity that were judged until then.
    JudgedUntil(&'s str, UnixTime),
    /// Those of an identity that was logged out then: judged until then, or by a credential
    /// that was issued until then.
    LoggedOut(&'s str, UnixTime),
    /// Those of one session of the backend, or that one credential opened, that were judged
    /// until then.
    Session(SessionPrint, UnixTime),
    /// Those of one session of the backend that guests have and that were judged until then.
    GuestsOf(SessionPrint, UnixTime),
    /// The one with this number.
    Number(u64),
    /// Every one.
    All,
}

/// A connection as it stands now.
#[derive(Clone)]
pub struct Listed {
    /// What was known when it opened.
    pub entry: Arc<Entry>,
    /// When its proof ends, later proofs included.
    pub expires: Option<UnixTime>,
}

impl Registry {
    /// With nothing open.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Lists a connection until its handle is dropped. If its identity then has more than
    /// `most` WebSockets (0: any number), the oldest are ended.
    pub fn open(self: &Arc<Self>, facts: Facts, most: usize, now: UnixTime) -> Handle {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(Entry::new(number, facts, now));
        let site = &entry.facts.site;
        let insert = |connections: &mut Connections| {
            connections.insert(entry.clone());
            let mut too_many = Vec::new();
            if let Some(id) = entry.facts.identity().filter(|_| most > 0) {
                while let Some(oldest) = connections.beyond(most, id) {
                    too_many.extend(connections.end(oldest).map(|entry| (entry, End::TOO_MANY)));
                }
            }
            too_many
        };
        let too_many = self.with(site, insert).unwrap_or_else(|| {
            let mut sites = self.sites.write();
            insert(sites.entry(site.clone()).or_default().get_mut())
        });
        ring(site, too_many);
        Handle::new(self.clone(), entry)
    }

    /// Does something with a site's connections, if it has had any lately.
    fn with<T>(&self, site: &str, act: impl FnOnce(&mut Connections) -> T) -> Option<T> {
        let sites = self.sites.read();
        let connections = sites.get(site)?;
        Some(act(&mut connections.lock()))
    }

    /// Ends the connections of a site that are meant, and returns how many those are.
    pub fn end(&self, site: &str, selector: Selector<'_>, end: End) -> usize {
        let end_them = |connections: &mut Connections| {
            let mut ended = Vec::new();
            let numbers = match selector {
                Selector::Identity(id) => connections.of_identity(id),
                Selector::JudgedUntil(id, at) => {
                    connections.those(connections.of_identity(id), |facts| facts.judged <= at)
                }
                Selector::LoggedOut(id, at) => {
                    connections.those(connections.of_identity(id), |facts| facts.precede(at))
                }
                Selector::Session(session, at) => {
                    connections.those(connections.of_session(&session), |facts| facts.judged <= at)
                }
                Selector::GuestsOf(session, at) => {
                    let fit = |facts: &Facts| facts.trust().is_none() && facts.judged <= at;
                    connections.those(connections.of_session(&session), fit)
                }
                Selector::Number(number) => vec![number],
                Selector::All => connections.list().map(|(entry, ..)| entry.number).collect(),
            };
            for number in numbers {
                let judges = |connections: &Connections| {
                    connections.mode(number).is_some_and(|mode| mode.cleans())
                };
                if !end.judges_identity() || judges(connections) {
                    ended.extend(connections.end(number).map(|entry| (entry, end)));
                }
            }
            ended
        };
        ring(site, self.with(site, end_them).unwrap_or_default())
    }

    /// Lets an identity's connections last until `expires`, where that is later (`None` is
    /// for ever). A proof that was brought in sessions concerns those of these sessions, and
    /// those that named none. Returns how many were looked at: none, where as much has been
    /// given already, as by most requests.
    pub fn extend(
        &self,
        site: &str,
        id: &str,
        sessions: &[SessionPrint],
        expires: Option<UnixTime>,
    ) -> usize {
        let extend = |connections: &mut Connections| {
            if !connections.gives(id, sessions, expires) {
                return 0;
            }
            let fits = |facts: &Facts| {
                let own = &facts.sessions;
                sessions.is_empty()
                    || own.is_empty()
                    || own.iter().any(|own| sessions.contains(own))
            };
            let concerned = connections.those(connections.of_identity(id), fits);
            for number in &concerned {
                connections.extend(*number, expires);
            }
            concerned.len()
        };
        self.with(site, extend).unwrap_or_default()
    }

    /// The connections of a site, the oldest first, without those that are being ended.
    pub fn list(&self, site: &str) -> Vec<Listed> {
        let listed = |(entry, _, expires): (&Arc<Entry>, _, _)| {
            let entry = entry.clone();
            Listed { entry, expires }
        };
        self.with(site, |connections| connections.list().map(listed).collect()).unwrap_or_default()
    }

    fn close(&self, entry: &Entry) {
        let site = &entry.facts.site;
        let remove = |connections: &mut Connections| {
            connections.remove(entry.number);
            connections.is_empty()
        };
        if self.with(site, remove) == Some(true) {
            let mut sites = self.sites.write();
            // Another may have come meanwhile.
            if sites.get_mut(site).is_some_and(|connections| connections.get_mut().is_empty()) {
                sites.remove(site);
            }
        }
    }
}

/// Rings each of a site's connections, and says in the log how many there were.
fn ring(site: &str, ended: Vec<(Arc<Entry>, End)>) -> usize {
    let count = ended.len();
    let mut reasons: Vec<(End, usize)> = Vec::new();
    for (entry, end) in ended {
        entry.ring(end);
        match reasons.iter_mut().find(|(known, _)| known.reason == end.reason) {
            Some((_, count)) => *count += 1,
            None => reasons.push((end, 1)),
        }
    }
    for (end, connections) in reasons {
        let reason = end.reason.name();
        tracing::info!(site, reason, connections, "ending live connections");
    }
    count
}

#[cfg(test)]
mod tests {
    use super::testing::{NOW, guest, later, of, verified};
    use super::*;
    use crate::dialect::Reason;
    use crate::gate::Mode;

    fn open(registry: &Arc<Registry>, facts: Facts) -> Handle {
        registry.open(facts, 0, NOW)
    }

    fn numbers(registry: &Registry) -> Vec<u64> {
        registry.list("acme").iter().map(|listed| listed.entry.number).collect()
    }

    #[tokio::test]
    async fn a_ban_ends_all_of_an_identity_and_nobody_else() {
        let registry = Registry::new();
        let mine = [
            open(&registry, verified("ana")),
            open(&registry, Facts { kind: Kind::Answer, ..verified("ana") }),
        ];
        let others = [
            open(&registry, verified("bob")),
            open(&registry, guest(Reason::Missing)),
            open(&registry, Facts { site: "other".into(), ..verified("ana") }),
        ];
        assert_eq!(registry.end("acme", Selector::Identity("ana"), End::BANNED), 2);
        for handle in &mine {
            let end = handle.ended().await;
            assert_eq!((end.code, end.text, end.reason.name()), (3003, "banned", "banned"));
        }
        assert!(others.iter().all(|handle| handle.end().is_none()));
        assert_eq!(numbers(&registry), [3, 4], "what is being ended is not listed");
        assert_eq!(registry.end("acme", Selector::Identity("ana"), End::REVOKED), 0);
        assert_eq!(mine[0].ended().await, End::BANNED, "the first end counts");
    }

    #[test]
    fn the_others_are_chosen_by_session_by_number_and_all_at_once() {
        let registry = Registry::new();
        let of_session = |n| Facts { sessions: [[0; 16], [n; 16]].into(), ..verified("ana") };
        let handles = [
            open(&registry, of_session(1)),
            open(&registry, of_session(2)),
            open(&registry, verified("ana")),
            open(&registry, guest(Reason::Missing)),
        ];
        let ended = || handles.iter().map(|handle| handle.end()).collect::<Vec<_>>();
        assert_eq!(registry.end("acme", Selector::Session([2; 16], NOW), End::REVOKED), 1);
        assert_eq!(ended(), [None, Some(End::REVOKED), None, None]);
        assert_eq!(registry.end("acme", Selector::Number(99), End::BY_OPERATOR), 0);
        assert_eq!(registry.end("other", Selector::Number(4), End::BY_OPERATOR), 0);
        assert_eq!(registry.end("acme", Selector::Number(4), End::BY_OPERATOR), 1);
        assert_eq!(registry.end("acme", Selector::All, End::BY_OPERATOR), 2);
        assert!(ended().iter().all(Option::is_some) && numbers(&registry).is_empty());
    }

    #[test]
    fn a_logout_ends_what_was_judged_or_issued_before_it() {
        let registry = Registry::new();
        let issued = |judged, at| {
            let mut facts = Facts { judged, sessions: [[1; 16]].into(), ..verified("ana") };
            if let Who::Verified(trust) = &mut facts.who {
                trust.issued_at = at;
            }
            facts
        };
        let handles = [
            open(&registry, issued(NOW, None)),
            open(&registry, issued(later(9), Some(NOW))),
            open(&registry, issued(later(9), Some(later(8)))),
            open(&registry, issued(later(9), None)),
        ];
        let ended = || handles.iter().map(|handle| handle.end().is_some()).collect::<Vec<_>>();
        assert_eq!(registry.end("acme", Selector::Session([1; 16], later(4)), End::REVOKED), 1);
        assert_eq!(ended(), [true, false, false, false]);
        assert_eq!(registry.end("acme", Selector::LoggedOut("ana", later(5)), End::REVOKED), 1);
        assert_eq!(ended(), [true, true, false, false], "the others have come back since");
    }

    #[test]
    fn nobody_is_ended_for_identity_where_nobody_is_turned_away_for_it() {
        let registry = Registry::new();
        let handle = open(&registry, Facts { mode: Mode::Observe, ..verified("ana") });
        assert_eq!(registry.end("acme", Selector::Identity("ana"), End::BANNED), 0);
        assert_eq!(registry.end("acme", Selector::Identity("ana"), End::BY_OPERATOR), 1);
        assert_eq!(handle.end(), Some(End::BY_OPERATOR));
    }

    #[test]
    fn of_too_many_websockets_the_oldest_are_ended() {
        let registry = Registry::new();
        let open = |facts| registry.open(facts, 2, NOW);
        let bob = open(verified("bob"));
        let streams = [0; 3].map(|_| open(Facts { kind: Kind::Answer, ..verified("ana") }));
        let guests = [0; 3].map(|_| open(guest(Reason::Missing)));
        let [first, second, third] = [0; 3].map(|_| open(verified("ana")));
        assert_eq!(first.end(), Some(End::TOO_MANY));
        let untouched = [&bob, &second, &third].into_iter().chain(&streams).chain(&guests);
        assert!(untouched.into_iter().all(|handle| handle.end().is_none()));
        drop(third);
        let fourth = open(verified("ana"));
        assert!(second.end().is_none() && fourth.end().is_none(), "there was room again");
    }

    #[test]
    fn what_is_gone_leaves_nothing_behind() {
        let registry = Registry::new();
        let session = |facts| Facts { sessions: [[7; 16]].into(), ..facts };
        let handles: Vec<_> = (0..10)
            .map(|n| open(&registry, session(of(&n.to_string(), 1, Some(later(n))))))
            .chain([open(&registry, guest(Reason::Missing))])
            .collect();
        registry.end("acme", Selector::Identity("3"), End::BANNED);
        assert_eq!(registry.list("acme").len(), 10);
        drop(handles);
        assert!(registry.sites.read().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_and_whoever_asked_is_called() {
        let registry = Registry::new();
        let handle = open(&registry, verified("ana"));
        let (sender, called) = tokio::sync::oneshot::channel();
        handle.on_end(move || sender.send(()).unwrap());
        let waiting = tokio::spawn(async move { handle.ended().await });
        tokio::task::yield_now().await;
        registry.end("acme", Selector::All, End::REVOKED);
        assert_eq!(waiting.await.unwrap(), End::REVOKED);
        called.await.unwrap();

        let late = open(&registry, verified("ana"));
        registry.end("acme", Selector::All, End::REVOKED);
        let (sender, called) = tokio::sync::oneshot::channel();
        late.on_end(move || sender.send(()).unwrap());
        called.await.unwrap();
    }

    #[test]
    fn a_later_proof_moves_the_end_forward_and_never_back() {
        let registry = Registry::new();
        let expiring = |session: Option<u8>| Facts {
            sessions: session.map(|n| [n; 16]).into_iter().collect(),
            ..of("ana", 1, Some(later(10)))
        };
        let sessions = [Some(1), Some(2), None];
        let _open = sessions.map(|session| open(&registry, expiring(session)));
        let _bob = open(&registry, of("bob", 1, Some(later(10))));
        let expiries = || {
            let listed = registry.list("acme");
            listed.iter().map(|listed| listed.expires).collect::<Vec<_>>()
        };
        let ten = Some(later(10));
        assert_eq!(registry.extend("acme", "ana", &[], Some(later(5))), 3);
        assert_eq!(registry.extend("acme", "ana", &[], Some(later(5))), 0, "nothing new");
        assert_eq!(registry.extend("acme", "ana", &[[2; 16]], Some(later(5))), 0, "of theirs");
        assert_eq!(expiries(), [ten; 4]);
        assert_eq!(registry.extend("acme", "ana", &[[2; 16], [9; 16]], Some(later(20))), 2);
        assert_eq!(expiries(), [ten, Some(later(20)), Some(later(20)), ten]);
        assert_eq!(registry.extend("acme", "ana", &[], None), 3);
        assert_eq!(registry.extend("acme", "ana", &[], Some(later(99))), 0);
        assert_eq!(expiries(), [None, None, None, ten]);
        assert_eq!(registry.extend("acme", "nobody", &[], None), 0);
        let _younger = open(&registry, expiring(Some(3)));
        assert_eq!(registry.extend("acme", "ana", &[], Some(later(30))), 4, "one is new");
        assert_eq!(expiries().last(), Some(&Some(later(30))));
    }

    #[test]
    fn what_was_given_is_remembered_for_a_few_sessions_and_while_there_is_somebody() {
        let registry = Registry::new();
        let ana = open(&registry, of("ana", 1, Some(later(10))));
        let give = |session: u8| registry.extend("acme", "ana", &[[session; 16]], Some(later(20)));
        for session in 0..20 {
            assert_eq!((give(session), give(session)), (1, 0));
        }
        assert_eq!((give(19), give(0)), (0, 1));
        drop(ana);
        let _again = open(&registry, of("ana", 1, Some(later(10))));
        assert_eq!(give(19), 1);
    }
}
