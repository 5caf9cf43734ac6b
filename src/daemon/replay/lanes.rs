//! Several workers, each with a pipeline, and no thread beside them: a worker without frames reads
//! and deals out for all, and one that the others are too far behind for that correlates what all
//! have found. (Done by whoever has just found something, it fell to one for long, and the other
//! waited for it two fifths of the time.) Both are done by one at a time, in the same order whoever
//! does it. Every channel is bounded, so memory is bounded, and waited for, so nothing is lost.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ScopedJoinHandle};

use super::{Found, Plan, ReplayError, Replayed, Watch, promise};
use crate::capture::Batch;
use crate::capture::dispatch::{Desk, Dispatcher, QUEUE, Route, Seat, Step};
use crate::capture::file::Files;
use crate::detect::{Correlator, Event, Record};
use crate::export::names::Names;
use crate::pipeline::{Pipeline, Routed, Router};
use crate::time::Timestamp;
use crate::visibility::Ledger;

/// What a worker found in one parcel of frames.
#[derive(Debug)]
struct Yield {
    lane: usize,
    records: Vec<Record>,
    then: Then,
}

/// What holds after that.
#[derive(Debug)]
enum Then {
    /// Nothing earlier will follow.
    Promised(Timestamp),
    /// The clock was set back.
    SetBack,
    /// The worker has finished.
    Ended,
}

/// Where records go.
struct Correlating<'a, E> {
    correlator: Correlator,
    arrivals: Receiver<Yield>,
    /// What the end of the input brings to an end is of any time. It is judged in one order when
    /// all of it is here.
    last: Vec<(usize, Vec<Record>)>,
    each: &'a mut E,
}

/// A worker's way to the correlator.
struct Outbox<'a, 'e, E> {
    lane: usize,
    yields: SyncSender<Yield>,
    correlating: &'a Mutex<Correlating<'e, E>>,
}

pub(super) fn replay(
    files: &mut Files,
    plan: &Plan,
    watch: &mut (impl Watch + Send),
    each: &mut (impl FnMut(&Event<'_>) + Send),
) -> Result<Replayed, ReplayError> {
    let lanes = plan.workers.get();
    // The first is the router's, for what only the whole of the frames can tell.
    let mut ledgers = vec![Arc::new(Ledger::default())];
    let mut router = Router::new(plan.settings.seed, lanes, Arc::clone(&ledgers[0]));
    let mut fault = None;
    let desk = Desk::new(lanes, |dispatcher: &mut Dispatcher| {
        let batch = dispatcher.batch(files, &mut |frame| {
            let Routed { worker, at, now, sweep, set_back } = router.route(frame);
            frame.at = at;
            Route { worker, now, time: sweep, set_back }
        });
        for fault in files.take_faults() {
            watch.fault(&fault);
        }
        let (read, total) = files.progress();
        watch.progress(read, total);
        batch.unwrap_or_else(|error| {
            fault = Some(error);
            Batch::End
        })
    });
    let (yields, arrivals) = sync_channel(lanes * QUEUE);
    let correlator = plan.correlator();
    let correlating = Correlating { correlator, arrivals, last: Vec::new(), each };
    let correlating = Mutex::new(correlating);
    let mut names = Names::new();
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for lane in 0..lanes {
            let ledger = Arc::new(Ledger::default());
            let pipeline = plan.pipeline(&ledger);
            let outbox = Outbox { lane, yields: yields.clone(), correlating: &correlating };
            let (seat, names) = (desk.seat(lane), plan.names);
            workers.push(scope.spawn(move || work_off(pipeline, names, seat, &outbox)));
            ledgers.push(ledger);
        }
        for of_lane in joined(workers)? {
            names.merge(of_lane?)?;
        }
        Ok::<_, ReplayError>(())
    })?;
    drop(yields);
    let correlating = correlating.into_inner().map_err(|_| ReplayError::Panicked)?;
    let correlator = correlating.finish();
    drop(desk);
    match fault {
        Some(fault) => Err(fault.into()),
        None => Ok(Replayed { correlator, ledgers, names }),
    }
}

/// Waits for all of them, also when one has panicked: a scope panics for each that nobody waited for.
fn joined<T>(workers: Vec<ScopedJoinHandle<'_, T>>) -> Result<Vec<T>, ReplayError> {
    let ends: Vec<_> = workers.into_iter().map(ScopedJoinHandle::join).collect();
    ends.into_iter().map(|end| end.map_err(|_| ReplayError::Panicked)).collect()
}

