//! Ten thousand chats begin while their receiver fails half the time and processes are killed:
//! each is heard of.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::support::echo::Echo;
use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::Request;
use crate::support::receiver::{Receiver, standard_secret};
use crate::support::sign;

const HOST: &str = "chat.test";
const SECRET: &str = "a-secret-of-the-tests-0123456789-abc";
const VISITORS: usize = 500;
/// Each visitor's sessions, and so his chats.
const SESSIONS: usize = 20;
/// How many visitors chat at once.
const AT_ONCE: usize = 16;
/// An event is durable 100 ms after the answer that began it (docs/webhooks.md): where nothing else
/// is built or tested beside it.
const DURABLE: Duration = Duration::from_secs(1);
/// Far more than all of it takes.
const LONG: Duration = Duration::from_secs(240);

fn setup(backend: SocketAddr, receiver: &Receiver, store: &str) -> Setup {
    let site = format!(
        "  chat:\n    hosts: [{HOST}]\n    upstream: http://{backend}\n    dialect: user-hash\n    \
         mode: prefer\n    keys: [ {{ id: k, secret: {{ value: \"{SECRET}\" }} }} ]\n    \
         session: {{ request: [ {{ header: X-Auth-Token }} ], max_per_identity: 100 }}\n    \
         chat_started: {{ path: /status/201, status: [201] }}\n    webhooks:\n      - name: crm\n        \
         url: {}\n        format: standard\n        secret: {{ value: \"{}\" }}\n        \
         retry: [0s, 1s]\n",
        receiver.url(),
        standard_secret(),
    );
    Setup::new(site).top(store)
}

fn embedded(folder: &Path) -> String {
    format!("store: {{ embedded: {{ path: {} }} }}", folder.display())
}

/// Half of what comes is refused, in no pattern.
fn half(number: usize) -> u16 {
    let mixed = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
    if mixed.count_ones().is_multiple_of(2) { 200 } else { 500 }
}

/// Which chats began, by visitor, in their order: the ids of the requests.
type Begun = HashMap<String, Vec<String>>;

