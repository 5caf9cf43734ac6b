//! Ethernet: its header, the tags between addresses and contents, and IEEE 802.2.

use super::octets::Octets;
use super::peel::{Peel, Peeled};
use super::{NotDecoded, tunnel};

/// Registered values of the EtherType field (IEEE 802 numbers at IANA, IEEE RA).
pub(super) mod ether_type {
    /// Up to here the field is a length (IEEE 802.3 §3.2.6).
    pub(in crate::decode) const MAX_LENGTH: u16 = 1_500;
    pub(in crate::decode) const IPV4: u16 = 0x0800;
    pub(in crate::decode) const ARP: u16 = 0x0806;
    pub(in crate::decode) const TRILL: u16 = 0x22f3;
    pub(in crate::decode) const TRANSPARENT_ETHERNET: u16 = 0x6558;
    pub(in crate::decode) const VLAN: u16 = 0x8100;
    pub(in crate::decode) const IPV6: u16 = 0x86dd;
    pub(in crate::decode) const MPLS: u16 = 0x8847;
    pub(in crate::decode) const MPLS_UPSTREAM: u16 = 0x8848;
    pub(in crate::decode) const PPP: u16 = 0x880b;
    pub(in crate::decode) const PPPOE_SESSION: u16 = 0x8864;
    pub(in crate::decode) const JUMBO_LLC: u16 = 0x8870;
    pub(in crate::decode) const REALTEK: u16 = 0x8899;
    pub(in crate::decode) const QINQ: u16 = 0x88a8;
    pub(in crate::decode) const MACSEC: u16 = 0x88e5;
    pub(in crate::decode) const LLDP: u16 = 0x88cc;
    pub(in crate::decode) const BACKBONE: u16 = 0x88e7;
    pub(in crate::decode) const FABRIC_PATH: u16 = 0x8903;
    pub(in crate::decode) const CISCO_METADATA: u16 = 0x8909;
    pub(in crate::decode) const VN_TAG: u16 = 0x8926;
    /// High-availability seamless redundancy (IEC 62439-3 §5).
    pub(in crate::decode) const HSR: u16 = 0x892f;
    pub(in crate::decode) const E_TAG: u16 = 0x893f;
    pub(in crate::decode) const NSH: u16 = 0x894f;
    /// QinQ before IEEE 802.1ad had a value of its own.
    pub(in crate::decode) const QINQ_OLD: [u16; 3] = [0x9100, 0x9200, 0x9300];
    pub(in crate::decode) const ARISTA: u16 = 0xd28b;
    /// Marvell's switches, as Linux programs them.
    pub(in crate::decode) const EDSA: u16 = 0xdada;
    /// Redundancy (IEEE 802.1CB §7.8).
    pub(in crate::decode) const R_TAG: u16 = 0xf1c1;

    /// Known contents that never carry names of hosts asked for.
    pub(in crate::decode) const NOT_IP: [u16; 43] = [
        0x0842, // wake on LAN
        0x22ea, // stream reservation
        0x22f0, // audio and video transport
        0x22f4, // IS-IS of TRILL
        0x6001, 0x6002, 0x6003, 0x6004, 0x6007, // DEC
        0x8035, // RARP
        0x809b, 0x80f3, // AppleTalk and its ARP
        0x8137, 0x8138, // IPX
        0x8808, // MAC control (pause)
        0x8809, // slow protocols (LACP)
        0x8863, // PPPoE discovery
        0x887b, // HomePlug 1.0
        0x888e, // EAPOL
        0x8892, // PROFINET
        0x889a, 0x88a2, // HyperSCSI, ATA over Ethernet
        0x88a4, // EtherCAT
        0x88b8, 0x88b9, 0x88ba, // GOOSE, GSE, sampled values
        0x88c7, // 802.11i pre-authentication
        0x88ca, // TIPC
        LLDP, 0x88d9, // LLTD
        0x88e1, // HomePlug AV
        0x88e3, 0x88f5, 0x88f6, // media redundancy, MVRP, MMRP
        0x88f7, // PTP
        0x8902, // CFM
        0x8906, 0x8914, // Fibre Channel over Ethernet and its initialisation
        0x890d, // IEEE 802.11r between access points
        0x8915, // RoCE
        0x893a, // IEEE 1905
        0x9000, // loopback
        ARP,
    ];
}

