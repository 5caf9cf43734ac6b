//! One reading, several workers: files read once, and each worker given its own frames.
//!
//! Frames are not copied. They are named by where they lie in the blocks that were read, and the
//! blocks are shared; a block is read into again when the last worker has let it go. So memory is
//! constant, whatever the size of a file: [`QUEUE`] parcels of at most four blocks for each
//! worker.
//!
//! Nobody only reads. A worker without frames reads the next batch for all, when no other is just
//! doing so: so there are no more threads than workers, half of what one of two reads is still in
//! its core's cache when it comes to it, and no more is read ahead than the others are behind. One
//! that would have to wait for them does what else there is to do.
//!
//! Which worker a frame belongs to is the caller's to say, as is what the time is: a worker that
//! is given no frames for a while must hear of the time that passes all the same, or it would
//! end its unfinished flows at another moment than a single worker does.

use core::ops::ControlFlow;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::capture::file::{BLOCK, Block, Files};
use crate::capture::{Batch, CaptureError};
use crate::frame::{Frame, LinkType, SourceId};
use crate::prefetch::{LINE, prefetch};
use crate::time::Timestamp;

/// How many parcels may wait for a worker before nothing is read on: more work than the
/// scheduler's longest turns, or one that has to wait for its processor would soon have all others
/// wait for it.
pub const QUEUE: usize = 24;

/// How many blocks the frames of one parcel may lie in: one of each file, where files overlap.
const MAX_BLOCKS: usize = 4;

/// How many frames ahead memory is asked for them, and how many cache lines of each.
const AHEAD: usize = 4;
const HEADERS: usize = 2;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Route {
    /// The number of its worker.
    pub worker: usize,
    /// The tables' time at this frame.
    pub now: Timestamp,
    /// Every worker must hear of that time before it goes on.
    pub time: bool,
    /// The clock was set back: every worker must hear of that first.
    pub set_back: bool,
}

/// Frames for one worker, in order.
#[derive(Debug, Default)]
pub struct Parcel {
    blocks: Vec<Block>,
    items: Vec<Item>,
    until: Timestamp,
}

/// What a worker does next.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Take this frame, at this time of the tables.
    Frame(Frame<'a>, Timestamp),
    /// The tables' time has come to this.
    Time(Timestamp),
    /// What follows has earlier times than what came before.
    SetBack,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Frame { at: Timestamp, now: Timestamp, number: u64, place: Place },
    Time(Timestamp),
    SetBack,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Which of the parcel's blocks, and where in it; a block is smaller than 4 GiB.
    block: u8,
    begins: u32,
    len: u32,
    wire_len: u32,
    link: LinkType,
    source: SourceId,
}

impl Parcel {
    /// What there is to do, in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.items.iter().enumerate().map(|(n, item)| {
            self.prepare(n + AHEAD);
            match *item {
                Item::Frame { at, now, number, place } => {
                    Step::Frame(self.frame(at, number, place), now)
                }
                Item::Time(now) => Step::Time(now),
                Item::SetBack => Step::SetBack,
            }
        })
    }

    /// The latest time of all workers' frames up to here, since it was last set back.
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    /// Asks memory for the headers of a frame that will soon be needed: another core has written
    /// them.
    fn prepare(&self, item: usize) {
        if let Some(Item::Frame { place, .. }) = self.items.get(item) {
            let data = self.data(*place);
            data.iter().step_by(LINE).take(HEADERS).for_each(prefetch);
        }
    }

    fn data(&self, place: Place) -> &[u8] {
        let begins = place.begins as usize;
        let block = self.blocks.get(usize::from(place.block));
        let data = block.and_then(|block| block.get(begins..begins + place.len as usize));
        data.unwrap_or_default()
    }

    fn frame(&self, at: Timestamp, number: u64, place: Place) -> Frame<'_> {
        Frame {
            data: self.data(place),
            wire_len: place.wire_len,
            at,
            link: place.link,
            source: place.source,
            number,
            vlan: None,
        }
    }

    /// Blocks are let go before they are looked for.
    fn emptied(mut self) -> Self {
        self.blocks.clear();
        self.items.clear();
        self
    }
}

/// Puts frames into parcels.
#[derive(Debug)]
pub struct Dispatcher {
    /// What is being filled for each worker.
    parcels: Vec<Parcel>,
    /// The blocks that all of them refer to, each of another file, and which part of it they are
    /// at.
    blocks: Vec<(SourceId, Block, usize)>,
    until: Timestamp,
    /// What is done: one for each worker, or none.
    ready: Vec<Parcel>,
    /// Empty ones, that keep their memory.
    spare: Vec<Parcel>,
}

