//! SIGTERM: readiness fails first, answers say `Connection: close`, then the listeners
//! close; nothing that was accepted is cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Connection, Request};
use crate::support::websocket::{Socket, handshake};

async fn start(echo: &Echo, drain: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let site = dialect("jwt").site("chat", "chat.test", &upstream, "prefer");
    Setup::new(site).top(&format!("drain: {drain}")).start().await
}

fn request(path: &str) -> Request {
    Request::get(path).host("chat.test")
}

/// One client of a load balancer that stops sending new connections some time after
/// readiness has failed, and that lets each request in flight finish.
async fn client(
    address: std::net::SocketAddr,
    number: usize,
    unready: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    told: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut connection = Connection::open(address).await;
    loop {
        let path = if number.is_multiple_of(8) { "/slow/300" } else { "/c" };
        match connection.exchange(&request(path)).await {
            Ok(answer) if answer.status == 200 => {
                served.fetch_add(1, Ordering::Relaxed);
                let close = answer.header("connection");
                if close.is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                    told.fetch_add(1, Ordering::Relaxed);
                    if unready.load(Ordering::Relaxed) {
                        return failures;
                    }
                    connection = Connection::open(address).await;
                }
            }
            Ok(answer) => failures.push(format!("{path}: {} {}", answer.status, answer.text())),
            Err(error) => {
                failures.push(format!("{path}: {error}"));
                return failures;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_cuts_nothing_that_was_accepted() {
    let echo = Echo::start().await;
    let mut gateway = start(&echo, "{ delay: 2s, spread: 1s, timeout: 10s }").await;
    let unready = Arc::new(AtomicBool::new(false));
    let (served, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..64)
        .map(|number| {
            let (unready, served, told) = (unready.clone(), served.clone(), told.clone());
            tokio::spawn(client(gateway.address, number, unready, served, told))
        })
        .collect();
    let warm = || async { served.load(Ordering::Relaxed) > 500 };
    crate::support::eventually("the load is on", crate::support::PATIENCE, warm).await;
    // Begun before the signal, done after the listeners have closed.
    let long = tokio::spawn(request_in_flight(gateway.address));
    let asked = || async { echo.received().iter().any(|request| request.target == "/slow/3500") };
    crate::support::eventually("the long one is under way", crate::support::PATIENCE, asked).await;

    let begun = Instant::now();
    gateway.signal("TERM");
    let probe = Request::get("/readyz").host("localhost");
    crate::support::eventually("readiness fails", Duration::from_secs(1), || async {
        probe.try_send(gateway.admin).await.is_ok_and(|answer| answer.status == 503)
    })
    .await;
    let live = Request::get("/livez").host("localhost").send(gateway.admin).await;
    assert_eq!(live.status, 200, "draining is no illness");
    let newcomer = gateway.send(&request("/c")).await;
    assert_eq!(newcomer.status, 200, "new connections still pass while readiness fails");
    // The load balancer hears of it half-way.
    tokio::time::sleep(Duration::from_millis(800)).await;
    unready.store(true, Ordering::Relaxed);
    for client in clients {
        let failures = client.await.expect("a client does not panic");
        assert!(failures.is_empty(), "{failures:?}");
    }
    assert!(told.load(Ordering::Relaxed) >= 64, "every client was told to go");
    let status = long.await.expect("no panic");
    assert_eq!(status.expect("an answer"), 200, "the request in flight ends well");
    let finished = begun.elapsed();
    let exit = gateway.ended(Duration::from_secs(5)).await;
    assert_eq!(exit.code(), Some(0));
    assert!(begun.elapsed() - finished < Duration::from_secs(1), "gone as soon as idle");
    assert!(Connection::try_open(gateway.address).await.is_err());
}

async fn request_in_flight(address: std::net::SocketAddr) -> std::io::Result<u16> {
    request("/slow/3500").try_send(address).await.map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_gateway_ends_right_after_the_delay() {
    let echo = Echo::start().await;
    let mut gateway = start(&echo, "{ delay: 500ms, spread: 1s, timeout: 20s }").await;
    // Idle kept-alive connections hold nothing up.
    let mut idle = gateway.connect().await;
    assert_eq!(idle.exchange(&request("/c")).await.expect("an answer").status, 200);
    let h2 = h2c::Connection::open(gateway.address).await;
    assert_eq!(h2.get("chat.test", "/c", &[]).await.status, 200);
    let begun = Instant::now();
    gateway.signal("TERM");
    let exit = gateway.ended(Duration::from_secs(10)).await;
    let took = begun.elapsed();
    assert_eq!(exit.code(), Some(0));
    assert!(took >= Duration::from_millis(450), "{took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_and_hanging_requests_end_by_the_time_out() {
    let echo = Echo::start().await;
    let mut gateway = start(&echo, "{ delay: 200ms, spread: 500ms, timeout: 2s }").await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let upgrade = handshake("/ws", "chat.test");
        let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
        socket.echoes("hello").await.expect("an echo");
        sockets.push(socket);
    }
    let mut hanging = gateway.connect().await;
    hanging.send(&request("/hang").bytes()).await;
    let begun = Instant::now();
    gateway.signal("TERM");
    for socket in &mut sockets {
        assert!(socket.closes_within(Duration::from_secs(6)).await);
    }
    let exit = gateway.ended(Duration::from_secs(6)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(exit.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_does_not_wait() {
    let echo = Echo::start().await;
    let mut gateway = start(&echo, "{ delay: 20s, spread: 1s, timeout: 20s }").await;
    gateway.signal("TERM");
    let probe = Request::get("/readyz").host("localhost");
    crate::support::eventually("draining", Duration::from_secs(2), || async {
        probe.try_send(gateway.admin).await.is_ok_and(|answer| answer.status == 503)
    })
    .await;
    assert!(gateway.is_running());
    gateway.signal("TERM");
    gateway.ended(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_when_the_listeners_close_ends_well() {
    let echo = Echo::start().await;
    let mut gateway = start(&echo, "{ delay: 200ms, spread: 0s, timeout: 10s }").await;
    let address = gateway.address;
    let h2 = h2c::Connection::open(address).await;
    let streams = tokio::spawn(async move {
        let (slow, slower) = tokio::join!(
            h2.get("chat.test", "/slow/900", &[]),
            h2.get("chat.test", "/slow/1500", &[]),
        );
        [slow.status, slower.status]
    });
    // An upload whose second half comes late, and a pipeline.
    let mut uploading = gateway.connect().await;
    let upload = Request::post("/upload", "application/octet-stream", vec![b'x'; 1000]);
    let upload = upload.host("chat.test").bytes();
    let (begun, rest) = upload.split_at(upload.len() - 500);
    uploading.send(begun).await;
    let mut pipeline = gateway.connect().await;
    let both = [request("/slow/800").bytes(), request("/behind").bytes()].concat();
    pipeline.send(&both).await;
    let begun = || async { echo.received().len() >= 3 && echo.open() >= 4 };
    crate::support::eventually("all are under way", crate::support::PATIENCE, begun).await;
    gateway.signal("TERM");
    let closed = || async { Connection::try_open(address).await.is_err() };
    crate::support::eventually("listeners are closed", crate::support::PATIENCE, closed).await;
    uploading.send(rest).await;
    assert_eq!(uploading.response().await.expect("an answer").echoed().length, 1000);
    assert_eq!(pipeline.response().await.expect("an answer").status, 200);
    assert_eq!(streams.await.expect("no panic"), [200, 200]);
    drop((uploading, pipeline));
    assert_eq!(gateway.ended(Duration::from_secs(5)).await.code(), Some(0));
}
