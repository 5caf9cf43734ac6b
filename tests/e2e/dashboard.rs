//! Every expression of the shipped dashboard, asked of a Prometheus that has seen real traffic.

use std::fs;

use serde_json::Value;

use super::sensor::Prometheus;
use crate::support::repository;

/// Series that exist only once one of sixty-four flows was sampled, which these captures with their
/// few flows need not bring about.
const QUIET: &[&str] = &["vendorwatch_estimated_"];

/// Puts values where the dashboard has variables.
fn concrete(expression: &str) -> String {
    // Rates look back past everything that was replayed, however slow the machine is.
    let mut text = expression
        .replace("$__rate_interval", "5m")
        .replace("$__range", "1h")
        .replace("$__interval", "1m");
    for variable in ["datasource", "job", "instance", "vendor", "strength", "network", "interface"]
    {
        text =
            text.replace(&format!("${variable}"), ".*").replace(&format!("${{{variable}}}"), ".*");
    }
    text
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(expression)) = map.get("expr") {
                found.push(expression.clone());
            }
            map.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

pub(super) fn every_expression_is_answered(prometheus: &Prometheus<'_>) {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository("grafana")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "json") {
            expressions(
                &serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap(),
                &mut found,
            );
        }
    }
    assert!(found.len() > 10, "the dashboard has panels: {}", found.len());
    let empty: Vec<_> = found
        .iter()
        .filter(|expression| !QUIET.iter().any(|quiet| expression.contains(quiet)))
        .filter(|expression| prometheus.query(&concrete(expression), &[]).is_empty())
        .collect();
    assert!(empty.is_empty(), "no data for {empty:#?}");
}
