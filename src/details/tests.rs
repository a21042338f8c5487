//! Requests as the website's server makes them, good and bad.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::*;
use crate::gate::Mode;
use crate::secret::Secret;
use crate::store::{Chat, Keeper, Outage, State, volatile};
use crate::telemetry::fixture::{plan, site};

/// `acme` with the password `open sesame`, `other` with `a:b`, and one without details.
pub(super) fn sites() -> Vec<Site> {
    let names = [("acme", "open sesame"), ("other", "a:b"), ("silent", "")];
    let each = names.iter().enumerate().map(|(index, (name, password))| {
        let mut site = site(index, name, Mode::Require);
        site.website.details = (!password.is_empty()).then(|| {
            Arc::new(DetailsApi {
                username: (*name).into(),
                password: Secret::new(password.as_bytes().to_vec()),
                public: false,
                allow_cleartext: false,
                push: None,
            })
        });
        site
    });
    each.collect()
}

/// An `Authorization` field.
pub(super) fn basic(username: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    format!("Basic {pair}")
}

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

fn over(store: Arc<Store>) -> Details {
    let webhooks = Webhooks::new(store.clone(), &plan(sites()));
    Details::new(store, webhooks)
}

/// A site's memory in which the chat of `g_1` began a minute ago.
fn details() -> Details {
    let store = Arc::new(volatile::open().unwrap());
    let begun = UnixTime::from_secs(NOW.as_secs() - 60);
    let chat = Chat {
        session: "s1".into(),
        visitor: "g_1".into(),
        account_id: "acme".into(),
        agent_id: "150".into(),
        at: begun,
        until: begun.after(Duration::from_secs(3600)),
        known_until: begun.after(Duration::from_secs(3600)),
        deliveries: Vec::new(),
    };
    store.note(Change::Chat { site: "acme".into(), chat: Arc::new(chat) });
    over(store)
}

fn body(visitor: &str, fields: &Value) -> String {
    json!({"AccountId": "acme", "AgentId": "150", "VisitorId": visitor, "Fields": fields})
        .to_string()
}

async fn post(details: &Details, visitor: &str, body: &str) -> (u16, Value) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = Body::Whole(body.as_bytes());
    let asked = Asked { method: &Method::POST, place: visitor, headers: &headers, body };
    let reply = reply(details.take(&sites()[0], &asked, NOW).await, "r1");
    (reply.status, serde_json::from_slice(&reply.body).unwrap())
}

fn stored(details: &Details) -> Option<Arc<str>> {
    details.store.memory().site("acme").unwrap().visits().details("g_1", NOW)
}

