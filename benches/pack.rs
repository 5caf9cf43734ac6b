//! What does a pack cost to load and to keep? Built in one process, loaded in another, so that the
//! figures are the loader's alone: seconds, and the peak of resident memory as the kernel saw it.
//!
//! `VENDORWATCH_BENCH_NAMES` replaces the sizes.

#![expect(clippy::cast_precision_loss, reason = "figures for a reader")]

#[path = "support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use vendorwatch::config::signatures::Sources;

fn main() {
    if let Ok(directory) = env::var("VENDORWATCH_BENCH_LOAD") {
        return load(Path::new(&directory));
    }
    let sizes = env::var("VENDORWATCH_BENCH_NAMES").unwrap_or("1000000,8000000".into());
    for size in sizes.split(',') {
        let count: usize = size.trim().parse().expect("VENDORWATCH_BENCH_NAMES holds numbers");
        let directory = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let octets = support::pack_of(count);
        println!(
            "pack/{count}: built in {:.1} s, {:.1} MB, {:.2} octets a name",
            begun.elapsed().as_secs_f64(),
            octets.len() as f64 / 1e6,
            octets.len() as f64 / count as f64
        );
        fs::write(directory.path().join("bench.pack"), octets).unwrap();
        let done = Command::new(env::current_exe().unwrap())
            .env("VENDORWATCH_BENCH_LOAD", directory.path())
            .status()
            .unwrap();
        assert!(done.success());
    }
}

fn load(directory: &Path) {
    let begun = Instant::now();
    let sources = Sources { directories: vec![directory.to_owned()], ..Sources::default() };
    let set = sources.load().unwrap();
    let taken = begun.elapsed().as_secs_f64();
    let peak: f64 = fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(f64::NAN);
    println!(
        "  loaded with the {} shipped indicators in {taken:.2} s, peak resident {:.1} MB",
        set.indicators().len() - 1,
        peak * 1024.0 / 1e6
    );
}
