//! The commands: one file each, wiring only. Data goes to standard output, talk to standard error.
//!
//! A command is a `clap::Args` struct and a function `run(&Args) -> Result<(), Failure>`.

// `eprintln!` panics where nobody reads standard error; `say!` does not.
#![warn(clippy::print_stderr)]

/// A line of talk, formatted as by `format!`. That nobody listens any more (`2>&1 | head`) is no
/// reason to leave the job undone.
macro_rules! say {
    ($($line:tt)+) => {
        $crate::cli::say_line(format!($($line)+))
    };
}

mod bench;
mod config;
mod explain;
mod generate;
mod interfaces;
mod inventory;
mod logging;
mod read;
mod run;
mod signatures;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{CommandFactory, Parser, Subcommand};

use crate::REVISION;

pub use self::bench::processor_time;

/// Finds endpoints of listed vendors in mirrored traffic and exports them to Prometheus.
#[derive(Debug, Parser)]
#[command(
    name = "vendorwatch",
    version,
    long_version = LONG_VERSION.as_str(),
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done; 1 the job failed; 2 bad usage, configuration or signatures."
)]
pub struct Cli {
    #[command(flatten)]
    logging: logging::Args,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which documented endpoint a name or address is, and who says so
    Match(explain::Args),
    /// Check, show and exchange signatures
    Signatures(signatures::Args),
    /// Capture from interfaces and serve what is found
    Run(run::Args),
    /// Read capture files and say which listed vendors were contacted, by whom and when
    Read(read::Args),
    /// List what was found, from the database of the daemon
    Inventory(inventory::Args),
    /// Check the configuration, or show what is in effect
    Config(config::Args),
    /// List interfaces, and what would distort or forbid a capture
    Interfaces(interfaces::Args),
    /// Measure what each stage costs on one's own captures
    Bench(bench::Args),
    /// Print the man page, completions and the other files that packages install
    Generate(generate::Args),
}

/// Why a command did not do its job; decides the exit code.
#[derive(Debug)]
pub enum Failure {
    /// The job was understood and failed: exit code 1.
    Job(anyhow::Error),
    /// Bad usage, configuration or signatures: exit code 2.
    Usage(anyhow::Error),
}

impl Failure {
    /// Bad usage, configuration or signatures.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(with_default_command(arguments)) {
        Ok(cli) => cli,
        Err(refusal) => {
            // Help and version arrive here too, with code 0. A reader that went away is no fault.
            let _ = refusal.print();
            return ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(2));
        }
    };
    if let Err(error) = cli.logging.install() {
        say!("error: {error:#}");
        return ExitCode::from(2);
    }
    let done = match &cli.command {
        Command::Match(args) => explain::run(args),
        Command::Signatures(args) => signatures::run(args),
        Command::Run(args) => run::run(args),
        Command::Read(args) => read::run(args),
        Command::Inventory(args) => inventory::run(args),
        Command::Config(args) => config::run(args),
        Command::Interfaces(args) => interfaces::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Generate(args) => generate::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Job(error)) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(Failure::Job(error)) => {
            say!("error: {error:#}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(error)) => {
            say!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn say_line(mut line: String) {
    line.push('\n');
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The whole command line, for help, completions and the man page.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// `vendorwatch -i eth0` means `vendorwatch run -i eth0`.
fn with_default_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let interface_first = arguments.get(1).and_then(|first| first.to_str()).is_some_and(|first| {
        first.starts_with("--interface") || (first.starts_with("-i") && first != "-")
    });
    if interface_first {
        arguments.insert(1, OsStr::new("run").to_os_string());
    }
    arguments
}

/// Did whoever reads our output go away? That is how `| head` ends, not a failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|error| error.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
    })
}

/// Version, revision and what was built in.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let features = [("libpcap", cfg!(feature = "libpcap")), ("xdp", cfg!(feature = "xdp"))];
    let built_in = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name);
    format!(
        "{}\nrevision: {REVISION}\nfeatures: {}\nplatform: {}/{}",
        env!("CARGO_PKG_VERSION"),
        built_in.collect::<Vec<_>>().join(" "),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_commands_that_the_readme_shows_are_understood() {
        let readme = include_str!("../../README.md");
        let block = readme.split("```").find(|block| block.contains("vendorwatch read")).unwrap();
        let commands: Vec<&str> =
            block.lines().filter(|line| line.starts_with("vendorwatch ")).collect();
        assert!(commands.len() > 5, "{commands:?}");
        for line in commands {
            let words = line.split('#').next().unwrap_or_default().split_whitespace();
            if let Err(refusal) = command().try_get_matches_from(words) {
                panic!("{line}: {refusal}");
            }
        }
    }

    #[test]
    fn an_interface_alone_means_run() {
        let run = |words: &[&str]| with_default_command(words.iter().map(OsString::from));
        assert_eq!(run(&["vendorwatch", "-i", "eth0"])[1], "run");
        assert_eq!(run(&["vendorwatch", "-ieth0"])[1], "run");
        assert_eq!(run(&["vendorwatch", "read", "-"])[1], "read");
        assert_eq!(run(&["vendorwatch"]).len(), 1);
    }
}
