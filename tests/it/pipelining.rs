//! A client that does not wait for one answer before it asks again: every request is
//! answered, in order, and each is judged on its own.

use std::time::Duration;

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;
use crate::support::websocket::handshake;

const HOST: &str = "chat.test";
const BINARY: &str = "application/octet-stream";

async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    Setup::new(dialect("jwt").site("chat", HOST, &upstream, "require")).start().await
}

fn good(request: Request) -> Request {
    let jwt = dialect("jwt");
    request.host(HOST).bearer(&jwt.proof(jwt.secret, "u-1001", 5))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_a_pipeline_is_answered_in_order() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let requests = [
        good(Request::get("/slow/50")),
        good(Request::post("/length", BINARY, "five bytes, or so")),
        good(Request::post("/chunks", BINARY, vec![b'c'; 2500])).chunked(),
        Request::get("/refused").host(HOST),
        good(Request::new("HEAD", "/head")),
        good(Request::get("/last")),
    ];
    let all: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
    // All at once; and in pieces whose borders have nothing to do with the requests'.
    for piece in [all.len(), 700, 61] {
        echo.take();
        let mut connection = gateway.connect().await;
        for piece in all.chunks(piece) {
            connection.send(piece).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for target in ["/slow/50", "/length", "/chunks"] {
            let answer = connection.response().await.expect("an answer");
            assert_eq!(answer.echoed().target, target, "in pieces of {piece}");
        }
        assert_eq!(connection.response().await.expect("an answer").code(), "missing");
        let head = connection.response_to_head().await.expect("an answer");
        assert_eq!(head.header("x-method"), Some("HEAD"));
        assert_eq!(connection.response().await.expect("an answer").echoed().target, "/last");
        let received = echo.take();
        let lengths: Vec<usize> = received.iter().map(|request| request.length).collect();
        assert_eq!(lengths, [0, 17, 2500, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_while_another_is_answered_does_not_disturb_it() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let mut connection = gateway.connect().await;
    connection.send(&good(Request::get("/slow/300")).bytes()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    connection.send(&good(Request::get("/second")).bytes()).await;
    let first = connection.response().await.expect("an answer");
    assert_eq!(first.echoed().target, "/slow/300");
    let second = connection.response().await.expect("an answer");
    assert_eq!(second.echoed().target, "/second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_beyond_the_request_that_ends_a_connection() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let last = good(Request::get("/last").header("Connection", "close"));
    let mut bytes = last.bytes();
    bytes.extend(good(Request::get("/beyond")).bytes());
    let mut connection = gateway.connect().await;
    connection.send(&bytes).await;
    let answer = connection.response().await.expect("an answer");
    assert_eq!(answer.echoed().target, "/last");
    assert!(answer.header("connection").is_some_and(|it| it.eq_ignore_ascii_case("close")));
    assert!(connection.closes_within(Duration::from_secs(2)).await);
    assert_eq!(echo.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_may_follow_in_a_pipeline() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let jwt = dialect("jwt");
    let token = jwt.proof(jwt.secret, "u-1001", 5);
    let mut bytes = good(Request::get("/first")).bytes();
    bytes.extend(handshake("/ws", HOST).bearer(&token).bytes());
    // And the first message right behind it: "hello", masked with zeros.
    bytes.extend(b"\x81\x85\0\0\0\0hello");
    let mut connection = gateway.connect().await;
    connection.send(&bytes).await;
    assert_eq!(connection.response().await.expect("an answer").echoed().target, "/first");
    assert_eq!(connection.response().await.expect("an answer").status, 101);
    assert_eq!(connection.bytes(7).await.expect("an echo"), b"\x81\x05hello");
}
