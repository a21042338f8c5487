//! What is remembered, shared over a real Redis server by several stores in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::clock::UnixTime;
use countersign::plan::{RedisUrl, StoreSettings};
use countersign::secret::Secret;
use countersign::store::{
    self, Ban, Binding, Change, Digest, OpenError, Opening, Purpose, SiteMemory, Store,
};
use countersign::telemetry::Metrics;
use prometheus::{Registry, TextEncoder};

use crate::support::metrics::Metrics as Scrape;
use crate::support::redis_server::{Passing, RedisServer, Thread, nonsense};
use crate::support::{PATIENCE, eventually};

/// Within which replicas hear of what others do.
const SECOND: Duration = Duration::from_secs(1);

/// The store of a configuration that names this server.
async fn open(url: &str, metrics: &Arc<Metrics>) -> Result<Arc<Store>, OpenError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countersign.yaml");
    let site = "{ upstream: \"http://127.0.0.1:1\", dialect: jwt, mode: off }";
    let text = format!(
        "version: 1\nlisteners: [ {{ address: \"127.0.0.1:1\" }} ]\nsites: {{ acme: {site} }}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut plan = countersign::config::load(&file).unwrap();
    plan.process.store = StoreSettings::Redis(RedisUrl(Secret::new(url.as_bytes().to_vec())));
    store::open(&Opening { plan: &plan, metrics, accept_empty: false }).await
}

/// One of the instances.
pub struct Replica {
    pub store: Arc<Store>,
    registry: Registry,
}

impl Replica {
    pub async fn of(address: SocketAddr) -> Self {
        Self::at(&format!("redis://{address}")).await
    }

    async fn at(url: &str) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::new(registry.clone()).unwrap();
        let store = open(url, &metrics).await.unwrap();
        Self { store, registry }
    }

    pub fn site(&self) -> Arc<SiteMemory> {
        self.store.memory().site("acme").unwrap_or_default()
    }

    fn bans(&self, id: &str) -> bool {
        self.site().mark(id, UnixTime::now()).banned
    }

    pub async fn ban(&self, id: &str) {
        self.store.write(ban(id)).await.unwrap();
        assert!(self.bans(id), "a write that was acknowledged is in force");
    }

    /// The first attempts may meet the outage itself.
    async fn ban_when_possible(&self, id: &str) {
        let banned = async || self.store.write(ban(id)).await.is_ok();
        eventually("a ban is taken", 3 * SECOND, banned).await;
    }

    async fn hears_of(&self, id: &str, within: Duration) -> Duration {
        eventually("a ban arrives", within, async || self.bans(id)).await
    }

    fn digest(&self, token: &str) -> Digest {
        self.store.memory().digest(Purpose::Session, token)
    }

    /// Waits until all that this one noted has reached another.
    pub async fn behind_all_noted(&self, other: &Self) {
        static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let last = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let last = format!("behind {last}");
        // Noted, because what is awaited goes first.
        self.store.note(ban(&last));
        other.hears_of(&last, PATIENCE).await;
    }

    fn bind(&self, token: &str, id: &str) -> Digest {
        self.bind_at(token, id, now())
    }

    fn bind_at(&self, token: &str, id: &str, bound: u64) -> Digest {
        let session = self.digest(token);
        let binding = Arc::new(binding(id, bound));
        self.store.note(Change::Bind { site: site(), session, binding });
        session
    }

    fn session(&self, session: Digest) -> Option<Arc<Binding>> {
        self.site().session(&session)
    }

    pub async fn is_up(&self, up: bool) {
        let holds = async || self.store.state().up == up;
        eventually("the store's state changes", PATIENCE, holds).await;
        eventually("and whether memory is current", PATIENCE, async || {
            self.store.memory().is_current() == up
        })
        .await;
    }

    fn waits(&self) -> f64 {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        Scrape::parse(&text).sum("countersign_network_waits_total", &[("place", "session")])
    }
}

