//! What was written: the configuration's own words, typed but not yet understood.
//!
//! These types are the source of `config/schema.json`, so their comments are what editors
//! show. Almost every member is optional here, also those that must be there: what is
//! missing is said by `compile`, all at once. No `tag`, `untagged` or `flatten`: they
//! would lose the positions.

mod assertion;
mod decision;
mod dialect;
mod headers;
mod memory;
mod scalars;
mod shapes;
mod site;
mod translate;
mod website;

pub use assertion::Assertion;
pub use decision::{Decision, GatewayWord};
pub use dialect::{
    AudienceWord, Claims, Dialect, HashName, Hmac, Jwt, JwtLeeway, KeyRule, OutputName, Unsigned,
};
pub use headers::{HeaderBudget, HeaderField, Headers, Map, Presets};
pub use memory::{
    Brought, Embedded, Live, OnEndWord, OutageWord, Redis, Session, SessionSource, Store,
};
pub use scalars::{Mode, Period, PeriodOrNone, Seconds, SingleUse, Size, Switch, Threads, Time};
pub use shapes::{
    Admin, AdminSettings, Authorities, HealthCheck, List, Named, NamesOrName, OneOrMany, Upstream,
};
pub use site::{
    Accept, Balance, Jwks, Key, PublicKey, RefuseUpgradeWord, Route, Secret, SecretEncoding, Site,
    Source, SourceNames, UnsignedWord,
};
pub use translate::Translate;
pub use website::{
    ChatStarted, Details, Enrich, EventWord, FormatWord, IncludeWord, Push, Webhook,
};

use schemars::JsonSchema;
use serde::Deserialize;

/// A configuration of Countersign.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Countersign configuration")]
pub struct Config {
    /// The format's version: 1.
    #[schemars(required, range(min = 1, max = 1))]
    pub version: Option<u64>,
    /// Where requests come in. A change needs a restart.
    #[schemars(required, length(min = 1))]
    pub listeners: Option<List<Listener>>,
    /// Probes, metrics and the admin API. Absent: 127.0.0.1:9090 without a token. `off`: none.
    pub admin: Option<Admin>,
    /// Probes and metrics alone, for kubelet and Prometheus.
    pub health: Option<Listener>,
    /// Where another gateway asks for the same judgement, and forwards by itself. A change needs
    /// a restart.
    pub decision: Option<Decision>,
    /// Where bans, logouts and sessions are kept. Default in memory; a change needs a restart.
    pub store: Option<Store>,
    /// Sign what backends are told, so that they need not trust the network.
    pub assertion: Option<Assertion>,
    /// Whether the widget's own endpoints under `/.countersign/` are answered here (default
    /// on); `off` gives their paths back to the backends.
    pub verbs: Option<Switch>,
    /// How long the headers to backends may be, where a site does not say it.
    pub headers: Option<HeaderBudget>,
    /// How much a refusal tells.
    pub errors: Option<Errors>,
    /// Whose forwarding headers are believed: CIDRs, or `private` (loopback, RFC 1918, ULA,
    /// link-local). Default none.
    pub trusted_proxies: Option<List<String>>,
    /// Worker threads: a number, or `auto` (what the container may use).
    pub threads: Option<Threads>,
    /// Sizes and counts.
    pub limits: Option<Limits>,
    /// Times.
    pub timeouts: Option<Timeouts>,
    /// How a shutdown goes.
    pub drain: Option<Drain>,
    /// What the access log holds.
    pub log: Option<Log>,
    /// One entry a chat backend; the name is `[a-z0-9-]{1,63}`, but not `none`.
    #[schemars(required)]
    pub sites: Option<Named<Site>>,
    /// Dialects of your own.
    pub dialects: Option<Named<Dialect>>,
}

/// An address to listen at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port: `0.0.0.0:8080`, `[::]:8080`.
    pub address: Option<String>,
    /// Path of a Unix socket, instead of `address`.
    pub unix: Option<String>,
}

/// How much a refusal tells.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Errors {
    /// Code and one helpful sentence.
    Helpful,
    /// The status alone.
    Terse,
}

/// Sizes (`32KiB`, `1MiB`, or bytes) and counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Request head (default 32KiB); more is 431.
    pub head: Option<Size>,
    /// Header fields (default 100); more is 431.
    pub headers: Option<usize>,
    /// Any credential (default 8KiB), whatever its dialect allows.
    pub credential: Option<Size>,
    /// A body that could carry identity fields (default 64KiB, which is also the most).
    pub body: Option<Size>,
    /// Open client connections (default 20000).
    pub connections: Option<usize>,
}

/// Times: `300ms`, `90s`, `7m`, `24h`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until a request's head is complete (default 10s).
    pub head: Option<Period>,
    /// Between two reads of a request body (default 30s).
    pub body: Option<Period>,
    /// A kept-alive client connection without a request (default 60s).
    pub idle: Option<Period>,
    /// Reaching the backend (default 3s).
    pub connect: Option<Period>,
    /// Between two reads of the backend's answer (default 60s).
    pub response: Option<Period>,
    /// A kept-alive backend connection without a request (default 4s).
    pub upstream_idle: Option<Period>,
    /// A WebSocket without a byte either way (default none).
    pub websocket_idle: Option<PeriodOrNone>,
}

/// How a shutdown goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Not ready any more, but still serving (default 5s).
    pub delay: Option<Period>,
    /// Over this long live connections are asked to end (default 10s).
    pub spread: Option<Period>,
    /// After this long whatever is left is cut (default 25s).
    pub timeout: Option<Period>,
}

/// What the access log holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Which requests get a line (default all).
    pub access: Option<Access>,
    /// How identities are shown (default hashed).
    pub identities: Option<Identities>,
}

/// Which requests get an access line.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Every one.
    All,
    /// Only those turned away.
    Refusals,
    /// None.
    None,
}

/// How identities are shown in the access log.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Identities {
    /// A keyed hash.
    Hashed,
    /// As they are.
    Plain,
    /// Not at all.
    None,
}
