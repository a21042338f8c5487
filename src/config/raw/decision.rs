//! The listener that judges for another gateway, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

/// The same judgement for another gateway, which keeps the request and only asks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// IP address and port that only the gateway can reach: `127.0.0.1:8081`.
    pub address: Option<String>,
    /// Path of a Unix socket, instead of `address`.
    pub unix: Option<String>,
    /// Which gateway asks: only its headers are believed.
    #[serde(rename = "for")]
    #[schemars(required)]
    pub gateway: Option<GatewayWord>,
    /// What Envoy's `path_prefix` puts before every path; for `envoy` alone.
    pub path_prefix: Option<String>,
}

/// A gateway that asks.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GatewayWord {
    /// NGINX's `auth_request`.
    Nginx,
    /// Traefik's ForwardAuth.
    Traefik,
    /// Caddy's `forward_auth`.
    Caddy,
    /// HAProxy with the Lua action of the recipe.
    Haproxy,
    /// Envoy's HTTP `ext_authz`.
    Envoy,
}
