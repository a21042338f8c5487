//! From a configuration to a [`Gateway`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus::Registry;

use super::{Gateway, live};
use crate::config::{self, Options, Problems};
use crate::drain::Drain;
use crate::live::Registry as Live;
use crate::plan::Plan;
use crate::proxy::Gate;
use crate::readiness::Readiness;
use crate::reload::{Current, Loader};
use crate::store::{self, Store};
use crate::telemetry::{Metrics, Traces};
use crate::upstream::Upstreams;
use crate::webhook::Webhooks;

/// What a [`Gateway`] is made of.
pub struct Setup {
    plan: Plan,
    loader: Loader,
    registry: Registry,
    accept_empty_store: bool,
    traces: Traces,
}

/// Why there is no [`Gateway`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// What is remembered cannot be read or kept.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The registry already has metrics of the same names.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

impl Setup {
    /// A configuration file, which is watched: what changes in it is in force a second later.
    /// Nobody listens, so `listeners` may be absent; `admin`, `health` and `threads` mean nothing.
    /// Reads files.
    ///
    /// # Errors
    /// Every problem at once, with positions.
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, Problems> {
        let path = path.into();
        Self::read(move || config::load_with(&path, &Options::embedded()))
    }

    /// A configuration's text, as if it were that of a file in this folder: the files that it
    /// names are watched.
    ///
    /// # Errors
    /// Every problem at once, with positions.
    pub fn text(text: impl Into<String>, folder: &Path) -> Result<Self, Problems> {
        let (text, folder) = (text.into(), folder.to_path_buf());
        Self::read(move || config::parse(&text, &folder, &Options::embedded()))
    }

    fn read(
        read: impl Fn() -> Result<Plan, Problems> + Send + Sync + 'static,
    ) -> Result<Self, Problems> {
        let plan = read()?;
        Ok(Self::of(plan, Box::new(move || read().map_err(|problems| problems.to_string()))))
    }

    /// A Plan, and what makes the next one at a reload.
    pub fn of(plan: Plan, loader: Loader) -> Self {
        let traces = Traces::default();
        Self { plan, loader, registry: Registry::new(), accept_empty_store: false, traces }
    }

    /// Has everything counted in this registry, rather than one of its own. All names begin with
    /// `countersign_`, but for those of `process_*`, which are left to whoever was there first.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
        self
    }

    /// Whether a store that cannot be read is put aside and an empty one begun: bans, logouts and
    /// sessions are then forgotten.
    pub fn accept_empty_store(mut self, accept: bool) -> Self {
        self.accept_empty_store = accept;
        self
    }

    /// Where each request's span goes; nowhere by default. With the feature `otlp`,
    /// `Traces::of` takes a tracer provider of one's own.
    pub fn traces(mut self, traces: Traces) -> Self {
        self.traces = traces;
        self
    }

    /// Opens the store and puts the gate together. Needs a Tokio runtime that lives as long as
    /// the gate; returns at once, unless a store in a file is large.
    ///
    /// # Errors
    /// The store cannot be opened (nothing that it keeps has been touched), or the metrics' names
    /// are taken.
    pub async fn open(self) -> Result<Gateway, OpenError> {
        let metrics = Metrics::new(self.registry)?;
        let accept_empty = self.accept_empty_store;
        let opening = store::Opening { plan: &self.plan, metrics: &metrics, accept_empty };
        let store = store::open(&opening).await?;
        let (plan, loader) = signing(self.plan, self.loader, &store);
        let current = Current::new(loader, plan, metrics.clone());
        let upstreams = Upstreams::new(tokio::runtime::Handle::current());
        upstreams.adopt(&current.load().plan);
        let connections = Live::new();
        live::heed(store.memory(), connections.clone());
        let webhooks = Webhooks::new(store.clone(), &current.load().plan);
        webhooks.count_in(&metrics);
        let gate = Gate::new(current, upstreams, Drain::new(), store, webhooks, connections);
        let gate = gate.traced(self.traces);
        Ok(Gateway { gate, readiness: Arc::new(Readiness::default()) })
    }
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
