//! Every tunnel around generated packets, alone and inside each other.

use core::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use vendorwatch::decode::{self, Decoded, IdSpace, MAX_DEPTH, NotDecoded, TUNNEL_PORTS, Tenants};
use vendorwatch::frame::LinkType;
use vendorwatch::net::{Addr, TenantId};

use super::{Inner, decoded, frame, inner};
use crate::support::talk;
use crate::support::wire::{self, Wire};

/// A way to carry a packet. The number decides details within it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tunnel {
    Ah,
    Arista,
    Ayiya,
    Backbone,
    Capwap,
    CapwapSwapped,
    CiscoMetadata,
    ETag,
    EoIp,
    Edsa,
    ErspanI,
    ErspanII,
    ErspanIII,
    EspNull,
    EtherIp,
    FabricPath,
    Geneve,
    Gre,
    GreOverUdp,
    GtpU,
    Hsr,
    IpInIp,
    L2tpV2,
    L2tpV3,
    L2tpV3OverIp,
    Lisp,
    LlcSnap,
    Macsec,
    Mpls,
    MplsOverIp,
    MplsOverUdp,
    MplsPseudowire,
    Nsh,
    Nvgre,
    Pppoe,
    Pptp,
    Qinq,
    RTag,
    Teredo,
    Trill,
    Tzsp,
    TzspWlan,
    Vlan,
    VnTag,
    Vxlan,
    VxlanGpe,
    Wccp,
}

use Tunnel as T;

pub(super) const ALL: [Tunnel; 47] = [
    T::Ah,
    T::Arista,
    T::Ayiya,
    T::Backbone,
    T::Capwap,
    T::CapwapSwapped,
    T::CiscoMetadata,
    T::ETag,
    T::EoIp,
    T::Edsa,
    T::ErspanI,
    T::ErspanII,
    T::ErspanIII,
    T::EspNull,
    T::EtherIp,
    T::FabricPath,
    T::Geneve,
    T::Gre,
    T::GreOverUdp,
    T::GtpU,
    T::Hsr,
    T::IpInIp,
    T::L2tpV2,
    T::L2tpV3,
    T::L2tpV3OverIp,
    T::Lisp,
    T::LlcSnap,
    T::Macsec,
    T::Mpls,
    T::MplsOverIp,
    T::MplsOverUdp,
    T::MplsPseudowire,
    T::Nsh,
    T::Nvgre,
    T::Pppoe,
    T::Pptp,
    T::Qinq,
    T::RTag,
    T::Teredo,
    T::Trill,
    T::Tzsp,
    T::TzspWlan,
    T::Vlan,
    T::VnTag,
    T::Vxlan,
    T::VxlanGpe,
    T::Wccp,
];

const OUTER_V4: (IpAddr, IpAddr) = (
    IpAddr::V4(core::net::Ipv4Addr::new(10, 9, 8, 7)),
    IpAddr::V4(core::net::Ipv4Addr::new(10, 9, 8, 6)),
);

fn outer(seed: u8) -> (IpAddr, IpAddr) {
    if seed & 0x80 == 0 {
        return OUTER_V4;
    }
    let v6 = |last: u128| IpAddr::from((0x2001_0db8_00aa_u128 << 80 | last).to_be_bytes());
    (v6(1), v6(2))
}

