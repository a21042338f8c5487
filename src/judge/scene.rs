//! A site, a memory and a clock, for tests of whole judgements.

use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::{HeaderMap, HeaderValue};

use super::{Binder, Carried, Reader, judge};
use crate::clock::UnixTime;
use crate::dialect::{Carrier, Names, Reason, Source};
use crate::gate::testing::{headers, view};
use crate::gate::{Forward, Mode, Outcome};
use crate::identity::Standing;
use crate::plan::{Brought, Plan, Session, Site};
use crate::store::{Ban, Change, Store, volatile};
use crate::telemetry::fixture;

/// Somewhere in the middle of the tokens' lives.
pub const NOW: u64 = 1500;

pub fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs)
}

pub fn source(carrier: Carrier) -> Source {
    Source { carrier, shared: false }
}

pub fn names(proof: &str) -> Names {
    Names { proof: proof.into(), ..Names::default() }
}

pub fn site(mode: Mode) -> Site {
    let mut site = fixture::site(0, "acme", mode);
    site.dialect = crate::dialect::founding::jwt();
    let bearer =
        Carrier::Header { names: names("authorization"), scheme: Some("Bearer".to_owned()) };
    site.settings.sources = [Source { carrier: bearer, shared: true }].into();
    site.remembers.session = Some(Arc::new(Session {
        request: vec![
            source(Carrier::Header { names: names("x-auth-token"), scheme: None }),
            source(Carrier::Cookie { names: names("cw") }),
        ],
        response: vec![
            Brought::Json(crate::dialect::Pointer(vec!["widget_auth_token".into()])),
            Brought::Header(http::HeaderName::from_static("x-new-token")),
            Brought::Cookie("cw".into()),
        ],
        ttl: Duration::from_secs(600),
        max: 100,
        max_per_identity: 10,
        cookie: false,
    }));
    site
}

/// A gateway for the tests: a plan, a memory and a clock that is set by hand.
pub struct Scene {
    pub plan: Plan,
    pub store: Store,
    pub now: UnixTime,
}

/// What a judgement came to, in a word or two.
#[derive(Debug, PartialEq)]
pub enum Told {
    Verified(String),
    /// Verified, and counted for this reason.
    Counted(String, Reason),
    Guest(Reason),
    Refused(Reason),
}

impl Scene {
    pub fn new(mode: Mode) -> Self {
        Self::of(site(mode))
    }

    pub fn of(site: Site) -> Self {
        let plan = fixture::plan(vec![site]);
        let store = volatile::open().unwrap();
        store.memory().prepare(&plan);
        Self { plan, store, now: at(NOW) }
    }

    pub fn token(&self, claims: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let head = encode(r#"{"alg":"HS256","typ":"JWT","kid":"new"}"#);
        let message = format!("{head}.{}", encode(claims));
        let key = self.plan.sites[0].keyring.get("new").unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).unwrap());
        format!("{message}.{signature}")
    }

    /// Of an identity, issued at and valid until.
    pub fn of_visitor(&self, id: &str, issued: u64, expires: u64) -> String {
        self.token(&format!(r#"{{"sub":"{id}","iat":{issued},"exp":{expires}}}"#))
    }

    pub fn asks(&self, fields: &[(&str, &str)]) -> (Told, Carried) {
        let (told, carried, _) = self.judged(fields);
        (told, carried)
    }

    /// How a request goes on, if it does.
    pub fn forwards(&self, fields: &[(&str, &str)]) -> Option<Box<Forward>> {
        let headers = headers(&[&[("host", "acme.example")], fields].concat());
        let request = view(&headers, "/");
        match judge(&self.plan, self.store.memory(), &request, self.now).verdict.outcome {
            Outcome::Forward(forward) => Some(forward),
            Outcome::Refuse(_) | Outcome::Preflight { .. } => None,
        }
    }

    pub fn judged(&self, fields: &[(&str, &str)]) -> (Told, Carried, Option<Binder>) {
        let headers = headers(&[&[("host", "acme.example")], fields].concat());
        let request = view(&headers, "/");
        let judgement = judge(&self.plan, self.store.memory(), &request, self.now);
        let binder = judgement.binder(self.store.memory(), self.now);
        let told = match &judgement.verdict.outcome {
            Outcome::Refuse(refusal) => Told::Refused(refusal.reason().unwrap()),
            Outcome::Preflight { .. } => panic!("no preflight was sent"),
            Outcome::Forward(forward) => match (&forward.visitor.standing, &forward.overlooked) {
                (Standing::Guest(reason), _) => Told::Guest(*reason),
                (Standing::Verified(identity), None) => {
                    Told::Verified(identity.id.clone().unwrap())
                }
                (Standing::Verified(identity), Some(why)) => {
                    Told::Counted(identity.id.clone().unwrap(), why.reason().unwrap())
                }
            },
        };
        (told, judgement.carried, binder)
    }

    pub fn told(&self, fields: &[(&str, &str)]) -> Told {
        self.asks(fields).0
    }

    pub fn says(&self, token: &str, session: &str) -> Told {
        let bearer = format!("Bearer {token}");
        let mut fields = Vec::new();
        if !token.is_empty() {
            fields.push(("authorization", bearer.as_str()));
        }
        if !session.is_empty() {
            fields.push(("x-auth-token", session));
        }
        self.told(&fields)
    }

    /// Proves an identity in a session, and has the backend answer 200.
    pub fn proves(&self, token: &str, session: &str, answer: &HeaderMap) {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", bearer.as_str()), ("x-auth-token", session)];
        let (told, _, binder) = self.judged(&fields);
        assert!(matches!(told, Told::Verified(_)), "{told:?}");
        self.answers(binder, 200, answer);
    }

    /// Has the backend answer with a head and no body; says which cookie is handed out.
    pub fn answers(
        &self,
        binder: Option<Binder>,
        status: u16,
        answer: &HeaderMap,
    ) -> Option<HeaderValue> {
        let (mut binder, memory) = (binder.unwrap(), self.store.memory());
        let session = self.plan.sites[0].remembers.session.clone().unwrap();
        if !binder.is_met_by(status, memory) {
            return None;
        }
        let brought = Reader::new(session).head(status, answer, memory);
        binder.head(&brought, &self.store).map(|handed| handed.cookie)
    }

    pub fn ban(&self, id: &str, until: Option<u64>) {
        let ban = Ban { reason: None, since: self.now, until: until.map(at) };
        self.store.note(Change::Ban { site: "acme".into(), id: id.into(), ban });
    }

    pub fn logout(&self, id: &str) {
        self.store.note(Change::Logout { site: "acme".into(), id: id.into(), at: self.now });
    }
}

pub fn verified(id: &str) -> Told {
    Told::Verified(id.into())
}
