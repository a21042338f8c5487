//! What operators see of the website's server: its subscriptions, what became of events, and
//! what it said of visitors.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::AdminState;
use super::answer::tests::{Ask, Away, admin, admin_says, body, state_of_sites, state_with_sites};
use crate::clock::UnixTime;
use crate::gate::Mode;
use crate::plan::{DetailsApi, Format, Include, Reach, Site, Webhook};
use crate::refusal::Reply;
use crate::secret::Secret;
use crate::store::outbox::{Delivery, DeliveryState, Event, EventKind, Hook, Progress};
use crate::store::{Change, Chat};
use crate::telemetry::fixture::site;

const CRM: &str = "/v1/sites/acme/webhooks/crm";

/// `acme`, which tells `crm` and takes details from `acme:open sesame`.
fn acme() -> Vec<Site> {
    let mut acme = site(0, "acme", Mode::Require);
    acme.website.webhooks.push(Arc::new(Webhook {
        name: "crm".into(),
        url: Uri::from_static("https://crm.example:8443/hook?token=hush"),
        format: Format::Livesupporti,
        secrets: vec![Secret::new(b"hush-hush-hush-hush-hush-hush-32".to_vec())],
        include: Include { visitor: true, claimed: false },
        headers: vec![(HeaderName::from_static("x-key"), HeaderValue::from_static("hush"))],
        properties: vec![("plan".into(), "pro".into())],
        retry: vec![Duration::ZERO, Duration::from_millis(1500), Duration::from_secs(60)],
        reach: Reach::Anywhere,
        print: 7,
    }));
    acme.website.details = Some(Arc::new(DetailsApi {
        username: "acme".into(),
        password: Secret::new(b"open sesame".to_vec()),
        public: false,
        allow_cleartext: false,
        push: None,
    }));
    vec![acme]
}

fn chat(state: &AdminState, visitor: &str, id: &str) {
    let now = UnixTime::now();
    let event = Event {
        kind: EventKind::ChatStarted,
        at: now,
        request_id: "r1".into(),
        account_id: "acme".into(),
        agent_id: "150".into(),
        verified: true,
        email: None,
        name: None,
        claimed: None,
    };
    let delivery =
        Delivery { id: id.into(), webhook: "crm".into(), visitor: visitor.into(), event };
    let chat = Chat {
        session: id.into(),
        visitor: visitor.into(),
        account_id: "acme".into(),
        agent_id: "150".into(),
        at: now,
        until: now.after(Duration::from_secs(60)),
        known_until: now.after(Duration::from_secs(60)),
        deliveries: vec![Arc::new(delivery)],
    };
    state.store().note(Change::Chat { site: "acme".into(), chat: Arc::new(chat) });
}

async fn settle(state: &AdminState, id: &str, to: DeliveryState) {
    let hook = Hook { site: "acme".into(), name: "crm".into() };
    let outbox = state.store().outbox();
    outbox.take(&hook, UnixTime::now(), 10).await.unwrap();
    let problem = (to == DeliveryState::Dead).then(|| "answered 500".to_owned());
    let (at, due) = (UnixTime::from_secs(7), UnixTime::from_secs(8));
    let progress = Progress { state: to, attempts: 3, last_status: Some(500), problem, at, due };
    outbox.settle(&hook, &id.into(), progress).await.unwrap();
}

