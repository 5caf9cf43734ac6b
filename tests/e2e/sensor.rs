//! The daemon under test and the Prometheus that scrapes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};

use serde_json::Value;

use super::lab::{Lab, Process, wait_for};
use crate::support::process::{program, said};
use crate::support::repository;

/// A running `vendorwatch run`.
pub(super) struct Sensor<'a> {
    lab: &'a Lab,
    process: Process,
}

impl<'a> Sensor<'a> {
    pub(super) const URL: &'static str = "http://127.0.0.1:10064";

    /// Starts the daemon on the lab's span and waits until it is ready.
    pub(super) fn start(lab: &'a Lab, more: &[&str]) -> Self {
        let inventory = lab.path("inventory.db");
        let mut args = vec![
            "run",
            "-i",
            Lab::SPAN,
            "--web.listen-address=127.0.0.1:10064",
            "--inventory",
            inventory.to_str().unwrap(),
        ];
        args.extend(more);
        let mut process = lab.start(env!("CARGO_BIN_EXE_vendorwatch"), &args, "sensor.log");
        wait_for("the daemon to be ready", || {
            process.must_live();
            lab.http("GET", &format!("{}/-/ready", Self::URL)).filter(|(code, _)| *code == 200)
        });
        Self { lab, process }
    }

    /// The value of each series of a family, by its labels as the exposition prints them.
    pub(super) fn family(&self, family: &str) -> BTreeMap<String, f64> {
        self.lab
            .get(&format!("{}/metrics", Self::URL))
            .lines()
            .filter_map(|line| line.strip_prefix(family))
            .filter(|rest| rest.starts_with(['{', ' ']))
            .map(|rest| {
                let (labels, value) = rest.rsplit_once(' ').unwrap();
                (labels.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    /// The sum of a family.
    pub(super) fn sum(&self, family: &str) -> f64 {
        self.family(family).values().sum()
    }

    /// Waits until the sensor has taken in `frames` frames.
    pub(super) fn wait_for_frames(&mut self, frames: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a test's few frames")]
        let wanted = frames as f64;
        wait_for(&format!("{frames} frames to be captured"), || {
            self.process.must_live();
            (self.sum("vendorwatch_packets_total") >= wanted).then_some(())
        });
    }

    /// `POST /-/reload`: the status code and the reason.
    pub(super) fn reload(&self) -> (u16, String) {
        self.lab.http("POST", &format!("{}/-/reload", Self::URL)).expect("an answer")
    }

    pub(super) fn log(&self) -> String {
        self.process.log()
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn stop(self) -> ExitStatus {
        self.process.end("TERM")
    }
}

/// A real Prometheus with the shipped rules, scraping the sensor every second.
pub(super) struct Prometheus<'a> {
    lab: &'a Lab,
    _process: Process,
}

impl<'a> Prometheus<'a> {
    const URL: &'static str = "http://127.0.0.1:19090";

    pub(super) fn start(lab: &'a Lab) -> Self {
        let rules = repository("prometheus/vendorwatch.rules.yml");
        let config = lab.path("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
                 rule_files: [ {} ]\n\
                 scrape_configs:\n  - job_name: vendorwatch\n    static_configs:\n      - targets: [ '127.0.0.1:10064' ]\n",
                rules.display()
            ),
        )
        .unwrap();
        let mut process = lab.start(
            "prometheus",
            &[
                &format!("--config.file={}", config.display()),
                &format!("--storage.tsdb.path={}", lab.path("tsdb").display()),
                "--web.listen-address=127.0.0.1:19090",
            ],
            "prometheus.log",
        );
        wait_for("Prometheus to be ready", || {
            process.must_live();
            lab.http("GET", &format!("{}/-/ready", Self::URL)).filter(|(code, _)| *code == 200)
        });
        Self { lab, _process: process }
    }

    /// An instant query: the value of each series by the labels of `by`, joined by spaces.
    pub(super) fn query(&self, expression: &str, by: &[&str]) -> BTreeMap<String, f64> {
        let answer =
            self.lab.json(&format!("{}/api/v1/query?query={}", Self::URL, encode(expression)));
        answer["data"]["result"]
            .as_array()
            .unwrap_or_else(|| panic!("{expression}: {answer}"))
            .iter()
            .map(|series| {
                let labels: Vec<_> = by
                    .iter()
                    .map(|label| series["metric"][label].as_str().unwrap_or("-"))
                    .collect();
                let value = series["value"][1].as_str().unwrap().parse().unwrap();
                (labels.join(" "), value)
            })
            .collect()
    }

    /// The alerts that fire now.
    pub(super) fn firing(&self) -> Vec<Value> {
        let answer = self.lab.json(&format!("{}/api/v1/alerts", Self::URL));
        answer["data"]["alerts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|alert| alert["state"] == "firing")
            .cloned()
            .collect()
    }
}

/// What `vendorwatch read --format json` says of captures: one object a line.
pub(super) fn read(captures: &[&Path]) -> Vec<Value> {
    objects(program().args(["read", "--format", "json"]).args(captures))
}

/// What `vendorwatch inventory` shows while the daemon runs.
pub(super) fn inventory(lab: &Lab) -> Vec<Value> {
    let path = lab.path("inventory.db");
    objects(program().args(["inventory", "--format", "json", "--inventory"]).arg(path))
}

/// The lines that a command prints.
fn objects(command: &mut Command) -> Vec<Value> {
    said(command).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Percent-encodes everything but letters and digits.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|octet| match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(octet).to_string(),
            _ => format!("%{octet:02X}"),
        })
        .collect()
}
