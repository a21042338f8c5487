//! A receiver of `examples/webhook-receivers`, running with its own runtime.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use crate::signers::runtimes::{Runtimes, examples};
use crate::support::{PATIENCE, eventually, ports};

/// LiveSupporti's format: 32 to 64 characters.
pub const SECRET: &str = "12345678901234567890123456789012";
/// Standard Webhooks: 24 to 64 bytes.
pub const STANDARD_SECRET: &str = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cy0wMTIzNDU2Nzg5";

/// What is asked for by HTTP Basic where details are posted to.
pub const USER: &str = "acme";
/// The same; with a colon, which only a user name must not have.
pub const PASSWORD: &str = "details:password";

/// A format's receivers.
pub const LIVESUPPORTI: [&str; 4] = [
    "aspnet/receiver.py",
    "node/livesupporti.js",
    "php/livesupporti.php",
    "python/livesupporti.py",
];
/// The other's.
pub const STANDARD: [&str; 2] = ["node/standard.js", "python/standard.py"];

/// The running program; gone when dropped.
pub struct Receiver {
    child: Child,
    /// Its name among the examples.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Receiver {
    /// Starts one with its format's secret, which posts details to that address, and waits
    /// until it listens.
    pub async fn start(name: &'static str, details: SocketAddr) -> Self {
        let secret = if name.contains("standard") { STANDARD_SECRET } else { SECRET };
        Self::with_secret(name, details, secret).await
    }

    /// The same with another secret.
    pub async fn with_secret(name: &'static str, details: SocketAddr, secret: &str) -> Self {
        let address = ports::free();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path: PathBuf = examples("webhook-receivers").join(name);
        let ending = path.extension().expect("a language").to_string_lossy();
        let mut command = Runtimes::of_receivers().command(&ending, false);
        if ending == "php" {
            command.args(["-S", &address.to_string()]);
        }
        let child = command
            .arg(&path)
            .env("LISTEN", address.port().to_string())
            .env("SECRET", secret)
            .env("DETAILS_URL", format!("http://{details}"))
            .env("DETAILS_USER", USER)
            .env("DETAILS_PASSWORD", PASSWORD)
            .env("DONE_FOLDER", folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the runtime starts");
        let listens = || async { TcpStream::connect(address).is_ok() };
        eventually(&format!("{name} listens"), PATIENCE, listens).await;
        Self { child, name, address, _folder: folder }
    }

    /// What a webhook's `url` is.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
