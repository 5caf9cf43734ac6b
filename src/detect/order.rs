//! Puts the records of several workers into one order.

use core::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::{Origin, Record};
use crate::time::Timestamp;

/// Records waiting until no earlier one can come.
///
/// Each lane (a worker) promises by its watermark that it will bring nothing earlier. A record is
/// released when all lanes have promised. Records of one lane are nearly in order already, so a
/// lane is a queue, and only a record that comes behind its time goes to a heap.
///
/// A lane's clock may be set back. What comes after that is of a later age than what came before,
/// whatever its time; watermarks are of an age too.
///
/// Holds at most `limit` records: beyond them the earliest leaves before its time, counted.
#[derive(Debug)]
pub(super) struct Order {
    lanes: Vec<Lane>,
    stragglers: BinaryHeap<Waiting>,
    len: usize,
    limit: usize,
    /// Arrivals so far: what one frame causes keeps the order in which its worker said it.
    arrivals: u64,
    /// The latest age and origin that left.
    released: (u32, Origin),
    closed: bool,
    early: u64,
    late: u64,
}

#[derive(Debug, Default)]
struct Lane {
    age: u32,
    watermark: Timestamp,
    queue: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    lane: u16,
    age: u32,
    arrival: u64,
    record: Record,
}

impl Order {
    /// For `lanes` workers, and at least one.
    pub(super) fn new(lanes: usize, limit: usize) -> Self {
        Self {
            lanes: (0..lanes.max(1)).map(|_| Lane::default()).collect(),
            stragglers: BinaryHeap::new(),
            len: 0,
            limit: limit.max(1),
            arrivals: 0,
            released: Default::default(),
            closed: false,
            early: 0,
            late: 0,
        }
    }

    /// Takes a record of `lane` in. A lane that does not exist counts as the first.
    pub(super) fn push(&mut self, lane: usize, record: Record) {
        let origin = record.origin();
        let at = if lane < self.lanes.len() { lane } else { 0 };
        let Lane { age, queue, .. } = &mut self.lanes[at];
        if (*age, origin) < self.released {
            self.late += 1;
        }
        let lane = u16::try_from(at).unwrap_or(u16::MAX);
        let waiting = Waiting { lane, age: *age, arrival: self.arrivals, record };
        self.arrivals += 1;
        self.len += 1;
        if queue.back().is_none_or(|last| (last.age, last.record.origin()) <= (*age, origin)) {
            queue.push_back(waiting);
        } else {
            self.stragglers.push(waiting);
        }
    }

    /// `lane` will bring nothing before `to` any more.
    pub(super) fn advance(&mut self, lane: usize, to: Timestamp) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.watermark = lane.watermark.max(to);
        }
    }

    /// `lane` begins to count its time anew.
    pub(super) fn set_back(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.age += 1;
            lane.watermark = Timestamp::ZERO;
        }
    }

    /// No lane brings anything any more, of whatever time.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    /// Shows `judge` the next record that nothing can precede, or that must leave for room, with
    /// its lane, and lets it go. False: there is none.
    pub(super) fn pop(&mut self, judge: impl FnOnce(usize, &Record)) -> bool {
        let Some((age, origin, lane)) = self.first() else { return false };
        let watermark = self.lanes.iter().map(|lane| (lane.age, lane.watermark)).min();
        if watermark.is_none_or(|watermark| (age, origin.at) >= watermark) && !self.closed {
            if self.len <= self.limit {
                return false;
            }
            self.early += 1;
        }
        self.len -= 1;
        self.released = self.released.max((age, origin));
        if let Some(lane) = lane {
            let queue = &mut self.lanes[lane].queue;
            if let Some(waiting) = queue.front() {
                judge(lane, &waiting.record);
            }
            queue.pop_front();
        } else if let Some(waiting) = self.stragglers.pop() {
            judge(usize::from(waiting.lane), &waiting.record);
        }
        true
    }

    /// Records that will leave soon: the first `count` of every lane.
    pub(super) fn upcoming(&self, count: usize) -> impl Iterator<Item = &Record> {
        let queues = self.lanes.iter().map(|lane| &lane.queue);
        queues.flat_map(move |queue| queue.iter().take(count)).map(|waiting| &waiting.record)
    }

    /// What all lanes have promised.
    pub(super) fn watermark(&self) -> Timestamp {
        self.lanes.iter().map(|lane| lane.watermark).min().unwrap_or_default()
    }

    /// More records wait than may.
    pub(super) const fn is_over(&self) -> bool {
        self.len > self.limit
    }

    pub(super) fn table_use(&self) -> (usize, usize, u64) {
        let places: usize = self.lanes.iter().map(|lane| lane.queue.capacity()).sum();
        let places = places + self.stragglers.capacity();
        (self.len, places * size_of::<Waiting>(), self.early)
    }

    /// Records that left before their time for room.
    pub(super) const fn early(&self) -> u64 {
        self.early
    }

    /// Records that came after a later one had left.
    pub(super) const fn late(&self) -> u64 {
        self.late
    }

    /// The earliest record, and the lane at whose front it is (none: among the stragglers).
    fn first(&self) -> Option<(u32, Origin, Option<usize>)> {
        let mut first = self.stragglers.peek().map(|waiting| (waiting.key(), None));
        for (number, lane) in self.lanes.iter().enumerate() {
            if let Some(front) = lane.queue.front()
                && first.is_none_or(|(key, _)| front.key() < key)
            {
                first = Some((front.key(), Some(number)));
            }
        }
        first.map(|((age, origin, _), lane)| (age, origin, lane))
    }
}

