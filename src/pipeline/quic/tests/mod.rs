mod apart;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::inspect::Signal;
use crate::inspect::quic::Salt;
use crate::inspect::quic::google::tests::{chlo, q043};
use crate::inspect::quic::version::Types;
use crate::net::{Addr, Endpoint, IpProtocol};

/// A ClientHello message of at least `len` octets, in the order that hides the name best: last.
fn hello(name: &[u8], len: usize) -> Vec<u8> {
    let mut sni = vec![0, 0];
    let name_len = u16::try_from(name.len()).unwrap();
    sni.extend((name_len + 5).to_be_bytes());
    sni.extend((name_len + 3).to_be_bytes());
    sni.push(0);
    sni.extend(name_len.to_be_bytes());
    sni.extend(name);
    let padding = len.saturating_sub(4 + 41 + 2 + 4 + sni.len());
    let mut extensions = vec![0, 21];
    extensions.extend(u16::try_from(padding).unwrap().to_be_bytes());
    extensions.extend(vec![0; padding]);
    extensions.extend(sni);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1];
    message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend(body);
    message
}

fn varint(out: &mut Vec<u8>, value: usize) {
    out.extend((u32::try_from(value).unwrap() | 0x8000_0000).to_be_bytes());
}

fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![6];
    varint(&mut frame, offset);
    varint(&mut frame, data.len());
    frame.extend(data);
    frame
}

/// One end of a connection that sends Initials.
#[derive(Clone)]
struct Client {
    version: Version,
    dcid: Vec<u8>,
    scid: Vec<u8>,
    token: Vec<u8>,
    keys: Keys,
    number: u8,
}

impl Client {
    fn new(version: Version, dcid: &[u8], scid: &[u8]) -> Self {
        let salt = version.scheme().map_or(Salt::V1, |scheme| scheme.salt);
        let keys = Schedules::default().client(salt, dcid);
        let (dcid, scid) = (dcid.to_vec(), scid.to_vec());
        Self { version, dcid, scid, token: Vec::new(), keys, number: 0 }
    }

    /// The next Initial, with these frames, padded to `len` octets.
    fn initial(&mut self, frames: &[u8], len: usize) -> Vec<u8> {
        let types = self.version.scheme().map_or(Types::V1, |scheme| scheme.types);
        let mut header = vec![if types == Types::V2 { 0xd0 } else { 0xc0 }];
        header.extend(self.version.0.to_be_bytes());
        header.push(u8::try_from(self.dcid.len()).unwrap());
        header.extend(&self.dcid);
        header.push(u8::try_from(self.scid.len()).unwrap());
        header.extend(&self.scid);
        varint(&mut header, self.token.len());
        header.extend(&self.token);
        let mut payload = frames.to_vec();
        payload.resize(payload.len().max((len - 21).saturating_sub(header.len())), 0);
        varint(&mut header, 1 + payload.len() + 16);
        self.number += 1;
        self.keys.seal(&header, &[self.number], &payload)
    }
}

const DCID: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";

fn path(client_port: u16) -> Path {
    Path {
        tenant: TenantId::NONE,
        protocol: IpProtocol::UDP,
        source: Endpoint { addr: Addr::from_v4([192, 0, 2, 9]), port: client_port },
        destination: Endpoint { addr: Addr::from_v4([198, 51, 100, 1]), port: 443 },
    }
}

/// Flights with everything they say.
struct Bench {
    flights: Flights,
    ledger: Ledger,
    said: Vec<(HandshakeOutcome, Option<String>, Signal, Path)>,
    millis: u64,
}

impl Bench {
    fn new(limits: &Limits) -> Self {
        let flights = Flights::new(FlowHasher::new(7), limits);
        Self { flights, ledger: Ledger::default(), said: Vec::new(), millis: 1_000_000 }
    }

