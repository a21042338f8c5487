//! Journeys through a gate: what a backend's answers begin.

use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::{HeaderMap, Method, Uri};

use crate::clock::UnixTime;
use crate::dialect::{Carrier, Names, Pointer, Source};
use crate::drain::Drain;
use crate::gate::route::PathPattern;
use crate::gate::testing::{applied, headers, view};
use crate::gate::{Mode, RequestView};
use crate::live::Registry;
use crate::plan::{Brought, Format, Include, Reach, Session, Site, Starts, Webhook, Website};
use crate::proxy::journey::Step;
use crate::proxy::{Gate, Journey};
use crate::reload::Current;
use crate::secret::Secret;
use crate::store::{Change, Purpose, volatile};
use crate::telemetry::{Metrics, fixture};
use crate::upstream::Upstreams;
use crate::webhook::Webhooks;

/// Nothing has begun.
const NOBODY: [&str; 0] = [];

fn website(starts: Starts) -> Website {
    let webhook = Webhook {
        name: "crm".into(),
        url: Uri::from_static("https://crm.example/hook"),
        format: Format::Standard,
        secrets: vec![Secret::new(vec![7; 32])],
        include: Include::default(),
        headers: Vec::new(),
        properties: Vec::new(),
        retry: Vec::new(),
        reach: Reach::Anywhere,
        print: 1,
    };
    Website { starts, webhooks: vec![Arc::new(webhook)], ..Website::none("acme") }
}

fn by_answer() -> Starts {
    let path = PathPattern::parse("/api/conversations").unwrap();
    Starts::Answer { method: Method::POST, path, statuses: vec![201] }
}

fn site(mode: Mode) -> Site {
    let mut site = fixture::site(0, "acme", mode);
    let names = Names { proof: "x-auth-token".into(), ..Names::default() };
    let carrier = Carrier::Header { names, scheme: None };
    site.remembers.session = Some(Arc::new(Session {
        request: vec![Source { carrier, shared: false }],
        response: vec![
            Brought::Json(Pointer(vec!["token".into()])),
            Brought::Header(http::HeaderName::from_static("x-new-token")),
        ],
        ttl: Duration::from_secs(600),
        max: 100,
        max_per_identity: 10,
        cookie: false,
    }));
    site.website = website(by_answer());
    site
}

fn gate(site: Site) -> Gate {
    let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
    let plan = fixture::plan(vec![site]);
    let store = Arc::new(volatile::open().unwrap());
    let webhooks = Webhooks::new(store.clone(), &plan);
    let current = Current::new(Box::new(|| Err("never".to_owned())), plan, metrics);
    let upstreams = Upstreams::new(tokio::runtime::Handle::current());
    Gate::new(current, upstreams, Drain::new(), store, webhooks, Registry::new())
}

/// A request that was judged, and is on its way to the backend.
fn sent(gate: &Gate, method: Method, path: &str, fields: &[(&str, &str)]) -> Journey {
    let headers = headers(&[&[("host", "acme.example")], fields].concat());
    let view = RequestView { method: &method, ..view(&headers, path) };
    let mut journey = gate.journey();
    for _ in 0..2 {
        // Twice, as where a key was fetched meanwhile.
        assert!(matches!(journey.judge(&view, gate, false), Step::Forward));
    }
    journey
}

fn posted(gate: &Gate, fields: &[(&str, &str)]) -> Journey {
    sent(gate, Method::POST, "/api/conversations", fields)
}

fn json() -> HeaderMap {
    headers(&[("content-type", "application/json")])
}

/// Whose chats have begun, by the sessions that they are known by.
fn begun(gate: &Gate) -> Vec<String> {
    let mut begun = Vec::new();
    gate.store().memory().each_change(|change| {
        if let Change::Chat { chat, .. } = change {
            begun.push(chat.visitor.to_string());
        }
    });
    begun
}

fn guest(gate: &Gate, session: &str) -> String {
    let memory = gate.store().memory();
    memory.guest(&memory.digest(Purpose::Session, session)).to_string()
}

