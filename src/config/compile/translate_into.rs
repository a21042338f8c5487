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
use crate::gate::contract::Reserved;
use crate::gate::route::PathPattern;
use crate::gate::{Fields, forwarded};
use crate::plan::Target;

const PLACES: &str = "one of header, query, json, form";

/// A place, and the requests whose place it is.
#[derive(Clone)]
pub struct Where {
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
        let lies = |own: &String| {
            let beneath = |one: &str, other: &str| {
                one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            names(&other.into).iter().any(|name| beneath(own, name) || beneath(name, own))
        };
        paths && methods && kind && names(&self.into).iter().any(lies)
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

/// The names of a place as request fields: `user[hash]` is `/user/hash`.
pub fn fields(into: &Target) -> Fields {
    let field = |name: String| {
        let segments: Vec<String> = match into {
            Target::Json(_) => Pointer::parse(&name).map(|pointer| pointer.0).unwrap_or_default(),
            _ => name.split('[').map(|part| part.trim_end_matches(']').to_owned()).collect(),
        };
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
    check_place(compiler, &source, path.is_some(), ours, &place);
    let into = Target::of(source.carrier)?;
    let bodiless = |method: &Method| matches!(*method, Method::GET | Method::HEAD);
    if into.is_in_body() && !methods.is_empty() && methods.iter().all(bodiless) {
        compiler
            .report
            .key(&place, "requests of these `methods` have no body")
            .expected("a header or a parameter, or other methods");
    }
    Some(Where { into, path, methods })
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
    if !limited && sessions.into_iter().any(|session| source::overlap(session, source)) {
        compiler
            .report
            .key(place, format!("`{}` carries the backend's session", names.proof))
            .expected("another place, or a `path` where nobody has a session yet")
            .hint("what clients send in this place is removed");
    }
}