#[allow(clippy::use_self)]
impl Tunnel {
    pub(super) fn wrap(self, inside: Wire, seed: u8) -> Wire {
        let over_ip = |protocol, octets: &[u8]| {
            let (source, destination) = outer(seed);
            Wire::Ip(wire::ip(source, destination, protocol, octets))
        };
        let over_udp = |port, octets: &[u8]| over_ip(17, &wire::udp(50_001, port, octets));
        let tag = |kind: u16, tag: &[u8], inside: Wire| {
            let frame = inside.ethernet();
            let octets = [&frame[..12], &kind.to_be_bytes(), tag, &frame[12..]].concat();
            Wire::Ethernet(octets)
        };
        let s = seed & 0x7f;
        match (self, inside) {
            // What needs IP and has Ethernet carries it as EtherIP, to be IP again.
            (
                T::Ah
                | T::Ayiya
                | T::Capwap
                | T::CapwapSwapped
                | T::EspNull
                | T::IpInIp
                | T::L2tpV2
                | T::Lisp
                | T::LlcSnap
                | T::Mpls
                | T::MplsOverIp
                | T::MplsOverUdp
                | T::Nsh
                | T::Pppoe
                | T::Pptp
                | T::Teredo
                | T::TzspWlan
                | T::Wccp,
                inside @ Wire::Ethernet(_),
            ) => self.wrap(T::EtherIp.wrap(inside, seed), seed),
            (T::Ah, Wire::Ip(ip)) => {
                // Before the transport header, in the same packet.
                let header = [ip_protocol(&ip), 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
                Wire::Ip(with_payload(&ip, 51, &[&header[..], &[0xcc; 12], payload(&ip)].concat()))
            }
            (T::Arista, inside) => match s % 2 {
                0 => tag(0xd28b, &[0, 1, 0, 0x10, 1, 2, 3, 4, 5, 6, 7, 8], inside),
                _ => tag(0xd28b, &[0, 1, 0, 0x20, 1, 2, 3, 4, 5, 6], inside),
            },
            (T::Ayiya, Wire::Ip(ip)) => {
                // An identity of 1 to 16 octets, and a signature of 20 or none.
                let next = if ip[0] >> 4 == 4 { 4 } else { 41 };
                let (identity, signature) = (s % 5, if s & 1 == 0 { 0x52 } else { 0x02 });
                let mut octets = vec![identity << 4 | 4, signature, 0x11, next, 0, 0, 0, s];
                octets.extend(vec![0xcc; (1 << identity) + 4 * usize::from(signature >> 4)]);
                octets.extend(ip);
                over_udp(5_072, &octets)
            }
            (T::Backbone, inside) => {
                let frame = [&[0, 0, 0, s][..], &inside.ethernet()].concat();
                Wire::Ethernet(wire::ethernet(0x88e7, &frame))
            }
            (T::Capwap, Wire::Ip(ip)) => {
                let header = [0, 0x10, 0x03, 0x00, 0, 0, 0, 0];
                over_udp(5_247, &[&header[..], &wire::wlan(&ip)].concat())
            }
            (T::CapwapSwapped, Wire::Ip(ip)) => {
                let header = [0, 0x18, 0x03, 0x20, 0, 0, 0, 0, 3, 0xbf, 0x23, 0];
                let mut frame = wire::wlan(&ip);
                frame.swap(0, 1);
                frame.swap(22, 23);
                over_udp(5_247, &[&header[..], &frame].concat())
            }
            (T::CiscoMetadata, inside) => tag(0x8909, &[1, 1, 0, 1, 0, s], inside),
            (T::ETag, inside) => tag(0x893f, &[0, 0, 0x10, s, 0, 0], inside),
            (T::Edsa, inside) => tag(0xdada, &[0, 0, 0xc0, 0, 0, s], inside),
            (T::ErspanI, inside) => over_ip(47, &wire::gre(0, 0x88be, 0, &inside.ethernet())),
            (T::ErspanII, inside) => {
                let header = [0x10, s, 0x18, s, 0, 0, 0, 1];
                let octets = [&header[..], &inside.ethernet()].concat();
                over_ip(47, &wire::gre(0x1000, 0x88be, 0, &octets))
            }
            (T::ErspanIII, inside) => {
                let mut header = vec![0x20, s, 0x18, s, 9, 9, 9, 9, 0, 0, 0, s & 1];
                if s & 1 != 0 {
                    header.extend([0xee; 8]);
                }
                header.extend(inside.ethernet());
                over_ip(47, &wire::gre(0x1000, 0x22eb, 0, &header))
            }
            (T::EspNull, Wire::Ip(ip)) => {
                let header = [0, 0, 1, 0, 0, 0, 0, 1];
                let mut octets = [&header[..], payload(&ip)].concat();
                let padding = (4 - (octets.len() + 2) % 4) % 4;
                octets.extend((1..).take(padding));
                octets.extend([u8::try_from(padding).unwrap(), ip_protocol(&ip)]);
                octets.extend([0xa5; 12]);
                Wire::Ip(with_payload(&ip, 50, &octets))
            }
            (T::EoIp, inside) => {
                let frame = inside.ethernet();
                let len = u16::try_from(frame.len()).unwrap().to_be_bytes();
                let header = [0x20, 0x01, 0x64, 0, len[0], len[1], s, 0];
                over_ip(47, &[&header[..], &frame].concat())
            }
            (T::EtherIp, inside) => over_ip(97, &[&[0x30, 0][..], &inside.ethernet()].concat()),
            (T::FabricPath, inside) => {
                let frame = [&[0x00, s][..], &inside.ethernet()].concat();
                Wire::Ethernet(wire::ethernet(0x8903, &frame))
            }
            (T::Geneve, inside) => {
                let options = usize::from(s % 5) * 4;
                let kind = kind(&inside).to_be_bytes();
                let mut octets = vec![s % 5, 0x40, kind[0], kind[1], 0, 0x01, s, 0];
                octets.extend(vec![0xcc; options]);
                octets.extend(inside.octets());
                over_udp(6_081, &octets)
            }
            (T::Gre, inside) => {
                let flags = u16::from(s & 0x0f) << 12;
                over_ip(47, &wire::gre(flags, kind(&inside), 77, &inside.octets()))
            }
            (T::GreOverUdp, inside) => {
                over_udp(4_754, &wire::gre(0x2000, kind(&inside), 7, &inside.octets()))
            }
            (T::GtpU, inside) => {
                let octets = inside.octets();
                let extra: &[u8] = match s % 3 {
                    0 => &[],
                    1 => &[0, 9, 0, 0],
                    _ => &[0, 9, 0, 0x85, 1, 0x10, 9, 0xc0, 1, 0, 0, 0],
                };
                let len = u16::try_from(octets.len() + extra.len()).unwrap().to_be_bytes();
                let flags = [0x30, 0x32, 0x34][usize::from(s % 3)];
                let header = [flags, 0xff, len[0], len[1], 0, 0, 1, s];
                over_udp(2_152, &[&header[..], extra, &octets].concat())
            }
            (T::Hsr, inside) => tag(0x892f, &[0x10, 60, 0, s], inside),
            (T::IpInIp, Wire::Ip(ip)) => over_ip(if ip[0] >> 4 == 4 { 4 } else { 41 }, &ip),
            (T::L2tpV2, Wire::Ip(ip)) => {
                let ppp = [&[0xff, 3][..], &wire::ppp(&ip)].concat();
                let len = u16::try_from(ppp.len() + 8).unwrap().to_be_bytes();
                let header = [0x40, 2, len[0], len[1], 0, 5, 0, s];
                let short = [0x02, 2, 0, 5, 0, s, 0, 2, 0xee, 0xee];
                let header = if s & 1 == 0 { &header[..] } else { &short[..] };
                over_udp(1_701, &[header, &ppp].concat())
            }
            (T::L2tpV3, inside) => {
                let mut octets = vec![0, 3, 0, 0, 0, 0, 0, s];
                octets.extend(vec![0x99; usize::from(s % 4) * 4]);
                octets.extend(inside.ethernet());
                over_udp(1_701, &octets)
            }
            (T::L2tpV3OverIp, inside) => {
                let mut octets = vec![0, 0, 1, s];
                octets.extend(vec![0x99; usize::from(s % 3) * 4]);
                octets.extend(inside.ethernet());
                over_ip(115, &octets)
            }
            (T::Lisp, Wire::Ip(ip)) => {
                over_udp(4_341, &[&[0x88, 1, 2, 3, 0, 0, s, 0][..], &ip].concat())
            }
            (T::LlcSnap, Wire::Ip(ip)) => {
                let octets = wire::snap(&ip);
                // A length too long for the field would be a type.
                match u16::try_from(octets.len()) {
                    Ok(len @ ..=1_500) => Wire::Ethernet(wire::ethernet(len, &octets)),
                    _ => Wire::Ethernet(wire::ethernet(0x8870, &octets)),
                }
            }
            (T::Macsec, inside) => match s % 2 {
                0 => tag(0x88e5, &[0x00, 0, 0, 0, 0, 1], inside),
                _ => tag(0x88e5, &[0x20, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8], inside),
            },
            (T::Mpls, Wire::Ip(ip)) => Wire::Ethernet(wire::ethernet(0x8847, &labels(s, &ip))),
            (T::MplsOverIp, Wire::Ip(ip)) => over_ip(137, &labels(s, &ip)),
            (T::MplsOverUdp, Wire::Ip(ip)) => over_udp(6_635, &labels(s, &ip)),
            (T::MplsPseudowire, inside) => {
                let word: &[u8] = if s & 1 == 0 { &[0, 0, 0, 1] } else { &[] };
                let octets = [word, &inside.ethernet()].concat();
                Wire::Ethernet(wire::ethernet(0x8848, &labels(s, &octets)))
            }
            (T::Nsh, Wire::Ip(ip)) => {
                let protocol = if ip[0] >> 4 == 4 { 1 } else { 2 };
                let header = [0x0f, 0xc6, 1, protocol, 0, 0, 1, 255];
                let octets = [&header[..], &[0xcc; 16], &ip].concat();
                Wire::Ethernet(wire::ethernet(0x894f, &octets))
            }
            (T::Nvgre, inside) => over_ip(
                47,
                &wire::gre(0x2000, 0x6558, 0x0012_3400 | u32::from(s), &inside.ethernet()),
            ),
            (T::Pppoe, Wire::Ip(ip)) => {
                let ppp = wire::ppp(&ip);
                let len = u16::try_from(ppp.len()).unwrap().to_be_bytes();
                let octets = [&[0x11, 0, 0, s, len[0], len[1]][..], &ppp].concat();
                Wire::Ethernet(wire::ethernet(0x8864, &octets))
            }
            (T::Pptp, Wire::Ip(ip)) => {
                // With the protocol field compressed to one octet, sometimes.
                let ppp = wire::ppp(&ip);
                let ppp = if s & 1 == 0 { &ppp[..] } else { &ppp[1..] };
                let len = u16::try_from(ppp.len()).unwrap().to_be_bytes();
                let header = [0x30, 0x81, 0x88, 0x0b, len[0], len[1], 0, s, 0, 0, 0, 1, 0, 0, 0, 2];
                over_ip(47, &[&header[..], ppp].concat())
            }
            (T::Qinq, inside) => tag(0x88a8, &[0x01, s, 0x81, 0x00, 0x02, s], inside),
            (T::RTag, inside) => tag(0xf1c1, &[0, 0, 0, s], inside),
            (T::Teredo, Wire::Ip(ip)) => {
                if ip[0] >> 4 == 4 {
                    return self.wrap(T::IpInIp.wrap(Wire::Ip(ip), seed | 0x80), seed);
                }
                let origin = [0, 0, 1, 2, 3, 4, 5, 6];
                let authentication = [0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0];
                let header = match s % 3 {
                    0 => Vec::new(),
                    1 => origin.to_vec(),
                    _ => [&authentication[..], &origin].concat(),
                };
                over_udp(3_544, &[&header[..], &ip].concat())
            }
            (T::Trill, inside) => {
                let frame =
                    [&[0x00, 0x41, 1, 2, 3, s, 0xcc, 0xcc, 0xcc, 0xcc][..], &inside.ethernet()]
                        .concat();
                Wire::Ethernet(wire::ethernet(0x22f3, &frame))
            }
            (T::Tzsp, inside) => {
                let header = [1, 0, 0, 1, 10, 1, s, 0, 13, 2, 1, 2, 1];
                over_udp(37_008, &[&header[..], &inside.ethernet()].concat())
            }
            (T::TzspWlan, Wire::Ip(ip)) => {
                over_udp(37_008, &[&[1, 0, 0, 18, 1][..], &wire::wlan(&ip)].concat())
            }
            (T::Vlan, inside) => tag(0x8100, &[0x20, s], inside),
            (T::VnTag, inside) => tag(0x8926, &[0, 1, 0x80, s], inside),
            (T::Vxlan, inside) => {
                let port = [4_789, 8_472][usize::from(s % 2)];
                over_udp(port, &[&[0x08, s, 0, 0, 0, 0, s, 0][..], &inside.ethernet()].concat())
            }
            (T::VxlanGpe, inside) => {
                let protocol = match kind(&inside) {
                    0x0800 => 1,
                    0x86dd => 2,
                    _ => 3,
                };
                let header = [0x0c, 0, 0, protocol, 0, 0, s, 0];
                over_udp(4_790, &[&header[..], &inside.octets()].concat())
            }
            (T::Wccp, Wire::Ip(ip)) => {
                let redirect: &[u8] = if s & 1 == 0 { &[] } else { &[0, 1, 0, 2] };
                if ip[0] >> 4 == 4 {
                    over_ip(47, &wire::gre(0, 0x883e, 0, &[redirect, &ip].concat()))
                } else {
                    over_ip(47, &wire::gre(0, 0x883e, 0, &[&[0, 1, 0, 2][..], &ip].concat()))
                }
            }
        }
    }
}

fn kind(wire: &Wire) -> u16 {
    match wire {
        Wire::Ip(ip) => wire::ether_type(ip),
        Wire::Ethernet(_) => 0x6558,
    }
}

fn labels(seed: u8, inside: &[u8]) -> Vec<u8> {
    let mut octets = [0x00, 0x01, 0x00, 0x40].repeat(usize::from(seed % 4));
    octets.extend([0x12, 0x34, 0x51, 0xff]);
    octets.extend(inside);
    octets
}

fn ip_protocol(ip: &[u8]) -> u8 {
    if ip[0] >> 4 == 4 { ip[9] } else { ip[6] }
}

fn payload(ip: &[u8]) -> &[u8] {
    if ip[0] >> 4 == 4 { &ip[20..] } else { &ip[40..] }
}

/// The same packet with another protocol and payload.
fn with_payload(ip: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (source, destination): (IpAddr, IpAddr) = if ip[0] >> 4 == 4 {
        let addr = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).unwrap());
        (addr(12), addr(16))
    } else {
        let addr = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).unwrap());
        (addr(8), addr(24))
    };
    wire::ip(source, destination, protocol, payload)
}

