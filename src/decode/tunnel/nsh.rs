//! The network service header (RFC 8300).

use crate::decode::NotDecoded;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};

impl Peel<'_> {
    pub(in crate::decode) fn nsh(self, mut octets: Octets<'_>) -> Peeled<'_> {
        let [version, len, _kind, protocol] = octets.array()?;
        // In words, the base header and the path included (§2.2).
        let len = 4 * usize::from(len & 0x3f);
        if version >> 6 != 0 || len < 8 {
            return Err(NotDecoded::Malformed);
        }
        octets.skip(len - 4)?;
        self.next_protocol(protocol, octets)
    }
}
