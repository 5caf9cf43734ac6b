//! The committed seeds of the fuzz entries, replayed; and what wrote them.
//!
//! `seeds/<entry>/` holds small inputs that reach deep into each parser. All are made here, from
//! nothing but the standards: `VENDORWATCH_WRITE_SEEDS=1 cargo test fuzz` writes them anew.

mod seeds;

use std::collections::BTreeSet;
use std::fs;

use vendorwatch::inspect::fuzzing::Entry;
use vendorwatch::{inspect, pipeline};

use crate::support::repository;

fn entries() -> Vec<(&'static str, Entry)> {
    let mut entries = inspect::fuzzing::TARGETS.to_vec();
    entries.push(("frames", pipeline::fuzzing::frames));
    entries
}

#[test]
fn seeds_are_those_that_are_made_here() {
    let write = std::env::var_os("VENDORWATCH_WRITE_SEEDS").is_some();
    for (target, made) in seeds::all() {
        let folder = repository("tests/fuzz/seeds").join(target);
        for (name, octets) in &made {
            let file = folder.join(name);
            if write {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&file, octets).unwrap();
            }
            let committed = fs::read(&file).unwrap_or_default();
            assert!(committed == *octets, "{} is not what is made here", file.display());
        }
    }
}

#[test]
fn every_entry_survives_its_seeds_and_their_prefixes_and_flips() {
    for (target, entry) in entries() {
        let folder = repository("tests/fuzz/seeds").join(target);
        let mut files = BTreeSet::new();
        for file in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            files.insert(file.unwrap().path());
        }
        assert!(!files.is_empty(), "{target} has no seeds");
        for file in files {
            let octets = fs::read(&file).unwrap();
            entry(&octets);
            for len in (0..octets.len()).step_by(1 + octets.len() / 64) {
                entry(&octets[..len]);
            }
            for at in (0..octets.len()).step_by(1 + octets.len() / 64) {
                let mut flipped = octets.clone();
                flipped[at] ^= 1 << (at % 8);
                entry(&flipped);
            }
        }
    }
}
