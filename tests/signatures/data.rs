//! Names with the answer a reader would expect of the shipped set.
//!
//! The lists were written from the evidence, not by asking the set: a name stands in
//! `positives.tsv` because its source says whose it is, in `websites.tsv` because people browse it,
//! and in `negatives.tsv` because it is somebody else's.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use vendorwatch::signature::{Set, Strength, embedded, lint};

fn shipped() -> Set {
    Set::build(embedded::files().unwrap()).unwrap()
}

/// The fields of every line that is neither empty nor a comment.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
}

#[test]
fn the_lint_has_nothing_to_say_about_the_shipped_files() {
    let faults = lint::check(&embedded::files().unwrap());
    let shown: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// Looks up the first field of at least `least` rows, each of which stands there once; `is_right`
/// judges a row by the vendor, purpose and strength that were found.
fn assert_rows(text: &str, least: usize, is_right: fn(&[&str], Option<[&str; 3]>) -> bool) {
    let set = shipped();
    let mut wrong = Vec::new();
    let mut seen = HashSet::new();
    for row in rows(text) {
        assert!(seen.insert(row[0]), "{} stands there twice", row[0]);
        let found = set.lookup(row[0]).map(|hit| {
            let record = hit.indicator;
            [&*record.vendor, record.purpose.label(), record.strength.label()]
        });
        if !is_right(&row, found) {
            wrong.push(format!("{}: {found:?}", row.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() >= least, "{}", seen.len());
}

#[test]
fn every_positive_is_found_with_vendor_purpose_and_strength() {
    assert_rows(include_str!("positives.tsv"), 1300, |row, found| {
        found.is_some_and(|found| found == row[1..])
    });
}

#[test]
fn no_web_site_is_taken_for_a_product() {
    assert_rows(include_str!("websites.tsv"), 300, |row, found| {
        found.is_some_and(|[vendor, _, strength]| row[1..] == [vendor] && strength == "weak")
    });
}

#[test]
fn no_negative_is_found() {
    assert_rows(include_str!("negatives.tsv"), 1050, |_, found| found.is_none());
}

#[test]
fn addresses_are_found_in_their_blocks_and_never_as_strong() {
    let set = shipped();
    let vendor = |text: &str| {
        let address: IpAddr = text.parse().unwrap();
        set.lookup_addr(address.into()).map(|indicator| {
            assert_ne!(indicator.strength, Strength::Strong, "{text}");
            &*indicator.vendor
        })
    };
    for inside in ["77.74.181.1", "37.203.129.5", "79.133.169.139", "2a03:2480:8028::25"] {
        assert_eq!(vendor(inside), Some("kaspersky"), "{inside}");
    }
    for inside in ["71.18.3.4", "130.44.213.9", "147.160.182.1"] {
        assert_eq!(vendor(inside), Some("bytedance"), "{inside}");
    }
    for outside in ["8.8.8.8", "77.74.184.1", "71.19.0.1", "2a03:2481::1", "10.0.0.1", "::1"] {
        assert_eq!(vendor(outside), None, "{outside}");
    }
}

#[test]
fn every_record_of_a_name_matches_the_name_it_gives() {
    let set = shipped();
    for indicator in set.indicators() {
        if let Some(name) = indicator.pattern.name() {
            let hit = set.lookup(name).unwrap_or_else(|| panic!("{name} finds nothing"));
            assert_eq!(hit.indicator.vendor, indicator.vendor, "{name}");
        }
    }
}

/// Words that would say more than traffic can show. Put together here, so that this file holds
/// none of them.
fn verdict_words() -> [String; 5] {
    [
        ("mali", "cious"),
        ("spy", "ware"),
        ("comp", "romised"),
        ("conf", "irmed"),
        ("exfil", "tration"),
    ]
    .map(|(head, tail)| format!("{head}{tail}"))
}

#[test]
fn no_shipped_text_passes_a_verdict() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for part in ["signatures", "src", "docs", "tests/signatures", "README.md"] {
        texts(&root.join(part), &mut files);
    }
    let words = verdict_words();
    let mut found = Vec::new();
    // The file that refuses these words has to name them, and so has the example it refuses.
    files.retain(|file| {
        !file.ends_with("src/signature/format/mod.rs")
            && file.file_stem().is_none_or(|stem| stem != "banned-word")
    });
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            if let Some(word) = words.iter().find(|&word| line.contains(&**word)) {
                found.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Every file at or below `path`.
fn texts(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_owned());
    } else if let Ok(entries) = fs::read_dir(path) {
        for entry in entries.flatten() {
            texts(&entry.path(), files);
        }
    }
}
