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

/// Each room, and the rooms of this crate that it may name besides the plain values: none that may
/// name it. Those without an entry of their own may name all.
const ROOMS: &[(&str, &[&str])] = &[
    ("decode", &[]),
    ("flow", &["decode"]),
    ("inspect", &[]),
    ("signature", &["inspect"]),
    ("visibility", &[]),
    ("detect", &["inspect", "signature", "visibility"]),
    ("pipeline", &["decode", "flow", "inspect", "signature", "detect", "visibility"]),
    ("capture", &["decode"]),
    ("config", &["decode", "signature", "detect"]),
    ("inventory", &["inspect", "signature", "detect", "visibility"]),
    ("export", &["capture", "inspect", "signature", "detect", "visibility", "config", "inventory"]),
    (
        "daemon",
        &[
            "capture",
            "decode",
            "signature",
            "detect",
            "visibility",
            "pipeline",
            "config",
            "inventory",
            "export",
        ],
    ),
];

/// The rooms without I/O, clock, threads and globals.
const PURE: &[&str] =
    &["decode", "flow", "inspect", "signature", "visibility", "detect", "pipeline"];

/// Values that every room may name, the one memory that several keep theirs in, and the one way to
/// ask the processor for it early.
const PLAIN: &[&str] = &["time", "net", "name", "frame", "cache", "prefetch", "REVISION"];

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
    let (text, tests) = text.split_once("\n#[cfg(test)]\nmod tests {").unwrap_or((&text, "\n}\n"));
    assert!(
        tests.split_once("\n}\n").is_some_and(|(_, behind)| behind.is_empty()),
        "{}: code behind the tests is code that is not looked at",
        path.display()
    );
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What a `use` imports, a path a line: groups are opened.
fn imports(code: &str) -> String {
    fn open(before: &str, tree: &str, out: &mut String) {
        let Some((path, group)) = tree.split_once('{') else {
            return out.extend([before, tree, "\n"]);
        };
        let (group, mut depth, mut from) = (group.strip_suffix('}').unwrap(), 0, 0);
        for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    open(&format!("{before}{path}"), &group[from..at], out);
                    from = at + 1;
                }
                _ => {}
            }
        }
    }
    let mut out = String::new();
    for (at, _) in code.match_indices("use ") {
        let begins = code[..at].lines().next_back().is_none_or(|line| {
            let before = line.trim_start();
            before.is_empty() || before.starts_with("pub")
        });
        if let (true, Some((tree, _))) = (begins, code[at + 4..].split_once(';')) {
            open("", &tree.split_whitespace().collect::<String>(), &mut out);
        }
    }
    out
}

/// What `code` of `room`, at `path` in it, names and may not.
fn faults(room: &str, may: &[&str], path: &Path, code: &str) -> Vec<String> {
    let names = format!("{code}\n{}", imports(code));
    let mut faults = Vec::new();
    if PURE.contains(&room) {
        let impure = IMPURE.iter().filter(|word| names.contains(**word));
        faults.extend(impure.map(|word| format!("names {word}")));
    }
    for (at, _) in names.match_indices("crate::") {
        let rest = &names[at + "crate::".len()..];
        let other: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // A group of `use` is looked at opened.
        let known = |list: &[&str]| list.contains(&other.as_str());
        if !known(PLAIN) && !known(may) && other != *room && !rest.starts_with('{') {
            faults.push(format!("{room} may not name crate::{other}"));
        }
    }
    // The room itself is one step below the crate, and a module within a file one more.
    let mut steps = 1 + path.with_extension("").iter().filter(|step| *step != "mod").count();
    let mut within = false;
    for line in code.lines() {
        if line.contains("mod ") && line.ends_with(" {") && !line.starts_with(' ') {
            (within, steps) = (true, steps + 1);
        } else if within && line == "}" {
            (within, steps) = (false, steps - 1);
        } else if line.contains(&["super"].repeat(steps).join("::")) {
            faults.push("climbs out of its room".to_owned());
        }
    }
    faults
}

#[test]
fn pure_rooms_name_nothing_impure_and_no_arrow_points_back() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for (at, (room, may)) in ROOMS.iter().enumerate() {
        for (earlier, others) in &ROOMS[..at] {
            assert!(!others.contains(room), "{earlier} names {room}, which may name it");
        }
        for path in sources(&src.join(room)) {
            let shown = path.strip_prefix(&src).unwrap();
            let inside = path.strip_prefix(src.join(room)).unwrap();
            let faults = faults(room, may, inside, &code(&path));
            found.extend(faults.into_iter().map(|fault| format!("{}: {fault}", shown.display())));
        }
    }
    for room in PURE {
        let front = code(&src.join(room).join("mod.rs"));
        assert!(
            front.trim_start().starts_with("#![forbid(unsafe_code)]"),
            "src/{room}/mod.rs must begin with #![forbid(unsafe_code)]"
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The guard sees through groups, and through steps upwards.
#[test]
fn no_spelling_gets_past_the_guard() {
    let faults = |path: &str, code: &str| faults("flow", &["decode"], Path::new(path), code);
    for sound in [
        "use core::fmt;\nuse crate::decode::{Packet, tunnel::{self, Kind}};\nuse crate::time::Timestamp;",
        "use std::{collections::HashMap, sync::Arc};",
        "let used = super::table::used(crate::flow::LIMIT);",
        "mod fuzzing {\n    use super::super::Table;\n}\nuse super::Table;",
    ] {
        assert_eq!(faults("tcp.rs", sound), [""; 0], "{sound}");
    }
    for (path, escape) in [
        ("mod.rs", "use std::{fs, sync::Arc};"),
        ("mod.rs", "use std::{\n    collections::HashMap,\n    sync::{Arc, Mutex},\n};"),
        ("mod.rs", "pub(super) use std::{io as words};"),
        ("mod.rs", "use crate::{net, export::Sink};"),
        ("mod.rs", "crate::export::sink()"),
        ("mod.rs", "use super::export::Sink;"),
        ("tcp.rs", "use super::super::export::Sink;"),
        ("tcp.rs", "mod inner {\n}\nuse super::super::export::Sink;"),
        ("tcp/state.rs", "super::super::super::export::sink()"),
    ] {
        assert_ne!(faults(path, escape), [""; 0], "{path}: {escape}");
    }
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

/// What is asked for and named nowhere is built, and trusted, for nothing.
#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |folders: &[&str]| -> String {
        let files = folders.iter().flat_map(|folder| sources(&root.join(folder)));
        files.map(|path| fs::read_to_string(path).unwrap()).collect()
    };
    let (program, tests) = (text(&["src"]), text(&["src", "tests", "benches"]));
    let manifest: toml::Table =
        fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let mut unused = Vec::new();
    let of_targets = manifest["target"].as_table().unwrap().values();
    for tables in of_targets.filter_map(toml::Value::as_table).chain([&manifest]) {
        for (table, text) in [("dependencies", &program), ("dev-dependencies", &tests)] {
            let names = tables.get(table).and_then(toml::Value::as_table).into_iter().flatten();
            unused.extend(names.map(|(name, _)| name).filter(|name| {
                let path = name.replace('-', "_") + "::";
                !text.match_indices(&path).any(|(at, _)| {
                    let before = text[..at].chars().next_back();
                    before.is_none_or(|before| !before.is_alphanumeric() && before != '_')
                })
            }));
        }
    }
    assert!(unused.is_empty(), "nothing names {unused:?}");
}
