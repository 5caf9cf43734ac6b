//! How frames of each link type begin, up to the layer they share with Ethernet or IP.

use super::octets::Octets;
use super::peel::{Peel, Peeled};
use super::{NotDecoded, tunnel};
use crate::frame::LinkType;

/// The values that systems of the BSD family, Linux and Windows give their address families.
const AF_INET: u32 = 2;
const AF_INET6: [u32; 5] = [10, 23, 24, 28, 30];

/// `ARPHRD_` values of Linux whose frames are not what the protocol field says.
const ARPHRD_NETLINK: u16 = 824;
const ARPHRD_IPGRE: u16 = 778;
const ARPHRD_IEEE80211_RADIOTAP: u16 = 803;

/// The longest header of PKTAP that is believed; today it has 156 octets.
const MAX_PKTAP_HEADER: u32 = 1_024;

impl Peel<'_> {
    /// A frame of a link type.
    pub(super) fn link(self, link: LinkType, octets: Octets<'_>) -> Peeled<'_> {
        match link {
            LinkType::PPI => self.ppi(octets),
            LinkType::PKTAP => self.pktap(octets),
            LinkType::ERF => self.erf(octets),
            // Older systems had no number of its own for it.
            LinkType(149) => match self.pktap(octets) {
                Err(NotDecoded::Malformed) => Err(NotDecoded::UnknownLinkType),
                peeled => peeled,
            },
            _ => self.plain_link(link, octets),
        }
    }

    /// A frame of a link type that holds no frame of another link type.
    fn plain_link(mut self, link: LinkType, mut octets: Octets<'_>) -> Peeled<'_> {
        match link {
            LinkType::ETHERNET => self.ethernet(octets),
            // 12 and 14 are what some systems called it.
            LinkType::RAW | LinkType(12 | 14) => self.ip(octets),
            LinkType::IPV4 => self.ipv4(octets),
            LinkType::IPV6 => self.ipv6(octets),
            LinkType::NULL | LinkType::LOOP => self.loopback(octets),
            LinkType::LINUX_SLL => self.cooked(octets),
            LinkType::LINUX_SLL2 => self.cooked2(octets),
            LinkType::PPP | LinkType::PPP_HDLC => match octets.peek() {
                // RFC 1547 §4.3.1: Cisco's framing on the same links.
                Some([0x0f | 0x8f, _]) => self.cisco_hdlc(octets),
                _ => self.ppp(octets),
            },
            LinkType::PPP_ETHER => self.pppoe(octets),
            LinkType::PPP_WITH_DIR => {
                octets.skip(1)?;
                self.ppp(octets)
            }
            LinkType::C_HDLC => self.cisco_hdlc(octets),
            LinkType::C_HDLC_WITH_DIR => {
                octets.skip(1)?;
                self.cisco_hdlc(octets)
            }
            LinkType::FRELAY => self.frame_relay(octets),
            LinkType::FRELAY_WITH_DIR => {
                octets.skip(1)?;
                self.frame_relay(octets)
            }
            LinkType::TOKEN_RING => self.token_ring(octets),
            LinkType::FDDI => self.fddi(octets),
            LinkType::ARCNET => {
                // Source and destination, an octet each.
                octets.skip(2)?;
                self.arcnet(octets)
            }
            LinkType::ARCNET_LINUX => {
                // And an offset of two octets.
                octets.skip(4)?;
                self.arcnet(octets)
            }
            LinkType::IP_OVER_IEEE1394 => {
                // Destination and source: unique ids of eight octets (RFC 2734 §4).
                octets.skip(16)?;
                let kind = octets.u16()?;
                self.ether_type(kind, octets)
            }
            LinkType::IPOIB => {
                // The route, then RFC 4391 §6: a type and two reserved octets.
                octets.skip(40)?;
                let [high, low, ..] = octets.array::<4>()?;
                self.ether_type(u16::from_be_bytes([high, low]), octets)
            }
            LinkType::IP_OVER_FC => {
                // RFC 2625 §3.2: the network header.
                octets.skip(16)?;
                self.llc(octets)
            }
            LinkType::ATM_RFC1483 => self.llc(octets),
            LinkType::IEEE802_11 => self.wlan(octets, false),
            LinkType::IEEE802_11_RADIOTAP => self.radiotap(octets),
            LinkType::PRISM => self.prism(octets),
            LinkType::IEEE802_11_AVS => self.avs(octets),
            LinkType::PFLOG => {
                // The header is as long as it says, filled up to a word.
                let len = octets.peek().map_or(0, |[len]| usize::from(len));
                octets.skip(len.next_multiple_of(4))?;
                self.ip(octets)
            }
            LinkType::ENC => {
                octets.skip(12)?;
                self.ip(octets)
            }
            LinkType::NFLOG => self.nflog(octets),
            LinkType::MPLS => self.mpls(octets, None),
            LinkType::DSA_TAG_DSA | LinkType::DSA_TAG_BRCM => {
                octets.skip(6)?;
                self.mac(octets.array()?);
                let kind = if link == LinkType::DSA_TAG_DSA {
                    self.dsa_tag(&mut octets)?
                } else {
                    octets.skip(4)?;
                    octets.u16()?
                };
                self.ether_type(kind, octets)
            }
            // The tag has an EtherType, whatever its value was programmed to be.
            LinkType::DSA_TAG_EDSA => {
                octets.skip(6)?;
                self.mac(octets.array()?);
                octets.skip(4)?;
                let kind = self.dsa_tag(&mut octets)?;
                self.ether_type(kind, octets)
            }
            LinkType::DSA_TAG_BRCM_PREPEND => {
                octets.skip(4)?;
                self.ethernet(octets)
            }
            _ => Err(NotDecoded::UnknownLinkType),
        }
    }

    /// Four octets of address family, in the byte order of the machine that captured; OpenBSD's
    /// are big-endian.
    fn loopback(self, mut octets: Octets<'_>) -> Peeled<'_> {
        let field: [u8; 4] = octets.array()?;
        let family = match u32::from_le_bytes(field) {
            // No family has so large a number.
            0x0001_0000.. => u32::from_be_bytes(field),
            family => family,
        };
        match family {
            AF_INET => self.ipv4(octets),
            family if AF_INET6.contains(&family) => self.ipv6(octets),
            _ => Err(NotDecoded::UnknownEthertype),
        }
    }

    /// IEEE 802.5: access and frame control, addresses, and a route where the source says so.
    fn token_ring(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const LLC: u8 = 0x40;
        let [_access, control] = octets.array()?;
        let _destination: [u8; 6] = octets.array()?;
        let [first, rest @ ..]: [u8; 6] = octets.array()?;
        let [b, c, d, e, f] = rest;
        self.mac([first & 0x7f, b, c, d, e, f]);
        if control & 0xc0 != LLC {
            return Err(NotDecoded::NotIp);
        }
        if first & 0x80 != 0 {
            // Its length counts its own two octets, of which this is the first.
            let len = usize::from(octets.u8()? & 0x1f);
            octets.skip(len.saturating_sub(1))?;
        }
        self.llc(octets)
    }

    /// FDDI: frame control and addresses.
    fn fddi(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        let control = octets.u8()?;
        let _destination: [u8; 6] = octets.array()?;
        self.mac(octets.array()?);
        match control & 0x70 {
            0x50 => self.llc(octets),
            _ => Err(NotDecoded::NotIp),
        }
    }

    /// ARCNET, from its protocol on: RFC 1201 with its fragmentation, RFC 1051 without.
    fn arcnet(self, mut octets: Octets<'_>) -> Peeled<'_> {
        const OLD_IPV4: u8 = 240;
        const OLD_ARP: u8 = 241;
        const IPV4: u8 = 212;
        const IPV6: u8 = 196;
        /// Padding, and the header once more: the packet has a length that no frame can have.
        const EXCEPTION: u8 = 0xff;
        let protocol = octets.u8()?;
        match protocol {
            OLD_IPV4 => return self.ipv4(octets),
            OLD_ARP => return Err(NotDecoded::NotIp),
            _ => {}
        }
        let [mut split, _, _] = octets.array()?;
        if split == EXCEPTION {
            [_, split, _, _] = octets.array()?;
        }
        match protocol {
            // The rest of a packet in several frames; its first one is read like a cut one.
            IPV4 | IPV6 if split != 0 && split & 1 == 0 => Err(NotDecoded::Truncated),
            IPV4 => self.ipv4(octets),
            IPV6 => self.ipv6(octets),
            _ => Err(NotDecoded::NotIp),
        }
    }

    /// Linux "cooked" frames.
    fn cooked(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        let _direction = octets.u16()?;
        let hardware = octets.u16()?;
        let address_len = octets.u16()?;
        let [a, b, c, d, e, f, _, _] = octets.array()?;
        if address_len == 6 {
            self.mac([a, b, c, d, e, f]);
        }
        let protocol = octets.u16()?;
        self.cooked_protocol(hardware, protocol, octets)
    }

    /// Linux "cooked" frames, version 2.
    fn cooked2(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        let protocol = octets.u16()?;
        octets.skip(6)?;
        let hardware = octets.u16()?;
        let [_direction, address_len] = octets.array()?;
        let [a, b, c, d, e, f, _, _] = octets.array()?;
        if address_len == 6 {
            self.mac([a, b, c, d, e, f]);
        }
        self.cooked_protocol(hardware, protocol, octets)
    }

    fn cooked_protocol(self, hardware: u16, protocol: u16, octets: Octets<'_>) -> Peeled<'_> {
        const NOVELL_802_3: u16 = 0x0001;
        const LLC: u16 = 0x0004;
        match (hardware, protocol) {
            (ARPHRD_NETLINK, _) | (_, NOVELL_802_3) => Err(NotDecoded::NotIp),
            (ARPHRD_IEEE80211_RADIOTAP, _) => self.radiotap(octets),
            (ARPHRD_IPGRE, protocol) => self.gre_payload(protocol, octets, false),
            (_, LLC) => self.llc(octets),
            // Below the registry's values are Linux's own: CAN and the like.
            (_, 0..=0x05ff) => Err(NotDecoded::NotIp),
            (_, protocol) => self.ether_type(protocol, octets),
        }
    }

    /// Per-packet information: a header, then a frame of the link type it names.
    fn ppi(self, mut octets: Octets<'_>) -> Peeled<'_> {
        let [_version, _flags, l0, l1, d0, d1, d2, d3] = octets.array()?;
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        octets.skip(len.checked_sub(8).ok_or(NotDecoded::Malformed)?)?;
        self.plain_link(LinkType(u32::from_le_bytes([d0, d1, d2, d3])), octets)
    }

    /// Apple's frames with the process that sent them.
    fn pktap(self, mut octets: Octets<'_>) -> Peeled<'_> {
        const PACKET: u32 = 1;
        let len = u32::from_le_bytes(octets.array()?);
        let kind = u32::from_le_bytes(octets.array()?);
        let link = LinkType(u32::from_le_bytes(octets.array()?));
        if !(12..=MAX_PKTAP_HEADER).contains(&len) || kind != PACKET {
            return Err(NotDecoded::Malformed);
        }
        octets.skip(len as usize - 12)?;
        self.plain_link(link, octets)
    }

    /// Endace's extensible record format: time, type, lengths; then a frame of the type's kind.
    fn erf(self, mut octets: Octets<'_>) -> Peeled<'_> {
        const MORE: u8 = 0x80;
        let _time: [u8; 8] = octets.array()?;
        let kind = octets.u8()?;
        octets.skip(7)?;
        let mut extension = kind;
        while extension & MORE != 0 {
            extension = octets.u8()?;
            octets.skip(7)?;
        }
        match kind & !MORE {
            // HDLC, with what the card has to say of it beside the record's own fields, or not.
            1 | 10 | 15 | 19 => self.plain_link(LinkType::PPP_HDLC, octets),
            // How far the frame was from a word's beginning, and padding.
            2 | 11 | 16 | 20 => {
                octets.skip(2)?;
                self.ethernet(octets)
            }
            22 => self.ipv4(octets),
            23 => self.ipv6(octets),
            // Counters, what is known of the machine, padding.
            13 | 14 | 27 | 48 => Err(NotDecoded::NotIp),
            _ => Err(NotDecoded::UnknownLinkType),
        }
    }

    /// Netfilter's log: attributes, one of which is the packet.
    fn nflog(self, mut octets: Octets<'_>) -> Peeled<'_> {
        const PAYLOAD: u16 = 9;
        octets.skip(4)?;
        loop {
            let [l0, l1, t0, t1] = octets.array()?;
            // In the byte order of the machine that captured; the kind has small values only.
            let little = u16::from_le_bytes([t0, t1]) <= 0x00ff;
            let (len, kind) = if little {
                (u16::from_le_bytes([l0, l1]), t0)
            } else {
                (u16::from_be_bytes([l0, l1]), t1)
            };
            let len = usize::from(len).checked_sub(4).ok_or(NotDecoded::Malformed)?;
            if u16::from(kind) == PAYLOAD {
                return self.ip(octets.limit(len));
            }
            octets.skip(len.next_multiple_of(4))?;
        }
    }

    /// An IP packet of either version.
    pub(super) fn ip(self, octets: Octets<'_>) -> Peeled<'_> {
        match tunnel::version(octets) {
            Some(4) => self.ipv4(octets),
            Some(6) => self.ipv6(octets),
            Some(_) => Err(NotDecoded::Malformed),
            None => Err(octets.lacks(1)),
        }
    }
}
