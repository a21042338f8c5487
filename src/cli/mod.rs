//! The command line: one file a command.

pub mod check;
pub mod dialects;
pub mod healthcheck;
pub mod keygen;
pub mod run;
pub mod schema;
pub mod sign;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit codes: 0 yes, 1 no, 2 could not tell (usage, fault).
pub mod exit {
    /// Yes.
    pub const YES: u8 = 0;
    /// No.
    pub const NO: u8 = 1;
    /// Could not tell: usage or fault.
    pub const FAULT: u8 = 2;
}

#[derive(Debug, Parser)]
#[command(name = "countersign", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve.
    Run(run::Args),
    /// Print every problem of a configuration, or a summary with warnings.
    Check(check::Args),
    /// Print the credential that the website would sign.
    Sign(sign::Args),
    /// Make a fresh key.
    Keygen(keygen::Args),
    /// Print the configuration's JSON Schema.
    Schema(schema::Args),
    /// List the dialects, or show one.
    Dialects(dialects::Args),
    /// Ask a running instance whether it is ready.
    Healthcheck(healthcheck::Args),
}

/// Parses the command line, runs the command and says how it went.
pub fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Run(args) => run::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Sign(args) => sign::main(&args),
        Command::Keygen(args) => keygen::main(&args),
        Command::Schema(args) => schema::main(&args),
        Command::Dialects(args) => dialects::main(&args),
        Command::Healthcheck(args) => healthcheck::main(&args),
    };
    ExitCode::from(code)
}
