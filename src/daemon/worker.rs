//! A worker: one source, one pipeline, one thread, run to completion.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::Thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::replay::promise;
use super::shared::Shared;
use crate::capture::bpf::Exchange;
use crate::capture::{Batch, CaptureError, Source};
use crate::detect::Record;
use crate::export::metrics::WorkerCells;
use crate::frame::SourceId;
use crate::net::{Pair, Path, Wish};
use crate::pipeline::{Pipeline, Sink};
use crate::time::Timestamp;

/// What a worker sends to the correlator after each batch of frames.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) records: Vec<Record>,
    /// Nothing earlier will follow.
    pub(super) watermark: Timestamp,
    /// A source's clock was set back meanwhile: what follows counts its time anew.
    pub(super) set_back: bool,
    /// There were no frames.
    pub(super) idle: bool,
}

/// Batches that may wait between a worker and the correlator, whatever they hold. The records in
/// them are bounded by `budgets.records`.
pub(super) const PARCELS: usize = 4_096;

/// One worker, ready to run.
#[derive(Debug)]
pub(super) struct Worker<S> {
    source: S,
    id: SourceId,
    pipeline: Pipeline,
    cells: Arc<WorkerCells>,
    shared: Arc<Shared>,
    parcels: SyncSender<Parcel>,
    /// Woken when there is something to correlate.
    correlator: Thread,
    /// Records that may wait.
    most_waiting: u64,
    /// Generations of the policy and of the attributed pairs that are in use here.
    policy_seen: u64,
    attributed_seen: u64,
    latest: Timestamp,
    /// How often the source's clock was set back.
    set_backs: u64,
    published: Instant,
    outages: u64,
    /// Records of the last batch; the next will bring about as many.
    expected: usize,
}

/// How often a worker shows its source's counters.
const PUBLISH: Duration = Duration::from_secs(1);
/// How long a worker waits for frames before it looks up.
const PATIENCE: Duration = Duration::from_millis(100);
/// How far behind the clock an idle interface may still deliver: a ring hands over blocks that are
/// not full after some milliseconds, and a virtual machine may be stopped for longer.
const SLACK: Duration = Duration::from_secs(1);
/// How long frames are still read after a stop was asked for, so that what is in the ring is not
/// lost.
const LAST_WORK: Duration = Duration::from_millis(500);

/// What a worker is made of.
#[derive(Debug)]
pub(super) struct Parts<S> {
    pub(super) source: S,
    pub(super) id: SourceId,
    pub(super) pipeline: Pipeline,
    pub(super) cells: Arc<WorkerCells>,
    pub(super) shared: Arc<Shared>,
    pub(super) parcels: SyncSender<Parcel>,
    pub(super) correlator: Thread,
    pub(super) most_waiting: u64,
}

impl<S: Source> Worker<S> {
    pub(super) fn new(parts: Parts<S>) -> Self {
        let Parts { source, id, pipeline, cells, shared, parcels, correlator, most_waiting } =
            parts;
        Self {
            source,
            id,
            pipeline,
            cells,
            shared,
            parcels,
            correlator,
            most_waiting,
            policy_seen: 0,
            attributed_seen: 0,
            latest: Timestamp::ZERO,
            set_backs: 0,
            published: Instant::now(),
            outages: 0,
            expected: 0,
        }
    }

