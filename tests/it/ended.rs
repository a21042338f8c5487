//! Whoever once proved an identity cannot become nobody: a ban, a logout and a key's end hold
//! for the token that has expired and for the session that is left.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;
use crate::support::sign;

const OLD: &str = "the-old-secret-of-the-tests-0123456789";
const NEW: &str = "the-new-secret-of-the-tests-0123456789";
const MODES: [&str; 3] = ["require", "prefer", "accept"];

/// One site for each mode, named like it.
fn sites(backend: SocketAddr) -> String {
    let site = |mode: &str| {
        format!(
            "  {mode}:\n    hosts: [{mode}.test]\n    upstream: http://{backend}\n    dialect: jwt\n    \
             mode: {mode}\n    keys:\n      - {{ id: old, secret: {{ value: {OLD} }} }}\n      \
             - {{ id: new, secret: {{ value: {NEW} }} }}\n    \
             session: {{ request: [ {{ header: X-Auth-Token }} ] }}\n"
        )
    };
    MODES.map(site).concat()
}

/// A token that was issued and ends so many seconds from now.
fn token(secret: &str, id: &str, issued: i64, ends: i64) -> String {
    let at = |seconds: i64| sign::now().saturating_add_signed(seconds);
    sign::token(secret, &json!({ "sub": id, "iat": at(issued), "exp": at(ends) }))
}

/// Whom the backend takes a request for, or how it is refused.
async fn seen(gateway: &Gateway, mode: &str, session: Option<&str>, token: Option<&str>) -> String {
    let request = Request::get("/c").host(&format!("{mode}.test"));
    let request =
        session.map_or(request.clone(), |session| request.header("X-Auth-Token", session));
    let request = token.map_or(request.clone(), |token| request.bearer(token));
    let answer = gateway.send(&request).await;
    match answer.status {
        200 => answer.echoed().header("countersign-id").unwrap_or("guest").to_owned(),
        status => format!("{status} {}", answer.code()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_holds_for_the_expired_token_and_for_the_session_that_is_left() {
    let echo = Echo::start().await;
    let gateway = Setup::new(sites(echo.address)).start().await;
    let (good, bob) = (token(OLD, "ada", -5, 300), token(OLD, "bob", -5, 300));
    let expired = token(OLD, "ada", -600, -300);
    let forged = token("a-secret-that-is-nobodys-0123456789", "ada", -600, -300);
    for mode in MODES {
        let see = async |session, token| seen(&gateway, mode, session, token).await;
        let nobody = if mode == "require" { "401 missing" } else { "guest" };
        let bad = |reason| if mode == "accept" { "guest".into() } else { format!("401 {reason}") };
        let (s1, s2) = (Some("s-ada"), Some("s-bob"));
        assert_eq!(see(s1, Some(&good)).await, "ada");
        assert_eq!(see(s2, Some(&bob)).await, "bob");
        assert_eq!(see(None, Some(&expired)).await, bad("expired"), "{mode}");
        let ban = format!("/v1/sites/{mode}/bans/ada");
        assert_eq!(gateway.say("PUT", &ban, "{}").await.status, 201);
        for (session, token) in [
            (s1, Some(&*good)),
            (None, Some(&*good)),
            (Some("another"), Some(&*good)),
            (s1, Some(&*expired)),
            (None, Some(&*expired)),
            (s1, None),
        ] {
            assert_eq!(see(session, token).await, "403 banned", "{mode} {session:?} {token:?}");
        }
        assert_eq!(see(None, None).await, nobody, "{mode}: a guest like any other");
        assert_eq!(see(Some("another"), None).await, nobody, "{mode}: it was never bound");
        assert_eq!(see(None, Some(&forged)).await, bad("bad_signature"), "{mode}: nobody's word");
        assert_eq!(see(s2, None).await, "bob", "{mode}: others notice nothing");
        assert_eq!(gateway.ask("DELETE", &ban).await.status, 204);
        assert_eq!(see(s1, None).await, "401 revoked", "{mode}: the ban has ended the session");
        assert_eq!(see(s1, Some(&good)).await, "ada", "{mode}");
        assert_eq!(see(s1, None).await, "ada", "{mode}: a fresh proof mends it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_takes_sessions_and_old_tokens_until_a_fresh_one_is_shown() {
    let echo = Echo::start().await;
    let gateway = Setup::new(sites(echo.address)).start().await;
    let (old, older) = (token(OLD, "ada", -5, 300), token(OLD, "ada", -60, 300));
    for mode in MODES {
        let see = async |session, token| seen(&gateway, mode, session, token).await;
        let bob = token(OLD, "bob", -5, 300);
        assert_eq!(see(Some("s1"), Some(&old)).await, "ada");
        assert_eq!(see(Some("s2"), Some(&older)).await, "ada", "another device");
        assert_eq!(see(Some("s3"), Some(&bob)).await, "bob");
        let logouts = format!("/v1/sites/{mode}/logouts");
        let told = gateway.say("POST", &logouts, r#"{"id": "ada"}"#).await;
        assert_eq!((told.status, &told.json()["revoked"]), (200, &json!("before")));
        for (session, token) in [
            (Some("s1"), None),
            (Some("s2"), None),
            (Some("s1"), Some(&*old)),
            (None, Some(&*old)),
            (None, Some(&*older)),
        ] {
            assert_eq!(see(session, token).await, "401 revoked", "{mode} {session:?}");
        }
        assert_eq!(see(Some("s3"), None).await, "bob");
        // Issued in a later second; the dialect's leeway lets it pass.
        let fresh = token(OLD, "ada", 2, 300);
        assert_eq!(see(Some("s1"), Some(&fresh)).await, "ada", "{mode}");
        assert_eq!(see(Some("s1"), None).await, "ada", "{mode}");
        assert_eq!(see(Some("s2"), None).await, "401 revoked", "{mode}: nothing proved in it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_removed_takes_the_sessions_along_that_it_proved() {
    let echo = Echo::start().await;
    let gateway = Setup::new(sites(echo.address)).start().await;
    for mode in MODES {
        let (by_old, by_new) = (token(OLD, "ada", -5, 300), token(NEW, "bob", -5, 300));
        assert_eq!(seen(&gateway, mode, Some("s-old"), Some(&by_old)).await, "ada");
        assert_eq!(seen(&gateway, mode, Some("s-new"), Some(&by_new)).await, "bob");
    }
    let config = gateway.config();
    let kept: Vec<_> = config.lines().filter(|line| !line.contains("id: old")).collect();
    assert_eq!(kept.len() + MODES.len(), config.lines().count());
    gateway.write("countersign.yaml", kept.join("\n"));
    assert_eq!(gateway.reload().await.status, 200);
    for mode in MODES {
        assert_eq!(seen(&gateway, mode, Some("s-old"), None).await, "401 revoked", "{mode}");
        assert_eq!(seen(&gateway, mode, Some("s-new"), None).await, "bob", "{mode}");
        let fresh = token(NEW, "ada", -5, 300);
        assert_eq!(seen(&gateway, mode, Some("s-old"), Some(&fresh)).await, "ada", "{mode}");
        assert_eq!(seen(&gateway, mode, Some("s-old"), None).await, "ada", "{mode}");
    }
}
