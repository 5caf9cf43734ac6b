//! `vendorwatch config`: find mistakes in a configuration, or show what is in effect and why.

use std::io::{self, Write};
use std::path::PathBuf;

use super::Failure;
use crate::config::{AllFlags, Config, Flags};
use crate::daemon;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say what `run` would refuse of the configuration and its signatures, if anything
    Check(Subject),
    /// Print what is in effect, each value with where it comes from
    Show(Subject),
}

#[derive(Debug, clap::Args)]
struct Subject {
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    flags: AllFlags,
}

/// `--config FILE`, as every command has it that reads a configuration.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FileArg {
    /// Configuration file
    #[arg(
        short = 'c',
        long = "config",
        visible_alias = "config.file",
        value_name = "FILE",
        env = "VENDORWATCH_CONFIG"
    )]
    pub(super) path: Option<PathBuf>,
}

impl FileArg {
    /// The configuration of this file, the environment and `flags`.
    pub(super) fn load(&self, flags: &Flags) -> Result<Config, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        Config::load(self.path.as_deref(), variable, flags).map_err(Failure::usage)
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Check(subject) => {
            check(&subject.file.load(&subject.flags.0)?)?;
            eprintln!("the configuration is sound");
        }
        What::Show(subject) => {
            let config = subject.file.load(&subject.flags.0)?;
            io::stdout().lock().write_all(crate::config::show(&config).as_bytes())?;
        }
    }
    Ok(())
}

/// What is wrong with a configuration that could be read.
fn check(config: &Config) -> Result<(), Failure> {
    let faults: Vec<String> = daemon::faults(config).iter().map(ToString::to_string).collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::usage(anyhow::anyhow!(faults.join("\n")))) }
}
