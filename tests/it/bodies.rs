//! Bodies: what they prove, what they claim, what leaves them, and how large, slow or broken
//! they may be.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::cases::dialect;
use crate::support::echo::{Echo, Echoed, pattern};
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Request, Response};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const MULTIPART: &str = "multipart/form-data; boundary=----WebKitFormBoundaryxYz";

/// `nested` names one field by a pointer and takes its token from multipart bodies too.
const NESTED: &str = "dialects:
  nested:
    extends: zendesk-chat
    sources:
      - { header: Authorization, scheme: Bearer, shared: true }
      - json: /session/token
      - form: token
      - multipart: token
    unsigned: { fields: [external_id, name, email, /contact/identifier] }";

async fn start(echo: &Echo, top: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let mut sites = String::new();
    for name in ["user-hash", "zendesk-chat", "ringcentral-engage", "amazon-connect", "jwt"] {
        sites += &dialect(name).site(name, &format!("{name}.test"), &upstream, "prefer");
    }
    let zendesk = dialect("zendesk-chat");
    for mode in ["require", "observe"] {
        sites += &zendesk.site(mode, &format!("{mode}.test"), &upstream, mode);
    }
    sites += &(zendesk.site("keeps", "keeps.test", &upstream, "prefer") + "    unsigned: keep\n");
    sites += &zendesk
        .site("nested", "nested.test", &upstream, "prefer")
        .replace("dialect: zendesk-chat", "dialect: nested");
    Setup::new(sites).top(NESTED).top(top).start().await
}

fn token(id: &str) -> String {
    let zendesk = dialect("zendesk-chat");
    zendesk.proof(zendesk.secret, id, 5)
}

fn post(host: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post("/c", content_type, body).host(host)
}

fn part(name: &str, value: &str) -> String {
    format!(
        "------WebKitFormBoundaryxYz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n\
         {value}\r\n"
    )
}

const END: &str = "------WebKitFormBoundaryxYz--\r\n";

/// A JSON body of exactly that length.
fn padded(length: usize) -> String {
    let frame = "{\"pad\":\"\"}".len();
    format!("{{\"pad\":\"{}\"}}", "x".repeat(length - frame))
}

