//! Strict JSON (RFC 8259), borrowed from the bytes it was read from.
//!
//! Stricter than the usual parsers, because two parsers that read one signed text
//! differently are how an attacker becomes somebody else:
//! - an object that names a member twice is refused, at any depth, however the name is
//!   escaped;
//! - nesting beyond [`MAX_DEPTH`] is refused, and so are a byte order mark, lone
//!   surrogates and everything that is not UTF-8;
//! - numbers keep their literal digits: nothing is rounded on the way to the backend.
//!
//! Written out as compact ASCII, so that a value is a header value by itself.

mod members;

use std::borrow::Cow;

pub use members::{Member, cuts, members};

/// Arrays and objects may lie this deep in each other; the outermost counts as one.
pub const MAX_DEPTH: usize = 64;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, by its literal text.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object: distinct names in the order of the text.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Why a text is refused; reads after "the … ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not JSON.
    #[error("is not valid JSON")]
    Syntax,
    /// An object names a member twice.
    #[error("names a member twice")]
    Duplicate,
    /// Deeper than [`MAX_DEPTH`].
    #[error("is nested too deeply")]
    Depth,
}

/// Reads one value that is all of the text.
///
/// # Errors
/// The first [`Fault`].
///
/// # Cost
/// One pass; strings without escapes and all numbers are borrowed.
pub fn parse(text: &[u8]) -> Result<Json<'_>, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::Syntax)?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at == text.len() { Ok(value) } else { Err(Fault::Syntax) }
}

