//! What one worker shows of itself: written by it alone, read at scrape time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::capture::Counters;
use crate::time::Timestamp;
use crate::visibility::{Counter, Ledger};

/// The cells of one worker. Two workers' cells never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerCells {
    /// The interface it reads.
    pub interface: Arc<str>,
    pub ledger: Arc<Ledger>,
    /// Told about once a second, so a lock is no burden.
    capture: Mutex<Counters>,
    busy_nanos: Counter,
    /// In hundredths.
    ring_fill: Counter,
    last_packet: Counter,
    /// Turns of its loop: what the watchdog looks at.
    turns: Counter,
    /// 1 when the worker has ended, or has nothing open to read from.
    down: Counter,
    /// Records put into its channel.
    sent: Counter,
    others: ByOthers,
}

/// What other threads write of a worker, on a cache line that it does not write to.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ByOthers {
    /// 1 while its interface is down; the control plane's.
    link_down: Counter,
    /// Records taken out of its channel; the correlator's.
    taken: Counter,
}

impl WorkerCells {
    /// For a worker on `interface`.
    #[must_use]
    pub fn new(interface: Arc<str>) -> Self {
        Self { interface, ..Self::default() }
    }

    /// What its source counted.
    pub fn set_capture(&self, counters: Counters) {
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    /// What its source counted, as last told.
    #[must_use]
    pub fn capture(&self) -> Counters {
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time spent on frames.
    pub fn add_busy(&self, span: Duration) {
        self.busy_nanos.add(u64::try_from(span.as_nanos()).unwrap_or(0));
    }

    /// Time spent on frames so far.
    #[must_use]
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_nanos.value())
    }

    /// How full its ring was found, in hundredths.
    pub fn set_ring_fill(&self, hundredths: u8) {
        self.ring_fill.set(u64::from(hundredths));
    }

    #[must_use]
    pub fn ring_fill(&self) -> u8 {
        u8::try_from(self.ring_fill.value()).unwrap_or(u8::MAX)
    }

    /// A frame of this time came.
    pub fn set_last_packet(&self, at: Timestamp) {
        self.last_packet.set(at.as_nanos());
    }

    #[must_use]
    pub fn last_packet(&self) -> Timestamp {
        Timestamp::from_nanos(self.last_packet.value())
    }

    /// The worker's loop went round once more.
    pub fn turned(&self) {
        self.turns.add(1);
    }

    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.value()
    }

    /// Whether its interface is down. For the control plane.
    pub fn set_link_down(&self, down: bool) {
        self.others.link_down.set(u64::from(down));
    }

    #[must_use]
    pub fn is_link_down(&self) -> bool {
        self.others.link_down.value() != 0
    }

    /// The worker has ended, or its source is not open.
    pub fn set_down(&self, down: bool) {
        self.down.set(u64::from(down));
    }

    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.value() != 0
    }

    /// Records went into its channel.
    pub fn sent(&self, count: u64) {
        self.sent.add(count);
    }

    /// Records came out of its channel. For the correlator's thread.
    pub fn taken(&self, count: u64) {
        self.others.taken.add(count);
    }

    /// Records in its channel, about.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.sent.value().saturating_sub(self.others.taken.value())
    }
}
