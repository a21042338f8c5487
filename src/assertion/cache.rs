//! Tokens that can be used again, assertions and others: found by all that they say, so that nobody is ever
//! handed another one's.

use std::collections::HashMap;

use ahash::RandomState;
use http::HeaderValue;
use parking_lot::Mutex;

use crate::clock::UnixTime;

/// Enough that threads rarely wait for each other.
const SHARDS: usize = 16;
/// Bytes in one shard; beyond, what can no longer be used goes, and if that is not enough,
/// everything: it is signed anew.
const MOST: usize = 1024 * 1024;

/// The cache.
#[derive(Default)]
pub struct Cache {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    entries: HashMap<String, (HeaderValue, UnixTime), RandomState>,
    bytes: usize,
}

impl Cache {
    /// One that says just this and can still be used.
    pub fn get(&self, content: &str, now: UnixTime) -> Option<HeaderValue> {
        let shard = self.shard(content)?.lock();
        let (value, until) = shard.entries.get(content)?;
        (now < *until).then(|| value.clone())
    }

    /// Keeps one for a while.
    pub fn put(&self, content: String, value: HeaderValue, now: UnixTime, until: UnixTime) {
        let Some(shard) = self.shard(&content) else { return };
        let mut shard = shard.lock();
        let size = content.len() + value.len();
        if shard.bytes + size > MOST {
            shard.entries.retain(|_, (_, until)| now < *until);
            shard.bytes =
                shard.entries.iter().map(|(text, (value, _))| text.len() + value.len()).sum();
            if shard.bytes + size > MOST {
                shard.entries.clear();
                shard.bytes = 0;
            }
        }
        let same = content.len();
        let before = shard.entries.insert(content, (value, until));
        shard.bytes += size;
        shard.bytes -= before.map_or(0, |(value, _)| value.len() + same);
    }

    fn shard(&self, content: &str) -> Option<&Mutex<Shard>> {
        let hash = self.hasher.hash_one(content);
        // The high bits: the map inside takes the low ones.
        self.shards.get((hash >> 57) as usize % SHARDS)
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cache")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn what_is_kept_stays_within_its_bound() {
        let cache = Cache::default();
        let value = || HeaderValue::try_from("v".repeat(1000)).unwrap();
        for number in 0..40_000 {
            cache.put(format!("content {number}"), value(), at(1), at(2));
        }
        assert!(cache.shards.iter().all(|shard| shard.lock().bytes <= MOST));
        cache.put("one".into(), value(), at(1), at(2));
        cache.put("one".into(), value(), at(1), at(2));
        assert!(cache.get("one", at(1)).is_some() && cache.get("one", at(2)).is_none());
        for shard in &cache.shards {
            let shard = shard.lock();
            let sum: usize =
                shard.entries.iter().map(|(text, (value, _))| text.len() + value.len()).sum();
            assert_eq!(sum, shard.bytes);
        }
    }
}
