//! First flights of QUIC connections: which Initials belong together, and what their hello says.
//!
//! A connection costs one key derivation, and an opening for each datagram of its first flight.
//! Once its hello is read it is settled: server Initials, second flights and packets sent again
//! cost a look-up and are never opened. What its client says after a Retry is: that it says the
//! same is a duty (RFC 9000 §17.2.5.3), which a server that kept nothing cannot hold it to.
//!
//! Which keys open a packet follows from its Destination Connection ID (RFC 9001 §5.2): the
//! client's first one, and after a Retry the one that the server chose. In its second flight the
//! client uses the server's ID and the keys of the first. A passive observer need not have seen
//! the server: a DCID whose packet does not open with the keys known is tried once with keys of
//! its own. So opened it begins a hello, and is never put to another's.
//!
//! State is kept for hellos of which something is missing, until [`Flights::LIFETIME`] is over or
//! the octets of [`Limits::flight_bytes`] are used up; then the oldest is read as far as it goes.
//! So it is for a flow whose first packet does not open: a mirror may deliver the server's first,
//! and the client's is then the beginning of the same connection.

mod beside;
mod budget;
mod clear;
mod hello;
mod initial;
mod settled;
mod unread;

use core::time::Duration;
use std::collections::HashMap;

use super::emitter::origin;
use super::handshake::Handshake;
use crate::decode::{Packet, Seen};
use crate::detect::Origin;
use crate::flow::{FlowHasher, Removed, Slot, Table};
use crate::inspect::Reassembly;
use crate::inspect::quic::packet::ConnectionId;
use crate::inspect::quic::{Invariant, Keys, Schedules, Version};
use crate::net::{FlowKey, Path, TenantId};
use crate::time::Timestamp;
use crate::visibility::{HandshakeOutcome, HandshakeProtocol, Ledger};

use beside::Beside;
use budget::Budget;
use hello::{Kind, Step, end};
use settled::{Entry, Settled};
use unread::Unread;

/// What [`Flights`] may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Octets for hellos of which something is missing.
    pub flight_bytes: usize,
    /// Connections remembered after their hello was read.
    pub settled: usize,
    /// Key derivations in a second of packet time. Each is about a microsecond.
    pub derivations_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flight_bytes: 16 << 20, settled: 32_768, derivations_per_second: 250_000 }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Flights {
    hasher: FlowHasher,
    schedules: Schedules,
    /// Where packets are opened.
    scratch: Vec<u8>,
    /// Reassemblies that kept their memory. At most [`Self::MAX_SPARE`].
    spare: Vec<Reassembly>,
    unfinished: Table<Flight>,
    /// Where the flight with this DCID is: a client's port may change before the end of its first
    /// flight, and between two sockets there may be several connections.
    by_dcid: HashMap<u64, (u64, FlowKey), foldhash::fast::RandomState>,
    beside: Beside,
    settled: Settled,
    budget: Budget,
    /// The tables' time: that of the packet being looked at, or a little later.
    now: Timestamp,
}

/// A connection that began.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// From client to server.
    path: Path,
    /// Its first packet.
    seen: Seen,
    kind: Kind,
    version: Version,
    /// The client's first Destination Connection ID, and its own.
    dcid: ConnectionId,
    scid: ConnectionId,
    /// Of its flow, and what it is found by whatever its addresses.
    hash: u64,
    tag: u64,
    identity: u64,
    /// The mark of the hello that this may be said again, after a Retry; zero: none. Until it is
    /// known to be another, no handshake is counted as begun.
    repeats: u32,
}

/// A connection whose hello is not whole yet.
#[derive(Debug)]
struct Flight {
    begun: Begun,
    /// Those of the first DCID.
    keys: Option<Keys>,
    /// Another DCID that the client used.
    second: Option<ConnectionId>,
    /// The SCID of the server's Initials: the client's next DCID, with the keys of the first.
    server: Option<ConnectionId>,
    /// The server offered other versions than this one.
    negotiates: bool,
    /// Set while no packet of the flow opened.
    unread: Option<Unread>,
    stream: Reassembly,
    /// Where in the connection's handshake octets `stream` begins.
    base: u64,
    /// Of the last packets opened.
    samples: [u32; 4],
}

