//! Several workers find what one does, word for word.

use std::process::Command;

use crate::support::repository;

fn read(words: &[&str], workers: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
        .args(["read", "--workers", workers])
        .args(words)
        .arg(repository("tests/pcap"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_number_of_workers_changes_nothing() {
    for words in [&["--names"][..], &["--format", "json"], &[]] {
        let one = read(words, "1");
        assert!(!one.is_empty());
        for workers in ["2", "5"] {
            assert_eq!(read(words, workers), one, "{words:?} with {workers} workers");
        }
    }
}
