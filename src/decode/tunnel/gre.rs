//! GRE in all its forms, and ERSPAN inside it.

use super::{plausible_ip, version};
use crate::decode::NotDecoded;
use crate::decode::ethernet::ether_type;
use crate::decode::ip::Ends;
use crate::decode::octets::Octets;
use crate::decode::peel::{Peel, Peeled, makes_sense};
use crate::decode::tenant::IdSpace;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGMENT: u16 = 0x0080;
const VERSION: u16 = 0x0007;

const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
const WCCP: u16 = 0x883e;
const CISCO_DISCOVERY: u16 = 0x2000;
const KEEPALIVE: u16 = 0;
/// MikroTik's Ethernet over IP, as its implementations have it.
const EOIP: u16 = 0x6400;
const RAW_FRAME_RELAY: u16 = 0x6559;
/// Aruba's access points put IEEE 802.11 frames under numbers of their own.
const ARUBA: core::ops::RangeInclusive<u16> = 0x8200..=0x83ff;

impl Peel<'_> {
    /// RFC 2784 with RFC 2890, and RFC 1701 before them; version 1 is PPTP's.
    pub(in crate::decode) fn gre(mut self, ends: Ends, mut octets: Octets<'_>) -> Peeled<'_> {
        self.enter(Some(ends.source))?;
        self.tagged = false;
        self.llc = false;
        let flags = octets.u16()?;
        let protocol = octets.u16()?;
        match flags & VERSION {
            0 => {}
            1 => return self.pptp(flags, protocol, octets),
            _ => return Err(NotDecoded::Malformed),
        }
        if flags & (CHECKSUM | ROUTING) != 0 {
            octets.skip(4)?;
        }
        if flags & KEY != 0 {
            let key = octets.u32()?;
            self.identify(IdSpace::GreKey, key);
            if protocol == ether_type::TRANSPARENT_ETHERNET {
                // NVGRE (RFC 7637 §3.2): 24 bits of network, 8 of flow.
                self.declare(IdSpace::Vni, key >> 8);
            }
        }
        if flags & SEQUENCE != 0 {
            octets.skip(4)?;
        }
        if flags & ROUTING != 0 {
            // Source routes end with an empty one (RFC 1701).
            loop {
                let [_, _, _offset, len] = octets.array()?;
                if len == 0 {
                    break;
                }
                octets.skip(usize::from(len))?;
            }
        }
        self.gre_payload(protocol, octets, flags & SEQUENCE != 0)
    }

    /// What a GRE protocol type announces; `sequenced`: the header had a sequence number.
    pub(in crate::decode) fn gre_payload(
        self,
        protocol: u16,
        mut octets: Octets<'_>,
        sequenced: bool,
    ) -> Peeled<'_> {
        match protocol {
            // Already counted as one tunnel.
            ether_type::TRANSPARENT_ETHERNET => self.ethernet(octets),
            // Type I has no header of its own, and no sequence number.
            ERSPAN if !sequenced => self.ethernet(octets),
            ERSPAN | ERSPAN_III => self.erspan(octets),
            WCCP => {
                // Version 2 puts a redirect header before the packet.
                if version(octets) != Some(4) || !plausible_ip(octets) {
                    octets.skip(4)?;
                }
                self.ip(octets)
            }
            RAW_FRAME_RELAY => self.frame_relay(octets),
            KEEPALIVE | CISCO_DISCOVERY => Err(NotDecoded::NotIp),
            aruba if ARUBA.contains(&aruba) => {
                let frame = self.wlan(octets, false);
                if makes_sense(&frame) { frame } else { Err(NotDecoded::UnknownEthertype) }
            }
            other if other <= ether_type::MAX_LENGTH => Err(NotDecoded::UnknownEthertype),
            other => self.ether_type(other, octets),
        }
    }

    /// RFC 2637 §4.1: PPP, with a length and a call in place of the key. MikroTik's tunnels have
    /// the same header, and an Ethernet frame behind it.
    fn pptp(mut self, flags: u16, protocol: u16, mut octets: Octets<'_>) -> Peeled<'_> {
        if !matches!(protocol, ether_type::PPP | EOIP) || flags & KEY == 0 {
            return Err(NotDecoded::Malformed);
        }
        let len = octets.u16()?;
        let call = octets.u16()?;
        if protocol == EOIP {
            self.identify(IdSpace::GreKey, u32::from(call.swap_bytes()));
            if len == 0 {
                // It is still there.
                return Err(NotDecoded::NotIp);
            }
            return self.ethernet(octets.limit_within(usize::from(len)));
        }
        self.identify(IdSpace::GreKey, u32::from(call));
        if flags & SEQUENCE == 0 || len == 0 {
            // An acknowledgment alone.
            return Err(NotDecoded::NotIp);
        }
        octets.skip(4)?;
        if flags & ACKNOWLEDGMENT != 0 {
            octets.skip(4)?;
        }
        self.ppp(octets.limit_within(usize::from(len)))
    }

    /// ERSPAN types II and III (draft-foschiano-erspan §4).
    fn erspan(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        const TYPE_II: u16 = 1;
        const TYPE_III: u16 = 2;
        const ETHERNET_FRAME: u16 = 0;
        const IP_PACKET: u16 = 2;
        let [vlan, session] = [octets.u16()?, octets.u16()?];
        self.vlan(vlan & 0x0fff);
        self.identify(IdSpace::ErspanSession, u32::from(session & 0x03ff));
        match vlan >> 12 {
            TYPE_II => {
                octets.skip(4)?;
                self.ethernet_of_mirror(octets)
            }
            TYPE_III => {
                let _timestamp = octets.u32()?;
                let _group = octets.u16()?;
                let flags = octets.u16()?;
                if flags & 1 != 0 {
                    // The platform's sub-header.
                    octets.skip(8)?;
                }
                match flags >> 10 & 0x1f {
                    ETHERNET_FRAME => self.ethernet_of_mirror(octets),
                    IP_PACKET => self.ip(octets),
                    _ => Err(NotDecoded::UnknownEthertype),
                }
            }
            _ => Err(NotDecoded::Malformed),
        }
    }

    /// A mirrored frame: the VLAN that the mirror names is that of the port, and a tag in the
    /// frame says the same or more.
    fn ethernet_of_mirror(mut self, octets: Octets<'_>) -> Peeled<'_> {
        self.tagged = false;
        self.ethernet(octets)
    }
}
