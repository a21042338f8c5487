//! A tree of values → typed structs, with every mistake reported instead of the first.
//!
//! `serde` stops at the first error. Here the error is recorded with its position, the
//! offending node is taken out of the tree, and the tree is read again, until it reads or
//! nothing is left. Entries of lists are blanked rather than removed, so that the indices
//! of those behind them stay true. A member that is missing because it was taken out is
//! not reported again.

use serde::de::DeserializeOwned;
use serde_yaml::Value;

use super::place::{Place, Step};
use super::problem::nearest;
use super::report::Report;

/// Separates the parts of a message that our own types put into a serde error.
const PART: char = '\u{1f}';

/// A complaint of one of our own types about a value.
pub struct Complaint {
    /// What is wrong.
    pub what: String,
    /// What was expected.
    pub expected: &'static str,
    /// What to do, or empty.
    pub hint: String,
}

impl Complaint {
    /// A complaint without a hint.
    pub fn new(what: impl Into<String>, expected: &'static str) -> Self {
        Self { what: what.into(), expected, hint: String::new() }
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// As a serde error that [`read`] takes apart again.
    pub fn into_error<E: serde::de::Error>(self) -> E {
        E::custom(format_args!("{}{PART}{}{PART}{}", self.what, self.expected, self.hint))
    }
}

/// Reads `value`, which stands at `base`; `None` when nothing readable is left of it.
pub fn read<T: DeserializeOwned>(
    value: &mut Value,
    base: &Place,
    report: &mut Report<'_>,
) -> Option<T> {
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&*value) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        if report.is_full() {
            return None;
        }
        let inside = place_of(error.path());
        let place = Place(base.0.iter().chain(&inside.0).cloned().collect());
        tell(report, &place, &error.into_inner().to_string());
        report.removed(place);
        if inside.0.is_empty() || !take_out(value, &inside) {
            return None;
        }
    }
}

