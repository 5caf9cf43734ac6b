#![forbid(unsafe_code)]
//! The front door of the pure side: frames in, records and sightings out.
//!
//! File, live capture, tests, fuzzing and benches drive the same two calls: [`Pipeline::frame`]
//! and [`Pipeline::advance`].
//!
//! Nineteen packets of twenty carry no name and belong to nothing unfinished. They are recognised
//! by their headers, the first octets of their payload and one look into a [`Filter`], and leave.

mod dns;
mod emitter;
mod recent;
mod tcp;
mod tls;

use core::time::Duration;
use std::sync::Arc;

use self::emitter::Emitter;
use self::recent::Recent;
use self::tcp::Connections;
use crate::decode::fast::Head;
use crate::decode::{self, Decoded, NotDecoded, Packet, TcpFlags, Tenants};
use crate::detect::{EchHello, Origin, Record};
use crate::flow::{Clock, Filter, FlowHasher};
use crate::frame::Frame;
use crate::inspect::Signal;
use crate::inspect::dns::Message;
use crate::inspect::stream::Stream;
use crate::net::{Path, TenantId};
use crate::signature::Set;
use crate::time::Timestamp;
use crate::visibility::{DnsOutcome, DnsTransport, Ledger, PacketOutcome, TableName};

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

    /// Something for the correlator.
    fn record(&mut self, record: Record);
}

/// What a pipeline is told at its start.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Hash seed: from the system's entropy, and the same for all workers of a process.
    pub seed: u64,
    pub budgets: Budgets,
    /// Resolvers that speak DNS over HTTPS, by name.
    pub resolvers: Arc<Set>,
    /// The address spaces that the operator declared.
    pub tenants: Arc<Tenants>,
}

/// How many octets each table of a worker may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budgets {
    /// Connections whose first payload is unfinished.
    pub connections: usize,
    /// Identities of what was just seen.
    pub recent: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { connections: 24 << 20, recent: 4 << 20 }
    }
}

