//! `countersign explain`: every check of a credential, which failed, why, and the likely
//! fix. Everything happens on this machine: the credential is sent nowhere, and neither it
//! nor a secret is printed.
//!
//! A site that accepts further dialects has several ways to prove. Its own is tried first;
//! the one that verifies counts, else the one that comes furthest.
//!
//! Exit codes: 0 verified, 1 refused, 2 could not tell.

use std::io::{Read, Write};
use std::path::PathBuf;

use super::check::print;
use super::exit;
use super::sign::{site, ways};
use crate::clock::UnixTime;
use crate::config::{self, WrittenKeys};
use crate::dialect::diagnosis::{Case, Check, Party, Presented, Report, Written, diagnose};
use crate::dialect::{Dialect, Keyring, Mechanism};
use crate::jwks;
use crate::plan::{Plan, Proof, Site};

/// More than this nobody presents; any dialect's limit is far below.
const MAX_INPUT: u64 = 1024 * 1024;

/// Arguments of `countersign explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 verified, 1 refused, 2 could not tell.

Examples:
  countersign explain --site support eyJhbGciOi…       a token
  pbpaste | countersign explain --site support -       from standard input
  countersign explain --site support --id 12345 --email ana@acme.example 5039ecb1…
                                                       a hash, with what lies beside it
  countersign explain --site support --now 1700000000 --json eyJhbGciOi…
                                                       as of another moment, for programs")]
pub struct Args {
    /// The token or the hash; `-` reads it from standard input.
    #[arg(value_name = "CREDENTIAL")]
    credential: Option<String>,
    /// The configuration [default: countersign.yaml, then /etc/countersign/countersign.yaml].
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The site; may be left out where there is only one.
    #[arg(long)]
    site: Option<String>,
    /// The dialect, where the site accepts several [default: the one that fits].
    #[arg(long, value_name = "NAME")]
    dialect: Option<String>,
    /// The id beside a hash.
    #[arg(long)]
    id: Option<String>,
    /// The email beside a hash.
    #[arg(long)]
    email: Option<String>,
    /// The name beside a hash.
    #[arg(long)]
    name: Option<String>,
    /// Judge as of this moment, in Unix seconds [default: now].
    #[arg(long, value_name = "UNIX")]
    now: Option<u64>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    match explain(args) {
        Ok(report) if report.verified => exit::YES,
        Ok(_) => exit::NO,
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAULT
        }
    }
}

fn explain(args: &Args) -> Result<Report, String> {
    let path = args.config.clone().unwrap_or_else(config::default_path);
    let (plan, written) = config::load_for_diagnosis(&path)
        .map_err(|problems| format!("the configuration has problems\n{problems}"))?;
    let site = site(&plan, args.site.as_deref())?;
    let others = others(&plan, site, &written);
    let proof = match args.credential.as_deref() {
        Some("-") => Some(from_stdin().map_err(|error| format!("standard input: {error}"))?),
        given => given.map(str::to_owned),
    };
    let borrowed = |text: &'_ Option<String>| text.clone().map(Into::into);
    let presented = [Presented {
        proof: borrowed(&proof),
        id: borrowed(&args.id),
        email: borrowed(&args.email),
        name: borrowed(&args.name),
    }];
    let now = args.now.map_or_else(UnixTime::now, UnixTime::from_secs);
    let mut best: Option<Explained> = None;
    let mut unfetched = None;
    for way in ways(site, args.dialect.as_deref())? {
        if let Err(error) = fetch_keys(&way) {
            unfetched = Some(error);
            continue;
        }
        let (dialect, keys) = (limited(&plan, way.dialect), way.keys());
        let own = written_of(way.keyring, site, &written);
        let here = Party { name: &site.name, dialect: &dialect, keyring: &keys, written: &own };
        let report = diagnose(&Case { site: here, others: &others, presented: &presented, now });
        let explained = Explained { dialect: &way.dialect.name, report };
        if best.as_ref().is_none_or(|best| explained.progress() > best.progress()) {
            best = Some(explained);
        }
    }
    // Without the keys that might have fitted, a refusal would be a guess.
    let explained = match (best, unfetched) {
        (Some(best), None) => best,
        (Some(best), Some(_)) if best.report.verified => best,
        (_, error) => return Err(error.unwrap_or_default()),
    };
    if args.json {
        print(&(serde_json::to_string(&explained).map_err(|error| error.to_string())? + "\n"));
    } else {
        // Without a terminal, or with NO_COLOR, the stream drops the colours.
        let mut out = anstream::stdout().lock();
        let text = for_people(&explained, site, now);
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
    Ok(explained.report)
}

/// What came of one way to prove.
#[derive(serde::Serialize)]
struct Explained<'p> {
    #[serde(flatten)]
    report: Report,
    dialect: &'p str,
}

