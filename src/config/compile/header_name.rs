//! Which header names may be a backend's own: `headers`.
//!
//! Whatever a site tells its backend by is removed from every request that comes in, so a
//! name that anything else needs cannot be one, nor a prefix that covers such a name.

use http::HeaderName;

use crate::gate::contract::{folded, is_reserved};
use crate::gate::of_http::{FAMILIES, FRAMING, OF_REQUESTS, belongs_to_http};

/// Names of answers, and of what surrounds HTTP, folded. A visitor may claim his `location`;
/// a backend is not told by that name.
const AROUND_HTTP: [&str; 27] = [
    "age",
    "allow",
    "alt-svc",
    "baggage",
    "clear-site-data",
    "cross-origin-",
    "dnt",
    "etag",
    "expires",
    "last-event-id",
    "last-modified",
    "link",
    "location",
    "permissions-policy",
    "priority",
    "referrer-policy",
    "retry-after",
    "save-data",
    "server",
    "set-cookie",
    "strict-transport-security",
    "traceparent",
    "tracestate",
    "vary",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
];
/// What proxies say of a request's way, which Countersign itself writes or removes.
const OF_PROXIES: [&str; 9] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-original-",
    "x-real-ip",
    "x-rewrite-url",
];
/// What a name may be, but a prefix should not cover.
const COMMON: [&str; 6] = [
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-request-id",
    "x-requested-with",
    "x-xsrf-token",
];

/// What is wrong with a text: in words, what was expected, and a hint.
pub struct Wrong(pub String, pub &'static str, pub &'static str);

/// Whether a backend can be told something by this name.
pub fn check_name(name: &str) -> Result<(), Wrong> {
    let expected = "a name of the backend's own, such as X-User";
    let is_name = HeaderName::from_bytes(name.as_bytes()).is_ok() && !folded(name).is_empty();
    if !is_name {
        return Err(Wrong(format!("`{name}` cannot be a header's name"), expected, ""));
    }
    if is_reserved(name) {
        let what = format!("`{name}` is not yours to name: Countersign-… is Countersign's own");
        let hint = "`prefix` renames those headers, `only` chooses among them";
        return Err(Wrong(what, expected, hint));
    }
    if is_needed(&folded(name)) {
        let what = format!("`{name}` is not yours to set: a request needs it for itself");
        let hint = "it would be removed from every request that comes in";
        return Err(Wrong(what, expected, hint));
    }
    Ok(())
}

/// Whether a site's headers can begin so.
pub fn check_prefix(prefix: &str) -> Result<(), Wrong> {
    let expected = "a word of your own with a hyphen behind it, such as X-Chat-";
    let word = folded(prefix);
    if HeaderName::from_bytes(prefix.as_bytes()).is_err() || word.is_empty() || prefix.len() > 64 {
        return Err(Wrong(format!("`{prefix}` cannot begin a header's name"), expected, ""));
    }
    if !prefix.ends_with(['-', '_']) {
        let what = format!("`{prefix}` and the word behind it would run into each other");
        return Err(Wrong(what, expected, ""));
    }
    if is_reserved(prefix) {
        let what = format!("`{prefix}` is Countersign's own");
        return Err(Wrong(what, expected, "names under Countersign- stay reserved in any case"));
    }
    if let Some(covered) = covered(&word) {
        let what = format!("`{prefix}` would take `{covered}` and all of its kind");
        let hint = "whatever begins with the prefix is removed from requests and answers";
        return Err(Wrong(what, expected, hint));
    }
    Ok(())
}

fn is_needed(folded: &str) -> bool {
    belongs_to_http(folded) || others().any(|name| *name == folded || is_of(name, folded))
}

/// What is needed besides what requests themselves have.
fn others() -> impl Iterator<Item = &'static &'static str> {
    OF_PROXIES.iter().chain(&AROUND_HTTP)
}

/// Whether a name begins as a family does.
fn is_of(family: &str, name: &str) -> bool {
    family.ends_with('-') && name.starts_with(family)
}

/// A name that is needed and begins with this word.
fn covered(word: &str) -> Option<&'static str> {
    let covers = |name: &&&str| {
        name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let within = format!("{word}-");
    let all = || others().chain(&FRAMING).chain(&OF_REQUESTS).chain(&FAMILIES);
    let inside = |family: &&&str| is_of(family, &within);
    all().chain(&COMMON).find(covers).or_else(|| all().find(inside)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_needs_is_nobodys_to_set_in_any_spelling() {
        for name in [
            "Host",
            "host",
            "Connection",
            "Cookie",
            "COOKIE",
            "Authorization",
            "Proxy-Authorization",
            "Content-Type",
            "Content_Length",
            "Transfer-Encoding",
            "transfer.encoding",
            "Upgrade",
            "TE",
            "Trailer",
            "Sec-WebSocket-Key",
            "Sec-Anything",
            "Origin",
            "Forwarded",
            "X-Forwarded-For",
            "X_Forwarded_Proto",
            "X-Forwarded-Host",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "If-None-Match",
            "Accept-Encoding",
            "Location",
            "Cross_Origin_Opener_Policy",
            "Countersign-Id",
            "countersign_anything",
            "",
            "-",
            "X User",
            "X-User:",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in [
            "X-User",
            "Remote-User",
            "REMOTE_USER",
            "SM_USER",
            "X-Forwarded-User",
            "X-Auth-Request-User",
            "X-Request-Id",
            "X-Countersign-Id",
            "Hosts",
            "Content",
            "If",
        ] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_prefix_takes_nothing_that_others_need() {
        for prefix in [
            "X-",
            "x_",
            "Sec-",
            "Sec-Chat-",
            "Content-",
            "Content-Chat-",
            "Accept-",
            "Host-",
            "X-Forwarded-",
            "X-Original-Chat-",
            "X-Real-",
            "X-Request-",
            "X-CSRF-",
            "Set-",
            "WWW-",
            "Transfer-",
            "Access-Control-",
            "Access-",
            "Countersign-",
            "Countersign-Chat-",
            "X-Chat",
            "X Chat-",
            "-",
            "",
        ] {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
        for prefix in ["X-Chat-", "Chat-", "X_Chat_", "Acme-Identity-", "Remote-", "X-Original2-"] {
            assert!(check_prefix(prefix).is_ok(), "{prefix}");
        }
    }
}