/// Up to `most` tunnels, the innermost first.
pub(super) fn tunnels(most: usize) -> impl Strategy<Value = Vec<(Tunnel, u8)>> {
    vec((select(&ALL[..]), any::<u8>()), 0..=most)
}

pub(super) fn wrap(inner: &Inner, tunnels: &[(Tunnel, u8)]) -> Wire {
    tunnels.iter().fold(Wire::Ip(inner.ip()), |wire, (tunnel, seed)| tunnel.wrap(wire, *seed))
}

/// Does the packet itself change in it: its length, at least?
pub(super) fn changes_the_packet(tunnel: Tunnel) -> bool {
    matches!(tunnel, T::Ah | T::EspNull)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever tunnels are around a packet, it is the same packet.
    #[test]
    fn a_packet_is_the_same_in_any_tunnel(inner in inner(), tunnels in tunnels(3)) {
        // ESP around what is not checked by a length or a checksum of its own is not readable.
        let unreadable = |(at, (tunnel, _)): (usize, &(Tunnel, u8))| {
            *tunnel == T::EspNull && at > 0
        };
        prop_assume!(!tunnels.iter().enumerate().any(unreadable));
        let ah_or_esp = tunnels.first().is_some_and(|(tunnel, _)| changes_the_packet(*tunnel));
        let frame = wrap(&inner, &tunnels).ethernet();
        let decoded = decoded(&frame);
        if ah_or_esp {
            let Decoded::Packet(packet) = decoded else { panic!("{decoded:?}") };
            prop_assert_eq!(packet.payload, &inner.payload[..]);
            prop_assert_eq!(packet.path.source.addr.to_ip(), inner.ends.0);
        } else {
            inner.assert_is(&decoded);
        }
    }

    /// DNS between ports of which one happens to be a tunnel's: whatever its id looks like there.
    #[test]
    fn no_port_hides_a_message_of_dns(
        port in select(&TUNNEL_PORTS[..]),
        towards: bool,
        id: u16,
        name in "[a-z][a-z0-9-]{0,20}[a-z0-9](\\.[a-z]{2,12}){1,3}",
        answers in vec((select(vec![1_u16, 16, 28]), vec(any::<u8>(), 4..40)), 0..3),
    ) {
        let ports = if towards { (53, port) } else { (port, 53) };
        let payload = talk::dns(id, towards, &name, if towards { &answers } else { &[] });
        let inner = Inner { tcp: false, ports, payload, ..Inner::sample() };
        inner.assert_is(&decoded(&Wire::Ip(inner.ip()).ethernet()));
    }
}

