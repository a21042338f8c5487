//! `/v1/sites/{site}/logouts`: out on every device. What cannot be taken back is said.

use http::Method;
use serde::{Deserialize, Serialize};

use super::act::{Act, Done, checked_id};
use super::reply::{json, not_allowed};
use crate::store::Change;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    id: String,
}

/// What is refused from now on.
#[derive(Debug, Serialize)]
#[serde(tag = "revoked", rename_all = "lowercase")]
enum Revoked {
    /// Every credential that says that it was issued until `time`, in Unix seconds.
    Before { time: u64 },
    /// Sessions alone, and the very credentials that were seen for `logout_hold`: a hash that
    /// was made before looks like one made after.
    Sessions,
}

/// Logs an identity out.
pub(super) async fn add(act: &Act<'_>) -> Done {
    if *act.asked.method != Method::POST {
        return Err(not_allowed("POST"));
    }
    let Wanted { id } = act.body()?;
    checked_id(&id)?;
    let change =
        Change::Logout { site: act.site.name.clone(), id: id.as_str().into(), at: act.now };
    act.make("logout", &id, None, change).await?;
    let dates = act.site.proofs(&act.site.settings).any(|proof| proof.dialect.scheme() == "jwt");
    let time = act.now.as_secs();
    Ok(json(200, &if dates { Revoked::Before { time } } else { Revoked::Sessions }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::answer::tests::{admin, admin_says, body, state};
    use crate::clock::UnixTime;
    use crate::store::Purpose;

    #[tokio::test]
    async fn a_logout_says_what_it_could_take_back() {
        let state = state();
        let before = UnixTime::now().as_secs();
        let reply = admin_says(&state, "POST", "/v1/sites/acme/logouts", r#"{"id": "ada"}"#).await;
        let (status, told) = (reply.status, body(&reply));
        assert_eq!((status, &told["revoked"]), (200, &json!("before")));
        let time = told["time"].as_u64().unwrap();
        assert!((before..before + 60).contains(&time), "{time}");
        let mark = state.store().memory().site("acme").unwrap().mark("ada", UnixTime::now());
        assert_eq!(mark.logout.map(UnixTime::as_secs), Some(time));
        // Hashes do not say when they were made.
        let reply = admin_says(&state, "POST", "/v1/sites/uchat/logouts", r#"{"id": "1"}"#).await;
        assert_eq!((reply.status, body(&reply)), (200, json!({"revoked": "sessions"})));
    }

    #[tokio::test]
    async fn what_was_seen_without_a_date_is_held() {
        let state = state();
        let memory = state.store().memory();
        memory.prepare(&state.current.load().plan);
        let credential = memory.digest(Purpose::Credential, "a token without iat");
        let ban = |id: &str| format!("/v1/sites/acme/bans/{id}");
        admin(&state, "PUT", &ban("somebody")).await;
        memory.site("acme").unwrap().saw("ada", credential, UnixTime::now());
        admin_says(&state, "POST", "/v1/sites/acme/logouts", r#"{"id": "ada"}"#).await;
        assert!(memory.site("acme").unwrap().is_held(&credential, UnixTime::now()));
    }

    #[tokio::test]
    async fn a_body_that_is_not_understood_logs_nobody_out() {
        let state = state();
        for body in [
            "",
            "{}",
            "[]",
            r#"["ada"]"#,
            "ada",
            r#"{"id": 7}"#,
            r#"{"id": ""}"#,
            r#"{"id": "a\nb"}"#,
        ] {
            let reply = admin_says(&state, "POST", "/v1/sites/acme/logouts", body).await;
            assert_eq!(reply.status, 400, "{body}");
        }
        let more = r#"{"id": "ada", "until": "2999-01-01T00:00:00Z"}"#;
        assert_eq!(admin_says(&state, "POST", "/v1/sites/acme/logouts", more).await.status, 400);
        assert_eq!(admin(&state, "GET", "/v1/sites/acme/logouts").await.status, 405);
        let mut changes = 0;
        state.store().memory().each_change(|_| changes += 1);
        assert_eq!(changes, 0);
    }
}
