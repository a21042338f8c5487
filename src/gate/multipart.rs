//! Multipart bodies (RFC 7578), which stream however large: a part whose name claims
//! identity without proof is renamed in place, same length, so that no backend finds it.
//!
//! - Only part heads are held back, and a value as long as the one that was proven; memory
//!   does not grow with the body.
//! - Readers differ, so everything counts as a name that some reader takes for one: in
//!   single quotes or none, escaped, percent-encoded, in `name*`, in a second field, after
//!   a line end that is no CR LF.
//! - A part stays if it is plain, is the field exactly, and holds the proven value.

use std::ops::Range;
use std::sync::Arc;

use memchr::memmem;

use super::fields::Fields;
use super::naming::Reach;
use super::shown::Size;

/// The longest head of a part; browsers need a few hundred bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// A part with a name, of a body that is there whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part<'b> {
    /// The name as an ordinary reader has it.
    pub name: String,
    /// What it holds.
    pub value: &'b [u8],
    /// From its delimiter to the next one.
    pub place: Range<usize>,
}

/// The named parts of a whole body.
pub(super) fn parts<'b>(bytes: &'b [u8], boundary: &str) -> Vec<Part<'b>> {
    let delimiter = format!("--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let mut next = delimiter_in(bytes, &delimiter, 0, true);
    while let Some(start) = next {
        let begun = start + delimiter.len();
        next = delimiter_in(bytes, &delimiter, begun, false);
        let end = next.unwrap_or(bytes.len());
        let Some(whole) = bytes.get(begun..end) else { break };
        let Some(head) = head_end(whole) else { continue };
        let (head, value) = whole.split_at(head);
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        if let Some(name) =
            names(head).into_iter().next().and_then(|name| name.readings.into_iter().next())
        {
            parts.push(Part { name, value, place: start..end });
        }
    }
    parts
}

/// A part's head is longer than anybody's.
#[derive(Debug, PartialEq, Eq)]
pub struct Overlong;

/// Renames parts while a body goes by.
#[derive(Clone)]
pub struct Renamer {
    delimiter: Vec<u8>,
    fields: Arc<Fields>,
    /// What is written for the backend elsewhere: no part may be called so.
    written: Vec<Arc<Fields>>,
    /// Names of parts that are credentials: nobody has looked at them.
    credentials: Vec<String>,
    /// Signed values, by the field's index.
    proven: Vec<(usize, String)>,
    held: Vec<u8>,
    /// What is held begins a line.
    line_start: bool,
    /// What is held follows a delimiter.
    in_head: bool,
}

impl std::fmt::Debug for Renamer {
    /// Neither signed values nor what is held of the body.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renamer").field("held", &Size(self.held.len())).finish_non_exhaustive()
    }
}

impl Renamer {
    /// For a body with this boundary.
    pub(super) fn new(
        boundary: &str,
        fields: Arc<Fields>,
        proven: &[(usize, String)],
        credentials: Vec<String>,
    ) -> Self {
        Self {
            delimiter: format!("--{boundary}").into_bytes(),
            fields,
            written: Vec::new(),
            credentials,
            proven: proven.to_vec(),
            held: Vec::new(),
            line_start: true,
            in_head: false,
        }
    }

    /// The same, for parts of further names, whatever they hold.
    pub(super) fn also(self, written: Vec<Arc<Fields>>) -> Self {
        Self { written, ..self }
    }