pub fn site() -> Arc<str> {
    "acme".into()
}

fn now() -> u64 {
    UnixTime::now().as_millis()
}

fn ban(id: &str) -> Change {
    let ban = Ban { reason: Some("spam".into()), since: UnixTime::now(), until: None };
    Change::Ban { site: site(), id: id.into(), ban }
}

fn binding(id: &str, bound: u64) -> Binding {
    let person = serde_json::json!({
        "id": id, "email": "ada@example.com", "key": "2026-11", "print": 18_364_758_544_493_064_720_u64,
        "fields": [["name", "Ada"]],
    });
    let binding = serde_json::json!({
        "person": person, "dialect": "jwt", "bound": bound, "until": bound + 60_000,
    });
    serde_json::from_value(binding).unwrap()
}

/// Two replicas on one server.
pub async fn two(server: &RedisServer) -> (Replica, Replica) {
    (Replica::of(server.address).await, Replica::of(server.address).await)
}

#[tokio::test]
async fn what_one_replica_does_another_hears_within_a_second() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    assert!(one.store.state().synced && one.store.is_shared());
    let mut took = Vec::new();
    for number in 0..50 {
        let id = format!("visitor/{number}");
        let start = Instant::now();
        one.ban(&id).await;
        other.hears_of(&id, SECOND).await;
        took.push(start.elapsed());
    }
    took.sort();
    println!("a ban reaches another replica: p50 {:?}, p98 {:?}", took[25], took[49]);

    let id: Arc<str> = "visitor/7".into();
    let at = UnixTime::now();
    other.store.write(Change::Unban { site: site(), id: id.clone(), at }).await.unwrap();
    eventually("it is lifted", SECOND, async || !one.bans(&id)).await;
    one.store.write(Change::Logout { site: site(), id: id.clone(), at }).await.unwrap();
    let logout = async || other.site().mark(&id, at).logout == Some(at);
    eventually("a logout arrives", SECOND, logout).await;

    let credential = one.store.memory().digest(Purpose::Credential, "jwt");
    let until = UnixTime::from_millis(now() + 5_000);
    one.store.note(Change::Hold { site: site(), credential, until });
    one.store.note(Change::Use { site: site(), credential, at, until });
    let held = async || other.site().is_held(&credential, at);
    eventually("a refused credential arrives", SECOND, held).await;
    let used = async || other.site().use_once(credential, UnixTime::now(), until) == at;
    eventually("a used credential arrives", SECOND, used).await;

    // Whoever comes later finds all of it.
    let late = Replica::of(server.address).await;
    assert!(late.bans("visitor/0") && !late.bans(&id));
    let mark = late.site().mark(&id, at);
    assert_eq!((mark.logout, mark.ended >= Some(at)), (Some(at), true));
    assert!(late.site().is_held(&credential, at));
    assert_eq!(late.site().use_once(credential, UnixTime::now(), until), at);
}

#[tokio::test]
async fn a_session_bound_on_one_replica_stands_on_the_other() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let session = one.bind("token", "ada");
    assert_eq!(session, other.digest("token"), "the key of the digests is shared");
    eventually("the log brings it", SECOND, async || other.session(session).is_some()).await;
    assert_eq!(other.session(session), one.session(session));

    // One that comes later asks for it.
    let late = Replica::of(server.address).await;
    assert!(late.session(session).is_none());
    let site = site();
    let find = || late.store.find_session(&site, session);
    let (asked, again) = tokio::join!(find(), find());
    assert!(asked && again);
    assert_eq!(late.session(session), one.session(session));
    assert_eq!(late.waits(), 2.0);

    // What is not there is asked for once in a second.
    let unknown = late.digest("unknown");
    for _ in 0..3 {
        assert!(!late.store.find_session(&site, unknown).await);
    }
    assert_eq!(late.waits(), 3.0);

    let at = UnixTime::now();
    other.store.note(Change::End { site: site.clone(), session, at });
    let ended = async || one.session(session).is_some_and(|binding| binding.ended == Some(at));
    eventually("its end arrives", SECOND, ended).await;
    let later = Replica::of(server.address).await;
    assert!(later.store.find_session(&site, session).await);
    assert_eq!(later.session(session).unwrap().ended, Some(at));
}

