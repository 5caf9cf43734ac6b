#![forbid(unsafe_code)]
//! The front door of the pure side: frames in, records and sightings out.
//!
//! File, live capture, tests, fuzzing and benches drive the same two calls: [`Pipeline::frame`]
//! and [`Pipeline::advance`].
//!
//! Nineteen packets of twenty carry no name and belong to nothing unfinished. They are recognised
//! by their headers, the first octets of their payload and one look into a [`Filter`], and leave.

mod dns;
mod dtls;
mod emitter;
#[doc(hidden)]
pub mod fuzzing;
mod general;
pub mod handshake;
pub mod quic;
mod recent;
mod route;
mod sample;
mod tcp;
mod tls;
mod verdicts;
mod volume;

pub use self::route::{Routed, Router};

use core::time::Duration;
use std::sync::Arc;

use self::emitter::{Emitter, Scene};
use self::recent::Recent;
use self::sample::Sample;
use self::tcp::{Connections, Listed};
use self::verdicts::Verdicts;
use self::volume::Volumes;
use crate::decode::fast::Head;
use crate::decode::{NotDecoded, Packet, TcpFlags, Tenants};
use crate::detect::{Attributed, EchHello, Origin, Record};
use crate::flow::{Clock, Filter, FlowHasher, Fragments};
use crate::frame::{Frame, SourceId};
use crate::inspect::dns::{Header, Message};
use crate::inspect::stream::Stream;
use crate::inspect::{self, Signal};
use crate::net::{Pair, Path, TenantId, Wish};
use crate::signature::Set;
use crate::signature::resolvers::Resolvers;
use crate::time::Timestamp;
use crate::visibility::{
    DnsOutcome, DnsTransport, HandshakeProtocol, Ledger, PacketOutcome, TableName,
};

/// A name was seen, listed or not.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    pub origin: Origin,
    pub signal: Signal,
    /// In its printed form; see [`name`](crate::name).
    pub name: &'a str,
    /// From client to server.
    pub path: Path,
    /// The ECH extension beside it: the name may be an outer one.
    pub ech: Option<&'a EchHello>,
}

/// Where a pipeline puts what it finds. Called in packet order.
pub trait Sink {
    /// Every name, before it is looked up. Most users do not want them.
    fn sighting(&mut self, _sighting: &Sighting<'_>) {}

    /// False: [`Self::sighting`] need not be called, and names that nobody lists need not be put
    /// into their printed form for it.
    fn wants_sightings(&self) -> bool {
        true
    }

    /// Something for the correlator.
    fn record(&mut self, record: Record);

    /// What is known of a flow now, for a source that can leave out packets (it is told by
    /// `Source::wish`). At the end of what is read of a flow, and once in many octets before.
    fn wish(&mut self, _path: &Path, _wish: Wish) {}

    /// The volume of this pair is counted from now on, for a source that can leave out packets (it
    /// is told by `Source::watch`).
    fn watch(&mut self, _pair: Pair) {}

    /// It is no more.
    fn unwatch(&mut self, _pair: Pair) {}
}

/// What a pipeline is told at its start.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Hash seed: from the system's entropy, and the same for all workers of a process.
    pub seed: u64,
    pub budgets: Budgets,
    /// Resolvers that speak DNS over HTTPS, by name.
    pub resolvers: Arc<Resolvers>,
    /// The address spaces that the operator declared.
    pub tenants: Arc<Tenants>,
    /// There are other workers, so that flows may be found split between them.
    pub one_of_many: bool,
    /// The source leaves out what nobody needs, but for the flows of [`sample_mark`].
    pub filtered: bool,
}

/// Which flows are in the sample for the estimates, for a filter that lets them pass whole. One TCP
/// flow in 256; one in 64, these among them, where nothing is left out.
#[must_use]
pub const fn sample_mark(seed: u64) -> u8 {
    Sample::mark(&FlowHasher::new(seed))
}

