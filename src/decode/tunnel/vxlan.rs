//! VXLAN (RFC 7348), VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe) and GENEVE (RFC 8926).

use super::from_reserved;
use crate::decode::NotDecoded;
use crate::decode::ethernet::ether_type;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled};
use crate::decode::tenant::IdSpace;

/// The flag that says that the network identifier counts; the same bit in both.
const HAS_VNI: u8 = 0x08;

impl Peel<'_> {
    /// Reserved fields are not looked at (RFC 7348 §5), since extensions use them.
    pub(super) fn vxlan(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        let [flags, ..] = octets.array::<4>()?;
        let vni = octets.u32()? >> 8;
        if flags & HAS_VNI == 0 {
            return Err(NotDecoded::Malformed);
        }
        self.identify(IdSpace::Vni, vni);
        self.announced_ethernet(octets)
    }

    pub(super) fn vxlan_gpe(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const HAS_PROTOCOL: u8 = 0x04;
        let [flags, a, b, protocol] = octets.array()?;
        let word = octets.u32()?;
        let vni = word >> 8;
        if flags & 0x30 != 0 {
            // Another version.
            return Err(NotDecoded::Malformed);
        }
        if flags & HAS_VNI != 0 {
            self.identify(IdSpace::Vni, vni);
        }
        if flags & HAS_PROTOCOL == 0 {
            return self.announced_ethernet(octets);
        }
        let reserved = u32::from_be_bytes([flags & 0xc0, a, b, 0]) | word & 0xff;
        from_reserved(reserved, self.next_protocol(protocol, octets))
    }

    /// The registry that VXLAN-GPE and NSH share (RFC 8300 §9.1.5).
    pub(super) fn next_protocol(mut self, protocol: u8, octets: Octets<'_>) -> Peeled<'_> {
        if protocol == 3 {
            return self.announced_ethernet(octets);
        }
        self.enter(None)?;
        match protocol {
            1 => self.ipv4(octets),
            2 => self.ipv6(octets),
            4 => self.nsh(octets),
            5 => self.mpls(octets, None),
            _ => Err(NotDecoded::UnknownEthertype),
        }
    }

    pub(super) fn geneve(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const FLAGS: u8 = 0xc0;
        let [version, flags] = octets.array()?;
        let protocol = octets.u16()?;
        let word = octets.u32()?;
        let vni = word >> 8;
        if version >> 6 != 0 {
            return Err(NotDecoded::Malformed);
        }
        octets.skip(usize::from(version & 0x3f) * 4)?;
        self.identify(IdSpace::Vni, vni);
        if protocol == ether_type::TRANSPARENT_ETHERNET {
            return self.announced_ethernet(octets);
        }
        self.enter(None)?;
        let reserved = u32::from(flags & !FLAGS) << 8 | word & 0xff;
        from_reserved(reserved, self.gre_payload(protocol, octets, false))
    }
}
