use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::detect::Record;
use crate::flow::FlowHasher;
use crate::inspect::dtls::tests::record;
use crate::name::Name;
use crate::net::{Addr, Endpoint, IpProtocol, TenantId};
use crate::pipeline::Sighting;
use crate::pipeline::verdicts::Verdicts;
use crate::time::Timestamp;
use crate::visibility::{Counter, Ledger};

#[derive(Default)]
struct Names(Vec<Name>);

impl Sink for Names {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        assert_eq!(sighting.signal, Signal::DtlsSni);
        self.0.push(sighting.name.into());
    }

    fn record(&mut self, _: Record) {}
}

struct Bench {
    hellos: Hellos,
    emitter: Emitter,
    volumes: Volumes,
    names: Names,
    millis: u64,
}

impl Bench {
    fn new() -> Self {
        let emitter = Emitter {
            verdicts: Verdicts::new(Arc::default(), Arc::default()),
            ledger: Arc::new(Ledger::default()),
            hasher: FlowHasher::new(7),
            recent: Recent::new(1 << 20),
            now: Timestamp::ZERO,
            text: String::new(),
            other_text: String::new(),
        };
        let (hellos, volumes) = (Hellos::new(1 << 18), Volumes::new(1 << 18));
        Self { hellos, emitter, volumes, names: Names::default(), millis: 1_000_000 }
    }

    fn send(&mut self, reversed: bool, payload: &[u8], wire_len: usize) -> bool {
        self.millis += 1;
        let at = Timestamp::from_nanos(self.millis * 1_000_000);
        self.emitter.now = at;
        let path = Path {
            tenant: TenantId::NONE,
            protocol: IpProtocol::UDP,
            source: Endpoint { addr: Addr::from_v4([192, 0, 2, 9]), port: 50_000 },
            destination: Endpoint { addr: Addr::from_v4([198, 51, 100, 1]), port: 4_433 },
        };
        let packet = Packet {
            seen: Seen { at, ..Seen::default() },
            path: if reversed { path.reversed() } else { path },
            tcp: crate::decode::Tcp::default(),
            payload,
            payload_wire_len: u32::try_from(wire_len).unwrap(),
            ip_len: 0,
        };
        let (emitter, volumes, out) = (&mut self.emitter, &mut self.volumes, &mut self.names);
        self.hellos.datagram(&packet, &mut To { emitter, volumes, out })
    }

    fn client(&mut self, payload: &[u8]) -> bool {
        self.send(false, payload, payload.len())
    }

    fn later(&mut self, seconds: u64) {
        self.millis += seconds * 1_000;
        self.emitter.now = Timestamp::from_nanos(self.millis * 1_000_000);
        let (emitter, volumes, out) = (&mut self.emitter, &mut self.volumes, &mut self.names);
        self.hellos.expire(&mut To { emitter, volumes, out });
    }

    /// Names seen, and each outcome with its count.
    fn seen(&self) -> (Vec<&str>, Vec<(HandshakeOutcome, u64)>) {
        let protocol = HandshakeProtocol::Dtls as usize;
        let outcomes = &self.emitter.ledger.handshakes[protocol];
        let begun = self.emitter.ledger.handshakes_begun[protocol].value();
        let ended: u64 = outcomes.iter().map(Counter::value).sum();
        assert_eq!(begun, ended + self.hellos.pending() as u64, "conserved at any moment");
        let counted = HandshakeOutcome::ALL
            .into_iter()
            .map(|outcome| (outcome, outcomes[outcome as usize].value()))
            .filter(|(_, count)| *count > 0)
            .collect();
        (self.names.0.iter().map(Name::as_str).collect(), counted)
    }
}

/// A ClientHello for `example.com`, with a cookie.
fn hello(cookie: &[u8], padding: usize) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([9; 32]);
    body.push(0);
    body.push(u8::try_from(cookie.len()).unwrap());
    body.extend(cookie);
    body.extend([0, 2, 0x13, 0x01, 1, 0]);
    let mut extensions = vec![0, 21];
    extensions.extend(u16::try_from(padding).unwrap().to_be_bytes());
    extensions.extend(vec![0; padding]);
    extensions.extend(b"\x00\x00\x00\x10\x00\x0e\x00\x00\x0bexample.com");
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    body
}

#[test]
fn the_hello_with_a_cookie_is_the_same_handshake() {
    let mut bench = Bench::new();
    let (first, second) = (hello(b"", 10), hello(b"cookie", 10));
    let datagram = record(1, 0, 0, &first, 0, first.len());
    bench.client(&datagram);
    bench.client(&datagram);
    assert_eq!(bench.emitter.ledger.copies.value(), 1);
    bench.client(&record(1, 1, 0, &first, 0, first.len()));
    assert_eq!(bench.emitter.ledger.copies.value(), 1, "sent again, not copied");
    let verify = record(3, 0, 0, b"\xfe\xff\x06cookie", 0, 9);
    bench.send(true, &verify, verify.len());
    bench.client(&record(1, 2, 1, &second, 0, 50));
    bench.client(&record(1, 3, 1, &second, 50, second.len() - 50));
    bench.later(60);
    assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
}