    /// Takes the next bytes and gives those that may go on. All together are as many as
    /// came, once `end` is said.
    ///
    /// # Errors
    /// [`Overlong`].
    pub fn push(&mut self, bytes: &[u8], end: bool) -> Result<Vec<u8>, Overlong> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.held.len());
        loop {
            let start = self.line_start && !self.in_head;
            let found = delimiter_in(&self.held, &self.delimiter, 0, start);
            if !self.in_head {
                let Some(at) = found else {
                    let kept = if end { 0 } else { self.delimiter.len() };
                    self.give(self.held.len().saturating_sub(kept), &mut out);
                    return Ok(out);
                };
                self.give(at + self.delimiter.len(), &mut out);
                self.in_head = true;
                continue;
            }
            let head = head_end(&self.held).filter(|head| found.is_none_or(|at| *head <= at));
            match (head, found) {
                (Some(length), _) => {
                    let Some(renamed) = self.renamed(length, end) else { return Ok(out) };
                    self.rename(&renamed);
                    self.give(length, &mut out);
                    (self.in_head, self.line_start) = (false, true);
                }
                // No head ends before the next part: the last delimiter, or none of ours.
                (None, Some(at)) => {
                    let renamed = self.renamed(at, true).unwrap_or_default();
                    self.rename(&renamed);
                    self.give(at + self.delimiter.len(), &mut out);
                }
                (None, None) if end => {
                    let renamed = self.renamed(self.held.len(), true).unwrap_or_default();
                    self.rename(&renamed);
                    self.give(self.held.len(), &mut out);
                    return Ok(out);
                }
                (None, None) if self.held.len() > LONGEST_HEAD => return Err(Overlong),
                (None, None) => return Ok(out),
            }
        }
    }

    /// Which names in a head of that length are to go; none if too little of the value is
    /// here to say so.
    fn renamed(&self, head: usize, end: bool) -> Option<Vec<Range<usize>>> {
        let (block, value) = self.held.split_at_checked(head)?;
        let names = names(block);
        let alone = names.len() == 1 && fields(block).len() == 1;
        let mut renamed = Vec::new();
        for name in names {
            let found = name.readings.iter().find_map(|reading| {
                let is_written = self.written.iter().any(|one| one.covering(reading).is_some());
                if is_written || self.credentials.iter().any(|own| own == reading) {
                    return Some(None);
                }
                self.fields.covering(reading).map(Some)
            });
            let Some(found) = found.or(name.is_odd.then_some(None)) else { continue };
            let proven = found.filter(|c| alone && name.is_plain && c.reach == Reach::Exact);
            let proven = proven.map(|c| self.proven.iter().filter(move |(of, _)| *of == c.index));
            let mut keeps = false;
            for (_, text) in proven.into_iter().flatten() {
                match self.holds(value, text, end) {
                    Some(same) => keeps |= same,
                    None => return None,
                }
            }
            if !keeps {
                renamed.push(name.place);
            }
        }
        Some(renamed)
    }

    /// Whether a part's value is that text and nothing more; none as long as it may be.
    fn holds(&self, value: &[u8], text: &str, end: bool) -> Option<bool> {
        let wanted = [text.as_bytes(), b"\r\n", &self.delimiter].concat();
        match value.get(..wanted.len()) {
            Some(start) => Some(start == wanted),
            None if end || !wanted.starts_with(value) => Some(false),
            None => None,
        }
    }

    fn rename(&mut self, places: &[Range<usize>]) {
        for place in places {
            let name = self.held.get_mut(place.clone()).unwrap_or_default();
            // A name that nobody closed goes on over the line's end, which stays.
            name.iter_mut().filter(|byte| !matches!(byte, b'\r' | b'\n')).for_each(|b| *b = b'x');
        }
    }

    fn give(&mut self, length: usize, out: &mut Vec<u8>) {
        let given = self.held.drain(..length.min(self.held.len()));
        out.extend(given);
        if let Some(last) = out.last() {
            self.line_start = matches!(last, b'\n' | b'\r');
        }
    }
}

/// Where a delimiter begins a line, from `from` on; `start`: the first byte begins one.
fn delimiter_in(bytes: &[u8], delimiter: &[u8], from: usize, start: bool) -> Option<usize> {
    let begins = |at: usize| match at.checked_sub(1).and_then(|before| bytes.get(before)) {
        Some(before) => matches!(before, b'\n' | b'\r'),
        None => start,
    };
    let places = memmem::find_iter(bytes.get(from..)?, delimiter);
    places.map(|at| at + from).find(|at| begins(*at))
}

/// Where a head ends: behind its first empty line.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut line = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if line => return Some(at + 1),
            b'\n' => line = true,
            b'\r' => {}
            _ => line = false,
        }
    }
    None
}

/// The fields of a head, each with its continuation lines.
fn fields(head: &[u8]) -> Vec<Range<usize>> {
    let mut fields: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let range = start..start + line.len();
        start = range.end;
        match fields.last_mut() {
            Some(last) if matches!(line.first(), Some(b' ' | b'\t')) => last.end = range.end,
            _ if line.contains(&b':') => fields.push(range),
            _ => {}
        }
    }
    fields
}

/// Something that some reader takes for a part's name.
struct Name {
    /// Its bytes in the head, without quotes.
    place: Range<usize>,
    /// What it reads as; the first is the ordinary reading.
    readings: Vec<String>,
    /// `name="…"`, with nothing in it that could be read differently.
    is_plain: bool,
    /// Split up or encoded, as no browser sends it.
    is_odd: bool,
}

