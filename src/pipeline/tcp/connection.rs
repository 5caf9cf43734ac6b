//! One connection: its two directions, and what they say together.

use super::half::{Found, Half, Segment, Stage};
use crate::decode::{Packet, Seen, TcpFlags};
use crate::flow::{Segments, Spare};
use crate::inspect::dns::PORT as DNS_PORT;
use crate::inspect::stream::{Stream, is_server_hello};
use crate::inspect::tls::ServerFlight;
use crate::net::{Endpoint, FlowKey, Path, Wish};
use crate::pipeline::dns::COPY;
use crate::pipeline::emitter::{Emitter, Said, Scene};
use crate::pipeline::{Sink, tls};
use crate::time::Timestamp;
use crate::visibility::HandshakeOutcome;

#[derive(Debug)]
pub(super) struct Connection {
    /// Is the client the low end of the key?
    client_is_low: bool,
    /// The client accepted the connection, which its server opened.
    turned: bool,
    /// The initial sequence number of who opened it, when that SYN was seen.
    pub(super) syn: Option<u32>,
    /// Its classification has been reported, or needs no report.
    reported: bool,
    /// A payload was cut by a snaplen.
    cut: bool,
    /// The server is a proxy: what is named lies behind it.
    proxied: bool,
    /// A ServerHello came before anything of the client: its hello may come late, or never.
    answered: bool,
    /// The frame that began it.
    pub(super) seen: Seen,
    client: Half,
    server: Half,
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Closed,
    Timeout,
    Evicted,
    /// The input ends.
    Finished,
}

impl Connection {
    /// Nothing is known but who sent its first packet.
    pub(super) fn new(packet: &Packet<'_>, client_is_low: bool) -> Self {
        Self {
            client_is_low,
            turned: false,
            syn: None,
            reported: false,
            cut: false,
            proxied: false,
            answered: false,
            seen: packet.seen,
            client: Half::default(),
            server: Half::new(server_stage(&packet.path)),
        }
    }

    /// The initial sequence number of who opened it is known.
    pub(super) fn begins(&mut self, syn: u32) {
        self.syn = Some(syn);
        self.client.opened.syn = self.syn;
    }

    /// Its client has this initial sequence number on the other side of a firewall.
    pub(super) const fn has_other_side(&mut self, syn: Option<u32>) {
        self.client.opened.other_syn = syn;
    }

