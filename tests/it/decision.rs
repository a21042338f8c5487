//! The decision listener by itself, asked as each gateway asks.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::support::cases::{Dialect, Presented, dialect};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Connection, Request, Response};
use crate::support::{PATIENCE, ports};

const HOST: &str = "chat.test";
const GATEWAYS: [&str; 5] = ["nginx", "traefik", "caddy", "haproxy", "envoy"];

/// A gateway's question: what it adds about the visitor's request, to be completed with the
/// visitor's own fields.
fn question(gateway: &str, method: &str, host: &str, target: &str) -> Request {
    match gateway {
        "nginx" => Request::get("/")
            .host("countersign")
            .header("X-Original-Method", method)
            .header("X-Original-Host", host)
            .header("X-Original-URI", target),
        "envoy" => Request::new(method, &format!("/judge{target}"))
            .host(host)
            .header("Content-Length", "0"),
        _ => Request::get("/")
            .host("countersign")
            .header("X-Forwarded-Method", method)
            .header("X-Forwarded-Host", host)
            .header("X-Forwarded-Uri", target),
    }
}

fn settings(gateway: &str, address: SocketAddr) -> String {
    let prefix = if gateway == "envoy" { ", path_prefix: /judge" } else { "" };
    format!("decision: {{ address: \"{address}\", for: {gateway}{prefix} }}")
}

fn jwt() -> &'static Dialect {
    dialect("jwt")
}

fn good() -> String {
    jwt().proof(jwt().secret, "u-1001", 5)
}

/// A backend that nobody reaches, for nothing is forwarded.
fn site(further: &str) -> String {
    jwt().site("chat", HOST, "http://127.0.0.1:9", "require") + further
}

async fn start(gateway: &str, further: &str) -> (Gateway, SocketAddr) {
    let address = ports::free();
    let setup = Setup::new(site(further)).top(&settings(gateway, address));
    (setup.start().await, address)
}

async fn ask(address: SocketAddr, request: &Request) -> Response {
    request.send(address).await
}

