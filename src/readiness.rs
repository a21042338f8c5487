//! Whether traffic should come here, as far as this process knows: who notices something
//! notes it, and a probe reads it all.
//!
//! A part that is not as it should be (a backend's name that does not resolve, a key set that
//! cannot be fetched) is for a probe to show and seldom a reason to go: every other instance has
//! the same trouble.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

/// What readiness depends on; set by whoever knows.
#[derive(Debug, Default)]
pub struct Readiness {
    bound: AtomicBool,
    draining: AtomicBool,
    checks: Mutex<BTreeMap<String, Check>>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Whether it is as it should be.
    pub ok: bool,
    /// One sentence, without secrets.
    pub detail: String,
}

impl Readiness {
    /// Whether the public listeners accept connections.
    pub fn set_bound(&self, bound: bool) {
        self.bound.store(bound, Ordering::Release);
    }

    /// Whether a shutdown has begun.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
    }

    /// Notes how a named part is (`upstream acme`); one that is not ok makes `degraded`.
    pub fn set_check(&self, name: &str, ok: bool, detail: impl Into<String>) {
        self.checks.lock().insert(name.to_owned(), Check { ok, detail: detail.into() });
    }

    /// Forgets the named parts that do not pass, such as those of a site that is gone.
    pub fn retain_checks(&self, keep: impl Fn(&str) -> bool) {
        self.checks.lock().retain(|name, _| keep(name));
    }

    /// Whether the public listeners accept connections.
    pub fn is_bound(&self) -> bool {
        self.bound.load(Ordering::Acquire)
    }

    /// Whether a shutdown has begun.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Every named part that was looked at, as it was then. Copies them all.
    pub fn checks(&self) -> BTreeMap<String, Check> {
        self.checks.lock().clone()
    }
}