#[tokio::test]
async fn changes_are_applied_in_the_order_in_which_they_were_noted() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let session = one.bind("token", "ada");
    for number in 0..2_000 {
        one.bind(&format!("token {number}"), &format!("visitor {number}"));
    }
    one.store.note(Change::End { site: site(), session, at: UnixTime::now() });
    let forgotten = UnixTime::now();
    one.store.note(Change::Forget { site: site(), id: "visitor 1".into(), at: forgotten });
    one.behind_all_noted(&other).await;
    assert!(other.session(session).unwrap().ended.is_some());
    assert!(other.session(other.digest("token 0")).is_some());
    assert!(!other.session(other.digest("token 1")).unwrap().stands());
    assert!(other.session(other.digest("token 1999")).is_some());
}

#[tokio::test]
async fn the_sessions_of_a_visitor_who_is_to_be_forgotten_leave_redis_whole() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let session = one.bind("token", "ada");
    eventually("it is bound", SECOND, async || other.session(session).is_some()).await;
    let key = format!("countersign:session:acme/{}", String::from(session));
    let left: i64 = server.ask(&["PTTL", &key]).await;
    assert!((30_000..=60_000).contains(&left), "{left}");
    let log: redis::Value = server.ask(&["XRANGE", "countersign:log", "-", "+"]).await;
    assert!(!format!("{log:?}").contains("ada"), "the log holds no personal data: {log:?}");

    // A ban keeps the session for as long as it lasts.
    one.ban("ada").await;
    assert_eq!(server.ask::<i64>(&["PTTL", &key]).await, -1);
    let unban = Change::Unban { site: site(), id: "ada".into(), at: UnixTime::now() };
    one.store.write(unban).await.unwrap();
    assert!(server.ask::<i64>(&["PTTL", &key]).await > 0);

    let at = UnixTime::now();
    let late = one.store.memory().site("acme").unwrap().session(&session).unwrap();
    one.store.write(Change::Forget { site: site(), id: "ada".into(), at }).await.unwrap();
    let stands = |replica: &Replica| replica.session(session).is_some_and(|it| it.stands());
    eventually("it is forgotten", SECOND, async || !stands(&other)).await;
    let left: redis::Value = server.ask(&["HGETALL", &key]).await;
    let left = format!("{left:?}");
    assert!(left.contains("ada") && !left.contains('@') && !left.contains("Ada"), "{left}");
    // What was bound before and comes late stays forgotten.
    let other_key = format!("countersign:session:acme/{}", String::from(one.digest("other")));
    for session in [session, one.digest("other")] {
        let binding = late.clone();
        one.store.note(Change::Bind { site: site(), session, binding });
    }
    one.behind_all_noted(&other).await;
    assert_eq!(server.ask::<i64>(&["EXISTS", &other_key]).await, 0);
    assert!(!stands(&one) && one.session(one.digest("other")).is_none());
    // Whoever comes later has him kept out by it all the same.
    one.ban("ada").await;
    assert_eq!(server.ask::<i64>(&["PTTL", &key]).await, -1);
    let late = Replica::of(server.address).await;
    assert!(late.store.find_session(&site(), session).await && !stands(&late));
    assert_eq!(&**late.session(session).unwrap().id(), "ada");
}

