//! The open connections of one site, and the ways to find those whose end has come without
//! looking at the others.
//!
//! A connection that has been ended stays listed under its number alone, until it is gone.
//! What nobody would be turned away for (`observe`, `off`) is not found by key or time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::entry::{Entry, Facts, Kind, SessionPrint};
use crate::clock::UnixTime;
use crate::gate::Mode;
use crate::plan::OnEnd;

/// The connections of one site.
pub(super) struct Connections {
    open: BTreeMap<u64, Slot>,
    sockets: Index<Arc<str>>,
    answers: Index<Arc<str>>,
    sessions: Index<SessionPrint>,
    keys: Index<u64>,
    expiries: BTreeSet<(UnixTime, u64)>,
    /// What the later proofs of those who are here have given to all that they concern.
    given: HashMap<Arc<str>, Vec<Given>>,
    /// Keys, among those found here, that the configuration itself is known to hold.
    pub configured: BTreeSet<u64>,
    /// The oldest Plan that any of them was judged under.
    pub judged: u64,
    /// Where the site was found in the Plan the last time.
    pub place: usize,
    /// What the site said the last time of those whose key goes.
    pub on_key_removal: OnEnd,
}

/// Until when a proof in these sessions lets connections last.
struct Given {
    sessions: Box<[SessionPrint]>,
    expires: Option<UnixTime>,
}

/// Of how many sessions of one identity that is remembered.
const GIVEN: usize = 8;

struct Slot {
    entry: Arc<Entry>,
    mode: Mode,
    expires: Option<UnixTime>,
    ended: bool,
}

/// Numbers by what they have in common, the oldest first.
type Index<K> = HashMap<K, BTreeSet<u64>>;

impl Default for Connections {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            sockets: HashMap::new(),
            answers: HashMap::new(),
            sessions: HashMap::new(),
            keys: HashMap::new(),
            expiries: BTreeSet::new(),
            given: HashMap::new(),
            configured: BTreeSet::new(),
            judged: u64::MAX,
            place: 0,
            on_key_removal: OnEnd::Close,
        }
    }
}

impl Connections {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Lists a new one.
    pub(super) fn insert(&mut self, entry: Arc<Entry>) {
        let (number, facts) = (entry.number, &entry.facts);
        self.judged = self.judged.min(facts.generation);
        if let Some(id) = facts.identity() {
            self.of_kind(facts.kind).entry(id.clone()).or_default().insert(number);
            self.given.remove(id);
        }
        for session in facts.prints() {
            self.sessions.entry(*session).or_default().insert(number);
        }
        let expires = facts.trust().and_then(|trust| trust.expires);
        let mode = facts.mode;
        self.open.insert(number, Slot { entry, mode, expires, ended: false });
        self.watch(number);
    }

    /// Forgets one that is gone.
    pub(super) fn remove(&mut self, number: u64) {
        self.end(number);
        self.open.remove(&number);
    }

    /// Takes one out of everything but the list, to be ended by the caller; none if it is
    /// not there or has been taken before.
    pub(super) fn end(&mut self, number: u64) -> Option<Arc<Entry>> {
        self.unwatch(number);
        let slot = self.open.get_mut(&number).filter(|slot| !slot.ended)?;
        slot.ended = true;
        let entry = slot.entry.clone();
        if let Some(id) = entry.facts.identity() {
            take_out(self.of_kind(entry.facts.kind), id, number);
            if !self.has_any(id) {
                self.given.remove(id);
            }
        }
        for session in entry.facts.prints() {
            take_out(&mut self.sessions, session, number);
        }
        Some(entry)
    }

    /// Those that are open and not being ended.
    pub(super) fn list(&self) -> impl Iterator<Item = (&Arc<Entry>, Mode, Option<UnixTime>)> {
        let open = self.open.values().filter(|slot| !slot.ended);
        open.map(|slot| (&slot.entry, slot.mode, slot.expires))
    }

    pub(super) fn mode(&self, number: u64) -> Option<Mode> {
        self.open.get(&number).map(|slot| slot.mode)
    }

    /// Those of them of which that is true.
    pub(super) fn those(&self, mut of: Vec<u64>, fit: impl Fn(&Facts) -> bool) -> Vec<u64> {
        of.retain(|number| self.open.get(number).is_some_and(|slot| fit(&slot.entry.facts)));
        of
    }

