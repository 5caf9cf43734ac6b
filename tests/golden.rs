//! The project's own captures and what `read` says of them. `make golden` writes the outputs
//! again; read the difference before you commit it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::own_captures;

/// The ending of each golden file, and the arguments that make it.
const GOLDEN: &[(&str, &[&str])] = &[
    ("names", &["--names"]),
    ("endpoints.csv", &["--format", "csv"]),
    ("clients.csv", &["--format", "csv", "--by", "client"]),
];

fn read(args: &[&str], capture: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
        .arg("read")
        .args(args)
        .arg(capture)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", capture.display());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn golden_outputs_of_own_captures() {
    for capture in own_captures() {
        for (ending, args) in GOLDEN {
            let said = read(args, &capture);
            let path = capture.with_extension(ending);
            if std::env::var_os("VENDORWATCH_BLESS").is_some() {
                fs::write(&path, &said).unwrap();
            }
            let wanted = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(said, wanted, "{}: `make golden`, then read the difference", path.display());
        }
    }
}
