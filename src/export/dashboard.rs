//! The Grafana dashboard, made from one table of panels.
//!
//! It follows what dashboard-linter asks for: one templated data source, `$job` and `$instance` in
//! every expression, `$__rate_interval` in every rate, and a unit, a title and a description on
//! each panel.

use serde_json::{Value, json};

/// What one row of the dashboard shows.
struct Row {
    title: &'static str,
    panels: &'static [Panel],
}

struct Panel {
    title: &'static str,
    description: &'static str,
    kind: Kind,
    unit: &'static str,
    /// Width of 24.
    width: u32,
    queries: &'static [Query],
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Stat,
    TimeSeries,
    Table,
}

/// An expression in which `$M` stands for the matchers of job and instance.
struct Query {
    expression: &'static str,
    legend: &'static str,
}

const fn query(expression: &'static str, legend: &'static str) -> Query {
    Query { expression, legend }
}

const ROWS: &[Row] = &[
    Row {
        title: "Vendors",
        panels: &[
            Panel {
                title: "Vendors contacted beyond browsing",
                description: "Vendors of which a strong or moderate endpoint was ever contacted. The inventory names the clients, and of whom product traffic was observed.",
                kind: Kind::Stat,
                unit: "none",
                width: 6,
                queries: &[query(
                    "count(count by (vendor) (vendorwatch_vendor_first_seen_timestamp_seconds{$M, strength=~\"strong|moderate\", vendor=~\"$vendor\", network=~\"$network\"} > 0)) or vector(0)",
                    "vendors",
                )],
            },
            Panel {
                title: "New in the last day",
                description: "Vendor, strength and network seen for the first time within 24 hours.",
                kind: Kind::Stat,
                unit: "none",
                width: 6,
                queries: &[query(
                    "count(time() - vendorwatch_vendor_first_seen_timestamp_seconds{$M, vendor=~\"$vendor\", network=~\"$network\"} < 86400) or vector(0)",
                    "new",
                )],
            },
            Panel {
                title: "Connections that could be named",
                description: "Share of new connections with a readable name or a name resolved before. What is missing to 100 % is what a zero cannot speak for.",
                kind: Kind::Stat,
                unit: "percentunit",
                width: 6,
                queries: &[query(
                    "sum(rate(vendorwatch_connections_total{$M, network=~\"$network\", outcome!=\"nameless\"}[$__rate_interval])) / sum(rate(vendorwatch_connections_total{$M, network=~\"$network\"}[$__rate_interval]))",
                    "named",
                )],
            },
            Panel {
                title: "Frames lost",
                description: "Share of frames lost before they were looked at.",
                kind: Kind::Stat,
                unit: "percentunit",
                width: 6,
                queries: &[query(
                    "sum(rate(vendorwatch_capture_dropped_packets_total{$M}[$__rate_interval])) / (sum(rate(vendorwatch_capture_packets_total{$M}[$__rate_interval])) + sum(rate(vendorwatch_capture_dropped_packets_total{$M}[$__rate_interval])))",
                    "lost",
                )],
            },
            Panel {
                title: "Who, where, since when",
                description: "Each vendor, strength and network that was seen, when first, when last, and how many clients. `vendorwatch inventory` names them with the evidence.",
                kind: Kind::Table,
                unit: "dateTimeAsIso",
                width: 24,
                queries: &[
                    query(
                        "1000 * min by (vendor, strength, network) (vendorwatch_vendor_first_seen_timestamp_seconds{$M, vendor=~\"$vendor\", network=~\"$network\"} > 0)",
                        "first seen",
                    ),
                    query(
                        "1000 * max by (vendor, strength, network) (vendorwatch_vendor_last_seen_timestamp_seconds{$M, vendor=~\"$vendor\", network=~\"$network\"} > 0)",
                        "last seen",
                    ),
                    query(
                        "sum by (vendor, strength, network) (vendorwatch_vendor_clients{$M, vendor=~\"$vendor\", network=~\"$network\"}) and on (vendor, strength, network) max by (vendor, strength, network) (vendorwatch_vendor_first_seen_timestamp_seconds{$M} > 0)",
                        "clients",
                    ),
                ],
            },
            Panel {
                title: "Detections by vendor",
                description: "Contacts of documented endpoints, each event counted once.",
                kind: Kind::TimeSeries,
                unit: "cps",
                width: 12,
                queries: &[query(
                    "sum by (vendor) (rate(vendorwatch_detections_total{$M, vendor=~\"$vendor\", network=~\"$network\"}[$__rate_interval])) > 0",
                    "{{vendor}}",
                )],
            },
            Panel {
                title: "Clients by vendor and strength",
                description: "Distinct clients within the configured window.",
                kind: Kind::TimeSeries,
                unit: "none",
                width: 12,
                queries: &[query(
                    "sum by (vendor, strength) (vendorwatch_vendor_clients{$M, vendor=~\"$vendor\", network=~\"$network\"}) > 0",
                    "{{vendor}} ({{strength}})",
                )],
            },
            Panel {
                title: "Octets exchanged by vendor",
                description: "Sent by clients (positive) and received by them (negative), from the moment the server was attributed.",
                kind: Kind::TimeSeries,
                unit: "Bps",
                width: 12,
                queries: &[
                    query(
                        "sum by (vendor) (rate(vendorwatch_vendor_sent_bytes_total{$M, vendor=~\"$vendor\", network=~\"$network\"}[$__rate_interval]))",
                        "{{vendor}} sent",
                    ),
                    query(
                        "-sum by (vendor) (rate(vendorwatch_vendor_received_bytes_total{$M, vendor=~\"$vendor\", network=~\"$network\"}[$__rate_interval]))",
                        "{{vendor}} received",
                    ),
                ],
            },
            Panel {
                title: "New findings",
                description: "Findings that began: a client with a vendor, product and strength not seen with it before.",
                kind: Kind::TimeSeries,
                unit: "none",
                width: 12,
                queries: &[query(
                    "sum by (vendor, strength) (increase(vendorwatch_findings_new_total{$M, vendor=~\"$vendor\", network=~\"$network\"}[$__rate_interval]))",
                    "{{vendor}} ({{strength}})",
                )],
            },
            Panel {
                title: "Detections by purpose",
                description: "What the documentation says the endpoints are for.",
                kind: Kind::TimeSeries,
                unit: "cps",
                width: 12,
                queries: &[query(
                    "sum by (purpose) (rate(vendorwatch_detections_total{$M, vendor=~\"$vendor\", network=~\"$network\"}[$__rate_interval]))",
                    "{{purpose}}",
                )],
            },
            Panel {
                title: "Detections by signal",
                description: "How the names were seen.",
                kind: Kind::TimeSeries,
                unit: "cps",
                width: 12,
                queries: &[query(
                    "sum by (signal) (rate(vendorwatch_detections_total{$M, vendor=~\"$vendor\", network=~\"$network\"}[$__rate_interval]))",
                    "{{signal}}",
                )],
            },
        ],
    },
    Row {
        title: "What could be seen",
        panels: &[
            Panel {
                title: "Connections by outcome",
                description: "Whether the server of a new connection could be named.",
                kind: Kind::TimeSeries,
                unit: "cps",
                width: 8,
                queries: &[query(
                    "sum by (outcome) (rate(vendorwatch_connections_total{$M, network=~\"$network\"}[$__rate_interval]))",
                    "{{outcome}}",
                )],
            },
            Panel {
                title: "Handshakes by outcome",
                description: "What became of each TLS, DTLS and QUIC handshake. All but `named` are names that were not seen.",
                kind: Kind::TimeSeries,
                unit: "cps",
                width: 8,
                queries: &[query(
                    "sum by (protocol, outcome) (rate(vendorwatch_handshakes_total{$M}[$__rate_interval]))",
                    "{{protocol}} {{outcome}}",
                )],
            },
            Panel {
                title: "DNS messages by outcome",
                description: "What became of each DNS message.",
                kind: Kind::TimeSeries,
                unit: "cps",
                width: 8,
                queries: &[query(
                    "sum by (transport, outcome) (rate(vendorwatch_dns_messages_total{$M}[$__rate_interval]))",
                    "{{transport}} {{outcome}}",
                )],
            },
            Panel {
                title: "Encrypted DNS",
                description: "New connections to resolvers that encrypt: names that cannot be seen.",
                kind: Kind::TimeSeries,
                unit: "cps",
                width: 8,
                queries: &[query(
                    "sum by (kind) (rate(vendorwatch_encrypted_dns_connections_total{$M, network=~\"$network\"}[$__rate_interval]))",
                    "{{kind}}",
                )],
            },
            Panel {
                title: "Frames not read",
                description: "Frames that gave no packet, by reason.",
                kind: Kind::TimeSeries,
                unit: "pps",
                width: 8,
                queries: &[query(
                    "sum by (outcome) (rate(vendorwatch_packets_total{$M, outcome!~\"decoded|skipped_in_kernel\"}[$__rate_interval]))",
                    "{{outcome}}",
                )],
            },
            Panel {
                title: "Estimates of the mirror",
                description: "From a seeded sample of flows: the share that shows one direction only, and the share of octets acknowledged but never seen.",
                kind: Kind::TimeSeries,
                unit: "percentunit",
                width: 8,
                queries: &[
                    query(
                        "max by (interface) (vendorwatch_estimated_one_way_ratio{$M})",
                        "{{interface}} one way",
                    ),
                    query(
                        "max by (interface) (vendorwatch_estimated_lost_bytes_ratio{$M})",
                        "{{interface}} lost upstream",
                    ),
                ],
            },
        ],
    },
    Row {
        title: "Sensor",
        panels: &[
            Panel {
                title: "Frames captured",
                description: "Frames that each interface delivered.",
                kind: Kind::TimeSeries,
                unit: "pps",
                width: 8,
                queries: &[query(
                    "sum by (interface) (rate(vendorwatch_capture_packets_total{$M}[$__rate_interval]))",
                    "{{interface}}",
                )],
            },
            Panel {
                title: "Octets captured",
                description: "Octets on the wire of the captured frames.",
                kind: Kind::TimeSeries,
                unit: "Bps",
                width: 8,
                queries: &[query(
                    "sum by (interface) (rate(vendorwatch_capture_bytes_total{$M}[$__rate_interval]))",
                    "{{interface}}",
                )],
            },
            Panel {
                title: "Frames dropped",
                description: "Frames lost before a worker saw them. Anything above zero weakens a statement of absence.",
                kind: Kind::TimeSeries,
                unit: "pps",
                width: 8,
                queries: &[query(
                    "sum by (interface, reason) (rate(vendorwatch_capture_dropped_packets_total{$M}[$__rate_interval]))",
                    "{{interface}} {{reason}}",
                )],
            },
            Panel {
                title: "Workers busy",
                description: "Share of its time that each worker spends on frames, and the correlator on their records; of several sensors the busiest. The rest is headroom.",
                kind: Kind::TimeSeries,
                unit: "percentunit",
                width: 8,
                queries: &[
                    query(
                        "max by (worker) (rate(vendorwatch_worker_busy_seconds_total{$M}[$__rate_interval]))",
                        "worker {{worker}}",
                    ),
                    query(
                        "max(rate(vendorwatch_correlator_busy_seconds_total{$M}[$__rate_interval]))",
                        "correlator",
                    ),
                ],
            },
            Panel {
                title: "Time for a frame",
                description: "What a frame costs a worker, without the kernel's part.",
                kind: Kind::TimeSeries,
                unit: "s",
                width: 8,
                queries: &[query(
                    "sum by (worker) (rate(vendorwatch_worker_busy_seconds_total{$M}[$__rate_interval])) / sum by (worker) (rate(vendorwatch_worker_packets_total{$M}[$__rate_interval]))",
                    "worker {{worker}}",
                )],
            },
            Panel {
                title: "Tables",
                description: "Entries in the bounded tables of what is unfinished.",
                kind: Kind::TimeSeries,
                unit: "none",
                width: 8,
                queries: &[query("sum by (table) (vendorwatch_table_entries{$M})", "{{table}}")],
            },
            Panel {
                title: "Given up for room",
                description: "Entries evicted from a table, and records lost between worker and correlator.",
                kind: Kind::TimeSeries,
                unit: "cps",
                width: 8,
                queries: &[
                    query(
                        "sum by (table) (rate(vendorwatch_table_evicted_total{$M}[$__rate_interval]))",
                        "{{table}}",
                    ),
                    query(
                        "sum(rate(vendorwatch_worker_records_lost_total{$M}[$__rate_interval]))",
                        "records",
                    ),
                ],
            },
            Panel {
                title: "Memory",
                description: "Resident memory of the process.",
                kind: Kind::TimeSeries,
                unit: "bytes",
                width: 8,
                queries: &[query("process_resident_memory_bytes{$M}", "{{instance}}")],
            },
            Panel {
                title: "Inventory",
                description: "Findings on disk, and changes that wait to be written.",
                kind: Kind::TimeSeries,
                unit: "none",
                width: 8,
                queries: &[
                    query("sum by (instance) (vendorwatch_inventory_findings{$M})", "findings"),
                    query(
                        "sum by (instance) (vendorwatch_inventory_waiting_changes{$M})",
                        "waiting",
                    ),
                ],
            },
            Panel {
                title: "Last reload",
                description: "1: the configuration and signatures in use are the newest; 0: a reload was refused.",
                kind: Kind::Stat,
                unit: "bool_yes_no",
                width: 8,
                queries: &[query(
                    "min by (instance) (vendorwatch_config_last_reload_successful{$M})",
                    "{{instance}}",
                )],
            },
        ],
    },
];

