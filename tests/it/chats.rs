//! Chats that begin with the backend's answer, once a session, and what the website's server
//! says of whoever began one, through the real binary.

use serde_json::{Value, json};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};
use crate::support::websocket::{Socket, handshake};
use crate::support::{PATIENCE, eventually};

const HOST: &str = "chat.test";
const CHATS: &str = "/api/conversations";
const BY_ANSWER: &str =
    "    chat_started: { method: POST, path: /api/conversations, status: [201] }\n";

/// A site whose backend knows sessions by a token, and whose website hears of chats.
fn site(echo: &Echo, mode: &str, more: &str) -> String {
    let upstream = format!("http://{}", echo.address);
    // Nobody listens there: what happens to the events is another matter.
    let webhook = "{ name: crm, url: \"http://127.0.0.1:9/hook\", format: standard, \
                   secret: { value: whsec_q1XbT4mRk0zvH3dJcYp7LwEoUa9sGfNi2hK6tBxMnVQ= } }";
    let session = "session: { request: [ { header: X-Auth-Token } ], response: \
                   [ { json: /token } ] }";
    let details = "details: { username: acme, password: { value: letmein-letmein-letmein } }";
    dialect("jwt").site("chat", HOST, &upstream, mode)
        + &format!("    {session}\n    webhooks: [ {webhook} ]\n    {details}\n{more}")
}

async fn start(echo: &Echo, mode: &str, more: &str) -> Gateway {
    Setup::new(site(echo, mode, more)).start().await
}

fn token(id: &str) -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, id, 5)
}

/// What the backend says to a new conversation.
fn created(status: &str, session: &str) -> String {
    let body = json!({"id": 7, "token": session}).to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn conversation() -> Request {
    Request::post(CHATS, "application/json", "{}").host(HOST)
}

/// How many chats the website is to hear of.
async fn chats(gateway: &Gateway) -> usize {
    let told = gateway.ask("GET", "/v1/sites/chat/webhooks/crm/deliveries").await;
    assert_eq!(told.status, 200, "{}", told.text());
    told.json()["deliveries"].as_array().expect("a list").len()
}

async fn say(gateway: &Gateway, visitor: &str, fields: Value) -> Response {
    let body = json!({
        "AccountId": "chat", "AgentId": "", "VisitorId": visitor, "Fields": fields,
    });
    Request::post(&format!("/api/visitors/{visitor}/details"), "application/json", body.to_string())
        .host("localhost")
        // acme:letmein-letmein-letmein
        .header("Authorization", "Basic YWNtZTpsZXRtZWluLWxldG1laW4tbGV0bWVpbg==")
        .send(gateway.admin)
        .await
}

async fn details(gateway: &Gateway, request: &Request) -> Option<String> {
    gateway.send(request).await.echoed().header("countersign-details").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_whoever_began_a_chat_comes_with_the_next_request() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "prefer", BY_ANSWER).await;
    echo.will_say(CHATS, created("201 Created", "s-ada"));
    let fields = json!([{"name": "Plan", "value": "pro"}, {"name": "Name", "value": "Zoë"}]);
    let early = say(&gateway, "ada", fields.clone()).await;
    assert_eq!(early.status, 400, "nobody was notified of her: {}", early.text());
    let begun = gateway.send(&conversation().bearer(&token("ada"))).await;
    assert_eq!((begun.status, &begun.json()["token"]), (201, &json!("s-ada")));
    let told = say(&gateway, "ada", fields).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let expected = Some(r#"{"Plan":"pro","Name":"Zo\u00eb"}"#.to_owned());
    let by_token = Request::get("/c").host(HOST).bearer(&token("ada"));
    assert_eq!(details(&gateway, &by_token).await, expected);
    let by_session = Request::get("/c").host(HOST).header("X-Auth-Token", "s-ada");
    let forging = by_session.header("Countersign-Details", r#"{"Plan":"forged"}"#);
    assert_eq!(details(&gateway, &forging).await, expected);
    let bob = Request::get("/c").host(HOST).bearer(&token("bob"));
    assert_eq!(details(&gateway, &bob).await, None);
    assert_eq!(details(&gateway, &Request::get("/c").host(HOST)).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_one_chat_a_guests_as_well_and_no_other_answer_begins_one() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "prefer", BY_ANSWER).await;
    let asked = async |status: &str, session: &str| {
        echo.will_say(CHATS, created(status, session));
        gateway.send(&conversation().header("X-Auth-Token", "shown")).await;
        chats(&gateway).await
    };
    assert_eq!(asked("422 Unprocessable Content", "s1").await, 0);
    assert_eq!(asked("200 OK", "s1").await, 0);
    assert_eq!(asked("201 Created", "s1").await, 1);
    assert_eq!(asked("201 Created", "s1").await, 1, "the same session");
    assert_eq!(asked("201 Created", "s2").await, 2);
    assert_eq!(asked("201 Created", "").await, 3, "the one that was shown");
    assert_eq!(asked("201 Created", "").await, 3);
    echo.will_say(CHATS, "");
    let other = gateway.send(&Request::get(CHATS).host(HOST)).await;
    assert_eq!((other.status, chats(&gateway).await), (200, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_has_begun_the_chat_all_the_same() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "prefer", BY_ANSWER).await;
    let torn = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n5\r\n{\"tok\r\nno chunk";
    echo.will_say(CHATS, torn);
    let _ = conversation().header("X-Auth-Token", "shown").try_send(gateway.address).await;
    eventually("a chat", PATIENCE, || async { chats(&gateway).await == 1 }).await;
    echo.will_say(CHATS, created("201 Created", "shown"));
    gateway.send(&conversation()).await;
    assert_eq!(chats(&gateway).await, 1, "it was begun in the session that was shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_whose_identity_is_not_looked_at_begins_its_guests_chats() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "off", BY_ANSWER).await;
    echo.will_say(CHATS, created("201 Created", "s1"));
    for _ in 0..2 {
        assert_eq!(gateway.send(&conversation()).await.status, 201);
    }
    assert_eq!(chats(&gateway).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_verified_websocket_of_a_session_begins_a_chat_where_nothing_else_is_said() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "prefer", "").await;
    let as_ada = |target: &str, session: &str| {
        handshake(target, HOST).bearer(&token("ada")).header("X-Auth-Token", session)
    };
    let open = async |handshake: Request| Socket::open(gateway.address, &handshake).await;
    let mut guest = open(handshake("/ws", HOST)).await.expect("a guest's");
    guest.echoes("hello").await.expect("an echo");
    assert!(open(as_ada("/ws/refuse", "s1")).await.is_err());
    assert_eq!(chats(&gateway).await, 0);
    for (session, expected) in [("s1", 1), ("s1", 1), ("s2", 2)] {
        let mut socket = open(as_ada("/ws", session)).await.expect("hers");
        socket.echoes("hello").await.expect("an echo");
        assert_eq!(chats(&gateway).await, expected, "{session}");
    }
}
