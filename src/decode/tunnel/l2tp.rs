//! L2TP: version 2 (RFC 2661) and version 3 (RFC 3931).

use super::plausible_ip;
use crate::decode::ip::Ends;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};
use crate::decode::tenant::IdSpace;
use crate::decode::{NotDecoded, ethernet};

const CONTROL: u16 = 0x8000;

impl Peel<'_> {
    /// Over UDP, where the first word tells the versions apart.
    pub(super) fn l2tp(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const HAS_LENGTH: u16 = 0x4000;
        const HAS_SEQUENCE: u16 = 0x0800;
        const HAS_OFFSET: u16 = 0x0200;
        /// Zero by whoever sends them (RFC 2661 §3.1).
        const RESERVED: u16 = 0x34f0;
        let flags = octets.u16()?;
        match flags & 0x000f {
            _ if flags & CONTROL != 0 => Err(NotDecoded::Malformed),
            2 if flags & RESERVED != 0 => Err(NotDecoded::Malformed),
            2 => {
                self.enter(None)?;
                if flags & HAS_LENGTH != 0 {
                    let len = usize::from(octets.u16()?);
                    octets = octets.limit_within(len.checked_sub(4).ok_or(NotDecoded::Malformed)?);
                }
                let _tunnel = octets.u16()?;
                let session = octets.u16()?;
                self.identify(IdSpace::L2tpSession, u32::from(session));
                if flags & HAS_SEQUENCE != 0 {
                    octets.skip(4)?;
                }
                if flags & HAS_OFFSET != 0 {
                    let padding = octets.u16()?;
                    octets.skip(usize::from(padding))?;
                }
                self.ppp(octets)
            }
            3 => {
                let _reserved = octets.u16()?;
                let session = octets.u32()?;
                self.l2tp_session(session, octets)
            }
            _ => Err(NotDecoded::Malformed),
        }
    }

    /// Over IP (RFC 3931 §4.1.1), where session zero is the control channel.
    pub(in crate::decode) fn l2tp_over_ip(
        mut self,
        ends: Ends,
        mut octets: Octets<'_>,
    ) -> Peeled<'_> {
        match octets.u32()? {
            0 => Err(NotDecoded::OtherTransport),
            session => {
                self.seen.mirror = self.seen.mirror.or(Some(ends.source));
                match self.l2tp_session(session, octets) {
                    Err(NotDecoded::Malformed) => Err(NotDecoded::OtherTransport),
                    peeled => peeled,
                }
            }
        }
    }

    /// A session's data. Neither the length of its cookie nor whether a sublayer follows is in
    /// the packet: the first reading that looks right is taken.
    fn l2tp_session(mut self, session: u32, octets: Octets<'_>) -> Peeled<'_> {
        self.enter(None)?;
        self.tagged = false;
        self.llc = false;
        self.identify(IdSpace::L2tpSession, session);
        // Cookies have 0, 4 or 8 octets (§4.1), the usual sublayer has 4 (§4.6).
        for header in [0, 4, 8, 12] {
            let Some(inside) = octets.after(header) else { break };
            if ethernet::plausible(inside) {
                return self.ethernet(inside);
            }
        }
        for header in [0, 4, 8, 12] {
            let Some(inside) = octets.after(header) else { break };
            if plausible_ip(inside) {
                return self.ip(inside);
            }
            if let Some([0xff, 0x03, 0x00, 0x21 | 0x57]) = inside.peek() {
                return self.ppp(inside);
            }
            if let Some([0x0f | 0x8f, 0x00, 0x08, 0x00] | [0x0f | 0x8f, 0x00, 0x86, 0xdd]) =
                inside.peek()
            {
                return self.cisco_hdlc(inside);
            }
        }
        Err(NotDecoded::Malformed)
    }
}