#[tokio::test]
async fn details_of_a_known_visitor_are_kept_and_replaced_by_name() {
    let details = details();
    let first = json!([{"name": "Name", "value": "Jason"}, {"name": "Age", "value": "25"}]);
    assert_eq!(post(&details, "g_1", &body("g_1", &first)).await, (200, json!({})));
    let second = json!([{"name": "Age", "value": "26"}]);
    assert_eq!(post(&details, "%67_1", &body("g_1", &second)).await, (200, json!({})));
    assert_eq!(stored(&details).as_deref(), Some(r#"{"Name":"Jason","Age":"26"}"#));
}

#[tokio::test]
async fn what_is_not_as_it_was_notified_stores_nothing() {
    let details = details();
    let fields = json!([{"name": "Age", "value": "25"}]);
    let fine = body("g_1", &fields);
    for (visitor, body, said) in [
        ("g_2", body("g_2", &fields), "no visitor of this id is known"),
        ("g_2", fine.clone(), "`VisitorId` is not"),
        ("g_%ff", fine.clone(), "not UTF-8"),
        ("g_1", fine.replace("acme", "Acme"), "`AccountId` is not the one"),
        ("g_1", fine.replace("150", "151"), "`AgentId` is not the one"),
    ] {
        let (status, told) = post(&details, visitor, &body).await;
        assert_eq!((status, &told["code"]), (400, &json!("bad_request")), "{said}");
        assert!(told["detail"].as_str().unwrap().contains(said), "{told}");
    }
    assert_eq!(stored(&details), None);
}

#[tokio::test]
async fn nobody_has_more_than_a_hundred_fields_in_all() {
    let details = details();
    let field = |n: usize| json!({"name": format!("n{n}"), "value": "v"});
    let some = |range: std::ops::Range<usize>| range.map(field).collect::<Value>();
    assert_eq!(post(&details, "g_1", &body("g_1", &some(0..60))).await.0, 200);
    let (status, told) = post(&details, "g_1", &body("g_1", &some(50..101))).await;
    let said = "a visitor has at most 100 fields: 60 are known, and 41 are new";
    assert_eq!((status, &told["detail"]), (400, &json!(said)));
    assert_eq!(post(&details, "g_1", &body("g_1", &some(50..100))).await.0, 200);
}

#[tokio::test]
async fn only_a_whole_body_that_is_posted_is_read() {
    let (details, mut headers) = (details(), HeaderMap::new());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (method, body, status) in [
        (Method::GET, Body::Whole(b""), 405),
        (Method::PUT, Body::Whole(b"{}"), 405),
        (Method::OPTIONS, Body::Whole(b""), 405),
        (Method::POST, Body::TooLarge, 400),
        (Method::POST, Body::Broken, 400),
        (Method::POST, Body::Whole(b""), 400),
    ] {
        let asked = Asked { method: &method, place: "g_1", headers: &headers, body };
        let reply = reply(details.take(&sites()[0], &asked, NOW).await, "r1");
        assert_eq!(reply.status, status, "{method} {body:?}");
        assert_eq!(reply.header(header::ALLOW).is_some(), status == 405);
        assert_eq!(reply.header(header::CACHE_CONTROL), Some("no-store"));
    }
}

/// A keeper that keeps nothing.
struct Away;

#[async_trait::async_trait]
impl Keeper for Away {
    async fn write(&self, _change: Change) -> Result<(), Outage> {
        Err(Outage("the disk is full".into()))
    }

    fn note(&self, _change: Change) {}

    fn state(&self) -> State {
        State { kind: "embedded", up: false, synced: true, detail: "full".into() }
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_503_and_is_not_there() {
    let memory = details().store.memory().clone();
    let details = over(Arc::new(Store::new(memory, Box::new(Away))));
    let fields = json!([{"name": "Age", "value": "25"}]);
    let (status, told) = post(&details, "g_1", &body("g_1", &fields)).await;
    assert_eq!((status, &told["code"]), (503, &json!("store_unavailable")));
    assert_eq!(stored(&details), None);
}

#[test]
fn whoever_guesses_is_not_listened_to_for_a_while() {
    let (details, sites, now) = (details(), sites(), Instant::now());
    let client = |last| Some(IpAddr::from([203, 0, 113, last]));
    let admit = |password: &str, client, now| {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, basic("acme", password).parse().unwrap());
        let admitted = details.admit(sites.iter(), &headers, client, now);
        reply(admitted.map(|_| ()), "r1")
    };
    for _ in 0..30 {
        let refused = admit("wrong", client(1), now);
        assert_eq!(refused.status, 401);
        let challenge = r#"Basic realm="countersign", charset="UTF-8""#;
        assert_eq!(refused.header(header::WWW_AUTHENTICATE), Some(challenge));
        // Whoever is right is counted as often as he likes.
        assert_eq!(admit("open sesame", client(2), now).status, 200);
    }
    let held = admit("open sesame", client(1), now);
    assert_eq!((held.status, held.header(header::RETRY_AFTER)), (429, Some("10")));
    assert_eq!(admit("open sesame", client(2), now).status, 200);
    assert_eq!(admit("open sesame", client(1), now + WINDOW).status, 200);
}

#[test]
fn a_password_is_taken_only_where_nobody_can_have_read_it() {
    let [site, ..] = &sites()[..] else { panic!() };
    let details = DetailsApi::clone(site.website.details.as_ref().unwrap());
    let way = Way { tls: false, trusted: false, loopback: false };
    assert!(!may_speak(&details, way));
    assert!(may_speak(&details, Way { tls: true, ..way }));
    assert!(may_speak(&details, Way { trusted: true, ..way }));
    assert!(may_speak(&details, Way { loopback: true, ..way }));
    assert!(may_speak(&DetailsApi { allow_cleartext: true, ..details }, way));
}

#[test]
fn only_the_documented_path_is_one() {
    for (path, part) in [
        ("/api/visitors/g_1/details", Some("g_1")),
        ("/api/visitors/a%2Fb/details", Some("a%2Fb")),
        ("/api/visitors//details", Some("")),
        ("/api/visitors/details", None),
        ("/api/visitors/a/b/details", None),
        ("/api/visitors/g_1/details/", None),
        ("/API/visitors/g_1/details", None),
        ("//api/visitors/g_1/details", None),
        ("/x/api/visitors/g_1/details", None),
        ("/api/visitors/g_1", None),
    ] {
        assert_eq!(place(path), part, "{path}");
    }
}
