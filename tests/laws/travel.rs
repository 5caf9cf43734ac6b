//! A handshake travels: cut, reordered, repeated, in tunnels, and in fragments inside or outside of
//! them. It is seen once.

use core::net::IpAddr;

use proptest::prelude::*;
use proptest::sample::Index;
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;

use super::deliveries;
use crate::decode;
use crate::support::handshake::{crypto, dtls, initial, vector16};
use crate::support::talk::{ACK, Ends, SYN, Tap, client_hello, client_hello_message, dns};
use crate::support::wire::{self, Wire};

const NAME: &str = "update.example.com";
const FIRST: u32 = 0xffff_ff00;

/// What is said, and how.
#[derive(Clone, Debug)]
enum Talk {
    Tls,
    Http,
    Dns,
    /// With this version.
    Quic(u32),
    Dtls,
}

/// A talk, its octets, and the pieces in which they are sent, in their order.
type Sent = (Talk, Vec<u8>, Vec<(usize, usize)>);

fn talks() -> impl Strategy<Value = Sent> {
    // With the key share of X25519MLKEM768 (1,216 octets) a hello has some 1,800.
    let hello = (0_usize..2_200, prop_oneof![Just(1_usize << 14), 30_usize..900]);
    let versions = prop_oneof![Just(1_u32), Just(0x6b33_43cf), Just(0xff00_001d)];
    let message = |filler| client_hello_message(Some(NAME), 7, filler);
    prop_oneof![
        hello.prop_map(|(filler, record)| (Talk::Tls, client_hello(Some(NAME), 7, filler, record))),
        (0_usize..3_000).prop_map(|filler| (Talk::Http, requests(filler))),
        (0_usize..4).prop_map(|extra| (Talk::Dns, questions(extra))),
        (versions, 0_usize..2_200)
            .prop_map(move |(version, filler)| (Talk::Quic(version), message(filler))),
        (0_usize..2_200).prop_map(move |filler| (Talk::Dtls, dtls_hello(&message(filler)))),
    ]
    .prop_flat_map(|(talk, octets)| {
        let len = octets.len();
        (Just(talk), Just(octets), deliveries(len))
    })
}

/// Two requests; the field that names the first one's host comes late.
fn requests(filler: usize) -> Vec<u8> {
    let cookie = "c".repeat(filler);
    format!(
        "POST / HTTP/1.1\r\nCookie: {cookie}\r\nHost: {NAME}\r\nContent-Length: 4\r\n\r\nbody\
         GET / HTTP/1.1\r\nHost: second.example:8080\r\n\r\n"
    )
    .into_bytes()
}

fn questions(extra: usize) -> Vec<u8> {
    let names =
        core::iter::once(NAME.to_owned()).chain((0..extra).map(|n| format!("host{n}.example")));
    (1..).zip(names).flat_map(|(id, name)| vector16(&dns(id, false, &name, &[]))).collect()
}

/// The body of a ClientHello message with an empty cookie behind its empty session id (RFC 6347
/// §4.2.1).
fn dtls_hello(message: &[u8]) -> Vec<u8> {
    let (head, tail) = message[4..].split_at(2 + 32 + 1);
    [head, &[0], tail].concat()
}

/// What is to be seen of a talk.
fn expected(talk: &Talk, octets: &[u8]) -> Vec<(Signal, String)> {
    let once = |signal| vec![(signal, NAME.to_owned())];
    match talk {
        Talk::Tls => once(Signal::TlsSni),
        Talk::Quic(_) => once(Signal::QuicSni),
        Talk::Dtls => once(Signal::DtlsSni),
        Talk::Http => {
            vec![
                (Signal::HttpHost, NAME.to_owned()),
                (Signal::HttpHost, "second.example".to_owned()),
            ]
        }
        Talk::Dns => {
            let count = (0..4).take_while(|extra| questions(*extra).len() < octets.len()).count();
            let names = (0..count).map(|n| format!("host{n}.example"));
            core::iter::once(NAME.to_owned())
                .chain(names)
                .map(|name| (Signal::DnsQuery, name))
                .collect()
        }
    }
}

/// The IP packets that carry a talk. The first of a connection begins it.
fn packets((talk, octets, pieces): &Sent, v6: bool) -> Vec<Vec<u8>> {
    let ends = |port| if v6 { Ends::v6(40_000, port) } else { Ends::v4(40_000, port) };
    let ip = |frame: Vec<u8>| frame[14..].to_vec();
    let tcp = |port| {
        let begin = ip(ends(port).tcp(FIRST, 0, SYN, &[]));
        let segments = pieces.iter().map(|&(from, to)| {
            let sequence = FIRST.wrapping_add(1 + u32::try_from(from).unwrap());
            ip(ends(port).tcp(sequence, 9, ACK, &octets[from..to]))
        });
        core::iter::once(begin).chain(segments).collect()
    };
    // No datagram is longer than a link's; the pieces are cut further.
    let parts = pieces.iter().flat_map(|&(from, to)| {
        (from..to).step_by(1_100).map(move |at| (at, (at + 1_100).min(to)))
    });
    match talk {
        Talk::Tls => tcp(443),
        Talk::Http => tcp(8_080),
        Talk::Dns => tcp(53),
        Talk::Quic(version) => (0..)
            .zip(parts)
            .map(|(number, (from, to))| {
                let frame = crypto(from, &octets[from..to]);
                ip(ends(443).udp(&initial(*version, number, &frame)))
            })
            .collect(),
        Talk::Dtls => (0..)
            .zip(parts)
            .map(|(number, (from, to))| ip(ends(4_433).udp(&dtls(octets, number, from, to))))
            .collect(),
    }
}

