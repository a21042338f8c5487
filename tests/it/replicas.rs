//! Two gateways on one Redis server: what one learns the other acts upon, and neither fails
//! a request while Redis is away.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::sessions;
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;
use crate::support::redis_server::RedisServer;
use crate::support::websocket::{Socket, handshake};
use crate::support::{PATIENCE, eventually, sign};

const HOST: &str = "chat.test";
const SECRET: &str = "a-secret-of-the-tests-0123456789-abc";

fn setup(backend: SocketAddr, redis: SocketAddr, more: &str) -> Setup {
    let site = format!(
        "  chat:\n    hosts: [{HOST}]\n    upstream: http://{backend}\n    dialect: jwt\n    \
         mode: prefer\n    keys: [ {{ id: k, secret: {{ value: \"{SECRET}\" }} }} ]\n    \
         session: {{ request: [ {{ header: X-Auth-Token }} ] }}\n{more}"
    );
    let store = format!("store: {{ redis: {{ url: {{ value: \"redis://{redis}\" }} }} }}");
    Setup::new(site).top(&store)
}

fn token(id: &str) -> String {
    sign::token(SECRET, &json!({ "sub": id, "exp": sign::now() + 300 }))
}

async fn readiness(gateway: &Gateway) -> (u16, String) {
    let probe = Request::get("/readyz?verbose").host("localhost");
    let Ok(answer) = probe.try_send(gateway.admin).await else { return (0, String::new()) };
    let status = answer.json()["status"].as_str().unwrap_or_default().to_owned();
    (answer.status, status)
}

async fn becomes(gateway: &Gateway, status: u16, said: &str) {
    let holds = || async { readiness(gateway).await == (status, said.to_owned()) };
    eventually(&format!("/readyz is {status} {said}"), PATIENCE, holds).await;
}

/// The identity for which a request that carries this session is forwarded; its status, if
/// it is not.
async fn seen(gateway: &Gateway, session: &str, token: Option<&str>) -> Result<String, u16> {
    let request = Request::get("/echo").host(HOST).header("X-Auth-Token", session);
    let request = token.map_or(request.clone(), |token| request.bearer(token));
    let answer = gateway.send(&request).await;
    match answer.status {
        200 => Ok(answer.echoed().header("Countersign-Id").unwrap_or("guest").to_owned()),
        status => Err(status),
    }
}

