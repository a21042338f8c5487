//! What is read of a backend's answers for a session's sake, what is not, and the cookie
//! that Countersign hands out for backends without a session.

use serde_json::json;

use crate::sessions::{HOST, SET_USER, answer, merged, messages, set_user, site, who};
use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compression_is_declined_only_where_the_answer_is_to_be_read() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let unread = dialect("user-hash").site("unread", "unread.test", &upstream, "prefer")
        + "    session: { request: [ { header: X-Auth-Token } ], response: [ { header: X-New } ] }\n";
    let gateway = Setup::new(site(&echo, "") + &unread).start().await;
    let zipped = |request: Request| request.header("Accept-Encoding", "gzip, br");
    let encoding = async |request: Request| {
        let got = gateway.send(&zipped(request)).await.echoed();
        got.header("accept-encoding").map(str::to_owned)
    };
    let kept = Some("gzip, br".to_owned());
    assert_eq!(encoding(messages("s1")).await, kept, "a guest's");
    assert_eq!(encoding(set_user("s1", "user-42", false)).await, kept);
    assert_eq!(encoding(set_user("s1", "user-42", true)).await, None);
    let hash = dialect("user-hash");
    let proof = hash.proof(hash.secret, "u-1001", 5);
    let proven = Request::get("/c").host("unread.test").header("X-Auth-Token", "s1");
    let proven = proven.header("X-User-Id", "u-1001").header("X-Identifier-Hash", &proof);
    let got = gateway.send(&zipped(proven)).await.echoed();
    assert_eq!(got.header("countersign-status"), Some("verified"));
    assert_eq!(got.header("accept-encoding"), Some("gzip, br"), "nothing is read there");
}

/// JSON in chunks, torn anywhere.
fn chunked(body: &str, piece: usize) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.as_bytes().chunks(piece) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