impl<'a> Json<'a> {
    /// The member of that name; `None` also where this is no object.
    #[inline] // a name known at compile time is compared in a register
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The value at the end of a path (RFC 6901, unescaped segments).
    pub fn at(&self, path: &[String]) -> Option<&Json<'a>> {
        path.iter().try_fold(self, |value, segment| match value {
            Self::Array(items) if segment == "0" || !segment.starts_with('0') => {
                items.get(segment.parse::<usize>().ok()?)
            }
            _ => value.get(segment),
        })
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for people: "a string".
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Appends it as compact printable ASCII, leaving out every object member whose value
    /// is one of `without` (the very place, not an equal value).
    pub fn write_without(&self, without: &[&Json<'_>], out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(literal) => out.push_str(literal),
            Self::String(text) => write_string(text, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_without(without, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let kept =
                    members.iter().filter(|(_, v)| !without.iter().any(|w| std::ptr::eq(*w, v)));
                write_members(kept.map(|(name, value)| (&**name, value)), without, out);
            }
        }
    }
}

/// Appends an object of these members as compact printable ASCII; `without` as in
/// [`Json::write_without`], for what lies beneath them.
pub fn write_members<'j, 'a: 'j>(
    members: impl Iterator<Item = (&'j str, &'j Json<'a>)>,
    without: &[&Json<'_>],
    out: &mut String,
) {
    out.push('{');
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(name, out);
        out.push(':');
        value.write_without(without, out);
    }
    out.push('}');
}

/// Appends a JSON string in printable ASCII: everything else as `\u` escapes, beyond the
/// basic plane as surrogate pairs.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let escaped = |byte: u8| !matches!(byte, b' '..=b'~') | matches!(byte, b'"' | b'\\');
    if !text.bytes().fold(false, |any, byte| any | escaped(byte)) {
        out.push_str(text);
        out.push('"');
        return;
    }
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str("\\u");
                    let digits = [12, 8, 4, 0].map(|shift| (*unit >> shift) & 0xf);
                    out.extend(digits.iter().filter_map(|d| char::from_digit((*d).into(), 16)));
                }
            }
        }
    }
    out.push('"');
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        self.skip_space();
        let start = self.at;
        match self.next()? {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(Json::String),
            b't' => self.word("rue", Json::Bool(true)),
            b'f' => self.word("alse", Json::Bool(false)),
            b'n' => self.word("ull", Json::Null),
            first => self.number(start, first),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::Depth);
        }
        let mut members = Vec::with_capacity(8);
        self.skip_space();
        if self.accept(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            self.expect(b'"')?;
            let name = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            members.push((name, self.value(depth)?));
            self.skip_space();
            match self.next()? {
                b',' => {}
                b'}' if distinct(&members) => return Ok(Json::Object(members)),
                b'}' => return Err(Fault::Duplicate),
                _ => return Err(Fault::Syntax),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::Depth);
        }
        let mut items = Vec::new();
        self.skip_space();
        if self.accept(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_space();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Json::Array(items)),
                _ => return Err(Fault::Syntax),
            }
        }
    }

    /// A string's rest, after its opening quote.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let plain = self.plain()?;
        let mut whole = match self.next()? {
            b'"' => return Ok(Cow::Borrowed(plain)),
            _ => plain.to_owned(),
        };
        loop {
            whole.push(self.escaped()?);
            whole.push_str(self.plain()?);
            if self.next()? == b'"' {
                return Ok(Cow::Owned(whole));
            }
        }
    }

    /// What stands before the next quote or backslash.
    fn plain(&mut self) -> Result<&'a str, Fault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = special(rest.as_bytes()).ok_or(Fault::Syntax)?;
        self.at += end;
        match self.peek() {
            Some(b'"' | b'\\') => rest.get(..end).ok_or(Fault::Syntax),
            _ => Err(Fault::Syntax),
        }
    }

    /// The character of an escape, after its backslash.
    fn escaped(&mut self) -> Result<char, Fault> {
        Ok(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => match self.unit()? {
                high @ 0xd800..=0xdbff => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    let low = self.unit()?;
                    let pair = char::decode_utf16([high, low]).next();
                    pair.and_then(Result::ok).ok_or(Fault::Syntax)?
                }
                unit => char::from_u32(unit.into()).ok_or(Fault::Syntax)?,
            },
            _ => return Err(Fault::Syntax),
        })
    }

    fn unit(&mut self) -> Result<u16, Fault> {
        (0..4).try_fold(0, |unit, _| {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Fault::Syntax)?;
            Ok(unit << 4 | digit as u16)
        })
    }

    fn number(&mut self, start: usize, first: u8) -> Result<Json<'a>, Fault> {
        let lead = if first == b'-' { self.next()? } else { first };
        match lead {
            b'0' => {}
            b'1'..=b'9' => _ = self.digits(),
            _ => return Err(Fault::Syntax),
        }
        if self.accept(b'.') && self.digits() == 0 {
            return Err(Fault::Syntax);
        }
        if self.accept(b'e') || self.accept(b'E') {
            _ = self.accept(b'+') || self.accept(b'-');
            if self.digits() == 0 {
                return Err(Fault::Syntax);
            }
        }
        self.text.get(start..self.at).map(Json::Number).ok_or(Fault::Syntax)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self, rest: &str, value: Json<'a>) -> Result<Json<'a>, Fault> {
        rest.bytes().try_for_each(|byte| self.expect(byte))?;
        Ok(value)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Fault> {
        let byte = self.peek().ok_or(Fault::Syntax)?;
        self.at += 1;
        Ok(byte)
    }

    fn accept(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.accept(byte) { Ok(()) } else { Err(Fault::Syntax) }
    }
}

/// Where the first quote, backslash or control character stands. Eight bytes at a time:
/// this is where most of a token's bytes are looked at.
fn special(text: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // The lowest marked byte is right in each; higher ones may be marked by a borrow.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, _) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marked = equal(word, b'"') | equal(word, b'\\') | below(word, b' ');
        if marked != 0 {
            return Some(index * 8 + (marked.trailing_zeros() / 8) as usize);
        }
    }
    let start = words.len() * 8;
    let rest = text.get(start..)?;
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    Some(start + rest.iter().position(is_special)?)
}

