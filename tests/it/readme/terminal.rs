//! Shells as a reader has them open: one in which commands follow each other, and further
//! ones in which something is left running.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::{PATIENCE, eventually};

/// Stands after the output of each block, before its exit code and the folder.
const END: &str = "--- the end of a block ---";

/// A shell.
pub struct Terminal {
    child: Mutex<Child>,
    input: Option<ChildStdin>,
    shown: Arc<Mutex<String>>,
    scripts: tempfile::TempDir,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    left_running: Vec<Terminal>,
}

impl Terminal {
    /// A shell that waits for commands.
    pub fn open(folder: &Path, environment: &[(String, String)]) -> Self {
        Self::start("exec bash --noprofile --norc", folder, environment)
    }

    fn start(command: &str, folder: &Path, environment: &[(String, String)]) -> Self {
        // Whoever started the tests in the background may have had Ctrl-C ignored; a terminal
        // has not.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,QUIT", "bash", "--noprofile", "--norc", "-c"])
            .arg(format!("exec 2>&1; {command}"))
            .current_dir(folder)
            .envs(environment.iter().cloned())
            .env_remove("RUST_LOG")
            // So that Ctrl-C reaches all of it and nothing else.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash is installed");
        let mut stdout = child.stdout.take().expect("a pipe");
        let shown = Arc::new(Mutex::new(String::new()));
        let screen = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            let mut rest = Vec::new();
            while let Ok(read @ 1..) = stdout.read(&mut bytes) {
                rest.extend_from_slice(&bytes[..read]);
                // A character may come in two pieces.
                let whole = rest.len() - rest.utf8_chunks().last().map_or(0, |c| c.invalid().len());
                let text: Vec<u8> = rest.drain(..whole).collect();
                screen.lock().expect("no panic").push_str(&String::from_utf8_lossy(&text));
            }
        });
        Self {
            input: child.stdin.take(),
            child: Mutex::new(child),
            shown,
            scripts: tempfile::tempdir().expect("a temporary folder"),
            folder: folder.to_owned(),
            environment: environment.to_vec(),
            left_running: Vec::new(),
        }
    }

    /// Runs commands to their end; returns what they printed. Every one of them must
    /// succeed, or with another code than 0 the last must have that.
    pub async fn run(&mut self, commands: &str, code: i32) -> String {
        let script = self.scripts.path().join("commands");
        std::fs::write(&script, commands).expect("a writable folder");
        let careful = if code == 0 { "set -e" } else { "set +e" };
        let script = script.display();
        let input = self.input.as_mut().expect("an open shell");
        // On a line of its own also after output without a newline.
        writeln!(
            input,
            "{careful}; . {script} </dev/null; set -- $?; echo; echo '{END}' $1 \"$PWD\""
        )
        .and_then(|()| input.flush())
        .unwrap_or_else(|error| panic!("{error}: {}", self.screen()));
        let end = || {
            let screen = self.screen();
            screen.split_once(END).filter(|(_, rest)| rest.ends_with('\n')).map(|(shown, rest)| {
                let (code, folder) = rest.trim().split_once(' ').expect("code and folder");
                (shown.to_owned(), code.to_owned(), PathBuf::from(folder))
            })
        };
        eventually("the end of the commands", PATIENCE, || async {
            // Asked in this order: the end may be printed between the two questions.
            let gone = self.has_ended();
            assert!(!gone || end().is_some(), "{commands}\n---\n{}", self.screen());
            end().is_some()
        })
        .await;
        let (shown, ended_with, folder) = end().expect("it ended");
        assert_eq!(ended_with, code.to_string(), "{commands}\n---\n{shown}");
        self.folder = folder;
        self.shown.lock().expect("no panic").clear();
        shown
    }

    /// Leaves a command running in a new terminal, opened in this one's folder.
    pub fn leave_running(&mut self, command: &str) -> &Terminal {
        self.left_running.push(Self::start(command, &self.folder, &self.environment));
        self.left_running.last().expect("it was pushed")
    }

    /// Everything printed since the last command.
    pub fn screen(&self) -> String {
        self.shown.lock().expect("no panic").clone()
    }

    /// Whether its command has ended.
    pub fn has_ended(&self) -> bool {
        self.child.lock().expect("no panic").try_wait().expect("a child of ours").is_some()
    }

    /// Where commands are run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Presses Ctrl-C in each terminal where something was left running, and waits until it
    /// has ended.
    pub async fn interrupt_what_runs(&mut self) {
        for terminal in self.left_running.drain(..) {
            terminal.signal("INT");
            eventually("the end after Ctrl-C", PATIENCE, || async { terminal.has_ended() }).await;
        }
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.child.lock().expect("no panic").id());
        let _ = Command::new("kill").args([&format!("-{name}"), "--", &group]).status();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal("KILL");
        }
        let _ = self.child.lock().expect("no panic").wait();
    }
}
