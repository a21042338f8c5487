//! Everything a request needs to know, resolved once when the configuration is loaded and
//! immutable from then on: one generation. Keys from a URL alone come and go while it is
//! in force ([`KeySets`]).

mod asserts;
mod decision;
mod flight;
mod key_set;
mod memory;
mod tls;
mod translate;
mod upstream;
mod weak;
mod website;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::dialect::{Dialect, Key, Keyring};
use crate::gate::Fields;
use crate::gate::contract::{Reserved, SiteHeaders, SiteValues};
use crate::gate::framing::Ancestors;
use crate::gate::origin::Origin;
use crate::gate::policy::Mode;
use crate::gate::route::{Hosts, Routes};

pub use asserts::Asserts;
pub use decision::{CARRIED, Carriers, Decision, Gateway};
pub use flight::{Flight, Joined};
pub use key_set::{Fetched, KeySet, KeySets, KeySource, KeysNow};
pub use memory::{
    Brought, Live, OnEnd, OnStoreOutage, RedisUrl, Remembrance, Session, StoreSettings,
};
pub use tls::Tls;
pub use translate::{Due, Target, Translation, Translations};
pub use upstream::{Balance, HealthCheck, Upstream, UpstreamTarget};
pub use website::{DetailsApi, Enrich, Format, Include, Push, Reach, Starts, Webhook, Website};

/// Stands where a site's name would, for requests of no site: no site may have it.
pub const NO_SITE: &str = "none";

/// One generation of the configuration, resolved.
#[derive(Debug)]
pub struct Plan {
    /// Counts up with each reload, from 1.
    pub generation: u64,
    /// The sites, in the order of the file; `Hosts` points into it.
    pub sites: Vec<Site>,
    /// Which host belongs to which site.
    pub hosts: Hosts,
    /// What no client may send: what any site tells its backend by.
    pub reserved: Reserved,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: TrustedProxies,
    /// How much a refusal tells.
    pub errors: ErrorStyle,
    /// Sizes and counts.
    pub limits: Limits,
    /// Times.
    pub timeouts: Timeouts,
    /// How a shutdown goes.
    pub drain: Drain,
    /// What the access log holds.
    pub log: LogSettings,
    /// What signs what backends are told.
    pub asserts: Asserts,
    /// Whether the widget-side verbs under `/.countersign/` are Countersign's own.
    pub verbs: bool,
    /// What cannot change while running.
    pub process: Process,
    /// What `check` and the start-up log warn about, in sentences that name their site.
    pub warnings: Vec<String>,
    /// Every file and directory that the configuration names, itself included.
    pub watched: Vec<std::path::PathBuf>,
}

/// What a reload cannot change: compared as a whole, named when it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Where requests come in.
    pub listeners: Vec<Address>,
    /// The admin listener; `None` is `admin: off`.
    pub admin: Option<Admin>,
    /// Probes and metrics alone.
    pub health: Option<Address>,
    /// Where another gateway asks.
    pub decision: Option<Decision>,
    /// Worker threads; `None` is `auto`.
    pub threads: Option<usize>,
    /// Where memory is kept.
    pub store: StoreSettings,
}

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub address: Address,
    /// Bearer token for `/v1/…`; absent: those answer 403 `admin_disabled`.
    pub token: Option<crate::secret::Secret>,
}

impl PartialEq for Admin {
    fn eq(&self, other: &Self) -> bool {
        let token = |admin: &Self| admin.token.as_ref().map(|token| token.expose().to_vec());
        self.address == other.address && token(self) == token(other)
    }
}

impl Eq for Admin {}