    /// A datagram, one millisecond after the last one; `wire_len` when it was cut.
    fn cut(&mut self, path: Path, payload: &[u8], wire_len: usize) -> bool {
        self.millis += 1;
        let seen = Seen { at: Timestamp::from_nanos(self.millis * 1_000_000), ..Seen::default() };
        let packet = Packet {
            seen,
            path,
            tcp: crate::decode::Tcp::default(),
            payload,
            payload_wire_len: u32::try_from(wire_len).unwrap(),
            ip_len: 0,
        };
        let said = &mut self.said;
        let mut out = |handshake: &Handshake<'_>| {
            let name = handshake.name().map(|name| String::from_utf8_lossy(name).into_owned());
            said.push((handshake.outcome, name, handshake.signal, handshake.path));
        };
        self.flights.datagram(&packet, seen.at, &self.ledger, &mut out)
    }

    fn datagram(&mut self, path: Path, payload: &[u8]) -> bool {
        self.cut(path, payload, payload.len())
    }

    fn later(&mut self, millis: u64) {
        self.millis += millis;
        let said = &mut self.said;
        self.flights.advance(
            Timestamp::from_nanos(self.millis * 1_000_000),
            &self.ledger,
            &mut |handshake| {
                let name = handshake.name().map(|name| String::from_utf8_lossy(name).into_owned());
                said.push((handshake.outcome, name, handshake.signal, handshake.path));
            },
        );
    }

    /// Names in the order they were said; every handshake that began has one outcome or waits.
    fn names(&self) -> Vec<&str> {
        let sum = |counters: &[crate::visibility::Counter]| -> u64 {
            counters.iter().map(crate::visibility::Counter::value).sum()
        };
        let begun = sum(&self.ledger.handshakes_begun);
        let ended: u64 = self.ledger.handshakes.iter().map(|outcomes| sum(outcomes)).sum();
        let pending = [HandshakeProtocol::Quic, HandshakeProtocol::Gquic]
            .map(|protocol| self.flights.pending(protocol) as u64);
        assert_eq!(begun, ended + pending.iter().sum::<u64>(), "conserved");
        assert_eq!(ended, self.said.len() as u64);
        self.said.iter().filter_map(|(_, name, ..)| name.as_deref()).collect()
    }

    fn outcomes(&self) -> Vec<HandshakeOutcome> {
        self.said.iter().map(|(outcome, ..)| *outcome).collect()
    }

    fn copies(&self) -> u64 {
        self.ledger.copies.value()
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new(&Limits { flight_bytes: 1 << 20, settled: 256, derivations_per_second: 1_000 })
    }
}

#[test]
fn every_version_is_read() {
    let versions = [
        1,
        Version::V2.0,
        0x709a_50c4,
        0xff00_0016,
        0xff00_001b,
        0xff00_001d,
        0xff00_0022,
        0xface_b001,
        0xface_b002,
        0xface_b003,
    ];
    for number in versions {
        let mut client = Client::new(Version(number), DCID, b"me");
        let packet = client.initial(&crypto(0, &hello(b"a.example", 300)), 1_200);
        let mut bench = Bench::default();
        assert!(bench.datagram(path(50_000), &packet));
        assert_eq!(bench.names(), ["a.example"], "{number:#x}");
        assert!(bench.flights.is_empty());
    }
}

#[test]
fn a_connection_is_counted_once_whatever_follows_its_hello() {
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V1, DCID, b"client");
    let message = hello(b"a.example", 300);
    let first = client.initial(&crypto(0, &message), 1_200);
    bench.datagram(path(50_000), &first);
    // A copy of the mirror's, and the client's own repetition.
    bench.datagram(path(50_000), &first);
    assert_eq!(bench.copies(), 1);
    let again = client.initial(&crypto(0, &message), 1_200);
    bench.datagram(path(50_000), &again);
    assert_eq!(bench.copies(), 1);
    // A Retry, after which the client says the same with other keys.
    let mut retried = Client::new(Version::V1, b"retry-id", b"client");
    retried.token = b"token".to_vec();
    bench.datagram(path(50_000), &retried.initial(&crypto(0, &message), 1_200));
    // The server's Initial, and the client's second flight with the server's ID.
    let mut server = Client::new(Version::V1, b"client", b"server-id");
    bench.datagram(path(50_000).reversed(), &server.initial(&crypto(0, b"\x02"), 1_200));
    let mut second = Client { dcid: b"server-id".to_vec(), ..retried };
    bench.datagram(path(50_000), &second.initial(&[2, 0, 0, 0, 0], 1_200));
    // Version negotiation (RFC 9000 §17.2.1): the same client with another version.
    bench.datagram(path(50_000).reversed(), b"\x80\0\0\0\0\x06client\x09server-id\x6b\x33\x43\xcf");
    let mut other = Client::new(Version::V2, b"third-id", b"client");
    bench.datagram(path(50_000), &other.initial(&crypto(0, &message), 1_200));
    bench.later(60_000);
    assert_eq!(bench.names(), ["a.example"]);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
}

