//! Which worker a frame of a file belongs to, and when it came, so that several workers find what
//! one would.
//!
//! The time is kept here for all of them: whether a stamp is wild is seen by the frames around it,
//! which may be another worker's.
//!
//! Both directions of a conversation, all fragments, and all conversations of a pair of hosts go
//! to one worker. The pair is that of the innermost packet, whatever tunnels carry it, with two
//! exceptions: when the packets of a tunnel are themselves fragments, what is in them shows in the
//! first one alone, and where another comes before it the tunnel's own ends decide; and of a frame
//! that holds several packets the first decides.

use std::sync::Arc;

use crate::cache::{Cache, Held};
use crate::decode::fast::Head;
use crate::decode::{self, Datagram, Decoded, Fragment, Tenants};
use crate::flow::{Clock, FlowHasher, Fragments};
use crate::frame::Frame;
use crate::pipeline::SWEEP;
use crate::time::Timestamp;
use crate::visibility::Ledger;

/// Says where frames go, and keeps the time for all workers.
#[derive(Debug)]
pub struct Router {
    hasher: FlowHasher,
    workers: u64,
    clock: Clock,
    next_sweep: Timestamp,
    /// Datagrams in fragments, of which some went.
    datagrams: Cache<Gone, 2>,
    /// For what only the whole of the frames can tell.
    ledger: Arc<Ledger>,
    tenants: Tenants,
}

/// What a frame's worker is told, and whether all others are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Routed {
    /// The number of its worker.
    pub worker: usize,
    /// The frame's time, corrected where its stamp is wild.
    pub at: Timestamp,
    /// The tables' time.
    pub now: Timestamp,
    /// All must look for what is overdue first, as a single worker would at this frame.
    pub sweep: bool,
    /// The clock of the frame's source was set back: what came before is of another age.
    pub set_back: bool,
}

impl Router {
    /// A router to so many workers; `ledger` counts the times that were clamped.
    #[must_use]
    pub fn new(seed: u64, workers: usize, ledger: Arc<Ledger>) -> Self {
        Self {
            // Not the workers' own hash: each would see half of its values only.
            hasher: FlowHasher::new(!seed),
            workers: workers.max(1) as u64,
            clock: Clock::default(),
            next_sweep: Timestamp::ZERO,
            datagrams: Cache::new(MAX_DATAGRAMS),
            ledger,
            tenants: Tenants::default(),
        }
    }

    /// Where `frame` goes, and when.
    #[inline]
    pub fn route(&mut self, frame: &Frame<'_>) -> Routed {
        let tick = self.clock.tick(frame.source, frame.at);
        if tick.clamped {
            self.ledger.time_clamped.add(1);
        }
        let sweep = tick.now >= self.next_sweep;
        if sweep {
            self.next_sweep = tick.now.plus(SWEEP);
        }
        let worker = if self.workers == 1 {
            0
        } else {
            // The high half times the number of workers: as even as the hash, without a division.
            usize::try_from(((self.pair(frame, tick.now) >> 32) * self.workers) >> 32)
                .unwrap_or_default()
        };
        Routed { worker, at: tick.at, now: tick.now, sweep, set_back: tick.set_back }
    }

    fn pair(&mut self, frame: &Frame<'_>, now: Timestamp) -> u64 {
        if let Some(head) = Head::of(frame) {
            if let Some((source, destination)) = head.v4_addresses() {
                return self.hasher.pair_v4(source, destination);
            }
            let (source, destination) = head.ends();
            return self.hasher.pair(source.addr, destination.addr);
        }
        match decode::frame(frame, &self.tenants) {
            Decoded::Packet(packet) => {
                self.hasher.pair(packet.path.source.addr, packet.path.destination.addr)
            }
            Decoded::Fragment(fragment) => self.fragment(&fragment, now),
            Decoded::Not(_) => 0,
        }
    }

    /// All fragments of a datagram go where the one went that came first.
    #[cold]
    fn fragment(&mut self, fragment: &Fragment<'_>, now: Timestamp) -> u64 {
        let outer = self.hasher.pair(fragment.source, fragment.destination);
        let from_low = u64::from(fragment.path().is_from_low());
        let datagram = self.hasher.word(Fragments::identity(&self.hasher, fragment), from_low);
        let inner = if fragment.offset == 0 { self.inner(fragment) } else { None };
        let gone = self.datagrams.enter(datagram, now, |_| true);
        if gone.new || gone.value.worth(now) == 0 {
            *gone.value = Gone { pair: inner.unwrap_or(outer), at: now };
        }
        gone.value.pair
    }

    /// The pair of hosts of the packet that a datagram holds with this beginning.
    fn inner(&self, head: &Fragment<'_>) -> Option<u64> {
        let &Fragment { seen, source, destination, carrier, protocol, payload, .. } = head;
        let payload_wire_len = u32::from(u16::MAX);
        let datagram =
            Datagram { seen, source, destination, carrier, protocol, payload, payload_wire_len };
        match decode::datagram(&datagram, &self.tenants) {
            Decoded::Packet(packet) => {
                Some(self.hasher.pair(packet.path.source.addr, packet.path.destination.addr))
            }
            Decoded::Fragment(within) => Some(self.hasher.pair(within.source, within.destination)),
            Decoded::Not(_) => None,
        }
    }
}