/// The dashboard as JSON to import or provision.
#[must_use]
pub fn dashboard() -> Value {
    let mut panels = Vec::new();
    let (mut id, mut y) = (1, 0);
    for row in ROWS {
        panels.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 },
        }));
        id += 1;
        y += 1;
        let (mut x, mut height) = (0, 0);
        for panel in row.panels {
            if x + panel.width > 24 {
                (x, y) = (0, y + height);
            }
            height = panel.kind.height();
            panels.push(panel.json(id, x, y));
            id += 1;
            x += panel.width;
        }
        y += height;
    }
    json!({
        "uid": "vendorwatch",
        "title": "vendorwatch",
        "description": "Listed vendors on the network: who, where, since when, how much, new; and how well the sensor sees.",
        "tags": ["vendorwatch", "network", "compliance"],
        "editable": false,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": { "from": "now-6h", "to": "now" },
        "timezone": "browser",
        "templating": { "list": [
            {
                "name": "datasource", "label": "Data source", "type": "datasource",
                "query": "prometheus", "hide": 0,
            },
            variable("job", "Job", "label_values(vendorwatch_build_info, job)"),
            variable("instance", "Instance", "label_values(vendorwatch_build_info{job=~\"$job\"}, instance)"),
            variable("vendor", "Vendor", "label_values(vendorwatch_vendor_info{job=~\"$job\", instance=~\"$instance\"}, vendor)"),
            variable("network", "Network", "label_values(vendorwatch_connections_total{job=~\"$job\", instance=~\"$instance\"}, network)"),
        ] },
        "annotations": { "list": [] },
        "panels": panels,
    })
}

