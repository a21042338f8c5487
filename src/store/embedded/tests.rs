//! Restarts, damage, and what the file holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::ReadableDatabase;

use super::file::Folder;
use super::*;
use crate::dialect::founding::jwt;
use crate::gate::Mode;
use crate::identity::{Identity, Proven};
use crate::plan::Plan;
use crate::store::outbox::{Delivery, DeliveryState, Event, EventKind, Hook, Progress, Replayed};
use crate::store::{Ban, Binding, Chat, Confirmation, Digest, Posted, Purpose};
use crate::telemetry::{Metrics, fixture};

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

fn plan() -> Plan {
    fixture::plan(vec![fixture::site(0, "acme", Mode::Prefer)])
}

fn attempt(folder: &Path, accept_empty: bool) -> Result<Store, OpenError> {
    let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
    open(folder, &Opening { plan: &plan(), metrics: &metrics, accept_empty })
}

fn opened(folder: &Path) -> Store {
    attempt(folder, false).unwrap()
}

fn refused(folder: &Path) -> String {
    attempt(folder, false).err().expect("it cannot be opened").0
}

fn file(folder: &Path) -> PathBuf {
    folder.join("countersign.redb")
}

fn ban(id: &str, since: u64, until: Option<u64>) -> Change {
    let ban = Ban { reason: Some("spam".into()), since: at(since), until: until.map(at) };
    Change::Ban { site: "acme".into(), id: id.into(), ban }
}

fn bind(session: Digest, id: &str, bound: u64) -> Change {
    let identity = Identity::attest(Proven { id: Some(id.into()), ..Proven::default() });
    let binding = Binding::of(&identity, &jwt(), at(bound), at(bound + 100)).unwrap();
    Change::Bind { site: "acme".into(), session, binding: Arc::new(binding) }
}

fn remembered(store: &Store) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    store.memory().each_change(|change| {
        all.insert(serde_json::to_string(&change).unwrap());
    });
    all
}

/// One of each, so that every table has a row.
fn changes(store: &Store) -> Vec<Change> {
    let site = || Arc::<str>::from("acme");
    let digest = |value| store.memory().digest(Purpose::Session, value);
    let id = || Arc::<str>::from("ada");
    vec![
        ban("bob", 10, Some(5_000_000_000)),
        ban("carl", 11, None),
        Change::Unban { site: site(), id: "carl".into(), at: at(12) },
        Change::Logout { site: site(), id: id(), at: at(13) },
        Change::Hold { site: site(), credential: digest("held"), until: at(100) },
        Change::Use { site: site(), credential: digest("used"), at: at(1), until: at(100) },
        bind(digest("one"), "ada", 20),
        bind(digest("two"), "ada", 21),
        Change::End { site: site(), session: digest("two"), at: at(22) },
        bind(digest("three"), "dora", 20),
        Change::Forget { site: site(), id: "dora".into(), at: at(30) },
        Change::Chat { site: site(), chat: chat("s1", "ada", 40, &["d1", "d2", "d3"]) },
        Change::Chat { site: site(), chat: chat("s1", "ada", 41, &["d4"]) },
        Change::Chat { site: site(), chat: chat("s2", "dora", 29, &["d5"]) },
        Change::Chat { site: site(), chat: chat("s3", "erin", 50, &["d6"]) },
        Change::Details { site: site(), posted: posted("ada", &[("Name", "Ada"), ("Age", "25")]) },
        Change::Details { site: site(), posted: posted("ada", &[("Age", "26"), ("Plan", "pro")]) },
        Change::Details { site: site(), posted: posted("erin", &[("Age", "70")]) },
        progress("d1", DeliveryState::Delivered),
        progress("d2", DeliveryState::Dead),
        Change::Forget { site: site(), id: "erin".into(), at: at(60) },
        Change::Subscription {
            site: site(),
            webhook: "made".into(),
            entry: Some("{\"url\":\"https://crm.example/\"}".into()),
        },
        Change::Subscription { site: site(), webhook: "gone".into(), entry: Some("{}".into()) },
        Change::Subscription { site: site(), webhook: "gone".into(), entry: None },
        Change::Confirmation {
            site: site(),
            webhook: "crm".into(),
            confirmation: Confirmation { print: 7, wanted: true, at: at(70) },
        },
    ]
}

