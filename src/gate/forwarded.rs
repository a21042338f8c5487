//! What other proxies say of a request's way, and what we say of it.
//!
//! A trusted peer's `X-Forwarded-For/-Proto/-Host/-Port`, `X-Real-IP` and `Forwarded` are
//! kept, and its address is appended to `X-Forwarded-For` (a Unix-socket peer is trusted
//! and has no address to append). From anybody else all of them are removed and set afresh;
//! so they are for a trusted peer that sent none: then it is the client itself.
//! `X-Original-URL/-URI` and `X-Rewrite-URL` are always removed: some frameworks route by
//! them. Names are compared folded, and a spelling such as `X_Forwarded_For` is removed
//! whoever sent it: no proxy writes it, a client behind one may.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::contract::folds_alike;
use super::host::Host;
use super::values::Values;
use super::{Peer, RequestView};
use crate::plan::TrustedProxies;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

const KEPT: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "forwarded",
];
const NEVER: [&str; 3] = ["x-original-url", "x-original-uri", "x-rewrite-url"];

/// What kind of forwarding header a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One that a trusted peer may send.
    Kept,
    /// An alias of such a one.
    Alias,
    /// One that reroutes.
    Never,
}

/// The kind of a header name (in lower case), if it is a forwarding header at all.
pub(super) fn kind(name: &str) -> Option<Kind> {
    // All begin with `x` or `f`, after what folding drops: nearly every header ends here.
    let first = name.bytes().find(u8::is_ascii_alphanumeric)?;
    if !matches!(first, b'x' | b'f') {
        return None;
    }
    if KEPT.contains(&name) {
        return Some(Kind::Kept);
    }
    if NEVER.contains(&name) {
        return Some(Kind::Never);
    }
    if folds_to_itself(name) {
        return None;
    }
    let alias = KEPT.iter().any(|kept| folds_alike(kept, name)).then_some(Kind::Alias);
    alias.or_else(|| NEVER.iter().any(|never| folds_alike(never, name)).then_some(Kind::Never))
}

/// Whether a header tells of a request's way, rather than of its visitor. The name is
/// lower case; which characters stand between its words does not matter.
pub fn tells_of_the_way(name: &str) -> bool {
    kind(name).is_some()
}

/// Whether a name is its own folded form: words joined by single hyphens. Such a name is no
/// alias of another.
fn folds_to_itself(name: &str) -> bool {
    let mut previous = b'-';
    let joined = name.bytes().all(|byte| {
        let fits = byte.is_ascii_alphanumeric() || (byte == b'-' && previous != b'-');
        previous = byte;
        fits
    });
    joined && previous != b'-'
}

/// A trusted proxy's `X-Request-Id`: one field of 1–128 printable ASCII characters without
/// spaces and commas.
pub fn request_id(headers: &HeaderMap, trusted: bool) -> Option<&str> {
    if !trusted {
        return None;
    }
    let mut fields = headers.get_all("x-request-id").iter();
    let id = fields.next().filter(|_| fields.next().is_none())?.to_str().ok()?;
    let printable = id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    (printable && (1..=128).contains(&id.len())).then_some(id)
}

