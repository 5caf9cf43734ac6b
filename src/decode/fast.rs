//! The short way for the packets that most links carry: Ethernet, up to two VLAN tags, IPv4
//! without fragments or IPv6 without extension headers, TCP or UDP.
//!
//! Everything else, tunnels first of all, is left to the general decoder, which would give the
//! same answer for these. Nothing is built here but a few offsets, so that a packet nobody asks
//! about costs no more than a look at its headers.

use super::{Packet, Seen, Tcp, TcpFlags, may_be_tunnel};
use crate::frame::{Frame, LinkType};
use crate::net::{Addr, Endpoint, IpProtocol, Mac, Path, TenantId};

/// Where the headers of an ordinary packet are.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    addresses: Addresses<'a>,
    transport: Transport<'a>,
    /// To the end of the IP packet or of what was captured.
    payload: &'a [u8],
    /// The lengths the headers state.
    payload_wire_len: u32,
    ip_len: u32,
    /// The outermost VLAN id in the frame.
    vlan: Option<u16>,
    tagged: bool,
}

/// Source and destination.
#[derive(Clone, Copy, Debug)]
enum Addresses<'a> {
    V4(&'a [u8; 8]),
    V6(&'a [u8; 32]),
}

/// A header without its options.
#[derive(Clone, Copy, Debug)]
enum Transport<'a> {
    Tcp(&'a [u8; 20]),
    Udp(&'a [u8; 8]),
}

impl<'a> Head<'a> {
    /// The headers of `frame`, when it is of the ordinary kind.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the way of every packet")]
    #[must_use]
    pub fn of(frame: &Frame<'a>) -> Option<Self> {
        if frame.link != LinkType::ETHERNET {
            return None;
        }
        let data = frame.data;
        let mut at = ETHERNET - 2;
        let mut ethertype = be16(data, at)?;
        let mut vlan = None;
        for _ in 0..2 {
            if !matches!(ethertype, CUSTOMER_TAG | SERVICE_TAG) {
                break;
            }
            let tag = be16(data, at + 2)?;
            vlan = vlan.or(vlan_id(tag));
            at += 4;
            ethertype = be16(data, at)?;
        }
        let ip = data.get(at + 2..)?;
        let head = match ethertype {
            ETHERTYPE_IPV4 => Self::v4(ip, vlan),
            ETHERTYPE_IPV6 => Self::v6(ip, vlan),
            _ => None,
        };
        head.map(|head| Self { tagged: at > ETHERNET - 2, ..head })
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the way of every packet")]
    fn v4(ip: &'a [u8], vlan: Option<u16>) -> Option<Self> {
        let header = ip.first_chunk::<20>()?;
        let version_and_length = header[0];
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
        let transport = usize::from(version_and_length & 15) * 4;
        if version_and_length >> 4 != 4 || transport < 20 || fragment != 0 || length < transport {
            return None;
        }
        let addresses = Addresses::V4(header.last_chunk()?);
        Self::transport(ip, addresses, header[9], transport, length, vlan)
    }

    #[inline]
    fn v6(ip: &'a [u8], vlan: Option<u16>) -> Option<Self> {
        let header = ip.first_chunk::<40>()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || length == 0 {
            return None;
        }
        let addresses = Addresses::V6(header.last_chunk()?);
        Self::transport(ip, addresses, header[6], 40, 40 + length, vlan)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the way of every packet")]
    #[expect(clippy::cast_possible_truncation, reason = "sixteen bits and a header's length")]
    fn transport(
        ip: &'a [u8],
        addresses: Addresses<'a>,
        protocol: u8,
        at: usize,
        length: usize,
        vlan: Option<u16>,
    ) -> Option<Self> {
        let octets = ip.get(at..length).or_else(|| ip.get(at..))?;
        let (transport, header_len) = match IpProtocol(protocol) {
            IpProtocol::TCP => {
                let header = octets.first_chunk::<20>()?;
                let header_len = usize::from(header[12] >> 4) * 4;
                if header_len < 20 {
                    return None;
                }
                (Transport::Tcp(header), header_len)
            }
            IpProtocol::UDP => {
                let (header, payload) = octets.split_first_chunk::<8>()?;
                let source = u16::from_be_bytes([header[0], header[1]]);
                let destination = u16::from_be_bytes([header[2], header[3]]);
                let udp_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
                if udp_len + at != length || may_be_tunnel(source, destination, payload) {
                    return None;
                }
                (Transport::Udp(header), header.len())
            }
            _ => return None,
        };
        Some(Self {
            addresses,
            transport,
            payload: octets.get(header_len..)?,
            payload_wire_len: length.saturating_sub(at + header_len) as u32,
            ip_len: length as u32,
            vlan,
            tagged: false,
        })
    }

    /// Is this TCP (else UDP)?
    #[inline]
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self.transport, Transport::Tcp(_))
    }

    /// Source and destination port.
    #[inline]
    #[must_use]
    pub const fn ports(&self) -> (u16, u16) {
        let (Transport::Tcp(&[a, b, c, d, ..]) | Transport::Udp(&[a, b, c, d, ..])) =
            self.transport;
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    /// The TCP control bits; none for UDP.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> TcpFlags {
        match self.transport {
            Transport::Tcp(header) => TcpFlags(header[13]),
            Transport::Udp(_) => TcpFlags(0),
        }
    }

    /// The payload that was captured.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// How long the headers say the payload is.
    #[inline]
    #[must_use]
    pub const fn payload_wire_len(&self) -> u32 {
        self.payload_wire_len
    }

    /// Octets of the IP packet on the wire, headers included.
    #[inline]
    #[must_use]
    pub const fn ip_len(&self) -> u32 {
        self.ip_len
    }

    /// Both addresses of an IPv4 packet, as numbers; none for IPv6.
    #[inline]
    #[must_use]
    pub const fn v4_addresses(&self) -> Option<(u32, u32)> {
        let Addresses::V4(&[a, b, c, d, e, f, g, h]) = self.addresses else { return None };
        Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])))
    }

    /// The ends, as plain values.
    #[inline]
    #[must_use]
    pub fn ends(&self) -> (Endpoint, Endpoint) {
        let (source, destination) = self.ports();
        let (a, b) = match self.addresses {
            Addresses::V4(&[a, b, c, d, e, f, g, h]) => {
                (Addr::from_v4([a, b, c, d]), Addr::from_v4([e, f, g, h]))
            }
            Addresses::V6(both) => {
                let [a, b] = both.as_chunks().0 else { return Default::default() };
                (Addr::from_v6(*a), Addr::from_v6(*b))
            }
        };
        (Endpoint { addr: a, port: source }, Endpoint { addr: b, port: destination })
    }

    /// Does the frame bear a VLAN tag, or did it before the capture took it out? Then a declared
    /// tenant may be behind it, and the general decoder looks.
    #[inline]
    #[must_use]
    pub const fn is_tagged(&self, frame: &Frame<'_>) -> bool {
        self.tagged || frame.vlan.is_some()
    }

    /// The whole packet, for those who want it.
    #[must_use]
    pub fn packet(&self, frame: &Frame<'a>, tenant: TenantId) -> Packet<'a> {
        let (source, destination) = self.ends();
        let (protocol, tcp) = match self.transport {
            Transport::Tcp(&[_, _, _, _, a, b, c, d, e, f, g, h, _, flags, ..]) => {
                let tcp = Tcp {
                    sequence: u32::from_be_bytes([a, b, c, d]),
                    acknowledgment: u32::from_be_bytes([e, f, g, h]),
                    flags: TcpFlags(flags),
                };
                (IpProtocol::TCP, tcp)
            }
            Transport::Udp(_) => (IpProtocol::UDP, Tcp::default()),
        };
        Packet {
            seen: Seen {
                at: frame.at,
                source: frame.source,
                number: frame.number,
                vlan: frame.vlan.and_then(vlan_id).or(self.vlan),
                tunnel_id: None,
                mirror: None,
                mac: frame.data.get(6..).and_then(|octets| octets.first_chunk().copied()).map(Mac),
                tenant,
                depth: 0,
            },
            path: Path { tenant, protocol, source, destination },
            tcp,
            payload: self.payload,
            payload_wire_len: self.payload_wire_len,
            ip_len: self.ip_len,
        }
    }
}

/// The id of a tag; zero is no VLAN but a priority (IEEE 802.1Q §9.6).
#[inline]
fn vlan_id(tag: u16) -> Option<u16> {
    Some(tag & VLAN_ID).filter(|id| *id != 0)
}

#[inline]
fn be16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2).and_then(|word| word.try_into().ok()).map(u16::from_be_bytes)
}

/// Octets of an Ethernet header (IEEE 802.3 §3.1.1).
const ETHERNET: usize = 14;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// IEEE 802.1Q §9.5.
const CUSTOMER_TAG: u16 = 0x8100;
const SERVICE_TAG: u16 = 0x88a8;
/// The VLAN id in a tag.
const VLAN_ID: u16 = 0x0fff;