/// Where workers get their frames.
///
/// `F` reads one batch into the [`Dispatcher`], and says [`Batch::End`] when there will be no more.
#[derive(Debug)]
pub struct Desk<F> {
    state: Mutex<State<F>>,
    /// A batch was read, there is room again where there was none, or it is the end.
    changed: Condvar,
}

#[derive(Debug)]
struct State<F> {
    /// For each worker, in order.
    waiting: Vec<VecDeque<Parcel>>,
    spare: Vec<Parcel>,
    /// `None` while a worker is reading.
    reading: Option<(Dispatcher, F)>,
    /// Workers that wait for others.
    idle: usize,
    /// Nothing more will be read: all was, or a worker is gone.
    ended: bool,
}

/// A worker's place at the desk. When it is left, also by a panic, nothing more is read.
#[derive(Debug)]
pub struct Seat<'a, F> {
    desk: &'a Desk<F>,
    worker: usize,
    parcel: Option<Parcel>,
}

impl Dispatcher {
    fn new(workers: usize) -> Self {
        Self {
            parcels: (0..workers).map(|_| Parcel::default()).collect(),
            blocks: Vec::new(),
            until: Timestamp::ZERO,
            ready: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Reads on in `files` until there is a parcel for every worker, with the frames that `route`
    /// says are its; `route` may correct their time.
    ///
    /// # Errors
    /// As [`Files`] has them; the frames before are dealt out.
    pub fn batch(
        &mut self,
        files: &mut Files,
        route: &mut impl FnMut(&mut Frame<'_>) -> Route,
    ) -> Result<Batch, CaptureError> {
        loop {
            let batch = files.shared_batch(&mut |frame, block, begins| {
                let mut frame = *frame;
                let route = route(&mut frame);
                if self.take(&frame, route, block, begins) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if !matches!(batch, Ok(Batch::Frames(_))) {
                self.close();
            }
            if !self.ready.is_empty() {
                return batch;
            }
        }
    }

    /// Is a parcel for every worker ready, of what came before this frame? It is when a block is
    /// done, to be looked at while it is still in a cache.
    fn take(&mut self, frame: &Frame<'_>, route: Route, block: &Block, begins: usize) -> bool {
        let mut known = self.blocks.iter().position(|(source, ..)| *source == frame.source);
        // A mapped block is much longer than one that was read.
        let part = begins / BLOCK;
        let done = match known {
            Some(at) => !Arc::ptr_eq(&self.blocks[at].1, block) || self.blocks[at].2 != part,
            None => self.blocks.len() == MAX_BLOCKS,
        };
        if done {
            self.close();
            known = None;
        }
        let number = known.unwrap_or_else(|| {
            self.blocks.push((frame.source, Arc::clone(block), part));
            self.blocks.len() - 1
        });
        self.until = if route.set_back { frame.at } else { self.until.max(frame.at) };
        let news =
            [route.set_back.then_some(Item::SetBack), route.time.then_some(Item::Time(route.now))];
        for item in news.into_iter().flatten() {
            self.parcels.iter_mut().for_each(|parcel| parcel.items.push(item));
        }
        let place = Place {
            // Both are bounded far below: by `MAX_BLOCKS` and by the longest record.
            block: u8::try_from(number).unwrap_or_default(),
            begins: u32::try_from(begins).unwrap_or_default(),
            len: u32::try_from(frame.data.len()).unwrap_or_default(),
            wire_len: frame.wire_len,
            link: frame.link,
            source: frame.source,
        };
        let worker = route.worker % self.parcels.len();
        let item = Item::Frame { at: frame.at, now: route.now, number: frame.number, place };
        self.parcels[worker].items.push(item);
        done
    }

    /// What was filled is ready, for every worker: an empty parcel tells the time.
    fn close(&mut self) {
        for parcel in &mut self.parcels {
            let next = self.spare.pop().unwrap_or_default();
            let mut parcel = std::mem::replace(parcel, next);
            parcel.blocks.extend(self.blocks.iter().map(|(_, block, _)| Arc::clone(block)));
            parcel.until = self.until;
            self.ready.push(parcel);
        }
        self.blocks.clear();
    }
}

impl<F> Desk<F> {
    /// For so many workers, and at least one; `read` is called by one at a time.
    pub fn new(workers: usize, read: F) -> Self {
        let workers = workers.max(1);
        let state = State {
            waiting: (0..workers).map(|_| VecDeque::new()).collect(),
            spare: Vec::new(),
            reading: Some((Dispatcher::new(workers), read)),
            idle: 0,
            ended: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// That of one worker, by its number.
    pub const fn seat(&self, worker: usize) -> Seat<'_, F> {
        Seat { desk: self, worker, parcel: None }
    }

    /// Nobody panics while holding the state: it is whole.
    fn state(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: FnMut(&mut Dispatcher) -> Batch> Desk<F> {
    /// Has a worker whose turn it is read, and puts what it read where it waits.
    fn deal(&self, (mut dispatcher, mut read): (Dispatcher, F)) -> MutexGuard<'_, State<F>> {
        let batch = read(&mut dispatcher);
        let mut state = self.state();
        for (waiting, parcel) in state.waiting.iter_mut().zip(dispatcher.ready.drain(..)) {
            waiting.push_back(parcel);
        }
        state.ended |= batch == Batch::End;
        state.reading = Some((dispatcher, read));
        self.changed.notify_all();
        state
    }
}

impl<F: FnMut(&mut Dispatcher) -> Batch> Seat<'_, F> {
    /// The next parcel; reads for all where there is none. While that is another's turn, or others
    /// are too far behind, it does what `else_do` finds to do, and waits where that is nothing.
    /// `None` at the end.
    pub fn next_parcel(&mut self, mut else_do: impl FnMut() -> bool) -> Option<&Parcel> {
        let done = self.parcel.take().map(Parcel::emptied);
        let mut state = self.desk.state();
        state.spare.extend(done);
        let mut nothing_else = false;
        self.parcel = loop {
            if let Some(parcel) = state.waiting[self.worker].pop_front() {
                // There may be room again, or something else to do.
                if state.idle > 0 {
                    self.desk.changed.notify_all();
                }
                break Some(parcel);
            }
            if state.ended {
                break None;
            }
            let has_room = state.waiting.iter().all(|waiting| waiting.len() < QUEUE);
            if let Some(mut turn) = state.reading.take_if(|_| has_room) {
                turn.0.spare.append(&mut state.spare);
                drop(state);
                state = self.desk.deal(turn);
            } else if nothing_else {
                state.idle += 1;
                state = self.desk.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                nothing_else = false;
            } else {
                drop(state);
                nothing_else = !else_do();
                state = self.desk.state();
            }
        };
        self.parcel.as_ref()
    }
}

impl<F> Drop for Seat<'_, F> {
    fn drop(&mut self) {
        self.desk.state().ended = true;
        self.desk.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::thread;

    use super::*;

    /// A capture of `count` frames of up to 1,500 octets, one a second `from` a time on; the first
    /// octets are the number, the others say which capture it is.
    fn capture(count: u32, from: u32) -> Vec<u8> {
        let mut octets = Vec::new();
        for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1] {
            octets.extend(field.to_le_bytes());
        }
        for n in 0..count {
            let len = 20 + n.wrapping_mul(2_654_435_761) % 1_480;
            for field in [from + n, n, len, len] {
                octets.extend(field.to_le_bytes());
            }
            octets.extend(n.to_le_bytes());
            octets.extend(vec![mark(from.into()); len as usize - 4]);
        }
        octets
    }

    fn mark(from: u64) -> u8 {
        u8::try_from(from % 251).unwrap()
    }

    /// What a worker was told.
    #[derive(Default)]
    struct Told {
        frames: Vec<(Timestamp, SourceId, u64)>,
        times: usize,
        until: Timestamp,
    }

    /// Has `workers` read all that is in `directory`, in turns, and checks what each is given.
    fn read_by(workers: usize, directory: &Path) -> Vec<Told> {
        let mut files = Files::new(&[directory.into()], None).unwrap();
        let desk = Desk::new(workers, |dispatcher: &mut Dispatcher| {
            let batch = dispatcher.batch(&mut files, &mut |frame| {
                let n = u32::from_le_bytes(*frame.data.first_chunk().unwrap());
                let (worker, time) = (n as usize, n.is_multiple_of(100));
                Route { worker, now: frame.at, time, set_back: false }
            });
            batch.unwrap()
        });
        let work_off = |worker: usize| {
            let mut seat = desk.seat(worker);
            let mut told = Told::default();
            while let Some(parcel) = seat.next_parcel(|| false) {
                for step in parcel.steps() {
                    match step {
                        Step::Frame(frame, now) => {
                            assert_eq!(now, frame.at);
                            let n = u32::from_le_bytes(*frame.data.first_chunk().unwrap());
                            assert_eq!(u64::from(n) + 1, frame.number);
                            let mark = mark(frame.at.as_nanos() / 1_000_000_000 - u64::from(n));
                            assert_eq!(n as usize % workers, worker);
                            assert_eq!(frame.data.len(), frame.wire_len as usize);
                            assert!(frame.data[4..].iter().all(|octet| *octet == mark));
                            told.frames.push((frame.at, frame.source, frame.number));
                        }
                        Step::Time(_) => told.times += 1,
                        Step::SetBack => panic!("nobody said so"),
                    }
                }
                assert!(told.frames.last().is_none_or(|last| last.0 <= parcel.until()));
                told.until = parcel.until();
            }
            assert!(told.frames.is_sorted());
            told
        };
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..workers).map(|worker| scope.spawn(move || work_off(worker))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Every frame reaches its worker once, in order, as it was read, whatever the number of
    /// workers and whoever reads; and all workers hear of the time in between.
    #[test]
    fn every_frame_reaches_its_worker() {
        const FRAMES: u32 = 5_000;
        let directory = tempfile::tempdir().unwrap();
        // Two files whose times overlap, so that blocks are read in turns.
        for (name, from) in [("a", 0), ("b", 2_500)] {
            std::fs::write(directory.path().join(name), capture(FRAMES, from)).unwrap();
        }
        for workers in 1..4 {
            let told = read_by(workers, directory.path());
            let frames: usize = told.iter().map(|told| told.frames.len()).sum();
            assert_eq!(frames, 2 * FRAMES as usize);
            assert!(told.iter().all(|one| one.times == 100 && one.until == told[0].until));
        }
    }

    /// More files than a parcel can tell apart.
    #[test]
    fn small_files_are_not_mixed_up() {
        const FILES: u32 = 600;
        let directory = tempfile::tempdir().unwrap();
        for from in 0..FILES {
            // Each begins before the one before it has ended.
            std::fs::write(directory.path().join(from.to_string()), capture(3, from)).unwrap();
        }
        let told = read_by(2, directory.path());
        let frames: usize = told.iter().map(|told| told.frames.len()).sum();
        assert_eq!(frames, 3 * FILES as usize);
    }

    /// Two workers' desk, of so many batches without frames.
    fn empty_batches(mut left: usize) -> Desk<impl FnMut(&mut Dispatcher) -> Batch> {
        Desk::new(2, move |dispatcher: &mut Dispatcher| {
            left -= 1;
            dispatcher.close();
            if left > 0 { Batch::Frames(1) } else { Batch::End }
        })
    }

    /// A worker may be behind as far as it will: the other reads no more than may wait for it, and
    /// goes on when it comes.
    #[test]
    fn one_that_is_behind_is_waited_for() {
        let desk = empty_batches(3 * QUEUE);
        let parcels = |mut seat: Seat<'_, _>| {
            let mut parcels = 0;
            while seat.next_parcel(|| false).is_some() {
                parcels += 1;
            }
            parcels
        };
        thread::scope(|scope| {
            let quick = scope.spawn(|| parcels(desk.seat(0)));
            while desk.state().waiting[1].len() < QUEUE {
                thread::yield_now();
            }
            assert_eq!(parcels(desk.seat(1)), 3 * QUEUE);
            assert_eq!(quick.join().unwrap(), 3 * QUEUE);
        });
    }

    /// Whoever would have to wait does something else first, and looks again after it.
    #[test]
    fn one_that_is_ahead_does_what_else_there_is() {
        let desk = empty_batches(3 * QUEUE);
        let (mut ahead, mut behind) = (desk.seat(0), desk.seat(1));
        let (mut parcels, mut others) = (0, 0);
        // Alone in this thread: if it waited, it would for ever.
        while ahead
            .next_parcel(|| {
                let more = behind.next_parcel(|| panic!("it has parcels")).is_some();
                others += usize::from(more);
                more
            })
            .is_some()
        {
            parcels += 1;
        }
        assert_eq!((parcels, others), (3 * QUEUE, 2 * QUEUE));
    }

    #[test]
    fn a_worker_that_is_gone_ends_the_reading() {
        let desk = Desk::new(2, |dispatcher: &mut Dispatcher| {
            dispatcher.close();
            Batch::Frames(1)
        });
        let mut stays = desk.seat(1);
        drop(desk.seat(0));
        assert!(stays.next_parcel(|| false).is_none());
    }
}
