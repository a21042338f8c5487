//! A running `countersign demo`: started with whatever ports are free, ended when dropped.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::chromium::Page;

/// The running process and what it printed.
pub struct Demo {
    child: Child,
    /// The page's address.
    pub page: String,
    /// The agents' view.
    pub agents: String,
}

impl Demo {
    /// Starts it and waits for its links.
    pub async fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .arg("demo")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let read = tokio::task::spawn_blocking(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let mut printed = Vec::new();
            for line in lines {
                let last = line.starts_with("Ctrl-C");
                printed.push(line);
                if last {
                    break;
                }
            }
            printed
        });
        let printed = read.await.expect("no panic");
        let link = |name: &str| -> String {
            let line = printed.iter().find_map(|line| line.trim().strip_prefix(name));
            let link = line.and_then(|line| line.split_whitespace().next());
            link.unwrap_or_else(|| panic!("{name} is not among {printed:#?}")).to_owned()
        };
        Self { child, page: link("Open this page"), agents: link("Agents' view") }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // As Ctrl-C does, so that its folder goes.
        let interrupt = format!("kill -INT {}", self.child.id());
        let asked = Command::new("sh").args(["-c", &interrupt]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// What the demo's page can do.
impl Page {
    /// Waits until nothing is under way.
    pub async fn settled(&self) {
        self.until("!!document.querySelector('.verdict .big') && !document.body.dataset.busy")
            .await;
    }

    /// Presses one of the page's buttons and waits for what comes of it.
    pub async fn push(&self, button: &str) {
        self.press(&format!("#do-{button}")).await;
        self.settled().await;
    }

    /// Chooses a mode, and waits until it is in force.
    pub async fn mode(&self, mode: &str) {
        self.evaluate(&format!(
            "(() => {{ const s = document.querySelector('#mode'); s.value = {mode:?};
                s.dispatchEvent(new Event('change')); }})()"
        ))
        .await;
        self.settled().await;
    }
}