    fn has_any(&self, id: &str) -> bool {
        self.sockets.contains_key(id) || self.answers.contains_key(id)
    }

    /// Takes note of a proof of an identity; whether it may let anything last longer.
    pub(super) fn gives(
        &mut self,
        id: &str,
        sessions: &[SessionPrint],
        expires: Option<UnixTime>,
    ) -> bool {
        let here = self.sockets.get_key_value(id).or_else(|| self.answers.get_key_value(id));
        let Some((id, _)) = here else { return false };
        let covers = |given: &Given| {
            (given.sessions.is_empty() || *given.sessions == *sessions)
                && !is_later(given.expires, expires)
        };
        let given = self.given.entry(id.clone()).or_default();
        if given.iter().any(covers) {
            return false;
        }
        given.retain(|given| *given.sessions != *sessions);
        if given.len() == GIVEN {
            given.remove(0);
        }
        given.push(Given { sessions: sessions.into(), expires });
        true
    }

    /// All of an identity's, on every device.
    pub(super) fn of_identity(&self, id: &str) -> Vec<u64> {
        let kinds = [self.sockets.get(id), self.answers.get(id)];
        kinds.into_iter().flatten().flatten().copied().collect()
    }

    pub(super) fn of_session(&self, session: &SessionPrint) -> Vec<u64> {
        self.sessions.get(session).into_iter().flatten().copied().collect()
    }

    /// An identity's oldest WebSocket, if it has more of them than that.
    pub(super) fn beyond(&self, most: usize, id: &str) -> Option<u64> {
        self.sockets.get(id).filter(|numbers| numbers.len() > most)?.first().copied()
    }

    /// The prints of the keys that any of them rests on.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.keys.keys().copied()
    }

    pub(super) fn of_key(&self, print: u64) -> Vec<u64> {
        self.keys.get(&print).into_iter().flatten().copied().collect()
    }

    /// Those whose proof ended at that moment or before.
    pub(super) fn expired(&self, at: UnixTime) -> Vec<u64> {
        self.expiries.range(..=(at, u64::MAX)).map(|(_, number)| *number).collect()
    }

    /// Lets one last until then, if that is later; `None` is for ever.
    pub(super) fn extend(&mut self, number: u64, expires: Option<UnixTime>) -> bool {
        let Some(slot) = self.open.get(&number).filter(|slot| !slot.ended) else { return false };
        let later = is_later(slot.expires, expires);
        if later {
            self.unwatch(number);
            if let Some(slot) = self.open.get_mut(&number) {
                slot.expires = expires;
            }
            self.watch(number);
        }
        later
    }

    /// Another mode holds where it was let in.
    pub(super) fn set_mode(&mut self, number: u64, mode: Mode) {
        self.unwatch(number);
        if let Some(slot) = self.open.get_mut(&number) {
            slot.mode = mode;
        }
        self.watch(number);
    }

    /// Makes it found by key and time.
    fn watch(&mut self, number: u64) {
        let Some(slot) = self.open.get(&number) else { return };
        if slot.ended || !slot.mode.cleans() {
            return;
        }
        if let Some(trust) = slot.entry.facts.trust() {
            self.keys.entry(trust.print).or_default().insert(number);
        }
        if let Some(expires) = slot.expires {
            self.expiries.insert((expires, number));
        }
    }

    fn unwatch(&mut self, number: u64) {
        let Some(slot) = self.open.get(&number) else { return };
        if let Some(trust) = slot.entry.facts.trust() {
            take_out(&mut self.keys, &trust.print, number);
        }
        if let Some(expires) = slot.expires {
            self.expiries.remove(&(expires, number));
        }
    }

    fn of_kind(&mut self, kind: Kind) -> &mut Index<Arc<str>> {
        match kind {
            Kind::WebSocket => &mut self.sockets,
            Kind::Answer => &mut self.answers,
        }
    }
}

/// Whether an end is later than another; `None` is never.
fn is_later(old: Option<UnixTime>, new: Option<UnixTime>) -> bool {
    old.is_some_and(|old| new.is_none_or(|new| new > old))
}

fn take_out<K: Eq + Hash>(index: &mut Index<K>, key: &K, number: u64) {
    if let Some(numbers) = index.get_mut(key) {
        numbers.remove(&number);
        if numbers.is_empty() {
            index.remove(key);
        }
    }
}
