//! Several workers: this thread reads and deals out, each worker has a pipeline, one more thread
//! correlates. Every channel is bounded and waited for, so memory is bounded and nothing is lost.

use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{Found, Plan, ReplayError, Replayed, Watch};
use crate::capture::file::Files;
use crate::capture::{Batch, Source};
use crate::decode::fast::Head;
use crate::decode::{self, Decoded};
use crate::detect::{Correlator, Event, Record};
use crate::export::names::Names;
use crate::flow::Clock;
use crate::frame::{Frame, LinkType, SourceId};
use crate::net::Addr;
use crate::pipeline::Pipeline;
use crate::time::Timestamp;
use crate::visibility::Ledger;

/// Chunks that may wait for a worker: with frames of usual size less than 8 MiB each.
const WAITING: usize = 4;

/// Frames of one lane, copied out of the reader's buffer.
#[derive(Debug, Default)]
struct Chunk {
    octets: Vec<u8>,
    frames: Vec<Kept>,
    /// Time jumped before the first of them.
    jump: Option<Timestamp>,
    /// The reader has come this far.
    latest: Timestamp,
}

/// A frame whose octets end at `end` of its chunk.
#[derive(Clone, Copy, Debug)]
struct Kept {
    end: usize,
    wire_len: u32,
    at: Timestamp,
    link: LinkType,
    source: SourceId,
    number: u64,
    vlan: Option<u16>,
}

/// What a worker found in one chunk.
#[derive(Debug)]
struct Parcel {
    lane: usize,
    records: Vec<Record>,
    watermark: Timestamp,
}

pub(super) fn replay(
    files: &mut Files,
    plan: &Plan,
    watch: &mut impl Watch,
    each: &mut (impl FnMut(&Event<'_>) + Send),
) -> Result<Replayed, ReplayError> {
    let lanes = plan.workers.get();
    thread::scope(|scope| {
        let (parcels, arrivals) = sync_channel::<Parcel>(lanes * WAITING);
        let mut workers = Vec::new();
        let mut dealt = Vec::new();
        let mut ledgers = vec![Arc::new(Ledger::default())];
        for lane in 0..lanes {
            let (chunks, work) = sync_channel::<Chunk>(WAITING);
            let (done, returned) = sync_channel::<Chunk>(WAITING + 1);
            let ledger = Arc::new(Ledger::default());
            let pipeline = plan.pipeline(&ledger);
            let (parcels, names) = (parcels.clone(), plan.names);
            workers
                .push(scope.spawn(move || work_off(lane, pipeline, names, &work, &parcels, &done)));
            dealt.push(Lane { chunks, returned, open: Chunk::default() });
            ledgers.push(ledger);
        }
        drop(parcels);
        let correlator = plan.correlator();
        let correlated = scope.spawn(move || correlate(correlator, &arrivals, each));
        let mut dealer = Dealer {
            lanes: dealt,
            clock: Clock::default(),
            latest: Timestamp::ZERO,
            plan,
            ledger: Arc::clone(&ledgers[0]),
        };
        let read = dealer.deal(files, watch);
        // The lanes end, each worker finishes, and so does the correlator.
        drop(dealer);
        let mut names = Names::new();
        for worker in workers {
            let of_lane = worker.join().map_err(|_| ReplayError::Panicked)??;
            names.merge(of_lane)?;
        }
        let correlator = correlated.join().map_err(|_| ReplayError::Panicked)?;
        read?;
        Ok(Replayed { correlator, ledgers, names })
    })
}

/// The way to one worker.
struct Lane {
    chunks: SyncSender<Chunk>,
    /// Chunks that are worked off, for their buffers.
    returned: Receiver<Chunk>,
    open: Chunk,
}

struct Dealer<'a> {
    lanes: Vec<Lane>,
    /// Judges time over all frames, as a single worker would.
    clock: Clock,
    latest: Timestamp,
    plan: &'a Plan,
    /// For what is counted before frames are dealt out.
    ledger: Arc<Ledger>,
}

impl Dealer<'_> {
    fn deal(&mut self, files: &mut Files, watch: &mut impl Watch) -> Result<(), ReplayError> {
        loop {
            let batch = files.batch(Duration::ZERO, &mut |frame| self.put(frame));
            for fault in files.take_faults() {
                watch.fault(&fault);
            }
            let batch = batch?;
            self.send();
            if batch == Batch::End {
                return Ok(());
            }
            let (read, total) = files.progress();
            watch.progress(read, total);
        }
    }

    fn put(&mut self, frame: &Frame<'_>) {
        let tick = self.clock.tick(frame.source, frame.at);
        if tick.clamped {
            self.ledger.time_clamped.add(1);
        }
        if self.latest != Timestamp::ZERO && tick.at.since(self.latest) >= Clock::JUMP / 2 {
            // A lane may have had no frame for long and must not take this one's stamp for wild.
            self.send();
            for lane in &mut self.lanes {
                lane.open.jump = Some(tick.at);
            }
        }
        self.latest = self.latest.max(tick.at);
        let frame = Frame { at: tick.at, ..*frame };
        let lane = lane_of(&frame, self.plan, self.lanes.len());
        self.lanes[lane].open.put(&frame);
    }

    /// Sends what is open, to every lane, so that time moves on for all of them.
    fn send(&mut self) {
        for lane in &mut self.lanes {
            let mut next = lane.returned.try_recv().unwrap_or_default();
            next.clear();
            let mut chunk = core::mem::replace(&mut lane.open, next);
            chunk.latest = self.latest;
            // A worker that is gone has panicked, which is told when it is joined.
            let _ = lane.chunks.send(chunk);
        }
    }
}

