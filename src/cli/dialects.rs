//! `countersign dialects`: what is built in, one a line, or one of them in full, ready to
//! be pasted into a configuration.

use super::check::print;
use super::exit;
use crate::config;
use crate::dialect::builtin::{BUILTIN, builtin};

/// Arguments of `countersign dialects`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show this one in full.
    name: Option<String>,
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let Some(name) = &args.name else {
        print(&list());
        return exit::YES;
    };
    match builtin(name) {
        Some(text) => {
            print(text);
            exit::YES
        }
        None => {
            eprintln!("there is no dialect `{name}`; these are built in:\n{}", list().trim_end());
            exit::NO
        }
    }
}

fn list() -> String {
    let width = BUILTIN.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    BUILTIN
        .iter()
        .map(|(name, _)| format!("{name:width$}  {}\n", config::title_of_builtin(name)))
        .collect()
}
