//! What HTTP/2 can say and HTTP/1.1 cannot, or says differently.

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;

const HOST: &str = "chat.test";

async fn start(echo: &Echo, top: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = dialect("jwt").site("chat", HOST, &upstream, "prefer");
    sites += &dialect("jwt").site("other", "other.test", &upstream, "require");
    Setup::new(sites).top(top).start().await
}

fn token() -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, "u-1001", 5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_that_come_in_crumbs_reach_the_backend_as_one() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let h2 = h2c::Connection::open(gateway.address).await;
    // RFC 9113 §8.2.3: every browser may split them, and a backend of HTTP/1.1 expects one.
    let ours = format!("countersign_jwt={}", token());
    let crumbs = [("cookie", "a=1"), ("cookie", &ours), ("cookie", "b=2; c=3")];
    let echoed = h2.get(HOST, "/c", &crumbs).await.echoed();
    assert_eq!(echoed.header("countersign-status"), Some("verified"));
    assert_eq!(echoed.all("cookie"), ["a=1; b=2; c=3"]);
    let crumbs = [("cookie", "a=1"), ("cookie", "b=2")];
    assert_eq!(h2.get(HOST, "/c", &crumbs).await.echoed().all("cookie"), ["a=1; b=2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_another_request_in_http_1_is_refused() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let h2 = h2c::Connection::open(gateway.address).await;
    for (method, target) in
        [("get", "/c"), ("Options", "/c"), ("GET", "/\u{e9}"), ("GET", "/a\"b\u{7f}")]
    {
        let Ok(answer) = h2.try_send(method, HOST, target, &[]).await else { continue };
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"), "{target}");
    }
    // Two names for one host, and a host that is another site's.
    for host in ["other.test", "chat.test, other.test", ""] {
        if let Ok(answer) = h2.try_send("GET", HOST, "/c", &[("host", host)]).await {
            assert_eq!(answer.status, 400, "host {host:?}");
        }
    }
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("connection", "countersign-id"),
        ("upgrade", "websocket"),
    ] {
        let h2 = h2c::Connection::open(gateway.address).await;
        if let Ok(answer) = h2.try_send("GET", HOST, "/c", &[(name, value)]).await {
            assert!(answer.status >= 400, "{name}: {answer:?}");
        }
    }
    assert!(echo.received().is_empty(), "{:?}", echo.received());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stops_arriving_is_the_clients_fault() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "timeouts: { body: 1s, response: 2s }").await;
    let h2 = h2c::Connection::open(gateway.address).await;
    let answer = h2.stall("POST", HOST, "/c", b"half of").await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
    let errors = gateway.metrics().await.sum("countersign_upstream_errors_total", &[]);
    assert_eq!(errors, 0.0, "the backend is well");
}
