//! What is read when Prometheus asks: the workers' cells, tables, the policy in force, the process.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use prometheus::proto::MetricFamily;

use super::family::Samples;
use super::{Family, Metrics, families as f, process};
use crate::capture::bpf::SkipReason;
use crate::config::Policy;
use crate::detect::exception::Place;
use crate::signature::Vendor;
use crate::visibility::{
    Counter, DnsOutcome, DnsTransport, Estimate, HandshakeOutcome, HandshakeProtocol, Ledger,
    PacketOutcome, Ratio, TableName, TableUse,
};

/// One scrape.
pub(super) struct Scrape<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) policy: &'a Policy,
}

impl Scrape<'_> {
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let mut out = Vec::new();
        self.policy_families(&mut out);
        self.capture(&mut out);
        self.visibility(&mut out);
        self.load(&mut out);
        self.sinks(&mut out);
        process::families(&mut out);
        out.into_iter().filter_map(Samples::done).collect()
    }

    fn policy_families(&self, out: &mut Vec<Samples>) {
        let mut vendors = f::VENDOR_INFO.samples();
        let mut listings = f::LISTING_INFO.samples();
        let mut indicators = f::INDICATORS.samples();
        let mut due = f::REVIEW_DUE.samples();
        let mut by_vendor: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        for indicator in self.policy.set.indicators() {
            let (count, review) =
                by_vendor.entry(&indicator.vendor).or_insert((0, &indicator.review_by));
            *count += 1;
            *review = (*review).min(&indicator.review_by);
        }
        for vendor in self.policy.vendors() {
            let Vendor { id, name, country, .. } = vendor;
            vendors.add(&[id, name, country], 1.0);
            for listing in &vendor.listings {
                let binding = if listing.binding { "true" } else { "false" };
                let status = listing.status.label();
                let labels = [&**id, &*listing.id, &listing.jurisdiction, binding, status];
                listings.add(&labels, 1.0);
            }
            let (count, review) = by_vendor.get(&**id).copied().unwrap_or((0, ""));
            indicators.count(&[id], count);
            if let Some(day) = seconds_of_day(review) {
                due.add(&[id], day);
            }
        }
        let mut exceptions = f::EXCEPTION_EXPIRY.samples();
        for ((vendor, place), until) in self.policy.exceptions.ends() {
            let label = place.label();
            let (network, prefix) = match place {
                Place::Network(_) => (label.as_str(), ""),
                Place::Prefix(_) => ("", label.as_str()),
            };
            exceptions.add(&[vendor, network, prefix], until.as_secs_f64());
        }
        let mut signatures = f::SIGNATURES_INFO.samples();
        signatures.add(&["all", env!("CARGO_PKG_VERSION"), &self.policy.set.hash()], 1.0);
        for source in self.policy.set.sources() {
            signatures.add(&[&source.name, &source.version, &source.hash], 1.0);
        }
        let sinks = &self.metrics.sinks;
        let mut successful = f::RELOAD_SUCCESSFUL.samples();
        successful.count(&[], u64::from(sinks.reload_failed.load(Relaxed) == 0));
        let mut when = f::RELOAD_TIMESTAMP.samples();
        when.add(&[], self.policy.loaded.as_secs_f64());
        let mut build = f::BUILD_INFO.samples();
        build.add(&[env!("CARGO_PKG_VERSION"), crate::REVISION, self.metrics.backend], 1.0);
        out.extend([
            vendors, listings, indicators, due, exceptions, signatures, successful, when, build,
        ]);
    }

    fn capture(&self, out: &mut Vec<Samples>) {
        let mut packets = f::CAPTURE_PACKETS.samples();
        let mut bytes = f::CAPTURE_BYTES.samples();
        let mut skipped_packets = f::CAPTURE_SKIPPED_PACKETS.samples();
        let mut skipped_bytes = f::CAPTURE_SKIPPED_BYTES.samples();
        let mut dropped = f::CAPTURE_DROPPED.samples();
        let mut freezes = f::CAPTURE_FREEZES.samples();
        let mut outages = f::CAPTURE_OUTAGES.samples();
        let mut up = f::CAPTURE_UP.samples();
        let mut last = f::CAPTURE_LAST_PACKET.samples();
        let mut copies = f::COPIES.samples();
        let mut split = f::SPLIT_FLOWS.samples();
        let mut clamped = f::TIME_CLAMPED.samples();
        let mut refused = f::DERIVATIONS_REFUSED.samples();
        let down = self.metrics.interfaces_down();
        // No sample where no flow was sampled yet: a ratio of nothing is not zero.
        let mut estimates = [
            (f::ONE_WAY.samples(), f::ONE_WAY_ERROR.samples()),
            (f::LOST_BYTES.samples(), f::LOST_BYTES_ERROR.samples()),
        ];
        for (number, interface) in self.metrics.interfaces.iter().enumerate() {
            let workers =
                || self.metrics.workers.iter().filter(|cells| cells.interface == *interface);
            let mut sum = crate::capture::Counters::default();
            workers().for_each(|cells| sum.add(cells.capture()));
            let labels = [&**interface];
            packets.count(&labels, sum.packets + sum.skipped_in_kernel);
            bytes.count(&labels, sum.bytes + sum.skipped.total().octets);
            for (reason, volume) in SkipReason::ALL.into_iter().zip(sum.skipped.0) {
                skipped_packets.count(&[interface, reason.label()], volume.packets);
                skipped_bytes.count(&[interface, reason.label()], volume.octets);
            }
            dropped.count(&[interface, "kernel"], sum.dropped_kernel);
            dropped.count(&[interface, "interface"], sum.dropped_interface);
            freezes.count(&labels, sum.freezes);
            outages.count(&labels, self.metrics.outages(interface));
            up.count(&labels, u64::from(!down.contains(&&**interface)));
            let latest = workers().map(|cells| cells.last_packet()).max().unwrap_or_default();
            last.add(&labels, latest.as_secs_f64());
            let counted = |counter: fn(&Ledger) -> &Counter| -> u64 {
                workers().map(|cells| counter(&cells.ledger).value()).sum()
            };
            let of_events = self.metrics.copies.get(number).map_or(0, |n| n.load(Relaxed));
            copies.count(&labels, counted(|ledger| &ledger.copies) + of_events);
            let split_flows = self.metrics.split_flows.get(number);
            split.count(&labels, split_flows.map_or(0, |n| n.load(Relaxed)));
            clamped.count(&labels, counted(|ledger| &ledger.time_clamped));
            refused.count(&labels, counted(|ledger| &ledger.derivations_refused));
            let sampled = || workers().map(|cells| &cells.ledger.estimate);
            let ratios = [Estimate::one_way_ratio(sampled()), Estimate::lost_ratio(sampled())];
            for ((values, errors), ratio) in estimates.iter_mut().zip(ratios) {
                if let Some(Ratio { value, error }) = ratio {
                    values.add(&labels, value);
                    errors.add(&labels, error);
                }
            }
        }
        let [(one_way, one_way_error), (lost, lost_error)] = estimates;
        out.extend([
            packets,
            bytes,
            skipped_packets,
            skipped_bytes,
            dropped,
            freezes,
            outages,
            up,
            last,
            copies,
            split,
            clamped,
            refused,
            one_way,
            one_way_error,
            lost,
            lost_error,
        ]);
    }

    fn visibility(&self, out: &mut Vec<Samples>) {
        let sum = |counter: &dyn Fn(&Ledger) -> &Counter| -> u64 {
            self.metrics.workers.iter().map(|cells| counter(&cells.ledger).value()).sum()
        };
        let mut packets = f::PACKETS.samples();
        for outcome in PacketOutcome::ALL {
            let count = sum(&|ledger| &ledger.packets[outcome as usize]);
            packets.count(&[outcome.label()], count);
        }
        let mut waiting = f::FRAGMENTS_WAITING.samples();
        waiting.count(&[], sum(&|ledger| &ledger.fragments_waiting));
        let mut begun = f::HANDSHAKES_BEGUN.samples();
        let mut ended = f::HANDSHAKES.samples();
        for protocol in HandshakeProtocol::ALL {
            let label = protocol.label();
            begun.count(&[label], sum(&|l| &l.handshakes_begun[protocol as usize]));
            for outcome in HandshakeOutcome::ALL {
                let count = sum(&|l| &l.handshakes[protocol as usize][outcome as usize]);
                ended.count(&[label, outcome.label()], count);
            }
        }
        let mut dns_begun = f::DNS_BEGUN.samples();
        let mut dns = f::DNS_MESSAGES.samples();
        for transport in DnsTransport::ALL {
            let label = transport.label();
            dns_begun.count(&[label], sum(&|l| &l.dns_begun[transport as usize]));
            for outcome in DnsOutcome::ALL {
                let count = sum(&|l| &l.dns[transport as usize][outcome as usize]);
                dns.count(&[label, outcome.label()], count);
            }
        }
        out.extend([packets, waiting, begun, ended, dns_begun, dns]);
    }

    fn load(&self, out: &mut Vec<Samples>) {
        let mut busy = f::WORKER_BUSY.samples();
        let mut packets = f::WORKER_PACKETS.samples();
        let mut fill = f::WORKER_RING_FILL.samples();
        let mut waiting = f::RECORDS_WAITING.samples();
        let mut lost = f::RECORDS_LOST.samples();
        for (number, cells) in self.metrics.workers.iter().enumerate() {
            let label = number.to_string();
            let labels = [label.as_str()];
            busy.add(&labels, cells.busy().as_secs_f64());
            packets.count(&labels, cells.ledger.frames.value());
            fill.add(&labels, f64::from(cells.ring_fill()) / 100.0);
            waiting.count(&labels, cells.waiting());
            lost.count(&labels, cells.ledger.records_lost.value());
        }
        let mut correlating = f::CORRELATOR_BUSY.samples();
        correlating.add(&[], self.metrics.correlator_busy().as_secs_f64());
        let state = self.metrics.correlator.load();
        let mut entries = f::TABLE_ENTRIES.samples();
        let mut bytes = f::TABLE_BYTES.samples();
        let mut evicted = f::TABLE_EVICTED.samples();
        for table in &state.tables {
            entries.count(&[table.table], u64::try_from(table.entries).unwrap_or(u64::MAX));
            bytes.count(&[table.table], u64::try_from(table.bytes).unwrap_or(u64::MAX));
            evicted.count(&[table.table], table.evicted);
        }
        for table in TableName::ALL {
            let sum = |read: &dyn Fn(&TableUse) -> u64| -> u64 {
                let ledgers = self.metrics.workers.iter().map(|cells| &cells.ledger);
                ledgers.map(|ledger| read(&ledger.tables[table as usize])).sum()
            };
            entries.count(&[table.label()], sum(&|table| table.entries.value()));
            bytes.count(&[table.label()], sum(&|table| table.bytes.value()));
            evicted.count(&[table.label()], sum(&|table| table.evicted.value()));
        }
        let mut disordered = f::RECORDS_DISORDERED.samples();
        disordered.count(&["early"], state.counts.early);
        disordered.count(&["late"], state.counts.late);
        out.extend([busy, packets, fill, waiting, lost, correlating]);
        out.extend([entries, bytes, evicted, disordered]);
    }

    fn sinks(&self, out: &mut Vec<Samples>) {
        let sinks = &self.metrics.sinks;
        let one = |family: &'static Family, value: u64| {
            let mut samples = family.samples();
            samples.count(&[], value);
            samples
        };
        let mut dropped = f::EVENTS_DROPPED.samples();
        dropped.count(&["queue_full"], sinks.events_queue_full.load(Relaxed));
        dropped.count(&["unwritten"], sinks.events_unwritten.load(Relaxed));
        out.extend([one(&f::EVENTS, sinks.events.load(Relaxed)), dropped]);
        if let Some(stats) = self.metrics.inventory.get() {
            let mut lost = f::INVENTORY_LOST.samples();
            lost.count(&["queue_full"], stats.queue_lost.value());
            lost.count(&["unwritten"], stats.pending_lost.value());
            lost.count(&["forgotten"], self.metrics.correlator.load().counts.changes_lost);
            let mut removed = f::INVENTORY_REMOVED.samples();
            removed.count(&["room"], stats.evicted.value());
            removed.count(&["age"], stats.expired.value());
            let mut failed = f::INVENTORY_FAILED.samples();
            failed.count(&["full"], stats.full.value());
            failed.count(&["other"], stats.failed.value());
            out.extend([
                one(&f::INVENTORY_ROWS, stats.rows.value()),
                one(&f::INVENTORY_BYTES, stats.bytes.value()),
                one(&f::INVENTORY_WAITING, stats.pending.value()),
                one(&f::INVENTORY_WRITTEN, stats.written.value()),
                failed,
                removed,
                lost,
            ]);
        }
    }
}

