//! Keys that come from elsewhere: from a URL, from a file, from a folder.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::key_server::{KeyServer, Signer, set};
use crate::support::raw::{Request, Response};
use crate::support::websocket::{Socket, handshake};
use crate::support::{PATIENCE, eventually, sign};

/// One site with these keys.
fn site(name: &str, upstream: &str, mode: &str, keys: &str) -> String {
    format!(
        "  {name}: {{ hosts: [{name}.test], upstream: \"{upstream}\", dialect: jwt, mode: {mode}, \
         keys: [ {keys} ] }}\n"
    )
}

fn fetching(name: &str, echo: &Echo, jwks: &str) -> Setup {
    let upstream = format!("http://{}", echo.address);
    Setup::new(site(name, &upstream, "prefer", &format!("{{ jwks: {{ {jwks} }} }}")))
}

async fn ask(gateway: &Gateway, host: &str, token: &str) -> Response {
    gateway.send(&Request::get("/c").host(&format!("{host}.test")).bearer(token)).await
}

/// `u-1 k1`: who was verified, and by which key; or the refusal's code.
async fn told(gateway: &Gateway, host: &str, token: &str) -> String {
    let answer = ask(gateway, host, token).await;
    if answer.status != 200 {
        return answer.code();
    }
    let echoed = answer.echoed();
    let header = |name| echoed.header(name).unwrap_or_default().to_owned();
    format!("{} {}", header("countersign-id"), header("countersign-key"))
}