fn chat(session: &str, visitor: &str, begun: u64, deliveries: &[&str]) -> Arc<Chat> {
    let event = Event {
        kind: EventKind::ChatStarted,
        at: at(begun),
        request_id: "r".into(),
        account_id: "acme".into(),
        agent_id: "".into(),
        verified: true,
        email: Some("ada@acme.example".into()),
        name: None,
        claimed: None,
    };
    let delivery = |id: &&str| {
        let (webhook, visitor) = ("crm".into(), visitor.into());
        Arc::new(Delivery { id: (*id).into(), webhook, visitor, event: event.clone(), print: 3 })
    };
    Arc::new(Chat {
        session: session.into(),
        visitor: visitor.into(),
        account_id: "acme".into(),
        agent_id: "".into(),
        at: at(begun),
        until: at(5_000_000_000),
        known_until: at(5_000_000_000),
        deliveries: deliveries.iter().map(delivery).collect(),
    })
}

fn posted(visitor: &str, fields: &[(&str, &str)]) -> Arc<Posted> {
    let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let (visitor, deliveries) = (visitor.into(), Vec::new());
    Arc::new(Posted { visitor, fields, at: at(55), until: at(5_000_000_000), deliveries })
}

fn progress(id: &str, state: DeliveryState) -> Change {
    let progress =
        Progress { state, attempts: 3, last_status: Some(500), ..Progress::fresh(at(45)) };
    Change::Progress { site: "acme".into(), webhook: "crm".into(), id: id.into(), progress }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_and_so_is_what_was_noted() {
    for in_the_background in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = opened(folder.path());
        for change in changes(&store) {
            match in_the_background {
                true => store.note(change),
                false => store.write(change).await.unwrap(),
            }
        }
        let before = remembered(&store);
        let digest = store.memory().digest(Purpose::Session, "one");
        store.close();
        drop(store);
        let store = opened(folder.path());
        assert_eq!(remembered(&store), before);
        assert_eq!(before.len(), 16, "{before:#?}");
        assert_eq!(store.memory().digest(Purpose::Session, "one"), digest, "one key for ever");
        let mark = store.memory().site("acme").unwrap().mark("bob", at(20));
        assert!(mark.banned);
    }
}

#[tokio::test]
async fn whom_his_chat_makes_known_again_is_so_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let first = Chat { known_until: at(45), ..Chat::clone(&chat("s1", "ada", 40, &["d1"])) };
    for chat in [Arc::new(first), chat("s1", "ada", 50, &[])] {
        store.note(Change::Chat { site: "acme".into(), chat });
    }
    store.close();
    drop(store);
    let store = opened(folder.path());
    let known = store.memory().site("acme").unwrap();
    assert!(known.visits().knows("ada", at(60)) && known.visits().has_begun("s1", at(60)));
}

#[tokio::test]
async fn deliveries_go_on_after_a_restart_where_they_stood() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook { site: "acme".into(), name: "crm".into() };
    let store = opened(folder.path());
    for change in changes(&store) {
        store.note(change);
    }
    let late = Progress { attempts: 1, due: at(500), ..Progress::fresh(at(100)) };
    let begun = chat("s9", "zoe", 90, &["e1", "e2"]);
    store.note(Change::Chat { site: "acme".into(), chat: begun });
    store.outbox().settle(&hook, &"e1".into(), late).await.unwrap();
    store.close();
    drop(store);
    let store = opened(folder.path());
    let outbox = store.outbox();
    let depth = outbox.depth(&hook).await.unwrap();
    assert_eq!((depth.queued, depth.dead, depth.oldest), (3, 1, Some(at(40))));
    let ids = async |now: u64| {
        let taken = outbox.take(&hook, at(now), 10).await.unwrap();
        taken.iter().map(|(delivery, _)| delivery.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(400).await, ["d3", "e2"], "first attempts in order");
    assert_eq!(outbox.next_due(&hook), Some(at(500)));
    assert_eq!(ids(500).await, ["e1"], "each only once");
    outbox.give_back(&hook, &"d3".into()).await;
    assert_eq!(ids(500).await, ["d3"]);
    let replays = [("d2", Replayed::Queued), ("d2", Replayed::NotDead), ("d9", Replayed::Unknown)];
    for (id, expected) in replays {
        assert_eq!(outbox.replay(&hook, id, at(600)).await, Ok(expected), "{id}");
    }
    assert_eq!(ids(600).await, ["d2"]);
    let delivered = Progress { state: DeliveryState::Delivered, ..Progress::fresh(at(600)) };
    for id in ["d2", "d3", "e1", "e2"] {
        outbox.settle(&hook, &id.into(), delivered.clone()).await.unwrap();
    }
    let listed = outbox.list(&hook, Some(DeliveryState::Delivered), 10).await.unwrap();
    assert!(listed.len() == 4 && listed.iter().all(|kept| kept.delivery.is_none()), "{listed:?}");
    store.close();
    drop(store);
    let store = opened(folder.path());
    assert_eq!(store.outbox().depth(&hook).await.unwrap().queued, 0);
    store.outbox().drop_all(&hook).await.unwrap();
    assert_eq!(store.outbox().list(&hook, None, 10).await, Ok(Vec::new()));
}

