//! Where the members of an object stand in its text, so that one of them can be changed and
//! every other byte kept.

use std::borrow::Cow;
use std::ops::Range;

use super::{Fault, Json, Reader};

/// A member of an object, or an item of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name, unescaped; none of an array's item.
    pub name: Option<Cow<'a, str>>,
    /// From the opening quote of the name (of an item: from its value) to the value's end.
    pub place: Range<usize>,
    /// Where the value begins.
    pub value_start: usize,
    /// The value.
    pub value: Json<'a>,
}

/// The members of the object, or the items of the array, that begins at `at` in a text
/// which [`parse`](super::parse) has accepted. Empty for any other value.
pub fn members(text: &str, at: usize) -> Vec<Member<'_>> {
    let mut found = Vec::new();
    // The text is known to be sound, so this never stops early.
    let _ = collect(&mut Reader { text, at }, &mut found);
    found
}

fn collect<'a>(reader: &mut Reader<'a>, found: &mut Vec<Member<'a>>) -> Result<(), Fault> {
    reader.skip_space();
    let named = match reader.next()? {
        b'{' => true,
        b'[' => false,
        _ => return Ok(()),
    };
    reader.skip_space();
    if matches!(reader.peek(), Some(b'}' | b']')) {
        return Ok(());
    }
    loop {
        reader.skip_space();
        let start = reader.at;
        let name = match named {
            true => {
                reader.expect(b'"')?;
                let name = reader.string()?;
                reader.skip_space();
                reader.expect(b':')?;
                Some(name)
            }
            false => None,
        };
        reader.skip_space();
        let value_start = reader.at;
        let value = reader.value(0)?;
        found.push(Member { name, place: start..reader.at, value_start, value });
        reader.skip_space();
        if reader.next()? != b',' {
            return Ok(());
        }
    }
}

/// What to take out of an object's text so that only the members for which `keeps` says so
/// are left, by their positions: ranges in order, none over another.
pub fn cuts(members: &[Member<'_>], keeps: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let last_kept = (0..members.len()).rev().find(|index| keeps(*index));
    let mut cuts = Vec::new();
    for (index, pair) in members.windows(2).enumerate() {
        // With what parts it from the next one.
        if let [gone, next] = pair
            && last_kept.is_some_and(|last| index < last)
            && !keeps(index)
        {
            cuts.push(gone.place.start..next.place.start);
        }
    }
    let rest = match last_kept.and_then(|last| members.get(last)) {
        Some(kept) => Some(kept.place.end),
        None => members.first().map(|first| first.place.start),
    };
    if let (Some(start), Some(last)) = (rest, members.last())
        && start < last.place.end
    {
        cuts.push(start..last.place.end);
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(text: &str, gone: &[&str]) -> String {
        let members = members(text, 0);
        let keeps = |index: usize| {
            let name = members[index].name.as_deref();
            !name.is_some_and(|name| gone.contains(&name))
        };
        let mut left = text.to_owned();
        for cut in cuts(&members, keeps).into_iter().rev() {
            left.replace_range(cut, "");
        }
        super::super::parse(left.as_bytes()).unwrap();
        left
    }

    #[test]
    fn what_is_kept_is_kept_byte_for_byte() {
        for (text, gone, left) in [
            (r#"{"a":1,"b":2,"c":3}"#, &["b"][..], r#"{"a":1,"c":3}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["a"], r#"{"b":2,"c":3}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["c"], r#"{"a":1,"b":2}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["b", "c"], r#"{"a":1}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["a", "c"], r#"{"b":2}"#),
            (r#"{"a":1,"b":2,"c":3}"#, &["a", "b", "c"], "{}"),
            ("{ \"a\" : 1 ,\r\n\t\"b\" : {\"b\":1} }", &["a"], "{ \"b\" : {\"b\":1} }"),
            ("{ \"a\" : 1 ,\r\n\t\"b\" : [1, 2] }", &["b"], "{ \"a\" : 1 }"),
            (" { \"a\" : 1e0 } ", &["a"], " {  } "),
            (r#"{"\u0061":"\"},{","x":"}"}"#, &["a"], r#"{"x":"}"}"#),
            ("{}", &["a"], "{}"),
            ("{ }", &[], "{ }"),
        ] {
            assert_eq!(without(text, gone), left, "{text} {gone:?}");
        }
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = r#" {"a" : {"b":[ 1,"x" ]}}"#;
        let outer = &members(text, 0)[0];
        assert_eq!(&text[outer.place.clone()], r#""a" : {"b":[ 1,"x" ]}"#);
        let inner = &members(text, outer.value_start)[0];
        assert_eq!((inner.name.as_deref(), &text[inner.value_start..][..1]), (Some("b"), "["));
        let items = members(text, inner.value_start);
        assert_eq!(items.len(), 2);
        assert_eq!(&text[items[1].place.clone()], r#""x""#);
        assert_eq!(members(text, items[1].value_start), []);
    }
}