    /// Runs until it is told to stop, or its source fails.
    pub(super) fn run(mut self) -> Result<(), CaptureError> {
        let ended = loop {
            if self.shared.stopping.load(Relaxed) {
                break self.drain();
            }
            match self.turn(PATIENCE) {
                Ok(Batch::End) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        let mut found = Found::default();
        self.exchanges();
        self.pipeline.finish(&mut found);
        self.send(found.records, false);
        self.publish();
        self.cells.set_down(true);
        ended
    }

    /// One batch of frames and all that follows from it.
    fn turn(&mut self, patience: Duration) -> Result<Batch, CaptureError> {
        let mut found = Found { records: Vec::with_capacity(self.expected), ..Found::default() };
        self.follow(&mut found);
        let Self { source, pipeline, .. } = self;
        let mut begun = None;
        let (mut frames, mut octets) = (0, 0);
        let batch = source.batch(patience, &mut |frame| {
            if begun.is_none() {
                begun = Some(Instant::now());
            }
            frames += 1;
            octets += u64::from(frame.wire_len);
            pipeline.frame(frame, &mut found);
        })?;
        self.cells.add_captured(frames, octets);
        // Waiting is no work; all that follows is.
        let begun = begun.unwrap_or_else(Instant::now);
        if batch == Batch::Idle {
            // Nobody sent anything, so that time passed all the same.
            self.latest = self.latest.max(clock().minus(SLACK));
            self.pipeline.advance(self.latest, &mut found);
        } else {
            // As far as the frames' stamps are believed.
            self.latest = self.pipeline.reached(self.id);
            self.cells.set_last_packet(self.latest);
        }
        // First the pairs: what is done of their flows is left out from then on.
        for (pair, counts) in found.pairs {
            if counts {
                self.source.watch(pair);
            } else {
                self.source.unwatch(pair);
            }
        }
        for (path, wish) in found.wishes {
            self.source.wish(&path, wish);
        }
        if self.published.elapsed() >= PUBLISH {
            self.exchanges();
            self.publish();
        }
        self.send(found.records, batch == Batch::Idle);
        self.cells.add_busy(begun.elapsed());
        self.cells.turned();
        Ok(batch)
    }

    /// Reads what the ring still holds: until nothing comes, or long enough.
    fn drain(&mut self) -> Result<(), CaptureError> {
        let deadline = Instant::now() + LAST_WORK;
        while Instant::now() < deadline {
            if matches!(self.turn(PATIENCE)?, Batch::Idle | Batch::End) {
                break;
            }
        }
        Ok(())
    }

    /// Takes over what the control plane changed: one load of an atomic when it changed nothing.
    fn follow(&mut self, found: &mut Found) {
        let policy = self.shared.policy_generation.load(Acquire);
        if policy != self.policy_seen {
            self.policy_seen = policy;
            self.pipeline.set_signatures(Arc::clone(&self.shared.policy.load().set));
        }
        let attributed = self.shared.attributed_generation.load(Acquire);
        if attributed != self.attributed_seen {
            self.attributed_seen = attributed;
            // Pairs that end have their last octets still.
            self.exchanges();
            self.pipeline.set_attributed(&self.shared.attributed.load(), found);
        }
    }

    /// Adds the volume of frames that the in-kernel filter left out.
    fn exchanges(&mut self) {
        for Exchange { pair, sent, received } in self.source.exchanges() {
            self.pipeline.exchanged(self.id, pair, sent.octets, received.octets);
        }
    }

    fn publish(&mut self) {
        self.published = Instant::now();
        let counters = self.source.counters();
        self.cells.set_capture(counters);
        self.cells.set_ring_fill(self.source.fill());
        self.cells.set_down(!self.source.is_open());
        let skipped = crate::visibility::PacketOutcome::SkippedInKernel;
        self.cells.ledger.packets[skipped as usize].set(counters.skipped_in_kernel);
        for notice in self.source.notices() {
            tracing::warn!("{notice}");
        }
        if counters.outages > self.outages {
            self.outages = counters.outages;
            tracing::warn!(
                interface = &*self.cells.interface,
                outages = counters.outages,
                "the interface went down or away; waiting for it"
            );
        }
    }

    fn send(&mut self, records: Vec<Record>, idle: bool) {
        self.expected = records.len();
        let count = records.len() as u64;
        let lost = if self.cells.waiting() + count > self.most_waiting {
            count
        } else {
            let set_backs = self.pipeline.set_backs();
            let set_back = self.set_backs < set_backs;
            let watermark = promise(self.latest);
            match self.parcels.try_send(Parcel { records, watermark, set_back, idle }) {
                Ok(()) => {
                    self.set_backs = set_backs;
                    self.cells.sent(count);
                    0
                }
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => count,
            }
        };
        if lost > 0 {
            self.cells.ledger.records_lost.add(lost);
        }
        if count > 0 {
            self.correlator.unpark();
        }
    }
}

/// What a pipeline found in one batch.
#[derive(Debug, Default)]
struct Found {
    records: Vec<Record>,
    wishes: Vec<(Path, Wish)>,
    /// Whose volume is counted from now on, or no more.
    pairs: Vec<(Pair, bool)>,
}

impl Sink for Found {
    fn record(&mut self, record: Record) {
        self.records.push(record);
    }

    fn wants_sightings(&self) -> bool {
        false
    }

    fn wish(&mut self, path: &Path, wish: Wish) {
        self.wishes.push((*path, wish));
    }

    fn watch(&mut self, pair: Pair) {
        self.pairs.push((pair, true));
    }

    fn unwatch(&mut self, pair: Pair) {
        self.pairs.push((pair, false));
    }
}

/// The wall clock as packet time.
pub(super) fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_parts(since.as_secs(), since.subsec_nanos())
}
