//! `/v1/sites/{site}/visitors/{id}`: what is known of somebody, and the end of that.

use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;

use super::act::{Act, Done, id_in_path};
use super::bans::BanView;
use super::connections::{ConnectionView, of_identity};
use super::reply::{empty, json, not_allowed, problem};
use crate::clock::UnixTime;
use crate::store::{Binding, Change, Mark};

/// Times are in Unix seconds, those of a ban apart.
#[derive(Debug, Serialize)]
struct Visitor {
    id: String,
    /// `null` unless it is in force.
    ban: Option<BanView>,
    /// What was issued or bound until then is refused.
    logged_out: Option<u64>,
    sessions: Vec<SessionView>,
    connections: Vec<ConnectionView>,
    /// What the website's server said of him.
    details: Box<RawValue>,
    /// Whom the last event named. `null` where no chat has begun lately, as the next two.
    account_id: Option<String>,
    agent_id: Option<String>,
    /// When his last chat began.
    chat_started: Option<u64>,
}

#[derive(Debug, Serialize)]
struct SessionView {
    dialect: String,
    /// When it was last proven.
    bound: u64,
    expires: u64,
    /// When it was ended before its time.
    ended: Option<u64>,
}

impl SessionView {
    fn of(binding: &Binding, mark: Mark) -> Self {
        let with_all_others = mark.ended.filter(|at| binding.bound <= *at);
        Self {
            dialect: binding.dialect.to_string(),
            bound: binding.bound.as_secs(),
            expires: binding.until.as_secs(),
            ended: binding.ended.or(with_all_others).map(UnixTime::as_secs),
        }
    }
}

/// Shows or erases. Somebody of whom nothing is known looks like anybody.
pub(super) async fn one(act: &Act<'_>, id: &str) -> Done {
    let id = id_in_path(id)?;
    match *act.asked.method {
        Method::GET | Method::HEAD => Ok(json(200, &visitor(act, id))),
        Method::DELETE => {
            let change =
                Change::Forget { site: act.site.name.clone(), id: id.as_str().into(), at: act.now };
            act.make("forget", &id, None, change).await?;
            // Payloads that a shared store keeps elsewhere.
            let queued = act.store.outbox().forget(&act.site.name, &id).await;
            queued.map_err(|outage| {
                let detail = format!("{outage}; events about this visitor may still be queued");
                problem(503, "store_unavailable", "Store unavailable", &detail)
            })?;
            Ok(empty(204))
        }
        _ => Err(not_allowed("GET, HEAD, DELETE")),
    }
}

fn visitor(act: &Act<'_>, id: String) -> Visitor {
    let known = act.known();
    let mark = known.as_ref().map(|known| known.mark(&id, act.now)).unwrap_or_default();
    let ban = known.as_ref().and_then(|known| known.ban(&id, act.now));
    let visit = known.as_ref().and_then(|known| known.visits().visit(&id, act.now));
    let details = known.as_ref().and_then(|known| known.visits().details(&id, act.now));
    let sessions = known.map(|known| known.sessions_of(&id)).unwrap_or_default();
    Visitor {
        ban: ban.map(|ban| BanView::of(&id, &ban)),
        logged_out: mark.logout.map(UnixTime::as_secs),
        sessions: sessions.iter().map(|(_, binding)| SessionView::of(binding, mark)).collect(),
        connections: of_identity(act, &id),
        details: object(details.as_deref().unwrap_or("{}")),
        account_id: visit.as_ref().map(|visit| visit.account_id.to_string()),
        agent_id: visit.as_ref().map(|visit| visit.agent_id.to_string()),
        chat_started: visit.as_ref().map(|visit| visit.at.as_secs()),
        id,
    }
}

/// JSON as it is remembered, in its order.
fn object(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::answer::tests::{admin, body, state};
    use crate::clock::UnixTime;
    use crate::dialect::founding::jwt;
    use crate::identity::{Identity, Proven};
    use crate::store::{Binding, Change, Purpose};

    #[tokio::test]
    async fn a_visitor_is_shown_without_tokens_and_erased_but_for_bans() {
        let state = state();
        let target = "/v1/sites/acme/visitors/ada";
        let nobody = json!({"id": "ada", "ban": null, "logged_out": null, "sessions": [],
                            "connections": [], "details": {}, "account_id": null,
                            "agent_id": null, "chat_started": null});
        assert_eq!(body(&admin(&state, "GET", target).await), nobody);
        let identity = Identity::attest(Proven { id: Some("ada".into()), ..Proven::default() });
        let at = UnixTime::from_secs;
        for (token, bound) in [("one", 1000), ("two", 2000)] {
            let binding = Binding::of(&identity, &jwt(), at(bound), at(9_000_000_000)).unwrap();
            let session = state.store().memory().digest(Purpose::Session, token);
            let site = "acme".into();
            state.store().note(Change::Bind { site, session, binding: Arc::new(binding) });
        }
        let logout = Change::Logout { site: "acme".into(), id: "ada".into(), at: at(1500) };
        state.store().write(logout).await.unwrap();
        admin(&state, "PUT", "/v1/sites/acme/bans/ada").await;
        let mut shown = body(&admin(&state, "GET", target).await);
        assert!(shown["ban"].take()["since"].is_string());
        let session = |bound: u64, ended: Value| json!({"dialect": "jwt", "bound": bound, "expires": 9_000_000_000_u64, "ended": ended});
        assert!(
            shown["sessions"][1]["ended"].take().is_u64(),
            "the ban ends what the logout did not: {shown}"
        );
        assert!(shown["sessions"][0]["ended"].take().is_u64(), "{shown}");
        let sessions = [session(1000, Value::Null), session(2000, Value::Null)];
        assert_eq!(shown["sessions"], json!(sessions));
        assert_eq!(shown["logged_out"], 1500);
        for _ in 0..2 {
            let reply = admin(&state, "DELETE", target).await;
            assert_eq!((reply.status, reply.body.len()), (204, 0));
        }
        let shown = body(&admin(&state, "GET", target).await);
        assert_eq!((&shown["sessions"], &shown["logged_out"]), (&json!([]), &json!(1500)));
        assert!(shown["ban"].is_object());
    }

    #[tokio::test]
    async fn only_ids_that_could_be_proven_are_looked_for() {
        let state = state();
        for id in ["", "%0a", "%zz"] {
            let reply = admin(&state, "DELETE", &format!("/v1/sites/acme/visitors/{id}")).await;
            assert_eq!(reply.status, 400, "{id}");
        }
        let posted = admin(&state, "POST", "/v1/sites/acme/visitors/ada").await;
        assert_eq!(posted.status, 405);
    }
}
