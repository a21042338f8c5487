//! What a browser can do about a WebSocket: name subprotocols, and read a close code.

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;
use crate::support::websocket::{Socket, handshake};

const OFFER: &str = "Sec-WebSocket-Protocol";

async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let jwt = dialect("jwt");
    let mut sites = jwt.site("chat", "chat.test", &upstream, "require");
    sites += &jwt.site("accept", "accept.test", &upstream, "accept");
    sites += &jwt.site("observe", "observe.test", &upstream, "observe");
    sites +=
        &(jwt.site("keeps", "keeps.test", &upstream, "require") + "    forward_credential: true\n");
    sites += &(jwt.site("closes", "closes.test", &upstream, "require")
        + "    refuse_upgrade: close\n    allowed_origins: [https://www.acme.test]\n"
        + "    routes: [ { path: /plain/*, refuse_upgrade: http } ]\n");
    Setup::new(sites).start().await
}

fn token(secret: &str, issued: u64) -> String {
    dialect("jwt").proof(secret, "u-1001", issued)
}

fn good() -> String {
    token(dialect("jwt").secret, 5)
}

/// The answer's subprotocol, and the offers that reached the backend.
async fn negotiated(gateway: &Gateway, echo: &Echo, upgrade: &Request) -> (String, Vec<String>) {
    let socket = Socket::open(gateway.address, upgrade).await.expect("an upgrade");
    let selected = socket.answer.header(OFFER).unwrap_or_default().to_owned();
    let received = echo.take().pop().expect("the backend was asked");
    let offers = received.all(OFFER).into_iter().map(str::to_owned).collect();
    (selected, offers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_among_the_subprotocols_proves_and_does_not_reach_the_backend() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let ours = format!("countersign.jwt.{}", good());
    for (offers, selected, forwarded) in [
        (vec![ours.clone()], ours.as_str(), vec![]),
        (vec![format!("{ours}, chat.v2, chat.v1")], "chat.v2", vec!["chat.v2, chat.v1"]),
        (vec![format!("chat.v2,{ours}")], "chat.v2", vec!["chat.v2"]),
        (vec!["chat.v2".into(), ours.clone()], "chat.v2", vec!["chat.v2"]),
    ] {
        let upgrade = offers
            .iter()
            .fold(handshake("/ws", "chat.test"), |upgrade, offer| upgrade.header(OFFER, offer));
        let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
        socket.echoes("hello").await.expect("an echo");
        assert_eq!(socket.answer.header(OFFER), Some(selected));
        let received = echo.take().pop().expect("the backend was asked");
        assert_eq!(received.header("countersign-id"), Some("u-1001"));
        assert_eq!(received.all(OFFER), forwarded);
        assert!(!received.mentions(&good()[..40]), "{received:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_in_a_subprotocol_is_treated_like_any_other() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let bad = format!("countersign.jwt.{}", token("a-secret-that-is-nobodys-0123456789", 5));
    let offering = |host: &str, offer: &str| handshake("/ws", host).header(OFFER, offer);
    let both = format!("{bad}, countersign.jwt.{}", good());
    for (offer, status, code) in [(&bad, 401, "bad_signature"), (&both, 400, "ambiguous")] {
        let upgrade = offering("chat.test", offer);
        let answer = Socket::open(gateway.address, &upgrade).await.err().expect("no upgrade");
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    assert!(echo.received().is_empty());
    // `accept` takes a bad one out too, `observe` and `forward_credential` leave it.
    let chat = |token: &str| format!("{token}, chat");
    let passed = negotiated(&gateway, &echo, &offering("accept.test", &chat(&bad))).await;
    assert_eq!(passed, ("chat".to_owned(), vec!["chat".to_owned()]));
    let passed = negotiated(&gateway, &echo, &offering("observe.test", &chat(&bad))).await;
    assert_eq!(passed, (bad.clone(), vec![chat(&bad)]));
    let ours = format!("countersign.jwt.{}", good());
    let passed = negotiated(&gateway, &echo, &offering("keeps.test", &chat(&ours))).await;
    assert_eq!(passed, (ours.clone(), vec![chat(&ours)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subprotocol_that_nobody_offered_is_the_backends_fault() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    for offer in ["chat", ""] {
        let upgrade = handshake("/ws", "chat.test").bearer(&good()).header("X-Select", "other");
        let upgrade = if offer.is_empty() { upgrade } else { upgrade.header(OFFER, offer) };
        let answer = Socket::open(gateway.address, &upgrade).await.err().expect("no upgrade");
        assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unavailable"));
    }
    let labels = [("site", "chat"), ("kind", "protocol")];
    gateway.metric_reaches("countersign_upstream_errors_total", &labels, 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upgrade_is_closed_with_its_reason_where_that_is_wanted() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let at = |path: &str| handshake(path, "closes.test");
    let expired = format!("countersign.jwt.{}", token(dialect("jwt").secret, 2000));
    let cases = [
        (at("/ws"), 3000, "missing", None),
        (at("/ws").header(OFFER, &expired), 3000, "expired", Some(expired.as_str())),
        (at("/ws").header(OFFER, &format!("{expired}, chat")), 3000, "expired", Some("chat")),
        (
            at("/ws").bearer(&good()).header("Origin", "https://evil.test"),
            3003,
            "origin_not_allowed",
            None,
        ),
    ];
    for (upgrade, code, reason, protocol) in cases {
        let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
        assert_eq!(socket.answer.header(OFFER), protocol, "{reason}");
        assert_eq!(
            socket.answer.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert!(socket.answer.header("countersign-request-id").is_some());
        assert_eq!(socket.farewell().await, (code, reason.to_owned()));
    }
    assert!(echo.received().is_empty(), "the backend hears nothing of it");
    let labels = [("site", "closes"), ("decision", "rejected")];
    gateway.metric_reaches("countersign_decisions_total", &labels, 4.0).await;
    let line = gateway.log_line("\"code\":\"expired\"").await;
    assert!(line.contains("\"status\":101") && line.contains("\"message\":\"upgrade\""), "{line}");

    // Over HTTP: another route, what cannot be accepted, and ordinary requests.
    let half = Request::get("/ws")
        .host("closes.test")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    for request in [at("/plain/ws"), half] {
        let answer = Socket::open(gateway.address, &request).await.err().expect("no upgrade");
        assert_eq!((answer.status, answer.code().as_str()), (401, "missing"));
    }
    let answer = gateway.send(&Request::get("/c").host("closes.test")).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "missing"));
    // And who may come in does.
    let upgrade = at("/ws").bearer(&good()).header("Origin", "https://www.acme.test");
    let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
    socket.echoes("hello").await.expect("an echo");
}
