//! Puts the records of several workers into one order.

use core::cmp::Ordering;
use core::slice;
use std::collections::{BinaryHeap, VecDeque};

use super::{Origin, Record};
use crate::time::Timestamp;

/// Records waiting until no earlier one can come.
///
/// Each lane (a worker) promises by its watermark that it will bring nothing earlier. A record is
/// released when all lanes have promised. Records of one lane are nearly in order already, so a
/// lane is a queue of runs, each left where its worker wrote it, and only a record that comes
/// behind its time goes to a heap.
///
/// A lane's clock may be set back. What comes after that is of a later age than what came before,
/// whatever its time; watermarks are of an age too.
///
/// Holds at most `limit` records: beyond them the earliest leaves before its time, counted.
#[derive(Debug)]
pub(super) struct Order {
    lanes: Vec<Lane>,
    stragglers: BinaryHeap<Straggler>,
    /// Stragglers so far: what one frame causes keeps the order in which its worker said it.
    straggled: u64,
    /// What is leaving, in order; the stragglers among it have left their heap.
    leaving: Vec<Leaving>,
    caught: Vec<Straggler>,
    /// Runs of which everything has left: empty, room for others.
    rooms: Vec<Vec<Record>>,
    len: usize,
    limit: usize,
    /// The latest age and origin that left.
    released: Key,
    closed: bool,
    early: u64,
    late: u64,
}

/// What records are ordered by. Of what is equal, the lower lane's goes first, and a straggler
/// last: whatever else its worker said of the same frame, it said before.
type Key = (u32, Origin);

#[derive(Debug, Default)]
struct Lane {
    age: u32,
    /// How often its own clock was set back: no more than its age, which others' may raise.
    set_backs: u32,
    ended: bool,
    watermark: Timestamp,
    runs: VecDeque<Run>,
    /// How many records of the first run have left, or are leaving.
    left: usize,
}

/// Records of one age, in order; at least one.
#[derive(Debug)]
struct Run {
    age: u32,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Straggler {
    lane: usize,
    age: u32,
    number: u64,
    record: Record,
}

/// Records that are leaving.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) lane: usize,
    /// Later after a clock was set back, whatever the time says.
    pub(super) age: u32,
    pub(super) records: &'a [Record],
}

/// Where records are that are leaving.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// In the first run of their lane.
    Queued { lane: usize, from: usize, to: usize },
    /// Among those caught.
    Straggler { at: usize },
}

impl Order {
    /// For `lanes` workers, and at least one.
    pub(super) fn new(lanes: usize, limit: usize) -> Self {
        Self {
            lanes: (0..lanes.max(1)).map(|_| Lane::default()).collect(),
            stragglers: BinaryHeap::new(),
            straggled: 0,
            leaving: Vec::new(),
            caught: Vec::new(),
            rooms: Vec::new(),
            len: 0,
            limit: limit.max(1),
            released: Key::default(),
            closed: false,
            early: 0,
            late: 0,
        }
    }

    /// Takes in what `lane` brought, in the order in which it was said, and leaves `records` empty:
    /// with the room of others that have left, where there is some. A lane that does not exist
    /// counts as the first.
    pub(super) fn push(&mut self, lane: usize, records: &mut Vec<Record>) {
        if !records.is_sorted_by_key(Record::origin) {
            records.sort_by_key(Record::origin);
        }
        let Some(first) = records.first().map(Record::origin) else { return };
        self.len += records.len();
        let number = if lane < self.lanes.len() { lane } else { 0 };
        let lane = &mut self.lanes[number];
        let age = lane.age;
        let before = |than: Key| move |record: &Record| (age, record.origin()) < than;
        if (age, first) < self.released {
            let late = &records[..records.partition_point(before(self.released))];
            // Sums have no order.
            let ordered = |record: &&Record| !matches!(record, Record::Volume(_));
            self.late += late.iter().filter(ordered).count() as u64;
        }
        if let Some(last) = lane.runs.back().and_then(Run::last)
            && (age, first) < last
        {
            for record in records.drain(..records.partition_point(before(last))) {
                let straggler = Straggler { lane: number, age, number: self.straggled, record };
                self.straggled += 1;
                self.stragglers.push(straggler);
            }
        }
        match lane.runs.back_mut() {
            Some(run) if run.age == age && run.has_room_for_few(records) => {
                run.records.append(records);
            }
            _ if records.is_empty() => {}
            _ => {
                let room = self.rooms.pop().unwrap_or_default();
                let records = core::mem::replace(records, room);
                lane.runs.push_back(Run { age, records });
            }
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
            lane.set_backs += 1;
            lane.age = lane.age.max(lane.set_backs);
            lane.watermark = Timestamp::ZERO;
        }
    }

