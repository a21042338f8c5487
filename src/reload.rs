//! One generation of the configuration in force, and how the next takes its place.
//!
//! A reload is all or nothing: whatever is wrong, the old generation stays and a metric,
//! a log line and `/readyz?verbose` say so. What a running process cannot change
//! ([`Process`]) refuses the whole reload, by name. Reloads wait for one another, requests
//! for none of them: they take what [`Current::load`] gives and keep it until their
//! answer's head is sent.

mod fingerprint;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch as channel;

use self::fingerprint::Fingerprint;
use crate::clock::UnixTime;
use crate::plan::{Plan, Process};
pub use crate::telemetry::Trigger;
use crate::telemetry::{Meters, Metrics};

pub use watcher::watch;

/// Reads the configuration anew: a plan, or its problems as text without secrets.
pub type Loader = Box<dyn Fn() -> Result<Plan, String> + Send + Sync>;

/// A plan in force and its handles into the metrics.
pub struct Generation {
    /// What requests are judged by.
    pub plan: Plan,
    /// Where they are counted.
    pub meters: Meters,
    /// When it was read from its files.
    pub loaded_at: UnixTime,
    alive: Arc<AtomicUsize>,
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The generation in force.
pub struct Current {
    generation: ArcSwap<Generation>,
    metrics: Arc<Metrics>,
    loader: Loader,
    /// What the files looked like when they were last read; held while reloading.
    read: Mutex<Fingerprint>,
    last: Mutex<Option<Attempt>>,
    alive: Arc<AtomicUsize>,
    changes: channel::Sender<u64>,
}

/// The last attempt to reload.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What set it off.
    pub trigger: Trigger,
    /// When.
    pub at: UnixTime,
    /// How it went.
    pub result: Result<Outcome, ReloadError>,
}

/// A reload that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The generation now in force.
    pub generation: u64,
}

/// A reload that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has problems.
    #[error("{0}")]
    Problems(String),
    /// It changes what only a restart can change: these keys of the file.
    #[error("a restart is needed to change: {}", .0.join(", "))]
    RestartRequired(Vec<&'static str>),
}

impl ReloadError {
    /// The metric's `result`, and the problem's `code` on the admin listener.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Problems(_) => "failure",
            Self::RestartRequired(_) => "restart_required",
        }
    }
}

impl Current {
    /// Puts the first plan in force, as generation 1. `loader` reads later ones.
    pub fn new(loader: Loader, plan: Plan, metrics: Arc<Metrics>) -> Arc<Self> {
        let alive = Arc::new(AtomicUsize::new(0));
        let read = Fingerprint::of(&plan.watched);
        let generation = generation(1, plan, &metrics, &alive);
        Arc::new(Self {
            generation: ArcSwap::new(Arc::new(generation)),
            metrics,
            loader,
            read: Mutex::new(read),
            last: Mutex::default(),
            alive,
            changes: channel::Sender::new(1),
        })
    }

