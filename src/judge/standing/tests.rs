//! Whole judgements of real tokens and sessions, against a memory.

use std::sync::Arc;

use http::HeaderMap;

use super::*;
use crate::dialect::Mechanism;
use crate::gate::Outcome;
use crate::gate::testing::{headers, view};
use crate::judge::scene::{NOW, Scene, Told, at, site, verified};
use crate::judge::{Reader, judge};
use crate::plan::Session;
use crate::telemetry::fixture;

#[test]
fn a_session_stands_for_the_identity_that_was_proven_in_it_once_the_backend_agreed() {
    let mut scene = Scene::new(Mode::Prefer);
    let token = scene.of_visitor("ada", NOW, NOW + 60);
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("x-auth-token", "cw-1")];
    let (_, _, binder) = scene.judged(&fields);
    scene.answers(binder, 500, &HeaderMap::new());
    assert_eq!(scene.says("", "cw-1"), Told::Guest(Reason::Missing), "the backend did not agree");
    scene.proves(&token, "cw-1", &HeaderMap::new());
    assert_eq!(scene.says("", "cw-1"), verified("ada"));
    assert_eq!(scene.says("", "cw-2"), Told::Guest(Reason::Missing));
    assert_eq!(scene.told(&[("cookie", "cw=cw-1")]), verified("ada"), "wherever it is carried");
    scene.now = at(NOW + 599);
    assert_eq!(scene.says("", "cw-1"), verified("ada"), "also when the token has expired");
    scene.now = at(NOW + 600);
    assert_eq!(scene.says("", "cw-1"), Told::Guest(Reason::Missing), "its time is over");
}

