//! A site's keys, each pinned to one algorithm that its dialect allows.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::dialect::Compiled;
use super::{Compiler, algorithm, key_folder, key_set, secret};
use crate::clock::UnixTime;
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{Algorithm, Key};
use crate::plan::KeySource;
use crate::secret::Secret;

/// The keys of a site.
#[derive(Default)]
pub struct Keys {
    /// Those that can be read now.
    pub own: Vec<Arc<Key>>,
    /// Where others are fetched from.
    pub fetched: Vec<KeySource>,
    /// The ids that the configuration gives, so that none stands for two keys.
    pub ids: BTreeSet<String>,
}

/// The keys of a site, those that are sound.
pub fn keys(
    compiler: &mut Compiler<'_, '_>,
    site: &str,
    raw: &raw::List<raw::Key>,
    compiled: &Compiled,
    place: &Place,
) -> Keys {
    let mut keys = Keys::default();
    for (index, raw) in raw.entries() {
        let entry = Entry { site, raw, compiled, place: place.index(index) };
        window(compiler, &entry);
        if raw.jwks.is_none() && raw.directory.is_none() {
            let id = id(compiler, raw, &entry.place);
            if let Some(id) = id {
                unique(compiler, &mut keys.ids, id, &entry.place.key("id"));
            }
            let key = key(compiler, &entry, id);
            keys.own.extend(key.map(Arc::new));
        } else if one_kind(compiler, &entry) {
            many(compiler, &entry, &mut keys);
        }
    }
    keys
}

/// One entry of `keys`.
pub struct Entry<'e> {
    /// The site's name.
    pub site: &'e str,
    /// What is written.
    pub raw: &'e raw::Key,
    /// The site's dialect.
    pub compiled: &'e Compiled,
    /// Where it is written.
    pub place: Place,
}

impl Entry<'_> {
    /// A key with the entry's window.
    pub fn limited(&self, key: Key) -> Key {
        let (start, end) = self.window();
        key.with_window(start, end)
    }

    /// From when, until when.
    pub fn window(&self) -> (Option<UnixTime>, Option<UnixTime>) {
        (self.raw.not_before.map(|time| time.0), self.raw.not_after.map(|time| time.0))
    }
}

/// A set, or a folder.
fn many(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>, keys: &mut Keys) {
    if entry.raw.id.is_some() {
        compiler
            .report
            .key(&entry.place.key("id"), "`id` names one key, and here are several")
            .hint("keys of a set are named by their `kid`, those of a folder by their files");
    }
    let Some(wanted) = algorithm::written(compiler, entry) else { return };
    if let Some(set) = &entry.raw.jwks {
        match key_set::key_set(compiler, entry, set, wanted) {
            Some(key_set::Found::Fetched(source)) => keys.fetched.push(source),
            Some(key_set::Found::Read(found)) => keys.own.extend(found.into_iter().map(Arc::new)),
            None => {}
        }
    } else if let Some(folder) = &entry.raw.directory {
        for key in key_folder::keys(compiler, entry, folder, wanted) {
            unique(compiler, &mut keys.ids, key.id(), &entry.place.key("directory"));
            keys.own.push(Arc::new(key));
        }
    }
}

fn unique(compiler: &mut Compiler<'_, '_>, ids: &mut BTreeSet<String>, id: &str, place: &Place) {
    if !ids.insert(id.to_owned()) {
        compiler
            .report
            .value(place, format!("a second key `{id}`"))
            .expected("ids that are unique in the site");
    }
}

/// Whether an entry says only once where its keys are.
fn one_kind(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>) -> bool {
    let raw = entry.raw;
    let written = [
        ("secret", raw.secret.is_some()),
        ("public_key", raw.public_key.is_some()),
        ("jwks", raw.jwks.is_some()),
        ("directory", raw.directory.is_some()),
    ];
    let mut written = written.into_iter().filter_map(|(kind, is)| is.then_some(kind));
    let (Some(first), Some(second)) = (written.next(), written.next()) else { return true };
    compiler
        .report
        .key(&entry.place.key(second), format!("both `{first}` and `{second}`"))
        .expected("one of them")
        .hint("give each its own entry");
    false
}

