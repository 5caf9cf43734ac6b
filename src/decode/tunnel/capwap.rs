//! The data channel of CAPWAP (RFC 5415 §4.3), between access points and their controller.

use crate::decode::ip::Ends;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled, makes_sense};
use crate::decode::{Carrier, Decoded, Fragment, NotDecoded};
use crate::net::IpProtocol;

impl Peel<'_> {
    pub(super) fn capwap(self, ends: Ends, mut octets: Octets<'_>) -> Peeled<'_> {
        const PLAIN: u8 = 0;
        const NATIVE: u32 = 1 << 8;
        const FRAGMENT: u32 = 1 << 7;
        const LAST: u32 = 1 << 6;
        const KEEP_ALIVE: u32 = 1 << 3;
        const RESERVED: u32 = 7;
        const RADIO_802_11: u32 = 1;
        let mut header = octets;
        // Version 0, and type 0: not DTLS.
        if header.u8()? != PLAIN {
            return Err(NotDecoded::Malformed);
        }
        let [a, b, c] = header.array()?;
        let flags = u32::from_be_bytes([0, a, b, c]);
        let [id, offset] = [header.u16()?, header.u16()?];
        let len = 4 * (flags >> 19) as usize;
        let (native, binding) = (flags & NATIVE != 0, flags >> 9 & 0x1f);
        if len < 8 || flags & KEEP_ALIVE != 0 {
            return Err(NotDecoded::Malformed);
        }
        octets.skip(len)?;
        if native && binding != RADIO_802_11 {
            return Err(NotDecoded::UnknownLinkType);
        }
        if flags & FRAGMENT == 0 {
            return self.capwap_payload(native, octets);
        }
        // Nothing but this header says so. What follows a fragment is counted in units of eight
        // octets, so that only the last may be of another length; reserved bits are zero.
        let more = flags & LAST == 0;
        if flags & RESERVED != 0 || offset & 7 != 0 || more && !octets.wire_len().is_multiple_of(8)
        {
            return Err(NotDecoded::Malformed);
        }
        Ok(Decoded::Fragment(Fragment {
            seen: self.seen,
            source: ends.source,
            destination: ends.destination,
            carrier: Carrier::Capwap { native },
            protocol: IpProtocol::UDP,
            id: u32::from(id),
            // In units of eight octets, above three reserved bits.
            offset: u32::from(offset >> 3) * 8,
            more,
            payload: octets.data(),
            payload_wire_len: octets.wire_len(),
        }))
    }

    /// What is behind the header, or was put together from fragments.
    pub(in crate::decode) fn capwap_payload(
        mut self,
        native: bool,
        octets: Octets<'_>,
    ) -> Peeled<'_> {
        if !native {
            return self.announced_ethernet(octets);
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
