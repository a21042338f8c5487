//! Spans, as a collector receives them: each request is one, a part of the trace that it came
//! with, and none of it says who it was.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, find};
use crate::support::websocket::{Socket, handshake};
use crate::support::{PATIENCE, eventually};

const HOST: &str = "chat.test";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector on a port of its own, which keeps what it is sent.
struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let received = Arc::new(Mutex::new(Vec::new()));
        let sink = received.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(collect(stream, sink.clone()));
            }
        });
        Self { address, received }
    }

    fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().expect("no panic");
        let scopes = received.iter().flat_map(|request| &request.resource_spans);
        scopes.flat_map(|scope| &scope.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The span of a path.
    async fn span(&self, path: &str) -> (Span, BTreeMap<String, String>) {
        let find = || {
            let spans = self.spans().into_iter();
            let told = spans.map(|span| (attributes(&span.attributes), span));
            told.map(|(told, span)| (span, told))
                .find(|(_, told)| told.get("url.path").is_some_and(|told| told == path))
        };
        eventually(&format!("a span of {path}"), PATIENCE, || async { find().is_some() }).await;
        find().expect("a span")
    }
}

async fn collect(mut stream: TcpStream, sink: Arc<Mutex<Vec<ExportTraceServiceRequest>>>) {
    let mut bytes = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end + 4;
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(read) if read > 0) {
                return;
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        assert!(text.starts_with("post /v1/traces http/1.1\r\n"), "{text}");
        assert!(text.contains("content-type: application/x-protobuf\r\n"), "{text}");
        let length = text.split("content-length: ").nth(1).expect("a length");
        let length: usize = length.split("\r\n").next().unwrap().parse().expect("a number");
        while bytes.len() < head + length {
            assert!(stream.read_buf(&mut bytes).await.expect("the rest") > 0);
        }
        let body: Vec<u8> = bytes.drain(..head + length).skip(head).collect();
        let request = ExportTraceServiceRequest::decode(&body[..]).expect("protobuf");
        sink.lock().expect("no panic").push(request);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("a reader");
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let told = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    };
    let pairs = attributes.iter().map(|pair| (pair.key.clone(), told(pair).expect("plain")));
    pairs.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sites(echo: &Echo) -> Setup {
    let upstream = format!("http://{}", echo.address);
    Setup::new(dialect("jwt").site("chat", HOST, &upstream, "require"))
}

async fn start(echo: &Echo, collector: &Collector) -> Gateway {
    let endpoint = format!("http://{}", collector.address);
    let setup = sites(echo).environment("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    setup.environment("OTEL_BSP_SCHEDULE_DELAY", "50").start().await
}

fn token() -> String {
    dialect("jwt").proof(dialect("jwt").secret, "u-1001", 5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_a_span_of_its_trace_and_the_backend_goes_on_from_there() {
    let (echo, collector) = (Echo::start().await, Collector::start().await);
    let gateway = start(&echo, &collector).await;
    let request = Request::get(&format!("/room?access_token={}&x=secret-room", token()))
        .host(HOST)
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .header("tracestate", "vendor=1");
    let received = gateway.send(&request).await.echoed();
    let (span, told) = collector.span("/room").await;
    assert_eq!((hex(&span.trace_id).as_str(), hex(&span.parent_span_id).as_str()), (TRACE, PARENT));
    let passed_on = format!("00-{TRACE}-{}-01", hex(&span.span_id));
    assert_eq!(received.all("traceparent"), [passed_on.as_str()]);
    assert_eq!(received.header("tracestate"), Some("vendor=1"));

    assert_eq!((span.name.as_str(), span.kind), ("GET", 2), "a server's");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    let request_id = received.header("countersign-request-id").expect("an id").to_owned();
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("countersign.site", "chat"),
        ("countersign.dialect", "jwt"),
        ("countersign.status", "verified"),
        ("countersign.request_id", request_id.as_str()),
    ] {
        assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
    }
    let all = format!("{:?}", collector.received.lock().expect("no panic"));
    assert!(all.contains("\"service.name\"") && all.contains("\"countersign\""));
    for secret in ["u-1001", "secret-room", "access_token", &token()[..20]] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_handshakes_are_spans_too() {
    let (echo, collector) = (Echo::start().await, Collector::start().await);
    let mut gateway = start(&echo, &collector).await;
    let refused = Request::get("/refused").host(HOST).header("tracestate", "vendor=1");
    assert_eq!(gateway.send(&refused).await.status, 401);
    let (span, told) = collector.span("/refused").await;
    assert!(span.parent_span_id.is_empty() && span.trace_id.iter().any(|byte| *byte != 0));
    assert_eq!(told["countersign.status"], "rejected");
    assert_eq!(told["countersign.reason"], "missing");
    assert_eq!(told["http.response.status_code"], "401");

    let open = handshake("/ws", HOST).bearer(&token()).header("tracestate", "vendor=1");
    let mut socket = Socket::open(gateway.address, &open).await.expect("an upgrade");
    socket.echoes("hello").await.expect("an echo");
    let (span, told) = collector.span("/ws").await;
    assert_eq!(told["http.response.status_code"], "101");
    let received = echo.take().pop().expect("the backend was asked");
    let passed_on = format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
    assert_eq!(received.header("traceparent"), Some(passed_on.as_str()));
    assert_eq!(received.header("tracestate"), None, "it belonged to no trace");
    drop(socket);

    // What is left at the end is sent before it.
    assert_eq!(gateway.send(&Request::get("/last").host(HOST)).await.status, 401);
    gateway.signal("INT");
    gateway.ended(PATIENCE).await;
    assert!(
        collector.spans().iter().any(|span| attributes(&span.attributes)["url.path"] == "/last")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_a_trace_passes_through() {
    let echo = Echo::start().await;
    let gateway = sites(&echo).environment("OTEL_EXPORTER_OTLP_ENDPOINT", "").start().await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let request = Request::get("/room").host(HOST).bearer(&token()).header("traceparent", &parent);
    assert_eq!(gateway.send(&request).await.echoed().header("traceparent"), Some(parent.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_is_in_nobodys_way() {
    let echo = Echo::start().await;
    let setup = sites(&echo).environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let gateway = setup.environment("OTEL_BSP_SCHEDULE_DELAY", "20").start().await;
    for _ in 0..50 {
        let request = Request::get("/room").host(HOST).bearer(&token());
        assert_eq!(gateway.send(&request).await.status, 200);
    }
}
