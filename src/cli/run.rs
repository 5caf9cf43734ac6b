//! `vendorwatch run`: the daemon, in the foreground.

use super::Failure;
use super::config::FileArg;
use crate::config::{AllFlags, Config, keys};
use crate::daemon;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    flags: AllFlags,
    /// Capture filter in tcpdump's syntax, as words
    #[arg(value_name = "FILTER", trailing_var_arg = true, conflicts_with = keys::CAPTURE_FILTER.path)]
    filter: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut flags = args.flags.0.clone();
    if !args.filter.is_empty() {
        flags.set(&keys::CAPTURE_FILTER, args.filter.join(" "));
    }
    let config = args.file.load(&flags)?;
    let path = args.file.path.clone();
    let reread = move || Config::load(path.as_deref(), |name| std::env::var(name).ok(), &flags);
    daemon::run(config, Box::new(reread))
        .map_err(|error| if error.is_usage() { Failure::usage(error) } else { error.into() })
}
