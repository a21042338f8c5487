//! The file: `countersign.redb` in a folder that one process holds at a time.
//!
//! - A new file is made under another name and renamed once it is whole, so a file of that
//!   name which is empty or cut short is damage, and never taken for a new one.
//! - `countersign.lock` beside it keeps a second process out, also while the file itself is
//!   closed and opened anew after a failure.
//! - Only the process's user may read either: the file holds the key of the digests.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableDatabase, TableDefinition, TableError};

use super::rows;
use super::trouble::Trouble;
use crate::assertion::SigningKey;
use crate::clock::UnixTime;
use crate::secret::Secret;
use crate::store::{Change, DigestKey};

const NAME: &str = "countersign.redb";
const LOCK: &str = "countersign.lock";
/// What the file says of itself: the version of its rows and the key of its digests.
const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
const VERSION: &str = "version";
const VERSION_NOW: &[u8] = b"1";
const DIGEST_KEY: &str = "digest_key";
/// The generated key that signs assertions; younger than the first files.
const SIGNING_KEY: &str = "signing_key";
/// Bytes of pages that redb may hold: memory has everything that requests need.
const CACHE: usize = 16 * 1024 * 1024;

/// A folder that is this process's own, for as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// An open file, and what it says of itself.
#[derive(Debug)]
pub struct Opened {
    pub database: Database,
    pub digest_key: Secret,
    /// None if the system has no randomness to give.
    pub signing_key: Option<Secret>,
}

impl Folder {
    /// Takes the folder, which is created if there is none.
    ///
    /// # Errors
    /// A sentence: another process has it, or it cannot be written.
    pub fn take(path: &Path) -> Result<Self, String> {
        let cannot = |error: &dyn std::fmt::Display| {
            format!(
                "the store's folder {} cannot be used: {error}; it must be a folder that this \
                 user may write (store.embedded.path)",
                path.display()
            )
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| cannot(&e))?;
        let lock = private().create(true).open(path.join(LOCK)).map_err(|e| cannot(&e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "the store's folder {} is in use by another process: an embedded store serves \
                 one; give each its own folder, or share one store with `store: {{ redis: … }}`",
                path.display()
            )),
            Err(TryLockError::Error(error)) => Err(cannot(&error)),
        }
    }

    /// Where the file lies.
    pub fn file(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// Opens the file, which is created if there is none, and hands over what it holds.
    pub fn open(&self, tell: impl FnMut(Change)) -> Result<Opened, Trouble> {
        if !self.file().try_exists()? {
            self.create()?;
        }
        contained(|| {
            let opened = opened(&self.file())?;
            rows::each(&opened.database.begin_read()?, tell)?;
            Ok(opened)
        })
    }

    /// Opens the file once more, after a failure.
    pub fn reopen(&self) -> Result<Database, Trouble> {
        contained(|| Ok(opened(&self.file())?.database))
    }

    /// Puts the file aside, so that an empty one can be begun; says under which name.
    pub fn put_aside(&self, now: UnixTime) -> Result<PathBuf, Trouble> {
        let aside = self.path.join(format!("{NAME}.damaged-{}", now.as_secs()));
        std::fs::rename(self.file(), &aside)?;
        Ok(aside)
    }

    fn create(&self) -> Result<(), Trouble> {
        let unfinished = self.path.join(format!("{NAME}.new"));
        let empty = private().create(true).truncate(true).open(&unfinished)?;
        drop(empty);
        let key = DigestKey::generate()
            .ok_or_else(|| Trouble::Unreachable("the system has no randomness to give".into()))?;
        let database = Builder::new().set_cache_size(CACHE).create(&unfinished)?;
        let writing = database.begin_write()?;
        {
            let mut meta = writing.open_table(META)?;
            meta.insert(VERSION, VERSION_NOW)?;
            meta.insert(DIGEST_KEY, key.expose())?;
        }
        writing.commit()?;
        database.close()?;
        std::fs::rename(&unfinished, self.file())?;
        // The name must last, too.
        File::open(&self.path)?.sync_all()?;
        Ok(())
    }
}

/// Checks every page: a store that reads wrongly is worse than one that does not open.
fn opened(file: &Path) -> Result<Opened, Trouble> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    // Opening for writing marks the file: what is not ours or not of this version is left
    // as it is. After a crash only the repair can tell.
    if let Ok(glance) = builder.open_read_only(file) {
        digest_key(&glance)?;
    }
    let database = builder.open(file)?;
    let digest_key = digest_key(&database)?;
    let signing_key = signing_key(&database)?;
    Ok(Opened { database, digest_key, signing_key })
}

/// The key that signs assertions, made if there is none yet.
fn signing_key(database: &Database) -> Result<Option<Secret>, Trouble> {
    let kept = database.begin_read()?.open_table(META)?.get(SIGNING_KEY)?;
    if let Some(kept) = kept.map(|key| Secret::new(key.value().to_vec())) {
        return Ok(Some(kept));
    }
    let Some(fresh) = SigningKey::generate() else { return Ok(None) };
    let writing = database.begin_write()?;
    writing.open_table(META)?.insert(SIGNING_KEY, fresh.expose())?;
    writing.commit()?;
    Ok(Some(fresh))
}

fn digest_key(database: &impl ReadableDatabase) -> Result<Secret, Trouble> {
    let reading = database.begin_read()?;
    let meta = match reading.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => {
            return Err(Trouble::damaged("it is not a store of Countersign's"));
        }
        meta => meta?,
    };
    let version = meta.get(VERSION)?;
    let version = version.as_ref().map_or(&b"none"[..], |version| version.value());
    if version != VERSION_NOW {
        let version = String::from_utf8_lossy(version).into_owned();
        return Err(Trouble::Damaged(format!(
            "it is of version {version:?} and this program reads version 1; run the program \
             that wrote it"
        )));
    }
    let key = meta.get(DIGEST_KEY)?.map(|key| key.value().to_vec());
    key.filter(|key| key.len() == DigestKey::BYTES)
        .map(Secret::new)
        .ok_or_else(|| Trouble::damaged("the key of its digests is missing"))
}

/// A file that makes its reader panic is damaged.
fn contained<T>(read: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Trouble::damaged("it cannot be made sense of")))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