fn names(head: &[u8]) -> Vec<Name> {
    let mut names = Vec::new();
    for field in fields(head) {
        let bytes = head.get(field.clone()).unwrap_or_default();
        let colon = bytes.iter().position(|byte| *byte == b':').unwrap_or_default();
        let (title, _) = bytes.split_at(colon);
        if !title.trim_ascii().eq_ignore_ascii_case(b"content-disposition") {
            continue;
        }
        let lower = bytes.to_ascii_lowercase();
        for at in memmem::find_iter(&lower, b"name") {
            let before = at.checked_sub(1).and_then(|before| lower.get(before));
            if before.is_some_and(|byte| !byte.is_ascii_alphanumeric() && !b"_-".contains(byte))
                && let Some(name) = name_at(bytes, at + "name".len(), field.start)
            {
                names.push(name);
            }
        }
    }
    names
}

/// The name whose parameter goes on at `at`: `="…"`, `*=utf-8''…`, `*0=…`.
fn name_at(bytes: &[u8], at: usize, offset: usize) -> Option<Name> {
    let rest = bytes.get(at..)?;
    let equals = rest.iter().position(|byte| *byte == b'=')?;
    let (key, value) = rest.split_at_checked(equals)?;
    let key = key.trim_ascii();
    if !key.is_empty() && !key.starts_with(b"*") {
        return None;
    }
    let value = value.get(1..)?;
    let skipped = value.len() - value.trim_ascii_start().len();
    let value = value.get(skipped..)?;
    let quote = value.first().copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let length = match quote {
        Some(quote) => quoted(value.get(1..)?, quote),
        None => value.iter().position(|b| matches!(b, b';' | b'\r' | b'\n')).unwrap_or(value.len()),
    };
    let begin = at + equals + 1 + skipped + usize::from(quote.is_some());
    let raw = bytes.get(begin..begin + length)?;
    let text = String::from_utf8_lossy(raw).trim().to_owned();
    let bare = text.replace('\\', "");
    let bare = bare.rsplit('\'').next().unwrap_or_default().trim_matches('"').to_owned();
    let decoded = percent_encoding::percent_decode_str(&bare).decode_utf8_lossy().into_owned();
    let is_plain =
        key.is_empty() && quote == Some(b'"') && text == decoded && raw.len() == text.len();
    let is_odd = !key.is_empty() || text.contains("=?");
    let place = offset + begin..offset + begin + length;
    Some(Name { place, readings: vec![text, bare, decoded], is_plain, is_odd })
}

