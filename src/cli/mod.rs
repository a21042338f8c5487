//! The command line: one file a command.

pub mod check;
pub mod completions;
pub mod demo;
pub mod dialects;
pub mod doctor;
pub mod explain;
pub mod healthcheck;
pub mod init;
pub mod keygen;
mod present;
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

const EXAMPLES: &str = "\
Exit codes: 0 yes, 1 no, 2 could not tell (usage, fault).

Examples:
  countersign init --dialect zendesk-chat --upstream http://127.0.0.1:3000
  countersign check
  countersign run
  countersign sign --id user-123
  countersign explain eyJhbGciOi…

`countersign COMMAND --help` shows more.";

#[derive(Debug, Parser)]
#[command(
    name = "countersign",
    version,
    about,
    arg_required_else_help = true,
    after_help = EXAMPLES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve.
    Run(run::Args),
    /// Write a configuration to start from, and a fresh key.
    Init(init::Args),
    /// Show what it does: gateway, example website and example chat, nothing to configure.
    Demo(demo::Args),
    /// Print every problem of a configuration, or a summary with warnings.
    Check(check::Args),
    /// Print the credential that the website would sign.
    Sign(sign::Args),
    /// Say why a credential is refused, check by check, and what would mend it.
    Explain(explain::Args),
    /// Look at the running chain: gateway, backend, and the ways round them.
    Doctor(doctor::Args),
    /// Make a fresh key.
    Keygen(keygen::Args),
    /// Print the configuration's JSON Schema.
    Schema(schema::Args),
    /// List the dialects, or show one.
    Dialects(dialects::Args),
    /// Ask a running instance whether it is ready.
    Healthcheck(healthcheck::Args),
    /// Print completions for a shell.
    Completions(completions::Args),
}

/// Parses the command line, runs the command and says how it went.
pub fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Run(args) => run::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Init(args) => init::main(&args),
        Command::Explain(args) => explain::main(&args),
        Command::Doctor(args) => doctor::main(&args),
        Command::Completions(args) => completions::main(&args),
        Command::Sign(args) => sign::main(&args),
        Command::Keygen(args) => keygen::main(&args),
        Command::Schema(args) => schema::main(&args),
        Command::Dialects(args) => dialects::main(&args),
        Command::Healthcheck(args) => healthcheck::main(&args),
    };
    ExitCode::from(code)
}