/// A packet on a tunnel's port that is no tunnel is a packet. Octets at random may happen to be a
/// tunnel's, which no reading can tell apart: of a million, fewer than one in a hundred thousand.
#[test]
fn a_port_hides_next_to_none_of_what_is_no_tunnel() {
    const PAYLOADS: u32 = 1_000_000;
    let mut runner = TestRunner::deterministic();
    let mut hidden = Vec::new();
    for number in 0..PAYLOADS {
        let port = TUNNEL_PORTS[number as usize % TUNNEL_PORTS.len()];
        let ports = if runner.rng().random() { (40_000, port) } else { (port, 333) };
        let mut payload = vec![0; runner.rng().random_range(0..96)];
        runner.rng().fill_bytes(&mut payload);
        let inner = Inner { tcp: false, ports, payload, ..Inner::sample() };
        let frame = Wire::Ip(inner.ip()).ethernet();
        let seen = matches!(decoded(&frame), Decoded::Packet(packet)
            if (packet.path.source.port, packet.path.destination.port) == ports
                && packet.payload == inner.payload);
        if !seen {
            hidden.push(inner);
        }
    }
    assert!(hidden.len() < 10, "{}: {hidden:?}", hidden.len());
}

/// Where only a port announces an IP header, it must look right unless a packet confirms it; and
/// what is not IP is believed of a header whose reserved bits are clear.
#[test]
fn what_only_a_port_announces_must_look_right() {
    const GPE: u16 = 4_790;
    const GENEVE: u16 = 6_081;
    let unlikely = [&[0x60, 0, 0, 0, 0, 0, 7, 0][..], &[0; 32]].concat();
    let fragment = [&[0x47, 0, 0, 200, 0, 1, 0x30, 7, 9, 200][..], &[7; 30]].concat();
    let channel = [0, 0, 0x11, 0xff, 0x10, 0, 0, 7, 0, 0, 0, 0];
    for (port, header, inside) in [
        (GPE, [4, 0, 0, 2, 0, 0, 0, 0], &unlikely[..]),
        (GPE, [4, 0, 0, 1, 0, 0, 0, 0], &fragment),
        (GPE, [4, 0, 9, 5, 0, 0, 0, 0], &channel),
        (GENEVE, [0, 0, 0x86, 0xdd, 0, 0, 0, 0], &unlikely),
        (GENEVE, [0, 0, 0x08, 0x00, 0, 0, 0, 0], &fragment),
        (GENEVE, [0, 1, 0x88, 0x47, 0, 0, 0, 0], &channel),
        (GENEVE, [0, 0, 0x88, 0xcc, 0, 0, 0, 1], &channel),
    ] {
        let payload = [&header[..], inside].concat();
        let outer = Inner { tcp: false, ports: (40_000, port), payload, ..Inner::sample() };
        outer.assert_is(&decoded(&Wire::Ip(outer.ip()).ethernet()));
    }
    for (port, header) in
        [(GPE, [4, 0, 0, 5, 0, 0, 0, 0]), (GENEVE, [0, 0, 0x88, 0x47, 0, 0, 0, 0])]
    {
        let payload = [&header[..], &channel].concat();
        let outer = Inner { tcp: false, ports: (40_000, port), payload, ..Inner::sample() };
        let frame = Wire::Ip(outer.ip()).ethernet();
        let decoded = decoded(&frame);
        assert!(matches!(decoded, Decoded::Not(NotDecoded::NotIp)), "{port}: {decoded:?}");
    }
}

