//! `countersign doctor` before chains that hold, and before each way in which one may not.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::cli::{code, countersign, stderr, stdout, written};
use crate::support::cases::{DIALECTS, dialect};
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::ports;
use crate::support::raw::Request;

const HOST: &str = "chat.test";

/// What the doctor said of a running gateway's own configuration.
struct Visit {
    code: i32,
    report: Value,
}

impl Visit {
    async fn of(config: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = ["doctor", "--json", "--config", config]
            .iter()
            .chain(arguments)
            .map(|argument| argument.to_string())
            .collect();
        let run = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            countersign(&arguments)
        };
        let output = tokio::task::spawn_blocking(run).await.expect("no panic");
        let report = serde_json::from_slice(&output.stdout);
        let said = format!("{}{}", stdout(&output), stderr(&output));
        Self { code: code(&output), report: report.unwrap_or_else(|_| panic!("{said}")) }
    }

    async fn to(gateway: &Gateway, arguments: &[&str]) -> Self {
        let config = gateway.path("countersign.yaml");
        Self::of(&config.display().to_string(), arguments).await
    }

    /// State and detail of every check of this name.
    fn all(&self, name: &str) -> Vec<(String, String)> {
        let checks = self.report["checks"].as_array().expect("checks");
        let text = |check: &Value, member: &str| check[member].as_str().unwrap().to_owned();
        let named = checks.iter().filter(|check| check["name"] == name);
        named.map(|check| (text(check, "state"), text(check, "detail"))).collect()
    }

    fn state(&self, name: &str) -> String {
        let all = self.all(name);
        let [(state, _)] = &all[..] else { panic!("one {name}: {:#}", self.report) };
        state.clone()
    }

    fn detail(&self, name: &str) -> String {
        self.all(name).into_iter().map(|(_, detail)| detail).collect::<Vec<_>>().join("; ")
    }

    fn findings(&self) -> Vec<&str> {
        let checks = self.report["checks"].as_array().expect("checks");
        let found = checks.iter().filter(|check| check["state"] == "finding");
        found.map(|check| check["name"].as_str().unwrap()).collect()
    }
}

/// A backend that believes nothing but `Countersign-Assertion`.
struct Careful {
    address: SocketAddr,
    keys: Arc<OnceLock<JwkSet>>,
}

impl Careful {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keys: Arc<OnceLock<JwkSet>> = Arc::default();
        let known = keys.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let known = known.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while crate::support::raw::find(&head, b"\r\n\r\n").is_none() {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let answer = match subject(&head, known.get()) {
                        Some(id) => format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nhello {id}",
                            id.len() + 6
                        ),
                        None => "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned(),
                    };
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, keys }
    }

    async fn learn(&self, gateway: &Gateway) {
        let request = Request::get("/.well-known/countersign/jwks.json").host(HOST);
        let keys = gateway.send(&request).await;
        self.keys.set(serde_json::from_slice(&keys.body).unwrap()).expect("once");
    }
}

/// Whom an assertion is of, if it holds.
fn subject(head: &str, keys: Option<&JwkSet>) -> Option<String> {
    let assertion = head.lines().find_map(|line| line.strip_prefix("Countersign-Assertion: "))?;
    let kid = jsonwebtoken::decode_header(assertion).ok()?.kid?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["chat"]);
    let key = DecodingKey::from_jwk(keys?.find(&kid)?).ok()?;
    let token = jsonwebtoken::decode::<Value>(assertion, &key, &validation).ok()?;
    Some(token.claims["sub"].as_str()?.to_owned())
}

