//! One site, its keys, sources and routes.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ChatStarted, Details, Enrich, Headers, JwtLeeway, List, Live, Mode, NamesOrName, OneOrMany,
    OutageWord, Period, Session, SingleUse, Size, Time, Translate, Upstream, Webhook,
};

/// One chat backend and the people who may speak to it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Host names, `*.example.com` for any depth below. Absent: every other host.
    pub hosts: Option<List<String>>,
    /// The chat backend: `http://host:port`, `unix:/path`, a list of them, or a mapping.
    #[schemars(required)]
    pub upstream: Option<Upstream>,
    /// How identity is signed: a built-in dialect (`countersign dialects`) or one of `dialects:`.
    #[schemars(required)]
    pub dialect: Option<String>,
    /// Who is let through (default prefer).
    pub mode: Option<Mode>,
    /// The keys that verify; old and new side by side while rotating.
    pub keys: Option<List<Key>>,
    /// Whom tokens must be for: `aud`, or Amazon's widget id.
    pub audience: Option<OneOrMany>,
    /// Exceptions by path and method; the first match wins.
    pub routes: Option<List<Route>>,
    /// Where the credential is looked for, instead of the dialect's own places.
    pub sources: Option<List<Source>>,
    /// Where the id stands in a token, as a JSON pointer: `/attributes/memberID`.
    pub id_claim: Option<String>,
    /// Further claims that must be there: names or JSON pointers.
    pub require_claims: Option<List<String>>,
    /// What `iss` must equal.
    pub issuer: Option<String>,
    /// How far clocks may differ, instead of the dialect's own leeway.
    pub leeway: Option<JwtLeeway>,
    /// Tokens serve once, known by their `jti`: a later repeat is refused.
    pub single_use: Option<SingleUse>,
    /// What becomes of identity fields without proof (default claim).
    pub unsigned: Option<UnsignedWord>,
    /// Leave the credential in the request (default false).
    pub forward_credential: Option<bool>,
    /// What the backend's headers are called. Absent: `Countersign-…` alone.
    pub headers: Option<Headers>,
    /// Origins whose pages may speak to the site: `https://www.acme.example`. Absent: any.
    pub allowed_origins: Option<List<String>>,
    /// Who may show the site's pages in a frame: `https://www.acme.example`,
    /// `https://*.acme.example`, `self`; `none` alone: nobody. Absent: as the backend says.
    pub frame_ancestors: Option<List<String>>,
    /// How a WebSocket handshake is refused (default http).
    pub refuse_upgrade: Option<RefuseUpgradeWord>,
    /// Largest body that is looked at, at most 64KiB (default: `limits.body`).
    pub body_limit: Option<Size>,
    /// Further dialects with keys of their own: moving from one vendor's signing to another's.
    pub accepts: Option<List<Accept>>,
    /// The backend's session, which stands for the identity that was proven in it. Absent:
    /// every request proves for itself.
    pub session: Option<Session>,
    /// What becomes of live connections when the trust in them ends.
    pub live: Option<Live>,
    /// What happens while the store cannot be reached (default serve).
    pub on_store_outage: Option<OutageWord>,
    /// How long credentials without `iat` are refused after a logout (default 10m for
    /// tokens, 0s for hashes).
    pub logout_hold: Option<Period>,
    /// What begins a chat. Absent: the first WebSocket of a verified visitor's session.
    pub chat_started: Option<ChatStarted>,
    /// Who is told of it.
    pub webhooks: Option<List<Webhook>>,
    /// Whether subscriptions made through the admin API may point to loopback, private and
    /// link-local addresses (default false).
    pub webhook_private_targets: Option<bool>,
    /// Who may post details of visitors, for the backend to see.
    pub details: Option<Details>,
    /// Who is asked about a visitor whose chat begins.
    pub enrich: Option<Enrich>,
    /// What is written for a backend that wants a proof of its own.
    pub translate: Option<List<Translate>>,
}

/// A further dialect whose credentials a site accepts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// How identity is signed: a built-in dialect or one of `dialects:`.
    #[schemars(required)]
    pub dialect: Option<String>,
    /// The keys that verify it, with ids that are unique in the site.
    pub keys: Option<List<Key>>,
    /// Whom tokens must be for: `aud`, or Amazon's widget id.
    pub audience: Option<OneOrMany>,
    /// Where the credential is looked for, instead of the dialect's own places; none may be
    /// another dialect's of this site.
    pub sources: Option<List<Source>>,
    /// Where the id stands in a token, as a JSON pointer: `/attributes/memberID`.
    pub id_claim: Option<String>,
    /// Further claims that must be there: names or JSON pointers.
    pub require_claims: Option<List<String>>,
    /// What `iss` must equal.
    pub issuer: Option<String>,
    /// How far clocks may differ, instead of the dialect's own leeway.
    pub leeway: Option<JwtLeeway>,
    /// Tokens serve once, known by their `jti`: a later repeat is refused.
    pub single_use: Option<SingleUse>,
}

