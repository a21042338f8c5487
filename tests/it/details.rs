//! What the website's server says of visitors: taken in over real sockets, told to the
//! backend with the next request, shown to operators; and everything that is not taken in.

use serde_json::{Value, json};

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Connection, Request, Response};

const HOST: &str = "chat.test";
const CHATS: &str = "/api/conversations";
/// `acme:correct horse battery`.
const BASIC: &str = "Basic YWNtZTpjb3JyZWN0IGhvcnNlIGJhdHRlcnk=";
/// The same user name with another password.
const WRONG: &str = "Basic YWNtZTp3cm9uZw==";
const JSON: &str = "application/json; charset=utf-8";

/// A site whose server may say more of visitors; `more` are further members of `details`.
fn setup(echo: &Echo, more: &str) -> Setup {
    let upstream = format!("http://{}", echo.address);
    let mut sites = dialect("jwt").site("chat", HOST, &upstream, "prefer");
    sites += &format!(
        "    chat_started: {{ path: {CHATS}, account_id: b943010f, agent_id: \"150\" }}\n    \
         details: {{ username: acme, password: {{ value: correct horse battery }}{more} }}\n"
    );
    sites += &dialect("jwt").site("silent", "silent.test", &upstream, "prefer");
    Setup::new(sites)
}

async fn start(echo: &Echo, more: &str) -> Gateway {
    setup(echo, more).start().await
}

fn as_visitor(request: Request, id: &str) -> Request {
    let jwt = dialect("jwt");
    request.host(HOST).bearer(&jwt.proof(jwt.secret, id, 5))
}

async fn begin_chat(gateway: &Gateway, id: &str) {
    let chat = as_visitor(Request::post(CHATS, "text/plain", "hello"), id);
    assert_eq!(gateway.send(&chat).await.status, 200);
}

fn path(visitor: &str) -> String {
    format!("/api/visitors/{visitor}/details")
}

fn body(visitor: &str, fields: &Value) -> String {
    json!({"AccountId": "b943010f", "AgentId": "150", "VisitorId": visitor, "Fields": fields})
        .to_string()
}

/// What LiveSupporti's documents have a website's server send.
fn post(visitor: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post(&path(visitor), JSON, body).header("Authorization", BASIC)
}

/// To the admin listener.
async fn tell(gateway: &Gateway, request: Request) -> Response {
    request.host("localhost").send(gateway.admin).await
}

/// What the backend is told of somebody.
async fn told(gateway: &Gateway, id: &str) -> Option<String> {
    let echoed = gateway.send(&as_visitor(Request::get("/c"), id)).await.echoed();
    echoed.header("Countersign-Details").map(str::to_owned)
}

