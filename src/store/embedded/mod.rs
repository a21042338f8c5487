//! The store in one file of this machine: survives a crash, serves one process.
//!
//! Everything is read into memory at the start. From then on one thread writes the file
//! ([`writer`]), and requests never wait for it.

mod file;
mod jobs;
mod rows;
mod trouble;
mod visits;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use self::file::{Folder, Opened};
use self::trouble::Trouble;
use super::open::{OpenError, Opening};
use super::{Change, Memory, Store};
use crate::clock::UnixTime;
use crate::telemetry::StoreOperation;

/// Opens the store of a folder, which is created if there is none.
///
/// # Errors
/// A sentence that names the file, what is wrong, and what to do. What is there stays as it
/// is, unless an empty store is accepted: then what cannot be read is put aside.
pub fn open(path: &Path, opening: &Opening<'_>) -> Result<Store, OpenError> {
    let begun = Instant::now();
    let folder = Folder::take(path).map_err(OpenError)?;
    let (opened, memory) = match read(&folder, opening) {
        Err(Trouble::Damaged(why)) if opening.accept_empty => {
            begin_anew(&folder, opening, &why).map_err(|trouble| told(&folder, &trouble))?
        }
        read => read.map_err(|trouble| told(&folder, &trouble))?,
    };
    opening.metrics.store_operated(StoreOperation::Load, begun.elapsed());
    let keeper = writer::start(
        folder,
        (opened.database, opened.signing_key),
        memory.clone(),
        opening.metrics.clone(),
    )
    .map_err(|error| OpenError(format!("the store's thread cannot start: {error}")))?;
    Ok(Store::new(memory, Box::new(keeper)))
}

fn read(folder: &Folder, opening: &Opening<'_>) -> Result<(Opened, Arc<Memory>), Trouble> {
    let mut changes = Vec::new();
    let opened = folder.open(|change| changes.push(change))?;
    let memory = Arc::new(Memory::new(&opened.digest_key));
    // Before anything is remembered: it says how much there may be.
    memory.prepare(opening.plan);
    // The oldest sessions first, as they came: where there are too many, the oldest go.
    changes.sort_by_key(|change| match change {
        Change::Bind { binding, .. } => binding.bound,
        _ => UnixTime::default(),
    });
    changes.iter().for_each(|change| memory.apply(change));
    Ok((opened, memory))
}

fn begin_anew(
    folder: &Folder,
    opening: &Opening<'_>,
    why: &str,
) -> Result<(Opened, Arc<Memory>), Trouble> {
    let aside = folder.put_aside(UnixTime::now())?;
    tracing::error!(
        target: "audit",
        problem = why,
        aside = %aside.display(),
        "the store could not be read and was put aside; no ban, logout or session of it holds"
    );
    read(folder, opening)
}

fn told(folder: &Folder, trouble: &Trouble) -> OpenError {
    let file = folder.file();
    let file = file.display();
    OpenError(match trouble {
        Trouble::Damaged(why) => format!(
            "the store {file} cannot be read: {why}. It has been left as it is: bring back a \
             copy, or start once with --accept-empty-store, which puts it aside and begins an \
             empty one (bans, logouts and sessions are then forgotten)"
        ),
        Trouble::Unreachable(why) => format!(
            "the store {file} cannot be opened: {why}; it must be a file that this user may \
             read and write, on a disk with room (store.embedded.path)"
        ),
    })
}

#[cfg(test)]
mod tests;
