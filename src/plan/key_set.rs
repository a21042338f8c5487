//! Keys that a site fetches from a URL: the one part of a Plan that changes while it is in
//! force.
//!
//! What is fetched takes the place of what was there: a key that has left the set proves
//! nothing from that moment. An error changes nothing, until the keys are older than
//! `stale_for`: then they are as good as never fetched, and the site answers `unavailable`
//! rather than trust keys that may have been withdrawn.
//!
//! A reload hands the sets on to the next Plan, so that no site forgets its keys.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::flight::Flight;
use crate::clock::UnixTime;
use crate::dialect::jwk::{self, Terms};
use crate::dialect::keyring::KeyError;
use crate::dialect::{Key, Keyring};

/// Where a set comes from, as the configuration says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    /// `https://login.acme.example/jwks.json`.
    pub url: http::Uri,
    /// How often it is fetched again.
    pub refresh: Duration,
    /// How long an unknown `kid` may wait for a fetch; zero: none is made for it.
    pub wait: Duration,
    /// How long keys stay in force while fetching fails.
    pub stale_for: Duration,
    /// What the keys are for.
    pub terms: Terms,
}

/// A set and what is known of it now.
#[derive(Debug)]
pub struct KeySet {
    /// What the configuration says.
    pub source: KeySource,
    /// One fetch at a time.
    pub flight: Flight,
    fetched: ArcSwap<Fetched>,
}

/// The outcome of the fetches so far.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// Counts up with each change.
    version: u64,
    /// The keys in force.
    pub keys: Vec<Arc<Key>>,
    /// When they were fetched; none: never, or too long ago.
    pub at: Option<UnixTime>,
    /// Why the last fetch failed, if it did.
    pub problem: Option<String>,
    /// Keys of the document that cannot be used here, and why.
    pub passed_over: Arc<[String]>,
    document: Arc<[u8]>,
}

impl KeySource {
    /// The URL for people: without its query, where some providers want a token.
    pub fn shown(&self) -> String {
        super::website::without_query(&self.url)
    }
}

impl KeySet {
    /// A set that has not been fetched yet.
    pub fn new(source: KeySource) -> Self {
        Self { source, flight: Flight::default(), fetched: ArcSwap::default() }
    }

    /// What is known now.
    pub fn fetched(&self) -> Arc<Fetched> {
        self.fetched.load_full()
    }

    /// Puts the keys of a document in force.
    ///
    /// # Errors
    /// It is no key set; nothing has changed.
    pub fn accept(&self, document: &[u8], now: UnixTime) -> Result<(), KeyError> {
        let contents = jwk::read(document, &self.source.terms)?;
        self.change(|_, next| {
            next.keys = contents.keys.into_iter().map(Arc::new).collect();
            next.passed_over = contents.passed_over.into();
            next.document = document.into();
            next.at = Some(now);
            next.problem = None;
        });
        Ok(())
    }

    /// Notes that fetching failed. The keys stay in force, unless they are too old.
    pub fn fail(&self, problem: String, now: UnixTime) {
        let stale_for = self.source.stale_for.as_secs();
        self.change(|old, next| {
            next.problem = Some(problem);
            let stale = |at: UnixTime| now.as_secs().saturating_sub(at.as_secs()) >= stale_for;
            if old.at.is_some_and(stale) {
                next.at = None;
                next.keys = Vec::new();
            }
        });
    }

    /// One writer, the fetcher, so that nothing is lost between load and store.
    fn change(&self, change: impl FnOnce(&Fetched, &mut Fetched)) {
        let old = self.fetched();
        let mut next = Fetched::clone(&old);
        next.version += 1;
        change(&old, &mut next);
        self.fetched.store(Arc::new(next));
    }

    /// Takes over what another set of the same URL has fetched, under its own terms.
    fn inherit(&self, other: &Self) {
        let fetched = other.fetched();
        if let Some(at) = fetched.at {
            // It was a key set under the other's terms, so it is one under these.
            let _ = self.accept(&fetched.document, at);
        }
    }
}

/// The sets of one of a site's dialects.
#[derive(Debug, Default)]
pub struct KeySets {
    sets: Vec<Arc<KeySet>>,
    merged: ArcSwapOption<Merged>,
}

/// The keys of the configuration and the fetched ones, in one ring.
#[derive(Debug)]
pub struct Merged {
    version: u64,
    keyring: Keyring,
}

/// The keys of one of a site's dialects at one moment.
#[derive(Debug)]
pub enum KeysNow<'p> {
    /// They are those of the file.
    Fixed(&'p Keyring),
    /// Some are fetched.
    Merged(Arc<Merged>),
}

impl Deref for KeysNow<'_> {
    type Target = Keyring;

    fn deref(&self) -> &Keyring {
        match self {
            Self::Fixed(keyring) => keyring,
            Self::Merged(merged) => &merged.keyring,
        }
    }
}

impl KeySets {
    /// The sets from these sources.
    pub fn new(sources: impl IntoIterator<Item = KeySource>) -> Self {
        let sets = sources.into_iter().map(|source| Arc::new(KeySet::new(source))).collect();
        Self { sets, merged: ArcSwapOption::empty() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<KeySet>> {
        self.sets.iter()
    }

    /// Every key that is in force now, the configuration's own first.
    pub(super) fn with<'p>(&self, own: &'p Keyring) -> KeysNow<'p> {
        if self.sets.is_empty() {
            return KeysNow::Fixed(own);
        }
        let version: u64 = self.sets.iter().map(|set| set.fetched.load().version).sum();
        if let Some(merged) = self.merged.load_full().filter(|merged| merged.version == version) {
            return KeysNow::Merged(merged);
        }
        // Whatever has come in since is in this ring, and in its version.
        let fetched: Vec<_> = self.sets.iter().map(|set| set.fetched()).collect();
        let version = fetched.iter().map(|fetched| fetched.version).sum();
        let keys = own.keys().iter().chain(fetched.iter().flat_map(|fetched| &fetched.keys));
        let mut keyring = Keyring::new(keys.cloned().collect());
        if fetched.iter().any(|fetched| fetched.at.is_none()) {
            keyring = keyring.incomplete();
        }
        let merged = Arc::new(Merged { version, keyring });
        self.merged.store(Some(merged.clone()));
        KeysNow::Merged(merged)
    }

