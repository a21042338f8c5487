//! `examples/webhook-receivers` against known bytes, each run with its own runtime: what was
//! signed is taken and acted upon once, everything else is refused and does nothing.
//!
//! Nothing of Countersign takes part, so that they are its judges in `round_trip`.

pub mod running;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use serde_yaml::Value as Yaml;
use sha2::Sha256;

use self::running::{LIVESUPPORTI, PASSWORD, Receiver, SECRET, STANDARD, STANDARD_SECRET, USER};
use crate::signers::runtimes::examples;
use crate::support::echo::{Echo, Echoed};
use crate::support::raw::{Request, Response};
use crate::support::sign;

const JSON: &str = "application/json; charset=utf-8";

/// ASP.NET WebHooks' own test: what its receiver refuses as the signature's header.
const BAD_HEADERS: [&str; 7] = ["", "=", "==", "invalid", "sha256", "sha256=", "k1=v1;k2=v2"];

fn digest(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hex(secret: &str, message: &str) -> String {
    sign::hash(secret, message).to_uppercase()
}

/// A body and its signature of the recorded ones.
fn recorded(name: &str) -> (String, String) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/primitives");
    let lists = ["signatures.yaml", "webhooks.yaml"].map(|file| {
        let list = std::fs::read_to_string(format!("{folder}/{file}")).expect("vectors");
        serde_yaml::from_str::<Vec<Yaml>>(&list).expect("a list")
    });
    let found = lists.iter().flatten().find(|vector| vector["name"] == name).expect(name);
    assert_eq!(found["secret"], SECRET, "{name}");
    let text = |member: &str| found[member].as_str().expect("text").to_owned();
    (text("message"), text("signature"))
}

/// A chat's beginning as Countersign's format for LiveSupporti has it.
fn chat_started(id: &str, email: &str) -> String {
    json!({
        "Id": id, "Attempt": 1, "Properties": {},
        "Notifications": [{ "Action": "chat.started", "Data": {
            "AccountId": "acme", "AgentId": "150",
            "Visitor": { "Id": "user/1 ü", "Email": email, "Verified": true },
        } }],
    })
    .to_string()
}

async fn post(receiver: &Receiver, body: &str, signatures: &[&str]) -> Response {
    let request = Request::post("/hook", JSON, body).host("crm.test").header("Connection", "close");
    let signed = signatures.iter().fold(request, |r, value| r.header("ms-signature", value));
    signed.send(receiver.address).await
}

async fn deliver(receiver: &Receiver, body: &str) -> Response {
    post(receiver, body, &[&format!("sha256={}", hex(SECRET, body))]).await
}

async fn deliver_standard(receiver: &Receiver, id: &str, at: u64, body: &str) -> Response {
    let key = STANDARD_SECRET.strip_prefix("whsec_").expect("a prefix");
    let key = BASE64.decode(key).expect("base64");
    let signature = BASE64.encode(digest(&key, format!("{id}.{at}.{body}").as_bytes()));
    let request = Request::post("/hook", "application/json", body).host("crm.test");
    let request = request.header("webhook-id", id).header("webhook-timestamp", &at.to_string());
    // As with two secrets: one of them fits.
    let signatures = format!("v1,{} v1,{signature}", BASE64.encode([0; 32]));
    request
        .header("webhook-signature", &signatures)
        .header("Connection", "close")
        .send(receiver.address)
        .await
}

