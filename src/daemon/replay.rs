//! Captures from beginning to end through the same stages as live traffic, with nothing dropped.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use crate::capture::file::Files;
use crate::capture::{Batch, CaptureError, Source};
use crate::config::Policy;

use crate::detect::{Correlator, Event, Limits, Record};
use crate::export::names::Names;
use crate::pipeline::{Pipeline, Settings, Sighting, Sink};
use crate::time::Timestamp;
use crate::visibility::Ledger;

/// What to do with the captures.
#[derive(Clone, Debug)]
pub struct Plan {
    pub policy: Policy,
    pub settings: Settings,
    pub limits: Limits,
    /// Keep every name seen.
    pub names: bool,
}

/// Who looks on.
pub trait Watch {
    /// Something was found.
    fn event(&mut self, event: &Event<'_>);

    /// A file could not be read, or not to its end.
    fn fault(&mut self, fault: &CaptureError);

    /// Octets read so far, and of all files where that is known.
    fn progress(&mut self, read: u64, total: Option<u64>);
}

/// What came of it.
#[derive(Debug)]
pub struct Replayed {
    pub correlator: Correlator,
    pub ledgers: Vec<Arc<Ledger>>,
    pub names: Names,
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("cannot keep names in a temporary file: {0}")]
    Names(#[from] io::Error),
}

/// Reads `files` to their end.
pub fn replay(
    files: &mut Files,
    plan: &Plan,
    watch: &mut impl Watch,
) -> Result<Replayed, ReplayError> {
    let ledger = Arc::new(Ledger::default());
    let Policy { set, networks, exceptions, .. } = &plan.policy;
    let mut pipeline = Pipeline::with(Arc::clone(set), Arc::clone(&ledger), plan.settings.clone());
    let mut correlator = Correlator::new(&plan.limits, 1, Arc::clone(set), Arc::clone(networks));
    correlator.configure(Arc::clone(set), Arc::clone(networks), Arc::clone(exceptions));
    let mut found =
        Found { names: plan.names.then(Names::new), unwritten: None, records: Vec::new() };
    let mut latest = Timestamp::ZERO;
    loop {
        let batch = files.batch(Duration::ZERO, &mut |frame| {
            latest = latest.max(frame.at);
            pipeline.frame(frame, &mut found);
        });
        for fault in files.take_faults() {
            watch.fault(&fault);
        }
        let batch = batch?;
        if let Some(fault) = found.unwritten.take() {
            return Err(fault.into());
        }
        if batch == Batch::End {
            pipeline.finish(&mut found);
        }
        for record in found.records.drain(..) {
            correlator.push(0, record, |event| watch.event(&event));
        }
        if batch == Batch::End {
            correlator.finish(|event| watch.event(&event));
            let names = found.names.unwrap_or_default();
            return Ok(Replayed { correlator, ledgers: vec![ledger], names });
        }
        correlator.advance(0, latest, |event| watch.event(&event));
        let (read, total) = files.progress();
        watch.progress(read, total);
    }
}

/// What a pipeline found in one batch.
struct Found {
    names: Option<Names>,
    /// Names did not fit in memory, nor could they be written.
    unwritten: Option<io::Error>,
    records: Vec<Record>,
}

impl Sink for Found {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        if let Some(names) = &mut self.names
            && let Err(fault) = names.insert(sighting.signal, sighting.name)
        {
            self.unwritten = Some(fault);
        }
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}