/// RFC 6347 §4.2.4.1: the timer begins with a second and doubles.
#[test]
fn a_hello_that_nobody_answers_is_one_handshake() {
    let message = hello(b"", 10);
    let mut bench = Bench::new();
    for (number, pause) in (0..).zip([0, 1, 2, 4, 8]) {
        bench.later(pause);
        bench.client(&record(1, number, 0, &message, 0, message.len()));
    }
    assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
}

#[test]
fn what_is_not_whole_has_its_outcome() {
    let message = hello(b"", 400);
    let expected = [
        (record(1, 0, 0, &message, 0, 200), None, HandshakeOutcome::Timeout),
        (record(1, 0, 0, &message, 300, 100), None, HandshakeOutcome::Gap),
        (record(1, 0, 0, &message, 0, 400), Some(100), HandshakeOutcome::Truncated),
    ];
    for (datagram, captured, outcome) in expected {
        let mut bench = Bench::new();
        let here = &datagram[..captured.unwrap_or(datagram.len())];
        bench.send(false, here, datagram.len());
        bench.later(60);
        assert_eq!(bench.seen(), (vec![], vec![(outcome, 1)]));
    }
    let mut bench = Bench::new();
    let server = record(2, 0, 0, &message, 0, 100);
    bench.send(true, &server, server.len());
    bench.send(true, &server, server.len());
    assert_eq!((bench.seen(), bench.hellos.pending()), ((vec![], vec![]), 1));
    bench.later(11);
    bench.send(true, &server, server.len());
    bench.later(60);
    assert_eq!(bench.seen(), (vec![], vec![(HandshakeOutcome::OneWay, 1)]));
}

#[test]
fn a_cut_copy_of_a_fragment_ends_nothing() {
    let message = hello(b"", 400);
    let mut bench = Bench::new();
    let first = record(1, 0, 0, &message, 0, 300);
    bench.client(&first);
    bench.send(false, &first[..100], first.len());
    bench.client(&record(1, 1, 0, &message, 300, message.len() - 300));
    assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
}

/// Behind another one on the same port, wherever its first fragment ends.
#[test]
fn a_hello_in_fragments_is_no_copy_of_the_one_before() {
    let first = hello(b"", 10);
    let mut second = hello(b"", 10);
    second[2..34].fill(5);
    for cut in 1..second.len() {
        let mut bench = Bench::new();
        bench.client(&record(1, 0, 0, &first, 0, first.len()));
        bench.later(3);
        for from in [0, 2] {
            bench.client(&record(1, from, 0, &second, 0, cut));
            bench.client(&record(1, from + 1, 0, &second, cut, second.len() - cut));
            bench.seen();
        }
        bench.later(60);
        let named = (vec!["example.com"; 2], vec![(HandshakeOutcome::Named, 2)]);
        assert_eq!((bench.seen(), bench.hellos.pending()), (named, 0), "cut at {cut}");
    }
}

/// So little of a hello that it could be that of the one before, and no more.
#[test]
fn the_beginning_of_a_copy_is_no_handshake() {
    let message = hello(b"", 10);
    let mut bench = Bench::new();
    bench.client(&record(1, 0, 0, &message, 0, message.len()));
    bench.client(&record(1, 1, 0, &message, 0, 20));
    assert_eq!((bench.seen().1, bench.hellos.pending()), (vec![(HandshakeOutcome::Named, 1)], 0));
    bench.later(60);
    assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
    assert_eq!(bench.emitter.ledger.copies.value(), 1);
    assert_eq!(bench.hellos.usage().0, 0);
}

/// The last fragment of the hello without a cookie comes behind the first of the one with it.
#[test]
fn a_late_fragment_of_the_hello_without_a_cookie_ends_nothing() {
    let (first, second) = (hello(b"", 400), hello(b"cookie", 400));
    let mut other = hello(b"", 400);
    other[2..34].fill(5);
    let halves = |message: &[u8], number, seq| {
        let (half, len) = (message.len() / 2, message.len());
        [
            record(1, number, seq, message, 0, half),
            record(1, number + 1, seq, message, half, len - half),
        ]
    };
    let mut bench = Bench::new();
    let (without, with) = (halves(&first, 0, 0), halves(&second, 2, 1));
    for fragment in [&without[0], &with[0], &without[1], &with[1]] {
        bench.client(fragment);
    }
    assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
    // Another connection is another hello all the same.
    let mut bench = Bench::new();
    bench.client(&with[0]);
    for fragment in halves(&other, 0, 0) {
        bench.client(&fragment);
    }
    assert_eq!(bench.seen().0, ["example.com"]);
}