impl Panel {
    fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let targets: Vec<Value> = self
            .queries
            .iter()
            .zip(b'A'..)
            .map(|(query, letter)| {
                json!({
                    "refId": char::from(letter).to_string(),
                    "datasource": datasource(),
                    "expr": expression(query.expression),
                    "legendFormat": query.legend,
                    "instant": self.kind != Kind::TimeSeries,
                    "range": self.kind == Kind::TimeSeries,
                    "format": if self.kind == Kind::Table { "table" } else { "time_series" },
                })
            })
            .collect();
        let mut panel = json!({
            "id": id,
            "type": self.kind.label(),
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": { "x": x, "y": y, "w": self.width, "h": self.kind.height() },
            "fieldConfig": { "defaults": { "unit": self.unit }, "overrides": [] },
            "targets": targets,
        });
        if self.kind == Kind::Table {
            let named = |field: &str, title: &str, unit: &str| {
                json!({
                    "matcher": { "id": "byName", "options": field },
                    "properties": [
                        { "id": "displayName", "value": title },
                        { "id": "unit", "value": unit },
                    ],
                })
            };
            panel["transformations"] = json!([
                { "id": "merge", "options": {} },
                { "id": "organize", "options": { "excludeByName": { "Time": true } } },
            ]);
            panel["fieldConfig"]["overrides"] = self
                .queries
                .iter()
                .zip('A'..)
                .map(|(query, letter)| {
                    let unit = if query.legend == "clients" { "none" } else { self.unit };
                    named(&format!("Value #{letter}"), query.legend, unit)
                })
                .collect();
        }
        panel
    }
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::TimeSeries => "timeseries",
            Self::Table => "table",
        }
    }

    const fn height(self) -> u32 {
        match self {
            Self::Stat => 4,
            Self::TimeSeries => 8,
            Self::Table => 10,
        }
    }
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn expression(text: &str) -> String {
    text.replace("$M", "job=~\"$job\", instance=~\"$instance\"")
}

