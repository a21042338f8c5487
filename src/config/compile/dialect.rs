//! The language of dialects → [`Dialect`].
//!
//! A dialect of the file hides a built-in one of the same name, and may still extend it.
//! `extends` merges the two texts member by member (lists are replaced), so that all
//! checks see the result as if it had been written out.

use std::collections::HashMap;
use std::rc::Rc;

use serde_yaml::{Mapping, Value};

use super::key::unknown_algorithm;
use super::{Compiler, pattern, source, unsigned};
use crate::config::document;
use crate::config::place::{Marks, Place};
use crate::config::problem::nearest;
use crate::config::raw::{self, OneOrMany, SecretEncoding};
use crate::config::report::Report;
use crate::dialect::builtin::{BUILTIN, builtin};
use crate::dialect::{
    Algorithm, Attributes, AudienceRule, ClaimRules, ClaimType, Dialect, HashFunction, HmacRules,
    JwtRules, KeySelection, Mechanism, Output, Pattern, Pointer, UnsignedRules,
};

const CLAIM_TYPES: [(&str, ClaimType); 6] = [
    ("string", ClaimType::String),
    ("time", ClaimType::Time),
    ("strings", ClaimType::Strings),
    ("object", ClaimType::Object),
    ("boolean", ClaimType::Boolean),
    ("any", ClaimType::Any),
];

/// No credential but a service; people look for it here all the same.
const LIVESUPPORTI: &str = "livesupporti";

/// A dialect before a site's own settings.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The dialect itself.
    pub dialect: Dialect,
    /// How its sites' secrets are written unless they say so themselves.
    pub encoding: SecretEncoding,
    /// The built-in dialect that it starts from, or its own name.
    pub family: String,
}

/// All dialects: the built-in ones, and those of the file.
pub struct Dialects<'v> {
    own: Option<&'v Mapping>,
    compiled: HashMap<String, Option<Rc<Compiled>>>,
}

impl<'v> Dialects<'v> {
    /// Those of the file's tree.
    pub fn new(value: &'v Value) -> Self {
        Self { own: value.get("dialects").and_then(Value::as_mapping), compiled: HashMap::new() }
    }

    /// Compiles the file's own dialects, used or not.
    pub fn compile_own(
        &mut self,
        compiler: &mut Compiler<'_, '_>,
        raw: Option<&raw::Named<raw::Dialect>>,
    ) {
        let place = Place::root().key("dialects");
        for (name, raw) in raw.map(|named| named.0.as_slice()).unwrap_or_default() {
            let place = place.key(name);
            let compiled = self.own_dialect(compiler, name, raw, &place);
            self.compiled.insert(name.clone(), compiled.map(Rc::new));
        }
    }

    /// The dialect that a site names at `place`.
    pub fn find(
        &mut self,
        compiler: &mut Compiler<'_, '_>,
        name: &str,
        place: &Place,
    ) -> Option<Rc<Compiled>> {
        if let Some(known) = self.compiled.get(name) {
            return known.clone(); // if there is none, its own problems were reported
        }
        if compiler.report.was_removed(&Place::root().key("dialects").key(name)) {
            return None;
        }
        if builtin(name).is_none() {
            self.unknown(compiler, name, place);
            return None;
        }
        let compiled = match compile_builtin(name) {
            Ok(compiled) => Some(Rc::new(compiled)),
            Err(problem) => {
                compiler.report.value(place, format!("the built-in `{name}`: {problem}"));
                None
            }
        };
        self.compiled.insert(name.to_owned(), compiled.clone());
        compiled
    }

