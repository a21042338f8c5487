//! Notices that a file of the configuration has changed.
//!
//! Five times a second everything that the plan names is looked at, rather than waiting
//! for inotify: one mechanism that also sees Kubernetes' `..data` swaps, `subPath` mounts,
//! NFS and files that do not exist yet, and that cannot lose an event. It costs a `stat` a
//! file.
//!
//! A change is taken when two looks agree, so that half a file is not read; one that goes
//! on for a second is taken as it is, so that a change is in force in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch as channel;

use super::fingerprint::Fingerprint;
use super::{Current, Trigger};

const POLL: Duration = Duration::from_millis(200);
const LONGEST_CHANGE: Duration = Duration::from_millis(800);
/// After a failure, doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(32);

/// Reloads when a watched file has changed, until `shutdown` says true or is dropped.
pub async fn watch(current: Arc<Current>, mut shutdown: channel::Receiver<bool>) {
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watcher = Watcher::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = shutdown.wait_for(|down| *down) => return,
        }
        let current = current.clone();
        let look = tokio::task::spawn_blocking(move || {
            watcher.look(&current, Instant::now());
            watcher
        });
        // Only a panic in the loader ends a look early: begin afresh.
        watcher = look.await.unwrap_or_default();
    }
}

/// What was seen at the last look.
#[derive(Default)]
struct Watcher {
    /// A change under way, and since when.
    change: Option<(Fingerprint, Instant)>,
    /// When to try a failed reload again, and how long to wait the next time.
    retry: Option<(Instant, Duration)>,
}

impl Watcher {
    fn look(&mut self, current: &Current, now: Instant) {
        let seen = Fingerprint::of(&current.guard().plan.watched);
        if seen == *current.read.lock() {
            self.change = None;
            self.retry(current, now);
            return;
        }
        let since = match &self.change {
            None => now,
            Some((last, since)) if *last == seen || now - *since >= LONGEST_CHANGE => {
                self.change = None;
                self.retry = None;
                // Told of in the log, the metrics and `/readyz?verbose`.
                let _ = current.reload(Trigger::File);
                return;
            }
            Some((_, since)) => *since,
        };
        self.change = Some((seen, since));
    }

