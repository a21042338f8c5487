//! The sessions of a site: which identity each stands for, and which go first when there
//! are too many.
//!
//! What goes leaves a tombstone ([`Binding::stands`]): nobody gets rid of a session that is
//! to refuse him by having many others. Of tombstones there are as many as of sessions;
//! beyond, the oldest is forgotten, rather one that keeps nobody out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::change::Binding;
use super::digest::Digest;
use super::shards::Shards;
use crate::clock::UnixTime;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In a site.
    pub all: usize,
    /// Of one identity.
    pub of_one: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { all: 100_000, of_one: 32 }
    }
}

/// The sessions.
#[derive(Default)]
pub struct Sessions {
    bindings: Shards<Digest, Arc<Binding>>,
    index: Mutex<Index>,
}

/// Who has which sessions, the oldest first; only writers need it.
#[derive(Default)]
struct Index {
    limits: Limits,
    all: BTreeSet<(UnixTime, Digest)>,
    of_one: HashMap<Arc<str>, BTreeSet<(UnixTime, Digest)>>,
    /// Those that have made room, which are in neither of the others.
    evicted: BTreeSet<(UnixTime, Digest)>,
}

/// Among how many of the oldest tombstones one is sought that keeps nobody out.
const LOOKED_AT: usize = 64;

impl Index {
    fn add(&mut self, session: Digest, binding: &Binding) {
        if !binding.stands() {
            self.evicted.insert((binding.bound, session));
            return;
        }
        self.all.insert((binding.bound, session));
        self.of_one.entry(binding.id().clone()).or_default().insert((binding.bound, session));
    }

    fn remove(&mut self, session: Digest, binding: &Binding) {
        self.evicted.remove(&(binding.bound, session));
        self.all.remove(&(binding.bound, session));
        if let Some(own) = self.of_one.get_mut(binding.id()) {
            own.remove(&(binding.bound, session));
            if own.is_empty() {
                self.of_one.remove(binding.id());
            }
        }
    }

    /// The oldest session of whoever has too many, but not the one just bound.
    fn too_many(&self, id: &str, just_bound: Digest) -> Option<Digest> {
        let own = self.of_one.get(id).filter(|own| own.len() > self.limits.of_one);
        let all = Some(&self.all).filter(|all| all.len() > self.limits.all);
        let mut oldest = own.or(all)?.iter().map(|(_, session)| *session);
        oldest.find(|session| *session != just_bound)
    }

    /// The oldest tombstone, if there are too many; one that keeps nobody out before others.
    fn too_many_evicted(&self, keeps_out: impl Fn(&Digest) -> bool) -> Option<Digest> {
        let oldest = self.evicted.first().filter(|_| self.evicted.len() > self.limits.all)?;
        let mut some = self.evicted.iter().take(LOOKED_AT);
        Some(some.find(|(_, session)| !keeps_out(session)).unwrap_or(oldest).1)
    }
}

/// What a site has to say about its sessions.
pub trait Wishes {
    /// Whether all that was proven until this was is to be forgotten.
    fn has_forgotten(&self, binding: &Binding) -> bool;

    /// Whether whoever carries it is refused.
    fn keeps_out(&self, binding: &Binding) -> bool;
}

impl Sessions {
    /// Sets how many there may be.
    pub fn limit(&self, limits: Limits) {
        self.index.lock().limits = limits;
    }

    /// How many there may be.
    #[cfg(feature = "redis")]
    pub fn limits(&self) -> Limits {
        self.index.lock().limits
    }

    /// How many stand for somebody.
    pub fn len(&self) -> usize {
        self.index.lock().all.len()
    }

    /// What a session stands or stood for.
    pub fn get(&self, session: &Digest) -> Option<Arc<Binding>> {
        self.bindings.read(session, Arc::clone)
    }

    /// The sessions that stand for an identity.
    pub fn of(&self, id: &str) -> Vec<(Digest, Arc<Binding>)> {
        let index = self.index.lock();
        let own = index.of_one.get(id).into_iter().flatten();
        own.filter_map(|(_, session)| Some((*session, self.get(session)?))).collect()
    }

    /// Looks at every one.
    pub fn each(&self, look: impl FnMut(&Digest, &Arc<Binding>)) {
        self.bindings.each(look);
    }

    /// Binds a session, unless it was bound later already or is another identity's, or the
    /// site does not want it.
    pub fn bind(&self, session: Digest, binding: &Arc<Binding>, site: &impl Wishes) {
        let mut index = self.index.lock();
        // Asked under the lock: what is forgotten meanwhile finds it bound.
        if binding.stands() && site.has_forgotten(binding) {
            return;
        }
        if let Some(before) = self.get(&session) {
            if !before.yields_to(binding) {
                tracing::debug!("a session was bound later, or stays another identity's");
                return;
            }
            index.remove(session, &before);
        }
        index.add(session, binding);
        self.put(session, Some(binding.clone()));
        while let Some(oldest) = index.too_many(binding.id(), session) {
            self.evict(&mut index, oldest);
        }
        let keeps_out = |one: &Digest| self.get(one).is_some_and(|one| site.keeps_out(&one));
        while let Some(oldest) = index.too_many_evicted(keeps_out) {
            if let Some(gone) = self.put(oldest, None) {
                index.remove(oldest, &gone);
            }
        }
    }

    fn evict(&self, index: &mut Index, session: Digest) {
        let Some(before) = self.get(&session) else { return };
        index.remove(session, &before);
        let left = Arc::new(before.evicted());
        index.add(session, &left);
        self.put(session, Some(left));
    }

    /// Ends a session that was not bound anew since.
    pub fn end(&self, session: &Digest, at: UnixTime) {
        let _index = self.index.lock();
        let Some(before) = self.get(session).filter(|binding| binding.bound <= at) else { return };
        self.put(*session, Some(Arc::new(before.ended(at))));
    }

    /// Forgets who an identity is whose sessions were bound until then, and that they stood
    /// for it.
    pub fn forget(&self, id: &str, at: UnixTime) {
        for (session, known) in self.of(id) {
            let mut index = self.index.lock();
            let still =
                self.get(&session).is_some_and(|now| now.id() == known.id() && now.bound <= at);
            if still {
                self.evict(&mut index, session);
            }
        }
    }

    /// Forgets what is over, unless its identity is still to be kept out.
    pub fn purge(&self, now: UnixTime, keep: impl Fn(&str) -> bool) {
        let mut over = Vec::new();
        self.bindings.each(|session, binding| {
            if binding.until <= now && !keep(binding.id()) {
                over.push((*session, binding.clone()));
            }
        });
        for (session, binding) in over {
            self.drop_one(session, &binding);
        }
    }

    fn drop_one(&self, session: Digest, expected: &Arc<Binding>) {
        let mut index = self.index.lock();
        if self.get(&session).is_some_and(|binding| Arc::ptr_eq(&binding, expected)) {
            self.put(session, None);
            index.remove(session, expected);
        }
    }

    fn put(&self, session: Digest, binding: Option<Arc<Binding>>) -> Option<Arc<Binding>> {
        self.bindings.write(&session, |map| match binding {
            Some(binding) => map.insert(session, binding),
            None => map.remove(&session),
        })?
    }
}

#[cfg(test)]
mod tests;
