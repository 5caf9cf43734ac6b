//! The law of the rooms: arrows point one way, and the middle is pure.

use std::fs;
use std::path::{Path, PathBuf};

/// What a pure room may not name.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os",
    "std::sync::mpsc",
    "std::sync::Mutex",
    "Instant",
    "SystemTime",
    "tokio::",
    "pcap::",
    "prometheus::",
    "tracing::",
    "rustix::",
    "libc::",
    "rusqlite::",
    "axum::",
    "aya::",
    "thread_local!",
    "static mut",
];

/// Each pure room, and the rooms of this crate that it may name besides the plain values.
const PURE: &[(&str, &[&str])] = &[
    ("decode", &[]),
    ("flow", &["decode"]),
    ("inspect", &[]),
    ("signature", &["inspect"]),
    ("visibility", &[]),
    ("detect", &["inspect", "signature", "visibility"]),
    ("pipeline", &["decode", "flow", "inspect", "signature", "detect", "visibility"]),
];

/// Values that every room may name, the one memory that several keep theirs in, and the one way to
/// ask the processor for it early.
const PLAIN: &[&str] = &["time", "net", "name", "frame", "cache", "prefetch"];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file: comments and the tests at its end left out.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn pure_rooms_name_nothing_impure_and_no_arrow_points_back() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = Vec::new();
    for (room, may) in PURE {
        for path in sources(&src.join(room)) {
            let code = code(&path);
            let shown = path.strip_prefix(&src).unwrap().display().to_string();
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                faults.push(format!("{shown}: names {word}"));
            }
            for (at, _) in code.match_indices("crate::") {
                let rest = &code[at + "crate::".len()..];
                let other: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = PLAIN.contains(&other.as_str()) || may.contains(&other.as_str());
                if !known && other != *room && !other.is_empty() {
                    faults.push(format!("{shown}: {room} may not name crate::{other}"));
                }
                assert!(
                    !rest.starts_with('{'),
                    "{shown}: write `use crate::room::…` a room a line"
                );
            }
        }
        let front = code(&src.join(room).join("mod.rs"));
        assert!(
            front.trim_start().starts_with("#![forbid(unsafe_code)]"),
            "src/{room}/mod.rs must begin with #![forbid(unsafe_code)]"
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn unsafe_code_lives_behind_one_fence() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed: Vec<_> = sources(&src)
        .into_iter()
        .filter(|path| code(path).contains("allow(unsafe_code)"))
        .map(|path| path.strip_prefix(&src).unwrap().display().to_string())
        .collect();
    assert!(
        allowed.is_empty() || allowed == ["capture/sys.rs"],
        "unsafe code is allowed in {allowed:?}; the fence is capture/sys.rs"
    );
}

/// A file that no module names is not compiled, and its tests do not run.
#[test]
fn every_file_is_part_of_a_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut orphans = Vec::new();
    for path in sources(&root.join("src")).into_iter().chain(sources(&root.join("tests"))) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let dir = path.parent().unwrap();
        let (name, dir) = match stem {
            "mod" => (dir.file_name().unwrap().to_str().unwrap(), dir.parent().unwrap()),
            name => (name, dir),
        };
        // Roots of programs: src/lib.rs and src/main.rs, tests/tests.rs, those of the fuzzers.
        if ["lib", "main", "tests"].contains(&name) || path.starts_with(root.join("tests/fuzz")) {
            continue;
        }
        let parents = [
            dir.join("mod.rs"),
            dir.with_extension("rs"),
            dir.join("lib.rs"),
            dir.join("main.rs"),
            dir.join("tests.rs"),
        ];
        let declares = |parent: &PathBuf| {
            fs::read_to_string(parent).is_ok_and(|text| {
                text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")))
            })
        };
        if !parents.iter().any(declares) {
            orphans.push(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
    assert!(orphans.is_empty(), "no module names {orphans:?}");
}
