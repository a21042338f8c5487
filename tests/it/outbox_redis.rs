//! Chats, details, subscriptions and deliveries, shared over a real Redis server by several
//! stores in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use countersign::clock::UnixTime;
use countersign::store::outbox::{
    Delivery, DeliveryState, Depth, Event, EventKind, Hook, Progress, Replayed,
};
use countersign::store::{Change, Chat, Confirmation, Outage, Outbox, Posted};

use crate::store_redis::{Replica, site, two};
use crate::support::redis_server::{Passing, RedisServer, Thread};
use crate::support::{PATIENCE, eventually};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn hook(name: &str) -> Hook {
    Hook { site: site(), name: name.into() }
}

fn delivery(id: &str, webhook: &str, visitor: &str, kind: EventKind) -> Arc<Delivery> {
    let event = Event {
        kind,
        at: UnixTime::now(),
        request_id: "r-1".into(),
        account_id: "acme".into(),
        agent_id: "150".into(),
        verified: true,
        email: Some("ada@example.com".into()),
        name: Some("Ada Lovelace".into()),
        claimed: None,
    };
    Arc::new(Delivery { id: id.into(), webhook: webhook.into(), visitor: visitor.into(), event })
}

fn chat(session: &str, visitor: &str, ids: &[&str]) -> Chat {
    let at = UnixTime::now();
    let told = |id: &&str| delivery(id, "crm", visitor, EventKind::ChatStarted);
    Chat {
        session: session.into(),
        visitor: visitor.into(),
        account_id: "acme".into(),
        agent_id: "150".into(),
        at,
        until: at.after(HOUR),
        known_until: at.after(HOUR),
        deliveries: ids.iter().map(told).collect(),
    }
}

fn posted(visitor: &str, fields: &[(&str, &str)], push: Option<&str>) -> Change {
    let at = UnixTime::now();
    let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let told = |id| delivery(id, "details.push", visitor, EventKind::DetailsUpdated);
    let posted = Posted {
        visitor: visitor.into(),
        fields: fields.collect(),
        at,
        until: at.after(HOUR),
        deliveries: push.map(told).into_iter().collect(),
    };
    Change::Details { site: site(), posted: Arc::new(posted) }
}

fn progress(state: DeliveryState, attempts: u32) -> Progress {
    let last_status = Some(if state == DeliveryState::Delivered { 200 } else { 500 });
    Progress { state, attempts, last_status, ..Progress::fresh(UnixTime::now()) }
}

impl Replica {
    fn begins(&self, session: &str, visitor: &str, ids: &[&str]) {
        let chat = Arc::new(chat(session, visitor, ids));
        self.store.note(Change::Chat { site: site(), chat });
    }

    fn outbox(&self) -> &Arc<dyn Outbox> {
        self.store.outbox()
    }

    async fn owns(&self) -> bool {
        self.outbox().owns(&hook("crm")).await.unwrap()
    }

    async fn takes(&self, most: usize) -> Vec<String> {
        let taken = self.outbox().take(&hook("crm"), UnixTime::now(), most).await.unwrap();
        taken.iter().map(|(delivery, _)| delivery.id.to_string()).collect()
    }

    async fn settles(&self, id: &str, state: DeliveryState, attempts: u32) {
        let progress = progress(state, attempts);
        self.outbox().settle(&hook("crm"), &id.into(), progress).await.unwrap();
    }

    async fn lists(&self, state: Option<DeliveryState>) -> Vec<String> {
        let listed = self.outbox().list(&hook("crm"), state, 100).await.unwrap();
        listed.iter().map(|kept| kept.id.to_string()).collect()
    }

    async fn depth(&self, name: &str) -> (usize, usize) {
        let Depth { queued, dead, .. } = self.outbox().depth(&hook(name)).await.unwrap();
        (queued, dead)
    }

    fn details(&self, visitor: &str) -> Option<String> {
        let details = self.site().visits().details(visitor, UnixTime::now());
        details.map(|details| details.to_string())
    }

    fn knows(&self, visitor: &str) -> bool {
        self.site().visits().visit(visitor, UnixTime::now()).is_some()
    }
}

