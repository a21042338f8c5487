//! Which claims mean what: `claims`.

use super::{Compiler, pattern};
use crate::config::place::Place;
use crate::config::problem::nearest;
use crate::config::raw::{self, OneOrMany};
use crate::dialect::{Attributes, AudienceRule, ClaimRules, ClaimType, Pattern, Pointer};

const CLAIM_TYPES: [(&str, ClaimType); 6] = [
    ("string", ClaimType::String),
    ("time", ClaimType::Time),
    ("strings", ClaimType::Strings),
    ("object", ClaimType::Object),
    ("boolean", ClaimType::Boolean),
    ("any", ClaimType::Any),
];

/// The rules; those of a token without any are reported.
pub fn claim_rules(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Claims>,
    dialect: &Place,
) -> ClaimRules {
    let mut rules = ClaimRules::default();
    let place = dialect.key("claims");
    let Some(raw) = raw else {
        compiler.missing(dialect, "claims", "claims: { id: [/sub] }");
        return rules;
    };
    match &raw.id {
        Some(id) => {
            let place = place.key("id");
            (rules.id, rules.id_optional) = patterns(compiler, id, true, &place);
        }
        None => compiler.missing(&place, "id", "id: [/sub]"),
    }
    for (member, written, to) in
        [("name", &raw.name, &mut rules.name), ("email", &raw.email, &mut rules.email)]
    {
        if let Some(written) = written {
            (*to, _) = patterns(compiler, written, false, &place.key(member));
        }
    }
    rules.attributes = match raw.attributes.as_deref() {
        None | Some("rest") => Attributes::Rest,
        Some("none") => Attributes::None,
        Some(text) => match Pointer::parse(text) {
            Some(pointer) => Attributes::At(pointer),
            None => {
                compiler
                    .report
                    .value(&place.key("attributes"), format!("`{text}` does not belong here"))
                    .expected("rest, none, or a JSON pointer such as /attributes");
                Attributes::Rest
            }
        },
    };
    let keep = raw.keep.iter().flat_map(raw::List::entries);
    rules.keep = keep.map(|(_, name)| name.clone()).collect();
    rules.required = typed(compiler, raw.required.as_ref(), &place.key("required"));
    rules.optional = typed(compiler, raw.optional.as_ref(), &place.key("optional"));
    rules.audience = match raw.audience {
        None | Some(raw::AudienceWord::None) => AudienceRule::None,
        Some(raw::AudienceWord::Aud) => AudienceRule::Aud,
        Some(raw::AudienceWord::Sub) => AudienceRule::Sub,
    };
    rules
}

/// Patterns, and whether the word `optional` stands behind them.
fn patterns(
    compiler: &mut Compiler<'_, '_>,
    written: &OneOrMany,
    may_be_optional: bool,
    place: &Place,
) -> (Vec<Pattern>, bool) {
    let entries = written.entries();
    let last = entries.len();
    let mut patterns = Vec::new();
    let mut optional = false;
    for (number, (index, text)) in entries.into_iter().enumerate() {
        if may_be_optional && text == "optional" && number + 1 == last {
            optional = true;
            continue;
        }
        match pattern::pattern(text) {
            Some(pattern) => patterns.push(pattern),
            None => {
                let place = index.map_or(place.clone(), |index| place.index(index));
                let problem = compiler.report.value(&place, format!("`{text}` leads to no claim"));
                problem.expected(pattern::PATTERN);
                if Pointer::parse(&format!("/{text}")).is_some() && !text.contains('{') {
                    problem.hint(format!("write `/{text}`"));
                }
            }
        }
    }
    (patterns, optional)
}

fn typed(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Named<String>>,
    place: &Place,
) -> Vec<(Pointer, ClaimType)> {
    let mut claims = Vec::new();
    for (name, word) in raw.map(|named| named.0.as_slice()).unwrap_or_default() {
        let place = place.key(name);
        let pointer = pattern::name_or_pointer(name);
        if pointer.is_none() {
            compiler
                .report
                .key(&place, format!("`{name}` leads to no claim"))
                .expected("a claim's name, or a JSON pointer such as /attributes/email");
        }
        let kind = match word.strip_prefix('=').filter(|text| !text.is_empty()) {
            Some(text) => Some(ClaimType::Exactly(text.to_owned())),
            None => {
                CLAIM_TYPES.iter().find(|(known, _)| known == word).map(|(_, kind)| kind.clone())
            }
        };
        if kind.is_none() {
            let words = CLAIM_TYPES.map(|(word, _)| word);
            let near = nearest(word, words);
            let problem = compiler.report.value(&place, format!("`{word}` is no type of claim"));
            problem.expected(format!("{}, or `=TEXT` for exactly that string", words.join(", ")));
            problem.hint = near.map(|near| format!("did you mean `{near}`?"));
        }
        if let (Some(pointer), Some(kind)) = (pointer, kind) {
            claims.push((pointer, kind));
        }
    }
    claims
}
