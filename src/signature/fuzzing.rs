//! Fuzz entries: ordinary functions that take any octets and assert a property.

use sha2::{Digest, Sha256};

use super::exchange::document::{self, Kind};
use super::exchange::export::Export;
use super::exchange::list::{self, Syntax};
use super::exchange::{Skipped, Taken, admit};
use super::format::{self, File};
use super::pack::Pack;
use super::pattern::Pattern;
use super::{Set, lint};

/// A fuzz entry.
pub type Entry = fn(&[u8]);

/// Every entry by its name, which is that of its folder of seeds.
pub const TARGETS: [(&str, Entry); 4] =
    [("signature_file", signature_file), ("pack", pack), ("list", list), ("document", document)];

/// A signature file: every fault is on a line that exists, and a file without faults finds its own
/// names and is the same when it is written out and read again.
pub fn signature_file(octets: &[u8]) {
    let Ok(text) = core::str::from_utf8(octets) else { return };
    let file = match format::parse("fuzz.toml", text) {
        Ok(file) => file,
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            let lines = text.split('\n').count();
            for fault in faults {
                assert!((1..=lines).contains(&fault.line), "{fault} of {lines} lines");
                assert!(!fault.problem.is_empty() && !fault.advice.is_empty());
            }
            return;
        }
    };
    let excluded = file.excluded.iter().map(|located| &located.record.pattern);
    for pattern in file.indicators.iter().map(|located| &located.record.pattern).chain(excluded) {
        assert_eq!(Pattern::parse(pattern.kind(), &pattern.value()).as_ref(), Ok(pattern));
    }
    let _ = lint::check(core::slice::from_ref(&file));
    let Ok(set) = Set::build(vec![file.clone()]) else { return };
    for located in &file.indicators {
        let Some(name) = located.record.pattern.name() else { continue };
        let hit = set.lookup(name).unwrap_or_else(|| panic!("{name} is listed, and not found"));
        assert_eq!((&hit.indicator.id, hit.matched), (&located.record.id, name));
    }
    if !file.extends {
        let export = Export {
            set: &set,
            takes: &|_, _| true,
            created: jiff::civil::Date::constant(2026, 1, 1),
            datasets: false,
        };
        let text = export.toml(&file.vendor.record).unwrap_or_else(|error| panic!("{error}"));
        match format::parse("fuzz.toml", &text) {
            Ok(again) => same(&file, &again),
            Err(faults) => panic!("{faults:?} in {text}"),
        }
    }
}

fn same(file: &File, again: &File) {
    assert_eq!(file.vendor.record, again.vendor.record);
    let records = |file: &File| {
        let mut indicators: Vec<_> =
            file.indicators.iter().map(|located| (*located.record).clone()).collect();
        indicators.sort_by(|a, b| a.id.cmp(&b.id));
        let excluded: Vec<_> =
            file.excluded.iter().map(|located| (*located.record).clone()).collect();
        (indicators, excluded)
    };
    assert_eq!(records(file), records(again));
}

/// A pack, as it is and with its hash set right, so that what lies behind the hash is reached: one
/// that is accepted names no list that it does not have, whatever is looked up.
pub fn pack(octets: &[u8]) {
    let hashed = [octets, &Sha256::digest(octets)[..]].concat();
    for octets in [octets.to_vec(), hashed] {
        let Ok(pack) = Pack::read(octets) else { continue };
        let lists = pack.manifest().lists.len();
        let found = |name: &str| {
            if let Some(listed) = pack.longest(name) {
                assert!(listed.list < lists && listed.start <= name.len());
                assert!(!listed.exact || listed.start == 0);
            }
        };
        let mut count = 0;
        for (name, list) in pack.names().take(256) {
            count += 1;
            assert!(list < lists);
            found(&name);
            found(&format!("www.{name}"));
        }
        assert!(count <= pack.len());
        for name in ["", ".", "com", "a..b", ".com", "www.example.com", "\\000.example.com"] {
            found(name);
        }
    }
}

/// Lines of a list; the first octet says of which kind. What is taken would be taken again as it
/// is written.
pub fn list(octets: &[u8]) {
    let Some((kind, lines)) = octets.split_first() else { return };
    let syntax = [Syntax::Hosts, Syntax::Domains, Syntax::Adblock][usize::from(kind % 3)];
    for line in lines.split(|octet| *octet == b'\n') {
        list::line(syntax, line, &mut |said| taken(&said));
    }
}

/// A document; the first octet says of which kind. What is taken would be taken again as it is
/// written.
pub fn document(octets: &[u8]) {
    let Some((kind, text)) = octets.split_first() else { return };
    let Ok(text) = core::str::from_utf8(text) else { return };
    let kind = [Kind::Stix, Kind::Misp][usize::from(kind % 2)];
    // Not a document: nothing was said.
    let _ = document::read(kind, text, &mut |_, said| taken(&said));
}

fn taken(said: &Result<Taken, Skipped>) {
    match said {
        Ok(taken @ Taken::Name { name, exact }) => {
            assert_eq!(admit(name, *exact).as_ref(), Ok(taken));
        }
        Ok(Taken::Prefix(pattern)) => {
            assert_eq!(Pattern::parse("prefix", &pattern.value()).as_ref(), Ok(pattern));
        }
        Err(_) => {}
    }
}
