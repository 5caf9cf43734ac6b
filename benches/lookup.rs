//! What does a look-up cost? The same names, as a network asks for them, against the shipped set
//! and against packs of a million and of eight million names: `traffic`. Beside them the worst that
//! can come: names that are all different, so that no cache has seen any of them, none of them in
//! the set (`other`) or all of them (`listed`).
//!
//! `VENDORWATCH_BENCH_NAMES` replaces the sizes of the packs.

#[path = "support/mod.rs"]
mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vendorwatch::cli::processor_time;
use vendorwatch::signature::{Pack, Pattern, Set, embedded, format};

use self::support::names::Names;

/// More than the caches hold, so that every look-up finds the world as a packet does.
const ASKED: usize = 100_000;
/// Names that a network of some thousand clients asks for in an hour.
const DISTINCT: usize = 50_000;

fn shipped(criterion: &mut Criterion) {
    let set = Set::build(embedded::files().unwrap()).unwrap();
    let listed: Vec<String> = set
        .indicators()
        .iter()
        .filter_map(|indicator| match &indicator.pattern {
            Pattern::Suffix(name) => Some(format!("edge-7.{name}")),
            Pattern::Exact(name) => Some(name.clone()),
            _ => None,
        })
        .cycle()
        .take(ASKED)
        .collect();
    ask(criterion, "shipped", &set, &listed);
}

/// What a network asks for: few names often and many seldom (Zipf's law, as measured of DNS again
/// and again), one in fifty of a listed vendor.
fn traffic() -> Vec<String> {
    let set = Set::build(embedded::files().unwrap()).unwrap();
    let listed: Vec<&str> =
        set.indicators().iter().filter_map(|indicator| indicator.pattern.name()).collect();
    let mut drawn = Names::seeded(3);
    let others: Vec<String> = (0..DISTINCT).map(|_| drawn.next_name()).collect();
    (0..ASKED)
        .map(|at| {
            if at % 50 == 0 {
                format!("edge-7.{}", listed[drawn.below(listed.len())])
            } else {
                others[by_zipf(&mut drawn, DISTINCT)].clone()
            }
        })
        .collect()
}

/// A number below `bound`, each less often than those before it: as one over its place.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "below the bound"
)]
fn by_zipf(drawn: &mut Names, bound: usize) -> usize {
    let even = drawn.below(1 << 30) as f64 / f64::from(1 << 30);
    ((bound as f64).powf(even) as usize).saturating_sub(1).min(bound - 1)
}

fn packs(criterion: &mut Criterion) {
    let sizes = std::env::var("VENDORWATCH_BENCH_NAMES").unwrap_or("1000000,8000000".into());
    for size in sizes.split(',') {
        let count: usize = size.trim().parse().expect("VENDORWATCH_BENCH_NAMES holds numbers");
        let pack = Pack::read(support::pack_of(count)).unwrap();
        let mut listed: Vec<String> =
            pack.names().step_by((count / ASKED).max(1)).map(|(name, _)| name).collect();
        shuffle(&mut listed);
        let mut files = embedded::files().unwrap();
        files.push(format::parse("bench.toml", support::DESCRIPTION).unwrap());
        let set = Set::with_packs(files, vec![Arc::new(pack)]).unwrap();
        ask(criterion, &format!("pack/{count}"), &set, &listed);
    }
}

fn ask(criterion: &mut Criterion, name: &str, set: &Set, listed: &[String]) {
    assert!(
        listed.iter().filter(|name| set.lookup(name).is_some()).count() * 100 > listed.len() * 95
    );
    let mut drawn = Names::seeded(2);
    let mut others = Vec::new();
    while others.len() < ASKED {
        let name = drawn.next_name();
        if set.lookup(&name).is_none() {
            others.push(name);
        }
    }
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    for (kind, names) in [("traffic", &*traffic()), ("listed", listed), ("other", &*others)] {
        // One behind the other, as a name that was just read lies in the first cache.
        let text = names.concat();
        let mut ends = Vec::with_capacity(names.len());
        for name in names {
            ends.push(ends.last().map_or(0, |&end: &usize| end) + name.len());
        }
        let mut next = (0, 0);
        group.bench_function(kind, |bencher| {
            bencher.iter_custom(|times| {
                let begun = processor_time();
                for _ in 0..times {
                    let end = ends[next.1];
                    black_box(set.lookup(black_box(&text[next.0..end])).is_some());
                    next = if next.1 + 1 == ends.len() { (0, 0) } else { (end, next.1 + 1) };
                }
                processor_time().saturating_sub(begun)
            });
        });
    }
    group.finish();
}

/// In an order that no prefetcher guesses, always the same.
fn shuffle(names: &mut [String]) {
    let mut state: u64 = 88_172_645_463_325_252;
    for at in (1..names.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        names.swap(at, usize::try_from(state % (at as u64 + 1)).unwrap_or(0));
    }
}

criterion_group!(benches, shipped, packs);
criterion_main!(benches);
