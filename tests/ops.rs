//! What operators install: rules, unit, dashboard. Checked by the tools that will read them.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use vendorwatch::export::metrics::families;

use crate::support::repository;

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .current_dir(repository("."))
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error} (`make deps` installs it)"))
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn rules_are_sound_and_fire_when_they_must_and_only_then() {
    let rules = run("promtool", &["check", "rules", "prometheus/vendorwatch.rules.yml"]);
    assert!(rules.status.success(), "{}", text(&rules));
    let cases = run("promtool", &["test", "rules", "prometheus/tests/vendorwatch.test.yml"]);
    assert!(cases.status.success(), "{}", text(&cases));
}

#[test]
fn the_unit_exposes_no_more_than_a_sensor_must() {
    // Sixteen tenths; the command fails above.
    let unit = "systemd/vendorwatch.service";
    let exposure = run(
        "systemd-analyze",
        &["security", "--offline=yes", "--threshold=16", "--no-pager", unit],
    );
    assert!(exposure.status.success(), "{}", text(&exposure));
}

/// A capability is of no use where the call that it is for is refused.
#[test]
fn the_unit_names_the_calls_that_the_filter_needs_beside_its_capabilities() {
    let unit = fs::read_to_string(repository("systemd/vendorwatch.service")).unwrap();
    assert!(unit.contains("SystemCallFilter=~@privileged @resources"));
    let privileged = text(&run("systemd-analyze", &["syscall-filter", "@privileged"]));
    for call in ["bpf", "capset"] {
        assert!(privileged.lines().any(|line| line.trim() == call), "{privileged}");
    }
    let advice = unit.lines().filter(|line| line.starts_with('#')).collect::<String>();
    for word in ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "SystemCallFilter=bpf capset"] {
        assert!(advice.contains(word), "{word}");
    }
}

#[test]
fn the_unit_tries_again_until_it_works_but_not_with_what_cannot() {
    let unit = fs::read_to_string(repository("systemd/vendorwatch.service")).unwrap();
    for line in ["StartLimitIntervalSec=0", "Restart=on-failure", "RestartPreventExitStatus=2"] {
        assert!(unit.lines().any(|of_unit| of_unit == line), "{line}");
    }
    // The status of a command before the main process would not prevent another try.
    assert!(!unit.contains("ExecStartPre="));
}

/// The unit has a user of its own, made when it starts: no group can be given the right to read.
#[test]
fn the_user_of_the_unit_can_read_the_configuration_that_is_installed() {
    let unit = fs::read_to_string(repository("systemd/vendorwatch.service")).unwrap();
    assert!(unit.contains("DynamicUser=yes"));
    let makefile = fs::read_to_string(repository("Makefile")).unwrap();
    let installs: Vec<&str> = makefile
        .lines()
        .filter(|line| line.contains("/etc/vendorwatch/vendorwatch.toml"))
        .collect();
    assert!(installs.iter().any(|line| line.contains("install -D -m 644 ")), "{installs:?}");
}

