//! The block format (draft-ietf-opsawg-pcapng): sections, each with its own byte order and
//! interfaces, and blocks of which only some hold frames.

use super::format::{Fault, Format, Head, MAX_INTERFACES, MAX_RECORD, Order, Step};
use crate::frame::LinkType;
use crate::time::Timestamp;

/// The type of a section header, the same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;

const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MARK: u32 = 0x1a2b_3c4d;

/// Options of an Interface Description Block (§4.2), an Enhanced Packet Block (§4.3) and an Interface
/// Statistics Block (§4.6).
const END_OF_OPTIONS: u16 = 0;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
const EPB_DROPCOUNT: u16 = 4;
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;

/// What a Packet Block says of losses where nobody knew (appendix A).
const UNKNOWN_LOSS: u16 = 0xffff;

/// The longest block of interface statistics that is read; longer ones are skipped.
const MAX_STATISTICS: u32 = 64 << 10;

/// The blocks of a file.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// The section's numbers are big-endian.
    big: bool,
    /// The section's interfaces, in the order of their numbers.
    interfaces: Vec<Interface>,
    /// Time of the last frame that had one: Simple Packet Blocks have none.
    last: Timestamp,
    /// Drops that finished sections reported.
    dropped: Dropped,
    /// An interface, and what it lost before the frame that is being looked at.
    lost: Option<(usize, u64)>,
}

/// What the capturing system says it lost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Dropped {
    pub(super) interface: u64,
    pub(super) kernel: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Interface {
    link: LinkType,
    snap_len: u32,
    clock: Clock,
    /// The last that its statistics said; each block repeats the total.
    dropped: Dropped,
    /// The sum of what its frames said that was lost before each.
    lost: u64,
}

impl Interface {
    /// What it lost: its statistics and its frames may tell of the same, so the larger counts. Of the
    /// frames' nobody knows where; what is not in the statistics is ascribed to the kernel.
    fn dropped(&self) -> Dropped {
        let Dropped { interface, kernel } = self.dropped;
        Dropped { interface, kernel: kernel.max(self.lost.saturating_sub(interface)) }
    }
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    unit: Unit,
    /// Seconds to add.
    offset: i64,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    /// So many nanoseconds each.
    Nanos(u64),
    /// So many to a nanosecond.
    PerNano(u64),
    /// A second has two to the power of this.
    Binary(u8),
}

impl Default for Unit {
    fn default() -> Self {
        Self::Nanos(1_000)
    }
}

impl Unit {
    /// From the value of `if_tsresol`; powers that no 64-bit count could use mean time zero.
    fn from_option(value: u8) -> Self {
        let power = value & 0x7f;
        if value & 0x80 != 0 {
            Self::Binary(power)
        } else if power <= 9 {
            Self::Nanos(10_u64.pow(u32::from(9 - power)))
        } else {
            Self::PerNano(10_u64.checked_pow(u32::from(power - 9)).unwrap_or(u64::MAX))
        }
    }
}

impl Clock {
    #[inline]
    fn time(self, high: u32, low: u32) -> Timestamp {
        let count = u64::from(high) << 32 | u64::from(low);
        let nanos = match self.unit {
            Unit::Nanos(each) => count.saturating_mul(each),
            Unit::PerNano(each) => count / each,
            Unit::Binary(power) => {
                let nanos = (u128::from(count) * 1_000_000_000) >> power;
                u64::try_from(nanos).unwrap_or(u64::MAX)
            }
        };
        let offset = self.offset.unsigned_abs().saturating_mul(1_000_000_000);
        Timestamp::from_nanos(if self.offset < 0 {
            nanos.saturating_sub(offset)
        } else {
            nanos.saturating_add(offset)
        })
    }
}

impl Format for Blocks {
    #[inline]
    fn step(&mut self, octets: &[u8]) -> Step {
        if self.big { self.block::<true>(octets) } else { self.block::<false>(octets) }
    }

    #[inline]
    fn passed(&mut self) {
        if self.lost.is_some() {
            self.count_lost();
        }
    }
}

impl Blocks {
    /// What the interfaces of all sections say they lost, as far as was read.
    pub(super) fn dropped(&self) -> Dropped {
        let dropped = self.interfaces.iter().map(Interface::dropped);
        dropped.fold(self.dropped, |sum, dropped| Dropped {
            interface: sum.interface.saturating_add(dropped.interface),
            kernel: sum.kernel.saturating_add(dropped.kernel),
        })
    }