fn work_off<E: FnMut(&Event<'_>)>(
    mut pipeline: Pipeline,
    names: bool,
    mut seat: Seat<'_, impl FnMut(&mut Dispatcher) -> Batch>,
    outbox: &Outbox<'_, '_, E>,
) -> io::Result<Names> {
    let mut found = Found::new(names);
    while let Some(parcel) = seat.next_parcel(|| outbox.correlate()) {
        for step in parcel.steps() {
            match step {
                Step::Frame(frame, now) => pipeline.timed_frame(&frame, frame.at, now, &mut found),
                Step::Time(now) => pipeline.timed_advance(now, &mut found),
                Step::SetBack => outbox.hand_over(&mut found, Then::SetBack)?,
            }
        }
        outbox.hand_over(&mut found, Then::Promised(promise(parcel.until())))?;
    }
    pipeline.finish(&mut found);
    outbox.hand_over(&mut found, Then::Ended)?;
    Ok(found.names.unwrap_or_default())
}

impl<E: FnMut(&Event<'_>)> Outbox<'_, '_, E> {
    /// Sends what was found; correlates only where nobody had time to for long.
    fn hand_over(&self, found: &mut Found, then: Then) -> io::Result<()> {
        let mut yielded = Yield { lane: self.lane, records: found.take()?, then };
        while let Err(TrySendError::Full(back)) = self.yields.try_send(yielded) {
            yielded = back;
            // Another may have left them there: it looked before they came.
            let Ok(mut correlating) = self.correlating.lock() else { break };
            correlating.take_in();
        }
        Ok(())
    }

    /// Correlates what has arrived, unless another worker is just doing so. Was there anything?
    fn correlate(&self) -> bool {
        self.correlating.try_lock().is_ok_and(|mut correlating| correlating.take_in() > 0)
    }
}

impl<E: FnMut(&Event<'_>)> Correlating<'_, E> {
    /// Takes in what has arrived, and says how much.
    fn take_in(&mut self) -> usize {
        let Self { correlator, arrivals, last, each } = self;
        let mut yields = 0;
        for Yield { lane, mut records, then } in arrivals.try_iter() {
            yields += 1;
            if matches!(then, Then::Ended) {
                last.push((lane, records));
                continue;
            }
            correlator.push(lane, &mut records, |event| each(&event));
            match then {
                Then::Promised(to) => correlator.advance(lane, to, |event| each(&event)),
                Then::SetBack => correlator.set_back(lane),
                Then::Ended => {}
            }
        }
        yields
    }

    /// All workers have ended.
    fn finish(mut self) -> Correlator {
        self.take_in();
        let Self { mut correlator, last, each, .. } = self;
        for (lane, mut records) in last {
            correlator.push(lane, &mut records, |event| each(&event));
        }
        correlator.finish(|event| each(&event));
        correlator
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::capture::CaptureError;
    use crate::config::{Config, Flags, Policy};

    /// Which of the two that look on panics.
    struct Panicking {
        reader: bool,
    }

    impl Watch for Panicking {
        fn fault(&mut self, fault: &CaptureError) {
            panic!("{fault}");
        }

        fn progress(&mut self, _read: u64, _total: Option<u64>) {
            assert!(!self.reader, "as the test wants");
        }
    }

    #[test]
    fn several_panics_are_one_error() {
        let joined = thread::scope(|scope| {
            let panicking = || -> () { panic!("as the test wants") };
            joined((0..2).map(|_| scope.spawn(panicking)).collect())
        });
        assert!(matches!(joined, Err(ReplayError::Panicked)));
    }

    /// A worker that panics, reading for all or correlating for all, leaves nobody waiting.
    #[test]
    fn a_panic_is_an_error_and_not_for_ever() {
        let config = Config::read(None, "", |_| None, &Flags::default()).unwrap();
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pcap/clients.pcap");
        // So many side by side that there are several batches.
        let captures = vec![capture; 8];
        for reader in [true, false] {
            for workers in 2..5 {
                let plan = Plan {
                    policy: Policy::load(&config, &[], Timestamp::ZERO).unwrap(),
                    settings: crate::pipeline::Settings::default(),
                    limits: crate::detect::Limits::default(),
                    names: false,
                    workers: workers.try_into().unwrap(),
                };
                let mut files = Files::new(&captures, None).unwrap();
                let mut each = |_: &Event<'_>| assert!(reader, "as the test wants");
                let replayed = replay(&mut files, &plan, &mut Panicking { reader }, &mut each);
                assert!(matches!(replayed, Err(ReplayError::Panicked)), "{workers} workers");
            }
        }
    }
}
