//! One dialect's text → its rules: the mechanism, the sources, the identity fields.

use super::algorithm::unknown_algorithm;
use super::claims::claim_rules;
use super::{Compiled, Compiler, pattern, source, unsigned};
use crate::config::place::Place;
use crate::config::raw::{self, SecretEncoding};
use crate::dialect::{
    Algorithm, Dialect, FieldName, HashFunction, HmacRules, JwtRules, KeySelection, Mechanism,
    MessagePiece, Output, Source, UnsignedRules,
};

/// Compiles a dialect whose `extends` has been worked in.
pub fn compile(
    compiler: &mut Compiler<'_, '_>,
    name: &str,
    family: String,
    raw: &raw::Dialect,
    place: &Place,
) -> Option<Compiled> {
    let mechanism = mechanism(compiler, raw, place)?;
    let place_of_sources = place.key("sources");
    let sources = match &raw.sources {
        Some(list) => source::sources(compiler, list, &mechanism, &place_of_sources),
        None => {
            compiler.missing(
                place,
                "sources",
                "sources: [ { header: Authorization, scheme: Bearer, shared: true } ]",
            );
            Vec::new()
        }
    };
    let encoding = raw.hmac.as_ref().and_then(|hmac| hmac.key).unwrap_or(SecretEncoding::Raw);
    let unsigned = unsigned_rules(compiler, raw.unsigned.as_ref(), &mechanism, &sources, place);
    let dialect = Dialect {
        name: name.into(),
        title: raw.title.clone().unwrap_or_else(|| name.to_owned()),
        documented_at: raw.documented_at.clone(),
        sources,
        mechanism,
        unsigned,
    };
    Some(Compiled { dialect, encoding, family })
}

fn mechanism(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Dialect,
    place: &Place,
) -> Option<Mechanism> {
    match (&raw.jwt, &raw.hmac) {
        (Some(jwt), None) => {
            jwt_rules(compiler, jwt, raw.claims.as_ref(), place).map(Mechanism::Jwt)
        }
        (None, Some(hmac)) => {
            if raw.claims.is_some() {
                compiler
                    .report
                    .key(&place.key("claims"), "a hash has no claims")
                    .hint("what it covers is said by `hmac: { message: … }`");
            }
            hmac_rules(compiler, hmac, place).map(Mechanism::Hmac)
        }
        (Some(_), Some(_)) => {
            compiler
                .report
                .key(&place.key("hmac"), "both `jwt` and `hmac`")
                .expected("one of them");
            None
        }
        (None, None) => {
            if !compiler.report.lost_something_in(place) {
                compiler
                    .report
                    .key(place, "neither `jwt` nor `hmac`")
                    .expected("how the credential is checked: jwt: { algorithms: [HS256] }")
                    .hint("`extends: jwt` starts from another dialect; `countersign dialects` lists them");
            }
            None
        }
    }
}

fn jwt_rules(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Jwt,
    claims: Option<&raw::Claims>,
    dialect: &Place,
) -> Option<JwtRules> {
    let place = dialect.key("jwt");
    let algorithms = algorithms(compiler, raw, &place);
    let seconds = |period: Option<raw::Seconds>| period.map(|period| period.0);
    let leeway = raw.leeway.unwrap_or_default();
    let lifetime = raw.lifetime.as_ref();
    let max_bytes = raw.max_bytes.map_or(8192, |size| size.0);
    if !(64..=65536).contains(&max_bytes) {
        compiler
            .report
            .value(&place.key("max_bytes"), format!("{max_bytes} is out of range"))
            .expected("64 to 65536");
    }
    let header = raw.header.as_ref();
    Some(JwtRules {
        algorithms,
        key: match &raw.key {
            None | Some(raw::KeyRule::Word("kid_if_present")) => KeySelection::KidIfPresent,
            Some(raw::KeyRule::Word("kid_or_any")) => KeySelection::KidOrAny,
            Some(raw::KeyRule::Word("any")) => KeySelection::Any,
            Some(raw::KeyRule::Word(_)) => KeySelection::Kid,
            Some(raw::KeyRule::Claim(claim)) => KeySelection::Claim(claim.clone()),
        },
        required_header: header
            .into_iter()
            .flat_map(raw::List::entries)
            .map(|(_, member)| member.clone())
            .collect(),
        max_bytes,
        warn_bytes: raw.warn_bytes.map(|size| size.0),
        leeway_iat: seconds(leeway.iat).unwrap_or(0),
        leeway_exp: seconds(leeway.exp).unwrap_or(0),
        max_lifetime: seconds(lifetime.and_then(|lifetime| lifetime.max)),
        lifetime_without_exp: seconds(lifetime.and_then(|lifetime| lifetime.without_exp)),
        single_use: raw.single_use.is_some(),
        min_remaining: seconds(lifetime.and_then(|lifetime| lifetime.min_remaining)).unwrap_or(0),
        claims: claim_rules(compiler, claims, dialect),
    })
}

