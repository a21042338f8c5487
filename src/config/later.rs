//! What a configuration will be able to say one day, and cannot yet.
//!
//! Such a key is never silently accepted, and never called unknown either: its author has
//! read the documentation of a newer version. When a feature arrives, its line goes.

use serde_yaml::Value;

use super::place::{Place, Step};
use super::read::take_out;
use super::report::Report;

/// What is taken out with such a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// The member.
    Member,
    /// What the member is in: without it, nothing is left that makes sense.
    Whole,
}
use Extent::{Member, Whole};

/// Path (`*` is any member or entry), extent, and what the feature is.
const LATER: &[(&str, Extent, &str)] = &[
    ("listeners.*.tls", Member, "TLS on a listener"),
    ("health.tls", Member, "TLS on a listener"),
    ("admin.tls", Member, "TLS on a listener"),
    ("decision", Member, "the decision listener for other gateways"),
    ("store.embedded", Whole, "a store on disk; only { memory: {} } works"),
    ("store.redis", Whole, "a shared store; only { memory: {} } works"),
    ("assertion", Member, "the signed assertion"),
    ("sites.*.headers", Member, "other header names and presets"),
    ("sites.*.session", Member, "sessions"),
    ("sites.*.live", Member, "rules for live connections"),
    ("sites.*.on_store_outage", Member, "stores that can fail"),
    ("sites.*.chat_started", Member, "webhooks"),
    ("sites.*.webhooks", Member, "webhooks"),
    ("sites.*.webhook_private_targets", Member, "webhooks"),
    ("sites.*.details", Member, "visitor details"),
    ("sites.*.logout_hold", Member, "logouts"),
    ("sites.*.translate", Member, "translation into the backend's own proof"),
    ("sites.*.enrich", Member, "enrichment"),
    ("sites.*.single_use", Member, "tokens for one use"),
    ("sites.*.verbs", Member, "the widget's own endpoints"),
    ("verbs", Member, "the widget's own endpoints"),
    ("headers", Member, "header budgets"),
    ("dialects.*.single_use", Member, "tokens for one use"),
    ("dialects.*.jwt.single_use", Member, "tokens for one use"),
];

/// What is said of every one of them.
pub const NOT_YET: &str = "not supported by this version";

/// Reports every such key and takes it out of the tree.
pub fn take_out_later(value: &mut Value, report: &mut Report<'_>) {
    for (pattern, extent, feature) in LATER {
        let steps: Vec<&str> = pattern.split('.').collect();
        let mut found = Vec::new();
        find(value, &steps, Place::root(), &mut found);
        for place in found {
            let name = place.last_key().unwrap_or_default().to_owned();
            report.key(&place, format!("`{name}` is {NOT_YET} ({feature})")).hint("remove it");
            let gone = match (extent, place.parent()) {
                (Whole, Some(parent)) => parent,
                _ => place,
            };
            take_out(value, &gone);
            report.removed(gone);
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
