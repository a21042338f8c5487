//! Who may show the pages in a frame, and whose pages may speak to a site.

use crate::support::cases::dialect;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};
use crate::support::websocket::{Socket, handshake};

const OWN: &str = "frame-ancestors https://www.acme.test";

async fn start(echo: &Echo) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let jwt = dialect("jwt");
    let sites = jwt.site("framed", "framed.test", &upstream, "require")
        + "    frame_ancestors: [https://www.acme.test]\n    routes:\n"
        + "      - { path: /framed/off/*, mode: off, frame_ancestors: [none] }\n"
        + "      - { path: /framed/*, mode: off }\n"
        + &jwt.site("plain", "plain.test", &upstream, "prefer");
    Setup::new(sites).start().await
}

fn policies(answer: &Response) -> Vec<&str> {
    let is_policy = |name: &str| name.eq_ignore_ascii_case("content-security-policy");
    let fields = answer.headers.iter().filter(|(name, _)| is_policy(name));
    fields.map(|(_, value)| value.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backends_policy_keeps_all_but_its_frame_ancestors() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let answer = gateway.send(&Request::get("/framed").host("framed.test")).await;
    let expected = format!("default-src 'self'; {OWN}; img-src *, script-src 'self'");
    assert_eq!(policies(&answer), [expected.as_str()]);
    assert_eq!(answer.header("x-frame-options"), None);
    assert_eq!(
        answer.header("content-security-policy-report-only"),
        Some("frame-ancestors 'none'"),
        "what only reports stays"
    );
    // Where nothing is configured the backend says what it likes.
    let answer = gateway.send(&Request::get("/framed").host("plain.test")).await;
    let sent = ["default-src 'self'; frame-ancestors 'none'; img-src *", "script-src 'self'"];
    assert_eq!(policies(&answer), sent);
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_a_route_says_who_may_frame_it() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let off = gateway.send(&Request::get("/framed/off/x").host("framed.test")).await;
    assert_eq!(policies(&off), ["frame-ancestors 'none'"]);
    let refused = gateway.send(&Request::get("/c").host("framed.test")).await;
    assert_eq!((refused.status, policies(&refused)), (401, vec![OWN]));
    let jwt = dialect("jwt");
    let good = jwt.proof(jwt.secret, "u-1001", 5);
    for (path, status) in [("/status/204", 204), ("/status/403", 403), ("/close", 502)] {
        let request = Request::get(path).host("framed.test").bearer(&good);
        let answer = gateway.send(&request).await;
        assert_eq!((answer.status, policies(&answer)), (status, vec![OWN]), "{path}");
    }
    let upgrade = handshake("/ws/refuse", "framed.test").bearer(&good);
    let answer = Socket::open(gateway.address, &upgrade).await.err().expect("no upgrade");
    assert_eq!((answer.status, policies(&answer)), (403, vec![OWN]));
    let upgrade = handshake("/ws", "framed.test").bearer(&good);
    let socket = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
    assert_eq!(policies(&socket.answer), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_origins_of_a_route_take_the_place_of_its_sites() {
    let echo = Echo::start().await;
    let jwt = dialect("jwt");
    let sites = jwt.site("origins", "origins.test", &format!("http://{}", echo.address), "require")
        + "    allowed_origins: [https://www.acme.test]\n    routes:\n"
        + "      - { path: /ws/*, allowed_origins: [https://embed.acme.test] }\n";
    let gateway = Setup::new(sites).start().await;
    let token = jwt.proof(jwt.secret, "u-1001", 5);
    let (site, route) = ("https://www.acme.test", "https://embed.acme.test");
    for (path, origin, welcome) in [
        ("/ws/x", route, true),
        ("/ws/x", site, false),
        ("/wsx", site, true),
        ("/wsx", route, false),
    ] {
        let offer = format!("countersign.jwt.{token}");
        let upgrade = handshake(path, "origins.test")
            .header("Origin", origin)
            .header("Sec-WebSocket-Protocol", &offer);
        match Socket::open(gateway.address, &upgrade).await {
            Ok(_) => assert!(welcome, "{path} {origin}"),
            Err(answer) => {
                assert!(!welcome, "{path} {origin}");
                assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"));
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
        let preflight = Request::new("OPTIONS", path)
            .host("origins.test")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST");
        let answer = gateway.send(&preflight).await;
        assert_eq!(answer.status, if welcome { 204 } else { 403 }, "{path} {origin}");
        let refused = Request::get(path).host("origins.test").header("Origin", origin);
        let readable = gateway.send(&refused).await;
        let shared = welcome.then_some(origin);
        assert_eq!(
            (readable.status, readable.header("access-control-allow-origin")),
            (401, shared)
        );
    }
}