/// A key that verifies: `secret` or `public_key`; or many, from a set or a folder: `jwks`
/// or `directory`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// `[A-Za-z0-9._-]{1,64}`, unique in the site; tokens may name it as `kid`. The keys of
    /// a set have their `kid`, those of a folder their file's name up to the last dot.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub id: Option<String>,
    /// A shared secret.
    pub secret: Option<Secret>,
    /// A public key in PEM.
    pub public_key: Option<PublicKey>,
    /// A JSON Web Key Set.
    pub jwks: Option<Jwks>,
    /// A folder with one file a key: a secret, or a public key in PEM. A file that is taken
    /// away withdraws its key.
    pub directory: Option<String>,
    /// The one algorithm; default by the key's type: secret HS256, RSA RS256, P-256 ES256,
    /// P-384 ES384, Ed25519 EdDSA.
    pub algorithm: Option<String>,
    /// Proves nothing before this moment (RFC 3339).
    pub not_before: Option<Time>,
    /// Proves nothing from this moment on (RFC 3339).
    pub not_after: Option<Time>,
}

/// A JSON Web Key Set: `url` or `file`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwks {
    /// Where it is fetched from: `https://login.acme.example/jwks.json`.
    pub url: Option<String>,
    /// Path of a file, relative to the configuration.
    pub file: Option<String>,
    /// How often it is fetched again (default 5m).
    pub refresh: Option<Period>,
    /// How long an unknown `kid` may wait for one shared fetch (default and most 500ms; 0s:
    /// none is made for it).
    pub wait: Option<Period>,
    /// How long its keys stay in force while it cannot be fetched (default 24h).
    pub stale_for: Option<Period>,
    /// Allow http: whoever is on the way can then choose the keys (default false).
    pub insecure: Option<bool>,
}

/// A secret: `file`, `env` or `value`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Path, relative to the configuration; one trailing newline is dropped.
    pub file: Option<String>,
    /// Name of an environment variable, read at start.
    pub env: Option<String>,
    /// The secret itself.
    pub value: Option<String>,
    /// How the secret is written (default raw, or what the dialect says).
    pub encoding: Option<SecretEncoding>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// How a secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretEncoding {
    /// The bytes as they are.
    Raw,
    /// Standard base64.
    Base64,
    /// URL-safe base64.
    Base64url,
    /// Hexadecimal.
    Hex,
}

/// A public key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    /// Path of a PEM file, relative to the configuration.
    #[schemars(required)]
    pub file: Option<String>,
}

/// A place where a request may carry the credential: `header`, `query`, `cookie`,
/// `websocket_protocol`, or in the body `json`, `form` or `multipart`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A header field.
    pub header: Option<NamesOrName>,
    /// A query parameter.
    pub query: Option<NamesOrName>,
    /// A cookie.
    pub cookie: Option<NamesOrName>,
    /// A WebSocket subprotocol: what stands before the token, `countersign.jwt.`.
    pub websocket_protocol: Option<NamesOrName>,
    /// A member of a JSON body, by its JSON pointer: `/jwt`.
    pub json: Option<NamesOrName>,
    /// A field of a urlencoded body.
    pub form: Option<NamesOrName>,
    /// A part of a multipart body.
    pub multipart: Option<NamesOrName>,
    /// The authentication scheme before the credential: `Bearer`. Headers and parameters.
    pub scheme: Option<String>,
    /// Others use this place too: a value without the dialect's shape is not looked at.
    pub shared: Option<bool>,
}

/// The names of a hash and of what it covers, in one place.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceNames {
    /// The hash.
    #[schemars(required)]
    pub proof: Option<String>,
    /// The id.
    pub id: Option<String>,
    /// The email, where the message has one.
    pub email: Option<String>,
    /// The name, where the message has one.
    pub name: Option<String>,
}

/// What differs for some paths.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `*` is one segment, a final `/*` the rest: `/assets/*`.
    #[schemars(required)]
    pub path: Option<String>,
    /// Which methods; absent: any.
    pub methods: Option<List<String>>,
    /// Instead of the site's mode.
    pub mode: Option<Mode>,
    /// Instead of the site's sources.
    pub sources: Option<List<Source>>,
    /// Instead of the site's setting.
    pub unsigned: Option<UnsignedWord>,
    /// Instead of the site's setting.
    pub forward_credential: Option<bool>,
    /// Instead of the site's origins.
    pub allowed_origins: Option<List<String>>,
    /// Instead of the site's.
    pub frame_ancestors: Option<List<String>>,
    /// Instead of the site's setting.
    pub refuse_upgrade: Option<RefuseUpgradeWord>,
    /// Instead of the site's limit.
    pub body_limit: Option<Size>,
}

/// How a WebSocket handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RefuseUpgradeWord {
    /// With a status, which browsers show to nobody.
    Http,
    /// It is accepted and closed at once, with a code and the reason.
    Close,
}

/// What becomes of identity fields without proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnsignedWord {
    /// They are taken out and handed over as `Countersign-Claimed`.
    Claim,
    /// They stay where they are.
    Keep,
}

/// Which backend gets the next request.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest requests and WebSockets under way.
    LeastRequests,
}
