//! One worker on one interface, for `make bench-live`: capture and the whole core, and nothing
//! else. Prints what it received and the processor time of its thread.
//!
//! `receiver [--signatures DIR] [--names FILE | --capture-only] INTERFACE SECONDS ring|auto|xdp`:
//! matches the signatures of DIR, or the built-in ones. With `--names` it writes every name it saw
//! into FILE, as `read --names` prints them, and takes the time that costs; with `--capture-only`
//! it leaves the core out, so that capture alone is measured.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vendorwatch::capture::live::{Backend, Options, open_live};
use vendorwatch::capture::{Batch, Source};
use vendorwatch::detect::Record;
use vendorwatch::frame::SourceId;
use vendorwatch::net::{Path, Wish};
use vendorwatch::pipeline::{Pipeline, Sighting, Sink};
use vendorwatch::signature::{Set, embedded, format};
use vendorwatch::visibility::{Ledger, PacketOutcome};

#[derive(Default)]
struct Findings {
    records: u64,
    wishes: Vec<(Path, Wish)>,
    names: Option<BTreeSet<String>>,
}

impl Sink for Findings {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        if let Some(names) = &mut self.names {
            names.insert(format!("{}\t{}", sighting.signal.kind(), sighting.name));
        }
    }

    fn wants_sightings(&self) -> bool {
        self.names.is_some()
    }

    fn record(&mut self, _record: Record) {
        self.records += 1;
    }

    fn wish(&mut self, path: &Path, wish: Wish) {
        self.wishes.push((*path, wish));
    }
}

/// Nanoseconds that this thread has run.
fn ran() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

#[derive(clap::Parser)]
struct Args {
    #[arg(long)]
    signatures: Option<PathBuf>,
    #[arg(long)]
    names: Option<PathBuf>,
    #[arg(long, conflicts_with = "names")]
    capture_only: bool,
    /// `cargo bench` says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    interface: String,
    seconds: f64,
    #[arg(value_parser = backend)]
    backend: Backend,
}

fn backend(word: &str) -> Result<Backend, String> {
    [Backend::Ring, Backend::Auto, Backend::Xdp]
        .into_iter()
        .find(|backend| backend.label() == word)
        .ok_or_else(|| "not one of ring, auto, xdp".to_owned())
}

/// Those of a directory, or the built-in ones.
fn signatures(directory: Option<&PathBuf>) -> Set {
    let Some(directory) = directory else {
        return Set::build(embedded::files().expect("sound signatures")).expect("sound signatures");
    };
    let entries = directory.read_dir().expect("a directory of signatures");
    let files = entries.map(|entry| {
        let path = entry.expect("a directory's entry").path();
        let text = std::fs::read_to_string(&path).expect("a signature file");
        format::parse(&path.to_string_lossy(), &text).expect("sound signatures")
    });
    Set::build(files.collect()).expect("signatures that agree")
}

fn main() {
    if std::env::args().nth(1).is_none_or(|word| word == "--bench") {
        eprintln!("not run: `make bench-live` runs this with an interface");
        return;
    }
    let Args { signatures: directory, names, capture_only, interface, seconds, backend, .. } =
        clap::Parser::parse();
    let options = Options { backend, ring_bytes: 256 << 20, ..Options::default() };
    let mut opened = open_live(&interface, SourceId(0), &options).expect("an open interface");
    for notice in &opened.notices {
        eprintln!("{notice}");
    }
    let source = &mut opened.sources[0];
    let ledger = Arc::new(Ledger::default());
    let mut pipeline = Pipeline::new(Arc::new(signatures(directory.as_ref())), Arc::clone(&ledger));
    let mut findings =
        Findings { names: names.is_some().then(BTreeSet::new), ..Findings::default() };
    let mut wishes = Vec::new();
    println!("ready");
    std::io::stdout().flush().expect("stdout");

    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let (before, mut wished) = (ran(), 0_u64);
    while Instant::now() < end {
        let batch = source.batch(Duration::from_millis(50), &mut |frame| {
            if capture_only {
                findings.records += u64::from(frame.data.first().copied().unwrap_or_default() & 1);
            } else {
                pipeline.frame(frame, &mut findings);
            }
        });
        if let Err(error) = batch {
            eprintln!("{error}");
            break;
        }
        core::mem::swap(&mut wishes, &mut findings.wishes);
        for (path, wish) in wishes.drain(..) {
            source.wish(&path, wish);
            wished += 1;
        }
        if batch.is_ok_and(|batch| batch == Batch::End) {
            break;
        }
    }
    let time = ran() - before;
    pipeline.finish(&mut findings);
    let counters = source.counters();
    println!(
        "backend {} packets {} skipped {} dropped {} freezes {} decoded {} records {} wishes {} cpu_ns {}",
        opened.backend.label(),
        counters.packets,
        counters.skipped_in_kernel,
        counters.dropped_kernel,
        counters.freezes,
        ledger.packets[PacketOutcome::Decoded as usize].value(),
        findings.records,
        wished,
        time,
    );
    for (reason, volume) in
        vendorwatch::capture::bpf::SkipReason::ALL.iter().zip(counters.skipped.0)
    {
        println!("  left in the kernel, {}: {}", reason.label(), volume.packets);
    }
    if let (Some(file), Some(names)) = (names, &findings.names) {
        let text = names.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        std::fs::write(file, text + "\n").expect("a file for the names");
    }
}
