//! The control plane: signals, the HTTP face, reload, the service manager. One thread.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::Thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, interval_at};

use super::correlate::Command;
use super::live::{DaemonError, Reread};
use super::shared::Shared;
use super::worker::clock;
use crate::capture::CaptureError;
use crate::capture::netlink::{self, Link};
use crate::config::{Config, keys};
use crate::export::metrics::VendorState;
use crate::export::web::{self, Ask, Web, WorkerLoad};
use crate::signature::Strength;

/// The end of a thread that should have gone on.
#[derive(Debug)]
pub(super) enum Ended {
    /// A worker has nothing to read any more.
    Worker { interface: Arc<str>, error: Option<CaptureError> },
    /// A fault in this program.
    Panicked { thread: String },
}

/// What it looks after.
pub(super) struct Control {
    pub(super) config: Config,
    pub(super) reread: Reread,
    pub(super) interfaces: Vec<Arc<str>>,
    pub(super) shared: Arc<Shared>,
    pub(super) web: Arc<Web>,
    pub(super) commands: std::sync::mpsc::Sender<Command>,
    pub(super) correlator: Thread,
    pub(super) reopen: Option<Arc<AtomicBool>>,
    pub(super) asked: mpsc::Receiver<Ask>,
    pub(super) endings: mpsc::UnboundedReceiver<Ended>,
    pub(super) workers: usize,
}

/// The signals that are obeyed.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    reopen: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reopen: signal(SignalKind::user_defined1())?,
        })
    }
}

impl Control {
    /// How often load and interfaces are looked at.
    const LOOK: Duration = Duration::from_secs(5);
    /// How long answers that are under way may take when the process stops.
    const FAREWELL: Duration = Duration::from_secs(2);

