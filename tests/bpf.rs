//! The committed in-kernel programs are those of their source.
//!
//! What the kernel is given is compared, by name: instructions, the maps that they refer to, and
//! the definitions of those, which `.maps` itself says nothing of, being zeroes. What depends on
//! where it was compiled is not: file names, source lines, the numbering of types and strings.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

use crate::support::repository;

const PROGRAMS: [&str; 3] = ["fanout", "filter", "xdp"];

/// What the kernel is given of an object.
#[derive(Debug, Eq, PartialEq)]
struct Given {
    /// Instructions, licence and whatever else is loaded, by section.
    contents: BTreeMap<String, Vec<u8>>,
    /// Programs, maps and variables: name, section, offset and length.
    symbols: BTreeSet<(String, String, usize, usize)>,
    /// Section and offset of what refers to something, how, and the name of that.
    references: BTreeSet<(String, usize, usize, String)>,
    /// The fields of each map's definition.
    maps: BTreeMap<String, Vec<String>>,
}

/// What any compiler makes of one source.
#[derive(Debug, Eq, PartialEq)]
struct Common<'a> {
    symbols: BTreeSet<(&'a str, &'a str)>,
    references: BTreeSet<(&'a str, &'a str)>,
    maps: &'a BTreeMap<String, Vec<String>>,
    licence: Option<&'a Vec<u8>>,
}

impl Given {
    fn of(object: &[u8]) -> Self {
        let sections = sections(object);
        let find = |name: &str| sections.iter().find(|section| section.name == name);
        let loaded = |section: &Section<'_>| section.flags & LOADED != 0;

        let table = find(".symtab").expect("a table of symbols");
        let names = sections[table.link].octets;
        let symbols: Vec<_> = table
            .octets
            .chunks_exact(24)
            .map(|entry| Symbol::read(entry, names, &sections))
            .collect();
        let references = sections
            .iter()
            .filter(|section| section.kind == RELOCATIONS && loaded(&sections[section.info]))
            .flat_map(|section| {
                let of = sections[section.info].name;
                let entries = section.octets.chunks_exact(16);
                entries.map(move |entry| {
                    (of, number(entry, 0, 8), number(entry, 8, 4), number(entry, 12, 4))
                })
            })
            .map(|(of, offset, how, symbol)| {
                (of.to_owned(), offset, how, symbols[symbol].name.to_owned())
            })
            .collect();
        let maps = find(".BTF").map(|section| Types::read(section.octets).maps());
        if let Some(extension) = find(".BTF.ext") {
            // Of what the loader would adapt to the kernel that it runs on.
            let len = number(extension.octets, 28, 4);
            assert_eq!(len, 0, "fields of the kernel's types are not compared here");
        }

        let named = |symbol: &&Symbol<'_>| matches!(symbol.kind, OBJECT | FUNCTION);
        let given = Self {
            contents: sections
                .iter()
                .filter(|section| loaded(section))
                .map(|section| (section.name.to_owned(), section.octets.to_vec()))
                .collect(),
            symbols: symbols.iter().filter(named).map(Symbol::place).collect(),
            references,
            maps: maps.unwrap_or_default(),
        };
        // Each map is defined, and each definition was understood.
        let in_maps = given.symbols.iter().filter(|(_, section, ..)| section == ".maps");
        assert!(in_maps.map(|(name, ..)| name).eq(given.maps.keys()), "{:?}", given.maps);
        given
    }

    fn common(&self) -> Common<'_> {
        Common {
            symbols: self.symbols.iter().map(|(name, section, ..)| (&**name, &**section)).collect(),
            references: self.references.iter().map(|(of, .., name)| (&**of, &**name)).collect(),
            maps: &self.maps,
            licence: self.contents.get("license"),
        }
    }
}

/// A section of a 64-bit little-endian ELF object.
struct Section<'a> {
    name: &'a str,
    kind: usize,
    flags: usize,
    /// Numbers of sections that belong to it.
    link: usize,
    info: usize,
    octets: &'a [u8],
}

fn sections(object: &[u8]) -> Vec<Section<'_>> {
    let word = |at, size| number(object, at, size);
    let (table, size, count, names) = (word(40, 8), word(58, 2), word(60, 2), word(62, 2));
    let octets = |header: usize| &object[word(header + 24, 8)..][..word(header + 32, 8)];
    let names = octets(table + names * size);
    (0..count)
        .map(|index| table + index * size)
        .map(|header| Section {
            name: text(names, word(header, 4)),
            kind: word(header + 4, 4),
            flags: word(header + 8, 8),
            link: word(header + 40, 4),
            info: word(header + 44, 4),
            octets: octets(header),
        })
        .collect()
}

struct Symbol<'a> {
    name: &'a str,
    kind: usize,
    section: &'a str,
    offset: usize,
    len: usize,
}

