//! The checks of a credential in words, in the order in which they run.

use super::page::Block;
use super::words::{listed, pointer};
use crate::dialect::{
    AudienceRule, ClaimType, HashField, HashFunction, HmacRules, JwtRules, KeySelection,
    MessagePiece, Output,
};

const RULES: [&str; 2] = ["what", "rule"];

/// The rules for a token.
pub fn token(rules: &JwtRules) -> Vec<Block> {
    let mut rows = vec![
        ["Form".to_owned(), size(rules)],
        ["Algorithm".to_owned(), format!("{}, as the key is pinned", algorithms(rules))],
        ["Key".to_owned(), key(&rules.key)],
    ];
    if !rules.required_header.is_empty() {
        let names: Vec<String> =
            rules.required_header.iter().map(|name| format!("`{name}`")).collect();
        rows.insert(2, ["Header".to_owned(), format!("must have {}", listed(&names))]);
    }
    let claims = &rules.claims;
    for (what, claims) in
        [("Must be there", &claims.required), ("Checked if there", &claims.optional)]
    {
        let claims: Vec<String> = claims
            .iter()
            .map(|(place, kind)| format!("{} ({})", pointer(place), kind_word(kind)))
            .collect();
        if !claims.is_empty() {
            rows.push([what.to_owned(), listed(&claims)]);
        }
    }
    if rules.key != KeySelection::Claim("aud".to_owned()) {
        rows.push(["Audience".to_owned(), audience(claims.audience).to_owned()]);
    }
    rows.push(["Clocks".to_owned(), clocks(rules)]);
    rows.push(["Lifetime".to_owned(), lifetime(rules)]);
    vec![Block::Table(RULES, rows)]
}

/// `HS256, RS256`.
pub fn algorithms(rules: &JwtRules) -> String {
    let names: Vec<&str> = rules.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    names.join(", ")
}

fn size(rules: &JwtRules) -> String {
    let warning = rules.warn_bytes.map(|most| {
        format!("; beyond {most} the vendor's own widget does not carry it, and `sign` warns")
    });
    let most = rules.max_bytes;
    format!("a compact JWS of at most {most} bytes{}", warning.unwrap_or_default())
}

fn key(selection: &KeySelection) -> String {
    match selection {
        KeySelection::Kid => "`kid` must name one of the site's keys".to_owned(),
        KeySelection::KidIfPresent => {
            "a `kid` must name one of the site's keys; without one all are tried".to_owned()
        }
        KeySelection::KidOrAny => "`kid` is a hint: all of the site's keys are tried".to_owned(),
        KeySelection::Any => "all of the site's keys are tried; `kid` is not looked at".to_owned(),
        KeySelection::Claim(claim) => {
            format!("the claim `{claim}` (after its last `/`) must name one of the site's keys")
        }
    }
}

const fn audience(rule: AudienceRule) -> &'static str {
    match rule {
        AudienceRule::None => "`aud` is not looked at",
        AudienceRule::Aud => {
            "a token with `aud` needs the site's `audience` among it; a site with `audience` \
             needs a token with `aud`"
        }
        AudienceRule::Sub => "`sub` must be the site's `audience`",
    }
}

fn clocks(rules: &JwtRules) -> String {
    let ahead = match rules.leeway_iat {
        0 => "`iat` and `nbf` may not lie ahead".to_owned(),
        leeway => format!("`iat` and `nbf` may lie {} ahead", period(leeway)),
    };
    match rules.leeway_exp {
        0 => format!("{ahead}; `exp` has no leeway"),
        leeway => format!("{ahead}; `exp` may have passed for less than {}", period(leeway)),
    }
}

fn lifetime(rules: &JwtRules) -> String {
    let mut sentences = Vec::new();
    if let Some(most) = rules.max_lifetime {
        sentences.push(format!("at most {} from `iat` to `exp`", period(most)));
    }
    if let Some(without) = rules.lifetime_without_exp {
        sentences.push(format!("a token without `exp` ends {} after `iat`", period(without)));
    }
    if rules.min_remaining > 0 {
        let least = period(rules.min_remaining);
        sentences.push(format!("at least {least} must be left when it is presented"));
    }
    let ends = rules.claims.required.iter().any(|(place, _)| place.0 == ["exp"]);
    match (sentences.is_empty(), ends) {
        (false, _) => sentences.join("; "),
        (true, true) => "until `exp`, however long".to_owned(),
        (true, false) => {
            "until `exp`; without one for as long as its key (`require_claims: [exp]` forbids that)"
                .to_owned()
        }
    }
}

fn kind_word(kind: &ClaimType) -> String {
    let words = match kind {
        ClaimType::Exactly(text) => return format!("exactly `{text}`"),
        ClaimType::String => "a string that is not empty",
        ClaimType::Time => "an integer of seconds",
        ClaimType::Strings => "an object of strings",
        ClaimType::Object => "an object",
        ClaimType::Boolean => "true or false",
        ClaimType::Any => "anything",
    };
    words.to_owned()
}

/// The rules for a hash.
pub fn hash(rules: &HmacRules, key_encoding: &str) -> Vec<Block> {
    let function = match rules.hash {
        HashFunction::Sha256 => "HMAC-SHA256",
        HashFunction::Sha512 => "HMAC-SHA512",
    };
    let written = match (rules.output, rules.hash) {
        (Output::Hex, HashFunction::Sha256) => "64 lower-case hexadecimal digits",
        (Output::Hex, HashFunction::Sha512) => "128 lower-case hexadecimal digits",
        (Output::Base64, HashFunction::Sha256) => "44 characters of padded base64",
        (Output::Base64, HashFunction::Sha512) => "88 characters of padded base64",
    };
    let key = match key_encoding {
        "raw" => "the secret as it is written, not decoded".to_owned(),
        encoding => format!("the secret decoded from {encoding}"),
    };
    let row = |what: &str, rule: String| [what.to_owned(), rule];
    vec![Block::Table(
        RULES,
        vec![
            row("Hash", format!("{function} over `{}`", message(rules))),
            row("Key", format!("{key}; all of the site's keys are tried")),
            row("Form", format!("{written}; anything else is `malformed`")),
            row("Lifetime", "a hash has no time: it proves for as long as its key does".to_owned()),
        ],
    )]
}

/// The message as a dialect's file writes it.
pub fn message(rules: &HmacRules) -> String {
    rules.message.iter().map(message_piece).collect()
}

fn message_piece(piece: &MessagePiece) -> String {
    match piece {
        MessagePiece::Literal(literal) => literal.clone(),
        MessagePiece::Field(fields) => {
            let words: Vec<&str> = fields.iter().map(|field| field_word(*field)).collect();
            format!("{{{}}}", words.join("|"))
        }
    }
}

/// A field as `message` names it.
pub(super) const fn field_word(field: HashField) -> &'static str {
    match field {
        HashField::Id => "id",
        HashField::Email => "email",
        HashField::Name => "name",
    }
}

/// `90 s`, `7 min`, `24 h`.
fn period(seconds: u64) -> String {
    match seconds {
        s if s >= 3600 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_in_the_unit_that_people_use() {
        assert_eq!([1, 90, 420, 3600].map(period), ["1 s", "90 s", "7 min", "1 h"]);
    }
}