async fn proven(gateway: &Gateway, echo: &Echo, says: Vec<u8>) -> Response {
    echo.will_say(SET_USER, says);
    gateway.send(&set_user("s1", "user-42", true)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_chunks_brings_a_session_as_well() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(&echo, "")).start().await;
    for piece in [1, 7, 1000] {
        let token = format!("in-pieces-of-{piece}");
        let body = json!({"id": 7, "widget_auth_token": token}).to_string();
        let told = proven(&gateway, &echo, chunked(&body, piece)).await;
        assert_eq!((told.status, told.text()), (200, body));
        assert_eq!(who(&gateway, &echo, &token).await, "user-42");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_broken_or_no_json_passes_untouched_and_brings_nothing() {
    let echo = Echo::start().await;
    let gateway = Setup::new(site(&echo, "")).start().await;
    let whole = json!({"widget_auth_token": "brought"}).to_string();
    let large = json!({"widget_auth_token": "brought", "pad": "x".repeat(70_000)}).to_string();
    let gzipped = format!("{JSON}Content-Encoding: gzip\r\n");
    let twice = r#"{"widget_auth_token":"other","widget_auth_token":"brought"}"#;
    for (said, body) in [
        (answer("200 OK", JSON, &large).into_bytes(), &*large),
        (chunked(&large, 4000), &large),
        (answer("200 OK", JSON, &whole[1..]).into_bytes(), &whole[1..]),
        (chunked(&whole[..whole.len() - 1], 10), &whole[..whole.len() - 1]),
        (answer("200 OK", JSON, twice).into_bytes(), twice),
        (answer("200 OK", "Content-Type: text/html\r\n", &whole).into_bytes(), &whole),
        (answer("200 OK", &gzipped, &whole).into_bytes(), &whole),
        (
            answer("200 OK", JSON, r#"{"widget_auth_token":["brought"]}"#).into_bytes(),
            r#"{"widget_auth_token":["brought"]}"#,
        ),
        (answer("200 OK", JSON, "").into_bytes(), ""),
    ] {
        let told = proven(&gateway, &echo, said).await;
        assert_eq!((told.status, told.text() == body), (200, true), "{:?}", told.text());
        assert_eq!(who(&gateway, &echo, "brought").await, "guest", "{body:.40}");
        assert_eq!(who(&gateway, &echo, "s1").await, "user-42", "{body:.40}");
    }
    proven(&gateway, &echo, merged("brought").into_bytes()).await;
    assert_eq!(who(&gateway, &echo, "brought").await, "user-42");
}

async fn with_cookie() -> (Echo, Gateway) {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let site = dialect("jwt").site("chat", HOST, &upstream, "prefer")
        + "    allowed_origins: [https://www.acme.test]\n    session: { cookie: true }\n";
    (echo, Setup::new(site).start().await)
}

fn token(id: &str) -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, id, 5)
}

/// The cookie that an answer hands out: its value and its attributes.
fn handed_out(answer: &Response) -> Option<(String, String)> {
    let cookie = answer.header("set-cookie")?;
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    let value = pair.strip_prefix("__Host-countersign=").expect("our own");
    Some((value.to_owned(), attributes.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_of_our_own_carries_an_identity_on_and_is_no_business_of_the_backends() {
    let (_echo, gateway) = with_cookie().await;
    let guest = gateway.send(&Request::get("/c").host(HOST)).await;
    assert_eq!(guest.header("set-cookie"), None, "a guest gets none");
    let failed = gateway.send(&Request::get("/status/500").host(HOST).bearer(&token("ada"))).await;
    assert_eq!(failed.header("set-cookie"), None);
    let proven = gateway.send(&Request::get("/c").host(HOST).bearer(&token("ada"))).await;
    let (value, attributes) = handed_out(&proven).expect("a cookie");
    let kept = "Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=None; Partitioned";
    assert_eq!(attributes, kept);
    assert!(value.len() >= 32, "{value}");
    let cookie = format!("a=1; __Host-countersign={value}; b=\"2,3\"");
    let later = Request::get("/c").host(HOST).header("Cookie", &cookie);
    let answer = gateway.send(&later).await;
    assert_eq!(answer.header("set-cookie"), None, "it has one");
    let got = answer.echoed();
    assert_eq!(got.header("countersign-id"), Some("ada"));
    assert_eq!(got.all("cookie"), ["a=1; b=\"2,3\""]);
    assert!(!got.mentions(&value), "{got:?}");
    // A proof goes on with the cookie that is there.
    let again = gateway.send(&later.clone().bearer(&token("ada"))).await;
    assert_eq!(again.header("set-cookie"), None);
    let conflict = gateway.send(&later.bearer(&token("bob"))).await;
    assert_eq!((conflict.status, conflict.code()), (401, "session_conflict".to_owned()));
    // As with any cookie, a page of somebody else's may have caused the request.
    let post = |origin: &str| {
        let post = Request::post("/c", "application/json", "{}").host(HOST);
        post.header("Cookie", &cookie).header("Origin", origin)
    };
    let own = gateway.send(&post("https://www.acme.test")).await.echoed();
    assert_eq!(own.header("countersign-id"), Some("ada"));
    let foreign = gateway.send(&post("https://evil.test")).await;
    assert_eq!((foreign.status, foreign.code()), (403, "origin_not_allowed".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_that_was_made_up_is_worth_nothing_and_never_becomes_a_session() {
    let (_echo, gateway) = with_cookie().await;
    let planted = "__Host-countersign=planted-by-somebody-else-0123456789";
    let request = Request::get("/c").host(HOST).header("Cookie", planted);
    let got = gateway.send(&request).await.echoed();
    assert_eq!(got.header("countersign-status"), Some("guest"));
    assert_eq!(got.header("cookie"), None);
    let proven = gateway.send(&request.clone().bearer(&token("ada"))).await;
    let (fresh, _) = handed_out(&proven).expect("one of its own");
    assert_ne!(planted, format!("__Host-countersign={fresh}"));
    let got = gateway.send(&request).await.echoed();
    assert_eq!(
        got.header("countersign-status"),
        Some("guest"),
        "whoever planted it gained nothing"
    );
}
