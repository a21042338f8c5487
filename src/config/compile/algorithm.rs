//! The one algorithm that a key is pinned to: what is written, what follows from the key's
//! type, and what the dialect allows.

use super::Compiler;
use super::dialect::Compiled;
use super::key::Entry;
use crate::config::place::Place;
use crate::config::problem::nearest;
use crate::dialect::{Algorithm, HashFunction, Mechanism};

/// The algorithm that is written; `None` when it is wrong, `Some(None)` when it is left
/// to the key's type.
pub fn written(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>) -> Option<Option<Algorithm>> {
    let place = entry.place.key("algorithm");
    let Some(name) = entry.raw.algorithm.as_deref() else {
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

/// The algorithm of a secret, if the dialect allows it.
pub fn symmetric(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    wanted: Option<Algorithm>,
) -> Option<Algorithm> {
    let algorithm = wanted.unwrap_or(default_of_secrets(entry.compiled));
    if !algorithm.is_symmetric() {
        let place = entry.place.key("algorithm");
        compiler
            .report
            .value(&place, format!("{} needs a public key", algorithm.name()))
            .expected("public_key: { file: key.pem }");
        return None;
    }
    check_allowed(compiler, algorithm, wanted.is_some(), entry.compiled, &entry.place)?;
    Some(algorithm)
}

/// Whether the dialect and the entry allow public keys.
pub fn asymmetric(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    wanted: Option<Algorithm>,
    place: &Place,
) -> Option<()> {
    let dialect = &entry.compiled.dialect;
    if matches!(dialect.mechanism, Mechanism::Hmac(_)) {
        compiler
            .report
            .key(place, format!("`{}` has no public keys", dialect.name))
            .expected("secret: { file: … }");
        return None;
    }
    let Some(algorithm) = wanted else { return Some(()) };
    if algorithm.is_symmetric() {
        compiler
            .report
            .value(&entry.place.key("algorithm"), format!("{} needs a secret", algorithm.name()))
            .expected("secret: { file: … }");
        return None;
    }
    check_allowed(compiler, algorithm, true, entry.compiled, &entry.place)
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

/// The algorithm of a secret of which nothing else is said.
pub fn default_of_secrets(compiled: &Compiled) -> Algorithm {
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

/// The algorithms that a dialect lets keys use.
pub fn allowed(compiled: &Compiled) -> Vec<Algorithm> {
    match &compiled.dialect.mechanism {
        Mechanism::Jwt(rules) => rules.algorithms.clone(),
        Mechanism::Hmac(rules) => vec![of_hash(rules.hash)],
    }
}

/// Whether the dialect lets a key use this algorithm.
pub fn check_allowed(
    compiler: &mut Compiler<'_, '_>,
    algorithm: Algorithm,
    said: bool,
    compiled: &Compiled,
    place: &Place,
) -> Option<()> {
    let allowed = allowed(compiled);
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
