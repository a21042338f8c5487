//! The request fields of a site that claim identity, resolved when its Plan is made.
//!
//! How a field is shown in `Countersign-Claimed`: a plain name as it is; a pointer under its
//! last segment (`/customer/email` is `email`, as the member itself is called), unless
//! another field of the site ends in the same word: then each is spelt out as a form would
//! spell it (`customer[email]`, `metadata[email]`). What lies beneath a field keeps the
//! request's own spelling.

use super::naming::{Covering, initials, reach};
use crate::dialect::{FieldName, UnsignedRules};

/// What a site looks for, by position: all its dialects name the same fields in one order.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    fields: Vec<Field>,
    copied: Vec<Copied>,
    /// First letters of the fields' names, one bit each: most other names differ there.
    initials: u64,
    depth: usize,
}

/// A field that claims identity.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// What a request calls it.
    pub name: FieldName,
    /// What `Countersign-Claimed` calls it.
    pub shown: String,
    /// An object of a JSON body under this name stays, its keys marked with this.
    pub prefix: Option<String>,
    initials: u64,
}

/// A field that is no identity: it stays, and is shown as well.
#[derive(Clone, Debug)]
struct Copied {
    /// As a form spells it, without a final `*`.
    spelling: String,
    /// Whatever begins so.
    is_prefix: bool,
    shown: String,
}

impl Fields {
    /// Resolves a dialect's fields.
    pub fn of(rules: &UnsignedRules) -> Self {
        let names = || rules.fields.iter().map(|field| &field.name).chain(&rules.copied);
        let shown = |name: &FieldName| {
            let last = name.segments().last();
            let alike = names().filter(|other| other.segments().last() == last).count();
            match (name, last) {
                (FieldName::At(_), Some(last)) if alike < 2 => last.clone(),
                _ => spelling(name),
            }
        };
        let fields: Vec<Field> = rules
            .fields
            .iter()
            .map(|field| Field {
                name: field.name.clone(),
                shown: shown(&field.name),
                prefix: field.prefix.clone(),
                initials: field.name.segments().first().map_or(u64::MAX, |name| initials(name)),
            })
            .collect();
        let copied = rules.copied.iter().map(|name| {
            let spelling = spelling(name);
            // The bracket that closes a pointer's last segment stands behind its `*`.
            let start = spelling.trim_end_matches(']').strip_suffix('*').map(str::to_owned);
            Copied {
                is_prefix: start.is_some(),
                spelling: start.unwrap_or(spelling),
                shown: shown(name),
            }
        });
        Self {
            initials: fields.iter().fold(0, |bits, field| bits | field.initials),
            depth: names().map(|name| name.segments().len()).max().unwrap_or(1),
            copied: copied.collect(),
            fields,
        }
    }

    /// No field claims identity; some may still be copied.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// What a request calls each field that claims identity, and what
    /// `Countersign-Claimed` does.
    pub fn shown(&self) -> impl Iterator<Item = (&FieldName, &str)> {
        self.fields.iter().map(|field| (&field.name, field.shown.as_str()))
    }

    /// There is nothing to look for.
    pub(super) fn is_idle(&self) -> bool {
        self.fields.is_empty() && self.copied.is_empty()
    }

    /// How deep in a JSON body a field may lie; a name at its top is 1.
    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    /// The field of a position.
    pub(super) fn get(&self, index: usize) -> Option<&Field> {
        self.fields.get(index)
    }

    /// The first field of which that holds, and its position.
    pub(super) fn find(&self, is_it: impl Fn(&Field) -> bool) -> Option<usize> {
        self.fields.iter().position(is_it)
    }

    /// Whether some field may begin as this name does.
    pub(super) fn may_name(&self, name: &str) -> bool {
        initials(name) & self.initials != 0
    }

    /// The field that a name falls under; the nearest, if there are several.
    pub(super) fn covering(&self, name: &str) -> Option<Covering> {
        let own = initials(name);
        if own & self.initials == 0 {
            return None;
        }
        let fields = self.fields.iter().enumerate().filter(|(_, field)| field.initials & own != 0);
        fields
            .filter_map(|(index, field)| {
                Some(Covering { index, reach: reach(field.name.segments(), name)? })
            })
            .min_by_key(|covering| covering.reach)
    }

    /// What a field is shown as that is copied although it is no identity; none for any other.
    pub(super) fn copied<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        self.copied.iter().find_map(|copied| {
            let rest = name.strip_prefix(copied.spelling.as_str())?;
            match copied.is_prefix {
                true => Some(name),
                false if rest.is_empty() => Some(copied.shown.as_str()),
                false => rest.starts_with('[').then_some(name),
            }
        })
    }
}

/// A name as a form spells it: `/contact/email` is `contact[email]`.
fn spelling(name: &FieldName) -> String {
    let mut segments = name.segments().iter();
    let mut spelling = segments.next().cloned().unwrap_or_default();
    for segment in segments {
        spelling.extend(["[", segment, "]"]);
    }
    spelling
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::unsigned;

    #[test]
    fn a_pointer_is_shown_under_its_last_segment_unless_two_would_be_one() {
        for (fields, shown) in [
            (&["user_id", "/customer/email"][..], &["user_id", "email"][..]),
            (
                &["/customer/email", "/metadata/email", "/customer/id"],
                &["customer[email]", "metadata[email]", "id"],
            ),
            (&["email", "/customer/account/email"], &["email", "customer[account][email]"]),
            (&["/a~1b/c~0d"], &["c~d"]),
        ] {
            let fields = Fields::of(&unsigned(fields, &[]));
            let found: Vec<&str> = fields.fields.iter().map(|field| &*field.shown).collect();
            assert_eq!(found, shown);
        }
    }

    #[test]
    fn copied_fields_are_names_prefixes_or_pointers_and_cover_what_lies_beneath() {
        let copied = ["plan", "custom_*", "/visitor/customFields", "/visitor/x_*"];
        let fields = Fields::of(&unsigned(&["user_id"], &copied));
        for (name, shown) in [
            ("plan", Some("plan")),
            ("plan[]", Some("plan[]")),
            ("planet", None),
            ("custom_a", Some("custom_a")),
            ("custom_a[b]", Some("custom_a[b]")),
            ("visitor[customFields]", Some("customFields")),
            ("visitor[customFields][0][key]", Some("visitor[customFields][0][key]")),
            ("visitor[customFieldsets]", None),
            ("customFields", None),
            ("visitor[x_1]", Some("visitor[x_1]")),
            ("visitor", None),
        ] {
            assert_eq!(fields.copied(name), shown, "{name}");
        }
    }
}
