//! How a site's own server is in the loop: whom to tell when a chat begins, who may say more
//! of a visitor, and whom to ask. The settings alone; the work is `webhook`'s.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};

use crate::gate::route::PathPattern;
use crate::secret::Secret;

/// What a site and its website's server have to do with each other.
#[derive(Clone, Debug)]
pub struct Website {
    /// What begins a chat.
    pub starts: Starts,
    /// The account that events name (`chat_started.account_id`; default: the site's name).
    pub account_id: Arc<str>,
    /// The agent that events name (`chat_started.agent_id`; default: none, an empty text).
    pub agent_id: Arc<str>,
    /// The configuration's subscriptions; those made through the admin API are in memory.
    pub webhooks: Vec<Arc<Webhook>>,
    /// Whether subscriptions made through the admin API may point inside.
    pub private_targets: bool,
    /// Who may post details of a visitor, if anybody may.
    pub details: Option<Arc<DetailsApi>>,
    /// Who is asked about a visitor whose chat begins, if anybody is.
    pub enrich: Option<Arc<Enrich>>,
    /// How long a visitor and the details of one are known, counted from the chat's beginning
    /// and from each post; how long one visitor's chats are one, where there are no sessions.
    pub ttl: Duration,
}

impl Website {
    /// `details.ttl` where nothing else is said.
    pub const TTL: Duration = Duration::from_secs(24 * 3600);

    /// A site whose server has nothing to do with it.
    pub fn none(site: &str) -> Self {
        Self {
            starts: Starts::WebSocket,
            account_id: site.into(),
            agent_id: "".into(),
            webhooks: Vec::new(),
            private_targets: false,
            details: None,
            enrich: None,
            ttl: Self::TTL,
        }
    }

    /// The backend's address for details, where it is to be told of them.
    pub fn push(&self) -> Option<&Push> {
        self.details.as_ref()?.push.as_ref()
    }

    /// How far subscriptions may reach that are made through the admin API.
    pub const fn reach_of_made(&self) -> Reach {
        if self.private_targets { Reach::Anywhere } else { Reach::Outside }
    }

    /// Whether anybody of the configuration is to hear of a chat that begins.
    pub fn heeds_chats(&self) -> bool {
        !self.webhooks.is_empty() || self.details.is_some() || self.enrich.is_some()
    }
}

/// What begins a chat (`chat_started:`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starts {
    /// A verified visitor's WebSocket, once the backend has accepted it.
    WebSocket,
    /// A request that the backend answers so, whoever sends it.
    Answer {
        /// Its method.
        method: Method,
        /// Its path.
        path: PathPattern,
        /// The answer's status is one of these.
        statuses: Vec<u16>,
    },
}

/// A subscription to events (an entry of `webhooks:`, or made through the admin API).
#[derive(Clone)]
pub struct Webhook {
    /// `[a-z0-9-]{1,63}`, unique in its site.
    pub name: Arc<str>,
    /// Where events are posted to.
    pub url: Uri,
    /// How an event is written and signed.
    pub format: Format,
    /// The bytes that sign, the newest first; at least one.
    pub secrets: Vec<Secret>,
    /// What is told of the visitor beside the id.
    pub include: Include,
    /// Sent with each event.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `Properties` of each event.
    pub properties: Vec<(String, String)>,
    /// How long each attempt waits for the one before it; as many as there are.
    pub retry: Vec<Duration>,
    /// Who may be reached.
    pub reach: Reach,
    /// Tells subscriptions apart whose confirmation is not each other's: of format and URL.
    pub print: u64,
}

impl Webhook {
    /// Where events are posted to, for logs and people: without its query, which may hold a
    /// password.
    pub fn shown(&self) -> String {
        without_query(&self.url)
    }
}

/// Neither the address' query nor the headers: passwords may be in either.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("url", &self.shown())
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// An address without what may be a password.
pub(super) fn without_query(url: &Uri) -> String {
    let host = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    format!("{}://{host}{}", url.scheme_str().unwrap_or_default(), url.path())
}

/// How an event is written and signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// LiveSupporti's, which is that of ASP.NET WebHooks: `ms-signature`.
    Livesupporti,
    /// Standard Webhooks 1.0: `webhook-signature`.
    Standard,
}

impl Format {
    /// Its word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Livesupporti => "livesupporti",
            Self::Standard => "standard",
        }
    }

    /// How long each attempt waits for the one before it, where nothing is said: as ASP.NET
    /// WebHooks does, and as Standard Webhooks 1.0 recommends (over three days).
    pub fn retry(self) -> Vec<Duration> {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let waits: &[u64] = match self {
            Self::Livesupporti => &[0, MINUTE, 4 * MINUTE],
            Self::Standard => &[
                0,
                5,
                5 * MINUTE,
                30 * MINUTE,
                2 * HOUR,
                5 * HOUR,
                10 * HOUR,
                14 * HOUR,
                20 * HOUR,
                24 * HOUR,
            ],
        };
        waits.iter().map(|wait| Duration::from_secs(*wait)).collect()
    }
}

/// What is told of the visitor beside the id (`include:`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Include {
    /// Whether he is verified, and his email and name, if they are signed.
    pub visitor: bool,
    /// What was claimed without proof.
    pub claimed: bool,
}

/// Which addresses a request of ours may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any: the configuration file says so.
    Anywhere,
    /// None of loopback, private and link-local networks.
    Outside,
}

/// Who may post details of visitors (`details:`).
#[derive(Clone, Debug)]
pub struct DetailsApi {
    /// HTTP Basic: unique over all sites.
    pub username: Arc<str>,
    /// HTTP Basic.
    pub password: Secret,
    /// Whether the site's own listeners take them, too.
    pub public: bool,
    /// Whether they do from strangers without TLS.
    pub allow_cleartext: bool,
    /// Where details are passed on to.
    pub push: Option<Push>,
}

/// The backend's address for details of visitors (`details.push:`).
#[derive(Clone)]
pub struct Push {
    /// Where they are posted to.
    pub url: Uri,
    /// What signs them as in Standard Webhooks, if anything does.
    pub secret: Option<Secret>,
}

impl Push {
    /// Where details are posted to, without its query.
    pub fn shown(&self) -> String {
        without_query(&self.url)
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("url", &self.shown()).finish_non_exhaustive()
    }
}

/// Who is asked about a visitor (`enrich:`).
#[derive(Clone)]
pub struct Enrich {
    /// Where the question is posted to.
    pub url: Uri,
    /// What signs it, as in Standard Webhooks; the newest first.
    pub secrets: Vec<Secret>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long an answer holds.
    pub ttl: Duration,
}

impl Enrich {
    /// How long an answer may take, where nothing is said.
    pub const TIMEOUT: Duration = Duration::from_millis(300);
    /// How long an answer holds, where nothing is said.
    pub const TTL: Duration = Duration::from_secs(600);

    /// Where the question is posted to, without its query.
    pub fn shown(&self) -> String {
        without_query(&self.url)
    }
}

impl fmt::Debug for Enrich {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrich").field("url", &self.shown()).finish_non_exhaustive()
    }
}
