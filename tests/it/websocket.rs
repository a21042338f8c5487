//! Upgrades: judged at the handshake, then a tunnel that nothing cuts.

use crate::plain_pingora::PlainPingora;
use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Connection, Request};
use crate::support::websocket::{Socket, handshake};

const HOST: &str = "chat.test";

pub async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let jwt = dialect("jwt");
    let mut sites = jwt.site("chat", HOST, &upstream, "require");
    sites += &(jwt.site("listed", "listed.test", &upstream, "prefer")
        + "    allowed_origins: [https://www.acme.test]\n");
    sites += &jwt.site("guests", "guests.test", &upstream, "prefer");
    Setup::new(sites).start().await
}

pub fn good() -> String {
    let jwt = dialect("jwt");
    jwt.proof(jwt.secret, "u-1001", 5)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_upgrade_is_cleaned_and_announced() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let token = good();
    let by_query = handshake(&format!("/ws?access_token={token}&room=1"), HOST);
    let by_header = handshake("/ws?room=1", HOST).bearer(&token);
    for upgrade in [by_query, by_header] {
        let upgrade = upgrade.header("Sec-WebSocket-Protocol", "chat.v1");
        let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
        socket.echoes("hello").await.expect("an echo");
        assert_eq!(
            socket.answer.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        assert_eq!(socket.answer.header("sec-websocket-protocol"), Some("chat.v1"));
        let received = echo.take().pop().expect("the backend was asked");
        assert_eq!(received.target, "/ws?room=1");
        assert_eq!(received.header("countersign-status"), Some("verified"));
        assert_eq!(received.header("countersign-id"), Some("u-1001"));
        assert_eq!(received.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
        assert!(!received.mentions(&token));
    }
    gateway.metric_reaches("countersign_decisions_total", &[("decision", "verified")], 2.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_upgrade_is_an_http_problem() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let jwt = dialect("jwt");
    let forged = jwt.proof("a-secret-that-is-nobodys-0123456789", "u-1001", 5);
    let cases = [
        (handshake("/ws", HOST), 401, "missing"),
        (handshake("/ws", HOST).bearer(&forged), 401, "bad_signature"),
        (handshake("/ws", "nobody.test").bearer(&good()), 421, "unknown_site"),
    ];
    for (upgrade, status, code) in cases {
        let answer = Socket::open(gateway.address, &upgrade).await.err().expect("no upgrade");
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
    }
    assert!(echo.received().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_from_a_foreign_page_is_refused() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let token = good();
    let from = |host: &str, origin: &str| handshake("/ws", host).header("Origin", origin);
    let cookie = format!("countersign_jwt={token}");
    let refused = [
        from("listed.test", "https://evil.test").bearer(&token),
        from("guests.test", "https://evil.test").header("Cookie", &cookie),
        handshake("/ws", "guests.test").header("Cookie", &cookie),
    ];
    for upgrade in refused {
        let answer = Socket::open(gateway.address, &upgrade).await.err().expect("no upgrade");
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"));
    }
    let passed = [
        from("listed.test", "https://www.acme.test").header("Cookie", &cookie),
        from("guests.test", "http://guests.test").header("Cookie", &cookie),
        from("guests.test", "https://evil.test").bearer(&token),
    ];
    for upgrade in passed {
        assert!(Socket::open(gateway.address, &upgrade).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_upgrade_is_an_ordinary_request_and_no_way_round() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    for upgrade in ["x", "h2c", "TLS/1.0", "websocketx"] {
        let request = |token: Option<&str>| {
            let request = Request::get("/c")
                .host(HOST)
                .header("Connection", "Upgrade")
                .header("Upgrade", upgrade);
            token.map_or(request.clone(), |token| request.bearer(token))
        };
        let answer = gateway.send(&request(None)).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "missing"), "{upgrade}");
        let answer = gateway.send(&request(Some(&good()))).await;
        assert_eq!(answer.echoed().header("upgrade"), None, "{upgrade}");
    }
    // Bytes sent before the 101 are no second request.
    let mut bytes = handshake("/ws/refuse", HOST).bearer(&good()).bytes();
    bytes.extend(Request::get("/smuggled").host(HOST).bearer(&good()).bytes());
    let mut connection = Connection::open(gateway.address).await;
    connection.send(&bytes).await;
    assert_eq!(connection.response().await.expect("an answer").status, 403);
    assert!(echo.received().iter().all(|request| {
        request.target != "/smuggled" || request.header("countersign-id") == Some("u-1001")
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_refuses_the_handshake_is_heard() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let upgrade = handshake("/ws/refuse", HOST).bearer(&good());
    let answer = Socket::open(gateway.address, &upgrade).await.err().expect("no upgrade");
    assert_eq!((answer.status, answer.text().as_str()), (403, "not this backend"));
    for path in ["/close", "/reset"] {
        let upgrade = handshake(path, HOST).bearer(&good());
        let answer = Socket::open(gateway.address, &upgrade).await.err().expect("no upgrade");
        assert_eq!(answer.status, 502, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_every_size_go_through_both_ways() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let upgrade = handshake("/ws", HOST).bearer(&good());
    let mut socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let text = "x".repeat(size);
        let heard = socket.echoes(&text).await;
        assert!(heard.is_ok(), "{size} bytes");
    }
    // Many on their way at once.
    let many: Vec<String> = (0..500).map(|n| format!("{n} {}", "y".repeat(1000))).collect();
    for text in &many {
        socket.say(text).await.expect("an open socket");
    }
    for text in &many {
        let heard = socket.hear().await.expect("an open socket");
        assert_eq!(heard.as_ref(), Some(text));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_may_end_it() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let upgrade = handshake("/ws", HOST).bearer(&good());
    let sockets = [
        Socket::open(gateway.address, &upgrade).await.expect("an upgrade"),
        Socket::open(gateway.address, &upgrade).await.expect("an upgrade"),
    ];
    let live = || async { gateway.metrics().await.sum("countersign_live_connections", &[]) };
    assert_eq!(live().await, 2.0);
    drop(sockets);
    let patience = crate::support::PATIENCE;
    crate::support::eventually("the backend hears of it", patience, || async {
        echo.open() == 0 && live().await == 0.0
    })
    .await;
}

/// Opens so many sockets, eight at a time, and counts those that do not echo.
async fn torn_down(address: std::net::SocketAddr, upgrade: &Request, count: usize) -> usize {
    let workers = (0..8).map(|_| async {
        let mut torn = 0;
        for _ in 0..count / 8 {
            torn += usize::from(match Socket::open(address, upgrade).await {
                Ok(mut socket) => {
                    let greeting = socket.hear().await.is_ok_and(|heard| heard.is_some());
                    !greeting || socket.echoes("hello").await.is_err()
                }
                Err(_) => true,
            });
        }
        torn
    });
    futures_util::future::join_all(workers).await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_upgrades_against_a_backend_that_answers_at_once_all_live() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let upgrade = handshake("/ws/greet", HOST).bearer(&good());
    assert_eq!(torn_down(gateway.address, &upgrade, 1000).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_pingora_tears_some_of_them_down() {
    let echo = Echo::start().await;
    let plain = PlainPingora::start(echo.address, true).await;
    let upgrade = handshake("/ws/greet", HOST);
    let torn = torn_down(plain.address, &upgrade, 1000).await;
    assert!(torn > 0, "the failure that the test above guards against is gone: simplify");
}
