//! Files that the program prints and the repository holds are the same. `make generate` writes
//! them again.

use std::fs;

use crate::support::process::{program, said};
use crate::support::repository;

/// What prints the file, and where it lies.
const GENERATED: &[(&[&str], &str)] = &[
    (&["generate", "dashboards"], "grafana/vendorwatch.json"),
    (&["generate", "config"], "systemd/vendorwatch.toml"),
    (&["generate", "metrics"], "src/manual/metrics.md"),
    (&["signatures", "list", "--summary"], "src/manual/vendors.md"),
];

#[test]
fn generated_files_are_fresh() {
    for (args, path) in GENERATED {
        let said = said(program().args(*args));
        let file = repository(path);
        if std::env::var_os("VENDORWATCH_BLESS").is_some() {
            fs::write(&file, &said).unwrap();
        }
        let held = fs::read_to_string(&file).unwrap_or_default();
        assert!(held == said, "{path} is stale: `make generate`, then read the difference");
    }
}