impl Waiting {
    fn key(&self) -> (u32, Origin, u64) {
        (self.age, self.record.origin(), self.arrival)
    }
}

/// Reversed, for `BinaryHeap` gives its greatest.
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::{Client, Volume};
    use crate::frame::SourceId;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    /// A record whose `sent` tells it from others.
    fn record(nanos: u64, number: u64, tag: u64) -> Record {
        Record::Volume(Volume {
            origin: Origin { at: at(nanos), source: SourceId(0), number },
            client: Client::default(),
            vendor: "v".into(),
            sent: tag,
            received: 0,
        })
    }

    fn drain(order: &mut Order) -> Vec<(Origin, u64)> {
        let mut left = Vec::new();
        while order.pop(|_, record| match record {
            Record::Volume(volume) => left.push((volume.origin, volume.sent)),
            other => panic!("{other:?}"),
        }) {}
        left
    }

    #[test]
    fn nothing_leaves_before_every_lane_has_passed_it() {
        let mut order = Order::new(2, 100);
        order.push(0, record(10, 1, 0));
        order.advance(0, at(50));
        assert!(drain(&mut order).is_empty());
        order.advance(1, at(10));
        assert!(drain(&mut order).is_empty(), "lane 1 may still bring another of the same moment");
        order.advance(1, at(11));
        assert_eq!(drain(&mut order).len(), 1);
        assert_eq!((order.early(), order.late()), (0, 0));
    }

    #[test]
    fn what_comes_after_a_clock_was_set_back_is_later() {
        let mut order = Order::new(2, 100);
        order.push(0, record(50, 1, 0));
        order.advance(0, at(60));
        order.set_back(0);
        order.push(0, record(10, 2, 1));
        order.advance(0, at(20));
        order.advance(1, at(55));
        assert_eq!(drain(&mut order).len(), 1, "lane 1 may still bring something of the old age");
        order.push(1, record(57, 3, 2));
        order.set_back(1);
        order.push(1, record(9, 4, 3));
        order.advance(1, at(20));
        let left: Vec<_> = drain(&mut order).into_iter().map(|(_, tag)| tag).collect();
        assert_eq!(left, [2, 3, 1]);
        assert_eq!((order.early(), order.late()), (0, 0));
    }

    #[test]
    fn a_full_buffer_lets_the_earliest_go_and_counts_it_and_what_it_overtook() {
        let mut order = Order::new(2, 2);
        for number in [3, 1, 2] {
            order.push(0, record(number * 10, number, number));
        }
        assert_eq!(drain(&mut order).iter().map(|(_, tag)| *tag).collect::<Vec<_>>(), [1]);
        assert_eq!((order.early(), order.len), (1, 2));
        order.push(1, record(5, 9, 9));
        assert_eq!(order.late(), 1);
    }

    proptest! {
        #[test]
        fn whichever_lane_brings_them_and_however_late_they_leave_in_one_order(
            times in proptest::collection::vec((0_u64..500, 0_usize..4), 1..200),
            jitter in proptest::collection::vec(0_u64..30, 200),
            stride in 1_usize..50,
        ) {
            // Frame numbers are given in time order; each frame goes to one lane.
            let mut frames: Vec<(u64, usize)> = times;
            frames.sort_unstable();
            let expected: Vec<u64> = (0..frames.len() as u64).collect();
            // Each lane says what it found up to 30 ns late, and promises accordingly.
            let mut arrivals: Vec<(u64, usize, u64)> = frames
                .iter()
                .enumerate()
                .map(|(number, &(nanos, lane))| (nanos + jitter[number % 200], lane, number as u64))
                .collect();
            arrivals.sort_unstable();
            let mut order = Order::new(4, usize::MAX);
            let mut left = Vec::new();
            for (step, &(said, lane, number)) in arrivals.iter().enumerate() {
                let nanos = frames[usize::try_from(number).unwrap()].0;
                order.push(lane, record(nanos, number, number));
                if step % stride == 0 {
                    for lane in 0..4 {
                        order.advance(lane, at(said.saturating_sub(30)));
                    }
                    left.extend(drain(&mut order));
                }
            }
            order.close();
            left.extend(drain(&mut order));
            prop_assert_eq!(left.into_iter().map(|(_, tag)| tag).collect::<Vec<_>>(), expected);
            prop_assert_eq!((order.early(), order.late(), order.len), (0, 0, 0));
        }
    }
}