impl<'a> Symbol<'a> {
    fn read(entry: &[u8], names: &'a [u8], sections: &[Section<'a>]) -> Self {
        let section = sections.get(number(entry, 6, 2)).map_or("", |section| section.name);
        let name = match text(names, number(entry, 0, 4)) {
            // That of a section.
            "" => section,
            name => name,
        };
        let kind = number(entry, 4, 1) & 0xf;
        Self { name, kind, section, offset: number(entry, 8, 8), len: number(entry, 16, 8) }
    }

    fn place(&self) -> (String, String, usize, usize) {
        (self.name.to_owned(), self.section.to_owned(), self.offset, self.len)
    }
}

/// The types of an object (Linux, Documentation/bpf/btf.rst), by their numbers.
struct Types<'a> {
    strings: &'a [u8],
    types: Vec<Type<'a>>,
}

#[derive(Clone, Copy)]
struct Type<'a> {
    name: &'a str,
    kind: usize,
    /// How many members it has.
    count: usize,
    /// Its size, or the number of the type that it is about.
    operand: usize,
    rest: &'a [u8],
}

impl Type<'_> {
    fn word(&self, at: usize) -> usize {
        number(self.rest, 4 * at, 4)
    }
}

impl<'a> Types<'a> {
    fn read(btf: &'a [u8]) -> Self {
        let word = |at| number(btf, at, 4);
        let body = &btf[word(4)..];
        let mut rest = &body[word(8)..][..word(12)];
        let strings = &body[word(16)..][..word(20)];
        let void = Type { name: "void", kind: VOID, count: 0, operand: 0, rest: &[] };
        let mut types = vec![void];
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(12);
            let info = number(head, 4, 4);
            let (kind, count) = (info >> 24 & 0x1f, info & 0xffff);
            let (own, tail) = tail.split_at(match kind {
                INTEGER | VARIABLE | DECLARATION_TAG => 4,
                ARRAY => 12,
                STRUCT | UNION | SECTION | ENUM_64 => 12 * count,
                ENUM | PROTOTYPE => 8 * count,
                _ => 0,
            });
            let name = text(strings, number(head, 0, 4));
            types.push(Type { name, kind, count, operand: number(head, 8, 4), rest: own });
            rest = tail;
        }
        Self { strings, types }
    }

    /// Each map and the fields of its definition: pointers to the type that is meant, or to an
    /// array as long as the number that is meant (`__type` and `__uint` of libbpf).
    fn maps(&self) -> BTreeMap<String, Vec<String>> {
        let sections = self.types.iter().filter(|one| one.kind == SECTION && one.name == ".maps");
        let variables =
            sections.flat_map(|section| (0..section.count).map(move |n| section.word(3 * n)));
        let maps = variables.map(|variable| {
            let Type { name, operand, .. } = self.types[variable];
            let definition = self.types[operand];
            let fields = (0..definition.count).map(|n| {
                let meant = self.types[definition.word(3 * n + 1)].operand;
                format!("{}: {}", text(self.strings, definition.word(3 * n)), self.described(meant))
            });
            (name.to_owned(), fields.collect())
        });
        maps.collect()
    }

    /// A type with all that it is made of. Names that stand for another type are left out.
    fn described(&self, number: usize) -> String {
        let one = self.types[number];
        let Type { name, kind, count, operand, .. } = one;
        match kind {
            INTEGER => format!("{name} of {operand}, {:#x}", one.word(0)),
            ARRAY => format!("[{}; {}]", self.described(one.word(0)), one.word(2)),
            STRUCT | UNION => {
                let members = (0..count).map(|n| {
                    let (name, of) = (text(self.strings, one.word(3 * n)), one.word(3 * n + 1));
                    format!("{name} at {}: {}", one.word(3 * n + 2), self.described(of))
                });
                let members: Vec<_> = members.collect();
                format!("{name} of {operand} {{ {} }}", members.join(", "))
            }
            NAMED | VOLATILE | CONSTANT | RESTRICT | TYPE_TAG => self.described(operand),
            POINTER => format!("pointer to {}", self.types[operand].name),
            _ => format!("{name}, kind {kind}, {operand}"),
        }
    }
}

/// A little-endian number of `size` octets.
fn number(octets: &[u8], at: usize, size: usize) -> usize {
    octets[at..at + size].iter().rev().fold(0, |sum, octet| sum << 8 | usize::from(*octet))
}

/// A text that ends with a zero.
fn text(strings: &[u8], at: usize) -> &str {
    let octets = strings[at..].split(|octet| *octet == 0).next().unwrap_or_default();
    str::from_utf8(octets).unwrap()
}

