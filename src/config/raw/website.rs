//! A site's own server in the loop: `chat_started`, `webhooks`, `details`, `enrich`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{List, Named, Period, Secret};

/// What begins a chat, and what events call it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatStarted {
    /// The request's method (default POST).
    pub method: Option<String>,
    /// Its path: `*` is one segment, a final `/*` the rest.
    #[schemars(required)]
    pub path: Option<String>,
    /// The statuses of answers that begin a chat (default 200 and 201).
    #[schemars(length(min = 1))]
    pub status: Option<List<u16>>,
    /// The account that events name (default: the site's name).
    pub account_id: Option<String>,
    /// The agent that events name (default: an empty text).
    pub agent_id: Option<String>,
}

/// Where events are posted to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// `[a-z0-9-]{1,63}`, unique in the site.
    #[schemars(required, regex(pattern = r"^[a-z0-9-]{1,63}$"))]
    pub name: Option<String>,
    /// `https://crm.acme.example/hook`; asked once with `echo=…` in its query before anything
    /// is posted.
    #[schemars(required)]
    pub url: Option<String>,
    /// How an event is written and signed.
    #[schemars(required)]
    pub format: Option<FormatWord>,
    /// What signs: 32 to 64 characters for `livesupporti`, `whsec_…` for `standard`.
    pub secret: Option<Secret>,
    /// Several while rotating, the newest first; each signs. Instead of `secret`.
    #[schemars(length(min = 1, max = 4))]
    pub secrets: Option<List<Secret>>,
    /// Which events (default all: `chat.started`).
    #[schemars(length(min = 1))]
    pub events: Option<List<EventWord>>,
    /// What is told of the visitor beside the id (default nothing).
    pub include: Option<List<IncludeWord>>,
    /// Headers of your own, sent with each event.
    pub headers: Option<Named<String>>,
    /// `Properties` of each event; their names are unique ignoring case.
    pub properties: Option<Named<String>>,
    /// How long each attempt waits for the one before it (default 0s, 1m, 4m for
    /// `livesupporti`, ten over three days for `standard`).
    #[schemars(length(min = 1, max = 20))]
    pub retry: Option<List<Period>>,
}

/// How an event is written and signed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatWord {
    /// LiveSupporti's, which is that of ASP.NET WebHooks: `ms-signature`.
    Livesupporti,
    /// Standard Webhooks 1.0: `webhook-signature`.
    Standard,
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum EventWord {
    /// A chat has begun.
    #[serde(rename = "chat.started")]
    ChatStarted,
}

/// What is told of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IncludeWord {
    /// Whether he is verified, and the email and name that are signed.
    Visitor,
    /// What was claimed without proof.
    Claimed,
}

/// Who may post details of visitors, and where they are passed on to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// HTTP Basic; unique over all sites.
    #[schemars(required)]
    pub username: Option<String>,
    /// HTTP Basic, at least 12 characters.
    #[schemars(required)]
    pub password: Option<Secret>,
    /// Whether the site's own listeners take details, too (default false: the admin listener
    /// alone).
    pub public: Option<bool>,
    /// Whether they do without TLS from strangers (default false).
    pub allow_cleartext: Option<bool>,
    /// How long a visitor and the details of one are known (default 24h).
    pub ttl: Option<Period>,
    /// Details are posted to the backend as they come.
    pub push: Option<Push>,
}

/// The backend's address for details of visitors.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// `http://127.0.0.1:3000/details`.
    #[schemars(required)]
    pub url: Option<String>,
    /// What signs them, as in Standard Webhooks: `whsec_…`. Absent: nothing does.
    pub secret: Option<Secret>,
}

/// Who is asked about a visitor whose chat begins.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrich {
    /// `https://crm.acme.example/visitor`.
    #[schemars(required)]
    pub url: Option<String>,
    /// What signs the question, as in Standard Webhooks: `whsec_…`.
    pub secret: Option<Secret>,
    /// Several while rotating, the newest first; each signs. Instead of `secret`.
    #[schemars(length(min = 1, max = 4))]
    pub secrets: Option<List<Secret>>,
    /// How long an answer may take (default 300ms).
    pub timeout: Option<Period>,
    /// How long an answer holds (default 10m).
    pub ttl: Option<Period>,
}
