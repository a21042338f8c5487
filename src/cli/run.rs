//! `countersign run`: serve until told to stop.

use std::path::PathBuf;

use super::exit;
use crate::config;
use crate::server::{self, Start};
use crate::telemetry::log::{self, LogOptions};

/// Arguments of `countersign run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  countersign run\n  countersign run --config chat.yaml --log-format json"
)]
pub struct Args {
    /// The configuration; default `countersign.yaml`, then `/etc/countersign/countersign.yaml`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Puts an embedded store that cannot be read aside and begins an empty one: bans, logouts
    /// and sessions are then forgotten.
    #[arg(long)]
    pub accept_empty_store: bool,
    #[command(flatten)]
    log: LogOptions,
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let file = args.config.clone().unwrap_or_else(config::default_path);
    let plan = match config::load(&file) {
        Ok(plan) => plan,
        Err(problems) => {
            eprintln!("{problems}");
            return exit::NO;
        }
    };
    let guard = match log::init(&args.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("countersign: {error}");
            return exit::FAULT;
        }
    };
    raise_file_limit();
    let loader = Box::new(move || config::load(&file).map_err(|problems| problems.to_string()));
    let start = Start {
        dropped_log_lines: guard.dropped_lines(),
        accept_empty_store: args.accept_empty_store,
    };
    match server::serve(plan, loader, start) {
        Ok(()) => exit::YES,
        Err(error) => {
            drop(guard);
            eprintln!("countersign: {error}");
            exit::FAULT
        }
    }
}

/// Each connection takes a descriptor on either side; the default of 1,024 would end at some
/// 500 WebSockets.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
