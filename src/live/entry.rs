//! What is known of one open connection, and the bell that ends it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::Method;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::End;
use crate::clock::UnixTime;
use crate::dialect::Reason;
use crate::gate::Mode;

/// A keyed hash of the backend's session token, or of a credential; means nothing here.
pub type SessionPrint = [u8; 16];

/// What kind of connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An open WebSocket.
    WebSocket,
    /// An answer that streams.
    Answer,
}

impl Kind {
    /// Its word in the admin API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Answer => "answer",
        }
    }
}

/// What is known of a connection when it opens.
#[derive(Clone, Debug)]
pub struct Facts {
    /// WebSocket or answer.
    pub kind: Kind,
    /// The site's name.
    pub site: Arc<str>,
    /// When it was judged.
    pub judged: UnixTime,
    /// The number of the Plan that it was judged under.
    pub generation: u64,
    /// The mode that it was let in by.
    pub mode: Mode,
    /// Whose it is.
    pub who: Who,
    /// The backend's sessions that the request named, where the site knows sessions.
    pub sessions: Box<[SessionPrint]>,
    /// The credential that proved it, where it is known.
    pub credential: Option<SessionPrint>,
    /// The request's method: with the path it finds the route again after a reload.
    pub method: Method,
    /// The request's path as sent, without query.
    pub path: Box<str>,
    /// Who asked, with trusted proxies looked through.
    pub client: Option<IpAddr>,
}

/// Whose connection it is.
#[derive(Clone, Debug)]
pub enum Who {
    /// Somebody proven.
    Verified(Trust),
    /// A guest, and why.
    Guest(Reason),
}

/// What a proven identity rests on.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The identity; none where its dialect does without. Such a connection ends with its
    /// key and its proof, but nobody can ban it.
    pub id: Option<Arc<str>>,
    /// The dialect that vouched.
    pub dialect: Arc<str>,
    /// `id` of the key that proved it.
    pub key: Arc<str>,
    /// Which key that was: [`crate::dialect::Key::print`].
    pub print: u64,
    /// When the proof was issued, if it says so.
    pub issued_at: Option<UnixTime>,
    /// When the proof ends, if it does.
    pub expires: Option<UnixTime>,
}

impl Facts {
    /// What it rests on, if it is somebody's.
    pub fn trust(&self) -> Option<&Trust> {
        match &self.who {
            Who::Verified(trust) => Some(trust),
            Who::Guest(_) => None,
        }
    }

    /// Whether it was judged until then, or by a credential that was issued until then.
    pub(super) fn precede(&self, at: UnixTime) -> bool {
        let issued_at = self.trust().and_then(|trust| trust.issued_at);
        self.judged <= at || issued_at.is_some_and(|issued_at| issued_at <= at)
    }

    /// By what it is found: its sessions and its credential.
    pub(super) fn prints(&self) -> impl Iterator<Item = &SessionPrint> {
        self.sessions.iter().chain(&self.credential)
    }

    /// Whose it is.
    pub fn identity(&self) -> Option<&Arc<str>> {
        self.trust()?.id.as_ref()
    }
}

/// One open connection.
pub struct Entry {
    /// Counts up over the whole process: a greater number is a younger connection.
    pub number: u64,
    /// When it opened.
    pub since: UnixTime,
    /// What was known then.
    pub facts: Facts,
    end: OnceLock<End>,
    bell: Notify,
    /// What else is to be done at the end.
    call: Mutex<Option<Call>>,
}

type Call = Box<dyn FnOnce() + Send>;

impl Entry {
    pub(super) fn new(number: u64, facts: Facts, since: UnixTime) -> Self {
        Self {
            number,
            since,
            facts,
            end: OnceLock::new(),
            bell: Notify::new(),
            call: Mutex::default(),
        }
    }

    /// Rings. Not under a lock: what is called may be anything.
    pub(super) fn ring(&self, end: End) {
        // The first end counts.
        if self.end.set(end).is_err() {
            return;
        }
        self.bell.notify_one();
        let call = self.call.lock().take();
        if let Some(call) = call {
            call();
        }
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end.get().copied()
    }

    /// Resolves once it has rung; for one listener.
    pub(super) async fn rung(&self) -> End {
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            // Rung in between, it is remembered.
            self.bell.notified().await;
        }
    }

    /// Calls when it rings, at once if it has.
    pub(super) fn on_end(&self, call: Call) {
        let mut waiting = self.call.lock();
        // Whoever rings sets the end first and looks here then.
        if self.end().is_none() {
            *waiting = Some(call);
            return;
        }
        drop(waiting);
        call();
    }
}
