//! One site: its dialect with its own settings worked in, its keys, routes and backend.

use std::sync::Arc;

use super::dialect::Dialects;
use super::settings::body_limit;
use super::signing::{Signing, configured};
use super::{
    Compiler, accepts, access, headers, key, memory, route, translate, translate_identity,
    unsigned, upstream, website,
};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{Dialect, FieldName, Keyring, Source};
use crate::gate::Fields;
use crate::gate::Mode;
use crate::gate::contract::{Budget, SiteValues};
use crate::gate::route::Routes;
use crate::plan::{Address, KeySets, NO_SITE, Settings, Site, StoreSettings, TrustedProxies};

/// What a site cannot know of itself.
pub struct Surroundings<'p> {
    /// Where this process listens.
    pub listeners: &'p [Address],
    /// Whose forwarding headers are believed.
    pub trusted_proxies: &'p TrustedProxies,
    /// Where its memory is kept, if that is sound.
    pub store: Option<&'p StoreSettings>,
    /// How long its headers may be, where it does not say so.
    pub budget: Budget,
}

/// Compiles one site; `None` when too little of it is sound.
pub fn site(
    compiler: &mut Compiler<'_, '_>,
    dialects: &mut Dialects<'_>,
    index: usize,
    name: &str,
    raw: &raw::Site,
    surroundings: &Surroundings<'_>,
) -> Option<Site> {
    let place = Place::root().key("sites").key(name);
    check_name(compiler, name, &place);
    let upstream = upstream::upstream(compiler, raw.upstream.as_ref(), &place);
    if let Some(listener) = upstream
        .as_ref()
        .and_then(|upstream| upstream::loops_back(upstream, surroundings.listeners))
    {
        compiler
            .warn(format!("site {name}: its upstream is Countersign's own listener {listener}"));
    }
    let origins = raw.allowed_origins.as_ref();
    let allowed_origins = origins
        .map(|list| access::origins(compiler, list, &place.key("allowed_origins")))
        .unwrap_or_default();

    // Everything else depends on the dialect.
    let compiled = match raw.dialect.as_deref() {
        Some(name) => dialects.find(compiler, name, &place.key("dialect")),
        None => {
            compiler.missing(&place, "dialect", "dialect: jwt (`countersign dialects` lists them)");
            None
        }
    }?;
    let mut dialect = configured(compiler, name, &Signing::from(raw), &compiled, &place);
    let mode = raw.mode.map(|mode| mode.0).unwrap_or_default();
    let keep_unsigned = raw.unsigned == Some(raw::UnsignedWord::Keep);
    let settings = Settings {
        mode,
        sources: Arc::from(dialect.sources.as_slice()),
        keep_unsigned,
        forward_credential: raw.forward_credential.unwrap_or(false),
        allowed_origins,
        frame_ancestors: raw.frame_ancestors.as_ref().and_then(|list| {
            access::frame_ancestors(compiler, list, &place.key("frame_ancestors"))
        }),
        refuse_upgrade: route::refuse_upgrade(raw.refuse_upgrade).unwrap_or_default(),
        body_limit: body_limit(compiler, raw.body_limit, &place.key("body_limit")),
    };
    let routes = raw.routes.as_ref().map(|list| {
        let place = place.key("routes");
        route::routes(compiler, list, &settings, &dialect.mechanism, &place)
    });
    let routes = routes.unwrap_or_default();
    claim_fields(&mut dialect, &compiled.dialect.sources, &routes);

    let place_of_keys = place.key("keys");
    let written = raw.keys.as_ref();
    let keys = written
        .map(|list| key::keys(compiler, name, list, &compiled, &place_of_keys))
        .unwrap_or_default();
    let has_keys = written.is_some_and(|list| !list.is_empty());
    let judges = judges(mode, &routes);
    check_keys(compiler, name, has_keys, mode, &routes, &place);
    let mut accepts = match &raw.accepts {
        Some(list) => {
            let ours =
                accepts::Ours { site: name, dialect: &dialect, routes: &routes, ids: &keys.ids };
            accepts::accepts(compiler, dialects, list, &ours, &place.key("accepts"))
        }
        None => Vec::new(),
    };
    let others = accepts.iter_mut().map(|accepted| &mut accepted.dialect);
    unsigned::unite(&mut std::iter::once(&mut dialect).chain(others).collect::<Vec<_>>());

    let ours = memory::Ours {
        name,
        dialect: &dialect,
        has_id_claim: raw.id_claim.is_some(),
        accepts: &accepts,
        routes: &routes,
        store: surroundings.store,
    };
    let remembers = memory::remembrance(compiler, raw, &ours, &place);
    let further = accepts.iter().map(|accepted| &*accepted.dialect.name);
    let names: Vec<&str> = std::iter::once(&*dialect.name).chain(further).collect();
    let ours = headers::Ours { site: name, dialects: &names, budget: surroundings.budget };
    let headers = headers::headers(compiler, raw.headers.as_ref(), &ours, &place.key("headers"));
    let surroundings = website::Surroundings {
        site: name,
        judges,
        listeners: surroundings.listeners,
        trusted_proxies: surroundings.trusted_proxies,
        store: surroundings.store,
    };
    let website = website::website(compiler, raw, &surroundings, &place);
    let ours = translate::Ours {
        site: name,
        keys: keys.own.iter().chain(accepts.iter().flat_map(|one| one.keyring.keys())).collect(),
        session: remembers.session.as_deref(),
        headers: &headers,
        cleans: mode.cleans() || routes.0.iter().any(|route| route.settings.mode.cleans()),
    };
    let entries = raw.translate.as_ref().map(|list| {
        translate::translations(compiler, dialects, list, &ours, &place.key("translate"))
    });
    let translate::Entries { mut translations, fields } = entries.unwrap_or_default();
    let others = accepts.iter_mut().map(|accepted| &mut accepted.dialect);
    for dialect in std::iter::once(&mut dialect).chain(others) {
        unsigned::also(dialect, fields.iter().flatten());
    }
    translate_identity::acquaint(&mut translations, &fields, &dialect.unsigned.fields);

    Some(Site {
        values: SiteValues::new(name, &dialect.name),
        headers,
        fields: Arc::new(Fields::of(&dialect.unsigned)),
        name: name.into(),
        index,
        dialect,
        keyring: Keyring::new(if compiler.options.secrets { keys.own } else { Vec::new() }),
        key_sets: KeySets::new(keys.fetched),
        accepts,
        settings,
        routes,
        translations,
        upstream: upstream?,
        remembers,
        website,
    })
}

