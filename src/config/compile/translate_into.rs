//! Where the backend's own proof is written to, and in which requests: `into`, `path`,
//! `methods`.

use http::Method;

use super::dialect::Compiled;
use super::translate::Ours;
use super::{Compiler, route, source};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{
    Carrier, FieldName, Mechanism, Names, Pointer, Source, UnsignedField, UnsignedRules,
};
use crate::gate::contract::{Reserved, folded, folds_alike};
use crate::gate::route::PathPattern;
use crate::gate::{Fields, forwarded};
use crate::plan::Target;

const PLACES: &str = "one of header, query, json, form";

/// A place, and the requests whose place it is.
#[derive(Clone)]
pub struct Where {
    /// As a source of credentials.
    pub source: Source,
    pub into: Target,
    pub path: Option<PathPattern>,
    pub methods: Vec<Method>,
}

impl Where {
    /// Whether two could write to one place of one request.
    pub fn meets(&self, other: &Self) -> bool {
        let paths = match (&self.path, &other.path) {
            (Some(one), Some(other)) => one.meets(other),
            _ => true,
        };
        let all = self.methods.is_empty() || other.methods.is_empty();
        let methods = all || self.methods.iter().any(|method| other.methods.contains(method));
        let kind = std::mem::discriminant(&self.into) == std::mem::discriminant(&other.into);
        let places = |into: &Target| names(into).iter().map(|name| segments(into, name)).collect();
        let (own, theirs): (Vec<_>, Vec<_>) = (places(&self.into), places(&other.into));
        let lies = |one: &Vec<String>| theirs.iter().any(|other| touch(one, other));
        paths && methods && kind && own.iter().any(lies)
    }

    /// What it is called.
    pub fn name(&self) -> String {
        names(&self.into).into_iter().next().unwrap_or_default()
    }
}

/// Every name of a place, the proof's first.
fn names(into: &Target) -> Vec<String> {
    let names = match into {
        Target::Header(names, _) | Target::Query(names, _) | Target::Form(names) => names.clone(),
        Target::Json(names) => names.map(Pointer::to_string),
    };
    let Names { proof, id, email, name } = names;
    std::iter::once(proof).chain([id, email, name].into_iter().flatten()).collect()
}

/// A name of a place as the most careless reader takes it: a header's folded, any other's
/// segments in lower case, `user[hash]` as `/user/hash`.
fn segments(into: &Target, name: &str) -> Vec<String> {
    match into {
        Target::Header(..) => vec![folded(name)],
        _ => exact_segments(into, name).iter().map(|part| part.to_lowercase()).collect(),
    }
}

fn exact_segments(into: &Target, name: &str) -> Vec<String> {
    match into {
        Target::Json(_) => Pointer::parse(name).map(|pointer| pointer.0).unwrap_or_default(),
        _ => name.split('[').map(|part| part.trim_end_matches(']').to_owned()).collect(),
    }
}

