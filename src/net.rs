//! Addresses, ports and flow keys: plain values shared by all rooms.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address in sixteen octets; IPv4 in its IPv4-mapped form (RFC 4291 §2.5.5.2).
///
/// A packet that really carries an IPv4-mapped IPv6 address names the same host, and is counted
/// as that IPv4 host.
///
/// Two words, the first the more significant: an alignment of eight keeps what holds addresses
/// small.
#[derive(Clone, Copy, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Addr([u64; 2]);

impl Addr {
    /// From the four octets of an IPv4 header field.
    #[must_use]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        Self([0, V4_MAPPED << 32 | u32::from_be_bytes(octets) as u64])
    }

    /// From the sixteen octets of an IPv6 header field.
    #[must_use]
    pub const fn from_v6(octets: [u8; 16]) -> Self {
        Self::from_bits(u128::from_be_bytes(octets))
    }

    /// The 128 bits.
    #[must_use]
    pub const fn bits(self) -> u128 {
        (self.0[0] as u128) << 64 | self.0[1] as u128
    }

    /// From the 128 bits that [`Self::bits`] gave.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    pub const fn from_bits(bits: u128) -> Self {
        Self([(bits >> 64) as u64, bits as u64])
    }

    /// Is this an IPv4 address?
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.0[0] == 0 && self.0[1] >> 32 == V4_MAPPED
    }

    /// As the standard library's type.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are the IPv4 address")]
    pub const fn to_ip(self) -> IpAddr {
        if self.is_v4() {
            IpAddr::V4(Ipv4Addr::from_bits(self.0[1] as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(self.bits()))
        }
    }
}

/// The word before the IPv4 address in an IPv4-mapped one.
const V4_MAPPED: u64 = 0xffff;

impl Hash for Addr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.bits());
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::from_v4(v4.octets()),
            IpAddr::V6(v6) => Self::from_v6(v6.octets()),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

/// An address and a port.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    pub addr: Addr,
    pub port: u16,
}

/// An IP protocol number (IANA "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IpProtocol(pub u8);

impl IpProtocol {
    pub const ICMP: Self = Self(1);
    pub const IPV4: Self = Self(4);
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);
    pub const IPV6: Self = Self(41);
    pub const GRE: Self = Self(47);
    pub const ESP: Self = Self(50);
    pub const AH: Self = Self(51);
    pub const ICMPV6: Self = Self(58);
    /// IP in IP before RFC 2003.
    pub const IPIP: Self = Self(94);
    pub const ETHERIP: Self = Self(97);
    pub const L2TP: Self = Self(115);
    pub const SCTP: Self = Self(132);
    pub const MPLS: Self = Self(137);
    pub const ETHERNET: Self = Self(143);
}

/// An address space that the operator declared (`[[tenant]]`); [`TenantId::NONE`] where none fits.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TenantId(pub u16);

impl TenantId {
    pub const NONE: Self = Self(0);
}

/// An index into the operator's networks (`[[network]]`); [`NetworkId::OTHER`] outside them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NetworkId(pub u16);

impl NetworkId {
    pub const OTHER: Self = Self(0);
}

/// One conversation as one packet shows it: `source` sent this packet to `destination`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Path {
    pub tenant: TenantId,
    pub protocol: IpProtocol,
    pub source: Endpoint,
    pub destination: Endpoint,
}

impl Path {
    /// The same conversation seen from the other side.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }

    /// The key that both directions share, and whether this packet travels from its low end.
    #[must_use]
    pub fn key(self) -> (FlowKey, bool) {
        let forward = self.is_from_low();
        (self.key_from(forward), forward)
    }

    /// Does this packet travel from its conversation's low end?
    #[inline]
    #[must_use]
    pub fn is_from_low(&self) -> bool {
        // As the derived order has it, in whole numbers.
        let rank = |end: &Endpoint| (end.addr.bits(), end.port);
        rank(&self.source) <= rank(&self.destination)
    }

    /// The first half of [`Self::key`], where the second is known: a key that is built in its
    /// place, and not copied there while its octets are still being written.
    #[inline]
    #[must_use]
    pub const fn key_from(&self, low: bool) -> FlowKey {
        let (low, high) =
            if low { (self.source, self.destination) } else { (self.destination, self.source) };
        FlowKey { tenant: self.tenant, protocol: self.protocol, low, high }
    }
}

/// Both directions of one conversation: equal for a packet and its answer.
///
/// Invariant: `low <= high`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowKey {
    pub tenant: TenantId,
    pub protocol: IpProtocol,
    pub low: Endpoint,
    pub high: Endpoint,
}

/// What is known of a flow, for a source that may leave out its packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// Enough is known: no further octets are needed. Of the connection in which the path's source
    /// had come so far, in sequence numbers: another one may have taken its ports meanwhile.
    Done(u32),
    /// Octets of the path's source are needed beyond a flow's beginning, until it is done.
    More,
}

/// Two addresses whose volume is counted, for a source that may leave out their packets. Outside
/// all declared tenants: what is in a tunnel is never left out.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Pair {
    pub client: Addr,
    pub server: Addr,
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.low.addr.bits());
        state.write_u128(self.high.addr.bits());
        state.write_u64(
            u64::from(self.low.port)
                | u64::from(self.high.port) << 16
                | u64::from(self.tenant.0) << 32
                | u64::from(self.protocol.0) << 48,
        );
    }
}

/// A hardware address. An attribute of a client, never its identity: a routed mirror shows the
/// router's.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_key_of_its_question() {
        let path = Path {
            source: Endpoint { addr: Addr::from_v4([192, 0, 2, 9]), port: 40_000 },
            destination: Endpoint { addr: Addr::from_v4([192, 0, 2, 1]), port: 443 },
            protocol: IpProtocol::TCP,
            tenant: TenantId::NONE,
        };
        let (key, forward) = path.key();
        let (back, backward) = path.reversed().key();
        assert_eq!(key, back);
        assert_ne!(forward, backward);
    }

    #[test]
    fn the_low_end_is_the_one_that_the_order_puts_first() {
        let (v4, v6) = (|n| Addr::from_v4([n, 0, 2, 1]), |n| Addr::from_v6([n; 16]));
        let addrs = [v4(1), v4(200), v6(0), v6(1), v6(0xfe)];
        let ends =
            addrs.iter().flat_map(|&addr| [0, 53, 0xffff].map(|port| Endpoint { addr, port }));
        let ends: Vec<Endpoint> = ends.collect();
        for (&source, &destination) in ends.iter().flat_map(|a| ends.iter().map(move |b| (a, b))) {
            let path = Path { source, destination, ..Path::default() };
            assert_eq!(path.is_from_low(), source <= destination);
            assert!(path.key().0.low <= path.key().0.high);
        }
    }

    #[test]
    fn addresses_keep_their_family() {
        for text in ["192.0.2.1", "2001:db8::1", "::", "0.0.0.0"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Addr::from(ip).to_ip(), ip);
            assert_eq!(Addr::from(ip).to_string(), text);
        }
    }
}
