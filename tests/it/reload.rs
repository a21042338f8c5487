//! Keys and settings change while requests go on: in force within a second, all or
//! nothing, nobody dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Connection, Request};
use crate::support::websocket::{Socket, handshake};
use crate::support::{PATIENCE, eventually};

const HOST: &str = "chat.test";
const IN_FORCE: Duration = Duration::from_secs(1);

fn site(echo: &Echo, keys: &str) -> String {
    format!(
        "  chat:\n    hosts: [{HOST}]\n    upstream: http://{}\n    dialect: jwt\n    \
         mode: require\n    keys: [ {keys} ]\n",
        echo.address
    )
}

fn file_key(id: &str) -> String {
    format!("{{ id: {id}, secret: {{ file: {id}.secret }} }}")
}

fn secret(round: usize) -> String {
    format!("secret-number-{round}-of-the-reload-tests")
}

fn signed(secret: &str) -> Request {
    let token = dialect("jwt").proof(secret, "u-1001", 5);
    Request::get("/c").host(HOST).bearer(&token)
}

async fn accepts(gateway: &Gateway, secret: &str) -> bool {
    gateway.send(&signed(secret)).await.status == 200
}

/// Until a secret is accepted, and how long that took.
async fn comes_into_force(gateway: &Gateway, secret: &str) -> Duration {
    eventually("the new key is in force", PATIENCE, || accepts(gateway, secret)).await
}

/// One check of `/readyz?verbose`.
async fn check(gateway: &Gateway, name: &str) -> serde_json::Value {
    let answer = Request::get("/readyz?verbose").host("localhost").send(gateway.admin).await;
    answer.json()["checks"][name].clone()
}

/// Sixty-four clients with one connection each, until told to stop.
struct Load {
    key: Arc<AtomicUsize>,
    /// The key that each client used last, counted up from 1.
    used: Arc<Vec<AtomicUsize>>,
    stop: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
    served: Arc<AtomicUsize>,
}

impl Load {
    fn start(gateway: &Gateway, clients: usize) -> Self {
        let (key, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let used: Arc<Vec<AtomicUsize>> =
            Arc::new((0..clients).map(|_| AtomicUsize::new(0)).collect());
        let served = Arc::new(AtomicUsize::new(0));
        let clients = (0..clients)
            .map(|client| {
                let (key, stop, used) = (key.clone(), stop.clone(), used.clone());
                let (served, address) = (served.clone(), gateway.address);
                tokio::spawn(async move {
                    let mut failures = Vec::new();
                    let mut connection = Connection::open(address).await;
                    while !stop.load(Ordering::Relaxed) {
                        let round = key.load(Ordering::SeqCst);
                        let request = signed(&secret(round));
                        match connection.exchange(&request).await {
                            Ok(answer) if answer.status == 200 => {
                                served.fetch_add(1, Ordering::Relaxed);
                            }
                            Ok(answer) => failures.push(format!("key {round}: {}", answer.text())),
                            Err(error) => {
                                failures.push(format!("key {round}: {error}"));
                                let Ok(another) = Connection::try_open(address).await else {
                                    break;
                                };
                                connection = another;
                            }
                        }
                        used[client].store(round, Ordering::SeqCst);
                    }
                    failures
                })
            })
            .collect();
        Self { key, used, stop, clients, served }
    }

    /// Every client signs with this key from now on; returns when no request with an older
    /// one is on its way.
    async fn switch(&self, round: usize) {
        self.key.store(round, Ordering::SeqCst);
        eventually("every client uses the new key", PATIENCE, || async {
            self.used.iter().all(|used| used.load(Ordering::SeqCst) >= round)
        })
        .await;
    }

    async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await.expect("a client does not panic"));
        }
        (self.served.load(Ordering::Relaxed), failures)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_while_keys_rotate_ten_times_and_break_once() {
    let echo = Echo::start().await;
    let keys = format!("{}, {}", file_key("a"), file_key("b"));
    let gateway = Setup::new(site(&echo, &keys))
        .file("a.secret", secret(0))
        .file("b.secret", secret(1))
        .top("log: { access: none }")
        .start()
        .await;
    let load = Load::start(&gateway, 64);
    let mut slowest = Duration::ZERO;
    for round in 1..=10 {
        let file = if round % 2 == 0 { "a.secret" } else { "b.secret" };
        // Round 1's key has been there from the start; write it anew all the same.
        gateway.write(file, format!("{}\n", secret(round)));
        slowest = slowest.max(comes_into_force(&gateway, &secret(round)).await);
        load.switch(round).await;
        if round == 5 {
            break_and_mend(&gateway, round).await;
        }
        let so_far = load.served.load(Ordering::Relaxed);
        eventually("a tenth of the requests", Duration::from_secs(60), || async {
            load.served.load(Ordering::Relaxed) >= so_far + 1000
        })
        .await;
    }
    assert!(!accepts(&gateway, &secret(8)).await, "a replaced key proves nothing any more");
    let (served, failures) = load.end().await;
    assert!(served >= 10_000, "{served}");
    assert!(failures.is_empty(), "{} of {served} failed: {:?}", failures.len(), failures.first());
    assert!(slowest < IN_FORCE, "a new key took {slowest:?}");
}