#[tokio::test]
async fn an_identity_has_no_more_sessions_in_redis_than_it_may() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let bound = now();
    let tokens: Vec<_> = (0..40)
        .map(|number| one.bind_at(&format!("token {number}"), "ada", bound + number))
        .collect();
    one.behind_all_noted(&other).await;
    let sessions: i64 = server.ask(&["ZCARD", "countersign:sessions:acme/ada"]).await;
    assert_eq!(sessions, 32);
    // The same ones have made room for everybody, and are known by their id.
    let late = Replica::of(server.address).await;
    for (number, session) in tokens.into_iter().enumerate() {
        assert!(late.store.find_session(&site(), session).await);
        for replica in [&one, &other, &late] {
            let binding = replica.session(session).unwrap();
            assert_eq!(binding.stands(), number >= 8, "{number}");
            assert_eq!(&**binding.id(), "ada");
        }
    }
    // One that was bound longer ago than all of them but arrives last stands.
    let fetched = one.bind_at("slow", "ada", bound - 1);
    one.behind_all_noted(&other).await;
    assert!(one.session(fetched).unwrap().stands() && other.session(fetched).unwrap().stands());
    let is: i64 = server.ask(&["ZCARD", "countersign:sessions:acme/ada"]).await;
    assert_eq!(is, 32);
}

#[tokio::test]
async fn a_session_stays_its_visitors_in_redis_until_it_is_over() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let bound = now();
    let session = one.bind_at("token", "ada", bound);
    one.behind_all_noted(&other).await;
    // Of somebody whose instance does not know it yet.
    let owner = async |late: &Replica| {
        one.behind_all_noted(&other).await;
        late.store.find_session(&site(), session).await;
        late.session(session).unwrap().id().to_string()
    };
    let (second, third) = two(&server).await;
    second.bind_at("token", "bob", bound + 1);
    second.behind_all_noted(&other).await;
    assert_eq!(owner(&third).await, "ada");
    let at = UnixTime::from_millis(bound + 2);
    one.store.note(Change::End { site: site(), session, at });
    second.bind_at("token", "bob", bound + 3);
    second.behind_all_noted(&other).await;
    assert_eq!(owner(&Replica::of(server.address).await).await, "ada");
    second.bind_at("token", "bob", bound + 60_000);
    second.behind_all_noted(&other).await;
    assert_eq!(owner(&Replica::of(server.address).await).await, "bob");
}

#[tokio::test]
async fn a_refused_credential_that_is_over_is_not_told_of_again() {
    let server = RedisServer::start(&[]).await;
    let one = Replica::of(server.address).await;
    let credential = one.digest("any");
    let over = UnixTime::from_millis(now() - 1);
    // As it lies there until somebody tidies up.
    let name = format!("acme/{}", String::from(credential));
    let until = over.as_millis().to_string();
    server.ask::<i64>(&["ZADD", "countersign:holds", &until, &name]).await;
    let late = Replica::of(server.address).await;
    assert!(!late.site().holds_any());
    let heard = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hears = heard.clone();
    late.store.memory().listen(move |change| {
        let hold = matches!(change, Change::Hold { .. });
        hears.fetch_or(hold, std::sync::atomic::Ordering::Relaxed);
    });
    one.store.note(Change::Hold { site: site(), credential, until: over });
    one.behind_all_noted(&late).await;
    assert!(!late.site().holds_any() && !heard.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test]
async fn a_replica_that_was_cut_off_catches_up_within_two_seconds() {
    for cut in [Passing::Nothing, Passing::Silence] {
        let server = RedisServer::start(&[]).await;
        let thread = Thread::to(server.address).await;
        let (one, far) = (Replica::of(server.address).await, Replica::of(thread.address).await);
        one.ban("before").await;
        far.hears_of("before", SECOND).await;

        thread.set(cut);
        far.is_up(false).await;
        assert!(far.store.state().synced && far.bans("before"), "what was known last serves");
        one.ban("meanwhile").await;
        let started = Instant::now();
        let outage = far.store.write(ban("nobody")).await.unwrap_err();
        assert!(outage.0.contains(&thread.address.to_string()), "{outage}");
        assert!(started.elapsed() < SECOND && !far.bans("nobody"));
        assert!(!far.store.find_session(&site(), far.digest("token")).await);
        let session = far.bind("token", "ada");

        thread.set(Passing::All);
        let took = far.hears_of("meanwhile", 2 * SECOND).await;
        println!("after {cut:?} a replica catches up in {took:?}");
        far.is_up(true).await;
        let noted = async || one.session(session).is_some();
        eventually("what waited arrives", 2 * SECOND, noted).await;
        assert!(!one.bans("nobody"), "what failed was not made");
    }
}

#[tokio::test]
async fn a_write_that_failed_for_redis_silence_is_not_made_when_it_speaks_again() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    one.ban("before").await;
    server.pause();
    let outage = one.store.write(ban("nobody")).await;
    // It has the write, and reads it now.
    server.resume();
    assert!(outage.is_err());
    one.is_up(true).await;
    one.ban("after").await;
    other.hears_of("after", 2 * SECOND).await;
    assert!(!one.bans("nobody") && !other.bans("nobody"), "what failed was made");
}

