//! The demo's folder: `countersign.yaml`, for people to read too, and the keys beside it.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::gateway::{Addresses, CATCH_ALL, SYSTEMS, State, System, Trouble};
use crate::dialect::fresh;

/// What the website's server and the backend share with the gateway, beside the keys that
/// vouch for visitors. Each is a file under `keys/`.
pub struct Shared {
    /// Signs the webhooks to the website's server.
    pub webhook: String,
    /// The website's server posts details with it.
    pub details: String,
    /// Signs what is pushed to the backend.
    pub push: String,
    /// The admin API's.
    pub admin: String,
}

impl Shared {
    /// Fresh ones, written into the folder.
    pub fn write(folder: &Path) -> Result<Self, Trouble> {
        let push = format!("whsec_{}", STANDARD.encode(secret()?));
        let shared = Self { webhook: secret()?, details: secret()?, push, admin: secret()? };
        for (name, secret) in [
            ("webhook", &shared.webhook),
            ("details", &shared.details),
            ("push", &shared.push),
            ("admin", &shared.admin),
        ] {
            write(&folder.join(format!("keys/{name}.secret")), secret.as_bytes())?;
        }
        Ok(shared)
    }
}

fn secret() -> Result<String, Trouble> {
    let secret = fresh::secret().map_err(|error| Trouble::Configuration(error.to_string()))?;
    Ok(String::from_utf8_lossy(secret.expose()).into_owned())
}

/// A key's id.
pub fn key_id(number: u32) -> String {
    format!("key_{number}")
}

/// Writes a fresh key of a system.
pub fn write_key(folder: &Path, system: &System, number: u32) -> Result<(), Trouble> {
    let name = format!("{}-{}.secret", system.name, key_id(number));
    Ok(write(&folder.join("keys").join(name), secret()?.as_bytes())?)
}

/// Writes a file for the owner alone, beside its place, and renames it over it.
pub fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, contents)?;
    file.persist(path)?;
    Ok(())
}

/// `countersign.yaml`.
pub fn configuration(addresses: &Addresses, widget: &str, state: &[State]) -> String {
    let Addresses { gateway, admin, .. } = addresses;
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
         admin: {{ address: \"{admin}\", token: {{ file: keys/admin.secret }} }}\n\
         store: {{ embedded: {{ path: store }} }}\n\
         drain: {{ delay: 0s, spread: 0s, timeout: 2s }}\n\
         sites:\n"
    );
    for (system, state) in SYSTEMS.iter().zip(state) {
        text.push_str(&site(addresses, widget, system, state));
    }
    text
}

fn site(addresses: &Addresses, widget: &str, system: &System, state: &State) -> String {
    let Addresses { backend, website, .. } = addresses;
    let System { name, dialect, parameter } = system;
    let State { mode, key } = state;
    let mut text = format!("  {name}:\n");
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
        let _ =
            writeln!(text, "      - {{ id: {id}, secret: {{ file: keys/{name}-{id}.secret }} }}");
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
            let _ =
                writeln!(text, "      - {{ path: {path}, sources: [ {{ query: {parameter} }} ] }}");
        }
        let _ = write!(text, "    audience: {widget}\n    id_claim: /attributes/memberID\n");
    }
    // A chat's number makes two chats of one visitor two.
    let _ = write!(
        text,
        "    session: {{ request: [ {{ query: chat }} ], ttl: 1h }}\n    webhooks:\n      \
         - {{ name: crm, url: \"http://{website}/webhooks/{name}\", format: livesupporti, \
         secret: {{ file: keys/webhook.secret }}, events: [chat.started], include: [visitor] }}\n    \
         details: {{ username: {name}, password: {{ file: keys/details.secret }}, \
         push: {{ url: \"http://{backend}/details\", secret: {{ file: keys/push.secret }} }} }}\n"
    );
    text
}
