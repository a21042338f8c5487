//! Key sets: `jwks: { url }`, which is fetched while the Plan is in force, and
//! `jwks: { file }`, which is read now.

use std::time::Duration;

use http::Uri;

use super::key::Entry;
use super::{Compiler, algorithm, secret};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::jwk::{self, Terms};
use crate::dialect::{Algorithm, Key, Mechanism};
use crate::plan::KeySource;

const REFRESH: Duration = Duration::from_secs(300);
/// Requests wait no longer, whatever is configured.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
const STALE_FOR: Duration = Duration::from_secs(24 * 3600);
const ONE: &str = "{ url: \"https://login.acme.example/jwks.json\" } or { file: PATH }";

/// A set that is sound.
pub enum Found {
    /// It will be fetched from there.
    Fetched(KeySource),
    /// It has been read.
    Read(Vec<Key>),
}

/// Compiles one set.
pub fn key_set(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    raw: &raw::Jwks,
    wanted: Option<Algorithm>,
) -> Option<Found> {
    let place = entry.place.key("jwks");
    let dialect = &entry.compiled.dialect;
    if matches!(dialect.mechanism, Mechanism::Hmac(_)) {
        compiler
            .report
            .key(&place, format!("`{}` has no key sets", dialect.name))
            .expected("secret: { file: … }");
        return None;
    }
    let (not_before, not_after) = entry.window();
    let terms = |secrets| Terms {
        algorithms: algorithm::allowed(entry.compiled),
        pinned: wanted,
        secrets,
        not_before,
        not_after,
    };
    match (&raw.url, &raw.file) {
        (Some(url), None) => {
            algorithm::asymmetric(compiler, entry, wanted, &place)?;
            fetched(compiler, entry, raw, url, terms(false), &place).map(Found::Fetched)
        }
        (None, Some(file)) => {
            only_for_urls(compiler, raw, &place);
            read(compiler, entry, file, &terms(true), &place).map(Found::Read)
        }
        (Some(_), Some(_)) => {
            compiler.report.key(&place, "a set from more than one place").expected(ONE);
            None
        }
        (None, None) => {
            if !compiler.report.lost_something_in(&place) {
                compiler.report.key(&place, "a set from nowhere").expected(ONE);
            }
            None
        }
    }
}

fn fetched(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    raw: &raw::Jwks,
    url: &str,
    terms: Terms,
    place: &Place,
) -> Option<KeySource> {
    let insecure = raw.insecure == Some(true);
    let address = address(compiler, url, insecure, &place.key("url"));
    let period = |period: Option<raw::Period>, default| period.map_or(default, |period| period.0);
    let (refresh, wait) = (period(raw.refresh, REFRESH), period(raw.wait, LONGEST_WAIT));
    if refresh < Duration::from_secs(1) {
        compiler
            .report
            .value(&place.key("refresh"), "the set would be fetched all the time")
            .expected("1s or more; 5m is the default");
    }
    if wait > LONGEST_WAIT {
        compiler
            .report
            .value(&place.key("wait"), "requests would wait for too long")
            .expected("500ms or less; 0s: none waits");
    }
    let stale_for = period(raw.stale_for, STALE_FOR);
    let source = KeySource { url: address?, refresh, wait, stale_for, terms };
    if source.url.scheme_str() == Some("http") {
        let (site, url) = (entry.site, source.shown());
        compiler.warn(format!(
            "site {site}: {url} is fetched without TLS: whoever is on the way can choose the keys"
        ));
    }
    Some(source)
}

fn address(
    compiler: &mut Compiler<'_, '_>,
    text: &str,
    insecure: bool,
    place: &Place,
) -> Option<Uri> {
    const EXPECTED: &str = "a URL such as https://login.acme.example/jwks.json";
    let url = text.parse::<Uri>().ok().filter(|url| !text.contains('#') && url.host().is_some());
    let Some(url) = url else {
        compiler.report.value(place, format!("`{text}` is no URL")).expected(EXPECTED);
        return None;
    };
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        // The text is not shown: it holds a password.
        compiler.report.value(place, "a URL with a user's name in it").expected(EXPECTED);
        return None;
    }
    match url.scheme_str() {
        Some("https") => Some(url),
        Some("http") if insecure => Some(url),
        Some("http") => {
            compiler
                .report
                .value(place, "keys without TLS: whoever is on the way could choose them")
                .expected(EXPECTED)
                .hint("`insecure: true` allows it, for a set on this machine");
            None
        }
        _ => {
            compiler.report.value(place, format!("`{text}` is no https URL")).expected(EXPECTED);
            None
        }
    }
}

/// What would be silently without effect.
fn only_for_urls(compiler: &mut Compiler<'_, '_>, raw: &raw::Jwks, place: &Place) {
    for (member, written) in [
        ("refresh", raw.refresh.is_some()),
        ("wait", raw.wait.is_some()),
        ("stale_for", raw.stale_for.is_some()),
        ("insecure", raw.insecure.is_some()),
    ] {
        if written {
            compiler
                .report
                .key(&place.key(member), format!("`{member}` has no meaning for a file"))
                .hint("it is for sets from a URL; a file is read again when it changes");
        }
    }
}

fn read(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    file: &str,
    terms: &Terms,
    place: &Place,
) -> Option<Vec<Key>> {
    let place = place.key("file");
    let (path, document) = secret::file_up_to(compiler, file, jwk::MAX_BYTES as u64, &place)?;
    let shown = path.display();
    let contents = match jwk::read(&document, terms) {
        Ok(contents) => contents,
        Err(error) => {
            compiler
                .report
                .value(&place, format!("{shown}: {error}"))
                .expected("a JSON Web Key Set (RFC 7517): { \"keys\": [ … ] }");
            return None;
        }
    };
    if contents.keys.is_empty() {
        let problem =
            compiler.report.value(&place, format!("{shown}: no key of this set can be used here"));
        problem.expected("at least one key for verifying");
        if !contents.passed_over.is_empty() {
            problem.hint(contents.passed_over.join("\n"));
        }
        return None;
    }
    for why in &contents.passed_over {
        compiler.warn(format!("site {}: {shown}: passed over: {why}", entry.site));
    }
    Some(contents.keys)
}
