//! Plans made by hand, for the tests of what watches them.

use std::sync::Arc;

use crate::clock::UnixTime;
use crate::dialect::keyring::Keyring;
use crate::dialect::{
    Algorithm, AudienceRule, ClaimRules, Dialect, FieldName, HashFunction, HmacRules, JwtRules,
    Key, KeySelection, Mechanism, Output, UnsignedField, UnsignedRules,
};
use crate::gate::Mode;
use crate::gate::contract::SiteValues;
use crate::gate::route::{Hosts, PathPattern, Route, Routes};
use crate::plan::{Address, Admin, Plan, Process, Settings, Site, Upstream, UpstreamTarget};
use crate::secret::Secret;

/// A plan with these sites, the admin listener with the token `letmein-letmein-letmein`.
pub(crate) fn plan(sites: Vec<Site>) -> Plan {
    let mut hosts = Hosts::default();
    for site in &sites {
        hosts.exact.insert(format!("{}.example", site.name), site.index);
    }
    Plan {
        generation: 1,
        sites,
        hosts,
        reserved: Default::default(),
        trusted_proxies: Default::default(),
        errors: Default::default(),
        limits: Default::default(),
        timeouts: Default::default(),
        drain: Default::default(),
        log: Default::default(),
        asserts: crate::plan::Asserts::Nothing,
        verbs: true,
        process: Process {
            listeners: vec![Address::Tcp(([127, 0, 0, 1], 8080).into())],
            admin: Some(Admin {
                address: Address::Tcp(([127, 0, 0, 1], 9090).into()),
                token: Some(Secret::new(b"letmein-letmein-letmein".to_vec())),
            }),
            health: None,
            decision: None,
            threads: None,
            store: Default::default(),
        },
        warnings: Vec::new(),
        watched: Vec::new(),
    }
}

/// A site of the `jwt` dialect with keys `new` and `old` (which lapses at 2000).
pub(crate) fn site(index: usize, name: &str, mode: Mode) -> Site {
    let secret = Secret::new(vec![7; 32]);
    let key = |id| Key::secret(id, Algorithm::HS256, &secret).unwrap();
    let old = key("old").with_window(None, Some(UnixTime::from_secs(2000)));
    Site {
        values: SiteValues::new(name, "jwt"),
        headers: Default::default(),
        name: name.into(),
        index,
        fields: Arc::default(),
        dialect: jwt(),
        keyring: Keyring::new(vec![Arc::new(key("new")), Arc::new(old)]),
        key_sets: crate::plan::KeySets::default(),
        accepts: Vec::new(),
        settings: settings(mode),
        routes: Routes::default(),
        upstream: Upstream {
            targets: vec![UpstreamTarget::Tcp { host: "127.0.0.1".into(), port: 3000, tls: false }],
            host: None,
            tls: None,
            balance: Default::default(),
            health: None,
        },
        remembers: Default::default(),
        translations: Default::default(),
        website: crate::plan::Website::none(name),
    }
}

pub(crate) fn settings(mode: Mode) -> Settings {
    Settings {
        mode,
        sources: Arc::new([]),
        keep_unsigned: false,
        forward_credential: false,
        allowed_origins: Arc::new([]),
        frame_ancestors: None,
        refuse_upgrade: crate::plan::RefuseUpgrade::default(),
        body_limit: None,
    }
}

/// A route for one path.
pub(crate) fn route(segment: &str, mode: Mode) -> Route {
    Route {
        pattern: PathPattern { segments: vec![Some(segment.into())], rest: true },
        methods: Vec::new(),
        settings: settings(mode),
    }
}

pub(crate) fn jwt() -> Dialect {
    dialect(
        "jwt",
        Mechanism::Jwt(JwtRules {
            algorithms: vec![Algorithm::HS256],
            key: KeySelection::KidIfPresent,
            required_header: Vec::new(),
            max_bytes: 8192,
            leeway_iat: 60,
            leeway_exp: 60,
            max_lifetime: None,
            lifetime_without_exp: None,
            single_use: false,
            min_remaining: 0,
            warn_bytes: None,
            claims: ClaimRules { audience: AudienceRule::Aud, ..ClaimRules::default() },
        }),
    )
}

pub(crate) fn user_hash() -> Dialect {
    let rules = HmacRules { hash: HashFunction::Sha256, message: Vec::new(), output: Output::Hex };
    let mut dialect = dialect("user-hash", Mechanism::Hmac(rules));
    let field =
        UnsignedField { name: FieldName::Plain("user_id".into()), proof: None, prefix: None };
    dialect.unsigned = UnsignedRules { fields: vec![field], ..UnsignedRules::default() };
    dialect
}

fn dialect(name: &str, mechanism: Mechanism) -> Dialect {
    Dialect {
        name: name.into(),
        title: name.into(),
        documented_at: None,
        sources: Vec::new(),
        mechanism,
        unsigned: UnsignedRules::default(),
    }
}
