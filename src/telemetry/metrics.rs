//! Every metric there is, in one list, in a registry that the embedder hands in.
//!
//! Labels come from the configuration or from a closed set, never from a request:
//! identifiers, tokens, paths and a token's own `kid` are not among them. Gauges that
//! depend on the time (`keys`) are worked out when somebody asks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Histogram, IntCounter, IntGauge, Registry, TextEncoder};

use super::family::{Family, Shared};
use super::outcomes::{StoreOperation, Waited};
use crate::clock::UnixTime;
use crate::dialect::keyring::KeyState;
use crate::plan::Plan;

/// Above this many sites histograms drop their `site` label: their series are 15 times
/// those of a counter.
pub const SITES_IN_HISTOGRAMS: usize = 100;

/// OpenTelemetry's bucket advice for `http.server.request.duration`, in seconds.
const REQUEST: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Our own work takes microseconds.
const OWN: &[f64] = &[5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2];
/// A disk's flush, or a round trip to another machine.
const STORE: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
const NONE: &[f64] = &[];

macro_rules! metrics {
    ($($field:ident $kind:ident $name:literal $labels:tt $buckets:ident $help:literal,)*) => {
        /// The metrics of one process. Handles for the request path are in
        /// [`Meters`](super::Meters).
        pub struct Metrics {
            registry: Registry,
            /// Sites of the plan in force and their dialects: a request that ends after
            /// its site was removed must not bring the site's series back.
            pub(super) sites: RwLock<HashMap<Arc<str>, Arc<[Arc<str>]>>>,
            /// Names of the subscriptions in force, for the same reason.
            pub(super) webhooks: RwLock<BTreeSet<Box<str>>>,
            dropped_lines: RwLock<Option<Box<dyn Fn() -> u64 + Send + Sync>>>,
            store_is_up: RwLock<Option<Box<dyn Fn() -> bool + Send + Sync>>>,
            $(#[doc = $help] pub(super) $field: Arc<Family<$kind>>,)*
        }

        impl Metrics {
            /// Every name with its labels, `process_*` apart.
            pub const ALL: &[(&'static str, &'static [&'static str])] =
                &[$((concat!("countersign_", $name), &$labels)),*];

            /// Registers every metric.
            ///
            /// # Errors
            /// The registry holds metrics of these names already.
            pub fn new(registry: Registry) -> prometheus::Result<Arc<Self>> {
                $(
                    let name = concat!("countersign_", $name);
                    let $field = Arc::new(Family::<$kind>::new(name, $help, &$labels, $buckets)?);
                    registry.register(Box::new(Shared($field.clone())))?;
                )*
                Self {
                    registry,
                    sites: RwLock::default(),
                    webhooks: RwLock::default(),
                    dropped_lines: RwLock::default(),
                    store_is_up: RwLock::default(),
                    $($field,)*
                }
                .ready()
            }
        }
    };
}

metrics! {
    decisions IntCounter "decisions_total" ["site", "dialect", "mode", "decision", "reason"] NONE "Judgements of identity.",
    would_reject IntCounter "would_reject_total" ["site", "reason"] NONE "What mode observe let pass and mode require would have refused.",
    requests IntCounter "http_requests_total" ["site", "code"] NONE "Requests answered, by status code.",
    request_duration Histogram "http_request_duration_seconds" ["site"] REQUEST "From a request's head to the end of its answer; upgrades are not observed.",
    overhead Histogram "overhead_seconds" ["site"] OWN "Countersign's own time in a request, without the backend's.",
    verification Histogram "verification_duration_seconds" ["scheme", "cache"] OWN "Time to verify one credential.",
    stripped IntCounter "headers_stripped_total" ["site"] NONE "Reserved header fields that clients made up and that were removed.",
    omitted IntCounter "headers_omitted_total" ["site", "field"] NONE "Trusted headers left out because they exceed their budget.",
    keys IntGauge "keys" ["site", "state"] NONE "Keys by their place in their window of validity.",
    key_verifications IntCounter "key_verifications_total" ["site", "key", "result"] NONE "Credentials judged with a key, verified or rejected.",
    key_last_used IntGauge "key_last_used_timestamp_seconds" ["site", "key"] NONE "When a key last verified a credential; 0: not since the start.",
    key_not_after IntGauge "key_not_after_timestamp_seconds" ["site", "key"] NONE "When a key lapses, for keys that do.",
    jwks_fetches IntCounter "jwks_fetches_total" ["site", "result"] NONE "Attempts to fetch a key set.",
    jwks_success IntGauge "jwks_last_success_timestamp_seconds" ["site"] NONE "When a site's key sets were last fetched; 0: not since the start.",
    network_waits IntCounter "network_waits_total" ["place", "result"] NONE "Requests that waited on the network before they were judged.",
    reload_successful IntGauge "config_last_reload_successful" [] NONE "Whether the last attempt to load the configuration succeeded.",
    reload_success_time IntGauge "config_last_reload_success_timestamp_seconds" [] NONE "When the configuration was last loaded.",
    reloads IntCounter "config_reloads_total" ["trigger", "result"] NONE "Attempts to reload the configuration.",
    generation IntGauge "config_generation" [] NONE "Which generation of the configuration is in force, counted from 1.",
    live IntGauge "live_connections" ["site"] NONE "Open WebSockets.",
    live_closed IntCounter "live_connections_closed_total" ["site", "reason"] NONE "WebSockets that ended, by who ended them; and streaming answers that Countersign cut.",
    store_up IntGauge "store_up" [] NONE "Whether what is to be remembered can be kept.",
    store_operation Histogram "store_operation_duration_seconds" ["op"] STORE "Time of the store's operations, failed ones included.",
    webhook_deliveries IntCounter "webhook_deliveries_total" ["webhook", "result"] NONE "Attempts to tell a website's server of an event, and dead letters.",
    webhook_queue IntGauge "webhook_queue_depth" ["webhook"] NONE "Events that are queued.",
    webhook_oldest IntGauge "webhook_oldest_age_seconds" ["webhook"] NONE "How long ago the oldest queued event happened.",
    webhook_dead IntGauge "webhook_dead_letters" ["webhook"] NONE "Events that could not be delivered and can be replayed.",
    upstream_errors IntCounter "upstream_errors_total" ["site", "kind"] NONE "Failures to get an answer from the backend.",
    in_flight IntGauge "http_requests_in_flight" ["site"] NONE "Requests that are being answered.",
    connections IntGauge "connections" ["listener"] NONE "Open client connections.",
    lines_dropped IntCounter "log_lines_dropped_total" [] NONE "Log lines dropped because their reader was too slow.",
    build_info IntGauge "build_info" ["version", "revision"] NONE "Always 1; the labels say what runs.",
}

/// What set off a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A watched file changed.
    File,
    /// SIGHUP.
    Sighup,
    /// `POST /v1/reload`.
    Admin,
}

impl Trigger {
    /// Every trigger.
    pub const ALL: &[Self] = &[Self::File, Self::Sighup, Self::Admin];

    /// Metric label and log field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Sighup => "sighup",
            Self::Admin => "admin",
        }
    }
}

/// The `place` of waits for key sets.
const KEY_SETS: &str = "jwks";

/// The `place` of waits for a session that another replica may have bound.
const SESSIONS: &str = "session";

/// The results of a reload, as the metric's label knows them.
const RELOAD_RESULTS: [&str; 3] = ["success", "failure", "restart_required"];

impl Metrics {
    /// Puts in place what does not depend on a plan.
    fn ready(self) -> prometheus::Result<Arc<Self>> {
        match self.registry.register(Box::new(ProcessCollector::for_self())) {
            // An embedder's registry may have one.
            Ok(()) | Err(prometheus::Error::AlreadyReg) => {}
            Err(error) => return Err(error),
        }
        let revision = env!("COUNTERSIGN_REVISION");
        self.build_info.with(&[env!("CARGO_PKG_VERSION"), revision]).set(1);
        self.lines_dropped.with(&[]);
        self.store_up.with(&[]);
        for operation in StoreOperation::ALL {
            self.store_operation.with(&[operation.name()]);
        }
        for result in Waited::ALL {
            self.network_waits.with(&[KEY_SETS, result.name()]);
            self.network_waits.with(&[SESSIONS, result.name()]);
        }
        for trigger in Trigger::ALL {
            for result in RELOAD_RESULTS {
                self.reloads.with(&[trigger.name(), result]);
            }
        }
        Ok(Arc::new(self))
    }

    /// Where `log_lines_dropped_total` comes from: a count since the start.
    pub fn follow_dropped_lines(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        *self.dropped_lines.write() = Some(Box::new(count));
    }

    /// Where `store_up` comes from.
    pub fn follow_store(&self, is_up: impl Fn() -> bool + Send + Sync + 'static) {
        *self.store_is_up.write() = Some(Box::new(is_up));
    }

    /// Notes how long an operation of the store took.
    pub fn store_operated(&self, operation: StoreOperation, took: Duration) {
        self.store_operation.with(&[operation.name()]).observe(took.as_secs_f64());
    }

    /// The open connections of a listener: hold one guard for each.
    pub fn listener(&self, address: &str) -> Listener {
        Listener(self.connections.with(&[address]))
    }

    /// Notes that a configuration came into force.
    pub(crate) fn loaded(&self, generation: u64, now: UnixTime) {
        self.generation.with(&[]).set(gauge(generation));
        self.reload_successful.with(&[]).set(1);
        self.reload_success_time.with(&[]).set(gauge(now.as_secs()));
    }

    /// Counts an attempt to reload; `result` is one of `success`, `failure`,
    /// `restart_required`.
    pub(crate) fn reload_attempted(&self, trigger: Trigger, result: &'static str) {
        self.reloads.with(&[trigger.name(), result]).inc();
        self.reload_successful.with(&[]).set(i64::from(result == "success"));
    }

    /// Counts an attempt to fetch a key set.
    pub fn key_set_fetched(&self, site: &str, success: bool, now: UnixTime) {
        if !self.sites.read().contains_key(site) {
            return;
        }
        let result = if success { "success" } else { "failure" };
        self.jwks_fetches.with(&[site, result]).inc();
        if success {
            self.jwks_success.with(&[site]).set(gauge(now.as_secs()));
        }
    }

    /// Counts a request that waited for a key set.
    pub fn waited_for_keys(&self, result: Waited) {
        self.network_waits.with(&[KEY_SETS, result.name()]).inc();
    }

    /// Counts a request that waited for a session.
    pub fn waited_for_session(&self, result: Waited) {
        self.network_waits.with(&[SESSIONS, result.name()]).inc();
    }

    /// Everything in Prometheus' text format 0.0.4, as of now.
    pub fn render(&self, plan: &Plan, now: UnixTime) -> String {
        if let Some(count) = &*self.dropped_lines.read() {
            let counter = self.lines_dropped.with(&[]);
            counter.inc_by(count().saturating_sub(counter.get()));
        }
        let is_up = self.store_is_up.read().as_ref().is_some_and(|is_up| is_up());
        self.store_up.with(&[]).set(i64::from(is_up));
        for site in &plan.sites {
            for state in [KeyState::Active, KeyState::Scheduled, KeyState::Lapsed] {
                let keys = site.keys();
                let count = keys.iter().filter(|key| key.state(now) == state).count();
                self.keys.with(&[&site.name, state.name()]).set(gauge(count as u64));
            }
        }
        // Fails only for families without a name or with mixed types, which the registry
        // has already refused.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// A number as a gauge holds it.
pub(super) fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A gauge that is one higher for as long as the guard lives.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    pub(super) fn raise(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts the open connections of one listener.
#[derive(Clone, Debug)]
pub struct Listener(IntGauge);

impl Listener {
    /// One more, until the guard is dropped.
    pub fn opened(&self) -> GaugeGuard {
        GaugeGuard::raise(&self.0)
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        usize::try_from(self.0.get()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::fixture::{plan, route, site, user_hash};
    use super::super::{CloseReason, Decided, Decision, Meters, Occurrence, UpstreamError};
    use super::*;
    use crate::dialect::Reason;
    use crate::gate::Mode;
    use crate::telemetry::Kind;

    fn metrics() -> Arc<Metrics> {
        Metrics::new(Registry::new()).unwrap()
    }

    /// Series of an exposition: name with labels → value.
    fn series(text: &str) -> BTreeMap<&str, f64> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(s, v)| (s, v.parse().unwrap()))
            .collect()
    }

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn rejected<'a>() -> Occurrence<'a> {
        Occurrence {
            status: 401,
            decision: Some(Decided {
                way: 0,
                mode: Mode::Require,
                decision: Decision::Rejected,
                reason: Some(Reason::Expired),
            }),
            code: Some("expired"),
            key: Some("old"),
            ..Occurrence::default()
        }
    }

    #[test]
    fn every_name_of_the_list_is_shown_once_a_site_is_there_and_no_other() {
        let (metrics, plan) = (metrics(), plan(vec![site(0, "acme", Mode::Require)]));
        let _meters = Meters::new(&metrics, &plan);
        metrics.listener("127.0.0.1:8080");
        metrics.loaded(1, at(1000));
        metrics.keep_webhooks(["crm"], []);
        let text = metrics.render(&plan, at(1000));
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let shown: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();
        let (process, ours): (BTreeSet<_>, BTreeSet<_>) =
            shown.iter().copied().partition(|name| name.starts_with("process_"));
        let mut listed: BTreeSet<_> = Metrics::ALL.iter().map(|(name, _)| *name).collect();
        // Shown only where a site observes.
        listed.remove("countersign_would_reject_total");
        // Or where it fetches keys.
        listed.remove("countersign_jwks_fetches_total");
        listed.remove("countersign_jwks_last_success_timestamp_seconds");
        assert_eq!(ours, listed);
        assert!(process.contains("process_resident_memory_bytes"));
    }

    #[test]
    fn labels_are_those_of_the_list_and_values_come_from_closed_sets() {
        let (metrics, plan) = (metrics(), plan(vec![site(0, "acme", Mode::Observe)]));
        let meters = Meters::new(&metrics, &plan);
        // Nothing of what a client sends may become a label.
        Occurrence {
            key: Some("made-up"),
            identity: Some("ana"),
            method: "BREW",
            path: "/secret",
            verification: Some(("made-up", std::time::Duration::ZERO)),
            omitted: &["made-up"],
            ..rejected()
        }
        .record(&meters.sites[0]);
        let text = metrics.render(&plan, at(1000));
        for word in ["made-up", "ana\"", "BREW", "/secret"] {
            assert!(!text.contains(word), "{word}");
        }
        for series in series(&text).keys().filter(|name| !name.starts_with("process_")) {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|name| name.ends_with("_seconds"))
                .unwrap_or(name);
            let (_, known) = Metrics::ALL.iter().find(|(known, _)| *known == name).unwrap();
            for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
                let label = label.split('=').next().unwrap();
                assert!(known.contains(&label) || label == "le", "{series}");
            }
        }
    }

    #[test]
    fn what_a_site_can_produce_is_there_at_zero_and_nothing_else() {
        let mut uchat = site(1, "uchat", Mode::Prefer);
        uchat.dialect = user_hash();
        uchat.fields = Arc::new(crate::gate::Fields::of(&uchat.dialect.unsigned));
        uchat.routes.0.push(route("assets", Mode::Off));
        let (metrics, plan) = (metrics(), plan(vec![site(0, "acme", Mode::Observe), uchat]));
        let _meters = Meters::new(&metrics, &plan);
        let text = metrics.render(&plan, at(1000));
        let series = series(&text);
        let zero = [
            r#"decisions_total{decision="verified",dialect="jwt",mode="observe",reason="none",site="acme"}"#,
            r#"decisions_total{decision="guest",dialect="jwt",mode="observe",reason="expired",site="acme"}"#,
            r#"decisions_total{decision="guest",dialect="user-hash",mode="prefer",reason="unsigned",site="uchat"}"#,
            r#"decisions_total{decision="rejected",dialect="user-hash",mode="prefer",reason="bad_signature",site="uchat"}"#,
            r#"decisions_total{decision="guest",dialect="user-hash",mode="off",reason="not_checked",site="uchat"}"#,
            r#"would_reject_total{reason="missing",site="acme"}"#,
            r#"http_requests_total{code="401",site="uchat"}"#,
            r#"http_requests_total{code="421",site="none"}"#,
            r#"key_verifications_total{key="old",result="rejected",site="acme"}"#,
            r#"upstream_errors_total{kind="dns",site="acme"}"#,
            r#"live_connections_closed_total{reason="client",site="acme"}"#,
            r#"headers_omitted_total{field="claimed",site="acme"}"#,
            r#"config_reloads_total{result="restart_required",trigger="sighup"}"#,
            r#"verification_duration_seconds_count{cache="miss",scheme="hmac"}"#,
            "log_lines_dropped_total",
        ];
        for name in zero {
            assert_eq!(series.get(format!("countersign_{name}").as_str()), Some(&0.0), "{name}");
        }
        let never = [
            r#"reason="not_checked",site="acme"}"#, // is: preflights pass
            r#"decision="rejected",dialect="jwt",mode="observe""#,
            r#"mode="prefer",reason="expired",site="uchat"}"#,
            r#"would_reject_total{reason="missing",site="uchat"}"#,
            r#"would_reject_total{reason="not_checked""#,
            r#"mode="prefer",reason="banned""#,
            r#"reason="wrong_issuer""#,
            r#"live_connections{site="none"}"#,
        ];
        for part in &never[1..] {
            assert!(!text.contains(part), "{part}");
        }
        assert!(text.contains(never[0]));
    }

    #[test]
    fn a_decision_counts_for_the_dialect_whose_credential_was_judged() {
        let mut acme = site(0, "acme", Mode::Require);
        acme.accepts.push(crate::plan::Accepted {
            dialect: user_hash(),
            keyring: Default::default(),
            key_sets: Default::default(),
            values: crate::gate::contract::SiteValues::new("acme", "user-hash"),
        });
        let (metrics, plan) = (metrics(), plan(vec![acme]));
        let meters = Meters::new(&metrics, &plan);
        let count = |dialect, decision, reason| {
            let text = metrics.render(&plan, at(1000));
            let name = format!(
                r#"countersign_decisions_total{{decision="{decision}",dialect="{dialect}",mode="require",reason="{reason}",site="acme"}}"#
            );
            series(&text).get(name.as_str()).copied()
        };
        assert_eq!(count("user-hash", "verified", "none"), Some(0.0));
        assert_eq!(count("user-hash", "rejected", "bad_signature"), Some(0.0));
        // Tokens alone expire, and what is absent is no dialect's but the site's own.
        assert_eq!(count("user-hash", "rejected", "expired"), None);
        assert_eq!(count("user-hash", "rejected", "missing"), None);
        let verified =
            Decided { way: 1, mode: Mode::Require, decision: Decision::Verified, reason: None };
        Occurrence { status: 200, decision: Some(verified), ..Occurrence::default() }
            .record(&meters.sites[0]);
        assert_eq!(count("user-hash", "verified", "none"), Some(1.0));
        assert_eq!(count("jwt", "verified", "none"), Some(0.0));
        // The next plan of the same dialects keeps what was counted.
        let _after = Meters::new(&metrics, &plan);
        assert_eq!(count("user-hash", "verified", "none"), Some(1.0));
    }

    #[test]
    fn keys_are_told_apart_by_their_window_at_the_moment_of_asking() {
        let (metrics, plan) = (metrics(), plan(vec![site(0, "acme", Mode::Require)]));
        let _meters = Meters::new(&metrics, &plan);
        let count = |now, state| {
            let text = metrics.render(&plan, at(now));
            series(&text)[format!(r#"countersign_keys{{site="acme",state="{state}"}}"#).as_str()]
        };
        assert_eq!((count(1999, "active"), count(1999, "lapsed")), (2.0, 0.0));
        assert_eq!((count(2000, "active"), count(2000, "lapsed")), (1.0, 1.0));
        let text = metrics.render(&plan, at(1000));
        let end = r#"countersign_key_not_after_timestamp_seconds{key="old",site="acme"}"#;
        assert_eq!(series(&text)[end], 2000.0);
        assert!(!text.contains(r#"key_not_after_timestamp_seconds{key="new""#));
    }

    #[test]
    fn an_occurrence_moves_every_metric_that_it_concerns() {
        let (metrics, plan) = (metrics(), plan(vec![site(0, "acme", Mode::Require)]));
        let meters = Meters::new(&metrics, &plan);
        let site = &meters.sites[0];
        let verified =
            Decided { way: 0, mode: Mode::Require, decision: Decision::Verified, reason: None };
        rejected().record(site);
        Occurrence {
            status: 502,
            decision: Some(verified),
            key: Some("new"),
            stripped: 3,
            omitted: &["claimed"],
            verification: Some(("jwt", std::time::Duration::from_micros(3))),
            upstream_error: Some(UpstreamError::Reset),
            ..Occurrence::default()
        }
        .record(site);
        Occurrence {
            status: 101,
            decision: Some(verified),
            kind: Kind::Upgrade,
            ..Occurrence::default()
        }
        .record(site);
        let mut socket = site.live();
        let _open = site.live();
        socket.ended(CloseReason::Backend);
        drop(socket);
        let _request = site.in_flight();
        let text = metrics.render(&plan, at(1000));
        let series = series(&text);
        for (name, value) in [
            (
                r#"decisions_total{decision="rejected",dialect="jwt",mode="require",reason="expired",site="acme"}"#,
                1.0,
            ),
            (
                r#"decisions_total{decision="verified",dialect="jwt",mode="require",reason="none",site="acme"}"#,
                2.0,
            ),
            (r#"http_requests_total{code="401",site="acme"}"#, 1.0),
            (r#"http_requests_total{code="101",site="acme"}"#, 1.0),
            (r#"http_request_duration_seconds_count{site="acme"}"#, 2.0),
            (r#"overhead_seconds_count{site="acme"}"#, 3.0),
            (
                r#"verification_duration_seconds_bucket{cache="miss",scheme="jwt",le="0.000005"}"#,
                1.0,
            ),
            (r#"headers_stripped_total{site="acme"}"#, 3.0),
            (r#"headers_omitted_total{field="claimed",site="acme"}"#, 1.0),
            (r#"key_verifications_total{key="new",result="verified",site="acme"}"#, 1.0),
            (r#"key_verifications_total{key="old",result="rejected",site="acme"}"#, 1.0),
            (r#"key_last_used_timestamp_seconds{key="old",site="acme"}"#, 0.0),
            (r#"upstream_errors_total{kind="reset",site="acme"}"#, 1.0),
            (r#"live_connections{site="acme"}"#, 1.0),
            (r#"live_connections_closed_total{reason="backend",site="acme"}"#, 1.0),
            (r#"http_requests_in_flight{site="acme"}"#, 1.0),
        ] {
            assert_eq!(series.get(format!("countersign_{name}").as_str()), Some(&value), "{name}");
        }
        assert!(site.key_last_used("new").is_some());
        assert_eq!(site.key_last_used("old"), None);
    }

    #[test]
    fn a_reload_keeps_the_counters_of_what_stays_and_forgets_what_is_gone() {
        let metrics = metrics();
        let sites = || vec![site(0, "acme", Mode::Require), site(1, "gone", Mode::Require)];
        let before = Meters::new(&metrics, &plan(sites()));
        rejected().record(&before.sites[0]);
        let fewer = plan(vec![site(0, "acme", Mode::Prefer)]);
        let after = Meters::new(&metrics, &fewer);
        rejected().record(&after.sites[0]);
        // A WebSocket of the removed site that ends only now.
        let late = Occurrence { status: 299, ..rejected() };
        late.record(&before.sites[1]);
        let text = metrics.render(&fewer, at(1000));
        assert!(!text.contains("gone"), "{text}");
        assert_eq!(
            series(&text)[r#"countersign_http_requests_total{code="401",site="acme"}"#],
            2.0
        );
    }

    #[test]
    fn above_a_hundred_sites_histograms_drop_the_site() {
        let metrics = metrics();
        let sites = |count| (0..count).map(|i| site(i, &format!("s{i}"), Mode::Off)).collect();
        let duration = "countersign_http_request_duration_seconds_count";
        let mut last = plan(sites(100));
        Meters::new(&metrics, &last);
        assert!(metrics.render(&last, at(0)).contains(&format!("{duration}{{site=\"s7\"}} 0")));
        last = plan(sites(101));
        let meters = Meters::new(&metrics, &last);
        rejected().record(&meters.sites[7]);
        let text = metrics.render(&last, at(0));
        assert!(text.contains(&format!("{duration} 1\n")), "{text}");
        assert!(!text.contains(&format!("{duration}{{")));
    }

    #[test]
    fn a_registry_that_holds_the_names_already_is_an_error() {
        let registry = Registry::new();
        let _first = Metrics::new(registry.clone()).unwrap();
        assert!(Metrics::new(registry).is_err());
    }

    #[test]
    fn dropped_log_lines_are_counted_once_each() {
        let (metrics, plan) = (metrics(), plan(Vec::new()));
        metrics.follow_dropped_lines(|| 5);
        metrics.render(&plan, at(0));
        assert!(metrics.render(&plan, at(0)).contains("countersign_log_lines_dropped_total 5\n"));
    }
}