#[test]
fn details_that_were_erased_or_over_do_not_come_back_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let chat_of = |visitor: &str, session: &str, begun: u64, over: u64| Change::Chat {
        site: "acme".into(),
        chat: Arc::new(Chat {
            until: at(begun + 1),
            known_until: at(over),
            ..Chat::clone(&chat(session, visitor, begun, &[]))
        }),
    };
    let said = |visitor: &str, over: u64| Change::Details {
        site: "acme".into(),
        posted: Arc::new(Posted {
            until: at(over),
            ..Posted::clone(&posted(visitor, &[("Age", "25")]))
        }),
    };
    let notes = [
        chat_of("ada", "s1", 40, 500),
        Change::Forget { site: "acme".into(), id: "ada".into(), at: at(60) },
        said("ada", 500),
        chat_of("ada", "s2", 70, 500),
        chat_of("bob", "s3", 40, 100),
        said("bob", 100),
        chat_of("bob", "s4", 200, 500),
        chat_of("cy", "s5", 40, 100),
        said("cy", 150),
        chat_of("cy", "s6", 120, 400),
        chat_of("cy", "s7", 200, 500),
        said("dora", 500),
        chat_of("dora", "s8", 200, 500),
    ];
    let details = |store: &Store| {
        let site = store.memory().site("acme").unwrap();
        let of = |visitor: &str| site.visits().details(visitor, at(210)).is_some();
        ["ada", "bob", "cy", "dora"].map(of)
    };
    let store = opened(folder.path());
    notes.into_iter().for_each(|note| store.note(note));
    assert_eq!(details(&store), [false, false, true, false]);
    store.close();
    drop(store);
    assert_eq!(details(&opened(folder.path())), [false, false, true, false]);
}

#[tokio::test]
async fn a_write_is_in_the_file_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let writes: Vec<_> = (0..50).map(|n| store.write(ban(&n.to_string(), 10, None))).collect();
    for written in futures_util::future::join_all(writes).await {
        written.unwrap();
    }
    // As it lies there, without anything having been closed.
    let copy = tempfile::tempdir().unwrap();
    fs::copy(file(folder.path()), file(copy.path())).unwrap();
    assert_eq!(remembered(&opened(copy.path())).len(), 50);
}

#[test]
fn a_second_process_in_the_folder_is_told_of_redis() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let why = refused(folder.path());
    assert!(why.contains("in use by another process") && why.contains("redis"), "{why}");
    assert!(why.contains(folder.path().to_str().unwrap()), "{why}");
    store.close();
    drop(store);
    opened(folder.path());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_left_alone_unless_an_empty_one_is_accepted() {
    let whole = tempfile::tempdir().unwrap();
    let store = opened(whole.path());
    store.write(ban("ada", 10, None)).await.unwrap();
    store.close();
    drop(store);
    let whole = fs::read(file(whole.path())).unwrap();
    let garbage = b"version: 1\nthis is no store\n".repeat(1000);
    for (bad, why) in [
        (whole[..whole.len() / 2].to_vec(), "cannot be read"),
        (whole[..100].to_vec(), "cannot be read"),
        (Vec::new(), "cannot be read"),
        (garbage, "cannot be read"),
        (of_version(b"2"), "version \"2\""),
        (foreign(), "not a store of Countersign's"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(file(folder.path()), &bad).unwrap();
        let told = refused(folder.path());
        for part in [why, file(folder.path()).to_str().unwrap(), "--accept-empty-store"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(fs::read(file(folder.path())).unwrap() == bad, "{told}");
        let store = attempt(folder.path(), true).unwrap();
        assert!(remembered(&store).is_empty());
        store.write(ban("bob", 10, None)).await.unwrap();
        store.close();
        drop(store);
        let aside = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside = aside.into_iter().find(|path| path.to_str().unwrap().contains(".damaged-"));
        assert!(fs::read(aside.expect("it is kept aside")).unwrap() == bad, "{told}");
        // And whoever accepts an empty store keeps one that is whole.
        assert_eq!(remembered(&attempt(folder.path(), true).unwrap()).len(), 1);
    }
}

#[tokio::test]
async fn a_flipped_bit_is_found_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    for change in changes(&store) {
        store.write(change).await.unwrap();
    }
    let before = remembered(&store);
    store.close();
    drop(store);
    let whole = fs::read(file(folder.path())).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).step_by(211).collect();
    let mut found = 0;
    for at in used {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        fs::write(file(folder.path()), &bad).unwrap();
        match attempt(folder.path(), false) {
            Err(_) => found += 1,
            Ok(store) => assert_eq!(remembered(&store), before, "byte {at}"),
        }
    }
    assert!(found > 2, "{found}");
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    fs::write(&occupied, "a file").unwrap();
    for path in [occupied.clone(), occupied.join("deeper")] {
        let why = refused(&path);
        assert!(why.contains(path.to_str().unwrap()), "{why}");
        assert!(why.contains("store.embedded.path"), "{why}");
    }
    fs::create_dir(file(folder.path())).unwrap();
    let why = refused(folder.path());
    assert!(why.contains("cannot be opened") && why.contains("store.embedded.path"), "{why}");
    assert!(!why.contains("--accept-empty-store"), "{why}");
}