    fn unknown(&self, compiler: &mut Compiler<'_, '_>, name: &str, place: &Place) {
        if name == LIVESUPPORTI {
            compiler
                .report
                .value(place, "`livesupporti` is no dialect: it signs no identity")
                .expected("the dialect of the chat backend")
                .hint(
                    "LiveSupporti is a service beside a site: it is told of chats by\n\
                     webhooks: [ { name: crm, url: \"https://…\", format: livesupporti, secret: { file: hook.secret }, events: [chat.started] } ]\n\
                     and posts what it knows of visitors to\n\
                     details: { username: acme, password: { file: details.password } }\n\
                     (both not supported by this version)",
                );
            return;
        }
        let names = self.names();
        let near =
            nearest(name, names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        let problem = compiler.report.value(place, format!("there is no dialect `{name}`"));
        problem.expected(names.join(", "));
        problem.hint = near;
    }

    fn names(&self) -> Vec<&str> {
        let own = self.own.into_iter().flat_map(Mapping::keys).filter_map(Value::as_str);
        BUILTIN.iter().map(|(name, _)| *name).chain(own).collect()
    }

    fn own_dialect(
        &self,
        compiler: &mut Compiler<'_, '_>,
        name: &str,
        raw: &raw::Dialect,
        place: &Place,
    ) -> Option<Compiled> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=63).contains(&name.len()) || !name.bytes().all(known) {
            compiler
                .report
                .key(place, format!("`{name}` cannot be a dialect's name"))
                .expected("1 to 63 of a–z 0–9 -");
        }
        if builtin(name).is_some() {
            compiler
                .warn(format!("dialect {name}: the file's own rules replace the built-in ones"));
        }
        if raw.extends.is_none() {
            return compile(compiler, name, name.to_owned(), raw, place);
        }
        let place_of_extends = place.key("extends");
        match self.merged(name, &mut Vec::new()) {
            Ok((value, family)) => match serde_yaml::from_value::<raw::Dialect>(value) {
                Ok(merged) => compile(compiler, name, family, &merged, place),
                Err(error) => {
                    compiler.report.value(
                        &place_of_extends,
                        format!("this does not fit what it extends: {error}"),
                    );
                    None
                }
            },
            Err(Unmergeable::Circle) => {
                compiler
                    .report
                    .value(&place_of_extends, "this dialect extends itself")
                    .expected("a chain of dialects with an end");
                None
            }
            Err(Unmergeable::Unknown(parent)) => {
                // The link that is broken may be another dialect's, which is told of it.
                if raw.extends.as_deref() == Some(parent.as_str()) {
                    self.unknown(compiler, &parent, &place_of_extends);
                }
                None
            }
        }
    }

    /// The text of a dialect with all that it extends worked in, and the name at the
    /// chain's end.
    fn merged(&self, name: &str, seen: &mut Vec<String>) -> Result<(Value, String), Unmergeable> {
        // A name that comes back means the built-in one behind the file's own.
        let own = match seen.last() {
            Some(last) if last == name => None,
            _ => self.own.and_then(|own| own.get(name)),
        };
        let Some(own) = own else {
            let value = builtin(name).and_then(builtin_value);
            let value = value.ok_or_else(|| Unmergeable::Unknown(name.to_owned()))?;
            return Ok((value, name.to_owned()));
        };
        if seen.iter().any(|before| before == name) {
            return Err(Unmergeable::Circle);
        }
        seen.push(name.to_owned());
        let mut value = own.clone();
        let parent = value.as_mapping_mut().and_then(|members| members.shift_remove("extends"));
        let Some(parent) = parent.as_ref().and_then(Value::as_str) else {
            return Ok((value, name.to_owned()));
        };
        if parent == name && builtin(name).is_none() {
            return Err(Unmergeable::Circle);
        }
        let (base, family) = self.merged(parent, seen)?;
        Ok((over(base, value), family))
    }
}

enum Unmergeable {
    Circle,
    Unknown(String),
}

fn builtin_value(text: &str) -> Option<Value> {
    let document = document::parse(text, &mut Vec::new()).ok()?;
    let Value::Mapping(file) = document.value else { return None };
    let dialects = file.get("dialects")?.as_mapping()?;
    dialects.values().next().cloned()
}

/// Compiles a built-in dialect; that it works is tested, so a failure is a fault of the build.
fn compile_builtin(name: &str) -> Result<Compiled, String> {
    let value = builtin(name).and_then(builtin_value).ok_or("it is not valid YAML")?;
    let raw = serde_yaml::from_value::<raw::Dialect>(value).map_err(|error| error.to_string())?;
    let marks = Marks::default();
    let mut report = Report::new(&marks, Vec::new());
    let mut compiler = Compiler {
        folder: std::path::PathBuf::new(),
        options: crate::config::Options { secrets: false },
        now: crate::clock::UnixTime::from_secs(0),
        report: &mut report,
        watched: Vec::new(),
    };
    let compiled = compile(&mut compiler, name, name.to_owned(), &raw, &Place::root());
    let (problems, _) = report.into_problems();
    match (compiled, problems.as_slice()) {
        (Some(compiled), []) => Ok(compiled),
        (_, problems) => {
            Err(problems.first().map(|problem| problem.what.clone()).unwrap_or_default())
        }
    }
}

