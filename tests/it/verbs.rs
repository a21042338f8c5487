//! What a widget asks of Countersign itself: `whoami`, `refresh` and `logout`.

use serde_json::{Value, json};

use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Request, Response};
use crate::support::sign;
use crate::support::websocket::{Socket, handshake};

const HOST: &str = "chat.test";
const OPEN: &str = "open.test";
const PAGE: &str = "https://www.acme.test";
const EVIL: &str = "https://evil.test";
const SECRET: &str = "a-secret-of-the-tests-0123456789-abc";
const WHOAMI: &str = "/.countersign/whoami";
const LOGOUT: &str = "/.countersign/logout";
const REFRESH: &str = "/.countersign/refresh";

/// A site for one page, and one for any. Clients tell their own address, so that each test
/// has calls enough.
fn setup(echo: &Echo) -> Setup {
    let site = |name: &str, host: &str, more: &str| {
        format!(
            "  {name}:\n    hosts: [{host}]\n    upstream: http://{}\n    dialect: jwt\n    \
             mode: prefer\n    leeway: 0s\n    keys: [ {{ id: k, secret: {{ value: {SECRET} }} }} ]\n    \
             session: {{ request: [ {{ header: X-Auth-Token }} ] }}\n    \
             live: {{ on_expiry: close, grace: 1s }}\n{more}",
            echo.address
        )
    };
    let listed = format!("    allowed_origins: [{PAGE}]\n");
    Setup::new(site("chat", HOST, &listed) + &site("open", OPEN, ""))
        .top("trusted_proxies: [private]")
}

fn token_until(id: &str, exp: u64) -> String {
    // Each is another, though they are made in the same second.
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let claims = json!({"sub": id, "name": "Ada É", "email": "ada@a.test", "exp": exp, "n": n});
    sign::token(SECRET, &claims)
}

fn token(id: &str) -> String {
    token_until(id, sign::now() + 300)
}

fn ask(method: &str, path: &str, session: Option<&str>, token: Option<&str>) -> Request {
    let request = Request::new(method, path).host(HOST);
    let request =
        session.map_or(request.clone(), |session| request.header("X-Auth-Token", session));
    token.map_or(request.clone(), |token| request.bearer(token))
}

async fn whoami(gateway: &Gateway, session: Option<&str>, token: Option<&str>) -> Value {
    let answer = gateway.send(&ask("GET", WHOAMI, session, token)).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert!(answer.header("countersign-request-id").is_some(), "{answer:?}");
    match answer.status {
        200 => answer.json(),
        status => json!(format!("{status} {}", answer.code())),
    }
}

fn code(answer: &Response) -> (u16, String) {
    (answer.status, answer.code())
}