fn variable(name: &str, label: &str, query: &str) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "datasource": datasource(),
        "query": { "query": query, "refId": name },
        "multi": true, "includeAll": true, "allValue": ".*", "refresh": 2, "sort": 1,
        "current": { "text": ["All"], "value": ["$__all"] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Panel> {
        ROWS.iter().flat_map(|row| row.panels)
    }

    #[test]
    fn panels_are_titled_described_and_have_a_unit() {
        let mut titles = std::collections::BTreeSet::new();
        for panel in all() {
            assert!(titles.insert(panel.title), "{} is there twice", panel.title);
            assert!(!panel.unit.is_empty() && panel.description.ends_with('.'), "{}", panel.title);
            assert!(panel.width <= 24 && !panel.queries.is_empty(), "{}", panel.title);
        }
    }

    #[test]
    fn expressions_follow_the_linter() {
        for query in all().flat_map(|panel| panel.queries) {
            let text = query.expression;
            let selectors = text.matches("vendorwatch_").count() + text.matches("process_").count();
            assert_eq!(text.matches("{$M").count(), selectors, "matchers in each selector: {text}");
            for function in ["rate(", "increase("] {
                let calls = text.matches(function).count();
                if calls > 0 {
                    assert_eq!(text.matches("[$__rate_interval]").count(), calls, "{text}");
                }
            }
            assert!(
                !text.contains("_total{") || text.contains("rate(") || text.contains("increase("),
                "{text}"
            );
        }
    }

    #[test]
    fn panels_do_not_overlap() {
        let board = dashboard();
        let mut cells = std::collections::BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(x < 24 && cells.insert((x, y)), "{}", panel["title"]);
                }
            }
        }
    }
}
