//! The data channel of CAPWAP (RFC 5415 §4.3), between access points and their controller.

use crate::decode::NotDecoded;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled, makes_sense};

impl Peel<'_> {
    /// Fragments after the first are not put together: an access point fragments only what does
    /// not fit its path, and the first one holds the headers.
    pub(super) fn capwap(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const PLAIN: u8 = 0;
        const NATIVE: u32 = 1 << 8;
        const KEEP_ALIVE: u32 = 1 << 3;
        const RADIO_802_11: u32 = 1;
        let mut header = octets;
        // Version 0, and type 0: not DTLS.
        if header.u8()? != PLAIN {
            return Err(NotDecoded::Malformed);
        }
        let [a, b, c] = header.array()?;
        let flags = u32::from_be_bytes([0, a, b, c]);
        let [_id, offset] = [header.u16()?, header.u16()?];
        let len = 4 * (flags >> 19) as usize;
        let binding = flags >> 9 & 0x1f;
        if len < 8 || flags & KEEP_ALIVE != 0 || offset >> 3 != 0 {
            return Err(NotDecoded::Malformed);
        }
        octets.skip(len)?;
        if flags & NATIVE == 0 {
            return self.announced_ethernet(octets);
        }
        if binding != RADIO_802_11 {
            return Err(NotDecoded::UnknownLinkType);
        }
        self.enter(None)?;
        self.tagged = false;
        self.llc = false;
        let frame = self.wlan(octets, false);
        if makes_sense(&frame) && !matches!(frame, Err(NotDecoded::NotIp)) {
            return frame;
        }
        // Cisco's controllers swap octets.
        let swapped = self.swapped_wlan(octets);
        if makes_sense(&swapped) { swapped } else { frame }
    }
}
