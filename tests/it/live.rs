//! Live connections end when trust in them ends, soon, and no others do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::severing::Events;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Request, find};
use crate::support::websocket::{self, Socket, handshake};
use crate::support::{PATIENCE, eventually, sign};

const HOST: &str = "chat.test";
const OLD: &str = "the-old-secret-of-the-tests-0123456789";
const NEW: &str = "the-new-secret-of-the-tests-0123456789";
/// What the issue promises, from the cause to the Close frame.
const PROMPT: Duration = Duration::from_secs(1);

/// A site with an old and a new key; `more` are further lines of it.
fn site(backend: SocketAddr, mode: &str, more: &str) -> String {
    format!(
        "  chat:\n    hosts: [{HOST}]\n    upstream: http://{backend}\n    dialect: jwt\n    \
         mode: {mode}\n    keys:\n      - {{ id: old, secret: {{ value: \"{OLD}\" }} }}\n      \
         - {{ id: new, secret: {{ value: \"{NEW}\" }} }}\n{more}"
    )
}

/// A token that ends at a second of the clock.
fn token_until(secret: &str, id: &str, exp: u64) -> String {
    sign::token(secret, &json!({ "sub": id, "iat": sign::now() - 500, "exp": exp }))
}

fn token(secret: &str, id: &str) -> String {
    token_until(secret, id, sign::now() + 300)
}

async fn open(gateway: &Gateway, token: Option<&str>) -> Socket {
    let upgrade = handshake("/ws", HOST);
    let upgrade = token.map_or(upgrade.clone(), |token| upgrade.bearer(token));
    Socket::open(gateway.address, &upgrade).await.expect("an upgrade")
}

async fn open_many(gateway: &Gateway, token: Option<&str>, count: usize) -> Vec<Socket> {
    let upgrade = handshake("/ws", HOST);
    let upgrade = token.map_or(upgrade.clone(), |token| upgrade.bearer(token));
    websocket::open_many(gateway.address, &upgrade, count).await
}

/// The configuration without the old key, put in force.
async fn without_old_key(gateway: &Gateway) -> Instant {
    let config = gateway.config();
    let kept = config.lines().filter(|line| !line.contains("id: old"));
    let kept: Vec<&str> = kept.collect();
    assert_eq!(kept.len() + 1, config.lines().count());
    gateway.write("countersign.yaml", kept.join("\n"));
    let asked = Instant::now();
    assert_eq!(gateway.reload().await.status, 200);
    asked
}

/// Seconds since a second of the clock began.
fn since(exp: u64) -> f64 {
    countersign::clock::UnixTime::now().as_millis() as f64 / 1000.0 - exp as f64
}