    /// The generation in force, to be kept for as long as one request needs it.
    pub fn load(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// The same, cheaper, for a look that crosses no await.
    pub fn guard(&self) -> arc_swap::Guard<Arc<Generation>> {
        self.generation.load()
    }

    /// Where what happens is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Tells of every new generation, by its number.
    pub fn subscribe(&self) -> channel::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many generations are still held by somebody, the one in force included.
    pub fn alive_plans(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    /// How the last reload went; none since the start.
    pub fn last_reload(&self) -> Option<Attempt> {
        self.last.lock().clone()
    }

    /// Reads the configuration anew and puts it in force. Reads files: not for a thread
    /// that serves requests.
    ///
    /// # Errors
    /// The configuration has problems or needs a restart; nothing has changed.
    pub fn reload(&self, trigger: Trigger) -> Result<Outcome, ReloadError> {
        let mut read = self.read.lock();
        let result = self.replace(&mut read);
        self.tell(trigger, &result);
        result
    }

    /// Tries once more after a failure, and is silent if it fails in the same words: a
    /// file that only the broken configuration names is not watched, and may come later.
    fn retry(&self) {
        let Some(failed) = self.problems() else { return };
        let mut read = self.read.lock();
        let result = self.replace(&mut read);
        if result.as_ref().err() != Some(&failed) {
            self.tell(Trigger::File, &result);
        }
    }

    /// What was wrong with the configuration at the last attempt.
    fn problems(&self) -> Option<ReloadError> {
        let last = self.last.lock();
        let failed = last.as_ref().and_then(|last| last.result.as_ref().err());
        failed.filter(|error| matches!(error, ReloadError::Problems(_))).cloned()
    }

    fn replace(&self, read: &mut Fingerprint) -> Result<Outcome, ReloadError> {
        let old = self.load();
        // Taken before reading: what changes meanwhile is then seen as a change.
        *read = Fingerprint::of(&old.plan.watched);
        let mut plan = (self.loader)().map_err(ReloadError::Problems)?;
        let differing = differing(&old.plan.process, &plan.process);
        if !differing.is_empty() {
            return Err(ReloadError::RestartRequired(differing));
        }
        read.follow(&plan.watched);
        plan.inherit(&old.plan);
        let number = old.plan.generation + 1;
        self.generation.store(Arc::new(generation(number, plan, &self.metrics, &self.alive)));
        self.changes.send_replace(number);
        Ok(Outcome { generation: number })
    }

    /// One metric and one log line, and the memory of it.
    fn tell(&self, trigger: Trigger, result: &Result<Outcome, ReloadError>) {
        let name = result.as_ref().map_or_else(ReloadError::name, |_| "success");
        self.metrics.reload_attempted(trigger, name);
        let at = UnixTime::now();
        *self.last.lock() = Some(Attempt { trigger, at, result: result.clone() });
        let (trigger, generation) = (trigger.name(), self.guard().plan.generation);
        match result {
            Ok(_) => tracing::info!(
                target: "audit", trigger, generation, "configuration reloaded"
            ),
            Err(error) => tracing::error!(
                target: "audit", trigger, generation, problem = %error, result = name,
                "configuration not reloaded; the old one stays in force"
            ),
        }
    }
}

fn generation(
    number: u64,
    mut plan: Plan,
    metrics: &Arc<Metrics>,
    alive: &Arc<AtomicUsize>,
) -> Generation {
    plan.generation = number;
    let (meters, loaded_at) = (Meters::new(metrics, &plan), UnixTime::now());
    metrics.loaded(number, loaded_at);
    alive.fetch_add(1, Ordering::Relaxed);
    Generation { plan, meters, loaded_at, alive: alive.clone() }
}

/// The keys of the file that would need a restart.
fn differing(old: &Process, new: &Process) -> Vec<&'static str> {
    let Process { listeners, admin, health, decision, threads, store } = old;
    let differs = [
        ("listeners", *listeners != new.listeners),
        ("admin", *admin != new.admin),
        ("health", *health != new.health),
        ("decision", *decision != new.decision),
        ("threads", *threads != new.threads),
        ("store", *store != new.store),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::AtomicUsize;

    use prometheus::Registry;

    use super::*;
    use crate::gate::Mode;
    use crate::plan::Address;
    use crate::secret::Secret;
    use crate::telemetry::fixture;
    use crate::telemetry::log::Format;
    use crate::telemetry::log::tests::lines_of;

    /// A plan whose only site has the name that the file holds; `listener …` adds one.
    pub(crate) fn read(watched: &[PathBuf]) -> Result<Plan, String> {
        let Some(file) = watched.first() else { return Err("nothing to read".into()) };
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let name = text.trim();
        if name.is_empty() || name.contains("broken") {
            return Err(format!("countersign.yaml:1:1: {name:?} is not a name"));
        }
        let mut plan = fixture::plan(vec![fixture::site(0, name, Mode::Require)]);
        if name == "restart" {
            plan.process.listeners.push(Address::Unix("/run/x.sock".into()));
            plan.process.admin = None;
        }
        plan.watched = watched.to_vec();
        Ok(plan)
    }

    /// A configuration of these files, the first of which is read.
    pub(crate) fn current(watched: Vec<PathBuf>) -> Arc<Current> {
        let plan = read(&watched).unwrap();
        let metrics = Metrics::new(Registry::new()).unwrap();
        Current::new(Box::new(move || read(&watched)), plan, metrics)
    }

    fn site(current: &Current) -> String {
        current.guard().plan.sites[0].name.to_string()
    }

    fn shown(current: &Current) -> String {
        current.metrics.render(&current.guard().plan, UnixTime::from_secs(0))
    }

    #[test]
    fn a_reload_puts_the_next_generation_in_force_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countersign.yaml");
        std::fs::write(&file, "one").unwrap();
        let current = current(vec![file.clone()]);
        assert_eq!((site(&current).as_str(), current.guard().plan.generation), ("one", 1));
        assert!(current.last_reload().is_none());
        let news = current.subscribe();
        std::fs::write(&file, "two").unwrap();
        let lines = lines_of(Format::Text, "info", || {
            assert_eq!(current.reload(Trigger::Sighup), Ok(Outcome { generation: 2 }));
        });
        assert_eq!((site(&current).as_str(), current.guard().plan.generation), ("two", 2));
        assert_eq!(*news.borrow(), 2);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("INFO audit: configuration reloaded trigger=sighup generation=2")
        );
        let shown = shown(&current);
        for line in [
            "countersign_config_generation 2\n",
            "countersign_config_last_reload_successful 1\n",
            "countersign_config_reloads_total{result=\"success\",trigger=\"sighup\"} 1\n",
        ] {
            assert!(shown.contains(line), "{line}");
        }
    }