/// What the log says, in full.
async fn log(server: &RedisServer) -> String {
    let log: redis::Value = server.ask(&["XRANGE", "countersign:log", "-", "+"]).await;
    format!("{log:?}")
}

/// As if nobody had asked for it for a while.
async fn lapse_lease(server: &RedisServer) {
    server.ask::<i64>(&["DEL", "countersign:outbox:acme/crm:lease"]).await;
}

#[tokio::test]
async fn a_chat_that_begins_on_two_replicas_at_once_is_one_event() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let woken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let wakes = woken.clone();
    other.store.memory().listen(move |change| {
        let is_told = |chat: &Chat| chat.deliveries.iter().any(|told| *told.id == *"d4");
        let told = matches!(change, Change::Chat { chat, .. } if is_told(chat));
        wakes.fetch_or(told, std::sync::atomic::Ordering::Relaxed);
    });
    one.begins("s1", "ada", &["d1"]);
    other.begins("s1", "ada", &["d2"]);
    one.behind_all_noted(&other).await;
    other.behind_all_noted(&one).await;
    one.begins("s1", "ada", &["d3"]);
    one.begins("s2", "ada", &["d4"]);
    one.behind_all_noted(&other).await;
    assert_eq!(one.depth("crm").await, (2, 0));
    assert!(other.site().visits().has_begun("s2", UnixTime::now()) && other.knows("ada"));
    assert!(woken.load(std::sync::atomic::Ordering::Relaxed), "whoever delivers hears of it");
    let listed = other.lists(None).await;
    assert!(listed[0] == "d4" && ["d1", "d2"].contains(&&*listed[1]), "{listed:?}");
    let left: i64 = server.ask(&["PTTL", "countersign:chat:acme/s1"]).await;
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    let log = log(&server).await;
    assert!(log.contains("ada") && !log.contains('@') && !log.contains("Lovelace"), "{log}");
    // Whoever comes later knows of both, and makes no event of them.
    let late = Replica::of(server.address).await;
    assert!(late.site().visits().has_begun("s1", UnixTime::now()) && late.knows("ada"));
    let visit = late.site().visits().visit("ada", UnixTime::now()).unwrap();
    assert_eq!((&*visit.account_id, &*visit.agent_id), ("acme", "150"));
}

#[tokio::test]
async fn whoever_takes_over_delivers_first_what_was_taken_and_not_settled() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    for number in 1..=5 {
        one.begins(&format!("s{number}"), "ada", &[&format!("d{number}")]);
    }
    one.behind_all_noted(&other).await;
    assert!(one.takes(9).await.is_empty(), "nobody delivers without a lease");
    assert!(one.owns().await && !other.owns().await && one.owns().await);
    assert_eq!(one.outbox().next_due(&hook("crm")), Some(UnixTime::default()));
    assert_eq!(other.outbox().next_due(&hook("crm")), None);
    assert_eq!(one.takes(3).await, ["d1", "d2", "d3"]);
    assert!(other.takes(9).await.is_empty());
    one.settles("d1", DeliveryState::Delivered, 1).await;
    one.settles("d3", DeliveryState::Queued, 1).await;
    // Everything else goes first; then the retry, once.
    assert_eq!(one.takes(9).await, ["d4", "d5", "d3"]);
    assert!(one.takes(9).await.is_empty());
    assert_eq!(one.outbox().next_due(&hook("crm")), None);
    // It goes away in the middle.
    drop(one);
    let began = std::time::Instant::now();
    eventually("the lease lapses", PATIENCE, async || other.owns().await).await;
    assert!(began.elapsed() < 6 * SECOND, "{:?}", began.elapsed());
    let again = other.outbox().take(&hook("crm"), UnixTime::now(), 2).await.unwrap();
    let again: Vec<_> = again.iter().map(|(one, was)| (&*one.id, was.attempts)).collect();
    assert_eq!(again, [("d2", 0), ("d4", 0)]);
    assert_eq!(other.takes(9).await, ["d5", "d3"]);
    assert!(other.takes(9).await.is_empty());
    let group = ["XINFO", "CONSUMERS", "countersign:outbox:acme/crm", "countersign"];
    let consumers: Vec<redis::Value> = server.ask(&group).await;
    assert_eq!(consumers.len(), 1, "who is gone is not listed for ever");
}

