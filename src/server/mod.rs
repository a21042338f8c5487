//! The process: binds the sockets, starts everything, ends it without cutting anybody off.

pub mod listen;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use pingora::apps::ServerApp;
use tokio::runtime::Runtime;

use crate::admin::{self, AdminState};
use crate::decision::Desk;
use crate::drain::{Drain, Phase};
use crate::front::{Accepted, Front};
use crate::gateway::{Gateway, OpenError, Setup};
use crate::otlp;
use crate::plan::{Address, Plan, Process};
use crate::proxy::Proxy;
use crate::reload::{Current, Loader, Trigger};
use crate::server::listen::{BindError, Bound};
use crate::server::signals::Signals;
use crate::telemetry::Metrics;

/// Why serving could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What is remembered cannot be read or kept, or the metrics could not be set up.
    #[error("cannot start: {0}")]
    Open(#[from] OpenError),
    /// The environment asks for spans in a way that cannot be followed.
    #[error("cannot start: {0}")]
    Spans(#[from] otlp::Unexported),
    /// There is no runtime to be had.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
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
        .map_err(StartError::Runtime)?;
    let exporting = otlp::from_environment(runtime.handle())?;
    let setup = Setup::of(plan, loader).accept_empty_store(start.accept_empty_store);
    let setup = setup.traces(exporting.traces());
    let gateway = runtime.block_on(setup.open())?;
    gateway.metrics().follow_dropped_lines(start.dropped_log_lines);
    let clean = runtime.block_on(run(sockets, &gateway, threads));
    gateway.close();
    exporting.close();
    end(runtime, clean, gateway.gate().current().load().plan.drain.timeout);
    Ok(())
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

async fn run(sockets: Sockets, gateway: &Gateway, threads: usize) -> bool {
    let mut signals = Signals::listen();
    let (gate, readiness) = (gateway.gate(), gateway.readiness());
    let (current, drain) = (gate.current(), gate.drain());
    let state = Arc::new(AdminState::new(
        current.clone(),
        gateway.metrics().clone(),
        readiness.clone(),
        gate.store().clone(),
        gate.live().clone(),
        gate.webhooks().clone(),
    ));
    let front = Arc::new(Front::new(gate.clone(), Proxy::new(gate.clone()), threads));

    // Probes first: an orchestrator that asks early gets a truthful "not yet".
    let interior = [(sockets.admin, true), (sockets.health, false)];
    for (bound, full) in interior.into_iter().filter_map(|(bound, full)| Some((bound?, full))) {
        tracing::info!(address = %bound.address(), "{}", if full { "admin" } else { "health" });
        let app = admin::service(state.clone(), full);
        tokio::spawn(serve_interior(bound, drain.clone(), app));
    }
    gateway.warm_up().await;
    for bound in sockets.public {
        tracing::info!(address = %bound.address(), "listening");
        tokio::spawn(serve_public(bound, front.clone(), gateway.metrics().clone()));
    }
    let asked = current.load().plan.process.decision.clone();
    if let Some((bound, decision)) = sockets.decision.zip(asked) {
        tracing::info!(address = %bound.address(), gateway = decision.gateway.name(), "decisions");
        let desk = Desk::new(front.gate().clone(), decision);
        tokio::spawn(serve_gateway(bound, desk, drain.clone(), gateway.metrics().clone()));
    }
    readiness.set_bound(true);

    let keeping = tokio::spawn(gateway.keep());
    let quick = signals.until_asked_to_stop(|| reload_quietly(current)).await;
    let delay = if quick { Duration::ZERO } else { current.load().plan.drain.delay };
    let ended = async {
        let clean = gateway.shut_down(delay).await;
        let _ = keeping.await;
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

async fn serve_public(bound: Bound, front: Arc<Front<Proxy>>, metrics: Arc<Metrics>) {
    let gauge = metrics.listener(&bound.address().to_string());
    let drain = front.gate().drain().clone();
    let accepting = drain.accepting();
    bound
        .accept(drain.clone(), Phase::Closing, move |accepted: Accepted| {
            let most = front.gate().current().load().plan.limits.connections;
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