    #[test]
    fn a_broken_configuration_changes_nothing_but_a_metric_a_line_and_the_memory_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countersign.yaml");
        std::fs::write(&file, "one").unwrap();
        let current = current(vec![file.clone()]);
        std::fs::write(&file, "broken\nin two lines").unwrap();
        let before = current.load();
        let lines = lines_of(Format::Text, "info", || {
            assert!(matches!(current.reload(Trigger::Admin), Err(ReloadError::Problems(_))));
        });
        assert!(Arc::ptr_eq(&before, &current.load()));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("countersign.yaml:1:1"), "{lines:?}");
        assert!(current.last_reload().unwrap().result.is_err());
        let shown = shown(&current);
        for line in [
            "countersign_config_generation 1\n",
            "countersign_config_last_reload_successful 0\n",
            "countersign_config_reloads_total{result=\"failure\",trigger=\"admin\"} 1\n",
        ] {
            assert!(shown.contains(line), "{line}");
        }
    }

    #[test]
    fn what_needs_a_restart_is_refused_as_a_whole_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countersign.yaml");
        std::fs::write(&file, "one").unwrap();
        let current = current(vec![file.clone()]);
        std::fs::write(&file, "restart").unwrap();
        let error = current.reload(Trigger::File).unwrap_err();
        assert_eq!(error, ReloadError::RestartRequired(vec!["listeners", "admin"]));
        assert_eq!(error.to_string(), "a restart is needed to change: listeners, admin");
        assert_eq!(site(&current), "one");
        let counted = "config_reloads_total{result=\"restart_required\",trigger=\"file\"} 1\n";
        assert!(shown(&current).contains(counted));
    }

    #[test]
    fn another_admin_token_is_a_change_of_the_admin_listener() {
        let plan = fixture::plan(Vec::new());
        let mut other = plan.process.clone();
        other.threads = Some(3);
        other.admin.as_mut().unwrap().token = Some(Secret::new(b"another".to_vec()));
        assert_eq!(differing(&plan.process, &other), ["admin", "threads"]);
        assert!(differing(&plan.process, &plan.process.clone()).is_empty());
    }

    #[test]
    fn another_store_needs_a_restart_and_the_same_address_read_again_does_not() {
        use crate::plan::{RedisUrl, StoreSettings};
        let redis = |url: &str| {
            let url = RedisUrl(Secret::new(url.as_bytes().to_vec()));
            let process = fixture::plan(Vec::new()).process;
            Process { store: StoreSettings::Redis(url), ..process }
        };
        let memory = fixture::plan(Vec::new()).process;
        assert_eq!(differing(&memory, &redis("redis://a")), ["store"]);
        assert_eq!(differing(&redis("redis://a"), &redis("redis://b")), ["store"]);
        assert!(differing(&redis("redis://a"), &redis("redis://a")).is_empty());
    }

    #[test]
    fn a_generation_is_alive_for_as_long_as_somebody_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countersign.yaml");
        std::fs::write(&file, "one").unwrap();
        let current = current(vec![file]);
        let held = current.load();
        for _ in 0..10 {
            current.reload(Trigger::Sighup).unwrap();
        }
        assert_eq!(current.alive_plans(), 2);
        drop(held);
        assert_eq!(current.alive_plans(), 1);
    }

    #[test]
    fn reloads_that_come_at_once_count_up_one_by_one() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let loader: Loader = Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(fixture::plan(Vec::new()))
        });
        let metrics = Metrics::new(Registry::new()).unwrap();
        let current = Current::new(loader, fixture::plan(Vec::new()), metrics);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| current.reload(Trigger::Admin).unwrap());
            }
        });
        assert_eq!(current.guard().plan.generation, 9);
        assert_eq!((calls.load(Ordering::Relaxed), current.alive_plans()), (8, 1));
    }
}
