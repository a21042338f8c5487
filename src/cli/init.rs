//! `countersign init`: a commented configuration to start from, and a fresh key beside it
//! that only its owner reads. Nothing is ever overwritten, and what is written is what
//! `check` passes; otherwise nothing is left behind.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::check::print;
use super::exit;
use super::sign::quoted;
use crate::clock::UnixTime;
use crate::config;
use crate::dialect::builtin::{BUILTIN, builtin};
use crate::dialect::{Mechanism, fresh};
use crate::plan::{Plan, Site};
use crate::secret::Secret;

/// Arguments of `countersign init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign init --dialect user-hash --upstream http://127.0.0.1:3000
  countersign init --dialect amazon-connect --audience WIDGET_ID --upstream http://127.0.0.1:3000
  countersign init --dialect jwt --upstream http://127.0.0.1:3000 --config try/countersign.yaml

`countersign dialects` lists what D can be.")]
pub struct Args {
    /// How the website signs its visitors.
    #[arg(long, value_name = "D")]
    dialect: String,
    /// The chat backend: http://host:port, or unix:/path.
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// Whom tokens are for: Amazon Connect's widget id, or the `aud` of tokens.
    #[arg(long, value_name = "A")]
    audience: Option<String>,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "countersign.yaml")]
    config: PathBuf,
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    match init(args, UnixTime::now()) {
        Ok(said) => {
            print(&said);
            exit::YES
        }
        Err(error) => {
            eprintln!("error: {error}");
            exit::FAULT
        }
    }
}

const SITE: &str = "support";
const SECRET: &str = "support.secret";

fn init(args: &Args, now: UnixTime) -> Result<String, String> {
    if builtin(&args.dialect).is_none() {
        let names: Vec<_> = BUILTIN.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "there is no dialect `{}`; these are built in: {}",
            args.dialect,
            names.join(", ")
        ));
    }
    if args.dialect == "amazon-connect" && args.audience.is_none() {
        return Err("amazon-connect needs --audience: the id of the widget".to_owned());
    }
    if args.dialect == "user-hash" && args.audience.is_some() {
        return Err("a hash has no audience: leave --audience out".to_owned());
    }
    let key = key_id(&args.dialect, now);
    let secret = secret(&args.dialect)?;
    let folder = args.config.parent().unwrap_or(Path::new(""));
    let secret_file = folder.join(SECRET);
    let text = configuration(args, &key);

    write(&args.config, text.as_bytes(), 0o644)?;
    if let Err(error) = write(&secret_file, secret.expose(), 0o600) {
        _ = std::fs::remove_file(&args.config);
        return Err(error);
    }
    match config::load(&args.config) {
        Ok(plan) => Ok(next_steps(args, &plan, &key)),
        Err(problems) => {
            // Both are ours, made a moment ago.
            _ = std::fs::remove_file(&args.config);
            _ = std::fs::remove_file(&secret_file);
            let problems = problems.list.iter().map(|problem| {
                let expected = problem.expected.iter().map(|text| format!("\n  expected: {text}"));
                let hint = problem.hint.iter().map(|text| format!("\n  hint: {text}"));
                problem.what.clone() + &expected.chain(hint).collect::<String>()
            });
            Err(problems.collect::<Vec<_>>().join("\n") + "\nnothing was written")
        }
    }
}

/// A secret as the dialect's websites can hold it, with the newline that files end with.
fn secret(dialect: &str) -> Result<Secret, String> {
    let fresh = fresh::secret().map_err(|error| error.to_string())?;
    // RingCentral takes 24 hexadecimal digits and nothing else.
    let length = if dialect == "ringcentral-engage" { 24 } else { fresh.len() };
    let mut text = fresh.expose().get(..length).unwrap_or_default().to_vec();
    text.push(b'\n');
    Ok(Secret::new(text))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    open.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    })
    .map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} exists already; it is never overwritten", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    })
}

/// Keys are named after the month that they are made in.
fn key_id(dialect: &str, now: UnixTime) -> String {
    let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
    let now = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    // RingCentral's key ids are of a–z, 0–9 and _ alone.
    let format = if dialect == "ringcentral-engage" { "%Y_%m" } else { "%Y-%m" };
    now.strftime(format).to_string()
}

/// What is particular about each dialect.
struct Particulars {
    mode: &'static str,
    why: &'static str,
    more: &'static str,
}

