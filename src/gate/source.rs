//! Finding the credential: every source of the route is read.
//!
//! The same bytes twice are one credential, two different values are ambiguous whatever
//! their order, and empty is absent. In a shared source, a value with another scheme or
//! without the dialect's shape is somebody else's: absent. Repeated headers, parameters
//! and cookies are several values. A hash takes its id from the carrier it came in; an id
//! without a hash is no credential.

use std::borrow::Cow;

use http::{HeaderValue, header};

use super::content::Content;
use super::document::{is_integer, text_of};
use super::{RequestView, query};
use crate::dialect::json::Json;
use crate::dialect::{Carrier, Credential, Dialect, Hash, HashField, Mechanism, Part, Source};

/// What the sources hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    /// The credential; the first one if they are ambiguous.
    pub credential: Option<Credential<'a>>,
    /// There are different ones.
    pub ambiguous: bool,
    /// Where there is one.
    pub places: Places,
}

/// Kinds of carriers that hold a credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// A header field.
    pub header: bool,
    /// A query parameter.
    pub query: bool,
    /// A cookie.
    pub cookie: bool,
    /// A WebSocket subprotocol.
    pub protocol: bool,
    /// The body.
    pub body: bool,
}

impl Places {
    /// Nothing but cookies carries it.
    pub const fn only_cookies(self) -> bool {
        self.cookie && !(self.header || self.query || self.protocol || self.body)
    }
}

impl Found<'_> {
    /// The token, or the hash without the fields beside it.
    pub fn proof(&self) -> Option<&str> {
        match &self.credential {
            Some(Credential::Token(token)) => Some(token),
            Some(Credential::Hash(hash)) => Some(&hash.proof),
            None => None,
        }
    }
}

/// Whether a value in a shared place is this dialect's.
pub(super) type Shape<'s> = &'s dyn Fn(&Dialect, &str) -> bool;

/// Reads every source.
pub(super) fn find<'a>(
    request: &RequestView<'a>,
    content: &'a Content<'_>,
    dialect: &Dialect,
    sources: &[Source],
    has_shape: Shape<'_>,
) -> Found<'a> {
    let mut found = Found::default();
    for source in sources {
        let mut proof = One::default();
        each_proof(request, content, source, |value| {
            if !source.shared || has_shape(dialect, &value) {
                proof.offer(value);
            }
        });
        let Some(value) = proof.value else { continue };
        let mut ambiguous = proof.several;
        let credential = match &dialect.mechanism {
            Mechanism::Jwt(_) => Credential::Token(value),
            Mechanism::Hmac(_) => {
                let mut beside = |field| {
                    let (mut one, part) = (One::default(), Part::Beside(field));
                    each_value(request, content, &source.carrier, part, |value| one.offer(value));
                    ambiguous |= one.several;
                    one.value
                };
                Credential::Hash(Hash {
                    proof: value,
                    id: beside(HashField::Id),
                    email: beside(HashField::Email),
                    name: beside(HashField::Name),
                })
            }
        };
        match source.carrier {
            Carrier::Header { .. } => found.places.header = true,
            Carrier::Query { .. } => found.places.query = true,
            Carrier::Cookie { .. } => found.places.cookie = true,
            Carrier::Protocol { .. } => found.places.protocol = true,
            Carrier::Json { .. } | Carrier::Form { .. } | Carrier::Multipart { .. } => {
                found.places.body = true;
            }
        }
        found.ambiguous |= ambiguous;
        match &found.credential {
            None => found.credential = Some(credential),
            Some(first) => found.ambiguous |= *first != credential,
        }
    }
    found
}

/// The one value of several, if they are all the same; empty ones do not count.
#[derive(Default)]
struct One<'a> {
    value: Option<Cow<'a, str>>,
    several: bool,
}

impl<'a> One<'a> {
    fn offer(&mut self, value: Cow<'a, str>) {
        match &self.value {
            _ if value.is_empty() => {}
            None => self.value = Some(value),
            Some(first) => self.several |= *first != value,
        }
    }
}

