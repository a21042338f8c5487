//! Starts the backends of `examples/backends`, as its README says to start them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Instant;

use tempfile::TempDir;

use crate::support::raw::{Request, Response};
use crate::support::{PATIENCE, packages, ports};

/// Those that are executed; each is a folder.
pub const EXECUTED: [&str; 6] = ["express", "fastapi", "django", "rack", "php", "go"];
/// Debian's source of golang-jwt, where no module can be fetched.
const GO_JWT: &str = "github.com/golang-jwt/jwt/v4=/usr/share/gocode/src/github.com/golang-jwt/jwt";

/// The folder of the backends.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/backends")
}

/// What runs them.
struct Runtimes {
    npm: PathBuf,
    python: PathBuf,
    go: PathBuf,
}

impl Runtimes {
    fn ready() -> &'static Self {
        static READY: LazyLock<Runtimes> = LazyLock::new(|| {
            std::thread::scope(|scope| {
                let npm = scope.spawn(|| packages::npm(&folder()));
                let pip = scope.spawn(|| packages::pip(&folder()));
                let go = built();
                let [npm, pip] = [npm, pip].map(|made| made.join().expect("its packages"));
                Runtimes { npm, python: pip.join("bin/python"), go }
            })
        });
        &READY
    }
}

/// The Go program.
fn built() -> PathBuf {
    let sources = ["go.mod", "main.go"].map(|file| folder().join("go").join(file));
    let version = packages::succeed(packages::with("go", &["version"]));
    let made = packages::kept("backends-go", &sources, &version, |to| {
        for source in &sources {
            std::fs::copy(source, to.join(source.file_name().expect("a name"))).expect("a copy");
        }
        for arguments in [&["mod", "edit", "-replace", GO_JWT][..], &["build", "-o", "backend"]] {
            let mut go = packages::with("go", arguments);
            go.current_dir(to).env("GOPROXY", "off").env("GOFLAGS", "-mod=mod");
            packages::succeed(go);
        }
    });
    made.join("backend")
}

/// A backend that runs.
pub struct Backend {
    pub name: &'static str,
    address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Backend {
    /// Starts it, and waits until it answers; none if it ends instead.
    pub async fn start(name: &'static str, environment: &[(&str, &str)]) -> Option<Self> {
        let address = ports::free();
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let log = std::fs::File::create(temporary.path().join("log")).expect("a log");
        let mut command = command(name, address, temporary.path());
        command
            .env_remove("COUNTERSIGN_SITE")
            .envs(environment.iter().copied())
            .env("PORT", address.port().to_string())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let child = command.spawn();
        let child = child.unwrap_or_else(|e| panic!("{}: {e}", packages::line(&command)));
        let mut backend = Self { name, address, folder: temporary, child };
        let start = Instant::now();
        while backend.try_get(&[]).await.is_err() {
            if backend.child.try_wait().expect("a child").is_some() {
                return None;
            }
            assert!(start.elapsed() < PATIENCE * 3, "{name} does not start: {}", backend.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Some(backend)
    }

    /// Asks it who asks.
    pub async fn get(&self, assertions: &[String]) -> Response {
        let answer = self.try_get(assertions).await;
        answer.unwrap_or_else(|error| panic!("{}: {error}: {}", self.name, self.log()))
    }

    async fn try_get(&self, assertions: &[String]) -> std::io::Result<Response> {
        let request = Request::get("/").host("backend.test");
        let request = assertions
            .iter()
            .fold(request, |request, assertion| request.header("Countersign-Assertion", assertion));
        request.try_send(self.address).await
    }

    /// Opens a WebSocket, which none of these has.
    pub async fn handshake(&self) -> Response {
        let request = Request::get("/").host("backend.test").header("Connection", "Upgrade");
        let request = request.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
        request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").send(self.address).await
    }

    /// What it printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Backend {
    /// As a service manager does it: some of them have children of their own to end.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let end = format!("kill -TERM {}", self.child.id());
            let _ = Command::new("sh").args(["-c", &end]).status();
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(name: &str, address: SocketAddr, temporary: &Path) -> Command {
    let Runtimes { npm, python, go } = Runtimes::ready();
    let bind = address.to_string();
    let mut command = match name {
        "express" => node(npm, temporary),
        "fastapi" => {
            let mut uvicorn = Command::new(python);
            let port = address.port().to_string();
            uvicorn.args(["-m", "uvicorn", "app:app", "--port", &port]);
            uvicorn
        }
        "django" => {
            let mut gunicorn = Command::new(python);
            gunicorn.args(["-m", "gunicorn", "app:application", "-b", &bind]);
            gunicorn
        }
        "rack" => packages::with("puma", &["-b", &format!("tcp://{bind}"), "config.ru"]),
        "php" => {
            // As strict as can be: a warning that is shown would be an answer with status 200.
            let mut php = packages::with("php", &["-d", "display_errors=1"]);
            php.args(["-d", "output_buffering=0", "-S", &bind, "index.php"]);
            php
        }
        "go" => Command::new(go),
        other => panic!("{other} is not executed"),
    };
    if name != "express" {
        command.current_dir(folder().join(name));
    }
    command
}

/// Node looks for an ES module's packages beside the module.
fn node(npm: &Path, temporary: &Path) -> Command {
    let packages = temporary.join("node_modules");
    std::os::unix::fs::symlink(npm.join("node_modules"), packages).expect("a link");
    let server = temporary.join("server.mjs");
    std::fs::copy(folder().join("express/server.mjs"), &server).expect("a copy");
    let mut command = Command::new("node");
    // What jose needs is there without asking from Node 20 on; Debian 12 has 18.
    if packages::succeed(packages::with("node", &["--version"])).starts_with("v18.") {
        command.arg("--experimental-global-webcrypto");
    }
    command.arg(server);
    command
}
