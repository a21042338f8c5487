//! Real gateways in front of a backend, with their recipes, and Countersign as their judge.

mod running;

use std::net::SocketAddr;

use countersign::dialect::Reason;
use countersign::dialect::builtin::BUILTIN;
use countersign::gate::Fault;
use countersign::gate::contract::SPELLINGS;
use countersign::plan::CARRIED;
use futures_util::future::join_all;
use serde_json::json;

use self::running::{EXECUTED, Running, recipe, start};
use crate::support::cases::{DIALECTS, Presented, dialect};
use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::ports;
use crate::support::raw::{Connection, Request, Response};
use crate::support::websocket::{Socket, handshake};

/// Sites that let no guest in are `<dialect>.test`, those that do `guests.<dialect>.test`.
fn sites(upstream: SocketAddr) -> String {
    let upstream = format!("http://{upstream}");
    let of = |dialect: &crate::support::cases::Dialect| {
        let (name, guests) = (dialect.name, format!("guests-{}", dialect.name));
        dialect.site(name, &format!("{name}.test"), &upstream, "require")
            + "    routes: [ { path: /open/*, mode: off } ]\n"
            + &dialect.site(&guests, &format!("guests.{name}.test"), &upstream, "prefer")
    };
    let own = |name: &str, field: &str| {
        dialect("jwt").site(name, &format!("{name}.test"), &upstream, "prefer")
            + &format!("    sources: [ {{ header: {field} }} ]\n")
    };
    let further = own("own-field", "X-User-Key") + &own("other-field", "X-Amz-Security-Token");
    DIALECTS.iter().map(of).collect::<String>() + &further
}

/// One gateway, its judge and its backend.
struct Chain {
    name: &'static str,
    gateway: Running,
    judge: Gateway,
    echo: Echo,
}

impl Chain {
    async fn start(name: &'static str) -> Self {
        let (echo, decision) = (Echo::start().await, ports::free());
        let prefix = if name == "envoy" { ", path_prefix: /countersign" } else { "" };
        let judge = Setup::new(sites(echo.address))
            .top(&format!("decision: {{ address: \"{decision}\", for: {name}{prefix} }}"))
            .start()
            .await;
        let gateway = start(name, decision, echo.address).await;
        Self { name, gateway, judge, echo }
    }

    /// All that are executed.
    async fn all() -> Vec<Self> {
        join_all(EXECUTED.map(Self::start)).await
    }

    async fn send(&self, request: &Request) -> Response {
        request.send(self.gateway.address).await
    }

    /// What the backend makes of a request that it gets.
    async fn echoed(&self, request: &Request) -> Echoed {
        let answer = self.send(request).await;
        assert_eq!(answer.status, 200, "{}: {}", self.name, answer.text());
        answer.echoed()
    }
}

