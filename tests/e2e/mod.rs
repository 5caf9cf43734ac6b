//! End to end: frames replayed over a veth pair into `vendorwatch run`, scraped by a real
//! Prometheus with the shipped rules. Needs root, iproute2, tcpreplay, curl and prometheus.

mod clients;
mod dashboard;
mod lab;
mod sensor;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::{Lab, wait_for};
use sensor::{Prometheus, Sensor, inventory, read};

use crate::support::{own_captures, repository, shared};

/// The labels of a detection.
const LABELS: [&str; 5] = ["vendor", "purpose", "strength", "signal", "network"];

/// Real captures with listed vendors' traffic whose frames fit the link, where they are found.
fn vendor_captures() -> Vec<PathBuf> {
    let Some(folder) = shared("corpus/vendors") else { return Vec::new() };
    // Ethernet, whole frames, and short enough to be replayed at the pace they were recorded at.
    ["wflib__www-tiktok-com.pcapng", "hatboy__test2-dns.pcap"]
        .map(|name| folder.join(name))
        .into_iter()
        .filter(|path| path.exists())
        .collect()
}

/// What `read` counts, by the labels of the metric.
fn counted_offline(captures: &[&Path]) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for row in read(captures) {
        let labels = LABELS.map(|label| row[label].as_str().unwrap().to_owned()).join(" ");
        *counts.entry(labels).or_insert(0.0) += row["count"].as_f64().unwrap();
    }
    counts
}

#[test]
fn a_real_prometheus_counts_live_what_read_counts_offline() {
    let lab = Lab::new("parity");
    let mut sensor = Sensor::start(&lab, &[]);
    let prometheus = Prometheus::start(&lab);
    let mut captures = own_captures();
    captures.extend(vendor_captures());
    let mut sent = 0;
    for capture in &captures {
        sent += lab.replay(capture, None);
        sensor.wait_for_frames(sent);
    }

    let paths: Vec<_> = captures.iter().map(PathBuf::as_path).collect();
    let mut offline: BTreeMap<String, f64> = BTreeMap::new();
    for path in &paths {
        for (labels, count) in counted_offline(&[path]) {
            *offline.entry(labels).or_default() += count;
        }
    }
    assert!(offline.len() > 5, "the captures show listed vendors: {offline:?}");
    let live = wait_for("Prometheus to have the last scrape", || {
        let mut live = prometheus.query("vendorwatch_detections_total > 0", &LABELS);
        live.retain(|_, count| *count > 0.0);
        (live == offline).then(|| live.clone()).or_else(|| {
            (live.values().sum::<f64>() > offline.values().sum::<f64>()).then_some(live)
        })
    });
    assert_eq!(live, offline, "live and offline agree, label by label");

    // In one scrape: others may have frames in the air.
    wait_for("every captured packet to have one outcome", || {
        let open = "sum(vendorwatch_capture_packets_total) - sum(vendorwatch_packets_total)";
        prometheus.query(open, &[]).into_values().eq([0.0]).then_some(())
    });
    let dropped = prometheus.query("sum(vendorwatch_capture_dropped_packets_total)", &[]);
    assert!(dropped.values().all(|count| *count == 0.0), "{dropped:?}");

    promtool_finds_no_fault(&lab);
    // What was counted between two scrapes begins at its value: a rate needs a series that rises.
    wait_for("a count that rises", || {
        sent += lab.replay(&captures[captures.len() - 1], None);
        sensor.wait_for_frames(sent);
        let rising = prometheus.query("rate(vendorwatch_detections_total[5m]) > 0", &LABELS);
        (!rising.is_empty()).then_some(())
    });
    dashboard::every_expression_is_answered(&prometheus);
    assert_eq!(sensor.stop().code(), Some(0), "SIGTERM drains and exits 0");
}