/// How many tags may lie between the addresses and the contents of one Ethernet frame.
const MAX_TAGS: usize = 16;

impl Peel<'_> {
    /// An Ethernet frame, from its destination address on.
    pub(super) fn ethernet(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        let _destination: [u8; 6] = octets.array()?;
        self.mac(octets.array()?);
        let kind = octets.u16()?;
        self.ether_type(kind, octets)
    }

    /// What an EtherType, or a length in its place, announces.
    pub(super) fn ether_type(mut self, mut kind: u16, mut octets: Octets<'_>) -> Peeled<'_> {
        use ether_type as t;
        for _ in 0..MAX_TAGS {
            kind = match kind {
                t::IPV4 => return self.ipv4(octets),
                t::IPV6 => return self.ipv6(octets),
                t::VLAN | t::QINQ => self.tag(&mut octets)?,
                old if t::QINQ_OLD.contains(&old) => self.tag(&mut octets)?,
                t::VN_TAG | t::HSR | t::R_TAG => {
                    octets.skip(4)?;
                    octets.u16()?
                }
                t::E_TAG => {
                    octets.skip(6)?;
                    octets.u16()?
                }
                t::CISCO_METADATA => {
                    // Version, length in words, and so many words of option and group tag.
                    let [_version, words] = octets.array()?;
                    octets.skip(4 * usize::from(words))?;
                    octets.u16()?
                }
                t::ARISTA => {
                    // A timestamp before the contents: 64 or 48 bits, by its version.
                    let [_, _, _, version] = octets.array()?;
                    octets.skip(if version & 0xf0 == 0x20 { 6 } else { 8 })?;
                    octets.u16()?
                }
                t::EDSA => {
                    let _reserved = octets.u16()?;
                    self.dsa_tag(&mut octets)?
                }
                t::REALTEK => match octets.array()? {
                    // A switch's tag for the port; otherwise remote control and loop detection.
                    [0xa0..=0xaf, _] => octets.u16()?,
                    _ => return Err(NotDecoded::NotIp),
                },
                t::MACSEC => tunnel::macsec(&mut octets)?,
                t::MPLS | t::MPLS_UPSTREAM => return self.mpls(octets, None),
                t::PPPOE_SESSION => return self.pppoe(octets),
                t::PPP => return self.ppp(octets),
                t::NSH => return self.nsh(octets),
                t::TRANSPARENT_ETHERNET => return self.inner_ethernet(octets, 0),
                // The service id and the flags of IEEE 802.1ah §9.7.
                t::BACKBONE => return self.inner_ethernet(octets, 4),
                // Forwarding tag and time to live.
                t::FABRIC_PATH => return self.inner_ethernet(octets, 2),
                t::TRILL => {
                    // RFC 6325 §3: flags with the length of the options, two nicknames.
                    let flags = octets.u16()?;
                    let options = 4 * usize::from(flags >> 6 & 0x1f);
                    return self.inner_ethernet(octets, 4 + options);
                }
                0..=t::MAX_LENGTH => return self.llc(octets.limit_within(usize::from(kind))),
                t::JUMBO_LLC => return self.llc(octets),
                other if t::NOT_IP.contains(&other) => {
                    return Err(NotDecoded::NotIp);
                }
                _ => return Err(NotDecoded::UnknownEthertype),
            };
        }
        Err(NotDecoded::Malformed)
    }

    /// A whole Ethernet frame inside another layer, after `header` more octets.
    pub(super) fn inner_ethernet(mut self, mut octets: Octets<'_>, header: usize) -> Peeled<'_> {
        self.enter(None)?;
        octets.skip(header)?;
        self.tagged = false;
        self.llc = false;
        self.ethernet(octets)
    }

    fn tag(&mut self, octets: &mut Octets<'_>) -> Result<u16, NotDecoded> {
        self.vlan(octets.u16()?);
        octets.u16()
    }

    /// A tag of Marvell's "distributed switch architecture". It takes the place of a VLAN tag, if
    /// there was one, and says so in a bit.
    pub(super) fn dsa_tag(&mut self, octets: &mut Octets<'_>) -> Result<u16, NotDecoded> {
        let [mode, _, high, low] = octets.array()?;
        if mode & 0x20 != 0 {
            self.vlan(u16::from_be_bytes([high, low]));
        }
        octets.u16()
    }

    /// IEEE 802.2, with the protocol of RFC 1042 where SNAP says one.
    pub(super) fn llc(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const UNNUMBERED: u8 = 0x03;
        if self.llc {
            return Err(NotDecoded::Malformed);
        }
        self.llc = true;
        match octets.array()? {
            [0xaa, 0xaa, UNNUMBERED] => {
                let organisation: [u8; 3] = octets.array()?;
                let kind = octets.u16()?;
                match organisation {
                    // RFC 1042, and IEEE 802.1H for what bridges must not translate.
                    [0, 0, 0 | 0xf8] if kind > ether_type::MAX_LENGTH => {
                        self.ether_type(kind, octets)
                    }
                    // RFC 2684 §5.2: bridged Ethernet, with and without its check sequence.
                    [0, 0x80, 0xc2] if matches!(kind, 1 | 7) => {
                        let padding = if octets.peek() == Some([0, 0]) { 2 } else { 0 };
                        self.inner_ethernet(octets, padding)
                    }
                    _ => Err(NotDecoded::NotIp),
                }
            }
            // RFC 948.
            [0x06, 0x06, UNNUMBERED] => self.ipv4(octets),
            // Spanning tree, IS-IS, NetBEUI, IPX …
            _ => Err(NotDecoded::NotIp),
        }
    }
}

/// Do these octets look like an Ethernet frame with IP in it, or with one of its companions?
///
/// For places where nothing says what the contents are.
pub(super) fn plausible(octets: Octets<'_>) -> bool {
    use ether_type as t;
    let Some((kind, inside)) = behind_tags(octets) else { return false };
    match kind {
        t::IPV4 | t::IPV6 => tunnel::plausible_ip(inside),
        // RFC 826: hardware type Ethernet.
        t::ARP => inside.peek() == Some([0, 1]),
        t::PPPOE_SESSION => inside.peek() == Some([0x11, 0]),
        t::MPLS
        | t::MPLS_UPSTREAM
        | t::NSH
        | t::MACSEC
        | t::CISCO_METADATA
        | t::VN_TAG
        | t::E_TAG
        | t::HSR
        | t::R_TAG
        | t::EDSA
        | t::ARISTA
        | t::BACKBONE
        | t::FABRIC_PATH
        | t::TRILL => true,
        // It begins with the chassis (IEEE 802.1AB §8.5.2).
        t::LLDP => inside.peek() == Some([0x02]),
        t::JUMBO_LLC => inside.peek() == Some([0xaa, 0xaa, 3]),
        4..=t::MAX_LENGTH => {
            let fits = usize::from(kind) <= inside.wire();
            fits && matches!(inside.peek(), Some([0xaa, 0xaa, 3] | [0x42, 0x42, 3]))
        }
        _ => false,
    }
}

/// Do these octets look like an Ethernet frame with IP in it, directly or behind VLAN tags?
pub(super) fn holds_ip(octets: Octets<'_>) -> bool {
    matches!(
        behind_tags(octets),
        Some((ether_type::IPV4 | ether_type::IPV6, inside)) if tunnel::plausible_ip(inside)
    )
}

/// The type or length of an Ethernet frame behind its VLAN tags, and what follows that.
fn behind_tags(octets: Octets<'_>) -> Option<(u16, Octets<'_>)> {
    let mut inside = octets.after(12)?;
    for _ in 0..MAX_TAGS {
        let kind = inside.u16().ok()?;
        if !matches!(kind, ether_type::VLAN | ether_type::QINQ) {
            return Some((kind, inside));
        }
        inside.skip(2).ok()?;
    }
    None
}
