//! Tunnels: whatever carries a frame or an IP packet inside another one.
//!
//! Where a number of a registry says that a tunnel follows, its contents are read as it says.
//! Where only a UDP port or the look of the octets says so, the contents must make sense, or the
//! packet is read as plain UDP: a name in it must not be lost to a guess.

mod ayiya;
mod capwap;
mod esp;
mod gre;
mod gtp;
mod l2tp;
mod lisp;
mod macsec;
mod mpls;
mod nsh;
mod teredo;
mod tzsp;
mod vxlan;

pub(super) use self::macsec::macsec;

use super::ip::Ends;
use super::octets::Octets;
use super::peel::{Peel, Peeled, makes_sense};
use super::{NotDecoded, ethernet};

/// UDP ports that tunnels are known to use (IANA, but for two).
mod port {
    pub(super) const L2TP: u16 = 1_701;
    pub(super) const GTP_U: u16 = 2_152;
    pub(super) const TEREDO: u16 = 3_544;
    pub(super) const LISP: u16 = 4_341;
    pub(super) const GRE: u16 = 4_754;
    pub(super) const VXLAN: u16 = 4_789;
    pub(super) const VXLAN_GPE: u16 = 4_790;
    pub(super) const AYIYA: u16 = 5_072;
    pub(super) const CAPWAP_DATA: u16 = 5_247;
    pub(super) const GENEVE: u16 = 6_081;
    pub(super) const MPLS: u16 = 6_635;
    /// What Linux used before VXLAN had a port, and still does unless told otherwise.
    pub(super) const VXLAN_LINUX: u16 = 8_472;
    pub(super) const TZSP: u16 = 37_008;
}

/// The ports of [`may_be_tunnel`], for filters that must not look past them.
pub const PORTS: [u16; 13] = [
    port::L2TP,
    port::GTP_U,
    port::TEREDO,
    port::LISP,
    port::GRE,
    port::VXLAN,
    port::VXLAN_GPE,
    port::AYIYA,
    port::CAPWAP_DATA,
    port::GENEVE,
    port::MPLS,
    port::VXLAN_LINUX,
    port::TZSP,
];

/// May UDP between these ports carry a tunnel? For those who want to know quickly that it does
/// not: then, and only then, is the payload the application's.
#[inline]
#[must_use]
pub fn may_be_tunnel(source: u16, destination: u16, payload: &[u8]) -> bool {
    use port as p;
    matches!(
        destination,
        p::L2TP
            | p::GTP_U
            | p::TEREDO
            | p::LISP
            | p::GRE
            | p::VXLAN
            | p::VXLAN_GPE
            | p::AYIYA
            | p::CAPWAP_DATA
            | p::GENEVE
            | p::MPLS
            | p::VXLAN_LINUX
            | p::TZSP
    ) || matches!(source, p::L2TP | p::TEREDO | p::AYIYA | p::CAPWAP_DATA)
        || teredo::looks_like(payload)
}

impl Peel<'_> {
    /// What a UDP payload holds, if it is a tunnel's.
    ///
    /// Only a port says so. What carries no packet in the end is believed where the contents look
    /// like a frame, and a frame that breaks off where the capture does.
    pub(super) fn udp_tunnel(
        mut self,
        ends: Ends,
        [source, destination]: [u16; 2],
        octets: Octets<'_>,
    ) -> Option<Peeled<'_>> {
        use port as p;
        if !may_be_tunnel(source, destination, octets.data()) {
            return None;
        }
        self.seen.mirror = self.seen.mirror.or(Some(ends.source));
        self.announced = true;
        let more = self.more.get();
        let peeled = match (source, destination) {
            (_, p::VXLAN | p::VXLAN_LINUX) => self.vxlan(octets),
            (_, p::VXLAN_GPE) => self.vxlan_gpe(octets),
            (_, p::GENEVE) => self.geneve(octets),
            (_, p::GTP_U) => self.gtp(octets),
            (_, p::TZSP) => self.tzsp(octets),
            (_, p::LISP) => self.lisp(octets),
            (_, p::GRE) => self.gre(ends, octets),
            (_, p::MPLS) => self.mpls_over_udp(octets),
            (p::CAPWAP_DATA, _) | (_, p::CAPWAP_DATA) => self.capwap(ends, octets),
            (p::AYIYA, _) | (_, p::AYIYA) => self.ayiya(octets),
            (p::L2TP, _) | (_, p::L2TP) => self.l2tp(octets),
            _ => self.teredo(octets),
        };
        let believed = match peeled {
            Err(NotDecoded::NotIp) => matches!(
                destination,
                p::VXLAN | p::VXLAN_LINUX | p::VXLAN_GPE | p::GENEVE | p::TZSP | p::CAPWAP_DATA
            ),
            Err(NotDecoded::Truncated) => octets.data().len() < octets.wire(),
            _ => makes_sense(&peeled),
        };
        if !believed {
            // What stands beside this packet in its frame still does.
            self.more.set(more);
        }
        believed.then_some(peeled)
    }

    /// A frame that only a port announces: one of the kinds that carry no packet must look it.
    fn announced_ethernet(self, octets: Octets<'_>) -> Peeled<'_> {
        match self.inner_ethernet(octets, 0) {
            Err(NotDecoded::NotIp) if !ethernet::plausible(octets) => Err(NotDecoded::Malformed),
            peeled => peeled,
        }
    }
}