#[tokio::test]
async fn what_a_former_owner_says_too_late_counts_and_brings_nothing_back() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    for id in ["d1", "d2", "d3"] {
        one.begins(id, "ada", &[id]);
    }
    one.behind_all_noted(&other).await;
    assert!(one.owns().await);
    assert_eq!(one.takes(9).await, ["d1", "d2", "d3"]);
    lapse_lease(&server).await;
    assert!(other.owns().await && !one.owns().await);
    assert_eq!(other.takes(9).await, ["d1", "d2", "d3"]);
    one.settles("d1", DeliveryState::Delivered, 1).await;
    other.settles("d1", DeliveryState::Queued, 1).await;
    other.settles("d2", DeliveryState::Dead, 3).await;
    one.settles("d2", DeliveryState::Queued, 3).await;
    other.settles("d3", DeliveryState::Queued, 2).await;
    one.settles("d3", DeliveryState::Queued, 1).await;
    assert_eq!(one.lists(Some(DeliveryState::Delivered)).await, ["d1"]);
    assert_eq!(one.lists(Some(DeliveryState::Dead)).await, ["d2"]);
    let queued = one.outbox().list(&hook("crm"), Some(DeliveryState::Queued), 9).await.unwrap();
    assert_eq!((&*queued[0].id, queued[0].progress.attempts, queued.len()), ("d3", 2, 1));
    one.settles("d2", DeliveryState::Delivered, 3).await;
    assert_eq!(other.depth("crm").await, (1, 0));
    assert_eq!(other.takes(9).await, ["d3"]);
}

#[tokio::test]
async fn a_dead_letter_is_listed_and_replayed_and_a_delivered_one_says_nothing_any_more() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    for id in ["d1", "d2", "d3"] {
        one.begins(id, "ada", &[id]);
    }
    one.behind_all_noted(&other).await;
    let oldest = one.outbox().depth(&hook("crm")).await.unwrap().oldest.unwrap();
    assert!(UnixTime::now().since(oldest) < 10 * SECOND);
    assert!(one.owns().await);
    assert_eq!(one.takes(9).await, ["d1", "d2", "d3"]);
    for _ in 0..2 {
        one.settles("d1", DeliveryState::Delivered, 1).await;
        one.settles("d2", DeliveryState::Dead, 3).await;
    }
    one.outbox().give_back(&hook("crm"), &"d3".into()).await;
    assert_eq!(one.depth("crm").await, (1, 1));
    assert_eq!(other.lists(None).await, ["d3", "d2", "d1"]);
    let listed = other.outbox().list(&hook("crm"), None, 9).await.unwrap();
    let last = |index: usize| (listed[index].progress.attempts, listed[index].progress.last_status);
    assert_eq!((last(1), last(2)), ((3, Some(500)), (1, Some(200))));
    assert_eq!(&*listed[1].delivery.as_ref().unwrap().visitor, "ada");
    assert!(listed[2].delivery.is_none() && listed[2].kind == EventKind::ChatStarted);
    let payloads = ["HGETALL", "countersign:outbox:acme/crm:payloads"];
    let payloads: BTreeMap<String, String> = server.ask(&payloads).await;
    assert_eq!(payloads.keys().collect::<Vec<_>>(), ["d2", "d3"]);

    let replay = async |id: &str| other.outbox().replay(&hook("crm"), id, UnixTime::now()).await;
    assert_eq!(replay("d1").await, Ok(Replayed::NotDead));
    assert_eq!(replay("d3").await, Ok(Replayed::NotDead));
    assert_eq!(replay("d9").await, Ok(Replayed::Unknown));
    assert_eq!(replay("d2").await, Ok(Replayed::Queued));
    assert_eq!(replay("d2").await, Ok(Replayed::NotDead));
    let taken = one.outbox().take(&hook("crm"), UnixTime::now(), 9).await.unwrap();
    let taken: Vec<_> = taken.iter().map(|(one, was)| (&*one.id, was.attempts)).collect();
    assert_eq!(taken, [("d3", 0), ("d2", 0)]);

    one.outbox().drop_all(&hook("crm")).await.unwrap();
    one.settles("d2", DeliveryState::Dead, 1).await;
    assert_eq!((one.lists(None).await.len(), one.depth("crm").await), (0, (0, 0)));
    one.begins("s9", "ada", &["d9"]);
    one.behind_all_noted(&other).await;
    assert!(one.owns().await);
    assert_eq!(one.takes(9).await, ["d9"], "and what comes later is delivered");
}