fn chat(upstream: &str, mode: &str) -> Setup {
    Setup::new(dialect("zendesk-chat").site("chat", HOST, upstream, mode))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_whose_backend_checks_the_assertion_is_sound() {
    let backend = Careful::start().await;
    let store = tempfile::tempdir().unwrap();
    let gateway = chat(&format!("http://{}", backend.address), "require")
        .top("assertion: {}")
        .top(&format!("store: {{ embedded: {{ path: {} }} }}", store.path().display()))
        .start()
        .await;
    backend.learn(&gateway).await;
    let visit = Visit::to(&gateway, &["--site", "chat", "--path", "/me"]).await;
    assert_eq!((visit.code, visit.findings()), (0, vec![]), "{:#}", visit.report);
    for name in [
        "modes",
        "keys",
        "ready",
        "in force",
        "gateway",
        "guest",
        "forged",
        "signed",
        "altered",
        "assertion",
        "backend",
        "spoofing",
        "bypass",
    ] {
        assert_eq!(visit.state(name), "ok", "{name}: {:#}", visit.report);
    }
    assert!(visit.all("clock").iter().all(|(state, _)| state == "ok"));
    assert_eq!(visit.report["sound"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_believes_whoever_asks_it_is_a_finding_that_can_be_accepted() {
    let echo = Echo::start().await;
    let gateway = chat(&format!("http://{}", echo.address), "prefer").start().await;
    let visit = Visit::to(&gateway, &[]).await;
    assert_eq!((visit.code, visit.findings()), (1, vec!["bypass"]), "{:#}", visit.report);
    assert!(visit.detail("bypass").contains("believes made-up"), "{:#}", visit.report);
    assert_eq!(visit.state("backend"), "ok", "the echo shows what it got");
    assert_eq!(visit.state("spoofing"), "ok");
    let accepted = Visit::to(&gateway, &["--allow", "bypass"]).await;
    assert_eq!((accepted.code, accepted.state("bypass").as_str()), (0, "warning"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_shows_nobody_tells_nothing() {
    let echo = Echo::start().await;
    echo.will_say("/", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    let gateway = chat(&format!("http://{}", echo.address), "prefer").start().await;
    let visit = Visit::to(&gateway, &[]).await;
    for name in ["backend", "spoofing", "bypass"] {
        assert_eq!(visit.state(name), "unknown", "{:#}", visit.report);
    }
    assert_eq!(visit.code, 0, "{:#}", visit.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_dialect_has_a_visitor_signed_for_who_is_told_from_an_altered_one() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let site = |dialect: &crate::support::cases::Dialect| {
        dialect.site(dialect.name, &format!("{}.test", dialect.name), &upstream, "require")
    };
    let gateway = Setup::new(DIALECTS.iter().map(site).collect::<String>()).start().await;
    for dialect in &DIALECTS {
        let visit = Visit::to(&gateway, &["--site", dialect.name]).await;
        for name in ["guest", "signed", "altered", "backend", "spoofing"] {
            assert_eq!(visit.state(name), "ok", "{} {name}: {:#}", dialect.name, visit.report);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_at_the_gateway_cannot_be_told() {
    let echo = Echo::start().await;
    let (_folder, config) = written(&format!(
        "version: 1\nlisteners: [ {{ address: \"{}\" }} ]\nadmin: off\nsites:\n{}",
        ports::free(),
        dialect("jwt").site("chat", HOST, &format!("http://{}", echo.address), "require"),
    ));
    let visit = Visit::of(&config, &[]).await;
    assert_eq!(visit.code, 2, "{:#}", visit.report);
    assert_eq!(visit.report["reached"], false);
    let bad = tokio::task::spawn_blocking(move || {
        countersign(&["doctor", "--config", &config, "--site", "nowhere"])
    });
    assert_eq!(code(&bad.await.unwrap()), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_else_at_the_gateways_address_is_a_finding() {
    let echo = Echo::start().await;
    let gateway = chat(&format!("http://{}", echo.address), "prefer").start().await;
    let url = format!("http://{}", echo.address);
    let visit = Visit::to(&gateway, &["--url", &url]).await;
    assert_eq!((visit.code, visit.state("gateway").as_str()), (1, "finding"));
    let other = Visit::to(&gateway, &["--host", "another.test"]).await;
    assert_eq!(other.state("gateway"), "finding", "{:#}", other.report);
    assert!(other.detail("gateway").contains("no site"), "{:#}", other.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_down_is_a_finding() {
    let gateway = chat(&format!("http://{}", ports::free()), "prefer").start().await;
    let visit = Visit::to(&gateway, &[]).await;
    assert_eq!((visit.code, visit.findings()), (1, vec!["backend"]), "{:#}", visit.report);
    assert_eq!(visit.state("bypass"), "unknown", "nor does the gateway get to it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_can_be_told_nothing_is_sound() {
    let pair = countersign::dialect::fresh::pair(countersign::dialect::Algorithm::ES256).unwrap();
    let echo = Echo::start().await;
    echo.will_say("/", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    let site = format!(
        "  chat: {{ hosts: [{HOST}], upstream: \"http://{}\", dialect: jwt, \
         keys: [ {{ id: k1, public_key: {{ file: k1.pem }} }} ] }}\n",
        echo.address
    );
    let setup = Setup::new(site).file("k1.pem", pair.public.as_bytes()).top("verbs: off");
    let gateway = setup.start().await;
    let visit = Visit::to(&gateway, &[]).await;
    assert_eq!((visit.code, visit.findings()), (2, vec![]), "{:#}", visit.report);
    assert_eq!(visit.report["told"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_token_is_for_nobody_else_who_listens_there() {
    let echo = Echo::start().await;
    let (_folder, config) = written(&format!(
        "version: 1\nlisteners: [ {{ address: \"{}\" }} ]\n\
         admin: {{ address: \"{}\", token: {{ value: a-token-for-countersign-alone }} }}\nsites:\n{}",
        ports::free(),
        echo.address,
        dialect("jwt").site("chat", HOST, "http://127.0.0.1:9", "require"),
    ));
    let visit = Visit::of(&config, &[]).await;
    assert_eq!(visit.state("in force"), "unknown", "{:#}", visit.report);
    let received = echo.received();
    assert!(!received.is_empty(), "it was asked");
    assert!(received.iter().all(|one| one.header("Authorization").is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mode_that_gives_no_security_is_a_finding() {
    let echo = Echo::start().await;
    let gateway = chat(&format!("http://{}", echo.address), "accept").start().await;
    let visit = Visit::to(&gateway, &["--allow", "bypass"]).await;
    assert_eq!((visit.code, visit.findings()), (1, vec!["modes"]), "{:#}", visit.report);
    assert_eq!(visit.state("altered"), "ok", "a guest, as `accept` says");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_about_to_lapse_needs_a_successor() {
    let echo = Echo::start().await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(70);
    let site = |more: &str| {
        format!(
            "  chat:\n    hosts: [{HOST}]\n    upstream: http://{}\n    dialect: zendesk-chat\n    \
             keys: [ {{ id: old, secret: {{ value: old-secret-of-the-tests-0123456789 }}, \
             not_after: {soon} }}{more} ]\n",
            echo.address
        )
    };
    let gateway = Setup::new(site("")).start().await;
    let visit = Visit::to(&gateway, &["--allow", "bypass"]).await;
    assert_eq!((visit.code, visit.findings()), (1, vec!["keys"]), "{:#}", visit.report);
    assert!(visit.detail("keys").starts_with("key old lapses in 2 days"), "{:#}", visit.report);

    let next = ", { id: new, secret: { value: new-secret-of-the-tests-0123456789 } }";
    let gateway = Setup::new(site(next)).start().await;
    let visit = Visit::to(&gateway, &["--allow", "bypass"]).await;
    assert_eq!((visit.code, visit.state("keys").as_str()), (0, "warning"), "{:#}", visit.report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_has_not_taken_the_file_in_is_a_finding() {
    let echo = Echo::start().await;
    let gateway = chat(&format!("http://{}", echo.address), "prefer").start().await;
    let running = gateway.config();
    let (_folder, config) = written(
        &running.replace("id: k1", "id: k2").replace("zendesk-secret-of", "another-secret-of"),
    );
    let visit = Visit::of(&config, &["--allow", "bypass"]).await;
    assert_eq!(visit.code, 1, "{:#}", visit.report);
    let detail = visit.detail("in force");
    assert!(detail.contains("lacks k2") && detail.contains("still has k1"), "{detail}");
    assert_eq!(visit.state("signed"), "finding", "signed with the other key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_keys_need_their_other_half() {
    let echo = Echo::start().await;
    let pair = countersign::dialect::fresh::pair(countersign::dialect::Algorithm::ES256).unwrap();
    let site = format!(
        "  chat: {{ hosts: [{HOST}], upstream: \"http://{}\", dialect: jwt, mode: require, \
         keys: [ {{ id: k1, public_key: {{ file: k1.pem }} }} ] }}\n",
        echo.address
    );
    let gateway = Setup::new(site).file("k1.pem", pair.public.as_bytes()).start().await;
    let visit = Visit::to(&gateway, &[]).await;
    assert_eq!(visit.state("signed"), "unknown", "{:#}", visit.report);
    let private = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(private.path(), pair.private.expose()).unwrap();
    let file = private.path().display().to_string();
    let visit = Visit::to(&gateway, &["--private-key", &file]).await;
    assert_eq!(visit.state("signed"), "ok", "{:#}", visit.report);
}
