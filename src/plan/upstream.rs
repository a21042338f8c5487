//! A site's backend as the configuration has it: addresses, and how they are used.

use std::sync::Arc;
use std::time::Duration;

use super::Tls;

/// Where a site's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Each serves the whole site.
    pub targets: Vec<UpstreamTarget>,
    /// Replaces `Host`, if set.
    pub host: Option<String>,
    /// How targets of `https` prove who they are; none where there is no such target.
    pub tls: Option<Arc<Tls>>,
    /// Which of several gets the next request.
    pub balance: Balance,
    /// How it is found out which are well, if it is.
    pub health: Option<HealthCheck>,
}

/// Which of several backends gets the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests and WebSockets under way; of equals each in turn.
    LeastRequests,
}

/// A question asked of every backend now and then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path of a GET that is answered 2xx or 3xx by a backend that is well.
    pub path: String,
    /// Time between two.
    pub interval: Duration,
    /// Time for all of one.
    pub timeout: Duration,
}

/// One backend address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamTarget {
    /// `http://host:port` or `https://host:port`.
    Tcp {
        /// Name or IP literal (IPv6 without brackets).
        host: String,
        /// Port.
        port: u16,
        /// `https`: then `host` is also the name that the certificate must have.
        tls: bool,
    },
    /// `unix:/path`.
    Unix(std::path::PathBuf),
}

impl UpstreamTarget {
    /// Whether it is `https`.
    pub const fn is_secured(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }
}

impl std::fmt::Display for UpstreamTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port, tls } => {
                let scheme = if *tls { "https" } else { "http" };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
