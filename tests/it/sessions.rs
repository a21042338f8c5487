//! A backend's session stands for who was proven in it: Chatwoot's recorded traffic, whose
//! widget shows its hash once and from then on nothing but the session's token.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};
use crate::support::sign;
use crate::support::websocket::{Socket, handshake};

pub const HOST: &str = "chat.test";
const PAGE: &str = "https://www.acme.test";
pub const SET_USER: &str = "/api/v1/widget/contact/set_user";
const MESSAGES: &str = "/api/v1/widget/messages";
const SECRET: &str = "chatwoot-inbox-hmac-token-of-the-tests";

/// What the widget sends once its session stands for somebody: the recording's names.
const LATER: [&str; 5] = [
    "attributes of the contact, which carry no hash",
    "a conversation that brings a contact along",
    "a message",
    "an attachment",
    "the messages",
];

/// A site of Chatwoot's that remembers sessions; `more` are further lines of it.
pub fn site(echo: &Echo, more: &str) -> String {
    format!(
        "  chat:\n    hosts: [{HOST}]\n    upstream: http://{}\n    dialect: chatwoot\n    \
         mode: prefer\n    keys: [ {{ id: k1, secret: {{ value: {SECRET} }} }} ]\n    \
         allowed_origins: [{PAGE}]\n    session:\n      request: [ {{ header: X-Auth-Token }}, \
         {{ query: cw_conversation }}, {{ cookie: cw_conversation }} ]\n      response: \
         [ {{ json: /widget_auth_token }}, {{ cookie: cw_conversation }} ]\n{more}",
        echo.address
    )
}

async fn start(echo: &Echo) -> Gateway {
    Setup::new(site(echo, "")).start().await
}

/// A request of the recording in this session, and what is expected of it there.
fn recorded(name: &str, session: &str) -> (Request, Value, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay/chatwoot.yaml");
    let text = std::fs::read_to_string(file).expect("the recording");
    let recording: Value = serde_yaml::from_str(&text).expect("YAML");
    let exchanges = recording["exchanges"].as_array().expect("exchanges");
    let found = exchanges.iter().find(|exchange| exchange["name"] == name);
    let exchange = found.unwrap_or_else(|| panic!("no {name}")).clone();
    let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
    let body = text(&exchange["body"]);
    let request = Request::new(&text(&exchange["method"]), &text(&exchange["target"]));
    let mut request = request.host(HOST).body(body.clone());
    for (name, value) in exchange["headers"].as_object().into_iter().flatten() {
        let value = if name == "X-Auth-Token" { session } else { value.as_str().expect("text") };
        request = request.header(name, value);
    }
    (request, exchange["expect"].clone(), body)
}