#[test]
fn the_folder_and_the_file_are_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    opened(&inner);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&inner), mode(&file(&inner))), (0o700, 0o600));
}

#[tokio::test]
async fn what_has_come_to_its_end_is_swept_out_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    for change in changes(&store) {
        store.write(change).await.unwrap();
    }
    store.close();
    let memory = store.memory().clone();
    drop(store);
    let folder = Folder::take(folder.path()).unwrap();
    let swept = |now: u64| {
        memory.purge(at(now));
        let database = folder.reopen().unwrap();
        let writing = database.begin_write().unwrap();
        rows::sweep(&writing, &memory, at(now)).unwrap();
        writing.commit().unwrap();
        let mut left = Vec::new();
        rows::each(&database.begin_read().unwrap(), |change| left.push(change)).unwrap();
        left.len()
    };
    assert_eq!(swept(50), 16);
    // Hold and use are over, then the sessions, who was forgotten first, and all but the ban
    // of Bob and the six of a chat; in the end this and its details, but no delivery.
    assert_eq!(swept(110), 14);
    assert_eq!(swept(130), 11);
    assert_eq!(swept(30 + 7 * 24 * 60 * 60), 10);
    assert_eq!(swept(13 + 400 * 24 * 60 * 60), 7);
    assert_eq!(swept(5_000_000_000), 4);
}

#[tokio::test]
async fn what_is_forgotten_stays_so_in_the_file_and_what_made_room_loses_its_name_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let digest = |value: &str| store.memory().digest(Purpose::Session, value);
    let (first, late) = (digest("0"), digest("late"));
    (0..33).for_each(|n| store.note(bind(digest(&n.to_string()), "ada", 10 + n)));
    store.note(Change::Forget { site: "acme".into(), id: "bob".into(), at: at(20) });
    // As if it had been on its way: memory need not have refused it.
    store.write(bind(late, "bob", 20)).await.unwrap();
    let before = remembered(&store);
    store.close();
    let memory = store.memory().clone();
    drop(store);
    let held = Folder::take(folder.path()).unwrap();
    let database = held.reopen().unwrap();
    let writing = database.begin_write().unwrap();
    rows::sweep(&writing, &memory, at(50)).unwrap();
    writing.commit().unwrap();
    let mut rows = BTreeSet::new();
    rows::each(&database.begin_read().unwrap(), |change| {
        rows.insert(serde_json::to_string(&change).unwrap());
    })
    .unwrap();
    assert_eq!(rows, before);
    drop((database, held));
    let again = opened(folder.path());
    assert_eq!(remembered(&again), before);
    let site = again.memory().site("acme").unwrap();
    assert!(!site.session(&first).unwrap().stands() && site.session(&late).is_none());
}

#[tokio::test]
async fn after_an_outage_the_file_becomes_what_memory_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    store.write(ban("only-in-the-file", 10, None)).await.unwrap();
    store.close();
    drop(store);
    let elsewhere = tempfile::tempdir().unwrap();
    let store = opened(elsewhere.path());
    changes(&store).into_iter().for_each(|change| store.note(change));
    let folder = Folder::take(folder.path()).unwrap();
    let database = folder.reopen().unwrap();
    let writing = database.begin_write().unwrap();
    rows::replace(&writing, store.memory()).unwrap();
    writing.commit().unwrap();
    let mut kept = BTreeSet::new();
    let reading = database.begin_read().unwrap();
    rows::each(&reading, |change| {
        kept.insert(serde_json::to_string(&change).unwrap());
    })
    .unwrap();
    assert_eq!(kept, remembered(&store));
}

/// The bytes of a store of another version.
fn of_version(version: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    opened(folder.path()).close();
    let database = redb::Database::open(file(folder.path())).unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    let writing = database.begin_write().unwrap();
    writing.open_table(meta).unwrap().insert("version", version).unwrap();
    writing.commit().unwrap();
    drop(database);
    fs::read(file(folder.path())).unwrap()
}

/// The bytes of somebody else's redb file.
fn foreign() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    drop(redb::Database::create(file(folder.path())).unwrap());
    fs::read(file(folder.path())).unwrap()
}
