//! A site's own settings for tokens: `audience`, `issuer`, `id_claim`, `require_claims`,
//! `leeway`, `single_use`.

use super::dialect::Compiled;
use super::signing::Signing;
use super::{Compiler, pattern};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{AudienceRule, ClaimType, JwtRules, Pattern, Piece, Pointer};

/// Works the site's settings for tokens into the dialect's rules.
pub fn token_settings(
    compiler: &mut Compiler<'_, '_>,
    name: &str,
    raw: &Signing<'_>,
    rules: &mut JwtRules,
    compiled: &Compiled,
    place: &Place,
) {
    audience(compiler, name, raw, rules, compiled, place);
    if let Some(issuer) = raw.issuer {
        if issuer.is_empty() {
            compiler.report.value(&place.key("issuer"), "an empty issuer");
        }
        rules.claims.issuer = Some(issuer.clone());
    }
    if let Some(text) = raw.id_claim {
        match Pointer::parse(text) {
            Some(pointer) => {
                let old = std::mem::replace(&mut rules.claims.id, vec![Pattern::Claim(pointer)]);
                // The claim that held the id was needed for nothing else.
                let held_it = |at: &Pointer| old.iter().flat_map(Pattern::places).any(|o| o == at);
                rules.claims.required.retain(|(at, _)| !held_it(at));
            }
            None => {
                compiler
                    .report
                    .value(&place.key("id_claim"), format!("`{text}` leads to no claim"))
                    .expected("a JSON pointer such as /sub or /attributes/memberID");
            }
        }
    } else if rules.claims.id_optional && !compiler.report.was_removed(&place.key("id_claim")) {
        let at: Vec<String> = rules.claims.id.iter().map(shown).collect();
        let at = if at.is_empty() { "an id".to_owned() } else { at.join(" or ") };
        compiler.warn(format!(
            "site {name}: a visitor whose token has no {at} is verified without an id: \
             bans, logouts and sessions do not apply; `id_claim` says where the id stands"
        ));
    }
    for (index, text) in raw.require_claims.iter().flat_map(raw::List::entries) {
        let Some(pointer) = pattern::name_or_pointer(text) else {
            compiler
                .report
                .value(
                    &place.key("require_claims").index(index),
                    format!("`{text}` leads to no claim"),
                )
                .expected("a claim's name, or a JSON pointer");
            continue;
        };
        require(rules, pointer);
    }
    if let Some(leeway) = raw.leeway {
        let seconds = |period: raw::Seconds| period.0;
        rules.leeway_iat = leeway.iat.map_or(rules.leeway_iat, seconds);
        rules.leeway_exp = leeway.exp.map_or(rules.leeway_exp, seconds);
    }
    // What its dialect asks for stays asked for.
    rules.single_use |= raw.single_use.is_some();
}

fn audience(
    compiler: &mut Compiler<'_, '_>,
    name: &str,
    raw: &Signing<'_>,
    rules: &mut JwtRules,
    compiled: &Compiled,
    place: &Place,
) {
    let place_of_audience = place.key("audience");
    let Some(audience) = raw.audience else {
        if rules.claims.audience == AudienceRule::Sub
            && !compiler.report.was_removed(&place_of_audience)
        {
            compiler
                .report
                .key(
                    place,
                    format!("`audience` is missing here: {} needs one", compiled.dialect.name),
                )
                .expected("audience: 0b1c2d3e")
                .hint("it is the widget's id, which tokens carry as `sub`");
        }
        return;
    };
    let entries = audience.entries();
    if entries.is_empty() && !compiler.report.lost_something_in(&place_of_audience) {
        compiler.report.key(&place_of_audience, "an empty list of audiences");
    }
    for (index, text) in entries {
        if text.is_empty() {
            let place =
                index.map_or(place_of_audience.clone(), |index| place_of_audience.index(index));
            compiler.report.value(&place, "an empty audience");
        }
        rules.claims.audiences.push(text.to_owned());
    }
    if rules.claims.audience == AudienceRule::None {
        compiler.warn(format!(
            "site {name}: `audience` has no effect: the dialect {} has none",
            compiled.dialect.name
        ));
    }
}

/// Adds a claim that must be there. What is read as text must be text.
fn require(rules: &mut JwtRules, pointer: Pointer) {
    let claims = &mut rules.claims;
    if claims.required.iter().any(|(known, _)| *known == pointer) {
        return;
    }
    let typed =
        claims.optional.iter().find(|(known, _)| *known == pointer).map(|(_, kind)| kind.clone());
    let mut texts = claims.id.iter().chain(&claims.name).chain(&claims.email);
    let is_text =
        texts.any(|pattern| matches!(pattern, Pattern::Claim(known) if *known == pointer));
    let is_time =
        matches!(pointer.0.as_slice(), [name] if matches!(name.as_str(), "exp" | "iat" | "nbf"));
    let kind = match typed {
        Some(kind) => kind,
        None if is_text => ClaimType::String,
        None if is_time => ClaimType::Time,
        None => ClaimType::Any,
    };
    claims.required.push((pointer, kind));
}

fn shown(pattern: &Pattern) -> String {
    let pointer = |pointer: &Pointer| format!("/{}", pointer.0.join("/"));
    match pattern {
        Pattern::Claim(at) => pointer(at),
        Pattern::Text(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Claim(at) => format!("{{{}}}", pointer(at)),
            })
            .collect(),
    }
}
