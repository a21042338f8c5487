//! Plans, requests and dialects for the gate's tests, built by hand.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::contract::{Reserved, SiteHeaders, SiteValues};
use super::origin::Origin;
use super::route::{Hosts, PathPattern, Route, Routes};
use super::{Body, Edits, Fields, Mode, Peer, RequestView};
use crate::dialect::{
    Carrier, ClaimRules, Dialect, FieldName, HashField, HashFunction, HmacRules, JwtRules,
    KeySelection, Keyring, Mechanism, MessagePiece, Names, Output, Source, UnsignedField,
    UnsignedRules,
};
use crate::plan::{
    Drain, ErrorStyle, Limits, LogSettings, Plan, Process, Settings, Site, Timeouts,
    TrustedProxies, Upstream, UpstreamTarget,
};

pub fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    headers
}

pub fn view<'a>(headers: &'a HeaderMap, target: &'a str) -> RequestView<'a> {
    RequestView {
        method: &Method::GET,
        target,
        authority: None,
        headers,
        peer: Peer::Ip("203.0.113.9".parse().unwrap()),
        tls: false,
        local_port: None,
        upgrade: false,
        request_id: "req-1",
        body: Body::Unseen,
    }
}

/// The header fields after the edits, in the map's order.
pub fn applied(edits: &Edits, headers: &HeaderMap) -> Vec<(String, String)> {
    let mut headers = headers.clone();
    edits.apply(&mut headers);
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn names(proof: &str, id: Option<&str>) -> Names {
    Names { proof: proof.into(), id: id.map(Into::into), ..Names::default() }
}

/// Bearer, `?jwt=`, cookie `countersign_jwt`; `external_id`, `name`, `email` unsigned.
pub fn token_dialect() -> Dialect {
    let bearer =
        Carrier::Header { names: names("authorization", None), scheme: Some("Bearer".into()) };
    Dialect {
        name: "zendesk-chat".into(),
        title: "Tokens".into(),
        documented_at: None,
        sources: vec![
            Source { carrier: bearer, shared: true },
            Source {
                carrier: Carrier::Query { names: names("jwt", None), scheme: None },
                shared: false,
            },
            Source {
                carrier: Carrier::Cookie { names: names("countersign_jwt", None) },
                shared: false,
            },
        ],
        mechanism: Mechanism::Jwt(JwtRules {
            algorithms: Vec::new(),
            key: KeySelection::KidOrAny,
            required_header: Vec::new(),
            max_bytes: 4096,
            leeway_iat: 0,
            leeway_exp: 0,
            max_lifetime: None,
            lifetime_without_exp: None,
            single_use: false,
            min_remaining: 0,
            warn_bytes: None,
            claims: ClaimRules::default(),
        }),
        unsigned: unsigned(&["external_id", "name", "email"], &["custom_*"]),
    }
}

/// `user_id` and `identifier_hash` in the query, `X-User-Id` and `X-Identifier-Hash`.
pub fn hash_dialect() -> Dialect {
    let header =
        Carrier::Header { names: names("x-identifier-hash", Some("x-user-id")), scheme: None };
    let fields = ["user_id", "name", "email", "X-User-Id", "X-User-Name", "X-User-Email"];
    Dialect {
        name: "user-hash".into(),
        title: "Hashes".into(),
        documented_at: None,
        sources: vec![
            Source {
                carrier: Carrier::Query {
                    names: names("identifier_hash", Some("user_id")),
                    scheme: None,
                },
                shared: false,
            },
            Source { carrier: header, shared: false },
        ],
        mechanism: Mechanism::Hmac(HmacRules {
            hash: HashFunction::Sha256,
            message: vec![MessagePiece::Field(vec![HashField::Id])],
            output: Output::Hex,
        }),
        unsigned: unsigned(&fields, &[]),
    }
}

/// Fields of these names; what proves them is the dialect's business.
pub fn unsigned(fields: &[&str], copied: &[&str]) -> UnsignedRules {
    let name = |text: &&str| FieldName::parse(text).unwrap();
    let field = |text| UnsignedField { name: name(text), proof: None, prefix: None };
    UnsignedRules {
        fields: fields.iter().map(field).collect(),
        copied: copied.iter().map(name).collect(),
        ..UnsignedRules::default()
    }
}

pub fn settings() -> Settings {
    Settings {
        mode: Mode::Prefer,
        sources: Arc::new([]),
        keep_unsigned: false,
        forward_credential: false,
        allowed_origins: Arc::new([]),
        frame_ancestors: None,
        refuse_upgrade: crate::plan::RefuseUpgrade::default(),
        body_limit: None,
    }
}

/// A plan of one site for `chat.acme.example`, whose trusted proxies are 10.0.0.0/8.
pub struct PlanBuilder {
    dialect: Dialect,
    settings: Settings,
    headers: SiteHeaders,
    routes: Vec<(String, Mode)>,
}

impl PlanBuilder {
    pub fn new(dialect: Dialect) -> Self {
        let settings = Settings { sources: dialect.sources.clone().into(), ..settings() };
        Self { dialect, settings, headers: SiteHeaders::default(), routes: Vec::new() }
    }

    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    pub fn route(mut self, pattern: &str, mode: Mode) -> Self {
        self.routes.push((pattern.into(), mode));
        self
    }

    pub fn origins(mut self, origins: &[&str]) -> Self {
        self.settings.allowed_origins =
            origins.iter().map(|text| Origin::parse(text).unwrap()).collect();
        self
    }

    pub fn headers(mut self, headers: SiteHeaders) -> Self {
        self.headers = headers;
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn build(self) -> Plan {
        let settings = self.settings;
        let route = |(pattern, mode): (String, Mode)| Route {
            pattern: PathPattern::parse(&pattern).unwrap(),
            methods: Vec::new(),
            settings: Settings { mode, ..settings.clone() },
        };
        let routes = Routes(self.routes.into_iter().map(route).collect());
        let site = Site {
            values: SiteValues::new("acme-support", &self.dialect.name),
            headers: self.headers,
            name: "acme-support".into(),
            index: 0,
            fields: Arc::new(Fields::of(&self.dialect.unsigned)),
            dialect: self.dialect,
            keyring: Keyring::default(),
            key_sets: crate::plan::KeySets::default(),
            accepts: Vec::new(),
            settings,
            routes,
            upstream: Upstream {
                targets: vec![UpstreamTarget::Tcp {
                    host: "127.0.0.1".into(),
                    port: 3000,
                    tls: false,
                }],
                host: None,
                tls: None,
                balance: Default::default(),
                health: None,
            },
            remembers: Default::default(),
            translations: Default::default(),
            website: crate::plan::Website::none("acme-support"),
        };
        let reserved = Reserved::of([&site.headers].into_iter());
        Plan {
            generation: 1,
            sites: vec![site],
            hosts: Hosts {
                exact: HashMap::from([("chat.acme.example".into(), 0)]),
                ..Hosts::default()
            },
            reserved,
            trusted_proxies: TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]),
            errors: ErrorStyle::Helpful,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            drain: Drain::default(),
            log: LogSettings::default(),
            asserts: crate::plan::Asserts::Nothing,
            verbs: true,
            process: Process {
                listeners: Vec::new(),
                admin: None,
                health: None,
                decision: None,
                threads: None,
                store: Default::default(),
            },
            warnings: Vec::new(),
            watched: Vec::new(),
        }
    }
}
