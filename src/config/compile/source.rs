//! Where a request may carry the credential: `sources`.

use http::HeaderName;

use super::Compiler;
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{
    Carrier, HashField, HmacRules, Mechanism, MessagePiece, Names, Pointer, Source,
};
use crate::gate::contract;
use crate::gate::of_http::belongs_to_http;

const ONE: &str = "one of header, query, cookie, websocket_protocol, json, form, multipart";

/// The sources that are written, for a dialect of this mechanism.
pub fn sources(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::List<raw::Source>,
    mechanism: &Mechanism,
    place: &Place,
) -> Vec<Source> {
    if raw.is_empty() {
        compiler
            .report
            .key(place, "an empty list of sources")
            .expected("[ { header: Authorization, scheme: Bearer } ]");
    }
    let hash = match mechanism {
        Mechanism::Jwt(_) => None,
        Mechanism::Hmac(rules) => Some(rules),
    };
    let mut sources: Vec<Source> = Vec::new();
    for (index, raw) in raw.entries() {
        let place = place.index(index);
        let Some(source) = source(compiler, raw, hash, &place) else { continue };
        if sources.iter().any(|other| other.carrier == source.carrier) {
            compiler.report.value(&place, "this source stands here for the second time");
        }
        sources.push(source);
    }
    sources
}

/// Whether two sources could find one credential: then nobody could say whose it is.
pub fn overlap(one: &Source, other: &Source) -> bool {
    use Carrier as C;
    let schemes = |one: &Option<String>, other: &Option<String>| match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => true,
    };
    let (name, theirs) = (one.carrier.names().proof, other.carrier.names().proof);
    let same_kind = match (&one.carrier, &other.carrier) {
        (C::Header { scheme, .. }, C::Header { scheme: other_scheme, .. })
        | (C::Query { scheme, .. }, C::Query { scheme: other_scheme, .. }) => {
            // A place of one's own takes every value, whatever its scheme.
            schemes(scheme, other_scheme) || !one.shared || !other.shared
        }
        // The name is what an offer begins with: the longer one's are the shorter one's too.
        (C::Protocol { .. }, C::Protocol { .. }) => {
            return name.starts_with(theirs.as_str()) || theirs.starts_with(name.as_str());
        }
        (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
    };
    same_kind && name == theirs
}

/// One place: of a hash with what it covers, or of a single text such as a token.
pub fn source(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Source,
    hash: Option<&HmacRules>,
    place: &Place,
) -> Option<Source> {
    let kinds = [
        ("header", &raw.header),
        ("query", &raw.query),
        ("cookie", &raw.cookie),
        ("websocket_protocol", &raw.websocket_protocol),
        ("json", &raw.json),
        ("form", &raw.form),
        ("multipart", &raw.multipart),
    ];
    let written: Vec<(&str, &raw::NamesOrName)> =
        kinds.into_iter().filter_map(|(kind, names)| Some((kind, names.as_ref()?))).collect();
    let [(kind, written)] = written.as_slice() else {
        if !compiler.report.lost_something_in(place) {
            compiler.report.value(place, "a source has one place").expected(ONE);
        }
        return None;
    };
    let (kind, written) = (*kind, *written);
    if raw.scheme.is_some() && !matches!(kind, "header" | "query") {
        compiler
            .report
            .key(&place.key("scheme"), format!("{} has no scheme", one(kind)))
            .hint("schemes such as Bearer belong to headers and parameters");
    }
    let place_of_names = place.key(kind);
    if kind == "websocket_protocol" && hash.is_some() {
        compiler
            .report
            .key(&place_of_names, "a subprotocol has room for a token, not for a hash and its id")
            .expected("one of header, query, cookie, json, form, multipart");
        return None;
    }
    let mut names = names(compiler, written, hash, &place_of_names)?;
    check_names(compiler, kind, &names, &place_of_names)?;
    let carrier = match kind {
        "header" => {
            lower(&mut names);
            Carrier::Header { names, scheme: scheme(compiler, raw, place)? }
        }
        "query" => Carrier::Query { names, scheme: scheme(compiler, raw, place)? },
        "websocket_protocol" => Carrier::Protocol { names },
        "json" => Carrier::Json { names: names.try_map(|name| Pointer::parse(name))? },
        "form" => Carrier::Form { names },
        "multipart" => Carrier::Multipart { names },
        _ => Carrier::Cookie { names },
    };
    Some(Source { carrier, shared: raw.shared.unwrap_or(false) })
}

/// A kind of source in words.
fn one(kind: &str) -> &'static str {
    match kind {
        "header" => "a header",
        "query" => "a parameter",
        "cookie" => "a cookie",
        "websocket_protocol" => "a subprotocol",
        "json" => "a member of a JSON body",
        "form" => "a field of a form body",
        _ => "a part of a multipart body",
    }
}

fn scheme(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Source,
    place: &Place,
) -> Option<Option<String>> {
    let place = place.key("scheme");
    match &raw.scheme {
        None if compiler.report.was_removed(&place) => None,
        None => Some(None),
        Some(scheme) if is_token(scheme) => Some(Some(scheme.clone())),
        Some(scheme) => {
            compiler
                .report
                .value(&place, format!("`{scheme}` is no authentication scheme"))
                .expected("one word, such as Bearer");
            None
        }
    }
}

