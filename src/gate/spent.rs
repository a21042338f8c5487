//! A spent credential leaves the request: header, cookie, query, subprotocol, body and
//! `Referer`.
//!
//! Only what counts as a credential goes. Another `Authorization` field, another scheme,
//! an empty cookie, the id beside a hash stay as they came. From `Referer` every parameter
//! of a credential's name is cut, whatever its value: the page that sent it may have been
//! opened with an older token.

use http::header;

use super::RequestView;
use super::edits::{Edits, Rewritten};
use super::multipart::Part;
use super::query::{self, Fate, Parameter};
use super::source::{self, Found, Places, Shape, text};
use crate::dialect::{Carrier, Dialect, Pointer, Source};

/// Every credential that a request carries: one, unless it is ambiguous.
#[derive(Default)]
pub(super) struct AllSpent<'s> {
    /// Without an allocation in the usual case.
    first: Option<Spent<'s>>,
    more: Vec<Spent<'s>>,
}

impl<'s> AllSpent<'s> {
    /// Adds one.
    pub fn add(&mut self, spent: Spent<'s>) {
        match self.first {
            None => self.first = Some(spent),
            Some(_) => self.more.push(spent),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Spent<'s>> {
        self.first.iter().chain(&self.more)
    }

    /// Whether a query parameter is one.
    pub fn is_parameter(&self, parameter: &Parameter<'_>) -> bool {
        self.iter().any(|spent| spent.is_parameter(parameter))
    }

    /// Whether a form's field is one.
    pub fn is_field(&self, parameter: &Parameter<'_>) -> bool {
        let field = |carrier: &Carrier| matches!(carrier, Carrier::Form { names } if names.proof == *parameter.name());
        self.iter().any(|spent| spent.is_in_body(field, &parameter.value()))
    }

    /// Whether a part of a multipart body is one.
    pub fn is_part(&self, part: &Part<'_>) -> bool {
        let own = |carrier: &Carrier| matches!(carrier, Carrier::Multipart { names } if names.proof == part.name);
        self.iter().any(|spent| spent.is_in_body(own, &source::lossy(part.value)))
    }

    /// Whether the member of a JSON body to which a pointer leads is one.
    pub fn is_member(&self, leads_here: impl Fn(&Pointer) -> bool, value: &str) -> bool {
        let own = |carrier: &Carrier| matches!(carrier, Carrier::Json { names } if leads_here(&names.proof));
        self.iter().any(|spent| spent.is_in_body(own, value))
    }

    /// How deep in a JSON body one may lie.
    pub fn depth(&self) -> usize {
        let pointers =
            self.iter().flat_map(|spent| spent.sources).map(|source| match &source.carrier {
                Carrier::Json { names } => names.proof.0.len(),
                _ => 0,
            });
        pointers.max().unwrap_or(0)
    }

    /// Takes them out of headers and cookies.
    pub fn leave_headers(&self, request: &RequestView<'_>, edits: &mut Edits) {
        self.iter().for_each(|spent| spent.leave_headers(request, edits));
    }
}

/// What is to be removed.
pub(super) struct Spent<'s> {
    sources: &'s [Source],
    proof: &'s str,
    places: Places,
    dialect: &'s Dialect,
    has_shape: Shape<'s>,
}

impl<'s> Spent<'s> {
    /// The credential that was found, in every place that holds it. If it was ambiguous,
    /// so are all of them.
    pub fn new(
        dialect: &'s Dialect,
        sources: &'s [Source],
        found: &'s Found<'_>,
        has_shape: Shape<'s>,
    ) -> Option<Self> {
        let places = found.places;
        found.proof().map(|proof| Self { sources, proof, places, dialect, has_shape })
    }

    /// Whether a value in a source's place is a credential.
    fn counts(&self, source: &Source, value: &str) -> bool {
        !value.is_empty()
            && (value == self.proof || !source.shared || (self.has_shape)(self.dialect, value))
    }

    /// Whether a query parameter is one.
    pub fn is_parameter(&self, parameter: &Parameter<'_>) -> bool {
        if !self.places.query {
            return false;
        }
        let name = parameter.name();
        self.sources.iter().any(|source| {
            matches!(&source.carrier, Carrier::Query { names, .. } if names.proof == *name)
                && source::unschemed(parameter.value(), source)
                    .is_some_and(|value| self.counts(source, &value))
        })
    }

    fn is_in_body(&self, is_place: impl Fn(&Carrier) -> bool, value: &str) -> bool {
        let counts = |source: &Source| is_place(&source.carrier) && self.counts(source, value);
        self.places.body && self.sources.iter().any(counts)
    }