#[tokio::test]
async fn a_thousand_deliveries_are_each_taken_once_and_a_visitors_in_their_order() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    for number in 0..1000 {
        let visitor = number % 10;
        let noting = if visitor % 2 == 0 { &one } else { &other };
        let id = format!("d{number:04}");
        noting.begins(&id, &format!("visitor {visitor}"), &[&id]);
    }
    one.behind_all_noted(&other).await;
    other.behind_all_noted(&one).await;
    let (mut owner, mut next) = (&one, &other);
    let mut taken: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
    let mut settled = BTreeSet::new();
    for round in 0.. {
        assert!(owner.owns().await);
        let some = owner.outbox().take(&hook("crm"), UnixTime::now(), 64).await.unwrap();
        if some.is_empty() {
            break;
        }
        for (place, (delivery, _)) in some.iter().enumerate() {
            // The last ones of each round are never tried.
            if place >= 50 && round % 2 == 0 {
                owner.outbox().give_back(&hook("crm"), &delivery.id).await;
                continue;
            }
            if place >= 50 {
                continue;
            }
            taken.entry(delivery.visitor.to_string()).or_default().push(delivery.id.clone());
            owner.settles(&delivery.id, DeliveryState::Delivered, 1).await;
            assert!(settled.insert(delivery.id.clone()), "{} twice", delivery.id);
        }
        if round % 2 == 1 || some.len() < 64 {
            lapse_lease(&server).await;
            std::mem::swap(&mut owner, &mut next);
        }
    }
    assert_eq!((settled.len(), one.depth("crm").await), (1000, (0, 0)));
    assert!(taken.len() == 10 && taken.values().all(|ids| ids.is_sorted()));
    assert_eq!(one.outbox().list(&hook("crm"), None, 2000).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn details_that_two_replicas_are_told_become_one_and_are_not_in_the_log() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    one.begins("s1", "ada", &[]);
    one.behind_all_noted(&other).await;
    let posts = [
        (&one, posted("ada", &[("Name", "Jāson \"J\""), ("Age", "25")], Some("p1"))),
        (&other, posted("ada", &[("Age", "26"), ("Plan", "a/b")], Some("p2"))),
        (&one, posted("bob", &[("Name", "nobody")], Some("p3"))),
    ];
    for (replica, change) in posts {
        replica.store.write(change).await.unwrap();
    }
    let expected = r#"{"Name":"J\u0101son \"J\"","Age":"26","Plan":"a/b"}"#;
    for replica in [&one, &other] {
        let merged = async || replica.details("ada").is_some_and(|it| it.contains("Plan"));
        eventually("both know all", SECOND, merged).await;
    }
    // As memory itself writes them.
    let details = one.details("ada").unwrap();
    let read: serde_json::Value = serde_json::from_str(&details).unwrap();
    assert_eq!(read, serde_json::from_str::<serde_json::Value>(expected).unwrap());
    assert_eq!(other.details("ada"), Some(details.clone()));
    assert!(!one.knows("bob"), "nobody is known for what was said of him alone");
    assert_eq!(one.depth("details.push").await, (2, 0));
    let log = log(&server).await;
    assert!(log.contains("acme/ada") && !log.contains("Age") && !log.contains("Plan"), "{log}");

    // More than one visitor may have.
    let names: Vec<_> = (0..150).map(|number| format!("field {number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (&**name, "x")).collect();
    one.store.write(posted("ada", &many, None)).await.unwrap();
    let late = Replica::of(server.address).await;
    let fields =
        |replica: &Replica| replica.site().visits().visit("ada", UnixTime::now()).unwrap().fields;
    assert_eq!((fields(&late).len(), &fields(&late)), (100, &fields(&one)));
    let left: i64 = server.ask(&["PTTL", "countersign:visitor:acme/ada"]).await;
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
}

#[tokio::test]
async fn nothing_is_left_of_a_visitor_who_is_to_be_forgotten() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let late = chat("s9", "ada", &["d9"]);
    one.begins("s1", "ada", &["d1"]);
    one.begins("s2", "ada", &["d2"]);
    one.begins("s3", "bob", &["d3"]);
    one.behind_all_noted(&other).await;
    other.store.write(posted("ada", &[("Name", "Ada")], Some("p1"))).await.unwrap();
    assert!(one.owns().await);
    assert_eq!(one.takes(1).await, ["d1"]);

    let forget = Change::Forget { site: site(), id: "ada".into(), at: UnixTime::now() };
    one.store.write(forget).await.unwrap();
    one.outbox().forget(&site(), "ada").await.unwrap();
    eventually("it is heard", SECOND, async || !other.knows("ada")).await;
    let keys: Vec<String> = server.ask(&["KEYS", "*"]).await;
    let chats: Vec<_> = keys.iter().filter(|key| key.starts_with("countersign:chat:")).collect();
    assert_eq!(chats, ["countersign:chat:acme/s3"]);
    assert!(!keys.iter().any(|key| key.contains("ada")), "{keys:?}");
    assert_eq!((one.depth("crm").await, one.depth("details.push").await), ((1, 0), (0, 0)));
    // What was under way ends there; what was on its way is not kept.
    one.settles("d1", DeliveryState::Queued, 1).await;
    other.store.note(Change::Chat { site: site(), chat: Arc::new(late) });
    other.behind_all_noted(&one).await;
    assert!(one.owns().await);
    assert_eq!((one.takes(9).await, one.lists(None).await), (vec!["d3".into()], vec!["d3".into()]));
    assert!(!one.knows("ada") && !Replica::of(server.address).await.knows("ada"));
    // He may come back.
    one.begins("s5", "ada", &["d5"]);
    one.behind_all_noted(&other).await;
    assert!(other.knows("ada") && Replica::of(server.address).await.knows("ada"));
    assert!(one.owns().await);
    assert_eq!(one.takes(9).await, ["d5"]);
}

fn subscription(entry: Option<&str>) -> Change {
    Change::Subscription { site: site(), webhook: "crm".into(), entry: entry.map(Arc::from) }
}

fn confirmation(print: u64, at: u64) -> Change {
    let confirmation = Confirmation { print, wanted: true, at: UnixTime::from_secs(at) };
    Change::Confirmation { site: site(), webhook: "crm".into(), confirmation }
}

#[tokio::test]
async fn subscriptions_are_everybodys_and_their_secrets_are_not_in_the_log() {
    let server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    let entry = r#"{"name":"crm","url":"https://crm.example/hook","secret":"sesame"}"#;
    let entries = |replica: &Replica| {
        let entries = replica.site().subscriptions().entries();
        entries.iter().map(|(_, entry)| entry.to_string()).collect::<Vec<_>>()
    };
    one.store.write(subscription(Some(entry))).await.unwrap();
    eventually("it is heard of", SECOND, async || entries(&other) == [entry]).await;
    let print = u64::MAX - 1;
    other.store.write(confirmation(print, 20)).await.unwrap();
    one.store.write(confirmation(7, 10)).await.unwrap();
    let log = log(&server).await;
    assert!(log.contains("acme/crm") && !log.contains("sesame"), "{log}");

    let late = Replica::of(server.address).await;
    assert_eq!((entries(&late), entries(&one)), (vec![entry.into()], vec![entry.into()]));
    let confirmed = late.site().subscriptions().confirmation("crm").unwrap();
    assert_eq!((confirmed.print, confirmed.at), (print, UnixTime::from_secs(20)));

    other.store.write(subscription(None)).await.unwrap();
    for replica in [&one, &late] {
        eventually("its end is heard of", SECOND, async || entries(replica).is_empty()).await;
    }
    let late = Replica::of(server.address).await;
    assert!(entries(&late).is_empty() && late.site().subscriptions().confirmation("crm").is_none());
}

#[tokio::test]
async fn redis_that_comes_back_empty_is_told_of_chats_details_and_subscriptions() {
    let mut server = RedisServer::start(&[]).await;
    let (one, other) = two(&server).await;
    one.begins("s1", "ada", &["d1"]);
    one.behind_all_noted(&other).await;
    one.store.write(posted("ada", &[("Age", "25"), ("Plan", "pro")], None)).await.unwrap();
    one.store.write(subscription(Some("{}"))).await.unwrap();
    one.store.write(confirmation(7, 10)).await.unwrap();
    eventually("all is heard of", SECOND, async || {
        other.details("ada").is_some() && other.site().subscriptions().confirmation("crm").is_some()
    })
    .await;
    server.stop();
    one.is_up(false).await;
    server.again().await;
    one.is_up(true).await;
    other.is_up(true).await;
    let fresh = Replica::of(server.address).await;
    assert_eq!(fresh.details("ada").as_deref(), Some(r#"{"Age":"25","Plan":"pro"}"#));
    assert!(fresh.site().visits().has_begun("s1", UnixTime::now()));
    assert_eq!(fresh.site().subscriptions().entries().len(), 1);
    assert_eq!(fresh.site().subscriptions().confirmation("crm").unwrap().print, 7);
    // No event is made of what is written back.
    assert_eq!(fresh.depth("crm").await, (0, 0));
}

#[tokio::test]
async fn a_subscription_that_ended_while_a_replica_was_cut_off_ends_there_too() {
    let server = RedisServer::start(&[]).await;
    let thread = Thread::to(server.address).await;
    let (one, far) = (Replica::of(server.address).await, Replica::of(thread.address).await);
    one.store.write(subscription(Some("{}"))).await.unwrap();
    let subscribed = |replica: &Replica| !replica.site().subscriptions().is_empty();
    eventually("it is heard of", SECOND, async || subscribed(&far)).await;
    thread.set(Passing::Nothing);
    far.is_up(false).await;
    one.store.write(subscription(None)).await.unwrap();
    one.ban("new").await;
    server.ask::<i64>(&["XTRIM", "countersign:log", "MAXLEN", "1"]).await;
    thread.set(Passing::All);
    far.is_up(true).await;
    eventually("its end is loaded", SECOND, async || !subscribed(&far)).await;
}

#[tokio::test]
async fn in_an_outage_chats_wait_and_what_was_delivered_is_not_delivered_again() {
    let server = RedisServer::start(&[]).await;
    let thread = Thread::to(server.address).await;
    let far = Replica::of(thread.address).await;
    far.begins("s1", "ada", &["d1"]);
    far.begins("s2", "ada", &["d2"]);
    let queued = async || far.depth("crm").await.0 == 2;
    eventually("both are kept", SECOND, queued).await;
    assert!(far.owns().await);
    assert_eq!(far.takes(1).await, ["d1"]);
    thread.set(Passing::Nothing);
    far.is_up(false).await;
    let crm = hook("crm");
    let outage = far.outbox().take(&crm, UnixTime::now(), 9).await.unwrap_err();
    assert!(outage.0.contains(&thread.address.to_string()), "{outage}");
    assert!(far.outbox().owns(&crm).await.is_err());
    assert!(far.outbox().list(&crm, None, 9).await.is_err());
    let failed: Result<Replayed, Outage> = far.outbox().replay(&crm, "d1", UnixTime::now()).await;
    assert!(failed.is_err() && far.outbox().depth(&crm).await.is_err());
    let delivered = progress(DeliveryState::Delivered, 1);
    assert!(far.outbox().settle(&crm, &"d1".into(), delivered).await.is_err());
    far.begins("s3", "ada", &["d3"]);

    thread.set(Passing::All);
    far.is_up(true).await;
    let arrived = async || far.lists(None).await.contains(&"d3".to_owned());
    eventually("what waited arrives", 2 * SECOND, arrived).await;
    assert!(far.owns().await);
    assert_eq!(far.takes(9).await, ["d2", "d3"]);
    assert_eq!(far.lists(Some(DeliveryState::Delivered)).await, ["d1"]);
}
