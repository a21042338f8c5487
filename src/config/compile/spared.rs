//! What must reach a backend cannot stand under a name that is removed from every request.
//!
//! Names are removed for all sites alike, so each site's places are held against what every
//! site tells its backend by.

use super::Compiler;
use crate::config::place::Place;
use crate::dialect::{Carrier, Names};
use crate::gate::Mode;
use crate::gate::contract::Reserved;
use crate::plan::{Brought, Settings, Site};

/// A token that a backend's session is known by is of no use under a name that is removed:
/// from requests, whichever site tells its backend by it; from answers, the site's own prefix.
pub fn sessions(compiler: &mut Compiler<'_, '_>, sites: &[Site]) {
    for site in sites {
        let Some(session) = &site.remembers.session else { continue };
        let asked = session.request.iter().filter_map(|source| match &source.carrier {
            Carrier::Header { names, .. } => Some(names.proof.as_str()),
            _ => None,
        });
        let removed = asked.filter_map(|name| Some((name, teller(sites, name)?)));
        let answered = session.response.iter().filter_map(|brought| match brought {
            Brought::Header(name) => Some(name.as_str()),
            Brought::Cookie(_) | Brought::Json(_) => None,
        });
        let answered = answered.filter(|name| site.headers.is_own(name)).map(|name| (name, site));
        for (name, teller) in removed.chain(answered) {
            let place = Place::root().key("sites").key(&site.name).key("session");
            compiler
                .report
                .key(&place, format!("`{name}` would never arrive with a session's token"))
                .expected("another header")
                .hint(format!("it is removed: site {} tells its backend by it", teller.name));
        }
    }
}

/// What a site hands on of its credentials cannot stand under a name that is removed from
/// requests: not the credentials themselves (`forward_credential`), and of a shared place not
/// what is somebody else's.
pub fn credentials(compiler: &mut Compiler<'_, '_>, sites: &[Site]) {
    for site in sites {
        let place = Place::root().key("sites").key(&site.name);
        let routes = site.routes.0.iter().map(|route| &route.settings).enumerate();
        let routes = routes.map(|(index, settings)| {
            (place.key("routes").index(index).key("forward_credential"), settings)
        });
        let own = (place.key("forward_credential"), &site.settings);
        let mut seen = Vec::new();
        for (key, settings) in std::iter::once(own).chain(routes) {
            let hands_on = settings.forward_credential;
            for (name, shared) in header_sources(site, settings) {
                let lost = settings.mode != Mode::Off && (hands_on || shared);
                let Some(teller) = teller(sites, name).filter(|_| lost) else { continue };
                if seen.contains(&(name, hands_on)) {
                    continue;
                }
                seen.push((name, hands_on));
                if hands_on {
                    let places = [&key, &place.key("forward_credential"), &place];
                    let place = places.into_iter().find(|place| compiler.report.has_key(place));
                    compiler
                        .report
                        .key(place.unwrap_or(&key), format!("`{name}` would never be forwarded"))
                        .expected("another header for the credential, or for what that site tells")
                        .hint(format!(
                            "it is removed: site {} tells its backend by it",
                            teller.name
                        ));
                } else {
                    compiler.warn(format!(
                        "site {}: `{name}` is removed from every request, since site {} tells its \
                         backend by it: what others send there does not arrive",
                        site.name, teller.name
                    ));
                }
            }
        }
    }
}

/// The headers of a site that carry credentials, and whether others use them too. The id
/// beside a hash is among them, unless the site itself tells its backend by that name.
fn header_sources<'s>(
    site: &'s Site,
    settings: &'s Settings,
) -> impl Iterator<Item = (&'s str, bool)> {
    let sources = site.proofs(settings).flat_map(|proof| proof.sources);
    sources.flat_map(move |source| {
        let names = match &source.carrier {
            Carrier::Header { names, .. } => Some(names),
            _ => None,
        };
        let beside = |names: &'s Names| {
            let fields = [&names.id, &names.email, &names.name].into_iter().flatten();
            fields.map(String::as_str).filter(|name| !reserves(site, name))
        };
        let proof = names.map(|names| (names.proof.as_str(), source.shared));
        proof.into_iter().chain(names.into_iter().flat_map(beside).map(|name| (name, false)))
    })
}

/// The first site that tells its backend by a name.
fn teller<'s>(sites: &'s [Site], name: &str) -> Option<&'s Site> {
    sites.iter().find(|site| reserves(site, name))
}

fn reserves(site: &Site, name: &str) -> bool {
    Reserved::of([&site.headers].into_iter()).has(name)
}
