//! What the hellos of DTLS mean: one handshake however often its hello is sent, with a cookie or
//! without, whole or in fragments.
//!
//! A hello in one piece needs no state beyond the memory of what was just seen. Fragments wait
//! for each other, [`Hellos::LIFETIME`] at most.

use core::time::Duration;

use super::Sink;
use super::dns::COPY;
use super::emitter::Emitter;
use super::handshake::{self, Handshake, Told};
use super::recent::Recent;
use super::volume::Volumes;
use crate::decode::{Packet, Seen};
use crate::detect::Origin;
use crate::flow::{Removed, Table};
use crate::inspect::dtls::{Fragment, Sender, fragments};
use crate::inspect::tls::{ClientHello, Dialect};
use crate::inspect::{Reassembly, Signal};
use crate::net::Path;
use crate::visibility::{HandshakeOutcome, HandshakeProtocol};

/// Hellos of which fragments are missing.
#[derive(Debug)]
pub(super) struct Hellos {
    unfinished: Table<Unfinished>,
}

/// Where what is found goes to.
pub(super) struct To<'a, S> {
    pub(super) emitter: &'a mut Emitter,
    pub(super) volumes: &'a mut Volumes,
    pub(super) out: &'a mut S,
}

#[derive(Debug)]
struct Unfinished {
    /// From client to server.
    path: Path,
    seen: Seen,
    message_seq: u16,
    length: usize,
    stream: Reassembly,
}

impl Hellos {
    /// How long a hello may take from its first fragment to its last.
    pub(super) const LIFETIME: Duration = Duration::from_secs(10);

    pub(super) fn new(max_bytes: usize) -> Self {
        Self { unfinished: Table::new(max_bytes) }
    }

    /// A UDP packet that begins like DTLS. Did it hold a piece of a hello?
    pub(super) fn datagram(&mut self, packet: &Packet<'_>, to: &mut To<'_, impl Sink>) -> bool {
        let mut any = false;
        for fragment in fragments(packet.payload, packet.is_cut()) {
            any = true;
            match fragment.sender {
                Sender::Server => server_hello(packet, to),
                Sender::Client if fragment.is_whole() => {
                    self.forget(packet, to);
                    let lost = HandshakeOutcome::Malformed;
                    let hello = (fragment.data, true);
                    let record = Some(fragment.record);
                    client_hello(hello, record, packet.path, packet.seen, lost, to);
                }
                Sender::Client => self.fragment(packet, &fragment, to),
            }
        }
        any
    }

    /// Ends what waited too long.
    pub(super) fn expire(&mut self, to: &mut To<'_, impl Sink>) {
        while let Some(removed) = self.unfinished.expired(to.emitter.now.minus(Self::LIFETIME)) {
            self.abandon(removed, HandshakeOutcome::Timeout, to);
        }
    }

    /// The input ends.
    pub(super) fn finish(&mut self, to: &mut To<'_, impl Sink>) {
        while let Some(removed) = self.unfinished.pop_oldest() {
            self.abandon(removed, HandshakeOutcome::Timeout, to);
        }
    }

    /// Entries, octets, evictions.
    pub(super) fn usage(&self) -> (usize, usize, u64) {
        (self.unfinished.len(), self.unfinished.bytes(), self.unfinished.evicted())
    }

    fn fragment(
        &mut self,
        packet: &Packet<'_>,
        fragment: &Fragment<'_>,
        to: &mut To<'_, impl Sink>,
    ) {
        let (key, _) = packet.path.key();
        let hash = to.emitter.hasher.path(&packet.path);
        let fresh = || Unfinished {
            path: packet.path,
            seen: packet.seen,
            message_seq: fragment.message_seq,
            length: fragment.length,
            stream: Reassembly::default(),
        };
        let slot = match self.unfinished.find(hash, &key) {
            Some(slot) => slot,
            None if is_late(packet, fragment, to.emitter) => return,
            None => {
                while let Some(removed) = self.unfinished.overfull() {
                    self.abandon(removed, HandshakeOutcome::Evicted, to);
                }
                self.unfinished.insert(hash, key, to.emitter.now, fresh())
            }
        };
        let Some(hello) = self.unfinished.get_mut(slot) else { return };
        if hello.path != packet.path {
            return;
        }
        let before = hello.stream.footprint();
        if (hello.message_seq, hello.length) != (fragment.message_seq, fragment.length) {
            // The hello with the cookie takes the place of the one without.
            *hello = fresh();
        }
        let taken = hello.stream.insert(fragment.offset as u64, fragment.data);
        let after = hello.stream.footprint();
        let lost = match taken {
            _ if hello.stream.prefix().len() == hello.length => None,
            Err(_) => Some(HandshakeOutcome::Malformed),
            Ok(_) if fragment.cut => Some(HandshakeOutcome::Truncated),
            Ok(_) => {
                self.unfinished.charge(before, after);
                return;
            }
        };
        self.unfinished.charge(before, after);
        if let Some(removed) = self.unfinished.remove(slot) {
            self.unfinished.charge(after, 0);
            let body = removed.value.stream.prefix();
            let hello = (body, lost.is_none());
            let lost = lost.unwrap_or(HandshakeOutcome::Malformed);
            client_hello(hello, None, packet.path, packet.seen, lost, to);
        }
    }

