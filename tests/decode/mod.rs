//! Laws of decoding: whatever carries a packet, however deep, the packet is the same.

mod links;
mod tunnels;

use core::net::IpAddr;
use core::time::Duration;

use proptest::prelude::*;
use vendorwatch::capture::file::Reader;
use vendorwatch::capture::{Batch, Source};
use vendorwatch::decode::fast::Head;
use vendorwatch::decode::{self, Decoded, NotDecoded, Packet, Tenants};
use vendorwatch::frame::{Frame, LinkType, SourceId};
use vendorwatch::net::TenantId;
use vendorwatch::time::Timestamp;

use crate::support::shared;
use crate::support::wire::{self, Wire};

/// A packet as a test wants it found.
#[derive(Clone, Debug)]
struct Inner {
    ends: (IpAddr, IpAddr),
    ports: (u16, u16),
    tcp: bool,
    payload: Vec<u8>,
}

impl Inner {
    fn ip(&self) -> Vec<u8> {
        let (protocol, contents) = if self.tcp {
            (6, wire::tcp(self.ends, self.ports, &self.payload))
        } else {
            (17, wire::udp(self.ports.0, self.ports.1, &self.payload))
        };
        wire::ip(self.ends.0, self.ends.1, protocol, &contents)
    }

    fn sample() -> Self {
        Self {
            ends: ([192, 0, 2, 1].into(), [198, 51, 100, 7].into()),
            ports: (40_000, 443),
            tcp: true,
            payload: b"hello".to_vec(),
        }
    }

    #[track_caller]
    fn assert_is(&self, decoded: &Decoded<'_>) {
        let Decoded::Packet(packet) = decoded else { panic!("{decoded:?} is not {self:?}") };
        assert_eq!(packet.path.source.addr.to_ip(), self.ends.0);
        assert_eq!(packet.path.destination.addr.to_ip(), self.ends.1);
        assert_eq!((packet.path.source.port, packet.path.destination.port), self.ports);
        assert_eq!(packet.is_tcp(), self.tcp);
        assert_eq!(packet.payload, self.payload);
        assert_eq!(packet.payload_wire_len as usize, self.payload.len());
        assert_eq!(packet.ip_len as usize, self.ip().len());
    }
}

fn inner() -> impl Strategy<Value = Inner> {
    let ends = prop_oneof![
        any::<(u32, u32)>().prop_map(|(a, b)| (
            IpAddr::from((a | 0x0100_0000).to_be_bytes()),
            IpAddr::from(b.to_be_bytes()),
        )),
        any::<(u64, u64)>().prop_map(|(a, b)| (
            IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(a)).to_be_bytes()),
            IpAddr::from((0xfd00_u128 << 112 | u128::from(b)).to_be_bytes()),
        )),
    ];
    let payload = prop::collection::vec(any::<u8>(), 0..80);
    // Ports above those of tunnels.
    (ends, (40_000..60_000_u16, 1..600_u16), any::<bool>(), payload)
        .prop_map(|(ends, ports, tcp, payload)| Inner { ends, ports, tcp, payload })
}

/// A frame of every link type and of every tunnel, behind the number of its link type, each with a
/// name.
pub(crate) fn samples() -> Vec<(String, Vec<u8>)> {
    let inner = Inner::sample();
    let links =
        links::frames(&inner.ip()).into_iter().enumerate().filter_map(|(at, (link, data))| {
            let number = u8::try_from(link.0).ok()?;
            Some((format!("link-{number}-{at}"), [&[number], &data[..]].concat()))
        });
    let tunnels = tunnels::ALL.into_iter().map(|tunnel| {
        let data = tunnels::wrap(&inner, &[(tunnel, 1), (tunnels::Tunnel::Vlan, 9)]).ethernet();
        (format!("{tunnel:?}").to_ascii_lowercase(), [&[1], &data[..]].concat())
    });
    links.chain(tunnels).collect()
}

/// A way to carry packets, and what decides its details.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tunnel(tunnels::Tunnel, u8);

impl Tunnel {
    pub(crate) fn carry(self, inside: Wire) -> Wire {
        self.0.wrap(inside, self.1)
    }
}

/// Up to `most` tunnels that leave the packet inside as it is.
pub(crate) fn tunnels(most: usize) -> impl Strategy<Value = Vec<Tunnel>> {
    let opaque = |(tunnel, _): &(tunnels::Tunnel, u8)| !tunnels::changes_the_packet(*tunnel);
    tunnels::tunnels(most).prop_map(move |tunnels| {
        tunnels.into_iter().filter(opaque).map(|(tunnel, seed)| Tunnel(tunnel, seed)).collect()
    })
}

fn frame(data: &[u8], link: LinkType) -> Frame<'_> {
    Frame { link, source: SourceId(3), ..wire::captured(data, Timestamp::from_nanos(5), 4) }
}

fn decoded(data: &[u8]) -> Decoded<'_> {
    decode::frame(&frame(data, LinkType::ETHERNET), &Tenants::default())
}

/// Nothing a decoder says may be longer than what was there.
fn is_sound(decoded: &Decoded<'_>, data: &[u8]) {
    let (payload, wire) = match decoded {
        Decoded::Packet(packet) => (packet.payload, packet.payload_wire_len),
        Decoded::Fragment(fragment) => (fragment.payload, fragment.payload_wire_len),
        Decoded::Not(_) => return,
    };
    assert!(payload.len() <= wire as usize);
    assert!(payload.is_empty() || data.as_ptr_range().contains(&payload.as_ptr()));
}