/// By a snap length, be it in front of the random, which both have.
#[test]
fn a_cut_hello_with_a_cookie_is_the_same_handshake() {
    let (first, second) = (hello(b"", 10), hello(b"cookie", 10));
    for captured in [50, 70] {
        let mut bench = Bench::new();
        for (number, message) in (0..).zip([&first, &second]) {
            let whole = record(1, number, number, message, 0, message.len());
            bench.send(false, &whole[..captured], whole.len());
            assert_eq!(bench.seen().1, [(HandshakeOutcome::Truncated, 1)], "{captured}");
        }
        assert_eq!((bench.hellos.pending(), bench.hellos.usage().0), (0, 0));
    }
}

#[test]
fn a_handshake_is_pending_from_its_first_fragment_to_its_last() {
    let message = hello(b"", 400);
    let mut bench = Bench::new();
    bench.client(&record(1, 1, 0, &message, 200, 100));
    assert_eq!((bench.seen(), bench.hellos.pending()), ((vec![], vec![]), 1));
    // An answer to what was not read yet is no other handshake.
    let server = record(2, 0, 0, &message, 0, 100);
    bench.send(true, &server, server.len());
    bench.client(&record(1, 0, 0, &message, 0, 200));
    assert_eq!((bench.seen(), bench.hellos.pending()), ((vec![], vec![]), 1));
    bench.client(&record(1, 2, 0, &message, 300, message.len() - 300));
    let named = (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]);
    assert_eq!((bench.seen(), bench.hellos.pending()), (named, 0));
}

#[test]
fn an_answer_that_overtakes_its_hello_is_the_same_handshake() {
    let message = hello(b"", 400);
    let server = record(2, 0, 0, &message, 0, 100);
    for cut in [message.len(), 300] {
        let mut bench = Bench::new();
        bench.send(true, &server, server.len());
        bench.client(&record(1, 0, 0, &message, 0, cut));
        if cut < message.len() {
            bench.client(&record(1, 1, 0, &message, cut, message.len() - cut));
        }
        bench.send(true, &server, server.len());
        bench.later(60);
        assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
    }
}

proptest! {
    /// However a hello is cut, and in whatever order and however often its pieces come.
    #[test]
    fn a_hello_is_seen_once_however_it_travels(
        padding in 0_usize..2_000,
        cuts in prop::collection::vec(any::<Index>(), 0..8),
        order in prop::collection::vec(any::<Index>(), 0..8),
        together in 1_usize..3,
    ) {
        let message = hello(b"", padding);
        let mut bounds: Vec<_> = cuts.iter().map(|cut| cut.index(message.len())).collect();
        bounds.extend([0, message.len()]);
        bounds.sort_unstable();
        let mut records: Vec<_> = (0..)
            .zip(bounds.windows(2))
            .map(|(n, cut)| record(1, n, 0, &message, cut[0], cut[1] - cut[0]))
            .collect();
        for (at, with) in order.iter().enumerate() {
            let (at, with) = (at % records.len(), with.index(records.len()));
            records.swap(at, with);
        }
        let mut bench = Bench::new();
        for _ in 0..2 {
            for datagram in records.chunks(together) {
                bench.client(&datagram.concat());
                bench.seen();
            }
        }
        bench.later(60);
        prop_assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
    }
}

/// The headers of IP and UDP and a snap length of 64 leave 22 octets of a datagram.
#[test]
fn a_snap_length_that_leaves_little_of_a_hello_leaves_its_handshake() {
    let (first, second) = (hello(b"", 10), hello(b"cookie", 10));
    let whole = record(1, 0, 0, &first, 0, first.len());
    let again = record(1, 1, 1, &second, 0, second.len());
    let verify = record(3, 0, 0, b"\xfe\xff\x06cookie", 0, 9);
    for kept in 14..40 {
        let mut bench = Bench::new();
        bench.send(false, &whole[..kept], whole.len());
        bench.send(true, &verify[..kept.min(verify.len())], verify.len());
        bench.send(false, &again[..kept], again.len());
        bench.later(60);
        assert_eq!(bench.seen(), (vec![], vec![(HandshakeOutcome::Truncated, 1)]), "{kept}");

        // It ends nothing of what goes on.
        let mut bench = Bench::new();
        bench.client(&record(1, 0, 0, &first, 0, 50));
        bench.send(false, &record(1, 1, 0, &first, 50, first.len() - 50)[..kept.min(24)], 90);
        bench.client(&record(1, 2, 0, &first, 50, first.len() - 50));
        assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
    }
    let mut bench = Bench::new();
    bench.send(false, &whole[..13], whole.len());
    bench.later(60);
    assert_eq!(bench.seen(), (vec![], vec![]), "any handshake message");
}
