//! The project's own captures and what `read` says of them. `make golden` writes the outputs
//! again; read the difference before you commit it.

use std::fs;

use crate::support::own_captures;
use crate::support::process::{program, said};

/// The ending of each golden file, and the arguments that make it.
const GOLDEN: &[(&str, &[&str])] = &[
    ("names", &["--names"]),
    ("endpoints.csv", &["--format", "csv"]),
    ("clients.csv", &["--format", "csv", "--by", "client"]),
];

#[test]
fn golden_outputs_of_own_captures() {
    for capture in own_captures() {
        for (ending, args) in GOLDEN {
            let said = said(program().arg("read").args(*args).arg(&capture));
            let path = capture.with_extension(ending);
            if std::env::var_os("VENDORWATCH_BLESS").is_some() {
                fs::write(&path, &said).unwrap();
            }
            let wanted = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(said, wanted, "{}: `make golden`, then read the difference", path.display());
        }
    }
}