    /// Takes it out of headers and cookies.
    pub fn leave_headers(&self, request: &RequestView<'_>, edits: &mut Edits) {
        if self.places.cookie {
            self.leave_cookies(request, edits);
        }
        if self.places.protocol {
            self.leave_protocols(request, edits);
        }
        for source in self.sources.iter().filter(|_| self.places.header) {
            let Carrier::Header { names, .. } = &source.carrier else { continue };
            // Names are compared in lower case on both sides.
            let mut present = request.headers.keys();
            let Some(name) = present.find(|name| name.as_str() == names.proof) else { continue };
            edits.retain(request.headers, name, |value| {
                !source::unschemed(text(value), source)
                    .is_some_and(|value| self.counts(source, &value))
            });
        }
    }

    fn leave_cookies(&self, request: &RequestView<'_>, edits: &mut Edits) {
        let spent = |cookie: &source::CookiePair<'_>| {
            self.sources.iter().any(|source| {
                matches!(&source.carrier, Carrier::Cookie { names } if names.proof.as_bytes() == cookie.name)
                    && self.counts(source, &source::lossy(cookie.value))
            })
        };
        edits.rewrite(request.headers, &header::COOKIE, |field| {
            if !source::cookies(field).any(|cookie| spent(&cookie)) {
                return Rewritten::Same;
            }
            let rest = source::cookies(field).filter(|c| !spent(c) && !c.raw.is_empty());
            let rest: Vec<&[u8]> = rest.map(|cookie| cookie.raw).collect();
            Rewritten::from_bytes(rest.join(&b"; "[..]))
        });
    }

    /// The other subprotocols are for the backend to choose from.
    fn leave_protocols(&self, request: &RequestView<'_>, edits: &mut Edits) {
        let spent = |offer: &[u8]| {
            self.sources.iter().any(|source| match &source.carrier {
                Carrier::Protocol { names } => offer
                    .strip_prefix(names.proof.as_bytes())
                    .is_some_and(|token| self.counts(source, &source::lossy(token))),
                _ => false,
            })
        };
        edits.rewrite(request.headers, &header::SEC_WEBSOCKET_PROTOCOL, |field| {
            if !source::offers(field).any(spent) {
                return Rewritten::Same;
            }
            let rest: Vec<&[u8]> = source::offers(field).filter(|offer| !spent(offer)).collect();
            Rewritten::from_bytes(rest.join(&b", "[..]))
        });
    }
}

