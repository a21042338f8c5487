//! `countersign check`: every problem of a configuration, or a summary of what it says
//! with whatever gives reason to worry.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use super::exit;
use crate::clock::UnixTime;
use crate::config::{self, Options};
use crate::dialect::Key;
use crate::gate::route::PathPattern;
use crate::plan::{DetailsApi, Plan, Session, Site, StoreSettings};

/// Arguments of `countersign check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 no problem, 1 problems.

Examples:
  countersign check
  countersign check --config chat.yaml
  countersign check --without-secrets                  where the keys are elsewhere, as in CI")]
pub struct Args {
    /// The configuration [default: countersign.yaml, then /etc/countersign/countersign.yaml].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Leave secrets and key files alone: for a machine that does not have them.
    #[arg(long)]
    without_secrets: bool,
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let path = args.config.clone().unwrap_or_else(config::default_path);
    let options =
        if args.without_secrets { Options::without_secrets() } else { Options::default() };
    match config::load_with(&path, &options) {
        Ok(plan) => {
            let title = format!("{}: no problem found\n", path.display());
            print(&(title + &summary(&plan, &options, UnixTime::now())));
            exit::YES
        }
        Err(problems) => {
            print(&format!("{problems}\n"));
            if problems.list.len() > 1 {
                eprintln!("{} problems", problems.list.len());
            }
            exit::NO
        }
    }
}

/// Prints to stdout; that nobody reads to the end (`| head`) is no fault.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn summary(plan: &Plan, options: &Options, now: UnixTime) -> String {
    let mut out = String::new();
    let process = &plan.process;
    line(&mut out, "listeners", &joined(process.listeners.iter()));
    let admin = match &process.admin {
        None => "off".to_owned(),
        Some(admin) if !options.secrets => admin.address.to_string(),
        Some(admin) if admin.token.is_some() => format!("{} with a token", admin.address),
        Some(admin) => format!("{} without a token: its API is closed", admin.address),
    };
    line(&mut out, "admin", &admin);
    if let Some(health) = &process.health {
        line(&mut out, "health", &health.to_string());
    }
    if let Some(decision) = &process.decision {
        let gateway = decision.gateway.name();
        line(&mut out, "decision", &format!("{} for {gateway}", decision.address));
    }
    let store = match &process.store {
        StoreSettings::Memory => "in memory: gone with a restart".to_owned(),
        StoreSettings::Embedded(path) => path.display().to_string(),
        StoreSettings::Redis(_) => "redis".to_owned(),
    };
    line(&mut out, "store", &store);
    for site in &plan.sites {
        describe(&mut out, plan, site, options, now);
    }
    for warning in &plan.warnings {
        let _ = writeln!(out, "\nwarning: {warning}");
    }
    out
}

fn describe(out: &mut String, plan: &Plan, site: &Site, options: &Options, now: UnixTime) {
    let _ = writeln!(out, "\nsite {}", site.name);
    line(out, "hosts", &hosts(plan, site.index));
    line(out, "upstream", &joined(site.upstream.targets.iter()));
    line(out, "dialect", &site.dialect.name);
    if !site.accepts.is_empty() {
        line(out, "accepts", &joined(site.accepts.iter().map(|one| &one.dialect.name)));
    }
    line(out, "mode", site.settings.mode.name());
    for route in &site.routes.0 {
        let methods = joined(route.methods.iter());
        let space = if methods.is_empty() { "" } else { " " };
        let mode = route.settings.mode.name();
        line(out, "route", &format!("{methods}{space}{} {mode}", path(&route.pattern)));
    }
    if let Some(session) = &site.remembers.session {
        line(out, "session", &session_line(session));
    }
    for webhook in &site.website.webhooks {
        let (name, format) = (&webhook.name, webhook.format.name());
        line(out, "webhook", &format!("{name} {format} {}", webhook.shown()));
    }
    if let Some(details) = &site.website.details {
        line(out, "details", &details_line(details));
    }
    if let Some(enrich) = &site.website.enrich {
        line(out, "enrich", &enrich.shown());
    }
    if !options.secrets {
        line(out, "keys", "not read");
    }
    for key in &site.keys() {
        line(out, "key", &key_line(key, now));
    }
    for set in site.key_sets() {
        line(out, "keys from", &set.source.shown());
    }
}

fn details_line(details: &DetailsApi) -> String {
    let at = match details.public {
        true => "at every listener",
        false => "at the admin listener",
    };
    let push = details.push.as_ref().map(|push| format!(", passed on to {}", push.shown()));
    format!("from {} {at}{}", details.username, push.unwrap_or_default())
}

fn session_line(session: &Session) -> String {
    let request = session.request.iter().map(|source| source.carrier.names().proof.clone());
    let own = session.cookie.then(|| Session::COOKIE.to_owned());
    format!("{} for {} s", joined(request.chain(own)), session.ttl.as_secs_f64())
}

fn path(pattern: &PathPattern) -> String {
    let segment = |segment: &Option<String>| segment.clone().unwrap_or_else(|| "*".to_owned());
    let mut segments: Vec<String> = pattern.segments.iter().map(segment).collect();
    if pattern.rest {
        segments.push("*".to_owned());
    }
    format!("/{}", segments.join("/"))
}

fn line(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "  {name:<10} {value}");
}

fn joined<T: ToString>(values: impl Iterator<Item = T>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}

fn hosts(plan: &Plan, site: usize) -> String {
    let mut hosts: Vec<String> = plan
        .hosts
        .exact
        .iter()
        .filter(|(_, index)| **index == site)
        .map(|(host, _)| host.clone())
        .collect();
    hosts.sort();
    let wildcards = plan.hosts.wildcards.iter().filter(|(_, index)| *index == site);
    hosts.extend(wildcards.map(|(suffix, _)| format!("*{suffix}")));
    if plan.hosts.fallback == Some(site) {
        hosts.push("every other host".to_owned());
    }
    hosts.join(", ")
}

fn key_line(key: &Key, now: UnixTime) -> String {
    let moment = |time: Option<UnixTime>, word: &str| {
        let seconds = i64::try_from(time?.as_secs()).ok()?;
        let time = jiff::Timestamp::from_second(seconds).ok()?;
        Some(format!(", {word} {time}"))
    };
    format!(
        "{} {} {}{}{}",
        key.id(),
        key.algorithm().name(),
        key.state(now).name(),
        moment(key.not_before(), "from").unwrap_or_default(),
        moment(key.not_after(), "until").unwrap_or_default(),
    )
}