/// The client: the right-most untrusted address of `X-Forwarded-For`, as far as trusted
/// proxies vouch for it; the left-most where all are trusted. For the log.
pub fn client_ip(headers: &HeaderMap, peer: Peer, trusted: &TrustedProxies) -> Option<IpAddr> {
    let mut client = match peer {
        Peer::Ip(address) => Some(address.to_canonical()),
        Peer::Unix => None,
    };
    if !peer.is_trusted(trusted) {
        return client;
    }
    let fields: Vec<&str> =
        headers.get_all(&FOR).iter().map(|value| value.to_str().unwrap_or("")).collect();
    for entry in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
        // What cannot be read was vouched for by nobody: the last known address stands.
        let Some(address) = address(entry.trim()) else { break };
        client = Some(address);
        if !trusted.contains(address) {
            break;
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()?;
    Some(address.to_canonical())
}

/// Sets what the backend is told of the way. `kept`: a trusted peer's word stands.
pub(super) fn edit(
    request: &RequestView<'_>,
    host: &Host<'_>,
    kept: bool,
    values: &mut Values,
    set: &mut Vec<(HeaderName, HeaderValue)>,
) {
    let address = match request.peer {
        Peer::Ip(address) => values.address(address.to_canonical()),
        Peer::Unix => None,
    };
    let mut say = |name: &HeaderName, value: Option<HeaderValue>| {
        set.extend(value.map(|value| (name.clone(), value)));
    };
    if kept {
        return say(&FOR, address.and_then(|address| appended(request.headers, address)));
    }
    let scheme = if request.tls { "https" } else { "http" };
    let client = address.as_ref().and_then(|address| address.to_str().ok());
    say(&header::FORWARDED, forwarded(client, host.text, scheme, values));
    say(&REAL_IP, address.clone());
    say(&FOR, address);
    say(&PROTO, Some(HeaderValue::from_static(scheme)));
    say(&HOST, values.joined(&[host.text]));
    say(&PORT, request.local_port.and_then(|port| values.number(port.into())));
}

fn appended(headers: &HeaderMap, address: HeaderValue) -> Option<HeaderValue> {
    let mut list = Vec::new();
    for field in headers.get_all(&FOR) {
        if !field.is_empty() {
            list.extend_from_slice(field.as_bytes());
            list.extend_from_slice(b", ");
        }
    }
    if list.is_empty() {
        return Some(address);
    }
    list.extend_from_slice(address.as_bytes());
    HeaderValue::try_from(list).ok()
}

/// RFC 7239 §4: IPv6 addresses and hosts with a port are quoted.
fn forwarded(
    address: Option<&str>,
    host: &str,
    proto: &str,
    values: &mut Values,
) -> Option<HeaderValue> {
    let address = match address {
        None => ["", "", ""],
        Some(v6) if v6.contains(':') => ["for=\"[", v6, "]\";"],
        Some(v4) => ["for=", v4, ";"],
    };
    let quote = if host.contains([':', '[']) { "\"" } else { "" };
    let [before, address, after] = address;
    values.joined(&[before, address, after, "host=", quote, host, quote, ";proto=", proto])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{headers, view};

    fn trusted() -> TrustedProxies {
        TrustedProxies(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_client_is_the_right_most_untrusted_address() {
        for (peer, fields, client) in [
            ("203.0.113.9", &["198.51.100.7"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.7", "10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            let pairs: Vec<_> = fields.iter().map(|field| ("x-forwarded-for", *field)).collect();
            let found = client_ip(&headers(&pairs), Peer::Ip(ip(peer)), &trusted());
            assert_eq!(found, Some(ip(client)), "{peer} {fields:?}");
        }
        let far = headers(&[("x-forwarded-for", "198.51.100.7")]);
        assert_eq!(client_ip(&far, Peer::Unix, &trusted()), Some(ip("198.51.100.7")));
        assert_eq!(client_ip(&headers(&[]), Peer::Unix, &trusted()), None);
    }

    #[test]
    fn a_request_id_is_taken_from_a_trusted_proxy_alone() {
        let long = "x".repeat(129);
        for (fields, id) in [
            (&["abc-123"][..], Some("abc-123")),
            (&[&long[..128]], Some(&long[..128])),
            (&[long.as_str()], None),
            (&[""], None),
            (&["a b"], None),
            (&["a,b"], None),
            (&["a\tb"], None),
            (&["a", "a"], None),
            (&[], None),
        ] {
            let pairs: Vec<_> = fields.iter().map(|field| ("x-request-id", *field)).collect();
            let headers = headers(&pairs);
            assert_eq!(request_id(&headers, true), id, "{fields:?}");
            assert_eq!(request_id(&headers, false), None);
        }
    }

    #[test]
    fn forwarding_headers_are_known_in_every_spelling() {
        for (name, expected) in [
            ("x-forwarded-for", Some(Kind::Kept)),
            ("forwarded", Some(Kind::Kept)),
            ("x-real-ip", Some(Kind::Kept)),
            ("x_forwarded_for", Some(Kind::Alias)),
            ("x-forwarded_proto", Some(Kind::Alias)),
            ("_x.real.ip", Some(Kind::Alias)),
            ("forwarded_", Some(Kind::Alias)),
            ("x-original-url", Some(Kind::Never)),
            ("x_original_uri", Some(Kind::Never)),
            ("x-rewrite-url", Some(Kind::Never)),
            ("x-forwarded-user", None),
            ("x-request-id", None),
            ("host", None),
            ("___", None),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    fn edited(fields: &[(&str, &str)], peer: Peer, kept: bool) -> Vec<(String, String)> {
        let headers = headers(fields);
        let request = RequestView { peer, local_port: Some(8080), ..view(&headers, "/") };
        let (mut values, mut set) = (Values::new(), Vec::new());
        edit(&request, &Host::of(&request).unwrap(), kept, &mut values, &mut set);
        let text = |(name, value): &(HeaderName, HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_string())
        };
        let mut set: Vec<_> = set.iter().map(text).collect();
        set.sort();
        set
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn everything_is_set_afresh_for_a_peer_that_is_not_trusted() {
        assert_eq!(
            edited(&[("host", "chat.acme.example")], Peer::Ip(ip("203.0.113.9")), false),
            pairs(&[
                ("forwarded", "for=203.0.113.9;host=chat.acme.example;proto=http"),
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-host", "chat.acme.example"),
                ("x-forwarded-port", "8080"),
                ("x-forwarded-proto", "http"),
                ("x-real-ip", "203.0.113.9"),
            ])
        );
        assert_eq!(
            edited(&[("host", "a:81")], Peer::Ip(ip("2001:db8::1")), false).first(),
            Some(&("forwarded".into(), "for=\"[2001:db8::1]\";host=\"a:81\";proto=http".into()))
        );
        assert_eq!(
            edited(&[("host", "a")], Peer::Unix, false),
            pairs(&[
                ("forwarded", "host=a;proto=http"),
                ("x-forwarded-host", "a"),
                ("x-forwarded-port", "8080"),
                ("x-forwarded-proto", "http"),
            ])
        );
    }

    #[test]
    fn a_trusted_peer_is_appended_to_what_it_sent() {
        let peer = Peer::Ip(ip("10.0.0.1"));
        let two = [("host", "a"), ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4")];
        let expected = pairs(&[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.1")]);
        assert_eq!(edited(&two, peer, true), expected);
        let none = [("host", "a"), ("x-forwarded-proto", "https")];
        assert_eq!(edited(&none, peer, true), pairs(&[("x-forwarded-for", "10.0.0.1")]));
        assert_eq!(edited(&two, Peer::Unix, true), []);
    }
}