/// A client without an answer says the same again, after pauses that double.
#[test]
fn a_hello_that_nobody_answers_is_one_however_long_it_is_repeated() {
    let message = hello(b"a.example", 300);
    for moves in [false, true] {
        let mut bench = Bench::default();
        let mut client = Client::new(Version::V1, DCID, b"client");
        for (number, pause) in [0, 1_000, 2_000, 4_000, 8_000, 8_000].into_iter().enumerate() {
            bench.later(pause);
            let port = if moves { 50_000 + u16::try_from(number).unwrap() } else { 50_000 };
            bench.datagram(path(port), &client.initial(&crypto(0, &message), 1_200));
        }
        assert_eq!(bench.names(), ["a.example"], "moves: {moves}");
    }
}

#[test]
fn a_hello_lost_in_part_is_read_after_a_retry() {
    let message = hello(b"a.example", 1_800);
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V1, DCID, b"");
    bench.datagram(path(50_000), &client.initial(&crypto(0, &message[..900]), 1_200));
    let mut retried = Client::new(Version::V1, b"retry-id", b"");
    retried.token = b"token".to_vec();
    bench.datagram(path(50_000), &retried.initial(&crypto(900, &message[900..]), 1_200));
    bench.datagram(path(50_000), &retried.initial(&crypto(0, &message[..900]), 1_200));
    assert_eq!(bench.names(), ["a.example"]);
    bench.later(60_000);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named, HandshakeOutcome::Timeout]);
}

#[test]
fn second_flights_with_the_server_unseen_are_no_connections() {
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V1, DCID, b"");
    bench.datagram(path(50_000), &client.initial(&crypto(0, &hello(b"a.example", 300)), 1_200));
    client.dcid = b"server-id".to_vec();
    bench.datagram(path(50_000), &client.initial(&[2, 0, 0, 0, 0], 1_200));
    bench.datagram(path(50_000), &client.initial(&[2, 1, 0, 0, 0], 1_200));
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
    // But a new connection between the same two ports is one.
    let mut next = Client::new(Version::V1, b"fourth-connection", b"");
    bench.datagram(path(50_000), &next.initial(&crypto(0, &hello(b"b.example", 300)), 1_200));
    assert_eq!(bench.names(), ["a.example", "b.example"]);
}

#[test]
fn a_client_may_move_before_its_hello_is_whole() {
    let message = hello(b"a.example", 1_800);
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V1, DCID, b"");
    bench.datagram(path(50_000), &client.initial(&crypto(0, &message[..900]), 1_200));
    bench.datagram(path(50_001), &client.initial(&crypto(900, &message[900..]), 1_200));
    assert_eq!(bench.names(), ["a.example"]);
    assert_eq!(bench.said[0].3, path(50_000));
    let repeated = client.initial(&crypto(0, &message[..900]), 1_200);
    bench.datagram(path(50_001), &repeated);
    bench.datagram(path(50_002), &repeated);
    client.dcid = b"server-id".to_vec();
    bench.datagram(path(50_001), &client.initial(&[2, 0, 0, 0, 0], 1_200));
    bench.later(60_000);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
}