/// How many octets each table of a worker may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budgets {
    /// Connections whose first payload is unfinished.
    pub connections: usize,
    /// Identities of what was just seen.
    pub recent: usize,
    /// First flights of QUIC connections.
    pub quic: quic::Limits,
    /// Pairs whose volume is counted.
    pub volumes: usize,
    /// Flows sampled for the estimates.
    pub sample: usize,
    /// Hellos of DTLS in fragments.
    pub dtls: usize,
    /// Datagrams in fragments.
    pub fragments: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            connections: 24 << 20,
            recent: 4 << 20,
            quic: quic::Limits::default(),
            volumes: 4 << 20,
            sample: 2 << 20,
            dtls: 1 << 20,
            fragments: 8 << 20,
        }
    }
}

/// One worker's way from frames to records.
#[derive(Debug)]
pub struct Pipeline {
    emitter: Emitter,
    clock: Clock,
    filter: FlowFilter,
    connections: Connections,
    quic: quic::Flights,
    dtls: dtls::Hellos,
    fragments: Fragments,
    /// Where datagrams are put together.
    scratch: Vec<u8>,
    ledger: Arc<Ledger>,
    volumes: Volumes,
    sample: Sample,
    next_sweep: Timestamp,
    tenants: Arc<Tenants>,
    set_backs: u64,
}

impl Pipeline {
    /// An empty pipeline that looks for `set` and counts in `ledger`.
    #[must_use]
    pub fn new(set: Arc<Set>, ledger: Arc<Ledger>) -> Self {
        Self::with(set, ledger, Settings::default())
    }

    /// An empty pipeline with other than the default settings.
    #[must_use]
    pub fn with(set: Arc<Set>, ledger: Arc<Ledger>, settings: Settings) -> Self {
        let hasher = FlowHasher::new(settings.seed);
        Self {
            ledger: Arc::clone(&ledger),
            emitter: Emitter {
                verdicts: Verdicts::new(set, settings.resolvers),
                ledger,
                hasher,
                recent: Recent::new(settings.budgets.recent),
                now: Timestamp::ZERO,
                text: String::new(),
                other_text: String::new(),
            },
            clock: Clock::default(),
            filter: FlowFilter::new(),
            connections: Connections::new(settings.budgets.connections, settings.one_of_many),
            quic: quic::Flights::new(hasher, &settings.budgets.quic),
            dtls: dtls::Hellos::new(settings.budgets.dtls),
            fragments: Fragments::new(settings.budgets.fragments, hasher),
            scratch: Vec::new(),
            volumes: Volumes::new(settings.budgets.volumes),
            sample: Sample::new(settings.budgets.sample, &hasher, settings.filtered),
            next_sweep: Timestamp::ZERO,
            tenants: settings.tenants,
            set_backs: 0,
        }
    }

    /// From now on looks for `set`. Unfinished flows go on.
    pub fn set_signatures(&mut self, set: Arc<Set>) {
        self.emitter.verdicts.set_signatures(set);
    }

    /// From now on counts the volume of these pairs, and no more of those that were attributed
    /// before and are not among them.
    pub fn set_attributed(&mut self, attributed: &Attributed, out: &mut impl Sink) {
        let hasher = self.emitter.hasher;
        let hash = |a, b| hasher.pair(a, b);
        self.volumes.set_attributed(attributed, hash, self.emitter.now, out);
    }

    /// Adds what a watched pair exchanged in packets that `source` left out, in octets of IP
    /// packets.
    pub fn exchanged(&mut self, source: SourceId, pair: Pair, sent: u64, received: u64) {
        let hash = self.emitter.hasher.pair(pair.client, pair.server);
        self.volumes.exchanged(source, hash, pair, (sent, received), self.emitter.now);
    }

    /// One frame in; zero or more sightings and records out. Never blocks, never fails: what
    /// cannot be understood is counted.
    #[inline]
    pub fn frame(&mut self, frame: &Frame<'_>, out: &mut impl Sink) {
        let tick = self.clock.tick(frame.source, frame.at);
        if tick.clamped {
            self.emitter.ledger.time_clamped.add(1);
        }
        self.set_backs += u64::from(tick.set_back);
        self.timed_frame(frame, tick.at, tick.now, out);
    }