    /// The hello came in one piece after all: fragments of it are no use any more.
    fn forget(&mut self, packet: &Packet<'_>, to: &To<'_, impl Sink>) {
        let (key, _) = packet.path.key();
        let hash = to.emitter.hasher.path(&packet.path);
        let Some(slot) = self.unfinished.find(hash, &key) else { return };
        if self.unfinished.get_mut(slot).is_some_and(|hello| hello.path == packet.path)
            && let Some(removed) = self.unfinished.remove(slot)
        {
            self.unfinished.charge(removed.value.stream.footprint(), 0);
        }
    }

    /// Reads what there is of a hello that will not become whole.
    fn abandon(
        &mut self,
        removed: Removed<Unfinished>,
        why: HandshakeOutcome,
        to: &mut To<'_, impl Sink>,
    ) {
        let Unfinished { path, mut seen, stream, .. } = removed.value;
        self.unfinished.charge(stream.footprint(), 0);
        let lost = match why {
            HandshakeOutcome::Timeout if stream.has_hole() => HandshakeOutcome::Gap,
            why => why,
        };
        if why == HandshakeOutcome::Timeout {
            seen.at = seen.at.plus(Self::LIFETIME);
        }
        client_hello((stream.prefix(), false), None, path, seen, lost, to);
    }
}

/// Is this a fragment, sent again, of a hello that was dealt with? One that begins a hello with
/// another random is not.
fn is_late(packet: &Packet<'_>, fragment: &Fragment<'_>, emitter: &Emitter) -> bool {
    let flow = emitter.identity(&packet.path);
    let random = (fragment.offset == 0).then(|| fragment.data.get(2..34)).flatten();
    let identity = match random {
        Some(random) => emitter.hasher.octets(flow, random),
        None => emitter.hasher.word(flow, EXPECTED),
    };
    emitter.recent.contains(identity, emitter.now, Recent::WINDOW)
}

/// The body of a hello, and whether it is whole; `record` when it came in one piece, for copies to be known.
fn client_hello(
    (body, whole): (&[u8], bool),
    record: Option<u64>,
    path: Path,
    seen: Seen,
    lost: HandshakeOutcome,
    to: &mut To<'_, impl Sink>,
) {
    let flow = to.emitter.identity(&path);
    to.emitter.recent.note(to.emitter.hasher.word(flow, EXPECTED), to.emitter.now, Recent::WINDOW);
    let read = ClientHello::read(body, whole, Dialect::Dtls).ok();
    let random = read.as_ref().map_or(&[][..], |hello| hello.random);
    let identity = to.emitter.hasher.octets(flow, random);
    if let Some(record) = record {
        let copy = to.emitter.hasher.word(identity, record);
        if to.emitter.recent.note(copy, to.emitter.now, COPY).is_some() {
            to.emitter.ledger.copies.add(1);
            return;
        }
    }
    // The hello with the cookie has the random of the one without (RFC 6347 §4.2.1), and so has
    // one that is sent again.
    if to.emitter.recent.note(identity, to.emitter.now, Recent::WINDOW).is_some() {
        return;
    }
    let outcome = read.as_ref().map_or(lost, |hello| handshake::outcome(hello, lost));
    end(read.map_or(Told::Nothing, Told::Hello), outcome, path, seen, identity, to);
}

/// A server's answer. Without its client's hello, only one side of the traffic is seen.
fn server_hello(packet: &Packet<'_>, to: &mut To<'_, impl Sink>) {
    let path = packet.path.reversed();
    let flow = to.emitter.identity(&path);
    let expected = to.emitter.hasher.word(flow, EXPECTED);
    if to.emitter.recent.note(expected, to.emitter.now, Recent::WINDOW).is_none() {
        let outcome = HandshakeOutcome::OneWay;
        end(Told::Nothing, outcome, path, packet.seen, flow, to);
    }
}

fn end(
    told: Told<'_>,
    outcome: HandshakeOutcome,
    path: Path,
    seen: Seen,
    identity: u64,
    to: &mut To<'_, impl Sink>,
) {
    let protocol = HandshakeProtocol::Dtls;
    to.emitter.ledger.handshake_begun(protocol);
    to.emitter.ledger.handshake(protocol, outcome);
    let Seen { at, source, number, .. } = seen;
    let handshake = Handshake {
        protocol,
        outcome,
        signal: Signal::DtlsSni,
        told,
        origin: Origin { at, source, number },
        seen,
        path,
        identity,
    };
    handshake::emit(to.emitter, to.volumes, &handshake, to.out);
}

/// Tells "a hello was dealt with here" from other identities of a conversation.
const EXPECTED: u64 = 0x6474_6c73_6865_6c6c;

#[cfg(test)]
mod tests {
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
            assert_eq!(begun, outcomes.iter().map(Counter::value).sum::<u64>());
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
        assert_eq!(bench.seen(), (vec![], vec![(HandshakeOutcome::OneWay, 1)]));
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
                }
            }
            bench.later(60);
            prop_assert_eq!(bench.seen(), (vec!["example.com"], vec![(HandshakeOutcome::Named, 1)]));
        }
    }
}
