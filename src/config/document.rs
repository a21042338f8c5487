//! Text → a tree of values with positions.
//!
//! `serde_yaml` says what the text means, the marked parse where it stands. Both are fed
//! nothing larger than [`MAX_BYTES`], and the second only what passed the first's limits.

use std::io::Read;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Mapping, Value};

use super::marks::{Marks, syntax};
use super::place::Mark;
use super::problem::Problem;

/// A longer file is no configuration.
pub const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A configuration as it was typed.
#[derive(Debug)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Where it says so.
    pub marks: Marks,
}

/// Reads a file of text.
///
/// # Errors
/// One sentence: missing, unreadable, too large, or not UTF-8.
pub fn read(path: &Path) -> Result<String, Problem> {
    let unreadable = |error: std::io::Error| Problem::new(format!("cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Problem::new("larger than 4 MiB: not a configuration"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Problem::new("not UTF-8 text").at(Some(Mark { line, column }))
    })
}

/// Parses the text. Duplicate keys and empty list entries go to `problems`; the first of
/// two equal keys counts.
///
/// # Errors
/// What makes further reading pointless.
pub fn parse(text: &str, problems: &mut Vec<Problem>) -> Result<Document, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let marks = Marks::of(text, problems)?;
    let Lenient(value) = serde_yaml::from_str(text).map_err(|error| {
        let at = error.location();
        let at = at.map_or(Mark { line: 1, column: 1 }, |at| Mark {
            line: at.line(),
            column: at.column(),
        });
        syntax(&error.to_string(), at)
    })?;
    Ok(Document { value, marks })
}

/// A value in which the first of two equal keys counts, so that a duplicate key (already
/// reported with its position) does not hide every other problem.
struct Lenient(Value);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor).map(Self)
    }
}

struct LenientVisitor;

impl<'de> Visitor<'de> for LenientVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    // Larger than any number that is meant as one: it stays the text it was.
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Lenient(entry)) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Value::Sequence(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::new();
        while let Some((key, Lenient(value))) = members.next_entry::<Key, Lenient>()? {
            mapping.entry(Value::String(key.0)).or_insert(value);
        }
        Ok(Value::Mapping(mapping))
    }
}

/// A key as text, also where YAML takes it for a number: `2026: …` is a site of that name.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // `deserialize_str` hands over the scalar as it was written, whatever it looks like.
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        let mut problems = Vec::new();
        let document = parse("a: 1\na: 2\n2026: x\n", &mut problems).unwrap();
        assert_eq!(document.value["a"], Value::from(1));
        assert_eq!(document.value["2026"], Value::from("x"));
        assert_eq!(problems.len(), 1);
    }

    /// A small generator (xorshift64*), so that a failure can be repeated.
    fn noise(seed: &mut u64) -> u64 {
        *seed ^= *seed >> 12;
        *seed ^= *seed << 25;
        *seed ^= *seed >> 27;
        seed.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    #[test]
    fn no_text_whatever_makes_it_panic() {
        let pieces = [
            "a",
            ":",
            " ",
            "\n",
            "- ",
            "? ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "&x ",
            "*x",
            "!!str ",
            "!t ",
            "|",
            ">",
            "|2-\n",
            "'",
            "\"",
            "#",
            "%YAML 1.2\n",
            "---\n",
            "...\n",
            "\t",
            "\u{feff}",
            "\u{0}",
            "é",
            "\\",
            "~",
            "<<: ",
            "\r\n",
            "\u{85}",
            "\u{2028}",
            "@",
            "`",
            "0x1F",
            ".inf",
        ];
        let mut seed = 0x9E37_79B9_7F4A_7C15;
        for _ in 0..20_000 {
            let length = noise(&mut seed) % 24;
            let text: String = (0..length)
                .map(|_| pieces[(noise(&mut seed) % pieces.len() as u64) as usize])
                .collect();
            let _ = parse(&text, &mut Vec::new());
        }
    }

    #[test]
    fn a_mebibyte_of_garbage_is_refused_in_good_time() {
        let mut seed = 42;
        let noise: String =
            (0..1 << 20).map(|_| char::from(32 + (noise(&mut seed) % 95) as u8)).collect();
        assert!(parse(&noise, &mut Vec::new()).is_err());
        for piece in ["a: b\n", "- ", "[", "{a: ", "? ", "a", "\"", "|\n ", "a:\n", "- a\n", "&a "]
        {
            let text = piece.repeat((1 << 18) / piece.len());
            let begun = std::time::Instant::now();
            let _ = parse(&text, &mut Vec::new());
            assert!(begun.elapsed().as_secs() < 20, "{piece:?} took {:?}", begun.elapsed());
        }
    }
}
