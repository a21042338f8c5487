//! Binding a backend's session to the identity that was proven in it, once the backend has
//! answered the proof with 2xx or 101.
//!
//! What is bound: the tokens that the request carried, those that the answer brings in a
//! header, a cookie or its JSON body, and Countersign's own cookie. A request that was
//! itself verified by its session hands the rest of that session's time on to a token that
//! the answer brings, so that a backend may rotate its tokens.

use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use http::HeaderValue;

use super::{Carried, Shown, answer};
use crate::clock::UnixTime;
use crate::dialect::Dialect;
use crate::identity::Identity;
use crate::plan::{Session, Site};
use crate::store::{Binding, Change, Digest, Memory, Store};

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
    /// Whether a session has been bound that was nobody's before.
    news: bool,
}

/// A cookie of our own for the client, and by what the session is known that it carries.
#[derive(Clone, PartialEq, Eq)]
pub struct Handed {
    /// The whole `Set-Cookie`.
    pub cookie: HeaderValue,
    /// As requests that carry it will be known.
    pub session: Digest,
}

impl std::fmt::Debug for Handed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handed").field("session", &self.session).finish_non_exhaustive()
    }
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

    /// Whether an answer of this status binds anything.
    pub fn is_met_by(&self, status: u16, memory: &Memory) -> bool {
        ((200..300).contains(&status) || status == 101) && !self.is_void(memory)
    }

    /// The head of such an answer has come: binds what the request showed and what this
    /// brings. Says which cookie the client is to be given besides.
    pub fn head(&mut self, brought: &[Digest], store: &Store) -> Option<Handed> {
        for token in std::mem::take(&mut self.tokens) {
            self.bind(token, store);
        }
        brought.iter().for_each(|token| self.bind(*token, store));
        if self.cookie { self.own_cookie(store) } else { None }
    }

    /// The answer's body has ended: binds what it brings, before the client can use it.
    pub fn body(&mut self, brought: &[Digest], store: &Store) {
        if !self.is_void(store.memory()) {
            brought.iter().for_each(|token| self.bind(*token, store));
        }
    }

    /// Whether a session has been bound that was nobody's before, or somebody else's.
    pub fn brings_news(&self) -> bool {
        self.news
    }

    fn bind(&mut self, session: Digest, store: &Store) {
        let before = store.memory().site(&self.site).and_then(|known| known.session(&session));
        self.news |= before.is_none_or(|before| before.id() != self.binding.id());
        let (site, binding) = (self.site.clone(), self.binding.clone());
        store.note(Change::Bind { site, session, binding });
    }

    /// A fresh cookie (RFC 6265bis §4.1.3.2: the prefix ties it to this host), for iframes
    /// too: `Partitioned` keeps it to the page that shows the frame.
    fn own_cookie(&mut self, store: &Store) -> Option<Handed> {
        let mut value = [0; 24];
        aws_lc_rs::rand::fill(&mut value).ok()?;
        let value = BASE64_URL_SAFE_NO_PAD.encode(value);
        let session = answer::known_as(&value, store.memory())?;
        self.bind(session, store);
        let age = self.session.ttl.as_secs();
        let cookie = format!(
            "{}={value}; Path=/; Max-Age={age}; HttpOnly; Secure; SameSite=None; Partitioned",
            Session::COOKIE
        );
        Some(Handed { cookie: HeaderValue::try_from(cookie).ok()?, session })
    }
}
