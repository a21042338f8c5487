//! `/v1/sites/{site}/bans`: who may not speak, until when, and why.

use http::Method;
use serde::{Deserialize, Serialize};

use super::act::{Act, Done, bad, id_in_path};
use super::reply::{empty, json, not_allowed, problem};
use super::times::{moment, rfc3339};
use crate::clock::UnixTime;
use crate::refusal::Reply;
use crate::store::{Ban, Change};

/// Bytes of a reason.
const MAX_REASON: usize = 1024;

/// The body of a PUT. Absent and `null` are the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    reason: Option<String>,
    until: Option<String>,
}

#[derive(Debug, Serialize)]
struct Bans {
    bans: Vec<BanView>,
}

/// Times are RFC 3339 in UTC; `until` is `null` where there is no end.
#[derive(Debug, Serialize)]
pub(super) struct BanView {
    id: String,
    reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl BanView {
    pub(super) fn of(id: &str, ban: &Ban) -> Self {
        Self {
            id: id.to_owned(),
            reason: ban.reason.clone(),
            since: rfc3339(ban.since),
            until: ban.until.and_then(rfc3339),
        }
    }
}

/// Those in force, by id.
pub(super) fn list(act: &Act<'_>) -> Reply {
    let bans = act.known().map(|known| known.bans(act.now)).unwrap_or_default();
    json(200, &Bans { bans: bans.iter().map(|(id, ban)| BanView::of(id, ban)).collect() })
}

/// One identity's.
pub(super) async fn one(act: &Act<'_>, id: &str) -> Done {
    let id = id_in_path(id)?;
    let ban = act.known().and_then(|known| known.ban(&id, act.now));
    match (act.asked.method, ban) {
        (&Method::PUT, ban) => put(act, &id, ban).await,
        (&(Method::GET | Method::HEAD), Some(ban)) => Ok(json(200, &BanView::of(&id, &ban))),
        (&Method::DELETE, Some(_)) => {
            let change =
                Change::Unban { site: act.site.name.clone(), id: id.as_str().into(), at: act.now };
            act.make("unban", &id, None, change).await?;
            Ok(empty(204))
        }
        (&(Method::GET | Method::HEAD | Method::DELETE), None) => {
            Err(problem(404, "not_found", "Not found", "this identity is not banned"))
        }
        _ => Err(not_allowed("GET, HEAD, PUT, DELETE")),
    }
}

async fn put(act: &Act<'_>, id: &str, before: Option<Ban>) -> Done {
    let wanted: Wanted = act.body()?;
    let reason = wanted.reason.filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON) {
        return Err(bad("`reason` is longer than 1024 bytes"));
    }
    let until = wanted.until.map(|until| end(&until, act.now)).transpose()?;
    let status = if before.is_some() { 200 } else { 201 };
    let since = before.map_or(act.now, |before| before.since);
    let ban = Ban { reason, since, until };
    let view = BanView::of(id, &ban);
    let why = ban.reason.clone();
    let change = Change::Ban { site: act.site.name.clone(), id: id.into(), ban };
    act.make("ban", id, why.as_deref(), change).await?;
    Ok(json(status, &view))
}

