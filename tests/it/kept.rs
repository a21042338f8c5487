//! What an operator changes through the admin API, and what is left of it after a crash.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{ADMIN_TOKEN, Gateway, Setup};
use crate::support::raw::{Connection, Request};
use crate::support::sign;
use crate::support::websocket::{Socket, handshake};

const HOST: &str = "chat.test";
/// Where the bans of the first site are.
pub const BANS: &str = "/v1/sites/chat/bans";

/// A site of tokens and one of hashes, remembered in that folder.
pub fn setup(echo: &Echo, folder: &Path) -> Setup {
    let upstream = format!("http://{}", echo.address);
    let mut sites = dialect("jwt").site("chat", HOST, &upstream, "prefer");
    sites += &dialect("user-hash").site("hashes", "hashes.test", &upstream, "prefer");
    let store = format!("store: {{ embedded: {{ path: {} }} }}", folder.display());
    Setup::new(sites).top(&store)
}

fn token(id: &str) -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, id, 5)
}

/// The status of a request that proves to be somebody.
async fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.send(&Request::get("/c").host(HOST).bearer(token)).await.status
}

/// Bans somebody; the answer's status.
pub async fn ban(gateway: &Gateway, id: &str) -> u16 {
    gateway.ask("PUT", &format!("{BANS}/{id}")).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_banned_is_out_on_every_device_until_the_ban_is_lifted() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    let gateway = setup(&echo, folder.path()).start().await;
    let open = async |id: &str| {
        let upgrade = handshake("/ws", HOST).bearer(&token(id));
        Socket::open(gateway.address, &upgrade).await.expect("an upgrade")
    };
    let (mut ada, _bob) = (open("ada").await, open("bob").await);
    let body = r#"{"reason": "ticket 4711", "until": "2999-12-24T00:00:00Z"}"#;
    let made = gateway.say("PUT", &format!("{BANS}/ada"), body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["until"], "2999-12-24T00:00:00Z");
    assert_eq!(ada.farewell().await, (3003, "banned".to_owned()));
    let refused = gateway.send(&Request::get("/c").host(HOST).bearer(&token("ada"))).await;
    assert_eq!((refused.status, refused.code()), (403, "banned".to_owned()));
    assert!(!refused.text().contains("4711"), "the visitor is not told why");
    assert_eq!(status(&gateway, &token("bob")).await, 200);
    let connections = gateway.ask("GET", "/v1/sites/chat/connections").await.json();
    let [left] = connections["connections"].as_array().unwrap().as_slice() else {
        panic!("{connections}");
    };
    assert_eq!(left["id"], "bob");
    let listed = gateway.ask("GET", BANS).await.json();
    assert_eq!(listed["bans"][0], made.json());
    assert_eq!(gateway.ask("DELETE", &format!("{BANS}/ada")).await.status, 204);
    assert_eq!(status(&gateway, &token("ada")).await, 200);
    let audit = gateway.log_line("\"action\":\"ban\"").await;
    let audit: Value = serde_json::from_str(&audit).unwrap();
    for (field, value) in
        [("target", "audit"), ("by", "admin"), ("identity", "ada"), ("why", "ticket 4711")]
    {
        assert_eq!(audit[field], value, "{field}");
    }
    assert!(audit["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{audit}");
    gateway.log_line("\"action\":\"unban\"").await;
    assert!(!gateway.log().contains(ADMIN_TOKEN));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_takes_back_what_was_issued_before_it() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    let gateway = setup(&echo, folder.path()).start().await;
    let old = token("ada");
    // A token that does not say when it was issued, and one such that nobody has seen yet.
    let undated = |n: u32| {
        let claims = json!({"sub": "ada", "exp": sign::now() + 300, "n": n});
        sign::token(dialect("jwt").secret, &claims)
    };
    let (seen, unseen) = (undated(1), undated(2));
    for token in [&old, &seen] {
        assert_eq!(status(&gateway, token).await, 200);
    }
    let answer = gateway.say("POST", "/v1/sites/chat/logouts", r#"{"id": "ada"}"#).await;
    assert_eq!(answer.status, 200);
    let told = answer.json();
    assert_eq!(told["revoked"], "before");
    assert!(told["time"].as_u64().unwrap() >= sign::now() - 5, "{told}");
    for token in [&old, &seen] {
        let request = Request::get("/c").host(HOST).bearer(token);
        assert_eq!(gateway.send(&request).await.code(), "revoked");
    }
    assert_eq!(status(&gateway, &unseen).await, 200);
    let hashes = gateway.say("POST", "/v1/sites/hashes/logouts", r#"{"id": "ada"}"#).await;
    assert_eq!(hashes.json(), json!({"revoked": "sessions"}));
    let visitor = gateway.ask("GET", "/v1/sites/chat/visitors/ada").await.json();
    assert_eq!(visitor["logged_out"], told["time"]);
    assert_eq!(gateway.ask("DELETE", "/v1/sites/chat/visitors/ada").await.status, 204);
}

/// All that an operator can see of two visitors: one who was banned before, and one of whom
/// nothing is known but an open connection.
async fn known(gateway: &Gateway) -> Vec<Value> {
    let mut known = Vec::new();
    for path in ["bans", "visitors/ada", "visitors/bob", "connections"] {
        known.push(gateway.ask("GET", &format!("/v1/sites/chat/{path}")).await.json());
    }
    known
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_makes_no_sense_changes_nothing() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    let gateway = setup(&echo, folder.path()).start().await;
    assert_eq!(ban(&gateway, "ada").await, 201);
    let upgrade = handshake("/ws", HOST).bearer(&token("bob"));
    let mut bob = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
    let before = known(&gateway).await;
    let long = "a".repeat(257);
    let long_reason = json!({ "reason": "x".repeat(1025) }).to_string();
    let cases = [
        // Times.
        ("PUT", "bans/bob", r#"{"until": "2020-01-01T00:00:00Z"}"#),
        ("PUT", "bans/ada", r#"{"until": "soon"}"#),
        ("PUT", "bans/ada", r#"{"until": "2999-12-24"}"#),
        ("PUT", "bans/ada", r#"{"until": "2999-13-24T00:00:00Z"}"#),
        ("PUT", "bans/ada", r#"{"until": 4102444800}"#),
        // Bodies.
        ("PUT", "bans/bob", r#"{"for": "ever"}"#),
        ("PUT", "bans/bob", "{"),
        ("PUT", "bans/bob", "[]"),
        ("PUT", "bans/bob", r#"["spam", null]"#),
        ("PUT", "bans/bob", "{} {}"),
        ("PUT", "bans/bob", "reason=spam"),
        ("PUT", "bans/bob", "\u{0}"),
        ("PUT", "bans/ada", &long_reason),
        ("PUT", "bans/bob", r#"{"reason": "a", "reason": "b"}"#),
        ("POST", "logouts", ""),
        ("POST", "logouts", "bob"),
        ("POST", "logouts", r#"{"id": 7}"#),
        ("POST", "logouts", r#"{"id": null}"#),
        ("POST", "logouts", r#"["bob"]"#),
        ("POST", "logouts", r#"{"id": "bob", "at": 0}"#),
        ("POST", "logouts", r#"{"id": "bob", "id": "ada"}"#),
        // Ids.
        ("POST", "logouts", r#"{"id": ""}"#),
        ("POST", "logouts", r#"{"id": "bob\u0000"}"#),
        ("POST", "logouts", &json!({ "id": long }).to_string()),
        ("PUT", "bans/", "{}"),
        ("PUT", "bans/%zz", "{}"),
        ("PUT", "bans/%00", "{}"),
        ("PUT", "bans/%ff", "{}"),
        ("PUT", &format!("bans/{long}"), "{}"),
        ("DELETE", "bans/%ff", ""),
        ("DELETE", "visitors/%0a", ""),
        ("DELETE", "visitors/%zz", ""),
    ];
    for (method, path, body) in cases {
        let answer = gateway.say(method, &format!("/v1/sites/chat/{path}"), body).await;
        let said = (answer.status, answer.code());
        assert_eq!(said, (400, "bad_request".to_owned()), "{method} {path} {body}");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty(), "{method} {path} {body}");
    }
    // What is not there, not allowed, or too much.
    let large = json!({ "id": "bob", "more": "x".repeat(1 << 20) }).to_string();
    for (method, path, body, status) in [
        ("PUT", "/v1/sites/nobody/bans/bob", "{}", 404),
        ("DELETE", "/v1/sites/chat/connections/9999", "", 404),
        ("DELETE", "/v1/sites/chat/connections/-1", "", 404),
        ("DELETE", "/v1/sites/chat/connections/one", "", 404),
        ("DELETE", "/v1/sites/chat/bans", "", 405),
        ("DELETE", "/v1/sites/chat/logouts", "", 405),
        ("POST", "/v1/sites/chat/visitors/bob", "{}", 405),
        ("POST", "/v1/sites/chat/logouts", &large, 413),
    ] {
        let answer = gateway.say(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(known(&gateway).await, before);
    bob.echoes("still here").await.expect("an echo");
    assert_eq!(gateway.log().matches("\"target\":\"audit\"").count(), 1, "{}", gateway.log());
    // The connection is in step after a 204 and a body.
    let mut connection = Connection::open(gateway.admin).await;
    for (method, status) in [("PUT", 201), ("DELETE", 204), ("DELETE", 404)] {
        let request = Request::new(method, &format!("{BANS}/J%C3%BCrgen%2F1"))
            .host("localhost")
            .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
            .body(if method == "PUT" { "{}" } else { "" });
        let answer = connection.exchange(&request).await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ban_that_was_acknowledged_survives_kill_9() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    let mut gateway = setup(&echo, folder.path()).start().await;
    let killed = Arc::new(AtomicBool::new(false));
    let admin = gateway.admin;
    let workers = (0..8).map(|worker| {
        let killed = killed.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            // As many as it takes to be in the middle of it.
            for n in (worker..100_000).step_by(8) {
                let request = Request::new("PUT", &format!("{BANS}/u-{n}"))
                    .host("localhost")
                    .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"));
                match request.try_send(admin).await {
                    Ok(answer) if answer.status == 201 => acknowledged.push(format!("u-{n}")),
                    Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                    Err(_) if killed.load(Ordering::Acquire) => break,
                    Err(error) => panic!("before the end: {error}"),
                }
            }
            acknowledged
        })
    });
    let workers: Vec<_> = workers.collect();
    let writes = [("op", "write")];
    let metric = "countersign_store_operation_duration_seconds_count";
    gateway.metric_reaches(metric, &writes, 1000.0).await;
    killed.store(true, Ordering::Release);
    gateway.signal("KILL");
    gateway.ended(Duration::from_secs(5)).await;
    let mut acknowledged = Vec::new();
    for worker in workers {
        acknowledged.extend(worker.await.unwrap());
    }
    assert!(acknowledged.len() >= 990, "{}", acknowledged.len());
    let again = setup(&echo, folder.path()).start().await;
    let listed = again.ask("GET", BANS).await.json();
    let listed: std::collections::HashSet<_> =
        listed["bans"].as_array().unwrap().iter().map(|ban| ban["id"].as_str().unwrap()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !listed.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let again = &again;
    let refused = acknowledged.chunks(acknowledged.len().div_ceil(8)).map(|ids| async move {
        let mut connection = again.connect().await;
        for id in ids {
            let request = Request::get("/c").host(HOST).bearer(&token(id));
            let answer = connection.exchange(&request).await.expect("an answer");
            assert_eq!((answer.status, answer.code()), (403, "banned".to_owned()), "{id}");
        }
    });
    futures_util::future::join_all(refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_changes_serves_visitors_and_recovers() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    // Beyond the limit a write fails with EFBIG, as one on a full disk does with ENOSPC.
    let gateway = setup(&echo, folder.path()).before("trap '' XFSZ").start().await;
    let limit = |bytes: &str| {
        let (pid, limit) = (gateway.id().to_string(), format!("--fsize={bytes}:unlimited"));
        let done = Command::new("prlimit").args(["--pid", &pid, &limit]).status();
        assert!(done.is_ok_and(|status| status.success()), "prlimit");
    };
    assert_eq!(ban(&gateway, "before").await, 201);
    limit("0");
    let refused = gateway.ask("PUT", &format!("{BANS}/ada")).await;
    assert_eq!((refused.status, refused.code()), (503, "store_unavailable".to_owned()));
    assert_eq!(gateway.ask("GET", &format!("{BANS}/ada")).await.status, 404);
    assert_eq!(gateway.ask("DELETE", &format!("{BANS}/before")).await.status, 503);
    let nothing: [(&str, &str); 0] = [];
    assert_eq!(gateway.metrics().await.sum("countersign_store_up", &nothing), 0.0);
    let ready = gateway.ask("GET", "/readyz?verbose").await;
    let report = ready.json();
    assert_eq!((ready.status, &report["status"]), (200, &json!("degraded")));
    assert_eq!(report["checks"]["store"]["ok"], false, "{report}");
    // Judged by what is known.
    assert_eq!(status(&gateway, &token("ada")).await, 200);
    assert_eq!(status(&gateway, &token("before")).await, 403);
    limit("unlimited");
    gateway.metric_reaches("countersign_store_up", &nothing, 1.0).await;
    assert_eq!(ban(&gateway, "ada").await, 201);
    assert_eq!(gateway.ask("GET", "/readyz").await.json()["status"], "ready");
    gateway.log_line("the store can be written again").await;
    drop(gateway);
    let again = setup(&echo, folder.path()).start().await;
    let listed = again.ask("GET", BANS).await.json();
    let ids: Vec<_> = listed["bans"].as_array().unwrap().iter().map(|ban| &ban["id"]).collect();
    assert_eq!(ids, [&json!("ada"), &json!("before")]);
}
