//! What the running instance says of itself, at its admin or health listener.

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use serde_json::Value;

use super::ask::{Answer, Place, Unanswered};
use super::report::Check;
use super::visitor::plain;
use crate::plan::{Admin, Plan, Site};

/// Whether it is ready, and what it complains of.
pub async fn ready(plan: &Plan) -> Vec<Check> {
    let process = &plan.process;
    let admin = process.admin.as_ref().map(|admin| &admin.address);
    let Some(address) = process.health.as_ref().or(admin) else {
        return vec![Check::unknown("ready", "there is neither a health nor an admin listener")];
    };
    let place = Place::of_listener(address);
    let answer = match get(&place, "/readyz?verbose", None).await {
        Ok(answer) => answer,
        Err(why) => return vec![unseen("ready", &why)],
    };
    let Some(told) = answer.json() else {
        return vec![Check::finding(
            "ready",
            format!("what listens at {} is not Countersign", place.shown),
        )];
    };
    let troubles = told.get("checks").and_then(Value::as_object).into_iter().flatten();
    let troubles = troubles.filter(|(_, check)| check.get("ok") == Some(&Value::Bool(false)));
    let troubles: Vec<String> = troubles
        .map(|(name, check)| {
            let detail = check.get("detail").and_then(Value::as_str).unwrap_or("no detail");
            format!("{name}: {detail}")
        })
        .collect();
    let troubles = troubles.join("; ");
    match told.get("status").and_then(Value::as_str) {
        Some("ready") => vec![Check::ok("ready", "the instance is ready")],
        Some("degraded") => vec![Check::warning("ready", format!("degraded: {troubles}"))],
        _ => vec![Check::finding("ready", format!("not ready: {troubles}"))],
    }
}

/// Whether it has the keys that the file names: if not, it has not taken the file in.
pub async fn in_force(plan: &Plan, site: &Site) -> Vec<Check> {
    let Some(Admin { address, token }) = &plan.process.admin else {
        return vec![Check::unknown("in force", "`admin: off`: which keys it has cannot be asked")];
    };
    let Some(token) = token else {
        let hint = "give `admin` a token to have the running keys compared with the file's";
        let detail = "`admin` has no token: which keys it has cannot be asked";
        return vec![Check::unknown("in force", detail).hint(hint)];
    };
    let place = Place::of_listener(address);
    // The token is for nobody else who may listen there.
    match get(&place, "/readyz", None).await {
        Ok(answer) if answer.json().is_some_and(|told| told.get("status").is_some()) => {}
        Ok(_) => {
            let detail = format!("what listens at {} is not Countersign", place.shown);
            return vec![Check::unknown("in force", detail)];
        }
        Err(why) => return vec![unseen("in force", &why)],
    }
    let bearer = [b"Bearer ", token.expose()].concat();
    let path = format!("/v1/sites/{}/keys", site.name);
    let answer = match get(&place, &path, HeaderValue::try_from(bearer).ok()).await {
        Ok(answer) => answer,
        Err(why) => return vec![unseen("in force", &why)],
    };
    let reload = "the last reload failed, or it runs with another file: see its log, and \
                  config_last_reload_successful";
    let keys = match (answer.status.as_u16(), answer.json()) {
        (200, Some(told)) => {
            told.get("keys").and_then(Value::as_array).cloned().unwrap_or_default()
        }
        (401 | 403, _) => {
            let detail = "the instance refuses the admin token of this file";
            return vec![Check::finding("in force", detail).hint(reload)];
        }
        (404, _) => {
            let detail = format!("the instance has no site {}", site.name);
            return vec![Check::finding("in force", detail).hint(reload)];
        }
        (status, _) => {
            return vec![Check::unknown("in force", format!("{} answered {status}", place.shown))];
        }
    };
    let running: Vec<&str> =
        keys.iter().filter_map(|key| key.get("id").and_then(Value::as_str)).collect();
    let written: Vec<&str> = site.keyring.keys().iter().map(|key| &**key.id()).collect();
    let missing: Vec<&str> = written.iter().filter(|id| !running.contains(id)).copied().collect();
    // Keys from a URL come beside those of the file.
    let stale: Vec<&str> = match site.fetches_keys() || !site.accepts.is_empty() {
        true => Vec::new(),
        false => running.iter().filter(|id| !written.contains(id)).copied().collect(),
    };
    if missing.is_empty() && stale.is_empty() {
        return vec![Check::ok(
            "in force",
            format!("it runs with the file's keys: {}", written.join(", ")),
        )];
    }
    let mut detail = "the instance runs with other keys than the file's".to_owned();
    for (what, ids) in [("lacks", missing), ("still has", stale)] {
        if !ids.is_empty() {
            detail.push_str(&format!("; it {what} {}", ids.join(", ")));
        }
    }
    vec![Check::finding("in force", detail).hint(reload)]
}

async fn get(
    place: &Place,
    path: &str,
    authorization: Option<HeaderValue>,
) -> Result<Answer, String> {
    let mut request: Request<_> = plain(path)?;
    request.headers_mut().extend(authorization.map(|value| (AUTHORIZATION, value)));
    // The admin listener answers no name but loopback's and its own.
    let host = match &place.endpoint {
        crate::upstream::Endpoint::Unix(_) => "localhost".to_owned(),
        endpoint => endpoint.to_string(),
    };
    place.ask(request, &host).await.map_err(|error: Unanswered| error.to_string())
}

/// The admin listener is often loopback's, and this may be another machine.
fn unseen(name: &'static str, why: &str) -> Check {
    Check::unknown(name, why).hint("run this beside the instance to have that looked at")
}
