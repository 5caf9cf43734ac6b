//! MPLS (RFC 3032), with IP or a pseudowire below the stack.

use crate::decode::NotDecoded;
use crate::decode::ethernet;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};
use crate::decode::tenant::IdSpace;
use crate::net::Addr;

use super::{plausible_ip, plausible_ipv4, plausible_ipv6, version};

/// How many labels one stack may have.
const MAX_LABELS: usize = 16;

/// Octets of the word that may be before a pseudowire's frame (RFC 4385 §3).
const CONTROL_WORD: usize = 4;

/// Labels below this are reserved (RFC 7274 §3) and identify nothing.
const FIRST_FREE_LABEL: u32 = 16;

impl Peel<'_> {
    /// A label stack and what is below it, sent by `outer` where IP carries it.
    ///
    /// Nothing says what is below: the first four bits do (RFC 4928, RFC 4385 §3), and where a
    /// hardware address may begin with the same ones, the look of what follows.
    pub(in crate::decode) fn mpls(
        mut self,
        mut octets: Octets<'_>,
        outer: Option<Addr>,
    ) -> Peeled<'_> {
        self.enter(outer)?;
        let label = stack(&mut octets)?;
        if label >= FIRST_FREE_LABEL {
            self.identify(IdSpace::MplsLabel, label);
        }
        self.tagged = false;
        self.llc = false;
        let Some(first) = version(octets) else { return Err(octets.lacks(1)) };
        match first {
            4 if plausible_ipv4(octets) || !ethernet::plausible(octets) => self.ipv4(octets),
            6 if plausible_ipv6(octets) || !ethernet::plausible(octets) => self.ipv6(octets),
            // Its own type says more than what may stand in one's place.
            0 if ethernet::holds_ip(octets) => self.ethernet(octets),
            0 if octets.after(CONTROL_WORD).is_some_and(ethernet::plausible) => {
                octets.skip(CONTROL_WORD)?;
                self.ethernet(octets)
            }
            _ if ethernet::plausible(octets) => self.ethernet(octets),
            0 => {
                octets.skip(CONTROL_WORD)?;
                self.ethernet(octets)
            }
            // An associated channel (RFC 4385 §5): BFD and the like.
            1 => Err(NotDecoded::NotIp),
            _ => self.ethernet(octets),
        }
    }

    /// The same where only a port announces it (RFC 7510): what is below must look like it.
    pub(super) fn mpls_over_udp(self, octets: Octets<'_>) -> Peeled<'_> {
        let mut below = octets;
        stack(&mut below)?;
        let plausible = plausible_ip(below)
            || ethernet::plausible(below)
            || below.after(CONTROL_WORD).is_some_and(ethernet::plausible);
        if plausible { self.mpls(octets, None) } else { Err(NotDecoded::Malformed) }
    }
}

/// Takes the labels; gives the bottom one.
fn stack(octets: &mut Octets<'_>) -> Result<u32, NotDecoded> {
    const BOTTOM: u32 = 0x100;
    for _ in 0..MAX_LABELS {
        let entry = octets.u32()?;
        if entry & BOTTOM != 0 {
            return Ok(entry >> 12);
        }
    }
    Err(NotDecoded::Malformed)
}
