//! The daemon: opens everything, gives up privileges, starts the threads, and looks after them
//! until it is told to stop.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, mpsc};

use super::control::{Control, Ended};
use super::correlate::{Command, Sinks, Stage, window_start};
use super::privileges::{self, PrivilegeError};
use super::settings;
use super::shared::Shared;
use super::worker::{PARCELS, Parcel, Parts, Worker, clock};
use crate::capture::interfaces::distortions;
use crate::capture::live::{Backend, Live, Options, open_live};
use crate::capture::ring;
use crate::capture::{CaptureError, Source};
use crate::config::{Config, ConfigError, Policy, PolicyError, keys};
use crate::decode::IdSpace;
use crate::detect::Correlator;
use crate::export::account::Tally;
use crate::export::events::{self, Log, LogError};
use crate::export::metrics::{Metrics, WorkerCells};
use crate::export::web::{self, ListenError, Web};
use crate::frame::SourceId;
use crate::inventory::{self, InventoryError, Location};
use crate::pipeline::{Pipeline, Settings, sample_mark};

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("no interface to capture from: give -i, or set capture.interfaces")]
    NoInterface,
    #[error("capture.cpus: `{0}` is not the number of a processor")]
    Cpu(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    Events(#[from] LogError),
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// A fault in this program: what it still sees is not known, so it ends.
    #[error("thread {0} panicked; the log says where")]
    Panicked(String),
    /// Every interface failed.
    #[error("nothing is left to capture from")]
    AllEnded,
}

impl DaemonError {
    /// Is it a matter of usage, configuration or signatures?
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoInterface
                | Self::Cpu(_)
                | Self::Config(_)
                | Self::Policy(_)
                | Self::Capture(CaptureError::Filter { .. })
                | Self::Listen(ListenError::Address(_) | ListenError::Twice { .. })
                | Self::Privileges(PrivilegeError::NoUser(_))
        )
    }
}

/// Reads the configuration again, from where it was read first.
pub type Reread = Box<dyn Fn() -> Result<Config, ConfigError>>;