/// Where the fragments of a datagram go, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    pair: u64,
    at: Timestamp,
}

impl Held for Gone {
    /// Later the same identification may be another datagram's.
    fn worth(&self, now: Timestamp) -> u64 {
        let left = Fragments::COPIES.saturating_sub(now.since(self.at));
        u64::try_from(left.as_nanos()).unwrap_or_default()
    }
}

/// Octets for datagrams in fragments. One that is forgotten may lose those that come then.
const MAX_DATAGRAMS: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{LinkType, SourceId};

    fn packet(source: [u8; 4], destination: [u8; 4], fragment: u8) -> Vec<u8> {
        let mut ip = vec![0x45, 0, 0, 40, 0, 1, fragment, 0, 64, 6, 0, 0];
        ip.extend(source);
        ip.extend(destination);
        ip.extend([0x9c, 0x40, 1, 187, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
        ip
    }

    fn route(router: &mut Router, data: &[u8], link: LinkType, seconds: u64) -> (usize, bool) {
        let frame = Frame {
            data,
            wire_len: u32::try_from(data.len()).unwrap(),
            at: Timestamp::from_parts(seconds, 0),
            link,
            source: SourceId(0),
            number: 1,
            vlan: None,
        };
        let Routed { worker, sweep, .. } = router.route(&frame);
        (worker, sweep)
    }

    proptest! {
        /// A packet, its answer, its fragments, and it in a tunnel have one worker.
        #[test]
        fn what_belongs_together_stays_together(a: [u8; 4], b: [u8; 4], workers in 1_usize..9, seed: u64) {
            let mut router = Router::new(seed, workers, Arc::default());
            let (there, back) = (packet(a, b, 0), packet(b, a, 0));
            let ethernet = |ip: &[u8]| [&[2; 12][..], &[8, 0], ip].concat();
            let mut tunnel = packet([10, 0, 0, 1], [10, 0, 0, 2], 0)[..20].to_vec();
            tunnel[3] = 60;
            tunnel[9] = 4;
            tunnel.extend(&there);
            let (worker, _) = route(&mut router, &ethernet(&there), LinkType::ETHERNET, 1);
            prop_assert!(worker < workers);
            for (data, link) in [
                (ethernet(&back), LinkType::ETHERNET),
                (there.clone(), LinkType::RAW),
                (packet(a, b, 0x20), LinkType::RAW),
                (tunnel, LinkType::RAW),
            ] {
                prop_assert_eq!(route(&mut router, &data, link, 1).0, worker);
            }
        }
    }

    /// A datagram of `protocol` in fragments of at most `size` octets each.
    fn fragments(protocol: u8, id: u8, contents: &[u8], size: usize) -> Vec<Vec<u8>> {
        let last = contents.chunks(size).count() - 1;
        let fragment = |(number, octets): (usize, &[u8])| {
            let mut ip = packet([10, 0, 0, 1], [10, 0, 0, 2], 0)[..20].to_vec();
            ip[3] = u8::try_from(20 + octets.len()).unwrap();
            ip[5] = id;
            ip[6] = if number < last { 0x20 } else { 0 };
            ip[7] = u8::try_from(number * size / 8).unwrap();
            ip[9] = protocol;
            [&ip, octets].concat()
        };
        contents.chunks(size).enumerate().map(fragment).collect()
    }

    /// A tunnel whose packets are too long: what they carry stays with what fits.
    #[test]
    fn fragments_of_a_tunnel_go_where_its_packets_go() {
        let mut router = Router::new(1, 64, Arc::default());
        for host in 0..=255 {
            let inner = packet([192, 0, 2, host], [198, 51, 100, 1], 0);
            let contents = [&inner[..], &[0; 40]].concat();
            let mut worker = |data: &[u8], at| route(&mut router, data, LinkType::RAW, at).0;
            let whole = worker(&inner, 100);
            for fragment in fragments(4, host, &contents, 48) {
                assert_eq!(worker(&fragment, 100), whole);
            }
            // In any order they have one worker, and later the identification is free.
            let mut turned = fragments(4, host, &contents, 48);
            turned.reverse();
            let at = 102 + 2 * u64::from(host);
            let first = worker(&turned[0], at);
            assert!(turned.iter().all(|fragment| worker(fragment, at) == first));
        }
    }

    #[test]
    fn hosts_of_one_prefix_spread_and_time_is_told_once_a_second() {
        let mut router = Router::new(1, 2, Arc::default());
        let mut counts = [0_u32; 2];
        let mut told = 0;
        for host in 0..=255 {
            let data = packet([10, 0, 0, host], [192, 0, 2, 1], 0);
            let seconds = 100 + u64::from(host / 64);
            let (worker, time) = route(&mut router, &data, LinkType::RAW, seconds);
            counts[worker] += 1;
            told += u32::from(time);
        }
        assert!(counts.iter().all(|count| (90..=166).contains(count)), "{counts:?}");
        assert_eq!(told, 4);
    }
}