#[test]
fn what_cannot_be_read_has_its_outcome() {
    let message = hello(b"a.example", 1_800);
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V1, DCID, b"");
    let first = client.initial(&crypto(0, &message[..900]), 1_200);
    let second = client.initial(&crypto(900, &message[900..]), 1_200);
    // Nothing but the end; nothing but the beginning.
    bench.datagram(path(50_000), &second);
    let mut client = Client::new(Version::V1, b"another-id", b"");
    bench.datagram(path(50_001), &client.initial(&crypto(0, &message[..900]), 1_200));
    bench.later(60_000);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Gap, HandshakeOutcome::Timeout]);
    bench.said.clear();

    let mut bench = Bench::default();
    // Altered; from a server; cut; of no known version; with a frame that may not be there.
    let mut altered = first.clone();
    altered[700] ^= 1;
    bench.datagram(path(50_002), &altered);
    bench.datagram(path(50_002), &altered);
    let mut server = Client::new(Version::V1, b"", b"server-id");
    bench.datagram(path(50_003).reversed(), &server.initial(&[0], 1_200));
    bench.cut(path(50_004), &first[..300], 1_200);
    let mut reserved = first.clone();
    reserved[1..5].copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]);
    bench.datagram(path(50_005), &reserved);
    let mut client = Client::new(Version::V1, b"fourth-id", b"");
    bench.datagram(path(50_006), &client.initial(&[0x08, 1, 2, 3], 1_200));
    bench.later(60_000);
    assert_eq!(bench.names(), [""; 0]);
    assert_eq!(
        bench.outcomes(),
        [
            HandshakeOutcome::Truncated,
            HandshakeOutcome::Malformed,
            HandshakeOutcome::Undecryptable,
            HandshakeOutcome::OneWay,
            HandshakeOutcome::UnsupportedVersion,
        ]
    );
}

/// A mirror of two links, or of two directions, delivers in any order. The server's ID may be
/// empty, short, or long enough to be a client's first one.
#[test]
fn a_server_that_overtakes_its_client_is_the_same_handshake() {
    let message = hello(b"a.example", 1_800);
    for scid in [&b""[..], b"me", b"client-id"] {
        for port in [443, 8_443] {
            let path =
                Path { destination: Endpoint { port, ..path(50_000).destination }, ..path(50_000) };
            let mut bench = Bench::default();
            let mut client = Client::new(Version::V1, DCID, scid);
            let mut server = Client::new(Version::V1, b"server keys", b"server-id");
            server.dcid = scid.to_vec();
            let answer = server.initial(&crypto(0, b"\x02"), 1_200);
            bench.datagram(path.reversed(), &answer);
            bench.datagram(path.reversed(), &answer);
            assert_eq!(bench.copies(), 1);
            assert!(bench.said.is_empty() && bench.flights.len() == 1, "it waits for its client");
            bench.names();
            bench.datagram(path, &client.initial(&crypto(0, &message[..900]), 1_200));
            bench.names();
            // The rest comes with the ID that the server had answered with.
            client.dcid = b"server-id".to_vec();
            bench.datagram(path.reversed(), &server.initial(&crypto(9, b"\x02"), 1_200));
            bench.datagram(path, &client.initial(&crypto(900, &message[900..]), 1_200));
            bench.later(60_000);
            assert_eq!(bench.names(), ["a.example"], "{scid:?} {port}");
            assert_eq!(bench.said[0].3, path);
            assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
        }
    }
}