/// How packets are carried: in these tunnels, the innermost first, and in fragments that begin at
/// such octets, made before the tunnel with this number.
#[derive(Clone, Debug)]
struct Road {
    tunnels: Vec<decode::Tunnel>,
    fragmented_before: usize,
    cuts: Vec<Index>,
}

fn roads() -> impl Strategy<Value = Road> {
    let cuts = prop_oneof![Just(Vec::new()), proptest::collection::vec(any::<Index>(), 1..4),];
    (decode::tunnels(2), 0_usize..3, cuts).prop_map(|(tunnels, before, cuts)| Road {
        fragmented_before: before % (tunnels.len() + 1),
        tunnels,
        cuts,
    })
}

impl Road {
    fn carry(&self, packet: Vec<u8>, id: &mut u16) -> Vec<Vec<u8>> {
        let mut wires = vec![Wire::Ip(packet)];
        for place in 0..=self.tunnels.len() {
            if place == self.fragmented_before {
                wires = wires.into_iter().flat_map(|wire| self.fragment(wire, id)).collect();
            }
            if let Some(tunnel) = self.tunnels.get(place) {
                wires = wires.into_iter().map(|wire| tunnel.carry(wire)).collect();
            }
        }
        wires.into_iter().map(Wire::ethernet).collect()
    }

    /// IP in fragments (RFC 791 §3.2, RFC 8200 §4.5), each behind the header of the whole.
    fn fragment(&self, wire: Wire, id: &mut u16) -> Vec<Wire> {
        let Wire::Ip(packet) = &wire else { return vec![wire] };
        let v4 = packet[0] >> 4 == 4;
        let contents = &packet[if v4 { 20 } else { 40 }..];
        let mut bounds: Vec<_> =
            self.cuts.iter().map(|cut| cut.index(contents.len().max(1)) / 8 * 8).collect();
        bounds.retain(|&at| at > 0);
        bounds.sort_unstable();
        bounds.dedup();
        if bounds.is_empty() {
            return vec![wire];
        }
        bounds.insert(0, 0);
        bounds.push(contents.len());
        *id += 1;
        let fragments = bounds.windows(2).map(|bounds| {
            let (from, to) = (bounds[0], bounds[1]);
            let place = u16::try_from(from).unwrap();
            let (part, more) = (&contents[from..to], to < contents.len());
            Wire::Ip(if v4 {
                fragment_v4(packet, *id, place, more, part)
            } else {
                fragment_v6(packet, *id, place, more, part)
            })
        });
        fragments.collect()
    }
}

fn fragment_v4(packet: &[u8], id: u16, place: u16, more: bool, part: &[u8]) -> Vec<u8> {
    let addr = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    let mut fragment = wire::ip(addr(12), addr(16), packet[9], part);
    fragment[4..6].copy_from_slice(&id.to_be_bytes());
    fragment[6..8].copy_from_slice(&((u16::from(more) << 13) | (place / 8)).to_be_bytes());
    fragment[10..12].fill(0);
    let sum = !wire::sum(&fragment[..20], 0);
    fragment[10..12].copy_from_slice(&sum.to_be_bytes());
    fragment
}

fn fragment_v6(packet: &[u8], id: u16, place: u16, more: bool, part: &[u8]) -> Vec<u8> {
    let addr = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    let place = (place | u16::from(more)).to_be_bytes();
    let header = [&[packet[6], 0], &place[..], &u32::from(id).to_be_bytes()].concat();
    wire::ip(addr(8), addr(24), 44, &[&header, part].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// However it is cut, in whatever order its frames come and however often, in whatever tunnels,
    /// and in fragments inside or outside of them: each name once, and all accounts balance.
    #[test]
    fn a_handshake_is_seen_once_however_it_travels(
        sent in talks(),
        v6: bool,
        road in roads(),
        order in proptest::collection::vec(any::<Index>(), 64),
        copies in proptest::collection::vec(any::<Index>(), 0..12),
    ) {
        let mut id = 0;
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let mut first = 0;
        for (at, packet) in packets(&sent, v6).into_iter().enumerate() {
            frames.extend(road.carry(packet, &mut id));
            if at == 0 {
                first = frames.len();
            }
        }
        for copy in copies {
            let frame = frames[copy.index(frames.len())].clone();
            frames.push(frame);
        }
        // A connection's beginning stays in front; a datagram's may come at any time.
        let ordered = if matches!(sent.0, Talk::Quic(_) | Talk::Dtls) { 0 } else { first };
        for (at, with) in (ordered..frames.len()).zip(order) {
            let with = ordered + with.index(frames.len() - ordered);
            frames.swap(at, with);
        }
        let mut tap = Tap::new(Settings::default());
        for frame in &frames {
            tap.frame(frame);
            tap.assert_conserved();
        }
        tap.finish();
        tap.assert_conserved();
        let seen: Vec<_> =
            tap.names().into_iter().map(|(signal, name)| (signal, name.to_owned())).collect();
        prop_assert_eq!(seen, expected(&sent.0, &sent.1));
    }
}
