//! From the cause to the Close frame, with two thousand others open all the while: bans and
//! logouts by the admin API, on one gateway and across two, and proofs that expire. Keys that
//! go are in `live.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::severing::Events;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::h2c;
use crate::support::raw::{Request, find};
use crate::support::websocket::{Socket, all_echo, handshake, open_many};
use crate::support::{PATIENCE, eventually, sign};

const HOST: &str = "chat.test";
const SECRET: &str = "a-secret-of-the-tests-0123456789-abc";
/// What is promised, from the cause to the Close frame.
const PROMPT: Duration = Duration::from_secs(1);
/// Connections that nothing happens to.
const OTHERS: usize = 2000;

fn site(backend: SocketAddr, more: &str) -> String {
    format!(
        "  chat:\n    hosts: [{HOST}]\n    upstream: http://{backend}\n    dialect: jwt\n    \
         mode: prefer\n    keys: [ {{ id: k, secret: {{ value: \"{SECRET}\" }} }} ]\n{more}"
    )
}

fn token_until(id: &str, exp: u64) -> String {
    sign::token(SECRET, &json!({ "sub": id, "iat": sign::now() - 500, "exp": exp }))
}

fn token(id: &str) -> String {
    token_until(id, sign::now() + 600)
}

async fn open(gateway: &Gateway, token: &str) -> Socket {
    let upgrade = handshake("/ws", HOST).bearer(token);
    Socket::open(gateway.address, &upgrade).await.expect("an upgrade")
}

/// Half of them of one visitor, half of guests; says what one costs the gateway.
async fn open_others(gateway: &Gateway) -> Vec<Socket> {
    let upgrade = handshake("/ws", HOST);
    // What the first few cost is not theirs.
    let mut others = open_many(gateway.address, &upgrade, 16).await;
    let before = gateway.resident_kib();
    others.extend(open_many(gateway.address, &upgrade, OTHERS / 2 - 16).await);
    let verified = upgrade.bearer(&token("somebody"));
    others.extend(open_many(gateway.address, &verified, OTHERS / 2).await);
    let grown = gateway.resident_kib().saturating_sub(before);
    eprintln!("memory: {:.1} KiB an idle WebSocket", grown as f64 / (OTHERS - 16) as f64);
    others
}

async fn none_of_them_noticed(gateway: &Gateway, others: &mut [Socket]) {
    let all = others.len() as f64;
    // Whoever has been closed may linger for a moment.
    let left = || async { gateway.metrics().await.sum("countersign_live_connections", &[]) == all };
    eventually("the others alone are live", PATIENCE, left).await;
    all_echo(others).await;
}

/// Ways of an operator to be rid of somebody.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Ban,
    Logout,
}

impl Cause {
    async fn of(self, admin: &Gateway, id: &str) {
        let (answer, status) = match self {
            Self::Ban => (admin.ask("PUT", &format!("/v1/sites/chat/bans/{id}")).await, 201),
            Self::Logout => {
                let body = json!({ "id": id }).to_string();
                (admin.say("POST", "/v1/sites/chat/logouts", &body).await, 200)
            }
        };
        assert_eq!(answer.status, status, "{self:?}: {}", answer.text());
    }

    fn farewell(self) -> (u16, String) {
        match self {
            Self::Ban => (3003, "banned".to_owned()),
            Self::Logout => (3000, "revoked".to_owned()),
        }
    }
}

/// One visitor after another is turned out through `admin`, and hears of it on `gateway`.
async fn turn_out(cause: Cause, admin: &Gateway, gateway: &Gateway) {
    let ids: Vec<String> = (0..50).map(|n| format!("{cause:?}-{n}").to_lowercase()).collect();
    let mut open_ones = Vec::new();
    for id in &ids {
        open_ones.push(open(gateway, &token(id)).await);
    }
    let mut took = Vec::new();
    for (id, mut socket) in ids.iter().zip(open_ones) {
        let start = Instant::now();
        let heard = async { (socket.farewell().await, start.elapsed()) };
        let ((), (farewell, elapsed)) = tokio::join!(cause.of(admin, id), heard);
        assert_eq!(farewell, cause.farewell());
        took.push(elapsed);
    }
    tell(&format!("{cause:?} → Close frame"), took);
}