    /// A packet of this connection; `forward`: from the low end of its key, `hash`: of the flow.
    /// Returns the vendor of a listed name that it completed.
    pub(super) fn packet(
        &mut self,
        packet: &Packet<'_>,
        hash: u64,
        forward: bool,
        spare: &mut Spare,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Option<std::sync::Arc<str>> {
        let flags = packet.tcp.flags;
        let mut from_client = forward == self.client_is_low;
        let mut sequence = packet.tcp.sequence;
        if flags.has(TcpFlags::SYN) {
            sequence = sequence.wrapping_add(1);
            let opens = from_client != self.turned;
            let fresh = self.syn.is_none() && !packet.payload.is_empty();
            let (own, other) = self.halves(from_client);
            if opens && fresh && own.is_silent() {
                // The server that accepts its data with it was seen before (RFC 7413 §4.2.2).
                own.segments = Segments::default();
            }
            own.segments.anchor(sequence);
            if opens {
                self.begins(packet.tcp.sequence);
            } else {
                other.segments.anchor(packet.tcp.acknowledgment);
            }
        }
        if !from_client && self.is_turned_by(packet, sequence) {
            self.turn();
            from_client = true;
        }
        let path = || if from_client { packet.path } else { packet.path.reversed() };
        if !from_client
            && matches!(self.server.stage, Stage::Ignored)
            && is_server_hello(packet.payload)
        {
            // What it answers is late, or will never come; its certificate is here. A copy answers
            // what was dealt with.
            let identity = emitter.identity_of(hash, &packet.path);
            let scene = Scene { seen: &packet.seen, path: path(), from_client, identity };
            self.answered = !tls::follows_hello(emitter, &scene);
            self.server.stage = Stage::Reading(Stream::TlsServer(ServerFlight::default()));
            // From here: what came before it in clear was not followed.
            self.server.segments = Segments::default();
        }
        let mut listed = None;
        self.cut |= packet.is_cut();
        let half = if from_client { &mut self.client } else { &mut self.server };
        if !(packet.payload.is_empty() || half.begins_at(sequence) && is_padding(packet)) {
            let identity = emitter.identity_of(hash, &packet.path);
            let scene = Scene { seen: &packet.seen, path: path(), from_client, identity };
            let lost = packet.is_cut().then_some(HandshakeOutcome::Truncated);
            let segment = Segment { sequence, payload: packet.payload, lost };
            let found = half.feed(&scene, &segment, spare, emitter, out);
            if half.goes_on() {
                out.wish(&packet.path, Wish::More);
            }
            listed = self.found(found, &scene, packet, emitter, out);
        }
        if self.is_overdue(emitter.now) {
            let late = self.go_on_without(packet, path(), hash, spare, emitter, out);
            listed = listed.or(late);
        }
        let half = if from_client { &mut self.client } else { &mut self.server };
        if flags.has(TcpFlags::FIN) || flags.has(TcpFlags::RST) && half.is_before(sequence) {
            half.fin = Some(sequence.wrapping_add(packet.payload_wire_len));
        }
        let finished = half.fin.is_some() && half.fin == half.segments.next();
        // Whether a reset is one is known to its receiver alone, which drops what is outside of its
        // window (RFC 9293 §3.10.7.4), so the rest of a hello is waited for all the same, and
        // what a wrapper leads to.
        let reset = flags.has(TcpFlags::RST)
            && !self.client.segments.has_hole()
            && !self.server.segments.has_hole()
            && !matches!(self.client.stage, Stage::Reading(Stream::Tls(_)))
            && !self.client.goes_on_anew()
            && !self.client.was_missed()
            && !(from_client && self.is_told_more(packet));
        if reset || finished && from_client {
            self.end_client(&packet.seen, path(), HandshakeOutcome::Gap, emitter, out);
        }
        if reset || finished && !from_client {
            self.end_server(&packet.seen, path(), HandshakeOutcome::Gap, emitter, out);
        }
        if matches!(self.client.stage, Stage::Done) && matches!(self.server.stage, Stage::Ignored) {
            self.server.stage = Stage::Done;
        }
        listed
    }

    /// The half that a packet is of, and the other.
    const fn halves(&mut self, from_client: bool) -> (&mut Half, &mut Half) {
        if from_client {
            (&mut self.client, &mut self.server)
        } else {
            (&mut self.server, &mut self.client)
        }
    }

    /// Does who accepted the connection begin it like a client, before the other said anything? A
    /// client of FTP whose data connections the server opens does (RFC 4217 §7).
    fn is_turned_by(&self, packet: &Packet<'_>, sequence: u32) -> bool {
        let (source, destination) = (packet.path.source.port, packet.path.destination.port);
        let opener = self.client.segments.next();
        let first = match (self.server.segments.next(), self.syn) {
            (Some(next), _) => next == sequence,
            (None, Some(syn)) => opener == Some(syn.wrapping_add(1)),
            (None, None) => false,
        };
        !packet.payload.is_empty()
            && !self.turned
            && first
            && matches!(self.server.stage, Stage::Ignored)
            && self.client.is_silent()
            && Stream::may_begin(packet.payload, source, destination)
            && !is_server_hello(packet.payload)
    }

    /// Does the client acknowledge more of the server's flight than is here? A mirror may deliver
    /// the two directions apart.
    fn is_told_more(&self, packet: &Packet<'_>) -> bool {
        packet.tcp.flags.has(TcpFlags::ACK)
            && matches!(self.server.stage, Stage::Reading(Stream::TlsServer(_)))
            && self.server.is_behind(packet.tcp.acknowledgment)
    }

    /// What was taken for the client is the server.
    #[cold]
    fn turn(&mut self) {
        core::mem::swap(&mut self.client, &mut self.server);
        (self.client_is_low, self.turned) = (!self.client_is_low, true);
        (self.client.stage, self.server.stage) = (Stage::Beginning, Stage::Ignored);
        self.client.opened.syn = self.syn;
    }

    /// Has either direction waited for so long that what it waits for will not come?
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.client.is_overdue(now) || self.server.is_overdue(now)
    }

