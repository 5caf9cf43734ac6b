//! `vendorwatch config`: find mistakes in a configuration, or show what is in effect and why.

use core::cell::LazyCell;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::PathBuf;

use super::Failure;
use crate::config::{AllFlags, Config, Flags, keys};
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
        check_variables()?;
        let variable = |name: &str| std::env::var(name).ok();
        Config::load(self.path.as_deref(), variable, flags).map_err(Failure::usage)
    }
}

/// Refuses a setting in the environment that is no text, and warns of what is none: unlike an
/// unknown key of the file it may be somebody else's.
fn check_variables() -> Result<(), Failure> {
    // Made for names that are no keys; mostly there are none.
    let program = LazyCell::new(super::command);
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("VENDORWATCH_")) else {
            continue;
        };
        let is_setting = keys::ALL.iter().any(|key| key.variable() == name)
            || is_variable_of(&program, OsStr::new(name));
        if is_setting && value.to_str().is_none() {
            return Err(Failure::usage(anyhow::anyhow!("{name}: the value is not UTF-8")));
        }
        if !is_setting && !is_service_link(name) {
            tracing::warn!("the variable {name} sets nothing: `help run` names those that do");
        }
    }
    Ok(())
}

/// Does an option of this command, or of one below it, take its value from this variable?
fn is_variable_of(command: &clap::Command, name: &OsStr) -> bool {
    command.get_arguments().any(|argument| argument.get_env() == Some(name))
        || command.get_subcommands().any(|below| is_variable_of(below, name))
}

/// Does Kubernetes say so where a service called vendorwatch is?
fn is_service_link(name: &str) -> bool {
    let rest = name.trim_start_matches("VENDORWATCH_");
    rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_")
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Check(subject) => {
            check(&subject.file.load(&subject.flags.0)?)?;
            say!("the configuration is sound");
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
