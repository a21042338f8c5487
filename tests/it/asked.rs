//! The website's server is asked about whoever begins a chat (`enrich`), and nobody waits for it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::cases::dialect;
use crate::support::echo::{Echo, silent_backend};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;
use crate::support::receiver::{Receiver, standard_secret};
use crate::support::{PATIENCE, eventually};

const HOST: &str = "chat.test";

async fn start(echo: &Echo, url: &str, timeout: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let site = dialect("jwt").site("chat", HOST, &upstream, "prefer");
    let secret = standard_secret();
    Setup::new(format!(
        "{site}    chat_started: {{ path: /status/201, status: [201] }}\n    enrich: {{ url: \"{url}\", \
         secret: {{ value: \"{secret}\" }}, timeout: {timeout} }}\n"
    ))
    .start()
    .await
}

fn as_ada(request: Request) -> Request {
    let jwt = dialect("jwt");
    request.host(HOST).bearer(&jwt.proof(jwt.secret, "ada", 5))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_website_answers_comes_with_the_next_request() {
    let (echo, receiver) = (Echo::start().await, Receiver::start().await);
    receiver.says(&json!({"fields": [{"name": "Plan", "value": "pro"}]}));
    let gateway = start(&echo, &receiver.url(), "5s").await;
    let chat = || Request::post("/status/201", "application/json", "{}");
    let begun = gateway.send(&as_ada(chat())).await;
    assert_eq!(begun.status, 201);
    let details = || async {
        let echoed = gateway.send(&as_ada(Request::get("/c"))).await.echoed();
        echoed.header("Countersign-Details") == Some(r#"{"Plan":"pro"}"#)
    };
    eventually("the answer is used", PATIENCE, details).await;
    // Asked once, with a signature that holds, and never about a guest.
    assert_eq!(gateway.send(&chat().host(HOST)).await.status, 201);
    assert_eq!(gateway.send(&as_ada(chat())).await.status, 201);
    let [question] = &receiver.received()[..] else { panic!("one question") };
    let request_id = begun.header("Countersign-Request-Id").unwrap();
    // The test's tokens have a name and an email.
    let expected = json!({
        "site": "chat", "id": "ada", "name": "Jürgen", "email": "j@example.com",
        "request_id": request_id,
    });
    assert_eq!(question.body, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_website_that_does_not_answer_delays_nobody() {
    let echo = Echo::start().await;
    let gateway = start(&echo, &format!("http://{}/", silent_backend().await), "30s").await;
    let begun = Instant::now();
    let chat = as_ada(Request::post("/status/201", "application/json", "{}"));
    assert_eq!(gateway.send(&chat).await.status, 201);
    assert_eq!(gateway.send(&as_ada(Request::get("/c"))).await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(20), "the answer would have taken 30 s");
}