/// What people call a built-in dialect.
pub fn title_of_builtin(name: &str) -> String {
    compile_builtin(name).map(|compiled| compiled.dialect.title).unwrap_or_default()
}

/// Lays one tree over another: mappings are merged, everything else is replaced. A dialect
/// that changes the mechanism keeps nothing of the other one.
fn over(base: Value, top: Value) -> Value {
    match (base, top) {
        (Value::Mapping(mut base), Value::Mapping(top)) => {
            if top.contains_key("hmac") {
                base.shift_remove("jwt");
                base.shift_remove("claims");
            } else if top.contains_key("jwt") {
                base.shift_remove("hmac");
            }
            for (key, value) in top {
                let below = base.get_mut(&key).map(std::mem::take).unwrap_or_default();
                base.insert(key, over(below, value));
            }
            Value::Mapping(base)
        }
        (base, Value::Null) => base,
        (_, top) => top,
    }
}

fn compile(
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
    let seconds = |period: Option<raw::Period>| period.map(|period| period.0.as_secs());
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

fn claim_rules(
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
        Some(text) => match pattern::pointer(text) {
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
                if pattern::pointer(&format!("/{text}")).is_some() && !text.contains('{') {
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
        let kind = CLAIM_TYPES.iter().find(|(known, _)| known == word);
        if kind.is_none() {
            let words = CLAIM_TYPES.map(|(word, _)| word);
            let near = nearest(word, words);
            let problem = compiler.report.value(&place, format!("`{word}` is no type of claim"));
            problem.expected(words.join(", "));
            problem.hint = near.map(|near| format!("did you mean `{near}`?"));
        }
        if let (Some(pointer), Some((_, kind))) = (pointer, kind) {
            claims.push((pointer, *kind));
        }
    }
    claims
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
    sources: &[crate::dialect::Source],
    dialect: &Place,
) -> UnsignedRules {
    let place = dialect.key("unsigned");
    let mut texts = |list: Option<&raw::List<String>>, member: &str| -> Vec<String> {
        let mut texts = Vec::new();
        for (index, text) in list.into_iter().flat_map(raw::List::entries) {
            if text.is_empty() || text == "*" {
                let place = place.key(member).index(index);
                compiler.report.value(&place, "this would be any field").expected("a field's name");
            }
            texts.push(text.clone());
        }
        texts
    };
    let fields = texts(raw.and_then(|raw| raw.fields.as_ref()), "fields");
    let copied = texts(raw.and_then(|raw| raw.copied.as_ref()), "copied");
    UnsignedRules {
        fields: unsigned::fields(fields, mechanism, sources),
        copied,
        // `prefix: ""` marks nothing.
        prefix: raw.and_then(|raw| raw.prefix.clone()).filter(|prefix| !prefix.is_empty()),
        keep: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_dialect_compiles_under_its_own_name() {
        for (name, text) in BUILTIN {
            let compiled = compile_builtin(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!compiled.dialect.sources.is_empty(), "{name}");
            let document = document::parse(text, &mut Vec::new()).unwrap();
            assert!(document.value["dialects"].get(*name).is_some(), "{name}");
        }
    }

    #[test]
    fn one_text_is_laid_over_another() {
        let yaml = |text| serde_yaml::from_str::<Value>(text).unwrap();
        let base = yaml("{ jwt: { algorithms: [HS256], max_bytes: 1 }, claims: { id: [/a] } }");
        let laid = over(base.clone(), yaml("{ jwt: { algorithms: [ES256] } }"));
        assert_eq!(
            laid,
            yaml("{ jwt: { algorithms: [ES256], max_bytes: 1 }, claims: { id: [/a] } }")
        );
        assert_eq!(over(base, yaml("{ hmac: {} }")), yaml("{ hmac: {} }"));
    }
}
