//! An act of an operator on one site's visitors: what it is about, what it changes, and the
//! line that says so afterwards.
//!
//! Audit lines name the identity in full, whatever `log.identities` says: who was banned and
//! by whom must be answerable later, and whoever may read them may ask this listener as well.
//! They never hold a token; nothing that is kept of a credential is one.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::answer::Asked;
use super::reply::problem;
use crate::clock::UnixTime;
use crate::live::Registry;
use crate::plan::Site;
use crate::refusal::Reply;
use crate::store::{Change, Outage, SiteMemory, Store};
use crate::webhook::Webhooks;

/// Bytes of an identity.
const MAX_ID: usize = 256;

/// A request about one site's visitors, by somebody who may.
pub(super) struct Act<'a> {
    pub(super) store: &'a Store,
    pub(super) live: &'a Registry,
    pub(super) webhooks: &'a Arc<Webhooks>,
    pub(super) site: &'a Site,
    pub(super) asked: &'a Asked<'a>,
    pub(super) now: UnixTime,
}

/// What the audit line says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) action: &'static str,
    pub(super) identity: Option<&'a str>,
    pub(super) connection: Option<u64>,
    /// A subscription's name.
    pub(super) webhook: Option<&'a str>,
    /// A reason, or what of the subscription it is about.
    pub(super) why: Option<&'a str>,
    /// Why nothing has changed.
    pub(super) problem: Option<&'a str>,
}

/// What an act comes to: the answer, or the refusal of it.
pub(super) type Done = Result<Reply, Reply>;

impl Act<'_> {
    /// What is remembered of the site's visitors, if anything was ever.
    pub(super) fn known(&self) -> Option<Arc<SiteMemory>> {
        self.store.memory().site(&self.site.name)
    }

    /// The body, if it is what it should be; an empty one is an empty object.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        let body = if self.asked.body.is_empty() { b"{}" } else { self.asked.body };
        // An array would be read as the members in their order.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(bad("the body is no JSON object"));
        }
        serde_json::from_slice(body).map_err(|error| bad(&format!("the body: {error}")))
    }

    /// Makes a change that lasts, and says in the audit log who made it and why.
    pub(super) async fn make(
        &self,
        action: &'static str,
        id: &str,
        why: Option<&str>,
        change: Change,
    ) -> Result<(), Reply> {
        let written = self.store.write(change).await;
        let failure = written.as_ref().err().map(ToString::to_string);
        let told = Told { action, identity: Some(id), why, ..Told::default() };
        self.tell(&Told { problem: failure.as_deref(), ..told });
        written.map_err(|outage| away(&outage))
    }

    /// The audit line. The one who holds the admin token is nobody in particular: the address
    /// says a little more.
    pub(super) fn tell(&self, told: &Told<'_>) {
        let Told { action, identity, connection, webhook, why, problem } = *told;
        let by = "admin";
        let peer = self.asked.peer.as_deref().unwrap_or("unix");
        let site = &*self.site.name;
        match problem {
            None => tracing::info!(
                target: "audit", by, peer, action, site, identity, connection, webhook, why, "changed"
            ),
            Some(problem) => tracing::error!(
                target: "audit", by, peer, action, site, identity, connection, webhook, why,
                problem, "not changed"
            ),
        }
    }
}

/// An identity as a part of a path: percent-encoded UTF-8.
pub(super) fn id_in_path(part: &str) -> Result<String, Reply> {
    if !is_percent_encoded(part) {
        return Err(bad("the id in the path is not percent-encoded"));
    }
    let decoded = percent_encoding::percent_decode_str(part).decode_utf8();
    let id = decoded.map_err(|_| bad("the id in the path is not UTF-8"))?;
    checked_id(&id).map(|()| id.into_owned())
}

/// Whether it can be one (CONTRACT 2): what no credential can prove needs no ban.
pub(super) fn checked_id(id: &str) -> Result<(), Reply> {
    if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
        return Err(bad("an id has 1 to 256 bytes and no control characters"));
    }
    Ok(())
}

/// A request that makes no sense; nothing has changed.
pub(super) fn bad(detail: &str) -> Reply {
    problem(400, "bad_request", "Bad request", detail)
}

/// The store cannot be reached, or cannot be written.
pub(super) fn away(outage: &Outage) -> Reply {
    let detail = format!("{outage}; nothing has changed");
    problem(503, "store_unavailable", "Store unavailable", &detail)
}

/// Printable ASCII whose `%` each begin two hexadecimal digits.
fn is_percent_encoded(part: &str) -> bool {
    let whole = |rest: &str| {
        rest.as_bytes().first_chunk::<2>().is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    part.bytes().all(|byte| byte.is_ascii_graphic()) && part.split('%').skip(1).all(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_in_a_path_is_percent_encoded_and_could_be_proven() {
        for (part, id) in [
            ("u-1001", Some("u-1001")),
            ("J%C3%BCrgen", Some("Jürgen")),
            ("a%2Fb", Some("a/b")),
            ("a+b@example.com", Some("a+b@example.com")),
            ("100%25", Some("100%")),
            ("", None),
            ("%zz", None),
            ("%C", None),
            ("100%", None),
            ("%ff", None),
            ("%0a", None),
            ("%C2%85", None),
            ("Jürgen", None),
        ] {
            assert_eq!(id_in_path(part).ok().as_deref(), id, "{part}");
        }
        assert!(id_in_path(&"a".repeat(256)).is_ok() && id_in_path(&"a".repeat(257)).is_err());
    }
}
