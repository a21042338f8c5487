//! How a refusal looks: problem, challenge, CORS, preflights; terse where that is asked for.
//! (The problem itself: `matrix.rs`.)

use serde_json::json;

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};

const PAGE: &str = "https://www.acme.test";

async fn start(echo: &Echo, top: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let jwt = dialect("jwt");
    let mut sites = jwt.site("any", "any.test", &upstream, "require");
    sites += &(jwt.site("listed", "listed.test", &upstream, "require")
        + "    allowed_origins: [https://www.acme.test]\n");
    Setup::new(sites).top(top).start().await
}

fn preflight(host: &str, origin: &str) -> Request {
    Request::new("OPTIONS", "/c")
        .host(host)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization, content-type")
}

fn open_to(answer: &Response, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert!(answer.header("vary").unwrap_or_default().to_lowercase().contains("origin"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_is_never_asked_for_identity() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    // Without allowed origins it is the backend's to answer.
    let echoed = gateway.send(&preflight("any.test", PAGE)).await.echoed();
    assert_eq!(echoed.method, "OPTIONS");
    assert_eq!(echoed.header("countersign-reason"), Some("not_checked"));
    echo.take();
    let answer = gateway.send(&preflight("listed.test", PAGE)).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    open_to(&answer, PAGE);
    let allowed = answer.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
    assert!(allowed.contains("authorization"), "{answer:?}");
    let methods = answer.header("access-control-allow-methods").unwrap_or_default();
    assert!(methods.contains("POST"), "{answer:?}");
    for origin in ["https://evil.test", "null", "https://www.acme.test.evil.test"] {
        let answer = gateway.send(&preflight("listed.test", origin)).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert!(echo.take().is_empty());
    // Any other OPTIONS is judged.
    let plain = Request::new("OPTIONS", "/c").host("any.test").header("Origin", PAGE);
    assert_eq!(gateway.send(&plain).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_can_be_read_by_the_page_that_caused_it() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let ask = |host: &str, origin: &str| Request::get("/c").host(host).header("Origin", origin);
    for (host, origin) in [("any.test", "https://whoever.test"), ("listed.test", PAGE)] {
        let answer = gateway.send(&ask(host, origin)).await;
        assert_eq!(answer.status, 401);
        open_to(&answer, origin);
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        assert!(exposed.contains("WWW-Authenticate"), "{exposed}");
        assert!(exposed.contains("Countersign-Request-Id"), "{exposed}");
    }
    let answer = gateway.send(&ask("listed.test", "https://evil.test")).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let answer = gateway.send(&Request::get("/c").host("any.test")).await;
    assert_eq!(answer.header("access-control-allow-origin"), None, "nobody asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_answer_keeps_the_backends_cors_and_loses_its_countersign_headers() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let jwt = dialect("jwt");
    let request = Request::get("/forge")
        .host("any.test")
        .header("Origin", PAGE)
        .bearer(&jwt.proof(jwt.secret, "u-1001", 5));
    let answer = gateway.send(&request).await;
    let cors = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("access-control-allow-origin"));
    let cors: Vec<&str> = cors.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cors, ["https://backend.example"]);
    assert_eq!(answer.header("x-backend"), Some("kept"));
    let ours =
        answer.headers.iter().filter(|(name, _)| name.to_lowercase().starts_with("countersign-"));
    let ours: Vec<_> = ours.collect();
    assert_eq!(ours.len(), 1, "only the request id: {ours:?}");
    assert_ne!(answer.header("countersign-request-id"), Some("forged"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terse_errors_say_the_status_and_nothing_else() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "errors: terse").await;
    let jwt = dialect("jwt");
    let expired = jwt.proof(jwt.secret, "u-1001", 5000);
    let cases = [
        (Request::get("/c").host("any.test"), 401, "Unauthorized"),
        (Request::get("/c").host("any.test").bearer(&expired), 401, "Unauthorized"),
        (Request::get("/c").host("nobody.test"), 421, "Misdirected Request"),
    ];
    for (request, status, title) in cases {
        let answer = gateway.send(&request).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem = answer.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"], title);
        assert_eq!(problem["status"], json!(status));
        assert_eq!((problem.get("code"), problem.get("detail")), (None, None), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helpful_refusal_helps_and_tells_no_secret() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let jwt = dialect("jwt");
    let expired = jwt.proof(jwt.secret, "u-1001", 5000);
    let answer = gateway.send(&Request::get("/c").host("any.test").bearer(&expired)).await;
    let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("expired") && detail.contains('s'), "{detail}");
    let forged = jwt.proof("a-secret-that-is-nobodys-0123456789", "u-1001", 5);
    let answer = gateway.send(&Request::get("/c").host("any.test").bearer(&forged)).await;
    for told in [jwt.secret, "k1", "u-1001", forged.as_str()] {
        assert!(!answer.text().contains(told), "{}", answer.text());
    }
}
