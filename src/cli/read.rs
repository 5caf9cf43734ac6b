//! `vendorwatch read`: captures in, findings or names out.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::Failure;
use super::config::FileArg;
use crate::capture::CaptureError;
use crate::capture::file::Files;
use crate::config::{Policy, SignatureFlags};
use crate::daemon::replay::{Plan, ReplayError, Replayed, Watch, replay};
use crate::detect::Limits;
use crate::detect::summary::{by_client, by_endpoint};
use crate::detect::{Event, Finding};
use crate::export::account::{Account, Tally};
use crate::export::findings::{self, Context, Format};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Capture files, directories with captures below them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Print every name seen as kind<TAB>name, sorted and unique, listed or not
    #[arg(long)]
    names: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// What a line stands for
    #[arg(long, value_enum, default_value_t = By::Endpoint)]
    by: By,
    /// Threads that look at packets; what is found does not depend on their number. 0: one for
    /// each core
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
    #[command(flatten)]
    file: FileArg,
    #[command(flatten)]
    flags: SignatureFlags,
    /// Read only the packets that this filter (tcpdump's syntax) lets through; after --
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum By {
    /// A product's endpoints, with the number of their clients
    Endpoint,
    /// A client with a vendor's product
    Client,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.file.load(&args.flags.0)?;
    let policy = Policy::load(&config, &[], Timestamp::ZERO).map_err(Failure::usage)?;
    let filter = (!args.filter.is_empty()).then(|| args.filter.join(" "));
    let mut files = Files::new(&args.inputs, filter.as_deref()).map_err(blame)?;
    let plan = Plan {
        policy,
        settings: crate::daemon::settings(&config),
        limits: Limits::default(),
        names: args.names,
        workers: workers(args.workers),
    };
    let mut onlooker = Onlooker::new();
    let mut tally = Tally::default();
    let mut each = |event: &Event<'_>| tally.observe(event);
    let replayed =
        replay(&mut files, &plan, &mut onlooker, &mut each).map_err(|error| match error {
            ReplayError::Capture(error) => blame(error),
            other => other.into(),
        })?;
    onlooker.bar.finish_and_clear();
    let mut out = BufWriter::new(io::stdout().lock());
    if args.names {
        replayed.names.print(&mut out)?;
    } else {
        let context = Context::of(&plan.policy);
        print(args, &plan.policy, &context, &replayed, &mut out)?;
        out.flush()?;
        let ledgers = replayed.ledgers.iter().map(AsRef::as_ref);
        let account = Account::of(ledgers, 0, Some(&tally));
        if args.format == Format::Table {
            writeln!(out)?;
            account.write(&mut out)?;
            writeln!(out)?;
            context.write_signatures(&mut out)?;
        } else {
            let mut talk = io::stderr().lock();
            account.write(&mut talk)?;
            context.write_signatures(&mut talk)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn workers(asked: usize) -> NonZeroUsize {
    NonZeroUsize::new(asked)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

fn print(
    args: &Args,
    policy: &Policy,
    context: &Context<'_>,
    replayed: &Replayed,
    out: &mut impl Write,
) -> io::Result<()> {
    let reported: Vec<&Finding> = replayed
        .correlator
        .findings()
        .filter(|finding| policy.takes(&finding.key.vendor, finding.key.strength))
        .collect();
    if reported.is_empty() && args.format == Format::Table {
        return writeln!(
            out,
            "No endpoint of a listed vendor was contacted in what could be seen."
        );
    }
    match args.by {
        By::Endpoint => {
            let rows = by_endpoint(reported);
            findings::write_endpoints(&rows, context, args.format, out)
        }
        By::Client => {
            let rows = by_client(reported);
            findings::write_clients(&rows, context, args.format, out)
        }
    }
}

/// A filter that does not compile is bad usage; all else is the job's failure.
fn blame(error: CaptureError) -> Failure {
    match error {
        error @ CaptureError::Filter { .. } => Failure::usage(error),
        other => other.into(),
    }
}

/// A bar for a person.
struct Onlooker {
    bar: indicatif::ProgressBar,
}

impl Onlooker {
    fn new() -> Self {
        let bar = if io::stderr().is_terminal() {
            indicatif::ProgressBar::no_length()
        } else {
            indicatif::ProgressBar::hidden()
        };
        let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }
}

impl Watch for Onlooker {
    fn fault(&mut self, fault: &CaptureError) {
        self.bar.suspend(|| eprintln!("warning: {fault}"));
    }

    fn progress(&mut self, read: u64, total: Option<u64>) {
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(read);
    }
}
