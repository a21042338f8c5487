//! Query parameters: read as a form is decoded, edited byte for byte.
//!
//! Names and values are percent-decoded and `+` is a space, as every form parser has it
//! (WHATWG URL §5.1); bytes that are no UTF-8 become U+FFFD and so match nothing. Tokens
//! contain no `+`; an id or name that does must be sent as `%2B`, as for any backend.

use std::borrow::Cow;

/// One `name=value` of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'q> {
    /// As it stands in the query.
    pub raw: &'q str,
    name: &'q str,
    value: &'q str,
}

impl<'q> Parameter<'q> {
    /// Reads one piece of a query; without `=` the value is empty.
    pub fn read(raw: &'q str) -> Self {
        let (name, value) = raw.split_once('=').unwrap_or((raw, ""));
        Self { raw, name, value }
    }

    /// The name, decoded.
    pub fn name(&self) -> Cow<'q, str> {
        decoded(self.name)
    }

    /// The value, decoded.
    pub fn value(&self) -> Cow<'q, str> {
        decoded(self.value)
    }
}

/// The parameters of a query (without its `?`), in order.
pub fn parameters(query: &str) -> impl Iterator<Item = Parameter<'_>> {
    query.split('&').filter(|raw| !raw.is_empty()).map(Parameter::read)
}

fn decoded(raw: &str) -> Cow<'_, str> {
    if !raw.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(raw);
    }
    let spaced = raw.replace('+', " ");
    Cow::Owned(percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// What becomes of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Keep,
    /// It goes, with its `&`.
    Cut,
    /// Only this stays of it.
    Shorten(String),
}

/// The query without what is cut, every other byte as it was. `None`: nothing changes.
/// Empty: nothing is left, and the `?` should go too.
pub fn edited(query: &str, mut judge: impl FnMut(&Parameter<'_>) -> Fate) -> Option<String> {
    // Nothing is allocated as long as nothing changes: the usual case.
    let mut kept: Option<Vec<Cow<'_, str>>> = None;
    for (index, raw) in query.split('&').enumerate() {
        let fate = if raw.is_empty() { Fate::Keep } else { judge(&Parameter::read(raw)) };
        if fate == Fate::Keep && kept.is_none() {
            continue;
        }
        let before = || query.split('&').take(index).map(Cow::Borrowed).collect();
        let kept = kept.get_or_insert_with(before);
        match fate {
            Fate::Keep => kept.push(Cow::Borrowed(raw)),
            Fate::Cut => {}
            Fate::Shorten(rest) => kept.push(Cow::Owned(rest)),
        }
    }
    let kept = kept?;
    let anything = kept.iter().any(|raw| !raw.is_empty());
    Some(if anything { kept.join("&") } else { String::new() })
}

/// [`edited`] for a body; with `lines` a line is a parameter too, as `text/plain` has it.
/// A line of which nothing is left goes with its end.
pub fn edited_lines(
    text: &str,
    lines: bool,
    mut judge: impl FnMut(&Parameter<'_>) -> Fate,
) -> Option<String> {
    if !lines || !text.contains('\n') {
        return edited(text, judge);
    }
    let mut changed = false;
    let mut left = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\r', '\n']);
        match edited(bare, &mut judge) {
            None => left.push_str(line),
            Some(rest) => {
                changed = true;
                if !rest.is_empty() {
                    left.push_str(&rest);
                    left.push_str(line.get(bare.len()..).unwrap_or_default());
                }
            }
        }
    }
    changed.then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_read_as_forms_are() {
        for (raw, name, value) in [
            ("a=b", "a", "b"),
            ("a", "a", ""),
            ("a=b=c", "a", "b=c"),
            ("user%5Fid=u+1%2B", "user_id", "u 1+"),
            ("%75ser_id=Kr%C5%ABmi%C5%86a", "user_id", "Krūmiņa"),
            ("a=%zz%", "a", "%zz%"),
            ("a=%ff", "a", "\u{fffd}"),
            ("=x", "", "x"),
        ] {
            let parameter = Parameter::read(raw);
            assert_eq!((&*parameter.name(), &*parameter.value()), (name, value), "{raw}");
        }
    }

    #[test]
    fn what_stays_stays_byte_for_byte() {
        for (query, expected) in [
            ("jwt=x", Some("")),
            ("jwt=x&a=%7e+%2B", Some("a=%7e+%2B")),
            ("a=1&jwt=x", Some("a=1")),
            ("a=1&jwt=x&b=2", Some("a=1&b=2")),
            ("a=1&jwt=x&jwt=y&b=2", Some("a=1&b=2")),
            ("a=1&&jwt=x&b", Some("a=1&&b")),
            ("a=1&j%77t=x", Some("a=1")),
            ("&jwt=x&", Some("")),
            ("jwt", Some("")),
            ("a=jwt&xjwt=1&jwtx=2&JWT=3", None),
            ("a=1&&b=2&", None),
            ("", None),
        ] {
            let cut = |p: &Parameter<'_>| if p.name() == "jwt" { Fate::Cut } else { Fate::Keep };
            assert_eq!(edited(query, cut).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn a_line_is_a_parameter_where_lines_count() {
        let cut = |p: &Parameter<'_>| if p.name() == "id" { Fate::Cut } else { Fate::Keep };
        for (text, lines, expected) in [
            ("a=1\r\nid=2\r\nb=3", true, Some("a=1\r\nb=3")),
            ("id=1\nid=2&c\n", true, Some("c\n")),
            ("a=1\r\nid=2", false, None),
            ("id=1&a=\n", false, Some("a=\n")),
            ("id=1", true, Some("")),
            ("hello\nid", true, Some("hello\n")),
        ] {
            assert_eq!(edited_lines(text, lines, cut).as_deref(), expected, "{text:?}");
        }
    }
}
