//! Who may show a route's pages in a frame (`frame_ancestors`).
//!
//! The one way that browsers obey everywhere is the `frame-ancestors` directive of a
//! Content-Security-Policy (CSP Level 3 §6.4.2). A backend's policy keeps all else that it
//! says; its own `frame-ancestors` are replaced, in every policy that it sends, because a
//! browser obeys all of them together. `X-Frame-Options`, which knows no list, goes.

use http::header::{CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue};

use super::origin::Origin;

const DIRECTIVE: &[u8] = b"frame-ancestors";

/// Who may frame, as the directive's value: `'self' https://www.acme.example`, or `'none'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestors(String);

impl Ancestors {
    /// Those of these entries, each as [`Ancestors::entry`] returns it.
    pub fn new(entries: &[String]) -> Self {
        Self(entries.join(" "))
    }

    /// An entry as the directive writes it: an origin, `https://*.acme.example`, `self` or
    /// `none`. None for anything else.
    pub fn entry(text: &str) -> Option<String> {
        match text {
            "self" | "'self'" => return Some("'self'".to_owned()),
            "none" | "'none'" => return Some("'none'".to_owned()),
            _ => {}
        }
        let any_below = |scheme: &str| {
            let host = text.strip_prefix(scheme)?.strip_prefix("*.")?;
            let origin = Origin::parse(&format!("{scheme}{host}"))?;
            Some(origin.as_str().replacen("://", "://*.", 1))
        };
        let origin = || Origin::parse(text).map(|origin| origin.as_str().to_owned());
        origin().or_else(|| any_below("https://")).or_else(|| any_below("http://"))
    }

    /// The answer's whole policy, to take the place of every one that it has.
    pub fn policy(&self, answer: &HeaderMap) -> HeaderValue {
        let own = [DIRECTIVE, b" ", self.0.as_bytes()].concat();
        let mut placed = false;
        let mut policies = Vec::new();
        // A field may hold several policies (CSP Level 3 §3.1).
        let fields = answer.get_all(CONTENT_SECURITY_POLICY).iter();
        for policy in fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b',')) {
            let mut directives: Vec<&[u8]> = Vec::new();
            for directive in policy.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
                match directive {
                    [] => {}
                    directive if !is_frame_ancestors(directive) => directives.push(directive),
                    _ if placed => {}
                    _ => {
                        placed = true;
                        directives.push(&own);
                    }
                }
            }
            if !directives.is_empty() {
                policies.push(directives.join(&b"; "[..]));
            }
        }
        if !placed {
            match policies.first_mut() {
                Some(first) => first.extend_from_slice(&[b"; ", own.as_slice()].concat()),
                None => policies.push(own.clone()),
            }
        }
        // Both parts are header values; without the backend's there is always ours.
        HeaderValue::from_bytes(&policies.join(&b", "[..]))
            .or_else(|_| HeaderValue::from_bytes(&own))
            .unwrap_or(HeaderValue::from_static("frame-ancestors 'none'"))
    }
}

fn is_frame_ancestors(directive: &[u8]) -> bool {
    let name = directive.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    name.eq_ignore_ascii_case(DIRECTIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::headers;

    #[test]
    fn an_entry_is_an_origin_or_a_word() {
        for (text, entry) in [
            ("https://www.acme.example", Some("https://www.acme.example")),
            ("HTTPS://WWW.acme.example:443", Some("https://www.acme.example")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://*.acme.example", Some("https://*.acme.example")),
            ("https://*.acme.example:8443", Some("https://*.acme.example:8443")),
            ("self", Some("'self'")),
            ("'none'", Some("'none'")),
            ("www.acme.example", None),
            ("https://www.acme.example/", None),
            ("https://*", None),
            ("https://a.*.example", None),
            ("*", None),
            ("https:", None),
            ("https://a.example; script-src *", None),
            ("https://a.example, x", None),
        ] {
            assert_eq!(Ancestors::entry(text).as_deref(), entry, "{text}");
        }
    }

    #[test]
    fn only_the_frame_ancestors_of_a_policy_are_replaced() {
        let ancestors = Ancestors::new(&["'self'".into(), "https://a.example".into()]);
        let own = "frame-ancestors 'self' https://a.example";
        for (sent, expected) in [
            (&[][..], own.to_owned()),
            (&["frame-ancestors 'none'"], own.to_owned()),
            (&["default-src 'self'"], format!("default-src 'self'; {own}")),
            (
                &["default-src 'self'; Frame-Ancestors\thttps://b.example;img-src *;"],
                format!("default-src 'self'; {own}; img-src *"),
            ),
            // What is no such directive stays, whatever it looks like.
            (
                &["report-uri /frame-ancestors; frame-ancestors-x y"],
                format!("report-uri /frame-ancestors; frame-ancestors-x y; {own}"),
            ),
            // Each policy would be obeyed.
            (
                &[
                    "img-src *; frame-ancestors 'none', frame-ancestors 'self'",
                    "script-src 'self'; frame-ancestors *",
                ],
                format!("img-src *; {own}, script-src 'self'"),
            ),
            (&["frame-ancestors a; frame-ancestors b"], own.to_owned()),
            (&["", " ; , ;"], own.to_owned()),
        ] {
            let fields: Vec<_> =
                sent.iter().map(|policy| ("content-security-policy", *policy)).collect();
            assert_eq!(ancestors.policy(&headers(&fields)), expected, "{sent:?}");
        }
    }
}