async fn closed(gateway: &Gateway, reason: &str) -> f64 {
    let labels = [("site", "chat"), ("reason", reason)];
    gateway.metrics().await.sum("countersign_live_connections_closed_total", &labels)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_removed_takes_its_websockets_along_and_two_thousand_others_stay() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(echo.address, "prefer", "")).start().await;
    let mut others = open_many(&gateway, Some(&token(NEW, "u-1")), 1000).await;
    others.extend(open_many(&gateway, None, 1000).await);
    let concerned = open_many(&gateway, Some(&token(OLD, "u-1")), 100).await;
    assert!(gateway.metrics().await.has(
        "countersign_live_connections_closed_total",
        &[("site", "chat"), ("reason", "revoked")],
    ));
    let asked = without_old_key(&gateway).await;
    let ends = concerned
        .into_iter()
        .map(|mut socket| async move { (socket.farewell().await, asked.elapsed()) });
    let mut took = Vec::new();
    for (farewell, elapsed) in futures_util::future::join_all(ends).await {
        assert_eq!(farewell, (3000, "revoked".to_owned()));
        took.push(elapsed);
    }
    took.sort();
    eprintln!("reload → close frame: p50 {:?}, p99 {:?}", took[50], took[99]);
    assert!(took[99] < PROMPT, "{took:?}");
    eventually("they are counted", PATIENCE, || async {
        closed(&gateway, "revoked").await == 100.0
    })
    .await;
    assert_eq!(gateway.metrics().await.sum("countersign_live_connections", &[]), 2000.0);
    websocket::all_echo(&mut others).await;
    assert!(gateway.log().contains("ending live connections"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_lapses_takes_its_websockets_along() {
    let echo = Echo::start().await;
    let lapses = sign::now() + 3;
    let until = jiff::Timestamp::from_second(lapses as i64).expect("a time").to_string();
    let sites = site(echo.address, "require", "")
        .replace("id: old,", &format!("id: old, not_after: {until},"));
    let gateway = Setup::new(sites).start().await;
    let mut kept = open(&gateway, Some(&token(NEW, "u-1"))).await;
    let mut socket = open(&gateway, Some(&token(OLD, "u-1"))).await;
    assert_eq!(socket.farewell().await, (3000, "revoked".to_owned()));
    let late = since(lapses);
    assert!((0.0..PROMPT.as_secs_f64()).contains(&late), "{late} s after it lapsed");
    kept.echoes("still here").await.expect("an echo");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mode_that_narrows_sends_guests_to_fetch_a_proof() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(echo.address, "accept", "")).start().await;
    let expired = token_until(NEW, "u-1", sign::now() - 200);
    let mut verified = open(&gateway, Some(&token(NEW, "u-1"))).await;
    let mut forger = open(&gateway, Some(&expired)).await;
    let mut guest = open(&gateway, None).await;

    let prefer = gateway.config().replace("mode: accept", "mode: prefer");
    gateway.write("countersign.yaml", &prefer);
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(forger.farewell().await, (3000, "expired".to_owned()));
    guest.echoes("still welcome").await.expect("an echo");

    let terse = prefer.replace("mode: prefer", "mode: require") + "errors: terse\n";
    gateway.write("countersign.yaml", terse);
    let begun = Instant::now();
    assert_eq!(guest.farewell().await, (3000, String::new()));
    assert!(begun.elapsed() < PROMPT, "the file alone does it: {:?}", begun.elapsed());
    verified.echoes("still here").await.expect("an echo");
    eventually("they are counted", PATIENCE, || async {
        closed(&gateway, "narrowed").await == 2.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_websocket_is_closed_when_its_proof_and_grace_are_over_unless_proven_anew() {
    let echo = Echo::start().await;
    let live = "    live: { on_expiry: close, grace: 1s }\n";
    let gateway = Setup::new(site(echo.address, "prefer", live)).start().await;
    let exp = sign::now() + 3;
    let mut kept = [
        open(&gateway, Some(&token(NEW, "lasting"))).await,
        open(&gateway, None).await,
        open(&gateway, Some(&token_until(NEW, "renewed", exp))).await,
    ];
    let mut ending = open(&gateway, Some(&token_until(NEW, "ending", exp))).await;
    let again = Request::get("/c").host(HOST).bearer(&token(NEW, "renewed"));
    assert_eq!(gateway.send(&again).await.status, 200);
    assert_eq!(ending.farewell().await, (3000, "identity expired".to_owned()));
    let late = since(exp + 1);
    assert!((0.0..PROMPT.as_secs_f64()).contains(&late), "{late} s after expiry and grace");
    for socket in &mut kept {
        socket.echoes("still here").await.expect("an echo");
    }
    eventually("it is counted", PATIENCE, || async { closed(&gateway, "expired").await == 1.0 })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_has_as_many_websockets_as_it_may_the_youngest() {
    let echo = Echo::start().await;
    let live = "    live: { max_connections_per_identity: 2 }\n";
    let gateway = Setup::new(site(echo.address, "prefer", live)).start().await;
    let mine = token(NEW, "u-1");
    let mut others = [open(&gateway, Some(&token(NEW, "u-2"))).await, open(&gateway, None).await];
    let mut first = open(&gateway, Some(&mine)).await;
    let mut second = open(&gateway, Some(&mine)).await;
    let mut third = open(&gateway, Some(&mine)).await;
    assert_eq!(first.farewell().await, (3000, "too many connections".to_owned()));
    for socket in others.iter_mut().chain([&mut second, &mut third]) {
        socket.echoes("still here").await.expect("an echo");
    }
}

/// Asks for an answer that streams, and reads its first piece.
async fn stream(gateway: &Gateway, path: &str, token: Option<&str>) -> TcpStream {
    let request = Request::get(path).host(HOST);
    begin(gateway, &token.map_or(request.clone(), |token| request.bearer(token))).await
}

/// The same, as a browser's `EventSource` asks.
async fn event_source(gateway: &Gateway, token: &str) -> TcpStream {
    let request = Request::get("/sse").host(HOST).header("Accept", "text/event-stream");
    begin(gateway, &request.bearer(token)).await
}

async fn begin(gateway: &Gateway, request: &Request) -> TcpStream {
    let mut connection = gateway.connect().await;
    connection.send(&request.bytes()).await;
    assert_eq!(connection.response_to_head().await.expect("an answer").status, 200);
    connection.bytes(5).await.expect("a piece");
    connection.into_parts().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_stream_break_off_and_only_those_that_rest_on_the_key() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(echo.address, "prefer", "")).start().await;
    let (old, new) = (token(OLD, "u-1"), token(NEW, "u-1"));
    let kept =
        [stream(&gateway, "/trickle", Some(&new)).await, stream(&gateway, "/trickle", None).await];
    let mut concerned = [
        stream(&gateway, "/trickle", Some(&old)).await,
        // Nothing of this one is on its way.
        stream(&gateway, "/events", Some(&old)).await,
    ];
    let http2 = h2c::Connection::open(gateway.address).await;
    let bearer = format!("Bearer {old}");
    let reset = tokio::spawn(async move {
        http2.try_send("GET", HOST, "/trickle", &[("authorization", &bearer)]).await
    });
    eventually("all are under way", PATIENCE, || async { echo.received().len() == 5 }).await;
    let asked = without_old_key(&gateway).await;
    for answer in &mut concerned {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, answer.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "it goes on");
        assert!(find(&rest, b"\r\n0\r\n").is_none(), "it ends as if it were complete");
    }
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    assert!(reset.await.expect("no panic").is_err(), "the stream is reset");
    for mut answer in kept {
        let piece = async { answer.read_exact(&mut [0; 64]).await.expect("more") };
        tokio::time::timeout(PATIENCE, piece).await.expect("more");
    }
    eventually("they are counted", PATIENCE, || async { closed(&gateway, "revoked").await == 3.0 })
        .await;
    let errors = gateway.metrics().await.sum("countersign_upstream_errors_total", &[]);
    assert_eq!(errors, 0.0, "the backend has done nothing wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_that_is_silent_ends_as_promptly() {
    let events = Events::start().await;
    let gateway = Setup::new(site(events.address, "prefer", "")).start().await;
    let mut kept = stream(&gateway, "/sse", Some(&token(NEW, "u-1"))).await;
    let mut concerned = stream(&gateway, "/sse", Some(&token(OLD, "u-1"))).await;
    let asked = without_old_key(&gateway).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, concerned.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it goes on");
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    assert!(find(&rest, b"\r\n0\r\n").is_none(), "it ends as if it were complete");
    let mut rest = Vec::new();
    let goes_on = tokio::time::timeout(PROMPT / 4, kept.read_to_end(&mut rest)).await;
    assert!(goes_on.is_err(), "it rests on another key");
    eventually("it is counted", PATIENCE, || async { closed(&gateway, "revoked").await == 1.0 })
        .await;
    let errors = gateway.metrics().await.sum("countersign_upstream_errors_total", &[]);
    assert_eq!(errors, 0.0, "the backend has done nothing wrong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_stream_of_events_ends_where_guests_are_let_in_no_more() {
    let events = Events::start().await;
    let gateway = Setup::new(site(events.address, "prefer", "")).start().await;
    let mut guest = stream(&gateway, "/sse", None).await;
    let require = gateway.config().replace("mode: prefer", "mode: require");
    gateway.write("countersign.yaml", require);
    assert_eq!(gateway.reload().await.status, 200);
    let ended = tokio::time::timeout(PATIENCE, guest.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it goes on");
    eventually("it is counted", PATIENCE, || async { closed(&gateway, "narrowed").await == 1.0 })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_widget_that_logs_out_ends_the_streams_of_its_credential_and_no_others() {
    let events = Events::start().await;
    let gateway = Setup::new(site(events.address, "prefer", "")).start().await;
    let [mine, elsewhere] = [300, 301].map(|secs| token_until(NEW, "u-1", sign::now() + secs));
    let mut kept = event_source(&gateway, &elsewhere).await;
    let mut concerned = event_source(&gateway, &mine).await;
    let logout = Request::new("POST", "/.countersign/logout").host(HOST).bearer(&mine);
    assert!(gateway.send(&logout).await.status < 300);
    let ended = tokio::time::timeout(PATIENCE, concerned.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it goes on");
    let goes_on = tokio::time::timeout(PROMPT / 4, kept.read_to_end(&mut Vec::new())).await;
    assert!(goes_on.is_err(), "it is another device's");
}

/// A backend that accepts one WebSocket after another and hands each over.
async fn raw_backend() -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while find(&head, b"\r\n\r\n").is_none() {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let accept = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                          Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
            let _ = stream.write_all(accept.as_bytes()).await;
            let _ = sender.send(stream);
        }
    });
    (address, receiver)
}

async fn raw_socket(gateway: &Gateway) -> TcpStream {
    let mut connection = gateway.connect().await;
    connection.send(&handshake("/ws", HOST).bearer(&token(OLD, "u-1")).bytes()).await;
    assert_eq!(connection.response().await.expect("an answer").status, 101);
    connection.into_parts().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_floods_cannot_keep_the_client_from_hearing_the_end() {
    let (address, mut backends) = raw_backend().await;
    let gateway = Setup::new(site(address, "prefer", "")).start().await;
    let mut client = raw_socket(&gateway).await;
    let (mut from_client, mut to_client) =
        backends.recv().await.expect("a connection").into_split();
    let flood = tokio::spawn(async move {
        let frame = [&b"\x82\x7e\x03\xe8"[..], &[7; 1000]].concat();
        while to_client.write_all(&frame.repeat(100)).await.is_ok() {}
    });
    let reading = tokio::spawn(async move {
        let (mut scratch, mut end) = (vec![0; 256 * 1024], Vec::new());
        while let Ok(read @ 1..) = client.read(&mut scratch).await {
            end.extend_from_slice(&scratch[..read]);
            let from = end.len().saturating_sub(64);
            end.drain(..from);
        }
        (end, Instant::now())
    });
    let asked = without_old_key(&gateway).await;
    let mut told = Vec::new();
    let _ = from_client.read_to_end(&mut told).await;
    assert_eq!(told, b"\x88\x8c\0\0\0\0\x03\xe9going away", "1001 to the backend");
    let (end, at) = reading.await.expect("no panic");
    assert_eq!(end.get(end.len() - 11..), Some(&b"\x88\x09\x0b\xb8revoked"[..]), "3000, last");
    assert!(at - asked < PROMPT, "{:?}", at - asked);
    flood.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_a_frame_that_does_not_end_the_connection_is_cut() {
    let (address, mut backends) = raw_backend().await;
    let gateway = Setup::new(site(address, "prefer", "")).start().await;
    // One whose client is in the middle of a frame, one whose backend is.
    let mut talking = raw_socket(&gateway).await;
    let mut its_backend = backends.recv().await.expect("a connection");
    talking.write_all(b"\x82\x85\0\0\0\0he").await.expect("an open socket");
    its_backend.read_exact(&mut [0; 8]).await.expect("half a frame");
    let mut listening = raw_socket(&gateway).await;
    let mut half_said = backends.recv().await.expect("a connection");
    half_said.write_all(b"\x82\x05he").await.expect("an open socket");
    listening.read_exact(&mut [0; 4]).await.expect("half a frame");

    let asked = without_old_key(&gateway).await;
    let mut heard = [0; 11];
    talking.read_exact(&mut heard).await.expect("a frame");
    assert_eq!(&heard, b"\x88\x09\x0b\xb8revoked", "the client hears it all the same");
    let mut rest = Vec::new();
    let _ = its_backend.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "no frame in the middle of another: {rest:?}");
    let _ = listening.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "no frame in the middle of another: {rest:?}");
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    let mut told = Vec::new();
    let _ = half_said.read_to_end(&mut told).await;
    assert_eq!(told, b"\x88\x8c\0\0\0\0\x03\xe9going away");
}
