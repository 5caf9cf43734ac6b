//! Metrics for Prometheus. Families are declared in [`families`]; what events move is kept here,
//! what workers count is read at scrape time.

pub mod cells;
pub mod families;
pub mod family;
mod process;
mod scrape;

pub use cells::WorkerCells;
pub use families::ALL;
pub use family::{Family, Kind};

use core::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::core::Collector as _;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGaugeVec, Registry, TextEncoder};

use crate::config::Policy;
use crate::detect::{ConnectionOutcome, Correlator, Ech, EncryptedDns, Event, Seen, VendorKey};
use crate::export::account::Tally;
use crate::inventory;
use crate::signature::Strength;
use crate::time::Timestamp;
use scrape::Scrape;

/// The families as a table for the manual.
#[must_use]
pub fn table() -> String {
    let mut out = String::from("| family | type | labels | what |\n| --- | --- | --- | --- |\n");
    for Family { name, kind, labels, help } in ALL {
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let (kind, labels) = (kind.label(), labels.join(", "));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{name}` | {kind} | {labels} | {help} |");
    }
    out
}

/// What the correlator's thread last said of itself.
#[derive(Clone, Debug, Default)]
pub struct CorrelatorState {
    pub tables: Vec<crate::detect::TableUse>,
    pub counts: crate::detect::Counts,
    pub tally: Tally,
    pub vendors: Vec<VendorState>,
}

/// What was seen of a vendor at one strength in one network.
#[derive(Clone, Debug)]
pub struct VendorState {
    pub key: VendorKey,
    pub seen: Seen,
    /// Distinct ones, within the window.
    pub clients: u64,
}

/// Counts of the sinks behind the correlator.
#[derive(Debug, Default)]
pub struct SinkCounts {
    pub events: AtomicU64,
    pub events_queue_full: AtomicU64,
    pub events_unwritten: AtomicU64,
    pub reload_failed: AtomicU64,
}

/// All metrics of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    detections: IntCounterVec,
    findings_new: IntCounterVec,
    clients: IntGaugeVec,
    first_seen: GaugeVec,
    last_seen: GaugeVec,
    unexcepted_first_seen: GaugeVec,
    unexcepted_last_seen: GaugeVec,
    sent_bytes: IntCounterVec,
    received_bytes: IntCounterVec,
    encrypted_dns: IntCounterVec,
    ech_hellos: IntCounterVec,
    never_resolved: IntCounterVec,
    /// By network and outcome, resolved once: connections are many.
    connections: Vec<[IntCounter; ConnectionOutcome::ALL.len()]>,
    /// By interface, as the next.
    copies: Vec<AtomicU64>,
    split_flows: Vec<AtomicU64>,
    policy: Arc<ArcSwap<Policy>>,
    pub correlator: ArcSwap<CorrelatorState>,
    correlator_busy_nanos: AtomicU64,
    pub sinks: SinkCounts,
    pub workers: Vec<Arc<WorkerCells>>,
    /// Of the inventory on disk, where there is one.
    pub inventory: OnceLock<Arc<inventory::Stats>>,
    /// Names of the sources, by number.
    interfaces: Vec<Arc<str>>,
    backend: &'static str,
}

impl Metrics {
    /// For these workers, on these interfaces. Series that rules ask for exist from now on.
    pub fn new(
        policy: Arc<ArcSwap<Policy>>,
        workers: Vec<Arc<WorkerCells>>,
        interfaces: Vec<Arc<str>>,
        backend: &'static str,
    ) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let connections = families::CONNECTIONS.counters(&registry)?;
        let networks = Arc::clone(&policy.load().networks);
        let metrics = Self {
            detections: families::DETECTIONS.counters(&registry)?,
            findings_new: families::FINDINGS_NEW.counters(&registry)?,
            clients: families::VENDOR_CLIENTS.gauges(&registry)?,
            first_seen: families::FIRST_SEEN.seconds(&registry)?,
            last_seen: families::LAST_SEEN.seconds(&registry)?,
            unexcepted_first_seen: families::UNEXCEPTED_FIRST_SEEN.seconds(&registry)?,
            unexcepted_last_seen: families::UNEXCEPTED_LAST_SEEN.seconds(&registry)?,
            sent_bytes: families::SENT_BYTES.counters(&registry)?,
            received_bytes: families::RECEIVED_BYTES.counters(&registry)?,
            encrypted_dns: families::ENCRYPTED_DNS.counters(&registry)?,
            ech_hellos: families::ECH_HELLOS.counters(&registry)?,
            never_resolved: families::NEVER_RESOLVED.counters(&registry)?,
            connections: networks
                .names()
                .iter()
                .map(|network| {
                    ConnectionOutcome::ALL.map(|outcome| {
                        connections.with_label_values(&[&**network, outcome.label()])
                    })
                })
                .collect(),
            copies: interfaces.iter().map(|_| AtomicU64::new(0)).collect(),
            split_flows: interfaces.iter().map(|_| AtomicU64::new(0)).collect(),
            registry,
            policy,
            correlator: ArcSwap::default(),
            correlator_busy_nanos: AtomicU64::new(0),
            sinks: SinkCounts::default(),
            workers,
            inventory: OnceLock::new(),
            interfaces,
            backend,
        };
        metrics.announce();
        Ok(metrics)
    }

    /// The correlator's thread worked for this long.
    pub fn add_correlator_busy(&self, span: Duration) {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(0);
        self.correlator_busy_nanos.fetch_add(nanos, Relaxed);
    }

    /// How long it has worked so far.
    #[must_use]
    pub fn correlator_busy(&self) -> Duration {
        Duration::from_nanos(self.correlator_busy_nanos.load(Relaxed))
    }

    /// The interfaces, by the number of their source.
    #[must_use]
    pub fn interfaces(&self) -> &[Arc<str>] {
        &self.interfaces
    }

    /// Those that are down or gone.
    #[must_use]
    pub fn interfaces_down(&self) -> Vec<&str> {
        let is_down = |interface: &&Arc<str>| {
            let of_it = |cells: &&Arc<WorkerCells>| cells.interface == **interface;
            let mut workers = self.workers.iter().filter(of_it);
            workers.any(|cells| cells.is_down() || cells.is_link_down())
        };
        self.interfaces.iter().filter(is_down).map(|interface| &**interface).collect()
    }

    /// How often an interface went down or away. Each worker notices the same outage; one that was
    /// away itself notices fewer.
    #[must_use]
    pub fn outages(&self, interface: &str) -> u64 {
        let workers = self.workers.iter().filter(|cells| &*cells.interface == interface);
        workers.map(|cells| cells.capture().outages).max().unwrap_or(0)
    }

    /// Makes the series of the policy in force exist, with value 0 where nothing was seen.
    pub fn announce(&self) {
        let policy = self.policy.load();
        for network in policy.networks.names() {
            for vendor in policy.vendors() {
                for strength in Strength::ALL {
                    if strength < policy.selection.min_strength {
                        continue;
                    }
                    let labels = [&*vendor.id, strength.label(), &**network];
                    self.findings_new.with_label_values(&labels);
                    self.clients.with_label_values(&labels);
                    self.first_seen.with_label_values(&labels);
                    self.last_seen.with_label_values(&labels);
                    self.unexcepted_first_seen.with_label_values(&labels);
                    self.unexcepted_last_seen.with_label_values(&labels);
                }
                self.sent_bytes.with_label_values(&[&*vendor.id, &**network]);
                self.received_bytes.with_label_values(&[&*vendor.id, &**network]);
            }
            for kind in EncryptedDns::ALL {
                self.encrypted_dns.with_label_values(&[kind.label(), &**network]);
            }
            self.never_resolved.with_label_values(&[&**network]);
            for verdict in [Ech::Real, Ech::Grease, Ech::Unknown] {
                self.ech_hellos.with_label_values(&[verdict.label(), &**network]);
            }
        }
    }

    /// Takes the gauges back of what the policy in force does not take any more: a rule would ask
    /// for their last values until the next start. Counters stay, as what they count has been.
    ///
    /// For the correlator's thread: beside it, they could be set again by the policy before.
    pub fn withdraw(&self) {
        let policy = self.policy.load();
        for family in self.clients.collect() {
            for metric in family.get_metric() {
                let label = |name| {
                    let pair = metric.get_label().iter().find(|pair| pair.name() == name);
                    pair.map_or("", |pair| pair.value())
                };
                let labels = ["vendor", "strength", "network"].map(label);
                if shows(&policy, labels) {
                    continue;
                }
                // All five come and go together: what is not there was taken back before.
                let _ = self.clients.remove_label_values(&labels);
                for gauges in [
                    &self.first_seen,
                    &self.last_seen,
                    &self.unexcepted_first_seen,
                    &self.unexcepted_last_seen,
                ] {
                    let _ = gauges.remove_label_values(&labels);
                }
            }
        }
    }

    /// Counts what the correlator says. For its thread.
    pub fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Detected(detected) => {
                let policy = self.policy.load();
                let indicator = detected.indicator();
                if !policy.takes(&indicator.vendor, detected.strength) {
                    return;
                }
                let network = policy.networks.name(detected.network);
                let labels = [&*indicator.vendor, detected.strength.label(), &**network];
                self.detections
                    .with_label_values(&[
                        &*indicator.vendor,
                        indicator.purpose.label(),
                        detected.strength.label(),
                        detected.detection.signal.label(),
                        &**network,
                    ])
                    .inc();
                if detected.new_finding {
                    self.findings_new.with_label_values(&labels).inc();
                }
                let at = detected.detection.origin.at.as_secs_f64();
                let first_seen = self.first_seen.with_label_values(&labels);
                if first_seen.get() == 0.0 {
                    first_seen.set(at);
                }
                let last_seen = self.last_seen.with_label_values(&labels);
                last_seen.set(last_seen.get().max(at));
            }
            Event::Connection { network, outcome, never_resolved } => {
                if *never_resolved {
                    let policy = self.policy.load();
                    let network = policy.networks.name(*network);
                    self.never_resolved.with_label_values(&[&**network]).inc();
                }
                let counters = self.connections.get(usize::from(network.0));
                if let Some(counters) = counters.or(self.connections.first()) {
                    counters[*outcome as usize].inc();
                }
            }
            Event::EncryptedDns { network, kind } => {
                let policy = self.policy.load();
                let network = policy.networks.name(*network);
                self.encrypted_dns.with_label_values(&[kind.label(), &**network]).inc();
            }
            Event::Ech { network, verdict, .. } => {
                let policy = self.policy.load();
                let network = policy.networks.name(*network);
                self.ech_hellos.with_label_values(&[verdict.label(), &**network]).inc();
            }
            Event::Copy { source } => {
                if let Some(copies) = self.copies.get(usize::from(source.0)) {
                    copies.fetch_add(1, Relaxed);
                }
            }
            Event::Split { source } => {
                if let Some(split) = self.split_flows.get(usize::from(source.0)) {
                    split.fetch_add(1, Relaxed);
                }
            }
            Event::Volume { network, vendor, sent, received } => {
                let policy = self.policy.load();
                if policy.set.vendor(vendor).is_some_and(|v| policy.selection.takes_vendor(v)) {
                    let labels = [&***vendor, &**policy.networks.name(*network)];
                    self.sent_bytes.with_label_values(&labels).inc_by(*sent);
                    self.received_bytes.with_label_values(&labels).inc_by(*received);
                }
            }
        }
    }

    /// Shows what only the correlator as a whole knows. For its thread, about once a second.
    pub fn refresh(&self, correlator: &mut Correlator, tally: Tally, clients_since: Timestamp) {
        let policy = self.policy.load();
        let clients = correlator.clients(clients_since);
        let unexcepted = correlator.vendors_unexcepted();
        let mut vendors = Vec::new();
        for (key, seen) in correlator.vendors() {
            let count = clients.get(key).copied().unwrap_or(0);
            vendors.push(VendorState { key: key.clone(), seen, clients: count });
            let (vendor, strength, network) = key;
            let labels = [&**vendor, strength.label(), &**network];
            if !shows(&policy, labels) {
                continue;
            }
            self.first_seen.with_label_values(&labels).set(seen.first.as_secs_f64());
            self.last_seen.with_label_values(&labels).set(seen.last.as_secs_f64());
            let free = unexcepted.get(key).copied().unwrap_or_default();
            let first = free.first.unwrap_or(Timestamp::ZERO).as_secs_f64();
            self.unexcepted_first_seen.with_label_values(&labels).set(first);
            self.unexcepted_last_seen.with_label_values(&labels).set(free.last.as_secs_f64());
            self.clients.with_label_values(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.correlator.store(Arc::new(CorrelatorState {
            tables: correlator.tables().to_vec(),
            counts: correlator.counts(),
            tally,
            vendors,
        }));
    }

    /// The exposition in text format 0.0.4.
    pub fn render(&self) -> prometheus::Result<String> {
        let mut families = self.registry.gather();
        families.extend(Scrape { metrics: self, policy: &self.policy.load() }.families());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families)
    }
}

/// Has the exposition gauges of this vendor, strength and network? A network of an earlier
/// configuration is in the inventory only.
fn shows(policy: &Policy, [vendor, strength, network]: [&str; 3]) -> bool {
    let strength = Strength::ALL.into_iter().find(|known| known.label() == strength);
    strength.is_some_and(|strength| policy.takes(vendor, strength))
        && policy.networks.names().iter().any(|known| **known == *network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{Limits, Networks};
    use crate::signature::{Selection, Set, embedded};

    const SEEN: Timestamp = Timestamp::from_parts(1_000, 0);

    /// What is exposed of Kaspersky, without its vendor's and listings' descriptions.
    fn exposed(metrics: &Metrics) -> Vec<String> {
        let text = metrics.render().unwrap();
        let lines = text.lines().filter(|line| {
            line.starts_with("vendorwatch_vendor_") && line.contains("vendor=\"kaspersky\"")
        });
        let gauges = ["_clients{", "_seen_timestamp_seconds{"];
        lines
            .filter(|line| gauges.iter().any(|part| line.contains(part)))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn what_a_reload_takes_no_more_has_no_gauges_and_keeps_its_counters() {
        let set = Arc::new(Set::build(embedded::files().unwrap()).unwrap());
        let policy = |selection| Policy {
            set: Arc::clone(&set),
            networks: Arc::default(),
            exceptions: Arc::default(),
            selection,
            loaded: Timestamp::ZERO,
        };
        let shared = Arc::new(ArcSwap::from_pointee(policy(Selection::default())));
        let metrics = Metrics::new(Arc::clone(&shared), Vec::new(), Vec::new(), "test").unwrap();
        let networks = Arc::new(Networks::default());
        let mut correlator = Correlator::new(&Limits::default(), 1, Arc::clone(&set), networks);
        let key: VendorKey = ("kaspersky".into(), Strength::Weak, "other".into());
        let seen = Seen { first: SEEN, last: SEEN };
        correlator.restore(Vec::new(), vec![(key, seen)]);
        let mut reload = |selection| {
            shared.store(Arc::new(policy(selection)));
            metrics.announce();
            metrics.withdraw();
            metrics.refresh(&mut correlator, Tally::default(), Timestamp::ZERO);
        };
        let last_seen = "vendorwatch_vendor_last_seen_timestamp_seconds{network=\"other\",\
                         strength=\"weak\",vendor=\"kaspersky\"} 1000";

        reload(Selection::default());
        let all = exposed(&metrics);
        assert_eq!(all.len(), 5 * Strength::ALL.len(), "{all:#?}");
        assert!(all.iter().any(|line| line == last_seen), "{all:#?}");

        reload(Selection { min_strength: Strength::Moderate, ..Selection::default() });
        let stronger = exposed(&metrics);
        assert_eq!(stronger.len(), 5 * 2, "{stronger:#?}");
        assert!(!stronger.iter().any(|line| line.contains("\"weak\"")), "{stronger:#?}");

        reload(Selection { disable: vec!["kaspersky".into()], ..Selection::default() });
        assert_eq!(exposed(&metrics), Vec::<String>::new());
        let text = metrics.render().unwrap();
        let counted =
            text.lines().filter(|line| line.starts_with("vendorwatch_findings_new_total"));
        assert!(counted.into_iter().any(|line| line.contains("\"kaspersky\"")), "{text}");

        reload(Selection::default());
        assert_eq!(exposed(&metrics), all, "and all of it is back");
    }
}
