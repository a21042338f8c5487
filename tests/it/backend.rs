//! A backend that is down, silent, unknown or breaks off: a problem, counted, in time.

use std::time::{Duration, Instant};

use crate::support::cases::dialect;
use crate::support::echo::{Echo, silent_backend};
use crate::support::gateway::{Gateway, Setup};
use crate::support::ports;
use crate::support::raw::Request;

async fn start(echo: &Echo) -> Gateway {
    let jwt = dialect("jwt");
    let up = format!("http://{}", echo.address);
    let mut sites = jwt.site("up", "up.test", &up, "prefer");
    sites += &jwt.site("down", "down.test", &format!("http://{}", ports::free()), "prefer");
    let silent = format!("http://{}", silent_backend().await);
    sites += &jwt.site("silent", "silent.test", &silent, "prefer");
    let unknown = "http://no-such-host.invalid:3000";
    sites += &jwt.site("unknown", "unknown.test", unknown, "prefer");
    let two = format!("[\"http://{}\", \"{up}\"]", ports::free());
    sites += &jwt.site("two", "two.test", &two, "prefer");
    sites += &jwt.site("named", "named.test", &up.replace("127.0.0.1", "localhost"), "prefer");
    Setup::new(sites).top("timeouts: { connect: 1s, response: 1s }").start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_fails_is_a_problem_with_its_kind_counted() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let cases = [
        ("down", "/c", 502, "upstream_unavailable", "connect"),
        ("unknown", "/c", 502, "upstream_unavailable", "dns"),
        ("silent", "/c", 504, "upstream_timeout", "timeout"),
        ("up", "/hang", 504, "upstream_timeout", "timeout"),
        ("up", "/close", 502, "upstream_unavailable", ""),
        ("up", "/reset", 502, "upstream_unavailable", ""),
    ];
    for (site, path, status, code, kind) in cases {
        let start = Instant::now();
        let request = Request::get(path).host(&format!("{site}.test"));
        let request = request.header("Origin", "https://www.acme.test");
        let answer = gateway.send(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{site}{path}");
        assert!(start.elapsed() < Duration::from_secs(5), "{site}{path}: {:?}", start.elapsed());
        assert!(answer.header("countersign-request-id").is_some());
        let origin = answer.header("access-control-allow-origin");
        assert_eq!(origin, Some("https://www.acme.test"), "readable by the page");
        let labels = [("site", site), ("kind", kind)];
        let labels = if kind.is_empty() { &labels[..1] } else { &labels[..] };
        gateway.metric_reaches("countersign_upstream_errors_total", labels, 1.0).await;
        let code = status.to_string();
        let labels = [("site", site), ("code", code.as_str())];
        gateway.metric_reaches("countersign_http_requests_total", &labels, 1.0).await;
    }
    // Each was judged and would have gone on.
    let labels = [("site", "down"), ("decision", "guest")];
    assert_eq!(gateway.metrics().await.sum("countersign_decisions_total", &labels), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_acts_is_not_sent_twice() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    for path in ["/close", "/reset"] {
        echo.take();
        let post = Request::post(path, "application/octet-stream", "order").host("up.test");
        assert_eq!(gateway.send(&post).await.status, 502);
        assert_eq!(echo.take().len(), 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_resolved_and_a_dead_target_does_not_take_the_site_down() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let answer = gateway.send(&Request::get("/c").host("named.test")).await;
    assert_eq!(answer.echoed().target, "/c");
    for _ in 0..6 {
        assert_eq!(gateway.send(&Request::get("/c").host("two.test")).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_comes_back_is_used_at_once() {
    let address = ports::free();
    let site = dialect("jwt").site("chat", "chat.test", &format!("http://{address}"), "prefer");
    let gateway = Setup::new(site).start().await;
    let request = Request::get("/c").host("chat.test");
    assert_eq!(gateway.send(&request).await.status, 502);
    let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    assert_eq!(gateway.send(&request).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_a_backend_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("backend.sock");
    let listener = tokio::net::UnixListener::bind(&path).expect("a free path");
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix").await;
        }
    });
    let upstream = format!("\"unix:{}\"", path.display());
    let gateway =
        Setup::new(dialect("jwt").site("chat", "chat.test", &upstream, "prefer")).start().await;
    let answer = gateway.send(&Request::get("/c").host("chat.test")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "unix"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_serves_every_request_while_one_of_it_lives() {
    let echo = Echo::start().await;
    let live = format!("http://{}", echo.address);
    let dead = format!("http://{}", ports::free());
    let unknown = "http://no-such-host.invalid:3000";
    let jwt = dialect("jwt");
    let site = |name: &str, urls: String| jwt.site(name, &format!("{name}.test"), &urls, "prefer");
    let mut sites = site("dead", format!("[\"{dead}\", \"{live}\"]"));
    sites += &site("unknown", format!("[\"{unknown}\", \"{live}\"]"));
    let gateway = Setup::new(sites).start().await;
    for host in ["dead.test", "unknown.test"] {
        let begun = Instant::now();
        // Many at once: one's second try must not be spoilt by the others' first.
        let (get, post) = (Request::get("/c"), Request::post("/c", "application/x", "x"));
        let (get, post) = (get.host(host), post.host(host));
        let requests = (0..60).map(|n| gateway.send(if n % 2 == 0 { &get } else { &post }));
        let answers = futures_util::future::join_all(requests).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert!(statuses.iter().all(|status| *status == 200), "{host}: {statuses:?}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{host}: {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_is_said_once_and_forgotten_with_its_site() {
    let echo = Echo::start().await;
    let jwt = dialect("jwt");
    let live = jwt.site("live", "live.test", &format!("http://{}", echo.address), "prefer");
    let lost = jwt.site("lost", "lost.test", "http://no-such-host.invalid:3000", "prefer");
    let gateway = Setup::new(format!("{live}{lost}")).start().await;
    let status = || async {
        let answer = Request::get("/readyz").host("localhost").send(gateway.admin).await;
        answer.json()["status"].as_str().unwrap_or_default().to_owned()
    };
    crate::support::eventually("degraded", Duration::from_secs(5), || async {
        status().await == "degraded"
    })
    .await;
    // It is tried again every second, in silence.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(gateway.log().matches("cannot be resolved").count(), 1, "{}", gateway.log());
    gateway.write("countersign.yaml", gateway.config().replace(&lost, ""));
    crate::support::eventually("ready again", Duration::from_secs(5), || async {
        status().await == "ready"
    })
    .await;
}
