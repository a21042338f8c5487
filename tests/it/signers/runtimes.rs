//! What runs the examples: the system's Node, Python, Ruby and PHP, with the packages that the
//! lock files beside them pin.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::support::{PATIENCE, packages};

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
            let npm = scope.spawn(|| packages::npm(&examples(of)));
            let pip = scope.spawn(|| packages::pip(&examples(of)));
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
        let name = packages::line(&command);
        let running = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE * 3, running).await;
        let output = output.unwrap_or_else(|_| panic!("{name} does not end"));
        packages::printed(&name, output).trim_end().to_owned()
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
