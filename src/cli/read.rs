//! `vendorwatch read`: captures in, findings or names out.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use super::names::Names;
use crate::capture::file::Files;
use crate::capture::{Batch, CaptureError, Source};
use crate::detect::Record;
use crate::pipeline::{Pipeline, Sighting, Sink};
use crate::signature::Set;
use crate::visibility::Ledger;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Capture files, directories with captures below them, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Print every name seen as kind<TAB>name, sorted and unique, listed or not
    #[arg(long)]
    names: bool,
    /// Read only the packets that this filter (tcpdump's syntax) lets through; after --
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let filter = (!args.filter.is_empty()).then(|| args.filter.join(" "));
    let mut files = Files::new(&args.inputs, filter.as_deref()).map_err(blame)?;
    let ledger = Arc::new(Ledger::default());
    let mut pipeline = Pipeline::new(Arc::new(Set::default()), Arc::clone(&ledger));
    let mut sink = Collect { names: Names::new(), fault: None };
    let progress = Progress::new();
    loop {
        let batch = files.batch(Duration::ZERO, &mut |frame| pipeline.frame(frame, &mut sink));
        for fault in files.take_faults() {
            progress.say(&format!("warning: {fault}"));
        }
        match batch.map_err(blame)? {
            Batch::Frames(_) => progress.moved(files.progress()),
            Batch::Idle => {}
            Batch::End => break,
        }
        if let Some(fault) = sink.fault.take() {
            return Err(fault.into());
        }
    }
    pipeline.finish(&mut sink);
    progress.done();
    let mut out = BufWriter::new(io::stdout().lock());
    if args.names {
        sink.names.print(&mut out)?;
    }
    out.flush()?;
    Ok(())
}

/// A filter that does not compile is bad usage; all else is the job's failure.
fn blame(error: CaptureError) -> Failure {
    match error {
        error @ CaptureError::Filter { .. } => Failure::usage(error),
        other => other.into(),
    }
}

/// Keeps what is found.
struct Collect {
    names: Names,
    /// A temporary file could not be written.
    fault: Option<io::Error>,
}

impl Sink for Collect {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        if let Err(fault) = self.names.insert(sighting.signal, sighting.name) {
            self.fault = Some(fault);
        }
    }

    fn record(&mut self, _record: Record) {}
}

/// A bar for a person; nothing where nobody looks.
struct Progress(indicatif::ProgressBar);

impl Progress {
    fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self(indicatif::ProgressBar::hidden());
        }
        let bar = indicatif::ProgressBar::no_length();
        if let Ok(style) =
            indicatif::ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta}")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn moved(&self, (read, total): (u64, Option<u64>)) {
        if let Some(total) = total {
            self.0.set_length(total);
        }
        self.0.set_position(read);
    }

    fn say(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }

    fn done(&self) {
        self.0.finish_and_clear();
    }
}