impl Chunk {
    fn put(&mut self, frame: &Frame<'_>) {
        self.octets.extend_from_slice(frame.data);
        self.frames.push(Kept {
            end: self.octets.len(),
            wire_len: frame.wire_len,
            at: frame.at,
            link: frame.link,
            source: frame.source,
            number: frame.number,
            vlan: frame.vlan,
        });
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.frames.clear();
        self.jump = None;
    }

    fn each(&self, mut take: impl FnMut(&Frame<'_>)) {
        let mut begin = 0;
        for kept in &self.frames {
            let Kept { end, wire_len, at, link, source, number, vlan } = *kept;
            let data = self.octets.get(begin..end).unwrap_or_default();
            begin = end;
            take(&Frame { data, wire_len, at, link, source, number, vlan });
        }
    }
}

fn work_off(
    lane: usize,
    mut pipeline: Pipeline,
    names: bool,
    work: &Receiver<Chunk>,
    parcels: &SyncSender<Parcel>,
    done: &SyncSender<Chunk>,
) -> io::Result<Names> {
    let mut found = Found::new(names);
    let mut watermark = Timestamp::ZERO;
    for chunk in work {
        if let Some(jump) = chunk.jump {
            pipeline.advance(jump, &mut found);
        }
        chunk.each(|frame| pipeline.frame(frame, &mut found));
        watermark = chunk.latest;
        let records = found.take()?;
        // Whoever does not take it any more has ended first, and says why.
        let _ = parcels.send(Parcel { lane, records, watermark });
        let _ = done.try_send(chunk);
    }
    pipeline.finish(&mut found);
    let records = found.take()?;
    let _ = parcels.send(Parcel { lane, records, watermark });
    Ok(found.names.unwrap_or_default())
}

fn correlate(
    mut correlator: Correlator,
    arrivals: &Receiver<Parcel>,
    each: &mut impl FnMut(&Event<'_>),
) -> Correlator {
    for Parcel { lane, records, watermark } in arrivals {
        for record in records {
            correlator.push(lane, record, |event| each(&event));
        }
        correlator.advance(lane, watermark, |event| each(&event));
    }
    correlator.finish(|event| each(&event));
    correlator
}

/// The lane of a frame: the same for every packet between two hosts.
fn lane_of(frame: &Frame<'_>, plan: &Plan, lanes: usize) -> usize {
    let (a, b) = match Head::of(frame) {
        Some(head) => {
            let (source, destination) = head.ends();
            (source.addr, destination.addr)
        }
        None => match decode::frame(frame, &plan.settings.tenants) {
            Decoded::Packet(packet) => (packet.path.source.addr, packet.path.destination.addr),
            Decoded::Fragment(fragment) => (fragment.source, fragment.destination),
            Decoded::Not(_) => return 0,
        },
    };
    mix(a, b) % lanes
}

/// A hash that does not care which of the two is first.
fn mix(a: Addr, b: Addr) -> usize {
    let fold = |addr: Addr| {
        let bits = addr.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        bits ^ bits >> 64
    };
    let sum = fold(a).wrapping_add(fold(b)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    usize::try_from(sum >> 40 & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_directions_meet(a: u128, b: u128) {
            let (a, b) = (Addr::from_bits(a), Addr::from_bits(b));
            prop_assert_eq!(mix(a, b), mix(b, a));
        }
    }

    #[test]
    fn hosts_of_one_prefix_spread() {
        let server = Addr::from_v4([192, 0, 2, 1]);
        let mut counts = [0_u32; 2];
        for host in 0..=255 {
            counts[mix(Addr::from_v4([10, 0, 0, host]), server) % 2] += 1;
        }
        assert!(counts.iter().all(|count| (90..=166).contains(count)), "{counts:?}");
    }
}
