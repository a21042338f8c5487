//! Subscriptions as operators see and make them, while their receivers are away.

use serde_json::{Value, json};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{ADMIN_TOKEN, Gateway, Setup};
use crate::support::raw::{Request, Response};
use crate::support::{PATIENCE, eventually, ports};

const HOST: &str = "chat.test";
const ALL: &str = "/v1/sites/chat/webhooks";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A site that tells `crm`, where nobody listens, of chats; `more` are further members of it.
async fn start(echo: &Echo, more: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = dialect("jwt").site("chat", HOST, &upstream, "prefer");
    sites += &format!(
        "    chat_started: {{ path: /chats }}\n    webhooks: [ {{ name: crm, url: \
         \"http://{}/hook?token=hush\", format: livesupporti, secret: {{ value: {SECRET} }}, \
         include: [visitor], headers: {{ X-Key: hush }}, retry: [0s, 1m] }} ]\n{more}",
        ports::free()
    );
    Setup::new(sites).start().await
}

async fn begin_chat(gateway: &Gateway, id: &str) {
    let jwt = dialect("jwt");
    let chat = Request::post("/chats", "text/plain", "hello").host(HOST);
    let answer = gateway.send(&chat.bearer(&jwt.proof(jwt.secret, id, 5))).await;
    assert_eq!(answer.status, 200);
}

fn entry(name: &str, url: &str) -> String {
    let secret = json!({"value": SECRET});
    json!({"name": name, "url": url, "format": "livesupporti", "secret": secret}).to_string()
}

async fn one(gateway: &Gateway, name: &str) -> Response {
    gateway.ask("GET", &format!("{ALL}/{name}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_waits_for_a_receiver_that_has_not_confirmed_itself() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    begin_chat(&gateway, "ada").await;
    let shown = one(&gateway, "crm").await;
    assert!(!shown.text().contains("hush") && !shown.text().contains(SECRET), "{}", shown.text());
    let shown = shown.json();
    for (member, value) in [
        ("origin", json!("configuration")),
        ("state", json!("unverified")),
        ("format", json!("livesupporti")),
        ("headers", json!(["x-key"])),
        ("include", json!(["visitor"])),
        ("retry", json!(["0s", "60s"])),
        ("queued", json!(1)),
        ("dead", json!(0)),
    ] {
        assert_eq!(shown[member], value, "{member}: {shown}");
    }
    let path = format!("{ALL}/crm/deliveries?state=queued");
    let queued = gateway.ask("GET", &path).await.json();
    let [delivery] = queued["deliveries"].as_array().unwrap().as_slice() else {
        panic!("{queued}");
    };
    assert_eq!((&delivery["event"], &delivery["attempts"]), (&json!("chat.started"), &json!(0)));
    let id = delivery["id"].as_str().unwrap();
    let replay = gateway.ask("POST", &format!("{ALL}/crm/deliveries/{id}/replay")).await;
    assert_eq!((replay.status, replay.code()), (409, "conflict".to_owned()));
    eventually("/readyz says so", PATIENCE, || async {
        let ready = gateway.ask("GET", "/readyz?verbose").await;
        let told = ready.json();
        let check = told["checks"]["webhooks"].clone();
        let detail = check["detail"].as_str().unwrap_or_default();
        ready.status == 200
            && told["status"] == "degraded"
            && check["ok"] == false
            && detail.starts_with("chat/crm: unverified")
            && !detail.contains("hush")
    })
    .await;
    // A privacy request takes what is queued with it.
    assert_eq!(gateway.ask("DELETE", "/v1/sites/chat/visitors/ada").await.status, 204);
    assert_eq!(gateway.ask("GET", &path).await.json(), json!({"deliveries": []}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_made_and_ended_by_an_operator_and_hears_of_chats_meanwhile() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "    webhook_private_targets: true\n").await;
    let url = format!("http://{}/other?token=hush", ports::free());
    let made = gateway.say("POST", ALL, &entry("other", &url)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("location"), Some("/v1/sites/chat/webhooks/other"));
    assert_eq!(made.json()["origin"], "admin");
    assert!(!made.text().contains("hush") && !made.text().contains(SECRET), "{}", made.text());
    begin_chat(&gateway, "ada").await;
    let all = gateway.ask("GET", ALL).await.json();
    let names: Vec<_> =
        all["webhooks"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, [&json!("crm"), &json!("other")]);
    assert_eq!(one(&gateway, "other").await.json()["queued"], 1);
    for taken in ["other", "crm"] {
        let again = gateway.say("POST", ALL, &entry(taken, &url)).await;
        assert_eq!((again.status, again.code()), (409, "conflict".to_owned()), "{taken}");
    }
    // It survives a reload.
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(one(&gateway, "other").await.status, 200);
    assert_eq!(gateway.ask("DELETE", &format!("{ALL}/other")).await.status, 204);
    assert_eq!(gateway.ask("DELETE", &format!("{ALL}/other")).await.status, 404);
    assert_eq!(one(&gateway, "other").await.status, 404);
    let own = gateway.ask("DELETE", &format!("{ALL}/crm")).await;
    assert_eq!((own.status, own.code()), (409, "conflict".to_owned()));
    for action in ["subscribe", "unsubscribe"] {
        let line = gateway.log_line(&format!("\"action\":\"{action}\"")).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["target"], &line["webhook"]), (&json!("audit"), &json!("other")));
    }
    let log = gateway.log();
    assert!(!log.contains("hush") && !log.contains(SECRET) && !log.contains(ADMIN_TOKEN), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_none_is_refused_in_sentences_that_keep_secrets() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let fine = entry("other", "https://crm.example/hook");
    for (wrong, said) in [
        (String::new(), "JSON"),
        ("[]".to_owned(), "a JSON object"),
        (fine.replace("livesupporti", "pigeon"), "pigeon"),
        (fine.replace(SECRET, "hush-hush"), "secret"),
        (fine.replace("https:", "ftp:"), "/url"),
        (fine.replace("other", "Not A Name"), "/name"),
        (fine.replacen('{', r#"{"colour": "red", "#, 1), "colour"),
        (fine.replace("\"value\"", "\"file\""), "/secret"),
    ] {
        let refused = gateway.say("POST", ALL, &wrong).await;
        assert_eq!((refused.status, refused.code()), (400, "bad_request".to_owned()), "{wrong}");
        let told = refused.text();
        assert!(told.contains(said) && !told.contains("hush"), "{wrong}: {told}");
    }
    assert_eq!(gateway.ask("GET", ALL).await.json()["webhooks"].as_array().unwrap().len(), 1);
}
