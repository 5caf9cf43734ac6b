//! What each stage costs: decode, flow, messages, match, correlate, and the whole core.
//!
//! Criterion measures the time. On a shared machine that moves with everything else that runs, so
//! a table follows of what does not: allocations, and, where valgrind is installed, instructions
//! for each operation. Valgrind knows no SHA extensions and no wide vectors, so a key schedule
//! takes more instructions there than on the processor itself.
//!
//! `cargo bench --bench pipeline -- quic` measures the stages with that word in their names.

#[path = "support/stages/mod.rs"]
mod stages;
#[path = "support/traffic.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod traffic;

use std::env;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Duration;

use criterion::{Criterion, Throughput};
use vendorwatch::cli::processor_time;

use self::stages::{STAGES, Stage};
use self::traffic::counting::allocations;

/// Set for the process that runs one stage under valgrind.
const CHILD: &str = "VENDORWATCH_BENCH_STAGE";
/// Calls before anything is counted: tables grow, scratch space is made.
const WARM: usize = 3;
/// Calls that are counted.
const COUNTED: u64 = 4;

fn main() {
    if let Ok(name) = env::var(CHILD) {
        return run_once(&name);
    }
    // Criterion understands its own arguments; the first that is no flag filters by name.
    let wanted = env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let chosen: Vec<&Stage> = STAGES.iter().filter(|stage| stage.name.contains(&wanted)).collect();
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    for stage in &chosen {
        time(&mut criterion, stage);
    }
    criterion.final_summary();
    // As a test, each stage runs once, and that is all.
    if env::args().any(|word| word == "--bench") {
        table(&chosen);
    }
}

fn time(criterion: &mut Criterion, stage: &Stage) {
    let mut group = criterion.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(stage.operations));
    // Made when it is asked for: a filter may leave it out.
    let mut body = None;
    group.bench_function(stage.name, |bencher| {
        let body = body.get_or_insert_with(stage.make);
        bencher.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                body.prepare();
                let begun = processor_time();
                body.run();
                spent += processor_time().saturating_sub(begun);
            }
            spent
        });
    });
    group.finish();
}

/// What does not depend on who else uses the machine.
#[expect(clippy::cast_precision_loss, reason = "figures for a reader")]
fn table(chosen: &[&Stage]) {
    println!("{:<44}{:>14}{:>16}", "for each operation", "allocations", "instructions");
    for stage in chosen {
        let mut body = (stage.make)();
        for _ in 0..WARM {
            body.prepare();
            body.run();
        }
        let mut counted = 0;
        for _ in 0..COUNTED {
            body.prepare();
            let before = allocations();
            body.run();
            counted += allocations() - before;
        }
        let each = |total: u64| total as f64 / (COUNTED * stage.operations) as f64;
        let instructions = instructions(stage)
            .map_or_else(|| "no valgrind".to_owned(), |total| format!("{:.0}", each(total)));
        println!("{:<44}{:>14.3}{instructions:>16}", stage.name, each(counted));
    }
}

/// The instructions of [`COUNTED`] calls, by callgrind, in a process of its own.
fn instructions(stage: &Stage) -> Option<u64> {
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*pipeline::counted*")
        .arg(env::current_exe().ok()?)
        .env(CHILD, stage.name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&ran.stderr);
    let (_, rest) = told.rsplit_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

fn run_once(name: &str) {
    let stage = STAGES.iter().find(|stage| stage.name == name).expect("a stage of this name");
    let mut body = (stage.make)();
    for _ in 0..WARM {
        body.prepare();
        body.run();
    }
    for _ in 0..COUNTED {
        body.prepare();
        counted(body.as_mut());
    }
}

/// What callgrind looks at.
#[inline(never)]
fn counted(body: &mut dyn stages::Body) {
    black_box(&mut *body).run();
}
