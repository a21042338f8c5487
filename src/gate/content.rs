//! What a body holds, read as every backend might read it.
//!
//! Labels lie: Live Helper Chat sends JSON labelled as a form, and `fetch` labels it as
//! text. So a form, a text or an unlabelled body that begins as a JSON object is one, and
//! must be a sound one; as a form it is read besides, for its backend may do the same.
//! Bodies that are no UTF-8, or hold NUL bytes as UTF-16 does, cannot be inspected.

use super::body::{Kind, unsupported};
use super::multipart::{self, Part};
use super::{Fault, Refusal};
use crate::dialect::Pointer;
use crate::dialect::json::{self, Json};

/// A body, taken apart.
#[derive(Clone, Debug, Default)]
pub(super) enum Content<'b> {
    /// There is none, or nobody looks at it.
    #[default]
    Nothing,
    /// JSON; `labelled` as such.
    Json {
        /// As it came.
        text: &'b str,
        /// What it says.
        value: Json<'b>,
        /// Its label says so too: nobody reads it as a form.
        labelled: bool,
    },
    /// Parameters as in a query; those of `text/plain` stand one a line.
    Form {
        /// As it came.
        text: &'b str,
        /// A line is a parameter too.
        lines: bool,
    },
    /// A multipart body, all of it.
    Parts {
        /// As it came.
        bytes: &'b [u8],
        /// Its parts with names.
        parts: Vec<Part<'b>>,
    },
}

impl<'b> Content<'b> {
    /// Reads a body of that kind.
    ///
    /// # Errors
    /// [`Fault::BadRequest`] for JSON that is not strict, [`Fault::UnsupportedBody`] for what
    /// is no text.
    pub fn read(kind: &Kind, bytes: &'b [u8]) -> Result<Self, Refusal> {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let Some(first) = bytes.iter().find(|byte| !space(byte)) else { return Ok(Self::Nothing) };
        match kind {
            Kind::Opaque => return Ok(Self::Nothing),
            Kind::Multipart(boundary) => {
                let boundary = boundary.as_deref().unwrap_or_default();
                return Ok(Self::Parts { bytes, parts: multipart::parts(bytes, boundary) });
            }
            Kind::Json => {
                let value = strict(bytes)?;
                let text = std::str::from_utf8(bytes).unwrap_or_default();
                return Ok(Self::Json { text, value, labelled: true });
            }
            Kind::Form | Kind::Text | Kind::Untyped => {}
        }
        let text = std::str::from_utf8(bytes).map_err(|_| unsupported("it is not UTF-8"))?;
        if text.contains('\0') || text.starts_with('\u{feff}') {
            return Err(unsupported("it is not plain UTF-8"));
        }
        let value = match first {
            b'{' => Some(strict(bytes)?),
            // A list has no members: only a reader of JSON would find anything to keep whole.
            b'[' => json::parse(bytes).ok(),
            _ => None,
        };
        Ok(match value {
            Some(value) => Self::Json { text, value, labelled: false },
            None => Self::Form { text, lines: *kind != Kind::Form },
        })
    }

    /// The member that a JSON pointer leads to, through objects alone.
    pub fn member(&self, pointer: &Pointer) -> Option<&Json<'b>> {
        let Self::Json { value, .. } = self else { return None };
        pointer.0.iter().try_fold(value, |value, segment| value.get(segment))
    }
}

fn strict(bytes: &[u8]) -> Result<Json<'_>, Refusal> {
    json::parse(bytes)
        .map_err(|fault| Refusal::fault(Fault::BadRequest, format!("the body {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, bytes: &[u8]) -> String {
        match Content::read(&kind, bytes) {
            Ok(Content::Nothing) => "nothing".into(),
            Ok(Content::Json { labelled: true, .. }) => "json".into(),
            Ok(Content::Json { .. }) => "json in disguise".into(),
            Ok(Content::Form { lines, .. }) => if lines { "lines" } else { "form" }.into(),
            Ok(Content::Parts { .. }) => "parts".into(),
            Err(refusal) => refusal.code().into(),
        }
    }

    #[test]
    fn a_body_is_read_as_what_it_is_and_not_as_what_it_is_called() {
        let utf16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [&[0xff, 0xfe][..], &utf16].concat();
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for (kind, bytes, expected) in [
            (Kind::Json, &b""[..], "nothing"),
            (Kind::Json, b" \r\n", "nothing"),
            (Kind::Json, b"{\"a\":1}", "json"),
            (Kind::Json, b"[1]", "json"),
            (Kind::Json, b"{a:1}", "bad_request"),
            (Kind::Json, b"{\"a\":1,\"\\u0061\":2}", "bad_request"),
            (Kind::Json, b"\xef\xbb\xbf{}", "bad_request"),
            (Kind::Json, b"{\"a\":\"\xff\"}", "bad_request"),
            (Kind::Json, &utf16, "bad_request"),
            (Kind::Json, deep.as_bytes(), "bad_request"),
            (Kind::Form, b"a=1", "form"),
            (Kind::Form, b" {\"a\":1}", "json in disguise"),
            (Kind::Form, b"{\"a\":1", "bad_request"),
            (Kind::Form, b"[1]", "json in disguise"),
            (Kind::Form, b"[1", "form"),
            (Kind::Form, b"a=\xff", "unsupported_body"),
            (Kind::Text, b"hello", "lines"),
            (Kind::Text, b"{\"a\":1}", "json in disguise"),
            (Kind::Text, &utf16, "unsupported_body"),
            (Kind::Text, &marked, "unsupported_body"),
            (Kind::Text, b"\xef\xbb\xbf{}", "unsupported_body"),
            (Kind::Untyped, b"{\"a\":1}", "json in disguise"),
            (Kind::Untyped, b"a=1", "lines"),
            (Kind::Opaque, b"{\"a\":1}", "nothing"),
            (Kind::Multipart(Some("x".into())), b"--x--", "parts"),
        ] {
            assert_eq!(read(kind.clone(), bytes), expected, "{kind:?} {bytes:?}");
        }
    }

    #[test]
    fn a_pointer_leads_through_objects_alone() {
        let text = br#"{"a":{"b/c":"x"},"l":["y"]}"#;
        let content = Content::read(&Kind::Json, text).unwrap();
        let found = |text| content.member(&Pointer::parse(text).unwrap()).and_then(Json::as_str);
        assert_eq!(found("/a/b~1c"), Some("x"));
        assert_eq!(found("/l/0"), None);
        assert_eq!(found("/a/b"), None);
    }
}