fn checksum(body: &[u8]) -> u64 {
    body.iter().map(|byte| u64::from(*byte)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_in_a_body_proves_and_goes_no_further() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let token = token("u-1001");
    let hash = dialect("user-hash").proof(dialect("user-hash").secret, "1001", 0);
    let json = format!(r#"{{ "a" : 1.0,"jwt":"{token}", "b":"\u0041" }}"#);
    let left = r#"{ "a" : 1.0,"b":"\u0041" }"#;
    let nested = format!(r#"{{"session":{{"token":"{token}","x":1}}}}"#);
    let parts = part("m", "hello") + &part("token", &token) + END;
    let cases = [
        ("zendesk-chat.test", JSON, json.clone(), left.to_owned()),
        ("zendesk-chat.test", FORM, json.clone(), left.to_owned()),
        ("zendesk-chat.test", "text/plain;charset=UTF-8", json.clone(), left.to_owned()),
        ("nested.test", JSON, nested, r#"{"session":{"x":1}}"#.to_owned()),
        ("nested.test", FORM, format!("a=%7e&token={token}&b=+"), "a=%7e&b=+".to_owned()),
        ("nested.test", MULTIPART, parts, part("m", "hello") + END),
        (
            "user-hash.test",
            JSON,
            format!(r#"{{"user_id":1001,"identifier_hash":"{hash}","m":"x"}}"#),
            r#"{"user_id":1001,"m":"x"}"#.to_owned(),
        ),
        (
            "user-hash.test",
            FORM,
            format!("user_id=1001&identifier_hash={hash}"),
            "user_id=1001".to_owned(),
        ),
    ];
    for (host, content_type, body, left) in cases {
        for chunked in [false, true] {
            let request = post(host, content_type, body.clone());
            let request = if chunked { request.chunked() } else { request };
            let echoed = gateway.send(&request).await.echoed();
            assert_eq!(echoed.header("countersign-status"), Some("verified"), "{host} {body}");
            assert_eq!(echoed.body, left, "{host} {content_type} chunked: {chunked}");
            assert_eq!(echoed.header("content-length"), Some(left.len().to_string().as_str()));
            assert!(!echoed.mentions(&token) && !echoed.mentions(&hash));
        }
        let h2 = h2c::Connection::open(gateway.address).await;
        let headers = [("content-type", content_type)];
        let answer = h2.send("POST", host, "/c", &headers, Some(body.into()), None).await;
        let echoed = answer.echoed();
        assert_eq!((echoed.header("countersign-status"), &echoed.body), (Some("verified"), &left));
    }
    let untyped = Request::new("POST", "/c").host("zendesk-chat.test");
    let bytes = format!("Content-Length: {}\r\n\r\n{json}", json.len());
    let head =
        String::from_utf8(untyped.bytes()).expect("ASCII").replace("Content-Length: 0\r\n\r\n", "");
    let mut connection = gateway.connect().await;
    connection.send((head + &bytes).as_bytes()).await;
    assert_eq!(connection.response().await.expect("an answer").echoed().body, left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_or_second_credential_in_a_body_is_refused() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let (ours, other) = (token("u-1001"), token("u-2002"));
    let wrong = dialect("zendesk-chat").proof("a-secret-that-is-nobodys-0123456789", "u-1001", 5);
    let host = "zendesk-chat.test";
    let answers = [
        (post(host, JSON, format!(r#"{{"jwt":"{wrong}"}}"#)), 401, "bad_signature"),
        (post(host, JSON, r#"{"jwt":{"a":1}}"#), 401, "malformed"),
        (post(host, JSON, format!(r#"{{"jwt":"{ours}"}}"#)).bearer(&other), 400, "ambiguous"),
        (post(host, JSON, format!(r#"{{"jwt":"{ours}","jwt":"{ours}"}}"#)), 400, "bad_request"),
        (post(host, JSON, "{'jwt':1}"), 400, "bad_request"),
        (post("require.test", JSON, "{}"), 401, "missing"),
        (post("require.test", JSON, r#"{"external_id":"u-1001"}"#), 401, "unsigned"),
        (post("user-hash.test", JSON, r#"{"identifier_hash":"00"}"#), 401, "malformed"),
    ];
    for (request, status, code) in answers {
        let answer = gateway.send(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    }
    assert!(echo.received().is_empty());
}

/// One claimed id, however it is written down.
fn encodings(id: &str) -> Vec<(&'static str, Request)> {
    let host = "nested.test";
    let json = format!(r#"{{"external_id":"{id}","a":1}}"#);
    let utf16: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let padded = format!(r#"{{"pad":"{}","external_id":"{id}"}}"#, "x".repeat(65 * KIB));
    let query = |query: String| Request::get(&format!("/c?{query}")).host(host);
    let parts = part("external_id", id) + &part("m", "x") + END;
    vec![
        ("query", query(format!("external_id={id}&a=1"))),
        ("list", query(format!("external_id[]={id}&external_id%5B%5D={id}"))),
        ("percent-encoded name", query(format!("e%78ternal%5Fid={id}"))),
        ("form", post(host, FORM, format!("a=1&external%5fid={id}"))),
        ("multipart", post(host, MULTIPART, parts)),
        ("json", post(host, JSON, json.clone())),
        ("escaped json", post(host, JSON, json.replace("external", "\\u0065xternal"))),
        ("json as a form", post(host, FORM, json.clone())),
        ("json as text", post(host, "text/plain", json.clone())),
        ("a form in json", post(host, FORM, format!(r#"{{"a":"&external_id={id}&"}}"#))),
        ("a line of text", post(host, "text/plain", format!("a=1\r\nexternal_id={id}\r\n"))),
        ("twice", post(host, JSON, format!(r#"{{"external_id":"{id}","external_id":"x"}}"#))),
        ("gzip", post(host, JSON, json.clone()).header("Content-Encoding", "gzip")),
        ("65 KiB before it", post(host, JSON, padded.clone())),
        ("65 KiB before it, in chunks", post(host, JSON, padded).chunked()),
        ("nested", post(host, JSON, format!(r#"{{"contact":{{"identifier":"{id}"}}}}"#))),
        ("nested in a form", post(host, FORM, format!("contact[identifier]={id}"))),
        ("utf-16", post(host, JSON, utf16.clone())),
        ("declared utf-16", post(host, "application/json; charset=utf-16", utf16.clone())),
        ("utf-16 as text", post(host, "text/plain", utf16)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claimed_id_reaches_the_backend_in_no_encoding() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let token = token("u-1001");
    let claimed = "u-9999";
    for (encoding, request) in encodings(claimed) {
        for (who, request) in [("guest", request.clone()), ("verified", request.bearer(&token))] {
            let answer = gateway.send(&request).await;
            if answer.status != 200 {
                assert!(matches!(answer.status, 400 | 413 | 415), "{encoding}: {answer:?}");
                assert!(echo.take().is_empty(), "{encoding}");
                continue;
            }
            let mut echoed = answer.echoed();
            echo.take();
            assert_eq!(echoed.header("countersign-status"), Some(who), "{encoding}");
            if encoding == "multipart" {
                assert!(!echoed.mentions("external_id"), "{encoding}: {echoed:?}");
                assert_eq!(
                    echoed.length,
                    (part("external_id", claimed) + &part("m", "x") + END).len()
                );
                continue;
            }
            echoed.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("countersign-claimed"));
            let is_hidden = echoed.body.contains("\\u0026external_id=");
            assert!(is_hidden || !echoed.mentions(claimed), "{encoding}: {echoed:?}");
        }
    }
}

async fn cleaned(gateway: &Gateway, request: Request) -> (String, Value, Echoed) {
    let echoed = gateway.send(&request).await.echoed();
    (echoed.body.clone(), echoed.claimed().unwrap_or_default(), echoed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_claimed_in_a_body_is_moved_and_the_rest_stays_byte_for_byte() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let ringcentral = r#"{"identity":{"uuid":"7","firstname":"Éva","extra_values":{"plan":"x"}},"custom_a":"1", "text":"hi" }"#;
    let (body, claimed, got) =
        cleaned(&gateway, post("ringcentral-engage.test", JSON, ringcentral)).await;
    assert_eq!(body, r#"{"custom_a":"1", "text":"hi" }"#);
    let wanted = json!({ "uuid": "7", "firstname": "Éva", "extra_values": { "plan": "x" }, "custom_a": "1" });
    assert_eq!(claimed, wanted);
    assert_eq!(got.header("countersign-reason"), Some("unsigned"));

    let amazon =
        r#"{"InstanceId":"i","Attributes":{ "plan":"gold","HostedWidget-b":"2" },"Username":"x"}"#;
    let marked = r#"{"InstanceId":"i","Attributes":{ "HostedWidget-plan":"gold","HostedWidget-b":"2" },"Username":"x"}"#;
    let connect = dialect("amazon-connect");
    let proof = connect.proof(connect.secret, "u-1001", 5);
    for (status, token) in [("guest", None), ("verified", Some(proof))] {
        let request = post("amazon-connect.test", JSON, amazon);
        let request = match &token {
            Some(token) => request.header("x-amz-security-token", token),
            None => request,
        };
        let (body, claimed, got) = cleaned(&gateway, request).await;
        assert_eq!((body.as_str(), got.header("countersign-status")), (marked, Some(status)));
        assert_eq!(claimed, json!({ "HostedWidget-plan": "gold", "HostedWidget-b": "2" }));
        assert_eq!(got.length, marked.len());
    }
    let two = r#"{"Attributes":{"a":"1","HostedWidget-a":"2"}}"#;
    let answer = gateway.send(&post("amazon-connect.test", JSON, two)).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"));

    let uchat = dialect("user-hash");
    let hash = uchat.proof(uchat.secret, "u-1", 0);
    let body = format!(
        r#"{{"name":"Eve","user_id":"u-1","email":"e@x.test","identifier_hash":"{hash}","n":1}}"#
    );
    let (body, claimed, got) = cleaned(&gateway, post("user-hash.test", JSON, body)).await;
    assert_eq!(body, r#"{"user_id":"u-1","n":1}"#);
    assert_eq!(claimed, json!({ "name": "Eve", "email": "e@x.test" }));
    assert_eq!(got.header("countersign-id"), Some("u-1"));

    let own = r#"{"external_id":"u-1001","name":"Eve","email":"j@example.com"}"#;
    let request = post("zendesk-chat.test", JSON, own).bearer(&token("u-1001"));
    let (body, claimed, _) = cleaned(&gateway, request).await;
    assert_eq!(body, r#"{"external_id":"u-1001","email":"j@example.com"}"#);
    assert_eq!(claimed, json!({ "name": "Eve" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_is_to_clean_stays_as_it_came() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let json = r#"{ "external_id":"7", "name":"Eve" }"#;
    for host in ["keeps.test", "jwt.test", "observe.test"] {
        let got = gateway.send(&post(host, JSON, json)).await.echoed();
        assert_eq!(got.body, json, "{host}");
        assert_eq!(got.claimed().is_some(), host == "observe.test");
        let packed = post(host, JSON, json).header("Content-Encoding", "gzip");
        assert_eq!(gateway.send(&packed).await.echoed().body, json, "{host}");
    }
    let spent = format!(r#"{{"jwt":"{}"}}"#, token("u-1001"));
    let got = gateway.send(&post("observe.test", JSON, spent.clone())).await.echoed();
    assert_eq!((got.header("countersign-status"), &got.body), (Some("verified"), &spent));
    let large = post("keeps.test", JSON, padded(70_000));
    assert_eq!(gateway.send(&large).await.echoed().length, 70_000);
    let image = post("zendesk-chat.test", "image/png", "external_id=7");
    assert_eq!(gateway.send(&image).await.echoed().body, "external_id=7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_every_size_arrive_whole_or_are_refused() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    for length in [64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 10 * MIB] {
        let body = padded(length);
        let sum = checksum(body.as_bytes());
        for host in ["zendesk-chat.test", "observe.test", "jwt.test"] {
            let fits = length <= 64 * KIB || host != "zendesk-chat.test";
            let checks = |how: &str, answer: Response| {
                if !fits {
                    assert_eq!(
                        (answer.status, answer.code().as_str()),
                        (413, "body_too_large"),
                        "{how}"
                    );
                    return;
                }
                let got = answer.echoed();
                assert_eq!((got.length, got.checksum), (length, sum), "{host} {length} {how}");
            };
            let request = post(host, JSON, body.clone());
            let chunked = request.clone().chunked();
            for (how, request) in [("length", request), ("chunked", chunked)] {
                let mut connection = gateway.connect().await;
                let bytes = request.bytes();
                connection.send(&bytes).await;
                checks(how, connection.response().await.expect("an answer"));
            }
            if length > MIB {
                continue; // more than a window: the client below sends without regard to it
            }
            let h2 = h2c::Connection::open(gateway.address).await;
            let announced = length.to_string();
            let typed = ("content-type", JSON);
            for headers in [&[typed][..], &[typed, ("content-length", &announced)]] {
                let bytes = body.clone().into_bytes();
                checks("h2", h2.send("POST", host, "/c", headers, Some(bytes), None).await);
            }
        }
    }
    for request in
        [post("zendesk-chat.test", JSON, ""), post("zendesk-chat.test", JSON, "").chunked()]
    {
        assert_eq!(gateway.send(&request).await.echoed().length, 0);
    }
    let h2 = h2c::Connection::open(gateway.address).await;
    let headers = [("content-type", JSON)];
    let empty = h2.send("POST", "zendesk-chat.test", "/c", &headers, Some(Vec::new()), None).await;
    assert_eq!(empty.echoed().length, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_streams_through_and_its_claiming_parts_are_renamed() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let file = pattern(10 * MIB);
    let mut body = (part("external_id", "u-9999")
        + "------WebKitFormBoundaryxYz\r\nContent-Disposition: form-data; name=\"file\"; \
           filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n")
        .into_bytes();
    body.extend_from_slice(&file);
    body.extend_from_slice(format!("\r\n{}{END}", part("email", "e@x.test")).as_bytes());
    let renamed: Vec<u8> = String::from_utf8(body.clone())
        .expect("ASCII")
        .replace("\"external_id\"", "\"xxxxxxxxxxx\"")
        .replace("\"email\"", "\"xxxxx\"")
        .into_bytes();
    let before = gateway.resident_kib();
    for host in ["zendesk-chat.test", "nested.test"] {
        for round in 0..4 {
            let request = post(host, MULTIPART, body.clone());
            let request = if round % 2 == 0 { request } else { request.chunked() };
            let got = gateway.send(&request.bearer(&token("u-1001"))).await.echoed();
            assert_eq!(got.header("countersign-status"), Some("verified"));
            assert_eq!((got.length, got.checksum), (renamed.len(), checksum(&renamed)), "{host}");
        }
    }
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 8 * KIB, "80 MiB went through, and {grown} KiB stayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_has_one_deadline_for_all_of_it() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "timeouts: { body: 1s }").await;
    let bytes = post("zendesk-chat.test", JSON, padded(100)).bytes();
    let (head, body) = bytes.split_at(bytes.len() - 100);
    let mut connection = gateway.connect().await;
    connection.send(head).await;
    let begun = Instant::now();
    // Every read is in time, all of them together are not.
    for byte in body.iter().take(8) {
        connection.send(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let answer = connection.response().await.expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let h2 = h2c::Connection::open(gateway.address).await;
    let answer = h2.stall_as(JSON, "POST", "zendesk-chat.test", "/c", b"{").await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
    assert!(echo.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_body_never_reaches_the_backend() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    for host in ["zendesk-chat.test", "observe.test"] {
        for request in [post(host, JSON, padded(500)), post(host, JSON, padded(500)).chunked()] {
            let bytes = request.bytes();
            let mut connection = gateway.connect().await;
            connection.send(&bytes[..bytes.len() - 100]).await;
            drop(connection);
        }
        let mut broken = post(host, JSON, padded(500)).chunked().bytes();
        let end = broken.len() - 7;
        broken[end..].copy_from_slice(b"\r\nZZ\r\n\r");
        let mut connection = gateway.connect().await;
        connection.send(&broken).await;
        let answer = connection.response().await.expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_request"));
    }
    let labels = [("code", "400")];
    gateway.metric_reaches("countersign_http_requests_total", &labels, 2.0).await;
    assert!(echo.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_expects_to_be_told_to_go_on_is_told() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let body = r#"{"external_id":"7","a":1}"#;
    let request = post("zendesk-chat.test", JSON, body).header("Expect", "100-continue").bytes();
    let (head, rest) = request.split_at(request.len() - body.len());
    let mut connection = gateway.connect().await;
    connection.send(head).await;
    assert_eq!(connection.interim().await.expect("100"), 100);
    connection.send(rest).await;
    let answer = connection.response().await.expect("an answer");
    assert!(answer.informational.is_empty(), "once is enough: {answer:?}");
    let got = answer.echoed();
    assert_eq!((got.body.as_str(), got.header("expect")), (r#"{"a":1}"#, None));

    let large = post("zendesk-chat.test", JSON, padded(70_000)).header("Expect", "100-continue");
    let bytes = large.bytes();
    let mut connection = gateway.connect().await;
    connection.send(&bytes[..bytes.len() - 70_000]).await;
    let begun = Instant::now();
    let answer = connection.response().await.expect("an answer");
    assert_eq!((answer.status, answer.informational.len()), (413, 0));
    assert!(connection.closes_within(Duration::from_secs(10)).await);
    assert!(begun.elapsed() < Duration::from_secs(10));

    let streamed = post("jwt.test", JSON, body).header("Expect", "100-continue").bytes();
    let mut connection = gateway.connect().await;
    connection.send(&streamed[..streamed.len() - body.len()]).await;
    assert_eq!(connection.interim().await.expect("the backend's own"), 100);
    connection.send(body.as_bytes()).await;
    assert_eq!(connection.response().await.expect("an answer").echoed().body, body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_behind_a_body_that_was_read_are_answered_in_turn() {
    let echo = Echo::start().await;
    let gateway = start(&echo, "").await;
    let mut connection = gateway.connect().await;
    let mut bytes = post("zendesk-chat.test", JSON, r#"{"external_id":"7"}"#).bytes();
    bytes.extend(post("zendesk-chat.test", JSON, r#"{"a":1}"#).chunked().bytes());
    bytes.extend(post("zendesk-chat.test", FORM, "name=Eve&a=2").bytes());
    connection.send(&bytes).await;
    for wanted in ["{}", r#"{"a":1}"#, "a=2"] {
        assert_eq!(connection.response().await.expect("an answer").echoed().body, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sites_and_a_routes_limit_count() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let site = dialect("zendesk-chat").site("small", "small.test", &upstream, "prefer")
        + "    body_limit: 100\n    routes: [ { path: /large, body_limit: 1KiB } ]\n";
    let gateway = Setup::new(site).start().await;
    for (path, length, status) in
        [("/c", 100, 200), ("/c", 101, 413), ("/large", 1024, 200), ("/large", 1025, 413)]
    {
        let request = Request::post(path, JSON, padded(length)).host("small.test");
        assert_eq!(gateway.send(&request).await.status, status, "{path} {length}");
        assert_eq!(gateway.send(&request.chunked()).await.status, status, "{path} {length}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_may_move_from_one_dialect_to_another() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let jwt = dialect("jwt");
    let site = dialect("user-hash").site("moving", "moving.test", &upstream, "prefer")
        + &format!(
            "    accepts: [ {{ dialect: jwt, keys: [ {{ id: new, secret: {{ value: {} }} }} ] }} ]\n",
            jwt.secret
        );
    let gateway = Setup::new(site).start().await;
    let old = dialect("user-hash");
    let hash = old.proof(old.secret, "u-1", 0);
    let token = jwt.proof(jwt.secret, "u-1", 5);
    let with_hash = format!(r#"{{"user_id":"u-1","identifier_hash":"{hash}"}}"#);
    let get = || Request::get("/c").host("moving.test");
    for (request, name, key) in [
        (post("moving.test", JSON, with_hash.clone()), "user-hash", "k1"),
        (get().bearer(&token), "jwt", "new"),
    ] {
        let got = gateway.send(&request).await.echoed();
        assert_eq!(got.header("countersign-dialect"), Some(name));
        assert_eq!(
            (got.header("countersign-id"), got.header("countersign-key")),
            (Some("u-1"), Some(key))
        );
        assert!(!got.mentions(&hash) && !got.mentions(&token));
    }
    let guest = gateway.send(&get()).await.echoed();
    assert_eq!(guest.header("countersign-dialect"), Some("user-hash"));
    // Keys are judged by their own dialect alone, and two credentials are two.
    let crossed = jwt.proof(old.secret, "u-1", 5);
    let answer = gateway.send(&get().bearer(&crossed)).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "bad_signature"));
    let both = post("moving.test", JSON, with_hash).bearer(&token);
    let answer = gateway.send(&both).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "ambiguous"));
    // Whoever vouches, the other dialect's fields prove nothing.
    let beside = post("moving.test", JSON, r#"{"user_id":"u-2","a":1}"#).bearer(&token);
    let got = gateway.send(&beside).await.echoed();
    assert_eq!(
        (got.body.as_str(), got.claimed()),
        (r#"{"a":1}"#, Some(json!({ "user_id": "u-2" })))
    );
    // What was decided counts for the dialect whose credential it was.
    let metrics = gateway.metrics().await;
    let decided = |dialect, decision, reason| {
        let labels = [("dialect", dialect), ("decision", decision), ("reason", reason)];
        metrics.sum("countersign_decisions_total", &labels)
    };
    assert_eq!(decided("jwt", "verified", "none"), 2.0);
    assert_eq!(decided("jwt", "rejected", "bad_signature"), 1.0);
    assert_eq!(decided("user-hash", "verified", "none"), 1.0);
    assert_eq!(decided("user-hash", "guest", "missing"), 1.0);
    assert!(
        metrics.has("countersign_decisions_total", &[("dialect", "jwt"), ("reason", "expired")])
    );
}
