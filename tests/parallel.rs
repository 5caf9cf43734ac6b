//! Several workers find what one does, word for word.

use std::fs;
use std::path::Path;

use crate::support::process::{program, said};
use crate::support::repository;

fn read(words: &[&str], workers: &str, captures: &Path) -> String {
    said(program().args(["read", "--workers", workers]).args(words).arg(captures))
}

fn assert_workers_agree(captures: &Path) {
    for words in [&["--names"][..], &["--format", "json"], &[]] {
        let one = read(words, "1", captures);
        assert!(!one.is_empty());
        for workers in ["2", "5"] {
            let several = read(words, workers, captures);
            assert_eq!(several, one, "{words:?} with {workers} workers");
        }
    }
}

#[test]
fn the_number_of_workers_changes_nothing() {
    assert_workers_agree(&repository("tests/pcap"));
}

/// A capture whose clock is set back by two hours and then ahead, again and again, and has wild
/// stamps between: whether a stamp is believed is seen by the frames around it, whoever reads them.
#[test]
fn nor_does_it_when_the_clock_is_set_back() {
    let mut octets = fs::read(repository("tests/pcap/clients.pcap")).unwrap();
    let word = |octets: &[u8], at: usize| {
        u32::from_le_bytes(*octets[at..].first_chunk().expect("a field of four octets"))
    };
    assert_eq!(word(&octets, 0), 0xa1b2_c3d4, "a classic capture, little-endian");
    let (mut at, mut number) = (24, 0_u32);
    while at < octets.len() {
        let shift = match number / 40 % 3 {
            0 => 0,
            1 => -7_200,
            _ => 5_000,
        };
        let wild = if number % 31 == 7 { 90_000 } else { 0 };
        let seconds = word(&octets, at).wrapping_add_signed(shift).wrapping_add(wild);
        octets[at..at + 4].copy_from_slice(&seconds.to_le_bytes());
        at += 16 + usize::try_from(word(&octets, at + 8)).unwrap();
        number += 1;
    }
    assert!(number > 200, "enough frames to set the clock back and ahead: {number}");
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("leaps.pcap");
    fs::write(&capture, octets).unwrap();
    assert_workers_agree(&capture);
}

/// A file of several mappings, an hour a repetition, and the same octets through a pipe, which are
/// copied.
#[test]
fn nor_does_it_in_a_file_that_is_long_enough_to_be_mapped() {
    let mut octets = fs::read(repository("tests/pcap/chromium.pcap")).unwrap();
    let word = |octets: &[u8], at: usize| {
        u32::from_le_bytes(*octets[at..].first_chunk().expect("a field of four octets"))
    };
    assert_eq!(word(&octets, 0), 0xa1b2_c3d4, "a classic capture, little-endian");
    let mut records = octets.split_off(24);
    while octets.len() < 12 << 20 {
        octets.extend(&records);
        let mut at = 0;
        while at < records.len() {
            let later = word(&records, at) + 3_600;
            records[at..at + 4].copy_from_slice(&later.to_le_bytes());
            at += 16 + usize::try_from(word(&records, at + 8)).unwrap();
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("long.pcap");
    fs::write(&capture, octets).unwrap();
    assert_workers_agree(&capture);
    let words = ["--format", "json"];
    let piped = fs::File::open(&capture).unwrap();
    let copied = said(program().args(["read"]).args(words).arg("-").stdin(piped));
    assert_eq!(copied, read(&words, "1", &capture));
}