/// Runs until SIGTERM or SIGINT, or until nothing is left to capture from.
pub fn run(config: Config, reread: Reread) -> Result<(), DaemonError> {
    let interfaces = interfaces(&config)?;
    let policy = Policy::load(&config, &interfaces, clock())?;
    let addresses = config.list(&keys::WEB_LISTEN_ADDRESS);
    if let Some(wrong) = web::check(addresses).into_iter().next() {
        return Err(wrong.into());
    }
    let settings = settings(&config);
    let opened = open_sources(&config, &interfaces, settings.seed)?;
    let listeners = addresses
        .iter()
        .map(|address| web::listen(address))
        .collect::<Result<Vec<TcpListener>, _>>()?;
    // One filter is enough: without CAP_BPF its maps could not be written any more.
    privileges::give_up(user(&config), opened.backends.iter().copied().any(Backend::filters))?;
    if privileges::is_root() {
        tracing::warn!(
            "running as root, without its capabilities; --user, or the shipped unit, takes the rest"
        );
    }
    let log = match config.text(&keys::EVENTS_PATH) {
        "" => None,
        path => Some(events::Output::parse(path).open()?),
    };
    let limits = super::limits(&config);
    let inventory = open_inventory(&config, limits.findings)?;

    let policy = Arc::new(ArcSwap::from_pointee(policy));
    let cells: Vec<Arc<WorkerCells>> = opened
        .posts
        .iter()
        .map(|post| Arc::new(WorkerCells::new(Arc::clone(&interfaces[usize::from(post.id.0)]))))
        .collect();
    let metrics = Arc::new(Metrics::new(
        Arc::clone(&policy),
        cells.clone(),
        interfaces.clone(),
        Backend::weakest(&opened.backends).unwrap_or_default().label(),
    )?);
    let log = log
        .map(|opened| Log::start(opened, config.size(&keys::EVENTS_QUEUE), Arc::clone(&metrics)))
        .transpose()?;
    let reopen = log.as_ref().map(Log::reopener);
    let shared = Arc::new(Shared::new(Arc::clone(&policy)));

    let mut correlator = {
        let policy = policy.load();
        let (set, networks) = (Arc::clone(&policy.set), Arc::clone(&policy.networks));
        let mut correlator =
            Correlator::new(&limits, cells.len(), Arc::clone(&set), Arc::clone(&networks));
        correlator.configure(set, networks, Arc::clone(&policy.exceptions));
        correlator.set_resolvers(Arc::clone(&settings.resolvers));
        correlator
    };
    let inventory = inventory.map(|opened| {
        let inventory::Opened { writer, restored, .. } = opened;
        tracing::info!(findings = restored.findings.len(), "the inventory is open");
        correlator.restore(restored.findings, restored.vendors);
        correlator.keep_changes();
        // Set once, here.
        let _ = metrics.inventory.set(Arc::clone(writer.stats()));
        writer
    });
    let client_window = config.span(&keys::METRICS_CLIENT_WINDOW);
    let since = window_start(clock(), client_window);
    metrics.refresh(&mut correlator, Tally::default(), since);

    let (commands, orders) = std::sync::mpsc::channel::<Command>();
    let (senders, lanes): (Vec<_>, Vec<_>) =
        cells.iter().map(|_| sync_channel::<Parcel>(PARCELS)).unzip();
    let stage = Stage {
        correlator,
        lanes: lanes.into_iter().map(Some).collect(),
        commands: orders,
        shared: Arc::clone(&shared),
        sinks: Sinks {
            metrics: Arc::clone(&metrics),
            interfaces: interfaces.clone(),
            log,
            alert: config.switch(&keys::EVENTS_ALERT),
            inventory,
            tally: Tally::default(),
        },
        client_window,
    };
    let (ended, endings) = mpsc::unbounded_channel::<Ended>();
    let stage = spawn("correlate", &ended, move || stage.run())?;

    let mut workers = Vec::new();
    let settings = Settings { one_of_many: opened.posts.len() > 1, ..settings };
    for (number, (post, parcels)) in opened.posts.into_iter().zip(senders).enumerate() {
        let Post { id, source, cpu } = post;
        let set = Arc::clone(&policy.load().set);
        let ledger = Arc::clone(&cells[number].ledger);
        let settings = Settings { filtered: source.leaves_out(), ..settings.clone() };
        let worker = Worker::new(Parts {
            source,
            id,
            pipeline: Pipeline::with(set, ledger, settings),
            cells: Arc::clone(&cells[number]),
            shared: Arc::clone(&shared),
            parcels,
            correlator: stage.thread().clone(),
            most_waiting: config.number(&keys::BUDGETS_RECORDS),
        });
        let interface = Arc::clone(&interfaces[usize::from(id.0)]);
        let told = ended.clone();
        workers.push(spawn(&format!("worker-{number}"), &ended, move || {
            if let Some(cpu) = cpu {
                pin(number, cpu);
            }
            let outcome = worker.run();
            // The control plane may have gone.
            let _ = told.send(Ended::Worker { interface, error: outcome.err() });
        })?);
    }
    drop(ended);

    let (asks, asked) = mpsc::channel(16);
    let web = Arc::new(Web {
        metrics,
        policy,
        ready: false.into(),
        filtered: filter(&config).is_some(),
        config: ArcSwap::from_pointee(crate::config::show(&config)),
        load: ArcSwap::default(),
        asks,
        requests: Semaphore::new(config.size(&keys::WEB_MAX_REQUESTS)),
    });
    let control = Control {
        config,
        reread,
        interfaces,
        shared: Arc::clone(&shared),
        web,
        commands,
        correlator: stage.thread().clone(),
        reopen,
        asked,
        endings,
        workers: workers.len(),
    };
    let outcome = control.run(listeners);
    shared.stop();
    for worker in workers {
        join(worker);
    }
    join(stage);
    tracing::info!("stopped");
    outcome
}

