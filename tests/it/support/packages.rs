//! Other people's libraries, as the lock files beside the examples pin them.
//!
//! Those from npm and PyPI are kept under `target/` from one run to the next, in folders named
//! after what they were made of, never in the system. Debian's are the system's.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};

/// What a Debian machine needs; `./test` installs it.
const NEEDED: &str = "apt-get install -y --no-install-recommends nodejs npm python3-venv ruby \
                      ruby-jwt ruby-rack puma php-cli php-apcu golang-go \
                      golang-github-golang-jwt-jwt-dev nginx-light haproxy";

/// Fetches what that folder's `package-lock.json` pins, unless an earlier run did; the folder
/// that holds `node_modules`.
pub fn npm(of: &Path) -> PathBuf {
    let locks = ["package.json", "package-lock.json"].map(|lock| of.join(lock));
    let version = succeed(with("node", &["--version"]));
    kept(&format!("{}-npm", name_of(of)), &locks, &version, |folder| {
        for lock in &locks {
            std::fs::copy(lock, folder.join(name_of(lock))).expect("a copy");
        }
        let mut npm = with("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        npm.current_dir(folder);
        succeed(npm);
    })
}

/// The same for its `requirements.txt`; the folder that holds `bin/python`.
pub fn pip(of: &Path) -> PathBuf {
    let lock = of.join("requirements.txt");
    let which = "import sys; print(sys.version, sys.base_prefix)";
    let version = succeed(with("python3", &["-c", which]));
    kept(&format!("{}-pypi", name_of(of)), std::slice::from_ref(&lock), &version, |folder| {
        let mut venv = with("python3", &["-m", "venv"]);
        venv.arg(folder);
        succeed(venv);
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--only-binary", ":all:", "--require-hashes", "-r"]).arg(&lock);
        succeed(pip);
    })
}

/// A folder that lasts, filled only if no earlier run filled one from the same files.
pub fn kept(name: &str, from: &[PathBuf], version: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let mut of = Sha256::new().chain_update(version);
    for file in from {
        of.update(
            std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())),
        );
    }
    let of: String = of.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = temporary.join(format!("{name}-{of}"));
    if !folder.exists() {
        // Filled beside its place, so that a run that is cut short leaves nothing half done.
        let new = tempfile::tempdir_in(temporary).expect("a temporary folder");
        fill(new.path());
        let renamed = std::fs::rename(new.path(), &folder);
        // Another run at the same time may have been quicker.
        assert!(renamed.is_ok() || folder.exists(), "{}: {renamed:?}", folder.display());
    }
    folder
}

/// A program with these arguments.
pub fn with(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Program and arguments, without the environment with its secrets.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs it; what it printed.
pub fn succeed(mut command: Command) -> String {
    printed(&line(&command), command.output())
}

/// What a command printed; fails loudly, naming what may have to be installed.
pub fn printed(name: &str, output: io::Result<Output>) -> String {
    let asks = format!("is all of this installed?\n  {NEEDED}");
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}: {asks}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{said}\n{asks}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}
