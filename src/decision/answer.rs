//! What a gateway is answered.
//!
//! A gateway cannot apply edits, only take fields over. So 200 carries every field that is to
//! be set, and besides:
//!
//! - of the fields in which credentials travel among others ([`SHARED`]) what is left of them,
//!   also where nothing was taken: a recipe that always sets them from the answer forwards no
//!   credential that was used. Whatever is gone is simply not there.
//! - `Countersign-Uri`: the target as it is to be forwarded, without a used credential and
//!   claims that nothing proved. Traefik cannot use it; Caddy gets it only where it changes.
//! - for Envoy and HAProxy, which can remove what they are told to: the names that are to go.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::caddy;
use super::question::Question;
use crate::gate::{Edits, Refusal, forwarded};
use crate::plan::Gateway;
use crate::refusal::{REQUEST_ID, Reply};

/// Where the request is to go on to.
const URI: HeaderName = HeaderName::from_static("countersign-uri");
/// What HAProxy's action removes from the request.
const REMOVE: HeaderName = HeaderName::from_static("countersign-remove");
/// What Envoy removes from the request.
const ENVOY_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");
/// The status that NGINX could not pass on.
const REFUSED: HeaderName = HeaderName::from_static("countersign-refused");

/// Fields in which credentials travel beside what is the backend's.
pub const SHARED: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::REFERER, header::SEC_WEBSOCKET_PROTOCOL];

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

/// What is left of fields that were taken something out of, and the [`SHARED`] ones.
fn left(sent: &HeaderMap, edits: &Edits) -> Vec<(HeaderName, HeaderValue)> {
    let mut left = edits.append.clone();
    let whole = SHARED.into_iter().filter(|name| !edits.remove.contains(name));
    for name in whole {
        left.extend(sent.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
    }
    // A gateway takes over one value of a name, and two cookie fields are one (RFC 6265 §5.4).
    let (cookies, mut others): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|(name, _)| *name == header::COOKIE);
    let crumbs: Vec<&[u8]> = cookies.iter().map(|(_, value)| value.as_bytes()).collect();
    if !crumbs.is_empty() {
        let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
        others.extend(joined.ok().map(|value| (header::COOKIE, value)));
    }
    others
}

/// The names of what is to go, of that which the client sent, and is not set anew.
fn gone(
    sent: &HeaderMap,
    edits: &Edits,
    answered: &[(HeaderName, HeaderValue)],
) -> Option<HeaderValue> {
    let is_set = |name: &HeaderName| answered.iter().any(|(set, _)| set == name);
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
