//! What is remembered, from one end to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::clock::UnixTime;
use crate::dialect::founding::jwt;
use crate::identity::{Identity, Proven};
use crate::plan::{Session, Site};
use crate::secret::Secret;
use crate::telemetry::fixture;

pub(super) fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

pub(super) fn site() -> Arc<str> {
    "acme".into()
}

pub(super) fn memory() -> Memory {
    Memory::new(&Secret::new(vec![7; 32]))
}

pub(super) fn of(memory: &Memory) -> Arc<SiteMemory> {
    memory.site("acme").unwrap()
}

pub(super) fn ban(id: &str, since: u64, until: Option<u64>) -> Change {
    let ban = Ban { reason: Some("spam".into()), since: at(since), until: until.map(at) };
    Change::Ban { site: site(), id: id.into(), ban }
}

pub(super) fn bind(memory: &Memory, token: &str, id: &str, bound: u64) -> Digest {
    let identity = Identity::attest(Proven { id: Some(id.into()), ..Proven::default() });
    let binding = Binding::of(&identity, &jwt(), at(bound), at(bound + 100)).unwrap();
    let session = memory.digest(Purpose::Session, token);
    memory.apply(&Change::Bind { site: site(), session, binding: Arc::new(binding) });
    session
}

pub(super) fn limited(max: usize, max_per_identity: usize) -> crate::plan::Plan {
    let mut site = Site { ..fixture::site(0, "acme", crate::gate::Mode::Prefer) };
    site.remembers.session = Some(Arc::new(Session {
        request: Vec::new(),
        response: Vec::new(),
        ttl: Duration::from_secs(100),
        max,
        max_per_identity,
        cookie: true,
    }));
    fixture::plan(vec![site])
}

#[test]
fn a_ban_holds_until_it_ends_or_is_lifted_and_what_it_ended_stays_ended() {
    let memory = memory();
    memory.apply(&ban("ada", 10, Some(50)));
    let site_memory = of(&memory);
    assert!(site_memory.mark("ada", at(49)).banned);
    assert!(!site_memory.mark("ada", at(50)).banned);
    assert!(!site_memory.mark("bob", at(49)).banned);
    assert_eq!(site_memory.bans(at(49)).len(), 1);
    memory.apply(&Change::Unban { site: site(), id: "ada".into(), at: at(20) });
    let mark = site_memory.mark("ada", at(30));
    assert_eq!((mark.banned, mark.ended, mark.logout), (false, Some(at(10)), None));
}

#[test]
fn a_session_is_bound_ended_bound_anew_and_forgotten() {
    let memory = memory();
    let session = bind(&memory, "token", "ada", 10);
    let site_memory = of(&memory);
    assert_eq!(site_memory.session(&session).unwrap().id().as_ref(), "ada");
    memory.apply(&Change::End { site: site(), session, at: at(20) });
    assert_eq!(site_memory.session(&session).unwrap().ended, Some(at(20)));
    // What comes late is older than the end.
    bind(&memory, "token", "ada", 15);
    assert_eq!(site_memory.session(&session).unwrap().ended, Some(at(20)));
    bind(&memory, "token", "ada", 30);
    assert_eq!(site_memory.session(&session).unwrap().ended, None);
    assert_eq!(site_memory.sessions_of("ada").len(), 1);
    memory.apply(&Change::Forget { site: site(), id: "ada".into(), at: at(40) });
    assert!(!site_memory.session(&session).unwrap().stands());
    assert!(site_memory.sessions_of("ada").is_empty());
}

#[test]
fn the_oldest_session_goes_where_there_are_too_many() {
    let memory = memory();
    memory.prepare(&limited(3, 2));
    let first = bind(&memory, "a1", "ada", 1);
    let second = bind(&memory, "a2", "ada", 2);
    bind(&memory, "a1", "ada", 3);
    bind(&memory, "a3", "ada", 4);
    assert!(!of(&memory).session(&second).unwrap().stands(), "the one that was proven longest ago");
    assert!(of(&memory).session(&first).unwrap().stands());
    bind(&memory, "b1", "bob", 5);
    bind(&memory, "c1", "cleo", 6);
    assert_eq!(of(&memory).len().1, 3);
    assert!(!of(&memory).session(&first).unwrap().stands());
}

#[test]
fn a_session_over_its_time_is_purged_unless_its_identity_is_banned() {
    let memory = memory();
    let kept = bind(&memory, "a", "ada", 1);
    let gone = bind(&memory, "b", "bob", 1);
    memory.apply(&ban("ada", 50, Some(500)));
    memory.purge(at(200));
    assert!(of(&memory).session(&kept).is_some());
    assert!(of(&memory).session(&gone).is_none());
    memory.purge(at(600));
    assert!(of(&memory).session(&kept).is_none());
}

#[test]
fn a_credential_is_used_once_and_held_for_a_while() {
    let memory = memory();
    bind(&memory, "any", "ada", 1);
    let site_memory = of(&memory);
    let credential = memory.digest(Purpose::SingleUse, "jti-1");
    assert_eq!(site_memory.use_once(credential, at(5), at(60)), at(5));
    assert_eq!(site_memory.use_once(credential, at(9), at(60)), at(5));
    memory.purge(at(61));
    assert_eq!(site_memory.use_once(credential, at(62), at(90)), at(62));
    assert!(!site_memory.holds_any());
    memory.apply(&Change::Hold { site: site(), credential, until: at(100) });
    assert!(site_memory.is_held(&credential, at(99)) && !site_memory.is_held(&credential, at(100)));
}