/// Workers when nobody says how many: more than a 40 Gbit/s link needs, and few enough that their
/// budgets together stay inside what the shipped unit allows.
const MOST_WORKERS: usize = 8;

/// What a worker reads, and where it runs.
struct Post {
    /// The number of its interface.
    id: SourceId,
    source: Live,
    /// `None`: wherever the scheduler has it.
    cpu: Option<usize>,
}

struct Sources {
    /// One for each worker.
    posts: Vec<Post>,
    /// One for each interface.
    backends: Vec<Backend>,
}

pub(super) fn interfaces(config: &Config) -> Result<Vec<Arc<str>>, DaemonError> {
    let mut interfaces: Vec<Arc<str>> = Vec::new();
    for name in config.list(&keys::CAPTURE_INTERFACES) {
        if !interfaces.iter().any(|known| **known == **name) {
            interfaces.push(name.as_str().into());
        }
    }
    if interfaces.is_empty() { Err(DaemonError::NoInterface) } else { Ok(interfaces) }
}

/// Whom the daemon becomes.
pub(super) fn user(config: &Config) -> Option<&str> {
    Some(config.text(&keys::DAEMON_USER)).filter(|user| !user.is_empty())
}

/// The expression that frames are chosen by.
pub(super) fn filter(config: &Config) -> Option<String> {
    let filter = config.text(&keys::CAPTURE_FILTER);
    (!filter.is_empty()).then(|| filter.to_owned())
}

/// The processors that workers are pinned to.
pub(super) fn cpus(config: &Config) -> Result<Vec<usize>, DaemonError> {
    let cpus = config.list(&keys::CAPTURE_CPUS).iter();
    cpus.map(|cpu| cpu.parse().map_err(|_| DaemonError::Cpu(cpu.clone()))).collect()
}

fn open_sources(
    config: &Config,
    interfaces: &[Arc<str>],
    seed: u64,
) -> Result<Sources, DaemonError> {
    let mut options = options(config, interfaces.len())?;
    options.sampled = Some(sample_mark(seed));
    // The flows of two VLANs may have the same addresses and ports, and the filter knows them by
    // these alone; a card may take a tag out before the driver's filter sees the frame.
    if options.backend.filters() && has_vlan_tenants(config) {
        tracing::warn!(
            "a [[tenant]] of VLANs is declared: no in-kernel filter, every frame is delivered"
        );
        options.backend = Backend::Ring;
    }
    let mut posts = Vec::new();
    let mut backends = Vec::new();
    for (number, interface) in interfaces.iter().enumerate() {
        let id = SourceId(u16::try_from(number).unwrap_or(u16::MAX));
        options.workers_before = posts.len();
        let opened = open_live(interface, id, &options)?;
        for notice in &opened.notices {
            tracing::warn!("{notice}");
        }
        match distortions(interface) {
            Ok(found) => {
                for distortion in found {
                    let advice = distortion.to_string().replace("IFACE", interface);
                    tracing::warn!(%interface, "{advice}");
                }
            }
            Err(error) => tracing::debug!(%interface, %error, "cannot ask for its settings"),
        }
        backends.push(opened.backend);
        tracing::info!(
            %interface,
            backend = opened.backend.label(),
            workers = opened.sources.len(),
            "capturing"
        );
        posts.extend((0..).zip(opened.sources).map(|(place, source)| Post {
            id,
            source,
            cpu: options.cpu(place),
        }));
    }
    Ok(Sources { posts, backends })
}

fn has_vlan_tenants(config: &Config) -> bool {
    let mut ids = config.places.tenants.iter().flat_map(|tenant| &tenant.ids);
    ids.any(|(space, _)| *space == IdSpace::Vlan)
}