    /// `lane` has no frames: whether its clock was set back as others' were cannot be known, and
    /// nobody waits for it to say so.
    pub(super) fn idle(&mut self, lane: usize) {
        let newest = self.running().map(|lane| lane.age).max().unwrap_or_default();
        // What it brought keeps the age that it had.
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.age = lane.age.max(newest);
        }
    }

    /// `lane` brings nothing any more, of whatever time.
    pub(super) fn end(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.ended = true;
        }
    }

    /// No lane brings anything any more, of whatever time.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    /// Chooses the next records that nothing can precede, or that must leave for room: at most
    /// `most`, to be looked at as [leaving](Self::leaving) until they are [let go](Self::let_go).
    /// False: there is none.
    pub(super) fn choose(&mut self, most: usize) -> bool {
        let watermark = self.running().map(|lane| (lane.age, lane.watermark)).min();
        let watermark = watermark.filter(|_| !self.closed);
        let is_promised = |(age, origin): Key| watermark.is_none_or(|to| (age, origin.at) < to);
        let mut room = most;
        while room > 0
            && !self.lanes.iter().any(Lane::hides_next)
            && let Some(Turn { key, number, until }) = self.turn()
        {
            let is_early = !is_promised(key);
            if is_early && self.len <= self.limit {
                break;
            }
            self.early += u64::from(is_early);
            let (chosen, last) = if let Some(lane) = self.lanes.get_mut(number) {
                let from = lane.left;
                lane.left += if is_early {
                    1
                } else {
                    let is_its = |key| until.is_none_or(|until| (key, number) < until);
                    lane.in_a_row(room, |key| is_its(key) && is_promised(key))
                };
                self.leaving.push(Leaving::Queued { lane: number, from, to: lane.left });
                (lane.left - from, lane.key(lane.left - 1))
            } else {
                self.leaving.push(Leaving::Straggler { at: self.caught.len() });
                self.caught.extend(self.stragglers.pop());
                (1, Some(key))
            };
            self.released = self.released.max(last.unwrap_or(key));
            self.len -= chosen;
            room -= chosen;
        }
        room < most
    }

    /// The records chosen, in order: of one lane and age each.
    pub(super) fn leaving(&self) -> impl Iterator<Item = Part<'_>> {
        self.leaving.iter().filter_map(|leaving| match *leaving {
            Leaving::Queued { lane, from, to } => {
                let run = self.lanes[lane].runs.front()?;
                Some(Part { lane, age: run.age, records: run.records.get(from..to)? })
            }
            Leaving::Straggler { at } => {
                let &Straggler { lane, age, ref record, .. } = self.caught.get(at)?;
                Some(Part { lane, age, records: slice::from_ref(record) })
            }
        })
    }

    /// The records chosen are not needed any more.
    pub(super) fn let_go(&mut self) {
        self.leaving.clear();
        self.caught.clear();
        for lane in &mut self.lanes {
            if lane.first().is_none()
                && let Some(Run { mut records, .. }) = lane.runs.pop_front()
            {
                lane.left = 0;
                records.clear();
                if records.capacity() <= ROOM && self.rooms.len() < ROOMS {
                    self.rooms.push(records);
                }
            }
        }
    }

    /// The lanes that may still bring something.
    fn running(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter(|lane| !lane.ended)
    }

    /// What all lanes have promised.
    pub(super) fn watermark(&self) -> Timestamp {
        self.running().map(|lane| lane.watermark).min().unwrap_or_default()
    }

    /// More records wait than may.
    pub(super) const fn is_over(&self) -> bool {
        self.len > self.limit
    }

    pub(super) fn table_use(&self) -> (usize, usize, u64) {
        let runs = self.lanes.iter().flat_map(|lane| &lane.runs).map(|run| &run.records);
        let records: usize = runs.chain(&self.rooms).map(Vec::capacity).sum();
        let stragglers = self.stragglers.capacity() + self.caught.capacity();
        let bytes = records * size_of::<Record>() + stragglers * size_of::<Straggler>();
        (self.len, bytes, self.early)
    }

    /// Records that left before their time for room.
    pub(super) const fn early(&self) -> u64 {
        self.early
    }

    /// Records that came after a later one had left.
    pub(super) const fn late(&self) -> u64 {
        self.late
    }

    /// Whose turn it is.
    fn turn(&self) -> Option<Turn> {
        let lanes = self.lanes.iter().map(Lane::first);
        let straggler = self.stragglers.peek().map(Straggler::key);
        let mut first: Option<(Key, usize)> = None;
        let mut until = None;
        for (number, key) in lanes.chain([straggler]).enumerate() {
            let Some(key) = key else { continue };
            let other = (key, number);
            if first.is_none_or(|first| other < first) {
                until = first.replace(other);
            } else if until.is_none_or(|until| other < until) {
                until = Some(other);
            }
        }
        first.map(|(key, number)| Turn { key, number, until })
    }
}

