//! Packets that tell nothing but that a connection began, and flows that wait for one that opens.

use super::hello::{Kind, report};
use super::initial::Arrival;
use super::settled::Entry;
use super::{Begun, Flight, Flights, Place, To, short};
use crate::decode::Packet;
use crate::flow::Slot;
use crate::inspect::Reassembly;
use crate::inspect::quic::packet::ConnectionId;
use crate::inspect::quic::{Invariant, LongPacket, Packets, Version};
use crate::net::Path;
use crate::pipeline::emitter::origin;
use crate::pipeline::handshake::{Handshake, Told};
use crate::visibility::{HandshakeOutcome, Ledger};

/// A flow of which nothing was opened yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    /// How its handshake ends if nothing better comes.
    pub(super) outcome: HandshakeOutcome,
    /// Its first packet came from the low end of the flow's key.
    pub(super) from_low: bool,
}

/// What is known of the flow of a packet that may begin a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prior {
    Nothing,
    /// Another connection between the same two sockets, which is not finished.
    Beside,
    /// A connection whose outcome is counted: this may be its second flight, with the server's
    /// side unseen.
    Settled,
    /// Packets that did not open. What they began is counted and waits.
    Unread(Slot),
}

impl Flights {
    /// A version that is not known here. What follows a negotiation belongs to it, so it waits.
    pub(super) fn unsupported(
        &mut self,
        packet: &Packet<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) -> bool {
        let Some(Ok(LongPacket::Unsupported(header))) =
            Packets::new(packet.payload, packet.is_cut()).next()
        else {
            return false;
        };
        if !header.may_be_first(packet.payload_wire_len) {
            return false;
        }
        let place = self.place(packet);
        if self.is_known(&place) {
            return true;
        }
        let begun = self.begun(packet, place.hash, &header, Kind::Unsupported);
        to.ledger.handshake_begun(begun.kind.protocol());
        self.keep(Flight::new(begun, Reassembly::default(), 0), to);
        true
    }

    /// A packet of a known version whose header contradicts itself, or was cut.
    pub(super) fn broken(
        &mut self,
        packet: &Packet<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        let place = self.place(packet);
        if self.is_known(&place) {
            return;
        }
        let version = match packet.payload {
            [_, a, b, c, d, ..] => Version(u32::from_be_bytes([*a, *b, *c, *d])),
            _ => return,
        };
        let Some(scheme) = version.scheme() else { return };
        let header = Invariant { first: 0, version, dcid: &[], scid: &[] };
        let begun = self.begun(packet, place.hash, &header, Kind::Initial(scheme.dialect));
        let outcome =
            if packet.is_cut() { HandshakeOutcome::Truncated } else { HandshakeOutcome::Malformed };
        self.unread(&begun, outcome, packet, to);
    }

    /// A connection that begins and ends with one packet, which told nothing.
    pub(super) fn unread(
        &mut self,
        begun: &Begun,
        outcome: HandshakeOutcome,
        packet: &Packet<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        to.ledger.handshake_begun(begun.kind.protocol());
        self.settled.settle(&self.hasher, begun, Entry::default(), self.now);
        report(begun, (outcome, Told::Nothing), origin(&packet.seen), to);
    }

    /// The first packet that opens of a flow that waited for one. The handshake that began with
    /// the others is this one: gives the server's ID if they were the server's. None when that
    /// handshake was of another protocol, and has ended.
    #[expect(clippy::option_option, reason = "whether there is a handshake, and what it knows")]
    pub(super) fn take_over(
        &mut self,
        slot: Slot,
        from_low: bool,
        kind: Kind,
        ledger: &Ledger,
    ) -> Option<Option<ConnectionId>> {
        let Flight { begun, unread, stream, .. } = self.unfinished.remove(slot)?.value;
        self.unfinished.charge(stream.footprint(), 0);
        self.give_back(stream);
        let unread = unread?;
        if begun.kind.protocol() != kind.protocol() {
            ledger.handshake(begun.kind.protocol(), unread.outcome);
            return None;
        }
        Some((unread.from_low != from_low).then_some(begun.scid))
    }

    /// A packet that may begin a connection does not open.
    pub(super) fn unopened(
        &mut self,
        begun: &Begun,
        outcome: HandshakeOutcome,
        prior: Prior,
        arrival: &Arrival<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        let &Arrival { packet, initial, place: Place { from_low, tag, .. } } = arrival;
        match prior {
            // The others of a connection whose packets are cut are cut too.
            Prior::Nothing if outcome == HandshakeOutcome::Truncated => {
                self.unread(begun, outcome, packet, to);
            }
            // Which keys it opens with cannot be seen, so not that it is no second flight.
            Prior::Beside if initial.cut => {}
            // It was opened a moment ago, and is no client's first packet by its ID.
            Prior::Beside => self.unread(begun, outcome, packet, to),
            Prior::Nothing => {
                let from_server = outcome == HandshakeOutcome::OneWay;
                let path = if from_server { begun.path.reversed() } else { begun.path };
                to.ledger.handshake_begun(begun.kind.protocol());
                let begun = Begun { path, ..*begun };
                let unread = Some(Unread { outcome, from_low });
                let flight = Flight::new(begun, Reassembly::default(), initial.sample());
                self.keep(Flight { unread, ..flight }, to);
            }
            Prior::Settled => {
                let alias = short(&self.hasher, initial.header.dcid);
                if let Some(entry) = self.settled.find(tag, self.now) {
                    entry.alias = alias;
                }
            }
            Prior::Unread(slot) => {
                let Some(flight) = self.unfinished.get_mut(slot) else { return };
                flight.second = Some(ConnectionId::new(initial.header.dcid));
                if let Some(unread) = &mut flight.unread
                    && unread.outcome == HandshakeOutcome::OneWay
                    && unread.from_low != from_low
                {
                    // The client's side is there too, and tells no more.
                    unread.outcome = match outcome {
                        HandshakeOutcome::OneWay => HandshakeOutcome::Undecryptable,
                        outcome => outcome,
                    };
                }
            }
        }
    }

    /// Another packet of a flow of which none opened.
    pub(super) fn reconsider(
        &mut self,
        slot: Slot,
        arrival: &Arrival<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) {
        let &Arrival { initial, place: Place { from_low, .. }, .. } = arrival;
        let Some(flight) = self.unfinished.get_mut(slot) else { return };
        if flight.samples.contains(&initial.sample()) {
            to.ledger.copies.add(1);
            return;
        }
        flight.remember(initial.sample());
        let dcid = ConnectionId::new(initial.header.dcid);
        let same_side = flight.unread.is_some_and(|unread| unread.from_low == from_low);
        let tried = same_side && flight.begun.dcid == dcid || flight.second == Some(dcid);
        // What did not open once is not tried again.
        if !tried {
            self.begin(arrival, Prior::Unread(slot), to);
        }
    }
}

/// Does it look as if a server sent this? Only asked where nothing better is known.
pub(super) fn from_well_known_port(path: &Path) -> bool {
    path.source.port < 1_024 && path.destination.port >= 1_024
}
