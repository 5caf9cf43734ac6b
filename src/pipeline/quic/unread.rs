//! Packets that tell nothing but that a connection began.

use super::hello::{Kind, report};
use super::settled::Entry;
use super::{Begun, Flight, Flights, origin};
use crate::decode::Packet;
use crate::inspect::Reassembly;
use crate::inspect::quic::{Invariant, LongPacket, Packets, Version};
use crate::net::Path;
use crate::pipeline::handshake::{Handshake, Told};
use crate::visibility::{HandshakeOutcome, Ledger};

impl Flights {
    /// A version that is not known here. What follows a negotiation belongs to it, so it waits.
    pub(super) fn unsupported(
        &mut self,
        packet: &Packet<'_>,
        ledger: &Ledger,
        out: &mut impl FnMut(&Handshake<'_>),
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
        if self.unfinished.find(place.hash, &place.key).is_some()
            || self.settled.find(place.tag, self.now).is_some()
        {
            return true;
        }
        let begun = self.begun(packet, &header, Kind::Unsupported);
        ledger.handshake_begun(begun.kind.protocol());
        let flight = Flight {
            begun,
            keys: None,
            second: None,
            server: None,
            stream: Reassembly::default(),
            base: 0,
            samples: [0; 4],
        };
        self.keep(flight, ledger, out);
        true
    }

    /// A packet of a known version whose header contradicts itself, or was cut.
    pub(super) fn broken(
        &mut self,
        packet: &Packet<'_>,
        ledger: &Ledger,
        out: &mut impl FnMut(&Handshake<'_>),
    ) {
        let place = self.place(packet);
        if self.unfinished.find(place.hash, &place.key).is_some()
            || self.settled.find(place.tag, self.now).is_some()
        {
            return;
        }
        let version = match packet.payload {
            [_, a, b, c, d, ..] => Version(u32::from_be_bytes([*a, *b, *c, *d])),
            _ => return,
        };
        let Some(scheme) = version.scheme() else { return };
        let header = Invariant { first: 0, version, dcid: &[], scid: &[] };
        let begun = self.begun(packet, &header, Kind::Initial(scheme.dialect));
        let outcome =
            if packet.is_cut() { HandshakeOutcome::Truncated } else { HandshakeOutcome::Malformed };
        self.unread(&begun, outcome, packet, ledger, out);
    }

    /// A connection that begins and ends with one packet, which told nothing.
    pub(super) fn unread(
        &mut self,
        begun: &Begun,
        outcome: HandshakeOutcome,
        packet: &Packet<'_>,
        ledger: &Ledger,
        out: &mut impl FnMut(&Handshake<'_>),
    ) {
        ledger.handshake_begun(begun.kind.protocol());
        let from_server = outcome == HandshakeOutcome::OneWay;
        self.settle(begun, Entry::default(), self.now);
        let path = if from_server { begun.path.reversed() } else { begun.path };
        let begun = Begun { path, ..*begun };
        report(&begun, (outcome, Told::Nothing), origin(packet), ledger, out);
    }
}

/// Does it look as if a server sent this? Only asked where nothing better is known.
pub(super) fn from_well_known_port(path: &Path) -> bool {
    path.source.port < 1_024 && path.destination.port >= 1_024
}
