//! What a backend calls a visitor: text with the verified id or email in it, `c-{id|hex}`.
//!
//! Two visitors may never become one, so exactly one field stands in it, and never the name,
//! which anybody may have. `hex` writes its UTF-8 in lower-case hexadecimal, for backends that
//! compare without case or take few characters.

use crate::dialect::HashField;
use crate::dialect::digest::write_hex;
use crate::identity::Proven;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: String,
    /// The first that is there.
    fields: Vec<HashField>,
    hex: bool,
    after: String,
}

impl Default for Template {
    /// The id as it is.
    fn default() -> Self {
        Self { before: "".into(), fields: vec![HashField::Id], hex: false, after: "".into() }
    }
}

impl Template {
    /// Reads `c-{id|hex}`: the words are `id` and `email`, the first that is there wins, and
    /// `hex` may be the last. None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (before, rest) = text.split_once('{')?;
        let (inside, after) = rest.split_once('}')?;
        if [before, after].iter().any(|text| text.contains(['{', '}'])) {
            return None;
        }
        let (words, hex) = match inside.strip_suffix("|hex") {
            Some(words) => (words, true),
            None => (inside, false),
        };
        let field = |word: &str| match word {
            "id" => Some(HashField::Id),
            "email" => Some(HashField::Email),
            _ => None,
        };
        let fields = words.split('|').map(field).collect::<Option<Vec<_>>>()?;
        Some(Self { before: before.into(), fields, hex, after: after.into() })
    }

    /// Whether text follows a value that may hold the same.
    pub fn is_open(&self) -> bool {
        !self.hex && !self.after.is_empty()
    }

    /// What the backend calls this visitor; none who has no such field.
    pub fn of(&self, visitor: &Proven) -> Option<String> {
        let value = self.fields.iter().find_map(|field| match field {
            HashField::Id => visitor.id.as_deref(),
            HashField::Email => visitor.email.as_deref(),
            HashField::Name => None,
        })?;
        let Self { before, after, .. } = self;
        Some(match self.hex {
            true => format!("{before}{}{after}", write_hex(value.as_bytes())),
            false => format!("{before}{value}{after}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_stands_in_a_template_and_it_is_never_the_name() {
        let ada = Proven {
            id: Some("Ana É".into()),
            name: Some("Ana".into()),
            email: Some("a@b.example".into()),
            ..Proven::default()
        };
        let nobody = Proven { name: Some("Ana".into()), ..Proven::default() };
        for (text, expected) in [
            ("{id}", "Ana É"),
            ("c-{id|hex}", "c-416e6120c389"),
            ("{email}", "a@b.example"),
            ("{id}@chat.example", "Ana É@chat.example"),
            ("{email|id}", "a@b.example"),
            ("{email|id|hex}", "6140622e6578616d706c65"),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.of(&ada).as_deref(), Some(expected), "{text}");
            assert_eq!(template.of(&nobody), None, "{text}");
        }
        let open = |text| Template::parse(text).unwrap().is_open();
        assert!(open("{id}@chat.example") && !open("{id|hex}@chat.example") && !open("c-{id}"));
        for bad in
            ["", "c-", "{name}", "{id|name}", "{hex}", "{id}{email}", "{id", "id}", "{}", "{|hex}"]
        {
            assert_eq!(Template::parse(bad), None, "{bad}");
        }
    }
}