/// Who has the earliest record.
#[derive(Clone, Copy, Debug)]
struct Turn {
    key: Key,
    /// Of the lane; beyond all lanes' it is a straggler's turn.
    number: usize,
    /// The next to have its turn, and when.
    until: Option<(Key, usize)>,
}

impl Lane {
    /// Of the record that leaves next, when that is of the first run.
    fn first(&self) -> Option<Key> {
        self.key(self.left)
    }

    /// Of the record at `at` of the first run.
    fn key(&self, at: usize) -> Option<Key> {
        let run = self.runs.front()?;
        run.records.get(at).map(|record| (run.age, record.origin()))
    }

    /// How many of the next `most` records may leave.
    fn in_a_row(&self, most: usize, may: impl Fn(Key) -> bool) -> usize {
        self.runs.front().map_or(0, |run| {
            let next = &run.records[self.left..];
            let next = &next[..next.len().min(most)];
            next.partition_point(|record| may((run.age, record.origin())))
        })
    }

    /// Does the record that leaves next only come to light when the first run is let go?
    fn hides_next(&self) -> bool {
        self.runs.len() > 1 && self.first().is_none()
    }
}

impl Run {
    fn last(&self) -> Option<Key> {
        self.records.last().map(|record| (self.age, record.origin()))
    }

    /// Are these so few that they are sooner moved here than held by themselves?
    const fn has_room_for_few(&self, records: &[Record]) -> bool {
        records.len() <= FEW && records.len() <= self.records.capacity() - self.records.len()
    }
}

/// Moving these costs less than room of their own.
const FEW: usize = 16;

/// How many rooms are kept for others, and for how many records each at most.
const ROOMS: usize = 16;
const ROOM: usize = 1_024;

impl Straggler {
    fn key(&self) -> Key {
        (self.age, self.record.origin())
    }
}

/// Reversed, for `BinaryHeap` gives its greatest.
impl Ord for Straggler {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.key(), other.number).cmp(&(self.key(), self.number))
    }
}

impl PartialOrd for Straggler {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Straggler {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Straggler {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::{Accepted, Client, Volume};
    use crate::frame::SourceId;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    /// A record whose identity tells it from others.
    fn record(nanos: u64, number: u64, tag: u64) -> Record {
        let origin = Origin { at: at(nanos), source: SourceId(0), number };
        Record::Accepted(Accepted { origin, identity: tag })
    }

    fn push(order: &mut Order, lane: usize, records: impl IntoIterator<Item = Record>) {
        let mut records = records.into_iter().collect();
        order.push(lane, &mut records);
        assert!(records.is_empty());
    }

    fn drain(order: &mut Order) -> Vec<(Origin, u64)> {
        let mut left = Vec::new();
        while order.choose(3) {
            left.extend(order.leaving().flat_map(|part| part.records).map(|r| match r {
                Record::Accepted(accepted) => (accepted.origin, accepted.identity),
                other => panic!("{other:?}"),
            }));
            order.let_go();
        }
        left
    }

    #[test]
    fn nothing_leaves_before_every_lane_has_passed_it() {
        let mut order = Order::new(2, 100);
        push(&mut order, 0, [record(10, 1, 0)]);
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
        push(&mut order, 0, [record(50, 1, 0)]);
        order.advance(0, at(60));
        order.set_back(0);
        push(&mut order, 0, [record(10, 2, 1)]);
        order.advance(0, at(20));
        order.advance(1, at(55));
        assert_eq!(drain(&mut order).len(), 1, "lane 1 may still bring something of the old age");
        push(&mut order, 1, [record(57, 3, 2)]);
        order.set_back(1);
        push(&mut order, 1, [record(9, 4, 3)]);
        order.advance(1, at(20));
        let left: Vec<_> = drain(&mut order).into_iter().map(|(_, tag)| tag).collect();
        assert_eq!(left, [2, 3, 1]);
        assert_eq!((order.early(), order.late()), (0, 0));
    }