    #[inline]
    fn block<const BIG: bool>(&mut self, octets: &[u8]) -> Step {
        let (Some(kind), Some(total)) =
            (Order::<BIG>::u32(octets, 0), Order::<BIG>::u32(octets, 4))
        else {
            return Step::Need(8);
        };
        if kind == SECTION_HEADER {
            return self.section(octets);
        }
        let needed = match kind {
            ENHANCED_PACKET | PACKET => 32,
            SIMPLE_PACKET => 16,
            INTERFACE_DESCRIPTION => 20,
            INTERFACE_STATISTICS => 24,
            _ => 12,
        };
        let held = match kind {
            ENHANCED_PACKET | PACKET | SIMPLE_PACKET | INTERFACE_DESCRIPTION => true,
            INTERFACE_STATISTICS => total <= MAX_STATISTICS,
            _ => false,
        };
        if total < needed || !total.is_multiple_of(4) {
            return Step::Broken(Fault::BlockLength { octets: total });
        }
        if !held {
            return Step::Skip { used: u64::from(total) };
        }
        let used = total as usize;
        if used > MAX_RECORD {
            return Step::Broken(Fault::TooLong { octets: u64::from(total) });
        }
        let Some(block) = octets.get(..used) else {
            return Step::Need(used);
        };
        let back = Order::<BIG>::u32(block, used - 4).unwrap_or_default();
        if back != total {
            return Step::Broken(Fault::BlockEnds { front: total, back });
        }
        match kind {
            ENHANCED_PACKET => {
                let interface = Order::<BIG>::u32(block, 8).unwrap_or_default() as usize;
                let step = self.packet::<BIG>(block, interface);
                if let Step::Frame { head, .. } = &step
                    && head.data.end.next_multiple_of(4) < block.len() - 4
                {
                    self.lost_before::<BIG>(block, head.data.end, interface);
                }
                step
            }
            PACKET => {
                let interface = Order::<BIG>::u16(block, 8).unwrap_or_default().into();
                let lost =
                    Order::<BIG>::u16(block, 10).filter(|lost| !matches!(*lost, 0 | UNKNOWN_LOSS));
                self.lost = lost.map(|lost| (interface, lost.into()));
                self.packet::<BIG>(block, interface)
            }
            SIMPLE_PACKET => self.simple::<BIG>(block),
            INTERFACE_DESCRIPTION => self.interface::<BIG>(block),
            _ => self.statistics::<BIG>(block),
        }
    }

    /// A section begins: it has its own byte order and numbers its interfaces anew (§4.1).
    #[cold]
    fn section(&mut self, octets: &[u8]) -> Step {
        let Some(mark) = Order::<true>::u32(octets, 8) else {
            return Step::Need(28);
        };
        let big = match mark {
            BYTE_ORDER_MARK => true,
            mark if mark.swap_bytes() == BYTE_ORDER_MARK => false,
            mark => return Step::Broken(Fault::ByteOrder(mark)),
        };
        let (total, major) = if big {
            (Order::<true>::u32(octets, 4), Order::<true>::u16(octets, 12))
        } else {
            (Order::<false>::u32(octets, 4), Order::<false>::u16(octets, 12))
        };
        let (Some(total), Some(major)) = (total, major) else {
            return Step::Need(28);
        };
        if total < 28 || !total.is_multiple_of(4) {
            return Step::Broken(Fault::BlockLength { octets: total });
        }
        if major != 1 {
            return Step::Broken(Fault::Version(major));
        }
        self.dropped = self.dropped();
        self.big = big;
        self.interfaces.clear();
        Step::Skip { used: u64::from(total) }
    }

    /// An Enhanced Packet Block (§4.3), or the obsolete Packet Block (appendix A), which differ in
    /// the field of the interface only.
    #[inline]
    fn packet<const BIG: bool>(&mut self, block: &[u8], interface: usize) -> Step {
        let field = |at| Order::<BIG>::u32(block, at).unwrap_or_default();
        let (captured, wire_len) = (field(20), field(24));
        let room = block.len() - 32;
        if captured as usize > room {
            return overrun(captured, room);
        }
        // A block that names an interface that was never described is sound in itself: its frame
        // is handed on, to be counted as one of an unknown link type.
        let (link, at) = match self.interfaces.get(interface) {
            Some(interface) => (interface.link, interface.clock.time(field(12), field(16))),
            None => (LinkType::UNKNOWN, self.last),
        };
        self.last = at;
        let data = 28..28 + captured as usize;
        let head = Head { at, link, wire_len: wire_len.max(captured), data };
        Step::Frame { head, used: block.len() }
    }

