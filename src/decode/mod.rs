#![forbid(unsafe_code)]
//! From a frame to a packet: link layer, tunnels peeled, addresses, ports, payload.
//!
//! In: [`Frame`]. Out: [`Decoded`]: a [`Packet`] whose payload is a view into the frame, a
//! fragment that [`flow`](crate::flow) may complete, or the reason why there is neither. Nothing
//! is copied, nothing kept between frames, nothing allocated.

mod ethernet;
pub mod fast;
mod ip;
mod link;
mod octets;
mod peel;
mod ppp;
mod tenant;
mod transport;
mod tunnel;
mod wlan;

pub use tenant::{IdSpace, Tenants};
pub use tunnel::{PORTS as TUNNEL_PORTS, may_be_tunnel};

use core::cell::Cell;

use self::ip::Ends;
use self::octets::Octets;
use self::peel::Peel;
use crate::frame::{Frame, SourceId};
use crate::net::{Addr, Endpoint, IpProtocol, Mac, Path, TenantId};
use crate::time::Timestamp;

/// What `frame` is: every layer and tunnel peeled that is known here.
#[must_use]
pub fn frame<'a>(frame: &Frame<'a>, tenants: &Tenants) -> Decoded<'a> {
    part(frame, tenants, 0).0
}

/// Of a frame that holds several packets (an A-MSDU, IEEE 802.11 §9.3.2.2), that with the number
/// `part`, and whether another one follows it.
#[must_use]
pub fn part<'a>(frame: &Frame<'a>, tenants: &Tenants, part: u8) -> (Decoded<'a>, bool) {
    let more = Cell::new(false);
    let seen = Seen { at: frame.at, source: frame.source, number: frame.number, ..Seen::default() };
    let mut peel = Peel::new(seen, tenants, part, &more);
    if let Some(tci) = frame.vlan {
        peel.vlan(tci);
    }
    let octets = Octets::new(frame.data, frame.wire_len as usize);
    let decoded = peel.link(frame.link, octets).unwrap_or_else(Decoded::Not);
    (decoded, more.get())
}

/// What a datagram holds that was put together from its fragments.
#[must_use]
pub fn datagram<'a>(datagram: &Datagram<'a>, tenants: &Tenants) -> Decoded<'a> {
    datagram_part(datagram, tenants, 0).0
}

/// As [`part`], of a datagram that was put together.
#[must_use]
pub fn datagram_part<'a>(
    datagram: &Datagram<'a>,
    tenants: &Tenants,
    part: u8,
) -> (Decoded<'a>, bool) {
    let header_len = if datagram.source.is_v4() { 20 } else { 40 };
    let ends = Ends {
        source: datagram.source,
        destination: datagram.destination,
        len: datagram.payload_wire_len.saturating_add(header_len),
    };
    let octets = Octets::new(datagram.payload, datagram.payload_wire_len as usize);
    let more = Cell::new(false);
    let peel = Peel::new(datagram.seen, tenants, part, &more);
    let decoded = match datagram.carrier {
        Carrier::Ip => peel.ip_payload(ends, datagram.protocol, octets),
        Carrier::Capwap { native } => peel.capwap_payload(native, octets),
    };
    (decoded.unwrap_or_else(Decoded::Not), more.get())
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A TCP or UDP packet, whole or cut.
    Packet(Packet<'a>),
    /// A fragment of a datagram (the innermost, when tunnelled).
    Fragment(Fragment<'a>),
    /// Something else, by reason.
    Not(NotDecoded),
}

/// Where a packet was seen; shared by all layers of one frame.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    pub at: Timestamp,
    pub source: SourceId,
    pub number: u64,
    /// The outermost VLAN id, as an attribute.
    pub vlan: Option<u16>,
    /// The id of the innermost tunnel that has one (VNI, TEID, GRE key, MPLS label …), as an
    /// attribute.
    pub tunnel_id: Option<u32>,
    /// The address that sent the outermost tunnel: the mirror source.
    pub mirror: Option<Addr>,
    /// The link-layer source of the innermost Ethernet header.
    pub mac: Option<Mac>,
    /// The declared address space, when a declared VLAN or tunnel id was seen.
    pub tenant: TenantId,
    /// How many tunnels were peeled.
    pub depth: u8,
}

/// A TCP or UDP packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub seen: Seen,
    /// Protocol, addresses and ports; the tenant is that of `seen`.
    pub path: Path,
    /// The TCP fields; zero for UDP.
    pub tcp: Tcp,
    /// The payload octets that were captured.
    pub payload: &'a [u8],
    /// How long the headers say the payload is; more than `payload` when the frame was cut.
    pub payload_wire_len: u32,
    /// Octets of the innermost IP packet on the wire, headers included.
    pub ip_len: u32,
}

impl Packet<'_> {
    /// Is this TCP (else UDP)?
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.path.protocol == IpProtocol::TCP
    }

    /// Was the payload cut by a snaplen or a truncating mirror?
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.payload.len() < self.payload_wire_len as usize
    }
}

