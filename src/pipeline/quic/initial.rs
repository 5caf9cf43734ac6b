//! Initial packets: which connection each belongs to, and with which keys it opens.

use super::hello::{Kind, Step, end, feed};
use super::settled::Entry;
use super::unread::{Prior, from_well_known_port};
use super::{Flight, Flights, Place, To, dcid_tag, ends, short};
use crate::decode::Packet;
use crate::flow::Slot;
use crate::inspect::quic::packet::ConnectionId;
use crate::inspect::quic::version::Types;
use crate::inspect::quic::{CryptoFrames, Initial, LongPacket, Packets};
use crate::pipeline::emitter::origin;
use crate::pipeline::handshake::Handshake;
use crate::visibility::HandshakeOutcome;

/// An Initial, the packet it came in, and where the flow of that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) packet: &'a Packet<'a>,
    pub(super) initial: &'a Initial<'a>,
    pub(super) place: Place,
}

impl Flights {
    /// The long header packets of a datagram; `types`: of its first packet's version.
    pub(super) fn packets(
        &mut self,
        packet: &Packet<'_>,
        types: Types,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) -> bool {
        let mut place = None;
        if packet.payload.first().is_some_and(|&first| types.is_initial(first)) {
            // Where it leads is seldom in the cache: on its way while the header is read.
            let Place { tag, .. } = *place.insert(self.place(packet));
            self.settled.prepare(tag);
        }
        let mut first = true;
        // Retry and negotiation are known by what the client does next.
        for long in Packets::new(packet.payload, packet.is_cut()) {
            match long {
                Ok(LongPacket::Initial(initial)) => {
                    let place = *place.get_or_insert_with(|| self.place(packet));
                    self.initial(&Arrival { packet, initial: &initial, place }, to);
                }
                Err(_) if first => self.broken(packet, to),
                Ok(_) | Err(_) => {}
            }
            first = false;
        }
        true
    }

