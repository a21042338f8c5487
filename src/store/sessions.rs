//! The sessions of a site: which identity each stands for, and which go first when there
//! are too many.

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
}

impl Index {
    fn add(&mut self, session: Digest, binding: &Binding) {
        self.all.insert((binding.bound, session));
        self.of_one.entry(binding.id().clone()).or_default().insert((binding.bound, session));
    }

    fn remove(&mut self, session: Digest, binding: &Binding) {
        self.all.remove(&(binding.bound, session));
        if let Some(own) = self.of_one.get_mut(binding.id()) {
            own.remove(&(binding.bound, session));
            if own.is_empty() {
                self.of_one.remove(binding.id());
            }
        }
    }

    /// The oldest session of whoever has too many.
    fn too_many(&self, id: &str) -> Option<Digest> {
        let own = self.of_one.get(id).filter(|own| own.len() > self.limits.of_one);
        let all = Some(&self.all).filter(|all| all.len() > self.limits.all);
        own.or(all)?.first().map(|(_, session)| *session)
    }
}

impl Sessions {
    /// Sets how many there may be.
    pub fn limit(&self, limits: Limits) {
        self.index.lock().limits = limits;
    }

    /// How many there may be.
    pub fn limits(&self) -> Limits {
        self.index.lock().limits
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bindings.len()
    }

    /// What a session stands or stood for.
    pub fn get(&self, session: &Digest) -> Option<Arc<Binding>> {
        self.bindings.read(session, Arc::clone)
    }

    /// The sessions of an identity.
    pub fn of(&self, id: &str) -> Vec<(Digest, Arc<Binding>)> {
        let index = self.index.lock();
        let own = index.of_one.get(id).into_iter().flatten();
        own.filter_map(|(_, session)| Some((*session, self.get(session)?))).collect()
    }

    /// Looks at every one.
    pub fn each(&self, look: impl FnMut(&Digest, &Arc<Binding>)) {
        self.bindings.each(look);
    }

    /// Binds a session, unless it was bound later already.
    pub fn bind(&self, session: Digest, binding: &Arc<Binding>) {
        let mut index = self.index.lock();
        if let Some(before) = self.get(&session) {
            if before.bound.max(before.ended.unwrap_or_default()) > binding.bound {
                return;
            }
            index.remove(session, &before);
        }
        index.add(session, binding);
        self.put(session, Some(binding.clone()));
        while let Some(oldest) = index.too_many(binding.id()) {
            if let Some(gone) = self.put(oldest, None) {
                index.remove(oldest, &gone);
            }
        }
    }

    /// Ends a session that was not bound anew since.
    pub fn end(&self, session: &Digest, at: UnixTime) {
        let _index = self.index.lock();
        let Some(before) = self.get(session).filter(|binding| binding.bound <= at) else { return };
        self.put(*session, Some(Arc::new(before.ended(at))));
    }

    /// Forgets the sessions of an identity that were bound until then.
    pub fn forget(&self, id: &str, at: UnixTime) {
        for (session, binding) in self.of(id) {
            if binding.bound <= at {
                self.drop_one(session, &binding);
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
