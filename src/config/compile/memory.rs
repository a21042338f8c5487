//! What a site remembers of its visitors: `session`, `live`, `on_store_outage`,
//! `logout_hold`. What is not said keeps its default.

use std::sync::Arc;
use std::time::Duration;

use super::Compiler;
use super::session::session;
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{Dialect, Mechanism, Source};
use crate::gate::route::Routes;
use crate::plan::{Accepted, Live, OnEnd, OnStoreOutage, Remembrance, StoreSettings};

/// What is known of the site already.
pub struct Ours<'s> {
    pub name: &'s str,
    /// With the site's settings worked in.
    pub dialect: &'s Dialect,
    pub has_id_claim: bool,
    pub accepts: &'s [Accepted],
    pub routes: &'s Routes,
    /// Where it is remembered, if that is sound.
    pub store: Option<&'s StoreSettings>,
}

impl Ours<'_> {
    /// Every place of a credential, on any route and of any of its dialects.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let of_routes = self.routes.0.iter().flat_map(|route| route.settings.sources.iter());
        let accepted = self.accepts.iter().flat_map(|accepted| &accepted.dialect.sources);
        self.dialect.sources.iter().chain(of_routes).chain(accepted)
    }

    fn has_tokens(&self) -> bool {
        let accepted = self.accepts.iter().map(|accepted| &accepted.dialect);
        std::iter::once(self.dialect)
            .chain(accepted)
            .any(|dialect| matches!(dialect.mechanism, Mechanism::Jwt(_)))
    }
}

/// What a site remembers.
pub fn remembrance(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Site,
    ours: &Ours<'_>,
    place: &Place,
) -> Remembrance {
    let session = raw
        .session
        .as_ref()
        .map(|raw| Arc::new(session(compiler, raw, ours, &place.key("session"))));
    let on_store_outage = match raw.on_store_outage {
        None | Some(raw::OutageWord::Serve) => OnStoreOutage::Serve,
        Some(raw::OutageWord::Refuse) => OnStoreOutage::Refuse,
    };
    if on_store_outage == OnStoreOutage::Refuse && ours.store == Some(&StoreSettings::Memory) {
        compiler.warn(format!(
            "site {}: `on_store_outage: refuse` has no effect: a store in memory is never out \
             of reach",
            ours.name
        ));
    }
    // Hashes never expire: held, a visitor would stay out for as long as the page is the same.
    let hold = if ours.has_tokens() { Remembrance::TOKENS_HOLD } else { Duration::ZERO };
    Remembrance {
        session,
        live: live(compiler, raw.live.as_ref(), ours),
        on_store_outage,
        logout_hold: raw.logout_hold.map_or(hold, |raw::Period(hold)| hold),
    }
}

fn live(compiler: &mut Compiler<'_, '_>, raw: Option<&raw::Live>, ours: &Ours<'_>) -> Live {
    let default = Live::default();
    let Some(raw) = raw else { return default };
    let word = |word: Option<raw::OnEndWord>, default| match word {
        None => default,
        Some(raw::OnEndWord::Keep) => OnEnd::Keep,
        Some(raw::OnEndWord::Close) => OnEnd::Close,
    };
    let live = Live {
        on_expiry: word(raw.on_expiry, default.on_expiry),
        on_key_removal: word(raw.on_key_removal, default.on_key_removal),
        grace: raw.grace.map_or(default.grace, |raw::Period(grace)| grace),
        max_connections_per_identity: raw
            .max_connections_per_identity
            .unwrap_or(default.max_connections_per_identity),
    };
    if live.on_expiry == OnEnd::Close && !ours.has_tokens() {
        compiler.warn(format!(
            "site {}: `on_expiry: close` has no effect: hashes such as {}'s never expire",
            ours.name, ours.dialect.name
        ));
    }
    live
}