    /// As [`Self::frame`], when a [`Router`] keeps the time: `at` is the frame's, `now` the tables'.
    #[inline]
    pub fn timed_frame(
        &mut self,
        frame: &Frame<'_>,
        at: Timestamp,
        now: Timestamp,
        out: &mut impl Sink,
    ) {
        // Nearly every stamp is believed, and the frame need not be copied.
        let corrected;
        let frame = if at == frame.at {
            frame
        } else {
            corrected = Frame { at, ..*frame };
            &corrected
        };
        self.emitter.now = now;
        self.emitter.ledger.frames.add(1);
        if now >= self.next_sweep {
            self.sweep(out);
        }
        match Head::of(frame) {
            Some(head) if self.tenants.is_empty() || !head.is_tagged(frame) => {
                self.head(frame, &head, out);
            }
            _ => self.general(frame, out),
        }
    }

    /// How far the time of a source has come, as far as it is believed.
    #[must_use]
    pub fn reached(&self, source: SourceId) -> Timestamp {
        self.clock.reached(source)
    }

    /// How often the clock of a source was set back.
    #[must_use]
    pub const fn set_backs(&self) -> u64 {
        self.set_backs
    }

    /// Packet time has reached `now`: what is overdue ends.
    pub fn advance(&mut self, now: Timestamp, out: &mut impl Sink) {
        let now = self.clock.advance(now);
        self.timed_advance(now, out);
    }

    /// As [`Self::advance`], when a [`Router`] keeps the time.
    pub fn timed_advance(&mut self, now: Timestamp, out: &mut impl Sink) {
        self.emitter.now = now;
        if self.emitter.now >= self.next_sweep {
            self.sweep(out);
        }
    }

    /// The input has ended: everything unfinished gets its outcome.
    pub fn finish(&mut self, out: &mut impl Sink) {
        self.finish_fragments(out);
        self.connections.finish(&mut self.filter, &mut self.emitter, out);
        let (emitter, volumes) = (&mut self.emitter, &mut self.volumes);
        self.dtls.finish(&mut dtls::To { emitter: &mut *emitter, volumes: &mut *volumes, out });
        self.quic.finish(&self.ledger, &mut |handshake| {
            handshake::emit(emitter, volumes, handshake, out);
        });
        self.volumes.report(out);
        self.sample.finish(self.emitter.now, &self.ledger);
        self.publish();
    }

    /// How many handshakes have begun and have no outcome yet.
    #[must_use]
    pub fn pending_handshakes(&self, protocol: HandshakeProtocol) -> usize {
        match protocol {
            HandshakeProtocol::Tls => self.connections.pending().0,
            HandshakeProtocol::Dtls => self.dtls.pending(),
            HandshakeProtocol::Quic | HandshakeProtocol::Gquic => self.quic.pending(protocol),
        }
    }

    /// How many frames have no outcome yet, because their datagrams are not whole.
    #[must_use]
    pub const fn pending_frames(&self) -> u64 {
        self.fragments.waiting()
    }

    /// How many DNS messages have begun and have no outcome yet.
    #[must_use]
    pub fn pending_dns(&self, transport: DnsTransport) -> usize {
        if transport == DnsTransport::Tcp { self.connections.pending().1 } else { 0 }
    }