/// The length of a quoted text, to its closing quote or the end.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if *byte == quote => return at,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamer(proven: &[(usize, &str)]) -> Renamer {
        let fields = Fields::of(&crate::gate::testing::unsigned(
            &["user_id", "name", "/contact/email"],
            &[],
        ));
        let proven: Vec<_> = proven.iter().map(|(of, text)| (*of, text.to_string())).collect();
        Renamer::new("xYz", Arc::new(fields), &proven, vec!["jwt".into()])
    }

    /// What comes of a body at once and byte by byte, which must be the same.
    fn renamed(body: &[u8], proven: &[(usize, &str)]) -> String {
        let at_once = renamer(proven).push(body, true).unwrap();
        let mut slow = renamer(proven);
        let mut piecemeal = Vec::new();
        for byte in body {
            piecemeal.extend(slow.push(std::slice::from_ref(byte), false).unwrap());
            assert!(slow.held.len() < 300, "it holds back {}", slow.held.len());
        }
        piecemeal.extend(slow.push(b"", true).unwrap());
        assert_eq!(at_once, piecemeal);
        assert_eq!(at_once.len(), body.len());
        String::from_utf8_lossy(&at_once).into_owned()
    }

    fn part(head: &str, value: &str) -> String {
        format!("--xYz\r\n{head}\r\n\r\n{value}\r\n")
    }

    #[test]
    fn a_part_that_claims_identity_is_renamed_however_its_name_is_written() {
        for name in [
            "form-data; name=\"user_id\"",
            "form-data; name=user_id",
            "form-data; name='user_id'",
            "form-data; NAME = \"user_id\"",
            "form-data;name=\"user_id\"; filename=\"a.txt\"",
            "form-data; filename=\"a.txt\"; name=\"user_id\"",
            "form-data; name=\"user\\_id\"",
            "form-data; name=\"user%5Fid\"",
            "form-data; name=\"user_id[]\"",
            "form-data; name=\"user_id[a]\"",
            "form-data; name=\"User_ID\"",
            "form-data; name=\"user.id\"",
            "form-data; name=\"contact[email]\"",
            "form-data; name*=utf-8''user_id",
            "form-data; name*0=\"user\"; name*1=\"_id\"",
            "form-data; name=\"other\"; name=\"user_id\"",
            "form-data;\r\n name=\"user_id\"",
            "form-data; name=\"user_id",
            "form-data; name=\"jwt\"",
            "form-data; name=\"=?utf-8?q?user=5Fid?=\"",
        ] {
            let body = part(&format!("Content-Disposition: {name}"), "u2") + "--xYz--\r\n";
            let got = renamed(body.as_bytes(), &[]);
            assert!(
                !got.contains("user") && !got.contains("contact[") && !got.contains("jwt"),
                "{got}"
            );
            let head = format!("content-disposition : {name}\r\nContent-Type: text/plain");
            let got = renamed((part(&head, "u2") + "--xYz--").as_bytes(), &[(0, "u1")]);
            assert!(
                !got.contains("user") && !got.contains("contact[") && !got.contains("jwt"),
                "{got}"
            );
        }
    }

    #[test]
    fn everything_else_stays_byte_for_byte() {
        for body in [
            part("Content-Disposition: form-data; name=\"message\"", "user_id") + "--xYz--\r\n",
            part("Content-Disposition: form-data; name=\"file\"; filename=\"name.txt\"", "x"),
            part("Content-Type: text/plain; name=\"user_id\"", "x") + "--xYz--",
            part("Content-Disposition: form-data; name=\"m\"", "--xY\r\n--xyz\r\n\r--x")
                + "--xYz--",
            "preamble\r\nContent-Disposition: form-data; name=\"user_id\"\r\n\r\n".into(),
            String::new(),
            "--xYz--".into(),
            "no delimiter at all, --xYz not at the start of a line".into(),
        ] {
            assert_eq!(renamed(body.as_bytes(), &[]), body);
        }
    }

    #[test]
    fn a_proven_value_stays_and_nothing_like_it() {
        let head = "Content-Disposition: form-data; name=\"user_id\"";
        let rest = part("Content-Disposition: form-data; name=\"m\"", "hello") + "--xYz--\r\n";
        for (head, value, stays) in [
            (head, "u1", true),
            (head, "u2", false),
            (head, "u10", false),
            (head, "u", false),
            (head, "", false),
            (head, "u1\r\n", false),
            ("Content-Disposition: form-data; name=user_id", "u1", false),
            ("Content-Disposition: form-data; name=\"user_id[]\"", "u1", false),
            (
                "Content-Disposition: form-data; name=\"user_id\"\r\nContent-Transfer-Encoding: base64",
                "u1",
                false,
            ),
            ("Content-Disposition: form-data; name=\"name\"", "u1", false),
        ] {
            let body = part(head, value) + &rest;
            let got = renamed(body.as_bytes(), &[(0, "u1")]);
            assert_eq!(got == body, stays, "{got}");
            assert!(got.ends_with(&rest));
        }
    }

    #[test]
    fn lenient_line_ends_hide_nothing() {
        for body in [
            "--xYz\nContent-Disposition: form-data; name=\"user_id\"\n\nu2\n--xYz--",
            "--xYz\r\nA: b\r\n\r\nx\n--xYz\r\nContent-Disposition: form-data; name=\"user_id\"\r\n\r\nu2",
            "--xYz  \r\nContent-Disposition: form-data; name=\"user_id\"\r\n\r\nu2\r\n--xYz--",
            "--xYz--\r\n--xYz\r\nContent-Disposition: form-data; name=\"user_id\"\r\n\r\nu2",
            "--xYz\r\nContent-Disposition: form-data; name=\"user_id\"",
            "--xYz\r\nContent-Disposition: form-data; name=\"user_id\"\r\n--xYz--",
        ] {
            let got = renamed(body.as_bytes(), &[]);
            assert!(!got.contains("user_id"), "{got}");
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let mut renamer = renamer(&[]);
        assert_eq!(renamer.push(b"--xYz\r\n", false).unwrap(), b"--xYz");
        let filler = vec![b'a'; LONGEST_HEAD];
        assert_eq!(renamer.push(&filler, false), Err(Overlong));
    }

    #[test]
    fn the_parts_of_a_whole_body_are_found_with_their_values() {
        let body = part("Content-Disposition: form-data; name=\"jwt\"", "a.b.c")
            + &part("Content-Disposition: form-data; name=\"m\"\r\nContent-Type: x/y", "1\r\n2")
            + &part("Content-Type: x/y", "nameless")
            + "--xYz--\r\n";
        let found = parts(body.as_bytes(), "xYz");
        let shown: Vec<_> = found
            .iter()
            .map(|part| (part.name.as_str(), String::from_utf8_lossy(part.value)))
            .collect();
        assert_eq!(shown, [("jwt", "a.b.c".into()), ("m", "1\r\n2".into())]);
        let mut rest = body.clone();
        rest.replace_range(found[0].place.clone(), "");
        assert!(rest.starts_with("--xYz\r\nContent-Disposition: form-data; name=\"m\""));
    }
}
