//! The admin and health listeners: probes for everybody, the rest for the token.

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{ADMIN_TOKEN, Gateway, Setup};
use crate::support::ports;
use crate::support::raw::{Request, Response};

async fn start(echo: &Echo, admin: &str, top: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = dialect("jwt").site("chat", "chat.test", &upstream, "prefer");
    let keys = "keys: [ { id: now, secret: { value: a-secret-for-the-admin-tests-1234 } }, \
                { id: soon, secret: { value: b-secret-for-the-admin-tests-1234 }, \
                not_before: 2999-01-01T00:00:00Z }, \
                { id: gone, secret: { value: c-secret-for-the-admin-tests-1234 }, \
                not_after: 2020-01-01T00:00:00Z } ]";
    let site = dialect("jwt").site("keys", "keys.test", &upstream, "accept");
    let own = format!("keys: [ {{ id: k1, secret: {{ value: \"{}\" }} }} ]", dialect("jwt").secret);
    sites += &site.replace(&own, keys);
    Setup::new(sites).admin(admin).top(top).start().await
}

fn with_token() -> String {
    format!("{{ address: \"{{address}}\", token: {{ value: {ADMIN_TOKEN} }} }}")
}

async fn ask(gateway: &Gateway, path: &str, authorization: Option<&str>) -> Response {
    let request = Request::get(path).host("localhost");
    let request = match authorization {
        Some(value) => request.header("Authorization", value),
        None => request,
    };
    request.send(gateway.admin).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_metrics_need_no_token() {
    let echo = Echo::start().await;
    let health = ports::free();
    let top = format!("health: {{ address: \"{health}\" }}");
    let gateway = start(&echo, &with_token(), &top).await;
    for address in [gateway.admin, health] {
        for path in ["/livez", "/readyz", "/readyz?verbose", "/metrics"] {
            let answer = Request::get(path).host("localhost").send(address).await;
            assert_eq!(answer.status, 200, "{path}");
        }
    }
    let verbose = ask(&gateway, "/readyz?verbose", None).await.json();
    assert_eq!(verbose["status"], "ready");
    for check in ["plan", "listeners", "reload", "upstream"] {
        assert_eq!(verbose["checks"][check]["ok"], true, "{check}: {verbose}");
        assert!(verbose["checks"][check]["detail"].is_string(), "{check}: {verbose}");
    }
    // The kubelet asks by address, and `health` has nothing else to tell.
    let by_address = Request::get("/readyz").host(&health.to_string()).send(health).await;
    assert_eq!(by_address.status, 200);
    for path in ["/v1/sites", "/v1/reload", "/"] {
        let answer = Request::get(path)
            .host("localhost")
            .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
            .send(health)
            .await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_is_for_the_token() {
    let echo = Echo::start().await;
    let gateway = start(&echo, &with_token(), "").await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let wrong = [
        None,
        Some("Bearer wrong"),
        Some("Basic YWRtaW46YWRtaW4="),
        Some(ADMIN_TOKEN),
        Some("Bearer "),
    ];
    for path in ["/v1/sites", "/v1/sites/keys/keys"] {
        for authorization in wrong {
            assert_eq!(ask(&gateway, path, authorization).await.status, 401, "{authorization:?}");
        }
        assert_eq!(ask(&gateway, path, Some(&bearer)).await.status, 200);
    }
    let reload = Request::post("/v1/reload", "application/json", "").host("localhost");
    assert_eq!(reload.send(gateway.admin).await.status, 401);
    assert_eq!(ask(&gateway, "/v1/sites/nobody/keys", Some(&bearer)).await.status, 404);
    assert_eq!(ask(&gateway, "/v1/nothing", Some(&bearer)).await.status, 404);
    assert_eq!(ask(&gateway, "/v1/reload", Some(&bearer)).await.status, 405);
    let log = gateway.log();
    assert!(!log.contains(ADMIN_TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_they_are_disabled() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "{ address: \"{address}\" }", "").await;
    for path in ["/v1/sites", "/v1/sites/keys/keys"] {
        for authorization in [None, Some("Bearer "), Some("Bearer x")] {
            let answer = ask(&gateway, path, authorization).await;
            assert_eq!(answer.status, 403);
            assert!(answer.text().contains("admin_disabled"), "{}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_page_cannot_rebind_its_name_to_the_admin_listener() {
    let echo = Echo::start().await;
    let gateway = start(&echo, &with_token(), "").await;
    let address = gateway.admin.to_string();
    for host in ["localhost", "127.0.0.1", "[::1]", address.as_str()] {
        let answer = Request::get("/readyz").host(host).send(gateway.admin).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    for host in ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "10.0.0.1"] {
        let answer = Request::get("/metrics").host(host).send(gateway.admin).await;
        assert!(matches!(answer.status, 400 | 403 | 421), "{host}: {}", answer.status);
        assert!(!answer.text().contains("countersign_"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sites_and_keys_are_listed_without_a_secret() {
    let echo = Echo::start().await;
    let gateway = start(&echo, &with_token(), "").await;
    let sites = gateway.ask("GET", "/v1/sites").await;
    assert_eq!(sites.status, 200);
    for told in ["chat", "keys", "accept", "jwt"] {
        assert!(sites.text().contains(told), "{}", sites.text());
    }
    let token = dialect("jwt").proof("a-secret-for-the-admin-tests-1234", "u-1001", 5);
    let used = Request::get("/c").host("keys.test").bearer(&token);
    assert_eq!(gateway.send(&used).await.status, 200);
    let labels = [("site", "keys"), ("key", "now")];
    gateway.metric_reaches("countersign_key_verifications_total", &labels, 1.0).await;
    // Nobody is turned away here, but the lapsed key that fits is counted all the same.
    let token = dialect("jwt").proof("c-secret-for-the-admin-tests-1234", "u-1001", 5);
    let overlooked = Request::get("/c").host("keys.test").bearer(&token);
    assert_eq!(gateway.send(&overlooked).await.status, 200);
    let labels = [("site", "keys"), ("key", "gone"), ("result", "rejected")];
    gateway.metric_reaches("countersign_key_verifications_total", &labels, 1.0).await;
    let answer = gateway.ask("GET", "/v1/sites/keys/keys").await;
    let listed = answer.json();
    let keys = listed["keys"].as_array().expect("a list").clone();
    let states: Vec<_> =
        keys.iter().map(|key| (key["id"].as_str(), key["state"].as_str())).collect();
    let wanted = [
        (Some("now"), Some("active")),
        (Some("soon"), Some("scheduled")),
        (Some("gone"), Some("lapsed")),
    ];
    assert_eq!(states, wanted);
    for key in &keys {
        assert_eq!(key["algorithm"], "HS256");
        assert!(key.get("loaded_at").is_some() && key.get("not_after").is_some(), "{key}");
    }
    assert!(!keys[0]["last_used"].is_null() && keys[1]["last_used"].is_null(), "{listed}");
    for text in [sites.text(), answer.text()] {
        assert!(!text.contains("-secret-for-the-admin-tests"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_there_from_the_start() {
    let echo = Echo::start().await;
    let gateway = start(&echo, &with_token(), "").await;
    let metrics = gateway.metrics().await;
    let site = [("site", "chat")];
    let none: [(&str, &str); 0] = [];
    let reloaded = [("trigger", "file"), ("result", "success")];
    let decided = [
        ("site", "chat"),
        ("dialect", "jwt"),
        ("mode", "prefer"),
        ("decision", "rejected"),
        ("reason", "bad_signature"),
    ];
    let expected: [(&str, &[(&str, &str)]); 16] = [
        ("countersign_decisions_total", &decided),
        ("countersign_http_request_duration_seconds_count", &site),
        ("countersign_overhead_seconds_count", &site),
        ("countersign_headers_stripped_total", &site),
        ("countersign_keys", &[("site", "keys"), ("state", "scheduled")]),
        ("countersign_key_not_after_timestamp_seconds", &[("site", "keys"), ("key", "gone")]),
        ("countersign_config_last_reload_successful", &none),
        ("countersign_config_last_reload_success_timestamp_seconds", &none),
        ("countersign_config_reloads_total", &reloaded),
        ("countersign_config_generation", &none),
        ("countersign_live_connections", &site),
        ("countersign_upstream_errors_total", &[("site", "chat"), ("kind", "connect")]),
        ("countersign_http_requests_in_flight", &site),
        ("countersign_log_lines_dropped_total", &none),
        ("countersign_build_info", &none),
        ("process_resident_memory_bytes", &none),
    ];
    for (name, labels) in expected {
        assert!(metrics.has(name, labels), "{name} {labels:?}");
    }
    assert_eq!(metrics.sum("countersign_keys", &[("site", "keys")]), 3.0);
    let connections = metrics.has("countersign_connections", &none);
    assert!(connections);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_leaves_one_line_and_its_counts() {
    let echo = Echo::start().await;
    let gateway = start(&echo, &with_token(), "").await;
    let jwt = dialect("jwt");
    let token = jwt.proof(jwt.secret, "u-1001", 5);
    let good = gateway.send(&Request::get("/c").host("chat.test").bearer(&token)).await;
    let expired = jwt.proof(jwt.secret, "u-1001", 5000);
    let bad = gateway.send(&Request::get("/c").host("chat.test").bearer(&expired)).await;
    for (answer, told) in
        [(good, ["verified", "chat", "k1"]), (bad, ["rejected", "chat", "expired"])]
    {
        let id = answer.header("countersign-request-id").expect("an id").to_owned();
        let line = gateway.log_line(&id).await;
        for word in told {
            assert!(line.contains(word), "{word}: {line}");
        }
        assert!(!line.contains("u-1001"), "{line}");
        let log = gateway.log();
        assert_eq!(log.lines().filter(|line| line.contains(&id)).count(), 1, "one line a request");
    }
    let metrics = gateway.metrics().await;
    let site = [("site", "chat")];
    assert_eq!(metrics.sum("countersign_http_request_duration_seconds_count", &site), 2.0);
    assert_eq!(metrics.sum("countersign_overhead_seconds_count", &site), 2.0);
    assert_eq!(metrics.sum("countersign_http_requests_in_flight", &site), 0.0);
    let used = [("site", "chat"), ("key", "k1")];
    assert!(metrics.sum("countersign_key_last_used_timestamp_seconds", &used) > 1.7e9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_series_is_shown_twice_whatever_has_happened() {
    let echo = Echo::start().await;
    let gateway = start(&echo, &with_token(), "").await;
    for path in ["/c", "/status/500", "/status/299", "/close", "/c?access_token=a.b.c"] {
        gateway.send(&Request::get(path).host("chat.test")).await;
        gateway.send(&Request::get(path).host("nobody.test")).await;
    }
    for _ in 0..2 {
        assert_eq!(gateway.reload().await.status, 200);
        let text = Request::get("/metrics").host("localhost").send(gateway.admin).await.text();
        let mut seen = std::collections::HashSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let series = line.rsplit_once(' ').expect("a sample").0;
            assert!(seen.insert(series.to_owned()), "{series}");
        }
        for comment in text.lines().filter(|line| line.starts_with('#')) {
            assert!(seen.insert(comment.to_owned()), "{comment}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_holds_what_it_is_told_to() {
    let echo = Echo::start().await;
    for (access, passed, refused) in
        [("all", true, true), ("refusals", false, true), ("none", false, false)]
    {
        let gateway = start(&echo, &with_token(), &format!("log: {{ access: {access} }}")).await;
        let good = gateway.send(&Request::get("/passed").host("chat.test")).await;
        let bad = gateway.send(&Request::get("/refused").host("nobody.test")).await;
        let id = |answer: &Response| answer.header("countersign-request-id").map(str::to_owned);
        let (good, bad) = (id(&good).expect("an id"), id(&bad).expect("an id"));
        // A line that is always written comes after them.
        gateway.reload().await;
        gateway.log_line("configuration reloaded").await;
        let log = gateway.log();
        assert_eq!((log.contains(&good), log.contains(&bad)), (passed, refused), "{access}");
    }
}