fn particulars(dialect: &str) -> Particulars {
    match dialect {
        "amazon-connect" => Particulars {
            mode: "require",
            why: "the widget's security is on: every visitor is signed",
            more: "    # Which claim is the visitor's own id; without one nobody can be told apart.\n    \
                   id_claim: /customerId\n",
        },
        "ringcentral-engage" => Particulars {
            mode: "require",
            why: "\"Require JWT signed identities\"; `accept` is the vendor's \"Accept\"",
            more: "",
        },
        "jwt" => Particulars {
            mode: "prefer",
            why: "guests are welcome, forgeries are not; `require` when everybody is logged in",
            more: "    # issuer: https://login.example.com # if `iss` must equal it\n",
        },
        _ => Particulars {
            mode: "prefer",
            why: "guests are welcome, forgeries are not; `require` when everybody is logged in",
            more: "",
        },
    }
}

fn configuration(args: &Args, key: &str) -> String {
    // A JSON string is a YAML string.
    let scalar = |text: &str| serde_json::Value::from(text).to_string();
    let Particulars { mode, why, more } = particulars(&args.dialect);
    let audience = args.audience.as_deref().map_or(String::new(), |audience| {
        format!("    audience: {} # whom tokens must be for\n", scalar(audience))
    });
    format!(
        "\
# Countersign: verifies who is chatting, in front of a chat backend.
# `countersign check` reads it; changes are in force within a second of saving.

version: 1

listeners:
  - address: 127.0.0.1:8080 # 0.0.0.0:8080 to be reached from other machines

# Believe X-Forwarded-* of peers on this machine and in private networks: the load balancer
# or ingress in front. Remove this where clients reach Countersign from such networks.
trusted_proxies: [private]

sites:
  {SITE}:
    # hosts: [chat.example.com] # without it: every host
    upstream: {upstream} # the chat backend
    dialect: {dialect} # how the website signs: `countersign dialects {dialect}`
{audience}{more}    mode: {mode} # {why}
    # The website signs with the same key. To change it, add the new one as a second entry,
    # let the website sign with it, then give the old one a `not_after` or take it out.
    keys:
      - {{ id: \"{key}\", secret: {{ file: {SECRET} }} }}
    # routes:
    #   - {{ path: /assets/*, mode: off }} # identity is not looked at
",
        upstream = scalar(&args.upstream),
        dialect = args.dialect,
    )
}

fn next_steps(args: &Args, plan: &Plan, key: &str) -> String {
    let config = &args.config;
    let folder = config.parent().unwrap_or(Path::new(""));
    let secret = folder.join(SECRET);
    let option = if config.as_path() == Path::new("countersign.yaml") {
        String::new()
    } else {
        format!(" --config {}", word(config))
    };
    let mut said = format!(
        "\
wrote {config} and {secret} (a fresh key, mode 0600)

next:
  1. give the website the secret in {secret}: it signs its visitors with it{page}
     (a secret that the vendor gave you takes its place in that file)
  2. countersign check{option}
  3. countersign run{option}
  4. be a visitor:
     sh -c \"$(countersign sign{option} --id user-123 --curl http://127.0.0.1:8080/)\"

if a credential is refused: countersign explain{option} CREDENTIAL
",
        config = config.display(),
        secret = secret.display(),
        page = plan.sites.first().and_then(page).unwrap_or_default(),
    );
    if let Some(algorithm) = plan.sites.first().and_then(asymmetric) {
        said.push_str(&format!(
            "\n\
with a private key that only the website holds, in place of the secret:
  countersign keygen --alg {algorithm} --out {file}
  and in {config}: keys: [ {{ id: \"{key}\", public_key: {{ file: website.key.pub }} }} ]
",
            file = word(&folder.join("website.key")),
            config = config.display(),
        ));
    }
    for warning in &plan.warnings {
        said.push_str(&format!("\nwarning: {warning}\n"));
    }
    said
}

/// A path as one word for a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { quoted(&text) }
}

fn page(site: &Site) -> Option<String> {
    site.dialect.documented_at.as_ref().map(|page| format!("\n     ({page})"))
}

/// The public-key algorithm that the dialect allows and `keygen` makes.
fn asymmetric(site: &Site) -> Option<&'static str> {
    let Mechanism::Jwt(rules) = &site.dialect.mechanism else { return None };
    let known = rules.algorithms.iter().find(|algorithm| !algorithm.is_symmetric())?;
    Some(known.name())
}