/// What the visitor gets: NGINX is told beside.
fn true_status(answer: &Response) -> u16 {
    let beside = answer.header("countersign-refused").and_then(|status| status.parse().ok());
    beside.unwrap_or(answer.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_gateway_is_told_who_asks_and_of_refusals_the_whole_answer() {
    for gateway in GATEWAYS {
        let (_running, address) = start(gateway, "").await;
        let asked = question(gateway, "GET", HOST, "/c?a=1");
        let yes = ask(address, &asked.clone().bearer(&good()).header("Cookie", "a=1")).await;
        assert_eq!(yes.status, 200, "{gateway}: {}", yes.text());
        assert_eq!(yes.header("countersign-status"), Some("verified"));
        assert_eq!(yes.header("countersign-id"), Some("u-1001"));
        assert_eq!(yes.header("cookie"), Some("a=1"), "{gateway}: what is left");
        assert_eq!(yes.header("authorization"), None, "{gateway}: nothing is left");
        // Caddy decodes what it rewrites, and so rewrites only where it must.
        let uri = (gateway != "caddy").then_some("/c?a=1");
        assert_eq!(yes.header("countersign-uri"), uri, "{gateway}");
        for of_the_way in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"] {
            assert_eq!(yes.header(of_the_way), None, "{gateway}: {of_the_way}");
        }
        let gone = match gateway {
            "envoy" => yes.header("x-envoy-auth-headers-to-remove"),
            "haproxy" => yes.header("countersign-remove"),
            _ => Some("authorization"),
        };
        assert_eq!(gone, Some("authorization"), "{gateway}");

        let no = ask(address, &asked.header("Origin", "https://www.acme.test")).await;
        assert_eq!((no.status, no.code().as_str()), (401, "missing"), "{gateway}");
        assert_eq!(no.header("www-authenticate"), Some("Bearer realm=\"chat\""));
        assert_eq!(no.header("access-control-allow-origin"), Some("https://www.acme.test"));
        assert_eq!(no.header("content-type"), Some("application/problem+json"));
        assert_eq!(no.header("countersign-id"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_hears_of_two_refusals_and_reads_the_true_status_beside() {
    let (running, address) = start("nginx", "").await;
    for (host, target, status, refused) in [
        (HOST, "/c", 401, "401"),
        ("nobody.test", "/c", 403, "421"),
        (HOST, "/c/%2e%2e/%2fa#", 403, "400"),
        (HOST, "/a#b", 403, "400"),
        (HOST, "/ü", 403, "400"),
        ("a b", "/c", 403, "400"),
    ] {
        let answer = ask(address, &question("nginx", "GET", host, target)).await;
        let told = answer.header("countersign-refused");
        assert_eq!((answer.status, told), (status, Some(refused)), "{host}{target}");
    }
    let bad_method = ask(address, &question("nginx", "get", HOST, "/c")).await;
    assert_eq!(bad_method.header("countersign-refused"), Some("400"));
    let many = (0..120).fold(question("nginx", "GET", HOST, "/c"), |asked, index| {
        asked.header(&format!("X-{index}"), "y")
    });
    let answer = ask(address, &many).await;
    assert_eq!((answer.status, answer.header("countersign-refused")), (403, Some("431")));
    // All of that is the visitors' doing, and none of it the operator's.
    assert!(!running.log().contains("was no question"), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_does_not_say_once_is_400_for_every_gateway() {
    for gateway in GATEWAYS {
        let (running, address) = start(gateway, "").await;
        let whole = question(gateway, "GET", HOST, "/c").bearer(&good());
        assert_eq!(ask(address, &whole).await.status, 200, "{gateway}");
        let doubled: &[&str] = match gateway {
            "nginx" => {
                &["X-Original-URI", "x_original_uri", "X-Original-Host", "X.Original-Method"]
            }
            "envoy" => &["Host", "host_"],
            _ => &["X-Forwarded-Uri", "X_Forwarded_Uri", "x-forwarded-host", "X-Forwarded.Method"],
        };
        for name in doubled {
            let answer = ask(address, &whole.clone().header(name, "/c")).await;
            assert_eq!(answer.status, 400, "{gateway}: {name} twice: {}", answer.text());
        }
        let missing: Vec<Request> = match gateway {
            "envoy" => vec![Request::get("/judge/c"), Request::get("/c").host(HOST)],
            _ => ["Method", "Host", "Uri"]
                .map(|left_out| {
                    let family = if gateway == "nginx" { "X-Original-" } else { "X-Forwarded-" };
                    let fields = [("Method", "GET"), ("Host", HOST), ("Uri", "/c")];
                    let rest = fields.into_iter().filter(|(name, _)| *name != left_out);
                    rest.fold(Request::get("/").host("countersign"), |request, (name, value)| {
                        request.header(&format!("{family}{name}"), value)
                    })
                })
                .into(),
        };
        for request in missing {
            let answer = ask(address, &request.clone().bearer(&good())).await;
            assert_eq!(answer.status, 400, "{gateway}: {}", request.target());
            // In a client's spelling they are as good as missing.
            let spelt = request.bearer(&good()).header("x_forwarded_uri", "/c");
            assert_eq!(ask(address, &spelt).await.status, 400, "{gateway}");
        }
        running.log_line("a question to the decision listener was no question").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_gateways_fields_decide_nothing() {
    let further = "    routes: [ { path: /open/*, mode: off } ]\n";
    for gateway in GATEWAYS {
        let (_running, address) = start(gateway, further).await;
        let open = question(gateway, "GET", HOST, "/open/x");
        assert_eq!(ask(address, &open).await.status, 200, "{gateway}: the route is open");
        let mut closed = question(gateway, "GET", HOST, "/c");
        for other in GATEWAYS.into_iter().filter(|other| *other != gateway) {
            let family = match (gateway, other) {
                ("nginx", "traefik") | ("envoy", "caddy") => "X-Forwarded-",
                ("traefik" | "caddy" | "haproxy" | "envoy", "nginx") => "X-Original-",
                _ => continue,
            };
            for (name, value) in [("Method", "GET"), ("Host", HOST), ("Uri", "/open/x")] {
                closed = closed.header(&format!("{family}{name}"), value);
            }
        }
        let closed = closed.header("X-Rewrite-URL", "/open/x");
        assert_eq!(ask(address, &closed).await.status, 401, "{gateway}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_counted_and_logged_like_requests_and_share_a_connection() {
    let (gateway, address) = start("envoy", "").await;
    let mut connection = Connection::open(address).await;
    let target = "/socket?access_token=";
    for (method, body) in [("GET", ""), ("POST", "{\"x\":1}"), ("HEAD", ""), ("GET", "")] {
        // A body is none of our business, whatever it says it is.
        let asked = Request::new(method, &format!("/judge{target}{}", good()))
            .host(HOST)
            .header("Content-Type", "application/json")
            .header("X-Request-Id", "r-of-envoy")
            .body(body);
        connection.send(&asked.bytes()).await;
        let answer = match method {
            "HEAD" => connection.response_to_head().await,
            _ => connection.response().await,
        };
        let answer = answer.expect("an answer over the same connection");
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.header("countersign-request-id"), Some("r-of-envoy"));
        assert_eq!(answer.header("countersign-uri"), Some("/socket"), "without the credential");
    }
    let labels = [("site", "chat"), ("decision", "verified"), ("reason", "none")];
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("countersign_decisions_total", &labels), 4.0);
    let answered = [("site", "chat"), ("code", "200")];
    assert_eq!(metrics.sum("countersign_http_requests_total", &answered), 4.0);
    let line = gateway.log_line("\"message\":\"decision\"").await;
    for part in ["\"path\":\"/socket\"", "r-of-envoy", "\"target\":\"access\""] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!gateway.log().contains("access_token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_of_a_listed_origin_goes_on_and_that_of_another_does_not() {
    let (_running, address) =
        start("traefik", "    allowed_origins: [https://www.acme.test]\n").await;
    for (origin, status) in [("https://www.acme.test", 200), ("https://evil.test", 403)] {
        let asked = question("traefik", "OPTIONS", HOST, "/c")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST");
        let answer = ask(address, &asked).await;
        assert_eq!(answer.status, status, "{origin}");
        let said = answer.header("countersign-reason");
        assert_eq!(said, (status == 200).then_some("not_checked"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_is_judged_as_one_though_gateways_drop_upgrade() {
    let (_running, address) =
        start("haproxy", "    allowed_origins: [https://www.acme.test]\n").await;
    let asked =
        |origin| question("haproxy", "GET", HOST, "/ws").bearer(&good()).header("Origin", origin);
    let plain = ask(address, &asked("https://evil.test")).await;
    assert_eq!(plain.status, 200, "a token proves, whatever page sends it");
    for field in ["Sec-WebSocket-Key", "Sec-WebSocket-Version"] {
        let foreign = ask(address, &asked("https://evil.test").header(field, "13")).await;
        assert_eq!((foreign.status, foreign.code().as_str()), (403, "origin_not_allowed"));
        let own = ask(address, &asked("https://www.acme.test").header(field, "13")).await;
        assert_eq!(own.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_widgets_own_paths_are_the_backends_where_a_gateway_forwards() {
    let (_running, address) = start("caddy", "").await;
    let whoami = question("caddy", "GET", HOST, "/.countersign/whoami");
    let answer = ask(address, &whoami.clone().bearer(&good())).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("countersign-id"), Some("u-1001"));
    assert_eq!(ask(address, &whoami).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mode_answers_as_it_forwards() {
    let routes = "    routes: [ { path: /prefer/*, mode: prefer }, { path: /accept/*, mode: accept }, \
                  { path: /observe/*, mode: observe }, { path: /off/*, mode: off } ]\n";
    let (_running, address) = start("nginx", routes).await;
    let bad = jwt().presents(Presented::Tampered, "/").1;
    for (path, presented, status, reason) in [
        ("/prefer/", None, 200, Some("missing")),
        ("/prefer/", Some(&bad), 401, None),
        ("/accept/", Some(&bad), 200, Some("bad_signature")),
        ("/observe/", Some(&bad), 200, Some("bad_signature")),
        ("/observe/", None, 200, Some("missing")),
        ("/off/", Some(&bad), 200, Some("not_checked")),
    ] {
        let asked = question("nginx", "GET", HOST, path);
        let asked = presented.into_iter().fold(asked, |asked, token| asked.bearer(token));
        let answer = ask(address, &asked).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("countersign-reason"), reason, "{path}");
        let kept = matches!(path, "/observe/" | "/off/") && presented.is_some();
        assert_eq!(answer.header("authorization").is_some(), kept, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_question_ends_its_connection() {
    let (_running, address) = start("envoy", "").await;
    for (sent, status) in [
        ("what is this\r\n\r\n".to_owned(), 400),
        (format!("GET /judge/ HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n", "x".repeat(40_000)), 431),
        (format!("GET /judge/ HTTP/1.1\nHost: {HOST}\n\n"), 400),
    ] {
        let mut connection = Connection::open(address).await;
        connection.send(sent.as_bytes()).await;
        assert_eq!(connection.response().await.expect("an answer").status, status);
        assert!(connection.closes_within(PATIENCE).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_answers_to_its_end_and_takes_leave() {
    let address = ports::free();
    let setup = Setup::new(site("")).top(&settings("traefik", address));
    let mut gateway = setup.top("drain: { delay: 1s, spread: 0s, timeout: 2s }").start().await;
    let asked = question("traefik", "GET", HOST, "/c").bearer(&good());
    let mut idle = Connection::open(address).await;
    let before = idle.exchange(&asked).await.expect("an answer");
    assert_eq!((before.status, before.header("connection")), (200, None));
    gateway.signal("TERM");
    gateway.log_line("draining").await;
    let answer = idle.exchange(&asked).await.expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(ask(address, &asked).await.status, 200, "new connections, too");
    assert!(gateway.ended(Duration::from_secs(10)).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_moves_it_needs_a_restart() {
    let (gateway, _) = start("envoy", "").await;
    let config = gateway.config();
    gateway
        .write("countersign.yaml", config.replace("for: envoy, path_prefix: /judge", "for: nginx"));
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("decision"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_nginx_cannot_remove_is_refused() {
    let (_running, address) = start("nginx", "").await;
    let asked = question("nginx", "GET", HOST, "/c").bearer(&good());
    let known = ask(address, &asked.clone().header("Countersign-Id", "admin")).await;
    assert_eq!((known.status, known.header("countersign-id")), (200, Some("u-1001")));
    for unknown in ["Countersign", "Countersign-Role", "countersign--id", "-Countersign-Id"] {
        let answer = ask(address, &asked.clone().header(unknown, "admin")).await;
        assert_eq!(answer.status, 403, "{unknown}");
        assert_eq!(answer.header("countersign-refused"), Some("400"), "{unknown}");
        assert_eq!(answer.json()["code"], json!("bad_request"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_the_configuration_that_a_gateway_would_keep_is_refused_whoever_comes() {
    let further = "    headers: { preset: remote-user, map: { id: X-User, name: X-User-Name } }\n    \
                   routes: [ { path: /off/*, mode: off }, { path: /prefer/*, mode: prefer } ]\n    \
                   translate: [ { dialect: user-hash, key: { value: \
                   \"b02612a8bdf5e736c41ce2002181d124\" }, into: { header: { id: X-Uid, proof: X-Sig } } } ]\n";
    for gateway in GATEWAYS {
        let (running, address) = start(gateway, further).await;
        for path in ["/c", "/off/c", "/prefer/c"] {
            let asked = question(gateway, "GET", HOST, path).bearer(&good());
            assert_eq!(ask(address, &asked).await.status, 200, "{gateway} {path}");
            for name in ["Remote-User", "remote_user", "Remote-Groups", "X-User", "X_User_Name"] {
                let answer = ask(address, &asked.clone().header(name, "forged")).await;
                let what = format!("{gateway} {path} {name}: {}", answer.text());
                if gateway != "haproxy" {
                    assert_eq!(true_status(&answer), 400, "{what}");
                    continue;
                }
                let gone = answer.header("countersign-remove").unwrap_or_default();
                let is_gone = gone.split(',').any(|gone| gone.eq_ignore_ascii_case(name));
                let set = answer.header(name).filter(|value| *value != "forged");
                assert!(is_gone || set.is_some(), "{what}: {gone}");
            }
            // Every recipe takes this one over: there is ours, or none.
            let carried = ask(address, &asked.header("X-User-Name", "forged")).await;
            assert_eq!(carried.status, 200, "{gateway} {path}");
            assert_ne!(carried.header("x-user-name"), Some("forged"), "{gateway} {path}");
        }
        // What is written for the backend: of two of one name it may take the client's.
        let asked = question(gateway, "GET", HOST, "/c").bearer(&good()).header("X-Sig", "forged");
        let expected = if gateway == "haproxy" { 200 } else { 400 };
        let answer = ask(address, &asked).await;
        assert_eq!(true_status(&answer), expected, "{gateway}: {}", answer.text());
        assert_ne!(answer.header("x-sig"), Some("forged"), "{gateway}");
        let warned = "does not know remote-email, remote-name, remote-user, x-sig, x-uid, x-user:";
        assert_eq!(running.log().contains(warned), gateway != "haproxy", "{}", running.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_credentials_that_envoy_joins_are_two() {
    let further =
        "    routes: [ { path: /prefer/*, mode: prefer }, { path: /off/*, mode: off } ]\n";
    let (_running, address) = start("envoy", further).await;
    let other = jwt().proof(jwt().secret, "u-2002", 5);
    for joint in [",", ", "] {
        let both = format!("Bearer {}{joint}Bearer {other}", good());
        let asked = |path| question("envoy", "GET", HOST, path).header("Authorization", &both);
        for path in ["/c", "/prefer/c"] {
            let answer = ask(address, &asked(path)).await;
            let got = (answer.status, answer.code());
            assert_eq!(got, (400, "ambiguous".into()), "{path}");
        }
        let open = ask(address, &asked("/off/c")).await;
        let whole = format!("Bearer {},Bearer {other}", good());
        assert_eq!((open.status, open.header("authorization")), (200, Some(&*whole)));
    }
    let beside = format!("Basic YTpi,Bearer {}", good());
    let asked = question("envoy", "GET", HOST, "/c").header("Authorization", &beside);
    let answer = ask(address, &asked).await;
    assert_eq!(answer.header("countersign-id"), Some("u-1001"), "{}", answer.text());
    assert_eq!(answer.header("authorization"), Some("Basic YTpi"));
}
