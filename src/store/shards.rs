//! A map that many threads read at once: a few maps, each behind a lock of its own that is
//! held for one look-up.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use parking_lot::RwLock;

/// Enough that a writer rarely keeps a reader waiting.
const SHARDS: usize = 32;

type Map<K, V> = HashMap<K, V, RandomState>;

/// The map.
pub struct Shards<K, V> {
    hasher: RandomState,
    shards: Box<[RwLock<Map<K, V>>]>,
    len: AtomicUsize,
}

impl<K: Hash + Eq, V> Default for Shards<K, V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        let shard = || RwLock::new(HashMap::with_hasher(hasher.clone()));
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher, len: AtomicUsize::new(0) }
    }
}

impl<K: Hash + Eq, V> Shards<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there are none: then nothing need be hashed or locked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at an entry.
    pub fn read<Q, T>(&self, key: &Q, look: impl FnOnce(&V) -> T) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if self.is_empty() {
            return None;
        }
        self.shard(key)?.read().get(key).map(look)
    }

    /// Changes the map where `key` belongs, and says what `change` says.
    pub fn write<Q, T>(&self, key: &Q, change: impl FnOnce(&mut Map<K, V>) -> T) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = self.shard(key)?.write();
        let before = shard.len();
        let result = change(&mut shard);
        self.count(before, shard.len());
        Some(result)
    }

    /// Drops what `keep` does not want, one shard after the other.
    pub fn retain(&self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write();
            let before = shard.len();
            shard.retain(&mut keep);
            self.count(before, shard.len());
        }
    }

    /// Looks at every entry, one shard after the other.
    pub fn each(&self, mut look: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            shard.read().iter().for_each(|(key, value)| look(key, value));
        }
    }

    fn count(&self, before: usize, after: usize) {
        if after >= before {
            self.len.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.len.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&RwLock<Map<K, V>>> {
        let hash = self.hasher.hash_one(key);
        // The high bits: the map inside takes the low ones.
        self.shards.get((hash >> 57) as usize % SHARDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_counted_and_dropped() {
        let shards = Shards::<String, u32>::default();
        assert_eq!(shards.read("a", |value| *value), None);
        for number in 0..1000 {
            shards.write(number.to_string().as_str(), |map| map.insert(number.to_string(), number));
        }
        assert_eq!((shards.len(), shards.read("77", |value| *value)), (1000, Some(77)));
        shards.write("77", |map| map.remove("77"));
        shards.retain(|_, value| *value % 2 == 0);
        assert_eq!((shards.len(), shards.read("77", |value| *value)), (500, None));
        let mut sum = 0;
        shards.each(|_, value| sum += value);
        assert_eq!(sum, (0..1000).filter(|number| number % 2 == 0).sum::<u32>());
    }
}
