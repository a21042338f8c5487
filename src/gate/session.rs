//! The tokens by which a backend knows a session again, and Countersign's own.
//!
//! They prove nothing by themselves: memory may know that one of them stands for an
//! identity that was proven before. So they are read like credentials, and, apart from our
//! own cookie, left where they are.

use std::borrow::Cow;

use http::header;

use super::RequestView;
use super::content::Content;
use super::edits::{Edits, Rewritten};
use super::source::{self, cookies, lossy};
use crate::dialect::Carrier;
use crate::plan::Session;

/// More different tokens than any widget sends.
const MOST: usize = 8;

/// A session's token, as a request carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionToken<'a> {
    /// What it is.
    pub value: Cow<'a, str>,
    /// It came in a cookie, and so with every request that any page causes.
    pub ambient: bool,
    /// It is Countersign's own.
    pub own: bool,
}

/// The tokens that a request carries, each once.
///
/// # Errors
/// There are more than a request can have for a reason: not one of them counts.
pub(super) fn tokens<'a>(
    session: &Session,
    request: &RequestView<'a>,
    content: &'a Content<'_>,
) -> Result<Vec<SessionToken<'a>>, TooMany> {
    let mut tokens: Vec<SessionToken<'a>> = Vec::new();
    let mut add = |value: Cow<'a, str>, ambient: bool, own: bool| {
        if value.is_empty() || tokens.len() > MOST {
            return;
        }
        match tokens.iter_mut().find(|known| known.own == own && known.value == value) {
            Some(known) => known.ambient &= ambient,
            None => tokens.push(SessionToken { value, ambient, own }),
        }
    };
    for source in &session.request {
        let ambient = matches!(source.carrier, Carrier::Cookie { .. });
        source::each_proof(request, content, source, |value| add(value, ambient, false));
    }
    if session.cookie {
        let fields = request.headers.get_all(header::COOKIE).iter();
        fields
            .flat_map(cookies)
            .filter(|cookie| cookie.name == Session::COOKIE.as_bytes())
            .for_each(|cookie| add(lossy(cookie.value), true, true));
    }
    if tokens.len() > MOST { Err(TooMany) } else { Ok(tokens) }
}

/// See [`tokens`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// Takes Countersign's own cookie out of a request: it is no business of the backend's.
pub(super) fn leave_cookie(request: &RequestView<'_>, edits: &mut Edits) {
    if !request.headers.contains_key(header::COOKIE) {
        return;
    }
    edits.rewrite(request.headers, &header::COOKIE, |field| {
        if !cookies(field).any(|cookie| cookie.name == Session::COOKIE.as_bytes()) {
            return Rewritten::Same;
        }
        let rest = cookies(field).filter(|cookie| cookie.name != Session::COOKIE.as_bytes());
        let rest: Vec<&[u8]> =
            rest.map(|cookie| cookie.raw).filter(|raw| !raw.is_empty()).collect();
        Rewritten::from_bytes(rest.join(&b"; "[..]))
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dialect::{Names, Source};
    use crate::gate::testing::{applied, headers, view};

    fn session() -> Session {
        let names = |proof: &str| Names { proof: proof.into(), ..Names::default() };
        let header = Carrier::Header { names: names("x-auth-token"), scheme: None };
        let cookie = Carrier::Cookie { names: names("cw") };
        let source = |carrier| Source { carrier, shared: false };
        Session {
            request: vec![source(header), source(cookie)],
            response: Vec::new(),
            ttl: Duration::from_secs(60),
            max: 10,
            max_per_identity: 10,
            cookie: true,
        }
    }

    fn found(fields: &[(&str, &str)]) -> Option<Vec<(String, bool, bool)>> {
        let headers = headers(fields);
        let tokens = tokens(&session(), &view(&headers, "/"), &Content::Nothing).ok()?;
        let shown = tokens.iter().map(|token| (token.value.to_string(), token.ambient, token.own));
        Some(shown.collect())
    }

    #[test]
    fn each_token_is_read_once_and_is_ambient_only_where_nothing_but_a_cookie_carries_it() {
        let fields = [
            ("x-auth-token", "one"),
            ("cookie", "cw=one; other=x; cw=two"),
            ("cookie", "__Host-countersign=own"),
        ];
        let expected = [("one", false, false), ("two", true, false), ("own", true, true)];
        let expected = expected.map(|(value, ambient, own)| (value.to_owned(), ambient, own));
        assert_eq!(found(&fields), Some(expected.to_vec()));
        assert_eq!(found(&[("x-auth-token", "")]), Some(Vec::new()));
    }

    #[test]
    fn a_crowd_of_tokens_is_none() {
        let cookie: Vec<String> = (0..9).map(|number| format!("cw={number}")).collect();
        assert_eq!(found(&[("cookie", &cookie.join("; "))]), None);
        assert_eq!(found(&[("cookie", &cookie[..8].join("; "))]).unwrap().len(), 8);
    }

    #[test]
    fn our_own_cookie_leaves_the_request_and_no_other_does() {
        let sent = |cookie: &str| {
            let headers = headers(&[("cookie", cookie)]);
            let mut edits = Edits::default();
            leave_cookie(&view(&headers, "/"), &mut edits);
            applied(&edits, &headers)
        };
        let pair = |value: &str| vec![("cookie".to_owned(), value.to_owned())];
        assert_eq!(sent("a=1; __Host-countersign=x; b=2"), pair("a=1; b=2"));
        assert_eq!(sent("a=1;b=2"), pair("a=1;b=2"));
        assert_eq!(sent("__Host-countersign=x"), []);
    }
}
