//! Which header names are HTTP's own, however a careless backend spells them: nobody's
//! identity field, no place for a credential or a proof, no name to tell a backend by.
//!
//! What concerns one connection only is another question (RFC 9110 §7.6.1, asked where a
//! request is sent on): it is exact, since `Transfer_Encoding` frames nothing there, and it
//! holds what may well be a proxy's (`Proxy-Authenticate`).

use super::contract::{folds_alike, folds_into};

/// What frames a message, or says how it is to be sent: without these it would be another
/// one, or none.
pub const FRAMING: [&str; 10] = [
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What whole families of those begin with.
const FRAMING_FAMILIES: [&str; 2] = ["content-", "sec-"];

/// What requests say besides.
pub const OF_REQUESTS: [&str; 17] = [
    "accept",
    "authorization",
    "cache-control",
    "cookie",
    "date",
    "early-data",
    "forwarded",
    "from",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "warning",
];
/// What whole families of requests' headers begin with.
pub const FAMILIES: [&str; 6] = ["accept-", "access-control-", "content-", "if-", "proxy-", "sec-"];

/// Whether a request needs a header of this name for itself.
pub fn belongs_to_http(name: &str) -> bool {
    frames(name) || is_among(name, &OF_REQUESTS, &FAMILIES)
}

/// Whether a header of this name is what makes a message the one that it is.
pub fn frames(name: &str) -> bool {
    is_among(name, &FRAMING, &FRAMING_FAMILIES)
}

fn is_among(name: &str, names: &[&str], families: &[&str]) -> bool {
    names.iter().any(|own| folds_alike(own, name))
        || families.iter().any(|family| folds_into(name, family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_keeps_its_names_in_every_spelling() {
        for name in ["host", "Transfer_Encoding", "content.type", "_TE_", "Sec-WebSocket-Key"] {
            assert!(frames(name) && belongs_to_http(name), "{name}");
        }
        for name in ["User_Agent", "accept", "ACCEPT_LANGUAGE", "cookie_", "If-None-Match"] {
            assert!(!frames(name) && belongs_to_http(name), "{name}");
        }
        // Words that visitors may well be described by.
        for name in ["accepted", "content", "if", "hosts", "age", "location", "priority", "name"] {
            assert!(!belongs_to_http(name), "{name}");
        }
    }
}