fn options(config: &Config, interfaces: usize) -> Result<Options, DaemonError> {
    let backend = match config.text(&keys::CAPTURE_BACKEND) {
        "libpcap" => Backend::Libpcap,
        "ring" => Backend::Ring,
        "xdp" => Backend::Xdp,
        _ => Backend::Auto,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = match config.size(&keys::CAPTURE_WORKERS) {
        0 => (cores.min(MOST_WORKERS) / interfaces.max(1)).max(1),
        workers => workers,
    };
    let busy_poll = config.span(&keys::CAPTURE_BUSY_POLL);
    Ok(Options {
        backend,
        workers: u16::try_from(workers).unwrap_or(u16::MAX),
        ring_bytes: config.number(&keys::CAPTURE_BUFFER),
        filter: filter(config),
        promiscuous: config.switch(&keys::CAPTURE_PROMISCUOUS),
        ignore_outgoing: config.switch(&keys::CAPTURE_IGNORE_OUTGOING),
        hardware_time: config.switch(&keys::CAPTURE_HARDWARE_TIME),
        busy_poll: (busy_poll > Duration::ZERO).then_some(busy_poll),
        cpus: cpus(config)?,
        kernel_flows: u32::try_from(config.number(&keys::CAPTURE_KERNEL_FLOWS)).unwrap_or(u32::MAX),
        ..Options::default()
    })
}

fn open_inventory(
    config: &Config,
    findings: usize,
) -> Result<Option<inventory::Opened>, DaemonError> {
    let state_directory = match config.text(&keys::DAEMON_STATE_DIR) {
        "" => std::env::var("STATE_DIRECTORY").ok(),
        named => Some(named.to_owned()),
    };
    let location = Location::parse(config.text(&keys::INVENTORY_PATH));
    let Some(path) = location.to_write(state_directory.as_deref()) else {
        if location == Location::Auto {
            tracing::warn!(
                "no inventory is kept: what is seen first is forgotten at the next start; \
                 --state-dir DIR keeps it"
            );
        }
        return Ok(None);
    };
    let limits = inventory::Limits {
        rows: config.number(&keys::INVENTORY_MAX_ROWS),
        bytes: config.number(&keys::INVENTORY_MAX_BYTES),
        retention: config.span(&keys::INVENTORY_RETENTION),
        ..inventory::Limits::default()
    };
    Ok(Some(inventory::Writer::open(&path, limits, findings)?))
}

/// Starts a thread whose panic `ended` hears of.
fn spawn(
    name: &str,
    ended: &mpsc::UnboundedSender<Ended>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, DaemonError> {
    let sentinel = Sentinel { thread: name.to_owned(), ended: ended.clone() };
    let work = move || {
        let _sentinel = sentinel;
        work();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(DaemonError::Thread)
}

/// Tells the control plane when the thread that has it panics.
struct Sentinel {
    thread: String,
    ended: mpsc::UnboundedSender<Ended>,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = core::mem::take(&mut self.thread);
            // The control plane may have gone.
            let _ = self.ended.send(Ended::Panicked { thread });
        }
    }
}

/// Keeps the calling worker on the processor whose memory its ring has. Elsewhere it is slower and
/// misses nothing, so that it goes on.
fn pin(number: usize, cpu: usize) {
    if let Err(error) = ring::pin(cpu) {
        tracing::warn!(
            worker = number,
            cpu,
            %error,
            "the worker is not pinned: capture.cpus may name processors of this host that the \
             service manager allows, and SystemCallFilter must allow sched_setaffinity"
        );
    }
}

fn join(thread: JoinHandle<()>) {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    if thread.join().is_err() {
        tracing::error!(thread = name, "a thread had panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_panics_is_heard_of_and_who_ends_is_not() {
        let (ended, mut endings) = mpsc::unbounded_channel();
        let threads = [
            spawn("ends", &ended, || ()).unwrap(),
            spawn("panics", &ended, || assert_eq!(1, 2, "as the test wants")).unwrap(),
        ];
        drop(ended);
        let outcomes = threads.map(|thread| thread.join().is_ok());
        assert_eq!(outcomes, [true, false]);
        let Some(Ended::Panicked { thread }) = endings.blocking_recv() else { panic!() };
        assert_eq!(thread, "panics");
        assert!(endings.blocking_recv().is_none());
    }
}
