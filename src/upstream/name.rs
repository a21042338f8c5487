//! A backend's name and what it last resolved to: looked up again and again in the
//! background, the last good addresses kept.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How often a name is resolved again.
const REFRESH: Duration = Duration::from_secs(10);
/// How soon after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How often the log says that it still fails.
const REMINDER: Duration = Duration::from_secs(60);

/// A name and what it last resolved to.
pub struct Name {
    pub(super) host: String,
    pub(super) port: u16,
    addresses: watch::Sender<Arc<[SocketAddr]>>,
}

/// Keeps a name resolved until nobody uses it any more.
pub async fn keep_resolved(name: Weak<Name>) {
    let mut said: Option<Instant> = None;
    while let Some(name) = name.upgrade() {
        let pause = match name.resolve().await {
            Ok(()) => {
                if said.take().is_some() {
                    tracing::info!(host = %name.host, "the backend's name resolves again");
                }
                REFRESH
            }
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= REMINDER) {
                    said = Some(Instant::now());
                    let kept = name.len();
                    tracing::warn!(
                        host = %name.host, %error, kept,
                        "the backend's name cannot be resolved; the last good addresses stay in use"
                    );
                }
                RETRY
            }
        };
        drop(name);
        tokio::time::sleep(pause).await;
    }
}

impl Name {
    /// One that has never been resolved.
    pub fn new(host: &str, port: u16) -> Self {
        let (addresses, _) = watch::channel(Arc::from([]));
        Self { host: host.to_owned(), port, addresses }
    }

    /// What it last resolved to; empty before the first time.
    pub fn addresses(&self) -> Arc<[SocketAddr]> {
        self.addresses.borrow().clone()
    }

    /// How many those are.
    pub fn len(&self) -> usize {
        self.addresses.borrow().len()
    }

    /// One of them.
    pub fn address(&self, index: usize) -> Option<SocketAddr> {
        self.addresses.borrow().get(index).copied()
    }

    async fn resolve(&self) -> std::io::Result<()> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let mut found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(std::io::Error::other("it has no address"));
        }
        found.sort_unstable();
        found.dedup();
        self.addresses.send_if_modified(|current| {
            let differs = current[..] != found[..];
            if differs {
                *current = found.into();
            }
            differs
        });
        Ok(())
    }

    /// Waits until there is an address.
    pub async fn first_resolution(&self) {
        let mut changes = self.addresses.subscribe();
        let _ = changes.wait_for(|addresses| !addresses.is_empty()).await;
    }
}

#[cfg(test)]
impl Name {
    pub(super) fn resolved(addresses: &[&str]) -> Arc<Self> {
        let name = Self::new("backend", 80);
        name.becomes(addresses);
        Arc::new(name)
    }

    pub(super) fn becomes(&self, addresses: &[&str]) {
        let found: Vec<SocketAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        self.addresses.send_replace(found.into());
    }
}