#[test]
fn a_connection_that_cannot_be_opened_is_one_whoever_is_heard() {
    let mut client = Client::new(Version::V1, DCID, b"client-id");
    let mut server = Client::new(Version::V1, b"server keys", b"server-id");
    server.dcid = b"client-id".to_vec();
    let mut second = Client { dcid: b"server-id".to_vec(), ..client.clone() };
    // The client's first packet is not in the capture: only what it keyed.
    let answer = server.initial(&crypto(0, b"\x02"), 1_200);
    let reply = second.initial(&[2, 0, 0, 0, 0], 1_200);
    for (order, outcome) in [
        ([true, false], HandshakeOutcome::Undecryptable),
        ([false, true], HandshakeOutcome::Undecryptable),
        ([true, true], HandshakeOutcome::OneWay),
    ] {
        let mut bench = Bench::default();
        for _ in 0..3 {
            for from_server in order {
                if from_server {
                    bench.datagram(path(50_000).reversed(), &answer);
                } else {
                    bench.datagram(path(50_000), &reply);
                }
                bench.names();
            }
        }
        bench.later(11_000);
        bench.datagram(path(50_000).reversed(), &answer);
        bench.later(60_000);
        bench.names();
        assert_eq!(bench.outcomes(), [outcome], "{order:?}");
    }
    // Cut by a snaplen: neither side opens, and it is one connection.
    let mut bench = Bench::default();
    let first = client.initial(&crypto(0, &hello(b"a.example", 1_000)), 1_200);
    bench.cut(path(50_000), &first[..300], 1_200);
    bench.cut(path(50_000).reversed(), &answer[..300], 1_200);
    bench.cut(path(50_000), &reply[..300], 1_200);
    bench.later(60_000);
    bench.names();
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Truncated]);
}

/// RFC 9001 A.5: a packet with a short header, protected with ChaCha20-Poly1305.
///
/// Its keys come from the handshake, which no observer has; those of Initials are of AES-128-GCM
/// whatever the connection agrees on (§5.2). So all of that vector that concerns a reader of
/// Initials is its header form: such a packet is told by its first octet, is no handshake, and no
/// key is derived for it, whether it comes alone or behind an Initial in one datagram.
#[test]
fn a_packet_with_a_short_header_is_told_and_never_tried() {
    const SHORT: &[u8] =
        b"\x4c\xfe\x41\x89\x65\x5e\x5c\xd5\x5c\x41\xf6\x90\x80\x57\x5d\x79\x99\xc2\x5a\x5b\xfb";
    let mut bench = Bench::new(&Limits { derivations_per_second: 0, ..Limits::default() });
    assert!(!Flights::may_be(SHORT));
    for direction in [path(50_000), path(50_000).reversed()] {
        assert!(!bench.datagram(direction, SHORT), "it is left to others");
    }
    assert_eq!(bench.ledger.derivations_refused.value(), 0, "no key was asked for");
    assert!(bench.names().is_empty() && bench.said.is_empty() && bench.flights.is_empty());

    let mut bench = Bench::new(&Limits { derivations_per_second: 1, ..Limits::default() });
    let mut client = Client::new(Version::V1, DCID, b"");
    let initial = client.initial(&crypto(0, &hello(b"a.example", 300)), 1_200);
    bench.datagram(path(50_000), &[&initial, SHORT].concat());
    bench.later(60_000);
    assert_eq!(bench.names(), ["a.example"]);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
    assert_eq!(bench.ledger.derivations_refused.value(), 0);
}

#[test]
fn a_version_that_provokes_negotiation_is_followed() {
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V1, DCID, b"client");
    let mut provoking = client.initial(&crypto(0, &hello(b"a.example", 300)), 1_200);
    provoking[1..5].copy_from_slice(&[0xba, 0xba, 0xba, 0xba]);
    bench.datagram(path(50_000), &provoking);
    let mut next = Client::new(Version::V1, b"another-id", b"client");
    bench.datagram(path(50_000), &next.initial(&crypto(0, &hello(b"a.example", 300)), 1_200));
    bench.later(60_000);
    assert_eq!(bench.names(), ["a.example"]);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
}

/// The server refused what there is of the first hello: it is not waited for.
#[test]
fn a_negotiation_that_was_seen_begins_an_unfinished_hello_anew() {
    let message = hello(b"a.example", 1_800);
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V2, DCID, b"client");
    bench.datagram(path(50_000), &client.initial(&crypto(0, &message[..900]), 1_200));
    let offer = [b"\x80\0\0\0\0\x06client\x08", DCID, b"\0\0\0\x01"].concat();
    bench.datagram(path(50_000).reversed(), &offer);
    let mut next = Client::new(Version::V1, b"another-id", b"client");
    bench.datagram(path(50_000), &next.initial(&crypto(900, &message[900..]), 1_200));
    bench.datagram(path(50_000), &next.initial(&crypto(0, &message[..900]), 1_200));
    bench.later(60_000);
    assert_eq!(bench.names(), ["a.example"]);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
}

