//! Further dialects of a site: `accepts`.
//!
//! Each is judged by its own rules and keys. A credential must tell by its place whose it
//! is, so no two dialects of a site may look in one place, on any of its routes.

use std::collections::BTreeSet;

use super::dialect::Dialects;
use super::signing::{Signing, configured};
use super::site::claim_fields;
use super::{Compiler, key, source};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{Dialect, Keyring, Source};
use crate::gate::contract::SiteValues;
use crate::gate::route::Routes;
use crate::plan::{Accepted, KeySets};

/// What the site has already.
pub struct Ours<'s> {
    pub site: &'s str,
    pub dialect: &'s Dialect,
    pub routes: &'s Routes,
    /// Its keys'.
    pub ids: &'s BTreeSet<String>,
}

/// The entries that are sound.
pub fn accepts(
    compiler: &mut Compiler<'_, '_>,
    dialects: &mut Dialects<'_>,
    raw: &raw::List<raw::Accept>,
    ours: &Ours<'_>,
    place: &Place,
) -> Vec<Accepted> {
    let mut taken: Vec<(String, Source)> = Vec::new();
    let own = ours.routes.0.iter().flat_map(|route| route.settings.sources.iter());
    for source in ours.dialect.sources.iter().chain(own) {
        taken.push((ours.dialect.name.to_string(), source.clone()));
    }
    let mut ids = ours.ids.clone();
    let mut accepted = Vec::new();
    for (index, raw) in raw.entries() {
        let place = place.index(index);
        let Some(name) = raw.dialect.as_deref() else {
            compiler.missing(&place, "dialect", "dialect: jwt (`countersign dialects` lists them)");
            continue;
        };
        let Some(compiled) = dialects.find(compiler, name, &place.key("dialect")) else { continue };
        let mut dialect = configured(compiler, ours.site, &Signing::from(raw), &compiled, &place);
        claim_fields(&mut dialect, &compiled.dialect.sources, &Routes::default());
        check_places(compiler, &dialect, &taken, &place);
        taken.extend(dialect.sources.iter().map(|one| (dialect.name.to_string(), one.clone())));

        let place_of_keys = place.key("keys");
        let written = raw.keys.as_ref();
        if written.is_none_or(raw::List::is_empty)
            && !compiler.report.lost_something_in(&place_of_keys)
        {
            compiler
                .report
                .key(&place, "there is no key: nobody could ever be verified by this dialect")
                .expected("keys: [ { id: \"2026-11\", secret: { file: 2026-11.secret } } ]");
        }
        let keys = written
            .map(|list| key::keys(compiler, ours.site, list, &compiled, &place_of_keys))
            .unwrap_or_default();
        for id in keys.ids.intersection(&ids) {
            compiler
                .report
                .key(&place_of_keys, format!("a second key `{id}`"))
                .expected("ids that are unique in the site");
        }
        ids.extend(keys.ids);
        accepted.push(Accepted {
            values: SiteValues::new(ours.site, &dialect.name),
            dialect,
            keyring: Keyring::new(if compiler.options.secrets { keys.own } else { Vec::new() }),
            key_sets: KeySets::new(keys.fetched),
        });
    }
    accepted
}

fn check_places(
    compiler: &mut Compiler<'_, '_>,
    dialect: &Dialect,
    taken: &[(String, Source)],
    place: &Place,
) {
    let mut found: Vec<String> = Vec::new();
    for source in &dialect.sources {
        let Some((other, _)) = taken.iter().find(|(_, theirs)| source::overlap(source, theirs))
        else {
            continue;
        };
        let proof = source.carrier.names().proof;
        if found.contains(&proof) {
            continue;
        }
        let what =
            format!("`{proof}` carries credentials of {other} and of {} alike", dialect.name);
        found.push(proof);
        compiler
            .report
            .key(place, what)
            .expected("places that tell the dialects apart")
            .hint("give one of them `sources` of its own: [ { header: X-Identity } ]");
    }
}
