//! The listener that judges for another gateway: `decision`.

use http::HeaderName;

use super::{Compiler, listener};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::Carrier;
use crate::gate::Mode;
use crate::gate::contract;
use crate::plan::{Address, CARRIED, Decision, Gateway, Settings, Site};

const GATEWAYS: &str = "for: nginx, traefik, caddy, haproxy or envoy";

/// What is said of it.
pub fn decision(compiler: &mut Compiler<'_, '_>, raw: &raw::Decision) -> Option<Decision> {
    let place = Place::root().key("decision");
    let before = compiler.report.count();
    let at = raw::Listener { address: raw.address.clone(), unix: raw.unix.clone() };
    let address = listener::address(compiler, &at, &place);
    if raw.gateway.is_none() {
        compiler.missing(&place, "for", GATEWAYS);
    }
    let gateway = raw.gateway.map(gateway)?;
    let path_prefix = raw.path_prefix.clone().unwrap_or_default();
    prefix(compiler, gateway, raw.path_prefix.as_deref(), &place.key("path_prefix"));
    let address = address.filter(|_| compiler.report.count() == before)?;
    if matches!(&address, Address::Tcp(at) if !at.ip().is_loopback()) {
        compiler.warn(format!(
            "decision: {address} can be reached from other machines: let nobody but {} do so, for \
             whoever asks there is believed to be the gateway",
            gateway.name()
        ));
    }
    Some(Decision { address, gateway, path_prefix })
}

fn gateway(word: raw::GatewayWord) -> Gateway {
    match word {
        raw::GatewayWord::Nginx => Gateway::Nginx,
        raw::GatewayWord::Traefik => Gateway::Traefik,
        raw::GatewayWord::Caddy => Gateway::Caddy,
        raw::GatewayWord::Haproxy => Gateway::Haproxy,
        raw::GatewayWord::Envoy => Gateway::Envoy,
    }
}

fn prefix(compiler: &mut Compiler<'_, '_>, gateway: Gateway, written: Option<&str>, place: &Place) {
    let Some(written) = written else { return };
    if gateway != Gateway::Envoy {
        compiler
            .report
            .key(place, format!("`path_prefix` is nothing that {} sends", gateway.name()))
            .hint("only Envoy's ext_authz puts one before the path; remove it");
        return;
    }
    let plain = written.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
    if !written.starts_with('/') || written.ends_with('/') || !plain {
        compiler
            .report
            .value(place, format!("`{written}` is no prefix of paths"))
            .expected("the same as Envoy's path_prefix, such as /countersign");
    }
}

/// Warns of what holds for a site's requests through the proxy, and cannot for those that
/// another gateway keeps.
pub fn warn(compiler: &mut Compiler<'_, '_>, decision: &Decision, sites: &[Site]) {
    for site in sites.iter().filter(|site| judges(site)) {
        let gateway = decision.gateway.name();
        let missed = missed(site).join("; ");
        compiler.warn(format!(
            "site {}: where {gateway} asks instead of forwarding to a listener, answers, bodies \
             and live connections are not seen: {missed}",
            site.name
        ));
        let unknown = unknown_to_recipes(decision.gateway, site);
        if !unknown.is_empty() {
            compiler.warn(format!(
                "site {}: the recipe for {gateway} does not know {}: have it take them over from \
                 the answer and remove a client's, as it does with Countersign-Id",
                site.name,
                unknown.join(", ")
            ));
        }
    }
}

/// Header fields that a backend is told something by, or that a credential may be in, and that
/// the gateway neither sets nor removes before its recipe names them. Nothing that the answer
/// says escapes HAProxy's.
fn unknown_to_recipes(gateway: Gateway, site: &Site) -> Vec<&str> {
    if gateway == Gateway::Haproxy {
        return Vec::new();
    }
    let told = contract::Field::ALL.iter().flat_map(|field| site.headers.names(*field));
    let told = told.map(HeaderName::as_str).filter(|name| !contract::is_reserved(name));
    let written = site.translations.0.iter().flat_map(|one| one.into.header_names());
    // Envoy removes those by itself.
    let proofs = site.credential_fields().filter(|_| gateway != Gateway::Envoy);
    let mut names: Vec<&str> = told.chain(written).chain(proofs).collect();
    names.retain(|name| !CARRIED.contains(name));
    names.sort_unstable();
    names.dedup();
    names
}

fn judges(site: &Site) -> bool {
    settings(site).any(|settings| settings.mode != Mode::Off)
}

fn settings(site: &Site) -> impl Iterator<Item = &Settings> {
    let routes = site.routes.0.iter().map(|route| &route.settings);
    std::iter::once(&site.settings).chain(routes)
}

fn missed(site: &Site) -> Vec<&'static str> {
    let sources = || settings(site).flat_map(|settings| site.proofs(settings));
    let in_bodies = sources().flat_map(|proof| proof.sources).any(|source| {
        matches!(
            source.carrier,
            Carrier::Json { .. } | Carrier::Form { .. } | Carrier::Multipart { .. }
        )
    });
    let claims = !site.fields.is_empty() && settings(site).any(|it| !it.keep_unsigned);
    let writes = site.translations.0.iter().any(|one| one.into.is_written_in_body());
    let all = [
        (in_bodies, "credentials in bodies count as missing"),
        (claims, "identity fields claimed in bodies reach the backend"),
        (writes, "`translate` writes into no body"),
        (true, "what is open stays open after a ban, a logout or the proof's end"),
        (site.remembers.session.is_some(), "no session is bound"),
        (site.website.heeds_chats(), "no chat begins"),
        (settings(site).any(|it| it.frame_ancestors.is_some()), "`frame_ancestors` is not sent"),
    ];
    all.into_iter().filter(|(concerned, _)| *concerned).map(|(_, what)| what).collect()
}
