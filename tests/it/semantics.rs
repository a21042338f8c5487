//! HTTP itself goes through unharmed: methods, bodies, framing, both versions.

use std::time::Duration;

use crate::support::cases::dialect;
use crate::support::echo::{Echo, pattern};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Connection, Request};

const HOST: &str = "chat.test";
const BINARY: &str = "application/octet-stream";

async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = dialect("jwt").site("chat", HOST, &upstream, "require");
    sites += &dialect("zendesk-chat").site("fields", "fields.test", &upstream, "prefer");
    sites += &dialect("zendesk-chat").site("watched", "watched.test", &upstream, "observe");
    let rewrites = dialect("jwt").site("rewrites", "rewrites.test", &upstream, "prefer");
    let backend = format!("upstream: {{ urls: [\"{upstream}\"], host: backend.internal }}");
    sites += &rewrites.replace(&format!("upstream: {upstream}"), &backend);
    Setup::new(sites).start().await
}

fn good(request: Request) -> Request {
    let jwt = dialect("jwt");
    request.host(HOST).bearer(&jwt.proof(jwt.secret, "u-1001", 5))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_and_http_2_share_a_port() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let jwt = dialect("jwt");
    let bearer = format!("Bearer {}", jwt.proof(jwt.secret, "u-1001", 5));
    let h2 = h2c::Connection::open(gateway.address).await;
    let headers = [("authorization", bearer.as_str()), ("x-own", "1")];
    for answer in [
        gateway.send(&good(Request::get("/c?a=%20")).header("X-Own", "1")).await,
        h2.get(HOST, "/c?a=%20", &headers).await,
    ] {
        let echoed = answer.echoed();
        assert_eq!(echoed.target, "/c?a=%20");
        assert_eq!(echoed.header("host"), Some(HOST));
        assert_eq!(echoed.header("x-own"), Some("1"));
        assert_eq!(echoed.header("countersign-id"), Some("u-1001"));
        assert!(answer.header("countersign-request-id").is_some());
    }
    let refused = h2.get(HOST, "/c", &[]).await;
    assert_eq!((refused.status, refused.code().as_str()), (401, "missing"));
    assert!(refused.header("www-authenticate").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_share_one_http_2_connection() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let jwt = dialect("jwt");
    let h2 = h2c::Connection::open(gateway.address).await;
    let tokens: Vec<String> = (0..100).map(|n| jwt.proof(jwt.secret, &n.to_string(), 5)).collect();
    let answers = tokens.iter().enumerate().map(|(n, token)| {
        let h2 = &h2;
        async move {
            let bearer = format!("Bearer {token}");
            let target = format!("/slow/{}", n % 7);
            let answer = h2.get(HOST, &target, &[("authorization", &bearer)]).await;
            assert_eq!(answer.echoed().header("countersign-id"), Some(n.to_string().as_str()));
        }
    });
    futures_util::future::join_all(answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_gets_a_head_and_other_methods_go_through() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let mut connection = gateway.connect().await;
    let answer = connection.exchange(&good(Request::new("HEAD", "/c"))).await.expect("an answer");
    assert_eq!((answer.status, answer.header("x-method")), (200, Some("HEAD")));
    assert_eq!(answer.header("content-length"), Some("1234"));
    let refused = Request::new("HEAD", "/c").host(HOST);
    let answer = connection.exchange(&refused).await.expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (401, 0));
    let answer = connection.exchange(&good(Request::get("/c"))).await;
    assert_eq!(answer.expect("the refusal of a HEAD has no body on the wire").status, 200);
    for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "PURGE"] {
        let answer = gateway.send(&good(Request::new(method, "/c"))).await;
        assert_eq!(answer.echoed().method, method);
    }
    let connect = good(Request::new("CONNECT", "evil.test:443"));
    assert!(connect.try_send(gateway.address).await.is_ok_and(|answer| answer.status >= 400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_any_length_arrive_whole() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let jwt = dialect("jwt");
    let bearer = format!("Bearer {}", jwt.proof(jwt.secret, "u-1001", 5));
    let h2 = h2c::Connection::open(gateway.address).await;
    for length in [0, 1, 65_535, 65_536, 65_537, 1_048_576] {
        let body = pattern(length);
        let checksum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
        for content_type in [BINARY, "application/json", "application/x-www-form-urlencoded"] {
            let post = Request::post("/c", content_type, body.clone());
            for request in [good(post.clone()), good(post).chunked()] {
                let echoed = gateway.send(&request).await.echoed();
                assert_eq!((echoed.length, echoed.checksum), (length, checksum), "{content_type}");
            }
        }
        let headers = [("authorization", bearer.as_str()), ("content-type", BINARY)];
        let sent = h2.send("POST", HOST, "/c", &headers, Some(body), None).await;
        assert_eq!((sent.echoed().length, sent.echoed().checksum), (length, checksum));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_could_claim_identity_has_a_limit() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let fits = format!("{{\"text\":\"{}\"}}", "x".repeat(60_000));
    let too_long = format!("{{\"text\":\"{}\"}}", "x".repeat(70_000));
    let post = |content_type: &str, body: &str| Request::post("/c", content_type, body);
    for request in [post("application/json", &fits), post("application/json", &fits).chunked()] {
        let echoed = gateway.send(&request.host("fields.test")).await.echoed();
        assert_eq!(echoed.body, fits, "byte for byte");
    }
    let types = ["application/json", "application/x-www-form-urlencoded", "text/plain"];
    for content_type in types {
        let post = post(content_type, &too_long);
        for request in [post.clone(), post.chunked()] {
            echo.take();
            let answer = gateway.send(&request.clone().host("fields.test")).await;
            assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
            assert!(echo.take().is_empty(), "{content_type}");
            // In a dry run nothing is refused for identity's sake.
            let echoed = gateway.send(&request.host("watched.test")).await.echoed();
            assert_eq!(echoed.length, too_long.len());
        }
    }
    let echoed = gateway.send(&post(BINARY, &too_long).host("fields.test")).await.echoed();
    assert_eq!(echoed.length, too_long.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_for_100_continue_is_told() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let post = Request::post("/c", BINARY, "hello").header("Expect", "100-continue");
    let bytes = good(post.clone()).bytes();
    let (head, body) = bytes.split_at(bytes.len() - 5);
    let mut connection = gateway.connect().await;
    connection.send(head).await;
    assert_eq!(connection.interim().await.expect("a word"), 100);
    connection.send(body).await;
    let answer = connection.response().await.expect("an answer");
    assert_eq!(answer.echoed().body, "hello");
    // A refusal comes at once, instead of the 100.
    let bytes = post.host(HOST).bytes();
    let mut connection = gateway.connect().await;
    connection.send(&bytes[..bytes.len() - 5]).await;
    let answer = connection.response().await.expect("an answer");
    assert_eq!((answer.status, answer.informational.len()), (401, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_many_requests_refused_ones_among_them() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let mut connection = gateway.connect().await;
    for round in 0..50 {
        let answer = connection.exchange(&good(Request::get("/c"))).await;
        assert_eq!(answer.expect("an answer").status, 200, "round {round}");
        let answer = connection.exchange(&Request::get("/c").host(HOST)).await;
        assert_eq!(answer.expect("an answer").code(), "missing", "round {round}");
    }
    assert!(echo.open() <= 2, "the connection to the backend is used again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_heard_by_a_client_that_is_still_sending() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let large = pattern(4_000_000);
    let cases = [
        (Request::post("/c", BINARY, large.clone()).host(HOST), 401),
        (Request::post("/c", BINARY, large.clone()).host(HOST).chunked(), 401),
        (Request::post("/c", "application/json", large.clone()).host("fields.test"), 413),
        (good(Request::post("/close", BINARY, large.clone())), 502),
        (Request::post("no-path", BINARY, large).host(HOST), 400),
    ];
    for (request, status) in cases {
        let bytes = request.bytes();
        let (begun, rest) = bytes.split_at(100_000);
        let mut connection = gateway.connect().await;
        connection.send(begun).await;
        let answer = connection.response().await.expect("the refusal");
        assert_eq!(answer.status, status);
        // What is still sent is taken for a moment: a reset could overtake the answer.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let sent = connection.try_send(&rest[..1_000_000]).await;
        assert!(sent.is_ok() && connection.ends_cleanly().await, "{status}: {sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_refused_body_is_never_taken_for_a_request() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let hidden = good(Request::get("/smuggled")).bytes();
    let post = Request::post("/c", BINARY, hidden).host(HOST);
    for request in [post.clone(), post.chunked()] {
        let mut connection = gateway.connect().await;
        let answer = connection.exchange(&request).await.expect("an answer");
        assert_eq!(answer.status, 401);
        if let Ok(next) = connection.exchange(&good(Request::get("/next"))).await {
            assert_eq!(next.echoed().target, "/next");
        }
    }
    assert!(echo.received().iter().all(|request| request.target == "/next"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backends_answers_come_back_as_they_are() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let answer = gateway.send(&good(Request::get("/chunked"))).await;
    assert_eq!(answer.echoed().target, "/chunked");
    let answer = gateway.send(&good(Request::get("/stream/5000000"))).await;
    assert!(answer.body == pattern(5_000_000), "{} bytes", answer.body.len());
    let answer = gateway.send(&good(Request::get("/informational"))).await;
    assert_eq!(answer.echoed().target, "/informational");
    for status in [204, 304, 404, 500, 503] {
        let answer = gateway.send(&good(Request::get(&format!("/status/{status}")))).await;
        assert_eq!(answer.status, status);
        assert_ne!(answer.header("content-type"), Some("application/problem+json"));
    }
    let target = "/a%2Fb/~%C3%A9?x=%zz&&=&y=%20+&z[]=1";
    assert_eq!(gateway.send(&good(Request::get(target))).await.echoed().target, target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_may_give_its_backend_another_host() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let echoed = gateway.send(&Request::get("/c").host("rewrites.test")).await.echoed();
    assert_eq!(echoed.all("host"), ["backend.internal"]);
    assert_eq!(echoed.header("x-forwarded-host"), Some("rewrites.test"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_and_connection_close_end_the_connection() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let mut connection = gateway.connect().await;
    let jwt = dialect("jwt");
    let token = jwt.proof(jwt.secret, "u-1001", 5);
    let old = format!("GET /c HTTP/1.0\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n");
    connection.send(old.as_bytes()).await;
    assert_eq!(connection.response().await.expect("an answer").echoed().target, "/c");
    assert!(connection.closes_within(Duration::from_secs(5)).await);
    let mut connection = Connection::open(gateway.address).await;
    let last = good(Request::get("/c")).header("Connection", "close");
    assert_eq!(connection.exchange(&last).await.expect("an answer").status, 200);
    assert!(connection.closes_within(Duration::from_secs(5)).await);
}
