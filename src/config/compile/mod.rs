//! What was written → what it means.
//!
//! One file a subject. Each function takes what is readable, reports what is wrong with it
//! and returns what is sound; nothing here stops at the first problem. A problem that only
//! follows from something already reported is not reported.

mod accepts;
mod access;
mod algorithm;
mod assertion;
mod chat_started;
mod decision;
mod details;
mod dialect;
mod header_name;
mod headers;
mod hosts;
mod key;
mod key_folder;
mod key_set;
mod listener;
mod memory;
mod pattern;
mod receiver;
mod route;
mod secret;
mod session;
mod settings;
mod signing;
mod signing_secret;
mod site;
mod source;
mod spared;
mod store;
mod token_settings;
mod translate;
mod translate_identity;
mod translate_into;
mod translate_terms;
mod unsigned;
mod upstream;
mod upstream_tls;
mod webhook;
mod webhook_extras;
mod website;

pub use dialect::compile_builtin;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use serde_yaml::Value;

use super::Options;
use super::place::Place;
use super::raw;
use super::report::Report;
use crate::clock::UnixTime;
use crate::dialect::diagnosis::Written;
use crate::gate::contract::{Budget, Reserved};
use crate::plan::{Address, ErrorStyle, Plan, Reach, Webhook};
use crate::secret::Secret;

