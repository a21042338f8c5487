//! `countersign demo`: the gateway between an example website and an example chat backend,
//! on loopback, with nothing to configure.
//!
//! The gateway is the real one, given a configuration in a temporary folder ([`gateway`]).
//! The [`website`] signs its visitor and serves the [`page`]; the [`backend`] believes the
//! gateway's headers and answers with what it received; the website's [`crm`] hears of chats
//! and says more of whoever began one. Ctrl-C ends them all, and the folder goes.

mod admin;
mod backend;
mod configuration;
mod crm;
mod gateway;
mod heard;
mod inspect;
mod page;
mod room;
mod signature;
mod web;
mod website;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use self::backend::Backend;
use self::gateway::{Addresses, Gateway, Trouble};
use self::website::Website;
use super::exit;
use crate::config;
use crate::server::{self, Start, StartError};
use crate::telemetry::log::{self, LogOptions};

/// Arguments of `countersign demo`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  countersign demo\n  countersign demo --log-level info    (a line for each request)"
)]
pub struct Args {
    #[command(flatten)]
    log: LogOptions,
}

/// How often other ports are tried.
const TRIES: u32 = 5;

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Its own sockets or threads.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// Keys and configuration.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// The gateway.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The four sockets, bound before anything else, so that nobody takes them meanwhile.
struct Sockets {
    gateway: TcpListener,
    admin: TcpListener,
    backend: TcpListener,
    website: TcpListener,
}

/// Runs the command until it is told to stop; returns the exit code.
pub fn main(args: &Args) -> u8 {
    // Links are what matters here: by default only warnings lie beside them.
    let level = args.log.level.clone().unwrap_or_else(|| "warn".to_owned());
    let guard = match log::init(&LogOptions { format: args.log.format, level: Some(level) }) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("countersign: {error}");
            return exit::FAULT;
        }
    };
    // The gateway binds its ports itself, a moment after they were found to be free.
    let mut tries = 1..=TRIES;
    loop {
        let (last, error) = match demonstrate(guard.dropped_lines()) {
            Ok(()) => return exit::YES,
            Err(Failure::Start(error @ StartError::Bind(_))) => {
                (tries.next().is_none(), error.into())
            }
            Err(error) => (true, error),
        };
        if last {
            drop(guard);
            eprintln!("countersign demo: {error}");
            return exit::FAULT;
        }
    }
}

fn demonstrate(dropped_log_lines: impl Fn() -> u64 + Send + Sync + 'static) -> Result<(), Failure> {
    let sockets = Sockets {
        gateway: web::bind(8080)?,
        admin: web::bind(9090)?,
        backend: web::bind(3000)?,
        website: web::bind(8000)?,
    };
    // Goes when this returns, whatever else still holds on to the gateway.
    let folder = tempfile::Builder::new().prefix("countersign-demo-").tempdir()?;
    let gateway = Arc::new(Gateway::new(folder.path().to_owned(), sockets.addresses()?)?);
    let file = gateway.file();
    let plan = config::load(&file).map_err(|problems| problems.to_string());
    let plan = plan.map_err(Trouble::Configuration)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("demo")
        .enable_all()
        .build()?;
    start(&runtime, &gateway, sockets);
    let loader = Box::new(move || config::load(&file).map_err(|problems| problems.to_string()));
    let serving = Start { dropped_log_lines, accept_empty_store: false };
    let served = server::serve(plan, loader, serving);
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(served?)
}

impl Sockets {
    fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses {
            gateway: self.gateway.local_addr()?,
            admin: self.admin.local_addr()?,
            backend: self.backend.local_addr()?,
            website: self.website.local_addr()?,
        })
    }
}

/// Starts website and backend, and prints the links once the gateway serves. Its sockets
/// are let go here: it binds them itself, right away.
fn start(runtime: &Runtime, gateway: &Arc<Gateway>, sockets: Sockets) {
    let website = sockets.website.local_addr().map_or(0, |address| address.port());
    let origins = ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{website}"));
    let backend = Backend::new(origins.to_vec(), gateway.shared().push.clone());
    runtime.spawn(web::serve(sockets.backend, move |asked| backend.clone().answer(asked)));
    let website = Website::new(gateway.clone());
    runtime.spawn(web::serve(sockets.website, move |asked| website.clone().answer(asked)));
    let gateway = gateway.clone();
    runtime.spawn(async move {
        gateway.ready().await;
        // Nobody may be reading, and that is no reason to end.
        let _ = std::io::stdout().write_all(links(&gateway).as_bytes());
    });
}

/// What to open, what to paste, how to end it.
fn links(gateway: &Gateway) -> String {
    let Addresses { gateway: front, admin, backend, website } = gateway.addresses();
    let at = |address: &SocketAddr, path: &str| format!("http://{address}{path}");
    let rows = [
        ("Open this page", at(website, "/"), "sign in, then try to fool the chat"),
        ("Agents' view", at(backend, "/agent"), "what the chat backend knows"),
        ("The website's CRM", at(website, "/crm"), "hears of chats, says who it is"),
        ("Gateway", at(front, "/"), "the real one"),
        ("Its metrics", at(admin, "/metrics"), ""),
        ("Its configuration", gateway.file().display().to_string(), "edit it: it is reloaded"),
    ];
    let mut text = String::from("\nCountersign is running, with an example website and chat.\n\n");
    let width = rows.iter().map(|(_, link, _)| link.len()).max().unwrap_or(0);
    for (name, link, note) in rows {
        let line = format!("  {name:<19}{link:<width$}  {note}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push_str(&format!(
        "\nOr without a browser:\n\n  curl -sS -H \"Authorization: Bearer $(curl -sS {}/token/zendesk)\" {}/hello\n\n\
         Ctrl-C ends it and removes that folder.\n\n",
        at(website, ""),
        at(front, "")
    ));
    text
}
