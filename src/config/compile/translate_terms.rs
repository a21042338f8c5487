//! The terms of one entry of `translate`: for how long, for whom, by which key's name.

use std::time::Duration;

use super::translate::Entry;
use super::{Compiler, key};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{KeySelection, Mechanism};
use crate::translate::Template;

/// Beyond, a token is less of a proof than of a password.
const HOUR: Duration = Duration::from_secs(3600);

/// Seconds that tokens hold for, if that is said; none when it is wrong.
pub fn ttl(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>) -> Option<Option<u64>> {
    let place = entry.place.key("ttl");
    let Some(raw::Period(ttl)) = entry.raw.ttl else {
        return (!compiler.report.was_removed(&place)).then_some(None);
    };
    let rules = match &entry.compiled.dialect.mechanism {
        Mechanism::Jwt(rules) => rules,
        Mechanism::Hmac(_) => {
            let name = &entry.compiled.dialect.name;
            compiler
                .report
                .key(&place, format!("`ttl` has no meaning with {name}"))
                .hint("a hash holds for as long as its key does");
            return None;
        }
    };
    let (least, most) = (rules.min_remaining.max(1), rules.max_lifetime.unwrap_or(u64::MAX));
    if ttl.subsec_nanos() > 0 || !(least..=most).contains(&ttl.as_secs()) {
        let problem =
            compiler.report.value(&place, "a token cannot hold for so long or so short a time");
        problem.expected(match most {
            u64::MAX => format!("at least {least}s, in whole seconds"),
            most => format!("{least}s to {most}s, in whole seconds"),
        });
        return None;
    }
    if ttl > HOUR {
        compiler.warn(format!(
            "site {}: tokens for {} may hold longer than an hour, and nothing takes them back",
            entry.site, entry.compiled.dialect.name
        ));
    }
    Some(Some(ttl.as_secs()))
}

/// What the backend calls visitors.
pub fn template(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Translate,
    site: &str,
    place: &Place,
) -> Option<Template> {
    let place = place.key("id");
    let Some(text) = raw.id.as_deref() else {
        return (!compiler.report.was_removed(&place)).then(Template::default);
    };
    let template = Template::parse(text);
    if template.is_none() {
        compiler
            .report
            .value(&place, format!("`{text}` is not what a backend could call each visitor"))
            .expected("text with one `{id}` or `{email}` in it, such as c-{id} or c-{id|hex}");
    }
    if template.as_ref().is_some_and(Template::is_open) {
        compiler.warn(format!(
            "site {site}: in `{text}` an id may hold what parts it from the text behind it: write \
             `|hex`, unless the website's ids cannot"
        ));
    }
    template
}

/// What tokens call the key: none, unless the dialect wants it.
pub fn kid<'r>(compiler: &mut Compiler<'_, '_>, entry: &Entry<'r>) -> Option<Option<&'r str>> {
    let place = entry.place.key("kid");
    let (raw, dialect) = (entry.raw, &entry.compiled.dialect);
    let wanted = match &dialect.mechanism {
        Mechanism::Hmac(_) => None,
        Mechanism::Jwt(rules) => {
            let named = rules.required_header.iter().any(|name| name == "kid");
            Some(named || matches!(rules.key, KeySelection::Kid | KeySelection::Claim(_)))
        }
    };
    match (raw.kid.as_deref(), wanted) {
        (Some(_), None) => {
            compiler
                .report
                .key(&place, format!("`kid` has no meaning with {}", dialect.name))
                .hint("a hash names no key");
            None
        }
        (Some(kid), _) if !key::is_id(kid) => {
            compiler
                .report
                .value(&place, format!("`{kid}` cannot be a key's id"))
                .expected(key::ID);
            None
        }
        (None, Some(true)) => {
            compiler.missing(entry.place, "kid", "kid: \"2026-11\"");
            None
        }
        (kid, _) => (!compiler.report.was_removed(&place)).then_some(kid),
    }
}