    fn retry(&mut self, current: &Current, now: Instant) {
        if current.problems().is_none() {
            self.retry = None;
            return;
        }
        let (due, wait) = *self.retry.get_or_insert((now + FIRST_RETRY, FIRST_RETRY));
        if now >= due {
            let wait = (wait * 2).min(LONGEST_RETRY);
            self.retry = Some((now + wait, wait));
            current.retry();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::tests::current;
    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        watcher: Watcher,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { folder, watcher: Watcher::default(), now: Instant::now() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            std::fs::write(self.path(name), text).unwrap();
            self.path(name)
        }

        /// One look, a poll after the last.
        fn look(&mut self, current: &Current) -> u64 {
            self.now += POLL;
            self.watcher.look(current, self.now);
            current.guard().plan.generation
        }
    }

    fn site(current: &Current) -> String {
        current.guard().plan.sites[0].name.to_string()
    }

    #[test]
    fn nothing_is_reloaded_while_nothing_changes() {
        let mut bench = Bench::new();
        let current = current(vec![bench.write("countersign.yaml", "one")]);
        assert!((0..20).all(|_| bench.look(&current) == 1));
    }

    #[test]
    fn a_change_is_taken_once_two_looks_agree() {
        let mut bench = Bench::new();
        let current = current(vec![bench.write("countersign.yaml", "one")]);
        bench.write("countersign.yaml", "two");
        assert_eq!(bench.look(&current), 1);
        assert_eq!(bench.look(&current), 2);
        assert_eq!(site(&current), "two");
        assert!((0..20).all(|_| bench.look(&current) == 2));
    }

    #[test]
    fn half_a_file_is_not_taken_but_a_change_without_end_is_within_a_second() {
        let mut bench = Bench::new();
        let current = current(vec![bench.write("countersign.yaml", "one")]);
        let mut looks = 0;
        while bench.look(&current) == 1 {
            looks += 1;
            bench.write("countersign.yaml", &"x".repeat(looks));
            assert!(looks < 10, "never taken");
        }
        // The first look saw no change yet.
        assert_eq!(looks as u32 - 1, (LONGEST_CHANGE.as_millis() / POLL.as_millis()) as u32);
    }

    #[test]
    fn a_reload_by_another_hand_is_not_done_again() {
        let mut bench = Bench::new();
        let current = current(vec![bench.write("countersign.yaml", "one")]);
        bench.write("countersign.yaml", "two");
        bench.look(&current);
        current.reload(Trigger::Sighup).unwrap();
        assert!((0..5).all(|_| bench.look(&current) == 2));
    }

    #[test]
    fn a_broken_file_changes_nothing_and_its_repair_is_taken() {
        let mut bench = Bench::new();
        let current = current(vec![bench.write("countersign.yaml", "one")]);
        bench.write("countersign.yaml", "broken");
        assert!((0..20).all(|_| bench.look(&current) == 1));
        let failed = current.last_reload().unwrap();
        assert!(failed.result.is_err());
        let shown = current.metrics.render(&current.guard().plan, crate::clock::UnixTime::now());
        let once = "config_reloads_total{result=\"failure\",trigger=\"file\"} 1\n";
        assert!(shown.contains(once), "said again with every retry");
        bench.write("countersign.yaml", "three");
        bench.look(&current);
        assert_eq!(bench.look(&current), 2);
        assert_eq!(site(&current), "three");
    }

    #[test]
    fn a_deleted_key_file_fails_the_reload_and_its_return_mends_it() {
        let mut bench = Bench::new();
        let (file, key) = (bench.write("countersign.yaml", "one"), bench.write("key", "k"));
        let watched = vec![file, key.clone()];
        let plan = super::super::tests::read(&watched).unwrap();
        let needed = key.clone();
        let loader: super::super::Loader = Box::new(move || match needed.exists() {
            true => super::super::tests::read(&watched),
            false => Err("the key file is missing".into()),
        });
        let metrics = crate::telemetry::Metrics::new(prometheus::Registry::new()).unwrap();
        let current = Current::new(loader, plan, metrics);
        std::fs::remove_file(&key).unwrap();
        bench.look(&current);
        assert_eq!(bench.look(&current), 1);
        assert!(current.last_reload().unwrap().result.is_err());
        bench.write("key", "k");
        bench.look(&current);
        assert_eq!(bench.look(&current), 2);
        assert!(current.last_reload().unwrap().result.is_ok());
    }

    #[test]
    fn a_file_that_only_the_broken_configuration_names_is_found_when_it_comes() {
        let mut bench = Bench::new();
        let file = bench.write("countersign.yaml", "one");
        let (watched, later) = (vec![file], bench.path("later"));
        let plan = super::super::tests::read(&watched).unwrap();
        let loader: super::super::Loader = Box::new(move || match later.exists() {
            true => super::super::tests::read(&watched),
            false => Err("no later".into()),
        });
        let metrics = crate::telemetry::Metrics::new(prometheus::Registry::new()).unwrap();
        let current = Current::new(loader, plan, metrics);
        bench.write("countersign.yaml", "two");
        bench.look(&current);
        assert_eq!(bench.look(&current), 1);
        bench.write("later", "");
        let looks = (0..20).take_while(|_| bench.look(&current) == 1).count();
        assert!(looks < 10, "{looks}");
        assert_eq!(site(&current), "two");
    }

    /// As the kubelet writes a volume: a new folder, a link beside `..data`, a rename.
    fn swap(volume: &Path, number: u32, text: &str) {
        let folder = volume.join(format!("..{number}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("countersign.yaml"), text).unwrap();
        std::os::unix::fs::symlink(format!("..{number}"), volume.join("..tmp")).unwrap();
        std::fs::rename(volume.join("..tmp"), volume.join("..data")).unwrap();
    }

    #[tokio::test]
    async fn swaps_of_a_kubernetes_volume_are_all_taken() {
        let volume = tempfile::tempdir().unwrap();
        swap(volume.path(), 0, "s0");
        let file = volume.path().join("countersign.yaml");
        std::os::unix::fs::symlink("..data/countersign.yaml", &file).unwrap();
        let current = current(vec![file]);
        let (stop, stopped) = channel::channel(false);
        let task = tokio::spawn(watch(current.clone(), stopped));
        let mut news = current.subscribe();
        for number in 1..=3 {
            swap(volume.path(), number, &format!("s{number}"));
            // The delay itself is measured above, by a clock that a busy machine cannot slow.
            let in_force = tokio::time::timeout(Duration::from_secs(10), news.changed()).await;
            in_force.expect("taken").unwrap();
            assert_eq!(site(&current), format!("s{number}"));
        }
        stop.send(true).unwrap();
        tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
    }
}
