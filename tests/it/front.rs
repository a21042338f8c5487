//! The first bytes of a connection: old and odd clients are answered, silent and slow ones
//! let go, and what two readers could read differently is refused.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Connection, Request};

async fn start(echo: &Echo, top: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let site = dialect("jwt").site("any", "x", &upstream, "prefer");
    Setup::new(site.replace("    hosts: [\"x\"]\n", "")).top(top).start().await
}

const SHORT: &str = "timeouts: { head: 1s, idle: 2s }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_two_bytes_of_http_1_0_are_answered() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let bytes = b"OPTIONS / HTTP/1.0\r\n\r\n";
    assert_eq!(bytes.len(), 22);
    let begun = Instant::now();
    let mut connection = gateway.connect().await;
    connection.send(bytes).await;
    let answer = connection.response().await.expect("an answer");
    assert!(answer.status >= 200, "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_silent_connections_are_gone_after_the_head_time_out() {
    let echo = Echo::start().await;
    let gateway = start(&echo, SHORT).await;
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(gateway.connect().await);
    }
    let begun = Instant::now();
    let gone = silent.iter_mut().map(|connection| connection.closes_within(Duration::from_secs(5)));
    let gone = futures_util::future::join_all(gone).await;
    let left = gone.iter().filter(|gone| !**gone).count();
    assert_eq!(left, 0, "still open after {:?}", begun.elapsed());
    let answer = gateway.send(&Request::get("/c").host("any.test")).await;
    assert_eq!(answer.status, 200, "and the gateway is well");
    let open = || async { gateway.metrics().await.sum("countersign_connections", &[]) < 10.0 };
    crate::support::eventually("the connections are gone", Duration::from_secs(5), open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_drips_is_cut_whatever_it_begins_with() {
    let echo = Echo::start().await;
    let gateway = start(&echo, SHORT).await;
    let drips: [&[u8]; 5] = [
        b"GET /c HTTP/1.1\r\nHost: any.test\r\nX-Slow: yes yes yes yes yes yes yes\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI ",
        b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
        b"G",
    ];
    let address = gateway.address;
    let dripping = drips.map(|bytes| async move {
        let mut stream = TcpStream::connect(address).await.expect("the gateway");
        let begun = Instant::now();
        for byte in bytes {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
            if begun.elapsed() > Duration::from_secs(6) {
                break;
            }
        }
        let mut rest = Vec::new();
        let reading = stream.read_to_end(&mut rest);
        let ended = tokio::time::timeout(Duration::from_secs(4), reading).await.is_ok();
        (ended, begun.elapsed())
    });
    for (ended, took) in futures_util::future::join_all(dripping).await {
        assert!(ended, "still open after {took:?}");
    }
    assert!(echo.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_alive_connection_may_rest_but_not_for_ever() {
    let echo = Echo::start().await;
    let gateway = start(&echo, SHORT).await;
    let request = Request::get("/c").host("any.test");
    let mut connection = gateway.connect().await;
    assert_eq!(connection.exchange(&request).await.expect("an answer").status, 200);
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let rested =
        connection.exchange(&request).await.expect("longer than `head`, shorter than `idle`");
    assert_eq!(rested.status, 200);
    let begun = Instant::now();
    assert!(connection.closes_within(Duration::from_secs(5)).await);
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    // A second head that drips is no rest.
    let mut connection = gateway.connect().await;
    assert_eq!(connection.exchange(&request).await.expect("an answer").status, 200);
    connection.send(b"GET /c HTTP/1.1\r\nHo").await;
    assert!(connection.closes_within(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_has_begun_and_does_not_end_is_408_and_silence_is_closed_in_silence() {
    let echo = Echo::start().await;
    let gateway = start(&echo, SHORT).await;
    let begun: [&[u8]; 5] = [
        b"G",
        b"GET /c HTTP/1.1\r\nHost: any.te",
        b"\r\nGET /c",
        b"PRI * HTTP/2",
        b"GET /zero.nine\r\n",
    ];
    for bytes in begun {
        for kept_alive in [false, true] {
            let mut connection = gateway.connect().await;
            if kept_alive {
                let first = Request::get("/c").host("any.test");
                assert_eq!(connection.exchange(&first).await.expect("an answer").status, 200);
            }
            connection.send(bytes).await;
            let answer = connection.response().await.expect("an answer");
            assert_eq!(answer.status, 408, "{:?}", bytes.escape_ascii().to_string());
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(answer.header("date").is_some() && answer.body.is_empty());
            assert!(answer.header("countersign-request-id").is_some());
            assert!(connection.closes_within(Duration::from_secs(2)).await);
        }
    }
    let silent: [&[u8]; 2] = [b"", b"\r\n"];
    for bytes in silent {
        let mut connection = gateway.connect().await;
        connection.send(bytes).await;
        let error = connection.response().await.expect_err("nothing was asked");
        assert_eq!(error.to_string(), "closed after []");
    }
    let labels = [("site", "none"), ("code", "408")];
    assert_eq!(gateway.metrics().await.sum("countersign_http_requests_total", &labels), 10.0);
    let line = gateway.log_line("\"status\":408").await;
    assert!(line.contains("\"client\":\"127.0.0.1\""), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_before_it_is_a_request_is_dated_and_says_who_asked() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "limits: { headers: 8 }").await;
    let many = (0..9).fold(Request::get("/c"), |request, n| request.header(&format!("X-{n}"), "1"));
    let upgrade = crate::support::websocket::handshake("/ws?access_token=a.b.c", "any.test");
    for (request, status) in [
        (many.host("any.test"), 431),
        (Request::get("no-path").host("any.test"), 400),
        (upgrade.bearer("e30.e30.e30"), 400),
    ] {
        let answer = gateway.send(&request).await;
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")));
        let date = answer.header("date").expect("a date (RFC 9110 §6.6.1)");
        assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
        let id = answer.header("countersign-request-id").expect("an id").to_owned();
        let line = gateway.log_line(&id).await;
        assert!(line.contains("\"client\":\"127.0.0.1\""), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_2_preface_may_come_in_pieces() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    // The h2 client writes preface and settings at once: a relay cuts them up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let relay = listener.local_addr().expect("a bound listener");
    let address = gateway.address;
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("a client");
        let server = TcpStream::connect(address).await.expect("the gateway");
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut sent = 0;
        let mut byte = [0; 1];
        while from_client.read(&mut byte).await.is_ok_and(|read| read > 0) {
            to_server.write_all(&byte).await.expect("an open connection");
            sent += 1;
            if sent < 30 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let h2 = h2c::Connection::open(relay).await;
    assert_eq!(h2.get("any.test", "/c", &[]).await.echoed().target, "/c");
    // And HTTP/1.1 too, even where it begins like the preface.
    let mut connection = gateway.connect().await;
    connection.send(b"PRI").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    connection.send(b"NT /c HTTP/1.1\r\nHost: any.test\r\n\r\n").await;
    assert_eq!(connection.response().await.expect("an answer").echoed().method, "PRINT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn framing_that_two_readers_could_read_differently_is_refused() {
    let echo = Echo::start().await;
    let gateway = start(&echo, SHORT).await;
    let heads = [
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5, 5\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: +5\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: -5\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 05\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0x5\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5 \x0b\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 99999999999999999999\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, identity\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \x0bchunked\r\n",
        "POST /c HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n",
        "GET admin HTTP/1.1\r\nHost: a.test\r\n",
        "GET @evil.test/ HTTP/1.1\r\nHost: a.test\r\n",
        "GET ?x HTTP/1.1\r\nHost: a.test\r\n",
        "GET * HTTP/1.1\r\nHost: a.test\r\n",
        "GET ftp://a.test/x HTTP/1.1\r\nHost: a.test\r\n",
        "GET http://user@a.test/x HTTP/1.1\r\nHost: a.test\r\n",
        "GET /c HTTP/1.1\r\nHost: a.test\r\nX-A : 1\r\n",
        "GET /c HTTP/1.1\r\nHost: a.test\r\n X-Folded: 1\r\n",
        "GET /c HTTP/1.1\r\nHost: a.test\r\nX-Fold: 1\r\n 2\r\n",
        "GET /c HTTP/1.1\r\nHost: a.test\r\nX-Nul: a\0b\r\n",
        "GET /c HTTP/1.1\r\nHost: a.test\r\nX-Cr: a\rb\r\n",
        "GET /c HTTP/1.1\r\nHost: a.test\r\n: empty\r\n",
        "GET /c HTTP/3.0\r\nHost: a.test\r\n",
        "GET  /c HTTP/1.1\r\nHost: a.test\r\n",
        "GET /a b HTTP/1.1\r\nHost: a.test\r\n",
    ];
    let mut passed = Vec::new();
    for head in heads {
        let mut connection = gateway.connect().await;
        connection.send(format!("{head}\r\n5\r\nhello\r\n0\r\n\r\n").as_bytes()).await;
        match connection.response().await {
            Ok(answer) if matches!(answer.status, 400 | 405 | 408 | 501 | 505) => {}
            // Saying nothing and closing is a refusal too.
            Err(error) if error.kind() != std::io::ErrorKind::TimedOut => {}
            other => passed.push(format!("{head:?}: {:?}", other.map(|answer| answer.status))),
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
    assert!(echo.received().is_empty(), "{:?}", echo.received());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_two_readers_could_read_differently_are_refused() {
    let echo = Echo::start().await;
    let gateway = start(&echo, SHORT).await;
    let head = "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies = [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: 1\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
    ];
    for body in bodies {
        let mut connection = gateway.connect().await;
        let next = "GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n";
        connection.send(format!("{head}{body}{next}").as_bytes()).await;
        let answer = connection.response().await.expect(body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{body:?}");
        assert!(connection.closes_within(Duration::from_secs(2)).await, "{body:?}");
    }
    assert!(echo.received().is_empty(), "{:?}", echo.received());
    // A lone body in many small pieces, with extensions and trailers, is whole.
    let body = "5;a=b;c=\"d\"\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n";
    let mut connection = gateway.connect().await;
    connection.send(head.as_bytes()).await;
    for byte in body.as_bytes() {
        connection.send(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(connection.response().await.expect("an answer").echoed().body, "hello!");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absolute_form_target_reaches_the_backend_in_origin_form() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    for (target, wanted) in
        [("http://a.test/c?x=1", "/c?x=1"), ("http://a.test", "/"), ("HTTP://A.test/c", "/c")]
    {
        let answer = gateway.send(&Request::get(target).host("a.test")).await;
        assert_eq!(answer.echoed().target, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_limit_new_connections_are_closed_at_once() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "limits: { connections: 10 }").await;
    let request = Request::get("/c").host("a.test");
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut connection = gateway.connect().await;
        assert_eq!(connection.exchange(&request).await.expect("an answer").status, 200);
        held.push(connection);
    }
    let mut eleventh = gateway.connect().await;
    assert!(eleventh.closes_within(Duration::from_secs(2)).await);
    let mut first = held.remove(0);
    assert_eq!(first.exchange(&request).await.expect("an answer").status, 200);
    drop(first);
    crate::support::eventually("a place is free again", crate::support::PATIENCE, || async {
        match Connection::try_open(gateway.address).await {
            Ok(mut connection) => connection.exchange(&request).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}
