//! The listener that judges for another gateway, and what each gateway's questions look like.

use super::{Address, Site};
use crate::dialect::{Carrier, Names};

/// The decision listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where it listens.
    pub address: Address,
    /// Whose questions it understands.
    pub gateway: Gateway,
    /// What stands before the path in every question; Envoy's alone.
    pub path_prefix: String,
}

/// A gateway that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// NGINX: `auth_request`.
    Nginx,
    /// Traefik: ForwardAuth.
    Traefik,
    /// Caddy: `forward_auth`.
    Caddy,
    /// HAProxy: a Lua action of ours.
    Haproxy,
    /// Envoy: HTTP `ext_authz`.
    Envoy,
}

/// The header fields that hold what a question is about, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carriers {
    /// The method.
    pub method: &'static str,
    /// What the client named as `Host`.
    pub host: &'static str,
    /// The request target.
    pub uri: &'static str,
}

/// The fields that every recipe takes over from the answer, or removes where it has them not,
/// beside `Countersign-*`: those in which credentials travel among others, and those of their
/// own in which built-in dialects have credentials and claims. In lower case.
pub const CARRIED: [&str; 10] = [
    "authorization",
    "cookie",
    "referer",
    "sec-websocket-protocol",
    "x-amz-security-token",
    "x-identifier-hash",
    "x-user-email",
    "x-user-id",
    "x-user-key",
    "x-user-name",
];

impl Gateway {
    /// Every gateway there is.
    pub const ALL: [Self; 5] =
        [Self::Nginx, Self::Traefik, Self::Caddy, Self::Haproxy, Self::Envoy];

    /// As it is written in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    /// What it sends besides the client's own fields; none where the question is the request
    /// itself. Traefik and Caddy choose these names, the recipes of the others do.
    pub const fn carriers(self) -> Option<Carriers> {
        match self {
            Self::Nginx => Some(Carriers {
                method: "x-original-method",
                host: "x-original-host",
                uri: "x-original-uri",
            }),
            Self::Traefik | Self::Caddy | Self::Haproxy => Some(Carriers {
                method: "x-forwarded-method",
                host: "x-forwarded-host",
                uri: "x-forwarded-uri",
            }),
            Self::Envoy => None,
        }
    }
}

impl Site {
    /// The header fields, in lower case, that its credentials may be in: each once or more.
    pub fn credential_fields(&self) -> impl Iterator<Item = &str> {
        let routes = self.routes.0.iter().map(|route| &route.settings);
        let settings = std::iter::once(&self.settings).chain(routes);
        let sources = settings.flat_map(|settings| self.proofs(settings));
        let carriers = sources.flat_map(|proof| proof.sources).map(|source| &source.carrier);
        carriers
            .filter_map(|carrier| match carrier {
                Carrier::Header { names, .. } => Some(names),
                _ => None,
            })
            .flat_map(Names::all)
            .map(String::as_str)
    }
}