fn id<'r>(compiler: &mut Compiler<'_, '_>, raw: &'r raw::Key, place: &Place) -> Option<&'r str> {
    let Some(id) = raw.id.as_deref() else {
        compiler.missing(place, "id", "id: \"2026-11\"");
        return None;
    };
    if !is_id(id) {
        compiler
            .report
            .value(&place.key("id"), format!("`{id}` cannot be a key's id"))
            .expected(ID);
        return None;
    }
    Some(id)
}

/// What a key's id is made of.
pub const ID: &str = "1 to 64 of A–Z a–z 0–9 . _ -";

/// Whether a text can be a key's id.
pub fn is_id(id: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&id.len()) && id.bytes().all(known)
}

fn window(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>) {
    let (start, end) = entry.window();
    if let (Some(start), Some(end)) = (start, end)
        && end <= start
    {
        compiler
            .report
            .value(&entry.place.key("not_after"), "the key ends before it begins")
            .expected("a `not_after` later than `not_before`");
    } else if end.is_some_and(|end| end <= compiler.now) {
        let (site, id) = (entry.site, entry.raw.id.as_deref().unwrap_or_default());
        compiler
            .warn(format!("site {site}, key {id}: its `not_after` has passed; it proves nothing"));
    }
}

fn key(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>, id: Option<&str>) -> Option<Key> {
    let Entry { raw, compiled, place, .. } = entry;
    let wanted = algorithm::written(compiler, entry)?;
    // Without an id the material is still looked at, so that its problems show.
    let name = id.unwrap_or("?");
    let key = match (&raw.secret, &raw.public_key) {
        (Some(_), Some(_)) => {
            one_kind(compiler, entry);
            return None;
        }
        (Some(written), None) => {
            let algorithm = algorithm::symmetric(compiler, entry, wanted)?;
            let place = place.key("secret");
            let material = secret::with_text(compiler, written, compiled.encoding, &place)?;
            from_secret(compiler, entry, name, algorithm, &material, &place)?
        }
        (None, Some(written)) => public(compiler, entry, name, wanted, written)?,
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
    id.map(|_| entry.limited(key))
}

/// A secret that has been read, and the text that it was decoded from.
pub fn from_secret(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    name: &str,
    algorithm: Algorithm,
    (material, text): &(Secret, Secret),
    place: &Place,
) -> Option<Key> {
    compiler.keep_written(entry.site, Some(name), text.expose());
    let who = format!("site {}, key {name}", entry.site);
    secret::warn_if_weak(compiler, &who, material, &entry.compiled.family);
    match Key::secret(name, algorithm, material) {
        Ok(key) => Some(key),
        Err(error) => {
            compiler.report.key(place, error.to_string());
            None
        }
    }
}

fn public(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    name: &str,
    wanted: Option<Algorithm>,
    written: &raw::PublicKey,
) -> Option<Key> {
    let place = entry.place.key("public_key");
    algorithm::asymmetric(compiler, entry, wanted, &place)?;
    let Some(named) = &written.file else {
        compiler.missing(&place, "file", "public_key: { file: key.pem }");
        return None;
    };
    let place = place.key("file");
    let (path, pem) = secret::file(compiler, named, &place)?;
    from_pem(compiler, entry, name, wanted, &pem, &path, &place)
}

/// A public key that has been read.
pub fn from_pem(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    name: &str,
    wanted: Option<Algorithm>,
    pem: &[u8],
    path: &Path,
    place: &Place,
) -> Option<Key> {
    match Key::public_pem(name, wanted, pem) {
        Ok(key) => {
            let said = wanted.is_some();
            algorithm::check_allowed(
                compiler,
                key.algorithm(),
                said,
                entry.compiled,
                &entry.place,
            )?;
            compiler.keep_written(entry.site, Some(name), pem);
            Some(key)
        }
        Err(error) => {
            compiler
                .report
                .value(place, format!("{}: {error}", path.display()))
                .expected("a public key in PEM that fits `algorithm`");
            None
        }
    }
}