/// The beginning of a day written `YYYY-MM-DD`, UTC.
fn seconds_of_day(day: &str) -> Option<f64> {
    let day: jiff::civil::Date = day.parse().ok()?;
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "whole seconds of this era are exact in f64")]
    let seconds = midnight.timestamp().as_second() as f64;
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arc_swap::ArcSwap;

    use super::*;
    use crate::capture::Counters;
    use crate::capture::bpf::Volume;
    use crate::detect::{ConnectionOutcome, EncryptedDns, Event, Exception, Exceptions};
    use crate::export::metrics::{CorrelatorState, WorkerCells};
    use crate::frame::SourceId;
    use crate::net::NetworkId;
    use crate::signature::{Selection, Set, embedded};
    use crate::time::Timestamp;

    /// The value of the series with these labels.
    fn value(text: &str, series: &str) -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(series))?;
        line.trim().parse().ok()
    }

    fn policy(exceptions: Vec<Exception>) -> Policy {
        Policy {
            set: Arc::default(),
            networks: Arc::default(),
            exceptions: Arc::new(Exceptions::new(exceptions)),
            selection: Selection::default(),
            loaded: Timestamp::ZERO,
        }
    }

    fn metrics_of(workers: Vec<Arc<WorkerCells>>, interfaces: &[&str]) -> Metrics {
        let policy = Arc::new(ArcSwap::from_pointee(policy(Vec::new())));
        let interfaces = interfaces.iter().map(|name| Arc::from(*name)).collect();
        Metrics::new(policy, workers, interfaces, "test").unwrap()
    }

    /// Prometheus keeps the first of two samples with the same labels.
    #[test]
    fn an_exception_that_was_prolonged_expires_once_at_the_later_moment() {
        let exception = |place: &Place, until| Exception {
            vendor: "dji".into(),
            place: place.clone(),
            until: Timestamp::from_parts(until, 0),
            reason: "test flights".into(),
        };
        let lab = Place::Network("lab".into());
        let prefix = Place::Prefix("192.0.2.0/24".parse().unwrap());
        let policy = policy(vec![
            exception(&lab, 100),
            exception(&prefix, 50),
            exception(&lab, 300),
            exception(&lab, 200),
        ]);
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let text = Metrics::new(policy, Vec::new(), Vec::new(), "test").unwrap().render().unwrap();
        let name = "vendorwatch_exception_expiry_timestamp_seconds{";
        let of_lab = format!("{name}vendor=\"dji\",network=\"lab\",prefix=\"\"}}");
        assert_eq!(value(&text, &of_lab), Some(300.0), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), 2, "{text}");
    }

    #[test]
    fn an_outage_is_one_however_many_workers_notice_it() {
        let worker = |interface: &str, outages| {
            let cells = WorkerCells::new(interface.into());
            cells.set_capture(Counters { packets: 5, outages, ..Counters::default() });
            Arc::new(cells)
        };
        let workers = vec![worker("span0", 2), worker("span0", 1), worker("span1", 0)];
        let text = metrics_of(workers, &["span0", "span1"]).render().unwrap();
        for (interface, outages, packets) in [("span0", 2.0, 10.0), ("span1", 0.0, 5.0)] {
            let of = |name| {
                value(
                    &text,
                    &format!("vendorwatch_capture_{name}_total{{interface=\"{interface}\"}}"),
                )
            };
            assert_eq!(of("outages"), Some(outages), "{interface}");
            assert_eq!(of("packets"), Some(packets), "{interface}");
        }
    }

    #[test]
    fn every_outcome_of_every_closed_set_has_a_series_from_the_start() {
        let cells = Arc::new(WorkerCells::new("span0".into()));
        let ledger = Arc::clone(&cells.ledger);
        let metrics = metrics_of(vec![cells], &["span0"]);
        let mut series: Vec<(String, &Counter)> = Vec::new();
        for outcome in PacketOutcome::ALL {
            let labels = format!("vendorwatch_packets_total{{outcome=\"{}\"}}", outcome.label());
            series.push((labels, &ledger.packets[outcome as usize]));
        }
        series.push(("vendorwatch_packets_waiting".into(), &ledger.fragments_waiting));
        for protocol in HandshakeProtocol::ALL {
            let label = protocol.label();
            let begun = format!("vendorwatch_handshakes_begun_total{{protocol=\"{label}\"}}");
            series.push((begun, &ledger.handshakes_begun[protocol as usize]));
            for outcome in HandshakeOutcome::ALL {
                let labels = format!(
                    "vendorwatch_handshakes_total{{protocol=\"{label}\",outcome=\"{}\"}}",
                    outcome.label()
                );
                series.push((labels, &ledger.handshakes[protocol as usize][outcome as usize]));
            }
        }
        for transport in DnsTransport::ALL {
            let label = transport.label();
            let begun = format!("vendorwatch_dns_messages_begun_total{{transport=\"{label}\"}}");
            series.push((begun, &ledger.dns_begun[transport as usize]));
            for outcome in DnsOutcome::ALL {
                let labels = format!(
                    "vendorwatch_dns_messages_total{{transport=\"{label}\",outcome=\"{}\"}}",
                    outcome.label()
                );
                series.push((labels, &ledger.dns[transport as usize][outcome as usize]));
            }
        }
        let of = |name: &str| format!("vendorwatch_{name}{{interface=\"span0\"}}");
        series.push((of("copies_total"), &ledger.copies));
        series.push((of("time_clamped_total"), &ledger.time_clamped));
        series.push((of("quic_derivations_refused_total"), &ledger.derivations_refused));
        let before = metrics.render().unwrap();
        for ((labels, counter), count) in series.iter().zip(1..) {
            assert_eq!(value(&before, labels), Some(0.0), "{labels}");
            counter.add(count);
        }
        metrics.observe(&Event::Split { source: SourceId(0) });
        let after = metrics.render().unwrap();
        for ((labels, _), count) in series.iter().zip(1_u32..) {
            assert_eq!(value(&after, labels), Some(f64::from(count)), "{labels}");
        }
        assert_eq!(value(&after, &of("split_flows_total")), Some(1.0));
        for outcome in ConnectionOutcome::ALL {
            metrics.observe(&Event::Connection {
                network: NetworkId(0),
                outcome,
                never_resolved: false,
            });
        }
        for kind in EncryptedDns::ALL {
            metrics.observe(&Event::EncryptedDns { network: NetworkId(0), kind });
        }
        let after = metrics.render().unwrap();
        let connections = ConnectionOutcome::ALL.map(ConnectionOutcome::label).map(|label| {
            format!("vendorwatch_connections_total{{network=\"other\",outcome=\"{label}\"}}")
        });
        let encrypted = EncryptedDns::ALL.map(EncryptedDns::label).map(|label| {
            format!(
                "vendorwatch_encrypted_dns_connections_total{{kind=\"{label}\",network=\"other\"}}"
            )
        });
        for labels in connections.iter().chain(&encrypted) {
            assert_eq!(value(&before, labels), Some(0.0), "{labels}");
            assert_eq!(value(&after, labels), Some(1.0), "{labels}");
        }
    }

    #[test]
    fn what_is_told_of_captures_tables_and_sinks_is_shown_under_its_own_name() {
        let mut captured = Counters {
            packets: 1_001,
            bytes: 2_002,
            dropped_kernel: 3,
            dropped_interface: 5,
            skipped_in_kernel: 7_000,
            freezes: 11,
            ..Counters::default()
        };
        for (volume, n) in captured.skipped.0.iter_mut().zip(1_u64..) {
            *volume = Volume { packets: 100 * n, octets: 10_000 * n };
        }
        let cells = Arc::new(WorkerCells::new("span0".into()));
        cells.set_capture(captured);
        cells.set_last_packet(Timestamp::from_parts(13, 500_000_000));
        cells.set_ring_fill(25);
        cells.add_busy(core::time::Duration::from_millis(1_500));
        cells.sent(40);
        cells.taken(23);
        cells.ledger.frames.add(19);
        cells.ledger.records_lost.add(29);
        for (table, n) in TableName::ALL.into_iter().zip(1..) {
            cells.ledger.table(table, n, 1_000 * n, 31 * n as u64);
        }
        // Another worker of the same interface.
        let other = Arc::new(WorkerCells::new("span0".into()));
        other.set_capture(captured);
        let metrics = metrics_of(vec![cells, other], &["span0"]);
        metrics.add_correlator_busy(core::time::Duration::from_millis(250));
        let tables =
            vec![crate::detect::TableUse { table: "t", entries: 37, bytes: 41, evicted: 43 }];
        let counts = crate::detect::Counts { early: 47, late: 53, changes_lost: 59 };
        metrics.correlator.store(Arc::new(CorrelatorState {
            tables,
            counts,
            ..Default::default()
        }));
        metrics.sinks.events.store(61, Relaxed);
        metrics.sinks.events_queue_full.store(67, Relaxed);
        metrics.sinks.events_unwritten.store(71, Relaxed);
        let stats = metrics.inventory.get_or_init(Arc::default);
        let of_inventory = [
            (&stats.rows, "findings", 73_u32),
            (&stats.bytes, "bytes", 79),
            (&stats.pending, "waiting_changes", 83),
            (&stats.written, "written_changes_total", 89),
            (&stats.full, "failed_writes_total{reason=\"full\"}", 127),
            (&stats.failed, "failed_writes_total{reason=\"other\"}", 131),
            (&stats.evicted, "removed_findings_total{reason=\"room\"}", 97),
            (&stats.expired, "removed_findings_total{reason=\"age\"}", 101),
            (&stats.queue_lost, "lost_changes_total{reason=\"queue_full\"}", 103),
            (&stats.pending_lost, "lost_changes_total{reason=\"unwritten\"}", 107),
        ];
        for (counter, _, count) in &of_inventory {
            counter.set(u64::from(*count));
        }
        let octets = 2 * (2_002 + captured.skipped.total().octets);
        let mut expected = vec![
            ("capture_packets_total{interface=\"span0\"}".to_owned(), 16_002.0),
            (
                "capture_bytes_total{interface=\"span0\"}".to_owned(),
                f64::from(u32::try_from(octets).unwrap()),
            ),
            ("capture_freezes_total{interface=\"span0\"}".to_owned(), 22.0),
            ("capture_up{interface=\"span0\"}".to_owned(), 1.0),
            ("capture_last_packet_timestamp_seconds{interface=\"span0\"}".to_owned(), 13.5),
            ("worker_busy_seconds_total{worker=\"0\"}".to_owned(), 1.5),
            ("worker_packets_total{worker=\"0\"}".to_owned(), 19.0),
            ("worker_ring_fill_ratio{worker=\"0\"}".to_owned(), 0.25),
            ("worker_records_waiting{worker=\"0\"}".to_owned(), 17.0),
            ("worker_records_lost_total{worker=\"0\"}".to_owned(), 29.0),
            ("correlator_busy_seconds_total".to_owned(), 0.25),
            ("records_disordered_total{reason=\"early\"}".to_owned(), 47.0),
            ("records_disordered_total{reason=\"late\"}".to_owned(), 53.0),
            ("inventory_lost_changes_total{reason=\"forgotten\"}".to_owned(), 59.0),
            ("events_total".to_owned(), 61.0),
            ("events_dropped_total{reason=\"queue_full\"}".to_owned(), 67.0),
            ("events_dropped_total{reason=\"unwritten\"}".to_owned(), 71.0),
        ];
        for (reason, count) in [("kernel", 6.0), ("interface", 10.0)] {
            let labels = format!("{{interface=\"span0\",reason=\"{reason}\"}}");
            expected.push((format!("capture_dropped_packets_total{labels}"), count));
        }
        for (reason, n) in SkipReason::ALL.into_iter().zip(1_u32..) {
            let labels = format!("{{interface=\"span0\",reason=\"{}\"}}", reason.label());
            expected.push((format!("capture_skipped_packets_total{labels}"), f64::from(200 * n)));
            expected.push((format!("capture_skipped_bytes_total{labels}"), f64::from(20_000 * n)));
        }
        let tables = TableName::ALL.into_iter().zip(1_u32..);
        let tables = tables.map(|(table, n)| (table.label(), [n, 1_000 * n, 31 * n]));
        for (table, [entries, bytes, evicted]) in tables.chain([("t", [37, 41, 43])]) {
            let labels = format!("{{table=\"{table}\"}}");
            expected.push((format!("table_entries{labels}"), f64::from(entries)));
            expected.push((format!("table_bytes{labels}"), f64::from(bytes)));
            expected.push((format!("table_evicted_total{labels}"), f64::from(evicted)));
        }
        for (_, name, count) in of_inventory {
            expected.push((format!("inventory_{name}"), f64::from(count)));
        }
        let text = metrics.render().unwrap();
        for (series, count) in expected {
            let shown = value(&text, &format!("vendorwatch_{series}"));
            assert_eq!(shown, Some(count), "{series}");
        }
    }

    #[test]
    fn a_vendor_has_its_indicators_its_earliest_review_and_the_status_of_its_listings() {
        let set = Arc::new(Set::build(embedded::files().unwrap()).unwrap());
        let policy = Policy { set: Arc::clone(&set), ..policy(Vec::new()) };
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let metrics = Metrics::new(Arc::clone(&policy), Vec::new(), Vec::new(), "test").unwrap();
        let text = metrics.render().unwrap();
        let mut bindings = [0, 0];
        for vendor in policy.load().vendors() {
            let own: Vec<_> =
                set.indicators().iter().filter(|one| one.vendor == vendor.id).collect();
            let labels = format!("{{vendor=\"{}\"}}", vendor.id);
            let count = value(&text, &format!("vendorwatch_indicators{labels}"));
            assert_eq!(count, Some(f64::from(u32::try_from(own.len()).unwrap())), "{}", vendor.id);
            let due = own.iter().filter_map(|indicator| seconds_of_day(&indicator.review_by));
            let name = format!("vendorwatch_signatures_review_due_timestamp_seconds{labels}");
            assert_eq!(value(&text, &name), due.reduce(f64::min), "{}", vendor.id);
            for listing in &vendor.listings {
                let series = format!(
                    "vendorwatch_listing_info{{vendor=\"{}\",listing=\"{}\",jurisdiction=\"{}\",\
                     binding=\"{}\",status=\"{}\"}}",
                    vendor.id,
                    listing.id,
                    listing.jurisdiction,
                    listing.binding,
                    listing.status.label()
                );
                assert_eq!(value(&text, &series), Some(1.0), "{series}");
                bindings[usize::from(listing.binding)] += 1;
            }
        }
        assert!(bindings.iter().all(|kind| *kind > 0), "of both kinds: {bindings:?}");
        let whole = format!(
            "vendorwatch_signatures_info{{source=\"all\",version=\"{}\",hash=\"{}\"}}",
            env!("CARGO_PKG_VERSION"),
            set.hash()
        );
        assert_eq!(value(&text, &whole), Some(1.0), "{whole}");
    }
}