/// One worker's way from frames to records.
#[derive(Debug)]
pub struct Pipeline {
    emitter: Emitter,
    clock: Clock,
    filter: Filter,
    connections: Connections,
    next_sweep: Timestamp,
    tenants: Arc<Tenants>,
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
        Self {
            emitter: Emitter {
                set,
                resolvers: settings.resolvers,
                ledger,
                hasher: FlowHasher::new(settings.seed),
                recent: Recent::new(settings.budgets.recent),
                now: Timestamp::ZERO,
                text: String::new(),
                other_text: String::new(),
            },
            clock: Clock::default(),
            filter: Filter::new(),
            connections: Connections::new(settings.budgets.connections),
            next_sweep: Timestamp::ZERO,
            tenants: settings.tenants,
        }
    }

    /// From now on looks for `set`. Unfinished flows go on.
    pub fn set_signatures(&mut self, set: Arc<Set>) {
        self.emitter.set = set;
    }

    /// One frame in; zero or more sightings and records out. Never blocks, never fails: what
    /// cannot be understood is counted.
    #[inline]
    pub fn frame(&mut self, frame: &Frame<'_>, out: &mut impl Sink) {
        let tick = self.clock.tick(frame.source, frame.at);
        self.emitter.now = tick.now;
        self.emitter.ledger.frames.add(1);
        if tick.clamped {
            self.emitter.ledger.time_clamped.add(1);
        }
        if tick.now >= self.next_sweep {
            self.sweep(out);
        }
        let frame = Frame { at: tick.at, ..*frame };
        match Head::of(&frame) {
            Some(head) => self.head(&frame, &head, out),
            None => self.general(&frame, out),
        }
    }

    /// Packet time has reached `now`: what is overdue ends.
    pub fn advance(&mut self, now: Timestamp, out: &mut impl Sink) {
        self.emitter.now = self.clock.advance(now);
        if self.emitter.now >= self.next_sweep {
            self.sweep(out);
        }
    }

    /// The input has ended: everything unfinished gets its outcome.
    pub fn finish(&mut self, out: &mut impl Sink) {
        self.connections.finish(&mut self.filter, &mut self.emitter, out);
        self.publish();
    }

    /// A packet of the ordinary kind. Most leave here.
    #[inline]
    fn head(&mut self, frame: &Frame<'_>, head: &Head<'_>, out: &mut impl Sink) {
        self.emitter.ledger.packet(PacketOutcome::Decoded);
        if !head.is_tcp() {
            let (source, destination) = head.ports();
            if is_datagram_of_interest(source, destination, head.payload()) {
                self.udp(&head.packet(frame, TenantId::NONE), out);
            }
            return;
        }
        let flags = head.flags();
        if head.payload_wire_len() == 0 && !flags.has(CONTROL) {
            return;
        }
        let hash = self.hash(head);
        let (source, destination) = head.ports();
        if self.filter.may_know(hash)
            || flags.has(TcpFlags::SYN)
            || Stream::may_begin(head.payload(), source, destination)
        {
            self.tcp(&head.packet(frame, TenantId::NONE), hash, out);
        }
    }

    #[inline]
    fn hash(&self, head: &Head<'_>) -> u64 {
        if let Some((source, destination)) = head.v4_ends() {
            self.emitter.hasher.v4(source, destination)
        } else {
            let (source, destination) = head.ends();
            self.emitter.hasher.ends(source, destination)
        }
    }

    /// A frame of any other kind.
    fn general(&mut self, frame: &Frame<'_>, out: &mut impl Sink) {
        let outcome = match decode::frame(frame, &self.tenants) {
            Decoded::Packet(packet) => {
                if packet.is_tcp() {
                    let (source, destination) = (packet.path.source, packet.path.destination);
                    let hash = self.emitter.hasher.ends(source, destination);
                    self.tcp(&packet, hash, out);
                } else {
                    self.udp(&packet, out);
                }
                PacketOutcome::Decoded
            }
            Decoded::Fragment(_) => PacketOutcome::FragmentLost,
            Decoded::Not(not) => outcome(not),
        };
        self.emitter.ledger.packet(outcome);
    }

    #[cold]
    fn tcp(&mut self, packet: &Packet<'_>, hash: u64, out: &mut impl Sink) {
        self.connections.packet(packet, hash, &mut self.filter, &mut self.emitter, out);
    }

    #[cold]
    fn udp(&mut self, packet: &Packet<'_>, out: &mut impl Sink) {
        let (source, destination) = (packet.path.source.port, packet.path.destination.port);
        let transport = dns::transport(source, destination);
        let strict = transport.is_none();
        if strict && !Message::read(packet.payload).is_ok_and(|message| message.is_exact()) {
            return;
        }
        let cut = packet.is_cut().then_some(DnsOutcome::Truncated);
        dns::message(
            &mut self.emitter,
            &packet.seen,
            &packet.path,
            transport.unwrap_or(DnsTransport::Udp),
            packet.payload,
            cut,
            out,
        );
    }

    /// Once a second of packet time.
    #[cold]
    fn sweep(&mut self, out: &mut impl Sink) {
        self.next_sweep = self.emitter.now.plus(SWEEP);
        self.connections.expire(&mut self.filter, &mut self.emitter, out);
        self.publish();
    }

    /// Shows how full the tables are.
    fn publish(&self) {
        let ledger = &self.emitter.ledger;
        let (entries, bytes, evicted) = self.connections.usage();
        ledger.table(TableName::Connections, entries, bytes, evicted);
        let recent = &self.emitter.recent;
        ledger.table(TableName::Recent, recent.capacity(), recent.bytes(), recent.evicted());
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

/// Worth building a packet of: DNS by its port, or by its header.
#[inline]
fn is_datagram_of_interest(source: u16, destination: u16, payload: &[u8]) -> bool {
    if dns::transport(source, destination).is_some() {
        return true;
    }
    // Opcode 0, one question: what nearly every message of another protocol fails at once.
    let Some(head) = payload.first_chunk::<6>() else { return false };
    head[4] == 0
        && head[5] == 1
        && head[2] & 0x78 == 0
        && crate::inspect::dns::Header::read(payload).is_ok_and(|header| header.is_usual())
}

/// Control bits that begin or end a connection.
const CONTROL: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0);

/// How often overdue state is looked for.
const SWEEP: Duration = Duration::from_secs(1);
