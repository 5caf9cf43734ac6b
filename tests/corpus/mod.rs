//! Names beside an independent dissector's, over third-party captures that are not part of this
//! repository: `../shared/corpus` beside the checkout, or `$VENDORWATCH_SHARED/corpus`.
//!
//! Every difference, missing or extra, must stand in `KNOWN.md` with its reason, and every line of
//! `KNOWN.md` must still be a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{repository, shared};

/// (kind, name).
type Pair = (String, String);

/// (`missing` or `extra`, capture, kind, name).
type Difference = (String, String, String, String);

fn pairs(text: &str) -> BTreeSet<Pair> {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(kind, name)| (kind.to_owned(), name.to_owned()))
        .collect()
}

/// What `read --names` prints for a capture; exit code 1 is an answer, a panic is not.
fn names(capture: &Path) -> BTreeSet<Pair> {
    let output = Command::new(env!("CARGO_BIN_EXE_vendorwatch"))
        .args(["read", "--names"])
        .arg(capture)
        .output()
        .expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 1)) && !stderr.contains("panicked"),
        "{}: {}: {stderr}",
        capture.display(),
        output.status
    );
    pairs(&String::from_utf8(output.stdout).expect("names are printed as text"))
}

/// Pairs on which printing and leaving out are both right.
fn adjudicated(path: &Path) -> BTreeSet<(String, String, String)> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .skip(1)
        .filter_map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [capture, "may", kind, name, ..] => {
                Some((capture.to_owned(), kind.to_owned(), name.to_owned()))
            }
            _ => None,
        })
        .collect()
}

/// The table rows of `KNOWN.md`: `| missing | capture | kind | name | reason |`.
fn known() -> BTreeMap<Difference, String> {
    let text = fs::read_to_string(repository("tests/corpus/KNOWN.md")).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if let [what @ ("missing" | "extra"), capture, kind, name, reason] = cells[..] {
            let name = name.trim_matches('`');
            assert!(!reason.is_empty(), "KNOWN.md: no reason: {line}");
            let row = (what.to_owned(), capture.to_owned(), kind.to_owned(), name.to_owned());
            assert!(rows.insert(row, reason.to_owned()).is_none(), "KNOWN.md: twice: {line}");
        }
    }
    rows
}

#[derive(Default)]
struct Tally {
    agreed: usize,
    missing: usize,
    extra: usize,
}

/// Compares one folder of captures with its expectations.
fn compare(captures: &Path, expected: &Path, may: &BTreeSet<(String, String, String)>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut wanted: Vec<(PathBuf, String, BTreeSet<Pair>)> = Vec::new();
    for entry in fs::read_dir(expected).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(capture) = file.strip_suffix(".names") else { continue };
        let text = fs::read_to_string(&path).unwrap();
        wanted.push((captures.join(capture), capture.to_owned(), pairs(&text)));
    }
    wanted.sort();
    let kinds: BTreeSet<String> = wanted
        .iter()
        .flat_map(|(_, _, pairs)| pairs.iter().map(|(kind, _)| kind.clone()))
        .collect();
    for (path, capture, wanted) in wanted {
        let mut seen = names(&path);
        seen.retain(|(kind, _)| kinds.contains(kind));
        outcome.captures += 1;
        for (kind, name) in wanted.union(&seen) {
            if may.contains(&(capture.clone(), kind.clone(), name.clone())) {
                continue;
            }
            let pair = (kind.clone(), name.clone());
            let tally = outcome.kinds.entry(kind.clone()).or_default();
            let what = match (wanted.contains(&pair), seen.contains(&pair)) {
                (true, true) => {
                    tally.agreed += 1;
                    continue;
                }
                (true, false) => {
                    tally.missing += 1;
                    "missing"
                }
                _ => {
                    tally.extra += 1;
                    "extra"
                }
            };
            outcome.differences.insert((
                what.to_owned(),
                capture.clone(),
                kind.clone(),
                name.clone(),
            ));
        }
    }
    outcome
}

