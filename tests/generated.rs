//! Files that the program prints and the repository holds are the same. `make generate` writes
//! them again.

use std::fs;
use std::process::Command;

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
        let output = Command::new(env!("CARGO_BIN_EXE_vendorwatch")).args(*args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        let file = repository(path);
        if std::env::var_os("VENDORWATCH_BLESS").is_some() {
            fs::write(&file, &output.stdout).unwrap();
        }
        let held = fs::read(&file).unwrap_or_default();
        assert!(
            held == output.stdout,
            "{path} is stale: `make generate`, then read the difference"
        );
    }
}