fn good(name: &str) -> String {
    let dialect = dialect(name);
    dialect.proof(dialect.secret, "u-1001", 5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_missing_tampered_and_expired_are_told_apart_behind_every_gateway() {
    for chain in Chain::all().await {
        for dialect in &DIALECTS {
            for (presented, code) in [
                (Presented::Good, ""),
                (Presented::Missing, "missing"),
                (Presented::Tampered, "bad_signature"),
                (Presented::Expired, "expired"),
                (Presented::WrongKey, "bad_signature"),
            ] {
                if presented == Presented::Expired && !dialect.expires {
                    continue;
                }
                let what = format!("{}: {} {presented:?}", chain.name, dialect.name);
                let (request, proof) = dialect.presents(presented, "/c?x=%7e&y");
                let request = request.host(&format!("{}.test", dialect.name));
                let answer = chain.send(&request).await;
                let received = chain.echo.take();
                if presented == Presented::Good {
                    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
                    let echoed = answer.echoed();
                    assert_eq!(echoed.all("countersign-status"), ["verified"], "{what}");
                    for (name, value) in dialect.proves {
                        let name = format!("countersign-{name}");
                        assert_eq!(echoed.all(&name), [*value], "{what}: {name}");
                    }
                    assert!(echoed.target.starts_with("/c?x=%7e&y"), "{what}: {}", echoed.target);
                    assert!(!echoed.mentions(&proof), "{what}: a used credential: {echoed:?}");
                    continue;
                }
                assert_eq!(answer.status, 401, "{what}");
                let challenge = answer.header("www-authenticate").unwrap_or_default();
                assert!(challenge.starts_with("Bearer realm="), "{what}: {challenge}");
                assert!(received.is_empty(), "{what}: the backend was asked");
                // NGINX drops the body of an answer to its question.
                if chain.name != "nginx" {
                    assert_eq!(answer.code(), code, "{what}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_client_says_in_our_name_or_a_gateways_reaches_the_backend() {
    let spellings = [
        "Countersign-Id",
        "countersign-id",
        "COUNTERSIGN-STATUS",
        "Countersign_Id",
        "countersign.name",
        "_countersign_id",
        "Countersign_Status",
        "Countersign-Assertion",
        "Countersign-Claimed",
        "countersign__email",
        "X-Original-URI",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X_Forwarded_Uri",
        "X_Original_URI",
        "X-Forwarded-Host",
        "X-Real-IP",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Request-Id",
    ];
    for chain in Chain::all().await {
        let guest = Request::get("/c").host("guests.jwt.test");
        for request in [guest.clone(), guest.bearer(&good("jwt"))] {
            let forged = spellings.iter().fold(request, |request, name| {
                request.header(name, "forged").header(name, "forged")
            });
            // What `Connection` names would be dropped by whoever takes it at its word.
            let forged = forged.header("Connection", "close, Countersign-Status, Countersign-Id");
            let echoed = chain.echoed(&forged).await;
            let found: Vec<_> =
                echoed.headers.iter().filter(|(_, value)| value.contains("forged")).collect();
            assert!(found.is_empty(), "{}: {found:?}", chain.name);
            let told = echoed.all("countersign-status");
            let id = echoed.all("countersign-id");
            match forged.bytes().windows(6).any(|part| part == b"Bearer") {
                true => {
                    assert_eq!((told, id), (vec!["verified"], vec!["u-1001"]), "{}", chain.name)
                }
                false => assert_eq!((told, id), (vec!["guest"], vec![]), "{}", chain.name),
            }
        }
        // Names that we never set: NGINX cannot remove them, and so Countersign refuses.
        for name in ["Countersign-Role", "countersign", "Countersign--Id"] {
            let request = Request::get("/c").host("guests.jwt.test").header(name, "forged");
            let answer = chain.send(&request).await;
            if chain.name == "nginx" {
                assert_eq!(answer.status, 400, "{name}");
            } else {
                assert!(!answer.echoed().mentions("forged"), "{}: {name}", chain.name);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_plays_the_gateway_changes_no_decision() {
    for chain in Chain::all().await {
        let mut closed = Request::get("/c").host("jwt.test");
        for family in ["X-Original-", "X-Forwarded-", "x_original_", "X_Forwarded_"] {
            for (name, value) in [("Method", "GET"), ("Host", "jwt.test"), ("Uri", "/open/x")] {
                let name = format!("{family}{name}");
                closed = closed.header(&name, value).header(&name, value);
            }
        }
        let answer = chain.send(&closed).await;
        assert!(matches!(answer.status, 400 | 401), "{}: {}", chain.name, answer.status_line);
        assert!(chain.echo.take().is_empty(), "{}", chain.name);
        let judged = chain.send(&closed.bearer(&good("jwt"))).await;
        assert_eq!(judged.status, 200, "{}: {}", chain.name, judged.text());
        assert_eq!(judged.echoed().target, "/c", "{}", chain.name);
        let open = Request::get("/open/x").host("jwt.test");
        assert_eq!(chain.echoed(&open).await.header("countersign-reason"), Some("not_checked"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_come_as_guests_and_claims_only_as_claims() {
    for chain in Chain::all().await {
        let claims = Request::get("/c?user_id=admin").host("guests.user-hash.test");
        let echoed = chain.echoed(&claims).await;
        assert_eq!(echoed.header("countersign-status"), Some("guest"), "{}", chain.name);
        assert_eq!(echoed.header("countersign-reason"), Some("unsigned"), "{}", chain.name);
        assert_eq!(echoed.target.trim_end_matches('?'), "/c", "{}", chain.name);
        assert_eq!(echoed.claimed(), Some(json!({ "user_id": "admin" })), "{}", chain.name);
        let forged = dialect("user-hash").presents(Presented::Tampered, "/c").0;
        let answer = chain.send(&forged.host("guests.user-hash.test")).await;
        assert_eq!(answer.status, 401, "{}", chain.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_query_and_cookie_only_the_credential_goes() {
    for chain in Chain::all().await {
        let token = good("zendesk-chat");
        let host = "zendesk-chat.test";
        let query = Request::get(&format!("/c/%20;x?a=%7e+b&jwt={token}&c")).host(host);
        let referer = format!("https://www.acme.test/?jwt={token}&d=1");
        let echoed = chain.echoed(&query.header("Referer", &referer)).await;
        assert_eq!(echoed.target, "/c/%20;x?a=%7e+b&c", "{}", chain.name);
        assert_eq!(echoed.header("referer"), Some("https://www.acme.test/?d=1"), "{}", chain.name);
        // Nothing has to be cut: then the target is what was judged, byte for byte.
        let odd = "/c/%7e!/%3b?a={env.HOME}&b=%7e+";
        let echoed = chain.echoed(&Request::get(odd).host(host).bearer(&token)).await;
        assert_eq!(echoed.target, odd, "{}", chain.name);
        // And where something has, no gateway reads anything into the rest.
        let cut = Request::get(&format!("/c?a={{env.HOME}}&jwt={token}")).host(host);
        let target = chain.echoed(&cut).await.target;
        let expected = ["/c?a={env.HOME}", "/c?a=%7Benv.HOME%7D"];
        assert!(expected.contains(&target.as_str()), "{}: {target}", chain.name);
        let cookie = format!("a=1; countersign_jwt={token}; b=\"2\"");
        let echoed = chain.echoed(&Request::get("/c").host(host).header("Cookie", &cookie)).await;
        assert_eq!(echoed.all("cookie"), ["a=1; b=\"2\""], "{}", chain.name);
        assert_eq!(echoed.header("countersign-id"), Some("u-1001"), "{}", chain.name);
        // Somebody else's credential is the backend's business.
        let basic =
            Request::get("/c").host("guests.jwt.test").header("Authorization", "Basic YTpi");
        let echoed = chain.echoed(&basic).await;
        assert_eq!(echoed.all("authorization"), ["Basic YTpi"], "{}", chain.name);
        let body = Request::post("/c", "text/plain", "hello").host("jwt.test").bearer(&good("jwt"));
        assert_eq!(chain.echoed(&body).await.body, "hello", "{}", chain.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_opens_for_whoever_proves_who_he_is() {
    for chain in Chain::all().await {
        let refused = Socket::open(chain.gateway.address, &handshake("/ws", "jwt.test")).await;
        assert_eq!(refused.err().map(|answer| answer.status), Some(401), "{}", chain.name);
        assert!(chain.echo.take().is_empty(), "{}", chain.name);
        let offer = format!("chat, countersign.jwt.{}", good("jwt"));
        let shaken = handshake("/ws", "jwt.test").header("Sec-WebSocket-Protocol", &offer);
        let opened = Socket::open(chain.gateway.address, &shaken).await;
        let mut socket = opened.unwrap_or_else(|answer| panic!("{}: {answer:?}", chain.name));
        socket.echoes("hello").await.expect("an echo");
        let received = chain.echo.take();
        assert_eq!(received[0].header("countersign-id"), Some("u-1001"), "{}", chain.name);
        assert_eq!(received[0].header("sec-websocket-protocol"), Some("chat"), "{}", chain.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_judge_nobody_is_let_in() {
    for Chain { name, gateway, judge, echo } in Chain::all().await {
        drop(judge);
        let request = Request::get("/c").host("guests.jwt.test").bearer(&good("jwt"));
        let answer = request.send(gateway.address).await;
        assert!((500..=504).contains(&answer.status), "{name}: {}", answer.status_line);
        assert!(echo.take().is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_of_its_own_goes_with_its_credential_and_stays_without() {
    for chain in Chain::all().await {
        for (site, field) in [("own-field", "X-User-Key"), ("other-field", "X-Amz-Security-Token")]
        {
            let request = Request::get("/c").host(&format!("{site}.test"));
            let echoed = chain.echoed(&request.header(field, &good("jwt"))).await;
            assert_eq!(echoed.header("countersign-id"), Some("u-1001"), "{}", chain.name);
            assert!(echoed.all(field).is_empty(), "{}: {field} stays", chain.name);
        }
        // What is not judged is not touched, and no claim of anybody's where it claims nothing.
        for (path, host) in [("/open/x", "user-hash.test"), ("/c", "guests.jwt.test")] {
            let request = Request::get(path).host(host).header("X-User-Id", "u-7");
            let echoed = chain.echoed(&request).await;
            assert_eq!(echoed.all("x-user-id"), ["u-7"], "{}: {path}", chain.name);
        }
        let claims = Request::get("/c").host("guests.user-hash.test").header("X-User-Id", "u-7");
        assert!(chain.echoed(&claims).await.all("x-user-id").is_empty(), "{}", chain.name);
        // In a spelling that no recipe names it is refused, unless the gateway drops such names.
        let answer = chain.send(&claims.header("X_User_Id", "forged")).await;
        let said = answer.text();
        assert!(!said.to_lowercase().contains("[\"x_user_id\""), "{}: {said}", chain.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_sends_is_its_own_fault_and_ends_nothing() {
    for chain in Chain::all().await {
        let request = || Request::get("/c").host("jwt.test");
        for count in 70..=103 {
            let many = |request: Request, index| request.header(&format!("X-{index}"), "y");
            let answer = (0..count).fold(request(), many).try_send(chain.gateway.address).await;
            let status = answer.ok().map(|answer| answer.status);
            let expected = matches!(status, Some(400 | 401 | 431));
            assert!(expected, "{}: {count} fields: {status:?}", chain.name);
        }
        let large = request().header("X-Large", &"y".repeat(40_000));
        let status = large.try_send(chain.gateway.address).await.ok().map(|answer| answer.status);
        assert!(matches!(status, Some(400 | 414 | 431) | None), "{}: {status:?}", chain.name);
        for (method, target) in [("GET", "/a#b"), ("GET", "/\u{fc}"), ("OPTIONS", "*")] {
            let odd = Request::new(method, target).host("jwt.test");
            let answer = odd.send(chain.gateway.address).await;
            // Those that take a fragment off, or encode, judge what they forward.
            assert!((200..500).contains(&answer.status), "{}: {target}", chain.name);
        }
        let good = chain.echoed(&request().bearer(&good("jwt"))).await;
        assert_eq!(good.header("countersign-id"), Some("u-1001"), "{}", chain.name);
        let log = chain.judge.log();
        assert!(!log.contains("was no question"), "{}: {log}", chain.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_that_speak_in_our_name_do_not_reach_the_backend_if_the_gateway_can_help_it() {
    for chain in Chain::all().await {
        for announced in ["", "Trailer: Countersign-Id\r\n"] {
            // HAProxy before 3.2 forwards what comes unannounced: README.md says so.
            if chain.name == "haproxy" && announced.is_empty() {
                continue;
            }
            let mut connection = Connection::open(chain.gateway.address).await;
            let request = format!(
                "POST /c HTTP/1.1\r\nHost: guests.jwt.test\r\nContent-Type: text/plain\r\n\
                 {announced}Transfer-Encoding: chunked\r\n\r\n\
                 2\r\nhi\r\n0\r\nCountersign-Id: forged\r\n\r\n"
            );
            connection.send(request.as_bytes()).await;
            let answer = connection.response().await.expect("an answer");
            let expected = if chain.name == "haproxy" { 400 } else { 200 };
            assert_eq!(answer.status, expected, "{}: {announced}", chain.name);
            assert!(!answer.text().contains("forged"), "{}: {}", chain.name, answer.text());
        }
    }
}

#[test]
fn recipes_name_every_field_that_dialects_have_to_themselves() {
    let files = [
        ("nginx", "nginx.conf"),
        ("caddy", "Caddyfile"),
        ("traefik", "dynamic.yaml"),
        ("envoy", "envoy.yaml"),
    ];
    for (gateway, file) in files {
        let text = recipe(gateway, file).to_lowercase();
        for name in CARRIED {
            let is_named = match gateway {
                "nginx" => text.contains(&format!("proxy_set_header {name} $")),
                "envoy" => text.contains(&format!("{{ exact: {name}, ignore_case: true }}")),
                _ => text.lines().any(|line| line.trim().trim_start_matches("- ") == name),
            };
            assert!(is_named, "{gateway}/{file}: {name}");
        }
    }
    for (dialect, text) in BUILTIN {
        let value: serde_yaml::Value = serde_yaml::from_str(text).expect("YAML");
        for name in header_names(&value) {
            let name = name.to_lowercase();
            assert!(CARRIED.contains(&name.as_str()), "{dialect}: {name}");
        }
    }
}

/// Every name under a `header` that is no list (that is a token's).
fn header_names(value: &serde_yaml::Value) -> Vec<String> {
    let text = |value: &serde_yaml::Value| value.as_str().map(str::to_owned);
    match value {
        serde_yaml::Value::Mapping(members) => members
            .iter()
            .flat_map(|(key, value)| match (key.as_str(), value) {
                (Some("header"), serde_yaml::Value::Mapping(names)) => {
                    names.values().filter_map(text).collect()
                }
                (Some("header"), serde_yaml::Value::String(name)) => vec![name.clone()],
                _ => header_names(value),
            })
            .collect(),
        serde_yaml::Value::Sequence(entries) => entries.iter().flat_map(header_names).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn nginx_can_give_every_status_that_countersign_refuses_with() {
    let nginx = recipe("nginx", "nginx.conf");
    let faults = Fault::ALL.iter().map(|fault| fault.status());
    let reasons = Reason::ALL.iter().map(|reason| reason.status());
    for status in faults.chain(reasons).filter(|status| *status != 403) {
        let line = format!("if ($countersign_refused = {status}) {{ return {status}; }}");
        assert!(nginx.lines().any(|found| found.trim() == line), "nginx.conf: {line}");
    }
}

#[test]
fn recipes_that_must_name_every_header_name_every_header() {
    let (nginx, caddy) = (recipe("nginx", "nginx.conf"), recipe("caddy", "Caddyfile"));
    for (name, spelled) in SPELLINGS {
        let variable = name.replace('-', "_");
        for line in [
            format!("auth_request_set ${variable} $upstream_http_{variable};"),
            format!("proxy_set_header {spelled} ${variable};"),
        ] {
            assert!(nginx.lines().any(|found| found.trim() == line), "nginx.conf: {line}");
        }
        assert!(caddy.lines().any(|found| found.trim() == *spelled), "Caddyfile: {spelled}");
    }
}
