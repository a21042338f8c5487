//! What becomes of sessions that had to make room, and of those that somebody else wants.

use std::sync::Arc;

use super::super::tests::{at, ban, bind, limited, memory, of, site};
use super::super::{Change, Digest, Memory, volatile};
use crate::store::Purpose;

fn stands(memory: &Memory, session: Digest) -> bool {
    of(memory).session(&session).is_some_and(|binding| binding.stands())
}

fn owner(memory: &Memory, session: Digest) -> Option<String> {
    of(memory).session(&session).map(|binding| binding.id().to_string())
}

fn forget(id: &str, until: u64) -> Change {
    Change::Forget { site: site(), id: id.into(), at: at(until) }
}

#[test]
fn a_session_that_made_room_is_still_known_to_be_somebodys() {
    let memory = memory();
    memory.prepare(&limited(100, 2));
    let first = bind(&memory, "1", "ada", 1);
    bind(&memory, "2", "ada", 2);
    bind(&memory, "3", "ada", 3);
    assert!(!stands(&memory, first));
    assert_eq!(owner(&memory, first).as_deref(), Some("ada"));
    assert_eq!(of(&memory).sessions_of("ada").len(), 2);
    memory.apply(&ban("ada", 9, Some(500)));
    memory.purge(at(200));
    assert_eq!(owner(&memory, first).as_deref(), Some("ada"), "as long as the ban");
    memory.purge(at(600));
    assert_eq!(owner(&memory, first), None);
}

#[test]
fn a_session_that_made_room_stands_again_once_it_is_proven_again() {
    let memory = memory();
    memory.prepare(&limited(100, 1));
    let first = bind(&memory, "1", "ada", 1);
    let second = bind(&memory, "2", "ada", 2);
    bind(&memory, "1", "ada", 1);
    assert!(!stands(&memory, first), "the same told again");
    bind(&memory, "1", "ada", 3);
    assert!(stands(&memory, first) && !stands(&memory, second));
    // It is nobody's: another visitor may have it.
    bind(&memory, "2", "bob", 4);
    assert_eq!(owner(&memory, second).as_deref(), Some("bob"));
}

#[test]
fn the_one_just_bound_never_makes_room_though_it_be_the_oldest() {
    let memory = memory();
    memory.prepare(&limited(100, 2));
    bind(&memory, "5", "ada", 5);
    bind(&memory, "6", "ada", 6);
    let fetched = bind(&memory, "4", "ada", 4);
    assert!(stands(&memory, fetched));
    assert_eq!(of(&memory).len().1, 2);
}

#[test]
fn of_what_made_room_no_more_is_known_than_there_may_be_sessions_and_whom_it_keeps_out_last() {
    let memory = memory();
    memory.prepare(&limited(3, 1));
    let banned = bind(&memory, "a1", "ada", 1);
    bind(&memory, "a2", "ada", 2);
    memory.apply(&ban("ada", 3, None));
    let bobs: Vec<_> = (10..20).map(|n| bind(&memory, &n.to_string(), "bob", n)).collect();
    assert_eq!(owner(&memory, banned).as_deref(), Some("ada"));
    let known = bobs.iter().filter(|one| owner(&memory, **one).is_some()).count();
    assert_eq!(known, 3, "one stands, two of three tombstones");
}

#[test]
fn a_visitor_who_is_forgotten_leaves_only_whose_the_sessions_were() {
    let memory = memory();
    let session = bind(&memory, "1", "ada", 10);
    memory.apply(&forget("ada", 20));
    assert!(!stands(&memory, session));
    assert_eq!(owner(&memory, session).as_deref(), Some("ada"));
    assert!(of(&memory).sessions_of("ada").is_empty());
    // What was on its way does not bring back what was forgotten.
    let late = bind(&memory, "2", "ada", 20);
    bind(&memory, "1", "ada", 19);
    assert_eq!(owner(&memory, late), None);
    assert!(!stands(&memory, session));
    let copy = Memory::new(&crate::secret::Secret::new(vec![7; 32]));
    memory.each_change(|change| copy.apply(&change));
    bind(&copy, "2", "ada", 20);
    assert_eq!((owner(&copy, session), owner(&copy, late)), (Some("ada".into()), None));
    bind(&memory, "1", "ada", 21);
    assert!(stands(&memory, session));
    bind(&memory, "3", "bob", 1);
    memory.purge(at(20 + 7 * 24 * 60 * 60));
    bind(&memory, "2", "ada", 20);
    assert_eq!(owner(&memory, late).as_deref(), Some("ada"), "seven days are enough");
}

#[test]
fn a_session_stays_its_visitors_until_it_is_over() {
    let memory = memory();
    let session = bind(&memory, "1", "ada", 10);
    bind(&memory, "1", "bob", 11);
    assert_eq!(owner(&memory, session).as_deref(), Some("ada"));
    memory.apply(&Change::End { site: site(), session, at: at(12) });
    bind(&memory, "1", "bob", 13);
    assert_eq!(owner(&memory, session).as_deref(), Some("ada"), "and once it was ended");
    bind(&memory, "1", "ada", 14);
    assert_eq!(of(&memory).session(&session).unwrap().ended, None);
    bind(&memory, "1", "bob", 114);
    assert_eq!(owner(&memory, session).as_deref(), Some("bob"));
}

#[test]
fn a_session_proven_with_every_request_is_not_kept_with_every_request() {
    let store = volatile::open().unwrap();
    store.memory().prepare(&limited(100, 100));
    let session = bind(store.memory(), "1", "ada", 100);
    let bound = || of(store.memory()).session(&session).unwrap().bound;
    let prove = |secs: u64| {
        let other = memory();
        let digest = bind(&other, "1", "ada", secs);
        let binding = of(&other).session(&digest).unwrap();
        store.note(Change::Bind { site: site(), session, binding: Arc::clone(&binding) });
    };
    prove(109);
    assert_eq!(bound(), at(100), "a tenth of its time has not passed");
    prove(110);
    assert_eq!(bound(), at(110));
    store.note(Change::Logout { site: site(), id: "ada".into(), at: at(111) });
    prove(112);
    assert_eq!(bound(), at(112), "proven after a logout it is good again");
    store.note(Change::End { site: site(), session, at: at(113) });
    prove(114);
    assert_eq!((bound(), of(store.memory()).session(&session).unwrap().ended), (at(114), None));
    assert_eq!(store.memory().digest(Purpose::Session, "1"), session);
}
