//! The whole way round through real sockets: a chat begins, the website's server verifies what
//! it is told, looks the visitor up and posts details, and the backend reads them with the next
//! request. Each receiver of `examples/webhook-receivers` is the website's server once.

use serde_json::{Value, json};

use crate::receivers::running::{
    LIVESUPPORTI, PASSWORD, Receiver, SECRET, STANDARD, STANDARD_SECRET, USER,
};
use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};
use crate::support::{PATIENCE, eventually, sign};

/// With what a path and a header have to encode.
const ID: &str = "user/1 ü";
/// What all receivers know of Ana.
const KNOWN: &str = r#"{"Name":"Ana Torres","Plan":"Gold","Open orders":"2"}"#;

async fn start(echo: &Echo) -> Gateway {
    let zendesk = dialect("zendesk-chat");
    let upstream = format!("http://{}", echo.address);
    let mut site = zendesk.site("acme", "chat.test", &upstream, "prefer");
    site.push_str(&format!(
        "    chat_started: {{ method: POST, path: /chats, status: [200], account_id: acme-inc, agent_id: \"150\" }}\n    \
         details: {{ username: {USER}, password: {{ value: \"{PASSWORD}\" }}, \
         push: {{ url: \"{upstream}/pushed\" }} }}\n    webhook_private_targets: true\n"
    ));
    Setup::new(site).top("store: { embedded: { path: store } }").start().await
}

/// Subscribes it through the admin API, and waits until it has said that it wants to hear.
async fn subscribe(gateway: &Gateway, receiver: &Receiver) {
    let standard = receiver.name.contains("standard");
    let (format, secret) = match standard {
        true => ("standard", STANDARD_SECRET),
        false => ("livesupporti", SECRET),
    };
    let entry = json!({
        "name": "crm", "url": receiver.url(), "format": format, "secret": { "value": secret },
        "include": ["visitor"],
    });
    let path = "/v1/sites/acme/webhooks";
    let made = gateway.say("POST", path, &entry.to_string()).await;
    assert_eq!(made.status, 201, "{}: {}", receiver.name, made.text());
    let active = || async {
        let webhook = gateway.ask("GET", &format!("{path}/crm")).await;
        webhook.json()["state"] == "active"
    };
    eventually(&format!("{} is active", receiver.name), PATIENCE, active).await;
}

/// A visitor's request, signed with this email.
async fn visit(gateway: &Gateway, request: Request, id: &str, email: &str) -> Response {
    let now = sign::now();
    let claims = json!({
        "external_id": id, "name": "Ana", "email": email, "iat": now, "exp": now + 300,
    });
    let token = sign::token(dialect("zendesk-chat").secret, &claims);
    gateway.send(&request.host("chat.test").bearer(&token)).await
}

fn chat() -> Request {
    Request::post("/chats", "application/json", "{}")
}

async fn details(gateway: &Gateway, id: &str, email: &str) -> Option<String> {
    let response = visit(gateway, Request::get("/messages"), id, email).await;
    assert_eq!(response.status, 200, "{}", response.text());
    response.echoed().header("Countersign-Details").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_begins_comes_back_as_details_whoever_receives_it() {
    for name in LIVESUPPORTI.into_iter().chain(STANDARD) {
        let echo = Echo::start().await;
        let gateway = start(&echo).await;
        let receiver = Receiver::start(name, gateway.admin).await;
        subscribe(&gateway, &receiver).await;
        let (ana, eve) = ("ana@acme.example", "eve@elsewhere.example");
        assert_eq!(details(&gateway, ID, ana).await, None, "{name}: no chat has begun");

        let begun = visit(&gateway, chat(), ID, ana).await;
        assert_eq!(begun.status, 200, "{name}: {}", begun.text());
        assert_eq!(begun.echoed().header("Countersign-Details"), None, "{name}");
        let known = || async { details(&gateway, ID, ana).await.as_deref() == Some(KNOWN) };
        eventually(&format!("details by {name}"), PATIENCE, known).await;
        // And during the chat, without another request of the visitor's.
        let pushed = || async { echo.received().iter().any(|got| got.target == "/pushed") };
        eventually(&format!("a push after {name}"), PATIENCE, pushed).await;
        let received = echo.received();
        let pushed = received.iter().find(|got| got.target == "/pushed").expect("it is there");
        let pushed: Value = serde_json::from_str(&pushed.body).expect("JSON");
        assert_eq!(pushed["type"], "details.updated", "{name}");
        assert_eq!((&pushed["site"], &pushed["id"]), (&json!("acme"), &json!(ID)), "{name}");
        assert_eq!(pushed["details"], serde_json::from_str::<Value>(KNOWN).expect("JSON"));

        // Whoever is no customer stays unknown, and is no trouble.
        assert_eq!(visit(&gateway, chat(), "user-2", eve).await.status, 200, "{name}");
        let list = "/v1/sites/acme/webhooks/crm/deliveries?state=delivered";
        let both = || async {
            let list = gateway.ask("GET", list).await.json();
            list["deliveries"].as_array().is_some_and(|all| all.len() == 2)
        };
        eventually(&format!("{name} has heard of both"), PATIENCE, both).await;
        assert_eq!(details(&gateway, "user-2", eve).await, None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_email_that_is_only_claimed_finds_nobody() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let receiver = Receiver::start("aspnet/receiver.py", gateway.admin).await;
    subscribe(&gateway, &receiver).await;
    let chat = Request::post("/chats", "application/json", r#"{"email":"ana@acme.example"}"#);
    let guest = gateway.send(&chat.host("chat.test")).await;
    assert_eq!(guest.status, 200, "{}", guest.text());
    let heard = || async {
        let list = gateway.ask("GET", "/v1/sites/acme/webhooks/crm/deliveries").await.json();
        list["deliveries"][0]["state"] == "delivered"
    };
    eventually("the receiver has heard", PATIENCE, heard).await;
    assert!(!echo.received().iter().any(|got| got.target == "/pushed"));
}
