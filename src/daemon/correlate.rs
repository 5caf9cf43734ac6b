//! The correlator's thread: records of all workers in, metrics, events and inventory out.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::shared::Shared;
use super::worker::{Parcel, clock};
use crate::detect::{Correlator, Event, Finding};
use crate::export::account::Tally;
use crate::export::events::{self, Log};
use crate::export::metrics::Metrics;
use crate::inventory;
use crate::time::Timestamp;

/// What the control plane asks of it.
#[derive(Debug)]
pub(super) enum Command {
    /// Judge by the shared policy from now on.
    Configure,
    /// The findings in memory.
    Findings(oneshot::Sender<Vec<Finding>>),
}

/// The thread's belongings.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) correlator: Correlator,
    /// One a worker; none when it has ended.
    pub(super) lanes: Vec<Option<Receiver<Parcel>>>,
    pub(super) commands: Receiver<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) sinks: Sinks,
    /// How long a client counts after it was last seen.
    pub(super) client_window: Duration,
}

/// Where events go.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) metrics: Arc<Metrics>,
    pub(super) interfaces: Vec<Arc<str>>,
    pub(super) log: Option<Log>,
    pub(super) alert: bool,
    pub(super) inventory: Option<inventory::Writer>,
    pub(super) tally: Tally,
}

/// Parcels taken of one lane before the next has its turn.
const TURN: usize = 64;
/// How long the thread sleeps when nobody wakes it.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often what changed is shown and stored.
const TICK: Duration = Duration::from_millis(500);

/// Since when a client counts: the same for a thousandth of the window, a minute and a half of a day,
/// so that clients are only counted anew when others came.
pub(super) fn window_start(now: Timestamp, window: Duration) -> Timestamp {
    let start = now.minus(window).as_nanos();
    let step = u64::try_from(window.as_nanos() / 1_000).unwrap_or(u64::MAX).max(1);
    Timestamp::from_nanos(start - start % step)
}

impl Stage {
    /// Runs until every worker has ended and everything it said is told.
    pub(super) fn run(mut self) {
        let mut told = Instant::now();
        loop {
            let begun = Instant::now();
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            let busy = self.take_parcels();
            if told.elapsed() >= TICK {
                self.tell();
                told = Instant::now();
            }
            if self.lanes.iter().all(Option::is_none) {
                break;
            }
            self.sinks.metrics.add_correlator_busy(begun.elapsed());
            if !busy {
                std::thread::park_timeout(PATIENCE);
            }
        }
        let Self { correlator, sinks, shared, .. } = &mut self;
        correlator.finish(|event| sinks.event(&event, shared));
        self.tell();
        if let Some(inventory) = &self.sinks.inventory {
            inventory.flush();
        }
    }

    fn take_parcels(&mut self) -> bool {
        let Self { correlator, lanes, sinks, shared, .. } = self;
        let mut busy = false;
        for (number, lane) in lanes.iter_mut().enumerate() {
            for nth in 1..=TURN {
                let Some(receiver) = lane else { break };
                match receiver.try_recv() {
                    Ok(Parcel { mut records, watermark, set_back, idle }) => {
                        // After a whole turn there may be more, with or without records.
                        busy |= !records.is_empty() || nth == TURN;
                        sinks.metrics.workers[number].taken(records.len() as u64);
                        correlator.push(number, &mut records, |event| sinks.event(&event, shared));
                        if set_back {
                            correlator.set_back(number);
                        }
                        if idle {
                            correlator.idle(number);
                        }
                        correlator.advance(number, watermark, |event| sinks.event(&event, shared));
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        // Nothing will come: it holds nobody up any more.
                        correlator.end(number, |event| sinks.event(&event, shared));
                        *lane = None;
                    }
                }
            }
        }
        busy
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Configure => {
                let policy = self.shared.policy.load();
                self.correlator.configure(
                    Arc::clone(&policy.set),
                    Arc::clone(&policy.networks),
                    Arc::clone(&policy.exceptions),
                );
                self.sinks.metrics.withdraw();
                // The next reload may have announced its own meanwhile.
                self.sinks.metrics.announce();
            }
            Command::Findings(answer) => {
                // Who asked may have gone.
                let _ = answer.send(self.correlator.findings().cloned().collect());
            }
        }
    }

    /// Shows and stores what changed.
    fn tell(&mut self) {
        if let Some(attributed) = self.correlator.take_attributed() {
            self.shared.set_attributed(attributed);
        }
        let since = window_start(clock(), self.client_window);
        self.sinks.metrics.refresh(&mut self.correlator, self.sinks.tally, since);
        if let Some(inventory) = &self.sinks.inventory {
            inventory.submit(self.correlator.take_changes());
        }
    }
}

impl Sinks {
    fn event(&mut self, event: &Event<'_>, shared: &Shared) {
        self.metrics.observe(event);
        self.tally.observe(event);
        if let (Event::Detected(detected), Some(log)) = (event, &self.log)
            && detected.notice.is_some()
        {
            let policy = shared.policy.load();
            let indicator = detected.indicator();
            if policy.takes(&indicator.vendor, detected.strength) {
                let source = usize::from(detected.detection.origin.source.0);
                let interface = self.interfaces.get(source).map_or("", |name| &**name);
                log.write(events::line(detected, &policy, interface, self.alert));
            }
        }
    }
}