    /// What an Enhanced Packet Block says that was lost before its frame, which ends at `end`.
    #[cold]
    fn lost_before<const BIG: bool>(&mut self, block: &[u8], end: usize, interface: usize) {
        let end = end.next_multiple_of(4);
        options::<BIG>(&block[end..block.len() - 4], |code, value| {
            if code == EPB_DROPCOUNT {
                self.lost = Order::<BIG>::u64(value, 0).map(|lost| (interface, lost));
            }
        });
    }

    #[cold]
    fn count_lost(&mut self) {
        if let Some((interface, lost)) = self.lost.take()
            && let Some(interface) = self.interfaces.get_mut(interface)
        {
            interface.lost = interface.lost.saturating_add(lost);
        }
    }

    /// A Simple Packet Block (§4.4): of the first interface, as much as its snap length allows,
    /// without a time.
    fn simple<const BIG: bool>(&mut self, block: &[u8]) -> Step {
        let wire_len = Order::<BIG>::u32(block, 8).unwrap_or_default();
        let (link, snap_len) = match self.interfaces.first() {
            Some(interface) => (interface.link, interface.snap_len),
            None => (LinkType::UNKNOWN, 0),
        };
        let room = block.len() - 16;
        let snap_len = if snap_len == 0 { usize::MAX } else { snap_len as usize };
        let captured = room.min(wire_len as usize).min(snap_len);
        let head = Head { at: self.last, link, wire_len, data: 12..12 + captured };
        Step::Frame { head, used: block.len() }
    }

    #[cold]
    fn interface<const BIG: bool>(&mut self, block: &[u8]) -> Step {
        if self.interfaces.len() == MAX_INTERFACES {
            return Step::Broken(Fault::Interfaces);
        }
        let mut interface = Interface {
            link: LinkType(u32::from(Order::<BIG>::u16(block, 8).unwrap_or_default())),
            snap_len: Order::<BIG>::u32(block, 12).unwrap_or_default(),
            ..Interface::default()
        };
        options::<BIG>(&block[16..block.len() - 4], |code, value| match (code, value) {
            (IF_TSRESOL, &[value]) => interface.clock.unit = Unit::from_option(value),
            (IF_TSOFFSET, value) => {
                if let Some(offset) = Order::<BIG>::u64(value, 0) {
                    interface.clock.offset = offset.cast_signed();
                }
            }
            _ => {}
        });
        self.interfaces.push(interface);
        Step::Skip { used: block.len() as u64 }
    }

    #[cold]
    fn statistics<const BIG: bool>(&mut self, block: &[u8]) -> Step {
        let number = Order::<BIG>::u32(block, 8).unwrap_or_default() as usize;
        if let Some(interface) = self.interfaces.get_mut(number) {
            options::<BIG>(&block[20..block.len() - 4], |code, value| {
                let Some(count) = Order::<BIG>::u64(value, 0) else { return };
                match code {
                    ISB_IFDROP => interface.dropped.interface = count,
                    ISB_OSDROP => interface.dropped.kernel = count,
                    _ => {}
                }
            });
        }
        Step::Skip { used: block.len() as u64 }
    }
}

#[cold]
fn overrun(octets: u32, room: usize) -> Step {
    Step::Broken(Fault::Overrun { octets, room: u32::try_from(room).unwrap_or(u32::MAX) })
}

/// Calls `each` with the options (§3.5) up to the end or the first that cannot be right.
fn options<const BIG: bool>(mut octets: &[u8], mut each: impl FnMut(u16, &[u8])) {
    while let (Some(code), Some(len)) = (Order::<BIG>::u16(octets, 0), Order::<BIG>::u16(octets, 2))
    {
        let len = usize::from(len);
        let Some(value) = octets.get(4..4 + len) else { return };
        if code == END_OF_OPTIONS {
            return;
        }
        each(code, value);
        let Some(rest) = octets.get(4 + len.next_multiple_of(4)..) else { return };
        octets = rest;
    }
}

/// Do `octets` begin with a section header?
pub(super) fn begins(octets: &[u8]) -> bool {
    let mark = Order::<true>::u32(octets, 8);
    Order::<true>::u32(octets, 0) == Some(SECTION_HEADER)
        && (mark == Some(BYTE_ORDER_MARK) || mark == Some(BYTE_ORDER_MARK.swap_bytes()))
}
