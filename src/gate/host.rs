//! The host that a request is for: `Host`, or HTTP/2's `:authority`.
//!
//! Missing, repeated or malformed is a fault (RFC 9112 §3.2), and so is an authority that
//! differs from a `Host` beside it: two readers must not see two hosts. User info, zones,
//! percent-escapes, empty labels and anything but letters, digits, `-`, `.`, `_`, `~` are
//! malformed.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use http::header;

use super::{Fault, Refusal, RequestView};

/// A host with the port that was named beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// As it was sent.
    pub text: &'a str,
    /// In lower case, without port and final dot; IPv6 in brackets, in its shortest form.
    pub name: Cow<'a, str>,
    /// The port, if one was named.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `host[:port]`; anything else is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, port) = if text.starts_with('[') {
            let end = text.find(']')?;
            let address: Ipv6Addr = text.get(1..end)?.parse().ok()?;
            (Cow::Owned(format!("[{address}]")), text.get(end + 1..)?)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            let (name, port) = text.split_at(end);
            (reg_name(name)?, port)
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            // RFC 3986 §3.2.3: an empty port is the default one.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self { text, name, port })
    }

    /// The host that a request is for.
    ///
    /// # Errors
    /// [`Fault::BadRequest`], see the module.
    pub fn of(request: &RequestView<'a>) -> Result<Self, Refusal> {
        let mut fields = request.headers.get_all(header::HOST).iter();
        let field = fields.next();
        if fields.next().is_some() {
            return Err(bad("the Host header is repeated"));
        }
        let field = match field {
            None => None,
            Some(value) => Some(
                value
                    .to_str()
                    .ok()
                    .and_then(Self::parse)
                    .ok_or_else(|| bad("the Host header is malformed"))?,
            ),
        };
        let authority = match request.authority {
            None => None,
            Some(text) => {
                Some(Self::parse(text).ok_or_else(|| bad("the :authority is malformed"))?)
            }
        };
        match (authority, field) {
            (Some(authority), Some(field))
                if (&authority.name, authority.port) != (&field.name, field.port) =>
            {
                Err(bad("the request names two different hosts"))
            }
            (Some(host), _) | (None, Some(host)) => Ok(host),
            (None, None) => Err(bad("the Host header is missing")),
        }
    }
}

fn reg_name(text: &str) -> Option<Cow<'_, str>> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !name.bytes().all(allowed) || name.split('.').any(str::is_empty) {
        return None;
    }
    Some(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

fn bad(detail: &'static str) -> Refusal {
    Refusal::fault(Fault::BadRequest, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{headers, view};

    #[test]
    fn a_host_is_read_without_port_case_and_final_dot() {
        for (text, name, port) in [
            ("chat.acme.example", "chat.acme.example", None),
            ("Chat.ACME.example.", "chat.acme.example", None),
            ("chat.acme.example.:8080", "chat.acme.example", Some(8080)),
            ("chat.acme.example:", "chat.acme.example", None),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[0:0:0:0:0:0:0:1]:8080", "[::1]", Some(8080)),
            ("[2001:DB8::A]", "[2001:db8::a]", None),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!((host.name.as_ref(), host.port), (name, port), "{text}");
        }
        for text in [
            "",
            ".",
            ":80",
            "a b",
            "user@host",
            "a/b",
            "a,b",
            "host:80x",
            "host:99999",
            "host:+80",
            "::1",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "k\u{12b}",
            "a%2eb",
            "a\\b",
            "a?b",
            "a#b",
            "a..b",
            "a..",
            ".a",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
    }

    #[test]
    fn missing_repeated_malformed_and_differing_hosts_are_bad_requests() {
        for (fields, authority) in [
            (&[][..], None),
            (&[("host", "a.example"), ("host", "a.example")][..], None),
            (&[("host", "a.example, b.example")][..], None),
            (&[("host", "a.example")][..], Some("b.example")),
            (&[("host", "a.example:81")][..], Some("a.example")),
            (&[("host", "a.example")][..], Some("user@a.example")),
        ] {
            let headers = headers(fields);
            let request = RequestView { authority, ..view(&headers, "/") };
            let refusal = Host::of(&request).unwrap_err();
            assert_eq!(refusal.code(), "bad_request", "{fields:?} {authority:?}");
        }
    }

    #[test]
    fn an_authority_stands_alone_or_beside_an_equal_host() {
        for fields in [&[][..], &[("host", "A.example.")][..]] {
            let headers = headers(fields);
            let request = RequestView { authority: Some("a.example"), ..view(&headers, "/") };
            assert_eq!(Host::of(&request).unwrap().name, "a.example");
        }
    }
}