/// Whether a site or a webhook can be called so: 1 to 63 of a–z 0–9 -.
pub fn is_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(known)
}

fn check_name(compiler: &mut Compiler<'_, '_>, name: &str, place: &Place) {
    if !is_name(name) {
        compiler
            .report
            .key(place, format!("`{name}` cannot be a site's name"))
            .expected("1 to 63 of a–z 0–9 -");
    } else if name == NO_SITE {
        compiler
            .report
            .key(place, format!("`{name}` cannot be a site's name"))
            .expected("another name")
            .hint(format!("`site=\"{NO_SITE}\"` in metrics stands for requests of no site"));
    }
}

/// Whether anybody is looked at, on any route.
fn judges(mode: Mode, routes: &Routes) -> bool {
    let judging = |mode: Mode| mode != Mode::Off;
    judging(mode) || routes.0.iter().any(|route| judging(route.settings.mode))
}

/// A site that judges needs keys; one that has keys should judge.
fn check_keys(
    compiler: &mut Compiler<'_, '_>,
    name: &str,
    has_keys: bool,
    mode: Mode,
    routes: &Routes,
    place: &Place,
) {
    if judges(mode, routes) && !has_keys && !compiler.report.lost_something_in(&place.key("keys")) {
        compiler
            .report
            .key(place, "there is no key: nobody could ever be verified")
            .expected("keys: [ { id: \"2026-11\", secret: { file: 2026-11.secret } } ]")
            .hint("`countersign keygen` makes one; `mode: off` needs none");
    }
    let everywhere = routes.0.iter().find(|route| {
        route.pattern.rest && route.pattern.segments.is_empty() && route.methods.is_empty()
    });
    let mode = everywhere.map_or(mode, |route| route.settings.mode);
    if has_keys && matches!(mode, Mode::Accept | Mode::Observe | Mode::Off) {
        let word = mode.name();
        compiler.warn(format!(
            "site {name}: mode {word} gives no security: anybody gets through as a guest"
        ));
    }
}

/// Recomputes what the identity fields are, and what proves them, from every source of the
/// site and its routes.
pub fn claim_fields(dialect: &mut Dialect, original: &[Source], routes: &Routes) {
    let names: Vec<FieldName> =
        dialect.unsigned.fields.iter().map(|field| field.name.clone()).collect();
    let of_routes = routes.0.iter().flat_map(|route| route.settings.sources.iter());
    let all = dialect.sources.iter().chain(original).chain(of_routes);
    let prefix = dialect.unsigned.prefix.as_deref();
    dialect.unsigned.fields = unsigned::fields(names, prefix, &dialect.mechanism, all);
}