/// The TCP header fields the core needs (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tcp {
    pub sequence: u32,
    pub acknowledgment: u32,
    pub flags: TcpFlags,
}

/// TCP control bits (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    pub const FIN: Self = Self(0x01);
    pub const SYN: Self = Self(0x02);
    pub const RST: Self = Self(0x04);
    pub const ACK: Self = Self(0x10);

    /// Is any bit of `other` set?
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What cut a datagram into fragments.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Carrier {
    #[default]
    Ip,
    /// The data channel of an access point (RFC 5415 §3.4). `native`: its frames are those of
    /// IEEE 802.11, else Ethernet's.
    Capwap { native: bool },
}

/// One fragment of a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    pub seen: Seen,
    pub source: Addr,
    pub destination: Addr,
    pub carrier: Carrier,
    /// The protocol of the whole datagram's payload (IPv6: of the first fragment's next header).
    pub protocol: IpProtocol,
    /// Identification (RFC 791 §3.1, RFC 8200 §4.5, RFC 5415 §4.3).
    pub id: u32,
    /// Offset in octets.
    pub offset: u32,
    /// More fragments follow.
    pub more: bool,
    /// The fragment's octets that were captured.
    pub payload: &'a [u8],
    /// How long the header says they are.
    pub payload_wire_len: u32,
}

impl Fragment<'_> {
    /// The ends, without ports, which only the first fragment has.
    #[must_use]
    pub const fn path(&self) -> Path {
        Path {
            tenant: self.seen.tenant,
            protocol: self.protocol,
            source: Endpoint { addr: self.source, port: 0 },
            destination: Endpoint { addr: self.destination, port: 0 },
        }
    }
}

/// A datagram whose fragments were put together.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Of the fragment that completed it.
    pub seen: Seen,
    pub source: Addr,
    pub destination: Addr,
    pub carrier: Carrier,
    pub protocol: IpProtocol,
    /// The octets after the header that are there, from the first one on.
    pub payload: &'a [u8],
    /// How many there were on the wire; more than `payload` when fragments were cut or missing.
    pub payload_wire_len: u32,
}

/// Why a frame gave neither packet nor fragment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotDecoded {
    /// A link type not known here.
    UnknownLinkType,
    /// An ethertype (or its like in another link layer) that carries no IP known here.
    UnknownEthertype,
    /// A whole frame of a known kind that never carries names: ARP, LLDP, STP, 802.11 management.
    NotIp,
    /// An IP protocol other than TCP and UDP.
    OtherTransport,
    /// Encrypted below the transport: ESP, MACsec with encryption, WEP/WPA.
    Encrypted,
    /// The frame was cut before the transport header's end.
    Truncated,
    /// A header contradicts itself.
    Malformed,
    /// More tunnels inside each other than [`MAX_DEPTH`].
    TooDeep,
}

/// How many tunnels inside each other are peeled; deeper frames are counted, not read.
pub const MAX_DEPTH: u8 = 8;

/// Entry points for fuzzing; each asserts a property, not merely that nothing panics.
#[doc(hidden)]
pub mod fuzzing {
    use super::fast::Head;
    use super::{Decoded, Tenants};
    use crate::frame::{Frame, LinkType, SourceId};
    use crate::net::TenantId;
    use crate::time::Timestamp;

    /// Decodes `octets`, of which the first says the link type: nothing is said to be longer than
    /// it is or to lie elsewhere, cut or not, and the short way gives no other answer than the
    /// general one.
    pub fn frame(octets: &[u8]) {
        let Some((link, data)) = octets.split_first() else { return };
        let frame = Frame {
            data,
            wire_len: u32::try_from(data.len()).unwrap_or(u32::MAX),
            at: Timestamp::ZERO,
            link: LinkType(u32::from(*link)),
            source: SourceId::default(),
            number: 1,
            vlan: None,
        };
        let cut = Frame { wire_len: frame.wire_len.saturating_add(1_000), ..frame };
        for frame in [&cut, &frame] {
            let (payload, wire) = match super::frame(frame, &Tenants::default()) {
                Decoded::Packet(packet) => {
                    assert!(packet.seen.depth <= super::MAX_DEPTH);
                    (packet.payload, packet.payload_wire_len)
                }
                Decoded::Fragment(fragment) => (fragment.payload, fragment.payload_wire_len),
                Decoded::Not(_) => continue,
            };
            assert!(payload.len() <= wire as usize && payload.len() < data.len());
            assert!(payload.is_empty() || data.as_ptr_range().contains(&payload.as_ptr()));
        }
        let decoded = super::frame(&frame, &Tenants::default());
        if let Some(head) = Head::of(&frame) {
            let short = head.packet(&frame, TenantId::NONE);
            let Decoded::Packet(packet) = decoded else { panic!("{decoded:?} is not {short:?}") };
            assert_eq!((short.seen, short.path, short.tcp), (packet.seen, packet.path, packet.tcp));
            assert_eq!(short.payload, packet.payload);
        }
    }
}
