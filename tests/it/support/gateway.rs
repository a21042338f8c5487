//! The binary under test: started with a configuration of its own, ready when
//! [`Setup::start`] returns, gone when dropped.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::metrics::Metrics;
use super::raw::{self, Request, Response};
use super::{PATIENCE, eventually, ports};

/// The token of every test's admin listener.
pub const ADMIN_TOKEN: &str = "admin-token-of-the-tests";

/// What to start.
pub struct Setup {
    sites: String,
    top: String,
    admin: Option<String>,
    files: Vec<(String, Vec<u8>)>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    before: &'static str,
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    /// Where requests go.
    pub address: SocketAddr,
    /// Where the admin listener is.
    pub admin: SocketAddr,
    folder: tempfile::TempDir,
    log: Arc<Mutex<String>>,
}

impl Setup {
    /// The members of `sites:`, as lines of YAML at any common indentation.
    pub fn new(sites: impl Into<String>) -> Self {
        Self {
            sites: sites.into(),
            top: String::new(),
            admin: None,
            files: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            before: "",
        }
    }

    /// What a shell does before it becomes the gateway, which inherits it.
    pub fn before(mut self, command: &'static str) -> Self {
        self.before = command;
        self
    }

    /// A further top-level line of the configuration.
    pub fn top(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    /// Other settings than an admin listener with [`ADMIN_TOKEN`]; `{address}` stands for
    /// the address.
    pub fn admin(mut self, settings: &str) -> Self {
        self.admin = Some(settings.to_owned());
        self
    }

    /// A file beside the configuration.
    pub fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), contents.into()));
        self
    }

    /// A further argument of `run`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// An environment variable.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Gateway {
        let mut gateway = self.spawn();
        gateway.become_ready().await;
        gateway
    }

    /// Starts it and waits until its log holds a text.
    pub async fn start_until(self, text: &str) -> Gateway {
        let gateway = self.spawn();
        gateway.log_line(text).await;
        gateway
    }

    fn spawn(self) -> Gateway {
        super::raise_open_files();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (address, admin) = (ports::free(), ports::free());
        for (name, contents) in &self.files {
            write_atomically(&folder.path().join(name), contents);
        }
        let config = folder.path().join("countersign.yaml");
        write_atomically(&config, self.config(address, admin).as_bytes());
        let mut child = Command::new("sh")
            .args(["-c", &format!("{}\nexec \"$0\" \"$@\"", self.before)])
            .arg(env!("CARGO_BIN_EXE_countersign"))
            .args(["run", "--log-format", "json", "--config"])
            .arg(&config)
            .args(&self.arguments)
            .env_remove("RUST_LOG")
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        let sink = log.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                sink.lock().expect("no panic").push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Gateway { child, address, admin, folder, log }
    }

    fn config(&self, address: SocketAddr, admin: SocketAddr) -> String {
        let admin = match &self.admin {
            Some(settings) => settings.replace("{address}", &admin.to_string()),
            None => format!("{{ address: \"{admin}\", token: {{ value: {ADMIN_TOKEN} }} }}"),
        };
        format!(
            "version: 1\nlisteners: [ {{ address: \"{address}\" }} ]\nadmin: {admin}\n{}sites:\n{}\n",
            self.top, self.sites
        )
    }
}

impl Gateway {
    async fn become_ready(&mut self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                // Let the thread that reads the log catch up with the end of it.
                std::thread::sleep(Duration::from_millis(50));
                panic!("the gateway ended with {status}:\n{}", self.log());
            }
            let probe = Request::get("/readyz").host("localhost").try_send(self.admin).await;
            if probe.is_ok_and(|response| response.status == 200) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "never ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A new connection to the public listener.
    pub async fn connect(&self) -> raw::Connection {
        raw::Connection::open(self.address).await
    }

    /// One request over a connection of its own.
    pub async fn send(&self, request: &Request) -> Response {
        request.send(self.address).await
    }

    /// One request to the admin listener, with its token.
    pub async fn ask(&self, method: &str, path: &str) -> Response {
        Request::new(method, path)
            .host("localhost")
            .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
            .send(self.admin)
            .await
    }

    /// The same with a body.
    pub async fn say(&self, method: &str, path: &str, body: &str) -> Response {
        Request::new(method, path)
            .host("localhost")
            .header("Authorization", &format!("Bearer {ADMIN_TOKEN}"))
            .header("Content-Type", "application/json")
            .body(body)
            .send(self.admin)
            .await
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `/metrics`, parsed.
    pub async fn metrics(&self) -> Metrics {
        let answer = Request::get("/metrics").host("localhost").send(self.admin).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::parse(&answer.text())
    }

    /// Waits until a metric has at least that value.
    pub async fn metric_reaches(&self, name: &str, labels: &[(&str, &str)], least: f64) {
        eventually(&format!("{name}{labels:?} ≥ {least}"), PATIENCE, || async {
            self.metrics().await.sum(name, labels) >= least
        })
        .await;
    }

    /// `POST /v1/reload`.
    pub async fn reload(&self) -> Response {
        self.ask("POST", "/v1/reload").await
    }

    /// A path beside the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file in one step, as an editor or an operator's script does.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        write_atomically(&self.path(name), contents.as_ref());
    }

    /// The configuration as it stands.
    pub fn config(&self) -> String {
        std::fs::read_to_string(self.path("countersign.yaml")).expect("the configuration")
    }

    /// Everything written to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Waits until the log holds a text, and returns the first line with it.
    pub async fn log_line(&self, text: &str) -> String {
        let find = || self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
        eventually(&format!("log: {text}"), PATIENCE, || async { find().is_some() }).await;
        find().unwrap_or_default()
    }

    /// Sends a signal, `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status().expect("sh");
        assert!(status.success(), "{command}");
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let deadline = std::time::Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "still running after {within:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Memory that it holds now, in KiB.
    pub fn resident_kib(&self) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("a child of ours");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|number| number.parse().ok()).expect("a number of KiB")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A failing test shows what the gateway had to say, but not a whole trace.
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(40);
            eprintln!("--- the gateway's last lines\n{}", lines[from..].join("\n"));
        }
    }
}

/// Writes a file beside its place and renames it over it.
pub fn write_atomically(path: &Path, contents: &[u8]) {
    let folder = path.parent().expect("a file lies in a folder");
    std::fs::create_dir_all(folder).expect("a writable folder");
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    // Dotted, so that a key directory does not take it for a key.
    let beside = folder.join(format!(".{name}.new"));
    std::fs::write(&beside, contents).expect("a writable folder");
    std::fs::rename(&beside, path).expect("a writable folder");
}
