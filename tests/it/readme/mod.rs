//! The pages keep their word: what README.md and docs/ tell a reader to type is typed here,
//! and shows what they say it shows.
//!
//! Under each heading a reader starts in a folder of his own, and ends with Ctrl-C what he
//! left running. What differs from his case, and why:
//!
//! - `cargo run --release --` and `cargo install` are not run: the debug binary that Cargo
//!   built for these tests stands first in PATH instead. Both are what builds it.
//! - The ports 8080, 3000, 8090 and 9090 are replaced by free ones, in commands, in saved files, and
//!   in the configurations that `init` writes (where the admin listener is added): other
//!   tests run at the same time. The demo finds free ones itself.
//! - 2026-11 and 2026_11 in commands and files are this month, after which `init` names its key.
//! - `import jwt` finds a stand-in with PyJWT's `encode`, so that no package is needed.

mod blocks;
mod likeness;
mod terminal;

use std::collections::HashMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;

use self::blocks::{Block, blocks};
use self::likeness::{alike, plain};
use self::terminal::Terminal;
use crate::cli::{code, countersign, stdout};
use crate::support::{PATIENCE, ports};

/// Commands that are not run as they stand.
const INSTEAD: [(&str, &str); 2] = [
    ("cargo run --release --", "countersign"),
    ("cargo install --locked --path .", "countersign --version"),
];

/// PyJWT's `encode`, as far as pages use it.
const PYJWT: &str = r#"
import base64, hashlib, hmac, json

def encode(claims, key, algorithm, headers={}):
    part = lambda text: base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    data = lambda value: part(json.dumps(value, separators=(",", ":")).encode())
    assert algorithm == "HS256"
    head = data({"alg": algorithm, "typ": "JWT"} | headers) + "." + data(claims)
    return head + "." + part(hmac.digest(key.encode(), head.encode(), hashlib.sha256))
"#;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn page(path: &str) -> Vec<Block> {
    blocks(&std::fs::read_to_string(root(path)).expect("a page"))
}

fn pages() -> Vec<String> {
    let entries = std::fs::read_dir(root("docs")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let mut pages: Vec<_> =
        names.filter(|n| n.ends_with(".md")).map(|n| format!("docs/{n}")).collect();
    pages.push("README.md".to_owned());
    pages
}

/// What a block is for.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    Commands,
    /// What the block of commands before it prints.
    Output,
    File,
    Configuration,
    Shown,
}

/// `None`: nobody has said.
fn role(block: &Block, previous: Option<&Role>) -> Option<Role> {
    match block.language.as_str() {
        _ if block.is_marked_not_run() => Some(Role::Shown),
        _ if block.file().is_some() => Some(Role::File),
        "sh" => Some(Role::Commands),
        "text" | "json" if block.follows && previous == Some(&Role::Commands) => Some(Role::Output),
        "yaml" if block.is_whole_configuration() => Some(Role::Configuration),
        _ => None,
    }
}

fn roles(blocks: &[Block]) -> Vec<Option<Role>> {
    let mut roles: Vec<Option<Role>> = Vec::new();
    for block in blocks {
        let role = role(block, roles.last().and_then(Option::as_ref));
        roles.push(role);
    }
    roles
}

#[test]
fn every_block_of_the_readme_is_tested_or_says_why_not() {
    let blocks = page("README.md");
    let roles = roles(&blocks);
    for (block, role) in blocks.iter().zip(&roles) {
        assert!(role.is_some(), "README.md:{}: tests/it/readme/blocks.rs has marks", block.line);
        if let Some(name) = block.file() {
            let said = format!("`{name}`");
            let mut above = blocks.iter().filter(|other| other.line <= block.line);
            let told = above.any(|other| other.before.contains(&said));
            assert!(told, "README.md:{}: a reader is not told {said}", block.line);
        }
    }
    let count = |wanted: Role| roles.iter().flatten().filter(|role| **role == wanted).count();
    assert!(count(Role::Commands) >= 8 && count(Role::Output) >= 3, "{roles:?}");
    assert!(count(Role::Configuration) >= 1 && count(Role::File) >= 4, "{roles:?}");
}

#[test]
fn a_page_hides_no_command_from_the_test() {
    for path in pages() {
        for block in page(&path) {
            let prompt = block.text.lines().any(|line| line.starts_with("$ "));
            let shell = ["bash", "shell", "console", "shell-session"];
            let other = shell.contains(&block.language.as_str()) || prompt;
            let told = block.is_marked_not_run();
            assert!(!other || told, "{path}:{}: write `sh`, or why it is not run", block.line);
        }
    }
}

