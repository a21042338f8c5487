//! Keys with nothing behind them.
//!
//! `allowed_origins:` on a line of its own reads as if it were not there, and not being
//! there means any. What was begun and not finished is reported instead of guessed.

use serde_yaml::Value;

use super::place::{Place, Step};
use super::read::take_out;
use super::report::Report;

/// Reports every such key and takes it out of the tree.
pub fn take_out_blank(value: &mut Value, report: &mut Report<'_>) {
    let mut found = Vec::new();
    find(value, &Place::root(), &mut found);
    for place in found {
        // Unnamed: it may be a secret that its author took for the notation.
        report
            .key(&place, "nothing stands behind this key")
            .hint("write its value, or remove the key");
        take_out(value, &place);
        report.removed(place);
    }
}

fn find(value: &Value, place: &Place, found: &mut Vec<Place>) {
    match value {
        Value::Null if !may_be_blank(place) => found.push(place.clone()),
        Value::Mapping(members) => {
            for (key, child) in members {
                if let Some(key) = key.as_str() {
                    find(child, &place.key(key), found);
                }
            }
        }
        Value::Sequence(entries) => {
            for (index, child) in entries.iter().enumerate() {
                find(child, &place.index(index), found);
            }
        }
        _ => {}
    }
}

/// A site or a dialect is told of everything that it needs, `memory` needs nothing, and
/// entries of lists were reported where they stand.
fn may_be_blank(place: &Place) -> bool {
    match place.0.as_slice() {
        [] | [.., Step::Index(_)] => true,
        [Step::Key(top)] => matches!(top.as_str(), "sites" | "listeners"),
        [Step::Key(top), Step::Key(name)] => {
            matches!(top.as_str(), "sites" | "dialects") || (top == "store" && name == "memory")
        }
        _ => false,
    }
}