/// A broken configuration changes nothing but a metric, a log line and `/readyz?verbose`.
async fn break_and_mend(gateway: &Gateway, round: usize) {
    let before = gateway.metrics().await;
    let generation = before.sum("countersign_config_generation", &[]);
    let good = gateway.config();
    gateway.write("countersign.yaml", good.replace("dialect: jwt", "dialect: jwt\n    mood: good"));
    let failed = [("trigger", "file"), ("result", "failure")];
    gateway.metric_reaches("countersign_config_reloads_total", &failed, 1.0).await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("countersign_config_last_reload_successful", &[]), 0.0);
    assert_eq!(metrics.sum("countersign_config_generation", &[]), generation);
    assert!(accepts(gateway, &secret(round)).await);
    gateway.log_line("mood").await;
    let ready = Request::get("/readyz?verbose").host("localhost").send(gateway.admin).await;
    assert_eq!((ready.status, &ready.json()["status"]), (200, &serde_json::json!("degraded")));
    assert_eq!(check(gateway, "reload").await["ok"], false);
    gateway.write("countersign.yaml", good);
    eventually("the mended file is taken", PATIENCE, || async {
        let metrics = gateway.metrics().await;
        metrics.sum("countersign_config_last_reload_successful", &[]) == 1.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubernetes_volume_swaps_its_data_link() {
    use std::os::unix::fs::symlink;
    let echo = Echo::start().await;
    let volume = tempfile::tempdir().expect("a temporary folder");
    let swap = |round: usize| {
        let data = format!("..2026_11_21_{round}");
        std::fs::create_dir(volume.path().join(&data)).expect("a new folder");
        let key = volume.path().join(&data).join("k1.secret");
        std::fs::write(key, secret(round)).expect("a new file");
        let _ = std::fs::remove_file(volume.path().join("..data_tmp"));
        symlink(&data, volume.path().join("..data_tmp")).expect("a new link");
        std::fs::rename(volume.path().join("..data_tmp"), volume.path().join("..data"))
            .expect("the swap");
    };
    swap(0);
    symlink("..data/k1.secret", volume.path().join("k1.secret")).expect("a new link");
    let key =
        format!("{{ id: k1, secret: {{ file: \"{}/k1.secret\" }} }}", volume.path().display());
    let gateway = Setup::new(site(&echo, &key)).start().await;
    assert!(accepts(&gateway, &secret(0)).await);
    for round in 1..=5 {
        swap(round);
        let took = comes_into_force(&gateway, &secret(round)).await;
        assert!(took < IN_FORCE, "{took:?}");
        assert!(!accepts(&gateway, &secret(round - 1)).await);
        // What the kubelet does next.
        let old = volume.path().join(format!("..2026_11_21_{}", round - 1));
        std::fs::remove_dir_all(old).expect("the old folder");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_empty_secret_file_changes_nothing() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(&echo, &file_key("a"))).file("a.secret", secret(1)).start().await;
    for damage in ["remove", "empty"] {
        let failures = [("result", "failure")];
        let before = gateway.metrics().await.sum("countersign_config_reloads_total", &failures);
        match damage {
            "remove" => std::fs::remove_file(gateway.path("a.secret")).expect("it was there"),
            _ => gateway.write("a.secret", ""),
        }
        gateway.metric_reaches("countersign_config_reloads_total", &failures, before + 1.0).await;
        assert!(accepts(&gateway, &secret(1)).await, "{damage}: the old key stays in force");
    }
    gateway.write("a.secret", secret(3));
    assert!(comes_into_force(&gateway, &secret(3)).await < IN_FORCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_and_the_admin_api_reload_too() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(&echo, &file_key("a"))).file("a.secret", secret(0)).start().await;
    gateway.write("a.secret", secret(1));
    gateway.signal("HUP");
    assert!(comes_into_force(&gateway, &secret(1)).await < IN_FORCE);
    let hup = [("trigger", "sighup"), ("result", "success")];
    gateway.metric_reaches("countersign_config_reloads_total", &hup, 1.0).await;
    gateway.write("a.secret", secret(2));
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(accepts(&gateway, &secret(2)).await, "in force when the answer is there");
    let admin = [("trigger", "admin"), ("result", "success")];
    gateway.metric_reaches("countersign_config_reloads_total", &admin, 1.0).await;
    gateway.write("countersign.yaml", "version: 1\nsites: []\n");
    let answer = gateway.reload().await;
    assert!(answer.status >= 400, "{}", answer.text());
    assert!(answer.text().contains("countersign.yaml"), "{}", answer.text());
    assert!(accepts(&gateway, &secret(2)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_change_while_running_is_refused_by_name() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(&echo, &file_key("a"))).file("a.secret", secret(0)).start().await;
    let good = gateway.config();
    let changes = [
        ("listeners", good.replace("listeners: [ ", "listeners: [ { address: \"127.0.0.1:9\" }, ")),
        ("admin", good.replace("admin-token-of-the-tests", "another-token-of-the-tests")),
        ("threads", good.replace("version: 1", "version: 1\nthreads: 3")),
        ("health", good.replace("version: 1", "version: 1\nhealth: { address: \"127.0.0.1:9\" }")),
    ];
    for (count, (what, changed)) in changes.into_iter().enumerate() {
        assert_ne!(changed, good);
        // A good change beside it is not taken either: all or nothing.
        gateway.write("a.secret", secret(count + 1));
        gateway.write("countersign.yaml", changed);
        let answer = gateway.reload().await;
        assert!(answer.status >= 400 && answer.text().contains(what), "{what}: {}", answer.text());
        let labels = [("result", "restart_required")];
        gateway
            .metric_reaches("countersign_config_reloads_total", &labels, (count + 1) as f64)
            .await;
        assert!(!accepts(&gateway, &secret(count + 1)).await, "{what}");
    }
    gateway.write("countersign.yaml", &good);
    assert_eq!(gateway.reload().await.status, 200);
    assert!(accepts(&gateway, &secret(4)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_websockets_and_two_hundred_reloads_keep_two_plans_alive() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(&echo, &file_key("a"))).file("a.secret", secret(0)).start().await;
    let mut sockets = Vec::new();
    let token = dialect("jwt").proof(&secret(0), "u-1001", 5);
    let upgrade = handshake("/ws", HOST).bearer(&token);
    for round in 0..200 {
        for _ in 0..5 {
            let socket = Socket::open(gateway.address, &upgrade).await;
            sockets.push(socket.unwrap_or_else(|answer| panic!("{round}: {answer:?}")));
        }
        // Another site each time, so that each reload is a plan of its own.
        let more = format!("  more-{round}:\n    hosts: [more-{round}.test]\n");
        let more = more + "    upstream: http://127.0.0.1:9\n    dialect: jwt\n    mode: prefer\n";
        let more = more
            + "    keys: [ { id: k, secret: { value: 0123456789-0123456789-0123456789-x } } ]\n";
        let base = gateway.config();
        let base = base.split("  more-").next().unwrap_or_default().to_owned();
        gateway.write("countersign.yaml", base + &more);
        let answer = gateway.reload().await;
        assert_eq!(answer.status, 200, "{round}: {}", answer.text());
    }
    assert_eq!(sockets.len(), 1000);
    let alive = || async {
        let check = check(&gateway, "plans_alive").await;
        let number = check["detail"].as_str().and_then(|detail| detail.parse::<usize>().ok());
        number.unwrap_or_else(|| panic!("no number of plans: {check}"))
    };
    eventually("at most two plans alive", Duration::from_secs(5), || async { alive().await <= 2 })
        .await;
    let start = Instant::now();
    for (index, socket) in sockets.iter_mut().enumerate() {
        socket.echoes(&format!("still here {index}")).await.expect("no socket was dropped");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let live = gateway.metrics().await.sum("countersign_live_connections", &[]);
    assert_eq!(live, 1000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_while_it_starts_does_not_end_it() {
    // A name that does not resolve holds the public listener back for two seconds.
    let site = dialect("jwt").site("chat", "chat.test", "http://no-such-host.invalid:1", "prefer");
    let gateway =
        Setup::new(site).top("drain: { delay: 0s }").start_until("\"message\":\"admin\"").await;
    gateway.signal("HUP");
    gateway.log_line("\"trigger\":\"sighup\"").await;
    let mut gateway = gateway;
    gateway.signal("TERM");
    assert_eq!(gateway.ended(Duration::from_secs(10)).await.code(), Some(0), "a drain, no death");
}