/// What the receiver posted.
fn is_posted(posted: &[Echoed], name: &str) {
    assert_eq!(posted.len(), 1, "{name}: {posted:#?}");
    let post = &posted[0];
    assert_eq!(post.method, "POST", "{name}");
    assert_eq!(post.target, "/api/visitors/user%2F1%20%C3%BC/details", "{name}");
    let basic = format!("Basic {}", BASE64.encode(format!("{USER}:{PASSWORD}")));
    assert_eq!(post.header("Authorization"), Some(&*basic), "{name}");
    assert_eq!(post.header("Content-Type"), Some(JSON), "{name}");
    let body: Value = serde_json::from_str(&post.body).expect("JSON");
    let field = |name: &str, value: &str| json!({ "name": name, "value": value });
    let fields = [field("Name", "Ana Torres"), field("Plan", "Gold"), field("Open orders", "2")];
    let expected = json!({
        "AccountId": "acme", "AgentId": "150", "VisitorId": "user/1 ü", "Fields": fields,
    });
    assert_eq!(body, expected, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_receiver_answers_the_echo_in_plain_text_and_lets_the_vendors_page_ask() {
    let details = Echo::start().await;
    for name in LIVESUPPORTI.into_iter().chain(STANDARD) {
        let receiver = Receiver::start(name, details.address).await;
        let echo = "0123456789abcdef0123456789abcdef";
        let question = Request::get(&format!("/hook?a=1&echo={echo}")).host("crm.test");
        let question = question.header("Origin", "https://livesupporti.com");
        let answer = question.send(receiver.address).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, echo), "{name}");
        let media_type = answer.header("content-type").unwrap_or_default();
        assert!(media_type.to_lowercase().starts_with("text/plain"), "{name}: {media_type}");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://livesupporti.com"), "{name}");
        let nothing = Request::get("/hook").host("crm.test").send(receiver.address).await;
        assert_ne!(nothing.status, 200, "{name}");
    }
    assert!(details.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_livesupporti_receiver_takes_what_is_signed_acts_once_and_refuses_the_rest() {
    let details = Echo::start().await;
    let (known, signature) = recorded("livesupporti-chat-started");
    for name in LIVESUPPORTI {
        let receiver = Receiver::start(name, details.address).await;
        let upper = format!("sha256={}", signature.to_uppercase());
        assert_eq!(post(&receiver, &known, &[&upper]).await.status, 200, "{name}");
        assert!(details.take().is_empty(), "{name}: nobody knows that email");
        // The same JSON in other bytes, somebody else's secret, no signature.
        let again: Value = serde_json::from_str(&known).expect("JSON");
        let other = format!("sha256={}", hex(&SECRET.replace('1', "2"), &known));
        for (body, signatures) in
            [(&again.to_string(), vec![&*upper]), (&known, vec![&*other]), (&known, vec![])]
        {
            let status = post(&receiver, body, &signatures).await.status;
            assert_eq!(status, if name.starts_with("aspnet") { 400 } else { 401 }, "{name}");
        }
        assert!(details.take().is_empty(), "{name}");

        let body = chat_started("a1", "ana@acme.example");
        assert_eq!(deliver(&receiver, &body).await.status, 200, "{name}");
        is_posted(&details.take(), name);
        let again = body.replace("\"Attempt\":1", "\"Attempt\":2");
        assert_ne!(again, body);
        assert_eq!(deliver(&receiver, &again).await.status, 200, "{name}");
        assert!(details.take().is_empty(), "{name}: once is enough");
        let guest = chat_started("a2", "");
        assert_eq!(deliver(&receiver, &guest).await.status, 200, "{name}");
        assert!(details.take().is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_posted_is_asked_for_again() {
    let details = Echo::start().await;
    let body = chat_started("a1", "ana@acme.example");
    let path = "/api/visitors/user%2F1%20%C3%BC/details";
    for name in LIVESUPPORTI {
        let receiver = Receiver::start(name, details.address).await;
        details
            .will_say(path, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(deliver(&receiver, &body).await.status, 500, "{name}");
        details.will_say(path, "");
        details.take();
        assert_eq!(deliver(&receiver, &body).await.status, 200, "{name}");
        is_posted(&details.take(), name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_of_aspnet_are_those_of_its_own_tests() {
    let details = Echo::start().await;
    let receiver = Receiver::start("aspnet/receiver.py", details.address).await;
    let (body, signature) = recorded("aspnet-webhooks-receiver-valid");
    for good in
        ["sha256={}", " sha256={}", "sha256 ={}", "sha256= {}", " sha256 = {}", "SHA256={}="]
    {
        for signature in [signature.to_uppercase(), signature.to_lowercase()] {
            let header = good.replace("{}", &signature);
            let answer = post(&receiver, &body, &[&header]).await;
            assert_eq!(answer.status, 200, "{header}: {}", answer.text());
        }
    }
    let right = format!("sha256={signature}");
    let long = format!("sha256={signature}00");
    let not_hex = format!("sha256={}", signature.replace('7', "g"));
    let more = [&*long, &*not_hex, &*signature];
    for bad in BAD_HEADERS.into_iter().chain(more) {
        assert_eq!(post(&receiver, &body, &[bad]).await.status, 400, "{bad}");
    }
    assert_eq!(post(&receiver, &body, &[]).await.status, 400);
    assert_eq!(post(&receiver, &body, &[&right, &right]).await.status, 400, "exactly one");
    let plain = Request::post("/hook", "text/plain", &*body).host("crm.test");
    let plain = plain.header("ms-signature", &right).send(receiver.address).await;
    assert_eq!(plain.status, 415);
    let broken = post(&receiver, "[1", &[&format!("sha256={}", hex(SECRET, "[1"))]).await;
    assert_eq!(broken.status, 400);
    let put = Request::new("PUT", "/hook").host("crm.test").send(receiver.address).await;
    assert_eq!(put.status, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_standard_receiver_takes_what_is_signed_acts_once_and_refuses_the_rest() {
    let details = Echo::start().await;
    let body = json!({
        "type": "chat.started", "timestamp": "2026-11-21T12:00:00Z",
        "data": {
            "account_id": "acme", "agent_id": "150",
            "visitor": { "id": "user/1 ü", "email": "ana@acme.example", "verified": true },
        },
    })
    .to_string();
    let now = sign::now();
    for name in STANDARD {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let receiver = Receiver::with_secret(name, details.address, secret).await;
        // The specification's own sample: rightly signed, in February 2021.
        let sample = Request::post("/hook", "application/json", r#"{"test": 2432232314}"#)
            .host("crm.test")
            .header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
            .header("webhook-timestamp", "1614265330")
            .header("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let answer = sample.send(receiver.address).await;
        assert_eq!(answer.status, 401, "{name}");
        assert!(answer.text().contains("too old"), "{name}: {}", answer.text());

        let receiver = Receiver::start(name, details.address).await;
        for _ in 0..2 {
            let answer = deliver_standard(&receiver, "msg_1", now, &body).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        }
        is_posted(&details.take(), name);
        let late = deliver_standard(&receiver, "msg_2", now - 600, &body).await;
        assert_eq!(late.status, 401, "{name}");
        let unsigned = Request::post("/hook", "application/json", &*body).host("crm.test");
        assert_eq!(unsigned.send(receiver.address).await.status, 401, "{name}");
        let forged = Request::post("/hook", "application/json", &*body)
            .host("crm.test")
            .header("webhook-id", "msg_3")
            .header("webhook-timestamp", &now.to_string())
            .header("webhook-signature", &format!("v1,{}", BASE64.encode([0; 32])));
        assert_eq!(forged.send(receiver.address).await.status, 401, "{name}");
        assert!(details.take().is_empty(), "{name}");
    }
}

#[test]
fn every_receiver_is_listed() {
    let folder = examples("webhook-receivers");
    let list = std::fs::read_to_string(folder.join("README.md")).expect("a page");
    for name in LIVESUPPORTI.into_iter().chain(STANDARD).chain(["aspnet/WebHookHandler.cs"]) {
        assert!(list.contains(&format!("]({name})")), "{name}");
    }
    let mut found = Vec::new();
    for language in ["aspnet", "node", "php", "python"] {
        let files = std::fs::read_dir(folder.join(language)).expect("a folder");
        found.extend(files.map(|file| {
            format!("{language}/{}", file.expect("an entry").file_name().to_string_lossy())
        }));
    }
    assert_eq!(found.len(), LIVESUPPORTI.len() + STANDARD.len() + 1, "{found:?}");
}
