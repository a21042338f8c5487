//! The gateway's side of the demo: a temporary folder with a real configuration and fresh
//! keys, and the two changes that the page makes to it while everything runs.
//!
//! Nothing is reached into: a rotation writes a key file and the configuration, as an
//! operator would, and the gateway notices by itself. Whether it has is read from its own
//! metrics.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Mutex, MutexGuard};

use crate::config;
use crate::dialect::fresh;
use crate::gate::policy::Mode;
use crate::plan::{Plan, Site};

/// How long the gateway may take to notice a change: it promises a second.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// One of the systems shown: a site of the configuration.
pub struct System {
    /// The site's name, and the first label of its host name.
    pub name: &'static str,
    /// Its dialect.
    pub dialect: &'static str,
    /// Where the iframe and the WebSocket carry the credential, which can set no header.
    pub parameter: &'static str,
}

/// The four systems, in the page's order.
pub const SYSTEMS: [System; 4] = [
    System { name: "uchat", dialect: "user-hash", parameter: "identifier_hash" },
    System { name: "zendesk", dialect: "zendesk-chat", parameter: "jwt" },
    System { name: "ringcentral", dialect: "ringcentral-engage", parameter: "jwt_identity" },
    System { name: "amazon", dialect: "amazon-connect", parameter: "token" },
];

/// The system that takes every host name which is no other's, so that a plain
/// `127.0.0.1` works in a `curl` command.
const CATCH_ALL: &str = "zendesk";

/// Where everything listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The gateway.
    pub gateway: SocketAddr,
    /// Its admin listener.
    pub admin: SocketAddr,
    /// The example chat backend.
    pub backend: SocketAddr,
    /// The example website.
    pub website: SocketAddr,
}

/// A folder, which whoever made it removes, and what the configuration in it says.
pub struct Gateway {
    folder: PathBuf,
    addresses: Addresses,
    widget: String,
    plan: ArcSwap<Plan>,
    state: Mutex<Vec<State>>,
}

/// What can change about a system.
struct State {
    mode: Mode,
    /// Number of the key that signs; the one before it still verifies.
    key: u32,
}

/// What went wrong with the folder or the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The folder.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The configuration or a key.
    #[error("{0}")]
    Configuration(String),
    /// The gateway did not take a change up.
    #[error("the gateway did not take the change up within {} s", NOTICED_WITHIN.as_secs())]
    NotNoticed,
}

impl Gateway {
    /// Writes keys and configuration into an empty folder.
    pub fn new(folder: PathBuf, addresses: Addresses) -> Result<Self, Trouble> {
        std::fs::create_dir(folder.join("keys"))?;
        let state: Vec<_> = SYSTEMS.iter().map(|_| State { mode: Mode::Prefer, key: 1 }).collect();
        for system in &SYSTEMS {
            write_key(&folder, system, 1)?;
        }
        let widget = uuid::Uuid::now_v7().to_string();
        let text = configuration(&addresses, &widget, &state);
        write(&folder.join("countersign.yaml"), text.as_bytes())?;
        let plan = ArcSwap::from_pointee(load(&folder.join("countersign.yaml"))?);
        Ok(Self { folder, addresses, widget, plan, state: Mutex::new(state) })
    }

    /// The configuration's path.
    pub fn file(&self) -> PathBuf {
        self.folder.join("countersign.yaml")
    }

    /// Amazon's widget id.
    pub fn widget(&self) -> &str {
        &self.widget
    }

    /// Where everything listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The address of a system's site.
    pub fn url(&self, system: &System) -> String {
        format!("http://{}.localhost:{}", system.name, self.addresses.gateway.port())
    }

    /// The configuration as the website's keys: what the site's own server knows.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Makes a new key sign for a system. The old one goes on verifying until the next
    /// rotation, so nobody notices. Returns the new key's id once it is in force.
    pub async fn rotate(&self, system: &System) -> Result<String, Trouble> {
        let mut state = self.state.lock().await;
        let number = state_of(&mut state, system)?.key + 1;
        write_key(&self.folder, system, number)?;
        state_of(&mut state, system)?.key = number;
        self.put_in_force(state).await?;
        Ok(key_id(number))
    }

    /// Sets a system's mode, and returns once it is in force.
    pub async fn set_mode(&self, system: &System, mode: Mode) -> Result<(), Trouble> {
        let mut state = self.state.lock().await;
        state_of(&mut state, system)?.mode = mode;
        self.put_in_force(state).await
    }

