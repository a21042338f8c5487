//! Chats that begin, and those that do not.

use http::Uri;

use super::*;
use crate::dialect::Reason;
use crate::gate::Mode;
use crate::gate::route::PathPattern;
use crate::identity::{Identity, Proven, Standing};
use crate::plan::{Format, Reach, Session};
use crate::secret::Secret;
use crate::store::{Purpose, Visit, volatile};
use crate::telemetry::fixture;

const NOW: u64 = 1500;

fn subscription(name: &str, include: Include) -> Arc<Webhook> {
    Arc::new(Webhook {
        name: name.into(),
        url: Uri::from_static("https://crm.example/hook"),
        format: Format::Standard,
        secrets: vec![Secret::new(vec![7; 32])],
        include,
        headers: Vec::new(),
        properties: Vec::new(),
        retry: Vec::new(),
        reach: Reach::Anywhere,
        print: 1,
    })
}

fn site(starts: Starts) -> Site {
    let mut site = fixture::site(0, "acme", Mode::Prefer);
    site.website.starts = starts;
    site.website.agent_id = "150".into();
    site.website.webhooks = vec![
        subscription("crm", Include { visitor: true, claimed: true }),
        subscription("plain", Include::default()),
    ];
    site.remembers.session = Some(Arc::new(Session {
        request: Vec::new(),
        response: Vec::new(),
        ttl: Duration::from_secs(600),
        max: 100,
        max_per_identity: 10,
        cookie: false,
    }));
    site
}

fn by_answer() -> Starts {
    let segments = vec![Some("api".into()), Some("conversations".into())];
    Starts::Answer {
        method: Method::POST,
        path: PathPattern { segments, rest: false },
        statuses: vec![200, 201],
    }
}

fn ada() -> Visitor {
    let proven = Proven {
        id: Some("ada".into()),
        email: Some("ada@example.com".into()),
        ..Proven::default()
    };
    let standing = Standing::Verified(Identity::attest(proven));
    Visitor { standing, claimed: None, details: None }
}

fn guest() -> Visitor {
    let claimed = Some(r#"{"name":"Eve"}"#.to_owned());
    Visitor { standing: Standing::Guest(Reason::Missing), claimed, details: None }
}

/// A site, and whoever hears of it.
struct Scene {
    plan: Plan,
    webhooks: Arc<Webhooks>,
}

impl Scene {
    fn of(site: Site) -> Self {
        let plan = fixture::plan(vec![site]);
        let store = Arc::new(volatile::open().unwrap());
        Self { webhooks: Webhooks::new(store, &plan), plan }
    }

    fn of_request(&self, visitor: &Visitor, method: Method, path: &str) -> Option<Beginning> {
        let asked = Asked { method: &method, path, upgrade: false, request_id: "req-1" };
        Beginning::of(&self.webhooks, &self.plan.sites[0], visitor, &asked)
    }

    fn of_upgrade(&self, visitor: &Visitor) -> Option<Beginning> {
        let asked = Asked { method: &Method::GET, path: "/", upgrade: true, request_id: "req-1" };
        Beginning::of(&self.webhooks, &self.plan.sites[0], visitor, &asked)
    }

    fn post(&self, visitor: &Visitor) -> Beginning {
        self.of_request(visitor, Method::POST, "/api/conversations").unwrap()
    }

    fn begins(&self, beginning: Beginning, session: Option<&str>, now: u64) -> bool {
        let session = session.map(|session| self.digest(session));
        beginning.begin(session, &self.webhooks, &self.plan, UnixTime::from_secs(now))
    }

    fn digest(&self, session: &str) -> Digest {
        self.webhooks.store.memory().digest(Purpose::Session, session)
    }

    fn guest(&self, session: &str) -> Arc<str> {
        self.webhooks.store.memory().guest(&self.digest(session))
    }

    fn visit(&self, visitor: &str) -> Option<Visit> {
        let known = self.webhooks.store.memory().site("acme")?;
        known.visits().visit(visitor, UnixTime::from_secs(NOW))
    }

    /// What is queued: the subscription, the visitor and the event.
    fn queued(&self) -> Vec<(Arc<str>, Arc<str>, Event)> {
        let mut queued = Vec::new();
        self.webhooks.store.memory().each_change(|change| {
            if let Change::Delivery { delivery, .. } = change {
                let Delivery { webhook, visitor, event, .. } = Delivery::clone(&delivery);
                queued.push((webhook, visitor, event));
            }
        });
        queued.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        queued
    }
}

#[test]
fn a_session_begins_one_chat_however_often_the_backend_answers_so() {
    let scene = Scene::of(site(by_answer()));
    assert!(scene.begins(scene.post(&ada()), Some("s1"), NOW));
    assert!(!scene.begins(scene.post(&ada()), Some("s1"), NOW + 5));
    assert_eq!(scene.queued().len(), 2, "one for each subscription");
    assert!(scene.begins(scene.post(&ada()), Some("s2"), NOW + 5), "another session");
    assert!(scene.begins(scene.post(&ada()), Some("s1"), NOW + 600), "its time is over");
    assert_eq!(scene.queued().len(), 6);
}

#[test]
fn a_guest_who_logs_in_within_his_session_is_somebody_whose_chat_begins() {
    let scene = Scene::of(site(by_answer()));
    assert!(scene.begins(scene.post(&guest()), Some("s1"), NOW));
    assert!(scene.begins(scene.post(&ada()), Some("s1"), NOW));
    assert!(scene.visit("ada").is_some());
    let heard: Vec<_> = scene.queued().into_iter().map(|(_, visitor, _)| visitor).collect();
    assert_eq!(heard.iter().filter(|visitor| ***visitor == *"ada").count(), 2);
    assert!(!scene.begins(scene.post(&ada()), Some("s1"), NOW + 5));
    assert!(!scene.begins(scene.post(&guest()), Some("s1"), NOW + 5));
}

#[test]
fn a_session_that_outlives_what_is_known_of_its_visitor_makes_him_known_again_quietly() {
    let mut short = site(by_answer());
    short.website.ttl = Duration::from_secs(100);
    let scene = Scene::of(short);
    assert!(scene.begins(scene.post(&ada()), Some("s1"), NOW - 200));
    assert!(scene.visit("ada").is_none());
    assert!(!scene.begins(scene.post(&ada()), Some("s1"), NOW - 50));
    assert!(scene.visit("ada").is_some());
    assert_eq!(scene.queued().len(), 2, "nobody hears of it twice");
}

#[test]
fn a_verified_visitor_who_is_called_like_a_guest_begins_no_chat() {
    let scene = Scene::of(site(by_answer()));
    let id = Some(scene.guest("s1").to_string());
    let standing = Standing::Verified(Identity::attest(Proven { id, ..Proven::default() }));
    let misnamed = Visitor { standing, claimed: None, details: None };
    assert!(scene.of_request(&misnamed, Method::POST, "/api/conversations").is_none());
}

#[test]
fn without_sessions_a_visitors_chats_are_one_for_the_time_that_details_are_kept() {
    let mut without = site(by_answer());
    without.remembers.session = None;
    without.website.ttl = Duration::from_secs(100);
    let scene = Scene::of(without);
    assert!(scene.begins(scene.post(&ada()), Some("of no meaning"), NOW));
    assert!(!scene.begins(scene.post(&ada()), None, NOW + 99));
    assert!(scene.begins(scene.post(&ada()), None, NOW + 100));
}

#[test]
fn a_guest_is_called_after_the_session_and_afresh_without_one() {
    let scene = Scene::of(site(by_answer()));
    assert!(scene.begins(scene.post(&guest()), Some("s1"), NOW));
    let visit = scene.visit(&scene.guest("s1")).expect("known by the session");
    assert_eq!((&*visit.account_id, &*visit.agent_id), ("acme", "150"));
    for _ in 0..2 {
        assert!(scene.begins(scene.post(&guest()), None, NOW), "nobody knows it again");
    }
    let mut names: Vec<_> = scene.queued().into_iter().map(|(_, visitor, _)| visitor).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.starts_with("g_") && name.len() == 34), "{names:?}");
    // Nothing is kept of whoever can never be seen again, and what is known not for long.
    let known = scene.webhooks.store.memory().site("acme").unwrap();
    let (mut chats, mut soon_over) = (0, 0);
    known.visits().each_chat(|_| chats += 1);
    let in_ten_minutes = UnixTime::from_secs(NOW + 600);
    known.visits().each_visitor(|_, visit| soon_over += usize::from(visit.until == in_ten_minutes));
    assert_eq!((chats, soon_over), (1, 2));
}

