//! What is remembered of visitors, and where: `store`, `session`, `live`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{List, NamesOrName, Period, Secret, Source};

/// Where bans, logouts and sessions are kept: `memory`, `embedded` or `redis`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// In this process: gone with a restart (the default).
    pub memory: Option<Memory>,
    /// On this machine's disk: for one instance.
    pub embedded: Option<Embedded>,
    /// In Redis or Valkey: shared by all instances.
    pub redis: Option<Redis>,
}

/// The memory store has no settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {}

/// A store on disk.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    /// A folder, relative to the configuration; created if it is missing.
    #[schemars(required)]
    pub path: Option<String>,
}

/// A store that instances share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS, `unix:/path`.
    #[schemars(required)]
    pub url: Option<Secret>,
}

/// The backend's session that stands for the identity which was proven in it: `request`,
/// `cookie`, or both.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Where requests carry the backend's session token; none may be a place of credentials.
    pub request: Option<List<SessionSource>>,
    /// Where the backend's answers bring a new one.
    pub response: Option<List<Brought>>,
    /// How long a session stands for the identity, from its last proof (default 24h).
    pub ttl: Option<Period>,
    /// Most sessions of the site; beyond, the oldest goes (default 100000).
    pub max: Option<usize>,
    /// Most sessions of one identity; beyond, the oldest goes (default 32).
    pub max_per_identity: Option<usize>,
    /// Hand out a session cookie of Countersign's own, for backends without one (default
    /// false). Browsers keep it over https alone.
    pub cookie: Option<bool>,
}

/// A place where a request may carry the backend's session token.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionSource {
    /// A header field.
    pub header: Option<String>,
    /// A cookie.
    pub cookie: Option<String>,
    /// A query parameter.
    pub query: Option<String>,
    /// A member of a JSON body, by its JSON pointer: `/session`.
    pub json: Option<String>,
    /// A field of a urlencoded body.
    pub form: Option<String>,
    /// The authentication scheme before the token: `Bearer`. Headers and parameters.
    pub scheme: Option<String>,
}

impl SessionSource {
    /// How many places it names: one is sound.
    pub fn places(&self) -> usize {
        let all = [&self.header, &self.cookie, &self.query, &self.json, &self.form];
        all.into_iter().flatten().count()
    }

    /// The same place, written as that of a credential is.
    pub fn as_source(&self) -> Source {
        let name = |text: &Option<String>| text.clone().map(NamesOrName::Name);
        Source {
            header: name(&self.header),
            cookie: name(&self.cookie),
            query: name(&self.query),
            json: name(&self.json),
            form: name(&self.form),
            scheme: self.scheme.clone(),
            ..Source::default()
        }
    }
}

/// Where an answer may bring a session token: `header`, `cookie` or `json`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brought {
    /// A header field.
    pub header: Option<String>,
    /// A cookie that it sets.
    pub cookie: Option<String>,
    /// A member of its JSON body, by its JSON pointer: `/widget_auth_token`.
    pub json: Option<String>,
}

/// What becomes of live connections when the trust in them ends.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// When the proof that opened them expires (default keep).
    pub on_expiry: Option<OnEndWord>,
    /// When the key that proved them is removed or lapses (default close).
    pub on_key_removal: Option<OnEndWord>,
    /// How long after the proof's end they are closed (default 30s).
    pub grace: Option<Period>,
    /// Most WebSockets of one identity; beyond, the oldest is closed (default 0: any number).
    pub max_connections_per_identity: Option<usize>,
}

/// What is done to a connection whose reason has gone.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnEndWord {
    /// It stays.
    Keep,
    /// It is closed.
    Close,
}

/// What happens while bans, logouts and sessions cannot be looked up.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutageWord {
    /// What was known last holds.
    Serve,
    /// Nobody is verified.
    Refuse,
}