#[derive(Default)]
struct Outcome {
    captures: usize,
    kinds: BTreeMap<String, Tally>,
    differences: BTreeSet<Difference>,
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "a percentage for the eye")]
fn corpus_names_agree_with_the_independent_dissector() {
    let Some(corpus) = shared("corpus") else {
        eprintln!("corpus: no ../shared/corpus beside this checkout: nothing was compared");
        return;
    };
    let may = adjudicated(&corpus.join("ADJUDICATED.tsv"));
    let mut all = Outcome::default();
    for (captures, expected) in [
        (corpus.join("dev"), corpus.join("expected")),
        (corpus.join("vendors"), corpus.join("vendors/expected")),
    ] {
        let outcome = compare(&captures, &expected, &may);
        all.captures += outcome.captures;
        all.differences.extend(outcome.differences);
        for (kind, tally) in outcome.kinds {
            let sum = all.kinds.entry(kind).or_default();
            sum.agreed += tally.agreed;
            sum.missing += tally.missing;
            sum.extra += tally.extra;
        }
    }

    let known = known();
    println!(
        "{:<14}{:>9}{:>9}{:>9}{:>7}{:>10}",
        "kind", "expected", "agreed", "missing", "extra", "recall %"
    );
    for (kind, tally) in &all.kinds {
        let expected = tally.agreed + tally.missing;
        let recall = 100.0 * tally.agreed as f64 / expected.max(1) as f64;
        println!(
            "{kind:<14}{expected:>9}{:>9}{:>9}{:>7}{recall:>10.2}",
            tally.agreed, tally.missing, tally.extra
        );
    }
    println!("{} captures, {} differences:", all.captures, all.differences.len());
    let mut unexplained = Vec::new();
    for difference in &all.differences {
        let (what, capture, kind, name) = difference;
        let line = format!("{what}\t{capture}\t{kind}\t{name}");
        match known.get(difference) {
            Some(reason) => println!("{line}\t{reason}"),
            None => {
                println!("{line}\tNOT EXPLAINED");
                unexplained.push(line);
            }
        }
    }
    let stale: Vec<_> = known
        .keys()
        .filter(|row| !all.differences.contains(*row))
        .map(|row| format!("{row:?}"))
        .collect();
    assert!(unexplained.is_empty(), "differences not in KNOWN.md:\n{}", unexplained.join("\n"));
    assert!(
        stale.is_empty(),
        "no longer differences; take them out of KNOWN.md:\n{}",
        stale.join("\n")
    );
    assert!(all.captures >= 286, "the corpus was found but only {} captures in it", all.captures);
}

/// The rows of `KNOWN.md` that decide where other readers disagree:
/// `| seen | capture | kind | name | why |`.
fn decisions() -> Vec<(bool, String, Pair)> {
    let text = fs::read_to_string(repository("tests/corpus/KNOWN.md")).unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [answer @ ("seen" | "unseen"), capture, kind, name, why] = cells[..] else {
            return None;
        };
        assert!(!why.is_empty(), "KNOWN.md: no reason: {line}");
        let pair = (kind.to_owned(), name.trim_matches('`').to_owned());
        Some((answer == "seen", capture.to_owned(), pair))
    };
    text.lines().filter_map(row).collect()
}

#[test]
fn disagreements_of_other_readers_are_decided() {
    let decisions = decisions();
    assert!(decisions.len() >= 20, "KNOWN.md: only {} decisions were read", decisions.len());
    let Some(corpus) = shared("corpus") else {
        eprintln!("corpus: no ../shared/corpus beside this checkout: nothing was compared");
        return;
    };
    let mut read: BTreeMap<String, BTreeSet<Pair>> = BTreeMap::new();
    for (seen, capture, pair) in decisions {
        let path = corpus.join("dev").join(&capture);
        let names = read.entry(capture).or_insert_with(|| names(&path));
        assert_eq!(names.contains(&pair), seen, "{}: {pair:?}", path.display());
    }
}
