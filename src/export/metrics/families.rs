//! Every metric family. The registry, the manual's table and the checks of rules and dashboards
//! come from here. Labels take values of closed sets only: signatures, configuration, enums.

use super::family::{Family, Kind};

macro_rules! families {
    ($($(#[doc = $help:literal])+ $name:ident = $kind:ident $metric:literal [$($label:literal),*];)+) => {
        $($(#[doc = $help])+
        pub const $name: Family = Family {
            name: $metric,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: concat!($($help),+).trim_ascii_start(),
        };)+

        /// Every family, in the order of the manual.
        pub const ALL: &[Family] = &[$($name),+];
    };
}

families! {
    /// Detections of endpoints of listed vendors, each event counted once.
    DETECTIONS = Counter "vendorwatch_detections_total"
        ["vendor", "purpose", "strength", "signal", "network"];
    /// Findings (client, vendor, product and strength in a network) that began.
    FINDINGS_NEW = Counter "vendorwatch_findings_new_total" ["vendor", "strength", "network"];
    /// Distinct clients with a detection within the configured window.
    VENDOR_CLIENTS = Gauge "vendorwatch_vendor_clients" ["vendor", "strength", "network"];
    /// When a vendor was first seen in a network; 0: never. Kept over restarts.
    FIRST_SEEN = Gauge "vendorwatch_vendor_first_seen_timestamp_seconds"
        ["vendor", "strength", "network"];
    /// When a vendor was last seen in a network; 0: never. Kept over restarts.
    LAST_SEEN = Gauge "vendorwatch_vendor_last_seen_timestamp_seconds"
        ["vendor", "strength", "network"];
    /// When a vendor was first seen in a network where no exception covers it; 0: never. What the
    /// alerts ask.
    UNEXCEPTED_FIRST_SEEN = Gauge "vendorwatch_vendor_unexcepted_first_seen_timestamp_seconds"
        ["vendor", "strength", "network"];
    /// When a vendor was last seen in a network where no exception covers it; 0: never.
    UNEXCEPTED_LAST_SEEN = Gauge "vendorwatch_vendor_unexcepted_last_seen_timestamp_seconds"
        ["vendor", "strength", "network"];
    /// Octets that clients sent to servers of a vendor, from the moment those were attributed;
    /// none through a proxy.
    SENT_BYTES = Counter "vendorwatch_vendor_sent_bytes_total" ["vendor", "network"];
    /// Octets that clients received from servers of a vendor, from the moment those were attributed;
    /// none through a proxy.
    RECEIVED_BYTES = Counter "vendorwatch_vendor_received_bytes_total" ["vendor", "network"];
    /// The vendors that are looked for; always 1.
    VENDOR_INFO = Gauge "vendorwatch_vendor_info" ["vendor", "name", "country"];
    /// The government instruments that name them; always 1.
    LISTING_INFO = Gauge "vendorwatch_listing_info"
        ["vendor", "listing", "jurisdiction", "binding", "status"];
    /// When an accepted finding stops being accepted.
    EXCEPTION_EXPIRY = Gauge "vendorwatch_exception_expiry_timestamp_seconds"
        ["vendor", "network", "prefix"];

    /// Frames that the interface delivered, those left out by the in-kernel filter included.
    CAPTURE_PACKETS = Counter "vendorwatch_capture_packets_total" ["interface"];
    /// Octets on the wire of those frames.
    CAPTURE_BYTES = Counter "vendorwatch_capture_bytes_total" ["interface"];
    /// Frames that the in-kernel filter left out, because no name is looked for there.
    CAPTURE_SKIPPED_PACKETS = Counter "vendorwatch_capture_skipped_packets_total"
        ["interface", "reason"];
    /// Octets of the frames that the in-kernel filter left out.
    CAPTURE_SKIPPED_BYTES = Counter "vendorwatch_capture_skipped_bytes_total"
        ["interface", "reason"];
    /// Frames that were lost before a worker saw them.
    CAPTURE_DROPPED = Counter "vendorwatch_capture_dropped_packets_total" ["interface", "reason"];
    /// Times a ring was found full.
    CAPTURE_FREEZES = Counter "vendorwatch_capture_freezes_total" ["interface"];
    /// Times the interface went down or away.
    CAPTURE_OUTAGES = Counter "vendorwatch_capture_outages_total" ["interface"];
    /// 1 while the interface delivers frames or could; 0 while it is down or gone.
    CAPTURE_UP = Gauge "vendorwatch_capture_up" ["interface"];
    /// When the last frame was captured; 0: never.
    CAPTURE_LAST_PACKET = Gauge "vendorwatch_capture_last_packet_timestamp_seconds" ["interface"];
    /// What became of each frame. With those that wait, sums to the frames captured.
    PACKETS = Counter "vendorwatch_packets_total" ["outcome"];
    /// Frames without an outcome yet: fragments whose datagrams are not whole.
    FRAGMENTS_WAITING = Gauge "vendorwatch_packets_waiting" [];
    /// Handshakes that began. Equals the sum of their outcomes and those pending.
    HANDSHAKES_BEGUN = Counter "vendorwatch_handshakes_begun_total" ["protocol"];
    /// What became of each handshake.
    HANDSHAKES = Counter "vendorwatch_handshakes_total" ["protocol", "outcome"];
    /// Connections that began, by whether their server could be named.
    CONNECTIONS = Counter "vendorwatch_connections_total" ["network", "outcome"];
    /// Connections whose server nobody had resolved in sight of the sensor.
    NEVER_RESOLVED = Counter "vendorwatch_connections_never_resolved_total" ["network"];
    /// DNS messages that began. Equals the sum of their outcomes and those pending.
    DNS_BEGUN = Counter "vendorwatch_dns_messages_begun_total" ["transport"];
    /// What became of each DNS message.
    DNS_MESSAGES = Counter "vendorwatch_dns_messages_total" ["transport", "outcome"];
    /// Connections to resolvers that encrypt: names that cannot be seen.
    ENCRYPTED_DNS = Counter "vendorwatch_encrypted_dns_connections_total" ["kind", "network"];
    /// Hellos with an ECH extension, by what it is taken for.
    ECH_HELLOS = Counter "vendorwatch_ech_hellos_total" ["verdict", "network"];
    /// Copies of packets or events that were seen before and not counted again.
    COPIES = Counter "vendorwatch_copies_total" ["interface"];
    /// Connections whose two directions came to different workers: frames are not spread by flow.
    SPLIT_FLOWS = Counter "vendorwatch_split_flows_total" ["interface"];
    /// Packet times that ran backwards or jumped ahead and were corrected.
    TIME_CLAMPED = Counter "vendorwatch_time_clamped_total" ["interface"];
    /// Estimate from a sample of the latest flows: the share that showed one direction only.
    ONE_WAY = Gauge "vendorwatch_estimated_one_way_ratio" ["interface"];
    /// One standard error of the estimated share of one-way flows.
    ONE_WAY_ERROR = Gauge "vendorwatch_estimated_one_way_error_ratio" ["interface"];
    /// Estimate from a sample of the latest flows: the share of acknowledged octets that was never seen.
    LOST_BYTES = Gauge "vendorwatch_estimated_lost_bytes_ratio" ["interface"];
    /// One standard error of the estimated share of octets never seen.
    LOST_BYTES_ERROR = Gauge "vendorwatch_estimated_lost_bytes_error_ratio" ["interface"];
    /// QUIC keys not derived because a flood of Initials used up the budget of the second.
    DERIVATIONS_REFUSED = Counter "vendorwatch_quic_derivations_refused_total" ["interface"];

    /// Entries in a bounded table.
    TABLE_ENTRIES = Gauge "vendorwatch_table_entries" ["table"];
    /// Octets in a bounded table.
    TABLE_BYTES = Gauge "vendorwatch_table_bytes" ["table"];
    /// Entries given up for room.
    TABLE_EVICTED = Counter "vendorwatch_table_evicted_total" ["table"];
    /// Time that a worker spent on frames. The rest is headroom.
    WORKER_BUSY = Counter "vendorwatch_worker_busy_seconds_total" ["worker"];
    /// Frames that a worker took in. Busy time by frames is its cost of one.
    WORKER_PACKETS = Counter "vendorwatch_worker_packets_total" ["worker"];
    /// Share of a worker's ring that waits to be read, 0 to 1, when last looked at.
    WORKER_RING_FILL = Gauge "vendorwatch_worker_ring_fill_ratio" ["worker"];
    /// Time that the correlator spent on the records of all workers. The rest is headroom.
    CORRELATOR_BUSY = Counter "vendorwatch_correlator_busy_seconds_total" [];
    /// Records that wait between a worker and the correlator.
    RECORDS_WAITING = Gauge "vendorwatch_worker_records_waiting" ["worker"];
    /// Records lost because the correlator did not keep up.
    RECORDS_LOST = Counter "vendorwatch_worker_records_lost_total" ["worker"];
    /// Records judged out of order: early when the ordering was full, late when they came so.
    RECORDS_DISORDERED = Counter "vendorwatch_records_disordered_total" ["reason"];

    /// Events handed to the event file's queue.
    EVENTS = Counter "vendorwatch_events_total" [];
    /// Events that were not written.
    EVENTS_DROPPED = Counter "vendorwatch_events_dropped_total" ["reason"];
    /// Findings in the inventory on disk.
    INVENTORY_ROWS = Gauge "vendorwatch_inventory_findings" [];
    /// Octets of the inventory on disk.
    INVENTORY_BYTES = Gauge "vendorwatch_inventory_bytes" [];
    /// Changes of findings that wait to be written to disk.
    INVENTORY_WAITING = Gauge "vendorwatch_inventory_waiting_changes" [];
    /// Changes of findings written to disk.
    INVENTORY_WRITTEN = Counter "vendorwatch_inventory_written_changes_total" [];
    /// Writes to the inventory that failed, for want of room or otherwise; what they held waits for
    /// the next.
    INVENTORY_FAILED = Counter "vendorwatch_inventory_failed_writes_total" ["reason"];
    /// Findings removed from disk, for room or for age.
    INVENTORY_REMOVED = Counter "vendorwatch_inventory_removed_findings_total" ["reason"];
    /// Changes of findings that the inventory on disk does not have.
    INVENTORY_LOST = Counter "vendorwatch_inventory_lost_changes_total" ["reason"];

    /// The files and packs in use, and "all" for them together; always 1.
    SIGNATURES_INFO = Gauge "vendorwatch_signatures_info" ["source", "version", "hash"];
    /// Indicators that are looked for.
    INDICATORS = Gauge "vendorwatch_indicators" ["vendor"];
    /// When the first of a vendor's indicators is due for review.
    REVIEW_DUE = Gauge "vendorwatch_signatures_review_due_timestamp_seconds" ["vendor"];
    /// 1 when the last reload of configuration and signatures went well.
    RELOAD_SUCCESSFUL = Gauge "vendorwatch_config_last_reload_successful" [];
    /// When configuration and signatures were last loaded well.
    RELOAD_TIMESTAMP = Gauge "vendorwatch_config_last_reload_success_timestamp_seconds" [];
    /// What is running; always 1.
    BUILD_INFO = Gauge "vendorwatch_build_info" ["version", "revision", "backend"];
    /// Processor time used.
    PROCESS_CPU = Counter "process_cpu_seconds_total" [];
    /// Resident memory.
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" [];
    /// Virtual memory.
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" [];
    /// Open file descriptors.
    PROCESS_FDS = Gauge "process_open_fds" [];
    /// Most file descriptors that may be open.
    PROCESS_MAX_FDS = Gauge "process_max_fds" [];
    /// When the process started.
    PROCESS_START = Gauge "process_start_time_seconds" [];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Labels that the target, not the exporter, has (Prometheus, "Writing exporters").
    const RESERVED: &[&str] = &["job", "instance", "env", "cluster", "service", "type"];

    #[test]
    fn families_follow_the_conventions() {
        let mut names = BTreeSet::new();
        for family in ALL {
            let Family { name, kind, labels, help } = family;
            assert!(names.insert(name), "{name} is there twice");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(name.starts_with("vendorwatch_") || name.starts_with("process_"), "{name}");
            assert!(help.ends_with('.') && !help.starts_with(' '), "{name}: {help}");
            assert!(labels.iter().all(|label| !RESERVED.contains(label)), "{name}");
            assert!(labels.iter().collect::<BTreeSet<_>>().len() == labels.len(), "{name}");
        }
    }
}