#[test]
fn every_whole_configuration_of_a_page_passes_check() {
    let mut checked = 0;
    for path in pages() {
        for block in page(&path).iter().filter(|block| block.is_whole_configuration()) {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let file = folder.path().join("countersign.yaml");
            std::fs::write(&file, &block.text).expect("a writable folder");
            let config = file.display().to_string();
            let output = countersign(&["check", "--without-secrets", "--config", &config]);
            assert_eq!(code(&output), 0, "{path}:{}: {}", block.line, stdout(&output));
            assert!(!stdout(&output).contains("warning"), "{path}: {}", stdout(&output));
            checked += 1;
        }
    }
    assert!(checked >= 2, "README.md and docs/operations.md have one each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_pages_say_to_type_does_what_they_say() {
    let mut typed = 0;
    for path in pages() {
        let blocks = page(&path);
        let roles = roles(&blocks);
        let mut reader: Option<(usize, Reader)> = None;
        for (at, block) in blocks.iter().enumerate() {
            match roles[at] {
                Some(Role::Commands | Role::File) => {}
                _ => continue,
            }
            if let Some((_, mut before)) = reader.take_if(|(section, _)| *section != block.section)
            {
                before.terminal.interrupt_what_runs().await;
            }
            let (_, reader) = reader.get_or_insert_with(|| (block.section, Reader::new()));
            let output =
                blocks.get(at + 1).filter(|_| roles.get(at + 1) == Some(&Some(Role::Output)));
            println!("{path}:{}", block.line);
            match block.file() {
                Some(name) => reader.save(name, &block.text),
                None => reader.types(block, output).await,
            }
            typed += 1;
        }
        if let Some((_, mut last)) = reader {
            last.terminal.interrupt_what_runs().await;
        }
    }
    assert!(typed >= 12, "{typed}");
}

/// Somebody who does what a page says, from one heading to the next.
struct Reader {
    terminal: Terminal,
    ports: HashMap<&'static str, u16>,
    folder: tempfile::TempDir,
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = |name: &str| {
            let folder = folder.path().join(name);
            std::fs::create_dir(&folder).expect("a writable folder");
            folder
        };
        let (home, modules, temporary) = (made("home"), made("modules"), made("tmp"));
        std::fs::write(modules.join("jwt.py"), PYJWT).expect("a writable folder");
        let binary = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = [
            ("PATH", format!("{}:{path}", binary.display())),
            ("PYTHONPATH", modules.display().to_string()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("TMPDIR", temporary.display().to_string()),
            ("HOME", home.display().to_string()),
            ("LC_ALL", "C.UTF-8".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value));
        Self {
            terminal: Terminal::open(&home, &environment),
            ports: ["8080", "3000", "8090", "9090"].map(|port| (port, ports::free().port())).into(),
            folder,
        }
    }

    /// A text of a page as it is in this test: see the top of this file.
    fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (command, instead) in INSTEAD {
            text = text.replace(command, instead);
        }
        let now = jiff::Timestamp::now();
        for (month, format) in [("2026-11", "%Y-%m"), ("2026_11", "%Y_%m")] {
            text = text.replace(month, &now.strftime(format).to_string());
        }
        for (port, instead) in &self.ports {
            let pattern = Regex::new(&format!(r"\b{port}\b")).expect("a pattern");
            text = pattern.replace_all(&text, instead.to_string()).into_owned();
        }
        text
    }

    fn save(&self, name: &str, text: &str) {
        std::fs::write(self.terminal.folder().join(name), self.here(text)).expect("writable");
    }

    async fn types(&mut self, block: &Block, output: Option<&Block>) {
        if let Some(commands) = block.after() {
            let commands = self.here(commands);
            self.terminal.run(&commands, 0).await;
            self.move_ports();
        }
        let commands = self.here(&block.text);
        let Some(port) = block.keeps_running() else {
            let real = self.terminal.run(&commands, block.exit()).await;
            self.move_ports();
            if let Some(output) = output {
                let (shown, real) = (&output.text, &real);
                let (wanted, got) = (plain(shown), plain(real));
                assert!(alike(shown, real), "line {}: {wanted}\n--- is\n{got}", output.line);
            }
            return;
        };
        let port = port.map(|port| self.ports[port.to_string().as_str()]);
        let running = self.terminal.leave_running(&commands);
        let says = |screen: &str| match (port, output) {
            (Some(port), None) => TcpStream::connect(("127.0.0.1", port)).is_ok(),
            (None, Some(output)) => alike(&output.text, screen),
            _ => panic!("line {}: by its port or by its output?", block.line),
        };
        let up = async {
            while !says(&running.screen()) {
                assert!(!running.has_ended(), "it ended: {}", running.screen());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let is_up = tokio::time::timeout(PATIENCE, up).await.is_ok();
        let wanted = output.map(|output| plain(&output.text)).unwrap_or_default();
        assert!(is_up, "{commands}{wanted}\n--- is\n{}", plain(&running.screen()));
    }

    /// Gives what `init` wrote the ports of this test.
    fn move_ports(&self) {
        let mut folders = vec![self.folder.path().join("home")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.ends_with("countersign.yaml") {
                    let mut text = std::fs::read_to_string(&path).expect("text");
                    text = self.here(&text);
                    if !text.contains("\nadmin:") {
                        let port = self.ports["9090"];
                        text.push_str(&format!("admin: {{ address: \"127.0.0.1:{port}\" }}\n"));
                    }
                    std::fs::write(&path, text).expect("writable");
                }
            }
        }
    }
}