#[test]
fn what_an_answer_brings_is_bound_too_from_header_cookie_and_body() {
    let scene = Scene::new(Mode::Require);
    let token = scene.of_visitor("ada", NOW, NOW + 60);
    let answer = headers(&[
        ("x-new-token", "from-header"),
        ("set-cookie", "cw=from-cookie; Path=/"),
        ("content-type", "application/json"),
    ]);
    let bearer = format!("Bearer {token}");
    let (_, _, binder) = scene.judged(&[("authorization", bearer.as_str())]);
    let mut binder = binder.unwrap();
    let session = scene.plan.sites[0].remembers.session.clone().unwrap();
    let (mut reader, memory) = (Reader::new(session), scene.store.memory());
    binder.head(&reader.head(200, &answer, memory), &scene.store);
    assert_eq!(reader.body(Some(br#"{"widget_auth_"#), false, memory), []);
    assert!(reader.is_reading());
    binder.body(&reader.body(Some(br#"token":"from-body"}"#), true, memory), &scene.store);
    assert!(!reader.is_reading());
    for session in ["from-header", "from-cookie", "from-body"] {
        assert_eq!(scene.says("", session), verified("ada"), "{session}");
    }
}

#[test]
fn a_session_hands_on_to_a_new_token_no_more_than_the_time_it_has() {
    let mut scene = Scene::new(Mode::Prefer);
    scene.proves(&scene.of_visitor("ada", NOW, NOW + 60), "one", &HeaderMap::new());
    scene.now = at(NOW + 500);
    let (_, _, binder) = scene.judged(&[("x-auth-token", "one")]);
    scene.answers(binder, 200, &headers(&[("x-new-token", "two")]));
    assert_eq!(scene.says("", "two"), verified("ada"));
    scene.now = at(NOW + 600);
    assert_eq!(scene.says("", "two"), Told::Guest(Reason::Missing));
}

#[test]
fn another_identity_in_a_bound_session_is_a_conflict() {
    for (mode, expected) in [
        (Mode::Require, Told::Refused(Reason::SessionConflict)),
        (Mode::Prefer, Told::Refused(Reason::SessionConflict)),
        (Mode::Accept, Told::Guest(Reason::SessionConflict)),
        (Mode::Observe, Told::Counted("bob".into(), Reason::SessionConflict)),
    ] {
        let scene = Scene::new(mode);
        scene.proves(&scene.of_visitor("ada", NOW, NOW + 60), "cw-1", &HeaderMap::new());
        let bob = scene.of_visitor("bob", NOW, NOW + 60);
        assert_eq!(scene.says(&bob, "cw-1"), expected, "{mode:?}");
        assert_eq!(scene.says(&bob, "cw-2"), verified("bob"), "{mode:?}");
    }
    let scene = Scene::new(Mode::Prefer);
    scene.proves(&scene.of_visitor("ada", NOW, NOW + 60), "s-a", &HeaderMap::new());
    scene.proves(&scene.of_visitor("bob", NOW, NOW + 60), "s-b", &HeaderMap::new());
    let both = [("x-auth-token", "s-a"), ("cookie", "cw=s-b")];
    assert_eq!(scene.told(&both), Told::Refused(Reason::SessionConflict));
}

#[test]
fn a_banned_visitor_is_kept_out_with_good_expired_or_no_token_in_the_session() {
    for mode in [Mode::Require, Mode::Prefer, Mode::Accept] {
        let mut scene = Scene::new(mode);
        let token = scene.of_visitor("ada", NOW, NOW + 60);
        scene.proves(&token, "cw-1", &HeaderMap::new());
        scene.now = at(NOW + 10);
        scene.ban("ada", None);
        let banned = || Told::Refused(Reason::Banned);
        assert_eq!(scene.says(&token, ""), banned(), "{mode:?}");
        assert_eq!(scene.says("", "cw-1"), banned(), "{mode:?}");
        scene.now = at(NOW + 300);
        assert_eq!(scene.says(&token, ""), banned(), "{mode:?}: expired");
        assert_eq!(scene.says(&token, "cw-1"), banned(), "{mode:?}: expired");
        // Under a ban a session is remembered as long as the ban.
        scene.now = at(NOW + 100_000);
        scene.store.memory().purge(scene.now);
        assert_eq!(scene.says("", "cw-1"), banned(), "{mode:?}: long after");
        let neither = match mode {
            Mode::Require => Told::Refused(Reason::Missing),
            _ => Told::Guest(Reason::Missing),
        };
        assert_eq!(scene.says("", ""), neither, "{mode:?}: like anybody");
    }
}

#[test]
fn observe_forwards_the_banned_as_verified_and_counts_them() {
    let scene = Scene::new(Mode::Observe);
    let token = scene.of_visitor("ada", NOW, NOW + 60);
    scene.proves(&token, "cw-1", &HeaderMap::new());
    scene.ban("ada", None);
    assert_eq!(scene.says(&token, ""), Told::Counted("ada".into(), Reason::Banned));
    assert_eq!(scene.says("", "cw-1"), Told::Counted("ada".into(), Reason::Banned));
}

#[test]
fn a_session_that_a_ban_ended_stays_ended_until_a_fresh_proof() {
    let mut scene = Scene::new(Mode::Prefer);
    let token = scene.of_visitor("ada", NOW, NOW + 500);
    scene.proves(&token, "cw-1", &HeaderMap::new());
    scene.now = at(NOW + 1);
    scene.ban("ada", Some(NOW + 5));
    scene.now = at(NOW + 6);
    assert_eq!(scene.says("", "cw-1"), Told::Refused(Reason::Revoked), "the ban is over");
    assert_eq!(scene.says(&token, ""), verified("ada"), "a ban revokes no token");
    scene.proves(&token, "cw-1", &HeaderMap::new());
    assert_eq!(scene.says("", "cw-1"), verified("ada"));
}

#[test]
fn a_logout_revokes_what_was_issued_or_bound_before_it() {
    for mode in [Mode::Require, Mode::Prefer, Mode::Accept] {
        let mut scene = Scene::new(mode);
        let token = scene.of_visitor("ada", NOW, NOW + 500);
        scene.proves(&token, "cw-1", &HeaderMap::new());
        scene.now = at(NOW + 1);
        scene.logout("ada");
        assert_eq!(scene.says(&token, ""), Told::Refused(Reason::Revoked), "{mode:?}");
        assert_eq!(scene.says("", "cw-1"), Told::Refused(Reason::Revoked), "{mode:?}");
        scene.now = at(NOW + 2);
        let fresh = scene.of_visitor("ada", NOW + 2, NOW + 500);
        scene.proves(&fresh, "cw-1", &HeaderMap::new());
        assert_eq!(scene.says("", "cw-1"), verified("ada"), "{mode:?}");
    }
}

#[test]
fn a_token_that_does_not_say_when_it_was_issued_is_known_again_at_a_logout() {
    let mut scene = Scene::new(Mode::Prefer);
    let undated = scene.token(r#"{"sub":"ada","exp":9999}"#);
    let other = scene.token(r#"{"sub":"ada","exp":9998}"#);
    assert_eq!(scene.says(&undated, ""), verified("ada"));
    let memory = scene.store.memory().clone();
    let seen = memory.site("acme").unwrap().seen("ada");
    assert_eq!(seen, [digest_of(&memory, &undated)]);
    let until = at(NOW + 600);
    memory.apply(&Change::Hold { site: "acme".into(), credential: seen[0], until });
    assert_eq!(scene.says(&undated, ""), Told::Refused(Reason::Revoked));
    assert_eq!(scene.says(&other, ""), verified("ada"), "that one was not seen");
    scene.now = until;
    assert_eq!(scene.says(&undated, ""), verified("ada"));
}

#[test]
fn a_session_whose_key_has_gone_lapsed_or_been_replaced_is_over() {
    let mut scene = Scene::new(Mode::Prefer);
    scene.proves(&scene.of_visitor("ada", NOW, NOW + 60), "cw-1", &HeaderMap::new());
    let mut without = site(Mode::Prefer);
    let keys = &without.keyring;
    without.keyring = crate::dialect::Keyring::new(vec![keys.get("old").unwrap().clone()]);
    scene.plan = fixture::plan(vec![without]);
    assert_eq!(scene.says("", "cw-1"), Told::Refused(Reason::Revoked));
    let replaced = crate::dialect::Key::secret(
        "new",
        crate::dialect::Algorithm::HS256,
        &crate::secret::Secret::new(vec![8; 32]),
    );
    let mut with_another = site(Mode::Prefer);
    with_another.keyring = crate::dialect::Keyring::new(vec![Arc::new(replaced.unwrap())]);
    scene.plan = fixture::plan(vec![with_another]);
    assert_eq!(scene.says("", "cw-1"), Told::Refused(Reason::Revoked), "of the same name");
    scene.plan = fixture::plan(vec![site(Mode::Prefer)]);
    assert_eq!(scene.says("", "cw-1"), verified("ada"), "side by side nobody is turned away");
}

#[test]
fn a_single_use_token_passes_again_within_ten_seconds_only() {
    let mut once = site(Mode::Prefer);
    match &mut once.dialect.mechanism {
        Mechanism::Jwt(rules) => rules.single_use = true,
        Mechanism::Hmac(_) => unreachable!("the fixture has tokens"),
    }
    let mut scene = Scene::of(once);
    let token = scene.token(r#"{"sub":"ada","exp":9999,"jti":"x"}"#);
    assert_eq!(
        scene.says(&scene.of_visitor("ada", NOW, 9999), ""),
        Told::Refused(Reason::MissingClaim)
    );
    let bearer = format!("Bearer {token}");
    let (told, carried) = scene.asks(&[("authorization", bearer.as_str())]);
    assert_eq!((told, carried.used.is_some()), (verified("ada"), true));
    scene.now = at(NOW + 10);
    let (told, carried) = scene.asks(&[("authorization", bearer.as_str())]);
    assert_eq!((told, carried.used), (verified("ada"), None), "widgets call twice");
    scene.now = at(NOW + 11);
    assert_eq!(scene.says(&token, ""), Told::Refused(Reason::Replayed));
    let other = scene.token(r#"{"sub":"ada","exp":9999,"jti":"y"}"#);
    assert_eq!(scene.says(&other, ""), verified("ada"));
}

#[test]
fn a_session_in_a_cookie_counts_only_where_the_page_may_speak() {
    let scene = Scene::new(Mode::Prefer);
    scene.proves(&scene.of_visitor("ada", NOW, NOW + 60), "cw-1", &HeaderMap::new());
    let posted = |origin: &str| {
        let fields = [("host", "acme.example"), ("cookie", "cw=cw-1"), ("origin", origin)];
        let headers = headers(&fields);
        let request =
            crate::gate::RequestView { method: &http::Method::POST, ..view(&headers, "/") };
        let judgement = judge(&scene.plan, scene.store.memory(), &request, scene.now);
        match judgement.verdict.outcome {
            Outcome::Refuse(refusal) => refusal.reason(),
            _ => None,
        }
    };
    assert_eq!(posted("https://evil.example"), Some(Reason::OriginNotAllowed));
    assert_eq!(posted("https://acme.example"), None);
}

#[test]
fn during_an_outage_a_site_that_must_be_sure_turns_away_whom_it_would_have_verified() {
    let mut sure = site(Mode::Prefer);
    sure.remembers.on_store_outage = OnStoreOutage::Refuse;
    let scene = Scene::of(sure);
    let token = scene.of_visitor("ada", NOW, NOW + 60);
    scene.proves(&token, "cw-1", &HeaderMap::new());
    scene.store.memory().set_current(false);
    assert_eq!(scene.says(&token, ""), Told::Refused(Reason::Unavailable));
    assert_eq!(scene.says("", "cw-1"), Told::Refused(Reason::Unavailable));
    assert_eq!(scene.says("", ""), Told::Guest(Reason::Missing));
    scene.store.memory().set_current(true);
    assert_eq!(scene.says(&token, ""), verified("ada"));
}

#[test]
fn countersigns_own_cookie_is_given_once_and_stands_for_the_session() {
    let mut with_cookie = site(Mode::Prefer);
    let mut session = Session::clone(with_cookie.remembers.session.as_ref().unwrap());
    session.cookie = true;
    with_cookie.remembers.session = Some(Arc::new(session));
    let scene = Scene::of(with_cookie);
    let bearer = format!("Bearer {}", scene.of_visitor("ada", NOW, NOW + 60));
    let made_up = [("authorization", bearer.as_str()), ("cookie", "__Host-countersign=made-up")];
    let (_, _, binder) = scene.judged(&made_up);
    let cookie = scene.answers(binder, 200, &HeaderMap::new()).unwrap();
    let cookie = cookie.to_str().unwrap();
    let (pair, rest) = cookie.split_once("; ").unwrap();
    assert_eq!(rest, "Path=/; Max-Age=600; HttpOnly; Secure; SameSite=None; Partitioned");
    assert_eq!(scene.told(&[("cookie", pair)]), verified("ada"));
    assert_eq!(
        scene.told(&[("cookie", "__Host-countersign=made-up")]),
        Told::Guest(Reason::Missing)
    );
    let again = [("authorization", bearer.as_str()), ("cookie", pair)];
    let (_, _, binder) = scene.judged(&again);
    assert_eq!(scene.answers(binder, 200, &HeaderMap::new()), None, "it has one");
}

#[test]
fn in_a_migration_nothing_wrong_with_a_request_hides_who_is_kept_out() {
    let mut scene = Scene::new(Mode::Accept);
    let token = scene.of_visitor("ada", NOW, NOW + 60);
    scene.proves(&token, "cw-1", &HeaderMap::new());
    scene.proves(&scene.of_visitor("bob", NOW, NOW + 60), "cw-2", &HeaderMap::new());
    let bob = format!("Bearer {}", scene.of_visitor("bob", NOW, NOW + 60));
    scene.now = at(NOW + 1);
    scene.ban("ada", None);
    let junk = [
        ("authorization", "Bearer e30.e30.AA"),
        ("authorization", "Bearer e30.e31.AA"),
        ("x-auth-token", "cw-1"),
    ];
    assert_eq!(scene.told(&junk), Told::Refused(Reason::Banned), "ambiguous");
    assert_eq!(scene.says("e30.e30.AA", "cw-1"), Told::Refused(Reason::Banned), "malformed");
    let other = [("authorization", bob.as_str()), ("x-auth-token", "cw-1")];
    assert_eq!(scene.told(&other), Told::Refused(Reason::Banned), "a second account");
    scene.logout("bob");
    assert_eq!(scene.says("e30.e30.AA", "cw-2"), Told::Refused(Reason::Revoked));
    assert_eq!(scene.says("e30.e30.AA", "cw-3"), Told::Guest(Reason::Malformed));
}

#[test]
fn a_page_of_another_site_binds_no_session_that_it_has_only_caused_to_be_sent() {
    let scene = Scene::new(Mode::Prefer);
    let bearer = format!("Bearer {}", scene.of_visitor("mallory", NOW, NOW + 60));
    let caused = [
        ("authorization", bearer.as_str()),
        ("cookie", "cw=of-the-victim"),
        ("sec-fetch-site", "cross-site"),
    ];
    let (told, _, binder) = scene.judged(&caused);
    assert_eq!(told, verified("mallory"));
    scene.answers(binder, 200, &HeaderMap::new());
    assert_eq!(scene.told(&[("cookie", "cw=of-the-victim")]), Told::Guest(Reason::Missing));
    let own = [caused[0], caused[1], ("sec-fetch-site", "same-origin")];
    let (_, _, binder) = scene.judged(&own);
    scene.answers(binder, 200, &HeaderMap::new());
    assert_eq!(scene.told(&[("cookie", "cw=of-the-victim")]), verified("mallory"));
}

#[test]
fn nothing_is_bound_by_an_answer_to_what_was_ended_meanwhile() {
    let mut scene = Scene::new(Mode::Prefer);
    let token = scene.of_visitor("ada", NOW, NOW + 60);
    scene.proves(&token, "cw-1", &HeaderMap::new());
    let bearer = format!("Bearer {token}");
    let by_token = scene.judged(&[("authorization", bearer.as_str())]).2;
    let by_session = scene.judged(&[("x-auth-token", "cw-1")]).2;
    scene.now = at(NOW + 1);
    let memory = scene.store.memory().clone();
    let session = memory.digest(Purpose::Session, "cw-1");
    let credential = digest_of(&memory, &token);
    let (site, until) = (Arc::<str>::from("acme"), at(NOW + 60));
    memory.apply(&Change::End { site: site.clone(), session, at: scene.now });
    memory.apply(&Change::Hold { site, credential, until });
    let answer = headers(&[("x-new-token", "too-late")]);
    for binder in [by_token, by_session] {
        scene.answers(binder, 200, &answer);
        assert_eq!(scene.says("", "too-late"), Told::Guest(Reason::Missing));
    }
}

#[test]
fn while_keys_are_still_to_come_nobody_knows_whether_a_session_stands() {
    let mut scene = Scene::new(Mode::Prefer);
    scene.proves(&scene.of_visitor("ada", NOW, NOW + 60), "cw-1", &HeaderMap::new());
    let mut waiting = site(Mode::Prefer);
    waiting.keyring = crate::dialect::Keyring::new(Vec::new()).incomplete();
    scene.plan = fixture::plan(vec![waiting]);
    assert_eq!(scene.says("", "cw-1"), Told::Refused(Reason::Unavailable));
}

#[test]
fn during_an_outage_an_unknown_session_may_be_anybodys() {
    let mut sure = site(Mode::Prefer);
    sure.remembers.on_store_outage = OnStoreOutage::Refuse;
    let scene = Scene::of(sure);
    assert_eq!(scene.says("", "unknown"), Told::Guest(Reason::Missing));
    scene.store.memory().set_current(false);
    assert_eq!(scene.says("", "unknown"), Told::Refused(Reason::Unavailable));
    assert_eq!(scene.says("", ""), Told::Guest(Reason::Missing));
}

#[test]
fn having_many_sessions_makes_no_guest_of_whoever_is_kept_out() {
    let mut scene = Scene::new(Mode::Prefer);
    let prove = |scene: &mut Scene| {
        for number in 0..11 {
            scene.now = at(NOW + number);
            let token = scene.of_visitor("ada", NOW, NOW + 900);
            scene.proves(&token, &format!("session {number}"), &HeaderMap::new());
        }
    };
    prove(&mut scene);
    let first = |scene: &Scene| scene.told(&[("x-auth-token", "session 0")]);
    assert_eq!(first(&scene), Told::Guest(Reason::Missing));
    assert_eq!(scene.told(&[("x-auth-token", "session 1")]), verified("ada"));
    let bob = scene.of_visitor("bob", NOW, NOW + 900);
    assert_eq!(scene.says(&bob, "session 0"), verified("bob"), "it is nobody's");
    scene.ban("ada", None);
    assert_eq!(first(&scene), Told::Refused(Reason::Banned));
    assert_eq!(scene.says(&bob, "session 0"), Told::Refused(Reason::SessionConflict));
    let mut scene = Scene::new(Mode::Prefer);
    prove(&mut scene);
    scene.logout("ada");
    assert_eq!(first(&scene), Told::Refused(Reason::Revoked));
}