fn algorithms(compiler: &mut Compiler<'_, '_>, raw: &raw::Jwt, place: &Place) -> Vec<Algorithm> {
    let Some(list) = &raw.algorithms else {
        compiler.missing(place, "algorithms", "algorithms: [HS256]");
        return Vec::new();
    };
    let place = place.key("algorithms");
    if list.is_empty() {
        compiler.report.key(&place, "no algorithm would be accepted").expected("[HS256]");
    }
    let mut algorithms = Vec::new();
    for (index, name) in list.entries() {
        match Algorithm::from_name(name) {
            Some(algorithm) => algorithms.push(algorithm),
            None => unknown_algorithm(compiler, name, &place.index(index)),
        }
    }
    algorithms
}

fn hmac_rules(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Hmac,
    dialect: &Place,
) -> Option<HmacRules> {
    let text = raw.message.as_deref().unwrap_or("{id}");
    let Some(message) = pattern::message(text) else {
        compiler
            .report
            .value(&dialect.key("hmac").key("message"), format!("`{text}` is no message"))
            .expected(pattern::MESSAGE);
        return None;
    };
    let is_field = |piece: &MessagePiece| matches!(piece, MessagePiece::Field(_));
    if message.windows(2).any(|pair| pair.iter().all(is_field)) {
        compiler
            .report
            .value(
                &dialect.key("hmac").key("message"),
                format!("`{text}` has two fields with nothing between them"),
            )
            .expected(pattern::MESSAGE)
            .hint("one hash would prove every way to cut such a text in two");
    }
    Some(HmacRules {
        hash: match raw.hash {
            None | Some(raw::HashName::Sha256) => HashFunction::Sha256,
            Some(raw::HashName::Sha512) => HashFunction::Sha512,
        },
        message,
        output: match raw.output {
            None | Some(raw::OutputName::Hex) => Output::Hex,
            Some(raw::OutputName::Base64) => Output::Base64,
        },
    })
}

fn unsigned_rules(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Unsigned>,
    mechanism: &Mechanism,
    sources: &[Source],
    dialect: &Place,
) -> UnsignedRules {
    let place = dialect.key("unsigned");
    let mut names = |list: Option<&raw::List<String>>, member: &str| -> Vec<FieldName> {
        let mut names = Vec::new();
        for (index, text) in list.into_iter().flat_map(raw::List::entries) {
            let place = place.key(member).index(index);
            match FieldName::parse(text) {
                Some(name) if !matches!(text.as_str(), "*" | "/*") => names.push(name),
                _ => not_a_field(compiler, text, &place),
            }
        }
        names
    };
    let fields = names(raw.and_then(|raw| raw.fields.as_ref()), "fields");
    let copied = names(raw.and_then(|raw| raw.copied.as_ref()), "copied");
    // `prefix: ""` marks nothing.
    let prefix = raw.and_then(|raw| raw.prefix.clone()).filter(|prefix| !prefix.is_empty());
    UnsignedRules {
        fields: unsigned::fields(fields, prefix.as_deref(), mechanism, sources),
        copied,
        prefix,
    }
}

fn not_a_field(compiler: &mut Compiler<'_, '_>, text: &str, place: &Place) {
    if matches!(text, "" | "*" | "/*") {
        compiler.report.value(place, "this would be any field").expected("a field's name");
        return;
    }
    let problem = compiler.report.value(place, format!("`{text}` leads to no field"));
    problem.expected("a field's name, or a JSON pointer such as /contact/email");
    if !text.starts_with('/') {
        let pointer = text.replace("][", "/").replace('[', "/").replace(']', "");
        problem.hint(format!("write `/{pointer}`: it is `{text}` in forms and queries too"));
    }
}