fn same(a: &Packet<'_>, b: &Packet<'_>) {
    assert_eq!(a.seen, b.seen);
    assert_eq!(a.path, b.path);
    assert_eq!(a.tcp, b.tcp);
    assert_eq!(a.payload, b.payload);
    assert_eq!(a.payload_wire_len, b.payload_wire_len);
    assert_eq!(a.ip_len, b.ip_len);
}

proptest! {
    /// Damage never makes the decoder panic or point outside the frame.
    #[test]
    fn damage_is_survived(
        inner in inner(),
        tunnels in tunnels::tunnels(3),
        at: u16,
        to: u8,
        cut: u16,
    ) {
        let mut octets = tunnels::wrap(&inner, &tunnels).ethernet();
        let at = usize::from(at) % octets.len();
        octets[at] = to;
        let cut = usize::from(cut) % (octets.len() + 1);
        let data = &octets[..cut];
        let whole = Frame { wire_len: 70_000, ..frame(data, LinkType::ETHERNET) };
        is_sound(&decode::frame(&whole, &Tenants::default()), data);
        is_sound(&decoded(data), data);
    }

    /// Octets of any link type are survived.
    #[test]
    fn any_octets_are_survived(link in 0_u32..300, octets in prop::collection::vec(any::<u8>(), 0..200)) {
        is_sound(&decode::frame(&frame(&octets, LinkType(link)), &Tenants::default()), &octets);
        decode::fuzzing::frame(&octets);
    }

    /// A frame cut anywhere gives a prefix of the payload, or says that it was cut.
    #[test]
    fn a_cut_frame_gives_a_prefix(inner in inner(), tunnels in tunnels::tunnels(3), cut: u16) {
        let octets = tunnels::wrap(&inner, &tunnels).ethernet();
        let data = &octets[..usize::from(cut) % octets.len()];
        let whole = frame(&octets, LinkType::ETHERNET).wire_len;
        let frame = Frame { wire_len: whole, ..frame(data, LinkType::ETHERNET) };
        match decode::frame(&frame, &Tenants::default()) {
            Decoded::Packet(packet) if packet.path.source.addr.to_ip() == inner.ends.0 => {
                prop_assert!(inner.payload.starts_with(packet.payload));
                prop_assert_eq!(packet.payload_wire_len as usize, inner.payload.len());
            }
            // The inner packet's header was cut off a tunnel that only a port announces, or that
            // is told from encryption by its end.
            Decoded::Packet(packet) => prop_assert!(packet.is_cut()),
            Decoded::Not(reason) => prop_assert!(
                matches!(
                    reason,
                    NotDecoded::Truncated | NotDecoded::Encrypted | NotDecoded::Malformed
                        | NotDecoded::UnknownEthertype | NotDecoded::NotIp
                        | NotDecoded::OtherTransport
                ),
                "{:?}", reason
            ),
            Decoded::Fragment(fragment) => prop_assert!(false, "{:?}", fragment),
        }
    }

    /// The short way and the general way agree wherever the short way has an answer.
    #[test]
    fn the_short_way_is_the_general_way(
        inner in inner(),
        tags in prop::collection::vec(any::<u16>(), 0..4),
        beside: Option<u16>,
        padding in 0_usize..30,
    ) {
        let ip = inner.ip();
        let mut octets = vec![2; 12];
        for tag in &tags {
            octets.extend(0x8100_u16.to_be_bytes());
            octets.extend(tag.to_be_bytes());
        }
        octets.extend(wire::ether_type(&ip).to_be_bytes());
        octets.extend(&ip);
        octets.extend(vec![0; padding]);
        let frame = Frame { vlan: beside, ..frame(&octets, LinkType::ETHERNET) };
        let decoded = decode::frame(&frame, &Tenants::default());
        inner.assert_is(&decoded);
        let head = Head::of(&frame);
        prop_assert_eq!(head.is_some(), tags.len() <= 2);
        if let (Some(head), Decoded::Packet(packet)) = (head, decoded) {
            same(&head.packet(&frame, TenantId::NONE), &packet);
        }
    }
}

/// Every frame of every real capture: decoded without a panic, and the same by both ways.
#[test]
fn real_captures_decode_by_both_ways_alike() {
    let tenants = Tenants::default();
    for folder in ["corpus/dev", "corpus/vendors"] {
        let Some(folder) = shared(folder) else { return };
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let Ok(mut reader) = Reader::open(&path, SourceId(0)) else { continue };
            loop {
                let batch = reader.batch(Duration::ZERO, &mut |frame| {
                    let decoded = decode::frame(frame, &tenants);
                    is_sound(&decoded, frame.data);
                    let Some(head) = Head::of(frame) else { return };
                    match decoded {
                        Decoded::Packet(packet) => {
                            same(&head.packet(frame, TenantId::NONE), &packet);
                        }
                        other => panic!("{} {}: {other:?}", path.display(), frame.number),
                    }
                });
                if !matches!(batch, Ok(Batch::Frames(_))) {
                    break;
                }
            }
        }
    }
}

#[test]
fn wrapping_keeps_what_it_wraps() {
    let inner = Inner::sample();
    inner.assert_is(&decoded(&Wire::Ip(inner.ip()).ethernet()));
}
