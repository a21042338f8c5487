//! The gateway's side of the demo: a temporary folder with a real configuration and fresh
//! keys, and the two changes that the page makes to it while everything runs.
//!
//! Nothing is reached into: a rotation writes a key file and the configuration, as an
//! operator would, and the gateway notices by itself. Whether it has is read from its own
//! metrics.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard};

use super::admin::{self, Told};
use super::configuration::{Shared, configuration, key_id, write, write_key};
use crate::config;
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
pub const CATCH_ALL: &str = "zendesk";

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
    shared: Shared,
    plan: ArcSwap<Plan>,
    state: Mutex<Vec<State>>,
}

/// What can change about a system.
pub struct State {
    /// Its mode.
    pub mode: Mode,
    /// Number of the key that signs; the one before it still verifies.
    pub key: u32,
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
        let shared = Shared::write(&folder)?;
        let widget = uuid::Uuid::now_v7().to_string();
        let text = configuration(&addresses, &widget, &state);
        write(&folder.join("countersign.yaml"), text.as_bytes())?;
        let plan = ArcSwap::from_pointee(load(&folder.join("countersign.yaml"))?);
        Ok(Self { folder, addresses, widget, shared, plan, state: Mutex::new(state) })
    }

    /// The configuration's path.
    pub fn file(&self) -> PathBuf {
        self.folder.join("countersign.yaml")
    }

    /// Amazon's widget id.
    pub fn widget(&self) -> &str {
        &self.widget
    }

    /// What the website's server and the backend know.
    pub fn shared(&self) -> &Shared {
        &self.shared
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
        let metrics = self.ask("GET", "/metrics", None, "").await;
        let metrics = metrics.map(|told| told.body).unwrap_or_default();
        let line = metrics.lines().find_map(|l| l.strip_prefix("countersign_config_generation "));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }

    /// Waits until the gateway serves.
    pub async fn ready(&self) {
        while !self.ask("GET", "/readyz", None, "").await.is_ok_and(|told| told.status == 200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks the admin API for a change to a system's site, as an operator does.
    ///
    /// # Errors
    /// A sentence: nobody answers, or not as hoped.
    pub async fn administer(
        &self,
        system: &System,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(), String> {
        let (path, token) = (format!("/v1/sites/{}{path}", system.name), &self.shared.admin);
        let told = self.ask(method, &path, Some(&format!("Bearer {token}")), body).await;
        match told {
            Ok(told) if told.status / 100 == 2 => Ok(()),
            Ok(told) => Err(format!("{method} {path}: {} {}", told.status, told.body)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// One question to the admin listener.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
        body: &str,
    ) -> io::Result<Told> {
        admin::ask(self.addresses.admin, method, path, authorization, body).await
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
