//! What runs the examples: the system's Node, Python, Ruby and PHP, with the packages that the
//! lock files beside them pin.
//!
//! Ruby's package is the system's too. Those from npm and PyPI are kept under `target/` from
//! one run to the next, in folders named after what they were made of, never in the system.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::support::PATIENCE;

/// What a Debian machine needs; `./test` installs it.
const NEEDED: &str = "apt-get install -y --no-install-recommends nodejs npm python3-venv ruby \
                      ruby-jwt php-cli";

/// The languages with their packages.
pub struct Runtimes {
    node_modules: PathBuf,
    python: PathBuf,
}

impl Runtimes {
    /// For `examples/websites`. Fetches the packages, unless an earlier run did.
    pub fn ready() -> &'static Self {
        static READY: LazyLock<Runtimes> = LazyLock::new(|| Runtimes::fetch("websites"));
        &READY
    }

    /// The same for `examples/webhook-receivers`.
    pub fn of_receivers() -> &'static Self {
        static READY: LazyLock<Runtimes> = LazyLock::new(|| Runtimes::fetch("webhook-receivers"));
        &READY
    }

    fn fetch(of: &str) -> Self {
        let (npm, pip) = std::thread::scope(|scope| {
            let npm = scope.spawn(|| npm_packages(of));
            let pip = scope.spawn(|| pip_packages(of));
            (npm.join(), pip.join())
        });
        let failed = "the packages of the samples are there";
        Self {
            node_modules: npm.expect(failed).join("node_modules"),
            python: pip.expect(failed).join("bin/python"),
        }
    }

    /// What runs a file with that ending, or with `inline` a text.
    pub fn command(&self, ending: &str, inline: bool) -> Command {
        let (program, option) = match ending {
            "js" => (Path::new("node"), "-e"),
            "py" => (self.python.as_path(), "-c"),
            "rb" => (Path::new("ruby"), "-e"),
            "php" => (Path::new("php"), "-r"),
            other => panic!("no runtime for .{other}"),
        };
        let mut command = Command::new(program);
        command.env("NODE_PATH", &self.node_modules).env("LC_ALL", "C.UTF-8");
        if inline {
            command.arg(option);
        }
        command
    }

    /// What a sample prints, without the line's end.
    pub async fn run(&self, sample: &Sample, environment: &[(&str, &str)]) -> String {
        let mut command = match sample {
            Sample::File(path) => {
                let ending = path.extension().expect("a language").to_string_lossy();
                let mut command = self.command(&ending, false);
                command.arg(path);
                command
            }
            Sample::Text { ending, text } => {
                let mut command = self.command(ending, true);
                command.arg(text);
                command
            }
        };
        command.args(sample.arguments()).envs(environment.iter().copied());
        let name = name(&command);
        let running = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE * 3, running).await;
        let output = output.unwrap_or_else(|_| panic!("{name} does not end"));
        printed(&name, output).trim_end().to_owned()
    }
}

/// What a website runs to sign.
#[derive(Debug)]
pub enum Sample {
    /// A file of `examples/websites`, which takes the visitor as arguments.
    File(PathBuf),
    /// A program of one line.
    Text { ending: &'static str, text: &'static str },
}

impl Sample {
    fn arguments(&self) -> &'static [&'static str] {
        match self {
            Self::File(_) => &[super::ID, super::NAME, super::EMAIL],
            Self::Text { .. } => &[],
        }
    }
}

/// The folder of the samples.
pub fn websites() -> PathBuf {
    examples("websites")
}

/// A folder of examples.
pub fn examples(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn npm_packages(of: &str) -> PathBuf {
    let locks = ["package.json", "package-lock.json"];
    let version = succeed(with("node", &["--version"]));
    kept(of, "npm", &locks, &version, |folder| {
        for lock in locks {
            std::fs::copy(examples(of).join(lock), folder.join(lock)).expect("a copy");
        }
        let mut npm = with("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        npm.current_dir(folder);
        succeed(npm);
    })
}

fn pip_packages(of: &str) -> PathBuf {
    let locks = ["requirements.txt"];
    let which = "import sys; print(sys.version, sys.base_prefix)";
    let version = succeed(with("python3", &["-c", which]));
    kept(of, "pypi", &locks, &version, |folder| {
        let mut venv = with("python3", &["-m", "venv"]);
        venv.arg(folder);
        succeed(venv);
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--only-binary", ":all:", "--require-hashes", "-r"]);
        pip.arg(examples(of).join("requirements.txt"));
        succeed(pip);
    })
}

/// A folder that lasts, filled only if no earlier run filled one from the same lock files.
fn kept(of: &str, name: &str, locks: &[&str], version: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let mut made = Sha256::new().chain_update(version);
    for lock in locks {
        made.update(std::fs::read(examples(of).join(lock)).expect("a lock file"));
    }
    let made: String = made.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = temporary.join(format!("{of}-{name}-{made}"));
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

fn with(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Program and arguments, without the environment with its secrets.
fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn succeed(mut command: Command) -> String {
    printed(&name(&command), command.output())
}

/// What a command printed; fails loudly, naming what may have to be installed.
fn printed(name: &str, output: io::Result<Output>) -> String {
    let asks = format!("is all of this installed?\n  {NEEDED}");
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}: {asks}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{said}\n{asks}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
