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
    /// Told about once a second, so a lock is no burden; but for the frames and their octets, which
    /// are told as they come.
    capture: Mutex<Counters>,
    captured: Counter,
    captured_bytes: Counter,
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

    /// So many more frames came from its source, of so many octets.
    pub fn add_captured(&self, frames: u64, octets: u64) {
        self.captured.add(frames);
        self.captured_bytes.add(octets);
    }

    /// What its source counted.
    pub fn set_capture(&self, counters: Counters) {
        self.captured.set(counters.packets);
        self.captured_bytes.set(counters.bytes);
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    /// What its source counted: the frames up to now, the rest as last told.
    #[must_use]
    pub fn capture(&self) -> Counters {
        let told = *self.capture.lock().unwrap_or_else(PoisonError::into_inner);
        Counters { packets: self.captured.value(), bytes: self.captured_bytes.value(), ..told }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Outcomes are told as they come: captured frames a second later would be fewer than those.
    #[test]
    fn captured_frames_are_told_as_they_come() {
        let cells = WorkerCells::default();
        let told = Counters { packets: 5, bytes: 700, outages: 1, ..Counters::default() };
        cells.set_capture(told);
        cells.add_captured(2, 300);
        let now = Counters { packets: 7, bytes: 1_000, ..told };
        assert_eq!(cells.capture(), now);
        cells.set_capture(now);
        assert_eq!(cells.capture(), now);
    }
}
