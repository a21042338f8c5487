//! Members of a JSON body that are ours to write: a client's own leave, in every spelling and
//! whatever they hold, and ours takes its place. Every other byte stays.

use std::ops::Range;

use super::document::replaced;
use super::fields::Fields;
use crate::dialect::json::{self, Json, Member, write_string};

/// A JSON text that has been accepted, without the members of these names. `None`: it has none.
pub(super) fn without(text: &str, fields: &Fields) -> Option<String> {
    let mut cuts = Vec::new();
    let start = beginning(text)?;
    collect(text, start, &At { name: "", depth: 0 }, fields, &mut cuts);
    if cuts.is_empty() {
        return None;
    }
    cuts.sort_by_key(|cut: &Range<usize>| cut.start);
    Some(replaced(text, cuts.into_iter().map(|cut| (cut, ""))))
}

/// Whether [`with`] could put a member there.
pub(super) fn has_room(text: &str, path: &[String]) -> bool {
    beginning(text).is_some_and(|start| insertion(text, start, path, "").is_some())
}

/// A JSON text with a member at that path, `value` being JSON. `None`: the text is no object,
/// or what the path leads through is none.
pub(super) fn with(text: &str, path: &[String], value: &str) -> Option<String> {
    let (place, instead) = insertion(text, beginning(text)?, path, value)?;
    Some(replaced(text, [(place, instead)]))
}

/// Where an object begins that is all of a text.
fn beginning(text: &str) -> Option<usize> {
    let start = text.len() - text.trim_start().len();
    text.get(start..)?.starts_with('{').then_some(start)
}

/// Above a member: as a parameter's name, `contact[email]`, and how many names that is.
struct At<'n> {
    name: &'n str,
    depth: usize,
}

fn collect(
    text: &str,
    start: usize,
    above: &At<'_>,
    fields: &Fields,
    cuts: &mut Vec<Range<usize>>,
) {
    let members = json::members(text, start);
    let mut kept = vec![true; members.len()];
    for (member, keeps) in members.iter().zip(&mut kept) {
        let Some(own) = &member.name else {
            collect(text, member.value_start, above, fields, cuts);
            continue;
        };
        let name = match above.depth {
            0 => own.to_string(),
            _ => format!("{}[{own}]", above.name),
        };
        *keeps = fields.covering(&name).is_none();
        let depth = above.depth + 1;
        if *keeps && depth < fields.depth() {
            collect(text, member.value_start, &At { name: &name, depth }, fields, cuts);
        }
    }
    cuts.extend(json::cuts(&members, |index| kept.get(index).copied().unwrap_or(true)));
}

/// What stands instead of what.
fn insertion(
    text: &str,
    start: usize,
    path: &[String],
    value: &str,
) -> Option<(Range<usize>, String)> {
    let (name, rest) = path.split_first()?;
    let members = json::members(text, start);
    let own = members.iter().find(|member| member.name.as_deref() == Some(name));
    if let Some(Member { value: known, value_start, place, .. }) = own {
        return match (known, rest) {
            (Json::Object(_), [_, ..]) => insertion(text, *value_start, rest, value),
            (Json::Null, _) | (_, []) => Some((*value_start..place.end, nested(rest, value))),
            _ => None,
        };
    }
    let (at, comma) = members.last().map_or((start + 1, ""), |last| (last.place.end, ","));
    let mut member = comma.to_owned();
    write_string(name, &mut member);
    member.push(':');
    member.push_str(&nested(rest, value));
    Some((at..at, member))
}

/// The value within objects for the rest of its path.
fn nested(path: &[String], value: &str) -> String {
    let mut text = String::new();
    for name in path {
        text.push('{');
        write_string(name, &mut text);
        text.push(':');
    }
    text.push_str(value);
    text + &"}".repeat(path.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::unsigned;

    fn path(text: &str) -> Vec<String> {
        crate::dialect::Pointer::parse(text).unwrap().0
    }

    #[test]
    fn a_clients_own_leave_in_every_spelling_and_the_rest_stays_byte_for_byte() {
        let fields = Fields::of(&unsigned(&["/token", "/user/id_hash"], &[]));
        for (text, left) in [
            (r#"{"token":"x","a" : 1.0}"#, Some(r#"{"a" : 1.0}"#)),
            (r#"{"a":1,"\u0074oken":null}"#, Some(r#"{"a":1}"#)),
            (r#"{"Token":"x","token[]":"y","token":{"a":[1]}}"#, Some("{}")),
            (r#"{"user":{"id_hash":1,"x":2},"token":3}"#, Some(r#"{"user":{"x":2}}"#)),
            (r#"{"user":[{"id_hash":1},{"ID_HASH":2,"b":3}]}"#, Some(r#"{"user":[{},{"b":3}]}"#)),
            (r#"{"user[id_hash]":1,"user.id_hash":2}"#, Some("{}")),
            (r#"{"a":{"token":1},"tokens":2,"user":"id_hash"}"#, None),
            (r#"[{"token":1}]"#, None),
            (r#""token""#, None),
        ] {
            assert_eq!(without(text, &fields).as_deref(), left, "{text}");
        }
    }

    #[test]
    fn a_flood_of_members_is_cut_in_one_pass() {
        let fields = Fields::of(&unsigned(&["/t"], &[]));
        // Each in an object of its own, so that each is a cut of its own.
        let text = format!("{{\"a\":[{}]}}", vec!["{\"t\":1}"; 200_000].join(","));
        let fields_beneath = Fields::of(&unsigned(&["/a/t"], &[]));
        assert_eq!(without(&text, &fields), None);
        let begun = std::time::Instant::now();
        let left = without(&text, &fields_beneath).unwrap();
        assert_eq!(left.matches("{}").count(), 200_000);
        // Moving the rest for each of them would take minutes.
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    }

    #[test]
    fn ours_is_put_where_the_path_leads() {
        for (text, at, new) in [
            ("{}", "/t", Some(r#"{"t":"p"}"#)),
            (" { } ", "/t", Some(r#" {"t":"p" } "#)),
            (r#"{"a" : 1 }"#, "/t", Some(r#"{"a" : 1,"t":"p" }"#)),
            (r#"{"a":1}"#, "/u/i~1d", Some(r#"{"a":1,"u":{"i/d":"p"}}"#)),
            (r#"{"u":{"a":1}}"#, "/u/t", Some(r#"{"u":{"a":1,"t":"p"}}"#)),
            (r#"{"u":{},"b":2}"#, "/u/t", Some(r#"{"u":{"t":"p"},"b":2}"#)),
            (r#"{"u":null,"b":2}"#, "/u/t", Some(r#"{"u":{"t":"p"},"b":2}"#)),
            (r#"{"t":null}"#, "/t", Some(r#"{"t":"p"}"#)),
            (r#"{"u":"text"}"#, "/u/t", None),
            (r#"{"u":[{}]}"#, "/u/t", None),
            ("[]", "/t", None),
            ("7", "/t", None),
        ] {
            let written = with(text, &path(at), "\"p\"");
            assert_eq!(written.as_deref(), new, "{text} {at}");
            assert_eq!(has_room(text, &path(at)), new.is_some(), "{text} {at}");
            if let Some(text) = written {
                assert!(json::parse(text.as_bytes()).is_ok(), "{text}");
            }
        }
    }
}