#[test]
fn a_hello_that_was_cut_is_read_as_far_as_it_goes() {
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V1, DCID, b"");
    let packet = client.initial(&crypto(0, &hello(b"a.example", 100)), 1_200);
    bench.cut(path(50_000), &packet[..256], 1_200);
    assert_eq!(bench.names(), ["a.example"]);
}

/// Of two mirrors one cuts.
#[test]
fn a_copy_that_was_cut_ends_no_hello() {
    let message = hello(b"a.example", 1_800);
    let mut bench = Bench::default();
    let mut client = Client::new(Version::V1, DCID, b"");
    let first = client.initial(&crypto(0, &message[..900]), 1_200);
    bench.datagram(path(50_000), &first);
    bench.cut(path(50_000), &first[..300], first.len());
    bench.datagram(path(50_000), &client.initial(&crypto(900, &message[900..]), 1_200));
    bench.later(60_000);
    assert_eq!(bench.names(), ["a.example"]);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
}

#[test]
fn google_versions_without_initials_are_read() {
    let message = chlo(b"www.example.com", 1_500);
    let mut bench = Bench::default();
    let id = *b"12345678";
    let (first, second) = (q043(id, 0, &message[..1_200]), q043(id, 1_200, &message[1_200..]));
    bench.datagram(path(50_000), &second);
    bench.datagram(path(50_000), &first);
    bench.datagram(path(50_000), &first);
    assert_eq!(bench.names(), ["www.example.com"]);
    assert_eq!(bench.said[0].2, Signal::GquicSni);
    assert_eq!(bench.copies(), 1);
    assert!(bench.flights.is_empty());
}

/// The hash is over all of the packet; that a hello begins in it is seen without.
#[test]
fn a_google_hello_that_was_cut_is_counted() {
    for (padding, name) in [(0, Some("www.example.com")), (1_000, None)] {
        let packet =
            q043(*b"12345678", 0, &[chlo(b"www.example.com", padding), vec![0; 60]].concat());
        let kept = packet.len() - 70 + if name.is_some() { 30 } else { 0 };
        let mut bench = Bench::default();
        assert!(bench.cut(path(50_000), &packet[..kept], packet.len()));
        bench.cut(path(50_000), &packet[..kept], packet.len());
        assert_eq!(bench.names(), name.as_slice());
        let outcome =
            if name.is_some() { HandshakeOutcome::Named } else { HandshakeOutcome::Truncated };
        assert_eq!(bench.outcomes(), [outcome]);
        assert_eq!(bench.copies(), 1);
        // Of an encrypted packet nothing is seen.
        let encrypted = q043(*b"87654321", 0, &[7; 1_000]);
        bench.cut(path(50_001), &encrypted[..500], encrypted.len());
        assert_eq!(bench.outcomes(), [outcome]);
    }
}

#[test]
fn a_second_google_hello_is_read_where_the_first_was_not_seen() {
    let mut bench = Bench::default();
    bench.datagram(path(50_000), &q043(*b"12345678", 1_024, &chlo(b"www.example.com", 1_000)));
    assert_eq!(bench.names(), ["www.example.com"]);
}

#[test]
fn other_datagrams_are_left_to_others() {
    let mut bench = Bench::default();
    let dns = b"\x9a\x00\x00\x00\x00\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";
    let rtp = [0x80; 172];
    let dtls = b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x30";
    let short = [0x40; 1_200];
    for payload in [&dns[..], &rtp, dtls, &short, b"", b"\x80", b"\x80\0\0\0\x01"] {
        bench.datagram(path(50_000), payload);
    }
    assert_eq!(bench.said.len(), 1, "the last one names version 1 and ends");
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Malformed]);
}