#[test]
fn whoever_is_told_hears_no_more_than_is_included() {
    let scene = Scene::of(site(by_answer()));
    scene.begins(scene.post(&ada()), Some("s1"), NOW);
    let queued = scene.queued();
    let [(crm, to_crm, told), (_, _, plain)] = queued.as_slice() else { panic!("{queued:?}") };
    assert_eq!((&**crm, &**to_crm, &*told.request_id), ("crm", "ada", "req-1"));
    assert!(told.verified && plain.verified);
    assert_eq!((told.email.as_deref(), plain.email.as_deref()), (Some("ada@example.com"), None));
    let scene = Scene::of(site(by_answer()));
    scene.begins(scene.post(&guest()), Some("s1"), NOW);
    let claimed: Vec<_> = scene.queued().into_iter().map(|(_, _, it)| it.claimed).collect();
    assert_eq!(claimed, [Some(r#"{"name":"Eve"}"#.to_owned()), None]);
}

#[test]
fn method_path_and_status_say_what_begins_a_chat() {
    let scene = Scene::of(site(by_answer()));
    let begins = |method, path| scene.of_request(&guest(), method, path).is_some();
    assert!(begins(Method::POST, "/api/conversations"));
    for lenient in [
        "/api/conversations/",
        "/API/Conversations",
        "/api//conversations",
        "/api/%63onversations",
        "/api;v=1/conversations",
        "/x/../api/conversations",
    ] {
        assert!(begins(Method::POST, lenient), "as some backend routes it: {lenient}");
    }
    assert!(!begins(Method::GET, "/api/conversations"));
    assert!(!begins(Method::POST, "/api/conversations/7"));
    let beginning = scene.post(&guest());
    assert!(beginning.is_begun_by(200) && beginning.is_begun_by(201));
    assert!(!beginning.is_begun_by(202) && !beginning.is_begun_by(422));
    assert!(scene.of_upgrade(&ada()).is_none());
}

#[test]
fn a_websocket_begins_a_chat_of_whoever_is_verified_once_it_is_one() {
    let scene = Scene::of(site(Starts::WebSocket));
    assert!(scene.of_upgrade(&guest()).is_none());
    let beginning = scene.of_upgrade(&ada()).unwrap();
    assert!(beginning.is_begun_by(101) && !beginning.is_begun_by(200));
    assert!(scene.of_request(&ada(), Method::POST, "/api/conversations").is_none());
}

#[test]
fn no_chat_begins_where_nobody_is_to_hear_of_one() {
    let mut deaf = site(by_answer());
    deaf.website.webhooks.clear();
    let scene = Scene::of(deaf);
    assert!(scene.of_request(&ada(), Method::POST, "/api/conversations").is_none());
}
