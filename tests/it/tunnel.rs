//! A WebSocket's two ends behave as they like: the tunnel neither starves, nor hangs, nor
//! passes on what is not for the other side.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::cases::dialect;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Connection, find};
use crate::support::websocket::handshake;
use crate::support::{PATIENCE, eventually, ports};

const HOST: &str = "chat.test";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n";

/// A backend that answers every head with the same bytes; each connection is handed over
/// with the head that came.
async fn backend(answer: Vec<u8>) -> (SocketAddr, UnboundedReceiver<(TcpStream, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while find(&head, b"\r\n\r\n").is_none() {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = stream.write_all(&answer).await;
            let _ = sender.send((stream, head));
        }
    });
    (address, receiver)
}

async fn start(backend: SocketAddr, top: &str) -> Gateway {
    let site = dialect("jwt").site("chat", HOST, &format!("http://{backend}"), "prefer");
    Setup::new(site).top(top).start().await
}

async fn upgrade(gateway: &Gateway) -> Connection {
    let mut connection = gateway.connect().await;
    connection.send(&handshake("/ws", HOST).bytes()).await;
    connection
}

async fn open(gateway: &Gateway) -> Connection {
    let mut connection = upgrade(gateway).await;
    assert_eq!(connection.response().await.expect("an answer").status, 101);
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_one_way_stops_neither_the_other_way_nor_a_shutdown() {
    let (address, mut backends) = backend(format!("{SWITCH}\r\n").into_bytes()).await;
    let mut gateway = start(address, "drain: { delay: 0s, spread: 0s, timeout: 20s }").await;
    let (client, _) = open(&gateway).await.into_parts();
    let (backend, _) = backends.recv().await.expect("a connection");
    let (mut from_client, mut to_client) = backend.into_split();
    let (mut from_backend, mut to_backend) = client.into_split();
    // The client never pauses; the backend swallows, and keeps the end of what it got.
    let flood = tokio::spawn(async move {
        // Whole frames of 1,000 bytes, masked with zeros.
        let frame = [&b"\x82\xfe\x03\xe8\0\0\0\0"[..], &[7; 1000]].concat();
        while to_backend.write_all(&frame.repeat(100)).await.is_ok() {}
    });
    let swallow = tokio::spawn(async move {
        let (mut scratch, mut end) = (vec![0; 256 * 1024], Vec::new());
        while let Ok(read @ 1..) = from_client.read(&mut scratch).await {
            end.extend_from_slice(&scratch[..read]);
            let from = end.len().saturating_sub(64);
            end.drain(..from);
        }
        end
    });
    for message in 0..20 {
        let begun = Instant::now();
        to_client.write_all(b"\x82\x01x").await.expect("an open socket");
        let mut frame = [0; 3];
        let heard = tokio::time::timeout(PATIENCE, from_backend.read_exact(&mut frame)).await;
        assert!(heard.is_ok_and(|heard| heard.is_ok()), "message {message}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    gateway.signal("TERM");
    let begun = Instant::now();
    let mut goodbye = Vec::new();
    let reading = from_backend.read_to_end(&mut goodbye);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("an end");
    assert_eq!(&goodbye[..4], b"\x88\x11\x03\xf4", "a Close frame with 1012");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let end = swallow.await.expect("no panic");
    let told = find(&end, b"\x88\x8c\0\0\0\0\x03\xe9going away").expect("a Close frame with 1001");
    assert_eq!(told, end.len() - 18, "nothing follows");
    flood.abort();
    assert_eq!(gateway.ended(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_says_goodbye_to_the_side_that_is_between_two_frames() {
    let (address, mut backends) = backend(format!("{SWITCH}\r\n").into_bytes()).await;
    let gateway = start(address, "drain: { delay: 0s, spread: 0s, timeout: 5s }").await;
    let mut client = open(&gateway).await;
    let (mut backend, _) = backends.recv().await.expect("a connection");
    // Half a frame from the client, then nothing.
    client.send(b"\x82\x85\0\0\0\0he").await;
    let mut half = [0; 8];
    backend.read_exact(&mut half).await.expect("half a frame");
    gateway.signal("TERM");
    assert_eq!(client.bytes(4).await.expect("a frame"), b"\x88\x11\x03\xf4");
    let mut rest = Vec::new();
    let _ = backend.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "no frame in the middle of another: {rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_101_says_for_one_hop_or_in_our_name_does_not_pass() {
    let forged = "Countersign-Id: admin\r\ncountersign_status: verified\r\nContent-Length: 5\r\n\
                  Transfer-Encoding: chunked\r\nKeep-Alive: timeout=5\r\nX-Kept: yes\r\n";
    let (address, _backends) =
        backend(format!("{SWITCH}{forged}\r\n\x01\x02first").into_bytes()).await;
    let gateway = start(address, "").await;
    let mut client = upgrade(&gateway).await;
    let answer = client.response().await.expect("an answer");
    assert_eq!((answer.status, answer.header("x-kept")), (101, Some("yes")));
    assert_eq!(answer.header("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    for gone in ["countersign-id", "countersign_status", "content-length", "transfer-encoding"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(answer.header("keep-alive"), None);
    assert!(answer.header("countersign-request-id").is_some());
    assert_eq!(client.bytes(7).await.expect("bytes"), b"\x01\x02first", "right behind the head");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_answers_the_handshake_otherwise_is_passed_on_and_the_connection_ends() {
    let cases: [(&str, u16, &str); 6] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellomore", 200, "hello"),
        ("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, ""),
        (
            "HTTP/1.1 426 Upgrade\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
            426,
            "no",
        ),
        ("HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n", 204, ""),
        // Two lengths: the chunks count (RFC 9112 §6.3), and nobody behind us may differ.
        (
            "HTTP/1.1 400 No\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nno\r\n0\r\n\r\n",
            400,
            "no",
        ),
        ("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 502, ""),
    ];
    for (answer, status, body) in cases {
        let (address, _backends) = backend(answer.into()).await;
        let gateway = start(address, "").await;
        let mut client = upgrade(&gateway).await;
        let heard = client.response().await.expect(answer);
        assert_eq!(heard.status, status, "{answer}");
        assert_eq!(heard.header("connection"), Some("close"), "{answer}");
        if status != 502 {
            assert_eq!(heard.text(), body, "{answer}");
        }
        let lengths = heard.header("content-length").iter().count()
            + heard.header("transfer-encoding").iter().count();
        assert!(lengths <= 1, "{answer}");
        assert!(client.closes_within(Duration::from_secs(2)).await, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_does_not_end_is_given_up() {
    let begun = "HTTP/1.1 403 No\r\nContent-Length: 500\r\n\r\nbut";
    let (address, mut backends) = backend(begun.into()).await;
    let gateway = start(address, "timeouts: { response: 1s }").await;
    let mut client = upgrade(&gateway).await;
    let held = backends.recv().await.expect("a connection");
    assert!(client.closes_within(Duration::from_secs(4)).await);
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_finds_the_backend_that_lives() {
    let (address, mut backends) = backend(format!("{SWITCH}\r\n").into_bytes()).await;
    let urls = format!("[\"http://{}\", \"http://{address}\"]", ports::free());
    let site = dialect("jwt").site("chat", HOST, &urls, "prefer");
    let gateway = Setup::new(site).start().await;
    for _ in 0..6 {
        let (_client, _backend) = (open(&gateway).await, backends.recv().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_half_may_close_first_and_nothing_spins() {
    let (address, mut backends) = backend(format!("{SWITCH}\r\n").into_bytes()).await;
    let gateway = start(address, "").await;
    let (mut client, _) = open(&gateway).await.into_parts();
    let (mut backend, _) = backends.recv().await.expect("a connection");
    // The client has said everything; the backend has not.
    client.shutdown().await.expect("an open socket");
    assert_eq!(backend.read(&mut [0; 10]).await.expect("an end"), 0);
    let before = cpu(&gateway).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        backend.write_all(b"\x82\x01x").await.expect("an open socket");
        client.read_exact(&mut [0; 3]).await.expect("a frame");
    }
    let spent = cpu(&gateway).await - before;
    assert!(spent < 0.5, "{spent} s of CPU in a second of next to nothing");
    drop(backend);
    assert_eq!(client.read(&mut [0; 10]).await.expect("an end"), 0);
    let closed =
        || async { gateway.metrics().await.sum("countersign_live_connections", &[]) == 0.0 };
    eventually("the tunnel is gone", PATIENCE, closed).await;
}

async fn cpu(gateway: &Gateway) -> f64 {
    gateway.metrics().await.sum("process_cpu_seconds_total", &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_does_not_read_holds_the_sender_back() {
    let (address, mut backends) = backend(format!("{SWITCH}\r\n").into_bytes()).await;
    let gateway = start(address, "").await;
    let (client, _) = open(&gateway).await.into_parts();
    let (mut backend, _) = backends.recv().await.expect("a connection");
    let before = gateway.metrics().await.sum("process_resident_memory_bytes", &[]);
    let mut sent = 0usize;
    let chunk = vec![0; 1 << 20];
    while let Ok(Ok(())) =
        tokio::time::timeout(Duration::from_millis(500), backend.write_all(&chunk)).await
    {
        sent += chunk.len();
        assert!(sent < 200 << 20, "200 MiB went nowhere");
    }
    let after = gateway.metrics().await.sum("process_resident_memory_bytes", &[]);
    assert!(after - before < 8e6, "{} bytes more", after - before);
    drop(client);
}
