//! A request that is on its way to the backend can be ended from outside, also while
//! nothing moves, and nothing else with it. In this process: whoever holds the handle is
//! the one that cuts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use countersign::drain::Drain;
use countersign::live::Registry;
use countersign::proxy::{Gate, Journey};
use countersign::reload::Current;
use countersign::telemetry::Metrics;
use countersign::upstream::{Cutter, Upstreams};
use countersign::webhook::Webhooks;
use countersign::{config, store};
use pingora::apps::{HttpServerOptions, ServerApp};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::l4::stream::Stream;
use pingora::proxy::{FailToProxy, ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::cases::dialect;
use crate::support::h2c;
use crate::support::raw::{Connection, Request, find};
use crate::support::tls::{Certified, TlsFront};
use crate::support::{PATIENCE, eventually};

const HOST: &str = "chat.test";
const SOON: Duration = Duration::from_secs(1);

/// Handles of the requests under way, by their paths.
type Cutters = Arc<Mutex<HashMap<String, Arc<Cutter>>>>;

/// The gate in a proxy of one's own, which keeps the handles.
struct Keeper {
    gate: Gate,
    cutters: Cutters,
}

#[async_trait]
impl ProxyHttp for Keeper {
    type CTX = Journey;

    fn new_ctx(&self) -> Journey {
        self.gate.journey()
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        it: &mut Journey,
    ) -> pingora::Result<bool> {
        self.gate.request(session, it).await
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        it: &mut Journey,
    ) -> pingora::Result<Box<HttpPeer>> {
        let peer = self.gate.peer(it).await;
        if let Some(cutter) = it.cutter() {
            let path = session.req_header().uri.path().to_owned();
            self.cutters.lock().expect("no panic").insert(path, cutter);
        }
        peer
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        it: &mut Journey,
        error: Box<pingora::Error>,
    ) -> Box<pingora::Error> {
        self.gate.connect_failed(it, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<pingora::Error>,
        it: &mut Journey,
        _reused: bool,
    ) -> Box<pingora::Error> {
        self.gate.broke_off(session, it, error)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        it: &mut Journey,
    ) -> pingora::Result<()> {
        self.gate.upstream_request(upstream, it)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        it: &mut Journey,
    ) -> pingora::Result<()> {
        self.gate.body(body, end, it)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        it: &mut Journey,
    ) -> pingora::Result<()> {
        self.gate.response(session, response, it)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &pingora::Error,
        it: &mut Journey,
    ) -> FailToProxy {
        self.gate.failed(session, error, it).await
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&pingora::Error>,
        it: &mut Journey,
    ) {
        self.gate.done(session, error, it);
    }
}

/// A gateway in this process; gone with the test's runtime.
struct Gateway {
    address: SocketAddr,
    cutters: Cutters,
    metrics: Arc<Metrics>,
    current: Arc<Current>,
    _folder: tempfile::TempDir,
    _running: tokio::sync::watch::Sender<bool>,
}

impl Gateway {
    async fn start(upstream: &str, ca: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("countersign.yaml");
        let site = dialect("jwt").site("chat", HOST, upstream, "prefer");
        let text =
            format!("version: 1\nlisteners: [ {{ address: \"127.0.0.1:0\" }} ]\nsites:\n{site}");
        std::fs::write(folder.path().join("ca.pem"), ca).expect("a file");
        std::fs::write(&file, text).expect("a file");
        let plan = config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
        let metrics = Metrics::new(prometheus::Registry::new()).expect("metrics");
        let loader = Box::new(|| Err("it is not reloaded".to_owned()));
        let opening = store::Opening { plan: &plan, metrics: &metrics, accept_empty: false };
        let store = store::open(&opening).await.expect("memory");
        let current = Current::new(loader, plan, metrics.clone());
        let upstreams = Upstreams::new(tokio::runtime::Handle::current());
        let cutters = Cutters::default();
        let webhooks = Webhooks::new(store.clone(), &current.load().plan);
        let registry = Registry::new();
        let gate = Gate::new(current.clone(), upstreams, Drain::new(), store, webhooks, registry);
        let mut proxy =
            http_proxy(&Arc::new(ServerConf::default()), Keeper { gate, cutters: cutters.clone() });
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        proxy.server_options = Some(options);
        let proxy = Arc::new(proxy);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (_running, shutdown) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (proxy, shutdown) = (proxy.clone(), shutdown.clone());
                tokio::spawn(async move {
                    let mut next: Option<pingora::protocols::Stream> =
                        Some(Box::new(Stream::from(stream)));
                    while let Some(stream) = next {
                        next = proxy.process_new(stream, &shutdown).await;
                    }
                });
            }
        });
        Self { address, cutters, metrics, current, _folder: folder, _running }
    }

    fn cutter(&self, path: &str) -> Arc<Cutter> {
        self.cutters.lock().expect("no panic").get(path).cloned().expect("a request under way")
    }

    fn upstream_errors(&self) -> f64 {
        let plan = &self.current.load().plan;
        let shown = self.metrics.render(plan, countersign::clock::UnixTime::from_secs(0));
        let lines =
            shown.lines().filter(|line| line.starts_with("countersign_upstream_errors_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// Two events and then silence under `/sse…`, nothing at all under `/hang`, `ok` elsewhere.
pub struct Events {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Events {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let events = Self { address, connections: Arc::default(), open: Arc::default() };
        let (connections, open) = (events.connections.clone(), events.open.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                open.fetch_add(1, Ordering::Relaxed);
                let open = open.clone();
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    while stream.read_buf(&mut read).await.is_ok_and(|read| read > 0) {
                        while let Some(end) = find(&read, b"\r\n\r\n") {
                            let head = String::from_utf8_lossy(&read[..end]).into_owned();
                            read.drain(..end + 4);
                            let answer: &[u8] = match head.split(' ').nth(1) {
                                Some(path) if path.starts_with("/sse") => {
                                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                                      Transfer-Encoding: chunked\r\n\r\n\
                                      9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n"
                                }
                                Some("/hang") => b"",
                                _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                            };
                            let _ = stream.write_all(answer).await;
                        }
                    }
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        events
    }
}

const TWO_EVENTS: &str = "data: 1\n\ndata: 2\n\n";

/// A stream of events over HTTP/1.1, after its first two.
async fn listen(gateway: &Gateway, path: &str) -> Connection {
    let mut client = Connection::open(gateway.address).await;
    client.send(&Request::get(path).host(HOST).bytes()).await;
    assert_eq!(client.response_to_head().await.expect("a head").status, 200);
    let mut heard = Vec::new();
    while find(&heard, b"data: 2\n\n").is_none() {
        heard.extend(client.bytes(1).await.expect("events"));
    }
    client
}

/// What is left of it: whether it ended in time, and with what.
async fn end(client: Connection) -> Vec<u8> {
    let (mut stream, mut rest) = client.into_parts();
    let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
    let _ = ended.expect("it ends within a second");
    rest
}

async fn is_alive(client: &mut Connection) -> bool {
    !client.closes_within(Duration::from_millis(200)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_of_events_ends_when_it_is_cut_and_no_other_does() {
    let certified = Certified::of(&["localhost"]);
    for secure in [false, true] {
        // Each with a backend of its own: what the last gateway leaves may close late.
        let events = Events::start().await;
        let front = TlsFront::start(&certified, events.address).await;
        let upstream = match secure {
            true => format!(
                "{{ urls: \"https://localhost:{}\", ca: {{ file: ca.pem }} }}",
                front.address.port()
            ),
            false => format!("http://{}", events.address),
        };
        let gateway = Gateway::start(&upstream, &certified.pem).await;
        let (one, mut other) = (listen(&gateway, "/sse/1").await, listen(&gateway, "/sse/2").await);
        let cut = Instant::now();
        gateway.cutter("/sse/1").cut();
        let rest = end(one).await;
        assert!(cut.elapsed() < SOON);
        assert_eq!(find(&rest, b"0\r\n"), None, "it has no proper end: {rest:?}");
        assert!(is_alive(&mut other).await);
        eventually("the backend hears of it", PATIENCE, || async {
            events.open.load(Ordering::Relaxed) == 1
        })
        .await;
        assert_eq!(gateway.upstream_errors(), 0.0, "the backend is well");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_2_the_stream_is_reset_and_the_connection_goes_on() {
    let events = Events::start().await;
    let gateway = Gateway::start(&format!("http://{}", events.address), "").await;
    let h2 = h2c::Connection::open(gateway.address).await;
    let mut one = h2.begin(HOST, "/sse/1").await;
    let mut other = h2.begin(HOST, "/sse/2").await;
    for stream in [&mut one, &mut other] {
        assert_eq!(stream.hear(TWO_EVENTS.len()).await, TWO_EVENTS);
    }
    gateway.cutter("/sse/1").cut();
    let ended = tokio::time::timeout(SOON, one.end()).await.expect("it ends within a second");
    assert!(ended.is_err_and(|error| error.is_reset()), "not as if it were complete");
    assert!(tokio::time::timeout(Duration::from_millis(200), other.end()).await.is_err());
    for _ in 0..3 {
        assert_eq!(h2.get(HOST, "/c", &[]).await.text(), "ok");
    }
    gateway.cutter("/sse/2").cut();
    let ended = tokio::time::timeout(SOON, other.end()).await.expect("it ends within a second");
    assert!(ended.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_that_comes_too_late_touches_nobody_who_uses_the_connection_later() {
    let events = Events::start().await;
    let gateway = Gateway::start(&format!("http://{}", events.address), "").await;
    let mut client = Connection::open(gateway.address).await;
    for number in 0..10 {
        let path = format!("/c/{number}");
        let answer = client.exchange(&Request::get(&path).host(HOST)).await.expect("an answer");
        assert_eq!(answer.text(), "ok");
    }
    let mut stream = listen(&gateway, "/sse/1").await;
    assert_eq!(events.connections.load(Ordering::Relaxed), 1, "all over one connection");
    for number in 0..10 {
        gateway.cutter(&format!("/c/{number}")).cut();
    }
    assert!(is_alive(&mut stream).await);
    gateway.cutter("/sse/1").cut();
    end(stream).await;
    // A cut connection serves nobody.
    let answer = client.exchange(&Request::get("/c").host(HOST)).await.expect("an answer");
    assert_eq!((answer.text().as_str(), events.connections.load(Ordering::Relaxed)), ("ok", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_has_no_answer_yet_ends_without_one() {
    let events = Events::start().await;
    let gateway = Gateway::start(&format!("http://{}", events.address), "").await;
    // Over a used connection too, which is no reason to send it again.
    for _ in 0..2 {
        let mut client = Connection::open(gateway.address).await;
        let answer = client.exchange(&Request::get("/c").host(HOST)).await.expect("an answer");
        assert_eq!(answer.text(), "ok");
        client.send(&Request::get("/hang").host(HOST).bytes()).await;
        eventually("under way", PATIENCE, || async {
            gateway.cutters.lock().expect("no panic").contains_key("/hang")
        })
        .await;
        gateway.cutter("/hang").cut();
        assert_eq!(end(client).await, b"");
        gateway.cutters.lock().expect("no panic").clear();
    }
    assert_eq!(gateway.upstream_errors(), 0.0);
}
