//! The process: binds the sockets, starts everything, ends it without cutting anybody off.

mod bounded;
mod chunks;
pub mod front;
mod keys;
pub mod listen;
mod live;
mod memory;
mod signals;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use tokio::runtime::Runtime;

use crate::admin::{self, AdminState, Readiness};
use crate::decision::Desk;
use crate::drain::{Drain, Phase};
use crate::live::Registry;
use crate::plan::{Address, Plan, Process};
use crate::proxy::{Gate, Proxy};
use crate::reload::{self, Current, Loader, Trigger};
use crate::server::front::Front;
use crate::server::listen::{Accepted, BindError, Bound};
use crate::server::signals::Signals;
use crate::store::{self, Store};
use crate::telemetry::Metrics;
use crate::upstream::Upstreams;
use crate::webhook::Webhooks;

/// How long names are given to resolve, and keys to come, before the first request is
/// accepted.
const FIRST_RESOLUTION: Duration = Duration::from_secs(2);
/// How long events that are on their way at the end are waited for; others are told at the next
/// start.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);
/// How often readiness looks at what changes by itself.
const READINESS_ROUND: Duration = Duration::from_millis(500);

/// Why serving could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What is remembered cannot be read or kept.
    #[error("cannot start: {0}")]
    Store(#[from] store::OpenError),
    /// The runtime or the metrics could not be set up.
    #[error("cannot start: {0}")]
    Setup(String),
}

/// What is bound before anything starts.
struct Sockets {
    public: Vec<Bound>,
    admin: Option<Bound>,
    health: Option<Bound>,
    decision: Option<Bound>,
}

/// What is said at the start, beside the configuration.
pub struct Start<F> {
    /// Counts the log lines dropped since the start.
    pub dropped_log_lines: F,
    /// Whether a store that cannot be read is put aside and an empty one begun.
    pub accept_empty_store: bool,
}

/// Serves a Plan until a signal ends it; `loader` reads the next one at each reload.
///
/// # Errors
/// Nothing has been served yet: an address cannot be bound, or set-up failed.
pub fn serve(
    plan: Plan,
    loader: Loader,
    start: Start<impl Fn() -> u64 + Send + Sync + 'static>,
) -> Result<(), StartError> {
    let sockets = bind(&plan.process)?;
    let threads = plan.process.threads.unwrap_or_else(available_threads);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("countersign")
        .enable_all()
        .build()
        .map_err(|error| StartError::Setup(error.to_string()))?;
    let metrics = Metrics::new(prometheus::Registry::new())
        .map_err(|error| StartError::Setup(error.to_string()))?;
    metrics.follow_dropped_lines(start.dropped_log_lines);
    let settings = plan.drain;
    let accept_empty = start.accept_empty_store;
    let opening = store::Opening { plan: &plan, metrics: &metrics, accept_empty };
    let store = runtime.block_on(store::open(&opening))?;
    let (plan, loader) = signing(plan, loader, &store);
    let current = Current::new(loader, plan, metrics.clone());
    let handle = runtime.handle().clone();
    let clean = runtime.block_on(run(sockets, current, metrics, store.clone(), threads, handle));
    store.close();
    end(runtime, clean, settings.timeout);
    Ok(())
}

/// Has the generated key sign, under this Plan and all that come after it, where one is to.
fn signing(mut plan: Plan, loader: Loader, store: &Store) -> (Plan, Loader) {
    let Some(key) = store.signing_key() else { return (plan, loader) };
    plan.sign_with(&key);
    let loader = move || {
        let mut plan = loader()?;
        plan.sign_with(&key);
        Ok(plan)
    };
    (plan, Box::new(loader))
}

