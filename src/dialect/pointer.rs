//! Places in JSON documents and names of request fields, each resolved once from its text.

use std::fmt;

/// A JSON pointer (RFC 6901), resolved into its unescaped segments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pointer(pub Vec<String>);

impl Pointer {
    /// Reads `/a/b~1c`. None for what is no pointer, or leads nowhere: a segment without a
    /// name, the whole document.
    pub fn parse(text: &str) -> Option<Self> {
        let segments: Option<Vec<String>> =
            text.strip_prefix('/')?.split('/').map(segment).collect();
        segments.map(Self)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|segment| write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1")))
    }
}

fn segment(written: &str) -> Option<String> {
    if written.is_empty() {
        return None;
    }
    let mut read = String::with_capacity(written.len());
    let mut characters = written.chars();
    while let Some(character) = characters.next() {
        read.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(read)
}

/// What a request calls a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldName {
    /// A name, at the top of whatever carries it.
    Plain(String),
    /// A member of an object: `/contact/email` in JSON, `contact[email]` in a form.
    At(Pointer),
}

impl FieldName {
    /// Reads a name, or a pointer. None for an empty name, a pointer that leads nowhere and
    /// a name with brackets, which would be a pointer.
    pub fn parse(text: &str) -> Option<Self> {
        match text.starts_with('/') {
            true => Pointer::parse(text).map(Self::At),
            false if text.is_empty() || text.contains('[') => None,
            false => Some(Self::Plain(text.to_owned())),
        }
    }

    /// Its segments; of a plain name itself.
    pub fn segments(&self) -> &[String] {
        match self {
            Self::Plain(name) => std::slice::from_ref(name),
            Self::At(pointer) => &pointer.0,
        }
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::At(pointer) => pointer.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_unescaped_and_written_as_they_were() {
        let text = "/a~1b/c~0d";
        let pointer = Pointer::parse(text).unwrap();
        assert_eq!(pointer.0, ["a/b", "c~d"]);
        assert_eq!(pointer.to_string(), text);
        for bad in ["", "/", "a", "/a//b", "/a~2", "/a~"] {
            assert_eq!(Pointer::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_field_is_a_name_or_a_pointer() {
        for (text, segments) in [("user_id", &["user_id"][..]), ("/a/b", &["a", "b"])] {
            let name = FieldName::parse(text).unwrap();
            assert_eq!((name.segments(), name.to_string().as_str()), (&own(segments)[..], text));
        }
        for bad in ["", "/", "contact[email]"] {
            assert_eq!(FieldName::parse(bad), None, "{bad}");
        }
    }

    fn own(segments: &[&str]) -> Vec<String> {
        segments.iter().map(|segment| (*segment).to_owned()).collect()
    }
}