/// The widget's `set_user`, with a hash or without.
pub fn set_user(session: &str, id: &str, signed: bool) -> Request {
    let hash = sign::hash(SECRET, id);
    let hash = if signed { format!(r#","identifier_hash":"{hash}""#) } else { String::new() };
    Request::new("PATCH", &format!("{SET_USER}?website_token=wT9"))
        .host(HOST)
        .header("Content-Type", "application/json")
        .header("X-Auth-Token", session)
        .body(format!(r#"{{"identifier":"{id}"{hash}}}"#))
}

pub fn messages(session: &str) -> Request {
    Request::get(&format!("{MESSAGES}?website_token=wT9"))
        .host(HOST)
        .header("X-Auth-Token", session)
}

/// Who the backend takes that session's next call for.
pub async fn who(gateway: &Gateway, echo: &Echo, session: &str) -> String {
    echo.take();
    let answer = gateway.send(&messages(session)).await;
    match echo.take().pop() {
        Some(got) => got.header("countersign-id").unwrap_or("guest").to_owned(),
        None => answer.code(),
    }
}

fn named<'a>(got: &'a Echoed, id: &str) -> &'a Echoed {
    for (name, value) in
        [("status", Some("verified")), ("id", Some(id)), ("key", Some("k1")), ("reason", None)]
    {
        assert_eq!(got.header(&format!("countersign-{name}")), value, "{got:?}");
    }
    assert_eq!(got.header("countersign-dialect"), Some("chatwoot"));
    got
}

pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// What Chatwoot answers when `set_user` found another contact.
pub fn merged(session: &str) -> String {
    let body = json!({"id": 7, "email": null, "widget_auth_token": session}).to_string();
    answer("200 OK", "Content-Type: application/json; charset=utf-8\r\n", &body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hash_is_shown_once_and_whatever_follows_in_that_session_is_verified() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    assert_eq!(who(&gateway, &echo, "s1").await, "guest");
    let proven = gateway.send(&set_user("s1", "user-42", true)).await.echoed();
    assert_eq!(named(&proven, "user-42").header("x-auth-token"), Some("s1"));
    for name in LATER {
        let (request, expect, body) = recorded(name, "s1");
        let got = gateway.send(&request).await.echoed();
        assert_eq!(
            named(&got, "user-42").claimed().unwrap_or_default(),
            expect["claimed"],
            "{name}"
        );
        assert_eq!(got.target, request.target(), "{name}");
        assert_eq!(got.body, expect["body"].as_str().unwrap_or(&body), "{name}");
        assert_eq!(got.header("x-auth-token"), Some("s1"), "it is the backend's own");
    }
    // The page of the iframe has it in its query.
    let iframe = Request::get("/widget?website_token=wT9&cw_conversation=s1").host(HOST);
    let got = gateway.send(&iframe).await.echoed();
    assert_eq!(named(&got, "user-42").target, iframe.target());
    // The same identity beside it is proven now, another is not.
    let got = gateway.send(&set_user("s1", "user-42", false)).await.echoed();
    assert_eq!(named(&got, "user-42").body, r#"{"identifier":"user-42"}"#);
    let got = gateway.send(&set_user("s1", "user-43", false)).await.echoed();
    assert_eq!(named(&got, "user-42").claimed(), Some(json!({"identifier": "user-43"})));
    assert_eq!(got.body, "{}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_in_that_session_is_verified_and_one_may_itself_be_the_proof() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    gateway.send(&set_user("s1", "user-42", true)).await.echoed();
    let (cable, ..) = recorded("the handshake of the events", "");
    let cookie = || cable.clone().header("Cookie", "a=1; cw_conversation=s1");
    for upgrade in [
        cookie().header("Origin", PAGE),
        cookie().header("Origin", &format!("http://{HOST}")),
        cable.clone().header("X-Auth-Token", "s1"),
    ] {
        echo.take();
        let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
        socket.echoes("hello").await.expect("an echo");
        let got = echo.take().pop().expect("the handshake");
        assert_eq!(named(&got, "user-42").target, "/cable");
        assert!(got.header("cookie").is_none_or(|cookie| cookie == "a=1; cw_conversation=s1"));
    }
    // Browsers send a cookie along whoever asks.
    for upgrade in [cookie(), cookie().header("Origin", "https://evil.test")] {
        let refused = Socket::open(gateway.address, &upgrade).await.err().expect("a refusal");
        assert_eq!((refused.status, refused.code()), (403, "origin_not_allowed".to_owned()));
    }
    let hash = sign::hash(SECRET, "user-50");
    let proof = |path: &str| {
        let target = format!("{path}?identifier=user-50&identifier_hash={hash}");
        handshake(&target, HOST).header("X-Auth-Token", "s50")
    };
    assert!(Socket::open(gateway.address, &proof("/ws/refuse")).await.is_err());
    assert_eq!(who(&gateway, &echo, "s50").await, "guest", "the backend would not have it");
    let mut socket = Socket::open(gateway.address, &proof("/cable")).await.expect("an upgrade");
    socket.echoes("hello").await.expect("an echo");
    assert_eq!(who(&gateway, &echo, "s50").await, "user-50");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_the_answer_brings_is_verified_in_the_very_next_call() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    for number in 0..50 {
        let (old, new) = (format!("old-{number}"), format!("new-{number}"));
        echo.will_say(SET_USER, merged(&new));
        let told = gateway.send(&set_user(&old, "user-42", true)).await;
        assert_eq!(told.json()["widget_auth_token"], json!(new), "the answer is as it was");
        assert_eq!(who(&gateway, &echo, &new).await, "user-42", "{number}");
    }
    assert_eq!(who(&gateway, &echo, "old-49").await, "user-42");
    // A backend may give a session another token later, too.
    echo.will_say(MESSAGES, merged("rotated"));
    gateway.send(&messages("new-49")).await;
    echo.will_say(MESSAGES, "");
    assert_eq!(who(&gateway, &echo, "rotated").await, "user-42");
    // A guest's answer binds nobody.
    echo.will_say(SET_USER, merged("guests"));
    gateway.send(&set_user("unknown", "user-42", false)).await;
    assert_eq!(who(&gateway, &echo, "guests").await, "guest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_may_come_in_a_cookie_that_the_answer_sets() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let set = "Set-Cookie: a=1\r\nSet-Cookie: cw_conversation=baked; Path=/; SameSite=Lax\r\n";
    echo.will_say(SET_USER, answer("200 OK", set, "fine"));
    let told = gateway.send(&set_user("s1", "user-42", true)).await;
    let cookies = told.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1", "cw_conversation=baked; Path=/; SameSite=Lax"]);
    assert_eq!(who(&gateway, &echo, "baked").await, "user-42");
    let in_cookie = |origin| {
        let post = Request::post(MESSAGES, "application/json", "{}").host(HOST);
        post.header("Cookie", "cw_conversation=baked").header("Origin", origin)
    };
    named(&gateway.send(&in_cookie(PAGE)).await.echoed(), "user-42");
    let foreign = gateway.send(&in_cookie("https://evil.test")).await;
    assert_eq!((foreign.status, foreign.code()), (403, "origin_not_allowed".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_hash_in_a_session_is_a_conflict() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    gateway.send(&set_user("s1", "user-42", true)).await.echoed();
    echo.take();
    let refused = gateway.send(&set_user("s1", "user-43", true)).await;
    assert_eq!((refused.status, refused.code()), (401, "session_conflict".to_owned()));
    assert!(refused.header("www-authenticate").is_some(), "{refused:?}");
    assert!(!refused.text().contains("user-4"), "nobody is told whose it is");
    assert!(echo.received().is_empty());
    assert_eq!(who(&gateway, &echo, "s1").await, "user-42", "it stays whose it was");
    gateway.send(&set_user("s2", "user-43", true)).await.echoed();
    assert_eq!(who(&gateway, &echo, "s2").await, "user-43");
    let both = messages("s1").header("Cookie", "cw_conversation=s2");
    let refused = gateway.send(&both).await;
    assert_eq!((refused.status, refused.code()), (401, "session_conflict".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_the_backend_did_not_accept_binds_nobody() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let redirect = "Location: /\r\n";
    for (status, headers) in [
        ("401 Unauthorized", ""),
        ("422 Unprocessable Content", "Content-Type: application/json\r\n"),
        ("500 Internal Server Error", "Content-Type: application/json\r\n"),
        ("302 Found", redirect),
    ] {
        let body = r#"{"widget_auth_token":"brought"}"#;
        echo.will_say(SET_USER, answer(status, headers, body));
        let told = gateway.send(&set_user("s1", "user-42", true)).await;
        assert!(status.starts_with(&told.status.to_string()), "{}", told.status);
        for session in ["s1", "brought"] {
            assert_eq!(who(&gateway, &echo, session).await, "guest", "{status}");
        }
    }
    echo.will_say(SET_USER, "HTTP/1.1 204 No Content\r\n\r\n");
    gateway.send(&set_user("s1", "user-42", true)).await;
    assert_eq!(who(&gateway, &echo, "s1").await, "user-42");
}

/// What a backend gets to see of a request but for what differs each time.
fn seen(answer: &Response) -> Echoed {
    let mut got = answer.echoed();
    let each_time = ["countersign-request-id", "x-forwarded-port", "host"];
    got.headers.retain(|(name, _)| !each_time.contains(&name.to_lowercase().as_str()));
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_get_through_as_if_there_were_no_sessions() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let without = site(&echo, "");
    let (before, rest) = without.split_once("    session:\n").expect("a session");
    let without = format!("{before}{}", rest.splitn(3, '\n').nth(2).unwrap_or_default());
    let plain = Setup::new(without).start().await;
    gateway.send(&set_user("s1", "user-42", true)).await.echoed();
    for name in LATER {
        let (request, expect, body) = recorded(name, "somebody-elses");
        let request = request.header("Accept-Encoding", "gzip, br").header("Cookie", "a=1;b=2");
        let got = seen(&gateway.send(&request).await);
        assert_eq!(got.header("countersign-reason"), expect["reason"].as_str(), "{name}");
        assert_eq!(got.body, expect["body"].as_str().unwrap_or(&body), "{name}");
        assert_eq!(got.header("accept-encoding"), Some("gzip, br"));
        let unaware = seen(&plain.send(&request).await);
        assert_eq!(format!("{got:?}"), format!("{unaware:?}"), "{name}");
    }
}