/// Where ends of handshakes are counted and told.
struct To<'a, F> {
    ledger: &'a Ledger,
    out: F,
}

impl Flight {
    /// Of which only the packet with this sample is known.
    const fn new(begun: Begun, stream: Reassembly, sample: u32) -> Self {
        Self {
            begun,
            keys: None,
            second: None,
            server: None,
            negotiates: false,
            unread: None,
            stream,
            base: 0,
            samples: [sample, 0, 0, 0],
        }
    }

    /// What is remembered of it after its end.
    fn entry(&self, hasher: &FlowHasher) -> Entry {
        Entry {
            alias: self.second.map_or(0, |cid| short(hasher, cid.octets())),
            server: self.server.map_or(0, |cid| short(hasher, cid.octets())),
            client_known: self.unread.is_none(),
            samples: [self.samples[0], self.samples[1]],
            ..Entry::default()
        }
    }

    fn remember(&mut self, sample: u32) {
        self.samples.rotate_right(1);
        self.samples[0] = sample;
    }
}

impl Flights {
    /// How long a hello may take from its first packet to its last.
    pub const LIFETIME: Duration = Duration::from_secs(10);
    /// How many empty reassemblies keep their memory.
    pub const MAX_SPARE: usize = 16;

    /// Empty tables. Workers that shall agree on identities have the same `hasher`.
    #[must_use]
    pub fn new(hasher: FlowHasher, limits: &Limits) -> Self {
        Self {
            hasher,
            schedules: Schedules::default(),
            scratch: Vec::new(),
            spare: Vec::new(),
            unfinished: Table::new(limits.flight_bytes),
            by_dcid: HashMap::default(),
            beside: Beside::default(),
            settled: Settled::new(limits.settled),
            budget: Budget::new(limits.derivations_per_second),
            now: Timestamp::ZERO,
        }
    }

    /// How many connections have begun and have no outcome yet.
    #[must_use]
    pub fn pending(&self, protocol: HandshakeProtocol) -> usize {
        let flights = self.unfinished.values();
        let begun = flights.map(|flight| &flight.begun);
        begun.filter(|begun| begun.repeats == 0 && begun.kind.protocol() == protocol).count()
    }

    /// May this UDP payload be worth a look? Asked of every packet: short headers, which nearly
    /// all QUIC packets have, are out after one octet.
    #[inline]
    #[must_use]
    pub fn may_be(payload: &[u8]) -> bool {
        match *payload {
            [0x80..=0xff, 0, 0, 0, 0 | 1, ..] | [_, _, _, _, _, _, _, _, _, b'Q', b'0', ..] => true,
            [0x80..=0xff, a, b, c, d, ..] => {
                a == b'Q' || Version(u32::from_be_bytes([a, b, c, d])).is_plausible()
            }
            _ => false,
        }
    }

