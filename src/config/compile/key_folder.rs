//! A folder with one file a key: the file's name up to its last dot is the key's id.
//!
//! A file that holds PEM is a public key, any other a secret, read as the dialect reads
//! its secrets. Names that begin with a dot (Kubernetes' own links, files half written) or
//! end with `~` (an editor's) are no keys, and neither are folders. The folder is watched:
//! a key comes and goes with its file.

use super::key::{self, Entry};
use super::{Compiler, algorithm, secret};
use crate::dialect::{Algorithm, Key};

/// The keys in a folder, those that are sound.
pub fn keys(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    folder: &str,
    wanted: Option<Algorithm>,
) -> Vec<Key> {
    let path = compiler.path(folder);
    if !compiler.watched.contains(&path) {
        compiler.watched.push(path.clone());
    }
    if !compiler.options.secrets {
        return Vec::new();
    }
    let place = entry.place.key("directory");
    let mut names: Vec<String> = match std::fs::read_dir(&path) {
        Ok(found) => found
            .flatten()
            .filter(|file| !file.path().is_dir())
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.') && !name.ends_with('~'))
            .collect(),
        Err(error) => {
            compiler
                .report
                .value(&place, format!("{} cannot be read: {error}", path.display()))
                .expected("a folder, relative to the configuration");
            return Vec::new();
        }
    };
    names.sort();
    if names.is_empty() {
        // No error: the last key must be as easy to withdraw as any other.
        let site = entry.site;
        compiler.warn(format!("site {site}: there is no key in {}", path.display()));
    }
    names.iter().filter_map(|name| one(compiler, entry, folder, name, wanted)).collect()
}

fn one(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    folder: &str,
    name: &str,
    wanted: Option<Algorithm>,
) -> Option<Key> {
    let place = entry.place.key("directory");
    let id = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if !key::is_id(id) {
        compiler
            .report
            .value(&place, format!("{folder}: `{name}` does not name a key"))
            .expected(key::ID)
            .hint("a file's name up to its last dot is the key's id");
        return None;
    }
    let named = format!("{}/{name}", folder.trim_end_matches('/'));
    let (path, bytes) = secret::file(compiler, &named, &place)?;
    let key = if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
        algorithm::asymmetric(compiler, entry, wanted, &place)?;
        key::from_pem(compiler, entry, id, wanted, &bytes, &path, &place)?
    } else {
        let algorithm = algorithm::symmetric(compiler, entry, wanted)?;
        let bytes = secret::as_secret(compiler, &path, bytes);
        let who = format!("{}: ", path.display());
        let material = secret::sound(compiler, &who, bytes, entry.compiled.encoding, &place)?;
        key::from_secret(compiler, entry, id, algorithm, &material, &place)?
    };
    Some(entry.limited(key))
}
