//! What a site remembers of its visitors, and for how long: the settings alone. The
//! memory itself is `store`.

use std::time::Duration;

use crate::dialect::{Pointer, Source};

/// A backend's session that stands for the identity that was proven in it (`session:`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where requests carry the backend's session token. `Names::proof` is its name. All are
    /// `shared`: a value with another scheme is no session. None is a credential's place.
    pub request: Vec<Source>,
    /// Where the backend's answers bring a new one.
    pub response: Vec<Brought>,
    /// How long a session stands for the identity, counted from its last proof.
    pub ttl: Duration,
    /// Most sessions of a site; beyond, the oldest goes.
    pub max: usize,
    /// Most sessions of one identity; beyond, the oldest goes.
    pub max_per_identity: usize,
    /// Whether Countersign hands out a session cookie of its own.
    pub cookie: bool,
}

impl Session {
    /// How long a session stands where nothing else is said.
    pub const TTL: Duration = Duration::from_secs(24 * 3600);
    /// `max` where nothing else is said.
    pub const MAX: usize = 100_000;
    /// `max_per_identity` where nothing else is said.
    pub const MAX_PER_IDENTITY: usize = 32;
    /// The cookie that Countersign hands out.
    pub const COOKIE: &str = "__Host-countersign";

    /// Whether the bodies of answers are read.
    pub fn reads_answers(&self) -> bool {
        self.response.iter().any(|place| matches!(place, Brought::Json(_)))
    }
}

/// Where an answer may bring a session token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// A header field.
    Header(http::HeaderName),
    /// A cookie that the answer sets.
    Cookie(String),
    /// A member of a JSON body.
    Json(Pointer),
}

/// What becomes of connections when the trust in them ends (`live:`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Whether they end with the proof that opened them.
    pub on_expiry: OnEnd,
    /// Whether they end with the key that proved them.
    pub on_key_removal: OnEnd,
    /// How long after the proof's end they are closed.
    pub grace: Duration,
    /// Most WebSockets of one identity; beyond, the oldest is closed. 0: any number.
    pub max_connections_per_identity: usize,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            on_expiry: OnEnd::Keep,
            on_key_removal: OnEnd::Close,
            grace: Duration::from_secs(30),
            max_connections_per_identity: 0,
        }
    }
}

/// What is done to a connection whose reason has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEnd {
    /// It stays.
    Keep,
    /// It is closed.
    Close,
}

/// Whether somebody passes whose bans, logouts and sessions cannot be looked up
/// (`on_store_outage:`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreOutage {
    /// By what was known last.
    #[default]
    Serve,
    /// Nobody who would be verified: `unavailable`.
    Refuse,
}

/// What a site remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembrance {
    /// The backend's sessions, if they count.
    pub session: Option<std::sync::Arc<Session>>,
    /// Rules for live connections.
    pub live: Live,
    /// What an outage of the store means.
    pub on_store_outage: OnStoreOutage,
    /// How long a credential that does not say when it was issued is refused after a logout.
    pub logout_hold: Duration,
}

impl Default for Remembrance {
    fn default() -> Self {
        Self {
            session: None,
            live: Live::default(),
            on_store_outage: OnStoreOutage::default(),
            logout_hold: Self::TOKENS_HOLD,
        }
    }
}

impl Remembrance {
    /// `logout_hold` where nothing else is said and the dialect has tokens; hashes never
    /// expire, and are not held.
    pub const TOKENS_HOLD: Duration = Duration::from_secs(600);
}

/// Where memory is kept (`store:`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreSettings {
    /// In this process alone.
    #[default]
    Memory,
    /// In a folder of this machine.
    Embedded(std::path::PathBuf),
    /// In Redis or Valkey, shared with every replica.
    Redis(RedisUrl),
}

/// The address of a Redis server, which may hold a password. Empty where the configuration
/// was loaded without its secrets.
#[derive(Clone, Debug)]
pub struct RedisUrl(pub crate::secret::Secret);

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

impl Eq for RedisUrl {}
