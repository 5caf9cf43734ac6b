//! Connections whose beginning is not dealt with yet.
//!
//! A connection is here from its SYN, or from a payload that begins like something known, until
//! its client's first payload is classified and read; TLS stays for the ServerHello, DNS until it
//! closes. Everything else about TCP passes by untouched.

use core::time::Duration;

use super::emitter::{Emitter, Scene};
use super::tls::{self, Said};
use super::{FlowFilter, Sink, dns};
use crate::decode::{Packet, Seen, TcpFlags};
use crate::flow::{Brought, Removed, Segments, Slot, Table};
use crate::inspect::dns::PORT as DNS_PORT;
use crate::inspect::stream::{Choice, Observation, Progress, Stream, is_server_hello};
use crate::inspect::tls::ServerFlight;
use crate::net::{Endpoint, FlowKey, Path, Wish};
use crate::visibility::{DnsOutcome, DnsTransport, HandshakeOutcome};

/// The connections of one worker.
#[derive(Debug)]
pub(super) struct Connections {
    table: Table<Connection>,
}

#[derive(Debug)]
struct Connection {
    /// Is the client the low end of the key?
    client_is_low: bool,
    /// The client's initial sequence number, when its SYN was seen.
    syn: Option<u32>,
    /// Its classification has been reported, or needs no report.
    reported: bool,
    /// A payload was cut by a snaplen.
    cut: bool,
    /// The frame that began it.
    seen: Seen,
    client: Half,
    server: Half,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Half {
    segments: Segments,
    stage: Stage,
    /// The inspector asks for at least this many unconsumed octets.
    need: usize,
    /// Where this direction ends, when its FIN was seen.
    fin: Option<u32>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing was classified yet.
    #[default]
    Beginning,
    /// What follows is nobody's business, or not yet.
    Ignored,
    Reading(Stream),
    Done,
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Closed,
    Timeout,
    Evicted,
    /// The input ends.
    Finished,
}

/// What a step of inspection found.
#[derive(Debug, Default)]
struct Found {
    said: Option<Said>,
    /// A ClientHello was dealt with; its answer is of interest.
    hello: bool,
    /// The stream is nothing known here.
    foreign: bool,
}

impl Connections {
    /// How long a connection may stay silent before its client's first payload.
    pub(super) const IDLE: Duration = Duration::from_secs(30);

    pub(super) fn new(max_bytes: usize) -> Self {
        Self { table: Table::new(max_bytes) }
    }

