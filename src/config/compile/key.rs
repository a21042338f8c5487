//! A site's keys, each pinned to one algorithm that its dialect allows.

use std::collections::HashSet;
use std::sync::Arc;

use super::dialect::Compiled;
use super::{Compiler, secret};
use crate::config::place::Place;
use crate::config::problem::nearest;
use crate::config::raw;
use crate::dialect::{Algorithm, HashFunction, Key, Mechanism};

/// The keys of a site, those that can be read.
pub fn keys(
    compiler: &mut Compiler<'_, '_>,
    site: &str,
    raw: &raw::List<raw::Key>,
    compiled: &Compiled,
    place: &Place,
) -> Vec<Arc<Key>> {
    let mut ids = HashSet::new();
    let mut keys = Vec::new();
    for (index, raw) in raw.entries() {
        let place = place.index(index);
        let id = id(compiler, raw, &place);
        if let Some(id) = id
            && !ids.insert(id)
        {
            compiler
                .report
                .value(&place.key("id"), format!("a second key `{id}`"))
                .expected("ids that are unique in the site");
        }
        window(compiler, site, raw, &place);
        let key = key(compiler, site, id, raw, compiled, &place);
        keys.extend(key.map(Arc::new));
    }
    keys
}

fn id<'r>(compiler: &mut Compiler<'_, '_>, raw: &'r raw::Key, place: &Place) -> Option<&'r str> {
    let Some(id) = raw.id.as_deref() else {
        compiler.missing(place, "id", "id: \"2026-11\"");
        return None;
    };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !(1..=64).contains(&id.len()) || !id.bytes().all(known) {
        compiler
            .report
            .value(&place.key("id"), format!("`{id}` cannot be a key's id"))
            .expected("1 to 64 of A–Z a–z 0–9 . _ -");
        return None;
    }
    Some(id)
}

fn window(compiler: &mut Compiler<'_, '_>, site: &str, raw: &raw::Key, place: &Place) {
    let (start, end) = (raw.not_before.map(|time| time.0), raw.not_after.map(|time| time.0));
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        compiler
            .report
            .value(&place.key("not_after"), "the key ends before it begins")
            .expected("a `not_after` later than `not_before`");
    } else if end.is_some_and(|end| end <= compiler.now) {
        let id = raw.id.as_deref().unwrap_or_default();
        compiler
            .warn(format!("site {site}, key {id}: its `not_after` has passed; it proves nothing"));
    }
}

fn key(
    compiler: &mut Compiler<'_, '_>,
    site: &str,
    id: Option<&str>,
    raw: &raw::Key,
    compiled: &Compiled,
    place: &Place,
) -> Option<Key> {
    let wanted = algorithm(compiler, raw, place)?;
    // Without an id the material is still looked at, so that its problems show.
    let name = id.unwrap_or("?");
    let key = match (&raw.secret, &raw.public_key) {
        (Some(written), None) => {
            let algorithm = wanted.unwrap_or(default_of_secrets(compiled));
            if !algorithm.is_symmetric() {
                compiler
                    .report
                    .value(
                        &place.key("algorithm"),
                        format!("{} needs a public key", algorithm.name()),
                    )
                    .expected("public_key: { file: key.pem }");
                return None;
            }
            check_allowed(compiler, algorithm, wanted.is_some(), compiled, place)?;
            let place = place.key("secret");
            let (material, text) = secret::with_text(compiler, written, compiled.encoding, &place)?;
            compiler.keep_written(site, id, text.expose());
            let who = format!("site {site}, key {name}");
            secret::warn_if_weak(compiler, &who, &material, &compiled.family);
            match Key::secret(name, algorithm, &material) {
                Ok(key) => key,
                Err(error) => {
                    compiler.report.key(&place, error.to_string());
                    return None;
                }
            }
        }
        (None, Some(written)) => {
            let (key, pem) = public(compiler, name, wanted, written, compiled, place)?;
            compiler.keep_written(site, id, &pem);
            key
        }
        (Some(_), Some(_)) => {
            compiler
                .report
                .key(&place.key("public_key"), "both `secret` and `public_key`")
                .expected("one of them")
                .hint("give each its own entry");
            return None;
        }
        (None, None) => {
            if !compiler.report.lost_something_in(place) {
                compiler
                    .report
                    .key(place, "a key with nothing in it")
                    .expected("secret: { file: … } or public_key: { file: … }");
            }
            return None;
        }
    };
    let seconds = |time: Option<raw::Time>| time.map(|time| time.0);
    id.map(|_| key.with_window(seconds(raw.not_before), seconds(raw.not_after)))
}

