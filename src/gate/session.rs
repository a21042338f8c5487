//! The tokens by which a backend knows a session again, and Countersign's own.
//!
//! They prove nothing by themselves: memory may know that one of them stands for an
//! identity that was proven before. So they are read like credentials, and, apart from our
//! own cookie, left where they are. A backend may read them more leniently than we would:
//! a header's name is compared folded, a cookie's value percent-decoded, and of a token
//! that looks like a JWT the signature is read as its bytes, however they are written.

use std::borrow::Cow;

use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header;

use super::content::Content;
use super::edits::{Edits, Rewritten};
use super::source::{self, cookies, lossy};
use super::{RequestView, contract, query};
use crate::dialect::{Carrier, Source, placeholder};
use crate::plan::Session;

/// More different tokens than any widget sends.
const MOST: usize = 8;

/// As a backend may decode it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A session's token, as a request carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken<'a> {
    /// What it is, in the one spelling that all spellings of it come to.
    pub value: Cow<'a, str>,
    /// It came in a cookie, and so with every request that any page causes.
    pub ambient: bool,
    /// It is Countersign's own.
    pub own: bool,
}

/// The tokens that a request carries, each once.
///
/// # Errors
/// There are more than a request can have for a reason.
pub(super) fn tokens<'a>(
    session: &Session,
    request: &RequestView<'a>,
    content: &'a Content<'_>,
) -> Result<Vec<SessionToken<'a>>, TooMany> {
    let mut tokens: Vec<SessionToken<'a>> = Vec::new();
    let mut add = |value: Cow<'a, str>, ambient: bool, own: bool| {
        let Some(value) = canonical(value).filter(|_| tokens.len() <= MOST) else { return };
        match tokens.iter_mut().find(|known| known.own == own && known.value == value) {
            Some(known) => known.ambient &= ambient,
            None => tokens.push(SessionToken { value, ambient, own }),
        }
    };
    for source in &session.request {
        each(source, request, content, &mut add);
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

fn each<'a>(
    source: &Source,
    request: &RequestView<'a>,
    content: &'a Content<'_>,
    add: &mut impl FnMut(Cow<'a, str>, bool, bool),
) {
    match &source.carrier {
        Carrier::Header { names, .. } => {
            let alike = |name: &http::HeaderName| {
                name.as_str() == names.proof || contract::folds_alike(name.as_str(), &names.proof)
            };
            let fields = request.headers.iter().filter(|(name, _)| alike(name));
            fields
                .filter_map(|(_, value)| source::unschemed(source::text(value), source))
                .for_each(|value| add(value, false, false));
        }
        Carrier::Cookie { .. } => {
            source::each_proof(request, content, source, |value| add(decoded(value), true, false));
        }
        Carrier::Query { names, .. } => {
            source::each_proof(request, content, source, |value| add(value, false, false));
            // Some backends separate by `;` too.
            let pieces = request.query().into_iter().flat_map(|query| query.split(['&', ';']));
            pieces
                .map(query::Parameter::read)
                .filter(|parameter| parameter.name() == *names.proof)
                .for_each(|parameter| add(parameter.value(), false, false));
        }
        _ => source::each_proof(request, content, source, |value| add(value, false, false)),
    }
}

/// A cookie's value as backends decode it.
pub fn decoded(value: Cow<'_, str>) -> Cow<'_, str> {
    if !value.contains('%') {
        return value;
    }
    let bytes = percent_encoding::percent_decode_str(&value).decode_utf8_lossy();
    Cow::Owned(bytes.into_owned())
}

/// The spelling of a token by which it is known; none for what cannot be a token: empty,
/// what a script prints for nothing, a word that stands for no session, a JSON value that
/// is no text. Everybody sends the same of these, and they must not make all of them one.
pub fn canonical(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    const NOBODYS: [&str; 9] =
        ["true", "false", "none", "guest", "anonymous", "anon", "default", "empty", "deleted"];
    let first = value.chars().next()?;
    let same = value.chars().all(|letter| letter == first);
    let word = NOBODYS.iter().any(|word| value.eq_ignore_ascii_case(word));
    if same || word || matches!(first, '{' | '[') || placeholder::is_placeholder(&value) {
        return None;
    }
    let signature = value.rfind('.').filter(|last| value.find('.') != Some(*last));
    let Some((head, signature)) = signature.and_then(|last| value.split_at_checked(last + 1))
    else {
        return Some(value);
    };
    match LENIENT.decode(signature) {
        Ok(bytes) => {
            let spelled = BASE64_URL_SAFE_NO_PAD.encode(bytes);
            if spelled == signature { Some(value) } else { Some(format!("{head}{spelled}").into()) }
        }
        Err(_) => Some(value),
    }
}

/// What of a credential tells it from others: of a token what is signed, since a signature
/// can have several spellings, and of some algorithms several values.
pub fn signed_part(credential: &str) -> &str {
    let mut dots = credential.match_indices('.').map(|(at, _)| at);
    match (dots.next(), dots.next(), dots.next()) {
        (Some(_), Some(second), None) => credential.get(..second).unwrap_or(credential),
        _ => credential,
    }
}

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
    fn a_token_is_found_in_every_spelling_in_which_a_backend_may_read_it() {
        let found = |fields: &[(&str, &str)]| {
            found(fields).unwrap().into_iter().map(|(value, ..)| value).collect::<Vec<_>>()
        };
        assert_eq!(found(&[("x_auth_token", "one")]), ["one"]);
        assert_eq!(found(&[("X-Auth.Token", "one")]), ["one"]);
        assert_eq!(found(&[("cookie", "cw=%6fne")]), ["one"]);
        // The last digit of the second has bits that no byte holds.
        assert_eq!(found(&[("x-auth-token", "e30.e30.AA")]), ["e30.e30.AA"]);
        assert_eq!(found(&[("x-auth-token", "e30.e30.AB==")]), ["e30.e30.AA"]);
        assert_eq!(found(&[("x-auth-token", "e30.e31.AA")]), ["e30.e31.AA"]);
    }

    #[test]
    fn what_everybody_sends_is_nobodys_token() {
        for value in ["", "undefined", "null", "NaN", "false", "Guest", "0", "000", "{}", "[1]"] {
            assert_eq!(canonical(value.into()), None, "{value}");
        }
        assert_eq!(canonical("cw-1".into()).as_deref(), Some("cw-1"));
    }

    #[test]
    fn a_credential_is_known_by_what_is_signed() {
        assert_eq!(signed_part("a.b.c"), "a.b");
        assert_eq!(signed_part("0123abcd"), "0123abcd");
        assert_eq!(signed_part("a.b.c.d"), "a.b.c.d");
    }

    #[test]
    fn a_crowd_of_tokens_is_none() {
        let cookie: Vec<String> = (0..9).map(|number| format!("cw=token-{number}")).collect();
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