/// Two sensors that saw the same vendor: as promtool answers what the dashboard asks.
#[test]
fn of_several_sensors_the_dashboard_shows_the_first_sight_and_the_busiest_worker() {
    let board = fs::read_to_string(repository("grafana/vendorwatch.json")).unwrap();
    let board: serde_json::Value = serde_json::from_str(&board).unwrap();
    let ask = |title: &str, legend: &str| -> String {
        let mut panels = board["panels"].as_array().unwrap().iter();
        let panel = panels.find(|panel| panel["title"] == title).expect(title);
        let mut targets = panel["targets"].as_array().unwrap().iter();
        let target = targets.find(|target| target["legendFormat"] == legend).expect(legend);
        let mut asked = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
        for variable in ["$job", "$instance", "$vendor", "$network"] {
            asked = asked.replace(variable, ".*");
        }
        asked
    };
    let seen = |at: &str| {
        format!(
            "vendorwatch_vendor_{at}_seen_timestamp_seconds{{vendor=\"acme\",strength=\"weak\",network=\"lan\""
        )
    };
    let case = serde_json::json!({ "evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": [
            { "series": seen("first") + ",instance=\"a\"}", "values": "100x10" },
            { "series": seen("first") + ",instance=\"b\"}", "values": "300x10" },
            { "series": seen("last") + ",instance=\"a\"}", "values": "400x10" },
            { "series": seen("last") + ",instance=\"b\"}", "values": "300x10" },
            { "series": "vendorwatch_worker_busy_seconds_total{worker=\"0\",instance=\"a\"}", "values": "0+42x10" },
            { "series": "vendorwatch_worker_busy_seconds_total{worker=\"0\",instance=\"b\"}", "values": "0+48x10" },
        ],
        "promql_expr_test": [
            { "expr": ask("Who, where, since when", "first seen"), "eval_time": "10m",
              "exp_samples": [{ "labels": "{vendor=\"acme\",strength=\"weak\",network=\"lan\"}", "value": 100_000 }] },
            { "expr": ask("Who, where, since when", "last seen"), "eval_time": "10m",
              "exp_samples": [{ "labels": "{vendor=\"acme\",strength=\"weak\",network=\"lan\"}", "value": 400_000 }] },
            { "expr": ask("Workers busy", "worker {{worker}}"), "eval_time": "10m",
              "exp_samples": [{ "labels": "{worker=\"0\"}", "value": 0.8 }] },
        ],
    }]});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("board.yml");
    fs::write(&path, case.to_string()).unwrap();
    let answers = run("promtool", &["test", "rules", path.to_str().unwrap()]);
    assert!(answers.status.success(), "{}", text(&answers));
}

#[test]
fn the_unit_that_is_installed_starts_the_binary_that_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let into = format!("DESTDIR={}", folder.path().display());
    // The binary takes a quarter of an hour to make: what is done with the unit is done alone.
    let words = ["-n", "-o", "release", "install", "PREFIX=/opt/vendorwatch", &into];
    let plan = text(&run("make", &words));
    for step in plan.lines().filter(|step| step.contains("vendorwatch.service")) {
        let done = run("sh", &["-c", step]);
        assert!(done.status.success(), "{step}: {}", text(&done));
    }
    let unit = folder.path().join("lib/systemd/system/vendorwatch.service");
    let unit = fs::read_to_string(&unit).unwrap();
    assert!(unit.contains("\nExecStart=/opt/vendorwatch/bin/vendorwatch run "), "{unit}");
}

/// A binary that does not know what it was built from is of no help to those who ask.
#[test]
fn the_binary_that_is_built_says_what_it_was_built_from() {
    let asked = ["-s", "build", "CARGO=printenv VENDORWATCH_REVISION #"];
    let told = |variable: Option<&str>| {
        let mut make = Command::new("make");
        make.args(asked).current_dir(repository("."));
        match variable {
            Some(revision) => make.env("VENDORWATCH_REVISION", revision),
            None => make.env_remove("VENDORWATCH_REVISION"),
        };
        let output = make.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(repository("."))
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map_or("unknown".into(), |output| String::from_utf8(output.stdout).unwrap());
    let here = told(None);
    assert!(here.trim().trim_end_matches("-dirty") == commit.trim(), "{here} for {commit}");
    assert_eq!(told(Some("packaged-1")).trim(), "packaged-1");
}

/// Names that look like families of ours.
fn families_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with("vendorwatch_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn rules_and_dashboard_name_only_families_that_exist() {
    let known: BTreeSet<&str> = families::ALL.iter().map(|family| family.name).collect();
    for path in [
        "prometheus/vendorwatch.rules.yml",
        "prometheus/tests/vendorwatch.test.yml",
        "grafana/vendorwatch.json",
    ] {
        let text = fs::read_to_string(repository(path)).unwrap();
        let named = families_in(&text);
        assert!(named.len() > 5, "{path} names families");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{path}: no such families: {unknown:?}");
    }
}