    #[test]
    fn a_lane_that_says_nothing_holds_nobody_up_when_clocks_are_set_back() {
        let mut order = Order::new(3, 100);
        for lane in 0..3 {
            order.advance(lane, at(60));
        }
        order.end(2);
        push(&mut order, 1, [record(60, 9, 9)]);
        order.set_back(0);
        push(&mut order, 0, [record(10, 1, 0)]);
        order.advance(0, at(20));
        assert!(drain(&mut order).is_empty(), "lane 1 may still bring something of the old age");
        order.idle(1);
        let left: Vec<_> = drain(&mut order).into_iter().map(|(_, tag)| tag).collect();
        assert_eq!(left, [9, 0], "also what it said last, and could not promise any more");
        // When it has frames again it says so itself, and is of that age.
        order.set_back(1);
        push(&mut order, 1, [record(15, 2, 1)]);
        push(&mut order, 0, [record(30, 3, 2)]);
        order.advance(0, at(40));
        order.advance(1, at(20));
        assert_eq!(drain(&mut order).len(), 1);
        order.advance(1, at(40));
        assert_eq!(drain(&mut order).len(), 1);
        assert_eq!((order.early(), order.late()), (0, 0));
    }

    #[test]
    fn a_full_buffer_lets_the_earliest_go_and_counts_it_and_what_it_overtook() {
        let mut order = Order::new(2, 2);
        for number in [3, 1, 2] {
            push(&mut order, 0, [record(number * 10, number, number)]);
        }
        assert_eq!(drain(&mut order).iter().map(|(_, tag)| *tag).collect::<Vec<_>>(), [1]);
        assert_eq!((order.early(), order.len), (1, 2));
        push(&mut order, 1, [record(5, 9, 9)]);
        assert_eq!(order.late(), 1);
        // A sum of octets is told when it is due, with the last frame that it counts.
        let volume = Volume {
            origin: Origin { at: at(5), source: SourceId(0), number: 9 },
            client: Client::default(),
            vendor: "v".into(),
            sent: 1,
            received: 1,
        };
        push(&mut order, 1, [Record::Volume(volume)]);
        assert_eq!(order.late(), 1);
    }

    #[test]
    fn what_one_frame_causes_keeps_its_order_however_late_it_is_said() {
        let mut order = Order::new(1, usize::MAX);
        let of_frame = |number, tags: core::ops::Range<u64>| {
            tags.map(move |tag| record(number * 10, number, tag))
        };
        push(&mut order, 0, of_frame(2, 0..20).chain(of_frame(4, 40..60)));
        push(
            &mut order,
            0,
            of_frame(3, 20..30).chain(of_frame(5, 60..90)).chain(of_frame(3, 30..40)),
        );
        push(&mut order, 0, of_frame(5, 90..93));
        order.close();
        let left: Vec<_> = drain(&mut order).into_iter().map(|(_, tag)| tag).collect();
        assert_eq!(left, (0..93).collect::<Vec<_>>());
        assert_eq!((order.late(), order.len), (0, 0));
    }

    #[test]
    fn room_is_used_again() {
        let mut order = Order::new(1, usize::MAX);
        let mut batch = Vec::with_capacity(64);
        let room = batch.as_ptr();
        for round in 0..64 {
            batch.extend((0..32).map(|n| record(round, n, n)));
            order.push(0, &mut batch);
            order.advance(0, at(round + 1));
            assert_eq!(drain(&mut order).len(), 32);
        }
        assert!(batch.as_ptr() == room || order.rooms[0].as_ptr() == room);
        assert_eq!(order.rooms.len(), 1);
        assert!(batch.capacity() <= 64);
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
            let mut batches: [Vec<Record>; 4] = Default::default();
            let mut left = Vec::new();
            for (step, &(said, lane, number)) in arrivals.iter().enumerate() {
                let nanos = frames[usize::try_from(number).unwrap()].0;
                batches[lane].push(record(nanos, number, number));
                if step % stride == 0 {
                    for (lane, batch) in batches.iter_mut().enumerate() {
                        order.push(lane, batch);
                        order.advance(lane, at(said.saturating_sub(30)));
                    }
                    left.extend(drain(&mut order));
                }
            }
            for (lane, batch) in batches.iter_mut().enumerate() {
                order.push(lane, batch);
            }
            order.close();
            left.extend(drain(&mut order));
            prop_assert_eq!(left.into_iter().map(|(_, tag)| tag).collect::<Vec<_>>(), expected);
            prop_assert_eq!((order.early(), order.late(), order.len), (0, 0, 0));
        }
    }
}