/// What is not even IP is believed of a header that only a port announces where its reserved bits
/// are clear, as whoever makes it leaves them. (Whoever reads it ignores them: extensions use them.)
fn from_reserved(reserved: u32, peeled: Peeled<'_>) -> Peeled<'_> {
    match peeled {
        Err(NotDecoded::NotIp | NotDecoded::Encrypted) if reserved != 0 => {
            Err(NotDecoded::Malformed)
        }
        peeled => peeled,
    }
}

/// The version of the IP packet that these octets would be.
pub(super) fn version(octets: Octets<'_>) -> Option<u8> {
    octets.peek().map(|[first]| first >> 4)
}

/// Do these octets look like an IP packet of either version?
///
/// For places where nothing says what the contents are: a header that says nothing impossible,
/// and for IPv4 a length that fits or, where a mirror cut the packet, a checksum that is right.
pub(super) fn plausible_ip(octets: Octets<'_>) -> bool {
    match version(octets) {
        Some(4) => plausible_ipv4(octets),
        Some(6) => plausible_ipv6(octets),
        _ => false,
    }
}

pub(super) fn plausible_ipv4(octets: Octets<'_>) -> bool {
    let Some(fixed) = octets.peek::<20>() else { return false };
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    // The reserved flag is zero (RFC 791 §3.1).
    if header_len < 20 || (total != 0 && total < header_len) || fixed[6] & 0x80 != 0 {
        return false;
    }
    let fits = total != 0 && total <= octets.wire() && fixed[9] != 0 && is_common(fixed[9]);
    let right = || octets.data().get(..header_len).map(|header| checksum(header, 0));
    fits || right() == Some(0xffff)
}

/// IPv6 has no checksum: the addresses must be of the kinds in use. Where its length does not fit
/// a mirror may have cut the packet, which is worth believing when a name may lie in it.
pub(super) fn plausible_ipv6(octets: Octets<'_>) -> bool {
    let Some(fixed) = octets.peek::<40>() else { return false };
    let unicast = |first: u8, second: u8| match first {
        // Mapped, translated, loopback; global; unique local; link-local (RFC 4291 §2.4).
        0 => second == 0 || second == 0x64,
        0x20..=0x3f | 0xfc..=0xfd => true,
        0xfe => second & 0xc0 == 0x80,
        _ => false,
    };
    let (hop_limit, next) = (fixed[7], fixed[6]);
    let length = fixed.len() + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    hop_limit != 0
        && (leads_on(next) || length <= octets.wire() && is_common(next))
        && unicast(fixed[8], fixed[9])
        && (fixed[24] == 0xff || unicast(fixed[24], fixed[25]))
}

/// Is this protocol one that is met with?
fn is_common(protocol: u8) -> bool {
    const OTHERS: [u8; 10] = [1, 2, 46, 58, 59, 88, 89, 103, 112, 132];
    leads_on(protocol) || OTHERS.contains(&protocol)
}

/// May what this protocol carries show a name: ports, or a packet, directly or behind extensions?
fn leads_on(protocol: u8) -> bool {
    const LEADING_ON: [u8; 16] = [0, 4, 6, 17, 41, 43, 44, 47, 50, 51, 60, 94, 97, 115, 137, 143];
    LEADING_ON.contains(&protocol)
}

/// The sum of RFC 1071 over `octets`, folded; a header with its own checksum in it is right when
/// it is `0xffff`.
fn checksum(octets: &[u8], from: u64) -> u16 {
    let (words, rest) = octets.as_chunks::<2>();
    let mut sum = words.iter().fold(from, |sum, word| sum + u64::from(u16::from_be_bytes(*word)));
    if let [last] = rest {
        sum += u64::from(*last) << 8;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Folded above.
    u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_ports_is_complete() {
        for port in 0..=u16::MAX {
            assert_eq!(may_be_tunnel(40_000, port, &[]), PORTS.contains(&port), "{port}");
        }
    }
}