/// Says how they are spread, and that each was prompt.
fn tell(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let (middle, last) = (took[took.len() / 2], took[(took.len() * 99).div_ceil(100) - 1]);
    eprintln!("{what}: p50 {middle:?}, p99 {last:?} of {}", took.len());
    assert!(took.iter().all(|took| *took < PROMPT), "{what}: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bans_and_logouts_close_what_they_concern_and_two_thousand_others_stay() {
    let (echo, folder) = (Echo::start().await, tempfile::tempdir().expect("a folder"));
    let store = format!("store: {{ embedded: {{ path: {} }} }}", folder.path().display());
    let gateway = Setup::new(site(echo.address, "")).top(&store).start().await;
    let mut others = open_others(&gateway).await;
    for cause in [Cause::Ban, Cause::Logout] {
        turn_out(cause, &gateway, &gateway).await;
    }
    none_of_them_noticed(&gateway, &mut others).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_is_told_closes_websockets_on_the_other_and_two_thousand_others_stay() {
    let echo = Echo::start().await;
    let redis = crate::support::redis_server::RedisServer::start(&[]).await;
    let store =
        format!("store: {{ redis: {{ url: {{ value: \"redis://{}\" }} }} }}", redis.address);
    let setup = || Setup::new(site(echo.address, "")).top(&store);
    let (one, other) = (setup().start().await, setup().start().await);
    let mut others = open_others(&other).await;
    for cause in [Cause::Ban, Cause::Logout] {
        turn_out(cause, &one, &other).await;
    }
    none_of_them_noticed(&other, &mut others).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proofs_that_expire_close_what_rests_on_them_and_two_thousand_others_stay() {
    let echo = Echo::start().await;
    let live = "    live: { on_expiry: close, grace: 1s }\n";
    let gateway = Setup::new(site(echo.address, live)).start().await;
    let mut others = open_others(&gateway).await;
    let first = sign::now() + 4;
    let mut ending = Vec::new();
    for n in 0..60 {
        let exp = first + n % 3;
        let mut socket = open(&gateway, &token_until(&format!("u-{n}"), exp)).await;
        ending.push(async move {
            let farewell = socket.farewell().await;
            let late = countersign::clock::UnixTime::now().as_millis() as i64;
            (farewell, late - (exp as i64 + 1) * 1000)
        });
    }
    let mut took = Vec::new();
    for (farewell, late) in futures_util::future::join_all(ending).await {
        assert_eq!(farewell, (3000, "identity expired".to_owned()));
        took.push(Duration::from_millis(late.try_into().expect("not before its time")));
    }
    tell("expiry and grace → Close frame", took);
    none_of_them_noticed(&gateway, &mut others).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bans_and_logouts_end_streams_of_events_of_either_version() {
    let events = Events::start().await;
    let gateway = Setup::new(site(events.address, "")).start().await;
    let bearer = |id: &str| format!("Bearer {}", token(id));
    let (kept, mine) = (bearer("kept"), bearer("concerned"));
    let open = async |bearer: &str| {
        let mut over_1 = gateway.connect().await;
        let request = Request::get("/sse").host(HOST).header("Authorization", bearer);
        over_1.send(&request.bytes()).await;
        assert_eq!(over_1.response_to_head().await.expect("an answer").status, 200);
        let http2 = h2c::Connection::open(gateway.address).await;
        let mut over_2 = http2.begin_with(HOST, "/sse", &[("authorization", bearer)]).await;
        over_2.hear("data: 1\n\ndata: 2\n\n".len()).await;
        (over_1.into_parts().0, over_2)
    };
    let (mut kept_1, mut kept_2) = open(&kept).await;
    for cause in [Cause::Logout, Cause::Ban] {
        let fresh = sign::token(SECRET, &json!({ "sub": "concerned", "exp": sign::now() + 600 }));
        let mine = match cause {
            Cause::Logout => mine.clone(),
            Cause::Ban => format!("Bearer {fresh}"),
        };
        let (mut over_1, mut over_2) = open(&mine).await;
        let start = Instant::now();
        cause.of(&gateway, "concerned").await;
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut over_1, &mut rest);
        assert!(tokio::time::timeout(PATIENCE, read).await.is_ok(), "{cause:?}: it goes on");
        assert!(find(&rest, b"\r\n0\r\n").is_none(), "it ends as if it were complete");
        let reset = tokio::time::timeout(PATIENCE, over_2.end()).await.expect("an end");
        assert!(reset.is_err(), "{cause:?}: the stream is reset");
        assert!(start.elapsed() < PROMPT, "{cause:?}: {:?}", start.elapsed());
    }
    let mut rest = Vec::new();
    let goes_on = tokio::io::AsyncReadExt::read_to_end(&mut kept_1, &mut rest);
    assert!(tokio::time::timeout(PROMPT / 4, goes_on).await.is_err(), "of somebody else");
    assert!(tokio::time::timeout(PROMPT / 4, kept_2.end()).await.is_err(), "of somebody else");
}
