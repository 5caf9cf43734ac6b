//! `vendorwatch read`: captures in, findings or names out.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::Failure;
use super::config::FileArg;
use crate::capture::file::Files;
use crate::capture::{CaptureError, Source};
use crate::config::{Policy, SignatureFlags};
use crate::daemon::replay::{Plan, ReplayError, Replayed, Watch, replay};
use crate::detect::summary::{by_client, by_endpoint};
use crate::detect::{Event, Finding};
use crate::export::account::{Account, Tally, left_out_by_configuration};
use crate::export::findings::{self, Context, Format};
use crate::time::Timestamp;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Capture files, directories with captures below them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Print every name seen as kind<TAB>name, sorted and unique, listed or not
    #[arg(long, conflicts_with_all = ["format", "by"])]
    names: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// What a line stands for
    #[arg(long, value_enum, default_value_t = By::Endpoint)]
    by: By,
    /// Threads that look at packets; what is found does not depend on their number. 0: one for
    /// each core
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(..=1_024))]
    workers: u16,
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
        limits: crate::daemon::replay_limits(&config),
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
    say_skipped(files.skipped());
    let mut out = BufWriter::new(io::stdout().lock());
    if args.names {
        replayed.names.print(&mut out)?;
    } else {
        let account = account(&replayed, &tally, &mut files, onlooker.faults);
        print(args, &plan.policy, &replayed, &account, &mut out)?;
    }
    out.flush()?;
    Ok(())
}

/// What was seen and what was not: by the pipeline, by whoever captured, and by this command.
fn account(replayed: &Replayed, tally: &Tally, files: &mut Files, faults: u64) -> Account {
    let ledgers = replayed.ledgers.iter().map(AsRef::as_ref);
    let mut account = Account::of(ledgers, files.counters().dropped(), Some(tally));
    account.also_unseen(faults, "captures that could not be read, or not to their end");
    account.also_unseen(files.skipped().len() as u64, "files and directories passed over");
    account.also_unseen(files.left_out(), "packets that the filter left out");
    let findings = replayed.correlator.tables().into_iter().find(|table| table.table == "findings");
    let given_up = findings.map_or(0, |table| table.evicted);
    account.also_unseen(given_up, "findings given up for want of room (budgets.findings)");
    account
}

/// Names what was passed over, if that is not a long list.
fn say_skipped(skipped: &[PathBuf]) {
    for path in skipped.iter().take(NAMED) {
        say!("warning: {}: passed over, for it is no capture", path.display());
    }
    if skipped.len() > NAMED {
        say!("warning: {} more were passed over", skipped.len() - NAMED);
    }
}

/// How much that was passed over is named.
const NAMED: usize = 5;

fn workers(asked: u16) -> NonZeroUsize {
    NonZeroUsize::new(asked.into())
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

fn print(
    args: &Args,
    policy: &Policy,
    replayed: &Replayed,
    account: &Account,
    out: &mut impl Write,
) -> io::Result<()> {
    let context = Context::of(policy);
    let (reported, left_out): (Vec<&Finding>, Vec<&Finding>) = replayed
        .correlator
        .findings()
        .partition(|finding| policy.takes(&finding.key.vendor, finding.key.strength));
    let left_out = left_out.len();
    let mut remarks = Vec::new();
    if reported.is_empty() {
        writeln!(remarks, "{}", account.of_no_finding(left_out, "finding"))?;
    } else if left_out > 0 {
        writeln!(remarks, "{}", left_out_by_configuration(left_out, "finding"))?;
    }
    let is_table = args.format == Format::Table;
    if !(reported.is_empty() && is_table) {
        match args.by {
            By::Endpoint => {
                let rows = by_endpoint(reported);
                findings::write_endpoints(&rows, &context, args.format, out)?;
            }
            By::Client => {
                let rows = by_client(reported);
                findings::write_clients(&rows, &context, args.format, out)?;
            }
        }
    }
    writeln!(remarks)?;
    account.write(&mut remarks)?;
    writeln!(remarks)?;
    context.write_signatures(&mut remarks)?;
    if is_table {
        return out.write_all(&remarks);
    }
    // Programs read the lines, people the rest.
    out.flush()?;
    io::stderr().lock().write_all(&remarks)
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
    faults: u64,
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
        Self { bar, faults: 0 }
    }
}

impl Watch for Onlooker {
    fn fault(&mut self, fault: &CaptureError) {
        self.faults += 1;
        self.bar.suspend(|| say!("warning: {fault}"));
    }

    fn progress(&mut self, read: u64, total: Option<u64>) {
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(read);
    }
}
