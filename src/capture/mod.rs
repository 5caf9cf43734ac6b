//! Where frames come from: files, libpcap, a packet ring, a ring behind an in-kernel filter.
//!
//! In: an interface name or a path. Out: [`Frame`]s, borrowed from the source's own buffer and
//! handed to a closure, so that nothing is copied. A source never looks inside a frame.

pub mod bpf;
pub mod classic;
#[cfg(feature = "libpcap")]
mod counters;
pub mod dispatch;
pub mod file;
mod filter;
pub mod interfaces;
#[cfg(feature = "libpcap")]
pub mod libpcap;
pub mod live;
pub mod netlink;
pub mod ring;
pub mod sys;
pub mod xdp;

use core::time::Duration;

pub use self::filter::Filter;

use crate::capture::bpf::{Exchange, Skipped};
use crate::capture::live::Notice;
use crate::frame::Frame;
use crate::net::{Pair, Path, Wish};

/// Something that yields frames in its own order.
pub trait Source {
    /// Hands the frames that are ready, at most about [`BATCH`], to `each` and returns.
    ///
    /// A live source waits at most `patience` for the first one, so that its worker can notice
    /// a shutdown and let idle time pass.
    ///
    /// # Errors
    /// When the source can yield nothing further. Frames handed out before stay valid.
    fn batch(
        &mut self,
        patience: Duration,
        each: &mut impl FnMut(&Frame<'_>),
    ) -> Result<Batch, CaptureError>
    where
        Self: Sized;

    /// What the source counted since it was opened. Cheap enough to ask once a second.
    fn counters(&mut self) -> Counters;

    /// Takes note of what is known of a flow, where packets can be left out. A system call, or
    /// nothing.
    fn wish(&mut self, _path: &Path, _wish: Wish) {}

    /// Does the source leave out packets that nobody needs, all but the sampled flows'?
    fn leaves_out(&self) -> bool {
        false
    }

    /// From now on counts the volume of this pair where its packets are left out.
    fn watch(&mut self, _pair: Pair) {}

    /// Ends that.
    fn unwatch(&mut self, _pair: Pair) {}

    /// What watched pairs exchanged in packets left out, since it was last asked. To be added to
    /// the volume of the frames that were delivered.
    fn exchanges(&mut self) -> Vec<Exchange> {
        Vec::new()
    }

    /// The share of a buffer shared with the kernel that waits to be read, in hundredths.
    fn fill(&self) -> u8 {
        0
    }

    /// Would frames reach it now? Not while its interface is gone, or cannot be opened again.
    fn is_open(&self) -> bool {
        true
    }

    /// What could not be had any more since the last call.
    fn notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }
}

/// How one call of [`Source::batch`] ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Batch {
    /// This many frames were handed out; there may be more.
    Frames(usize),
    /// A live source had nothing within the caller's patience.
    Idle,
    /// A file is read to its end.
    End,
}

/// About how many frames one batch holds: enough to amortise a system call, few enough to keep
/// the worker answering.
pub const BATCH: usize = 4_096;

/// What a source counted, as totals since it was opened (widened where the kernel's wrap).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Frames handed out.
    pub packets: u64,
    /// Their octets on the wire.
    pub bytes: u64,
    /// Dropped by the kernel for want of room in the buffer.
    pub dropped_kernel: u64,
    /// Dropped by the interface or its driver.
    pub dropped_interface: u64,
    /// Frames that an in-kernel filter left out after counting them.
    pub skipped_in_kernel: u64,
    /// The same by reason, with their octets.
    pub skipped: Skipped,
    /// Times the ring was full (`TPACKET_V3` freezes).
    pub freezes: u64,
    /// Times the interface went down or away.
    pub outages: u64,
}

impl Counters {
    /// Lost before anybody saw them, wherever that was.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        // A file may say anything of these.
        self.dropped_kernel.saturating_add(self.dropped_interface)
    }

    /// Adds what another source counted.
    pub fn add(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        // A file may say anything of these.
        self.dropped_kernel = self.dropped_kernel.saturating_add(other.dropped_kernel);
        self.dropped_interface = self.dropped_interface.saturating_add(other.dropped_interface);
        self.skipped_in_kernel += other.skipped_in_kernel;
        self.skipped.add(&other.skipped);
        self.freezes += other.freezes;
        self.outages += other.outages;
    }
}

/// Why a source gives nothing (more).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file or interface could not be opened.
    #[error("cannot open {what}: {why}")]
    Open { what: String, why: String },
    /// The octets are not a capture in any format known here.
    #[error("{what}: not a capture file: {why}")]
    NotACapture {
        what: String,
        why: String,
        /// It may well be a capture, in a form that is not read here.
        foreign: bool,
    },
    /// A capture breaks off or contradicts itself; every frame before `offset` was delivered.
    #[error("{what}: broken at byte {offset}: {why}")]
    Broken { what: String, offset: u64, why: String },
    /// A BPF filter does not compile.
    #[error("filter `{filter}`: {why}")]
    Filter { filter: String, why: String },
    /// An interface went away while capturing.
    #[error("interface {what}: {why}")]
    Down { what: String, why: String },
}
