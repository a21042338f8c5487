//! `/readyz`: whether traffic should come here.
//!
//! `failed` (503) is only what another instance would do better: not listening yet, shutting
//! down, or not knowing yet who is banned. Trouble that every instance shares (a backend that is away, a
//! configuration that does not load) is `degraded` and still 200, lest all of them be
//! taken out of service at once.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::readiness::{Check, Readiness};
use crate::reload::Current;
use crate::store::State;

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
        let (bound, draining) = (readiness.is_bound(), readiness.is_draining());
        let mut checks = readiness.checks();
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
