//! The classic format (draft-ietf-opsawg-pcap): one header, then records.

use super::format::{Fault, Format, Head, MAX_RECORD, Order, Step};
use crate::frame::LinkType;
use crate::time::Timestamp;

/// What the file header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    /// Numbers are big-endian.
    pub(super) big: bool,
    /// Nanoseconds in one unit of the timestamp's fraction.
    nanos: u32,
    /// Octets in a record's header.
    record: usize,
    lengths: Lengths,
    link: LinkType,
}

/// The order of a record's two lengths, which changed in version 2.3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lengths {
    CapturedFirst,
    WireFirst,
    /// Version 2.3 was written both ways: the captured length is the smaller one.
    SmallerIsCaptured,
}

impl Header {
    /// Octets of the file header.
    pub(super) const LEN: usize = 24;

    /// The octets of every magic number as they lie in a file.
    pub(super) fn is_magic(octets: [u8; 4]) -> bool {
        Self::variant(u32::from_be_bytes(octets)).is_some()
            || Self::variant(u32::from_le_bytes(octets)).is_some()
    }

    /// Reads the file header, when it is one.
    pub(super) fn parse(octets: &[u8; Self::LEN]) -> Option<Self> {
        let magic = *octets.first_chunk()?;
        if let Some((nanos, record)) = Self::variant(u32::from_be_bytes(magic)) {
            Self::read::<true>(octets, nanos, record)
        } else {
            let (nanos, record) = Self::variant(u32::from_le_bytes(magic))?;
            Self::read::<false>(octets, nanos, record)
        }
    }

    /// Nanoseconds a unit and octets of a record header, by magic number.
    const fn variant(magic: u32) -> Option<(u32, usize)> {
        match magic {
            0xa1b2_c3d4 => Some((1_000, 16)),
            0xa1b2_3c4d => Some((1, 16)),
            // Alexey Kuznetzov's patch of 1996 adds interface, protocol and packet type.
            0xa1b2_cd34 => Some((1_000, 24)),
            _ => None,
        }
    }

    fn read<const BIG: bool>(octets: &[u8], nanos: u32, record: usize) -> Option<Self> {
        let major = Order::<BIG>::u16(octets, 4)?;
        let minor = Order::<BIG>::u16(octets, 6)?;
        let lengths = match (major, minor) {
            (2, 0..=2) => Lengths::WireFirst,
            (2, 3) => Lengths::SmallerIsCaptured,
            _ => Lengths::CapturedFirst,
        };
        // The upper bits say whether and how long a frame check sequence is.
        let link = LinkType(Order::<BIG>::u32(octets, 20)? & 0x03ff_ffff);
        Some(Self { big: BIG, nanos, record, lengths, link })
    }
}

/// The records of a file whose numbers are in one byte order.
#[derive(Debug)]
pub(super) struct Records<const BIG: bool>(pub(super) Header);

impl<const BIG: bool> Format for Records<BIG> {
    #[inline]
    fn step(&mut self, octets: &[u8]) -> Step {
        let header = self.0;
        let Some(record) = octets.get(..header.record) else {
            return Step::Need(header.record);
        };
        let field = |at| Order::<BIG>::u32(record, at).unwrap_or_default();
        let (first, second) = (field(8), field(12));
        let (captured, wire_len) = match header.lengths {
            Lengths::CapturedFirst => (first, second),
            Lengths::WireFirst => (second, first),
            Lengths::SmallerIsCaptured => (first.min(second), first.max(second)),
        };
        let captured = captured as usize;
        if captured > MAX_RECORD {
            return Step::Broken(Fault::TooLong { octets: captured as u64 });
        }
        let used = header.record + captured;
        if octets.len() < used {
            return Step::Need(used);
        }
        let nanos = u64::from(field(4)) * u64::from(header.nanos);
        let head = Head {
            at: Timestamp::from_nanos(u64::from(field(0)) * 1_000_000_000 + nanos),
            link: header.link,
            // A frame cannot have been shorter than what was captured of it.
            wire_len: wire_len.max(u32::try_from(captured).unwrap_or(u32::MAX)),
            data: header.record..used,
        };
        Step::Frame { head, used }
    }
}