#[tokio::test]
async fn redis_comes_back_with_what_it_kept() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let (one, other) = two(&server).await;
    let session = one.bind("token", "ada");
    one.ban("before").await;
    other.hears_of("before", SECOND).await;
    server.stop();
    one.is_up(false).await;
    let outage = one.store.write(ban("nobody")).await.unwrap_err();
    assert!(outage.0.contains("Redis"), "{outage}");
    assert!(!one.bans("nobody") && one.bans("before") && one.session(session).is_some());
    server.again().await;
    one.is_up(true).await;
    one.ban("after").await;
    other.hears_of("after", 2 * SECOND).await;
    let late = Replica::of(server.address).await;
    assert!(late.bans("before") && late.bans("after") && !late.bans("nobody"));
    assert!(late.store.find_session(&site(), session).await);
}

#[tokio::test]
async fn redis_that_comes_back_empty_is_told_what_was_known() {
    let mut server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let session = one.bind("token", "ada");
    one.ban("before").await;
    let at = UnixTime::now();
    one.store.write(Change::Logout { site: site(), id: "bob".into(), at }).await.unwrap();
    other.hears_of("before", SECOND).await;
    server.stop();
    one.is_up(false).await;
    server.again().await;
    one.is_up(true).await;
    other.is_up(true).await;
    assert!(one.bans("before") && other.bans("before"));
    let fresh = Replica::of(server.address).await;
    assert!(fresh.bans("before"));
    assert_eq!(fresh.site().mark("bob", at).logout, Some(at));
    assert_eq!(fresh.digest("token"), session, "the key is the same");
    assert!(fresh.store.find_session(&site(), session).await);

    // Emptied under a living connection.
    server.ask::<()>(&["FLUSHALL"]).await;
    one.ban_when_possible("after").await;
    other.hears_of("after", 3 * SECOND).await;
    let fresh = Replica::of(server.address).await;
    assert!(fresh.bans("before") && fresh.bans("after"));
}

#[tokio::test]
async fn a_new_replica_may_begin_an_empty_redis_before_those_who_know() {
    let mut server = RedisServer::start(&[]).await;
    let thread = Thread::to(server.address).await;
    let knows = Replica::of(thread.address).await;
    knows.ban("before").await;
    thread.set(Passing::Nothing);
    knows.is_up(false).await;
    server.stop();
    server.again().await;
    let fresh = Replica::of(server.address).await;
    assert!(!fresh.bans("before"));
    thread.set(Passing::All);
    fresh.hears_of("before", 2 * SECOND).await;
    knows.is_up(true).await;
    assert_eq!(knows.digest("token"), fresh.digest("token"));
}

