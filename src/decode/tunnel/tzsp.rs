//! TZSP, by which access points and routers mirror what they hear.

use crate::decode::NotDecoded;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};

impl Peel<'_> {
    pub(super) fn tzsp(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const VERSION: u8 = 1;
        const PADDING: u8 = 0;
        const END: u8 = 1;
        let [version, kind] = octets.array()?;
        let protocol = octets.u16()?;
        // Received packets and packets to send; the others are about the session.
        if version != VERSION || kind > 1 {
            return Err(NotDecoded::Malformed);
        }
        loop {
            match octets.u8()? {
                PADDING => {}
                END => break,
                _ => {
                    let len = octets.u8()?;
                    octets.skip(usize::from(len))?;
                }
            }
        }
        if protocol == 1 {
            return self.announced_ethernet(octets);
        }
        self.enter(None)?;
        self.tagged = false;
        self.llc = false;
        match protocol {
            18 => self.wlan(octets, false),
            119 => self.prism(octets),
            127 => self.avs(octets),
            _ => Err(NotDecoded::UnknownLinkType),
        }
    }
}
