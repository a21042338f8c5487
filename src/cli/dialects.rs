//! `countersign dialects`: what is built in, one a line; or one of them in words, as a page
//! of the documentation, or as the text that can be pasted into a configuration.

mod page;
mod rules;
mod words;

use super::check::print;
use super::exit;
use crate::config::{Builtin, builtin_dialect};
use crate::dialect::builtin::{BUILTIN, builtin};
use crate::dialect::{Algorithm, Mechanism};

/// How `docs/dialects.md` begins.
const OPENING: &str = "\
# Dialects

How a website signs is data, one file in [config/dialects](../config/dialects) each. This
page is generated from these files; `countersign dialects NAME` prints the same, and
`countersign dialects NAME --yaml` the file itself, to be pasted under `dialects:` and
changed. A dialect of your own starts from another one with `extends:`.

What holds for all of them:

- A token's `alg` must be that of the key, which is pinned. Tokens with `crit`, `zip` or keys
  of their own, with members named twice, or with base64 that could be written in another
  way, are refused. Times are JSON integers of seconds. Where a vendor names no leeway, a
  minute is allowed for clocks that differ; a site's `leeway` changes that.
- Ids are 1 to 256 bytes without control characters, and unfilled templates such as
  `{user_id}` or `null` are no ids.
- All places that a page names are read: the same value twice is one credential, two
  different ones are `ambiguous`. A credential that was used does not reach the backend.
- A JSON body is one also where it is labelled as a form, as text or not at all. Where a page
  names body members or identity fields, such a body may hold at most 64 KiB and must be
  readable; a multipart body streams however large, and only one within the limit is searched
  for a credential. Query, headers and body are cleaned alike of what nothing proved.
- `countersign sign --site SITE --id ID` prints the credential that the website would sign.
- [rejections.md](rejections.md) explains each reason for a refusal.
";

/// Arguments of `countersign dialects`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign dialects
  countersign dialects zendesk-chat")]
pub struct Args {
    /// Show this one.
    name: Option<String>,
    /// Print its page in Markdown.
    #[arg(long, requires = "name", conflicts_with = "yaml")]
    markdown: bool,
    /// Print its text, ready to be pasted into a configuration.
    #[arg(long, requires = "name")]
    yaml: bool,
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let Some(name) = &args.name else {
        print(&list());
        return exit::YES;
    };
    let (Some(text), Some(dialect)) = (builtin(name), builtin_dialect(name)) else {
        eprintln!("there is no dialect `{name}`; these are built in:\n{}", list().trim_end());
        return exit::NO;
    };
    match (args.yaml, args.markdown) {
        (true, _) => print(text),
        (_, true) => print(&words::page(&dialect).markdown()),
        _ => print(&words::page(&dialect).text()),
    }
    exit::YES
}

/// `docs/dialects.md`: a table of all built-in dialects, and a page for each.
pub fn documentation() -> String {
    let all = all();
    let row = |builtin: &Builtin| {
        let dialect = &builtin.dialect;
        format!("| [`{0}`](#{0}) | {1} | {2} |\n", dialect.name, dialect.title, proof(builtin))
    };
    let rows: String = all.iter().map(row).collect();
    let pages: String =
        all.iter().map(|builtin| format!("\n{}", words::page(builtin).markdown())).collect();
    format!("{OPENING}\n| dialect | whose | proof |\n|---|---|---|\n{rows}{pages}")
}

fn proof(builtin: &Builtin) -> String {
    match &builtin.dialect.mechanism {
        Mechanism::Jwt(rules) if rules.algorithms == Algorithm::ALL => "token".to_owned(),
        Mechanism::Jwt(rules) => rules::algorithms(rules) + " token",
        Mechanism::Hmac(rules) => {
            format!("hash of `{}`", rules::message(rules)).replace('|', "\\|")
        }
    }
}

fn list() -> String {
    let width = BUILTIN.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |builtin: Builtin| {
        format!("{:width$}  {}\n", &*builtin.dialect.name, builtin.dialect.title)
    };
    all().into_iter().map(line).collect()
}

fn all() -> Vec<Builtin> {
    BUILTIN.iter().filter_map(|(name, _)| builtin_dialect(name)).collect()
}