async fn check(gateway: &Gateway, name: &str) -> (String, bool, String) {
    let answer = Request::get("/readyz?verbose").host("localhost").send(gateway.admin).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let report = answer.json();
    let check = &report["checks"][format!("jwks {name}")];
    let detail = check["detail"].as_str().unwrap_or_default().to_owned();
    let status = report["status"].as_str().unwrap_or_default().to_owned();
    (status, check["ok"].as_bool().unwrap_or_default(), detail)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_from_a_url_verify_and_are_shown() {
    let echo = Echo::start().await;
    let (k1, k2) = (Signer::new("k1"), Signer::new("k2"));
    let server = KeyServer::start(set(&[k1.jwk(), k2.jwk()])).await;
    let gateway = fetching("acme", &echo, &server.jwks("")).start().await;
    assert_eq!(told(&gateway, "acme", &k1.token("u-1")).await, "u-1 k1");
    assert_eq!(told(&gateway, "acme", &k2.token("u-2")).await, "u-2 k2");
    assert_eq!(server.asked(), 1);

    let keys = gateway.ask("GET", "/v1/sites/acme/keys").await.json();
    assert_eq!(keys["keys"][0]["id"], "k1");
    assert_eq!(keys["keys"][0]["algorithm"], "EdDSA");
    assert!(keys["keys"][0]["last_used"].is_string() && keys["keys"][0]["loaded_at"].is_string());
    let metrics = gateway.metrics().await;
    let fetches = |result| [("site", "acme"), ("result", result)];
    assert_eq!(metrics.sum("countersign_jwks_fetches_total", &fetches("success")), 1.0);
    assert_eq!(metrics.sum("countersign_jwks_fetches_total", &fetches("failure")), 0.0);
    let when = metrics.sum("countersign_jwks_last_success_timestamp_seconds", &[("site", "acme")]);
    assert!(when > 1e9, "{when}");
    assert_eq!(metrics.sum("countersign_keys", &[("state", "active")]), 2.0);
    eventually("readiness says so", PATIENCE, || async { check(&gateway, "acme").await.1 }).await;
    let (status, _, detail) = check(&gateway, "acme").await;
    assert_eq!(status, "ready");
    assert!(detail.contains("/keys.json: 2 keys, fetched ") && !detail.contains("v=1"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_kid_waits_for_one_fetch_that_all_share() {
    let echo = Echo::start().await;
    let (old, new, never) = (Signer::new("old"), Signer::new("new"), Signer::new("never"));
    let server = KeyServer::start(set(&[old.jwk()])).await;
    let gateway = fetching("acme", &echo, &server.jwks("")).start().await;
    assert_eq!(told(&gateway, "acme", &old.token("u-1")).await, "u-1 old");
    server.publish(set(&[new.jwk()]));
    let token = new.token("u-1");
    let all = (0..30).map(|_| told(&gateway, "acme", &token));
    let told_all = futures_util::future::join_all(all).await;
    assert!(told_all.iter().all(|told| told == "u-1 new"), "{told_all:?}");
    assert_eq!(server.asked(), 2);
    let waits = [("place", "jwks"), ("result", "success")];
    assert!(gateway.metrics().await.sum("countersign_network_waits_total", &waits) >= 1.0);
    // The old key has left the set: it proves nothing any more. Nobody is asked so soon.
    for token in [old.token("u-1"), never.token("u-1")] {
        let begun = Instant::now();
        assert_eq!(told(&gateway, "acme", &token).await, "unknown_key");
        assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    }
    assert_eq!(server.asked(), 2);
    let labels = [("key", "new"), ("result", "verified")];
    let counted = gateway.metrics().await.sum("countersign_key_verifications_total", &labels);
    assert_eq!(counted, 30.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_waits_for_a_new_key_too() {
    let echo = Echo::start().await;
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let server = KeyServer::start(set(&[old.jwk()])).await;
    let gateway = fetching("acme", &echo, &server.jwks("")).start().await;
    server.publish(set(&[old.jwk(), new.jwk()]));
    let upgrade = handshake("/ws", "acme.test").bearer(&new.token("u-1"));
    let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
    socket.echoes("hello").await.expect("an echo");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_hangs_holds_nobody_for_long() {
    let echo = Echo::start().await;
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let server = KeyServer::start(set(&[old.jwk()])).await;
    let gateway = fetching("acme", &echo, &server.jwks(", wait: 500ms")).start().await;
    server.hang();
    let begun = Instant::now();
    assert_eq!(told(&gateway, "acme", &new.token("u-1")).await, "unknown_key");
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(3), "{took:?}");
    let waits = [("place", "jwks"), ("result", "timeout")];
    gateway.metric_reaches("countersign_network_waits_total", &waits, 1.0).await;
    assert_eq!(told(&gateway, "acme", &old.token("u-1")).await, "u-1 old");
    let busy = gateway.metrics().await.sum("countersign_overhead_seconds_sum", &[]);
    assert!(busy < 0.45, "waiting is no time of our own: {busy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fetch_is_made_for_an_unknown_kid_where_none_may_wait() {
    let echo = Echo::start().await;
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let server = KeyServer::start(set(&[old.jwk()])).await;
    let gateway = fetching("acme", &echo, &server.jwks(", wait: 0s")).start().await;
    server.publish(set(&[new.jwk()]));
    assert_eq!(told(&gateway, "acme", &new.token("u-1")).await, "unknown_key");
    assert_eq!(server.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_with_a_set_its_keys_stay_in_force() {
    let echo = Echo::start().await;
    let (k1, evil) = (Signer::new("k1"), Signer::new("k1"));
    let other = KeyServer::start(set(&[evil.jwk()])).await;
    let server = KeyServer::start(set(&[k1.jwk()])).await;
    let gateway = fetching("acme", &echo, &server.jwks(", refresh: 1s")).start().await;
    let failures = [("site", "acme"), ("result", "failure")];
    let large = json!({ "keys": [k1.jwk()], "x": "x".repeat(300 * 1024) }).to_string();
    let cases: [(&str, &dyn Fn()); 5] = [
        ("status 500", &|| server.fail(500, "")),
        ("redirects are not followed", &|| server.fail(302, &format!("http://{}/", other.address))),
        ("not valid JSON", &|| server.publish("<html>".to_owned())),
        ("no key set", &|| server.publish(evil.jwk().to_string())),
        ("larger than 256 KiB", &|| server.publish(large.clone())),
    ];
    for (number, (problem, go_wrong)) in cases.into_iter().enumerate() {
        go_wrong();
        let least = number as f64 + 1.0;
        gateway.metric_reaches("countersign_jwks_fetches_total", &failures, least).await;
        eventually(problem, PATIENCE, || async {
            let (status, ok, detail) = check(&gateway, "acme").await;
            status == "degraded"
                && !ok
                && detail.contains(problem)
                && detail.contains("stay in force")
        })
        .await;
        assert_eq!(told(&gateway, "acme", &k1.token("u-1")).await, "u-1 k1", "{problem}");
        assert_eq!(told(&gateway, "acme", &evil.token("u-1")).await, "bad_signature", "{problem}");
    }
    assert_eq!(other.asked(), 0);
    server.publish(set(&[k1.jwk()]));
    eventually("ready again", PATIENCE, || async { check(&gateway, "acme").await.0 == "ready" })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_a_set_has_come_its_site_says_unavailable_and_the_others_are_untouched() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let signer = Signer::new("k1");
    let server = KeyServer::start(set(&[signer.jwk()])).await;
    server.fail(503, "");
    let secret = "jwt-secret-of-the-tests-0123456789-abc";
    let own = format!("{{ id: own, secret: {{ value: {secret} }} }}");
    let jwks = format!("{{ jwks: {{ {} }} }}", server.jwks(""));
    let sites = site("acme", &upstream, "prefer", &format!("{own}, {jwks}"))
        + &site("observe", &upstream, "observe", &jwks)
        + &site("other", &upstream, "require", &own);
    let gateway = Setup::new(sites).start().await;
    let answer = ask(&gateway, "acme", &signer.token("u-1")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    // What needs no fetched key is judged as ever.
    let claims = json!({ "sub": "u-1", "exp": sign::now() + 300 });
    let by_own = sign::token_by(secret, "own", &claims);
    assert_eq!(told(&gateway, "acme", &by_own).await, "u-1 own");
    assert_eq!(told(&gateway, "other", &by_own).await, "u-1 own");
    assert_eq!(told(&gateway, "acme", "eyJhbGciOiJub25lIn0.e30.").await, "unsupported_algorithm");
    let guest = gateway.send(&Request::get("/c").host("acme.test")).await.echoed();
    assert_eq!(guest.header("countersign-reason"), Some("missing"));
    let observed = ask(&gateway, "observe", &signer.token("u-1")).await.echoed();
    assert_eq!(observed.header("countersign-reason"), Some("unavailable"));
    let (status, ok, detail) = check(&gateway, "acme").await;
    assert_eq!((status.as_str(), ok), ("degraded", false));
    assert!(detail.contains("status 503") && detail.contains("no keys are in force"), "{detail}");
    // The first set that comes is in force.
    server.publish(set(&[signer.jwk()]));
    eventually("the set has come", PATIENCE, || async {
        told(&gateway, "acme", &signer.token("u-1")).await == "u-1 k1"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_have_been_stale_for_too_long_are_unavailable() {
    let echo = Echo::start().await;
    let signer = Signer::new("k1");
    let server = KeyServer::start(set(&[signer.jwk()])).await;
    let settings = server.jwks(", refresh: 1s, stale_for: 2s, wait: 0s");
    let gateway = fetching("acme", &echo, &settings).start().await;
    assert_eq!(told(&gateway, "acme", &signer.token("u-1")).await, "u-1 k1");
    server.fail(500, "");
    eventually("too stale", PATIENCE, || async {
        told(&gateway, "acme", &signer.token("u-1")).await == "unavailable"
    })
    .await;
    server.publish(set(&[signer.jwk()]));
    eventually("fresh again", PATIENCE, || async {
        told(&gateway, "acme", &signer.token("u-1")).await == "u-1 k1"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetched_set_gives_neither_secrets_nor_keys_for_other_purposes() {
    let echo = Echo::start().await;
    let (good, enc) = (Signer::new("good"), Signer::new("enc"));
    let secret = "a-secret-that-a-set-gives-away-0123456";
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret)
    };
    let oct = json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": encoded });
    let mut for_encryption = enc.jwk();
    for_encryption["use"] = "enc".into();
    let server = KeyServer::start(set(&[oct, for_encryption, good.jwk()])).await;
    let gateway = fetching("acme", &echo, &server.jwks("")).start().await;
    assert_eq!(told(&gateway, "acme", &good.token("u-1")).await, "u-1 good");
    let claims = json!({ "sub": "u-1", "exp": sign::now() + 300 });
    let forged = sign::token_by(secret, "oct", &claims);
    assert_eq!(told(&gateway, "acme", &forged).await, "unsupported_algorithm");
    assert_eq!(told(&gateway, "acme", &enc.token("u-1")).await, "unknown_key");
    let keys = gateway.ask("GET", "/v1/sites/acme/keys").await.json();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(1), "{keys}");
    assert!(!gateway.log().contains(&encoded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_forgets_no_fetched_key() {
    let echo = Echo::start().await;
    let signer = Signer::new("k1");
    let server = KeyServer::start(set(&[signer.jwk()])).await;
    let gateway = fetching("acme", &echo, &server.jwks("")).start().await;
    assert_eq!(told(&gateway, "acme", &signer.token("u-1")).await, "u-1 k1");
    server.hang();
    for change in ["mode: require", "mode: prefer, forward_credential: true"] {
        gateway.write("countersign.yaml", gateway.config().replace("mode: prefer", change));
        assert_eq!(gateway.reload().await.status, 200);
        assert_eq!(told(&gateway, "acme", &signer.token("u-1")).await, "u-1 k1");
    }
    let slower = gateway.config().replace("insecure: true", "insecure: true, refresh: 1h");
    gateway.write("countersign.yaml", slower);
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(told(&gateway, "acme", &signer.token("u-1")).await, "u-1 k1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_dialect_fetches_keys_of_its_own_and_a_body_is_judged_twice() {
    let echo = Echo::start().await;
    let (old, new, never) = (Signer::new("old"), Signer::new("new"), Signer::new("never"));
    let server = KeyServer::start(set(&[old.jwk()])).await;
    let own = "{ id: own, secret: { value: secret-of-the-own-dialect-0123456789 } }";
    let upstream = format!("http://{}", echo.address);
    let accepted = format!("keys: [ {{ jwks: {{ {} }} }} ]", server.jwks(""));
    let accepts =
        format!("accepts: [ {{ dialect: jwt, sources: [ {{ json: /token }} ], {accepted} }} ]");
    let site = site("acme", &upstream, "prefer", own).replace(" }\n", &format!(", {accepts} }}\n"));
    let gateway = Setup::new(site).start().await;
    let told_of_body = async |token: &str| {
        let body = json!({ "token": token, "text": "hello" }).to_string();
        let request = Request::post("/c", "application/json", body).host("acme.test");
        let answer = gateway.send(&request).await;
        if answer.status != 200 {
            return (answer.code(), String::new());
        }
        let echoed = answer.echoed();
        (echoed.header("countersign-key").unwrap_or_default().to_owned(), echoed.body)
    };
    let passed = |key: &str| (key.to_owned(), r#"{"text":"hello"}"#.to_owned());
    assert_eq!(told_of_body(&old.token("u-1")).await, passed("old"));

    // The site's own dialect fetches nothing, whatever its tokens name.
    server.publish(set(&[old.jwk(), new.jwk()]));
    let stranger = sign::token_by("nobody-knows-0123456789-0123456789", "new", &json!({}));
    assert_eq!(ask(&gateway, "acme", &stranger).await.status, 401);
    assert_eq!(server.asked(), 1);
    assert_eq!(told_of_body(&new.token("u-1")).await, passed("new"));
    assert_eq!(server.asked(), 2);
    assert_eq!(told_of_body(&never.token("u-1")).await.0, "unknown_key");

    let keys = gateway.ask("GET", "/v1/sites/acme/keys").await.json();
    let ids: Vec<_> = (0..3).map(|index| keys["keys"][index]["id"].clone()).collect();
    assert_eq!(ids, ["own", "old", "new"]);
    eventually("readiness says so", PATIENCE, || async { check(&gateway, "acme").await.1 }).await;
    server.hang();
    gateway.write("countersign.yaml", gateway.config().replace("mode: prefer", "mode: require"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(told_of_body(&new.token("u-1")).await, passed("new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_is_fetched_over_tls_from_those_who_are_trusted_alone() {
    let echo = Echo::start().await;
    let signer = Signer::new("k1");
    let (server, certificate) = KeyServer::start_with_tls(set(&[signer.jwk()])).await;
    let (_, stranger) = KeyServer::start_with_tls(String::new()).await;
    let url = format!("url: \"https://localhost:{}/keys.json\"", server.address.port());
    for (trusted, outcome) in [(certificate, "u-1 k1"), (stranger, "unavailable")] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let roots = folder.path().join("roots.pem");
        std::fs::write(&roots, trusted).expect("a writable folder");
        let setup = fetching("acme", &echo, &url)
            .environment("SSL_CERT_FILE", roots.to_str().expect("a path"))
            .environment("SSL_CERT_DIR", "");
        let gateway = setup.start().await;
        assert_eq!(told(&gateway, "acme", &signer.token("u-1")).await, outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_in_a_file_is_read_again_when_it_changes() {
    let echo = Echo::start().await;
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let setup = fetching("acme", &echo, "file: keys.json");
    let gateway = setup.file("keys.json", set(&[old.jwk()])).start().await;
    assert_eq!(told(&gateway, "acme", &old.token("u-1")).await, "u-1 old");
    gateway.write("keys.json", set(&[new.jwk()]));
    eventually("the new key verifies", PATIENCE, || async {
        told(&gateway, "acme", &new.token("u-1")).await == "u-1 new"
    })
    .await;
    assert_eq!(told(&gateway, "acme", &old.token("u-1")).await, "unknown_key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_comes_and_goes_with_its_file_in_a_folder() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let secrets = ["first-secret-of-the-tests-0123456789", "other-secret-of-the-tests-0123456789"];
    let setup = Setup::new(site("acme", &upstream, "prefer", "{ directory: keys/ }"));
    let gateway = setup
        .file("keys/2026-11.secret", format!("{}\n", secrets[0]))
        .file("keys/.hidden", "")
        .start()
        .await;
    let claims = json!({ "sub": "u-1", "exp": sign::now() + 300 });
    let by = |secret, kid| sign::token_by(secret, kid, &claims);
    assert_eq!(told(&gateway, "acme", &by(secrets[0], "2026-11")).await, "u-1 2026-11");
    gateway.write("keys/2026-12.secret", secrets[1]);
    let verifies = |secret, kid: &'static str, outcome: &'static str| {
        let token = by(secret, kid);
        let gateway = &gateway;
        async move {
            eventually(&format!("{kid}: {outcome}"), PATIENCE, || async {
                told(gateway, "acme", &token).await == outcome
            })
            .await
        }
    };
    verifies(secrets[1], "2026-12", "u-1 2026-12").await;
    assert_eq!(told(&gateway, "acme", &by(secrets[0], "2026-11")).await, "u-1 2026-11");
    std::fs::remove_file(gateway.path("keys/2026-11.secret")).expect("it is there");
    verifies(secrets[0], "2026-11", "unknown_key").await;
    assert_eq!(told(&gateway, "acme", &by(secrets[1], "2026-12")).await, "u-1 2026-12");
    // A broken one changes nothing; the last one may go.
    gateway.write("keys/2027-01.secret", "");
    gateway.log_line("an empty secret").await;
    assert_eq!(told(&gateway, "acme", &by(secrets[1], "2026-12")).await, "u-1 2026-12");
    std::fs::remove_file(gateway.path("keys/2027-01.secret")).expect("it is there");
    std::fs::remove_file(gateway.path("keys/2026-12.secret")).expect("it is there");
    verifies(secrets[1], "2026-12", "unsupported_algorithm").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_judges_by_the_keys_that_are_published_now() {
    let (k1, stranger) = (Signer::new("k1"), Signer::new("k1"));
    let server = KeyServer::start(set(&[k1.jwk()])).await;
    let sites = site(
        "acme",
        "http://127.0.0.1:9",
        "prefer",
        &format!("{{ jwks: {{ {} }} }}", server.jwks("")),
    );
    let (_folder, path) = crate::cli::written(&format!(
        "version: 1\nlisteners: [ {{ address: \"127.0.0.1:8080\" }} ]\nsites:\n{sites}"
    ));
    let explain = |token: String| {
        let arguments = ["explain", "--config", &path, "--site", "acme", &token].map(str::to_owned);
        tokio::task::spawn_blocking(move || {
            crate::cli::countersign(&arguments.each_ref().map(String::as_str))
        })
    };
    let verified = explain(k1.token("u-1")).await.expect("no panic");
    assert_eq!(crate::cli::code(&verified), 0, "{}", crate::cli::stdout(&verified));
    let refused = explain(stranger.token("u-1")).await.expect("no panic");
    assert_eq!(crate::cli::code(&refused), 1, "{}", crate::cli::stdout(&refused));
    server.fail(500, "");
    let unsure = explain(k1.token("u-1")).await.expect("no panic");
    assert_eq!(crate::cli::code(&unsure), 2);
    assert!(crate::cli::stderr(&unsure).contains("status 500"));
    // `check` asks nobody.
    let asked = server.asked();
    let check = crate::cli::countersign(&["check", "--config", &path]);
    assert_eq!(crate::cli::code(&check), 0);
    assert!(crate::cli::stdout(&check).contains("keys from"), "{}", crate::cli::stdout(&check));
    assert_eq!(server.asked(), asked);
}
