//! What a gateway is answered.
//!
//! A gateway cannot apply edits, only take fields over. So 200 carries every field that is to
//! be set, and besides:
//!
//! - of the fields that recipes carry over ([`CARRIED`]) what is left of them, also where nothing
//!   was taken: a recipe that always sets them from the answer forwards no credential that was
//!   used. Whatever is gone is simply not there.
//! - `Countersign-Uri`: the target as it is to be forwarded, without a used credential and
//!   claims that nothing proved. Traefik cannot use it; Caddy gets it only where it changes.
//! - for Envoy and HAProxy, which can remove what they are told to: the names that are to go.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::caddy;
use super::question::Question;
use crate::gate::{Edits, Refusal, forwarded};
use crate::plan::{CARRIED, Gateway};
use crate::refusal::{REQUEST_ID, Reply};

/// Where the request is to go on to.
const URI: HeaderName = HeaderName::from_static("countersign-uri");
/// What HAProxy's action removes from the request.
const REMOVE: HeaderName = HeaderName::from_static("countersign-remove");
/// What Envoy removes from the request.
const ENVOY_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");
/// The status that NGINX could not pass on.
const REFUSED: HeaderName = HeaderName::from_static("countersign-refused");

/// The answer that lets a request go on.
///
/// # Errors
/// It cannot: the gateway could not forward what is left of its target.
pub fn go_on(
    gateway: Gateway,
    question: &Question,
    edits: &Edits,
    request_id: &str,
) -> Result<Reply, Refusal> {
    let told_of_visitor =
        |(name, _): &&(HeaderName, HeaderValue)| !forwarded::tells_of_the_way(name.as_str());
    let mut headers: Vec<_> = edits.set.iter().filter(told_of_visitor).cloned().collect();
    headers.extend(left(&question.headers, edits));
    let target = match gateway {
        Gateway::Caddy => edits.target.as_deref().map(caddy::rewritable).transpose()?,
        _ => Some(edits.target.as_deref().unwrap_or(&question.target).into()),
    };
    headers.extend(target.and_then(|to| Some((URI, HeaderValue::from_str(&to).ok()?))));
    let names = match gateway {
        Gateway::Envoy => Some(ENVOY_REMOVE),
        Gateway::Haproxy => Some(REMOVE),
        Gateway::Nginx | Gateway::Traefik | Gateway::Caddy => None,
    };
    let gone = names.and_then(|name| Some((name, gone(&question.headers, edits, &headers)?)));
    headers.extend(gone);
    if !headers.iter().any(|(name, _)| *name == REQUEST_ID) {
        headers.extend(HeaderValue::from_str(request_id).ok().map(|id| (REQUEST_ID, id)));
    }
    headers.push((header::CONTENT_LENGTH, HeaderValue::from_static("0")));
    headers.push((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
    Ok(Reply { status: 200, headers, body: Bytes::new() })
}

/// What is left of fields that were taken something out of, and the [`CARRIED`] ones.
fn left(sent: &HeaderMap, edits: &Edits) -> Vec<(HeaderName, HeaderValue)> {
    let mut left = edits.append.clone();
    let changed = |name: &HeaderName| {
        edits.remove.contains(name) || edits.set.iter().any(|(set, _)| set == name)
    };
    let whole = CARRIED.map(HeaderName::from_static).into_iter().filter(|name| !changed(name));
    for name in whole {
        left.extend(sent.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
    }
    // A gateway takes over one value of a name. Two cookie fields are one (RFC 6265 §5.4), and
    // so are two credentials to Envoy, which has joined them.
    for (name, between) in [(header::AUTHORIZATION, &b","[..]), (header::COOKIE, b"; ")] {
        let (these, mut others): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(other, _)| *other == name);
        let parts: Vec<&[u8]> = these.iter().map(|(_, value)| value.as_bytes()).collect();
        if !parts.is_empty() {
            let joined = HeaderValue::from_bytes(&parts.join(between));
            others.extend(joined.ok().map(|value| (name, value)));
        }
        left = others;
    }
    left
}

/// The names of what is to go, of that which the client sent, and is not set anew.
fn gone(
    sent: &HeaderMap,
    edits: &Edits,
    answered: &[(HeaderName, HeaderValue)],
) -> Option<HeaderValue> {
    // What else is left of a field, Envoy's recipe does not take over: then all of it goes.
    let is_set = |name: &HeaderName| {
        let carried = || CARRIED.contains(&name.as_str());
        let takes_over = edits.set.iter().any(|(set, _)| set == name) || carried();
        takes_over && answered.iter().any(|(set, _)| set == name)
    };
    let mut names: Vec<&str> = edits
        .remove
        .iter()
        .filter(|name| sent.contains_key(*name) && !is_set(name))
        .map(HeaderName::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    let list = HeaderValue::try_from(names.join(",")).ok()?;
    (!list.is_empty()).then_some(list)
}

/// The answer that refuses. NGINX knows two ways to refuse, and makes 500 of every other.
pub fn refused(gateway: Gateway, mut reply: Reply) -> Reply {
    if gateway == Gateway::Nginx {
        reply.headers.push((REFUSED, HeaderValue::from(reply.status)));
        if reply.status != 401 {
            reply.status = 403;
        }
    }
    reply
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(pair).collect()
    }

    /// What is answered about a request whose edits are these, without what every answer has.
    fn answered(
        gateway: Gateway,
        sent: &[(&'static str, &'static str)],
        edits: &Edits,
    ) -> Vec<(String, String)> {
        let question =
            Question { method: Method::GET, target: "/c?a=1".into(), headers: headers(sent) };
        let reply = go_on(gateway, &question, edits, "r-1").unwrap();
        assert_eq!(reply.status, 200);
        let common = ["countersign-request-id", "content-length", "cache-control"];
        let text = |(name, value): &(HeaderName, HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_string())
        };
        let fields = reply.headers.iter().map(text);
        fields.filter(|(name, _)| !common.contains(&name.as_str())).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    fn set(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    }

    #[test]
    fn what_is_left_of_shared_fields_is_said_also_where_nothing_was_taken() {
        let sent = [("authorization", "Basic x"), ("cookie", "a=1"), ("accept", "*/*")];
        let uri = ("countersign-uri", "/c?a=1");
        let whole = pairs(&[("authorization", "Basic x"), ("cookie", "a=1"), uri]);
        assert_eq!(answered(Gateway::Nginx, &sent, &Edits::default()), whole);
        let edits = Edits {
            remove: vec![header::AUTHORIZATION, header::COOKIE],
            append: vec![set("cookie", "b=2"), set("cookie", "c=3")],
            ..Edits::default()
        };
        let left = pairs(&[("cookie", "b=2; c=3"), uri]);
        assert_eq!(answered(Gateway::Nginx, &sent, &edits), left);
    }

    #[test]
    fn a_field_that_is_set_is_said_once() {
        let edits = Edits { set: vec![set("authorization", "Bearer ours")], ..Edits::default() };
        let told = answered(Gateway::Traefik, &[("authorization", "Basic x")], &edits);
        let uri = ("countersign-uri", "/c?a=1");
        assert_eq!(told, pairs(&[("authorization", "Bearer ours"), uri]));
    }

    #[test]
    fn what_is_told_of_the_way_stays_here() {
        let edits = Edits {
            set: vec![set("x-forwarded-for", "192.0.2.1"), set("x-forwarded-user", "ada")],
            ..Edits::default()
        };
        let told = answered(Gateway::Caddy, &[], &edits);
        assert_eq!(told, pairs(&[("x-forwarded-user", "ada")]));
    }

    #[test]
    fn who_can_remove_is_told_what_was_sent_and_is_not_set_anew() {
        let edits = Edits {
            remove: vec![
                HeaderName::from_static("x-original-url"),
                HeaderName::from_static("x-identifier-hash"),
                HeaderName::from_static("countersign-id"),
                header::COOKIE,
                header::REFERER,
            ],
            set: vec![set("countersign-id", "ada")],
            append: vec![set("cookie", "b=2")],
            ..Edits::default()
        };
        let sent = [
            ("x-original-url", "/x"),
            ("x-identifier-hash", "00"),
            ("countersign-id", "admin"),
            ("cookie", "a=1; b=2"),
        ];
        for (gateway, name) in [
            (Gateway::Envoy, "x-envoy-auth-headers-to-remove"),
            (Gateway::Haproxy, "countersign-remove"),
        ] {
            let told = answered(gateway, &sent, &edits);
            let gone = told.iter().find(|(found, _)| found == name);
            assert_eq!(
                gone.map(|(_, list)| list.as_str()),
                Some("x-identifier-hash,x-original-url")
            );
        }
    }

    #[test]
    fn nginx_alone_is_told_another_status() {
        let reply = |status| Reply { status, headers: Vec::new(), body: Bytes::new() };
        for status in [400, 401, 403, 421, 429, 503] {
            for gateway in Gateway::ALL {
                let refused = refused(gateway, reply(status));
                let expected = match (gateway, status) {
                    (Gateway::Nginx, 401) => (401, Some("401")),
                    (Gateway::Nginx, 400) => (403, Some("400")),
                    (Gateway::Nginx, 403) => (403, Some("403")),
                    (Gateway::Nginx, 421) => (403, Some("421")),
                    (Gateway::Nginx, 429) => (403, Some("429")),
                    (Gateway::Nginx, _) => (403, Some("503")),
                    _ => (status, None),
                };
                assert_eq!((refused.status, refused.header(REFUSED)), expected, "{gateway:?}");
            }
        }
    }
}
