//! Frames of other than the ordinary kind: other link types, tunnels, fragments.

use core::mem;
use std::sync::Arc;

use super::{Pipeline, Sink, outcome};
use crate::decode::{self, Datagram, Decoded, Fragment, Packet};
use crate::flow::{GivenUp, Taken};
use crate::frame::Frame;
use crate::visibility::PacketOutcome;

impl Pipeline {
    /// Every layer and tunnel of a frame, and its outcome.
    pub(super) fn general(&mut self, frame: &Frame<'_>, out: &mut impl Sink) {
        let (decoded, more) = decode::part(frame, &self.tenants, 0);
        if more {
            self.parts(frame, &decoded, out);
        } else {
            self.decoded(&decoded, out);
        }
    }

    /// A frame of several packets. Its outcome is the best of them: one that is read, or else that
    /// of the first.
    #[cold]
    fn parts(&mut self, frame: &Frame<'_>, first: &Decoded<'_>, out: &mut impl Sink) {
        let tenants = Arc::clone(&self.tenants);
        let mut read = None;
        for number in 0..MAX_PARTS {
            let (part, more) = decode::part(frame, &tenants, number);
            if let Decoded::Packet(packet) = &part {
                self.packet(packet, out);
                // `Decoded` is the least of them.
                let outcome = read_outcome(packet);
                read = Some(read.map_or(outcome, |best: PacketOutcome| best.min(outcome)));
            }
            if !more {
                break;
            }
        }
        match read {
            Some(outcome) => self.emitter.ledger.packet(outcome),
            None => self.decoded(first, out),
        }
    }

    /// Counts what a frame, or the fragment that made a datagram whole, turned out to be.
    fn decoded(&mut self, decoded: &Decoded<'_>, out: &mut impl Sink) {
        let outcome = match decoded {
            Decoded::Packet(packet) => {
                self.packet(packet, out);
                read_outcome(packet)
            }
            // Its outcome may be known only when others have come.
            Decoded::Fragment(fragment) => return self.fragment(fragment, out),
            Decoded::Not(not) => outcome(*not),
        };
        self.emitter.ledger.packet(outcome);
    }

    fn packet(&mut self, packet: &Packet<'_>, out: &mut impl Sink) {
        let (source, destination) = (packet.path.source, packet.path.destination);
        let pair = self.emitter.hasher.pair(source.addr, destination.addr);
        if !self.volumes.is_empty() && self.volumes.may_count(pair) {
            self.count(pair, packet);
        }
        if packet.is_tcp() {
            let hash = self.emitter.hasher.flow(pair, source.port, destination.port);
            if self.sample.takes(source.port, destination.port) {
                self.sampled(packet, hash);
            }
            self.tcp(packet, hash, out);
        } else {
            self.udp(packet, out);
        }
    }

    #[cold]
    fn fragment(&mut self, fragment: &Fragment<'_>, out: &mut impl Sink) {
        self.settle_fragments(out);
        // A datagram may hold another one's fragment, if it is a tunnel's: then that one is put
        // together elsewhere.
        let mut scratch = mem::take(&mut self.scratch);
        while let Some(gone) = self.fragments.overfull(&mut scratch) {
            self.give_up(&gone, out);
        }
        let ledger = &self.ledger;
        match self.fragments.push(fragment, self.emitter.now, &mut scratch) {
            Taken::Waits => {}
            Taken::Whole { datagram, waited } => {
                ledger.packets(PacketOutcome::Fragment, waited);
                let tenants = Arc::clone(&self.tenants);
                self.decoded(&decode::datagram(&datagram, &tenants), out);
            }
            Taken::Copy => {
                ledger.packet(PacketOutcome::Fragment);
                ledger.copies.add(1);
            }
            Taken::Refused { waited } => ledger.packets(PacketOutcome::FragmentLost, waited + 1),
            Taken::Malformed => ledger.packet(PacketOutcome::Malformed),
        }
        self.scratch = scratch;
    }

    /// Gives up the datagrams that took too long.
    pub(super) fn settle_fragments(&mut self, out: &mut impl Sink) {
        let now = self.emitter.now;
        let mut scratch = mem::take(&mut self.scratch);
        while let Some(gone) = self.fragments.overdue(now, &mut scratch) {
            self.give_up(&gone, out);
        }
        self.scratch = scratch;
    }

    /// Gives up all that is not whole: the input has ended.
    pub(super) fn finish_fragments(&mut self, out: &mut impl Sink) {
        let mut scratch = mem::take(&mut self.scratch);
        while let Some(gone) = self.fragments.unfinished(&mut scratch) {
            self.give_up(&gone, out);
        }
        self.scratch = scratch;
    }

    /// Reads what there is of a datagram that never became whole. Its frames are lost all the
    /// same.
    fn give_up(&mut self, gone: &GivenUp<'_>, out: &mut impl Sink) {
        self.ledger.packets(PacketOutcome::FragmentLost, gone.waited);
        if let Some(head) = &gone.head {
            self.head_of_datagram(head, out);
        }
    }

    fn head_of_datagram(&mut self, head: &Datagram<'_>, out: &mut impl Sink) {
        let tenants = Arc::clone(&self.tenants);
        if let Decoded::Packet(packet) = decode::datagram(head, &tenants) {
            self.packet(&packet, out);
        }
    }
}

/// How a frame with this packet is counted: without a single octet of a payload that was there,
/// nothing can be told of it but its headers.
fn read_outcome(packet: &Packet<'_>) -> PacketOutcome {
    if packet.payload.is_empty() && packet.is_cut() {
        PacketOutcome::Truncated
    } else {
        PacketOutcome::Decoded
    }
}

/// How many packets of one frame are read: the longest A-MSDU has 11,454 octets (IEEE 802.11
/// §9.2.4.7.1), which as many packets of the shortest kind with a name in them do not fill.
const MAX_PARTS: u8 = 128;
