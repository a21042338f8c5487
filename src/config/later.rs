//! What a configuration will be able to say one day, and cannot yet.
//!
//! Such a key is never silently accepted, and never called unknown either: its author has
//! read the documentation of a newer version. When a feature arrives, its line goes.

use serde_yaml::Value;

use super::place::{Place, Step};
use super::read::take_out;
use super::report::Report;

/// Path (`*` is any member or entry), and what the feature is.
const LATER: &[(&str, &str)] = &[
    ("listeners.*.tls", "TLS on a listener"),
    ("health.tls", "TLS on a listener"),
    ("admin.tls", "TLS on a listener"),
];

/// What is said of every one of them.
pub const NOT_YET: &str = "not supported by this version";

/// Reports every such key and takes it out of the tree.
pub fn take_out_later(value: &mut Value, report: &mut Report<'_>) {
    for (pattern, feature) in LATER {
        let steps: Vec<&str> = pattern.split('.').collect();
        let mut found = Vec::new();
        find(value, &steps, Place::root(), &mut found);
        for place in found {
            let name = place.last_key().unwrap_or_default().to_owned();
            report.key(&place, format!("`{name}` is {NOT_YET} ({feature})")).hint("remove it");
            take_out(value, &place);
            report.removed(place);
        }
    }
}

fn find(value: &Value, steps: &[&str], place: Place, found: &mut Vec<Place>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(place);
        return;
    };
    match (value, *step) {
        (Value::Mapping(members), "*") => {
            for (key, child) in members {
                if let Some(key) = key.as_str() {
                    find(child, rest, place.key(key), found);
                }
            }
        }
        (Value::Sequence(entries), "*") => {
            for (index, child) in entries.iter().enumerate() {
                find(child, rest, Place([&place.0[..], &[Step::Index(index)]].concat()), found);
            }
        }
        (Value::Mapping(members), name) => {
            if let Some(child) = members.get(name) {
                find(child, rest, place.key(name), found);
            }
        }
        _ => {}
    }
}
