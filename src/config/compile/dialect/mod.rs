//! The language of dialects → [`Dialect`].
//!
//! A dialect of the file hides a built-in one of the same name, and may still extend it.
//! `extends` merges the two texts member by member (lists are replaced), so that all
//! checks see the result as if it had been written out.

mod claims;
mod rules;

use std::collections::HashMap;
use std::rc::Rc;

use serde_yaml::{Mapping, Value};

use super::{Compiler, algorithm, pattern, source, unsigned};
use crate::config::document;
use crate::config::marks::Marks;
use crate::config::place::Place;
use crate::config::problem::nearest;
use crate::config::raw::{self, SecretEncoding};
use crate::config::report::Report;
use crate::dialect::Dialect;
use crate::dialect::builtin::{BUILTIN, builtin};

use rules::compile;

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
                     webhooks: [ { name: crm, url: \"https://…\", format: livesupporti, secret: { file: hook.secret }, include: [visitor] } ]\n\
                     and posts what it knows of visitors to\n\
                     details: { username: acme, password: { file: details.password } }",
                );
            return;
        }
        let names = self.names();
        // A vendor with several products is known by the first word of each.
        let of_vendor = |known: &&str| known.strip_prefix(name).is_some_and(|s| s.starts_with('-'));
        let mut meant: Vec<String> =
            names.iter().copied().filter(of_vendor).map(|known| format!("`{known}`")).collect();
        if meant.is_empty() {
            meant.extend(nearest(name, names.iter().copied()).map(|near| format!("`{near}`")));
        }
        let near = (!meant.is_empty()).then(|| format!("did you mean {}?", meant.join(" or ")));
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
pub fn compile_builtin(name: &str) -> Result<Compiled, String> {
    let value = builtin(name).and_then(builtin_value).ok_or("it is not valid YAML")?;
    let raw = serde_yaml::from_value::<raw::Dialect>(value).map_err(|error| error.to_string())?;
    let marks = Marks::default();
    let mut report = Report::new(&marks, Vec::new());
    let mut compiler = Compiler {
        folder: std::path::PathBuf::new(),
        options: crate::config::Options::without_secrets(),
        now: crate::clock::UnixTime::from_secs(0),
        report: &mut report,
        watched: Vec::new(),
        written: None,
        system_roots: None,
    };
    let compiled = compile(&mut compiler, name, name.to_owned(), &raw, &Place::root());
    let problems = report.into_problems();
    match (compiled, problems.as_slice()) {
        (Some(compiled), []) => Ok(compiled),
        (_, problems) => {
            Err(problems.first().map(|problem| problem.what.clone()).unwrap_or_default())
        }
    }
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
