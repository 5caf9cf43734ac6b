//! `vendorwatch signatures`: check, show and exchange what is looked for.

mod check;
mod list;
mod show;

use std::path::PathBuf;

use super::Failure;
use crate::config::signatures::{LoadError, Sources};
use crate::signature::Set;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Find every fault in signature files, with line and advice
    Check(check::Args),
    /// List the indicators, or count them by vendor
    List(list::Args),
    /// Show one vendor or indicator with all that stands behind it
    Show(show::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
    }
}

/// Where the signatures come from.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArgs {
    /// Directory with signature files, added to the built-in ones; a file of a built-in vendor
    /// replaces it. May be given more than once
    #[arg(long = "signatures", value_name = "DIR", value_delimiter = ',')]
    directories: Vec<PathBuf>,
    /// Use the signatures that are built into the program
    #[arg(
        long = "signatures.built-in",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    built_in: bool,
}

impl SourceArgs {
    pub(super) fn sources(&self) -> Sources {
        Sources { built_in: self.built_in, directories: self.directories.clone() }
    }

    /// The compiled set.
    pub(super) fn load(&self) -> Result<Set, Failure> {
        self.sources().load().map_err(refusal)
    }
}

/// Signatures that cannot be used are a matter of exit code 2, whatever the reason.
pub(super) fn refusal(error: LoadError) -> Failure {
    Failure::usage(error)
}