/// Cuts every credential parameter out of `Referer`, all other bytes as they were. One
/// that is no UTF-8, which no browser sends, goes whole.
pub(super) fn leave_referer(request: &RequestView<'_>, sources: &[Source], edits: &mut Edits) {
    if !request.headers.contains_key(header::REFERER) {
        return;
    }
    let is_credential = |parameter: &Parameter<'_>| {
        let name = parameter.name();
        sources.iter().any(|source| {
            matches!(&source.carrier, Carrier::Query { names, .. } if names.proof == *name)
        })
    };
    edits.rewrite(request.headers, &header::REFERER, |field| {
        let Ok(url) = std::str::from_utf8(field.as_bytes()) else { return Rewritten::Gone };
        let (before, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
        let Some((page, query)) = before.split_once('?') else { return Rewritten::Same };
        let cut = |parameter: &Parameter<'_>| {
            if is_credential(parameter) { Fate::Cut } else { Fate::Keep }
        };
        match query::edited(query, cut) {
            None => Rewritten::Same,
            Some(rest) if rest.is_empty() => {
                Rewritten::from_bytes(format!("{page}{fragment}").into_bytes())
            }
            Some(rest) => Rewritten::from_bytes(format!("{page}?{rest}{fragment}").into_bytes()),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Names;
    use crate::gate::content::Content;
    use crate::gate::testing::{applied, hash_dialect, headers, token_dialect, view};

    fn without_spent(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let headers = headers(fields);
        let dialect = token_dialect();
        let request = view(&headers, "/");
        let shape = |_: &Dialect, value: &str| value.starts_with("ey");
        let found = source::find(&request, &Content::Nothing, &dialect, &dialect.sources, &shape);
        let mut edits = Edits::default();
        if let Some(spent) = Spent::new(&dialect, &dialect.sources, &found, &shape) {
            spent.leave_headers(&request, &mut edits);
        }
        leave_referer(&request, &dialect.sources, &mut edits);
        applied(&edits, &headers)
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn only_the_credential_leaves_the_headers() {
        for (fields, expected) in [
            (&[("authorization", "Bearer ey1")][..], &[][..]),
            (
                &[("authorization", "Basic abc"), ("authorization", "Bearer ey1")],
                &[("authorization", "Basic abc")],
            ),
            (
                &[("authorization", "Bearer theirs"), ("authorization", "Bearer ey1")],
                &[("authorization", "Bearer theirs")],
            ),
            (&[("authorization", "Bearer theirs")], &[("authorization", "Bearer theirs")]),
            // Ambiguous: both go.
            (&[("authorization", "Bearer ey1"), ("authorization", "bearer ey2")], &[]),
        ] {
            assert_eq!(without_spent(fields), pairs(expected), "{fields:?}");
        }
    }

    #[test]
    fn only_the_credential_leaves_the_cookies() {
        for (fields, expected) in [
            (&[("cookie", "countersign_jwt=ey1")][..], &[][..]),
            (&[("cookie", "a=1; countersign_jwt=ey1; b=\"2\"")], &[("cookie", "a=1; b=\"2\"")]),
            (&[("cookie", "countersign_jwt=\"ey1\";a=1")], &[("cookie", "a=1")]),
            (
                &[("cookie", "a=1"), ("cookie", "countersign_jwt=ey1"), ("cookie", "b=2;c=3")],
                &[("cookie", "a=1"), ("cookie", "b=2;c=3")],
            ),
            (
                &[("cookie", "countersign_jwt=; a=1;countersign_jwt=ey1")],
                &[("cookie", "countersign_jwt=; a=1")],
            ),
            (&[("cookie", "a=1;  b=2")], &[("cookie", "a=1;  b=2")]),
        ] {
            assert_eq!(without_spent(fields), pairs(expected), "{fields:?}");
        }
    }

    #[test]
    fn only_the_credential_leaves_the_subprotocols() {
        let mut dialect = token_dialect();
        let names = Names { proof: "countersign.jwt.".into(), ..Names::default() };
        dialect.sources = vec![Source { carrier: Carrier::Protocol { names }, shared: false }];
        for (fields, expected) in [
            (&["countersign.jwt.ey1"][..], &[][..]),
            (&["countersign.jwt.ey1, chat"], &["chat"]),
            (&["a,countersign.jwt.ey1,b", "c"], &["a, b", "c"]),
            (&["countersign.jwt.ey1, chat, countersign.jwt.ey2"], &["chat"]),
            (&["chat,superchat"], &["chat,superchat"]),
        ] {
            let named = |fields: &[&'static str]| -> Vec<_> {
                fields.iter().map(|field| ("sec-websocket-protocol", *field)).collect()
            };
            let headers = headers(&named(fields));
            let request = view(&headers, "/");
            let shape = |_: &Dialect, _: &str| true;
            let found =
                source::find(&request, &Content::Nothing, &dialect, &dialect.sources, &shape);
            let mut edits = Edits::default();
            if let Some(spent) = Spent::new(&dialect, &dialect.sources, &found, &shape) {
                spent.leave_headers(&request, &mut edits);
            }
            assert_eq!(applied(&edits, &headers), pairs(&named(expected)), "{fields:?}");
        }
    }

    #[test]
    fn a_credential_parameter_is_cut_out_of_the_referer() {
        for (referer, expected) in [
            ("https://a.example/p?jwt=old", "https://a.example/p"),
            ("https://a.example/p?a=%7e&jwt=old&b=+#top", "https://a.example/p?a=%7e&b=+#top"),
            ("https://a.example/p?jwt=#jwt=1", "https://a.example/p#jwt=1"),
            ("https://a.example/p?a=1", "https://a.example/p?a=1"),
            ("https://a.example/jwt=1", "https://a.example/jwt=1"),
            ("https://a.example/p#x?jwt=1", "https://a.example/p#x?jwt=1"),
            ("https://a.example/p?%6Awt=1", "https://a.example/p"),
        ] {
            let left = without_spent(&[("referer", referer)]);
            assert_eq!(left, pairs(&[("referer", expected)]), "{referer}");
        }
    }

    #[test]
    fn of_a_hash_only_the_hash_leaves() {
        let headers = headers(&[
            ("x-user-id", "u1"),
            ("x-identifier-hash", "h1"),
            ("referer", "https://a.example/?user_id=u1&identifier_hash=h1"),
        ]);
        let dialect = hash_dialect();
        let request = view(&headers, "/?user_id=u1&identifier_hash=h1");
        let found =
            source::find(&request, &Content::Nothing, &dialect, &dialect.sources, &|_, _| true);
        let mut edits = Edits::default();
        let spent = Spent::new(&dialect, &dialect.sources, &found, &|_, _| true).unwrap();
        spent.leave_headers(&request, &mut edits);
        leave_referer(&request, &dialect.sources, &mut edits);
        let expected = [("x-user-id", "u1"), ("referer", "https://a.example/?user_id=u1")];
        assert_eq!(applied(&edits, &headers), pairs(&expected));
        assert!(spent.is_parameter(&Parameter::read("identifier_hash=h1")));
        assert!(!spent.is_parameter(&Parameter::read("user_id=u1")));
        assert!(!spent.is_parameter(&Parameter::read("identifier_hash=")));
    }
}