fn promtool_finds_no_fault(lab: &Lab) {
    let file = lab.path("metrics");
    fs::write(&file, lab.get(&format!("{}/metrics", Sensor::URL))).unwrap();
    let output = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "promtool check metrics: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The new-vendor alerts that fire, by vendor and strength, and since when each does.
fn new_vendor_alerts(prometheus: &Prometheus<'_>) -> BTreeMap<String, String> {
    prometheus
        .firing()
        .into_iter()
        .filter(|alert| alert["labels"]["alertname"] == "VendorwatchNewVendor")
        .map(|alert| {
            let label = |name: &str| alert["labels"][name].as_str().unwrap().to_owned();
            let since = alert["activeAt"].as_str().unwrap().to_owned();
            (format!("{} {}", label("vendor"), label("strength")), since)
        })
        .collect()
}

#[test]
fn a_new_vendor_is_alerted_once_and_not_again_after_a_crash() {
    let lab = Lab::new("alert");
    let capture = repository("tests/pcap/starttls.pcap");
    let mut sensor = Sensor::start(&lab, &[]);
    let prometheus = Prometheus::start(&lab);
    let before =
        prometheus.query("vendorwatch_vendor_first_seen_timestamp_seconds > 0", &["vendor"]);
    assert!(before.is_empty(), "nothing was seen yet: {before:?}");
    assert!(new_vendor_alerts(&prometheus).is_empty());

    sensor.wait_for_frames(lab.replay(&capture, Some(500)));
    let fired = wait_for("the alert to fire", || {
        Some(new_vendor_alerts(&prometheus)).filter(|alerts| alerts.contains_key("huawei weak"))
    });
    let first = prometheus.query(
        "vendorwatch_vendor_first_seen_timestamp_seconds > 0",
        &["vendor", "strength", "network"],
    );
    wait_for("the finding to be in the inventory", || {
        let findings = inventory(&lab);
        findings.iter().any(|row| row["vendor"] == "huawei").then_some(())
    });

    // A crash: nothing is flushed that is not on the disk already.
    sensor.process().signal("KILL");
    drop(sensor);
    let mut sensor = Sensor::start(&lab, &[]);
    let new_before = sensor.sum("vendorwatch_findings_new_total");
    sensor.wait_for_frames(lab.replay(&capture, Some(500)));
    wait_for("the detections after the restart", || {
        (sensor.sum("vendorwatch_detections_total") > 0.0).then_some(())
    });
    let again = prometheus.query(
        "vendorwatch_vendor_first_seen_timestamp_seconds > 0",
        &["vendor", "strength", "network"],
    );
    assert_eq!(again, first, "first seen is what it was before the crash");
    let new_after = sensor.sum("vendorwatch_findings_new_total");
    assert!((new_after - new_before).abs() < 0.5, "no finding is new after the restart");
    let alerts = new_vendor_alerts(&prometheus);
    for (alert, since) in fired {
        assert_eq!(alerts.get(&alert), Some(&since), "{alert} fires on, and did not fire anew");
    }
}

#[test]
fn reloading_under_traffic_loses_no_packet_and_a_broken_file_is_refused() {
    let lab = Lab::new("reload");
    let signatures = lab.path("signatures");
    fs::create_dir(&signatures).unwrap();
    for entry in fs::read_dir(repository("signatures")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "toml") {
            fs::copy(&path, signatures.join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut sensor = Sensor::start(&lab, &["--signatures", signatures.to_str().unwrap()]);
    let capture = repository("tests/pcap/clients.pcap");
    let wanted: f64 = counted_offline(&[&capture]).values().sum();
    let successful = || sensor_value(&lab, "vendorwatch_config_last_reload_successful");

    let mut sent = 0;
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| lab.replay(&capture, Some(25)));
        let mut reloads = 0;
        while !replay.is_finished() {
            assert_eq!(sensor.reload().0, 200);
            reloads += 1;
        }
        assert!(reloads > 2, "only {reloads} reloads fell into the replay");
        sent += replay.join().unwrap();
    });
    sensor.wait_for_frames(sent);
    wait_for("every detection of the capture", || {
        (sensor.sum("vendorwatch_detections_total") >= wanted).then_some(())
    });
    assert!((sensor.sum("vendorwatch_detections_total") - wanted).abs() < 0.5);
    assert!((successful() - 1.0).abs() < 0.5);

    let broken = signatures.join("kaspersky.toml");
    let good = fs::read_to_string(&broken).unwrap();
    let line = good.lines().count() + 2;
    fs::write(&broken, format!("{good}\n[[indicator]]\nid = 7\n")).unwrap();
    let (code, reason) = sensor.reload();
    assert_eq!(code, 500, "{reason}");
    assert!(
        reason.contains("kaspersky.toml") && reason.contains(&format!(":{}", line + 1))
            || reason.contains(&format!(":{line}")),
        "the reason names file and line: {reason}"
    );
    assert!(successful() < 0.5, "the gauge shows it");

    let before = sensor.sum("vendorwatch_detections_total");
    sent += lab.replay(&repository("tests/pcap/starttls.pcap"), Some(500));
    sensor.wait_for_frames(sent);
    wait_for("the old set to detect", || {
        (sensor.sum("vendorwatch_detections_total") > before).then_some(())
    });

    fs::write(&broken, good).unwrap();
    sensor.process().signal("HUP");
    wait_for("the repaired set to be taken", || (successful() > 0.5).then_some(()));
}

fn sensor_value(lab: &Lab, family: &str) -> f64 {
    lab.get(&format!("{}/metrics", Sensor::URL))
        .lines()
        .find_map(|line| line.strip_prefix(family)?.strip_prefix(' ')?.parse().ok())
        .unwrap_or_else(|| panic!("no {family}"))
}

#[test]
fn an_interface_that_goes_down_is_counted_and_found_again() {
    let lab = Lab::new("flap");
    let mut sensor = Sensor::start(&lab, &[]);
    let capture = repository("tests/pcap/starttls.pcap");
    let sent = lab.replay(&capture, Some(500));
    sensor.wait_for_frames(sent);
    lab.span("down");
    wait_for("the sensor to say so", || {
        (sensor.log().contains(Lab::SPAN) && sensor.log().contains("down")).then_some(())
    });
    lab.span("up");
    // Frames are lost until the capture is open again; send until one round is counted.
    let before = sensor.sum("vendorwatch_packets_total");
    wait_for("frames after the interface came back", || {
        lab.replay(&capture, Some(500));
        (sensor.sum("vendorwatch_packets_total") > before).then_some(())
    });
}