fn end(until: &str, now: UnixTime) -> Result<UnixTime, Reply> {
    let until = moment(until)
        .ok_or_else(|| bad("`until` is no RFC 3339 time, such as 2026-12-24T00:00:00Z"))?;
    if until <= now { Err(bad("`until` has passed")) } else { Ok(until) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::answer::tests::{Away, admin, admin_says, body, state, state_with};
    use crate::clock::UnixTime;
    use crate::telemetry::log::Format;
    use crate::telemetry::log::tests::lines_of;

    const ADA: &str = "/v1/sites/acme/bans/ada";

    #[tokio::test]
    async fn a_ban_is_made_shown_altered_listed_and_lifted() {
        let state = state();
        assert_eq!(admin(&state, "GET", ADA).await.status, 404);
        let wanted = r#"{"reason": "spam", "until": "2999-01-01T01:00:00+01:00"}"#;
        let made = admin_says(&state, "PUT", ADA, wanted).await;
        let view = body(&made);
        assert_eq!(made.status, 201);
        let since: jiff::Timestamp = view["since"].as_str().unwrap().parse().unwrap();
        assert!(jiff::Timestamp::now().duration_since(since).as_secs() < 60);
        let (reason, until) = (&view["reason"], &view["until"]);
        assert_eq!((reason, until), (&json!("spam"), &json!("2999-01-01T00:00:00Z")));
        assert_eq!(body(&admin(&state, "GET", ADA).await), view);
        // Without a body: for ever. The ban is the same one, so it began when it began.
        let altered = admin(&state, "PUT", ADA).await;
        assert_eq!(altered.status, 200);
        let forever = json!({"id": "ada", "reason": null, "since": view["since"], "until": null});
        assert_eq!(body(&altered), forever);
        admin(&state, "PUT", "/v1/sites/acme/bans/a%2Fb").await;
        let listed = body(&admin(&state, "GET", "/v1/sites/acme/bans").await);
        let ids: Vec<_> = listed["bans"].as_array().unwrap().iter().map(|b| &b["id"]).collect();
        assert_eq!(ids, [&json!("a/b"), &json!("ada")]);
        // An id is unique only within its site.
        let other = body(&admin(&state, "GET", "/v1/sites/uchat/bans").await);
        assert_eq!(other, json!({"bans": []}));
        assert_eq!(admin(&state, "DELETE", ADA).await.status, 204);
        assert_eq!(admin(&state, "DELETE", ADA).await.status, 404);
        let known = state.store().memory().site("acme").unwrap();
        assert!(!known.mark("ada", UnixTime::now()).banned);
        assert!(known.mark("a/b", UnixTime::now()).banned);
    }

    #[tokio::test]
    async fn what_is_not_understood_changes_nothing() {
        let state = state();
        let long = format!(r#"{{"reason": "{}"}}"#, "x".repeat(1025));
        for wrong in [
            r#"{"until": "2020-01-01T00:00:00Z"}"#,
            r#"{"until": "tomorrow"}"#,
            r#"{"until": 4102444800}"#,
            r#"{"until": "2999-01-01"}"#,
            r#"{"ends": "2999-01-01T00:00:00Z"}"#,
            r#"{"reason": 7}"#,
            r#"{"reason": "a", "reason": "b"}"#,
            r#"{"reason": "a""#,
            r#"{} {}"#,
            "reason=spam",
            "[]",
            r#"["spam", null]"#,
            &long,
        ] {
            let reply = admin_says(&state, "PUT", ADA, wrong).await;
            assert_eq!(
                (reply.status, &body(&reply)["code"]),
                (400, &json!("bad_request")),
                "{wrong}"
            );
        }
        for (method, target, status) in [
            ("PUT", "/v1/sites/acme/bans/", 400),
            ("PUT", "/v1/sites/acme/bans/%ff", 400),
            ("PUT", "/v1/sites/nobody/bans/ada", 404),
            ("POST", "/v1/sites/acme/bans/ada", 405),
            ("PUT", "/v1/sites/acme/bans", 405),
            ("PUT", "/v1/sites/acme/bans/a/b", 404),
        ] {
            assert_eq!(admin(&state, method, target).await.status, status, "{target}");
        }
        let mut changes = 0;
        state.store().memory().each_change(|_| changes += 1);
        assert_eq!(changes, 0);
    }

    #[tokio::test]
    async fn a_ban_that_cannot_be_kept_is_503_and_none() {
        let state = state_with(Away::store(true));
        let reply = admin(&state, "PUT", ADA).await;
        let told = body(&reply);
        assert_eq!((reply.status, &told["code"]), (503, &json!("store_unavailable")));
        assert_eq!(told["detail"], "the disk is full; nothing has changed");
        assert_eq!(admin(&state, "GET", ADA).await.status, 404);
    }

    #[test]
    fn every_change_leaves_an_audit_line_and_nothing_else_does() {
        let run = |state: std::sync::Arc<_>, method: &'static str, said: &'static str| {
            lines_of(Format::Json, "info", || {
                let done = admin_says(&state, method, ADA, said);
                assert!(futures_util::future::FutureExt::now_or_never(done).is_some());
            })
        };
        let (state, away) = (state(), state_with(Away::store(true)));
        // `tracing` loses the first line of a place that another test reaches for the first
        // time at the same moment.
        for state in [&state, &away] {
            run(state.clone(), "PUT", "");
        }
        let lines = run(state.clone(), "PUT", r#"{"reason": "spam"}"#);
        let line: Value = serde_json::from_str(&lines.concat()).unwrap();
        for (field, value) in [
            ("target", "audit"),
            ("by", "admin"),
            ("peer", "unix"),
            ("action", "ban"),
            ("site", "acme"),
            ("identity", "ada"),
            ("why", "spam"),
        ] {
            assert_eq!(line[field], value, "{field}");
        }
        for (method, said) in [("GET", ""), ("PUT", "[]"), ("POST", "")] {
            assert_eq!(run(state.clone(), method, said), Vec::<String>::new());
        }
        assert!(run(state, "DELETE", "").concat().contains("\"action\":\"unban\""));
        let failed = run(away, "PUT", "").concat();
        assert!(
            failed.contains("\"problem\":\"the disk is full\"") && failed.contains("not changed")
        );
    }
}
