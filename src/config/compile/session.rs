//! The backend's session that stands for an identity: `session`.
//!
//! A session's place carries nothing but sessions. Were it a credential's as well, each
//! credential that came by would be bound like a session, and outlive itself.

use std::time::Duration;

use http::HeaderName;

use super::memory::Ours;
use super::{Compiler, pattern, source};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{Carrier, Mechanism, Names, Source};
use crate::plan::{Brought, Session};

const ONE: &str = "one of header, cookie, query, json, form";
/// Each costs memory; more is a slip.
const MOST: usize = 10_000_000;

/// What is said of sessions.
pub fn session(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Session,
    ours: &Ours<'_>,
    place: &Place,
) -> Session {
    let cookie = raw.cookie.unwrap_or(false);
    let request = raw.request.as_ref().map(|list| request(compiler, list, ours, place));
    let lost =
        ["request", "cookie"].iter().any(|member| compiler.report.was_removed(&place.key(member)));
    if request.is_none() && !cookie && !lost {
        compiler
            .report
            .key(place, "a session that no request could carry")
            .expected("request: [ { header: X-Auth-Token } ], where the backend's own token is, or cookie: true")
            .hint("`cookie: true` hands out a cookie of Countersign's own, for backends without a session");
    }
    let response = raw.response.as_ref().map(|list| response(compiler, list, place));
    if response.is_some() && raw.request.is_none() && !lost {
        compiler
            .report
            .key(&place.key("response"), "answers bring tokens that no request carries")
            .expected("request: [ … ] beside it")
            .hint("`request` says where the widget sends the token that an answer brought");
    }
    warn_of_no_id(compiler, ours);
    Session {
        request: request.unwrap_or_default(),
        response: response.unwrap_or_default(),
        ttl: ttl(compiler, raw.ttl, &place.key("ttl")),
        max: count(compiler, raw.max, Session::MAX, &place.key("max")),
        max_per_identity: count(
            compiler,
            raw.max_per_identity,
            Session::MAX_PER_IDENTITY,
            &place.key("max_per_identity"),
        ),
        cookie,
    }
}

fn request(
    compiler: &mut Compiler<'_, '_>,
    list: &raw::List<raw::SessionSource>,
    ours: &Ours<'_>,
    session: &Place,
) -> Vec<Source> {
    let place = session.key("request");
    if list.is_empty() {
        compiler
            .report
            .key(&place, "an empty list of places")
            .expected("[ { header: X-Auth-Token } ]");
    }
    let mut sources: Vec<Source> = Vec::new();
    for (index, raw) in list.entries() {
        let place = place.index(index);
        if raw.places() != 1 {
            if !compiler.report.lost_something_in(&place) {
                compiler.report.value(&place, "a session's token has one place").expected(ONE);
            }
            continue;
        }
        let Some(mut source) = source::source(compiler, &raw.as_source(), None, &place) else {
            continue;
        };
        // With another scheme it is somebody else's, and no session.
        source.shared = true;
        if sources.iter().any(|other| source::overlap(&source, other)) {
            compiler.report.value(&place, "this place stands here for the second time");
        }
        check_place(compiler, &source, ours, &place);
        sources.push(source);
    }
    sources
}

/// A session's place is neither a credential's nor Countersign's own cookie.
fn check_place(compiler: &mut Compiler<'_, '_>, source: &Source, ours: &Ours<'_>, place: &Place) {
    let name = source.carrier.names().proof;
    if matches!(source.carrier, Carrier::Cookie { .. }) && name == Session::COOKIE {
        compiler
            .report
            .value(place, format!("`{name}` is Countersign's own cookie"))
            .expected("cookie: true");
        return;
    }
    if ours.sources().any(|theirs| overlap(source, theirs)) {
        compiler
            .report
            .value(place, format!("`{name}` carries credentials of this site"))
            .expected("where the backend's own session token is")
            .hint("a credential proves by itself; bound like a session it would outlive its end");
    }
}

/// Whether a session could be taken for a credential, or for what a hash covers.
fn overlap(session: &Source, credential: &Source) -> bool {
    let names = credential.carrier.names();
    let beside = [&names.id, &names.email, &names.name];
    let same_kind =
        std::mem::discriminant(&session.carrier) == std::mem::discriminant(&credential.carrier);
    let name = session.carrier.names().proof;
    source::overlap(session, credential)
        || same_kind && beside.into_iter().flatten().any(|other| *other == name)
}

fn response(
    compiler: &mut Compiler<'_, '_>,
    list: &raw::List<raw::Brought>,
    session: &Place,
) -> Vec<Brought> {
    let place = session.key("response");
    if list.is_empty() {
        compiler
            .report
            .key(&place, "an empty list of places")
            .expected("[ { json: /widget_auth_token } ]")
            .hint("without `response` no answer is looked at");
    }
    let mut places: Vec<Brought> = Vec::new();
    for (index, raw) in list.entries() {
        let place = place.index(index);
        let Some(brought) = brought(compiler, raw, &place) else { continue };
        if places.contains(&brought) {
            compiler.report.value(&place, "this place stands here for the second time");
        }
        places.push(brought);
    }
    places
}

fn brought(compiler: &mut Compiler<'_, '_>, raw: &raw::Brought, place: &Place) -> Option<Brought> {
    let (kind, name) = match (&raw.header, &raw.cookie, &raw.json) {
        (Some(name), None, None) => ("header", name),
        (None, Some(name), None) => ("cookie", name),
        (None, None, Some(name)) => ("json", name),
        _ => {
            if !compiler.report.lost_something_in(place) {
                compiler
                    .report
                    .value(place, "a token comes from one place of an answer")
                    .expected("one of header, cookie, json");
            }
            return None;
        }
    };
    let place = place.key(kind);
    if kind == "header" && name.eq_ignore_ascii_case("set-cookie") {
        compiler
            .report
            .value(&place, format!("`{name}` cannot be looked for here"))
            .expected("{ cookie: NAME } for a cookie that the answer sets");
        return None;
    }
    let names = Names { proof: name.clone(), ..Names::default() };
    source::check_names(compiler, kind, &names, &place)?;
    match kind {
        "header" => HeaderName::from_bytes(name.as_bytes()).ok().map(Brought::Header),
        "cookie" => Some(Brought::Cookie(name.clone())),
        _ => pattern::name_or_pointer(name).map(Brought::Json),
    }
}

/// Who has no id is bound to nothing.
fn warn_of_no_id(compiler: &mut Compiler<'_, '_>, ours: &Ours<'_>) {
    if let Mechanism::Jwt(rules) = &ours.dialect.mechanism
        && rules.claims.id_optional
        && !ours.has_id_claim
    {
        compiler.warn(format!(
            "site {}: `session` binds only visitors whose token has an id, which {} does not \
             ask for; `id_claim` says where it stands",
            ours.name, ours.dialect.name
        ));
    }
}

fn ttl(compiler: &mut Compiler<'_, '_>, raw: Option<raw::Period>, place: &Place) -> Duration {
    let Some(raw::Period(ttl)) = raw else { return Session::TTL };
    if ttl.is_zero() {
        compiler
            .report
            .value(place, "a session would end as it begins")
            .expected("a duration longer than 0s")
            .hint("without `session` every request proves for itself");
    }
    ttl
}

fn count(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<usize>,
    default: usize,
    place: &Place,
) -> usize {
    let Some(count) = raw else { return default };
    if !(1..=MOST).contains(&count) {
        compiler
            .report
            .value(place, format!("{count} is out of range"))
            .expected(format!("1 to {MOST}"));
    }
    count
}