    /// What either direction waits for will not come.
    #[cold]
    fn go_on_without(
        &mut self,
        packet: &Packet<'_>,
        path: Path,
        hash: u64,
        spare: &mut Spare,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Option<std::sync::Arc<str>> {
        let identity = emitter.identity_of(hash, &path);
        let mut listed = None;
        for from_client in [true, false] {
            let scene = Scene { seen: &packet.seen, path, from_client, identity };
            let half = if from_client { &mut self.client } else { &mut self.server };
            if half.is_overdue(emitter.now) {
                let found = half.go_on_without(&scene, spare, emitter, out);
                listed = self.found(found, &scene, packet, emitter, out).or(listed);
            }
        }
        listed
    }

    /// Draws the conclusions for the connection from what a direction showed: to whose server it
    /// goes, if that is known now. A proxy is nobody's of those that are asked for through it.
    fn found(
        &mut self,
        found: Found,
        scene: &Scene<'_>,
        packet: &Packet<'_>,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Option<std::sync::Arc<str>> {
        self.proxied |= found.proxied;
        if found.hello {
            self.answered = false;
            self.expect_server_hello(packet);
        } else if matches!(self.client.stage, Stage::Done) {
            let cut = self.cut.then_some(HandshakeOutcome::Truncated);
            self.miss_hello(scene, cut.unwrap_or(HandshakeOutcome::Gap), emitter);
        }
        if let Some(said) = found.said {
            let vendor = said.vendor.clone();
            self.report(scene, said, emitter, out);
            return vendor.filter(|_| !self.proxied);
        }
        // A copy needs no second report, and DNS is no nameless connection.
        self.reported |= found.copy || found.dns;
        if found.foreign && !found.hello {
            self.report(scene, Said::default(), emitter, out);
        }
        self.reported |= found.hello;
        found.listed.filter(|_| !self.proxied)
    }

    /// Is it another connection that a client begins with this sequence number, or, as far as that
    /// says it, a server accepts? Where the SYN was not seen, or comes late, it lies just before
    /// what was read. A server may accept data of the SYN with it (RFC 7413 §4.2.2).
    pub(super) fn is_another(&self, syn: u32, accepts: bool) -> bool {
        let opener = if self.turned { &self.server } else { &self.client };
        match (self.syn, opener.segments.next()) {
            (Some(known), _) if accepts => syn.wrapping_sub(known) > Segments::WINDOW,
            (Some(known), _) => known != syn,
            (None, Some(next)) => next.wrapping_sub(syn) > Segments::WINDOW,
            (None, None) => false,
        }
    }

    /// Its initial sequence number, when nothing came of it but that: another one at once is that
    /// of the other side of a firewall which gives connections sequence numbers of its own.
    pub(super) fn other_side(&self, now: Timestamp) -> Option<u32> {
        let silent = !self.turned && self.client.is_silent() && now.since(self.seen.at) < COPY;
        let first = |syn: &u32| self.client.segments.next() == Some(syn.wrapping_add(1));
        self.syn.filter(first).filter(|_| silent)
    }

    /// The client's hello will not come: was it answered all the same?
    fn miss_hello(&mut self, scene: &Scene<'_>, why: HandshakeOutcome, emitter: &mut Emitter) {
        if core::mem::take(&mut self.answered) {
            tls::orphaned_server_hello(emitter, scene, why);
        }
    }

    /// From here on the server's octets are of interest, until it has chosen a version.
    fn expect_server_hello(&mut self, packet: &Packet<'_>) {
        if matches!(self.server.stage, Stage::Ignored | Stage::Beginning) {
            self.server.stage = Stage::Reading(Stream::TlsServer(ServerFlight::default()));
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
            let identity = identity(emitter, scene, syn);
            scene.connection(said.named, said.encrypted_dns, identity, said.ech, out);
        }
    }

    /// The connection is given up: reads what is there as far as it goes.
    pub(super) fn end(
        &mut self,
        seen: &Seen,
        path: Path,
        end: End,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
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
        self.end_client(seen, path, lost, emitter, out);
        self.end_server(seen, path, lost, emitter, out);
    }

    /// The client says nothing more.
    fn end_client(
        &mut self,
        seen: &Seen,
        path: Path,
        lost: HandshakeOutcome,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let scene = Scene { seen, path, from_client: true, identity: emitter.identity(&path) };
        // All that a client of DNS said may be lost, and it is still none without a name.
        let missed = self.client.was_missed() && path.destination.port != DNS_PORT;
        let spoke = missed || self.proxied || self.client.spoke();
        let found = self.client.end(&scene, lost, emitter, out);
        self.answered &= !found.hello;
        let why = if spoke { lost } else { HandshakeOutcome::OneWay };
        self.miss_hello(&scene, why, emitter);
        if let Some(said) = found.said {
            self.report(&scene, said, emitter, out);
        } else if spoke && !found.hello && !found.copy && !found.dns {
            self.report(&scene, Said::default(), emitter, out);
        }
    }

    /// The server says nothing more.
    fn end_server(
        &mut self,
        seen: &Seen,
        path: Path,
        lost: HandshakeOutcome,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let scene = Scene { seen, path, from_client: false, identity: emitter.identity(&path) };
        self.server.end(&scene, lost, emitter, out);
    }

    /// From client to server.
    pub(super) fn path(&self, key: &FlowKey) -> Path {
        let (client, server): (Endpoint, Endpoint) =
            if self.client_is_low { (key.low, key.high) } else { (key.high, key.low) };
        Path { tenant: key.tenant, protocol: key.protocol, source: client, destination: server }
    }

    /// How far its client has come, in sequence numbers.
    pub(super) const fn come(&self) -> Option<u32> {
        self.client.segments.next()
    }

    /// Does nobody want anything more from it?
    pub(super) fn is_done(&self) -> bool {
        matches!(self.client.stage, Stage::Done) && matches!(self.server.stage, Stage::Done)
    }

    /// Hellos and DNS messages that have begun and have no outcome yet.
    pub(super) fn pending(&self) -> (usize, usize) {
        let (client, server) = (self.client.pending(), self.server.pending());
        (client.0 + server.0, client.1 + server.1)
    }

    /// Octets on the heap.
    pub(super) fn heap(&self) -> usize {
        self.client.heap() + self.server.heap()
    }
}

/// Of a connection, by its client's initial sequence number.
pub(super) fn identity(emitter: &Emitter, scene: &Scene<'_>, syn: u32) -> u64 {
    emitter.hasher.word(scene.identity, u64::from(syn))
}

/// Some senders pad bare acknowledgements to the shortest Ethernet frame and count the padding as
/// payload. Taken for the stream's first octets, it would hide what begins there. An IP packet of
/// another length was not padded so, and its octets are real.
fn is_padding(packet: &Packet<'_>) -> bool {
    /// What the shortest frame holds (IEEE 802.3 §4.2.3.3), and with a VLAN tag, which a mirror may
    /// have taken off.
    const SHORTEST: [u32; 2] = [46, 42];
    const PUSH: TcpFlags = TcpFlags(0x08);
    let flags = packet.tcp.flags;
    let silent = TcpFlags(PUSH.0 | TcpFlags::SYN.0 | TcpFlags::FIN.0);
    (2..=6).contains(&packet.payload.len())
        && SHORTEST.contains(&packet.ip_len)
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
