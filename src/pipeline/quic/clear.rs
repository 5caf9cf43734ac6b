//! Google's versions before Q050, whose first packets are in clear.

use super::hello::{Kind, Step, progress};
use super::{Flight, Flights, To, short};
use crate::decode::Packet;
use crate::inspect::Reassembly;
use crate::inspect::quic::packet::ConnectionId;
use crate::inspect::quic::{Invariant, google};
use crate::pipeline::emitter::origin;
use crate::pipeline::handshake::Handshake;
use crate::visibility::HandshakeOutcome;

impl Flights {
    /// Google's versions before Q050.
    pub(super) fn clear(
        &mut self,
        packet: &Packet<'_>,
        to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
    ) -> bool {
        let Some(clear) = google::Packet::read(packet.payload) else { return false };
        let place = self.place(packet);
        let now = self.now;
        let header =
            Invariant { first: 0, version: clear.version, dcid: clear.connection_id, scid: &[] };
        let slot = self.unfinished.find(place.hash, &place.key);
        if slot.is_none() {
            let dcid = short(&self.hasher, header.dcid);
            if let Some(entry) = self.settled.find(place.tag, now)
                && entry.client_known
                && entry.dcid == dcid
            {
                if entry.is_copy(clear.sample()) {
                    to.ledger.copies.add(1);
                }
                return true;
            }
        }
        // Whether it is encrypted is seen by its hash alone, which is about as dear as a key.
        if !self.budget.take(now) {
            to.ledger.derivations_refused.add(1);
            return true;
        }
        let cut = packet.is_cut();
        if !(if cut { clear.begins_hello() } else { clear.is_clear() }) {
            return true;
        }
        let mut taken = false;
        let mut fill = |stream: &mut Reassembly, base: &mut u64| {
            let mut step = Ok(());
            for piece in clear.crypto(cut) {
                taken = true;
                if piece.offset != *base
                    && stream.prefix().is_empty()
                    && piece.data.starts_with(b"CHLO")
                {
                    // The second hello follows the first on the same stream, which may not have
                    // been seen.
                    *base = piece.offset;
                    stream.clear();
                }
                if let Some(offset) = piece.offset.checked_sub(*base) {
                    step = step.and(stream.insert(offset, piece.data).map(|_| ()));
                }
            }
            match step {
                Ok(()) => match progress(stream, Kind::Clear) {
                    Step::More if cut => Step::Broken(HandshakeOutcome::Truncated),
                    step => step,
                },
                Err(_) => Step::Broken(HandshakeOutcome::Malformed),
            }
        };
        if let Some(slot) = slot {
            let Some(flight) = self.unfinished.get_mut(slot) else { return true };
            if packet.path.source != flight.begun.path.source
                || flight.begun.kind != Kind::Clear
                || flight.begun.dcid != ConnectionId::new(header.dcid)
            {
                return true;
            }
            if flight.samples.contains(&clear.sample()) {
                to.ledger.copies.add(1);
                return true;
            }
            flight.remember(clear.sample());
            let before = flight.stream.footprint();
            let step = fill(&mut flight.stream, &mut flight.base);
            let after = flight.stream.footprint();
            self.unfinished.charge(before, after);
            self.step(slot, step, packet, to);
            self.make_room(to);
            return true;
        }
        let mut stream = self.spare.pop().unwrap_or_default();
        let mut base = 0;
        let step = fill(&mut stream, &mut base);
        if !taken {
            self.give_back(stream);
            return true;
        }
        let begun = self.begun(packet, place.hash, &header, Kind::Clear);
        to.ledger.handshake_begun(begun.kind.protocol());
        let flight = Flight { base, ..Flight::new(begun, stream, clear.sample()) };
        if step == Step::More {
            self.keep(flight, to);
        } else {
            self.conclude(flight, step, origin(&packet.seen), now, to);
        }
        true
    }
}
