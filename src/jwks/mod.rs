//! Key sets from a URL: fetched in the background, and once more when a token names a key
//! that is not there.
//!
//! - Each set is fetched at the start, then every `refresh`; after a failure every 10 s.
//! - A request waits for a fetch only if its token names a key that its site does not have,
//!   or if keys have never come; at most `wait`, and with all others for the same fetch.
//!   Requests can have one made every 10 s, no more ([`Flight`](crate::plan::Flight)).
//! - Nothing here judges: the request is judged again by what is there then.

mod fetch;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use fetch::Client;

use crate::clock::UnixTime;
use crate::plan::{Joined, KeySet};
use crate::telemetry::{Metrics, Waited};

/// How soon a failed fetch is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps a set of this site fresh for as long as somebody holds it; does nothing where it
/// is kept already. Needs a Tokio runtime.
pub fn keep(set: &Arc<KeySet>, site: &Arc<str>, metrics: &Arc<Metrics>) {
    if !set.flight.keep() {
        return;
    }
    let (weak, wanted) = (Arc::downgrade(set), set.flight.wanted());
    let (site, metrics) = (site.clone(), metrics.clone());
    tokio::spawn(async move {
        let client = Client::new();
        // Ends when no Plan has the set any more.
        while let Some(set) = weak.upgrade() {
            let pause = renew(&set, &site, &metrics, &client).await;
            drop(set);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = wanted.notified() => {}
            }
        }
    });
}

/// Fetches once and says how long to wait for the next time.
async fn renew(set: &KeySet, site: &Arc<str>, metrics: &Metrics, client: &Client) -> Duration {
    set.flight.depart();
    let result = client.get(&set.source.url).await;
    let now = UnixTime::now();
    let result =
        result.and_then(|document| set.accept(&document, now).map_err(|error| error.to_string()));
    let shown = set.source.shown();
    let pause = match result {
        Ok(()) => {
            let fetched = set.fetched();
            tracing::debug!(site = %site, url = shown, keys = fetched.keys.len(), "key set fetched");
            for why in fetched.passed_over.iter() {
                tracing::debug!(site = %site, url = shown, "a key of the set is passed over: {why}");
            }
            if fetched.keys.is_empty() {
                tracing::warn!(site = %site, url = shown, "the key set holds no key that can be used");
            }
            metrics.key_set_fetched(site, true, now);
            set.source.refresh
        }
        Err(problem) => {
            tracing::warn!(site = %site, url = shown, problem, "the key set cannot be fetched");
            set.fail(problem, now);
            metrics.key_set_fetched(site, false, now);
            RETRY.min(set.source.refresh)
        }
    };
    set.flight.land();
    pause
}

/// Fetches each set once, for whoever asks only once: no retries, no waiting for others.
/// Returns what went wrong, in sentences.
#[cfg(feature = "server")]
pub async fn fetch_once(sets: impl Iterator<Item = &Arc<KeySet>>) -> Vec<String> {
    let client = Client::new();
    let mut problems = Vec::new();
    for set in sets {
        let accepted = client.get(&set.source.url).await.and_then(|document| {
            let accepted = set.accept(&document, UnixTime::now());
            accepted.map_err(|error| error.to_string())
        });
        if let Err(problem) = accepted {
            problems.push(format!("{}: {problem}", set.source.shown()));
        }
    }
    problems
}

/// Waits for one fetch of each set that may be fetched now, no longer than it allows.
/// `seen` is when the request's judgement began; whether a set has come in since, so that
/// judging again is worth it.
pub async fn freshen(sets: &[Arc<KeySet>], seen: Instant, metrics: &Metrics) -> bool {
    let start = Instant::now();
    let mut came = false;
    let mut waits = Vec::new();
    for set in sets.iter().filter(|set| !set.source.wait.is_zero()) {
        match set.flight.join(seen, start) {
            Joined::Landed => came = true,
            Joined::UnderWay(landed) => waits.push((set.clone(), landed)),
            Joined::TooSoon => {}
        }
    }
    for (set, mut landed) in waits {
        let left = set.source.wait.saturating_sub(start.elapsed());
        let result = match tokio::time::timeout(left, landed.changed()).await {
            Err(_) => Waited::Timeout,
            Ok(_) if set.fetched().problem.is_some() => Waited::Failure,
            Ok(_) => Waited::Success,
        };
        metrics.waited_for_keys(result);
        came |= result == Waited::Success;
    }
    came
}
