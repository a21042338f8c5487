//! A [`Gate`] with everything that it lives on: from a configuration to the first judgement, and
//! through every reload to the end. The server stands on this, and so does whoever embeds the
//! library in a server of their own (`examples/embed.rs`, `docs/embedding.md`).
//!
//! - Nothing here starts a runtime, listens, or installs a logger, a signal handler or an
//!   allocator; the first request over TLS to Redis installs rustls' default provider where there
//!   is none.
//! - [`Setup::open`] remembers the Tokio runtime it is called in: names are resolved there, so it
//!   must live as long as the gate. [`Gateway::keep`] may run in another.
//! - Without [`Gateway::keep`] requests are judged, by a configuration that never changes; nobody
//!   hears of chats, and no live connection ends for a ban.

mod backends;
mod keys;
mod live;
mod memory;
mod setup;
mod webhooks;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::task::JoinSet;

use crate::drain::Phase;
use crate::plan::Plan;
use crate::proxy::Gate;
use crate::readiness::Readiness;
use crate::reload;
use crate::telemetry::Metrics;

pub use setup::{OpenError, Setup};

/// How long names are given to resolve, and keys to come, before the first request is
/// accepted.
const FIRST_ANSWERS: Duration = Duration::from_secs(2);
/// How long events that are on their way at the end are waited for; others are told at the next
/// start.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// The gate, and what keeps it going.
///
/// In a Pingora server it is a background service: Pingora's shutdown is then the gate's, too,
/// and what is to be remembered is kept before the process ends.
pub struct Gateway {
    gate: Gate,
    readiness: Arc<Readiness>,
}

impl Gateway {
    /// The hooks. Cheap to clone.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Where everything is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.gate.current().metrics()
    }

    /// How names, key sets and subscriptions are, for a probe of one's own.
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }

    /// Waits until every name has been resolved and every key set tried once; two seconds at the
    /// most. Without it the first requests wait for that.
    pub async fn warm_up(&self) {
        let names = backends::first_resolution(self.gate.upstreams());
        let first = async { tokio::join!(names, keys::first_fetch(self.gate.current())) };
        let _ = tokio::time::timeout(FIRST_ANSWERS, first).await;
    }

    /// Watches the configuration, keeps keys and names fresh, ends what has lost its trust and
    /// delivers events, until [`Gateway::shut_down`] has come to its end. Dropped earlier, all of
    /// it ends with it.
    pub fn keep(&self) -> impl Future<Output = ()> + Send + 'static {
        let gate = self.gate.clone();
        let readiness = self.readiness.clone();
        async move {
            announce(&gate.current().load().plan);
            let (current, drain) = (gate.current(), gate.drain());
            let mut tasks = JoinSet::new();
            tasks.spawn(reload::watch(current.clone(), drain.pingora()));
            let upstreams = gate.upstreams().clone();
            tasks.spawn(backends::keep(
                current.clone(),
                upstreams,
                readiness.clone(),
                drain.clone(),
            ));
            tasks.spawn(live::keep(current.clone(), gate.live().clone(), drain.clone()));
            tasks.spawn(memory::keep(current.clone(), gate.store().clone(), drain.clone()));
            tasks.spawn(keys::keep(current.clone(), readiness.clone(), drain.clone()));
            let webhooks = gate.webhooks();
            let told = webhooks::keep(current.clone(), webhooks.clone(), readiness, drain.clone());
            tasks.spawn(told);
            let mut delivering = JoinSet::new();
            delivering.spawn(webhooks.clone().keep(drain.clone()));
            drain.reached(Phase::Ended).await;
            let _ = tokio::time::timeout(LAST_DELIVERIES, delivering.join_next()).await;
        }
    }

    /// Ends it: answers close their connections from now on, WebSockets are told to go after
    /// `delay`, and `drain.timeout` later all is over. True if nothing was left to cut.
    pub async fn shut_down(&self, delay: Duration) -> bool {
        self.readiness.set_draining(true);
        let settings = self.gate.current().load().plan.drain;
        tracing::info!(delay_ms = delay.as_millis() as u64, "draining");
        self.gate.drain().run(settings, delay).await
    }

    /// Keeps what was noted so far, and waits for it: blocks, and belongs at the very end.
    pub fn close(&self) {
        self.gate.store().close();
    }
}

#[async_trait]
impl BackgroundService for Gateway {
    // Pingora has closed its listeners when it says so: there is nobody to give notice to.
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let ending = async {
            // Dropped is asked to stop, too.
            let _ = shutdown.wait_for(|down| *down).await;
            self.shut_down(Duration::ZERO).await;
        };
        tokio::join!(self.keep(), ending);
        let store = self.gate.store().clone();
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

fn announce(plan: &Plan) {
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    for site in &plan.sites {
        tracing::info!(
            site = %site.name,
            dialect = %site.dialect.name,
            mode = site.settings.mode.name(),
            keys = site.keys().len(),
            "serving"
        );
    }
}