async fn listed(state: &Arc<AdminState>, query: &str) -> Vec<Value> {
    let reply = admin(state, "GET", &format!("{CRM}/deliveries{query}")).await;
    assert_eq!(reply.status, 200);
    body(&reply)["deliveries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_subscription_is_shown_without_any_secret() {
    let state = state_of_sites(acme);
    chat(&state, "ada", "d1");
    let all = admin(&state, "GET", "/v1/sites/acme/webhooks").await;
    let one = admin(&state, "GET", CRM).await;
    let mut shown = body(&one);
    assert_eq!(body(&all), json!({"webhooks": [shown]}));
    assert!(shown["oldest"].take().is_u64());
    let expected = json!({
        "name": "crm", "url": "https://crm.example:8443/hook", "format": "livesupporti",
        "events": ["chat.started"], "include": ["visitor"], "headers": ["x-key"],
        "properties": {"plan": "pro"}, "retry": ["0s", "1.5s", "60s"],
        "origin": "configuration", "state": "unverified", "queued": 1, "dead": 0, "oldest": null,
    });
    assert_eq!(shown, expected);
    for reply in [all, one] {
        assert!(!String::from_utf8(reply.body.to_vec()).unwrap().contains("hush"));
    }
}

#[tokio::test]
async fn what_is_the_configuration_s_is_not_ended_here_and_nothing_else_is_found() {
    let state = state_of_sites(acme);
    for (method, target, status) in [
        ("DELETE", CRM, 409),
        ("DELETE", "/v1/sites/acme/webhooks/other", 404),
        ("GET", "/v1/sites/acme/webhooks/other", 404),
        ("POST", "/v1/sites/acme/webhooks/other/test", 404),
        ("GET", "/v1/sites/acme/webhooks/other/deliveries", 404),
        ("GET", "/v1/sites/acme/webhooks/details.push/deliveries", 404),
        ("POST", "/v1/sites/acme/webhooks/other/deliveries/d1/replay", 404),
        ("GET", "/v1/sites/nobody/webhooks", 404),
        ("PUT", "/v1/sites/acme/webhooks", 405),
        ("POST", CRM, 405),
        ("GET", "/v1/sites/acme/webhooks/crm/test", 405),
        ("POST", "/v1/sites/acme/webhooks/crm/deliveries", 405),
        ("GET", "/v1/sites/acme/webhooks/crm/deliveries/d1/replay", 405),
    ] {
        assert_eq!(admin(&state, method, target).await.status, status, "{method} {target}");
    }
    let reply = admin(&state, "DELETE", CRM).await;
    assert!(body(&reply)["detail"].as_str().unwrap().contains("remove it from the file"));
    assert_eq!(admin(&state, "GET", CRM).await.status, 200);
}

#[tokio::test]
async fn an_entry_that_is_none_is_refused_with_what_is_wrong() {
    let state = state_of_sites(acme);
    for wrong in ["", "[]", "{", r#"{"name": "crm"}"#, r#"{"name": "x", "url": "ftp://x/"}"#] {
        let reply = admin_says(&state, "POST", "/v1/sites/acme/webhooks", wrong).await;
        assert_eq!((reply.status, &body(&reply)["code"]), (400, &json!("bad_request")), "{wrong}");
    }
}

#[tokio::test]
async fn deliveries_are_listed_by_state_and_dead_letters_replayed() {
    let state = state_of_sites(acme);
    for id in ["d1", "d2", "d3"] {
        chat(&state, "ada", id);
    }
    settle(&state, "d1", DeliveryState::Delivered).await;
    settle(&state, "d2", DeliveryState::Dead).await;
    let dead = json!({
        "id": "d2", "event": "chat.started", "state": "dead", "attempts": 3, "last_status": 500,
        "problem": "answered 500", "at": 7, "due": null,
    });
    assert_eq!(listed(&state, "?state=dead").await, [dead]);
    let ids = |listed: Vec<Value>| -> Vec<String> {
        listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(listed(&state, "").await), ["d3", "d2", "d1"]);
    assert_eq!(ids(listed(&state, "?limit=2").await), ["d3", "d2"]);
    assert_eq!(ids(listed(&state, "?limit=1000&state=queued").await), ["d3"]);
    for query in ["?limit=0", "?limit=1001", "?limit=all", "?state=lost", "?state="] {
        let reply = admin(&state, "GET", &format!("{CRM}/deliveries{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
    }
    let replay =
        async |id| admin(&state, "POST", &format!("{CRM}/deliveries/{id}/replay")).await.status;
    assert_eq!((replay("d1").await, replay("d3").await, replay("d9").await), (409, 409, 404));
    assert_eq!((replay("d2").await, replay("d2").await), (202, 409));
    let [queued, ..] = &listed(&state, "?state=queued&limit=2").await[..] else { panic!() };
    assert!(queued["due"].is_u64(), "{queued}");
}

#[tokio::test]
async fn a_replay_that_cannot_be_kept_is_503() {
    let state = state_with_sites(acme, Away::store(true));
    chat(&state, "ada", "d1");
    settle(&state, "d1", DeliveryState::Dead).await;
    let reply = admin(&state, "POST", &format!("{CRM}/deliveries/d1/replay")).await;
    assert_eq!((reply.status, &body(&reply)["code"]), (503, &json!("store_unavailable")));
    assert_eq!(listed(&state, "?state=dead").await.len(), 1);
}

/// Posts details of somebody to the admin listener, or what else it is that is `asked`.
async fn post(state: &Arc<AdminState>, visitor: &str, asked: Ask<'_>) -> Reply {
    let target = format!("/api/visitors/{visitor}/details");
    Ask { method: "POST", target: &target, ..asked }.of(state).await
}

/// `acme:open sesame`.
const BASIC: Option<&str> = Some("Basic YWNtZTpvcGVuIHNlc2FtZQ==");

#[tokio::test]
async fn what_the_website_s_server_says_of_a_guest_is_shown_and_erased_with_all_else() {
    let state = state_of_sites(acme);
    let (target, visitor) = ("/v1/sites/acme/visitors/g_1", "g_1");
    chat(&state, visitor, "d1");
    let fields = r#"[{"name": "Plan", "value": "pro"}, {"name": "Age", "value": "25"}]"#;
    let text = format!(
        r#"{{"AccountId": "acme", "AgentId": "150", "VisitorId": "g_1", "Fields": {fields}}}"#
    );
    let asked = || Ask { token: BASIC, body: &text, ..Ask::default() };
    let kept = post(&state, visitor, asked()).await;
    assert_eq!((kept.status, &kept.body[..]), (200, &b"{}"[..]));
    let reply = admin(&state, "GET", target).await;
    let order = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(order.contains(r#""details":{"Plan":"pro","Age":"25"}"#), "{order}");
    let shown = body(&reply);
    assert!(shown["chat_started"].as_u64().unwrap().abs_diff(UnixTime::now().as_secs()) < 60);
    assert_eq!((&shown["account_id"], &shown["agent_id"]), (&json!("acme"), &json!("150")));
    assert_eq!(listed(&state, "").await.len(), 1);
    assert_eq!(admin(&state, "DELETE", target).await.status, 204);
    assert_eq!(listed(&state, "").await, [] as [Value; 0]);
    let gone = body(&admin(&state, "GET", target).await);
    assert_eq!((&gone["details"], &gone["chat_started"]), (&json!({}), &Value::Null));
    assert_eq!(post(&state, visitor, asked()).await.status, 400);
}

#[tokio::test]
async fn details_are_for_the_site_s_credentials_alone_and_only_at_the_admin_listener() {
    let state = state_of_sites(acme);
    let token = Some("Bearer letmein-letmein-letmein");
    for (token, full, host, status) in [
        (BASIC, true, "localhost:9090", 400),
        (token, true, "localhost:9090", 401),
        (None, true, "localhost:9090", 401),
        (Some("Basic YWNtZTp3cm9uZw=="), true, "localhost:9090", 401),
        (BASIC, true, "evil.example", 403),
        (BASIC, false, "localhost:9090", 404),
    ] {
        let reply = post(&state, "ada", Ask { token, full, host, ..Ask::default() }).await;
        assert_eq!(reply.status, status, "{token:?} {full} {host}");
    }
    let basic = Ask { method: "GET", token: BASIC, ..Ask::default() };
    let got = Ask { target: "/api/visitors/ada/details", ..basic }.of(&state).await;
    assert_eq!(got.status, 405);
    assert_eq!(
        Ask { target: "/v1/sites", token: BASIC, ..Ask::default() }.of(&state).await.status,
        401
    );
}
