//! `countersign completions`: what a shell needs to complete commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use super::check::print;
use super::{Cli, exit};

/// Arguments of `countersign completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign completions bash > ~/.local/share/bash-completion/completions/countersign
  countersign completions zsh > ~/.zfunc/_countersign
  countersign completions fish > ~/.config/fish/completions/countersign.fish")]
pub struct Args {
    /// The shell.
    shell: Shell,
}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "countersign", &mut script);
    print(&String::from_utf8_lossy(&script));
    exit::YES
}
