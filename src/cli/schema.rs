//! `countersign schema`: the configuration's JSON Schema on stdout, for editors.

use super::exit;

/// Arguments of `countersign schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign schema > schema.json
  and in countersign.yaml, as its first line: # yaml-language-server: $schema=schema.json")]
pub struct Args {}

/// Runs the command; returns the exit code.
pub fn main(_: &Args) -> u8 {
    super::check::print(&crate::config::schema());
    exit::YES
}
