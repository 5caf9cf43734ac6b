//! Captures from beginning to end through the same stages as live traffic, with nothing dropped.
//!
//! With several workers, frames are dealt out by the addresses of their innermost packet, so that
//! both directions of a conversation, and the fragments of its packets, meet in one pipeline. What
//! comes out does not depend on how many workers there are, as long as no table gives up state for
//! room, and tunnels are not themselves cut into fragments.

mod lanes;

use core::time::Duration;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::capture::file::Files;
use crate::capture::{Batch, CaptureError, Source};
use crate::config::Policy;
use crate::detect::{Correlator, Event, Limits, Record};
use crate::export::names::Names;
use crate::pipeline::{Pipeline, Router, SWEEP, Settings, Sighting, Sink};
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
    pub workers: NonZeroUsize,
}

/// Who looks on.
pub trait Watch {
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
    #[error("a worker panicked")]
    Panicked,
}

/// Reads `files` to their end; `each` hears every event, in order.
pub fn replay(
    files: &mut Files,
    plan: &Plan,
    watch: &mut (impl Watch + Send),
    each: &mut (impl FnMut(&Event<'_>) + Send),
) -> Result<Replayed, ReplayError> {
    if plan.workers.get() > 1 {
        return lanes::replay(files, plan, watch, each);
    }
    let ledger = Arc::new(Ledger::default());
    let mut pipeline = plan.pipeline(&ledger);
    let mut router = Router::new(plan.settings.seed, 1, Arc::clone(&ledger));
    let mut correlator = plan.correlator();
    let mut found = Found::new(plan.names);
    let mut latest = Timestamp::ZERO;
    loop {
        let batch = files.batch(Duration::ZERO, &mut |frame| {
            let routed = router.route(frame);
            latest = latest.max(routed.at);
            if routed.set_back {
                correlator.push(0, &mut found.records, |event| each(&event));
                correlator.set_back(0);
                latest = routed.at;
            }
            pipeline.timed_frame(frame, routed.at, routed.now, &mut found);
            if found.records.len() >= SETTLED {
                correlator.push(0, &mut found.records, |event| each(&event));
                correlator.advance(0, promise(latest), |event| each(&event));
            }
        });
        for fault in files.take_faults() {
            watch.fault(&fault);
        }
        let batch = batch?;
        if batch == Batch::End {
            pipeline.finish(&mut found);
        }
        found.written()?;
        correlator.push(0, &mut found.records, |event| each(&event));
        if batch == Batch::End {
            correlator.finish(|event| each(&event));
            let names = found.names.unwrap_or_default();
            return Ok(Replayed { correlator, ledgers: vec![ledger], names });
        }
        correlator.advance(0, promise(latest), |event| each(&event));
        let (read, total) = files.progress();
        watch.progress(read, total);
    }
}

impl Plan {
    fn pipeline(&self, ledger: &Arc<Ledger>) -> Pipeline {
        let one_of_many = self.workers.get() > 1;
        let settings = Settings { one_of_many, ..self.settings.clone() };
        Pipeline::with(Arc::clone(&self.policy.set), Arc::clone(ledger), settings)
    }

    fn correlator(&self) -> Correlator {
        let Policy { set, networks, exceptions, .. } = &self.policy;
        let workers = self.workers.get();
        let mut correlator =
            Correlator::new(&self.limits, workers, Arc::clone(set), Arc::clone(networks));
        correlator.configure(Arc::clone(set), Arc::clone(networks), Arc::clone(exceptions));
        correlator.set_resolvers(Arc::clone(&self.settings.resolvers));
        correlator
    }
}

/// What will not be undercut any more when frames were read up to `latest`. What is overdue is
/// looked for once in a while, and has the time at which it fell due.
pub fn promise(latest: Timestamp) -> Timestamp {
    latest.minus(SWEEP)
}

/// Records after which a single worker lets the correlator judge: those of a whole batch would
/// drive what it keeps out of a core's cache.
pub const SETTLED: usize = 128;

/// What a pipeline found in one batch.
#[derive(Debug)]
struct Found {
    names: Option<Names>,
    /// Names did not fit in memory, nor could they be written.
    unwritten: Option<io::Error>,
    records: Vec<Record>,
}

impl Found {
    fn new(names: bool) -> Self {
        Self { names: names.then(Names::new), unwritten: None, records: Vec::new() }
    }

    /// What the correlator shall hear of this batch. The next will be about as much.
    fn take(&mut self) -> io::Result<Vec<Record>> {
        self.written()?;
        let room = Vec::with_capacity(self.records.len());
        Ok(core::mem::replace(&mut self.records, room))
    }

    /// Did the names of this batch find room?
    fn written(&mut self) -> io::Result<()> {
        self.unwritten.take().map_or(Ok(()), Err)
    }
}

impl Sink for Found {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        if let Some(names) = &mut self.names
            && let Err(fault) = names.insert(sighting.signal, sighting.name)
        {
            self.unwritten = Some(fault);
        }
    }

    fn wants_sightings(&self) -> bool {
        self.names.is_some()
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}
