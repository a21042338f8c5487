//! What the website's server said of whoever a request is forwarded as: of a verified
//! visitor, or of a guest, who is known by the backend's session alone.
//!
//! Nobody speaks for somebody else here: whoever a refused credential names has no say.

use std::sync::Arc;

use super::Carried;
use crate::clock::UnixTime;
use crate::gate::Mode;
use crate::gate::policy::Finding;
use crate::store::{Memory, SiteMemory};

/// One compact ASCII JSON object of texts. Costs nothing where nobody is known.
pub(super) fn of(
    finding: &Finding,
    mode: Mode,
    carried: &Carried,
    (memory, known): (&Memory, &SiteMemory),
    now: UnixTime,
) -> Option<Arc<str>> {
    let visits = known.visits();
    if visits.is_empty() {
        return None;
    }
    let identity = match finding {
        Finding::Proven(identity) => Some(identity),
        Finding::Barred(identity, _) if mode == Mode::Observe => Some(identity),
        Finding::Barred(..) | Finding::Rejected(_) | Finding::Absent { .. } => None,
    };
    match identity.and_then(|identity| identity.id.as_deref()) {
        Some(id) => visits.details(id, now),
        None => carried.backends().find_map(|session| {
            let guest = memory.guest(&session);
            visits.details(&guest, now)
        }),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::judge::scene::{NOW, Scene, at, site};
    use crate::store::{Change, Chat, Posted, Purpose};

    impl Scene {
        /// The website's server says this of a visitor whose chat has begun.
        fn hears(&self, visitor: &Arc<str>, plan: &str) {
            let chat = Arc::new(Chat {
                session: format!("visitor:{visitor}").into(),
                visitor: visitor.clone(),
                account_id: "acme".into(),
                agent_id: "".into(),
                at: self.now,
                until: at(NOW + 5000),
                known_until: at(NOW + 5000),
                deliveries: Vec::new(),
            });
            let posted = Arc::new(Posted {
                visitor: visitor.clone(),
                fields: vec![("Plan".into(), plan.into())],
                at: self.now,
                until: at(NOW + 5000),
                deliveries: Vec::new(),
            });
            self.store.note(Change::Chat { site: "acme".into(), chat });
            self.store.note(Change::Details { site: "acme".into(), posted });
        }

        fn guest(&self, session: &str) -> Arc<str> {
            let memory = self.store.memory();
            memory.guest(&memory.digest(Purpose::Session, session))
        }

        fn details(&self, fields: &[(&str, &str)]) -> Option<String> {
            let visitor = self.forwards(fields).expect("forwarded").visitor;
            visitor.details.map(|details| details.to_string())
        }
    }

    fn plan(plan: &str) -> Option<String> {
        Some(format!(r#"{{"Plan":"{plan}"}}"#))
    }

    fn bearer(scene: &Scene, id: &str) -> String {
        format!("Bearer {}", scene.of_visitor(id, NOW, NOW + 60))
    }

    #[test]
    fn a_verified_visitors_details_come_with_the_proof_and_with_the_session() {
        let scene = Scene::new(Mode::Prefer);
        let ada = bearer(&scene, "ada");
        assert_eq!(scene.details(&[("authorization", &ada)]), None);
        scene.hears(&"ada".into(), "pro");
        assert_eq!(scene.details(&[("authorization", &ada)]), plan("pro"));
        assert_eq!(scene.details(&[("authorization", &bearer(&scene, "bob"))]), None);
        scene.proves(&scene.of_visitor("ada", NOW, NOW + 60), "cw-1", &HeaderMap::new());
        assert_eq!(scene.details(&[("x-auth-token", "cw-1")]), plan("pro"));
    }

    #[test]
    fn a_guests_details_are_those_of_the_first_session_that_has_any() {
        let scene = Scene::new(Mode::Prefer);
        scene.hears(&scene.guest("cw-1"), "free");
        scene.hears(&scene.guest("cw-2"), "trial");
        assert_eq!(scene.details(&[("x-auth-token", "cw-1")]), plan("free"));
        let both = [("x-auth-token", "cw-1"), ("cookie", "cw=cw-2")];
        assert_eq!(scene.details(&both), plan("free"));
        let unknown = [("x-auth-token", "cw-0"), ("cookie", "cw=cw-2")];
        assert_eq!(scene.details(&unknown), plan("trial"));
        assert_eq!(scene.details(&[("x-auth-token", "cw-3")]), None);
        assert_eq!(scene.details(&[]), None);
        // Whoever is verified there is not who was a guest there.
        scene.proves(&scene.of_visitor("ada", NOW, NOW + 60), "cw-1", &HeaderMap::new());
        assert_eq!(scene.details(&[("x-auth-token", "cw-1")]), None);
    }

    #[test]
    fn a_refused_credential_says_nothing_of_whomever_it_names() {
        for mode in [Mode::Accept, Mode::Observe] {
            let mut scene = Scene::new(mode);
            let expired = format!("Bearer {}", scene.of_visitor("ada", NOW - 900, NOW - 100));
            scene.hears(&"ada".into(), "pro");
            assert_eq!(scene.details(&[("authorization", &expired)]), None, "{mode:?}");
            scene.hears(&scene.guest("cw-1"), "free");
            let in_session = [("authorization", expired.as_str()), ("x-auth-token", "cw-1")];
            assert_eq!(scene.details(&in_session), plan("free"), "{mode:?}");
            scene.now = at(NOW + 5000);
            assert_eq!(scene.details(&in_session), None, "{mode:?}: nobody is known any more");
        }
    }

    #[test]
    fn observe_hands_over_the_details_of_whom_it_forwards_as_verified() {
        let scene = Scene::new(Mode::Observe);
        scene.hears(&"ada".into(), "pro");
        scene.ban("ada", None);
        assert_eq!(scene.details(&[("authorization", &bearer(&scene, "ada"))]), plan("pro"));
    }

    #[test]
    fn off_looks_up_nothing() {
        let scene = Scene::of(site(Mode::Off));
        scene.hears(&"ada".into(), "pro");
        scene.hears(&scene.guest("cw-1"), "free");
        let ada = bearer(&scene, "ada");
        assert_eq!(scene.details(&[("authorization", &ada), ("x-auth-token", "cw-1")]), None);
    }
}
