//! Shared by the benches.

pub(crate) mod names;

use vendorwatch::signature::pack::{Builder, FileText, List, Manifest};

/// The octets of a pack with `count` made-up names in one list.
pub(crate) fn pack_of(count: usize) -> Vec<u8> {
    let mut builder = Builder::default();
    let mut names = names::Names::seeded(1);
    for _ in 0..count {
        builder.add(&names.next_name(), 0).unwrap();
    }
    let manifest = Manifest {
        name: "bench".into(),
        version: "1".into(),
        created: "2026-11-21".into(),
        lists: vec![List { indicator: "bench.list".into(), exact: false, names: 0 }],
        files: vec![FileText { name: "bench.toml".into(), text: DESCRIPTION.into() }],
    };
    builder.finish(manifest).unwrap()
}

/// The record of the list.
pub(crate) const DESCRIPTION: &str = r#"
[vendor]
id = "bench"
name = "Bench"
country = "XX"
default_enabled = false
disabled_reason = "made up for measurements"

[[indicator]]
id = "bench.list"
number = 1999999
match = { kind = "list", value = "bench.names" }
purpose = "cdn"
product = "none"
strength = "weak"
confounders = ["everything"]
evidence = [{ class = "C", title = "made up", reference = "benches", retrieved = "2026-11-21", says = "nothing" }]
first_seen = "2026-11-21"
review_by = "2027-05-21"
"#;
