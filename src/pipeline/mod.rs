#![forbid(unsafe_code)]
//! The front door of the pure side: frames in, records and sightings out.
//!
//! File, live capture, tests, fuzzing and benches drive the same two calls: [`Pipeline::frame`]
//! and [`Pipeline::advance`].

use std::sync::Arc;

use crate::detect::{EchHello, Origin, Record};
use crate::frame::Frame;
use crate::inspect::Signal;
use crate::net::Path;
use crate::signature::Set;
use crate::time::Timestamp;
use crate::visibility::Ledger;

/// A name was seen, listed or not.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    pub origin: Origin,
    pub signal: Signal,
    /// In its printed form; see [`name`](crate::name).
    pub name: &'a str,
    /// From client to server.
    pub path: Path,
    pub ech: Option<&'a EchHello>,
}

/// Where a pipeline puts what it finds. Called in packet order.
pub trait Sink {
    /// Every name, before it is looked up. Most users do not want them.
    fn sighting(&mut self, _sighting: &Sighting<'_>) {}

    /// Something for the correlator.
    fn record(&mut self, record: Record);
}

/// One worker's way from frames to records.
#[derive(Debug)]
pub struct Pipeline {
    set: Arc<Set>,
    ledger: Arc<Ledger>,
}

impl Pipeline {
    /// An empty pipeline that looks for `set` and counts in `ledger`.
    #[must_use]
    pub fn new(set: Arc<Set>, ledger: Arc<Ledger>) -> Self {
        Self { set, ledger }
    }

    /// From now on looks for `set`. Unfinished flows go on.
    pub fn set_signatures(&mut self, set: Arc<Set>) {
        self.set = set;
    }

    /// One frame in; zero or more sightings and records out. Never blocks, never fails: what
    /// cannot be understood is counted.
    pub fn frame(&mut self, frame: &Frame<'_>, out: &mut impl Sink) {
        let _ = (frame, out);
        self.ledger.frames.add(1);
    }

    /// Packet time has reached `now`: what is overdue ends.
    pub fn advance(&mut self, now: Timestamp, out: &mut impl Sink) {
        let _ = (now, out);
    }

    /// The input has ended: everything unfinished gets its outcome.
    pub fn finish(&mut self, out: &mut impl Sink) {
        let _ = out;
    }
}