impl Explained<'_> {
    /// How far the credential came: to the end, or through so many checks.
    fn progress(&self) -> (bool, usize) {
        let held = self.report.checks.iter().filter(|check| check.ok == Some(true));
        (self.report.verified, held.count())
    }
}

/// Fetches the key sets of one way, if it has any.
fn fetch_keys(way: &Proof<'_>) -> Result<(), String> {
    if way.key_sets.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    match runtime.block_on(jwks::fetch_once(way.key_sets.iter())).as_slice() {
        [] => Ok(()),
        problems => Err(format!("the site's keys cannot be fetched: {}", problems.join("; "))),
    }
}

/// All sites of the plan but this one, as a diagnosis sees them.
fn others<'p>(plan: &'p Plan, site: &Site, written: &'p WrittenKeys) -> Vec<Party<'p>> {
    let others = plan.sites.iter().filter(|other| other.index != site.index);
    let party = |site: &'p Site| Party {
        name: &site.name,
        dialect: &site.dialect,
        keyring: &site.keyring,
        written: written.get(&*site.name).map(Vec::as_slice).unwrap_or_default(),
    };
    others.map(party).collect()
}

/// The keys of one way to prove, as they were written.
fn written_of(keyring: &Keyring, site: &Site, written: &WrittenKeys) -> Vec<Written> {
    let of_site = written.get(&*site.name).into_iter().flatten();
    of_site.filter(|written| keyring.get(&written.key).is_some()).cloned().collect()
}

/// A dialect under the configuration's own limit, as the gateway applies both.
fn limited(plan: &Plan, dialect: &Dialect) -> Dialect {
    let mut dialect = dialect.clone();
    if let Mechanism::Jwt(rules) = &mut dialect.mechanism {
        rules.max_bytes = rules.max_bytes.min(plan.limits.credential);
    }
    dialect
}

/// One newline at the end is the shell's.
fn from_stdin() -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(MAX_INPUT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

fn for_people(explained: &Explained<'_>, site: &Site, now: UnixTime) -> String {
    let Explained { report, dialect } = explained;
    let seconds = i64::try_from(now.as_secs()).ok();
    let moment = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let moment = moment.map(|moment| format!(" at {moment}")).unwrap_or_default();
    let mut out = format!("site {} ({dialect}){moment}\n\n", site.name);
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for Check { name, ok, detail } in &report.checks {
        let line = match ok {
            Some(true) => format!("  {GREEN}✓{PLAIN} {name:width$}  {detail}"),
            Some(false) => format!("  {RED}✗ {BOLD}{name:width$}{PLAIN}  {detail}"),
            None => format!("  {DIM}· {name:width$}  {detail}{PLAIN}"),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out.push_str(&match report.code {
        None => format!("\n{GREEN}verified{PLAIN}\n"),
        Some(code) => format!("\n{RED}refused{PLAIN}: {code}\n"),
    });
    for hint in &report.hints {
        out.push_str(&format!("  {BOLD}→{PLAIN} {}\n", hint.text));
    }
    out
}