async fn shown(gateway: &Gateway, id: &str) -> Value {
    gateway.ask("GET", &format!("/v1/sites/chat/visitors/{id}")).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_a_visitor_comes_with_his_next_request_and_is_shown() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    begin_chat(&gateway, "ada").await;
    assert_eq!(told(&gateway, "ada").await, None);
    let fields = json!([{"name": "Name", "value": "Jāson"}, {"name": "Age", "value": "25"}]);
    let taken = tell(&gateway, post("ada", body("ada", &fields))).await;
    assert_eq!((taken.status, taken.text()), (200, "{}".to_owned()));
    assert_eq!(taken.header("content-type"), Some("application/json"));
    assert_eq!(taken.header("cache-control"), Some("no-store"));
    let expected = r#"{"Name":"J\u0101son","Age":"25"}"#;
    assert_eq!(told(&gateway, "ada").await.as_deref(), Some(expected));
    assert_eq!(told(&gateway, "bob").await, None);
    // A name posted again has the new value, others stay.
    let fields = json!([{"name": "Age", "value": "26"}, {"name": "Plan", "value": "pro"}]);
    assert_eq!(tell(&gateway, post("%61da", body("ada", &fields))).await.status, 200);
    let known = shown(&gateway, "ada").await;
    assert_eq!(known["details"], json!({"Name": "Jāson", "Age": "26", "Plan": "pro"}));
    assert_eq!((&known["account_id"], &known["agent_id"]), (&json!("b943010f"), &json!("150")));
    assert!(known["chat_started"].is_u64(), "{known}");
    // A guest cannot say so himself.
    let forged = Request::get("/c").host(HOST).header("Countersign-Details", r#"{"Plan":"vip"}"#);
    assert_eq!(gateway.send(&forged).await.echoed().header("Countersign-Details"), None);
    assert_eq!(gateway.ask("DELETE", "/v1/sites/chat/visitors/ada").await.status, 204);
    assert_eq!(told(&gateway, "ada").await, None);
}

/// Everything that is answered with 400, and a word of why.
fn bad_input() -> Vec<(&'static str, Request, &'static str)> {
    let fields = json!([{"name": "Age", "value": "25"}]);
    let fine = body("ada", &fields);
    let with = |fields: Value| post("ada", body("ada", &fields));
    let typed =
        |kind: &str| Request::post(&path("ada"), kind, fine.clone()).header("Authorization", BASIC);
    let many = (0..10_000).map(|n| json!({"name": format!("n{n}"), "value": ""}));
    let many = body("ada", &many.collect());
    let large = vec![b' '; 1024 * 1024];
    let latin = fine.bytes().map(|byte| if byte == b'g' { 0xe9 } else { byte });
    let some = (0..101).map(|n| json!({"name": format!("n{n}"), "value": ""})).collect();
    vec![
        ("another visitor", post("bob", fine.clone()), "`VisitorId` is not"),
        ("a visitor nobody knows", post("bob", body("bob", &fields)), "no visitor of this id"),
        ("another account", post("ada", fine.replace("b943", "B943")), "`AccountId`"),
        ("another agent", post("ada", fine.replace("150", "151")), "`AgentId`"),
        ("a number", with(json!([{"name": "Age", "value": 25}])), "a `value` that is a number"),
        ("a null", with(json!([{"name": "Age", "value": null}])), "a `value` that is null"),
        ("no name", with(json!([{"name": "", "value": "25"}])), "an empty `name`"),
        (
            "a name twice",
            with(json!([{"name": "Age", "value": "25"}, {"name": "Age", "value": "26"}])),
            "of another field",
        ),
        ("1 MiB", post("ada", large.clone()), "larger than 65536 bytes"),
        ("1 MiB in chunks", post("ada", large).chunked(), "larger than 65536 bytes"),
        ("10,000 fields", post("ada", many), "larger than 65536 bytes"),
        ("101 fields", with(some), "101 fields"),
        ("no fields", with(json!([])), "0 fields"),
        ("a form", typed("application/x-www-form-urlencoded"), "Content-Type"),
        ("a text", typed("text/plain"), "Content-Type"),
        ("another charset", typed("application/json; charset=utf-16"), "Content-Type"),
        ("no JSON", post("ada", "{"), "not valid JSON"),
        ("nothing", post("ada", ""), "not valid JSON"),
        ("a list", post("ada", "[]"), "no JSON object"),
        ("a member twice", post("ada", fine.replacen('{', r#"{"AgentId":"150","#, 1)), "twice"),
        ("Latin-1", post("ada", latin.collect::<Vec<_>>()), "not valid JSON"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_told_why_and_stores_nothing_at_either_listener() {
    let echo = Echo::start().await;
    let gateway = start(&echo, ", public: true").await;
    begin_chat(&gateway, "ada").await;
    echo.take();
    for (host, address) in [("localhost", gateway.admin), (HOST, gateway.address)] {
        for (what, request, why) in bad_input() {
            let answer = request.host(host).send(address).await;
            assert_eq!((answer.status, answer.code()), (400, "bad_request".to_owned()), "{what}");
            let told = answer.json();
            let detail = told["detail"].as_str().unwrap();
            assert!(detail.contains(why), "{what}: {detail}");
            assert_eq!(told["request_id"], answer.header("countersign-request-id").unwrap());
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        }
    }
    assert_eq!(echo.take().len(), 0);
    assert_eq!(shown(&gateway, "ada").await["details"], json!({}));
    assert_eq!(told(&gateway, "ada").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_site_s_own_credentials_count_and_they_are_looked_at_first() {
    let echo = Echo::start().await;
    let gateway = start(&echo, ", public: true").await;
    begin_chat(&gateway, "ada").await;
    let fine = body("ada", &json!([{"name": "Age", "value": "25"}]));
    for (host, address) in [("localhost", gateway.admin), (HOST, gateway.address)] {
        for authorization in [WRONG, "Basic bm9ib2R5Ong=", "Bearer x", "Basic", ""] {
            for (kind, sent) in [(JSON, fine.as_str()), ("text/plain", "what is this")] {
                let request = Request::post(&path("ada"), kind, sent).host(host);
                let request = match authorization {
                    "" => request,
                    value => request.header("Authorization", value),
                };
                let answer = request.send(address).await;
                assert_eq!(answer.code(), "unauthorized", "{authorization}: {answer:?}");
                let challenge = r#"Basic realm="countersign", charset="UTF-8""#;
                let told = (answer.status, answer.header("www-authenticate"));
                assert_eq!(told, (401, Some(challenge)), "{authorization}");
            }
        }
    }
    assert_eq!(shown(&gateway, "ada").await["details"], json!({}));
    let got = Request::get(&path("ada")).header("Authorization", BASIC);
    assert_eq!(tell(&gateway, got).await.status, 405);
    assert!(!gateway.log().contains("Y29ycmVjd"), "no password is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_guesses_passwords_is_kept_waiting() {
    let echo = Echo::start().await;
    let gateway = start(&echo, ", public: true").await;
    let guess =
        || Request::post(&path("ada"), JSON, "{}").host(HOST).header("Authorization", WRONG);
    let mut last = guess().send(gateway.address).await;
    for _ in 0..70 {
        if last.status == 429 {
            break;
        }
        last = guess().send(gateway.address).await;
    }
    assert_eq!((last.status, last.code()), (429, "rate_limited".to_owned()));
    assert_eq!(last.header("retry-after"), Some("10"));
    // Visitors are not concerned.
    assert_eq!(gateway.send(&as_visitor(Request::get("/c"), "ada")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_takes_them_at_its_own_listeners_only_where_it_says_so() {
    let echo = Echo::start().await;
    let private = start(&echo, "").await;
    begin_chat(&private, "ada").await;
    let fine = body("ada", &json!([{"name": "Age", "value": "25"}]));
    let forwarded = private.send(&post("ada", fine.clone()).host(HOST)).await.echoed();
    assert_eq!((forwarded.target, forwarded.body), (path("ada"), fine.clone()));
    assert_eq!(told(&private, "ada").await, None);

    let public = start(&echo, ", public: true").await;
    begin_chat(&public, "ada").await;
    echo.take();
    assert_eq!(public.send(&post("ada", fine.clone()).host(HOST)).await.status, 200);
    let mut kept = Connection::open(public.address).await;
    for _ in 0..2 {
        let request = post("ada", fine.clone()).host(HOST);
        assert_eq!(kept.exchange(&request).await.unwrap().status, 200);
    }
    let request = post("ada", fine.clone()).host(HOST).header("Expect", "100-continue");
    kept.send(&request.bytes()).await;
    assert_eq!(kept.interim().await.unwrap(), 100);
    assert_eq!(kept.response().await.unwrap().status, 200);
    let http2 = h2c::Connection::open(public.address).await;
    let fields = [("authorization", BASIC), ("content-type", "application/json")];
    let sent = Some(fine.clone().into_bytes());
    let answer = http2.send("POST", HOST, &path("ada"), &fields, sent, None).await;
    assert_eq!((answer.status, answer.text()), (200, "{}".to_owned()));
    assert_eq!(echo.take().len(), 0, "the backend sees none of it");
    assert_eq!(told(&public, "ada").await.as_deref(), Some(r#"{"Age":"25"}"#));
    // Other spellings, and other sites, are other paths.
    for (host, target) in [
        (HOST, "/api/visitors/ada/details/"),
        (HOST, "//api/visitors/ada/details"),
        (HOST, "/API/visitors/ada/details"),
        ("silent.test", "/api/visitors/ada/details"),
    ] {
        let request = Request::post(target, JSON, fine.clone()).header("Authorization", BASIC);
        assert_eq!(public.send(&request.host(host)).await.echoed().target, target);
    }
    let metric = [("site", "chat"), ("code", "200")];
    public.metric_reaches("countersign_http_requests_total", &metric, 5.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_still_there_after_a_crash() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().unwrap());
    let store = format!("store: {{ embedded: {{ path: {} }} }}", folder.path().display());
    let fields = json!([{"name": "Plan", "value": "pro"}]);
    let first = setup(&echo, "").top(&store).start().await;
    begin_chat(&first, "ada").await;
    assert_eq!(tell(&first, post("ada", body("ada", &fields))).await.status, 200);
    first.signal("KILL");
    drop(first);
    let again = setup(&echo, "").top(&store).start().await;
    assert_eq!(told(&again, "ada").await.as_deref(), Some(r#"{"Plan":"pro"}"#));
    assert_eq!(shown(&again, "ada").await["account_id"], "b943010f");
}
