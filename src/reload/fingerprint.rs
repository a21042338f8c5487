//! What files look like from outside: enough to tell that one has been replaced,
//! rewritten, removed or added, without reading it.
//!
//! Paths are followed through symbolic links. A Kubernetes volume is one link, `..data`,
//! to a folder of a new name: when it is swapped, the files behind every path are other
//! inodes, whatever their contents, so links need no watching of their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a set of paths looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(BTreeMap<PathBuf, Look>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    /// Not there, or not to be looked at.
    Absent,
    File(Stamp),
    /// Its entries; its own times change with each temporary file in it.
    Folder(BTreeMap<OsString, Option<Stamp>>),
}

/// `ctime` sees what a tool that restores `mtime` would hide.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| (path.clone(), look(path))).collect())
    }

    /// Keeps exactly these paths; those that were not among them look as they do now.
    pub(super) fn follow(&mut self, paths: &[PathBuf]) {
        let mut old = std::mem::take(&mut self.0);
        let looks = paths.iter().map(|path| {
            let look = old.remove(path).unwrap_or_else(|| look(path));
            (path.clone(), look)
        });
        self.0 = looks.collect();
    }
}

fn look(path: &Path) -> Look {
    match std::fs::metadata(path) {
        Err(_) => Look::Absent,
        Ok(metadata) if metadata.is_dir() => Look::Folder(entries(path)),
        Ok(metadata) => Look::File(stamp(&metadata)),
    }
}

fn entries(folder: &Path) -> BTreeMap<OsString, Option<Stamp>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeMap::new() };
    let stamped = entries.flatten().map(|entry| {
        let metadata = std::fs::metadata(entry.path()).ok();
        (entry.file_name(), metadata.as_ref().map(stamp))
    });
    stamped.collect()
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        inode: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_of_the_link_that_kubernetes_swaps_is_a_change_of_every_file_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["..1", "..2"] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("key"), "same").unwrap();
        }
        std::os::unix::fs::symlink("..1", path("..data")).unwrap();
        std::os::unix::fs::symlink("..data/key", path("key")).unwrap();
        for watched in [path("key"), folder.path().to_owned()] {
            let watched = [watched];
            let before = Fingerprint::of(&watched);
            assert_eq!(before, Fingerprint::of(&watched));
            let target =
                if path("..data").read_link().unwrap() == Path::new("..1") { "..2" } else { "..1" };
            std::os::unix::fs::symlink(target, path("..new")).unwrap();
            std::fs::rename(path("..new"), path("..data")).unwrap();
            assert_ne!(before, Fingerprint::of(&watched), "{watched:?}");
        }
    }

    #[test]
    fn a_file_that_comes_goes_or_is_rewritten_is_a_change_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let watched = [folder.path().to_owned()];
        let file = folder.path().join("a.pem");
        let mut seen = vec![Fingerprint::of(&watched)];
        std::fs::write(&file, "one").unwrap();
        seen.push(Fingerprint::of(&watched));
        std::fs::write(&file, "longer").unwrap();
        seen.push(Fingerprint::of(&watched));
        assert!(seen[0] != seen[1] && seen[1] != seen[2]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(Fingerprint::of(&watched), seen[0]);
    }

    #[test]
    fn a_path_that_is_not_there_is_no_error_and_its_coming_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let watched = [folder.path().join("later")];
        let before = Fingerprint::of(&watched);
        std::fs::write(&watched[0], "").unwrap();
        assert_ne!(before, Fingerprint::of(&watched));
    }

    #[test]
    fn following_other_paths_keeps_the_old_look_of_those_that_stay() {
        let folder = tempfile::tempdir().unwrap();
        let [stays, comes] = ["stays", "comes"].map(|name| folder.path().join(name));
        std::fs::write(&stays, "one").unwrap();
        let mut read = Fingerprint::of(std::slice::from_ref(&stays));
        std::fs::write(&stays, "changed while it was read").unwrap();
        let watched = [stays, comes];
        read.follow(&watched);
        assert_ne!(read, Fingerprint::of(&watched));
        read.follow(&watched[1..]);
        assert_eq!(read, Fingerprint::of(&watched[1..]));
    }
}