    async fn put_in_force(&self, state: MutexGuard<'_, Vec<State>>) -> Result<(), Trouble> {
        let before = self.generation().await;
        let text = configuration(&self.addresses, &self.widget, &state);
        write(&self.file(), text.as_bytes())?;
        let plan = load(&self.file())?;
        let noticed = async {
            while self.generation().await <= before {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(NOTICED_WITHIN, noticed).await.map_err(|_| Trouble::NotNoticed)?;
        // Only now does the website sign with what the gateway knows.
        self.plan.store(Arc::new(plan));
        Ok(())
    }

    /// Number of the configuration in force; 0 when nobody answers.
    async fn generation(&self) -> u64 {
        let metrics = self.ask("/metrics").await.unwrap_or_default();
        let line = metrics.lines().find_map(|l| l.strip_prefix("countersign_config_generation "));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until the gateway serves.
    pub async fn ready(&self) {
        while !self.ask("/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The admin listener's whole answer.
    async fn ask(&self, path: &str) -> io::Result<String> {
        let mut stream = tokio::net::TcpStream::connect(self.addresses.admin).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

/// The site that a system is.
pub fn site<'p>(plan: &'p Plan, system: &System) -> Option<&'p Site> {
    plan.sites.iter().find(|site| &*site.name == system.name)
}

/// The system of that name.
pub fn system(name: &str) -> Option<&'static System> {
    SYSTEMS.iter().find(|system| system.name == name)
}

fn state_of<'s>(state: &'s mut [State], system: &System) -> Result<&'s mut State, Trouble> {
    let index = SYSTEMS.iter().position(|known| known.name == system.name);
    let found = index.and_then(|index| state.get_mut(index));
    found.ok_or_else(|| Trouble::Configuration(format!("no system `{}`", system.name)))
}

fn load(file: &Path) -> Result<Plan, Trouble> {
    config::load(file).map_err(|problems| Trouble::Configuration(problems.to_string()))
}

fn key_id(number: u32) -> String {
    format!("key_{number}")
}

fn write_key(folder: &Path, system: &System, number: u32) -> Result<(), Trouble> {
    let secret = fresh::secret().map_err(|error| Trouble::Configuration(error.to_string()))?;
    let name = format!("{}-{}.secret", system.name, key_id(number));
    Ok(write(&folder.join("keys").join(name), secret.expose())?)
}

/// Writes a file for the owner alone, beside its place, and renames it over it.
fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, contents)?;
    file.persist(path)?;
    Ok(())
}

/// `countersign.yaml`, for people to read too.
fn configuration(addresses: &Addresses, widget: &str, state: &[State]) -> String {
    let Addresses { gateway, admin, backend, website } = addresses;
    let port = gateway.port();
    let mut listeners = format!("  - address: {gateway}\n");
    // `*.localhost` may lead to either.
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        let _ = writeln!(listeners, "  - address: \"[::1]:{port}\"");
    }
    let mut text = format!(
        "# Made by `countersign demo`; gone when it ends. Edit it: it is reloaded.\n\
         version: 1\n\
         listeners:\n{listeners}\
         admin: {{ address: \"{admin}\" }}\n\
         drain: {{ delay: 0s, spread: 0s, timeout: 2s }}\n\
         sites:\n"
    );
    for (system, State { mode, key }) in SYSTEMS.iter().zip(state) {
        let System { name, dialect, parameter } = system;
        let _ = writeln!(text, "  {name}:");
        if *name != CATCH_ALL {
            let _ = writeln!(text, "    hosts: [{name}.localhost]");
        }
        let _ = write!(
            text,
            "    upstream: http://{backend}\n    dialect: {dialect}\n    mode: {}\n    keys:\n",
            mode.name()
        );
        for number in (key.saturating_sub(1).max(1)..=*key).rev() {
            let id = key_id(number);
            let _ = writeln!(
                text,
                "      - {{ id: {id}, secret: {{ file: keys/{name}-{id}.secret }} }}"
            );
        }
        let _ = write!(
            text,
            "    allowed_origins: [\"http://{website}\", \"http://localhost:{}\"]\n    routes:\n      \
             - {{ path: /agent/*, mode: off }}\n      - {{ path: /chat/demo/assets/*, mode: off }}\n",
            website.port()
        );
        if *dialect == "amazon-connect" {
            // Neither an iframe nor a WebSocket can send the vendor's header.
            for path in ["/room", "/chat/*/web"] {
                let _ = writeln!(
                    text,
                    "      - {{ path: {path}, sources: [ {{ query: {parameter} }} ] }}"
                );
            }
            let _ = write!(text, "    audience: {widget}\n    id_claim: /attributes/memberID\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn gateway(folder: &TempDir) -> Gateway {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (gateway, admin) = (address(8080), address(9090));
        let (backend, website) = (address(3000), address(8000));
        Gateway::new(folder.path().to_owned(), Addresses { gateway, admin, backend, website })
            .unwrap()
    }

    #[test]
    fn the_configuration_holds_every_system_with_a_key_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = gateway(&folder);
        let plan = gateway.plan();
        assert_eq!(plan.sites.len(), SYSTEMS.len());
        assert_eq!(plan.warnings, Vec::<String>::new());
        let mut secrets = std::collections::BTreeSet::new();
        for system in &SYSTEMS {
            let site = site(&plan, system).unwrap();
            assert_eq!(site.dialect.name.as_ref(), system.dialect);
            assert_eq!(site.keyring.keys().len(), 1);
            let file = folder.path().join(format!("keys/{}-key_1.secret", system.name));
            secrets.insert(std::fs::read_to_string(file).unwrap());
        }
        assert_eq!(secrets.len(), SYSTEMS.len());
    }

    #[test]
    fn after_a_rotation_the_new_key_comes_first_and_the_last_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = gateway(&folder);
        let state: Vec<_> = SYSTEMS.iter().map(|_| State { mode: Mode::Accept, key: 3 }).collect();
        let text = configuration(&gateway.addresses, "w", &state);
        let zendesk = text.split("  zendesk:").nth(1).unwrap();
        let (new, old) = (zendesk.find("id: key_3").unwrap(), zendesk.find("id: key_2").unwrap());
        assert!(new < old && !text.contains("key_1") && text.contains("mode: accept"));
    }
}
