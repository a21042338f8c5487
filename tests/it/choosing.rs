//! Host → site, path and method → route.

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Connection, Request, Response};

async fn start(echo: &Echo, fallback: bool) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let jwt = dialect("jwt");
    let mut sites = jwt.site("exact", "chat.acme.test", &upstream, "prefer");
    sites += &jwt.site("wild", "*.acme.test", &upstream, "prefer");
    sites += &jwt.site("deeper", "*.eu.acme.test", &upstream, "prefer");
    sites += &(jwt.site("routes", "routes.test", &upstream, "prefer")
        + "    routes:\n\
           \x20     - { path: /assets/*, mode: off }\n\
           \x20     - { path: /admin/*, mode: require }\n\
           \x20     - { path: /embed/*, methods: [GET], mode: require }\n\
           \x20     - { path: /users/*/avatar, mode: off }\n");
    if fallback {
        let rest = jwt.site("rest", "x", &upstream, "prefer");
        sites += &rest.replace("    hosts: [\"x\"]\n", "");
    }
    Setup::new(sites).start().await
}

fn site(answer: &Response) -> String {
    answer.echoed().header("countersign-site").unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_chooses_its_site_exact_then_wildcard() {
    let echo = Echo::start().await;
    let gateway = start(&echo, false).await;
    let cases = [
        ("chat.acme.test", "exact"),
        ("CHAT.acme.TEST", "exact"),
        ("chat.acme.test.", "exact"),
        ("chat.acme.test:8080", "exact"),
        ("chat.acme.test.:80", "exact"),
        ("other.acme.test", "wild"),
        ("a.b.acme.test", "wild"),
        ("a.eu.acme.test", "deeper"),
        ("a.b.eu.acme.test", "deeper"),
        ("eu.acme.test", "wild"),
    ];
    for (host, wanted) in cases {
        let answer = gateway.send(&Request::get("/c").host(host)).await;
        assert_eq!(site(&answer), wanted, "{host}");
        assert_eq!(answer.echoed().all("host"), [host], "the Host goes through unchanged");
    }
    let h2 = h2c::Connection::open(gateway.address).await;
    assert_eq!(site(&h2.get("chat.acme.test:8080", "/c", &[]).await), "exact");
    assert_eq!(site(&h2.get("x.acme.test", "/c", &[]).await), "wild");
    assert_eq!(h2.get("acme.test", "/c", &[]).await.status, 421);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_is_421_unless_one_site_takes_the_rest() {
    let echo = Echo::start().await;
    let gateway = start(&echo, false).await;
    for host in ["acme.test", "nobody.test", "chat.acme.test.evil.test", "xacme.test", "127.0.0.1"]
    {
        let answer = gateway.send(&Request::get("/c").host(host)).await;
        assert_eq!((answer.status, answer.code().as_str()), (421, "unknown_site"), "{host}");
    }
    assert!(echo.received().is_empty());
    let labels = [("site", "none"), ("code", "421")];
    gateway.metric_reaches("countersign_http_requests_total", &labels, 5.0).await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("countersign_decisions_total", &[]), 0.0, "no judgement of identity");

    let gateway = start(&echo, true).await;
    for host in ["acme.test", "nobody.test", "127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(site(&gateway.send(&Request::get("/c").host(host)).await), "rest", "{host}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_repeated_or_malformed_host_is_400() {
    let echo = Echo::start().await;
    let gateway = start(&echo, true).await;
    let missing = Request::get("/c");
    let repeated = Request::get("/c").host("chat.acme.test").host("routes.test");
    let same_twice = Request::get("/c").host("chat.acme.test").host("chat.acme.test");
    let mut requests = vec![missing, repeated, same_twice];
    let malformed = [
        "",
        "chat acme.test",
        "chat.acme.test/x",
        "user@chat.acme.test",
        "chat.acme.test:x",
        "chat.acme.test:99999",
        "[::1",
        "chat.acme.test?x",
    ];
    requests.extend(malformed.map(|host| Request::get("/c").host(host)));
    for request in requests {
        let answer = gateway.send(&request).await;
        assert_eq!(answer.status, 400, "{:?}", String::from_utf8_lossy(&request.bytes()));
    }
    // An absolute-form target's authority and Host must agree (RFC 9112 §3.2.2).
    let mut connection = Connection::open(gateway.address).await;
    connection.send(b"GET http://routes.test/c HTTP/1.1\r\nHost: chat.acme.test\r\n\r\n").await;
    assert_eq!(connection.response().await.expect("an answer").status, 400);
    assert!(echo.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_matching_route_decides_the_mode() {
    let echo = Echo::start().await;
    let gateway = start(&echo, false).await;
    let cases = [
        ("GET", "/assets/a.js", "not_checked"),
        ("GET", "/assets", "not_checked"),
        ("GET", "/assets/", "not_checked"),
        ("GET", "/assets/../assets/a.js?x=/admin", "not_checked"),
        ("GET", "/assetsx", "missing"),
        ("GET", "/admin/x", "401"),
        ("DELETE", "/admin", "401"),
        ("GET", "/embed/x", "401"),
        ("HEAD", "/chat", "missing"),
        ("PUT", "/embed/x", "missing"),
        ("GET", "/users/7/avatar", "not_checked"),
        ("GET", "/users/7/name", "missing"),
        ("GET", "/users/7/8/avatar", "missing"),
        ("GET", "/?path=/admin/x", "missing"),
    ];
    for (method, path, wanted) in cases {
        echo.take();
        let answer = gateway.send(&Request::new(method, path).host("routes.test")).await;
        let got = match echo.take().first() {
            Some(echoed) => echoed.header("countersign-reason").unwrap_or_default().to_owned(),
            None => answer.status.to_string(),
        };
        assert_eq!(got, wanted, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_of_two_meanings_is_400_where_it_matters_and_unchanged_where_not() {
    let echo = Echo::start().await;
    let gateway = start(&echo, false).await;
    let two_meanings = [
        "/ADMIN/x",
        "/%61dmin/x",
        "/%2561dmin/x",
        "/admin%2fx",
        "/admin%252Fx",
        "//admin/x",
        "/x/../admin/x",
        "/x/%2e%2e/admin/x",
        "/x/..%2fadmin/x",
        "/x/..;/admin/x",
        "/admin;v=1/x",
        "/\\admin\\x",
        "/assets/../admin/x",
        "/assets/..%2fadmin/x",
        "/assets/%2e%2e/admin/x",
        "/assets/..\\admin\\x",
        "/assets/../../chat",
        "/./admin/x",
    ];
    for path in two_meanings {
        let answer = gateway.send(&Request::get(path).host("routes.test")).await;
        assert_eq!(answer.status, 400, "{path}");
        // The parser itself may have turned a backslash away, without a body.
        assert!(path.contains('\\') || answer.code() == "bad_request", "{path}");
    }
    assert!(echo.take().is_empty());
    let h2 = h2c::Connection::open(gateway.address).await;
    assert_eq!(h2.get("routes.test", "/assets/%2e%2e/admin/x", &[]).await.status, 400);
    let one_meaning =
        ["/a//b", "/a/../b", "/%7Ehome/%C3%A9", "/A/b;c=d", "/assets//x/./y", "/a%2Fb"];
    for path in one_meaning {
        let answer = gateway.send(&Request::get(path).host("routes.test")).await;
        assert_eq!(answer.echoed().target, path, "forwarded as it came");
    }
}
