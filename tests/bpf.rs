//! The committed in-kernel programs are those of their source.

use std::path::Path;
use std::process::Command;

/// The octets of a section of a 64-bit little-endian ELF object.
fn section<'a>(object: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let word = |at: usize, size: usize| -> usize {
        object[at..at + size].iter().rev().fold(0, |sum, octet| sum << 8 | usize::from(*octet))
    };
    let (table, size, count, names) = (word(40, 8), word(58, 2), word(60, 2), word(62, 2));
    let header = |index: usize| table + index * size;
    let content = |index: usize| {
        let from = word(header(index) + 24, 8);
        &object[from..from + word(header(index) + 32, 8)]
    };
    let names = content(names);
    (0..count)
        .find(|index| {
            let name = &names[word(header(*index), 4)..];
            name.split(|octet| *octet == 0).next() == Some(wanted.as_bytes())
        })
        .map(content)
}

#[test]
fn committed_objects_match_their_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Another compiler makes other octets of the same program.
    let found = Command::new("clang-14").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("NOT RUN: clang-14 is not installed, so bpf/*.o cannot be made again");
        return;
    }
    let fresh = tempfile::tempdir().unwrap();
    let made = Command::new(root.join("scripts/bpf.sh")).arg(fresh.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for (program, code) in [("fanout", "socket"), ("filter", "socket"), ("xdp", "xdp.frags")] {
        let name = format!("{program}.bpf.o");
        let committed = std::fs::read(root.join("bpf").join(&name)).unwrap();
        let fresh = std::fs::read(fresh.path().join(&name)).unwrap();
        for part in [code, ".maps", "license"] {
            let old = section(&committed, part);
            assert_eq!(old, section(&fresh, part), "{name}, {part}: run `make bpf` and commit");
            assert!(part != code || old.is_some_and(|code| !code.is_empty()), "{name}: no code");
        }
    }
}