/// Version 2 by its lowest bits, and one of encrypted PPP's numbers where it would stand.
#[test]
fn a_packet_with_reserved_bits_is_no_l2tp() {
    let payload =
        [&[0x69, 0x52, 0, 40, 0, 1, 0, 2, 0, 0, 0, 0][..], &[0x00, 0x53], &[7; 26]].concat();
    let outer = Inner { tcp: false, ports: (46_113, 1_701), payload, ..Inner::sample() };
    outer.assert_is(&decoded(&Wire::Ip(outer.ip()).ethernet()));
}

/// Where only a port announces IPv6 whose length says that much is missing: a mirror cuts packets,
/// and what may show a name is read; other octets are an application's.
#[test]
fn of_ipv6_that_does_not_fit_only_what_may_show_a_name_is_believed() {
    const LISP: u16 = 4_341;
    let address = |last: u128| (0x2001_0db8_u128 << 96 | last).to_be_bytes();
    let outer = |next: u8, rest: &[u8]| {
        let header =
            [&[0x60, 0, 0, 0, 0x4e, 0x20, next, 64][..], &address(1), &address(2)].concat();
        let payload = [&[0; 8][..], &header, rest].concat();
        Inner { tcp: false, ports: (40_000, LISP), payload, ..Inner::sample() }
    };
    for protocol in [1, 2, 46, 58, 59, 88, 89, 103, 112, 132] {
        let outer = outer(protocol, &[1; 40]);
        outer.assert_is(&decoded(&Wire::Ip(outer.ip()).ethernet()));
    }
    let inner = Inner::sample();
    let tcp = wire::tcp(inner.ends, inner.ports, &inner.payload);
    let behind_options = [&[6, 0, 1, 4, 0, 0, 0, 0][..], &tcp].concat();
    for (protocol, rest) in [(6, tcp), (60, behind_options)] {
        let data = Wire::Ip(outer(protocol, &rest).ip()).ethernet();
        let Decoded::Packet(packet) = decoded(&data) else { panic!("{protocol}") };
        assert_eq!(packet.path.destination.port, inner.ports.1, "{protocol}");
        assert_eq!(packet.payload, inner.payload, "{protocol}");
    }
}