    /// A packet of the ordinary kind. Most leave here.
    #[inline]
    fn head(&mut self, frame: &Frame<'_>, head: &Head<'_>, out: &mut impl Sink) {
        if head.payload().is_empty() && head.payload_wire_len() > 0 {
            self.emitter.ledger.packet(PacketOutcome::Truncated);
        } else {
            self.emitter.ledger.packet(PacketOutcome::Decoded);
        }
        let flags = head.flags();
        let silent = head.payload_wire_len() == 0 && !flags.has(CONTROL);
        let (source, destination) = head.ports();
        let sampled = head.is_tcp() && self.sample.takes(source, destination);
        let idle = !sampled && self.volumes.is_empty();
        if idle && (silent || !head.is_tcp() && !is_datagram_of_interest(head)) {
            return;
        }
        let pair = self.pair(head);
        if !idle && self.volumes.may_count(pair) {
            self.count(pair, &head.packet(frame, TenantId::NONE));
        }
        if !head.is_tcp() {
            if is_datagram_of_interest(head) {
                self.udp(&head.packet(frame, TenantId::NONE), out);
            }
            return;
        }
        let hash = self.emitter.hasher.flow(pair, source, destination);
        if sampled {
            self.sampled(&head.packet(frame, TenantId::NONE), hash);
        }
        if !silent
            && (self.filter.may_know(hash)
                || flags.has(TcpFlags::SYN)
                || Stream::may_begin(head.payload(), source, destination))
        {
            self.tcp(&head.packet(frame, TenantId::NONE), hash, out);
        }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "on the way of every packet with a payload")]
    fn pair(&self, head: &Head<'_>) -> u64 {
        if let Some((source, destination)) = head.v4_addresses() {
            self.emitter.hasher.pair_v4(source, destination)
        } else {
            let (source, destination) = head.ends();
            self.emitter.hasher.pair(source.addr, destination.addr)
        }
    }

    #[cold]
    fn sampled(&mut self, packet: &Packet<'_>, hash: u64) {
        self.sample.packet(packet, hash, self.emitter.now, &self.ledger);
    }

    #[cold]
    fn count(&mut self, pair: u64, packet: &Packet<'_>) {
        let ends = (packet.path.source.addr, packet.path.destination.addr);
        let origin = emitter::origin(&packet.seen);
        let tenant = packet.path.tenant;
        self.volumes.count(pair, tenant, ends, packet.ip_len, origin, self.emitter.now);
    }

    #[cold]
    fn tcp(&mut self, packet: &Packet<'_>, hash: u64, out: &mut impl Sink) {
        let listed =
            self.connections.packet(packet, hash, &mut self.filter, &mut self.emitter, out);
        if let Some(Listed { path, vendor }) = listed {
            let from_client = packet.path == path;
            let scene = Scene { seen: &packet.seen, path, from_client, identity: hash };
            self.volumes.own(&self.emitter, &scene, &vendor, out);
        }
    }

    #[cold]
    fn udp(&mut self, packet: &Packet<'_>, out: &mut impl Sink) {
        let (source, destination) = (packet.path.source.port, packet.path.destination.port);
        let transport = dns::transport(source, destination);
        // Whoever wants to get out of a network uses the ports of DNS for other protocols too.
        let is_dns = || Message::read(packet.payload).is_ok_and(|message| message.is_exact());
        let may_be = quic::Flights::may_be(packet.payload) || inspect::dtls::may_be(packet.payload);
        if may_be && (transport.is_none() || !is_dns()) && self.handshake(packet, out) {
            return;
        }
        let is_part = || {
            packet.is_cut()
                && Message::read(packet.payload).is_ok_and(|message| message.is_sound_to_its_cut())
        };
        if transport.is_none()
            && !(is_usual_question(source, packet.payload) && (is_dns() || is_part()))
        {
            return;
        }
        let transport = transport.unwrap_or(DnsTransport::Udp);
        let cut = packet.is_cut().then_some(DnsOutcome::Truncated);
        self.ledger.dns_begun(transport);
        let (seen, path) = (&packet.seen, &packet.path);
        dns::message(&mut self.emitter, seen, path, transport, packet.payload, cut, out);
    }

    /// A datagram that may belong to a handshake of QUIC or DTLS. Does it?
    fn handshake(&mut self, packet: &Packet<'_>, out: &mut impl Sink) -> bool {
        let (emitter, volumes) = (&mut self.emitter, &mut self.volumes);
        if quic::Flights::may_be(packet.payload) {
            let now = emitter.now;
            return self.quic.datagram(packet, now, &self.ledger, &mut |handshake| {
                handshake::emit(emitter, volumes, handshake, out);
            });
        }
        inspect::dtls::may_be(packet.payload)
            && self.dtls.datagram(packet, &mut dtls::To { emitter, volumes, out })
    }

    /// Once in [`SWEEP`] of packet time.
    #[cold]
    fn sweep(&mut self, out: &mut impl Sink) {
        self.next_sweep = self.emitter.now.plus(SWEEP);
        self.settle_fragments(out);
        self.connections.expire(&mut self.filter, &mut self.emitter, out);
        let now = self.emitter.now;
        let (emitter, volumes) = (&mut self.emitter, &mut self.volumes);
        self.dtls.expire(&mut dtls::To { emitter: &mut *emitter, volumes: &mut *volumes, out });
        self.quic.advance(now, &self.ledger, &mut |handshake| {
            handshake::emit(emitter, volumes, handshake, out);
        });
        self.volumes.sweep(self.emitter.now, out);
        self.sample.expire(self.emitter.now, &self.ledger);
        self.publish();
    }

    /// Shows how full the tables are.
    fn publish(&self) {
        let ledger = &self.emitter.ledger;
        let (entries, bytes, evicted) = self.connections.usage();
        ledger.table(TableName::Connections, entries, bytes, evicted);
        let (entries, bytes, evicted) = self.sample.usage();
        ledger.table(TableName::Sample, entries, bytes, evicted);
        let (entries, bytes, evicted) = self.volumes.usage();
        ledger.table(TableName::Volumes, entries, bytes, evicted);
        let (entries, bytes, evicted) = self.emitter.recent.usage();
        ledger.table(TableName::Recent, entries, bytes, evicted);
        let (entries, bytes, evicted) = self.fragments.usage();
        ledger.table(TableName::Fragments, entries, bytes, evicted);
        ledger.fragments_waiting.set(self.fragments.waiting());
        let quic = &self.quic;
        let (entries, bytes, evicted) = self.dtls.usage();
        ledger.table(TableName::Dtls, entries, bytes, evicted);
        ledger.table(TableName::Quic, quic.len(), quic.bytes(), quic.evicted());
        let (entries, bytes, evicted) = quic.settled();
        ledger.table(TableName::QuicSettled, entries, bytes, evicted);
    }
}