#[test]
fn a_flood_stays_within_its_budgets() {
    let limits = Limits { flight_bytes: 64 << 10, settled: 64, derivations_per_second: 100 };
    let mut bench = Bench::new(&limits);
    let message = hello(b"a.example", 1_800);
    for n in 0_u16..2_000 {
        let mut client = Client::new(Version::V1, &[&n.to_be_bytes()[..], b"-flood"].concat(), b"");
        let packet = client.initial(&crypto(0, &message[..900]), 1_200);
        bench.datagram(path(10_000 + n), &packet);
        assert!(bench.flights.bytes() < (64 + 32) << 10, "{}", bench.flights.bytes());
    }
    // Two seconds of packet time, and what the budget held before them.
    let derived = 2_000 - bench.ledger.derivations_refused.value();
    assert!((250..=350).contains(&derived), "{derived}");
    assert_eq!(bench.names(), [""; 0]);
    assert!(bench.flights.evicted() > 0);
    bench.later(60_000);
    bench.names();
    assert!(bench.flights.is_empty());
}

proptest! {
    /// However a hello is cut into frames, packets and datagrams, in whatever order these come,
    /// and however often: one sighting.
    #[test]
    fn a_hello_is_seen_once_however_it_travels(
        len in 60_usize..4_000,
        cuts in prop::collection::vec(any::<Index>(), 0..12),
        order in prop::collection::vec(any::<Index>(), 0..12),
        per_packet in 1_usize..4,
        per_datagram in 1_usize..3,
        repeats in prop::collection::vec(any::<Index>(), 0..4),
        version in prop::sample::select(vec![Version::V1, Version::V2, Version(0xff00_001d)]),
    ) {
        let message = hello(b"www.example.com", len);
        let mut bounds: Vec<_> = cuts.iter().map(|cut| cut.index(message.len())).collect();
        bounds.extend([0, message.len()]);
        bounds.sort_unstable();
        let mut pieces: Vec<_> = bounds
            .windows(2)
            .flat_map(|pair| (pair[0]..pair[1]).step_by(900).map(move |at| (at, pair[1])))
            .map(|(at, end)| crypto(at, &message[at..end.min(at + 900)]))
            .collect();
        for repeat in repeats {
            pieces.push(pieces[repeat.index(pieces.len())].clone());
        }
        for (at, with) in order.iter().enumerate() {
            let (at, with) = (at % pieces.len(), with.index(pieces.len()));
            pieces.swap(at, with);
        }
        let mut client = Client::new(version, DCID, b"me");
        let packets: Vec<_> =
            pieces.chunks(per_packet).map(|frames| client.initial(&frames.concat(), 60)).collect();
        let mut bench = Bench::default();
        for datagram in packets.chunks(per_datagram) {
            bench.datagram(path(50_000), &datagram.concat());
        }
        for datagram in packets.chunks(per_datagram) {
            bench.datagram(path(50_000), &datagram.concat());
        }
        bench.later(60_000);
        prop_assert_eq!(bench.names(), ["www.example.com"]);
        prop_assert_eq!(bench.outcomes(), [HandshakeOutcome::Named]);
    }

    /// Garbage, and garbage that begins like a packet, is survived and accounted for.
    #[test]
    fn garbage_is_accounted_for(
        head in prop::sample::select(vec![
            &b"\xc3\0\0\0\x01\x08"[..], b"\xd3\x6b\x33\x43\xcf\x08", b"\xc3Q046\x50", b"\x09", b"",
        ]),
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
    ) {
        let mut bench = Bench::default();
        for datagram in datagrams {
            let payload = [head, &datagram].concat();
            bench.datagram(path(50_000), &payload);
            bench.cut(path(50_001), &payload, payload.len() + 1_000);
        }
        bench.later(60_000);
        prop_assert_eq!(bench.names(), [""; 0]);
        prop_assert!(bench.flights.is_empty());
    }
}
