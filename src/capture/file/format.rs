//! What the two file formats have in common: a step takes one record off the front of the octets
//! that are there, without knowing where they come from.

use core::ops::Range;

use crate::frame::LinkType;
use crate::time::Timestamp;

/// Takes records off the front of a stream of octets.
pub(super) trait Format {
    /// What the octets at the front are. `octets` is at the boundary of a record.
    fn step(&mut self, octets: &[u8]) -> Step;

    /// The frame of the last step was walked past: until then, it may be looked at again.
    #[inline]
    fn passed(&mut self) {}
}

/// One record, or why there is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// A frame; its record ends after `used` octets.
    Frame { head: Head, used: usize },
    /// A record without a frame: go on after `used` octets, which may lie beyond what is there.
    Skip { used: u64 },
    /// The record has at least this many octets.
    Need(usize),
    /// The record cannot be right.
    Broken(Fault),
}

/// What a record says about its frame.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) at: Timestamp,
    pub(super) link: LinkType,
    pub(super) wire_len: u32,
    /// Where the frame lies in the octets given to [`Format::step`].
    pub(super) data: Range<usize>,
}

/// Why a record cannot be right.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    #[error("a record of {octets} octets, more than the limit of {MAX_RECORD}")]
    TooLong { octets: u64 },
    #[error("a block of {octets} octets, fewer than its kind has or not a multiple of four")]
    BlockLength { octets: u32 },
    #[error("a block says {front} octets at its front and {back} at its end")]
    BlockEnds { front: u32, back: u32 },
    #[error("a frame of {octets} octets in a block that has room for {room}")]
    Overrun { octets: u32, room: u32 },
    #[error("a section header with the unknown byte-order mark {0:#010x}")]
    ByteOrder(u32),
    #[error("a section of the unknown version {0}")]
    Version(u16),
    #[error("more than {MAX_INTERFACES} interfaces in a section")]
    Interfaces,
}

/// The longest record that is read whole. The largest snap length of libpcap for network
/// interfaces is 256 KiB; a longer record than this is a damaged length.
pub(super) const MAX_RECORD: usize = 16 << 20;

/// How many interfaces a pcapng section may describe.
pub(super) const MAX_INTERFACES: usize = 4_096;

/// Reads numbers in the byte order of a file. `BIG` is known at compile time so that the
/// loop over records has no branch for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<const BIG: bool>;

impl<const BIG: bool> Order<BIG> {
    #[inline]
    pub(super) fn u16(octets: &[u8], at: usize) -> Option<u16> {
        let field = *octets.get(at..)?.first_chunk()?;
        Some(if BIG { u16::from_be_bytes(field) } else { u16::from_le_bytes(field) })
    }

    #[inline]
    pub(super) fn u32(octets: &[u8], at: usize) -> Option<u32> {
        let field = *octets.get(at..)?.first_chunk()?;
        Some(if BIG { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) })
    }

    #[inline]
    pub(super) fn u64(octets: &[u8], at: usize) -> Option<u64> {
        let field = *octets.get(at..)?.first_chunk()?;
        Some(if BIG { u64::from_be_bytes(field) } else { u64::from_le_bytes(field) })
    }
}
