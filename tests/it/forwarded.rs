//! Who the client is, and the request's id: believed only from trusted proxies.

use crate::support::cases::dialect;
use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;

async fn start(echo: &Echo, top: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let site = dialect("jwt").site("chat", "chat.test", &upstream, "prefer");
    Setup::new(site).top(top).start().await
}

fn from_a_proxy() -> Request {
    Request::get("/c")
        .host("chat.test")
        .header("X-Forwarded-For", "203.0.113.7, 198.51.100.2")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "www.acme.test")
        .header("X-Forwarded-Port", "443")
        .header("X-Real-IP", "203.0.113.7")
        .header("Forwarded", "for=203.0.113.7;proto=https")
        .header("X-Original-URL", "/admin")
        .header("X-Original-URI", "/admin")
        .header("X-Rewrite-URL", "/admin")
        .header("X-Request-Id", "req-from-the-proxy-1")
}

fn rewrites_are_gone(echoed: &Echoed) {
    for name in ["x-original-url", "x-original-uri", "x-rewrite-url"] {
        assert_eq!(echoed.header(name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_forwarding_headers_are_set_afresh_and_that_is_logged() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let echoed = gateway.send(&from_a_proxy()).await.echoed();
    assert_eq!(echoed.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(echoed.all("x-forwarded-proto"), ["http"]);
    assert_eq!(echoed.all("x-forwarded-host"), ["chat.test"]);
    let port = gateway.address.port().to_string();
    assert_eq!(echoed.all("x-forwarded-port"), [port.as_str()]);
    assert!(matches!(echoed.header("x-real-ip"), None | Some("127.0.0.1")));
    assert!(!echoed.header("forwarded").unwrap_or_default().contains("203.0.113.7"));
    assert_ne!(echoed.header("countersign-request-id"), Some("req-from-the-proxy-1"));
    rewrites_are_gone(&echoed);
    gateway.log_line("trusted_proxies").await;
    for _ in 0..20 {
        gateway.send(&from_a_proxy()).await;
    }
    gateway.metric_reaches("countersign_http_requests_total", &[("site", "chat")], 21.0).await;
    let log = gateway.log();
    let warnings = log.lines().filter(|line| line.contains("trusted_proxies"));
    assert_eq!(warnings.count(), 1, "once a minute, not once a request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxys_forwarding_headers_are_kept_and_the_proxy_appended() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "trusted_proxies: [private]").await;
    let answer = gateway.send(&from_a_proxy()).await;
    let echoed = answer.echoed();
    let path = echoed.all("x-forwarded-for").join(", ");
    assert_eq!(path, "203.0.113.7, 198.51.100.2, 127.0.0.1");
    assert_eq!(echoed.all("x-forwarded-proto"), ["https"]);
    assert_eq!(echoed.all("x-forwarded-host"), ["www.acme.test"]);
    assert_eq!(echoed.all("x-forwarded-port"), ["443"]);
    assert_eq!(echoed.all("x-real-ip"), ["203.0.113.7"]);
    assert_eq!(echoed.all("forwarded"), ["for=203.0.113.7;proto=https"]);
    assert_eq!(echoed.header("countersign-request-id"), Some("req-from-the-proxy-1"));
    assert_eq!(answer.header("countersign-request-id"), Some("req-from-the-proxy-1"));
    rewrites_are_gone(&echoed);
    // The site is still chosen by Host alone.
    let elsewhere = Request::get("/c").host("nobody.test").header("X-Forwarded-Host", "chat.test");
    assert_eq!(gateway.send(&elsewhere).await.status, 421);
    // Without any, they are set.
    let echoed = gateway.send(&Request::get("/c").host("chat.test")).await.echoed();
    assert_eq!(echoed.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(echoed.all("x-forwarded-proto"), ["http"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_networks_named_are_trusted() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "trusted_proxies: [192.0.2.0/24, \"2001:db8::/32\"]").await;
    let echoed = gateway.send(&from_a_proxy()).await.echoed();
    assert_eq!(echoed.all("x-forwarded-for"), ["127.0.0.1"]);
    let gateway = start(&echo, "trusted_proxies: [127.0.0.1/32]").await;
    let echoed = gateway.send(&from_a_proxy()).await.echoed();
    assert!(echoed.header("x-forwarded-for").unwrap_or_default().starts_with("203.0.113.7"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_an_id_of_its_own_that_is_safe_to_print() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "trusted_proxies: [private]").await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let answer = gateway.send(&Request::get("/c").host("chat.test")).await;
        let id = answer.header("countersign-request-id").expect("an id").to_owned();
        assert_eq!(answer.echoed().header("countersign-request-id"), Some(id.as_str()));
        assert!(seen.insert(id));
    }
    let unprintable: [&[u8]; 4] = [b"", b"a b\tc", b"caf\xc3\xa9", &[b'x'; 5000]];
    for id in unprintable {
        let request = Request::get("/c").host("chat.test").raw_header("X-Request-Id", id);
        let answer = gateway.send(&request).await;
        let made = answer.header("countersign-request-id").expect("an id").to_owned();
        assert!(!made.is_empty() && made.len() <= 256 && made.is_ascii(), "{made}");
    }
    let refused = gateway.send(&Request::get("/c").host("nobody.test")).await;
    assert!(refused.header("countersign-request-id").is_some());
    let id = refused.header("countersign-request-id").unwrap_or_default().to_owned();
    gateway.log_line(&id).await;
}
