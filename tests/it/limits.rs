//! Too large, too many, too slow.

use std::time::Duration;

use serde_json::json;

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::Request;
use crate::support::sign;

async fn start(echo: &Echo, top: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = dialect("zendesk-chat").site("zendesk", "zendesk.test", &upstream, "prefer");
    sites += &dialect("amazon-connect").site("amazon", "amazon.test", &upstream, "prefer");
    sites += &dialect("jwt").site("accepts", "accepts.test", &upstream, "accept");
    Setup::new(sites).top(top).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_or_has_too_many_fields_is_431() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let base = || Request::get("/c").host("zendesk.test");
    let refused = |answer: crate::support::raw::Response| {
        assert_eq!((answer.status, answer.code().as_str()), (431, "headers_too_large"));
    };
    let fits = base().header("X-Large", &"x".repeat(31 * 1024));
    assert_eq!(gateway.send(&fits).await.status, 200);
    refused(gateway.send(&base().header("X-Large", &"x".repeat(33 * 1024))).await);
    let long_target = Request::get(&format!("/{}", "x".repeat(33 * 1024))).host("zendesk.test");
    refused(gateway.send(&long_target).await);
    let with =
        |count: usize| (1..count).fold(base(), |request, n| request.header(&format!("X-{n}"), "1"));
    assert_eq!(gateway.send(&with(100)).await.status, 200);
    refused(gateway.send(&with(101)).await);
    refused(gateway.send(&with(250)).await);
    let h2 = h2c::Connection::open(gateway.address).await;
    let names: Vec<String> = (0..120).map(|n| format!("x-{n}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    assert_eq!(h2.get("zendesk.test", "/c", &headers).await.status, 431);
    assert_eq!(echo.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_can_be_set() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "limits: { head: 1KiB, headers: 8, credential: 100 }").await;
    let base = || Request::get("/c").host("zendesk.test");
    assert_eq!(gateway.send(&base().header("X", &"x".repeat(900))).await.status, 200);
    assert_eq!(gateway.send(&base().header("X", &"x".repeat(1100))).await.status, 431);
    let nine = (0..8).fold(base(), |request, n| request.header(&format!("X-{n}"), "1"));
    assert_eq!(gateway.send(&nine).await.status, 431);
    let zendesk = dialect("zendesk-chat");
    let good = zendesk.proof(zendesk.secret, "u-1001", 5);
    let answer = gateway.send(&base().bearer(&good)).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "too_large"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_over_its_dialects_size_is_too_large() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let zendesk = dialect("zendesk-chat");
    let mut claims = zendesk.claims("u-1001", 5);
    claims["pad"] = json!("x".repeat(6500));
    let long = sign::token(zendesk.secret, &claims);
    assert!(long.len() > 8192 && long.len() < 16_000);
    let cases = [
        Request::get("/c").host("zendesk.test").bearer(&long),
        Request::get(&format!("/c?jwt={long}")).host("zendesk.test"),
        Request::get(&format!("/c?jwt={}", "x".repeat(8193))).host("zendesk.test"),
        Request::get("/c").host("amazon.test").header("x-amz-security-token", &"x".repeat(6145)),
    ];
    for request in cases {
        let answer = gateway.send(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "too_large"));
    }
    let jwt = dialect("jwt");
    let mut claims = jwt.claims("u-1001", 5);
    claims["pad"] = json!("x".repeat(6500));
    let long = sign::token(jwt.secret, &claims);
    let echoed =
        gateway.send(&Request::get("/c").host("accepts.test").bearer(&long)).await.echoed();
    assert_eq!(echoed.header("countersign-reason"), Some("too_large"));
    assert!(!echoed.mentions(&long));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_arriving_is_given_up() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "timeouts: { body: 1s }").await;
    for content_type in ["application/json", "application/octet-stream"] {
        let request =
            Request::post("/c", content_type, "{\"text\":\"hello\"}").host("zendesk.test");
        let bytes = request.bytes();
        let mut connection = gateway.connect().await;
        connection.send(&bytes[..bytes.len() - 4]).await;
        match connection.response().await {
            Ok(answer) => assert!(matches!(answer.status, 408 | 502 | 504), "{answer:?}"),
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{error}"),
        }
        assert!(connection.closes_within(Duration::from_secs(3)).await, "{content_type}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_may_take_longer_than_the_backends_answer() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "timeouts: { body: 5s, response: 1s }").await;
    let request = Request::post("/c", "application/octet-stream", vec![b'x'; 30]);
    let bytes = request.host("zendesk.test").bytes();
    let (head, body) = bytes.split_at(bytes.len() - 30);
    let mut connection = gateway.connect().await;
    connection.send(head).await;
    for piece in body.chunks(3) {
        tokio::time::sleep(Duration::from_millis(250)).await;
        connection.send(piece).await;
    }
    assert_eq!(connection.response().await.expect("an answer").echoed().length, 30);
}
