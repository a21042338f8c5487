//! `/v1/sites/{site}/connections`: who is connected now, and the end of that.

use http::Method;
use serde::Serialize;

use super::act::{Act, Done, Told};
use super::reply::{empty, json, not_allowed, problem};
use crate::clock::UnixTime;
use crate::live::{End, Listed, Selector};

#[derive(Debug, Serialize)]
struct Connections {
    connections: Vec<ConnectionView>,
}

/// Times are in Unix seconds. What a guest has none of is `null`.
#[derive(Debug, Serialize)]
pub(super) struct ConnectionView {
    /// Counts up over the whole process: a greater number is a younger connection.
    number: u64,
    /// `websocket`, or `answer` for one that streams.
    kind: &'static str,
    /// `Countersign-Id`.
    id: Option<String>,
    dialect: Option<String>,
    /// `id` of the key that proved it.
    key: Option<String>,
    /// What it was let in by.
    mode: &'static str,
    client: Option<String>,
    /// Without its query.
    path: String,
    since: u64,
    /// When its proof ends, if it does.
    expires: Option<u64>,
}

impl ConnectionView {
    fn of(listed: &Listed) -> Self {
        let facts = &listed.entry.facts;
        let trust = facts.trust();
        Self {
            number: listed.entry.number,
            kind: facts.kind.name(),
            id: facts.identity().map(ToString::to_string),
            dialect: trust.map(|trust| trust.dialect.to_string()),
            key: trust.map(|trust| trust.key.to_string()),
            mode: facts.mode.name(),
            client: facts.client.map(|client| client.to_string()),
            path: facts.path.to_string(),
            since: listed.entry.since.as_secs(),
            expires: listed.expires.map(UnixTime::as_secs),
        }
    }
}

/// Those of an identity, the oldest first.
pub(super) fn of_identity(act: &Act<'_>, id: &str) -> Vec<ConnectionView> {
    let listed = act.live.list(&act.site.name);
    let theirs = |listed: &&Listed| listed.entry.facts.identity().is_some_and(|own| **own == *id);
    listed.iter().filter(theirs).map(ConnectionView::of).collect()
}

/// Every one: shown, or closed.
pub(super) fn all(act: &Act<'_>) -> Done {
    let listed = act.live.list(&act.site.name);
    match *act.asked.method {
        Method::GET | Method::HEAD => {
            let connections = listed.iter().map(ConnectionView::of).collect();
            Ok(json(200, &Connections { connections }))
        }
        Method::DELETE => {
            for connection in &listed {
                close(act, connection);
            }
            Ok(empty(204))
        }
        _ => Err(not_allowed("GET, HEAD, DELETE")),
    }
}

/// The one with a number: shown, or closed.
pub(super) fn one(act: &Act<'_>, number: &str) -> Done {
    let listed = act.live.list(&act.site.name);
    let meant = listed.iter().find(|listed| listed.entry.number.to_string() == number);
    let there = || {
        meant.ok_or_else(|| {
            problem(404, "not_found", "Not found", "there is no open connection of this number")
        })
    };
    match *act.asked.method {
        Method::GET | Method::HEAD => Ok(json(200, &ConnectionView::of(there()?))),
        Method::DELETE => {
            close(act, there()?);
            Ok(empty(204))
        }
        _ => Err(not_allowed("GET, HEAD, DELETE")),
    }
}

fn close(act: &Act<'_>, connection: &Listed) {
    let number = connection.entry.number;
    // It may have ended by itself since it was listed.
    if act.live.end(&act.site.name, Selector::Number(number), End::BY_OPERATOR) > 0 {
        let id = connection.entry.facts.identity().map(|id| &**id);
        let connection = Some(number);
        act.tell(&Told { action: "close", identity: id, connection, ..Told::default() });
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use super::super::answer::tests::{admin, body, state};
    use crate::clock::UnixTime;
    use crate::dialect::Reason;
    use crate::gate::Mode;
    use crate::live::{End, Facts, Kind, Trust, Who};

    fn guest() -> Facts {
        Facts {
            kind: Kind::WebSocket,
            site: "acme".into(),
            judged: UnixTime::from_secs(1000),
            generation: 1,
            mode: Mode::Prefer,
            who: Who::Guest(Reason::Missing),
            sessions: Box::default(),
            credential: None,
            method: Method::GET,
            path: "/ws".into(),
            client: Some([192, 0, 2, 7].into()),
        }
    }

    fn ada() -> Facts {
        let trust = Trust {
            id: Some("ada".into()),
            dialect: "jwt".into(),
            key: "new".into(),
            print: 1,
            issued_at: None,
            expires: Some(UnixTime::from_secs(5000)),
        };
        Facts { who: Who::Verified(trust), ..guest() }
    }

    #[tokio::test]
    async fn connections_are_listed_and_closed_by_their_number_or_all_at_once() {
        let state = state();
        let now = UnixTime::from_secs(1000);
        let open = |facts| state.live.open(facts, 0, now);
        let handles = [open(ada()), open(guest()), open(Facts { site: "uchat".into(), ..ada() })];
        let ended = || handles.each_ref().map(|handle| handle.end());
        let listed = body(&admin(&state, "GET", "/v1/sites/acme/connections").await);
        let [verified, unproven] = listed["connections"].as_array().unwrap().as_slice() else {
            panic!("{listed}");
        };
        assert_eq!(
            *verified,
            json!({"number": 1, "kind": "websocket", "id": "ada", "dialect": "jwt", "key": "new",
                   "mode": "prefer", "client": "192.0.2.7", "path": "/ws", "since": 1000,
                   "expires": 5000})
        );
        for none in ["id", "dialect", "key", "expires"] {
            assert_eq!(unproven[none], Value::Null, "{none}");
        }
        let one = body(&admin(&state, "GET", "/v1/sites/acme/connections/1").await);
        assert_eq!(one, *verified);
        let visitor = body(&admin(&state, "GET", "/v1/sites/acme/visitors/ada").await);
        assert_eq!(visitor["connections"], json!([verified]));
        // Number 3 is another site's, and numbers are written one way.
        for number in ["3", "01", "+1", "", "ada"] {
            let target = format!("/v1/sites/acme/connections/{number}");
            assert_eq!(admin(&state, "DELETE", &target).await.status, 404, "{number}");
        }
        assert_eq!(ended(), [None; 3]);
        let closed = admin(&state, "DELETE", "/v1/sites/acme/connections/1").await;
        assert_eq!((closed.status, ended()), (204, [Some(End::BY_OPERATOR), None, None]));
        let again = admin(&state, "DELETE", "/v1/sites/acme/connections/1").await;
        assert_eq!(again.status, 404);
        assert_eq!(admin(&state, "DELETE", "/v1/sites/acme/connections").await.status, 204);
        let by_operator = Some(End::BY_OPERATOR);
        assert_eq!(ended(), [by_operator, by_operator, None]);
        assert_eq!(admin(&state, "POST", "/v1/sites/acme/connections").await.status, 405);
    }
}
