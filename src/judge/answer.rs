//! The session tokens that a backend's answer brings: in a header, a cookie, or its JSON
//! body, which is read as it goes by.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};

use crate::dialect::json::{self, Json};
use crate::gate::session;
use crate::plan::{Brought, Session};
use crate::store::{Digest, Memory, Purpose};

/// Larger answers bring no token.
const LARGEST: usize = 64 * 1024;

/// Reads one answer.
pub struct Reader {
    session: Arc<Session>,
    /// The body so far, while it is read.
    body: Option<Vec<u8>>,
}

impl Reader {
    /// For answers of a site with such sessions.
    pub const fn new(session: Arc<Session>) -> Self {
        Self { session, body: None }
    }

    /// The tokens in the head, in the order of the places. Says with [`Reader::is_reading`]
    /// whether the body may bring more.
    pub fn head(&mut self, status: u16, headers: &HeaderMap, memory: &Memory) -> Vec<Digest> {
        if status != 101 && self.session.reads_answers() && is_readable(headers) {
            self.body = Some(Vec::new());
        }
        let mut tokens = Vec::new();
        for place in &self.session.response {
            let texts = |name| {
                let values = headers.get_all(name).iter();
                values.filter_map(|value: &HeaderValue| value.to_str().ok())
            };
            match place {
                Brought::Header(name) => {
                    tokens.extend(texts(name).filter_map(|value| known_as(value.trim(), memory)));
                }
                Brought::Cookie(name) => {
                    let set = texts(&header::SET_COOKIE).filter_map(|set| cookie(set, name));
                    let set = set.map(|value| session::decoded(value.into()));
                    tokens.extend(set.filter_map(|value| known_as(&value, memory)));
                }
                Brought::Json(_) => {}
            }
        }
        tokens
    }

    /// Whether the body is read, and has not ended.
    pub const fn is_reading(&self) -> bool {
        self.body.is_some()
    }

    /// A part of the body goes by. At its end: the tokens in it.
    pub fn body(&mut self, part: Option<&[u8]>, end: bool, memory: &Memory) -> Vec<Digest> {
        let Some(body) = &mut self.body else { return Vec::new() };
        let part = part.unwrap_or_default();
        if body.len() + part.len() > LARGEST {
            self.body = None;
            return Vec::new();
        }
        body.extend_from_slice(part);
        if !end {
            return Vec::new();
        }
        let body = self.body.take().unwrap_or_default();
        let Ok(document) = json::parse(&body) else { return Vec::new() };
        let token = |place: &Brought| match place {
            Brought::Json(pointer) => {
                known_as(document.at(&pointer.0).and_then(Json::as_str)?, memory)
            }
            Brought::Header(_) | Brought::Cookie(_) => None,
        };
        self.session.response.iter().filter_map(token).collect()
    }
}

/// As requests that carry it will be known.
pub(super) fn known_as(token: &str, memory: &Memory) -> Option<Digest> {
    let token = session::canonical(token.into())?;
    Some(memory.digest(Purpose::Session, &token))
}

/// The value that a `Set-Cookie` field gives to a cookie of this name.
fn cookie<'a>(set: &'a str, name: &str) -> Option<&'a str> {
    let pair = set.split(';').next()?;
    let (own, value) = pair.split_once('=')?;
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    (own.trim() == name).then(|| unquoted.unwrap_or(value))
}

/// Whether an answer's body is JSON that can be read.
fn is_readable(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = text(header::CONTENT_TYPE).and_then(|value| value.split(';').next());
    let is_json = media_type.is_some_and(|media_type| {
        let media_type = media_type.trim().to_ascii_lowercase();
        media_type == "application/json" || media_type.ends_with("+json")
    });
    let length =
        text(header::CONTENT_LENGTH).and_then(|length| length.trim().parse::<usize>().ok());
    let plain = text(header::CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
    is_json && plain && length.is_none_or(|length| length <= LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_out_of_what_the_answer_sets() {
        assert_eq!(cookie("cw=abc; Path=/; HttpOnly", "cw"), Some("abc"));
        assert_eq!(cookie(" cw = \"abc\" ; Secure", "cw"), Some("abc"));
        assert_eq!(cookie("cwx=abc", "cw"), None);
        assert_eq!(cookie("other=1; cw=abc", "cw"), None);
    }

    #[test]
    fn only_small_plain_json_is_read() {
        let readable = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            is_readable(&headers)
        };
        assert!(readable(&[("content-type", "application/json; charset=utf-8")]));
        assert!(readable(&[
            ("content-type", "application/problem+JSON"),
            ("content-length", "65536")
        ]));
        assert!(!readable(&[("content-type", "application/json"), ("content-length", "65537")]));
        assert!(!readable(&[("content-type", "application/json"), ("content-encoding", "gzip")]));
        assert!(!readable(&[("content-type", "text/html")]));
        assert!(!readable(&[]));
    }
}
