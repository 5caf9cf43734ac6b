//! Several workers: this thread reads and deals out, each worker has a pipeline, one more thread
//! correlates. Every channel is bounded and waited for, so memory is bounded and nothing is lost.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{Found, Plan, ReplayError, Replayed, Watch, promise};
use crate::capture::Batch;
use crate::capture::dispatch::{Dispatcher, Inbox, QUEUE, Route, Step, channels};
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

pub(super) fn replay(
    files: &mut Files,
    plan: &Plan,
    watch: &mut impl Watch,
    each: &mut (impl FnMut(&Event<'_>) + Send),
) -> Result<Replayed, ReplayError> {
    let lanes = plan.workers.get();
    thread::scope(|scope| {
        let (yields, arrivals) = sync_channel::<Yield>(lanes * QUEUE);
        let (dispatcher, inboxes) = channels(lanes);
        // The first is the router's, for what only the whole of the frames can tell.
        let mut ledgers = vec![Arc::new(Ledger::default())];
        let mut workers = Vec::new();
        for (lane, inbox) in inboxes.into_iter().enumerate() {
            let ledger = Arc::new(Ledger::default());
            let pipeline = plan.pipeline(&ledger);
            let (yields, names) = (yields.clone(), plan.names);
            workers.push(scope.spawn(move || work_off(lane, pipeline, names, inbox, &yields)));
            ledgers.push(ledger);
        }
        drop(yields);
        let correlator = plan.correlator();
        let correlated = scope.spawn(move || correlate(correlator, &arrivals, each));
        let router = Router::new(plan.settings.seed, lanes, Arc::clone(&ledgers[0]));
        // When it returns the dispatcher is gone: each worker finishes, and so does the correlator.
        let read = deal(files, dispatcher, router, watch);
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

/// Reads and deals out to the end.
fn deal(
    files: &mut Files,
    mut dispatcher: Dispatcher,
    mut router: Router,
    watch: &mut impl Watch,
) -> Result<(), ReplayError> {
    loop {
        let batch = dispatcher.batch(files, &mut |frame| {
            let Routed { worker, at, now, sweep, set_back } = router.route(frame);
            frame.at = at;
            Route { worker, now, time: sweep, set_back }
        });
        for fault in files.take_faults() {
            watch.fault(&fault);
        }
        if batch? == Batch::End {
            return Ok(());
        }
        let (read, total) = files.progress();
        watch.progress(read, total);
    }
}

fn work_off(
    lane: usize,
    mut pipeline: Pipeline,
    names: bool,
    mut inbox: Inbox,
    yields: &SyncSender<Yield>,
) -> io::Result<Names> {
    let mut found = Found::new(names);
    // Whoever does not take it any more has ended first, and says why.
    let hand_over = |found: &mut Found, then| -> io::Result<()> {
        let _ = yields.send(Yield { lane, records: found.take()?, then });
        Ok(())
    };
    while let Some(parcel) = inbox.next_parcel() {
        for step in parcel.steps() {
            match step {
                Step::Frame(frame, now) => pipeline.timed_frame(&frame, frame.at, now, &mut found),
                Step::Time(now) => pipeline.timed_advance(now, &mut found),
                Step::SetBack => hand_over(&mut found, Then::SetBack)?,
            }
        }
        hand_over(&mut found, Then::Promised(promise(parcel.until())))?;
    }
    pipeline.finish(&mut found);
    hand_over(&mut found, Then::Ended)?;
    Ok(found.names.unwrap_or_default())
}

fn correlate(
    mut correlator: Correlator,
    arrivals: &Receiver<Yield>,
    each: &mut impl FnMut(&Event<'_>),
) -> Correlator {
    // What the end of the input brings to an end is of any time. It is judged in one order when
    // all of it is here.
    let mut last = Vec::new();
    for Yield { lane, mut records, then } in arrivals {
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
    for (lane, mut records) in last {
        correlator.push(lane, &mut records, |event| each(&event));
    }
    correlator.finish(|event| each(&event));
    correlator
}
