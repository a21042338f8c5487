//! What a backend calls a visitor: text with the verified id or email in it, `c-{id|hex}`.
//!
//! Two visitors of one site may never become one. So exactly one field stands in it, for all of
//! them the same (whose id is another's email would else be that other), and never the name,
//! which anybody may have. `hex` writes its UTF-8 in lower-case hexadecimal, for backends that
//! compare without case or take few characters. What is no id as the dialects have it is none
//! here, neither the field nor the text that it makes.

use crate::dialect::HashField;
use crate::dialect::digest::write_hex;
use crate::dialect::is_id;
use crate::identity::Proven;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    before: String,
    field: HashField,
    hex: bool,
    after: String,
}

impl Default for Template {
    /// The id as it is.
    fn default() -> Self {
        Self { before: "".into(), field: HashField::Id, hex: false, after: "".into() }
    }
}

impl Template {
    /// Reads `c-{id|hex}`: one of `id` and `email`, as it is or in `hex`. None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (before, rest) = text.split_once('{')?;
        let (inside, after) = rest.split_once('}')?;
        if [before, after].iter().any(|text| text.contains(['{', '}'])) {
            return None;
        }
        let (field, hex) = match inside {
            "id" => (HashField::Id, false),
            "id|hex" => (HashField::Id, true),
            "email" => (HashField::Email, false),
            "email|hex" => (HashField::Email, true),
            _ => return None,
        };
        Some(Self { before: before.into(), field, hex, after: after.into() })
    }

    /// Whether text follows a value that may hold the same.
    pub fn is_open(&self) -> bool {
        !self.hex && !self.after.is_empty()
    }

    /// What the backend calls this visitor; none who has no such field, or one that is no id.
    pub fn of(&self, visitor: &Proven) -> Option<String> {
        let value = match self.field {
            HashField::Id => visitor.id.as_deref(),
            HashField::Email => visitor.email.as_deref(),
            HashField::Name => None,
        };
        let value = value.filter(|value| is_id(value))?;
        let Self { before, after, .. } = self;
        let id = match self.hex {
            true => format!("{before}{}{after}", write_hex(value.as_bytes())),
            false => format!("{before}{value}{after}"),
        };
        is_id(&id).then_some(id)
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
            ("{email|hex}", "6140622e6578616d706c65"),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.of(&ada).as_deref(), Some(expected), "{text}");
            assert_eq!(template.of(&nobody), None, "{text}");
        }
        let open = |text| Template::parse(text).unwrap().is_open();
        assert!(open("{id}@chat.example") && !open("{id|hex}@chat.example") && !open("c-{id}"));
        for bad in [
            "",
            "c-",
            "{name}",
            "{id|name}",
            "{hex}",
            "{id}{email}",
            "{id",
            "id}",
            "{}",
            "{|hex}",
            "{id|email}",
            "{email|id}",
            "{id|email|hex}",
            "{id|hex|hex}",
        ] {
            assert_eq!(Template::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_lacks_the_field_is_nobody_and_so_is_what_no_dialect_takes_for_an_id() {
        let of = |text: &str, id: Option<&str>, email: Option<&str>| {
            let [id, email] = [id, email].map(|value| value.map(str::to_owned));
            Template::parse(text).unwrap().of(&Proven { id, email, ..Proven::default() })
        };
        assert_eq!(of("{id}", None, Some("4711")), None);
        assert_eq!(of("{email}", Some("4711"), None), None);
        assert_eq!(of("{email}", None, Some("4711")).as_deref(), Some("4711"));
        let long = "x".repeat(257);
        for email in ["undefined", "null", "{{email}}", "", "a\nb", "a\u{85}b", &long] {
            for text in ["{email}", "c-{email}", "{email|hex}"] {
                assert_eq!(of(text, None, Some(email)), None, "{text} {email:?}");
            }
        }
        let (fits, long) = ("x".repeat(128), "x".repeat(129));
        assert_eq!(of("{id|hex}", Some(&fits), None).unwrap().len(), 256);
        assert_eq!(of("{id|hex}", Some(&long), None), None);
        assert_eq!(of("c-{id|hex}", Some(&fits), None), None);
        assert_eq!(of("nu{id}", Some("ll"), None), None);
    }
}
