//! GTP-U, the user plane of mobile networks (3GPP TS 29.281 §5).

use super::plausible_ip;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};
use crate::decode::tenant::IdSpace;
use crate::decode::{NotDecoded, ethernet};

/// How many extension headers one packet may have.
const MAX_EXTENSIONS: usize = 8;

impl Peel<'_> {
    pub(super) fn gtp(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const VERSION_1: u8 = 0x30;
        const OPTIONAL: u8 = 0x07;
        const EXTENSION: u8 = 0x04;
        const USER_DATA: u8 = 255;
        let [flags, kind] = octets.array()?;
        let len = usize::from(octets.u16()?);
        let teid = octets.u32()?;
        // Version, and the bit that tells it from the charging protocol.
        if flags & 0xf0 != VERSION_1 || kind != USER_DATA || len > octets.wire() {
            return Err(NotDecoded::Malformed);
        }
        let mut octets = octets.limit_within(len);
        if flags & OPTIONAL != 0 {
            let [_, _, _, mut next] = octets.array()?;
            let mut extensions = 0;
            while flags & EXTENSION != 0 && next != 0 {
                extensions += 1;
                let words = usize::from(octets.u8()?);
                if words == 0 || extensions > MAX_EXTENSIONS {
                    return Err(NotDecoded::Malformed);
                }
                octets.skip(words * 4 - 2)?;
                next = octets.u8()?;
            }
        }
        self.identify(IdSpace::Teid, teid);
        // What the bearer carries was agreed on elsewhere: IP, or Ethernet in 5G.
        if plausible_ip(octets) {
            self.enter(None)?;
            self.ip(octets)
        } else if ethernet::plausible(octets) {
            self.inner_ethernet(octets, 0)
        } else {
            Err(NotDecoded::Malformed)
        }
    }
}
