//! One reader, several workers: files read once, and each worker given its own frames.
//!
//! Frames are not copied. They are named by where they lie in the blocks that were read, and the
//! blocks are shared; a block is read into again when the last worker has let it go. So memory is
//! constant, whatever the size of a file: [`QUEUE`] parcels of at most two blocks for each worker.
//!
//! Which worker a frame belongs to is the caller's to say, as is what the time is: a worker that
//! is given no frames for a while must hear of the time that passes all the same, or it would
//! end its unfinished flows at another moment than a single worker does.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::capture::file::{Block, Files};
use crate::capture::{Batch, CaptureError};
use crate::frame::{Frame, LinkType, SourceId};
use crate::prefetch::{LINE, prefetch};
use crate::time::Timestamp;

/// How many parcels wait for each worker: more work than the scheduler's longest turns, or a
/// worker that has to wait for its processor would soon have the reader, and then all others,
/// wait for it.
pub const QUEUE: usize = 24;

/// How many blocks the frames of one parcel may lie in. Files that overlap are read in turns.
const MAX_BLOCKS: usize = 2;

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

    fn clear(&mut self) {
        self.blocks.clear();
        self.items.clear();
    }
}

/// The reader's side.
#[derive(Debug)]
pub struct Dispatcher {
    workers: Vec<SyncSender<Parcel>>,
    spare: Receiver<Parcel>,
    /// What is being filled for each worker.
    parcels: Vec<Parcel>,
    /// The blocks that all of them refer to.
    blocks: Vec<Block>,
    until: Timestamp,
    /// A worker is gone.
    alone: bool,
}

/// A worker's side.
#[derive(Debug)]
pub struct Inbox {
    full: Receiver<Parcel>,
    spare: SyncSender<Parcel>,
    parcel: Option<Parcel>,
}

/// A dispatcher and the inboxes of its workers.
#[must_use]
pub fn channels(workers: usize) -> (Dispatcher, Vec<Inbox>) {
    let workers = workers.max(1);
    let (give_back, spare) = sync_channel(workers * (QUEUE + 2));
    let mut senders = Vec::new();
    let mut inboxes = Vec::new();
    for _ in 0..workers {
        let (sender, full) = sync_channel(QUEUE);
        senders.push(sender);
        inboxes.push(Inbox { full, spare: give_back.clone(), parcel: None });
    }
    let parcels = (0..workers).map(|_| Parcel::default()).collect();
    let dispatcher = Dispatcher {
        workers: senders,
        spare,
        parcels,
        blocks: Vec::new(),
        until: Timestamp::ZERO,
        alone: false,
    };
    (dispatcher, inboxes)
}