async fn open(gateway: &Gateway, session: Option<&str>, token: &str) -> Socket {
    let upgrade = handshake("/ws", HOST).bearer(token);
    let upgrade =
        session.map_or(upgrade.clone(), |session| upgrade.header("X-Auth-Token", session));
    Socket::open(gateway.address, &upgrade).await.expect("an upgrade")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoami_tells_a_page_who_its_visitor_is() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let guest =
        json!({"status": "guest", "id": null, "name": null, "email": null, "expires": null});
    assert_eq!(whoami(&gateway, None, None).await, guest);
    assert_eq!(whoami(&gateway, Some("s1"), None).await, guest);
    let exp = sign::now() + 300;
    let token = token_until("ada", exp);
    let ada = json!({"status": "verified", "id": "ada", "name": "Ada É", "email": "ada@a.test",
                     "expires": exp});
    assert_eq!(whoami(&gateway, None, Some(&token)).await, ada);
    let forged = sign::tampered(&token, &json!({"sub": "bob", "exp": exp}));
    assert_eq!(whoami(&gateway, None, Some(&forged)).await, "401 bad_signature");
    let late = token_until("ada", sign::now() - 100);
    assert_eq!(whoami(&gateway, None, Some(&late)).await, "401 expired");
    assert!(echo.received().is_empty());
    // To ask binds nothing; once the backend has answered, the session tells.
    assert_eq!(whoami(&gateway, Some("s1"), Some(&token)).await, ada);
    assert_eq!(whoami(&gateway, Some("s1"), None).await, guest);
    gateway.send(&ask("GET", "/c", Some("s1"), Some(&token))).await.echoed();
    let told = whoami(&gateway, Some("s1"), None).await;
    assert_eq!((&told["status"], &told["id"]), (&json!("verified"), &json!("ada")));
    assert_eq!((&told["name"], &told["email"]), (&ada["name"], &ada["email"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_takes_a_fresh_proof_and_nothing_else() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let exp = sign::now() + 300;
    let fresh = token_until("ada", exp);
    let told = gateway.send(&ask("POST", REFRESH, Some("s1"), Some(&fresh))).await;
    assert_eq!((told.status, told.json()), (200, json!({"expires": exp})));
    assert_eq!(whoami(&gateway, Some("s1"), None).await["id"], "ada");
    let refused =
        async |session, token| code(&gateway.send(&ask("POST", REFRESH, session, token)).await);
    let bob = token("bob");
    assert_eq!(refused(Some("s1"), Some(&bob)).await, (401, "session_conflict".to_owned()));
    assert_eq!(refused(None, None).await, (401, "missing".to_owned()));
    assert_eq!(refused(Some("s1"), None).await, (401, "missing".to_owned()), "no proof");
    let late = token_until("ada", sign::now() - 100);
    assert_eq!(refused(Some("s1"), Some(&late)).await, (401, "expired".to_owned()));
    assert_eq!(whoami(&gateway, Some("s1"), None).await["id"], "ada");
    assert!(echo.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_lets_a_live_websocket_go_on() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let short = sign::now() + 3;
    let mut refreshed = open(&gateway, Some("s1"), &token_until("ada", short)).await;
    let mut left = open(&gateway, Some("s2"), &token_until("bob", short)).await;
    let told = gateway.send(&ask("POST", REFRESH, Some("s1"), Some(&token("ada")))).await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(left.farewell().await, (3000, "identity expired".to_owned()));
    refreshed.echoes("still here").await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_ends_this_device_and_no_other() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let (here, there) = (token("ada"), token("ada"));
    let (mut by_session, mut by_token) =
        (open(&gateway, Some("here"), &here).await, open(&gateway, None, &here).await);
    let mut elsewhere = open(&gateway, Some("there"), &there).await;
    echo.take();
    let left = gateway.send(&ask("POST", LOGOUT, Some("here"), Some(&here))).await;
    assert_eq!((left.status, left.body.len()), (204, 0), "{left:?}");
    assert!(echo.received().is_empty());
    for socket in [&mut by_session, &mut by_token] {
        assert_eq!(socket.farewell().await, (3000, "revoked".to_owned()));
    }
    for (session, token) in
        [(Some("here"), None), (None, Some(&*here)), (Some("here"), Some(&here))]
    {
        assert_eq!(whoami(&gateway, session, token).await, "401 revoked", "{session:?}");
    }
    for (session, token) in [(Some("there"), None), (None, Some(&*there))] {
        assert_eq!(whoami(&gateway, session, token).await["id"], "ada", "{session:?}");
    }
    elsewhere.echoes("still here").await.expect("another device");
    // A fresh proof, and this device is back.
    gateway.send(&ask("GET", "/c", Some("here"), Some(&token("ada")))).await.echoed();
    assert_eq!(whoami(&gateway, Some("here"), None).await["id"], "ada");
    // By the session alone, with a token that is over, or with nothing: all may leave.
    let mut last = open(&gateway, Some("here"), &token("ada")).await;
    let late = token_until("ada", sign::now() - 100);
    assert_eq!(gateway.send(&ask("POST", LOGOUT, Some("here"), Some(&late))).await.status, 204);
    assert_eq!(last.farewell().await, (3000, "revoked".to_owned()));
    assert_eq!(gateway.send(&ask("POST", LOGOUT, None, None)).await.status, 204);
    assert_eq!(gateway.send(&ask("POST", LOGOUT, Some("there"), None)).await.status, 204);
    assert_eq!(elsewhere.farewell().await, (3000, "revoked".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_pages_that_are_listed_may_ask() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let from = async |host: &str, method: &str, path: &str, origin: &str| {
        let request = Request::new(method, path).host(host).header("Origin", origin);
        gateway.send(&request).await
    };
    let shared = |answer: &Response, origin: &str| {
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert!(answer.header("vary").is_some_and(|vary| vary.contains("Origin")));
    };
    for (method, path, status) in
        [("GET", WHOAMI, 200), ("POST", LOGOUT, 204), ("POST", REFRESH, 401)]
    {
        let answer = from(HOST, method, path, PAGE).await;
        assert_eq!(answer.status, status, "{path}");
        shared(&answer, PAGE);
        let anybody = from(OPEN, method, path, EVIL).await;
        assert_eq!(anybody.status, status, "{path}: no page is listed");
        shared(&anybody, EVIL);
        for origin in [EVIL, "null"] {
            let foreign = from(HOST, method, path, origin).await;
            assert_eq!(code(&foreign), (403, "origin_not_allowed".to_owned()), "{path} {origin}");
            assert_eq!(foreign.header("access-control-allow-origin"), None);
        }
    }
    // The chat's own iframe.
    assert_eq!(from(HOST, "GET", WHOAMI, &format!("http://{HOST}")).await.status, 200);
    let preflight = async |origin: &str| {
        let request = Request::new("OPTIONS", REFRESH)
            .host(HOST)
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization, x-auth-token");
        gateway.send(&request).await
    };
    let allowed = preflight(PAGE).await;
    assert_eq!(allowed.status, 204);
    shared(&allowed, PAGE);
    assert_eq!(allowed.header("access-control-allow-methods"), Some("POST"));
    let fields = allowed.header("access-control-allow-headers");
    assert_eq!(fields, Some("authorization, x-auth-token"));
    let foreign = preflight(EVIL).await;
    assert_eq!(foreign.status, 403);
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    assert!(echo.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_somebody_elses_logs_nobody_out() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let mine = token("ada");
    let foreign = ask("POST", LOGOUT, Some("s1"), Some(&mine)).header("Origin", EVIL);
    gateway.send(&ask("GET", "/c", Some("s1"), Some(&mine))).await.echoed();
    assert_eq!(gateway.send(&foreign).await.status, 403);
    assert_eq!(whoami(&gateway, Some("s1"), None).await["id"], "ada");
    assert_eq!(whoami(&gateway, None, Some(&mine)).await["id"], "ada");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn these_paths_never_reach_the_backend_however_they_are_spelt() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let by = |n: usize| format!("203.0.113.{n}");
    for (n, (method, path, status)) in [
        ("GET", "/.countersign", 404),
        ("GET", "/.countersign/", 404),
        ("GET", "/.countersign/nothing", 404),
        ("GET", "/.countersign/whoami/", 404),
        ("GET", "/.countersign/../.countersign/whoami", 404),
        ("GET", "/.countersign/../admin", 404),
        ("POST", WHOAMI, 405),
        ("GET", LOGOUT, 405),
        ("GET", REFRESH, 405),
        ("GET", "/%2ecountersign/whoami", 400),
        ("POST", "/.%63ountersign/logout", 400),
        ("GET", "//.countersign/whoami", 400),
        ("GET", "/x/../.countersign/whoami", 400),
        ("GET", "/.COUNTERSIGN/whoami", 400),
    ]
    .into_iter()
    .enumerate()
    {
        let request = Request::new(method, path).host(HOST).header("X-Forwarded-For", &by(n));
        let answer = gateway.send(&request).await;
        assert_eq!(answer.status, status, "{method} {path}");
        match status {
            405 => assert!(answer.header("allow").is_some()),
            400 => assert_eq!(answer.code(), "bad_request"),
            _ => {}
        }
        assert!(echo.take().is_empty(), "{method} {path}");
    }
    for path in ["/countersign/whoami", "/a/.countersign/whoami", "/.countersigned"] {
        let got = gateway.send(&Request::get(path).host(HOST)).await.echoed();
        assert_eq!(got.target, path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_can_be_given_back_to_a_backend_that_has_its_own() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).top("verbs: off").start().await;
    for path in [WHOAMI, "/%2ecountersign/whoami", "/.countersign"] {
        let got = gateway.send(&Request::get(path).host(HOST).bearer(&token("ada"))).await.echoed();
        assert_eq!((&*got.target, got.header("countersign-id")), (path, Some("ada")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_told_to_wait_and_others_are_not() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let request = |client: &str| {
        Request::get(WHOAMI).host(HOST).header("X-Forwarded-For", client).header("Origin", PAGE)
    };
    let mut connection = gateway.connect().await;
    let mut answers = Vec::new();
    // Twice as many, for the window may end in the middle.
    for _ in 0..62 {
        answers.push(connection.exchange(&request("203.0.113.7")).await.expect("an answer"));
    }
    let refused = answers.iter().find(|answer| answer.status != 200).expect("a refusal");
    assert_eq!(code(refused), (429, "rate_limited".to_owned()));
    let wait: u64 = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE), "the page may read it");
    let first = answers.iter().position(|answer| answer.status == 429);
    assert!(first.is_some_and(|first| first >= 30), "{first:?}");
    let other = gateway.send(&request("203.0.113.8")).await;
    assert_eq!(other.status, 200);
    // What goes to the backend is not counted.
    let message = Request::get("/c").host(HOST).header("X-Forwarded-For", "203.0.113.7");
    assert_eq!(gateway.send(&message).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_spoken_over_http_2_too() {
    let echo = Echo::start().await;
    let gateway = setup(&echo).start().await;
    let http2 = h2c::Connection::open(gateway.address).await;
    let bearer = format!("Bearer {}", token("ada"));
    let with = [("authorization", &*bearer), ("x-auth-token", "s1"), ("origin", PAGE)];
    let told = http2.send("POST", HOST, REFRESH, &with, None, None).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = http2.get(HOST, WHOAMI, &[("x-auth-token", "s1")]).await;
    assert_eq!((told.status, &told.json()["id"]), (200, &json!("ada")));
    let left = http2.send("POST", HOST, LOGOUT, &with, None, None).await;
    assert_eq!((left.status, left.body.len()), (204, 0));
    let refused = http2.get(HOST, WHOAMI, &[("x-auth-token", "s1")]).await;
    assert_eq!(code(&refused), (401, "revoked".to_owned()));
    let disguised = http2.get(HOST, "/%2ecountersign/whoami", &[]).await;
    assert_eq!(disguised.status, 400);
    assert!(echo.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn countersigns_own_cookie_is_handed_out_by_a_refresh_and_taken_back_by_a_logout() {
    let echo = Echo::start().await;
    let site = format!(
        "  chat:\n    hosts: [{HOST}]\n    upstream: http://{}\n    dialect: chatwoot\n    \
         keys: [ {{ id: k, secret: {{ value: {SECRET} }} }} ]\n    allowed_origins: [{PAGE}]\n    \
         session: {{ cookie: true }}\n",
        echo.address
    );
    let gateway = Setup::new(site).start().await;
    // A hash is shown where it always is.
    let proof = |id: &str| {
        let hash = sign::hash(SECRET, id);
        let body = json!({"identifier": id, "identifier_hash": hash}).to_string();
        Request::post(REFRESH, "application/json", body).host(HOST).header("Origin", PAGE)
    };
    let told = gateway.send(&proof("user-42")).await;
    assert_eq!((told.status, told.json()), (200, json!({"expires": null})));
    let cookie = told.header("set-cookie").expect("a cookie");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    assert!(pair.starts_with("__Host-countersign="), "{cookie}");
    let with = |method: &str, path: &str, origin: &str| {
        let request = Request::new(method, path).host(HOST).header("Cookie", &pair);
        request.header("Origin", origin)
    };
    let me = gateway.send(&with("GET", WHOAMI, PAGE)).await;
    assert_eq!(me.json()["id"], "user-42");
    let refused = gateway.send(&proof("user-43").header("Cookie", &pair)).await;
    assert_eq!(code(&refused), (401, "session_conflict".to_owned()));
    // A page of somebody else's, and one that does not say whose it is, end nothing.
    let unsaid = Request::new("POST", LOGOUT).host(HOST).header("Cookie", &pair);
    for forged in [with("POST", LOGOUT, EVIL), unsaid] {
        assert_eq!(code(&gateway.send(&forged).await), (403, "origin_not_allowed".to_owned()));
    }
    assert_eq!(gateway.send(&with("GET", WHOAMI, PAGE)).await.json()["id"], "user-42");
    let left = gateway.send(&with("POST", LOGOUT, PAGE)).await;
    assert_eq!(left.status, 204);
    let gone = left.header("set-cookie").expect("it is taken back");
    assert!(gone.starts_with("__Host-countersign=;") && gone.contains("Max-Age=0"), "{gone}");
    let refused = gateway.send(&with("GET", WHOAMI, PAGE)).await;
    assert_eq!(code(&refused), (401, "revoked".to_owned()), "nor is it any good to a thief");
    // Without the cookie somebody else may come, and so may the same again: a hash is not held.
    for id in ["user-43", "user-42"] {
        assert_eq!(gateway.send(&proof(id)).await.status, 200, "{id}");
    }
    assert!(echo.received().is_empty());
}
