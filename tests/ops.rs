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
