//! IEEE 802.11 data frames, and the headers that capturing radios put before them.

use super::NotDecoded;
use super::octets::Octets;
use super::peel::{Peel, Peeled};

impl Peel<'_> {
    /// radiotap.org: a header of fields that a bitmap announces; all its numbers little-endian.
    pub(super) fn radiotap(self, octets: Octets<'_>) -> Peeled<'_> {
        const MORE: u32 = 1 << 31;
        const TIMER: u32 = 1;
        const FLAGS: u32 = 1 << 1;
        const PADDED: u8 = 0x20;
        let mut header = octets;
        let [_version, _, l0, l1] = header.array()?;
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        let present = u32::from_le_bytes(header.array()?);
        let mut fields = 8_usize;
        let mut more = present;
        while more & MORE != 0 {
            more = u32::from_le_bytes(header.array()?);
            fields += 4;
        }
        let mut padded = false;
        if present & FLAGS != 0 {
            // The timer, when there, is eight octets at a multiple of eight.
            let at = if present & TIMER != 0 { fields.next_multiple_of(8) + 8 } else { fields };
            padded = octets.data().get(at).is_some_and(|flags| flags & PADDED != 0);
        }
        let mut octets = octets;
        octets.skip(len.max(fields))?;
        self.wlan(octets, padded)
    }

    /// The header of the Prism II driver, or AVS's in its place.
    pub(super) fn prism(self, mut octets: Octets<'_>) -> Peeled<'_> {
        const LEN: usize = 144;
        if matches!(octets.peek(), Some([0x80, 0x21, 0x10, _])) {
            return self.avs(octets);
        }
        octets.skip(LEN)?;
        self.wlan(octets, false)
    }

    /// AVS: magic number and the header's length, big-endian.
    pub(super) fn avs(self, mut octets: Octets<'_>) -> Peeled<'_> {
        let _magic = octets.u32()?;
        let len = octets.u32()? as usize;
        octets.skip(len.checked_sub(8).ok_or(NotDecoded::Malformed)?)?;
        self.wlan(octets, false)
    }

    /// A frame of IEEE 802.11 (§9.2); `padded`: its header is filled up to a word.
    pub(super) fn wlan(self, octets: Octets<'_>, padded: bool) -> Peeled<'_> {
        match octets.peek() {
            Some(control) => self.wlan_frame(control, octets, padded, false),
            None => Err(octets.lacks(2)),
        }
    }

    /// The same by a sender that swaps the octets of the frame control and sequence fields.
    pub(super) fn swapped_wlan(self, octets: Octets<'_>) -> Peeled<'_> {
        match octets.peek() {
            Some([high, low]) => self.wlan_frame([low, high], octets, false, true),
            None => Err(octets.lacks(2)),
        }
    }

    fn wlan_frame(
        mut self,
        [control, flags]: [u8; 2],
        octets: Octets<'_>,
        padded: bool,
        swapped: bool,
    ) -> Peeled<'_> {
        const DATA: u8 = 2;
        const NULL: u8 = 0x4;
        const QOS: u8 = 0x8;
        const TO_DS: u8 = 0x01;
        const FROM_DS: u8 = 0x02;
        const PROTECTED: u8 = 0x40;
        const ORDER: u8 = 0x80;
        const AMSDU: u8 = 0x80;
        if !self.chosen {
            self.more.set(false);
        }
        let mut header = octets;
        header.skip(2)?;
        let (version, kind, subtype) = (control & 3, control >> 2 & 3, control >> 4);
        if version != 0 {
            return Err(NotDecoded::Malformed);
        }
        if kind != DATA || subtype & NULL != 0 {
            return Err(NotDecoded::NotIp);
        }
        if flags & PROTECTED != 0 {
            return Err(NotDecoded::Encrypted);
        }
        header.skip(2)?;
        let [_first, second, third]: [[u8; 6]; 3] =
            [header.array()?, header.array()?, header.array()?];
        let sequence: [u8; 2] = header.array()?;
        let fragment = sequence[usize::from(swapped)] & 0x0f;
        if fragment != 0 {
            // The contents of a later fragment begin in the middle.
            return Err(NotDecoded::Truncated);
        }
        let mut len = 24;
        let both = flags & (TO_DS | FROM_DS);
        self.mac(match both {
            FROM_DS => third,
            TO_DS | 0 => second,
            _ => {
                len += 6;
                header.array()?
            }
        });
        let mut amsdu = false;
        if subtype & QOS != 0 {
            let [qos, _] = header.array()?;
            amsdu = qos & AMSDU != 0;
            len += 2;
            if flags & ORDER != 0 {
                len += 4;
            }
        }
        if padded {
            len = usize::next_multiple_of(len, 4);
        }
        let mut octets = octets;
        octets.skip(len)?;
        if amsdu {
            return self.amsdu(octets);
        }
        self.llc(octets)
    }

    /// The parts of an A-MSDU (§9.3.2.2.2): destination, source, length, contents, and all but the
    /// last one filled up to a word.
    fn amsdu(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const HEADER: usize = 14;
        let within = core::mem::replace(&mut self.chosen, true);
        let mut wanted = if within { 0 } else { self.part };
        loop {
            let mut part = octets;
            part.skip(6)?;
            let source = part.array()?;
            let len = usize::from(part.u16()?);
            let next = (HEADER + len).next_multiple_of(4);
            if wanted == 0 {
                if !within {
                    self.more.set(octets.wire() > next + HEADER);
                }
                self.mac(source);
                return self.llc(part.limit_within(len));
            }
            wanted -= 1;
            octets.skip(next)?;
        }
    }
}