    fn initial(&mut self, arrival: &Arrival<'_>, to: &mut To<'_, impl FnMut(&Handshake<'_>)>) {
        let Arrival { packet, initial, place } = arrival;
        let header = &initial.header;
        let now = self.now;
        let dcid_tag = dcid_tag(&self.hasher, packet.path.tenant, header.dcid);
        // By its ID first: of two connections between the same two sockets one is not at the place
        // of their flow.
        if let Some(slot) = self.of_dcid(dcid_tag, arrival).or_else(|| self.of_scid(arrival)) {
            return self.resume(slot, arrival, to);
        }
        if let Some(slot) = self.unfinished.find(place.hash, &place.key) {
            if self.again(dcid_tag, arrival, to).is_none() {
                self.resume(slot, arrival, to);
            }
            return;
        }
        if initial.may_be_first() {
            self.settled.prepare(dcid_tag);
        }
        let mut prior = Prior::Nothing;
        if let Some(entry) = self.settled.find(place.tag, now) {
            if entry.client_known && entry.client_is_low != place.from_low {
                entry.server = short(&self.hasher, header.scid);
                return;
            }
            let dcid = short(&self.hasher, header.dcid);
            if !entry.client_known {
                // What did not open once is not tried again.
                if entry.client_is_low == place.from_low && entry.dcid == dcid
                    || dcid != 0 && entry.alias == dcid
                {
                    return;
                }
                prior = Prior::Settled;
            } else if dcid == entry.dcid || dcid == entry.alias {
                if entry.is_copy(initial.sample()) {
                    to.ledger.copies.add(1);
                }
                self.settled.renew(place.tag, now);
                self.settled.renew(dcid_tag, now);
                return;
            } else if dcid == entry.server || entry.negotiates && header.version != entry.version {
                // The same client went on: with the server's ID, or with another version after
                // negotiation.
                entry.alias = dcid;
                return;
            } else {
                prior = Prior::Settled;
            }
        }
        if let Some(entry) = self.again(dcid_tag, arrival, to) {
            return self.follow(entry, place);
        }
        self.begin(arrival, prior, to);
    }

    /// The connection with this ID that is dealt with, if its client says the same again, as far
    /// as [`of_dcid`](Self::of_dcid) would believe it: from now on it is remembered anew.
    fn again(
        &mut self,
        tag: u64,
        arrival: &Arrival<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) -> Option<Entry> {
        let (ends, sample) = (ends(&self.hasher, &arrival.packet.path), arrival.initial.sample());
        let entry = self.settled.find(tag, self.now)?;
        if !entry.client_known || entry.ends != ends && !entry.knows(sample) {
            return None;
        }
        if entry.is_copy(sample) {
            to.ledger.copies.add(1);
        }
        let entry = *entry;
        self.settled.renew(tag, self.now);
        Some(entry)
    }

    /// The server offers other versions: its client may begin anew with one.
    pub(super) fn negotiation(&mut self, packet: &Packet<'_>) {
        let place = self.place(packet);
        if let Some(entry) = self.settled.find(place.tag, self.now)
            && entry.client_known
            && entry.client_is_low != place.from_low
        {
            entry.negotiates = true;
        }
        let mut packets = Packets::new(packet.payload, packet.is_cut());
        let Some(Ok(LongPacket::VersionNegotiation(header))) = packets.next() else { return };
        // It has both IDs of the packet that it answers (RFC 9000 §17.2.1).
        let tag = dcid_tag(&self.hasher, packet.path.tenant, header.scid);
        if let Some((hash, key)) = self.by_dcid.get(&tag)
            && let Some(slot) = self.unfinished.find(*hash, key)
            && let Some(flight) = self.unfinished.get_mut(slot)
            && flight.begun.path == packet.path.reversed()
            && flight.begun.scid == ConnectionId::new(header.dcid)
        {
            flight.negotiates = true;
        }
    }

    /// The unfinished flight with this ID, if the packet may be of it: between the same ends, be it
    /// from another port of its client's, or seen before on the other side of a translator.
    /// Anybody may choose the ID of somebody else.
    fn of_dcid(&mut self, tag: u64, arrival: &Arrival<'_>) -> Option<Slot> {
        let (hash, key) = self.by_dcid.get(&tag)?;
        let slot = self.unfinished.find(*hash, key)?;
        let flight = self.unfinished.get_mut(slot)?;
        let (path, begun) = (&arrival.packet.path, &flight.begun.path);
        let same_ends =
            path.source.addr == begun.source.addr && path.destination == begun.destination;
        (same_ends || flight.samples.contains(&arrival.initial.sample())).then_some(slot)
    }

    /// The first packet of a connection, as far as is known.
    pub(super) fn begin(
        &mut self,
        arrival: &Arrival<'_>,
        prior: Prior,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        let Arrival { packet, initial, place } = arrival;
        let kind = Kind::Initial(initial.scheme.dialect);
        let mut begun = self.begun(packet, place.hash, &initial.header, kind);
        if matches!(prior, Prior::Beside) {
            begun.hash = begun.tag;
        }
        if !initial.may_be_first() {
            // The server's, whose DCID is the client's own and may be short or empty; or a second
            // flight with the server's short one.
            let outcome = if from_well_known_port(&packet.path.reversed()) {
                HandshakeOutcome::Gap
            } else {
                HandshakeOutcome::OneWay
            };
            return self.unopened(&begun, outcome, prior, arrival, to);
        }
        if !self.budget.take(self.now) {
            to.ledger.derivations_refused.add(1);
            if matches!(prior, Prior::Nothing | Prior::Beside) {
                self.unread(&begun, HandshakeOutcome::Evicted, packet, to);
            }
            return;
        }
        let keys = self.schedules.client(initial.scheme.salt, initial.header.dcid);
        let mut stream = self.spare.pop().unwrap_or_default();
        let step = keys.open(initial, &mut self.scratch).ok().map(|payload| {
            let frames = CryptoFrames::new(payload, initial.scheme.dialect, initial.cut);
            feed(&mut stream, frames, initial, begun.kind)
        });
        // Without its tag, which is cut off, a packet opens with any keys.
        let step = step.filter(|_| !initial.cut || begun.kind.begins(stream.prefix()));
        let Some(step) = step else {
            self.give_back(stream);
            let outcome = if from_well_known_port(&packet.path) {
                HandshakeOutcome::OneWay
            } else if initial.cut {
                HandshakeOutcome::Truncated
            } else {
                HandshakeOutcome::Undecryptable
            };
            return self.unopened(&begun, outcome, prior, arrival, to);
        };
        let server = match prior {
            Prior::Unread(slot) => self.take_over(slot, place.from_low, begun.kind, to.ledger),
            Prior::Nothing => None,
            Prior::Beside | Prior::Settled => {
                begun.repeats = self.may_repeat(arrival);
                None
            }
        };
        if server.is_none() && begun.repeats == 0 {
            to.ledger.handshake_begun(begun.kind.protocol());
        }
        let server = server.flatten();
        if step == Step::More {
            let flight = Flight::new(begun, stream, initial.sample());
            return self.keep(Flight { keys: Some(keys), server, ..flight }, to);
        }
        // A first flight of one datagram: there is nothing to keep.
        let hello = end(&self.hasher, &begun, &stream, step, origin(&packet.seen), to);
        let entry = Entry {
            hello,
            server: server.map_or(0, |cid| short(&self.hasher, cid.octets())),
            client_known: true,
            samples: [initial.sample(), 0],
            ..Entry::default()
        };
        self.settled.settle(&self.hasher, &begun, entry, self.now);
        self.give_back(stream);
    }

    /// The mark of the hello that a client between these sockets says again after a Retry, whose
    /// token it repeats (RFC 9000 §17.2.5.3). Whether it does is told by its hello alone: one that
    /// begins a connection may have a token from an earlier one (§8.1.3).
    fn may_repeat(&mut self, arrival: &Arrival<'_>) -> u32 {
        let Arrival { initial, place, .. } = arrival;
        if initial.token.is_empty() {
            return 0;
        }
        match self.settled.find(place.tag, self.now) {
            Some(entry) if entry.client_is_low == place.from_low => entry.hello,
            _ => 0,
        }
    }

    /// Another packet of a connection whose hello is not whole.
    fn resume(
        &mut self,
        slot: Slot,
        arrival: &Arrival<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        let Some(flight) = self.unfinished.get_mut(slot) else { return };
        if flight.unread.is_some() {
            return self.reconsider(slot, arrival, to);
        }
        self.settled.prepare(flight.begun.tag);
        let Arrival { packet, initial, .. } = arrival;
        let header = &initial.header;
        if packet.path.source == flight.begun.path.destination {
            if flight.begun.scid == ConnectionId::new(header.dcid) {
                flight.server = Some(ConnectionId::new(header.scid));
            }
            return;
        }
        if flight.samples.contains(&initial.sample()) {
            to.ledger.copies.add(1);
            return;
        }
        let dcid = ConnectionId::new(header.dcid);
        let same_version = header.version == flight.begun.version;
        let scratch = &mut self.scratch;
        let mut own_keys = None;
        let opened = match &flight.keys {
            Some(keys) if same_version && dcid == flight.begun.dcid => keys.open(initial, scratch),
            Some(keys)
                if same_version
                    && (flight.server == Some(dcid)
                        || !initial.cut && keys.open(initial, scratch).is_ok()) =>
            {
                // The second flight, with the server's ID. Without its tag, which is cut off, a packet
                // opens with any keys.
                flight.second = Some(dcid);
                keys.open(initial, scratch)
            }
            _ if !self.budget.take(self.now) => {
                to.ledger.derivations_refused.add(1);
                return;
            }
            _ => {
                let keys = self.schedules.client(initial.scheme.salt, header.dcid);
                let opened = keys.open(initial, scratch);
                own_keys = Some(keys);
                opened
            }
        };
        let Ok(payload) = opened else { return };
        let dialect = initial.scheme.dialect;
        let frames = CryptoFrames::new(payload, dialect, initial.cut);
        let unsupported = flight.begun.kind == Kind::Unsupported;
        if own_keys.is_some() && (same_version || !flight.negotiates && !unsupported) {
            // Another connection between the same two sockets, or the same after a Retry: then its
            // client says all of its hello again, and a server that kept nothing takes whatever it
            // says (RFC 9000 §17.2.5.3). So does one that changes its version (§6.2), but in that
            // too it may be another.
            return self.begin(arrival, Prior::Beside, to);
        }
        if !same_version {
            // After version negotiation the client begins anew, and so does its hello.
            let tenant = flight.begun.path.tenant;
            let tag = dcid_tag(&self.hasher, tenant, header.dcid);
            let old = core::mem::replace(&mut flight.begun.tag, tag);
            flight.begun.version = header.version;
            let (before, kind) = (flight.begun.kind.protocol(), Kind::Initial(dialect));
            if before != kind.protocol() && flight.begun.repeats == 0 {
                // One connection, but a handshake of each protocol.
                to.ledger.handshake(before, HandshakeOutcome::UnsupportedVersion);
                to.ledger.handshake_begun(kind.protocol());
            }
            flight.begun.kind = kind;
            flight.begun.dcid = dcid;
            flight.keys = own_keys;
            (flight.second, flight.server, flight.negotiates) = (None, None, false);
            flight.stream.clear();
            if let Some(place) = self.by_dcid.remove(&old) {
                self.by_dcid.insert(tag, place);
            }
        }
        flight.remember(initial.sample());
        let kind = flight.begun.kind;
        let before = flight.stream.footprint();
        let step = feed(&mut flight.stream, frames, initial, kind);
        let after = flight.stream.footprint();
        self.unfinished.charge(before, after);
        self.step(slot, step, packet, to);
        self.make_room(to);
    }
}