/// An address to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address.
    Tcp(std::net::SocketAddr),
    /// A Unix socket's path.
    Unix(std::path::PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One chat backend and the people who may speak to it.
#[derive(Debug)]
pub struct Site {
    /// `[a-z0-9-]{1,63}`.
    pub name: Arc<str>,
    /// Position in [`Plan::sites`].
    pub index: usize,
    /// The vendor's rules with this site's settings worked in.
    pub dialect: Dialect,
    /// The keys of its own dialect that the configuration holds, in the order of the file;
    /// [`Site::keys`] has those from a URL and of further dialects besides.
    pub keyring: Keyring,
    /// Where further keys of its own dialect are fetched from.
    pub key_sets: KeySets,
    /// Further dialects whose credentials are accepted, none of whose places overlap.
    pub accepts: Vec<Accepted>,
    /// Which request fields claim identity, to any of its dialects.
    pub fields: Arc<Fields>,
    /// The site's own settings, in force where no route matches.
    pub settings: Settings,
    /// Routes, first match wins.
    pub routes: Routes,
    /// What is written for a backend that wants a proof of its own.
    pub translations: Translations,
    /// Where its requests go.
    pub upstream: Upstream,
    /// What every request's headers say of it.
    pub values: SiteValues,
    /// What they are called.
    pub headers: SiteHeaders,
    /// What it remembers of its visitors.
    pub remembers: Remembrance,
    /// What its website's server has to do with it.
    pub website: Website,
}

/// A further dialect of a site, with keys of its own.
#[derive(Debug)]
pub struct Accepted {
    /// The vendor's rules, with this entry's settings worked in. Its identity fields are
    /// those of the site's own dialect, in the same order.
    pub dialect: Dialect,
    /// Those of its keys that the configuration holds.
    pub keyring: Keyring,
    /// Where further ones are fetched from.
    pub key_sets: KeySets,
    /// What headers say where it vouches.
    pub values: SiteValues,
}

/// One way to prove an identity to a site.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'p> {
    /// Its position among the site's ways; that of the site's own dialect is 0.
    pub way: usize,
    /// The rules.
    pub dialect: &'p Dialect,
    /// The keys that the configuration holds; [`Proof::keys`] has those from a URL besides.
    pub keyring: &'p Keyring,
    /// Where further ones are fetched from.
    pub key_sets: &'p KeySets,
    /// Where the credential is looked for.
    pub sources: &'p [crate::dialect::Source],
    /// What headers say where it vouches.
    pub values: &'p SiteValues,
}

impl<'p> Proof<'p> {
    /// Every key of this way that is in force now.
    pub fn keys(&self) -> KeysNow<'p> {
        self.key_sets.with(self.keyring)
    }
}

impl Site {
    /// The site's own way to prove under these settings.
    pub fn proof<'p>(&'p self, settings: &'p Settings) -> Proof<'p> {
        Proof {
            way: 0,
            dialect: &self.dialect,
            keyring: &self.keyring,
            key_sets: &self.key_sets,
            sources: &settings.sources,
            values: &self.values,
        }
    }

    /// The further ways that it accepts.
    pub fn accepted(&self) -> impl Iterator<Item = Proof<'_>> {
        self.accepts.iter().zip(1..).map(|(accepted, way)| Proof {
            way,
            dialect: &accepted.dialect,
            keyring: &accepted.keyring,
            key_sets: &accepted.key_sets,
            sources: &accepted.dialect.sources,
            values: &accepted.values,
        })
    }

    /// All of them, the site's own first.
    pub fn proofs<'p>(&'p self, settings: &'p Settings) -> impl Iterator<Item = Proof<'p>> {
        std::iter::once(self.proof(settings)).chain(self.accepted())
    }

    /// The names of its dialects, by the position of the way to prove that has each.
    pub fn dialects(&self) -> impl Iterator<Item = &Arc<str>> {
        let accepted = self.accepts.iter().map(|accepted| &accepted.dialect.name);
        std::iter::once(&self.dialect.name).chain(accepted)
    }

    /// Every key that is in force now, those of the site's own dialect first.
    pub fn keys(&self) -> Vec<Arc<Key>> {
        self.proofs(&self.settings).flat_map(|proof| proof.keys().keys().to_vec()).collect()
    }

    /// Every set that keys are fetched from, those of the site's own dialect first.
    pub fn key_sets(&self) -> impl Iterator<Item = &Arc<KeySet>> {
        let accepted = self.accepts.iter().flat_map(|accepted| accepted.key_sets.iter());
        self.key_sets.iter().chain(accepted)
    }

    /// Whether it fetches keys, for any of its dialects.
    pub fn fetches_keys(&self) -> bool {
        self.key_sets().next().is_some()
    }

    /// When a key was fetched; none for those of the configuration.
    pub fn fetched_at(&self, key: &Arc<Key>) -> Option<crate::clock::UnixTime> {
        let has = |fetched: &Arc<Fetched>| fetched.keys.iter().any(|own| Arc::ptr_eq(own, key));
        self.key_sets().map(|set| set.fetched()).find(has)?.at
    }
}

