//! The committed seeds of the fuzz entries, replayed; and what wrote them.
//!
//! `seeds/<entry>/` holds small inputs that reach deep into each parser, and what the fuzzers found.
//! Those without a name of the form `found-…` are made here, from nothing but the standards:
//! `VENDORWATCH_WRITE_SEEDS=1 cargo test fuzz` writes them anew. The folder is a crate of its own
//! besides, with a target for each entry; README.md tells how it is run.

mod inspect;
mod rooms;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use vendorwatch::{capture, decode, flow, pipeline, signature};

use crate::support::repository;

type Entry = fn(&[u8]);

/// A file's name and its octets.
type Seed = (String, Vec<u8>);

fn named(seeds: Vec<(&str, Vec<u8>)>) -> Vec<Seed> {
    seeds.into_iter().map(|(name, octets)| (name.to_owned(), octets)).collect()
}

/// Every entry by its name.
fn entries() -> BTreeMap<&'static str, Entry> {
    let single: [(&str, Entry); 4] = [
        ("frames", pipeline::fuzzing::frames),
        ("frame", decode::fuzzing::frame),
        ("segments", flow::fuzzing::segments),
        ("capture_file", capture::file::fuzzing::capture_file),
    ];
    let inspectors = vendorwatch::inspect::fuzzing::TARGETS;
    inspectors.into_iter().chain(signature::fuzzing::TARGETS).chain(single).collect()
}

/// Every entry with the seeds that are made here.
fn made() -> Vec<(&'static str, Vec<Seed>)> {
    [inspect::all(), streams::all(), rooms::all()].concat()
}

/// What lies in a folder; nothing when there is none.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path()).collect()
}

fn folder(entry: &str) -> PathBuf {
    repository("tests/fuzz/seeds").join(entry)
}

#[test]
fn seeds_are_those_that_are_made_here() {
    let write = std::env::var_os("VENDORWATCH_WRITE_SEEDS").is_some();
    for (entry, made) in made() {
        let folder = folder(entry);
        let mut others = files(&folder);
        for (name, octets) in &made {
            let file = folder.join(name);
            if write {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&file, octets).unwrap();
            }
            let committed = fs::read(&file).unwrap_or_default();
            assert!(committed == *octets, "{} is not what is made here", file.display());
            others.remove(&file);
        }
        others.retain(|file| {
            !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("found-"))
        });
        assert!(others.is_empty(), "nothing here makes {others:?}");
    }
}

/// An entry without seeds, without a target for the fuzzer, or the other way round, is an entry
/// that is not run.
#[test]
fn every_entry_has_its_target_and_its_seeds() {
    let manifest: toml::Table =
        fs::read_to_string(repository("tests/fuzz/Cargo.toml")).unwrap().parse().unwrap();
    let targets: BTreeMap<&str, &str> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| (bin["name"].as_str().unwrap(), bin["path"].as_str().unwrap()))
        .collect();
    let entries = entries();
    assert!(targets.keys().eq(entries.keys()), "{:?} and {:?}", targets.keys(), entries.keys());
    for (entry, path) in targets {
        let text: String = fs::read_to_string(repository("tests/fuzz").join(path)).unwrap();
        let text: String = text.split_whitespace().collect();
        assert!(text.contains(&format!("fuzzing::{entry}(octets)")), "{path} runs {text}");
        assert!(!files(&folder(entry)).is_empty(), "{entry} has no seeds");
    }
    let known: BTreeSet<PathBuf> = entries.keys().map(|entry| folder(entry)).collect();
    assert_eq!(files(&repository("tests/fuzz/seeds")), known, "folders of seeds");
}

#[test]
fn every_entry_survives_its_seeds_and_their_prefixes_and_flips() {
    for (name, entry) in entries() {
        for file in files(&folder(name)) {
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