fn available_threads() -> usize {
    // Knows cgroup limits.
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn bind(process: &Process) -> Result<Sockets, BindError> {
    Ok(Sockets {
        public: process.listeners.iter().map(listen::bind).collect::<Result<_, _>>()?,
        admin: process.admin.as_ref().map(|admin| listen::bind(&admin.address)).transpose()?,
        health: process.health.as_ref().map(listen::bind).transpose()?,
        decision: process.decision.as_ref().map(|it| listen::bind(&it.address)).transpose()?,
    })
}

async fn run(
    sockets: Sockets,
    current: Arc<Current>,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    threads: usize,
    runtime: tokio::runtime::Handle,
) -> bool {
    let mut signals = Signals::listen();
    let upstreams = Upstreams::new(runtime);
    upstreams.adopt(&current.load().plan);
    let drain = Drain::new();
    let readiness = Arc::new(Readiness::default());
    let live = Registry::new();
    live::heed(store.memory(), live.clone());
    let webhooks = Webhooks::new(store.clone(), &current.load().plan);
    webhooks.count_in(&metrics);
    let state = Arc::new(AdminState::new(
        current.clone(),
        metrics.clone(),
        readiness.clone(),
        store.clone(),
        live.clone(),
        webhooks.clone(),
    ));
    let gate = Gate::new(
        current.clone(),
        upstreams.clone(),
        drain.clone(),
        store.clone(),
        webhooks.clone(),
        live.clone(),
    );
    let front = Arc::new(Front { proxy: Proxy::application(gate.clone(), threads), gate });

    // Probes first: an orchestrator that asks early gets a truthful "not yet".
    let interior = [(sockets.admin, true), (sockets.health, false)];
    for (bound, full) in interior.into_iter().filter_map(|(bound, full)| Some((bound?, full))) {
        tracing::info!(address = %bound.address(), "{}", if full { "admin" } else { "health" });
        let app = admin::service(state.clone(), full);
        tokio::spawn(serve_interior(bound, drain.clone(), app));
    }
    let first = async { tokio::join!(first_resolution(&upstreams), keys::first_fetch(&current)) };
    let _ = tokio::time::timeout(FIRST_RESOLUTION, first).await;
    for bound in sockets.public {
        tracing::info!(address = %bound.address(), "listening");
        tokio::spawn(serve_public(bound, front.clone(), metrics.clone()));
    }
    let asked = current.load().plan.process.decision.clone();
    if let Some((bound, decision)) = sockets.decision.zip(asked) {
        tracing::info!(address = %bound.address(), gateway = decision.gateway.name(), "decision");
        let desk = Desk::new(front.gate.clone(), decision);
        tokio::spawn(serve_gateway(bound, desk, drain.clone(), metrics.clone()));
    }
    readiness.set_bound(true);
    announce(&current.load().plan);

    let stop_watching = drain.pingora();
    tokio::spawn(reload::watch(current.clone(), stop_watching));
    tokio::spawn(keep_readiness(current.clone(), upstreams, readiness.clone(), drain.clone()));
    tokio::spawn(live::keep(current.clone(), live, drain.clone()));
    tokio::spawn(memory::keep(current.clone(), store, drain.clone()));
    tokio::spawn(keys::keep(current.clone(), readiness.clone(), drain.clone()));
    let (plans, told, drained) = (current.clone(), readiness.clone(), drain.clone());
    tokio::spawn(webhooks::keep(plans, webhooks.clone(), told, drained));
    let delivering = tokio::spawn(webhooks.keep(drain.clone()));
    let quick = signals.until_asked_to_stop(|| reload_quietly(&current)).await;
    readiness.set_draining(true);
    let settings = current.load().plan.drain;
    let delay = if quick { Duration::ZERO } else { settings.delay };
    tracing::info!(delay_ms = delay.as_millis() as u64, "draining");
    let ended = async {
        let clean = drain.run(settings, delay).await;
        let _ = tokio::time::timeout(LAST_DELIVERIES, delivering).await;
        clean
    };
    tokio::select! {
        clean = ended => clean,
        () = signals.asked_again() => false,
    }
}

/// Both outcomes are logged and counted where they happen.
fn reload_quietly(current: &Arc<Current>) {
    let current = current.clone();
    tokio::task::spawn_blocking(move || {
        let _ = current.reload(Trigger::Sighup);
    });
}

async fn first_resolution(upstreams: &Upstreams) {
    while !upstreams.unresolved().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn serve_public(bound: Bound, front: Arc<Front>, metrics: Arc<Metrics>) {
    let gauge = metrics.listener(&bound.address().to_string());
    let drain = front.gate.drain().clone();
    let accepting = drain.accepting();
    bound
        .accept(drain.clone(), Phase::Closing, move |accepted: Accepted| {
            let most = front.gate.current().load().plan.limits.connections;
            if drain.open_connections() >= most {
                // Closed at once: memory is for those who came before.
                return;
            }
            let open = (drain.open(), gauge.opened());
            let front = front.clone();
            tokio::spawn(async move {
                front.serve(accepted).await;
                drop(open);
            });
        })
        .await;
    drop(accepting);
}

/// Questions of another gateway, which goes on asking to the very end of a shutdown.
async fn serve_gateway(bound: Bound, desk: Arc<Desk>, drain: Arc<Drain>, metrics: Arc<Metrics>) {
    let gauge = metrics.listener(&bound.address().to_string());
    bound
        .accept(drain, Phase::Ended, move |accepted: Accepted| {
            let (desk, open) = (desk.clone(), gauge.opened());
            tokio::spawn(async move {
                desk.serve(accepted.stream, accepted.peer).await;
                drop(open);
            });
        })
        .await;
}

/// Admin and health connections: never in the way of a shutdown, served to its very end.
async fn serve_interior<A>(bound: Bound, drain: Arc<Drain>, app: Arc<A>)
where
    A: ServerApp + Send + Sync + 'static,
{
    let never = tokio::sync::watch::channel(false);
    let shutdown = never.1;
    bound
        .accept(drain, Phase::Ended, move |accepted: Accepted| {
            let app = app.clone();
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                let mut stream = Some(accepted.stream);
                while let Some(next) = stream {
                    stream = app.process_new(next, &shutdown).await;
                }
            });
        })
        .await;
    drop(never.0);
}

/// Starts resolving a new Plan's names, and keeps readiness informed of those that fail.
async fn keep_readiness(
    current: Arc<Current>,
    upstreams: Upstreams,
    readiness: Arc<Readiness>,
    drain: Arc<Drain>,
) {
    let mut changes = current.subscribe();
    while drain.phase() < Phase::Closing {
        upstreams.adopt(&current.load().plan);
        let unresolved = upstreams.unresolved();
        let ill = upstreams.ill();
        let detail = match (unresolved.is_empty(), ill.is_empty()) {
            (true, true) => "every name resolves".to_owned(),
            (true, false) => format!("ill: {}", ill.join(", ")),
            (false, _) => format!("cannot resolve {}", unresolved.join(", ")),
        };
        readiness.set_check("upstream", unresolved.is_empty() && ill.is_empty(), detail);
        let _ = tokio::time::timeout(READINESS_ROUND, changes.changed()).await;
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

fn end(runtime: Runtime, clean: bool, timeout: Duration) {
    if clean {
        tracing::info!("stopped: nothing was left open");
    } else {
        tracing::warn!(timeout_ms = timeout.as_millis() as u64, "stopped: cut what was left");
    }
    runtime.shutdown_timeout(Duration::from_millis(100));
}

/// Whether an address can be reached from other machines.
pub fn is_public(address: &Address) -> bool {
    match address {
        Address::Tcp(tcp) => !tcp.ip().is_loopback(),
        Address::Unix(_) => false,
    }
}