/// Every value in a source's place for the proof, without its scheme.
pub(super) fn each_proof<'a>(
    request: &RequestView<'a>,
    content: &'a Content<'_>,
    source: &Source,
    mut visit: impl FnMut(Cow<'a, str>),
) {
    if let Carrier::Json { names } = &source.carrier
        && let Some(value @ (Json::Array(_) | Json::Object(_) | Json::Bool(_))) =
            content.member(&names.proof)
    {
        // It is there, and is no credential that could prove.
        return visit(text_of(value));
    }
    each_value(request, content, &source.carrier, Part::Proof, |value| {
        if let Some(value) = unschemed(value, source) {
            visit(value);
        }
    });
}

/// A header's or parameter's value without the source's scheme. One with another scheme is somebody
/// else's where the source is shared; elsewhere it is a credential of a wrong form.
pub(super) fn unschemed<'a>(value: Cow<'a, str>, source: &Source) -> Option<Cow<'a, str>> {
    let (Carrier::Header { scheme: Some(scheme), .. }
    | Carrier::Query { scheme: Some(scheme), .. }) = &source.carrier
    else {
        return Some(value);
    };
    let bare = |text: &'_ str| -> Option<usize> {
        let (word, rest) = text.split_at_checked(scheme.len())?;
        let ends = rest.is_empty() || rest.starts_with([' ', '\t']);
        (word.eq_ignore_ascii_case(scheme) && ends)
            .then(|| text.len() - rest.trim_start_matches([' ', '\t']).len())
    };
    match (bare(&value), value) {
        (Some(start), Cow::Borrowed(text)) => text.get(start..).map(Cow::Borrowed),
        (Some(start), Cow::Owned(text)) => text.get(start..).map(|rest| Cow::Owned(rest.into())),
        (None, _) if source.shared => None,
        (None, value) => Some(value),
    }
}

fn each_value<'a>(
    request: &RequestView<'a>,
    content: &'a Content<'_>,
    carrier: &Carrier,
    part: Part,
    mut visit: impl FnMut(Cow<'a, str>),
) {
    match (carrier, carrier.name(part)) {
        (Carrier::Json { names }, _) => {
            match names.of(part).and_then(|pointer| content.member(pointer)) {
                Some(Json::String(text)) => visit(Cow::Borrowed(text)),
                // Ids are numbers in some widgets' bodies: their digits count.
                Some(Json::Number(digits)) if is_integer(digits) => visit(Cow::Borrowed(digits)),
                _ => {}
            }
        }
        (_, None) => {}
        (Carrier::Header { .. }, Some(name)) => {
            request.headers.get_all(name).iter().for_each(|value| visit(text(value)));
        }
        (Carrier::Query { .. }, Some(name)) => {
            let Some(query) = request.query() else { return };
            query::parameters(query)
                .filter(|parameter| parameter.name() == name)
                .for_each(|parameter| visit(parameter.value()));
        }
        (Carrier::Cookie { .. }, Some(name)) => {
            let fields = request.headers.get_all(header::COOKIE).iter();
            fields
                .flat_map(cookies)
                .filter(|cookie| cookie.name == name.as_bytes())
                .for_each(|cookie| visit(lossy(cookie.value)));
        }
        (Carrier::Protocol { .. }, Some(name)) => {
            let fields = request.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
            fields
                .flat_map(offers)
                .filter_map(|offer| offer.strip_prefix(name.as_bytes()))
                .for_each(|token| visit(lossy(token)));
        }
        (Carrier::Form { .. }, Some(name)) => {
            let Content::Form { text, lines } = content else { return };
            let parts = text.split(move |c: char| c == '&' || *lines && c == '\n');
            parts
                .map(|raw| query::Parameter::read(raw.strip_suffix('\r').unwrap_or(raw)))
                .filter(|parameter| parameter.name() == name)
                .for_each(|parameter| visit(parameter.value()));
        }
        (Carrier::Multipart { .. }, Some(name)) => {
            let Content::Parts { parts, .. } = content else { return };
            parts.iter().filter(|part| part.name == name).for_each(|p| visit(lossy(p.value)));
        }
    }
}

/// A header's value as text; bytes that are no UTF-8 become U+FFFD.
pub(super) fn text(value: &HeaderValue) -> Cow<'_, str> {
    lossy(value.as_bytes())
}

/// As [`String::from_utf8_lossy`], several times faster for what is UTF-8.
pub(super) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// One pair of a `Cookie` field.
pub(super) struct CookiePair<'a> {
    /// As it stands in the field, without the spaces around it.
    pub raw: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// Its value, without quotes.
    pub value: &'a [u8],
}

