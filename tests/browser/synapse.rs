//! `examples/backends/matrix-synapse`, started as its README says: a real Synapse, Countersign
//! in front of it, and a website. Gone when dropped.
//!
//! Synapse comes from PyPI, as the lock file beside the example pins it, into `target/`, where
//! it stays from one run to the next.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::packages;

/// The running example and what it printed.
pub struct Synapse {
    child: Child,
    /// The website's page.
    pub page: String,
    /// Countersign's address.
    pub chat: String,
    /// Synapse's own, which no visitor would reach.
    pub backend: String,
    folder: tempfile::TempDir,
}

impl Synapse {
    /// Starts it for a visitor, and waits until all of it answers.
    pub async fn start(id: &str, name: &str) -> Self {
        let visitor = [id.to_owned(), name.to_owned()];
        let started = tokio::task::spawn_blocking(move || Self::started(&visitor));
        started.await.expect("no panic")
    }

    fn started([id, name]: &[String; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("gateway.log");
        let mut child = Command::new(packages::pip(&example()).join("bin/python"))
            .arg(example().join("start.py"))
            .args(["--free-ports", "--id", id, "--name", name])
            .arg("--folder")
            .arg(folder.path())
            .args(["--countersign", env!("CARGO_BIN_EXE_countersign")])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a file"))
            .spawn()
            .expect("the example starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let printed: Vec<_> = lines.take_while(|line| !line.starts_with("Ctrl-C")).collect();
        let link = |name: &str| -> String {
            let link = printed.iter().find_map(|line| line.strip_prefix(name));
            link.unwrap_or_else(|| {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("{name} is not among {printed:#?}:\n{log}")
            })
            .trim()
            .to_owned()
        };
        let (page, chat, backend) = (link("Open this page"), link("Countersign"), link("Synapse"));
        Self { child, page, chat, backend, folder }
    }

    /// What the website signs with.
    pub fn secret(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("keys/zendesk.secret")).expect("a key")
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        // As Ctrl-C does, so that its servers and its folder go; a shell's background jobs, of
        // which this may be one, do not hear of that.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/backends/matrix-synapse")
}