#[test]
fn no_more_than_32_credentials_of_an_identity_are_known() {
    let memory = memory();
    bind(&memory, "any", "ada", 1);
    for number in 0..40 {
        of(&memory).saw("ada", memory.digest(Purpose::Credential, &number.to_string()), at(9));
    }
    let seen = of(&memory).seen("ada");
    assert_eq!(seen.len(), 32);
    assert_eq!(seen.last(), Some(&memory.digest(Purpose::Credential, "39")));
}

#[test]
fn what_is_remembered_can_be_told_and_told_back() {
    let memory = memory();
    let session = bind(&memory, "token", "ada", 10);
    let credential = memory.digest(Purpose::Credential, "c");
    let id = || Arc::<str>::from("ada");
    for change in [
        ban("bob", 10, None),
        ban("carl", 10, None),
        Change::Unban { site: site(), id: "carl".into(), at: at(11) },
        Change::Logout { site: site(), id: id(), at: at(12) },
        Change::Hold { site: site(), credential, until: at(100) },
        Change::Use { site: site(), credential, at: at(1), until: at(100) },
        Change::End { site: site(), session, at: at(20) },
    ] {
        memory.apply(&change);
    }
    let copy = Memory::new(&Secret::new(vec![7; 32]));
    memory.each_change(|change| {
        let told = serde_json::to_string(&change).unwrap();
        copy.apply(&serde_json::from_str(&told).unwrap());
    });
    for id in ["ada", "bob", "carl"] {
        assert_eq!(of(&copy).mark(id, at(30)), of(&memory).mark(id, at(30)), "{id}");
    }
    assert_eq!(of(&copy).session(&session), of(&memory).session(&session));
    assert!(of(&copy).is_held(&credential, at(99)));
    assert_eq!(of(&copy).use_once(credential, at(30), at(100)), at(1));
}

#[test]
fn every_change_is_told_to_the_listener() {
    let store = volatile::open().unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let listening = heard.clone();
    store.memory().listen(move |_| {
        listening.fetch_add(1, Ordering::Relaxed);
    });
    store.note(ban("ada", 1, None));
    let written = store.write(Change::Logout { site: site(), id: "ada".into(), at: at(2) });
    futures_util::future::FutureExt::now_or_never(written).unwrap().unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 2);
    assert!(store.memory().site("acme").unwrap().mark("ada", at(3)).banned);
}

/// A keeper that remembers what it was given to keep.
struct Noting(Arc<parking_lot::Mutex<Vec<Change>>>);

#[async_trait]
impl Keeper for Noting {
    async fn write(&self, _change: Change) -> Result<(), Outage> {
        Err(Outage("not here".into()))
    }

    fn note(&self, change: Change) {
        self.0.lock().push(change);
    }

    fn state(&self) -> State {
        State { kind: "memory", up: true, synced: true, detail: String::new() }
    }
}

#[test]
fn a_logout_holds_what_was_seen_before_it_and_has_that_kept() {
    let memory = Arc::new(memory());
    let noted = Arc::new(parking_lot::Mutex::default());
    let _store = Store::new(memory.clone(), Box::new(Noting(noted.clone())));
    memory.prepare(&limited(10, 10));
    let (before, after) = ["before", "after"].map(|v| memory.digest(Purpose::Credential, v)).into();
    of(&memory).saw("ada", before, at(5));
    let logout = |secs| Change::Logout { site: site(), id: "ada".into(), at: at(secs) };
    assert_eq!(memory.would_follow(&logout(10)).len(), 1);
    // It may come from another replica: whoever saw the credential holds it.
    memory.apply(&logout(10));
    assert!(of(&memory).is_held(&before, at(609)) && !of(&memory).is_held(&before, at(610)));
    let hold = Change::Hold { site: site(), credential: before, until: at(610) };
    assert_eq!(*noted.lock(), [hold]);
    // The same one told again, as a snapshot does, does not concern what was seen since.
    of(&memory).saw("ada", after, at(15));
    memory.apply(&logout(10));
    assert!(!of(&memory).is_held(&after, at(11)));
    assert!(memory.would_follow(&logout(10)).is_empty());
    let hashes = fixture::plan(vec![{
        let mut site = fixture::site(0, "acme", crate::gate::Mode::Prefer);
        site.remembers.logout_hold = Duration::ZERO;
        site
    }]);
    memory.prepare(&hashes);
    memory.apply(&logout(20));
    assert!(!of(&memory).is_held(&after, at(21)));
}

#[test]
fn a_session_keeps_its_fields_where_the_dialect_changes_their_order() {
    let mut dialect = jwt();
    let field = |name: &str| crate::dialect::UnsignedField {
        name: crate::dialect::FieldName::Plain(name.into()),
        proof: None,
        prefix: None,
    };
    dialect.unsigned.fields = vec![field("id"), field("email")];
    let identity = Identity::attest(Proven {
        id: Some("ada".into()),
        fields: vec![(0, "ada".into()), (1, "ada@example.com".into())],
        ..Proven::default()
    });
    let binding = Binding::of(&identity, &dialect, at(1), at(2)).unwrap();
    dialect.unsigned.fields = vec![field("email"), field("other")];
    assert_eq!(binding.identity(&dialect).fields, [(0, "ada@example.com".to_owned())]);
}