#[tokio::test]
async fn a_log_trimmed_beyond_where_a_replica_stands_leads_it_to_load_all_anew() {
    let server = RedisServer::start(&[]).await;
    let thread = Thread::to(server.address).await;
    let (one, far) = (Replica::of(server.address).await, Replica::of(thread.address).await);
    one.ban("stays").await;
    one.ban("lifted").await;
    let session = one.bind("token", "ada");
    eventually("all arrives", SECOND, async || far.session(session).is_some()).await;
    assert!(far.bans("lifted"));
    thread.set(Passing::Nothing);
    far.is_up(false).await;
    let at = UnixTime::now();
    one.store.write(Change::Unban { site: site(), id: "lifted".into(), at }).await.unwrap();
    one.store.write(Change::End { site: site(), session, at }).await.unwrap();
    one.ban("new").await;
    server.ask::<i64>(&["XTRIM", "countersign:log", "MAXLEN", "1"]).await;
    thread.set(Passing::All);
    far.hears_of("new", 2 * SECOND).await;
    far.is_up(true).await;
    assert!(far.bans("stays") && !far.bans("lifted"));
    assert_eq!(far.session(session).unwrap().ended, Some(at));
    one.ban("later").await;
    far.hears_of("later", SECOND).await;
}

#[tokio::test]
async fn a_redis_that_is_away_at_the_start_is_waited_for() {
    let mut server = RedisServer::start(&[]).await;
    server.stop();
    let one = Replica::of(server.address).await;
    let state = one.store.state();
    assert!(!state.up && !state.synced && !one.store.memory().is_current(), "{state:?}");
    assert!(one.store.write(ban("nobody")).await.is_err());
    one.bind("token", "ada");
    server.again().await;
    one.is_up(true).await;
    assert!(one.store.state().synced);
    one.ban("ada").await;
    assert!(!one.bans("nobody"));
    let sessions: Vec<String> = server.ask(&["KEYS", "countersign:session:*"]).await;
    assert!(sessions.is_empty(), "its digest was made with a key that nobody has: {sessions:?}");
}

