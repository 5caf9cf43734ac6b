//! The sample of TCP flows behind the [estimates](crate::visibility::estimate).

use core::time::Duration;

use crate::decode::{Packet, TcpFlags};
use crate::flow::{FlowHasher, Table};
use crate::time::Timestamp;
use crate::visibility::{Estimate, Latest, Ledger};

/// The sampled flows of one worker.
#[derive(Debug)]
pub(super) struct Sample {
    table: Table<Flow>,
    latest: Latest,
    mark: u16,
    /// How many of a port's sixteen bits say nothing.
    shift: u32,
}

#[derive(Debug)]
struct Flow {
    began: Timestamp,
    low: Direction,
    high: Direction,
}

/// One direction: what its end sent, and what the other end said of it.
#[derive(Debug, Default)]
struct Direction {
    seen: bool,
    /// After the last octet seen, in sequence numbers.
    next: Option<u32>,
    /// Octets between those seen that were not.
    missing: u64,
    /// The first and the latest acknowledgment by the other end, and the octets between them.
    acknowledgment: Option<u32>,
    acknowledged: u64,
}

impl Sample {
    /// A flow that was watched this long is counted, and watched anew.
    const TERM: Duration = Duration::from_secs(60);

    /// `filtered`: of other flows than those of the mark, not every packet comes.
    pub(super) fn new(max_bytes: usize, hasher: &FlowHasher, filtered: bool) -> Self {
        let share = if filtered { Estimate::FILTERED_SHARE } else { Estimate::SHARE };
        let bits = share.ilog2();
        let mark = u16::from(Self::mark(hasher)) >> (u8::BITS - bits);
        Self {
            table: Table::new(max_bytes),
            latest: Latest::new(Timestamp::ZERO),
            mark,
            shift: u16::BITS - bits,
        }
    }

    /// What the ports of sampled flows mix to, in its upper bits.
    #[expect(clippy::cast_possible_truncation, reason = "any eight bits are as good")]
    pub(super) const fn mark(hasher: &FlowHasher) -> u8 {
        hasher.word(0, 0) as u8
    }

    /// Is a flow between these ports in the sample? Asked of every TCP packet. Equal to
    /// `is_sampled` in `bpf/verdict.h`.
    #[inline]
    pub(super) const fn takes(&self, source: u16, destination: u16) -> bool {
        // The multiplier is the golden ratio in sixteen bits.
        (source ^ destination).wrapping_mul(0x9e37) >> self.shift == self.mark
    }

    #[cold]
    pub(super) fn packet(
        &mut self,
        packet: &Packet<'_>,
        hash: u64,
        now: Timestamp,
        ledger: &Ledger,
    ) {
        let (key, forward) = packet.path.key();
        let slot = if let Some(slot) = self.table.find(hash, &key) {
            self.table.touch(slot, now);
            slot
        } else {
            while let Some(removed) = self.table.overfull() {
                removed.value.settle(&mut self.latest, now, &ledger.estimate);
            }
            self.table.insert(hash, key, now, Flow::new(now))
        };
        let Some(flow) = self.table.get_mut(slot) else { return };
        flow.packet(packet, forward);
        if now.since(flow.began) >= Self::TERM {
            let watched = core::mem::replace(flow, Flow::new(now));
            watched.settle(&mut self.latest, now, &ledger.estimate);
        }
    }

    /// Counts the flows that were silent for a term.
    pub(super) fn expire(&mut self, now: Timestamp, ledger: &Ledger) {
        while let Some(removed) = self.table.expired(now.minus(Self::TERM)) {
            removed.value.settle(&mut self.latest, now, &ledger.estimate);
        }
    }

    /// Counts all flows: the input ends.
    pub(super) fn finish(&mut self, now: Timestamp, ledger: &Ledger) {
        while let Some(removed) = self.table.pop_oldest() {
            removed.value.settle(&mut self.latest, now, &ledger.estimate);
        }
    }

    /// Entries, octets, evictions.
    pub(super) fn usage(&self) -> (usize, usize, u64) {
        (self.table.len(), self.table.bytes(), self.table.evicted())
    }
}

impl Flow {
    fn new(began: Timestamp) -> Self {
        Self { began, low: Direction::default(), high: Direction::default() }
    }

    fn packet(&mut self, packet: &Packet<'_>, forward: bool) {
        let (own, other) =
            if forward { (&mut self.low, &mut self.high) } else { (&mut self.high, &mut self.low) };
        let tcp = &packet.tcp;
        let controls = tcp.flags.has(TcpFlags::SYN) || tcp.flags.has(TcpFlags::FIN);
        own.sent(tcp.sequence, packet.payload_wire_len + u32::from(controls));
        if tcp.flags.has(TcpFlags::ACK) && !tcp.flags.has(TcpFlags::RST) {
            other.acknowledged(tcp.acknowledgment);
        }
    }

