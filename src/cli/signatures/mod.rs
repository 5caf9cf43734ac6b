//! `vendorwatch signatures`: check, show and exchange what is looked for.

mod check;
mod diff;
mod export;
mod import;
mod lines;
mod list;
mod pack;
mod show;
mod whole;

use super::Failure;
use super::config::FileArg;
use crate::config::SignatureFlags;
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
    /// Say what changes between two sets, and with them in what was found
    Diff(diff::Args),
    /// Take names from a list of others
    Import(import::Args),
    /// Write what is looked for in the form that others read
    Export(export::Args),
    /// Build one file from a directory of signatures and lists, and sign it
    Pack(pack::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Pack(args) => pack::run(args),
    }
}

/// How indicators are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Tsv,
    Json,
}

/// Where the signatures come from: what the daemon with the same configuration would use.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArgs {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    flags: SignatureFlags,
}

impl SourceArgs {
    pub(super) fn sources(&self) -> Result<Sources, Failure> {
        Ok(Sources::configured(&self.file.load(&self.flags.0)?))
    }

    /// The compiled set.
    pub(super) fn load(&self) -> Result<Set, Failure> {
        self.sources()?.load().map_err(refusal)
    }
}

/// A vendor that nobody knows is a mistake: the answer to it would be nothing.
pub(super) fn check_vendors(set: &Set, ids: &[String]) -> Result<(), Failure> {
    match ids.iter().find(|id| set.vendor(id).is_none()) {
        Some(id) => Err(Failure::usage(anyhow::anyhow!(
            "no vendor is called {id:?}; `vendorwatch signatures list` begins each id with one"
        ))),
        None => Ok(()),
    }
}

/// Signatures that cannot be used are a matter of exit code 2, whatever the reason.
pub(super) fn refusal(error: LoadError) -> Failure {
    Failure::usage(error)
}
