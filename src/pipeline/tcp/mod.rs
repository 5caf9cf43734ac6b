//! Connections whose beginning is not dealt with yet.
//!
//! A connection is here from its SYN, or from a payload that begins like something known, until
//! its client's first payload is classified and read; TLS stays for the ServerHello, DNS until it
//! closes. Everything else about TCP passes by untouched.

mod connection;
mod half;
mod opened;

use core::time::Duration;

use self::connection::{Connection, End};
use super::emitter::{Emitter, Scene};
use super::tls;
use super::{FlowFilter, Sink};
use crate::decode::{Packet, TcpFlags};
use crate::detect::{Accepted, Record};
use crate::flow::{Removed, Slot, Spare, Table};
use crate::inspect::dns::PORT as DNS_PORT;
use crate::inspect::stream::{Stream, is_server_hello};
use crate::net::{FlowKey, Path, Wish};
use crate::visibility::HandshakeOutcome;

/// The connections of one worker.
#[derive(Debug)]
pub(super) struct Connections {
    table: Table<Connection>,
    spare: Spare,
    /// Other workers may see what this one does not.
    one_of_many: bool,
}

impl Connections {
    /// How long a connection may stay silent before its client's first payload.
    pub(super) const IDLE: Duration = Duration::from_secs(30);

    pub(super) fn new(max_bytes: usize, one_of_many: bool) -> Self {
        let table = Table::new(max_bytes.saturating_sub(Spare::MAX_BYTES));
        Self { table, spare: Spare::default(), one_of_many }
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
        let forward = packet.path.is_from_low();
        let key = packet.path.key_from(forward);
        let flags = packet.tcp.flags;
        let mut slot = match self.table.find(hash, &key) {
            Some(slot) => {
                self.table.touch(slot, emitter.now);
                slot
            }
            None => self.begin(packet, hash, (key, forward), filter, emitter, out)?,
        };
        if flags.has(TcpFlags::SYN) {
            slot = self.renew(slot, packet, hash, (key, forward), filter, emitter, out);
        }
        let connection = self.table.get_mut(slot)?;
        // Nothing is kept or let go of by a packet that neither says nor ends anything, and at which
        // nothing is given up.
        let matters =
            !packet.payload.is_empty() || flags.has(ENDS) || connection.is_overdue(emitter.now);
        let heap = |connection: &Connection| if matters { connection.heap() } else { 0 };
        let before = heap(connection);
        let listed = connection.packet(packet, hash, forward, &mut self.spare, emitter, out);
        let (after, done) = (heap(connection), connection.is_done());
        let path = (done || listed.is_some()).then(|| connection.path(&key));
        let come = connection.come();
        self.table.charge(before, after);
        if let Some(path) = path.filter(|_| done) {
            self.discard(slot, hash, filter);
            if let Some(come) = come {
                out.wish(&path, Wish::Done(come));
            }
        } else if after > before {
            while let Some(removed) = self.table.overcharged() {
                self.end(removed, End::Evicted, filter, emitter, out);
            }
        }
        Some(Listed { path: path?, vendor: listed? })
    }

    /// Ends what has been silent for too long.
    pub(super) fn expire(
        &mut self,
        filter: &mut FlowFilter,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let now = emitter.now;
        while let Some(removed) = self.table.expired(now.minus(Self::IDLE)) {
            // It ended then, however long after nothing else was heard of: what it is told from
            // copies by is as old as it was.
            emitter.now = removed.touched.plus(Self::IDLE);
            self.end(removed, End::Timeout, filter, emitter, out);
        }
        emitter.now = now;
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

    /// Hellos and DNS messages that have begun and have no outcome yet.
    pub(super) fn pending(&self) -> (usize, usize) {
        self.table
            .values()
            .map(Connection::pending)
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Entries, octets, evictions.
    pub(super) fn usage(&self) -> (usize, usize, u64) {
        (self.table.len(), self.table.bytes() + self.spare.bytes(), self.table.evicted())
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
            let accepts = flags.has(TcpFlags::ACK);
            if accepts && self.one_of_many {
                report_accepted(packet, emitter, out);
            }
            !accepts
        } else if !Stream::may_begin(packet.payload, source, destination) {
            return None;
        } else if is_server_hello(packet.payload) {
            let path = packet.path.reversed();
            let identity = emitter.identity(&path);
            let scene = Scene { seen: &packet.seen, path, from_client: false, identity };
            tls::orphaned_server_hello(emitter, &scene, HandshakeOutcome::OneWay);
            return None;
        } else {
            source != DNS_PORT
        };
        while let Some(removed) = self.table.overfull() {
            self.end(removed, End::Evicted, filter, emitter, out);
        }
        let connection = Connection::new(packet, forward == from_client);
        filter.add(hash);
        Some(self.table.insert(hash, key, emitter.now, connection))
    }

    /// A SYN with another sequence number begins another connection on the same ports, and so does
    /// a server that accepts another one than was read.
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
        let accepts = packet.tcp.flags.has(TcpFlags::ACK);
        let syn =
            if accepts { packet.tcp.acknowledgment.wrapping_sub(1) } else { packet.tcp.sequence };
        let Some(connection) = self.table.get_mut(slot) else { return slot };
        if !connection.is_another(syn, accepts) {
            return slot;
        }
        let begins_seen = connection.syn.is_some();
        let other = connection.other_side(emitter.now);
        if let Some(removed) = self.table.remove(slot) {
            self.end(removed, End::Closed, filter, emitter, out);
        }
        let Some(slot) = self.begin(packet, hash, key, filter, emitter, out) else { return slot };
        if let Some(connection) = self.table.get_mut(slot) {
            connection.has_other_side(other);
            if accepts && begins_seen {
                connection.begins(syn);
            }
        }
        slot
    }

    /// Nobody wants anything more from this connection.
    fn discard(&mut self, slot: Slot, hash: u64, filter: &mut FlowFilter) {
        let heap = self.table.get_mut(slot).map_or(0, |connection| connection.heap());
        self.table.charge(heap, 0);
        self.table.discard(slot);
        filter.remove(hash);
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
        let Removed { key, hash, value: mut connection, .. } = removed;
        filter.remove(hash);
        self.table.charge(connection.heap(), 0);
        let mut seen = connection.seen;
        if end == End::Timeout {
            seen.at = seen.at.plus(Self::IDLE);
        }
        connection.end(&seen, connection.path(&key), end, emitter, out);
    }
}

/// Says that a server accepts a connection whose beginning was not seen here.
#[cold]
fn report_accepted(packet: &Packet<'_>, emitter: &Emitter, out: &mut impl Sink) {
    let path = packet.path.reversed();
    let identity = emitter.identity(&path);
    let scene = Scene { seen: &packet.seen, path, from_client: false, identity };
    // The client's initial sequence number is one less than what is acknowledged.
    let identity = connection::identity(emitter, &scene, packet.tcp.acknowledgment.wrapping_sub(1));
    out.record(Record::Accepted(Accepted { origin: scene.origin(), identity }));
}

/// Control bits that end a connection, or a direction of it.
const ENDS: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::RST.0);

/// A connection turned out to go to a listed vendor.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// From client to server.
    pub(super) path: Path,
    pub(super) vendor: std::sync::Arc<str>,
}
