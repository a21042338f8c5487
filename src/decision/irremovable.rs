//! What a client sent, is not to reach the backend, and this gateway would forward all the same.
//!
//! A recipe removes what it names: `Countersign-*`, what tells of a request's way, and what it
//! carries over from the answer ([`CARRIED`]). It knows nothing of names that a configuration
//! adds (`headers:`, `translate:`, the claims of a dialect of one's own), nor of their other
//! spellings. A request that has such a field is refused: hardly anybody sends one who is not up
//! to something. HAProxy's action removes what it is told to; Envoy does, unless the same name is
//! set anew, for it removes last.
//!
//! A credential in a field of its own is no reason to refuse, since that is where it belongs:
//! `check` says that the recipe has to name the field.

use http::{HeaderMap, HeaderName, header};

use crate::gate::contract::{self, Reserved};
use crate::gate::{Edits, forwarded};
use crate::plan::{CARRIED, Gateway, Site};

/// What is removed so that the backend does as it should, not because it must not know.
const NO_MATTER: [HeaderName; 4] = [
    header::ACCEPT_ENCODING,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("tracestate"),
];

/// A field by which backends are told who comes, of some site.
pub fn reserved<'q>(
    gateway: Gateway,
    sent: &'q HeaderMap,
    reserved: &Reserved,
) -> Option<&'q HeaderName> {
    let stays = |name: &&HeaderName| {
        let name = name.as_str();
        let is_removed = match gateway {
            Gateway::Haproxy => true,
            // Those of ours by name alone, as it does all.
            Gateway::Nginx if contract::is_reserved(name) => contract::spelling(name).is_some(),
            _ => contract::is_reserved(name) || CARRIED.contains(&name) || name == "x-request-id",
        };
        reserved.has(name) && !is_removed
    };
    sent.keys().find(stays)
}

/// A field that a judgement takes from a request.
pub fn taken<'q>(
    gateway: Gateway,
    sent: &'q HeaderMap,
    edits: &Edits,
    site: Option<&Site>,
) -> Option<&'q HeaderName> {
    let stays = |name: &&HeaderName| {
        let name: &HeaderName = name;
        let is_removed = match gateway {
            Gateway::Haproxy => true,
            Gateway::Envoy => !edits.set.iter().any(|(set, _)| set == name),
            Gateway::Nginx | Gateway::Traefik | Gateway::Caddy => false,
        };
        edits.remove.contains(name)
            && !is_removed
            && !contract::is_reserved(name.as_str())
            && !forwarded::tells_of_the_way(name.as_str())
            && !CARRIED.contains(&name.as_str())
            && name != "x-request-id"
            && !NO_MATTER.contains(name)
            && !site.is_some_and(|site| site.credential_fields().any(|own| own == name.as_str()))
    };
    sent.keys().find(stays)
}