/// Has every visitor begin a chat in each of these sessions, one after the other.
async fn chat(gateways: &[&Gateway], sessions: std::ops::Range<usize>, begun: &mut Begun) {
    let workers = (0..AT_ONCE).map(|worker| {
        let (sessions, address) = (sessions.clone(), gateways[worker % gateways.len()].address);
        tokio::spawn(async move {
            let mut connection = crate::support::raw::Connection::open(address).await;
            let mut begun = Vec::new();
            for visitor in (worker..VISITORS).step_by(AT_ONCE) {
                for session in sessions.clone() {
                    let id = format!("u-{visitor}");
                    let request = Request::post("/status/201", "application/json", "{}")
                        .host(HOST)
                        .header("X-User-Id", &id)
                        .header("X-Identifier-Hash", &sign::hash(SECRET, &id))
                        .header("X-Auth-Token", &format!("session-{visitor}-{session}"));
                    let answer = connection.exchange(&request).await.expect("an answer");
                    assert_eq!(answer.status, 201, "{}", answer.text());
                    let request_id = answer.header("Countersign-Request-Id").unwrap();
                    begun.push((id, request_id.to_owned()));
                }
            }
            begun
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        for (visitor, request_id) in worker.await.unwrap() {
            begun.entry(visitor).or_default().push(request_id);
        }
    }
}

async fn queued(gateway: &Gateway) -> u64 {
    gateway.ask("GET", "/v1/sites/chat/webhooks/crm").await.json()["queued"].as_u64().unwrap()
}

#[cfg(feature = "redis")]
async fn delivered_by(gateway: &Gateway) -> f64 {
    let labels = [("webhook", "crm"), ("result", "delivered")];
    gateway.metrics().await.sum("countersign_webhook_deliveries_total", &labels)
}

/// Replays what is dead until nothing is; says how many replays there were.
async fn replay_all(gateway: &Gateway) -> usize {
    let mut replays = 0;
    loop {
        eventually("nothing is queued", LONG, || async { queued(gateway).await == 0 }).await;
        let path = "/v1/sites/chat/webhooks/crm/deliveries";
        let dead = gateway.ask("GET", &format!("{path}?state=dead&limit=1000")).await.json();
        let dead = dead["deliveries"].as_array().unwrap().clone();
        if dead.is_empty() {
            return replays;
        }
        for delivery in dead {
            assert_eq!((&delivery["attempts"], &delivery["last_status"]), (&2.into(), &500.into()));
            let id = delivery["id"].as_str().unwrap();
            let replayed = gateway.ask("POST", &format!("{path}/{id}/replay")).await;
            assert_eq!(replayed.status, 202, "{}", replayed.text());
            replays += 1;
        }
    }
}

/// What is to hold in the end; says how many were taken more than once.
fn check(receiver: &Receiver, begun: &Begun) -> usize {
    let all = VISITORS * SESSIONS;
    let mut requests = HashMap::new();
    let mut first: Begun = HashMap::new();
    let mut seen = HashSet::new();
    for event in receiver.received() {
        let data = &event.body["data"];
        let request = data["request_id"].as_str().unwrap().to_owned();
        let known = requests.entry(event.id.clone()).or_insert(request.clone());
        assert_eq!(*known, request, "one id, one event");
        if seen.insert(event.id) {
            let visitor = data["visitor"]["id"].as_str().unwrap();
            first.entry(visitor.to_owned()).or_default().push(request);
        }
    }
    let taken = receiver.taken();
    assert_eq!((requests.len(), taken.len()), (all, all), "each once, and none but these");
    for (visitor, begun) in begun {
        assert_eq!(first[visitor], *begun, "first attempts of {visitor} in order");
    }
    taken.values().filter(|times| **times > 1).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_chat_is_heard_of_though_the_receiver_fails_half_the_time_and_we_are_killed_twice() {
    let (echo, receiver) = (Echo::start().await, Receiver::start().await);
    let folder = tempfile::tempdir().unwrap();
    receiver.answers(half);
    let start = || setup(echo.address, &receiver, &embedded(folder.path())).start();
    let mut begun = Begun::new();
    let mut gateway = start().await;
    for sessions in [0..7, 7..14] {
        chat(&[&gateway], sessions, &mut begun).await;
        tokio::time::sleep(DURABLE).await;
        let before = receiver.count();
        gateway.signal("KILL");
        gateway.ended(Duration::from_secs(5)).await;
        eprintln!("killed after {before} attempts");
        gateway = start().await;
    }
    chat(&[&gateway], 14..SESSIONS, &mut begun).await;
    let replays = replay_all(&gateway).await;
    let (attempts, twice) = (receiver.count(), check(&receiver, &begun));
    eprintln!("{attempts} attempts, {replays} replays of dead letters, {twice} taken twice");
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_chat_is_heard_of_where_one_of_two_replicas_is_killed() {
    use crate::support::redis_server::RedisServer;

    let (echo, receiver) = (Echo::start().await, Receiver::start().await);
    let redis = RedisServer::start(&["--appendonly", "yes"]).await;
    let store =
        format!("store: {{ redis: {{ url: {{ value: \"redis://{}\" }} }} }}", redis.address);
    receiver.answers(half);
    let one = setup(echo.address, &receiver, &store).start().await;
    let other = setup(echo.address, &receiver, &store).start().await;
    let mut begun = Begun::new();
    chat(&[&one, &other], 0..SESSIONS / 2, &mut begun).await;
    tokio::time::sleep(DURABLE).await;
    let before = receiver.count();
    let delivered = [delivered_by(&one).await, delivered_by(&other).await];
    let (mut delivering, other) = if delivered[0] > 0.0 { (one, other) } else { (other, one) };
    let [most, least] = [delivered[0].max(delivered[1]), delivered[0].min(delivered[1])];
    assert!(most > 0.0 && least == 0.0, "one of them delivers, and is killed: {delivered:?}");
    delivering.signal("KILL");
    delivering.ended(Duration::from_secs(5)).await;
    chat(&[&other], SESSIONS / 2..SESSIONS, &mut begun).await;
    let replays = replay_all(&other).await;
    let (attempts, twice) = (receiver.count(), check(&receiver, &begun));
    eprintln!(
        "killed after {before} attempts; {attempts} attempts, {replays} replays of dead letters, \
         {twice} taken twice"
    );
    assert!(delivered_by(&other).await > 0.0, "the other one has taken over");
    // What was under way when it was killed, at most.
    assert!(twice <= 16, "{twice}");
}
