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
            let tenants = Arc::clone(&self.tenants);
            self.parts(&|number| decode::part(frame, &tenants, number), 1, out);
        } else {
            self.decoded(&decoded, 1, out);
        }
    }

    /// A frame of several packets, or a datagram with one in it. Its outcome is that of the packet
    /// of which least is read; where all are read that can be, the first fragment among them
    /// answers for it.
    #[cold]
    fn parts<'a>(
        &mut self,
        part: &dyn Fn(u8) -> (Decoded<'a>, bool),
        frames: u64,
        out: &mut impl Sink,
    ) {
        // `Decoded` is the least of them, and what hides more is greater.
        let (mut worst, mut has_fragments) = (PacketOutcome::Decoded, false);
        each_part(part, |part| match part {
            Decoded::Packet(packet) => worst = worst.max(read_outcome(packet)),
            Decoded::Fragment(_) => has_fragments = true,
            Decoded::Not(not) => worst = worst.max(outcome(*not)),
        });
        let mut waits = frames;
        if worst > PacketOutcome::Decoded || !has_fragments {
            self.emitter.ledger.packets(worst, mem::take(&mut waits));
        }
        each_part(part, |part| match part {
            Decoded::Packet(packet) => self.packet(packet, out),
            Decoded::Fragment(fragment) => self.fragment(fragment, mem::take(&mut waits), out),
            Decoded::Not(_) => {}
        });
    }

    /// Counts what a frame, or the fragment that made a datagram whole, turned out to be. `frames`:
    /// one, or none where the frame is counted as something else that is in it.
    fn decoded(&mut self, decoded: &Decoded<'_>, frames: u64, out: &mut impl Sink) {
        let outcome = match decoded {
            Decoded::Packet(packet) => {
                self.packet(packet, out);
                read_outcome(packet)
            }
            // Its outcome may be known only when others have come.
            Decoded::Fragment(fragment) => return self.fragment(fragment, frames, out),
            Decoded::Not(not) => outcome(*not),
        };
        self.emitter.ledger.packets(outcome, frames);
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
    fn fragment(&mut self, fragment: &Fragment<'_>, frames: u64, out: &mut impl Sink) {
        self.settle_fragments(out);
        // A datagram may hold another one's fragment, if it is a tunnel's: then that one is put
        // together elsewhere.
        let mut scratch = mem::take(&mut self.scratch);
        while let Some(gone) = self.fragments.overfull(&mut scratch) {
            self.give_up(&gone, out);
        }
        let ledger = &self.ledger;
        match self.fragments.push(fragment, frames, self.emitter.now, &mut scratch) {
            Taken::Waits => {}
            Taken::Whole { datagram, waited } => {
                ledger.packets(PacketOutcome::Fragment, waited);
                let tenants = Arc::clone(&self.tenants);
                let (decoded, more) = decode::datagram_part(&datagram, &tenants, 0);
                if more {
                    let part = |number| decode::datagram_part(&datagram, &tenants, number);
                    self.parts(&part, frames, out);
                } else {
                    self.decoded(&decoded, frames, out);
                }
            }
            Taken::Copy => {
                ledger.packets(PacketOutcome::Fragment, frames);
                ledger.copies.add(1);
            }
            Taken::Refused { waited } => {
                ledger.packets(PacketOutcome::FragmentLost, waited + frames);
            }
            Taken::Malformed => ledger.packets(PacketOutcome::Malformed, frames),
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
        each_part(&|number| decode::datagram_part(head, &tenants, number), |part| {
            if let Decoded::Packet(packet) = part {
                self.packet(packet, out);
            }
        });
    }
}

/// Hands over what a frame, or a datagram, holds: mostly one packet.
fn each_part<'a>(part: &dyn Fn(u8) -> (Decoded<'a>, bool), mut each: impl FnMut(&Decoded<'a>)) {
    for number in 0..MAX_PARTS {
        let (part, more) = part(number);
        each(&part);
        if !more {
            break;
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
/// §9.2.4.7.1), of which each of the shortest packets with a name in it takes 72: a query of DNS for a name of two
/// labels.
const MAX_PARTS: u8 = 160;
