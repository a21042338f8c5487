//! Binding a backend's session to the identity that was proven in it, once the backend has
//! answered the proof with 2xx or 101.
//!
//! What is bound: the tokens that the request carried, those that the answer brings in a
//! header, a cookie or its JSON body, and Countersign's own cookie. A request that was
//! itself verified by its session hands the rest of that session's time on to a token that
//! the answer brings, so that a backend may rotate its tokens.

use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::{HeaderMap, HeaderValue, header};

use super::{Carried, Shown};
use crate::clock::UnixTime;
use crate::dialect::Dialect;
use crate::dialect::json::{self, Json};
use crate::gate::session;
use crate::identity::Identity;
use crate::plan::{Brought, Session, Site};
use crate::store::{Binding, Change, Digest, Memory, Purpose, Store};

/// Larger answers bring no token.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What is to be bound when the answer comes.
pub struct Binder {
    site: Arc<str>,
    session: Arc<Session>,
    binding: Arc<Binding>,
    /// Of the request; nothing where a session verified it.
    tokens: Vec<Digest>,
    /// What the request showed, and when it was judged: if that has been ended meanwhile,
    /// nothing is bound.
    shown: Vec<Digest>,
    credential: Option<Digest>,
    judged: UnixTime,
    /// Whether a cookie of our own is to be handed out.
    cookie: bool,
    /// The answer's body so far, while it is read.
    body: Option<Vec<u8>>,
    /// Whether a session has been bound that was nobody's before.
    news: bool,
}

impl Binder {
    pub(super) fn of(
        site: &Site,
        dialect: &Dialect,
        memory: &Memory,
        identity: &Identity,
        carried: &Carried,
        now: UnixTime,
    ) -> Option<Self> {
        let session = site.remembers.session.clone()?;
        let (binding, tokens, cookie) = match &carried.by_session {
            Some(binding) => (binding.clone(), Vec::new(), false),
            None => {
                let binding = Binding::of(identity, dialect, now, now.after(session.ttl))?;
                // A cookie of ours that is nobody's or another's was made up, or is long over.
                let known = memory.site_or_new(&site.name);
                let is_own = |shown: &Shown| {
                    let before = known.session(&shown.digest);
                    before.is_some_and(|before| before.id() == binding.id() && before.until > now)
                };
                let fit = |shown: &&Shown| !shown.caused && (!shown.own || is_own(shown));
                let fitting: Vec<&Shown> = carried.sessions.iter().filter(fit).collect();
                let cookie = session.cookie && !fitting.iter().any(|shown| shown.own);
                let tokens = fitting.iter().map(|shown| shown.digest).collect();
                (Arc::new(binding), tokens, cookie)
            }
        };
        Some(Self {
            site: site.name.clone(),
            session,
            binding,
            tokens,
            shown: carried.digests().collect(),
            credential: carried.credential,
            judged: now,
            cookie,
            body: None,
            news: false,
        })
    }

    /// Whether what proved the identity has been ended since.
    fn is_void(&self, memory: &Memory) -> bool {
        let Some(known) = memory.site(&self.site) else { return false };
        let ended = |session: &Digest| {
            let ended = known.session(session).and_then(|binding| binding.ended);
            ended.is_some_and(|at| at >= self.judged)
        };
        self.shown.iter().any(ended)
            || self.credential.is_some_and(|credential| known.is_held(&credential, self.judged))
    }

    /// The answer's head has come: binds what can be bound by now. Says which cookie the
    /// client is to be given besides.
    pub fn head(&mut self, status: u16, headers: &HeaderMap, store: &Store) -> Option<HeaderValue> {
        if !(200..300).contains(&status) && status != 101 || self.is_void(store.memory()) {
            return None;
        }
        for token in std::mem::take(&mut self.tokens) {
            self.bind(token, store);
        }
        let session = self.session.clone();
        for place in &session.response {
            match place {
                Brought::Header(name) => {
                    let values =
                        headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
                    values.for_each(|value| self.bring(value.trim(), store));
                }
                Brought::Cookie(name) => {
                    let set = headers.get_all(header::SET_COOKIE).iter();
                    let set = set.filter_map(|value| value.to_str().ok());
                    set.filter_map(|set| cookie(set, name))
                        .for_each(|value| self.bring(&session::decoded(value.into()), store));
                }
                Brought::Json(_) => {}
            }
        }
        if status != 101 && self.session.reads_answers() && is_readable(headers) {
            self.body = Some(Vec::new());
        }
        if self.cookie { self.own_cookie(store) } else { None }
    }

    /// A part of the answer's body goes by; at its end the tokens in it are bound, before
    /// the client can use them.
    pub fn body(&mut self, part: Option<&[u8]>, end: bool, store: &Store) {
        let Some(body) = &mut self.body else { return };
        let part = part.unwrap_or_default();
        if body.len() + part.len() > LARGEST_ANSWER {
            self.body = None;
            return;
        }
        body.extend_from_slice(part);
        if !end {
            return;
        }
        let body = self.body.take().unwrap_or_default();
        let Ok(document) = json::parse(&body) else { return };
        if self.is_void(store.memory()) {
            return;
        }
        let session = self.session.clone();
        for place in &session.response {
            let Brought::Json(pointer) = place else { continue };
            if let Some(token) = document.at(&pointer.0).and_then(Json::as_str) {
                self.bring(token, store);
            }
        }
    }

    /// Whether a session has been bound that was nobody's before, or somebody else's.
    pub fn brings_news(&self) -> bool {
        self.news
    }

    fn bring(&mut self, token: &str, store: &Store) {
        if let Some(token) = session::canonical(token.into()) {
            self.bind(store.memory().digest(Purpose::Session, &token), store);
        }
    }

    fn bind(&mut self, session: Digest, store: &Store) {
        let before = store.memory().site(&self.site).and_then(|known| known.session(&session));
        self.news |= before.is_none_or(|before| before.id() != self.binding.id());
        let (site, binding) = (self.site.clone(), self.binding.clone());
        store.note(Change::Bind { site, session, binding });
    }

    /// A fresh cookie (RFC 6265bis §4.1.3.2: the prefix ties it to this host), for iframes
    /// too: `Partitioned` keeps it to the page that shows the frame.
    fn own_cookie(&mut self, store: &Store) -> Option<HeaderValue> {
        let mut value = [0; 24];
        aws_lc_rs::rand::fill(&mut value).ok()?;
        let value = BASE64_URL_SAFE_NO_PAD.encode(value);
        self.bring(&value, store);
        let age = self.session.ttl.as_secs();
        let cookie = format!(
            "{}={value}; Path=/; Max-Age={age}; HttpOnly; Secure; SameSite=None; Partitioned",
            Session::COOKIE
        );
        HeaderValue::try_from(cookie).ok()
    }
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
    is_json && plain && length.is_none_or(|length| length <= LARGEST_ANSWER)
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