    /// A TCP packet that the filter or its content speaks for. Returns the vendor of a listed name
    /// it completed.
    pub(super) fn packet(
        &mut self,
        packet: &Packet<'_>,
        hash: u64,
        filter: &mut FlowFilter,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Option<Listed> {
        let (key, forward) = packet.path.key();
        let slot = match self.table.find(hash, &key) {
            Some(slot) => {
                self.table.touch(slot, emitter.now);
                slot
            }
            None => self.begin(packet, hash, (key, forward), filter, emitter, out)?,
        };
        let slot = self.renew(slot, packet, hash, (key, forward), filter, emitter, out);
        let connection = self.table.get_mut(slot)?;
        let before = connection.heap();
        let path = connection.path(&key);
        let listed = connection.packet(packet, forward, path, emitter, out);
        let (after, done) = (connection.heap(), connection.is_done());
        self.table.charge(before, after);
        if done {
            self.remove(slot, filter);
            out.wish(&path, Wish::Done);
        }
        listed.map(|vendor| Listed { path, vendor })
    }

    /// Ends what has been silent for too long.
    pub(super) fn expire(
        &mut self,
        filter: &mut FlowFilter,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let deadline = emitter.now.minus(Self::IDLE);
        while let Some(removed) = self.table.expired(deadline) {
            self.end(removed, End::Timeout, filter, emitter, out);
        }
    }

    /// The input ends.
    pub(super) fn finish(
        &mut self,
        filter: &mut FlowFilter,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        while let Some(removed) = self.table.pop_oldest() {
            self.end(removed, End::Finished, filter, emitter, out);
        }
    }

    /// Entries, octets, evictions.
    pub(super) fn usage(&self) -> (usize, usize, u64) {
        (self.table.len(), self.table.bytes(), self.table.evicted())
    }

    /// Makes an entry, when this packet begins something.
    fn begin(
        &mut self,
        packet: &Packet<'_>,
        hash: u64,
        (key, forward): (FlowKey, bool),
        filter: &mut FlowFilter,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Option<Slot> {
        let flags = packet.tcp.flags;
        let (source, destination) = (packet.path.source.port, packet.path.destination.port);
        let from_client = if flags.has(TcpFlags::SYN) {
            !flags.has(TcpFlags::ACK)
        } else if !Stream::may_begin(packet.payload, source, destination) {
            return None;
        } else if is_server_hello(packet.payload) {
            let path = packet.path.reversed();
            let identity = emitter.identity(&path);
            let scene = Scene { seen: &packet.seen, path, from_client: false, identity };
            tls::orphaned_server_hello(emitter, &scene);
            return None;
        } else {
            source != DNS_PORT
        };
        while let Some(removed) = self.table.overfull() {
            self.end(removed, End::Evicted, filter, emitter, out);
        }
        let connection = Connection {
            client_is_low: forward == from_client,
            syn: None,
            reported: false,
            cut: false,
            seen: packet.seen,
            client: Half::default(),
            server: Half { stage: server_stage(&packet.path), ..Half::default() },
        };
        filter.add(hash);
        Some(self.table.insert(hash, key, emitter.now, connection))
    }

    /// A SYN with another sequence number begins another connection on the same ports.
    #[expect(clippy::too_many_arguments, reason = "the arguments of `packet`")]
    fn renew(
        &mut self,
        slot: Slot,
        packet: &Packet<'_>,
        hash: u64,
        key: (FlowKey, bool),
        filter: &mut FlowFilter,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Slot {
        let flags = packet.tcp.flags;
        let syn = flags.has(TcpFlags::SYN) && !flags.has(TcpFlags::ACK);
        let known = self.table.get_mut(slot).and_then(|connection| connection.syn);
        if !syn || known.is_none_or(|known| known == packet.tcp.sequence) {
            return slot;
        }
        if let Some(removed) = self.table.remove(slot) {
            self.end(removed, End::Closed, filter, emitter, out);
        }
        self.begin(packet, hash, key, filter, emitter, out).unwrap_or(slot)
    }

    fn remove(&mut self, slot: Slot, filter: &mut FlowFilter) {
        if let Some(removed) = self.table.remove(slot) {
            filter.remove(removed.hash);
            self.table.charge(removed.value.heap(), 0);
        }
    }

    /// Gives a connection up and says what is known of it.
    fn end(
        &mut self,
        removed: Removed<Connection>,
        end: End,
        filter: &mut FlowFilter,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let Removed { key, hash, value: mut connection } = removed;
        filter.remove(hash);
        self.table.charge(connection.heap(), 0);
        let mut seen = connection.seen;
        if end == End::Timeout {
            seen.at = seen.at.plus(Self::IDLE);
        }
        connection.end(&seen, connection.path(&key), end, emitter, out);
    }
}

/// A connection turned out to go to a listed vendor.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// From client to server.
    pub(super) path: Path,
    pub(super) vendor: std::sync::Arc<str>,
}

impl Connection {
    fn packet(
        &mut self,
        packet: &Packet<'_>,
        forward: bool,
        path: Path,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Option<std::sync::Arc<str>> {
        let flags = packet.tcp.flags;
        let from_client = forward == self.client_is_low;
        let mut sequence = packet.tcp.sequence;
        if flags.has(TcpFlags::SYN) {
            sequence = sequence.wrapping_add(1);
            if from_client {
                self.syn = Some(packet.tcp.sequence);
                self.client.segments.anchor(sequence);
            } else {
                self.server.segments.anchor(sequence);
                self.client.segments.anchor(packet.tcp.acknowledgment);
            }
        }
        let mut listed = None;
        if !packet.payload.is_empty() && !is_padding(packet) {
            self.cut |= packet.is_cut();
            let identity = emitter.identity(&path);
            let scene = Scene { seen: &packet.seen, path, from_client, identity };
            let half = if from_client { &mut self.client } else { &mut self.server };
            let lost = packet.is_cut().then_some(HandshakeOutcome::Truncated);
            let found = half.feed(&scene, sequence, packet.payload, lost, emitter, out);
            listed = self.found(found, &scene, packet, emitter, out);
        }
        let half = if from_client { &mut self.client } else { &mut self.server };
        if flags.has(TcpFlags::FIN) {
            half.fin = Some(sequence.wrapping_add(packet.payload_wire_len));
        }
        let finished = half.fin.is_some() && half.fin == half.segments.next();
        let reset = flags.has(TcpFlags::RST)
            && !self.client.segments.has_hole()
            && !self.server.segments.has_hole();
        if !self.is_done() && (finished && from_client || reset) {
            self.end(&packet.seen, path, End::Closed, emitter, out);
        } else if finished {
            half_end(&mut self.server);
        }
        if matches!(self.client.stage, Stage::Done) && matches!(self.server.stage, Stage::Ignored) {
            self.server.stage = Stage::Done;
        }
        listed
    }

    /// Draws the conclusions for the connection from what a direction showed.
    fn found(
        &mut self,
        found: Found,
        scene: &Scene<'_>,
        packet: &Packet<'_>,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Option<std::sync::Arc<str>> {
        if found.hello {
            self.expect_server_hello(packet);
        }
        if let Some(said) = found.said {
            let vendor = said.vendor.clone();
            self.report(scene, said, emitter, out);
            return vendor;
        }
        if found.foreign {
            self.report(scene, Said::default(), emitter, out);
        }
        // A copy of a hello needs no second report, and DNS is no nameless connection.
        self.reported |= found.hello || matches!(self.client.stage, Stage::Reading(Stream::Dns(_)));
        None
    }

    /// From here on the server's octets are of interest, until it has chosen a version.
    fn expect_server_hello(&mut self, packet: &Packet<'_>) {
        if matches!(self.server.stage, Stage::Ignored) {
            self.server.stage = Stage::Reading(Stream::TlsServer(ServerFlight));
            if packet.tcp.flags.has(TcpFlags::ACK) {
                self.server.segments = Segments::default();
                self.server.segments.anchor(packet.tcp.acknowledgment);
            }
        }
    }

    /// Says once what kind of connection this is, if its beginning was seen.
    fn report(
        &mut self,
        scene: &Scene<'_>,
        said: Said,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        if self.reported {
            return;
        }
        self.reported = true;
        if let Some(syn) = self.syn {
            let identity = emitter.hasher.word(scene.identity, u64::from(syn));
            scene.connection(said.named, said.encrypted_dns, identity, said.ech, out);
        }
    }

    /// Reads what is there as far as it goes.
    fn end(
        &mut self,
        seen: &Seen,
        path: Path,
        end: End,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let identity = emitter.identity(&path);
        let scene = Scene { seen, path, from_client: true, identity };
        let lost = if self.cut {
            HandshakeOutcome::Truncated
        } else if self.client.segments.has_hole() {
            HandshakeOutcome::Gap
        } else {
            match end {
                End::Closed | End::Finished => HandshakeOutcome::Gap,
                End::Timeout => HandshakeOutcome::Timeout,
                End::Evicted => HandshakeOutcome::Evicted,
            }
        };
        let spoke =
            self.client.segments.heap() > 0 || matches!(self.client.stage, Stage::Reading(_));
        let found = self.client.end(&scene, lost, emitter, out);
        if let Some(said) = found.said {
            self.report(&scene, said, emitter, out);
        } else if spoke && !matches!(self.client.stage, Stage::Reading(Stream::Dns(_))) {
            self.report(&scene, Said::default(), emitter, out);
        }
        let scene = Scene { from_client: false, ..scene };
        self.server.end(&scene, lost, emitter, out);
        self.client.stage = Stage::Done;
        self.server.stage = Stage::Done;
    }

    fn path(&self, key: &FlowKey) -> Path {
        let (client, server): (Endpoint, Endpoint) =
            if self.client_is_low { (key.low, key.high) } else { (key.high, key.low) };
        Path { tenant: key.tenant, protocol: key.protocol, source: client, destination: server }
    }

    fn is_done(&self) -> bool {
        matches!(self.client.stage, Stage::Done) && matches!(self.server.stage, Stage::Done)
    }

    fn heap(&self) -> usize {
        self.client.heap() + self.server.heap()
    }
}

impl Half {
    /// Octets come in. `lost`: why what follows them will not.
    fn feed(
        &mut self,
        scene: &Scene<'_>,
        sequence: u32,
        payload: &[u8],
        lost: Option<HandshakeOutcome>,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Found {
        match self.stage {
            Stage::Ignored => return Found::default(),
            Stage::Done => {
                let behind = self.segments.next().is_some_and(|next| {
                    next.wrapping_sub(sequence).wrapping_sub(1) < Segments::WINDOW
                });
                emitter.ledger.copies.add(u64::from(behind));
                return Found::default();
            }
            Stage::Beginning | Stage::Reading(_) => {}
        }
        let brought = self.segments.push(sequence, payload);
        let mut found = Found::default();
        let consumed = match brought {
            Brought::InPlace(range) => {
                let octets = &payload[range];
                let consumed = self.inspect(scene, octets, &mut found, emitter, out);
                if !matches!(self.stage, Stage::Done) {
                    self.segments.hold(octets.get(consumed..).unwrap_or_default());
                }
                0
            }
            Brought::Ready => {
                let ready = self.segments.take_ready();
                let consumed = self.inspect(scene, &ready, &mut found, emitter, out);
                self.segments.put_back(ready);
                consumed
            }
            Brought::Early => 0,
            Brought::Refused => {
                self.resume(scene, &mut found, emitter, out);
                0
            }
            Brought::Old => {
                emitter.ledger.copies.add(1);
                0
            }
        };
        self.segments.consume(consumed);
        if let Some(lost) = lost
            && !matches!(self.stage, Stage::Done)
        {
            // The rest of the segment is gone: what is here is all there will be.
            if matches!(self.stage, Stage::Reading(Stream::Tls(_))) {
                let end = self.end(scene, lost, emitter, out);
                found = end;
                self.stage = Stage::Done;
            }
        }
        if matches!(self.stage, Stage::Done) {
            self.segments.clear();
        }
        found
    }

    /// Feeds the inspector, choosing one first where there is none; returns how much it consumed.
    fn inspect(
        &mut self,
        scene: &Scene<'_>,
        octets: &[u8],
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> usize {
        let mut consumed = 0;
        loop {
            let rest = octets.get(consumed..).unwrap_or_default();
            if rest.len() < self.need || rest.is_empty() {
                return consumed;
            }
            match &mut self.stage {
                Stage::Ignored | Stage::Done => return octets.len(),
                Stage::Beginning => match Stream::probe(rest, scene.path.destination.port) {
                    Choice::Stream(stream) => self.stage = Stage::Reading(stream),
                    Choice::Unsure => {
                        self.need = rest.len() + 1;
                        return consumed;
                    }
                    Choice::NotOurs => {
                        found.foreign = true;
                        self.stage = Stage::Done;
                        return octets.len();
                    }
                },
                Stage::Reading(stream) => {
                    let progress = stream.push(rest, &mut |observation| {
                        observed(scene, &observation, None, found, emitter, out);
                    });
                    match progress {
                        Progress::More { consumed: more, need } => {
                            self.need = need;
                            return consumed + more;
                        }
                        Progress::Next { consumed: more } => {
                            consumed += more;
                            self.need = 0;
                            self.stage = Stage::Beginning;
                        }
                        Progress::Done => {
                            self.stage = Stage::Done;
                            return octets.len();
                        }
                    }
                }
            }
        }
    }

    /// Gives holes up in a stream that has further beginnings: DNS messages.
    fn resume(
        &mut self,
        scene: &Scene<'_>,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let Stage::Reading(Stream::Dns(framing)) = &mut self.stage else { return };
        framing.end(self.segments.ready(), &mut |observation| {
            observed(scene, &observation, Some(HandshakeOutcome::Gap), found, emitter, out);
        });
        while self.segments.skip_hole() {
            let ready = self.segments.take_ready();
            self.need = 0;
            // Segments mostly begin where messages do.
            self.stage = Stage::Beginning;
            let consumed = self.inspect(scene, &ready, found, emitter, out);
            self.segments.put_back(ready);
            self.segments.consume(consumed);
        }
        if !matches!(self.stage, Stage::Reading(_)) {
            self.stage = Stage::Beginning;
        }
        self.need = 0;
    }

    /// Nothing more will come.
    fn end(
        &mut self,
        scene: &Scene<'_>,
        lost: HandshakeOutcome,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Found {
        let mut found = Found::default();
        self.resume(scene, &mut found, emitter, out);
        if let Stage::Reading(stream) = &mut self.stage {
            stream.end(self.segments.ready(), &mut |observation| {
                observed(scene, &observation, Some(lost), &mut found, emitter, out);
            });
        }
        self.segments.clear();
        found
    }

    fn heap(&self) -> usize {
        let stream = match &self.stage {
            Stage::Reading(stream) => stream.heap(),
            _ => 0,
        };
        self.segments.heap() + stream
    }
}

/// Hands an inspector's observation to those who know what it means.
fn observed(
    scene: &Scene<'_>,
    observation: &Observation<'_>,
    lost: Option<HandshakeOutcome>,
    found: &mut Found,
    emitter: &mut Emitter,
    out: &mut impl Sink,
) {
    match *observation {
        Observation::ClientHello(hello) => {
            found.hello = true;
            found.said = tls::client_hello(emitter, scene, hello, lost, out);
        }
        Observation::NoClientHello(_) => {
            found.hello = true;
            found.said = Some(Said::default());
            tls::no_client_hello(emitter, lost.unwrap_or(HandshakeOutcome::Malformed));
        }
        Observation::ServerHello(_) => {}
        Observation::Host { signal, host } => {
            let identity = emitter.hasher.octets(scene.identity, host);
            let indicator = emitter.host(scene, signal, host, identity, None, out);
            let vendor = indicator.map(|indicator| indicator.vendor.clone());
            found.said = Some(Said { named: true, vendor, ..Said::default() });
        }
        Observation::Dns(message) => {
            let path = scene.direction();
            dns::message(emitter, scene.seen, &path, DnsTransport::Tcp, message, None, out);
        }
        Observation::DnsCut(message) => {
            let path = scene.direction();
            let cut = match lost {
                Some(HandshakeOutcome::Timeout) => DnsOutcome::Timeout,
                Some(HandshakeOutcome::Evicted) => DnsOutcome::Evicted,
                Some(HandshakeOutcome::Truncated) => DnsOutcome::Truncated,
                _ => DnsOutcome::Gap,
            };
            dns::message(emitter, scene.seen, &path, DnsTransport::Tcp, message, Some(cut), out);
        }
    }
}

/// Some senders pad bare acknowledgements to the shortest Ethernet frame and count the padding as
/// payload. Taken for the stream's first octets, it would hide what begins there.
fn is_padding(packet: &Packet<'_>) -> bool {
    const PUSH: TcpFlags = TcpFlags(0x08);
    let flags = packet.tcp.flags;
    let silent = TcpFlags(PUSH.0 | TcpFlags::SYN.0 | TcpFlags::FIN.0);
    (2..=6).contains(&packet.payload.len())
        && !flags.has(silent)
        && packet.payload.iter().all(|&octet| octet == 0)
}

/// Only DNS is read in both directions from the start.
fn server_stage(path: &Path) -> Stage {
    if path.source.port == DNS_PORT || path.destination.port == DNS_PORT {
        Stage::Beginning
    } else {
        Stage::Ignored
    }
}

/// A server that closes says nothing more; its client may.
fn half_end(half: &mut Half) {
    half.segments.clear();
    half.stage = Stage::Done;
}
