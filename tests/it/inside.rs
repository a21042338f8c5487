//! Subscriptions made through the admin API lead outside, whatever their URL is called; and a
//! guest is known to his website's server by a name that says nothing.

use serde_json::json;

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;
use crate::support::receiver::{Receiver, livesupporti_secret};
use crate::support::{PATIENCE, eventually};

const HOST: &str = "chat.test";
const ALL: &str = "/v1/sites/chat/webhooks";

fn site(echo: &Echo, more: &str) -> Setup {
    let upstream = format!("http://{}", echo.address);
    Setup::new(dialect("jwt").site("chat", HOST, &upstream, "prefer") + more)
}

/// A subscription's entry, for YAML and JSON.
fn entry(name: &str, url: &str) -> String {
    let secret = livesupporti_secret();
    json!({"name": name, "url": url, "format": "livesupporti", "secret": {"value": secret},
           "include": ["visitor"], "retry": ["0s", "1s"]})
    .to_string()
}

async fn state(gateway: &Gateway, name: &str) -> serde_json::Value {
    gateway.ask("GET", &format!("{ALL}/{name}")).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_leads_inside_is_refused_and_counted_and_nobody_inside_hears_of_it() {
    let (echo, receiver) = (Echo::start().await, Receiver::start().await);
    let gateway = site(&echo, "").start().await;
    let port = receiver.address.port();
    let targets = [
        ("loopback", format!("http://127.0.0.1:{port}/hook")),
        ("loopback-v6", format!("http://[::1]:{port}/hook")),
        ("link-local", format!("http://169.254.7.7:{port}/hook")),
        ("metadata", "http://169.254.169.254/latest/meta-data/".to_owned()),
        ("metadata-v6", "http://[fd00:ec2::254]/".to_owned()),
        ("private", format!("http://10.1.2.3:{port}/hook")),
        ("a-name-for-it", format!("http://localhost:{port}/hook")),
        ("mapped", format!("http://[::ffff:127.0.0.1]:{port}/hook")),
        ("translated", format!("http://[64:ff9b::7f00:1]:{port}/hook")),
        ("unspecified", format!("http://0.0.0.0:{port}/hook")),
    ];
    for (name, url) in &targets {
        let made = gateway.say("POST", ALL, &entry(name, url)).await;
        assert_eq!(made.status, 201, "{name}: {}", made.text());
        let labels = [("webhook", *name), ("result", "blocked")];
        gateway.metric_reaches("countersign_webhook_deliveries_total", &labels, 1.0).await;
        let shown = state(&gateway, name).await;
        assert_eq!(shown["state"], "unverified", "{name}: {shown}");
        assert!(shown["problem"].is_string(), "{name}: {shown}");
        let tested = gateway.ask("POST", &format!("{ALL}/{name}/test")).await;
        assert_eq!(tested.json()["delivery"]["ok"], false, "{name}: {}", tested.text());
    }
    assert_eq!((receiver.count(), receiver.challenged().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed() {
    let (echo, receiver) = (Echo::start().await, Receiver::start().await);
    let away =
        format!("HTTP/1.1 307 Away\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", receiver.url());
    echo.will_say("/moved", away);
    let hook = entry("moved", &format!("http://{}/moved", echo.address));
    let gateway = site(&echo, &format!("    webhooks: [ {hook} ]\n")).start().await;
    let tells = || async { state(&gateway, "moved").await["problem"].is_string() };
    eventually("it says what is wrong", PATIENCE, tells).await;
    let tested = gateway.ask("POST", &format!("{ALL}/moved/test")).await.json();
    assert_eq!(
        (&tested["echo"]["ok"], &tested["delivery"]["status"]),
        (&json!(false), &json!(307))
    );
    assert_eq!((receiver.count(), receiver.challenged().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn details_of_a_guest_come_with_the_session_that_began_the_chat() {
    let (echo, receiver) = (Echo::start().await, Receiver::start().await);
    let hook = entry("crm", &format!("{}?tenant=7", receiver.url()));
    let more = format!(
        "    session: {{ request: [ {{ header: X-Auth-Token }} ], response: [ {{ json: /token }} ] }}\n    \
         chat_started: {{ path: /chats, status: [201], account_id: acme, agent_id: \"150\" }}\n    \
         details: {{ username: acme, password: {{ value: letmein-letmein-letmein }} }}\n    \
         webhooks: [ {hook} ]\n"
    );
    let gateway = site(&echo, &more).start().await;
    let body = json!({"token": "s-4711"}).to_string();
    let length = body.len();
    echo.will_say(
        "/chats",
        format!("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"),
    );
    let begun = gateway.send(&Request::post("/chats", "application/json", "{}").host(HOST)).await;
    assert_eq!(begun.status, 201, "{}", begun.text());
    eventually("the website hears of it", PATIENCE, || async { receiver.count() == 1 }).await;
    assert!(receiver.challenged()[0].starts_with("tenant=7&echo="), "{:?}", receiver.challenged());
    let [event] = &receiver.received()[..] else { panic!("one event") };
    let data = &event.body["Notifications"][0]["Data"];
    let visitor = data["Visitor"]["Id"].as_str().unwrap();
    let digits = visitor.strip_prefix("g_").expect("a guest's name");
    assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{visitor}");
    assert_eq!(data["Visitor"], json!({"Id": visitor, "Email": "", "Verified": false}));
    assert_eq!(event.headers["content-type"], "application/json; charset=utf-8");
    assert!(event.raw.starts_with(b"{\r\n  \"Id\": \""), "{:?}", event.raw);
    let said = json!({"AccountId": data["AccountId"], "AgentId": data["AgentId"], "VisitorId": visitor,
                      "Fields": [{"name": "Age", "value": "25"}]});
    let path = format!("/api/visitors/{visitor}/details");
    let posted = Request::post(&path, "application/json; charset=utf-8", said.to_string())
        .host("localhost")
        // acme:letmein-letmein-letmein
        .header("Authorization", "Basic YWNtZTpsZXRtZWluLWxldG1laW4tbGV0bWVpbg==")
        .send(gateway.admin)
        .await;
    assert_eq!(posted.status, 200, "{}", posted.text());
    let next = Request::get("/c").host(HOST);
    let with = gateway.send(&next.clone().header("X-Auth-Token", "s-4711")).await.echoed();
    assert_eq!(with.header("Countersign-Details"), Some(r#"{"Age":"25"}"#));
    assert_eq!(
        (with.header("Countersign-Status"), with.header("Countersign-Id")),
        (Some("guest"), None)
    );
    for other in [next.clone(), next.header("X-Auth-Token", "s-4712")] {
        assert_eq!(gateway.send(&other).await.echoed().header("Countersign-Details"), None);
    }
}
