//! What the program says about itself, on standard error or natively to the journal.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// The logging options that every command has.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Least important level that is logged: error, warn, info, debug, trace
    #[arg(
        long = "log.level",
        global = true,
        value_name = "LEVEL",
        default_value = "info",
        env = "VENDORWATCH_LOG_LEVEL",
        help_heading = "Logging"
    )]
    level: tracing::Level,
    /// How log lines are written
    #[arg(
        id = "log.format",
        value_name = "FORMAT",
        long = "log.format",
        global = true,
        value_enum,
        default_value = "auto",
        env = "VENDORWATCH_LOG_FORMAT",
        help_heading = "Logging"
    )]
    format: Format,
    /// One level more talk (-v debug, -vv trace)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Logging")]
    verbose: u8,
    /// Warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Logging")]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Format {
    /// The journal when it reads our standard error, key=value lines otherwise
    Auto,
    /// key=value lines
    Logfmt,
    /// One JSON object a line
    Json,
    /// The journal's own protocol, with fields
    Journald,
}

impl Args {
    /// From now on events are written as these options say.
    pub(super) fn install(&self) -> anyhow::Result<()> {
        let level = match (self.quiet, self.verbose) {
            (true, _) => tracing::Level::WARN,
            (false, 0) => self.level,
            (false, 1) => tracing::Level::DEBUG,
            (false, _) => tracing::Level::TRACE,
        };
        // Other crates are of interest only when they are in trouble.
        let filter = EnvFilter::try_new(format!("warn,vendorwatch={level}"))?;
        let journald = match self.format {
            Format::Journald => true,
            Format::Auto => stderr_is_the_journal(),
            Format::Logfmt | Format::Json => false,
        };
        let layer = if journald {
            tracing_journald::layer()
                .context("cannot reach the journal; --log.format=logfmt does without")?
                .boxed()
        } else if self.format == Format::Json {
            tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).boxed()
        } else {
            tracing_subscriber::fmt::layer()
                .with_target(false)
                .with_ansi(colour())
                .with_writer(std::io::stderr)
                .boxed()
        };
        tracing_subscriber::registry().with(filter).with(layer).try_init()?;
        Ok(())
    }
}

/// Colour only for a person: on a terminal, and unless `NO_COLOR` is set (no-color.org).
fn colour() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `JOURNAL_STREAM` holds device and inode of the journal's stream (systemd.exec(5)).
fn stderr_is_the_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}
