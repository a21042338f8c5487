//! Origins (RFC 6454) of web pages, and which of them may speak to a site.
//!
//! A cookie travels with requests that any page can cause. So a cookie credential on a
//! request that changes something (not GET or HEAD), or on an upgrade, counts only with
//! an `Origin` that is the site's own host or a listed one. Where origins are listed, an
//! upgrade from any other is turned away whatever carries its credential, and if nothing
//! does: browsers apply no same-origin policy to WebSockets. A client without `Origin` is
//! no web page.

use http::{HeaderMap, Method, header};

use super::RequestView;
use super::host::Host;

/// A serialised origin in lower case, without the scheme's default port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// Parses `https://www.acme.example[:port]`; anything with a path, userinfo or another
    /// scheme than http(s) is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (scheme, default) = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => ("https", 443),
            _ if scheme.eq_ignore_ascii_case("http") => ("http", 80),
            _ => return None,
        };
        let host = Host::parse(authority)?;
        Some(Self(match host.port {
            Some(port) if port != default => format!("{scheme}://{}:{port}", host.name),
            _ => format!("{scheme}://{}", host.name),
        }))
    }

    /// The origin as browsers send it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a page of this host. The scheme is not compared (TLS may end before
    /// us), but a request that came over TLS has no business with an `http:` page.
    pub(super) fn is_at(&self, host: &Host<'_>, tls: bool) -> bool {
        let (rest, default) = match self.0.strip_prefix("https://") {
            Some(rest) => (rest, 443),
            None if tls => return false,
            None => (self.0.strip_prefix("http://").unwrap_or(&self.0), 80),
        };
        Host::parse(rest).is_some_and(|own| {
            own.name == host.name && own.port.unwrap_or(default) == host.port.unwrap_or(default)
        })
    }
}

/// What a request says of the page behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// No `Origin`: no web page, or a plain navigation.
    Unsaid,
    /// A page of this origin.
    Page(Origin),
    /// `null`, several, or none that is an http(s) origin.
    Opaque,
}

/// Reads the `Origin` header.
pub fn sender(headers: &HeaderMap) -> Sender {
    let mut fields = headers.get_all(header::ORIGIN).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Sender::Unsaid,
        (Some(value), None) => {
            value.to_str().ok().and_then(Origin::parse).map_or(Sender::Opaque, Sender::Page)
        }
        (Some(_), Some(_)) => Sender::Opaque,
    }
}

/// Whether a request is a CORS preflight (Fetch standard §4.8).
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether a page of this very origin, or no page at all, caused the request, if the browser
/// says so (Fetch Metadata).
pub(super) fn is_own_page(headers: &HeaderMap) -> Option<bool> {
    let said = headers.get("sec-fetch-site")?;
    Some(matches!(said.as_bytes(), b"same-origin" | b"none"))
}

/// Whether the request's `Origin` is one of the listed.
pub fn is_listed(headers: &HeaderMap, allowed: &[Origin]) -> bool {
    matches!(sender(headers), Sender::Page(origin) if allowed.contains(&origin))
}

/// Why the page behind a request may not use its credential, if it may not.
/// `only_cookies`: a credential is there and nothing but cookies carries it.
pub(super) fn objection(
    request: &RequestView<'_>,
    host: &Host<'_>,
    allowed: &[Origin],
    only_cookies: bool,
) -> Option<&'static str> {
    let safe = matches!(*request.method, Method::GET | Method::HEAD);
    let must_match = only_cookies && (request.upgrade || !safe);
    let may_not_differ = request.upgrade && !allowed.is_empty();
    if !must_match && !may_not_differ {
        return None;
    }
    match sender(request.headers) {
        Sender::Unsaid => {
            must_match.then_some("a credential in a cookie needs an Origin header on this request")
        }
        Sender::Page(origin) if allowed.contains(&origin) || origin.is_at(host, request.tls) => {
            None
        }
        Sender::Page(_) | Sender::Opaque => {
            Some("the request's Origin is neither this host nor one of the site's allowed_origins")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{headers, view};

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        for (text, origin) in [
            ("https://www.acme.example", "https://www.acme.example"),
            ("HTTPS://WWW.Acme.example:443", "https://www.acme.example"),
            ("http://acme.example:80", "http://acme.example"),
            ("http://acme.example:443", "http://acme.example:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), origin);
        }
        for text in [
            "",
            "null",
            "*",
            "www.acme.example",
            "https://",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "ftp://a",
            "file://",
            "https://a?b",
            "https://a b",
            "https://a, https://b",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    /// Columns: method, upgrade, Origin, listed origins, whether only cookies carry it.
    #[test]
    fn a_cookie_credential_needs_the_own_or_a_listed_origin_where_it_could_do_harm() {
        let own = Some("https://chat.acme.example");
        let listed = Some("https://www.acme.example");
        let evil = Some("https://evil.example");
        let list = [Origin::parse("https://www.acme.example").unwrap()];
        let none: [Origin; 0] = [];
        for (method, upgrade, sent, allowed, cookie, welcome) in [
            (Method::GET, false, evil, &none[..], true, true),
            (Method::HEAD, false, None, &none, true, true),
            (Method::POST, false, evil, &none, false, true),
            (Method::POST, false, None, &none, true, false),
            (Method::POST, false, own, &none, true, true),
            (Method::POST, false, Some("http://chat.acme.example"), &none, true, true),
            (Method::POST, false, Some("https://chat.acme.example:8443"), &none, true, false),
            (Method::POST, false, listed, &none, true, false),
            (Method::POST, false, listed, &list, true, true),
            (Method::POST, false, evil, &list, true, false),
            (Method::POST, false, Some("null"), &list, true, false),
            (Method::DELETE, false, None, &none, true, false),
            (Method::GET, true, None, &none, true, false),
            (Method::GET, true, own, &none, true, true),
            (Method::GET, true, evil, &none, true, false),
            (Method::GET, true, evil, &none, false, true),
            (Method::GET, true, evil, &list, false, false),
            (Method::GET, true, Some("null"), &list, false, false),
            (Method::GET, true, listed, &list, false, true),
            (Method::GET, true, own, &list, false, true),
            (Method::GET, true, None, &list, false, true),
            (Method::GET, false, evil, &list, false, true),
        ] {
            let mut fields = vec![("host", "chat.acme.example")];
            fields.extend(sent.map(|origin| ("origin", origin)));
            let headers = headers(&fields);
            let request = RequestView { method: &method, upgrade, ..view(&headers, "/") };
            let host = Host::of(&request).unwrap();
            let objection = objection(&request, &host, allowed, cookie);
            assert_eq!(objection.is_none(), welcome, "{method} {upgrade} {sent:?} {cookie}");
        }
    }

    #[test]
    fn an_http_page_does_not_own_an_https_host() {
        let headers = headers(&[("host", "a.example"), ("origin", "http://a.example")]);
        let request = RequestView { method: &Method::POST, tls: true, ..view(&headers, "/") };
        let host = Host::of(&request).unwrap();
        assert!(objection(&request, &host, &[], true).is_some());
    }

    #[test]
    fn two_origins_are_none() {
        let headers = headers(&[("origin", "https://a.example"), ("origin", "https://a.example")]);
        assert_eq!(sender(&headers), Sender::Opaque);
    }
}