/// Whether one is the other or lies beneath it.
fn touch(one: &[String], other: &[String]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// The names of a place as request fields: `user[hash]` is `/user/hash`.
pub fn names_of(into: &Target) -> Fields {
    let field = |name: String| {
        let segments = exact_segments(into, &name);
        let name = match segments.as_slice() {
            [one] => FieldName::Plain(one.clone()),
            _ => FieldName::At(Pointer(segments)),
        };
        UnsignedField { name, proof: None, prefix: None }
    };
    let fields = names(into).into_iter().map(field).collect();
    Fields::of(&UnsignedRules { fields, ..UnsignedRules::default() })
}

/// Where it is written to, and in which requests.
pub fn location(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Translate,
    compiled: Option<&Compiled>,
    ours: &Ours<'_>,
    place: &Place,
) -> Option<Where> {
    let path = match &raw.path {
        Some(path) => Some(route::pattern(compiler, path, &place.key("path"))?),
        None => None,
    };
    let methods = route::methods(compiler, raw.methods.as_ref(), &place.key("methods"))?;
    let Some(written) = &raw.into else {
        compiler.missing(place, "into", "into: { json: /identifier_hash }");
        return None;
    };
    let place = place.key("into");
    if written.places() != 1 {
        if !compiler.report.lost_something_in(&place) {
            compiler.report.key(&place, "a proof goes into one place").expected(PLACES);
        }
        return None;
    }
    let hash = match compiled.map(|compiled| &compiled.dialect.mechanism) {
        // The hash alone will do: what it covers may stand there already.
        Some(Mechanism::Hmac(rules)) if !written.is_bare() => Some(rules),
        _ => None,
    };
    let source = source::source(compiler, &written.as_source(), hash, &place)?;
    let everywhere = |path: &PathPattern| path.rest && path.segments.is_empty();
    let limited = path.as_ref().is_some_and(|path| !everywhere(path));
    check_place(compiler, &source, limited, ours, &place);
    let into = Target::of(source.carrier.clone())?;
    check_target(compiler, &into, &place)?;
    let bodiless = |method: &Method| matches!(*method, Method::GET | Method::HEAD);
    if into.is_written_in_body() && !methods.is_empty() && methods.iter().all(bodiless) {
        compiler
            .report
            .key(&place, "requests of these `methods` have no body")
            .expected("a header or a parameter, or other methods");
    }
    Some(Where { source, into, path, methods })
}

/// Names that readers would take for others than those that are cleaned, or that stand in each
/// other's way.
fn check_target(compiler: &mut Compiler<'_, '_>, into: &Target, place: &Place) -> Option<()> {
    let names = names(into);
    let is_parameter = matches!(into, Target::Query(..) | Target::Form(_));
    if let Some(name) = names.iter().find(|name| is_parameter && !is_plain(name)) {
        compiler
            .report
            .key(place, format!("`{name}` means different names to different readers"))
            .expected(
                "a name such as token or user[token], without dots, spaces and empty brackets",
            );
        return None;
    }
    let all: Vec<_> = names.iter().map(|name| segments(into, name)).collect();
    let rest = |index| all.iter().skip(index + 1);
    let twice = all.iter().enumerate().find(|(index, one)| rest(*index).any(|it| touch(one, it)));
    if let Some((index, _)) = twice {
        let name = names.get(index).map(String::as_str).unwrap_or_default();
        compiler
            .report
            .key(
                place,
                format!("`{name}` and another name of this place are one, or one within the other"),
            )
            .expected("a name for each, and none beneath another");
        return None;
    }
    Some(())
}

/// Whether a parameter's name is one to every reader: `token`, `user[token]`.
fn is_plain(name: &str) -> bool {
    let is_word = |text: &str| {
        let odd = |c: char| c.is_control() || c.is_whitespace() || ".[];&=+%".contains(c);
        !text.is_empty() && !text.contains(odd)
    };
    let (base, brackets) = name.split_at(name.find('[').unwrap_or(name.len()));
    let inner = brackets.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
    let inner = inner.is_none_or(|inner| inner.is_some_and(|it| it.split("][").all(is_word)));
    is_word(base) && inner
}

/// A place that is not Countersign's to write, or is somebody else's.
fn check_place(
    compiler: &mut Compiler<'_, '_>,
    source: &Source,
    limited: bool,
    ours: &Ours<'_>,
    place: &Place,
) {
    let names = source.carrier.names();
    let all = [Some(&names.proof), names.id.as_ref(), names.email.as_ref(), names.name.as_ref()];
    let is_header = matches!(source.carrier, Carrier::Header { .. });
    if let Some(name) = all
        .into_iter()
        .flatten()
        .find(|name| is_header && forwarded::tells_of_the_way(&name.to_ascii_lowercase()))
    {
        compiler
            .report
            .key(place, format!("`{name}` says where a request came from"))
            .expected("a header of the backend's own");
    }
    let told = Reserved::of(std::iter::once(ours.headers));
    if let Some(name) = all.into_iter().flatten().find(|name| is_header && told.has(name)) {
        compiler
            .report
            .key(place, format!("`{name}` is a header that `headers` tells the backend by"))
            .expected("a header of its own");
    }
    let sessions = ours.session.iter().flat_map(|session| &session.request);
    let carries = |session: &Source| {
        let kind = |source: &Source| std::mem::discriminant(&source.carrier);
        let theirs = &session.carrier.names().proof;
        // What is removed is removed in every spelling.
        let alike = |name: &String| name == theirs || is_header && folds_alike(name, theirs);
        kind(session) == kind(source) && all.into_iter().flatten().any(alike)
    };
    if !limited && let Some(session) = sessions.into_iter().find(|session| carries(session)) {
        compiler
            .report
            .key(
                place,
                format!("`{}` carries the backend's session", session.carrier.names().proof),
            )
            .expected("another place, or a `path` where nobody has a session yet")
            .hint("what clients send in this place is removed");
    }
}
