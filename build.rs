//! Which commit a release is made from, for `build_info`'s `revision`.
//!
//! `COUNTERSIGN_REVISION` says it where the sources come without their history (a container
//! build); else git does, in release builds: a debug build would be compiled anew with
//! every commit. Without either it is `unknown`; nothing here fails.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=COUNTERSIGN_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    let told = std::env::var("COUNTERSIGN_REVISION").ok().filter(|told| is_plain(told));
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let revision = match told {
        Some(told) => Some(told),
        None if release => of_git(),
        None => None,
    };
    println!("cargo:rustc-env=COUNTERSIGN_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

/// The commit, with `-dirty` where tracked files differ from it.
fn of_git() -> Option<String> {
    // A package unpacked inside somebody else's repository is not of that repository.
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    // Both the branch and what it points to may change.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|commit| is_plain(commit))?;
    let clean = git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if clean { commit } else { format!("{commit}-dirty") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// It becomes a label: no text of any kind.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}