    /// Takes over what an earlier Plan has fetched for the same site.
    pub(super) fn inherit(&mut self, earlier: &[Arc<KeySet>]) {
        for set in &mut self.sets {
            let same = |other: &&Arc<KeySet>| other.source == set.source;
            let alike = |other: &&Arc<KeySet>| other.source.url == set.source.url;
            if let Some(other) = earlier.iter().find(same) {
                *set = other.clone();
            } else if let Some(other) = earlier.iter().find(alike) {
                set.inherit(other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Algorithm;

    const AT: UnixTime = UnixTime::from_secs(1_000_000);

    fn source() -> KeySource {
        let terms = Terms {
            algorithms: Algorithm::ALL.to_vec(),
            pinned: None,
            secrets: false,
            not_before: None,
            not_after: None,
        };
        let [refresh, wait] = [Duration::from_secs(300), Duration::from_millis(500)];
        let stale_for = Duration::from_secs(3600);
        KeySource {
            url: "https://a.example/jwks".parse().unwrap(),
            refresh,
            wait,
            stale_for,
            terms,
        }
    }

    fn document(ids: &[&str]) -> String {
        let key = |id: &&str| {
            format!(
                r#"{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#
            )
        };
        format!(r#"{{"keys":[{}]}}"#, ids.iter().map(key).collect::<Vec<_>>().join(","))
    }

    fn ids(keys: &Keyring) -> Vec<String> {
        keys.keys().iter().map(|key| key.id().to_string()).collect()
    }

    fn later(secs: u64) -> UnixTime {
        UnixTime::from_secs(AT.as_secs() + secs)
    }

    #[test]
    fn what_is_fetched_takes_the_place_of_what_was_there_and_an_error_changes_nothing() {
        let sets = KeySets::new([source()]);
        let own = Keyring::default();
        let now = || sets.with(&own);
        assert!(now().is_incomplete() && now().keys().is_empty());
        let set = sets.iter().next().unwrap();
        set.accept(document(&["a", "b"]).as_bytes(), AT).unwrap();
        assert_eq!((ids(&now()), now().is_incomplete()), (vec!["a".into(), "b".into()], false));
        set.accept(document(&["c"]).as_bytes(), AT).unwrap();
        assert_eq!(ids(&now()), ["c"]);
        assert!(set.accept(b"<html>", AT).is_err());
        set.fail("connection refused".into(), later(3599));
        assert_eq!((ids(&now()), now().is_incomplete()), (vec!["c".into()], false));
        assert!(set.fetched().problem.is_some());
        set.accept(document(&[]).as_bytes(), later(3600)).unwrap();
        assert_eq!((ids(&now()), now().is_incomplete()), (vec![], false));
        assert!(set.fetched().problem.is_none());
    }

    #[test]
    fn keys_that_are_too_old_are_as_good_as_never_fetched() {
        let sets = KeySets::new([source()]);
        let own = Keyring::default();
        let set = sets.iter().next().unwrap();
        set.accept(document(&["a"]).as_bytes(), AT).unwrap();
        set.fail("connection refused".into(), later(3600));
        assert!(sets.with(&own).is_incomplete() && sets.with(&own).keys().is_empty());
        set.accept(document(&["a"]).as_bytes(), later(4000)).unwrap();
        assert!(!sets.with(&own).is_incomplete());
    }

    #[test]
    fn a_ring_is_made_once_a_change_and_shared() {
        let sets = KeySets::new([source()]);
        let own = Keyring::default();
        let address = |keys: KeysNow<'_>| std::ptr::from_ref::<Keyring>(&keys) as usize;
        let first = sets.with(&own);
        assert_eq!(address(sets.with(&own)), std::ptr::from_ref::<Keyring>(&first) as usize);
        sets.iter().next().unwrap().accept(document(&["a"]).as_bytes(), AT).unwrap();
        assert_ne!(address(sets.with(&own)), std::ptr::from_ref::<Keyring>(&first) as usize);
    }

    #[test]
    fn the_next_plan_takes_over_what_was_fetched_under_its_own_terms() {
        let earlier = KeySets::new([source()]);
        earlier.iter().next().unwrap().accept(document(&["a"]).as_bytes(), AT).unwrap();
        let own = Keyring::default();

        let mut same = KeySets::new([source()]);
        same.inherit(&earlier.sets);
        assert!(Arc::ptr_eq(same.iter().next().unwrap(), earlier.iter().next().unwrap()));

        let slower = KeySource { refresh: Duration::from_secs(600), ..source() };
        let narrower = Terms { algorithms: vec![Algorithm::RS256], ..source().terms };
        let elsewhere = "https://b.example/jwks".parse().unwrap();
        for (next, expected) in [
            (slower, (vec!["a".to_owned()], false)),
            (KeySource { terms: narrower, ..source() }, (vec![], false)),
            (KeySource { url: elsewhere, ..source() }, (vec![], true)),
        ] {
            let mut next = KeySets::new([next]);
            next.inherit(&earlier.sets);
            let keys = next.with(&own);
            assert_eq!((ids(&keys), keys.is_incomplete()), expected);
        }
    }
}