/// Clang and strip.
type Tools = [&'static str; 2];

/// Those that the objects were made with. Others make other octets of the same program.
const EXACT: Tools = ["clang-14", "llvm-strip-14"];
const OTHERS: Tools = ["clang", "llvm-strip"];

fn tools() -> Tools {
    let runs = |tool: &str| {
        let output = Command::new(tool).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = [EXACT, OTHERS].into_iter().find(|tools| tools.iter().all(|tool| runs(tool)));
    found.expect("clang and llvm-strip: `scripts/deps.sh test` installs them")
}

/// What is made of the source under `root`, by program.
fn compiled(root: &Path, [clang, strip]: Tools) -> BTreeMap<&'static str, Given> {
    let out = tempfile::tempdir().unwrap();
    let made = Command::new("sh")
        .arg(root.join("scripts/bpf.sh"))
        .arg(out.path())
        .envs([("CLANG", clang), ("LLVM_STRIP", strip)])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |program| fs::read(out.path().join(format!("{program}.bpf.o"))).unwrap();
    PROGRAMS.into_iter().map(|program| (program, Given::of(&read(program)))).collect()
}

/// What is made of a copy of the source in which the verdict has each second text for the first.
fn changed(changes: &[(&str, &str)], tools: Tools) -> BTreeMap<&'static str, Given> {
    const VERDICT: &str = "bpf/verdict.h";
    let root = tempfile::tempdir().unwrap();
    for folder in ["bpf", "scripts"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    let sources = PROGRAMS.map(|program| format!("bpf/{program}.bpf.c"));
    for file in sources.iter().map(String::as_str).chain([VERDICT, "scripts/bpf.sh"]) {
        fs::copy(repository(file), root.path().join(file)).unwrap();
    }
    let mut verdict = fs::read_to_string(repository(VERDICT)).unwrap();
    for (from, to) in changes {
        assert!(verdict.contains(from), "{VERDICT} has {from:?} no more: change another place");
        verdict = verdict.replace(from, to);
    }
    fs::write(root.path().join(VERDICT), verdict).unwrap();
    compiled(root.path(), tools)
}

#[test]
fn committed_objects_are_those_of_their_source() {
    let tools = tools();
    for (program, fresh) in compiled(&repository(""), tools) {
        let file = format!("bpf/{program}.bpf.o");
        let committed = Given::of(&fs::read(repository(&file)).unwrap());
        assert_eq!(committed.common(), fresh.common(), "{file}: run `make bpf` and commit");
        assert!(tools != EXACT || committed == fresh, "{file}: run `make bpf` and commit");
    }
    if tools != EXACT {
        assert!(env::var_os("CI").is_none(), "instructions are compared in CI: install {EXACT:?}");
        // Past the harness, which shows nothing of a test that passes.
        let _ = writeln!(
            io::stderr(),
            "*** NOT COMPARED: the instructions in bpf/*.o, for want of {EXACT:?}; \
             only maps, entry points and licence were"
        );
    }
}

/// Where the source lies and what its comments say is nothing to the kernel. Its maps are, and
/// which of two that are alike the instructions refer to, although their octets stay the same.
#[test]
fn another_map_is_another_program_and_another_comment_is_not() {
    let tools = tools();
    let source = compiled(&repository(""), tools);
    let comment = "/* A remark\n\nin three lines. */\n#include <linux/bpf.h>";
    let remarked = changed(&[("#include <linux/bpf.h>", comment)], tools);
    assert!(remarked == source, "a comment in another directory");

    let smaller = changed(&[("max_entries, 65536", "max_entries, 32768")], tools);
    let twins = ("} skipped SEC(\".maps\");", "} skipped SEC(\".maps\"), twin SEC(\".maps\");");
    let first = changed(&[twins], tools);
    let second = changed(&[twins, ("&skipped", "&twin")], tools);
    for program in ["filter", "xdp"] {
        let (source, smaller) = (&source[program], &smaller[program]);
        assert_eq!(source.contents, smaller.contents, "{program}");
        assert_ne!(source.maps, smaller.maps, "{program}");
        assert_ne!(source.common(), smaller.common(), "{program}");

        let (first, second) = (&first[program], &second[program]);
        assert_eq!((&first.contents, &first.maps), (&second.contents, &second.maps), "{program}");
        assert_ne!(first.references, second.references, "{program}");
        assert_ne!(first.common(), second.common(), "{program}");
    }
}

/// Flag of a section that is loaded, and the kind of one that has relocations (ELF).
const LOADED: usize = 2;
const RELOCATIONS: usize = 9;
/// Kinds of symbols (ELF).
const OBJECT: usize = 1;
const FUNCTION: usize = 2;
/// Kinds of types (BTF).
const VOID: usize = 0;
const INTEGER: usize = 1;
const POINTER: usize = 2;
const ARRAY: usize = 3;
const STRUCT: usize = 4;
const UNION: usize = 5;
const ENUM: usize = 6;
const NAMED: usize = 8;
const VOLATILE: usize = 9;
const CONSTANT: usize = 10;
const RESTRICT: usize = 11;
const PROTOTYPE: usize = 13;
const VARIABLE: usize = 14;
const SECTION: usize = 15;
const DECLARATION_TAG: usize = 17;
const TYPE_TAG: usize = 18;
const ENUM_64: usize = 19;