/// Each tunnel alone, in each of its forms, with each family inside and outside.
#[test]
fn each_tunnel_carries_each_family() {
    let v6 = |last: u128| IpAddr::from((0x2001_0db8_u128 << 96 | last).to_be_bytes());
    let v4 = Inner::sample();
    for inner in [
        v4.clone(),
        Inner { tcp: false, ports: (40_000, 53), ..v4.clone() },
        Inner { ends: (v6(1), v6(2)), ..v4 },
    ] {
        for tunnel in ALL {
            for seed in [0, 1, 2, 3, 0x80, 0x81, 0x82, 0x83] {
                let data = wrap(&inner, &[(tunnel, seed)]).ethernet();
                let decoded = decoded(&data);
                let Decoded::Packet(packet) = decoded else {
                    panic!("{tunnel:?} {seed}: {decoded:?}")
                };
                assert_eq!(packet.payload, inner.payload, "{tunnel:?} {seed}");
                assert_eq!(packet.path.source.addr.to_ip(), inner.ends.0, "{tunnel:?} {seed}");
                assert_eq!(packet.path.destination.port, inner.ports.1, "{tunnel:?} {seed}");
            }
        }
    }
}

#[test]
fn the_outermost_sender_is_the_mirror_and_the_innermost_id_stays() {
    let inner = Inner::sample();
    let data = wrap(&inner, &[(T::Vxlan, 5), (T::Gre, 2), (T::Vlan, 9)]).ethernet();
    let tenants =
        Tenants::new([(IdSpace::Vni, 5, TenantId(1)), (IdSpace::GreKey, 77, TenantId(2))]);
    let Decoded::Packet(packet) = decode::frame(&frame(&data, LinkType::ETHERNET), &tenants) else {
        panic!()
    };
    assert_eq!(packet.seen.mirror.map(Addr::to_ip), Some(OUTER_V4.0));
    assert_eq!(packet.seen.tunnel_id, Some(5));
    assert_eq!(packet.seen.depth, 2);
    assert_eq!((packet.seen.tenant, packet.path.tenant), (TenantId(1), TenantId(1)));
    // The tag is the transport network's; the mirrored frame had none.
    assert_eq!(packet.seen.vlan, Some(9));
    assert_eq!((packet.seen.number, packet.seen.source.0), (4, 3));
}

