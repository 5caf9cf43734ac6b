//! AYIYA (draft-massar-v6ops-ayiya §3): packets of tunnel brokers, mostly IPv6, with the sender's
//! identity and a signature before them.

use super::plausible_ip;
use crate::decode::NotDecoded;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};
use crate::net::IpProtocol;

impl Peel<'_> {
    pub(super) fn ayiya(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const FORWARD: u8 = 1;
        const ECHO_AND_FORWARD: u8 = 3;
        let [identity, signature, opcode, next] = octets.array()?;
        let _epoch = octets.u32()?;
        if !matches!(opcode & 0x0f, FORWARD | ECHO_AND_FORWARD)
            || !matches!(IpProtocol(next), IpProtocol::IPV4 | IpProtocol::IPV6)
        {
            return Err(NotDecoded::Malformed);
        }
        // A power of two octets, then a number of words.
        octets.skip(1 << (identity >> 4))?;
        octets.skip(4 * usize::from(signature >> 4))?;
        if !plausible_ip(octets) {
            return Err(NotDecoded::Malformed);
        }
        self.enter(None)?;
        self.ip(octets)
    }
}
