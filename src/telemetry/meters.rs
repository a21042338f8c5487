//! Handles into the metrics, resolved when a plan comes into force, so that a request
//! looks up no label.
//!
//! Every label set that a site's dialect and modes can produce exists, at zero, from the
//! moment the plan is in force: a rate over the first event is then right. What only a
//! backend can produce (its status codes) is resolved at first sight. [`SiteMeters`] do
//! not hold their plan: a WebSocket keeps them for hours.

use std::sync::{Arc, OnceLock};

use prometheus::{Histogram, IntCounter, IntGauge};

use super::Kind;
use super::key_meters::KeyMeters;
use super::metrics::{GaugeGuard, Metrics, SITES_IN_HISTOGRAMS};
use super::outcomes::{self, CloseReason, Decided, Decision, FIELDS, UpstreamError};
use crate::clock::UnixTime;
use crate::dialect::Reason;
use crate::gate::Mode;
use crate::plan::{LogSettings, NO_SITE, Plan, Site};

/// The handles of one plan.
pub struct Meters {
    /// By the site's index in the plan.
    pub sites: Vec<Arc<SiteMeters>>,
    /// For requests that no site serves.
    pub none: Arc<SiteMeters>,
}

/// What the end of a request to one site needs.
pub struct SiteMeters {
    metrics: Arc<Metrics>,
    pub(super) site: Arc<str>,
    /// By the position of the way to prove that has each.
    pub(super) dialects: Arc<[Arc<str>]>,
    pub(super) log: LogSettings,
    /// Dialect × mode × decision × reason, the last one for `none`.
    decisions: Box<[OnceLock<IntCounter>]>,
    would_reject: Box<[OnceLock<IntCounter>]>,
    /// Status codes in pages of a hundred: most sites see two or three pages.
    codes: [OnceLock<Box<[OnceLock<IntCounter>]>>; 9],
    duration: Histogram,
    overhead: Histogram,
    verification: Vec<(&'static str, Histogram)>,
    stripped: IntCounter,
    omitted: Vec<(&'static str, IntCounter)>,
    upstream_errors: Vec<IntCounter>,
    keys: KeyMeters,
    live: IntGauge,
    live_closed: Arc<[IntCounter]>,
    in_flight: IntGauge,
}

const REASONS: usize = Reason::ALL.len();
/// Combinations of one dialect.
const DECISIONS: usize = Mode::ALL.len() * Decision::ALL.len() * (REASONS + 1);

impl Meters {
    /// Resolves a plan's handles. Series of sites, dialects and keys that the plan does
    /// not have are gone afterwards; those of the others go on.
    pub fn new(metrics: &Arc<Metrics>, plan: &Plan) -> Self {
        metrics.keep_only(plan);
        let in_histograms = plan.sites.len() <= SITES_IN_HISTOGRAMS;
        let new =
            |site, dialects| SiteMeters::new(metrics, site, dialects, plan.log, in_histograms);
        let sites =
            plan.sites.iter().map(|site| Arc::new(new(&site.name, dialects(site)).with_site(site)));
        let name = NO_SITE.into();
        let none = new(&name, Arc::new(["".into()]));
        for status in [400, 408, 413, 421, 431, 503] {
            none.status(status);
        }
        Self { sites: sites.collect(), none: Arc::new(none) }
    }
}

impl Metrics {
    /// Removes the series of sites, dialects and keys that a plan does not have.
    fn keep_only(&self, plan: &Plan) {
        let sites = plan.sites.iter().map(|site| (site.name.clone(), dialects(site)));
        *self.sites.write() = sites.collect();
        let known = self.sites.read();
        let site = |values: &[Box<str>]| match values.first() {
            Some(name) => &**name == NO_SITE || known.contains_key(&**name),
            None => plan.sites.len() > SITES_IN_HISTOGRAMS,
        };
        let histogram = |values: &[Box<str>]| {
            site(values) && values.is_empty() == (plan.sites.len() > SITES_IN_HISTOGRAMS)
        };
        let key = |values: &[Box<str>]| match values {
            [name, id, ..] => plan.sites.iter().any(|site| {
                *site.name == **name && site.keys().iter().any(|key| **key.id() == **id)
            }),
            _ => false,
        };
        self.decisions.retain(|values| match values {
            [name, dialect, ..] => known
                .get(&**name)
                .is_some_and(|known| known.iter().any(|known| **known == **dialect)),
            _ => false,
        });
        for family in [
            &self.would_reject,
            &self.requests,
            &self.stripped,
            &self.omitted,
            &self.live_closed,
            &self.upstream_errors,
        ] {
            family.retain(site);
        }
        for family in [&self.keys, &self.live, &self.in_flight] {
            family.retain(site);
        }
        self.request_duration.retain(histogram);
        self.overhead.retain(histogram);
        self.key_verifications.retain(key);
        self.key_last_used.retain(key);
        self.key_not_after.retain(key);
        let fetches = |values: &[Box<str>]| {
            let fetching = plan.sites.iter().filter(|site| site.fetches_keys());
            fetching.into_iter().any(|site| values.first().is_some_and(|own| **own == *site.name))
        };
        self.jwks_fetches.retain(fetches);
        self.jwks_success.retain(fetches);
    }
}

impl SiteMeters {
    fn new(
        metrics: &Arc<Metrics>,
        site: &Arc<str>,
        dialects: Arc<[Arc<str>]>,
        log: LogSettings,
        in_histograms: bool,
    ) -> Self {
        let labels: &[&str] = if in_histograms { &[site] } else { &[] };
        Self {
            metrics: metrics.clone(),
            site: site.clone(),
            log,
            decisions: empty(dialects.len() * DECISIONS),
            dialects,
            would_reject: empty(REASONS),
            codes: Default::default(),
            duration: metrics.request_duration.with(labels),
            overhead: metrics.overhead.with(labels),
            verification: Vec::new(),
            stripped: metrics.stripped.with(&[site]),
            omitted: Vec::new(),
            upstream_errors: Vec::new(),
            keys: KeyMeters::default(),
            live: metrics.live.detached(&[site]),
            live_closed: Arc::default(),
            in_flight: metrics.in_flight.with(&[site]),
        }
    }

    /// What only a real site has.
    fn with_site(mut self, site: &Site) -> Self {
        let metrics = self.metrics.clone();
        let name: &str = &site.name;
        // A scheme that stands here twice is found the first time.
        let schemes = site.proofs(&site.settings).map(|proof| proof.dialect.scheme());
        let verification = |scheme| (scheme, metrics.verification.with(&[scheme, "miss"]));
        self.verification = schemes.map(verification).collect();
        let omitted = FIELDS.iter().map(|field| (*field, metrics.omitted.with(&[name, field])));
        self.omitted = omitted.collect();
        let errors = UpstreamError::ALL.iter();
        self.upstream_errors =
            errors.map(|kind| metrics.upstream_errors.with(&[name, kind.name()])).collect();
        self.keys = KeyMeters::new(&metrics, site);
        if site.fetches_keys() {
            for result in ["success", "failure"] {
                metrics.jwks_fetches.with(&[name, result]);
            }
            metrics.jwks_success.with(&[name]);
        }
        self.live = metrics.live.with(&[name]);
        let reasons = CloseReason::ALL.iter();
        self.live_closed =
            reasons.map(|reason| metrics.live_closed.with(&[name, reason.name()])).collect();
        for decided in outcomes::possible(site) {
            self.decision(decided);
            if decided.mode == Mode::Observe
                && let Some(reason) = decided.reason.filter(|reason| *reason != Reason::NotChecked)
            {
                self.would_reject(reason);
            }
        }
        for status in outcomes::possible_statuses(site) {
            self.status(status);
        }
        self
    }

    /// The site's name, `none` where there is no site.
    pub fn site(&self) -> &Arc<str> {
        &self.site
    }

    /// A request is being answered until the guard is dropped.
    pub fn in_flight(&self) -> GaugeGuard {
        GaugeGuard::raise(&self.in_flight)
    }

    /// A WebSocket is open until the guard is dropped.
    pub fn live(&self) -> LiveGuard {
        LiveGuard {
            _open: GaugeGuard::raise(&self.live),
            closed: self.live_closed.clone(),
            reason: CloseReason::Aborted,
        }
    }

    /// An answer that streamed was cut.
    pub fn cut(&self, reason: CloseReason) {
        if let Some(counter) = self.live_closed.get(reason as usize) {
            counter.inc();
        }
    }

    /// When a key of this site last verified a credential, if it has since the start.
    pub fn key_last_used(&self, id: &str) -> Option<UnixTime> {
        self.keys.last_used(id)
    }

    pub(super) fn decision(&self, decided: Decided) -> &IntCounter {
        let reason = decided.reason.map_or(REASONS, |reason| reason as usize);
        let row = decided.mode as usize * Decision::ALL.len() + decided.decision as usize;
        // A position that the site does not have counts as its own dialect's.
        let way = if decided.way < self.dialects.len() { decided.way } else { 0 };
        slot(&self.decisions, way * DECISIONS + row * (REASONS + 1) + reason, || {
            let dialect = self.dialects.get(way).map(|name| &**name).unwrap_or_default();
            let labels = [
                &*self.site,
                dialect,
                decided.mode.name(),
                decided.decision.name(),
                decided.reason(),
            ];
            self.series(&self.metrics.decisions, &labels)
        })
    }

    pub(super) fn would_reject(&self, reason: Reason) -> &IntCounter {
        slot(&self.would_reject, reason as usize, || {
            self.series(&self.metrics.would_reject, &[&self.site, reason.code()])
        })
    }

    /// The counter of a status code; what is not three digits counts as 999.
    #[allow(clippy::indexing_slicing)] // nine pages for the digits 1 to 9
    pub(super) fn status(&self, status: u16) -> &IntCounter {
        let status = if (100..=999).contains(&status) { usize::from(status) } else { 999 };
        let page = self.codes[status / 100 - 1].get_or_init(|| empty(100));
        slot(page, status % 100, || {
            self.series(&self.metrics.requests, &[&self.site, &status.to_string()])
        })
    }

    /// A series found late. If a reload has removed the site since, it is not shown.
    fn series<M: super::family::Series>(
        &self,
        family: &super::family::Family<M>,
        values: &[&str],
    ) -> M {
        let sites = self.metrics.sites.read();
        if *self.site == *NO_SITE || sites.get(&self.site) == Some(&self.dialects) {
            family.with(values)
        } else {
            family.detached(values)
        }
    }

    pub(super) fn count(&self, occurrence: &super::Occurrence<'_>) {
        self.status(occurrence.status).inc();
        if occurrence.kind != Kind::Upgrade {
            self.duration.observe(occurrence.duration.as_secs_f64());
        }
        self.overhead.observe(occurrence.overhead.as_secs_f64());
        if let Some(decided) = occurrence.decision {
            self.decision(decided).inc();
            if decided.mode == Mode::Observe
                && let Some(reason) = occurrence.overlooked
            {
                self.would_reject(reason).inc();
            }
            if let Some(id) = occurrence.key {
                let verified = decided.decision == Decision::Verified;
                self.keys.count(&self.metrics, &self.site, id, verified);
            }
        }
        if let Some((scheme, duration)) = occurrence.verification
            && let Some((_, histogram)) = self.verification.iter().find(|(own, _)| *own == scheme)
        {
            histogram.observe(duration.as_secs_f64());
        }
        if occurrence.stripped > 0 {
            self.stripped.inc_by(occurrence.stripped as u64);
        }
        for field in occurrence.omitted {
            if let Some((_, counter)) = self.omitted.iter().find(|(name, _)| name == field) {
                counter.inc();
            }
        }
        if let Some(kind) = occurrence.upstream_error
            && let Some(counter) = self.upstream_errors.get(kind as usize)
        {
            counter.inc();
        }
    }
}

/// An open WebSocket; counts its end when dropped.
pub struct LiveGuard {
    _open: GaugeGuard,
    closed: Arc<[IntCounter]>,
    reason: CloseReason,
}

impl LiveGuard {
    /// Says who is ending it; the last word counts. Unsaid, it was `aborted`.
    pub fn ended(&mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        if let Some(counter) = self.closed.get(self.reason as usize) {
            counter.inc();
        }
    }
}

fn dialects(site: &Site) -> Arc<[Arc<str>]> {
    site.dialects().cloned().collect()
}

fn empty(length: usize) -> Box<[OnceLock<IntCounter>]> {
    (0..length).map(|_| OnceLock::new()).collect()
}

/// The index is made of enum variants, or of two digits, and the slots are as many.
#[allow(clippy::indexing_slicing)]
fn slot(
    slots: &[OnceLock<IntCounter>],
    index: usize,
    make: impl FnOnce() -> IntCounter,
) -> &IntCounter {
    slots[index].get_or_init(make)
}