impl Plan {
    /// Takes over the keys that an earlier Plan has fetched, and the TLS sessions that it
    /// could resume.
    pub fn inherit(&mut self, earlier: &Self) {
        for site in &mut self.sites {
            if let Some(before) = earlier.sites.iter().find(|other| other.name == site.name) {
                // A dialect may have changed its place in the site.
                let sets: Vec<_> = before.key_sets().cloned().collect();
                site.key_sets.inherit(&sets);
                for accepted in &mut site.accepts {
                    accepted.key_sets.inherit(&sets);
                }
                if site.upstream.tls == before.upstream.tls {
                    site.upstream.tls = before.upstream.tls.clone();
                }
            }
        }
    }
}

/// What holds for a route, or for a site where no route matches. Resolved: a route's
/// unset members are the site's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who is let through.
    pub mode: Mode,
    /// Where the credential is looked for. Indices are not stable across settings.
    pub sources: Arc<[crate::dialect::Source]>,
    /// `unsigned: keep`.
    pub keep_unsigned: bool,
    /// Whether a spent credential goes on to the backend.
    pub forward_credential: bool,
    /// The origins whose pages may speak to the site; empty: any (cookie credentials:
    /// the site's own host).
    pub allowed_origins: Arc<[Origin]>,
    /// Who may show the answers in a frame; none: whoever the backend lets.
    pub frame_ancestors: Option<Arc<Ancestors>>,
    /// How a WebSocket handshake is refused.
    pub refuse_upgrade: RefuseUpgrade,
    /// Bytes of a body that is looked at, instead of `Limits::body`.
    pub body_limit: Option<usize>,
}

/// How a WebSocket handshake is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefuseUpgrade {
    /// With a status, which browsers show to nobody.
    #[default]
    Http,
    /// It is accepted and closed at once: 3003 for a 403, else 3000.
    Close,
}

/// Whose forwarding headers are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Whether the address is one of them (an IPv4-mapped IPv6 address counts as its IPv4).
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }
}

/// How much a refusal tells (`errors:`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorStyle {
    /// Code and one helpful sentence.
    #[default]
    Helpful,
    /// The status alone.
    Terse,
}

/// Sizes in bytes, and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request head; more is 431.
    pub head: usize,
    /// Header fields; more is 431.
    pub headers: usize,
    /// Any credential, whatever its dialect allows.
    pub credential: usize,
    /// A body that could carry identity fields.
    pub body: usize,
    /// Open client connections; beyond, new ones are closed at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 32 * 1024,
            headers: 100,
            credential: 8 * 1024,
            body: 64 * 1024,
            connections: 20_000,
        }
    }
}

/// Times; `websocket_idle: None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From a connection's (or a kept-alive request's) first byte to the end of its head;
    /// for a new connection from its start.
    pub head: Duration,
    /// Between two reads of a request body; for all of one that is read before the judgement.
    pub body: Duration,
    /// A kept-alive client connection without a request.
    pub idle: Duration,
    /// Reaching the backend.
    pub connect: Duration,
    /// Between two reads of the backend's answer.
    pub response: Duration,
    /// A kept-alive backend connection without a request.
    pub upstream_idle: Duration,
    /// A WebSocket without a byte either way.
    pub websocket_idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            connect: Duration::from_secs(3),
            response: Duration::from_secs(60),
            upstream_idle: Duration::from_secs(4),
            websocket_idle: None,
        }
    }
}

/// How a shutdown goes (`drain:`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Readiness fails and answers say `Connection: close`, while new connections still pass.
    pub delay: Duration,
    /// Over this long live connections are asked to end.
    pub spread: Duration,
    /// After this long, counted from the end of `delay`, whatever is left is cut.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            spread: Duration::from_secs(10),
            timeout: Duration::from_secs(25),
        }
    }
}

/// What the access log holds (`log:`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Which requests get a line.
    pub access: AccessLog,
    /// How identities are shown.
    pub identities: LogIdentities,
}

/// Which requests get an access line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// Every one.
    #[default]
    All,
    /// Only those turned away.
    Refusals,
    /// None.
    None,
}

/// How identities are shown in the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogIdentities {
    /// A keyed hash.
    #[default]
    Hashed,
    /// As they are.
    Plain,
    /// Not at all.
    None,
}
