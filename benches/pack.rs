//! What do millions of names cost? A pack is built, and loaded by a process of its own that looks
//! nothing up; then the program itself reads a capture with that pack, and imports a hosts file of
//! a million lines. Seconds, and resident memory as the kernel saw it: the peak, and what stays.
//!
//! `VENDORWATCH_BENCH_NAMES` replaces the sizes.

#![expect(clippy::cast_precision_loss, reason = "figures for a reader")]

#[path = "support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use vendorwatch::config::signatures::Sources;

use self::support::names::Names;

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
        read_with(directory.path());
    }
    import(1_000_000);
}

/// The loader alone.
fn load(directory: &Path) {
    let begun = Instant::now();
    let sources = Sources { directories: vec![directory.to_owned()], ..Sources::default() };
    let set = sources.load().unwrap();
    let taken = begun.elapsed().as_secs_f64();
    println!(
        "  loaded with the {} shipped indicators in {taken:.2} s, peak resident {:.1} MB",
        set.indicators().len() - 1,
        resident("self", "VmHWM")
    );
}

/// `vendorwatch read` with the pack. The capture comes through a pipe that holds little of it: when
/// all was taken, the signatures are loaded and packets are being read.
fn read_with(directory: &Path) {
    const ROUNDS: usize = 400;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pcap/clients.pcap");
    let capture = fs::read(path).unwrap();
    let (head, packets) = capture.split_at(24);
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
        .arg("read")
        .arg("--signatures")
        .arg(directory)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(head).unwrap();
    input.write_all(&packets.repeat(1 + (1 << 17) / packets.len())).unwrap();
    let taken = begun.elapsed().as_secs_f64();
    for _ in 0..ROUNDS {
        input.write_all(packets).unwrap();
    }
    let id = child.id().to_string();
    let (peak, now) = (resident(&id, "VmHWM"), resident(&id, "VmRSS"));
    println!(
        "  vendorwatch read: at the packets after {taken:.2} s; resident {now:.1} MB while it \
         reads, peak {peak:.1} MB"
    );
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// `vendorwatch signatures import` of a hosts file, in which one line of a thousand is wrong.
fn import(lines: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut names = Names::seeded(4);
    let mut hosts = String::new();
    for number in 0..lines {
        if number % 1_000 == 999 {
            hosts.push_str("no line of a hosts file\n");
        } else {
            writeln!(hosts, "0.0.0.0 {}", names.next_name()).unwrap();
        }
    }
    fs::write(directory.path().join("hosts"), hosts).unwrap();
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
        .args(["signatures", "import", "--vendor", "bench", "--format", "hosts"])
        .args(["--reference", "made up", "--show-skipped", "0", "--output", "list", "hosts"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success());
    println!("import/{lines}: {:.2} s", begun.elapsed().as_secs_f64());
}

/// Megabytes, as `/proc/…/status` says.
fn resident(process: &str, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let field = |line: &str| {
        let value = line.strip_prefix(field)?.strip_prefix(':')?;
        value.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    };
    status.lines().find_map(field).unwrap_or(f64::NAN) * 1024.0 / 1e6
}
