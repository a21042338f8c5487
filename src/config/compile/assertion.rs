//! What signs what backends are told: `assertion`.

use std::time::Duration;

use super::{Compiler, secret};
use crate::assertion::{Assertion, SigningKey};
use crate::config::place::Place;
use crate::config::raw::{self, SecretEncoding};
use crate::plan::{Asserts, StoreSettings};

/// Bytes of an issuer.
const LONGEST: usize = 256;

/// The keys with their terms; nothing asserts where nothing is said.
pub fn asserts(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Assertion>,
    store: Option<&StoreSettings>,
) -> Asserts {
    let Some(raw) = raw else { return Asserts::Nothing };
    let place = Place::root().key("assertion");
    let ttl = ttl(compiler, raw.ttl, &place.key("ttl"));
    let issuer = issuer(compiler, raw.issuer.as_deref(), &place.key("issuer"));
    let Some(list) = &raw.keys else {
        if !compiler.report.was_removed(&place.key("keys")) {
            warn_of_generated(compiler, store);
        }
        return Asserts::WithGenerated { issuer, ttl };
    };
    let place = place.key("keys");
    if list.is_empty() && !compiler.report.lost_something_in(&place) {
        compiler
            .report
            .key(&place, "an empty list of keys")
            .expected("[ { file: new.pem }, { file: old.pem } ]")
            .hint("`assertion: {}` signs with a generated key");
    }
    let mut keys: Vec<SigningKey> = Vec::new();
    for (index, raw) in list.entries() {
        let place = place.index(index);
        let Some(pem) = secret::secret(compiler, raw, SecretEncoding::Raw, &place) else {
            continue;
        };
        match SigningKey::from_pem(pem.expose()) {
            Ok(key) if keys.iter().any(|known| known.kid() == key.kid()) => {
                compiler.report.value(&place, "this key stands here for the second time");
            }
            Ok(key) => keys.push(key),
            Err(why) => {
                compiler
                    .report
                    .value(&place, why)
                    .expected("a private key of P-256 in PEM")
                    .hint("`countersign keygen --alg ES256 --out assertion.key` makes one");
            }
        }
    }
    Assertion::new(keys, &issuer, ttl)
        .map_or(Asserts::Nothing, |signer| Asserts::With(signer.into()))
}

fn warn_of_generated(compiler: &mut Compiler<'_, '_>, store: Option<&StoreSettings>) {
    match store {
        Some(StoreSettings::Memory) => compiler.warn(
            "assertion: the generated key ends with the process: backends must fetch another \
             one after each restart; an embedded store keeps it, or name one under `keys`"
                .to_owned(),
        ),
        Some(StoreSettings::Redis(_)) => compiler.warn(
            "assertion: each replica generates a key of its own, and publishes only that: name \
             one for all under `keys`"
                .to_owned(),
        ),
        Some(StoreSettings::Embedded(_)) | None => {}
    }
}

fn ttl(compiler: &mut Compiler<'_, '_>, raw: Option<raw::Period>, place: &Place) -> Duration {
    let Some(raw::Period(ttl)) = raw else { return Assertion::TTL };
    if !(Duration::from_secs(2)..=Assertion::TTL).contains(&ttl) || ttl.subsec_nanos() > 0 {
        compiler
            .report
            .value(place, "an assertion cannot hold for so long or so short a time")
            .expected("2s to 60s, in whole seconds");
    }
    ttl
}

fn issuer(compiler: &mut Compiler<'_, '_>, raw: Option<&str>, place: &Place) -> String {
    let Some(issuer) = raw else { return Assertion::ISSUER.to_owned() };
    if issuer.is_empty() || issuer.len() > LONGEST || issuer.chars().any(char::is_control) {
        compiler
            .report
            .value(place, "this cannot be an issuer")
            .expected("1 to 256 bytes without control characters, such as countersign");
    }
    issuer.to_owned()
}