#[tokio::test]
async fn a_server_that_talks_nonsense_is_an_outage() {
    let answers: [&'static [u8]; 7] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n",
        b"*2147483647\r\n",
        b"$9223372036854775807\r\n",
        b"%-1\r\n=3\r\nabc\r\n>1\r\n:1\r\n",
        b"\xff\xfe\x00\x00",
        b"*7\r\n$1\r\na\r\n$1\r\nb\r\n:1\r\n$1\r\n-\r\n$1\r\n-\r\n:0\r\n:0\r\n",
    ];
    let mut waiting = tokio::task::JoinSet::new();
    for answer in answers {
        waiting.spawn(async move {
            let one = Replica::of(nonsense(answer).await).await;
            let state = one.store.state();
            assert!(!state.up && !state.synced, "{}: {state:?}", answer.escape_ascii());
            assert!(one.store.write(ban("nobody")).await.is_err() && !one.bans("nobody"));
        });
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn nonsense_inside_redis_is_passed_over_or_an_outage_until_it_goes() {
    let server = RedisServer::start(&[]).await;
    let one = Replica::of(server.address).await;
    one.ban("before").await;
    let add = ["XADD", "countersign:log", "*"];
    for fields in [["change", "{\"change\":\"unknown\"}"], ["change", "\u{0}"], ["some", "thing"]] {
        server.ask::<String>(&[&add[..], &fields].concat()).await;
    }
    server.ask::<i64>(&["HSET", "countersign:bans", "no slash", "{}"]).await;
    server.ask::<i64>(&["HSET", "countersign:bans", "acme/bob", "not JSON"]).await;
    server.ask::<i64>(&["HSET", "countersign:logouts", "acme/bob", "soon"]).await;
    server.ask::<i64>(&["ZADD", "countersign:holds", "1", "acme/not-a-digest"]).await;
    one.ban("after").await;
    assert!(
        one.store.state().detail.contains("3 entries make no sense"),
        "{:?}",
        one.store.state()
    );
    let late = Replica::of(server.address).await;
    assert!(late.bans("before") && late.bans("after") && !late.bans("bob"));
    assert!(
        late.store.state().detail.contains("4 entries make no sense"),
        "{:?}",
        late.store.state()
    );

    // Wrong types: nothing is written at all.
    server.ask::<i64>(&["DEL", "countersign:logouts"]).await;
    server.ask::<()>(&["SET", "countersign:logouts", "text"]).await;
    let outage = one.store.write(ban("nobody")).await.unwrap_err();
    assert!(outage.0.contains("WRONGTYPE"), "{outage}");
    assert!(!one.bans("nobody"));
    server.ask::<i64>(&["DEL", "countersign:logouts"]).await;
    one.ban("again").await;
    late.hears_of("again", SECOND).await;
    server.ask::<i64>(&["DEL", "countersign:log"]).await;
    server.ask::<()>(&["SET", "countersign:log", "text"]).await;
    one.is_up(false).await;
    server.ask::<i64>(&["DEL", "countersign:log"]).await;
    one.is_up(true).await;
    one.ban("at last").await;
    late.hears_of("at last", 2 * SECOND).await;
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_is_followed_all_the_same() {
    let server = RedisServer::start(&[]).await;
    let one = Replica::of(server.address).await;
    one.ban("before").await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let outage = one.store.write(ban("nobody")).await.unwrap_err();
    assert!(outage.0.contains("OOM"), "{outage}");
    assert!(!one.store.state().up && !one.bans("nobody"));
    assert!(one.store.memory().is_current(), "nobody else can write either");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    one.is_up(true).await;
    one.ban("after").await;
    assert!(!one.bans("nobody"));
}

#[tokio::test]
async fn a_user_with_the_documented_permissions_alone_is_enough() {
    let server = RedisServer::start(&[]).await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md"));
    let page = page.unwrap();
    let rule = page.lines().find(|line| line.starts_with("ACL SETUSER countersign")).unwrap();
    let rule = rule.replace("$PASSWORD", "sesame");
    server.ask::<()>(&rule.split(' ').collect::<Vec<_>>()).await;
    let one = Replica::at(&format!("redis://countersign:sesame@{}", server.address)).await;
    let other = Replica::at(&format!("redis://countersign:sesame@{}", server.address)).await;
    assert!(one.store.state().up, "{:?}", one.store.state());
    one.ban("ada").await;
    other.hears_of("ada", SECOND).await;
    let session = one.bind("token", "ada");
    let at = UnixTime::now();
    let until = UnixTime::from_millis(now() + 5_000);
    let credential = session;
    let id: Arc<str> = "ada".into();
    for change in [
        Change::Unban { site: site(), id: id.clone(), at },
        Change::Logout { site: site(), id: id.clone(), at },
        Change::Hold { site: site(), credential, until },
        Change::Use { site: site(), credential, at, until },
        Change::End { site: site(), session, at },
        Change::Forget { site: site(), id, at },
    ] {
        one.store.write(change).await.unwrap();
    }
    for number in 0..40 {
        one.bind(&format!("token {number}"), "bob");
    }
    one.ban("bob").await;
    let lapsed = Ban { reason: None, since: at, until: Some(UnixTime::from_millis(now() + 20)) };
    one.store.write(Change::Ban { site: site(), id: "eve".into(), ban: lapsed }).await.unwrap();
    eventually("it lapses", SECOND, async || !one.bans("eve")).await;
    deliver_once(&one).await;
    server.ask::<i64>(&["DEL", "countersign:meta"]).await;
    let late = Replica::at(&format!("redis://countersign:sesame@{}", server.address)).await;
    late.hears_of("bob", 2 * SECOND).await;
    assert_eq!(late.store.state().detail, format!("follows {}", server.address));
    assert_eq!(server.ask::<i64>(&["HEXISTS", "countersign:bans", "acme/eve"]).await, 0, "tidied");
}

/// Everything that is done with deliveries.
async fn deliver_once(one: &Replica) {
    let (at, until) = (UnixTime::now(), UnixTime::from_millis(now() + 5_000));
    let event = serde_json::json!({
        "kind": "chat.started", "at": at, "request_id": "", "account_id": "", "agent_id": "",
        "verified": true,
    });
    let told = |id: &str| serde_json::json!({ "id": id, "webhook": "crm", "visitor": "cy", "event": event });
    let chat = serde_json::json!({
        "session": "s", "visitor": "cy", "account_id": "", "agent_id": "", "at": at,
        "until": until, "known_until": until, "deliveries": [told("d1"), told("d2")],
    });
    let chat = Arc::new(serde_json::from_value(chat).unwrap());
    one.store.write(Change::Chat { site: site(), chat }).await.unwrap();
    let posted = serde_json::json!({
        "visitor": "cy", "fields": [["Age", "25"]], "at": at, "until": until,
    });
    let posted = Arc::new(serde_json::from_value(posted).unwrap());
    one.store.write(Change::Details { site: site(), posted }).await.unwrap();
    for entry in [Some("{}".into()), None] {
        let change = Change::Subscription { site: site(), webhook: "crm".into(), entry };
        one.store.write(change).await.unwrap();
    }
    let confirmation = store::Confirmation { print: 1, wanted: true, at };
    let change = Change::Confirmation { site: site(), webhook: "crm".into(), confirmation };
    one.store.write(change).await.unwrap();
    let hook = store::outbox::Hook { site: site(), name: "crm".into() };
    let outbox = one.store.outbox();
    assert!(outbox.owns(&hook).await.unwrap() && outbox.owns(&hook).await.unwrap());
    assert_eq!(outbox.take(&hook, at, 9).await.unwrap().len(), 2);
    use store::outbox::{DeliveryState, Progress, Replayed};
    for state in [DeliveryState::Queued, DeliveryState::Dead] {
        let progress = Progress { state, attempts: 1, ..Progress::fresh(at) };
        outbox.settle(&hook, &"d1".into(), progress).await.unwrap();
    }
    assert_eq!(outbox.list(&hook, None, 9).await.unwrap().len(), 2);
    assert_eq!(outbox.depth(&hook).await.unwrap().dead, 1);
    assert_eq!(outbox.replay(&hook, "d1", at).await, Ok(Replayed::Queued));
    outbox.give_back(&hook, &"d2".into()).await;
    assert_eq!(outbox.take(&hook, at, 9).await.unwrap().len(), 2);
    for id in ["d1", "d2"] {
        let state = DeliveryState::Delivered;
        let progress = Progress { state, attempts: 1, ..Progress::fresh(at) };
        outbox.settle(&hook, &id.into(), progress).await.unwrap();
    }
    let forget = Change::Forget { site: site(), id: "cy".into(), at: UnixTime::now() };
    one.store.write(forget).await.unwrap();
    outbox.forget(&site(), "cy").await.unwrap();
    outbox.drop_all(&hook).await.unwrap();
}

#[tokio::test]
async fn an_url_that_is_none_ends_the_start_and_its_password_is_not_told() {
    for url in ["http://user:sesame@host", "redis://:sesame@host:port", "sesame"] {
        let metrics = Metrics::new(Registry::new()).unwrap();
        let opened = open(url, &metrics).await;
        let error = opened.err().expect("an error").to_string();
        assert!(error.contains("redis://") && !error.contains("sesame"), "{error}");
    }
    let server = RedisServer::start(&[]).await;
    server.ask::<()>(&["CONFIG", "SET", "requirepass", "open"]).await;
    let wrong = Replica::at(&format!("redis://:sesame@{}", server.address)).await;
    let state = wrong.store.state();
    assert!(!state.up && !state.detail.contains("sesame"), "{state:?}");
    assert!(state.detail.contains("assword") || state.detail.contains("AUTH"), "{state:?}");
}