#[tokio::test]
async fn a_token_in_the_answers_body_names_the_guest_whose_chat_begins() {
    let gate = gate(site(Mode::Prefer));
    let mut journey = posted(&gate, &[("x-auth-token", "shown")]);
    assert_eq!(journey.answered(201, &json(), &gate), None);
    journey.release();
    journey.answers(Some(br#"{"token":"#), false, &gate);
    assert_eq!(begun(&gate), NOBODY, "its name may come yet");
    let pause = journey.answers(Some(br#""brought"}"#), true, &gate);
    assert_eq!((begun(&gate), pause), (vec![guest(&gate, "brought")], None));
    drop(journey);
    assert_eq!(begun(&gate).len(), 1);
}

#[tokio::test]
async fn a_token_in_the_answers_head_is_not_waited_for() {
    let gate = gate(site(Mode::Prefer));
    let mut journey = posted(&gate, &[("x-auth-token", "shown")]);
    let fields = [("content-type", "application/json"), ("x-new-token", "brought")];
    journey.answered(201, &headers(&fields), &gate);
    assert_eq!(begun(&gate), [guest(&gate, "brought")]);
    journey.answers(Some(br#"{"token":"other"}"#), true, &gate);
    assert_eq!(begun(&gate).len(), 1, "it has begun");
}

#[tokio::test]
async fn a_chat_begins_with_what_is_known_where_the_body_says_nothing() {
    let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(70_000));
    for (number, body) in
        [&large, "{", "not json", r#"{"id":7}"#, r#"{"token":""}"#].iter().enumerate()
    {
        let gate = gate(site(Mode::Prefer));
        let mut journey = posted(&gate, &[("x-auth-token", "shown")]);
        journey.answered(201, &json(), &gate);
        // What is too large is clear before its end.
        journey.answers(Some(body.as_bytes()), number > 0, &gate);
        assert_eq!(begun(&gate), [guest(&gate, "shown")], "{body:.20}");
    }
    let torn = gate(site(Mode::Prefer));
    let mut journey = posted(&torn, &[("x-auth-token", "shown")]);
    journey.answered(201, &json(), &torn);
    journey.answers(Some(b"{"), false, &torn);
    assert_eq!(begun(&torn), NOBODY);
    drop(journey);
    assert_eq!(begun(&torn), [guest(&torn, "shown")], "the connection broke");
    for fields in [&[("content-type", "text/html")][..], &[]] {
        let gate = gate(site(Mode::Prefer));
        let mut journey = posted(&gate, &[("x-auth-token", "shown")]);
        journey.answered(201, &headers(fields), &gate);
        assert_eq!(begun(&gate), [guest(&gate, "shown")], "no body is read");
    }
}

#[tokio::test]
async fn no_other_answer_begins_a_chat_and_neither_does_none() {
    let gate = gate(site(Mode::Prefer));
    let mut journey = posted(&gate, &[]);
    journey.answered(200, &json(), &gate);
    journey.answers(Some(br#"{"token":"brought"}"#), true, &gate);
    drop(journey);
    drop(posted(&gate, &[]));
    let mut journey = sent(&gate, Method::GET, "/api/conversations", &[]);
    journey.answered(201, &json(), &gate);
    drop(journey);
    assert_eq!(begun(&gate), NOBODY);
}

#[tokio::test]
async fn where_nobody_looks_guests_begin_chats_too() {
    let gate = gate(site(Mode::Off));
    let mut journey = posted(&gate, &[("x-auth-token", "shown")]);
    journey.answered(201, &json(), &gate);
    journey.answers(Some(br#"{"token":"brought"}"#), true, &gate);
    assert_eq!(begun(&gate), [guest(&gate, "brought")]);
}

#[tokio::test]
async fn compression_is_declined_where_a_guests_answer_is_to_be_read_and_nowhere_else() {
    let encoding = |gate: &Gate, path: &str| {
        let fields = [("accept-encoding", "gzip")];
        let journey = sent(gate, Method::POST, path, &fields);
        let left = applied(&journey.forward().unwrap().edits, &headers(&fields));
        left.iter().any(|(name, _)| name == "accept-encoding")
    };
    let read = gate(site(Mode::Prefer));
    assert!(!encoding(&read, "/api/conversations") && encoding(&read, "/api/other"));
    let mut unheard = site(Mode::Prefer);
    unheard.website.webhooks.clear();
    assert!(encoding(&gate(unheard), "/api/conversations"));
    let mut unread = site(Mode::Prefer);
    unread.remembers.session = None;
    assert!(encoding(&gate(unread), "/api/conversations"));
}

#[tokio::test]
async fn a_verified_websocket_begins_a_chat_with_its_101() {
    let mut by_websocket = site(Mode::Prefer);
    by_websocket.website = website(Starts::WebSocket);
    by_websocket.dialect = crate::dialect::founding::jwt();
    let names = Names { proof: "authorization".into(), ..Names::default() };
    let carrier = Carrier::Header { names, scheme: Some("Bearer".to_owned()) };
    by_websocket.settings.sources = [Source { carrier, shared: true }].into();
    let key = by_websocket.keyring.get("new").unwrap().clone();
    let gate = gate(by_websocket);
    let expires = UnixTime::now().after(Duration::from_secs(300)).as_secs();
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let claims = encode(&format!(r#"{{"sub":"ada","exp":{expires}}}"#));
    let message = format!("{}.{claims}", encode(r#"{"alg":"HS256","kid":"new"}"#));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).unwrap());
    let token = format!("{message}.{signature}");
    let bearer = format!("Bearer {token}");
    let opens = |fields: &[(&str, &str)], status| {
        let headers = headers(&[&[("host", "acme.example")], fields].concat());
        let view = RequestView { upgrade: true, ..view(&headers, "/socket") };
        let mut journey = gate.journey();
        assert!(matches!(journey.judge(&view, &gate, false), Step::Forward));
        journey.answered(status, &HeaderMap::new(), &gate);
    };
    opens(&[("x-auth-token", "s1")], 101);
    opens(&[("x-auth-token", "s1"), ("authorization", &bearer)], 403);
    assert_eq!(begun(&gate), NOBODY);
    for _ in 0..2 {
        opens(&[("x-auth-token", "s1"), ("authorization", &bearer)], 101);
    }
    assert_eq!(begun(&gate), ["ada"]);
}
