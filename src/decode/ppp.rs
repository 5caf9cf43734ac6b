//! Point-to-point framings: PPP, PPPoE, Cisco HDLC, frame relay.

use super::ethernet::ether_type;
use super::octets::Octets;
use super::peel::{Peel, Peeled};
use super::{NotDecoded, tunnel};

impl Peel<'_> {
    /// A session packet of PPPoE (RFC 2516 §4), from its version on.
    pub(super) fn pppoe(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        self.enter(None)?;
        let [version, code] = octets.array()?;
        let session = octets.u16()?;
        let len = octets.u16()?;
        if version != 0x11 {
            return Err(NotDecoded::Malformed);
        }
        if code != 0 {
            return Err(NotDecoded::NotIp);
        }
        self.seen.tunnel_id = Some(u32::from(session));
        self.ppp(octets.limit(usize::from(len)))
    }

    /// A PPP frame (RFC 1661 §2), with or without the address and control fields of RFC 1662.
    pub(super) fn ppp(mut self, mut octets: Octets<'_>) -> Peeled<'_> {
        match octets.peek() {
            Some([0xff, 0x03]) => octets.skip(2)?,
            Some(_) => {}
            None => return Err(octets.lacks(2)),
        }
        let mut protocol = u16::from(octets.u8()?);
        // An odd first octet is a compressed field (RFC 1661 §6.5).
        if protocol & 1 == 0 {
            protocol = protocol << 8 | u16::from(octets.u8()?);
        }
        match protocol {
            0x0021 => self.ipv4(octets),
            0x0057 => self.ipv6(octets),
            0x0031 => {
                // A bridged frame (RFC 3518 §4.2): flags, then the kind of MAC.
                let [_flags, mac] = octets.array()?;
                if mac != 1 {
                    return Err(NotDecoded::UnknownEthertype);
                }
                self.inner_ethernet(octets, 0)
            }
            0x003d => {
                // Multilink (RFC 1990 §3): a packet that is not split is both first and last.
                let [flags, ..] = octets.array::<4>()?;
                self.enter(None)?;
                if flags & 0xc0 == 0xc0 {
                    self.ppp(octets)
                } else if flags & 0x80 != 0 {
                    // The beginning of a split one is read like a cut one.
                    self.ppp(octets)
                } else {
                    Err(NotDecoded::Truncated)
                }
            }
            0x0281 | 0x0283 => self.mpls(octets, None),
            // Compressed or encrypted by a method agreed on earlier (RFC 1962, RFC 1968).
            0x0053 | 0x0055 | 0x00fb | 0x00fd => Err(NotDecoded::Encrypted),
            // Control protocols, and network protocols other than IP.
            0x8000.. | 0x0201..=0x027f => Err(NotDecoded::NotIp),
            0x0023 | 0x0025 | 0x0027 | 0x0029 | 0x002b | 0x0035 | 0x003f | 0x0049 | 0x004b => {
                Err(NotDecoded::NotIp)
            }
            _ => Err(NotDecoded::UnknownEthertype),
        }
    }

    /// Cisco's HDLC: address, control, EtherType.
    pub(super) fn cisco_hdlc(self, mut octets: Octets<'_>) -> Peeled<'_> {
        let [_address, _control] = octets.array()?;
        match octets.u16()? {
            // Keep-alives, CDP, OSI.
            0x8035 | 0x2000 | 0xfefe => Err(NotDecoded::NotIp),
            kind => self.ether_type(kind, octets),
        }
    }

    /// A frame-relay frame: Q.922 address, then RFC 2427, or Cisco's EtherType.
    pub(super) fn frame_relay(self, mut octets: Octets<'_>) -> Peeled<'_> {
        // The lowest bit of each octet of the address says whether it is the last one.
        let mut last = octets.u16()?;
        for _ in 0..2 {
            if last & 1 == 0 {
                last = u16::from(octets.u8()?);
            }
        }
        if last & 1 == 0 {
            return Err(NotDecoded::Malformed);
        }
        if let Some([high, low]) = octets.peek()
            && u16::from_be_bytes([high, low]) > ether_type::MAX_LENGTH
        {
            octets.skip(2)?;
            return self.ether_type(u16::from_be_bytes([high, low]), octets);
        }
        let _control = octets.u8()?;
        let mut network = octets.u8()?;
        if network == 0 {
            network = octets.u8()?;
        }
        match network {
            0xcc => self.ipv4(octets),
            0x8e => self.ipv6(octets),
            0x80 => {
                let organisation: [u8; 3] = octets.array()?;
                let kind = octets.u16()?;
                match (organisation, kind) {
                    ([0, 0, 0], kind) => self.ether_type(kind, octets),
                    ([0, 0x80, 0xc2], 1 | 7) => self.inner_ethernet(octets, 0),
                    _ => Err(NotDecoded::NotIp),
                }
            }
            0xcf => self.ppp(octets),
            _ if tunnel::plausible_ip(octets) => self.ip(octets),
            _ => Err(NotDecoded::NotIp),
        }
    }
}
