//! (to be written)

/// Arguments of `countersign schema`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command; returns the exit code.
pub fn main(args: &Args) -> u8 {
    let _ = args;
    todo!()
}