#[test]
fn the_vlan_of_a_mirrored_frame_is_its_own() {
    let inner = Inner::sample();
    let data = wrap(&inner, &[(T::Qinq, 8), (T::ErspanII, 4), (T::Vlan, 9)]).ethernet();
    let tenants = Tenants::new([(IdSpace::Vlan, 0x208, TenantId(6))]);
    let Decoded::Packet(packet) = decode::frame(&frame(&data, LinkType::ETHERNET), &tenants) else {
        panic!()
    };
    assert_eq!(packet.seen.vlan, Some(0x108));
    assert_eq!(packet.seen.tenant, TenantId(6));
}

/// A hardware address may begin like a control word, and four octets on an inner type, or a flow
/// label, may stand where the frame's own would.
#[test]
fn a_frame_behind_labels_is_read_from_its_beginning() {
    let v6 = |last: u128| (0x2001_0db8_u128 << 96 | last).to_be_bytes().into();
    for inner in [Inner::sample(), Inner { ends: (v6(1), v6(2)), ..Inner::sample() }] {
        let mut ip = inner.ip();
        if ip[0] >> 4 == 6 {
            ip[2..4].copy_from_slice(&[0x88, 0xcc]);
        }
        let plain = Wire::Ip(ip).ethernet();
        assert_eq!(plain[0] >> 4, 0);
        let tagged = [&plain[..12], &[0x81, 0, 0, 100], &plain[12..]].concat();
        for (octets, vlan) in [(plain, None), (tagged, Some(100))] {
            let octets = wire::ethernet(0x8847, &[&[0, 2, 1, 0x40][..], &octets].concat());
            let decoded = decoded(&octets);
            inner.assert_is(&decoded);
            let Decoded::Packet(packet) = decoded else { unreachable!() };
            assert_eq!(packet.seen.vlan, vlan);
        }
    }
}