async fn ban(gateway: &Gateway, id: &str) -> u16 {
    gateway.ask("PUT", &format!("/v1/sites/chat/bans/{id}")).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_sessions_and_bans_and_outlive_an_outage() {
    let echo = Echo::start().await;
    let mut redis = RedisServer::start(&["--appendonly", "yes"]).await;
    let one = setup(echo.address, redis.address, "").start().await;
    let other = setup(echo.address, redis.address, "").start().await;

    // Proven once, on one; carried on by the session, on the other.
    assert_eq!(seen(&one, "s-ada", None).await, Ok("guest".into()));
    assert_eq!(seen(&one, "s-ada", Some(&token("ada"))).await, Ok("ada".into()));
    eventually("the other knows it", PATIENCE, || async {
        seen(&other, "s-ada", None).await == Ok("ada".into())
    })
    .await;
    assert_eq!(seen(&other, "s-bob", Some(&token("bob"))).await, Ok("bob".into()));

    // A ban closes what is open, everywhere.
    let mut took = Vec::new();
    for number in 0..20 {
        let id = format!("visitor-{number}");
        let upgrade = handshake("/ws", HOST).bearer(&token(&id));
        let mut sockets = Vec::new();
        for gateway in [&one, &other] {
            sockets.push(Socket::open(gateway.address, &upgrade).await.unwrap());
        }
        let start = Instant::now();
        assert_eq!(ban(&one, &id).await, 201);
        for socket in &mut sockets {
            assert_eq!(socket.farewell().await, (3003, "banned".to_owned()));
            took.push(start.elapsed());
        }
    }
    took.sort();
    eprintln!("ban → close frame, two replicas: p50 {:?}, p99 {:?}", took[20], took[39]);
    assert!(took[39] < Duration::from_secs(1), "{took:?}");

    // Redis goes: no request fails, and what was known holds.
    assert_eq!(ban(&other, "bob").await, 201);
    eventually("bob is out", PATIENCE, || async { seen(&one, "s-bob", None).await == Err(403) })
        .await;
    redis.stop();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(2) {
        assert_eq!(seen(&one, "s-ada", None).await, Ok("ada".into()));
        assert_eq!(seen(&other, "s-ada", Some(&token("ada"))).await, Ok("ada".into()));
        assert_eq!(seen(&other, "s-unknown", None).await, Ok("guest".into()));
        assert_eq!(seen(&other, "s-bob", None).await, Err(403));
    }
    becomes(&one, 200, "degraded").await;
    assert_eq!(ban(&one, "ada").await, 503);
    assert_eq!(seen(&one, "s-ada", None).await, Ok("ada".into()), "nothing has changed");
    assert_eq!(one.metrics().await.sum("countersign_store_up", &[]), 0.0);
    assert_eq!(seen(&one, "s-cleo", Some(&token("cleo"))).await, Ok("cleo".into()));

    redis.again().await;
    becomes(&one, 200, "ready").await;
    becomes(&other, 200, "ready").await;
    assert_eq!(one.metrics().await.sum("countersign_store_up", &[]), 1.0);
    eventually("what happened meanwhile arrives", PATIENCE, || async {
        seen(&other, "s-cleo", None).await == Ok("cleo".into())
    })
    .await;
    assert_eq!(ban(&one, "cleo").await, 201);
    eventually("cleo is out", PATIENCE, || async {
        seen(&other, "s-cleo", None).await == Err(403)
    })
    .await;
    assert_eq!(seen(&other, "s-ada", None).await, Ok("ada".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_not_ready_before_it_knows_what_redis_keeps() {
    let echo = Echo::start().await;
    let mut redis = RedisServer::start(&[]).await;
    redis.stop();
    let sure = "    on_store_outage: refuse\n";
    let gateway = setup(echo.address, redis.address, sure).start_until("starting without").await;
    becomes(&gateway, 503, "failed").await;
    eventually("it listens", PATIENCE, || async {
        let guest = Request::get("/echo").host(HOST);
        guest.try_send(gateway.address).await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert_eq!(seen(&gateway, "s-ada", Some(&token("ada"))).await, Err(503));
    redis.again().await;
    becomes(&gateway, 200, "ready").await;
    assert_eq!(seen(&gateway, "s-ada", Some(&token("ada"))).await, Ok("ada".into()));
    redis.stop();
    becomes(&gateway, 200, "degraded").await;
    assert_eq!(seen(&gateway, "s-ada", Some(&token("ada"))).await, Err(503));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_an_answer_brings_is_verified_in_the_very_next_call_to_the_other() {
    let echo = Echo::start().await;
    let redis = RedisServer::start(&[]).await;
    let store =
        format!("store: {{ redis: {{ url: {{ value: \"redis://{}\" }} }} }}", redis.address);
    let start = async || Setup::new(sessions::site(&echo, "")).top(&store).start().await;
    let (one, other) = (start().await, start().await);
    for number in 0..100 {
        let (old, new) = (format!("old-{number}"), format!("new-{number}"));
        echo.will_say(sessions::SET_USER, sessions::merged(&new));
        let proven = sessions::set_user(&old, "user-42", true);
        assert_eq!(one.send(&proven).await.status, 200);
        assert_eq!(sessions::who(&other, &echo, &new).await, "user-42", "{number}");
        assert_eq!(sessions::who(&one, &echo, &new).await, "user-42", "{number}");
    }
    let conflict = other.send(&sessions::set_user("new-99", "user-43", true)).await;
    assert_eq!((conflict.status, conflict.code()), (401, "session_conflict".to_owned()));

    // Guests whose sessions nobody knows wait for Redis, but not so that anybody notices.
    let mut took = [Vec::new(), Vec::new()];
    let mut connection = other.connect().await;
    for number in 0..200 {
        let request = Request::get("/c").host(HOST);
        let unknown = request.clone().header("X-Auth-Token", &format!("unknown-{number}"));
        for (request, took) in [request, unknown].iter().zip(&mut took) {
            let begun = Instant::now();
            let got = connection.exchange(request).await.expect("an answer").echoed();
            took.push(begun.elapsed());
            assert_eq!(got.header("countersign-status"), Some("guest"));
        }
    }
    took.iter_mut().for_each(|took| took.sort());
    let [without, with] = took.each_ref().map(|took| took[100]);
    eprintln!("a guest without a session: p50 {without:?}; with an unknown one: {with:?}");
    assert!(with < without + Duration::from_millis(15), "{without:?} {with:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_only_others_know_is_looked_up_before_anything_is_bound_or_ended() {
    let echo = Echo::start().await;
    let redis = RedisServer::start(&[]).await;
    let one = setup(echo.address, redis.address, "").start().await;
    assert_eq!(seen(&one, "s-ada", Some(&token("ada"))).await, Ok("ada".into()));
    eventually("Redis knows it", PATIENCE, || async {
        let newcomer = setup(echo.address, redis.address, "").start().await;
        seen(&newcomer, "s-ada", None).await == Ok("ada".into())
    })
    .await;
    let mallory = token("mallory");

    // Whoever starts now knows no session, and asks.
    let other = setup(echo.address, redis.address, "").start().await;
    assert_eq!(seen(&other, "s-ada", Some(&mallory)).await, Err(401));
    let third = setup(echo.address, redis.address, "").start().await;
    let refresh = Request::new("POST", "/.countersign/refresh").host(HOST);
    let refresh = refresh.bearer(&mallory).header("X-Auth-Token", "s-ada");
    let refused = third.send(&refresh).await;
    assert_eq!((refused.status, &refused.json()["code"]), (401, &json!("session_conflict")));
    for gateway in [&one, &other, &third] {
        assert_eq!(seen(gateway, "s-ada", None).await, Ok("ada".into()));
    }
    let fourth = setup(echo.address, redis.address, "").start().await;
    let logout = Request::new("POST", "/.countersign/logout").host(HOST);
    assert_eq!(fourth.send(&logout.header("X-Auth-Token", "s-ada")).await.status, 204);
    eventually("the session is over everywhere", PATIENCE, || async {
        seen(&one, "s-ada", None).await == Err(401)
    })
    .await;
}