    /// Looks at a UDP packet, at the tables' time `now`. Is it QUIC, so that nobody else need look?
    #[inline]
    pub fn datagram(
        &mut self,
        packet: &Packet<'_>,
        now: Timestamp,
        ledger: &Ledger,
        out: &mut impl FnMut(&Handshake<'_>),
    ) -> bool {
        self.now = now;
        let to = &mut To { ledger, out };
        match packet.payload {
            [0x80..=0xff, a, b, c, d, ..] => {
                let version = Version(u32::from_be_bytes([*a, *b, *c, *d]));
                if let Some(scheme) = version.scheme() {
                    self.packets(packet, scheme.types, to)
                } else if version == Version::NEGOTIATION {
                    self.negotiation(packet);
                    false
                } else if version.is_plausible() {
                    self.unsupported(packet, to)
                } else {
                    self.clear(packet, to)
                }
            }
            // Google's public header, with a version after eight octets of connection ID.
            [_, _, _, _, _, _, _, _, _, b'Q', b'0', ..] => self.clear(packet, to),
            _ => false,
        }
    }

    /// Packet time has reached `now`: what waited too long ends.
    pub fn advance(
        &mut self,
        now: Timestamp,
        ledger: &Ledger,
        out: &mut impl FnMut(&Handshake<'_>),
    ) {
        self.now = now;
        let to = &mut To { ledger, out };
        while let Some(removed) = self.unfinished.expired(now.minus(Self::LIFETIME)) {
            self.abandon(removed, HandshakeOutcome::Timeout, None, to);
        }
    }

    /// The input has ended: so does everything else.
    pub fn finish(&mut self, ledger: &Ledger, out: &mut impl FnMut(&Handshake<'_>)) {
        let to = &mut To { ledger, out };
        while let Some(removed) = self.unfinished.pop_oldest() {
            self.abandon(removed, HandshakeOutcome::Timeout, None, to);
        }
    }

    /// Hellos that are not whole yet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.unfinished.len()
    }

    /// Is no hello unfinished?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Octets of memory, but for what [is settled](Self::settled).
    #[must_use]
    pub fn bytes(&self) -> usize {
        let by_dcid = self.by_dcid.capacity() * size_of::<(u64, (u64, FlowKey))>();
        let spare: usize = self.spare.iter().map(Reassembly::footprint).sum();
        self.unfinished.bytes() + by_dcid + self.beside.bytes() + spare + self.scratch.capacity()
    }

    /// Hellos given up for room.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.unfinished.evicted()
    }

    /// Connections that are dealt with and remembered: entries, octets, and entries forgotten too
    /// early for want of room.
    #[must_use]
    pub fn settled(&self) -> (usize, usize, u64) {
        self.settled.usage()
    }

    /// Acts on how far a kept hello has come.
    fn step(
        &mut self,
        slot: Slot,
        step: Step,
        packet: &Packet<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        if step == Step::More {
            return;
        }
        let Some(flight) = self.unfinished.get_mut(slot) else { return };
        let tag = flight.begun.tag;
        let moved = packet.path != flight.begun.path;
        let hello =
            end(&self.hasher, &flight.begun, &flight.stream, step, origin(&packet.seen), to);
        let entry = Entry { hello, ..flight.entry(&self.hasher) };
        self.settled.settle(&self.hasher, &flight.begun, entry, self.now);
        self.beside.remove(&self.hasher, &flight.begun);
        let stream = core::mem::take(&mut flight.stream);
        self.unfinished.discard(slot);
        self.unfinished.charge(stream.footprint(), 0);
        self.give_back(stream);
        self.by_dcid.remove(&tag);
        if moved && let Some(entry) = self.settled.find(tag, self.now) {
            let entry = *entry;
            self.follow(entry, &self.place(packet));
        }
    }

    /// A kept hello has grown: the oldest go while there is too much.
    fn make_room(&mut self, to: &mut To<'_, impl FnMut(&Handshake<'_>)>) {
        let now = self.now;
        while let Some(removed) = self.unfinished.overcharged() {
            self.abandon(removed, HandshakeOutcome::Evicted, Some(now), to);
        }
    }

    /// The client's address changed, or the mirror shows both sides of a translator: a connection
    /// that is settled is found at this place too.
    fn follow(&mut self, entry: Entry, place: &Place) {
        let entry = Entry { client_is_low: place.from_low, ..entry };
        self.settled.insert(place.tag, self.now, entry);
    }