#[test]
fn the_limit_of_depth_is_kept() {
    let inner = Inner::sample();
    let deep = |count| wrap(&inner, &vec![(T::IpInIp, 0); count]).ethernet();
    inner.assert_is(&decoded(&deep(usize::from(MAX_DEPTH))));
    let data = deep(usize::from(MAX_DEPTH) + 1);
    let decoded = decoded(&data);
    assert!(matches!(decoded, Decoded::Not(NotDecoded::TooDeep)), "{decoded:?}");
}

/// Each is four octets here (3GPP TS 29.281 §5.2).
#[test]
fn a_packet_of_gtp_has_up_to_eight_extension_headers() {
    let inner = Inner::sample();
    for (count, is_read) in [(1, true), (8, true), (9, false)] {
        let mut contents = vec![0, 9, 0, 0xc0];
        for left in (0..count).rev() {
            contents.extend([1, 0, 0, if left > 0 { 0xc0 } else { 0 }]);
        }
        contents.extend(inner.ip());
        let len = u16::try_from(contents.len()).unwrap().to_be_bytes();
        let gtp = [&[0x34, 0xff, len[0], len[1], 0, 0, 1, 7][..], &contents].concat();
        let data = Wire::Ip(wire::ip(OUTER_V4.0, OUTER_V4.1, 17, &wire::udp(2_152, 2_152, &gtp)));
        let data = data.ethernet();
        let decoded = decoded(&data);
        if is_read {
            inner.assert_is(&decoded);
        } else {
            let Decoded::Packet(packet) = &decoded else { panic!("{decoded:?}") };
            assert_eq!(packet.path.destination.port, 2_152, "the outer datagram");
        }
    }
}

#[test]
fn what_icmp_quotes_is_not_a_packet() {
    let inner = Inner::sample();
    let quote = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &inner.ip()].concat();
    let data = Wire::Ip(wire::ip(OUTER_V4.0, OUTER_V4.1, 1, &quote)).ethernet();
    assert!(matches!(decoded(&data), Decoded::Not(NotDecoded::OtherTransport)));
}

#[test]
fn what_is_encrypted_is_said_to_be() {
    let noise: Vec<u8> =
        (0..200_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let esp = Wire::Ip(wire::ip(OUTER_V4.0, OUTER_V4.1, 50, &noise)).ethernet();
    assert!(matches!(decoded(&esp), Decoded::Not(NotDecoded::Encrypted)));
    let macsec = wire::ethernet(0x88e5, &[&[0x2c, 0, 0, 0, 0, 1][..], &noise].concat());
    assert!(matches!(decoded(&macsec), Decoded::Not(NotDecoded::Encrypted)));
    let mut wlan = wire::wlan(&Inner::sample().ip());
    wlan[1] |= 0x40;
    let decoded = decode::frame(&frame(&wlan, LinkType::IEEE802_11), &Tenants::default());
    assert!(matches!(decoded, Decoded::Not(NotDecoded::Encrypted)));
}