impl Dispatcher {
    /// Reads a batch of `files` and sends each frame where `route` says, which may correct the
    /// frame's time. Waits for workers that are behind. Ends when a worker is gone.
    ///
    /// # Errors
    /// As [`Files`] has them; the frames before were sent.
    pub fn batch(
        &mut self,
        files: &mut Files,
        route: &mut impl FnMut(&mut Frame<'_>) -> Route,
    ) -> Result<Batch, CaptureError> {
        let batch = files.shared_batch(&mut |frame, block, begins| {
            let mut frame = *frame;
            let route = route(&mut frame);
            self.take(&frame, route, block, begins);
        });
        self.send();
        if self.alone { Ok(Batch::End) } else { batch }
    }

    fn take(&mut self, frame: &Frame<'_>, route: Route, block: &Block, begins: usize) {
        let known = self.blocks.iter().position(|known| Arc::ptr_eq(known, block));
        let number = known.unwrap_or_else(|| {
            if self.blocks.len() == MAX_BLOCKS {
                self.send();
            }
            self.blocks.push(Arc::clone(block));
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
    }

    /// Sends what was filled, to every worker: an empty parcel tells the time.
    fn send(&mut self) {
        for (parcel, worker) in self.parcels.iter_mut().zip(&self.workers) {
            let next = self.spare.try_recv().unwrap_or_default();
            let mut parcel = std::mem::replace(parcel, next);
            parcel.blocks.extend(self.blocks.iter().cloned());
            parcel.until = self.until;
            self.alone |= worker.send(parcel).is_err();
        }
        self.blocks.clear();
    }
}

impl Inbox {
    /// The next parcel; waits for it. `None` when the dispatcher is gone and all is done.
    pub fn next_parcel(&mut self) -> Option<&Parcel> {
        if let Some(mut done) = self.parcel.take() {
            // Blocks are let go before the reader can look for them.
            done.clear();
            let _ = self.spare.try_send(done);
        }
        self.parcel = self.full.recv().ok();
        self.parcel.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::thread;

    use super::*;

    /// A capture of `count` frames of up to 1,500 octets; the first octets are the number.
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
            octets.extend(vec![7; len as usize - 4]);
        }
        octets
    }

    /// Every frame reaches its worker once, in order, as it was read, whatever the number of
    /// workers; and all workers hear of the time in between.
    #[test]
    fn every_frame_reaches_its_worker() {
        const FRAMES: u32 = 5_000;
        let directory = tempfile::tempdir().unwrap();
        // Two files whose times overlap, so that blocks are read in turns.
        for (name, from) in [("a", 0), ("b", 2_500)] {
            std::fs::write(directory.path().join(name), capture(FRAMES, from)).unwrap();
        }
        let paths: Vec<PathBuf> = vec![directory.path().into()];
        for workers in 1..4 {
            let mut files = Files::new(&paths, None).unwrap();
            let (mut dispatcher, inboxes) = channels(workers);
            let threads: Vec<_> = inboxes
                .into_iter()
                .enumerate()
                .map(|(worker, mut inbox)| {
                    thread::spawn(move || {
                        let (mut frames, mut times, mut until) = (Vec::new(), 0, Timestamp::ZERO);
                        while let Some(parcel) = inbox.next_parcel() {
                            for step in parcel.steps() {
                                match step {
                                    Step::Frame(frame, now) => {
                                        assert_eq!(now, frame.at);
                                        let mark = frame.data.first_chunk().unwrap();
                                        let n = u32::from_le_bytes(*mark);
                                        assert_eq!(u64::from(n) + 1, frame.number);
                                        assert_eq!(n as usize % workers, worker);
                                        assert_eq!(frame.data.len(), frame.wire_len as usize);
                                        assert!(frame.data[4..].iter().all(|octet| *octet == 7));
                                        frames.push((frame.at, frame.source, frame.number));
                                    }
                                    Step::Time(_) => times += 1,
                                    Step::SetBack => panic!("nobody said so"),
                                }
                            }
                            assert!(frames.last().is_none_or(|last| last.0 <= parcel.until()));
                            until = parcel.until();
                        }
                        assert!(frames.is_sorted());
                        (frames.len(), times, until)
                    })
                })
                .collect();
            let mut route = |frame: &mut Frame<'_>| {
                let n = u32::from_le_bytes(*frame.data.first_chunk().unwrap());
                let (worker, time) = (n as usize, n.is_multiple_of(100));
                Route { worker, now: frame.at, time, set_back: false }
            };
            while let Batch::Frames(_) = dispatcher.batch(&mut files, &mut route).unwrap() {}
            drop(dispatcher);
            let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(ends.iter().map(|end| end.0).sum::<usize>(), 2 * FRAMES as usize);
            assert!(ends.iter().all(|end| end.1 == 100 && end.2 == ends[0].2), "{ends:?}");
        }
    }

    #[test]
    fn a_worker_that_is_gone_ends_the_reading() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), capture(5_000, 0)).unwrap();
        let mut files = Files::new(&[directory.path().into()], None).unwrap();
        let (mut dispatcher, inboxes) = channels(2);
        drop(inboxes);
        let batch = dispatcher.batch(&mut files, &mut |_| Route::default());
        assert_eq!(batch.unwrap(), Batch::End);
    }
}