/// What an empty or headless file is told.
pub const START: &str = "start from this:
version: 1
listeners: [ { address: 0.0.0.0:8080 } ]
sites: { support: { upstream: http://127.0.0.1:3000, dialect: jwt, keys: [ { id: k1, secret: { file: k1.secret } } ] } }";

/// What the parts of the compilation share.
struct Compiler<'c, 'r> {
    /// Relative paths are relative to this: where the configuration lies.
    folder: PathBuf,
    options: Options,
    now: UnixTime,
    report: &'c mut Report<'r>,
    watched: Vec<PathBuf>,
    /// Keys as they were written, where somebody asks for them: a running gateway keeps none.
    written: Option<WrittenKeys>,
    /// The authorities that this machine trusts, once a site has asked for them.
    system_roots: Option<Arc<RootCertStore>>,
}

/// Keys as they were written, by the name of their site.
pub type WrittenKeys = HashMap<String, Vec<Written>>;

impl Compiler<'_, '_> {
    /// Keeps a key as it was written, where that is asked for.
    fn keep_written(&mut self, site: &str, key: Option<&str>, text: &[u8]) {
        if let (Some(all), Some(key)) = (&mut self.written, key) {
            let written = Written { key: key.into(), text: Secret::new(text.to_vec()) };
            all.entry(site.to_owned()).or_default().push(written);
        }
    }

    fn path(&self, named: &str) -> PathBuf {
        self.folder.join(named)
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.report.warnings.push(warning.into());
    }

    /// A member that must be there: reported at what it is missing from, unless it was
    /// there and wrong.
    fn missing(&mut self, place: &Place, member: &str, example: &str) {
        if !self.report.was_removed(&place.key(member)) {
            self.report
                .key(place, format!("`{member}` is missing here"))
                .expected(example.to_owned());
        }
    }
}

/// Where the file says that probes are answered, as [`listener::probes`] has it.
pub fn probes(path: &Path, raw: &raw::Config, report: &mut Report<'_>) -> Option<Option<Address>> {
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let options = Options::without_secrets();
    let mut compiler = Compiler {
        folder,
        options,
        now: UnixTime::now(),
        report,
        watched: Vec::new(),
        written: None,
        system_roots: None,
    };
    listener::probes(&mut compiler, raw)
}

/// An entry of `webhooks` by itself, which names neither files nor the environment.
pub fn subscription(raw: &raw::Webhook, reach: Reach, report: &mut Report<'_>) -> Option<Webhook> {
    let mut compiler = Compiler {
        folder: PathBuf::new(),
        options: Options::default(),
        now: UnixTime::now(),
        report,
        watched: Vec::new(),
        written: None,
        system_roots: None,
    };
    webhook::webhook(&mut compiler, raw, reach, &Place::root())
}

/// Compiles the whole file. `value` is the tree that `raw` was read from. With
/// `keep_written` the keys' texts come beside the Plan.
pub fn plan(
    path: &Path,
    options: &Options,
    raw: &raw::Config,
    value: &Value,
    report: &mut Report<'_>,
    keep_written: bool,
) -> Option<(Plan, WrittenKeys)> {
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut compiler = Compiler {
        folder,
        options: *options,
        now: UnixTime::now(),
        report,
        watched: vec![path.to_path_buf()],
        written: keep_written.then(WrittenKeys::new),
        system_roots: None,
    };
    let root = Place::root();

    version(&mut compiler, raw);
    let process = listener::process(&mut compiler, raw);
    let trusted_proxies = access::trusted_proxies(&mut compiler, raw.trusted_proxies.as_ref());
    let limits = settings::limits(&mut compiler, raw.limits.as_ref());
    let timeouts = settings::timeouts(&mut compiler, raw.timeouts.as_ref());
    let drain = settings::drain(raw.drain.as_ref());
    let log = settings::log(raw.log.as_ref());
    let errors = match raw.errors {
        Some(raw::Errors::Terse) => ErrorStyle::Terse,
        Some(raw::Errors::Helpful) | None => ErrorStyle::Helpful,
    };

    let store = process.as_ref().map(|process| &process.store);
    let asserts = assertion::asserts(&mut compiler, raw.assertion.as_ref(), store);

    let budget = raw.headers.as_ref().map(|budget| (budget.max_value, budget.max_total));
    let place = root.key("headers");
    let budget =
        headers::budget(&mut compiler, budget.unwrap_or_default(), Budget::default(), &place);

    let mut dialects = dialect::Dialects::new(value);
    dialects.compile_own(&mut compiler, raw.dialects.as_ref());

    let place = root.key("sites");
    let written = raw.sites.as_ref().map(|sites| sites.0.as_slice()).unwrap_or_default();
    if written.is_empty() && !compiler.report.lost_something_in(&place) {
        compiler
            .report
            .key(&place, "there is no site")
            .expected("sites: { support: { upstream: http://127.0.0.1:3000, dialect: jwt, … } }")
            .hint("a site is one chat backend and the people who may speak to it");
    }
    let mut hosts = hosts::Collector::default();
    let mut usernames = details::Usernames::default();
    let mut sites = Vec::new();
    for (index, (name, raw)) in written.iter().enumerate() {
        let place = place.key(name);
        hosts.add(&mut compiler, index, raw, &place);
        usernames.add(&mut compiler, name, raw, &place);
        let listeners = process.as_ref().map(|process| process.listeners.as_slice());
        let store = process.as_ref().map(|process| &process.store);
        let surroundings = site::Surroundings {
            listeners: listeners.unwrap_or_default(),
            trusted_proxies: &trusted_proxies,
            store,
            budget,
        };
        sites.extend(site::site(&mut compiler, &mut dialects, index, name, raw, &surroundings));
    }

    spared::sessions(&mut compiler, &sites);
    spared::credentials(&mut compiler, &sites);
    translate_identity::warn_of_one_account(&mut compiler, &sites);
    if let Some(decision) = process.as_ref().and_then(|process| process.decision.as_ref()) {
        decision::warn(&mut compiler, decision, &sites);
    }

    let Compiler { watched, report, written, .. } = compiler;
    let plan = Plan {
        generation: 0,
        reserved: Reserved::of(sites.iter().map(|site| &site.headers)),
        sites,
        hosts: hosts.finish(),
        trusted_proxies,
        errors,
        limits,
        timeouts,
        drain,
        log,
        asserts,
        verbs: raw.verbs.is_none_or(|raw::Switch(on)| on),
        process: process?,
        warnings: std::mem::take(&mut report.warnings),
        watched,
    };
    Some((plan, written.unwrap_or_default()))
}

fn version(compiler: &mut Compiler<'_, '_>, raw: &raw::Config) {
    match raw.version {
        Some(1) => {}
        Some(other) => {
            compiler
                .report
                .value(&Place::root().key("version"), format!("version {other} is unknown"))
                .expected("version: 1");
        }
        None => compiler.missing(&Place::root(), "version", "version: 1"),
    }
}