/// How a frame without a packet is counted.
const fn outcome(not: NotDecoded) -> PacketOutcome {
    match not {
        NotDecoded::UnknownLinkType => PacketOutcome::UnknownLinkType,
        NotDecoded::UnknownEthertype => PacketOutcome::UnknownEthertype,
        NotDecoded::NotIp => PacketOutcome::NotIp,
        NotDecoded::OtherTransport => PacketOutcome::OtherTransport,
        NotDecoded::Encrypted => PacketOutcome::Encrypted,
        NotDecoded::Truncated => PacketOutcome::Truncated,
        NotDecoded::Malformed => PacketOutcome::Malformed,
        NotDecoded::TooDeep => PacketOutcome::TooDeep,
    }
}

/// Worth building a packet of: DNS by its port, or by its header; QUIC by its version; DTLS by
/// its first record.
#[inline]
fn is_datagram_of_interest(head: &Head<'_>) -> bool {
    let (source, destination) = head.ports();
    let payload = head.payload();
    if dns::transport(source, destination).is_some()
        || quic::Flights::may_be(payload)
        || inspect::dtls::may_be(payload)
    {
        return true;
    }
    // Opcode 0, one question: what nearly every message of another protocol fails at once.
    let Some(first) = payload.first_chunk::<6>() else { return false };
    first[4] == 0 && first[5] == 1 && first[2] & 0x78 == 0 && is_usual_question(source, payload)
}

/// DNS where no port says so: with the header that nearly all of its messages have.
fn is_usual_question(source_port: u16, payload: &[u8]) -> bool {
    source_port != NETBIOS_NS_PORT && Header::read(payload).is_ok_and(|header| header.is_usual())
}

/// NetBIOS names travel in messages like DNS's (RFC 1002 §4.2), and are none.
const NETBIOS_NS_PORT: u16 = 137;

/// Control bits that begin or end a connection.
const CONTROL: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0);

/// How often overdue state is looked for. What is found has the time at which it fell due, so the
/// correlator cannot be promised anything younger than this: at a million packets a second, even a
/// span of 16 ms keeps more records waiting than a core's cache holds.
pub(crate) const SWEEP: Duration = Duration::from_millis(2);

/// Known by flow: 8 KiB of bits, 64 KiB of counters.
type FlowFilter = Filter<{ 1 << 10 }>;