fn names(
    compiler: &mut Compiler<'_, '_>,
    written: &raw::NamesOrName,
    hash: Option<&HmacRules>,
    place: &Place,
) -> Option<Names> {
    match (hash, written) {
        (None, raw::NamesOrName::Name(name)) => {
            Some(Names { proof: name.clone(), ..Names::default() })
        }
        (None, raw::NamesOrName::Names(_)) => {
            compiler.report.value(place, "a token has no names for its parts").expected("one name");
            None
        }
        (Some(_), raw::NamesOrName::Name(_)) => {
            compiler
                .report
                .value(place, "a hash alone proves nothing")
                .expected("the names of the hash and of what it covers: { id: …, proof: … }");
            None
        }
        (Some(rules), raw::NamesOrName::Names(written)) => {
            let Some(proof) = written.proof.clone() else {
                compiler.missing(place, "proof", "{ id: …, proof: … }");
                return None;
            };
            let names = Names {
                proof,
                id: written.id.clone(),
                email: written.email.clone(),
                name: written.name.clone(),
            };
            covered(compiler, &rules.message, &names, place)?;
            Some(names)
        }
    }
}

/// Every part of the message must be found beside the hash, and nothing else is proven.
fn covered(
    compiler: &mut Compiler<'_, '_>,
    message: &[MessagePiece],
    names: &Names,
    place: &Place,
) -> Option<()> {
    let named = |field: HashField| match field {
        HashField::Id => &names.id,
        HashField::Email => &names.email,
        HashField::Name => &names.name,
    };
    let mut sound = Some(());
    let mut mentioned = Vec::new();
    for piece in message {
        let MessagePiece::Field(fields) = piece else { continue };
        mentioned.extend_from_slice(fields);
        let lost = fields.iter().any(|field| compiler.report.was_removed(&place.key(word(*field))));
        if !lost && fields.iter().all(|field| named(*field).is_none()) {
            let words: Vec<&str> = fields.iter().map(|field| word(*field)).collect();
            compiler
                .report
                .key(
                    place,
                    format!("the hash covers `{}`, which is not named here", words.join("|")),
                )
                .expected(format!("{{ {}: …, proof: … }}", words.first().unwrap_or(&"id")));
            sound = None;
        }
    }
    for field in [HashField::Email, HashField::Name, HashField::Id] {
        if named(field).is_some() && !mentioned.contains(&field) {
            compiler
                .report
                .key(&place.key(word(field)), format!("the hash does not cover `{}`", word(field)))
                .hint("what is not covered belongs under `unsigned: { fields: […] }`");
            sound = None;
        }
    }
    sound
}

fn word(field: HashField) -> &'static str {
    match field {
        HashField::Id => "id",
        HashField::Email => "email",
        HashField::Name => "name",
    }
}

/// Whether these names can stand in a place of that kind.
pub fn check_names(
    compiler: &mut Compiler<'_, '_>,
    kind: &str,
    names: &Names,
    place: &Place,
) -> Option<()> {
    let all = [Some(&names.proof), names.id.as_ref(), names.email.as_ref(), names.name.as_ref()];
    for name in all.into_iter().flatten() {
        let wrong = match kind {
            "header" => header_problem(name),
            "cookie" if !is_token(name) => Some("a cookie's name"),
            "websocket_protocol" if !is_token(name) => Some("what stands before the token"),
            "query" if name.is_empty() => Some("a parameter's name"),
            "json" if Pointer::parse(name).is_none() => Some("a JSON pointer such as /jwt"),
            "form" if name.is_empty() => Some("a field's name"),
            "multipart" if name.is_empty() => Some("a part's name"),
            _ => None,
        };
        if let Some(expected) = wrong {
            let problem =
                compiler.report.value(place, format!("`{name}` cannot be looked for here"));
            problem.expected(expected);
            if kind == "json" && !name.is_empty() && !name.starts_with('/') {
                problem.hint(format!("write `/{name}`"));
            }
            return None;
        }
    }
    Some(())
}

fn header_problem(name: &str) -> Option<&'static str> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        return Some("a header's name");
    };
    let header = header.as_str();
    if contract::folds_alike(header, "cookie") {
        return Some("{ cookie: NAME } for a cookie");
    }
    // A spent credential is removed; without these the request would be another one, or none.
    // Of HTTP's own, only one is made for credentials, and only as it is spelt there.
    if belongs_to_http(header) && header != http::header::AUTHORIZATION.as_str() {
        return Some("a header that HTTP itself can do without");
    }
    // Those are Countersign's own and are removed before anything is looked at.
    contract::is_reserved(header).then_some("a header that is not Countersign's own")
}

fn lower(names: &mut Names) {
    names.proof.make_ascii_lowercase();
    for name in [&mut names.id, &mut names.email, &mut names.name].into_iter().flatten() {
        name.make_ascii_lowercase();
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