    /// Keeps a hello of which something is missing.
    fn keep(&mut self, flight: Flight, to: &mut To<'_, impl FnMut(&Handshake<'_>)>) {
        let now = self.now;
        while let Some(removed) = self.unfinished.overfull() {
            self.abandon(removed, HandshakeOutcome::Evicted, Some(now), to);
        }
        let (key, _) = flight.begun.path.key();
        let hash = flight.begun.hash;
        if flight.unread.is_none() {
            self.by_dcid.insert(flight.begun.tag, (hash, key));
            self.beside.insert(&self.hasher, &flight.begun);
        }
        self.unfinished.charge(0, flight.stream.footprint());
        self.unfinished.insert(hash, key, now, flight);
    }

    /// Ends a hello that will not become whole: it is read as far as it goes. `at`: when, if not
    /// when its time was over.
    fn abandon(
        &mut self,
        removed: Removed<Flight>,
        why: HandshakeOutcome,
        at: Option<Timestamp>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        let flight = removed.value;
        self.unfinished.charge(flight.stream.footprint(), 0);
        if flight.unread.is_none() {
            self.by_dcid.remove(&flight.begun.tag);
            self.beside.remove(&self.hasher, &flight.begun);
        }
        let outcome = match (why, flight.unread) {
            (_, Some(unread)) => unread.outcome,
            _ if flight.begun.kind == Kind::Unsupported => HandshakeOutcome::UnsupportedVersion,
            (HandshakeOutcome::Timeout, _) if flight.stream.has_hole() => HandshakeOutcome::Gap,
            (why, _) => why,
        };
        let at = at.unwrap_or_else(|| flight.begun.seen.at.plus(Self::LIFETIME));
        let origin = Origin { at, ..origin(&flight.begun.seen) };
        self.conclude(flight, Step::Broken(outcome), origin, at, to);
    }

    /// The end of a flight that is kept no more: its hello is read, and the connection settled.
    fn conclude(
        &mut self,
        flight: Flight,
        step: Step,
        origin: Origin,
        now: Timestamp,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        let hello = end(&self.hasher, &flight.begun, &flight.stream, step, origin, to);
        let entry = Entry { hello, ..flight.entry(&self.hasher) };
        self.settled.settle(&self.hasher, &flight.begun, entry, now);
        self.give_back(flight.stream);
    }

    /// `hash`: of the packet's flow.
    fn begun(&self, packet: &Packet<'_>, hash: u64, header: &Invariant<'_>, kind: Kind) -> Begun {
        let path = packet.path;
        let identity = self.hasher.octets(hash, header.dcid);
        Begun {
            path,
            seen: packet.seen,
            kind,
            version: header.version,
            dcid: ConnectionId::new(header.dcid),
            scid: ConnectionId::new(header.scid),
            hash,
            tag: dcid_tag(&self.hasher, path.tenant, header.dcid),
            identity: self.hasher.word(identity, u64::from(path.tenant.0)),
            repeats: 0,
        }
    }

    /// Is there a connection at this place that began before?
    fn is_known(&mut self, place: &Place) -> bool {
        self.unfinished.find(place.hash, &place.key).is_some()
            || self.settled.find(place.tag, self.now).is_some()
    }

    /// Where a packet's flow is kept.
    fn place(&self, packet: &Packet<'_>) -> Place {
        let path = &packet.path;
        let (hash, from_low) = (self.hasher.path(path), path.is_from_low());
        let tag = flow_tag(&self.hasher, hash, path.tenant);
        Place { hash, key: path.key_from(from_low), from_low, tag }
    }

    fn give_back(&mut self, mut stream: Reassembly) {
        if self.spare.len() < Self::MAX_SPARE {
            stream.clear();
            self.spare.push(stream);
        }
    }
}

/// Where a flow is kept in the tables.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u64,
    key: FlowKey,
    from_low: bool,
    tag: u64,
}

/// What a connection is found by at the place of its first packet; `hash`: of its flow.
fn flow_tag(hasher: &FlowHasher, hash: u64, tenant: TenantId) -> u64 {
    hasher.word(hash, u64::from(tenant.0))
}

/// A connection ID in few bits; zero for an empty one.
#[expect(clippy::cast_possible_truncation, reason = "a hash may be cut")]
fn short(hasher: &FlowHasher, cid: &[u8]) -> u32 {
    if cid.is_empty() { 0 } else { (hasher.octets(DCID_DOMAIN, cid) as u32).max(1) }
}

/// A client's address and a server's socket in few bits.
#[expect(clippy::cast_possible_truncation, reason = "a hash may be cut")]
fn ends(hasher: &FlowHasher, path: &Path) -> u32 {
    let pair = hasher.pair(path.source.addr, path.destination.addr);
    hasher.word(pair, path.destination.port.into()) as u32
}

/// What a connection is found by whatever its addresses.
fn dcid_tag(hasher: &FlowHasher, tenant: TenantId, dcid: &[u8]) -> u64 {
    hasher.octets(DCID_DOMAIN | u64::from(tenant.0), dcid)
}

/// What hashes of connection IDs begin with; the low bits are the tenant's.
const DCID_DOMAIN: u64 = 0x6463_6964_0000_0000;

#[cfg(test)]
mod tests;
