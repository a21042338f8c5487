//! Redis goes and comes back under load, dead or merely silent; and one replica of two is cut
//! off from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Connection, Request};
use crate::support::redis_server::{Passing, RedisServer, Thread};
use crate::support::websocket::{Socket, handshake};
use crate::support::{PATIENCE, eventually, sign};

/// `on_store_outage: serve`.
const SERVING: &str = "serve.test";
/// `on_store_outage: refuse`.
const REFUSING: &str = "refuse.test";
const SECRET: &str = "a-secret-of-the-tests-0123456789-abc";
/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(40);
/// Far above what a request may wait for a session, and less than waiting for Redis takes.
const HANGS: Duration = Duration::from_millis(900);

fn setup(backend: SocketAddr, redis: SocketAddr) -> Setup {
    let site = |host: &str, outage: &str| {
        format!(
            "  {outage}:\n    hosts: [{host}]\n    upstream: http://{backend}\n    dialect: jwt\n    \
             mode: prefer\n    keys: [ {{ id: k, secret: {{ value: \"{SECRET}\" }} }} ]\n    \
             session: {{ request: [ {{ header: X-Auth-Token }} ] }}\n    \
             on_store_outage: {outage}\n"
        )
    };
    let store = format!("store: {{ redis: {{ url: {{ value: \"redis://{redis}\" }} }} }}");
    Setup::new(site(SERVING, "serve") + &site(REFUSING, "refuse")).top(&store)
}

fn token(id: &str) -> String {
    sign::token(SECRET, &json!({ "sub": id, "iat": sign::now() - 5, "exp": sign::now() + 600 }))
}

/// What is known of Redis, by whoever judges an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    There = 0,
    /// It has gone or come back, and the gateway need not have noticed.
    Changing = 1,
    Away = 2,
}

/// What somebody is to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visitor {
    /// Sends a token.
    Proven,
    /// Sends a session that was proven before.
    Bound,
    Guest,
    /// Sends a session that nobody knows, another one each time.
    Stranger,
    Banned,
}

const VISITORS: [Visitor; 5] =
    [Visitor::Proven, Visitor::Bound, Visitor::Guest, Visitor::Stranger, Visitor::Banned];

impl Visitor {
    fn request(self, host: &str, client: usize, round: usize) -> Request {
        let request = Request::get("/echo").host(host);
        match self {
            Self::Proven => request.bearer(&token(&format!("u-{client}"))),
            Self::Bound => request.header("X-Auth-Token", &format!("s-{client}")),
            Self::Guest => request,
            Self::Stranger => request.header("X-Auth-Token", &format!("unknown-{client}-{round}")),
            Self::Banned => request.bearer(&token("eve")),
        }
    }

    /// The status, and whether as somebody.
    fn right(self, refusing: bool) -> (u16, bool) {
        match self {
            // Another replica may know who the stranger is.
            Self::Proven | Self::Bound | Self::Stranger if refusing => (503, false),
            Self::Proven | Self::Bound => (200, true),
            Self::Guest | Self::Stranger => (200, false),
            Self::Banned => (403, false),
        }
    }
}

/// Clients that send one request after another until they are told to stop.
struct Load {
    known: Arc<AtomicU8>,
    clients: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

const STOP: u8 = 255;

impl Load {
    /// Eight for each site.
    async fn start(gateway: &Gateway) -> Self {
        let known = Arc::new(AtomicU8::new(Known::There as u8));
        let mut clients = Vec::new();
        for client in 0..16 {
            let host = if client % 2 == 0 { SERVING } else { REFUSING };
            let mut connection = gateway.connect().await;
            let proof = Visitor::Bound.request(host, client, 0);
            let proof = proof.bearer(&token(&format!("u-{client}")));
            assert_eq!(connection.exchange(&proof).await.expect("an answer").status, 200);
            clients.push(tokio::spawn(send_on(connection, host, client, known.clone())));
        }
        Self { known, clients }
    }

    fn say(&self, known: Known) {
        self.known.store(known as u8, Ordering::SeqCst);
    }

    /// Lets it go on for a while.
    async fn goes_on(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let ended = self.clients.iter().any(tokio::task::JoinHandle::is_finished);
        assert!(!ended, "a request has failed");
    }

