//! `countersign doctor`: looks at the running chain, from the file over the instance and the
//! gateway to the backend, and at the ways round them.
//!
//! It plays a visitor whom nobody else is, signed for with the site's own key, good for a
//! minute. What it asks through the gateway are `GET`s of `/.countersign/whoami` and of one
//! page; where a dialect's credential travels in bodies alone, that page gets a `POST`. It
//! changes no configuration; a site that opens sessions may remember the visitor for a while.
//!
//! Exit codes: 0 sound, 1 a finding, 2 the gateway cannot be reached or nothing can be told.

mod ask;
mod backend;
mod gateway;
mod instance;
mod paper;
mod report;
mod visitor;

use std::io::Write;
use std::path::PathBuf;

use self::ask::Place;
use self::gateway::Chain;
use self::report::{Check, Report, State};
use self::visitor::Visitor;
use super::exit;
use super::sign::site;
use crate::clock::UnixTime;
use crate::config;
use crate::jwks;
use crate::plan::{Plan, Site};

/// Arguments of `countersign doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 sound, 1 a finding, 2 the gateway cannot be reached or nothing can be told.

Examples:
  countersign doctor --site support
  countersign doctor --site support --path /me         a page that shows who is logged in
  countersign doctor --site support --url https://chat.acme.example
                                                       through the load balancer
  countersign doctor --site support --allow bypass     where going round is known and accepted")]
pub struct Args {
    /// The configuration that the instance runs with [default: countersign.yaml, then
    /// /etc/countersign/countersign.yaml].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The site; may be left out where there is only one.
    #[arg(long)]
    site: Option<String>,
    /// Where visitors come in [default: the configuration's first listener].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The site's host name in requests [default: its first].
    #[arg(long)]
    host: Option<String>,
    /// A page of the backend that shows who is logged in.
    #[arg(long, default_value = "/", value_name = "PATH")]
    path: String,
    /// The private half of a public key, in PEM, to sign for a visitor with.
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// A check whose finding is known and accepted: it becomes a warning; may be repeated.
    #[arg(long, value_name = "CHECK")]
    allow: Vec<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let path = args.config.clone().unwrap_or_else(config::default_path);
    let plan = match config::load(&path) {
        Ok(plan) => plan,
        Err(problems) => {
            eprintln!("{problems}");
            return exit::NO;
        }
    };
    let report = match examined(&plan, args) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return exit::FAULT;
        }
    };
    let text = match args.json {
        true => serde_json::to_string(&report).unwrap_or_default() + "\n",
        false => report.for_people(),
    };
    // Without a terminal, or with NO_COLOR, the stream drops the colours.
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match (report.reached, report.sound, report.told) {
        (false, ..) | (true, true, false) => exit::FAULT,
        (true, true, true) => exit::YES,
        (true, false, _) => exit::NO,
    }
}

fn examined(plan: &Plan, args: &Args) -> Result<Report, String> {
    let site = site(plan, args.site.as_deref())?;
    if !args.path.starts_with('/') {
        return Err(format!("--path {}: a path begins with /", args.path));
    }
    let private = match &args.private_key {
        Some(file) => {
            let pem = std::fs::read(file);
            Some(pem.map_err(|error| format!("{}: {error}", file.display()))?)
        }
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(examine(plan, site, args, private.as_deref()))
}

/// The checks that tell who is let through and who is not.
const TELLING: &[&str] = &["guest", "signed", "altered", "backend", "spoofing", "bypass"];

/// From the file outwards; what cannot be reached ends it.
async fn examine(
    plan: &Plan,
    site: &Site,
    args: &Args,
    private: Option<&[u8]>,
) -> Result<Report, String> {
    let gateway = match (&args.url, plan.process.listeners.first()) {
        (Some(url), _) => Place::of_url(url).await?,
        (None, Some(listener)) => Place::of_listener(listener),
        (None, None) => return Err("there is no listener; --url says where to ask".to_owned()),
    };
    let host = match &args.host {
        Some(host) => host.clone(),
        None => host(plan, site, &gateway),
    };
    let chain = Chain { plan, site, gateway: &gateway, host: &host };
    let mut checks = paper::modes(site);
    checks.extend(key_sets(site).await);
    checks.extend(paper::keys(site, UnixTime::now()));
    checks.extend(paper::warnings(plan, site));
    checks.extend(instance::ready(plan).await);
    checks.extend(instance::in_force(plan, site).await);
    let mut sees_backend = false;
    let reached = match chain.reached().await {
        Ok(found) => {
            let answers =
                found.iter().all(|check| check.name != "gateway" || check.state == State::Ok);
            checks.extend(found);
            if answers {
                let (found, sees) = through(&chain, private, args).await;
                checks.extend(found);
                sees_backend = sees;
            }
            true
        }
        Err(why) => {
            checks.push(Check::finding("gateway", why.to_string()).hint("--url says where it is"));
            false
        }
    };
    checks.extend(backend::bypass(&chain, &args.path, sees_backend).await);
    for check in &mut checks {
        if check.state == State::Finding && args.allow.iter().any(|name| name == check.name) {
            check.state = State::Warning;
        }
    }
    let sound = checks.iter().all(|check| check.state != State::Finding);
    let tells = |check: &Check| TELLING.contains(&check.name) && check.state != State::Unknown;
    let told = checks.iter().any(tells);
    let (site, gateway) = (site.name.to_string(), format!("{} as {host}", gateway.shown));
    Ok(Report { site, gateway, reached, told, sound, checks })
}

/// What can be seen from where visitors are, and whether the backend is.
async fn through(chain: &Chain<'_>, private: Option<&[u8]>, args: &Args) -> (Vec<Check>, bool) {
    let mut checks = Vec::new();
    let visitor = Visitor::signed(chain.site, private, UnixTime::now());
    if let Err(why) = &visitor {
        let detail = format!("nothing can be signed for a visitor: {why}");
        let hint = "--private-key names the other half of a public key";
        checks.push(Check::unknown("signed", detail).hint(hint));
    }
    let visitor = visitor.ok();
    if chain.plan.verbs {
        checks.extend(chain.judged(visitor.as_ref()).await);
    } else {
        let detail = "`verbs: off`: whom the gateway takes somebody for cannot be asked";
        checks.push(Check::unknown("signed", detail));
    }
    checks.extend(chain.assertion().await);
    let (found, sees_backend) = backend::sees(chain, visitor.as_ref(), &args.path).await;
    checks.extend(found);
    (checks, sees_backend)
}

/// Whether keys can be had where they come from; they are there afterwards.
async fn key_sets(site: &Site) -> Vec<Check> {
    if !site.fetches_keys() {
        return Vec::new();
    }
    let problems = jwks::fetch_once(site.key_sets()).await;
    match problems.is_empty() {
        true => vec![Check::ok("key sets", "every key set can be fetched from here")],
        false => problems.into_iter().map(|problem| Check::finding("key sets", problem)).collect(),
    }
}

/// A host by which requests come to the site.
fn host(plan: &Plan, site: &Site, gateway: &Place) -> String {
    let exact = plan.hosts.exact.iter().filter(|(_, index)| **index == site.index);
    let wildcards = plan.hosts.wildcards.iter().filter(|(_, index)| *index == site.index);
    let first = exact.map(|(host, _)| host.clone()).min();
    first.or_else(|| wildcards.map(|(suffix, _)| format!("doctor{suffix}")).next()).unwrap_or_else(
        || match &gateway.endpoint {
            crate::upstream::Endpoint::Unix(_) => "localhost".to_owned(),
            endpoint => endpoint.to_string(),
        },
    )
}