fn public(
    compiler: &mut Compiler<'_, '_>,
    id: &str,
    wanted: Option<Algorithm>,
    written: &raw::PublicKey,
    compiled: &Compiled,
    place: &Place,
) -> Option<(Key, Vec<u8>)> {
    let place_of_key = place.key("public_key");
    if matches!(compiled.dialect.mechanism, Mechanism::Hmac(_)) {
        compiler
            .report
            .key(&place_of_key, format!("`{}` has no public keys", compiled.dialect.name))
            .expected("secret: { file: … }");
        return None;
    }
    if let Some(algorithm) = wanted {
        if algorithm.is_symmetric() {
            compiler
                .report
                .value(&place.key("algorithm"), format!("{} needs a secret", algorithm.name()))
                .expected("secret: { file: … }");
            return None;
        }
        check_allowed(compiler, algorithm, true, compiled, place)?;
    }
    let Some(named) = &written.file else {
        compiler.missing(&place_of_key, "file", "public_key: { file: key.pem }");
        return None;
    };
    let place_of_file = place_of_key.key("file");
    let (path, pem) = secret::file(compiler, named, &place_of_file)?;
    match Key::public_pem(id, wanted, &pem) {
        Ok(key) => {
            check_allowed(compiler, key.algorithm(), wanted.is_some(), compiled, place)?;
            Some((key, pem))
        }
        Err(error) => {
            compiler
                .report
                .value(&place_of_file, format!("{}: {error}", path.display()))
                .expected("a public key in PEM that fits `algorithm`");
            None
        }
    }
}

/// The algorithm that is written; `None` when it is wrong, `Some(None)` when it is left
/// to the key's type.
fn algorithm(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Key,
    place: &Place,
) -> Option<Option<Algorithm>> {
    let place = place.key("algorithm");
    let Some(name) = raw.algorithm.as_deref() else {
        return (!compiler.report.was_removed(&place)).then_some(None);
    };
    match Algorithm::from_name(name) {
        Some(algorithm) => Some(Some(algorithm)),
        None => {
            unknown_algorithm(compiler, name, &place);
            None
        }
    }
}

/// Reports a word that names no algorithm.
pub fn unknown_algorithm(compiler: &mut Compiler<'_, '_>, name: &str, place: &Place) {
    let names: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    let upper = name.to_ascii_uppercase();
    let near = nearest(&upper, names.iter().copied())
        .or(names.iter().copied().find(|known| known.eq_ignore_ascii_case(name)));
    let problem = compiler.report.value(place, format!("`{name}` is no algorithm"));
    problem.expected(names.join(", "));
    if let Some(near) = near {
        problem.hint(format!("did you mean `{near}`?"));
    }
}

fn default_of_secrets(compiled: &Compiled) -> Algorithm {
    match &compiled.dialect.mechanism {
        Mechanism::Hmac(rules) => of_hash(rules.hash),
        Mechanism::Jwt(_) => Algorithm::HS256,
    }
}

fn of_hash(hash: HashFunction) -> Algorithm {
    match hash {
        HashFunction::Sha256 => Algorithm::HS256,
        HashFunction::Sha512 => Algorithm::HS512,
    }
}

/// Whether the dialect lets a key use this algorithm.
fn check_allowed(
    compiler: &mut Compiler<'_, '_>,
    algorithm: Algorithm,
    said: bool,
    compiled: &Compiled,
    place: &Place,
) -> Option<()> {
    let allowed = match &compiled.dialect.mechanism {
        Mechanism::Jwt(rules) => rules.algorithms.clone(),
        Mechanism::Hmac(rules) => vec![of_hash(rules.hash)],
    };
    if allowed.contains(&algorithm) {
        return Some(());
    }
    let names: Vec<&str> = allowed.iter().map(|algorithm| algorithm.name()).collect();
    let what = format!("the dialect {} does not use {}", compiled.dialect.name, algorithm.name());
    let problem = if said {
        compiler.report.value(&place.key("algorithm"), what)
    } else {
        compiler.report.key(place, what)
    };
    problem.expected(names.join(", "));
    if !said {
        problem.hint("say `algorithm:`; it follows from the key's type otherwise");
    }
    None
}
