//! Backends behind TLS, and connections that serve one request after another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Connection, Request, find};
use crate::support::tls::{Certified, Shaken, TlsFront};
use crate::support::websocket::{Socket, handshake};
use crate::support::{eventually, ports};

const HOST: &str = "chat.test";

fn site(name: &str, upstream: &str) -> String {
    dialect("jwt").site(name, &format!("{name}.test"), upstream, "prefer")
}

/// A backend at localhost, by name, that this file vouches for.
fn localhost(front: &TlsFront, ca: &str) -> String {
    let port = front.address.port();
    format!("{{ urls: \"https://localhost:{port}\", ca: {{ file: {ca} }} }}")
}

/// A backend that answers whatever it hears, and TLS is nothing that it knows.
async fn no_tls() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ =
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_every_kind_reach_a_backend_of_https_over_one_connection() {
    let (echo, certified) = (Echo::start().await, Certified::of(&["localhost"]));
    let front = TlsFront::start(&certified, echo.address).await;
    let setup = Setup::new(site("chat", &localhost(&front, "ca.pem")));
    let gateway = setup.file("ca.pem", certified.pem.clone()).start().await;
    let mut client = gateway.connect().await;
    for number in 0..20 {
        let target = format!("/c?n={number}");
        let answer = client.exchange(&Request::get(&target).host(HOST)).await.expect("an answer");
        assert_eq!(answer.echoed().target, target);
        assert_eq!(answer.echoed().header("host"), Some(HOST), "the client's own");
    }
    let long = vec![7; 300_000];
    for post in [
        Request::post("/c", "application/x", long.clone()).host(HOST).chunked(),
        Request::post("/c", "application/x", long).host(HOST),
    ] {
        let echoed = client.exchange(&post).await.expect("an answer").echoed();
        assert_eq!((echoed.length, echoed.checksum), (300_000, 2_100_000));
    }
    let answer = client.exchange(&Request::get("/stream/3000000").host(HOST)).await;
    assert_eq!(answer.expect("an answer").body.len(), 3_000_000);
    let h2 = h2c::Connection::open(gateway.address).await;
    assert_eq!(h2.get(HOST, "/chunked", &[]).await.status, 200);
    let shaken = Shaken { sni: Some("localhost".into()), alpn: Some("http/1.1".into()) };
    assert_eq!(front.shaken(), [shaken], "one connection, which asked for the URL's host");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_reach_a_backend_of_https() {
    let (echo, certified) = (Echo::start().await, Certified::of(&["localhost"]));
    let front = TlsFront::start(&certified, echo.address).await;
    let setup = Setup::new(site("chat", &localhost(&front, "ca.pem")));
    let setup = setup.top("drain: { delay: 0s, spread: 0s }");
    let gateway = setup.file("ca.pem", certified.pem.clone()).start().await;
    let mut socket = Socket::open(gateway.address, &handshake("/ws", HOST)).await.expect("a 101");
    for length in [1, 1000, 100_000] {
        socket.echoes(&"x".repeat(length)).await.expect("an echo");
    }
    let refused = Socket::open(gateway.address, &handshake("/ws/refuse", HOST)).await;
    assert_eq!(refused.err().expect("no 101").status, 403);
    gateway.signal("TERM");
    assert_eq!(socket.farewell().await.0, 1012, "frames are followed as without TLS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_vouched_for_is_not_the_backend() {
    let (echo, certified) = (Echo::start().await, Certified::of(&["localhost"]));
    let front = TlsFront::start(&certified, echo.address).await;
    let renamed = Certified::of(&["elsewhere.test"]);
    let elsewhere = TlsFront::start(&renamed, echo.address).await;
    let mut sites = site("good", &localhost(&front, "ca.pem"));
    sites += &site("foreign", &localhost(&front, "other.pem"));
    sites += &site("system", &format!("https://localhost:{}", front.address.port()));
    // The certificate is for the name, not for the address.
    sites += &site("address", &localhost(&front, "ca.pem").replace("localhost", "127.0.0.1"));
    sites += &site("renamed", &localhost(&elsewhere, "renamed.pem"));
    sites += &site("plain", &format!("https://{}", no_tls().await));
    let other = Certified::of(&["localhost"]).pem;
    let setup = Setup::new(sites).file("ca.pem", certified.pem.clone()).file("other.pem", other);
    let gateway = setup.file("renamed.pem", renamed.pem.clone()).start().await;
    // Trusted and connected first: what comes after must not use its connection.
    assert_eq!(gateway.send(&Request::get("/c").host("good.test")).await.status, 200);
    for bad in ["foreign", "system", "address", "renamed", "plain"] {
        let host = format!("{bad}.test");
        let answer = gateway.send(&Request::get("/c").host(&host)).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unavailable"), "{bad}");
        let refused = Socket::open(gateway.address, &handshake("/ws", &host)).await;
        assert_eq!(refused.err().expect("no 101").status, 502, "{bad}");
        let labels = [("site", bad), ("kind", "tls")];
        gateway.metric_reaches("countersign_upstream_errors_total", &labels, 2.0).await;
    }
    assert_eq!(gateway.send(&Request::get("/c").host("good.test")).await.status, 200);
    assert_eq!(echo.received().len(), 2, "nobody else got anything");
    let complaints = gateway.log().matches("there is no TLS with the backend").count();
    assert_eq!(complaints, 5, "each is explained once: {}", gateway.log());
    assert!(gateway.log().contains("UnknownIssuer"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_may_be_the_systems_or_given_up() {
    let echo = Echo::start().await;
    let certified = Certified::of(&["localhost", "127.0.0.1"]);
    let front = TlsFront::start(&certified, echo.address).await;
    let (at, port) = (front.address, front.address.port());
    let mut sites = site("system", &format!("https://localhost:{port}"));
    sites += &site("address", &format!("https://{at}"));
    let anybody = format!("{{ urls: \"https://{at}\", verify: false, host: inner.test }}");
    sites += &site("anybody", &anybody);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &certified.pem).expect("a file");
    let setup = Setup::new(sites).environment("SSL_CERT_FILE", &roots.display().to_string());
    let gateway = setup.start().await;
    for name in ["system", "address", "anybody"] {
        let host = format!("{name}.test");
        let echoed = gateway.send(&Request::get("/c").host(&host)).await.echoed();
        let seen = if name == "anybody" { "inner.test" } else { host.as_str() };
        assert_eq!(echoed.header("host"), Some(seen), "{name}");
    }
    let asked: Vec<_> = front.shaken().into_iter().map(|shaken| shaken.sni).collect();
    // RFC 6066 §3: an address is no name to ask for; `host` has no say in it.
    assert_eq!(asked, [Some("localhost".into()), None, None], "nobody shares a connection");
    assert_eq!(gateway.log().matches("`verify: false`").count(), 1, "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_in_the_file_is_the_only_one_from_then_on() {
    let (echo, certified) = (Echo::start().await, Certified::of(&["localhost"]));
    let front = TlsFront::start(&certified, echo.address).await;
    let setup = Setup::new(site("chat", &localhost(&front, "ca.pem")));
    let gateway = setup.file("ca.pem", certified.pem.clone()).start().await;
    let get = Request::get("/c").host(HOST);
    assert_eq!(gateway.send(&get).await.status, 200);
    // A reload that changes nothing of it keeps the connection.
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(gateway.send(&get).await.status, 200);
    assert_eq!(front.accepted(), 1);
    gateway.write("ca.pem", Certified::of(&["localhost"]).pem);
    eventually("distrust", Duration::from_secs(5), || async {
        gateway.send(&get).await.status == 502
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_of_https_that_is_silent_or_gone_is_told_from_one_without_tls() {
    let silent = crate::support::echo::silent_backend().await;
    let mut sites = site("silent", &format!("https://{silent}"));
    sites += &site("gone", &format!("https://{}", ports::free()));
    let gateway = Setup::new(sites).top("timeouts: { connect: 1s }").start().await;
    for (name, status, kind) in [("silent", 504, "timeout"), ("gone", 502, "connect")] {
        let host = format!("{name}.test");
        assert_eq!(gateway.send(&Request::get("/c").host(&host)).await.status, status);
        let refused = Socket::open(gateway.address, &handshake("/ws", &host)).await;
        assert_eq!(refused.err().expect("no 101").status, status);
        let labels = [("site", name), ("kind", kind)];
        gateway.metric_reaches("countersign_upstream_errors_total", &labels, 2.0).await;
    }
}

// --- One request after another. ------------------------------------------------------------

/// How a [`Fickle`] backend treats its connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Answers everything.
    Faithful,
    /// Answers the first request of each connection, and closes when the second comes.
    Leaves,
    /// Answers, and speaks on unasked.
    Chatters,
    /// Answers, and says that it is done.
    Closes,
}

/// A backend that counts its connections and what comes over them.
struct Fickle {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Fickle {
    async fn start(habit: Habit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (connections, requests) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (opened, asked) = (connections.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::Relaxed);
                let asked = asked.clone();
                tokio::spawn(async move {
                    let (mut read, mut served) = (Vec::new(), 0);
                    while stream.read_buf(&mut read).await.is_ok_and(|read| read > 0) {
                        while let Some(end) = find(&read, b"\r\n\r\n") {
                            read.drain(..end + 4);
                            asked.fetch_add(1, Ordering::Relaxed);
                            if habit == Habit::Leaves && served == 1 {
                                return;
                            }
                            served += 1;
                            let connection = if habit == Habit::Closes { "close" } else { "x" };
                            let mut answer = format!(
                                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: {connection}\
                                 \r\n\r\nok"
                            );
                            if habit == Habit::Chatters {
                                answer += "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
                            }
                            let _ = stream.write_all(answer.as_bytes()).await;
                        }
                    }
                });
            }
        });
        Self { address, connections, requests }
    }

    async fn gateway(&self) -> Gateway {
        Setup::new(site("chat", &format!("http://{}", self.address))).start().await
    }

    /// Connections and requests so far.
    fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::Relaxed), self.requests.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_one_request_after_another_while_nothing_speaks_against_it() {
    for (habit, expected) in [(Habit::Faithful, 1), (Habit::Closes, 10), (Habit::Chatters, 10)] {
        let backend = Fickle::start(habit).await;
        let gateway = backend.gateway().await;
        let mut client = gateway.connect().await;
        for _ in 0..10 {
            let answer = client.exchange(&Request::get("/c").host(HOST)).await.expect("an answer");
            assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
        }
        assert_eq!(backend.counts(), (expected, 10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_in_the_middle_leaves_no_answer_to_somebody_else() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site("chat", &format!("http://{}", echo.address))).start().await;
    for _ in 0..10 {
        let mut client = Connection::open(gateway.address).await;
        client.send(&Request::get("/stream/50000000").host(HOST).bytes()).await;
        client.bytes(1000).await.expect("a beginning");
        drop(client);
        let mut half = Connection::open(gateway.address).await;
        let post = Request::post("/c", "application/x", "x".repeat(1000)).host(HOST).bytes();
        half.send(&post[..post.len() - 500]).await;
        drop(half);
        let echoed = gateway.send(&Request::get("/next").host(HOST)).await.echoed();
        assert_eq!((echoed.target.as_str(), echoed.length), ("/next", 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_connection_that_the_backend_leaves_costs_a_get_nothing() {
    let backend = Fickle::start(Habit::Leaves).await;
    let gateway = backend.gateway().await;
    let mut client = gateway.connect().await;
    for _ in 0..10 {
        let answer = client.exchange(&Request::get("/c").host(HOST)).await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    // The first has no used one; each other is sent twice.
    assert_eq!(backend.counts(), (10, 19));
    let post = Request::post("/c", "application/x", "").host(HOST);
    assert_eq!(gateway.send(&post).await.status, 502, "what acts is not sent twice");
    assert_eq!(backend.counts(), (10, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed_in_their_time() {
    let echo = Echo::start().await;
    let site = site("chat", &format!("http://{}", echo.address));
    let gateway = Setup::new(site).top("timeouts: { upstream_idle: 1s }").start().await;
    assert_eq!(gateway.send(&Request::get("/c").host(HOST)).await.status, 200);
    assert_eq!(echo.open(), 1, "kept");
    eventually("closed", Duration::from_secs(3), || async { echo.open() == 0 }).await;
}

// --- Which of several. ---------------------------------------------------------------------

/// A backend that answers its own name, well or ill.
async fn named_backend(name: &'static str, well: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let well = well.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                while stream.read_buf(&mut read).await.is_ok_and(|read| read > 0) {
                    let Some(end) = find(&read, b"\r\n\r\n") else { continue };
                    let head = String::from_utf8_lossy(&read[..end]).into_owned();
                    read.drain(..end + 4);
                    if head.starts_with("GET /hang ") {
                        continue;
                    }
                    let probe =
                        head.starts_with("GET /health?deep HTTP/1.1\r\nHost: inner.test\r\n");
                    let status = match probe && !well.load(Ordering::Relaxed) {
                        true => "503 Service Unavailable",
                        false => "200 OK",
                    };
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 1\r\n\r\n{name}");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    address
}

async fn heard(gateway: &Gateway, requests: usize) -> String {
    let mut heard = String::new();
    for _ in 0..requests {
        heard += &gateway.send(&Request::get("/c").host(HOST)).await.text();
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ill_backend_gets_no_requests_until_it_is_well_again() {
    let (well, ill) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let (a, b) = (named_backend("a", well).await, named_backend("b", ill.clone()).await);
    let upstream = format!(
        "{{ urls: [\"http://{a}\", \"http://{b}\"], host: inner.test, \
         health: {{ path: \"/health?deep\", interval: 100ms }} }}"
    );
    let gateway = Setup::new(site("chat", &upstream)).start().await;
    let both = heard(&gateway, 10).await;
    assert_eq!((both.matches('a').count(), both.matches('b').count()), (5, 5), "{both}");
    let status = || async {
        let answer = Request::get("/readyz?verbose").host("localhost").send(gateway.admin).await;
        answer.json()
    };
    ill.store(false, Ordering::Relaxed);
    gateway.log_line("a backend is ill").await;
    assert_eq!(heard(&gateway, 10).await, "a".repeat(10));
    eventually("degraded", Duration::from_secs(5), || async {
        status().await["checks"]["upstream"]["detail"] == format!("ill: {b}")
    })
    .await;
    ill.store(true, Ordering::Relaxed);
    gateway.log_line("a backend is well again").await;
    assert_eq!(heard(&gateway, 10).await.matches('b').count(), 5);
    assert_eq!(gateway.log().matches("a backend is ill").count(), 1, "only news is logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backend_with_the_fewest_requests_under_way_gets_the_next() {
    let well = Arc::new(AtomicBool::new(true));
    let (a, b) = (named_backend("a", well.clone()).await, named_backend("b", well).await);
    let upstream = format!("{{ urls: [\"http://{a}\", \"http://{b}\"], balance: least_requests }}");
    let gateway = Setup::new(site("chat", &upstream)).start().await;
    let both = heard(&gateway, 10).await;
    assert_eq!((both.matches('a').count(), both.matches('b').count()), (5, 5), "{both}");
    // One that hangs keeps its backend busy; the other gets all else.
    let mut hanging = gateway.connect().await;
    hanging.send(&Request::get("/hang").host(HOST).bytes()).await;
    let mut answers = String::new();
    for _ in 0..6 {
        // The one before may still be counted for a moment after its answer.
        eventually("one is under way", Duration::from_secs(5), || async {
            let labels = [("site", "chat")];
            gateway.metrics().await.sum("countersign_http_requests_in_flight", &labels) == 1.0
        })
        .await;
        answers += &heard(&gateway, 1).await;
    }
    assert!(["aaaaaa", "bbbbbb"].contains(&answers.as_str()), "{answers}");
    drop(hanging);
    eventually("free again", Duration::from_secs(5), || async {
        let both = heard(&gateway, 2).await;
        both.contains('a') && both.contains('b')
    })
    .await;
}