fn place_of(path: &serde_path_to_error::Path) -> Place {
    use serde_path_to_error::Segment;
    let steps = path.iter().map_while(|segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    Place(steps.collect())
}

/// Takes the node at a place out of the tree; whether there was one.
pub fn take_out(value: &mut Value, place: &Place) -> bool {
    let Some((last, above)) = place.0.split_last() else { return false };
    let mut node = value;
    for step in above {
        let child = match step {
            Step::Key(name) => node.get_mut(name.as_str()),
            Step::Index(index) => node.get_mut(*index),
        };
        let Some(child) = child else { return false };
        node = child;
    }
    match (last, node) {
        (Step::Key(name), Value::Mapping(mapping)) => mapping.shift_remove(name.as_str()).is_some(),
        (Step::Index(index), Value::Sequence(list)) => match list.get_mut(*index) {
            Some(entry) if !entry.is_null() => {
                *entry = Value::Null;
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// Turns serde's sentence into a problem.
fn tell(report: &mut Report<'_>, place: &Place, message: &str) {
    let parts: Vec<&str> = message.split(PART).collect();
    if let [what, expected, hint] = parts.as_slice() {
        let problem = report.value(place, *what);
        problem.expected(*expected);
        if !hint.is_empty() {
            problem.hint(*hint);
        }
    } else if let Some(rest) = message.strip_prefix("unknown field ") {
        unknown_key(report, place, rest);
    } else if let Some(rest) = message.strip_prefix("missing field ") {
        let name = rest.trim_matches('`');
        if !report.was_removed(&place.key(name)) {
            report.key(place, format!("`{name}` is missing here"));
        }
    } else if let Some(rest) = message.strip_prefix("unknown variant ") {
        let (word, known) = quoted(rest);
        let what = match is_secret(place) {
            true => "this word is not known here".to_owned(),
            false => format!("`{word}` is not known here"),
        };
        let hint =
            nearest(&word, known.iter().copied()).map(|word| format!("did you mean `{word}`?"));
        let problem = report.value(place, what);
        problem.expected(known.join(", "));
        problem.hint = hint;
    } else if is_secret(place) {
        let expected = match report.has_no_lines() {
            true => "{ \"value\": TEXT }, or the text alone",
            false => "{ file: PATH }, { env: NAME } or { value: TEXT }",
        };
        report.value(place, "this is not how a secret is given").expected(expected);
    } else if is_store(place) {
        // The address, and the password in it, where its form should be.
        report
            .value(place, "this is not how a store is given")
            .expected("store: { redis: { url: { env: REDIS_URL } } }");
    } else if is_key(place) {
        // Perhaps the secret itself, written where its entry should be.
        report
            .value(place, "this is not how a key is given")
            .expected("keys: [ { id: \"2026-11\", secret: { file: 2026-11.secret } } ]");
    } else {
        let found =
            message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "));
        match found.and_then(|rest| rest.rsplit_once(", expected ")) {
            Some((found, expected)) => {
                let expected = plainly(expected);
                let unquoted = expected == "text"
                    && ["integer", "floating", "boolean"]
                        .iter()
                        .any(|kind| found.starts_with(kind));
                let found_plainly = match may_hold_a_password(place, report) {
                    true => "this".to_owned(),
                    false => found_plainly(found),
                };
                let problem = report.value(place, format!("{found_plainly} does not belong here"));
                let lonely = expected.starts_with("a list") && found.starts_with("string ");
                problem.expected(expected);
                if lonely {
                    problem.hint("put it in brackets: [ … ]");
                } else if unquoted {
                    problem.hint("put it in quotes");
                }
            }
            None => {
                report.value(place, message);
            }
        }
    }
}

/// `rest` is "`x`, expected one of `a`, `b`" and its shorter forms.
fn unknown_key(report: &mut Report<'_>, place: &Place, rest: &str) {
    let (word, known) = quoted(rest);
    let address = |parent: &Place| is_store(parent) && word.contains('@');
    if place.parent().is_some_and(|parent| is_secret(&parent) || address(&parent)) {
        // A secret written in the wrong place must not be repeated in a log.
        let problem = report.key(place, "a key that secrets do not have");
        problem.expected(known.join(", "));
        return;
    }
    let hint = match nearest(&word, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if word == "<<" => {
            Some("merge keys are not supported: write the members out".to_owned())
        }
        None => None,
    };
    let problem = report.key(place, format!("unknown key `{word}`"));
    if !known.is_empty() {
        problem.expected(format!("one of {}", known.join(", ")));
    }
    problem.hint = hint;
}

/// The first word in backticks, and those after "expected". The first may be anything that
/// somebody typed, backticks included; the others are ours.
fn quoted(rest: &str) -> (String, Vec<&str>) {
    let (word, known) = rest.rsplit_once(", expected ").unwrap_or((rest, ""));
    let word = word.strip_prefix('`').unwrap_or(word);
    let word = word.strip_suffix('`').unwrap_or(word);
    (word.to_owned(), known.split('`').skip(1).step_by(2).collect())
}

/// Members that hold a secret or lead to one.
fn is_secret(place: &Place) -> bool {
    let of_redis = matches!(
        place.0.as_slice(),
        [Step::Key(store), Step::Key(redis), Step::Key(url), ..]
            if store == "store" && redis == "redis" && url == "url"
    );
    let is = |step: &Step, names: &[&str]| match step {
        Step::Key(name) => names.contains(&name.as_str()),
        Step::Index(_) => false,
    };
    // Those beneath have names of the author's own.
    let mut ours = place.0.iter().take_while(|step| !is(step, &["headers", "properties"]));
    of_redis || ours.any(|step| is(step, &["secret", "secrets", "token", "password", "public_key"]))
}

/// What a website is told and asked with: passwords stand in its URLs and headers, too.
fn may_hold_a_password(place: &Place, report: &Report<'_>) -> bool {
    let of_website = matches!(
        place.0.as_slice(),
        [Step::Key(sites), Step::Key(_), Step::Key(member), ..]
            if sites == "sites" && matches!(member.as_str(), "webhooks" | "details" | "enrich")
    );
    of_website || report.has_no_lines()
}

/// `store`, or its kind of memory.
fn is_store(place: &Place) -> bool {
    matches!(place.0.as_slice(), [Step::Key(store)] | [Step::Key(store), _] if store == "store")
}

/// `sites.NAME.keys`, or one entry of it.
fn is_key(place: &Place) -> bool {
    matches!(
        place.0.as_slice(),
        [Step::Key(sites), Step::Key(_), Step::Key(keys)]
        | [Step::Key(sites), Step::Key(_), Step::Key(keys), Step::Index(_)]
            if sites == "sites" && keys == "keys"
    )
}

/// What serde expected, in words for people.
fn plainly(expected: &str) -> String {
    match expected {
        "a string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list: [ … ]",
        "a map" => "a mapping: { … }",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        other if other.starts_with("struct ") => "a mapping: { … }",
        other if other.starts_with("enum ") || other.ends_with(" enum") => "one word",
        other => other,
    }
    .to_owned()
}

fn found_plainly(found: &str) -> String {
    match found {
        "unit value" => "nothing".to_owned(),
        "map" => "a mapping".to_owned(),
        "sequence" => "a list".to_owned(),
        other => match other.split_once(' ') {
            Some(("string", text)) => format!("the text {text}"),
            Some(("integer" | "boolean", word)) => word.to_owned(),
            Some(("floating", rest)) => rest.trim_start_matches("point ").to_owned(),
            _ => other.to_owned(),
        },
    }
}
