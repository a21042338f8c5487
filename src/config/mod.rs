//! Text → [`Plan`]. The only user of `serde_yaml`.
//!
//! In this order: the text is parsed twice, for its meaning and for positions
//! ([`document`]); keys of later versions ([`later`]) and keys with nothing behind them
//! ([`blank`]) are taken out; what is left becomes typed structs ([`read`](mod@read), [`raw`]), and those a Plan ([`compile`]). Each step
//! reports every problem that it finds and hands on what is sound, so that one reading
//! shows them all.
//!
//! No input makes this panic; tests throw garbage, bombs and broken files at it.

mod blank;
mod builtin;
mod compile;
mod document;
mod later;
mod marks;
mod place;
mod problem;
mod raw;
mod read;
mod report;
mod schema;
mod subscription;

use std::path::{Path, PathBuf};

pub use builtin::{Builtin, builtin_dialect};
pub use compile::WrittenKeys;
pub use place::Mark;
pub use problem::{Problem, Problems};
pub use schema::schema;
pub use subscription::subscription;

use crate::plan::{Address, Plan};

/// The file that is read where none is named, in the working directory or else in
/// `/etc/countersign`.
const FILE: &str = "countersign.yaml";

/// How a configuration is loaded.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Read secrets and keys. Without them the Plan has no keys and proves nothing: good
    /// for `check` on a machine that does not have them.
    pub secrets: bool,
    /// Whether Countersign itself listens, so that there must be `listeners`.
    pub listens: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { secrets: true, listens: true }
    }
}

impl Options {
    /// Reads no secrets and keys.
    pub fn without_secrets() -> Self {
        Self { secrets: false, ..Self::default() }
    }

    /// For a gate in somebody else's server, which listens.
    pub fn embedded() -> Self {
        Self { listens: false, ..Self::default() }
    }
}

/// The configuration's path where none is named: `countersign.yaml`, or
/// `/etc/countersign/countersign.yaml` if only that exists.
pub fn default_path() -> PathBuf {
    let here = PathBuf::from(FILE);
    let system = Path::new("/etc/countersign").join(FILE);
    if !here.exists() && system.exists() { system } else { here }
}

/// Whether the environment names a collector of spans (OpenTelemetry's own variables).
pub fn names_a_collector() -> bool {
    ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].into_iter().any(is_set)
}

/// Whether the environment says what this service is called in traces.
#[cfg(feature = "otlp")]
pub fn names_the_service() -> bool {
    is_set("OTEL_SERVICE_NAME")
}

/// Empty is as good as absent, says OpenTelemetry.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Loads a configuration with everything that it names. `Plan::generation` is 0: whoever
/// puts the Plan in force counts.
///
/// # Errors
/// Every problem at once, with positions.
pub fn load(path: &Path) -> Result<Plan, Problems> {
    load_with(path, &Options::default())
}

/// [`load`], with options.
///
/// # Errors
/// Every problem at once, with positions.
pub fn load_with(path: &Path, options: &Options) -> Result<Plan, Problems> {
    load_all(path, options, false).map(|(plan, _)| plan)
}

/// [`load`], with every key as it was written, by the name of its site: what a
/// [diagnosis](crate::dialect::diagnosis) needs to try the usual mistakes.
///
/// # Errors
/// Every problem at once, with positions.
pub fn load_for_diagnosis(path: &Path) -> Result<(Plan, WrittenKeys), Problems> {
    load_all(path, &Options::default(), true)
}

fn load_all(
    path: &Path,
    options: &Options,
    keep_written: bool,
) -> Result<(Plan, WrittenKeys), Problems> {
    let fatal = |problem| Problems::new(path, vec![problem]);
    let text = document::read(path).map_err(fatal)?;
    read_all(&text, path, options, keep_written)
}

/// Loads a text as if it were that of a file in this folder, which is not looked for.
///
/// # Errors
/// Every problem at once, with positions.
pub fn parse(text: &str, folder: &Path, options: &Options) -> Result<Plan, Problems> {
    let path = folder.join(FILE);
    let mut plan = read_all(text, &path, options, false)?.0;
    plan.watched.retain(|watched| *watched != path);
    Ok(plan)
}

fn read_all(
    text: &str,
    path: &Path,
    options: &Options,
    keep_written: bool,
) -> Result<(Plan, WrittenKeys), Problems> {
    let mut found = Vec::new();
    let document = document::parse(text, &mut found);
    let document::Document { mut value, marks } = document.map_err(|problem| {
        found.push(problem);
        Problems::new(path, std::mem::take(&mut found))
    })?;

    let mut report = report::Report::new(&marks, found);
    if value.is_null() {
        report.value(&place::Place::root(), "there is nothing in it").hint(compile::START);
    } else {
        later::take_out_later(&mut value, &mut report);
        blank::take_out_blank(&mut value, &mut report);
        let raw = read::read::<raw::Config>(&mut value, &place::Place::root(), &mut report);
        if let Some(raw) = raw {
            let plan = compile::plan(path, options, &raw, &value, &mut report, keep_written);
            if let (Some(plan), 0) = (plan, report.count()) {
                return Ok(plan);
            }
        }
    }
    Err(Problems::new(path, report.into_problems()))
}

/// Where a running instance of this configuration answers probes: its health listener, or
/// its admin listener, or nowhere. Only these two keys are read, so that mistakes anywhere
/// else in the file do not matter.
///
/// # Errors
/// The file or these two keys cannot be read.
pub fn probe_address(path: &Path) -> Result<Option<Address>, Problems> {
    let fatal = |problem| Problems::new(path, vec![problem]);
    let text = document::read(path).map_err(fatal)?;
    // Duplicate keys are for `check` to tell.
    let document::Document { mut value, marks } =
        document::parse(&text, &mut Vec::new()).map_err(fatal)?;
    if let Some(keys) = value.as_mapping_mut() {
        keys.retain(|key, _| matches!(key.as_str(), Some("admin" | "health")));
    }
    let mut report = report::Report::new(&marks, Vec::new());
    let raw = read::read::<raw::Config>(&mut value, &place::Place::root(), &mut report);
    let address = raw.and_then(|raw| compile::probes(path, &raw, &mut report));
    match (address, report.count()) {
        (Some(address), 0) => Ok(address),
        _ => Err(Problems::new(path, report.into_problems())),
    }
}
