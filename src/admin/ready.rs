//! `/readyz`: whether traffic should come here.
//!
//! `failed` (503) is only what another instance would do better: not listening yet, shutting
//! down, or not knowing yet who is banned. Trouble that every instance shares (a backend that is away, a
//! configuration that does not load) is `degraded` and still 200, lest all of them be
//! taken out of service at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::reload::Current;
use crate::store::State;

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
}

/// What `/readyz?verbose` answers.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checks: Option<BTreeMap<String, Check>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ready,
    Degraded,
    Failed,
}

impl Report {
    pub(super) fn of(readiness: &Readiness, current: &Current, store: &State) -> Self {
        let bound = readiness.bound.load(Ordering::Acquire);
        let draining = readiness.draining.load(Ordering::Acquire);
        let mut checks = readiness.checks.lock().clone();
        let generation = current.load();
        let sites = generation.plan.sites.len();
        let detail = format!("generation {}; sites: {sites}", generation.plan.generation);
        checks.insert("plan".into(), Check { ok: true, detail });
        let alive = current.alive_plans().to_string();
        checks.insert("plans_alive".into(), Check { ok: true, detail: alive });
        checks.insert("reload".into(), reload(current));
        let detail = format!("{}: {}", store.kind, store.detail);
        checks.insert("store".into(), Check { ok: store.up && store.synced, detail });
        let degraded = checks.values().any(|check| !check.ok);
        let said =
            |ok, yes: &str, no: &str| Check { ok, detail: if ok { yes } else { no }.to_owned() };
        checks.insert("listeners".into(), said(bound, "accepting", "not bound yet"));
        checks.insert("shutdown".into(), said(!draining, "not shutting down", "draining"));
        let status = match (bound && !draining && store.synced, degraded) {
            (false, _) => Status::Failed,
            (true, true) => Status::Degraded,
            (true, false) => Status::Ready,
        };
        Self { status, checks: Some(checks) }
    }
}

fn reload(current: &Current) -> Check {
    match current.last_reload() {
        None => Check { ok: true, detail: "none since the start".into() },
        Some(last) => match last.result {
            Ok(outcome) => Check {
                ok: true,
                detail: format!("{}: generation {}", last.trigger.name(), outcome.generation),
            },
            Err(error) => Check { ok: false, detail: format!("{}: {error}", last.trigger.name()) },
        },
    }
}