    /// How long the requests took, the shortest first; panics if one has failed.
    async fn end(self) -> Vec<Duration> {
        self.known.store(STOP, Ordering::SeqCst);
        let mut took = Vec::new();
        for client in self.clients {
            took.extend(client.await.expect("no request fails"));
        }
        took.sort();
        took
    }
}

async fn send_on(
    mut connection: Connection,
    host: &'static str,
    client: usize,
    known: Arc<AtomicU8>,
) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0.. {
        pace.tick().await;
        let before = known.load(Ordering::SeqCst);
        if before == STOP {
            break;
        }
        let visitor = VISITORS[round % VISITORS.len()];
        let start = Instant::now();
        let answer = connection.exchange(&visitor.request(host, client, round)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{visitor:?} of {host}: {error}"));
        took.push(start.elapsed());
        let somebody = answer.status == 200 && answer.echoed().header("Countersign-Id").is_some();
        let said = (answer.status, somebody);
        let after = known.load(Ordering::SeqCst);
        let away = before == Known::Away as u8 && after == before;
        let there = before == Known::There as u8 && after == before;
        let fits = match host {
            SERVING => said == visitor.right(false),
            _ if there => said == visitor.right(false),
            _ if away => said == visitor.right(true),
            _ => said == visitor.right(false) || said == visitor.right(true),
        };
        assert!(fits, "{visitor:?} of {host}: {said:?} ({before}, {after}): {}", answer.text());
        if answer.status == 503 {
            assert_eq!(answer.code(), "unavailable");
        }
    }
    took
}

async fn readiness(gateway: &Gateway) -> (u16, String) {
    let answer = Request::get("/readyz").host("localhost").send(gateway.admin).await;
    (answer.status, answer.json()["status"].as_str().unwrap_or_default().to_owned())
}

/// The gateway says so, and one who is known meets it at the refusing site.
async fn is(gateway: &Gateway, up: bool) {
    let said = if up { "ready" } else { "degraded" };
    let status = if up { 200 } else { 503 };
    let of_known = Visitor::Proven.request(REFUSING, 0, 0);
    eventually(said, PATIENCE, async || {
        readiness(gateway).await == (200, said.to_owned())
            && gateway.metrics().await.sum("countersign_store_up", &[]) == f64::from(u8::from(up))
            && gateway.send(&of_known).await.status == status
    })
    .await;
}

/// Neither made now nor later.
async fn no_ban_can_be_made(gateway: &Gateway, id: &str) {
    let path = format!("/v1/sites/serve/bans/{id}");
    let start = Instant::now();
    let refused = gateway.ask("PUT", &path).await;
    assert_eq!((refused.status, refused.code()), (503, "store_unavailable".to_owned()));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(gateway.ask("GET", &path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_or_hangs_while_redis_is_silent_or_dead_and_refusals_are_right() {
    let echo = Echo::start().await;
    let mut redis = RedisServer::start(&["--appendonly", "yes"]).await;
    let mut gateway = setup(echo.address, redis.address).start().await;
    for site in ["serve", "refuse"] {
        assert_eq!(gateway.ask("PUT", &format!("/v1/sites/{site}/bans/eve")).await.status, 201);
    }
    let mut sockets = Vec::new();
    for host in [SERVING, REFUSING] {
        let upgrade = handshake("/ws", host).bearer(&token("u-0"));
        sockets.push(Socket::open(gateway.address, &upgrade).await.expect("an upgrade"));
    }
    let load = Load::start(&gateway).await;
    load.goes_on().await;
    for silent in [true, false, true] {
        load.say(Known::Changing);
        if silent {
            redis.pause();
            // It need not have been noticed yet that nobody answers.
            no_ban_can_be_made(&gateway, "mallory").await;
        } else {
            redis.stop();
        }
        is(&gateway, false).await;
        load.say(Known::Away);
        load.goes_on().await;
        no_ban_can_be_made(&gateway, "mallory").await;
        assert_eq!(gateway.ask("DELETE", "/v1/sites/serve/bans/eve").await.status, 503);
        let logout = gateway.say("POST", "/v1/sites/serve/logouts", r#"{"id": "u-0"}"#).await;
        assert_eq!(logout.status, 503, "{}", logout.text());
        for socket in &mut sockets {
            socket.echoes("still here").await.expect("an echo");
        }
        load.goes_on().await;
        load.say(Known::Changing);
        if silent {
            redis.resume();
        } else {
            redis.again().await;
        }
        is(&gateway, true).await;
        load.say(Known::There);
        load.goes_on().await;
        let mallory = gateway.ask("GET", "/v1/sites/serve/bans/mallory").await;
        assert_eq!(mallory.status, 404, "what was refused is not made later");
    }
    let took = load.end().await;
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
    eprintln!(
        "{} requests over three outages: p50 {:?}, p99 {:?}, longest {:?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    );
    assert!(at(100) < HANGS, "{:?}", at(100));
    assert!(took.len() > 2000, "{}", took.len());
    assert_eq!(gateway.ask("PUT", "/v1/sites/serve/bans/mallory").await.status, 201);
    drop(sockets);
    redis.pause();
    gateway.signal("INT");
    gateway.ended(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_reaches_a_replica_that_was_cut_off_within_two_seconds_of_its_return() {
    let echo = Echo::start().await;
    let redis = RedisServer::start(&[]).await;
    let thread = Thread::to(redis.address).await;
    let near = setup(echo.address, redis.address).start().await;
    let far = setup(echo.address, thread.address).start().await;
    let mut took = Vec::new();
    for round in 0..6 {
        let cut = if round % 2 == 0 { Passing::Nothing } else { Passing::Silence };
        let open = async |id: &str| {
            let upgrade = handshake("/ws", SERVING).bearer(&token(id));
            Socket::open(far.address, &upgrade).await.expect("an upgrade")
        };
        let id = format!("u-{round}");
        let (mut concerned, mut other) = (open(&id).await, open("somebody").await);
        thread.set(cut);
        is(&far, false).await;
        assert_eq!(near.ask("PUT", &format!("/v1/sites/serve/bans/{id}")).await.status, 201);
        assert_eq!(readiness(&near).await, (200, "ready".to_owned()));
        // The longer it lasts the rarer are its attempts.
        tokio::time::sleep(Duration::from_millis(700) * round).await;
        concerned.echoes("nobody has heard").await.expect("an echo");
        let start = Instant::now();
        thread.set(Passing::All);
        assert_eq!(concerned.farewell().await, (3003, "banned".to_owned()));
        took.push(start.elapsed());
        let request = Request::get("/echo").host(SERVING).bearer(&token(&id));
        assert_eq!(far.send(&request).await.code(), "banned");
        other.echoes("still here").await.expect("an echo");
        is(&far, true).await;
    }
    took.sort();
    eprintln!("recovery → Close frame: {took:?}");
    assert!(took[5] < Duration::from_secs(2), "{took:?}");
}