/// The pairs of a `Cookie` field (RFC 6265 §4.2.1).
pub(super) fn cookies(field: &HeaderValue) -> impl Iterator<Item = CookiePair<'_>> {
    field.as_bytes().split(|byte| *byte == b';').map(|raw| {
        let raw = raw.trim_ascii();
        let equals = raw.iter().position(|byte| *byte == b'=').unwrap_or(raw.len());
        let (name, value) = raw.split_at(equals);
        let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii();
        let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        CookiePair { raw, name: name.trim_ascii(), value: unquoted.unwrap_or(value) }
    })
}

/// The subprotocols that a `Sec-WebSocket-Protocol` field offers (RFC 6455 §4.1).
pub fn offers(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    field
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|offer| !offer.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Names, Pointer};
    use crate::gate::body::Kind;
    use crate::gate::testing::{hash_dialect, headers, token_dialect, view};

    /// The fake shape: tokens here begin with `ey`.
    fn tokens(target: &str, fields: &[(&str, &str)]) -> (Option<String>, bool, bool) {
        let headers = headers(fields);
        let dialect = token_dialect();
        let request = view(&headers, target);
        let shape = |_: &Dialect, value: &str| value.starts_with("ey");
        let found = find(&request, &Content::Nothing, &dialect, &dialect.sources, &shape);
        (found.proof().map(Into::into), found.ambiguous, found.places.only_cookies())
    }

    #[test]
    fn a_token_is_found_in_each_of_its_places() {
        for (target, fields) in [
            ("/", &[("authorization", "Bearer ey1")][..]),
            ("/", &[("authorization", "bearer   ey1")]),
            ("/", &[("authorization", "Basic abc"), ("authorization", "BEARER ey1")]),
            ("/?jwt=ey1", &[]),
            ("/?a=b&%6Awt=%65y1", &[]),
            ("/?jwt=ey1&jwt=&jwt=ey1", &[]),
            ("/?jwt=ey1", &[("authorization", "Bearer ey1"), ("cookie", "countersign_jwt=ey1")]),
            ("/?jwt=ey1", &[("authorization", "Bearer not-a-token")]),
            ("/?jwt=ey1", &[("authorization", "Bearer")]),
        ] {
            assert_eq!(
                tokens(target, fields),
                (Some("ey1".into()), false, false),
                "{target} {fields:?}"
            );
        }
        for cookies in [
            &["countersign_jwt=ey1"][..],
            &["a=b; countersign_jwt=\"ey1\";c=d"],
            &["a=b", "countersign_jwt = ey1 "],
            &["countersign_jwt=; countersign_jwt=ey1"],
        ] {
            let fields: Vec<_> = cookies.iter().map(|cookie| ("cookie", *cookie)).collect();
            assert_eq!(tokens("/", &fields), (Some("ey1".into()), false, true), "{cookies:?}");
        }
    }

    #[test]
    fn what_is_empty_or_somebody_elses_is_absent() {
        for (target, fields) in [
            ("/", &[][..]),
            ("/?jwt=&jwt", &[("cookie", "countersign_jwt=")]),
            ("/?JWT=ey1&ejwt=ey1", &[("cookie", "Countersign_jwt=ey1; xcountersign_jwt=ey1")]),
            ("/", &[("authorization", "Basic ey1")]),
            ("/", &[("authorization", "Bearerey1")]),
            ("/", &[("authorization", "ey1")]),
            ("/", &[("authorization", "Bearer session-of-the-backend")]),
            ("/", &[("proxy-authorization", "Bearer ey1")]),
        ] {
            assert_eq!(tokens(target, fields), (None, false, false), "{target} {fields:?}");
        }
    }

    #[test]
    fn two_values_are_ambiguous_whatever_their_order() {
        for (target, fields) in [
            ("/?jwt=ey1&jwt=ey2", &[][..]),
            ("/?jwt=ey1", &[("authorization", "Bearer ey2")]),
            ("/?jwt=garbage", &[("authorization", "Bearer ey1")]),
            ("/", &[("authorization", "Bearer ey1"), ("authorization", "Bearer ey2")]),
            ("/?jwt=ey1", &[("cookie", "countersign_jwt=ey2")]),
            ("/", &[("cookie", "countersign_jwt=ey1; countersign_jwt=ey2")]),
            ("/", &[("cookie", "countersign_jwt=ey1"), ("cookie", "countersign_jwt=ey2")]),
        ] {
            let (_, ambiguous, _) = tokens(target, fields);
            assert!(ambiguous, "{target} {fields:?}");
        }
    }

    #[test]
    fn a_place_of_ones_own_takes_every_value() {
        let headers = headers(&[("x-token", "Basic abc")]);
        let mut dialect = token_dialect();
        let names = Names { proof: "x-token".into(), ..Names::default() };
        let carrier = Carrier::Header { names, scheme: Some("Token".into()) };
        dialect.sources = vec![Source { carrier, shared: false }];
        let found =
            find(&view(&headers, "/"), &Content::Nothing, &dialect, &dialect.sources, &|_, _| {
                false
            });
        assert_eq!(found.proof(), Some("Basic abc"));
    }

    #[test]
    fn a_token_is_found_among_the_subprotocols_that_a_handshake_offers() {
        let mut dialect = token_dialect();
        let names = Names { proof: "countersign.jwt.".into(), ..Names::default() };
        dialect.sources.push(Source { carrier: Carrier::Protocol { names }, shared: false });
        for (fields, expected, ambiguous) in [
            (&["countersign.jwt.ey1"][..], Some("ey1"), false),
            (&["chat, countersign.jwt.ey1"], Some("ey1"), false),
            (&["chat", "a,countersign.jwt.ey1 , b"], Some("ey1"), false),
            (&["countersign.jwt.ey1, countersign.jwt.ey1"], Some("ey1"), false),
            (&["countersign.jwt.ey1, countersign.jwt.ey2"], Some("ey1"), true),
            (&["countersign.jwt.", "chat", "Countersign.jwt.ey1"], None, false),
        ] {
            let fields: Vec<_> =
                fields.iter().map(|field| ("sec-websocket-protocol", *field)).collect();
            let headers = headers(&fields);
            let request = view(&headers, "/");
            let nothing = Content::Nothing;
            let found = find(&request, &nothing, &dialect, &dialect.sources, &|_, _| true);
            assert_eq!((found.proof(), found.ambiguous), (expected, ambiguous), "{fields:?}");
            assert!(!found.places.only_cookies());
        }
    }

    #[test]
    fn a_parameter_may_have_a_scheme_too() {
        let headers = headers(&[]);
        let mut dialect = token_dialect();
        let names = Names { proof: "token".into(), ..Names::default() };
        let carrier = Carrier::Query { names, scheme: Some("JWT".into()) };
        for (target, shared, expected) in [
            ("/?token=JWT%20ey1", false, Some("ey1")),
            ("/?token=jwt+ey1", false, Some("ey1")),
            ("/?token=ey1", false, Some("ey1")),
            ("/?token=ey1", true, None),
            ("/?token=JWT", false, None),
        ] {
            dialect.sources = vec![Source { carrier: carrier.clone(), shared }];
            let request = view(&headers, target);
            let found = find(&request, &Content::Nothing, &dialect, &dialect.sources, &|_, _| true);
            assert_eq!(found.proof(), expected, "{target}");
        }
    }

    fn hash(target: &str, fields: &[(&str, &str)]) -> (Option<(String, Option<String>)>, bool) {
        let headers = headers(fields);
        let dialect = hash_dialect();
        let found = find(
            &view(&headers, target),
            &Content::Nothing,
            &dialect,
            &dialect.sources,
            &|_, _| true,
        );
        let parts = found.credential.map(|credential| match credential {
            Credential::Hash(hash) => (hash.proof.into_owned(), hash.id.map(Cow::into_owned)),
            Credential::Token(_) => panic!("a hash dialect finds hashes"),
        });
        (parts, found.ambiguous)
    }

    #[test]
    fn a_hash_takes_its_id_from_the_same_carrier() {
        let pair = |id: Option<&str>| Some(("h1".to_string(), id.map(Into::into)));
        for (target, fields, expected, ambiguous) in [
            ("/?user_id=u+1&identifier_hash=h1", &[][..], pair(Some("u 1")), false),
            ("/", &[("x-user-id", "u1"), ("x-identifier-hash", "h1")], pair(Some("u1")), false),
            ("/?user_id=u1", &[], None, false),
            ("/?identifier_hash=h1", &[], pair(None), false),
            ("/?user_id=&identifier_hash=h1", &[], pair(None), false),
            ("/?identifier_hash=h1", &[("x-user-id", "u1")], pair(None), false),
            ("/?user_id=u1&identifier_hash=h1", &[("x-user-id", "u2")], pair(Some("u1")), false),
            (
                "/?user_id=u1&identifier_hash=h1",
                &[("x-user-id", "u1"), ("x-identifier-hash", "h1")],
                pair(Some("u1")),
                false,
            ),
            (
                "/?user_id=u1&identifier_hash=h1",
                &[("x-user-id", "u2"), ("x-identifier-hash", "h1")],
                pair(Some("u1")),
                true,
            ),
            ("/?user_id=u1&user_id=u2&identifier_hash=h1", &[], pair(Some("u1")), true),
            ("/?user_id=u1&user_id=u1&identifier_hash=h1", &[], pair(Some("u1")), false),
            ("/?user_id=u1&identifier_hash=h1&identifier_hash=h2", &[], pair(Some("u1")), true),
        ] {
            assert_eq!(hash(target, fields), (expected, ambiguous), "{target} {fields:?}");
        }
    }

    /// What is found in a body by these sources: a proof, an id, whether they are ambiguous.
    fn in_body(carriers: &[Carrier], kind: Kind, body: &str) -> (String, Option<String>, bool) {
        let headers = headers(&[]);
        let mut dialect = hash_dialect();
        let source = |carrier: &Carrier| Source { carrier: carrier.clone(), shared: false };
        dialect.sources = carriers.iter().map(source).collect();
        let content = Content::read(&kind, body.as_bytes()).unwrap();
        let request = view(&headers, "/?proof=not-this&id=nor-that");
        let found = find(&request, &content, &dialect, &dialect.sources, &|_, _| true);
        let Some(Credential::Hash(hash)) = found.credential else { return Default::default() };
        assert!(found.places.body && !found.places.query);
        (hash.proof.into_owned(), hash.id.map(Cow::into_owned), found.ambiguous)
    }

    #[test]
    fn a_credential_is_found_in_each_kind_of_body() {
        let pair = |proof: &str, id: &str| Names {
            proof: proof.into(),
            id: Some(id.into()),
            ..Names::default()
        };
        let all = [
            Carrier::Json {
                names: pair("proof", "id").map(|name: &String| Pointer(vec![name.clone()])),
            },
            Carrier::Form { names: pair("proof", "id") },
            Carrier::Multipart { names: pair("proof", "id") },
        ];
        let part = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let parts = part("id", "u1") + &part("proof", "h1") + "--b--\r\n";
        let multipart = || Kind::Multipart(Some("b".into()));
        let json = r#"{"id":"u1","proof":"h1"}"#;
        for (kind, body, proof, id, ambiguous) in [
            (Kind::Json, json, "h1", Some("u1"), false),
            (Kind::Form, json, "h1", Some("u1"), false),
            (Kind::Text, json, "h1", Some("u1"), false),
            (Kind::Untyped, json, "h1", Some("u1"), false),
            (Kind::Form, "id=u%31&proof=h1", "h1", Some("u1"), false),
            (Kind::Text, "id=u1\r\nproof=h1\r\n", "h1", Some("u1"), false),
            (Kind::Form, "id=u1&proof=h1&id=u2", "h1", Some("u1"), true),
            (multipart(), &parts, "h1", Some("u1"), false),
            (Kind::Json, r#"{"id":12,"proof":"h1"}"#, "h1", Some("12"), false),
            (Kind::Json, r#"{"id":12.0,"proof":"h1"}"#, "h1", None, false),
            (Kind::Json, r#"{"id":["u1"],"proof":"h1"}"#, "h1", None, false),
            (Kind::Json, r#"{"id":"u1","proof":{"a":1}}"#, r#"{"a":1}"#, Some("u1"), false),
            (Kind::Json, r#"{"id":"u1","proof":null}"#, "", None, false),
            (Kind::Json, r#"{"id":"u1","proof":""}"#, "", None, false),
            (Kind::Json, r#"{"a":{"id":"u1","proof":"h1"}}"#, "", None, false),
            (Kind::Json, r#"[{"id":"u1","proof":"h1"}]"#, "", None, false),
            (Kind::Opaque, json, "", None, false),
        ] {
            let expected = (proof.to_owned(), id.map(str::to_owned), ambiguous);
            assert_eq!(in_body(&all, kind.clone(), body), expected, "{kind:?} {body}");
        }
    }
}