/// Whether no name occurs twice. Large objects are sorted: comparing each with each would
/// let a forger who has no key at all spend our time.
fn distinct(members: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if members.len() <= 16 {
        let mut rest = members.iter();
        while let Some((name, _)) = rest.next() {
            // Nearly all differ in length or in their first letter.
            let same = |other: &str| {
                other.len() == name.len()
                    && other.as_bytes().first() == name.as_bytes().first()
                    && *other == **name
            };
            if rest.as_slice().iter().any(|(other, _)| same(other)) {
                return false;
            }
        }
        return true;
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.is_sorted_by(|one, other| one < other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let mut out = String::new();
        parse(text.as_bytes()).unwrap().write_without(&[], &mut out);
        out
    }

    #[test]
    fn a_value_is_written_as_compact_ascii_with_its_literal_digits() {
        let text = "{ \"a\" : [ 1.50 , -0 , 1e400 , 12345678901234567890123 ] , \"é\u{1f600}\" : \"\\u007f/\\/\\n\" }";
        assert_eq!(
            rewritten(text),
            r#"{"a":[1.50,-0,1e400,12345678901234567890123],"\u00e9\ud83d\ude00":"\u007f//\u000a"}"#
        );
    }

    #[test]
    fn a_member_named_twice_is_refused_at_any_depth_and_however_escaped() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"b":2,"a":3}]}"#, r#"{"a":1,"\u0061":2}"#]
        {
            assert_eq!(parse(text.as_bytes()), Err(Fault::Duplicate), "{text}");
        }
        let many = |last: &str| {
            let members: Vec<String> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
            format!("{{{},\"{last}\":0}}", members.join(","))
        };
        assert_eq!(parse(many("k17").as_bytes()), Err(Fault::Duplicate));
        assert!(parse(many("k40").as_bytes()).is_ok());
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        for byte in 0..=255u8 {
            for before in 0..20 {
                for filler in [b'a', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xa2, 0xff] {
                    let mut text = vec![filler; before];
                    text.push(byte);
                    text.extend([b'"'; 9]);
                    let special = matches!(byte, b'"' | b'\\' | ..b' ');
                    let expected = if special { before } else { before + 1 };
                    assert_eq!(super::special(&text), Some(expected), "{byte} {before} {filler}");
                }
            }
        }
        assert_eq!(super::special(b"nothing of the kind in here"), None);
    }

    #[test]
    fn nesting_of_64_is_read_and_of_65_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(64).as_bytes()).is_ok());
        assert_eq!(parse(nested(65).as_bytes()), Err(Fault::Depth));
        assert_eq!(parse("[".repeat(100_000).as_bytes()), Err(Fault::Depth));
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let json = parse(br#"{"a":{"b/c":[10,20]},"":1}"#).unwrap();
        let path = |segments: &[&str]| segments.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        assert_eq!(json.at(&path(&["a", "b/c", "1"])), Some(&Json::Number("20")));
        assert_eq!(json.at(&path(&["a", "b/c", "01"])), None);
        assert_eq!(json.at(&path(&[""])), Some(&Json::Number("1")));
        assert_eq!(json.at(&path(&["a", "x"])), None);
        assert_eq!(json.at(&path(&["a", "b/c", "1", "x"])), None);
    }

    /// Whatever serde_json accepts we accept with the same meaning, and nothing else,
    /// over tens of thousands of damaged texts (ours alone: duplicates, depth).
    #[test]
    fn it_agrees_with_serde_json() {
        let seeds = [
            r#"{"sub":"u1","iat":1700000000,"n":[-1.5e+3,0,true,false,null,{}],"s":"\u00e9\ud83d\ude00\n"}"#,
            r#" [ "" , { "a" : { "b" : [ ] } } , 1E5 , "\\\"\/\b\f\n\r\t" ] "#,
            "\"\u{e9}\u{1f600}\u{7f}\"",
        ];
        let alphabet = b"{}[]\",:\\u0123456789abdeEfnrtD-+. \n\x00\xc3\xa9truefalsn";
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let mut accepted = 0;
        for round in 0..60_000 {
            let mut text = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..random(3) {
                let place = random(text.len());
                match random(3) {
                    0 => text[place] = alphabet[random(alphabet.len())],
                    1 => text.insert(place, alphabet[random(alphabet.len())]),
                    _ => _ = text.remove(place),
                }
            }
            let theirs = serde_json::from_slice::<serde_json::Value>(&text);
            match (parse(&text), theirs) {
                (Ok(ours), Ok(theirs)) => {
                    let mut out = String::new();
                    ours.write_without(&[], &mut out);
                    assert!(out.is_ascii() && !out.bytes().any(|b| b.is_ascii_control()));
                    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), theirs);
                    accepted += 1;
                }
                (Err(Fault::Duplicate), Ok(_)) | (Err(_), Err(_)) => {}
                // serde_json refuses numbers beyond f64; their digits are fine with us.
                (Ok(_), Err(error)) if error.to_string().starts_with("number out of range") => {}
                (ours, theirs) => {
                    panic!("{:?}: ours {ours:?}, theirs {theirs:?}", String::from_utf8_lossy(&text))
                }
            }
        }
        assert!(accepted > 10_000, "the damage is too great to tell anything: {accepted}");
    }
}