    /// Counts the flow, if both its ends are known to have spoken.
    fn settle(&self, latest: &mut Latest, now: Timestamp, estimate: &Estimate) {
        let mut count =
            |one_way, acknowledged, lost| latest.flow(one_way, acknowledged, lost, now, estimate);
        let (low, high) = (&self.low, &self.high);
        match (low.seen, high.seen) {
            (true, true) => {
                let acknowledged = low.acknowledged + high.acknowledged;
                count(false, acknowledged, low.lost() + high.lost());
            }
            // An acknowledgment that moves says that somebody speaks who is not seen.
            (true, false) if high.acknowledged > 0 => count(true, 0, 0),
            (false, true) if low.acknowledged > 0 => count(true, 0, 0),
            _ => {}
        }
    }
}

impl Direction {
    fn sent(&mut self, sequence: u32, len: u32) {
        self.seen = true;
        let next = *self.next.get_or_insert(sequence);
        let end = sequence.wrapping_add(len);
        let ahead = sequence.wrapping_sub(next);
        if ahead < WINDOW {
            self.missing += u64::from(ahead);
            self.next = Some(end);
        } else if ahead > u32::MAX - WINDOW {
            // Late, or again: it may fill what was missing.
            let fresh = end.wrapping_sub(next);
            self.missing = self.missing.saturating_sub(u64::from(len));
            if fresh < WINDOW {
                self.next = Some(end);
            }
        } else {
            self.next = Some(end);
        }
    }

    fn acknowledged(&mut self, acknowledgment: u32) {
        let last = *self.acknowledgment.get_or_insert(acknowledgment);
        let moved = acknowledgment.wrapping_sub(last);
        if moved > 0 && moved < WINDOW {
            self.acknowledged += u64::from(moved);
            self.acknowledgment = Some(acknowledgment);
        }
    }

    /// Octets acknowledged and never seen.
    fn lost(&self) -> u64 {
        let (Some(next), Some(acknowledgment)) = (self.next, self.acknowledgment) else { return 0 };
        let beyond = acknowledgment.wrapping_sub(next);
        let beyond = if beyond < WINDOW { u64::from(beyond) } else { 0 };
        (self.missing + beyond).min(self.acknowledged)
    }
}

/// A jump in sequence numbers beyond the largest window (RFC 7323 §2.3) is no loss.
const WINDOW: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(steps: &[(bool, u32, u32, u32)]) -> Estimate {
        let mut flow = Flow::new(Timestamp::ZERO);
        for &(forward, sequence, acknowledgment, len) in steps {
            let (own, other) = if forward {
                (&mut flow.low, &mut flow.high)
            } else {
                (&mut flow.high, &mut flow.low)
            };
            own.sent(sequence, len);
            other.acknowledged(acknowledgment);
        }
        let estimate = Estimate::default();
        flow.settle(&mut Latest::new(Timestamp::ZERO), Timestamp::ZERO, &estimate);
        estimate
    }

    #[test]
    fn octets_acknowledged_but_not_seen_are_lost() {
        let whole =
            [(true, 10, 5, 100), (false, 5, 10, 0), (true, 110, 5, 100), (false, 5, 210, 0)];
        let estimate = flow(&whole);
        assert_eq!((estimate.acknowledged.value(), estimate.lost.value()), (200, 0));
        let holed =
            [(true, 10, 5, 100), (false, 5, 10, 0), (true, 210, 5, 100), (false, 5, 410, 0)];
        assert_eq!(flow(&holed).lost.value(), 200, "100 between, 100 at the end");
        let late = [holed[0], holed[1], holed[2], (true, 110, 5, 100), (false, 5, 310, 0)];
        assert_eq!(flow(&late).lost.value(), 0);
    }

    #[test]
    fn a_side_that_is_only_acknowledged_is_one_way() {
        let estimate = flow(&[(true, 10, 500, 0), (true, 10, 900, 0)]);
        assert_eq!((estimate.flows.value(), estimate.one_way.value()), (1, 1));
        let silent = flow(&[(true, 10, 0, 1), (true, 10, 0, 1)]);
        assert_eq!(silent.flows.value(), 0, "a SYN that nobody answers is no conversation");
        let both = flow(&[(true, 10, 5, 10), (false, 5, 20, 10)]);
        assert_eq!((both.flows.value(), both.one_way.value()), (1, 0));
    }

    #[test]
    fn about_one_flow_in_sixty_four_is_taken_whichever_way_it_goes() {
        let sample = Sample::new(1 << 16, &FlowHasher::new(9), false);
        let taken = (0..64_000u16).filter(|&port| sample.takes(port, 443)).count();
        assert!((900..1_100).contains(&taken), "{taken}");
        assert!((0..64_000).all(|port| sample.takes(port, 443) == sample.takes(443, port)));
    }
}
