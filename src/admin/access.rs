//! Who may ask the admin listener, and for what.
//!
//! A web page can make a browser send requests to loopback under a name of the page's own
//! choosing (DNS rebinding): hence the look at `Host`. A name that is neither loopback nor
//! the configured address is refused. A listener at an unspecified address (`0.0.0.0`) has
//! every address of the machine, so there any literal address will do, which no DNS name
//! can pretend to be. Unix sockets are out of a browser's reach.

use std::net::IpAddr;

use crate::plan::{Address, Admin};

/// What the `Authorization` header came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Granted,
    /// No token is configured.
    Disabled,
    /// None, another, or several.
    Denied,
}

/// Compares the bearer token in constant time (RFC 6750 §2.1; the scheme without case).
pub(super) fn access(admin: &Admin, authorization: &[&[u8]]) -> Access {
    let Some(token) = &admin.token else { return Access::Disabled };
    let [field] = authorization else { return Access::Denied };
    let presented = match field.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        _ => return Access::Denied,
    };
    if token.matches(presented) { Access::Granted } else { Access::Denied }
}

/// Whether the host that a request names (with or without a port) is this listener's.
/// A request without one is no browser's.
pub(super) fn names_us(address: &Address, host: Option<&str>) -> bool {
    let (Address::Tcp(address), Some(host)) = (address, host) else { return true };
    let name = without_port(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let Ok(named) = literal.parse::<IpAddr>() else { return false };
    let (named, own) = (named.to_canonical(), address.ip().to_canonical());
    named.is_loopback() || named == own || own.is_unspecified()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let bare_ipv6 = name.contains(':') && !name.ends_with(']');
            if bare_ipv6 { host } else { name }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn tcp(address: &str) -> Address {
        Address::Tcp(address.parse().unwrap())
    }

    #[test]
    fn only_loopback_and_the_configured_address_are_this_listener() {
        let admin = tcp("192.0.2.1:9090");
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "localhost.",
            "127.0.0.1:9090",
            "127.9.9.9",
            "[::1]:9090",
            "192.0.2.1:9090",
            "192.0.2.1:1",
        ] {
            assert!(names_us(&admin, Some(host)), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "192.0.2.2",
            "127.0.0.1.nip.io",
            "",
            "[::2]",
            "localhost@evil",
            "2130706433",
        ] {
            assert!(!names_us(&admin, Some(host)), "{host}");
        }
    }

    #[test]
    fn a_listener_at_every_address_takes_addresses_but_no_names() {
        let admin = tcp("[::]:9090");
        assert!(names_us(&admin, Some("10.0.0.7:9090")) && names_us(&admin, Some("[2001:db8::1]")));
        assert!(!names_us(&admin, Some("evil.example")));
    }

    #[test]
    fn a_unix_socket_does_not_look_at_the_host() {
        assert!(names_us(&Address::Unix("/run/admin.sock".into()), Some("anything")));
        assert!(names_us(&tcp("127.0.0.1:9090"), None));
    }

    #[test]
    fn only_the_one_token_grants_access() {
        let token = Some(Secret::new(b"letmein-letmein-letmein".to_vec()));
        let admin = Admin { address: tcp("127.0.0.1:9090"), token };
        let judge = |fields: &[&str]| {
            access(&admin, &fields.iter().map(|field| field.as_bytes()).collect::<Vec<_>>())
        };
        assert_eq!(judge(&["Bearer letmein-letmein-letmein"]), Access::Granted);
        assert_eq!(judge(&["bearer letmein-letmein-letmein"]), Access::Granted);
        for fields in [
            &[][..],
            &["Bearer "],
            &["Bearer"],
            &["letmein-letmein-letmein"],
            &["Basic letmein-letmein-letmein"],
            &["Bearer letmein-letmein-letmei"],
            &["Bearer letmein-letmein-letmein", "Bearer letmein-letmein-letmein"],
        ] {
            assert_eq!(judge(fields), Access::Denied, "{fields:?}");
        }
        let open = Admin { token: None, ..admin };
        assert_eq!(access(&open, &[b"Bearer letmein-letmein-letmein"]), Access::Disabled);
    }
}