    /// Serves until it is time to stop.
    pub(super) fn run(self, listeners: Vec<TcpListener>) -> Result<(), DaemonError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DaemonError::Thread)?;
        let outcome = runtime.block_on(self.serve(listeners));
        runtime.shutdown_timeout(Self::FAREWELL);
        outcome
    }

    async fn serve(mut self, listeners: Vec<TcpListener>) -> Result<(), DaemonError> {
        let mut signals = Signals::new().map_err(DaemonError::Thread)?;
        let (stop, stopped) = watch::channel(());
        let mut servers = tokio::task::JoinSet::new();
        let limits = web::Limits::for_requests(self.config.size(&keys::WEB_MAX_REQUESTS));
        for listener in listeners {
            let listener =
                tokio::net::TcpListener::from_std(listener).map_err(DaemonError::Thread)?;
            if let Ok(address) = listener.local_addr() {
                tracing::info!(%address, "listening");
            }
            let router = web::router(Arc::clone(&self.web));
            servers.spawn(web::serve(listener, router, limits, stopped.clone()));
        }
        self.web.ready.store(true, Relaxed);
        notify(&[NotifyState::Ready, NotifyState::Status("capturing")]);
        let outcome = self.attend(&mut signals).await;
        self.web.ready.store(false, Relaxed);
        notify(&[NotifyState::Stopping]);
        // Nobody waits for us any more: the page's questions get no answer from here on.
        self.asked.close();
        let _ = stop.send(());
        let farewell = async { while servers.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Self::FAREWELL, farewell).await;
        outcome
    }

    async fn attend(&mut self, signals: &mut Signals) -> Result<(), DaemonError> {
        let mut look = interval(Self::LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        let every = watchdog.unwrap_or(Duration::from_secs(3_600));
        let mut ping = interval_at(tokio::time::Instant::now() + every, every);
        let mut turns = vec![0; self.web.metrics.workers.len()];
        let mut load = Load::new(&self.web);
        let mut links = Links::new(&self.interfaces);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => {
                    tracing::info!("SIGTERM: stopping");
                    return Ok(());
                }
                _ = signals.interrupt.recv() => {
                    tracing::info!("SIGINT: stopping");
                    return Ok(());
                }
                _ = signals.hangup.recv() => {
                    // Said in the log, and by a gauge.
                    let _ = self.reload();
                }
                _ = signals.reopen.recv() => {
                    if let Some(reopen) = &self.reopen {
                        reopen.store(true, Relaxed);
                    }
                }
                Some(ask) = self.asked.recv() => match ask {
                    Ask::Reload(answer) => {
                        // Who asked may have gone.
                        let _ = answer.send(self.reload());
                    }
                    Ask::Findings(answer) => {
                        let _ = self.commands.send(Command::Findings(answer));
                        self.correlator.unpark();
                    }
                },
                Some(ended) = self.endings.recv() => self.bury(ended)?,
                _ = look.tick() => {
                    load.look(&self.web);
                    self.look_at_interfaces(&mut links);
                    let status = load.status(&self.web, self.interfaces.len());
                    notify(&[NotifyState::Status(&status)]);
                }
                _ = ping.tick(), if watchdog.is_some() => self.ping(&mut turns),
            }
        }
    }

    /// A thread ended. Others go on without a worker whose interface failed; without one that a
    /// fault ended, nobody knows what is still seen.
    fn bury(&mut self, ended: Ended) -> Result<(), DaemonError> {
        match ended {
            Ended::Panicked { thread } => return Err(DaemonError::Panicked(thread)),
            Ended::Worker { interface, error: Some(error) } => {
                tracing::error!(%interface, %error, "a worker ended");
            }
            Ended::Worker { interface, error: None } => {
                tracing::error!(%interface, "a worker ended");
            }
        }
        self.workers -= 1;
        if self.workers == 0 { Err(DaemonError::AllEnded) } else { Ok(()) }
    }

    /// One way for SIGHUP and the page: build anew, check, swap whole. A bad one is refused and
    /// the old one stays.
    fn reload(&mut self) -> Result<(), String> {
        let mut reloading = vec![NotifyState::Reloading];
        reloading.extend(NotifyState::monotonic_usec_now().ok());
        notify(&reloading);
        let fresh = (self.reread)().map_err(|error| error.to_string()).and_then(|config| {
            self.config.admits(&config).map_err(|error| error.to_string())?;
            let policy = self.shared.policy.load();
            let policy = policy
                .next(&config, &self.interfaces, clock())
                .map_err(|error| error.to_string())?;
            Ok((config, policy))
        });
        let sinks = &self.web.metrics.sinks;
        let outcome = match fresh {
            Ok((config, policy)) => {
                let (vendors, indicators) =
                    (policy.vendors().count(), policy.set.indicators().len());
                for pack in self.shared.policy.load().packs_gone_back(&policy) {
                    tracing::warn!(pack, "a pack went back to an older state");
                }
                self.shared.set_policy(policy);
                self.web.metrics.announce();
                self.web.config.store(Arc::new(crate::config::show(&config)));
                self.config = config;
                // The thread only ends after this one.
                let _ = self.commands.send(Command::Configure);
                self.correlator.unpark();
                sinks.reload_failed.store(0, Relaxed);
                tracing::info!(vendors, indicators, "reloaded");
                Ok(())
            }
            Err(why) => {
                sinks.reload_failed.store(1, Relaxed);
                tracing::error!(reason = why, "reload refused; the old configuration stays");
                Err(why)
            }
        };
        notify(&[NotifyState::Ready]);
        outcome
    }

    fn look_at_interfaces(&self, links: &mut Links) {
        links.look(netlink::link);
        for (interface, is_down) in &links.of {
            for cells in self.web.metrics.workers.iter().filter(|c| c.interface == *interface) {
                cells.set_link_down(*is_down);
            }
        }
    }

    /// Tells the service manager that all is well, but only when every worker's loop went round
    /// since the last time.
    fn ping(&self, turns: &mut [u64]) {
        let mut stuck = false;
        for (cells, last) in self.web.metrics.workers.iter().zip(turns) {
            let now = cells.turns();
            stuck |= now == *last && !cells.is_down();
            *last = now;
        }
        if stuck {
            tracing::error!("a worker does not move; the watchdog is not told that all is well");
        } else {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// Which interfaces are down, from one look to the next.
struct Links {
    of: Vec<(Arc<str>, bool)>,
    said: bool,
}

impl Links {
    /// Those of these interfaces that are links of the kernel, all of them up so far. libpcap
    /// captures from others, such as `any`, which are never down.
    fn new(interfaces: &[Arc<str>]) -> Self {
        let links =
            interfaces.iter().filter(|interface| matches!(netlink::link(interface), Ok(Some(_))));
        Self { of: links.map(|interface| (Arc::clone(interface), false)).collect(), said: false }
    }

    /// An interface of which nothing could be learnt is as it was: what failed is this process.
    fn look(&mut self, ask: impl Fn(&str) -> std::io::Result<Option<Link>>) {
        for (interface, was_down) in &mut self.of {
            let is_down = match ask(interface) {
                Ok(link) => !link.is_some_and(|link| link.is_up()),
                Err(error) => {
                    if !self.said {
                        self.said = true;
                        tracing::warn!(
                            %interface, %error,
                            "cannot ask the kernel for the interface; it counts as it was"
                        );
                    }
                    continue;
                }
            };
            if is_down != *was_down {
                *was_down = is_down;
                if is_down {
                    tracing::warn!(%interface, "the interface is down; waiting for it");
                } else {
                    tracing::info!(%interface, "the interface is up again");
                }
            }
        }
    }
}

/// How busy the workers are, from one look to the next.
struct Load {
    since: Instant,
    before: Vec<(Duration, u64)>,
    correlator_before: Duration,
    captured: Captured,
    /// Of the last span: frames a second that reached the interfaces, and the share lost of them.
    rate: f64,
    lost: f64,
}

/// What reached the interfaces.
#[derive(Clone, Copy, Debug, Default)]
struct Captured {
    frames: u64,
    /// Of these, lost before a worker saw them.
    lost: u64,
}

impl Captured {
    fn now(web: &Web) -> Self {
        let mut sum = crate::capture::Counters::default();
        web.metrics.workers.iter().for_each(|cells| sum.add(cells.capture()));
        let lost = sum.dropped();
        Self { frames: sum.packets + sum.skipped_in_kernel + lost, lost }
    }

    fn since(self, before: Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(before.frames),
            lost: self.lost.saturating_sub(before.lost),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn percent_lost(self) -> f64 {
        self.lost as f64 * 100.0 / self.frames.max(1) as f64
    }
}

impl Load {
    fn new(web: &Web) -> Self {
        Self {
            since: Instant::now(),
            before: Self::now(web),
            correlator_before: web.metrics.correlator_busy(),
            captured: Captured::now(web),
            rate: 0.0,
            lost: 0.0,
        }
    }

    fn now(web: &Web) -> Vec<(Duration, u64)> {
        let workers = web.metrics.workers.iter();
        workers.map(|cells| (cells.busy(), cells.ledger.frames.value())).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    fn look(&mut self, web: &Web) {
        let span = self.since.elapsed().as_secs_f64().max(1e-3);
        let now = Self::now(web);
        let loads: Vec<WorkerLoad> = now
            .iter()
            .zip(&self.before)
            .map(|((busy, frames), (busy_before, frames_before))| {
                let busy = busy.saturating_sub(*busy_before).as_secs_f64();
                let frames = frames.saturating_sub(*frames_before) as f64;
                let cost = if frames > 0.0 { busy * 1e9 / frames } else { 0.0 };
                WorkerLoad { busy: busy / span, rate: frames / span, cost }
            })
            .collect();
        let captured = Captured::now(web);
        let lately = captured.since(self.captured);
        self.captured = captured;
        self.rate = lately.frames as f64 / span;
        self.lost = lately.percent_lost();
        let correlating = web.metrics.correlator_busy();
        let correlator = correlating.saturating_sub(self.correlator_before).as_secs_f64() / span;
        self.correlator_before = correlating;
        web.load.store(Arc::new(web::Load { workers: loads, correlator }));
        self.before = now;
        self.since = Instant::now();
    }

    /// A line for `systemctl status`.
    fn status(&self, web: &Web, interfaces: usize) -> String {
        let policy = web.policy.load();
        let seen = reported(&web.metrics.correlator.load().vendors, |vendor, strength| {
            policy.takes(vendor, strength)
        });
        format!(
            "{interfaces} interface{}: now {:.1} kpps, {:.2} % lost; since the start {:.2} % lost; \
             of {} vendors {seen} ever seen",
            if interfaces == 1 { "" } else { "s" },
            self.rate / 1_000.0,
            self.lost,
            self.captured.percent_lost(),
            policy.vendors().count(),
        )
    }
}

/// Of how many vendors something was seen that `takes` lets through.
fn reported(seen: &[VendorState], takes: impl Fn(&str, Strength) -> bool) -> usize {
    let keys = seen.iter().map(|state| &state.key);
    let vendors = keys.filter(|key| takes(&key.0, key.1)).map(|key| &*key.0);
    vendors.collect::<BTreeSet<_>>().len()
}

/// Without a service manager this does nothing.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Seen;
    use crate::time::Timestamp;

    #[test]
    fn vendors_seen_are_some_of_those_that_are_reported() {
        let seen = [
            ("acme", Strength::Weak, "lan"),
            ("acme", Strength::Strong, "lan"),
            ("other", Strength::Weak, "lan"),
            ("third", Strength::Strong, "lan"),
            ("third", Strength::Strong, "lab"),
        ]
        .map(|(vendor, strength, network)| VendorState {
            key: (vendor.into(), strength, network.into()),
            seen: Seen { first: Timestamp::ZERO, last: Timestamp::ZERO },
            clients: 1,
        });
        assert_eq!(reported(&seen, |_, _| true), 3);
        assert_eq!(reported(&seen, |vendor, _| vendor == "acme"), 1);
        assert_eq!(reported(&seen, |_, strength| strength == Strength::Strong), 2);
    }

    #[test]
    fn a_loss_that_is_over_is_not_one_of_now() {
        let before = Captured { frames: 1_000, lost: 500 };
        let now = Captured { frames: 2_000, lost: 500 };
        let percent = |of: Captured| format!("{:.2}", of.percent_lost());
        assert_eq!((now.since(before).frames, percent(now.since(before))), (1_000, "0.00".into()));
        assert_eq!(percent(now), "25.00");
        assert_eq!(percent(Captured::default()), "0.00", "of nothing");
    }

    #[test]
    fn an_interface_that_cannot_be_asked_for_is_as_it_was() {
        let mut links = Links { of: vec![("a".into(), false), ("b".into(), true)], said: false };
        let states = |links: &Links| links.of.iter().map(|(_, down)| *down).collect::<Vec<_>>();
        links.look(|_| Err(std::io::Error::other("too many open files")));
        assert_eq!(states(&links), [false, true]);
        links.look(|name| {
            let up = Link { flags: Link::UP | Link::RUNNING, operational: 6, ..Link::default() };
            Ok((name == "b").then_some(up))
        });
        assert_eq!(states(&links), [true, false], "what the kernel says counts");
    }
}
