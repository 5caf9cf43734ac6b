//! What is reported of what was found: selection, exceptions, another set of signatures; packs and
//! the keys they are believed under, in the commands that read traffic.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vendorwatch::detect::{Finding, FindingKey, Tally};
use vendorwatch::inspect::Signal;
use vendorwatch::inventory::{Limits, Opened, Writer};
use vendorwatch::net::Addr;
use vendorwatch::signature::{Class, Purpose, Strength};
use vendorwatch::time::Timestamp;

use super::program::{acme, done, refused, text, vendorwatch};
use crate::support::repository;

/// One finding, of the summer of 2026.
fn finding(
    vendor: &str,
    strength: Strength,
    client: [u8; 4],
    name: &str,
    indicator: &str,
) -> Finding {
    let at = Timestamp::from_parts(1_783_000_000 + u64::from(client[3]), 0);
    let key = FindingKey {
        tenant: "".into(),
        network: "other".into(),
        client: Addr::from_v4(client),
        vendor: vendor.into(),
        product: "Agent".into(),
        strength,
    };
    let (purpose, class) = (Purpose::Update, Some(Class::A));
    let tally = Tally { purpose, class, count: 2, first_seen: at, last_seen: at };
    Finding {
        count: 2,
        tallies: [((indicator.into(), Signal::DnsQuery), tally)].into(),
        last_name: name.into(),
        ..Finding::new(key, at)
    }
}

/// An inventory as a daemon with the default selection writes it.
fn inventory(path: &Path) {
    let Opened { writer, .. } = Writer::open(path, Limits::default(), usize::MAX).unwrap();
    writer.submit(vec![
        finding("kaspersky", Strength::Strong, [192, 0, 2, 1], "s1.upd.kaspersky.com", "k"),
        finding("bytedance", Strength::Weak, [192, 0, 2, 2], "www.tiktok.com", "b"),
        finding("tp-link", Strength::Moderate, [192, 0, 2, 3], "use1-api.tplinkra.com", "t"),
        finding("acme", Strength::Strong, [192, 0, 2, 4], "upd.acme.example", "acme.n1900001"),
    ]);
    writer.flush();
}

fn rows(at: &Path, more: &[&str]) -> Vec<Value> {
    let arguments =
        [&["inventory", "--inventory", "found.sqlite", "--format", "json"], more].concat();
    done(at, &arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn vendors(at: &Path, more: &[&str]) -> Vec<String> {
    let mut vendors: Vec<String> =
        rows(at, more).iter().map(|row| row["vendor"].as_str().unwrap().to_owned()).collect();
    vendors.sort();
    vendors
}

#[test]
fn what_was_recorded_under_one_selection_is_reported_under_another() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    inventory(&at.join("found.sqlite"));
    assert_eq!(vendors(at, &[]), ["bytedance", "kaspersky"]);
    for (selection, reported) in [
        ("--signatures.min-strength=strong", &["kaspersky"][..]),
        ("--signatures.disable=kaspersky", &["bytedance"]),
        ("--signatures.enable=tp-link", &["bytedance", "kaspersky", "tp-link"]),
        ("--signatures.listings=gb-ncsc-2017", &["kaspersky"]),
        ("--signatures.listings=IN", &["bytedance"]),
        ("--signatures.regulates=export", &["kaspersky"]),
        ("--all", &["acme", "bytedance", "kaspersky", "tp-link"]),
        ("--vendor=tp-link", &["tp-link"]),
    ] {
        assert_eq!(vendors(at, &[selection]), reported, "{selection}");
    }
    fs::write(at.join("v.toml"), "[signatures]\nlistings = [\"NL\"]\nregulates = [\"use\"]\n")
        .unwrap();
    assert_eq!(vendors(at, &["--config", "v.toml"]), ["kaspersky"]);
    let output = vendorwatch(at, &["inventory", "--inventory", "found.sqlite"]);
    let printed = text(&output.stdout);
    assert!(printed.contains("2 findings. --all shows what is left out."), "{printed}");
    let said = text(&output.stderr);
    assert!(said.contains("Signatures: ") && said.contains("SHA-256 "), "{said}");
}

/// The repository's capture of clients, which holds traffic of listed vendors.
fn capture() -> String {
    repository("tests/pcap/clients.pcap").to_str().unwrap().to_owned()
}

fn read(at: &Path, more: &[&str]) -> Vec<Value> {
    let capture = capture();
    let arguments = [&["read", "--format", "json", "--by", "client", &*capture], more].concat();
    done(at, &arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_excepted_is_reported_with_its_reason_until_its_day_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let all = read(at, &[]);
    let vendor = all[0]["vendor"].as_str().unwrap();
    let client = all[0]["client"].as_str().unwrap();
    let of_vendor = |rows: &[Value]| rows.iter().filter(|row| row["vendor"] == vendor).count();
    let write = |place: &str, until: &str| {
        let text = format!(
            "[[exception]]\nvendor = \"{vendor}\"\n{place}\nuntil = {until}\nreason = \"a trial\"\n"
        );
        fs::write(at.join("v.toml"), text).unwrap();
        let rows = read(at, &["--config", "v.toml"]);
        assert_eq!(rows.len(), all.len(), "an exception hides nothing");
        let excepted = rows.iter().filter(|row| {
            assert!(row["exception"].is_null() || row["vendor"] == vendor, "{row}");
            assert!(row["exception"].is_null() || row["exception"]["reason"] == "a trial", "{row}");
            !row["exception"].is_null()
        });
        excepted.count()
    };
    assert_eq!(write("network = \"other\"", "2099-12-31"), of_vendor(&all));
    assert_eq!(write("network = \"other\"", "2001-12-31"), 0, "long over");
    let of_client =
        all.iter().filter(|row| row["vendor"] == vendor && row["client"] == client).count();
    let host = if client.contains(':') { 128 } else { 32 };
    assert_eq!(write(&format!("prefix = \"{client}/{host}\""), "2099-12-31"), of_client);
    let capture = capture();
    let table = done(at, &["read", "--by", "client", "--config", "v.toml", &capture]);
    assert!(table.contains("a trial (until 2100-01-01 00:00:00Z)"), "{table}");
}

#[test]
fn a_difference_says_which_findings_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    inventory(&at.join("found.sqlite"));
    fs::write(at.join("old.toml"), acme(&["upd.acme.example"])).unwrap();
    let weaker = acme(&["upd.acme.example"]).replace("\"strong\"", "\"moderate\"");
    fs::write(at.join("weaker.toml"), weaker).unwrap();
    let against =
        |new: &str| done(at, &["signatures", "diff", "old.toml", new, "--against", "found.sqlite"]);
    let said = against("weaker.toml");
    assert!(
        said.contains("~ 192.0.2.4 in other: acme Agent (strong), last upd.acme.example, 2 times becomes acme Agent (moderate)"),
        "{said}"
    );
    assert!(
        said.contains("- 192.0.2.1 in other: kaspersky Agent (strong), last s1.upd.kaspersky.com"),
        "{said}"
    );
    assert!(said.contains("0 findings stay, 4 vanish or change"), "{said}");
    assert!(against("old.toml").contains("1 findings stay, 3 vanish or change"));

    // By an address that others share a finding is weaker than its indicator, whatever the set.
    let shared = Finding {
        tallies: finding("acme", Strength::Weak, [192, 0, 2, 5], "", "acme.n1900001")
            .tallies
            .into_iter()
            .map(|((id, _), tally)| ((id, Signal::DnsAttributed), tally))
            .collect(),
        ..finding("acme", Strength::Weak, [192, 0, 2, 5], "upd.acme.example", "acme.n1900001")
    };
    let Opened { writer, .. } =
        Writer::open(&at.join("found.sqlite"), Limits::default(), usize::MAX).unwrap();
    writer.submit(vec![shared]);
    writer.flush();
    drop(writer);
    let said = against("old.toml");
    assert!(said.contains("2 findings stay, 3 vanish or change"), "{said}");
    let said = against("weaker.toml");
    assert!(said.contains("1 findings stay, 4 vanish or change"), "{said}");

    // Of a capture what appears is known too.
    let names = done(at, &["read", "--names", &capture()]);
    let name = names
        .lines()
        .filter_map(|line| line.strip_prefix("dns-query\t"))
        .find(|name| name.split('.').count() > 2 && vendorwatch_finds_nothing(at, name))
        .expect("a name of nobody");
    let found = acme(&["upd.acme.example", name]);
    fs::write(at.join("new.toml"), found).unwrap();
    let capture = capture();
    let said = done(at, &["signatures", "diff", "old.toml", "new.toml", "--against", &capture]);
    let line = format!("acme Agent (strong), last {name}, ");
    assert!(said.lines().any(|found| found.starts_with("+ ") && found.contains(&line)), "{said}");
    assert!(said.contains("0 findings stay, 0 vanish, "), "{said}");
    let back = done(at, &["signatures", "diff", "new.toml", "old.toml", "--against", &capture]);
    assert!(back.lines().any(|found| found.starts_with("- ") && found.contains(&line)), "{back}");
}

fn vendorwatch_finds_nothing(at: &Path, name: &str) -> bool {
    super::program::tsv(at, &[], name).ends_with("\t-\t-\t-\t-\n")
}

#[test]
fn traffic_is_read_with_packs_and_every_report_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let names = done(at, &["read", "--names", &capture()]);
    let name = names
        .lines()
        .filter_map(|line| line.strip_prefix("dns-query\t"))
        .find(|name| name.split('.').count() > 2 && vendorwatch_finds_nothing(at, name))
        .unwrap();
    fs::create_dir(at.join("list")).unwrap();
    fs::create_dir(at.join("packs")).unwrap();
    let list = acme(&["acme.names"]).replace("\"suffix\"", "\"list\"");
    fs::write(at.join("list/acme.toml"), list).unwrap();
    fs::write(at.join("list/acme.names"), format!("{name}\n")).unwrap();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    fs::write(at.join("secret.key"), pair.sk.to_box(None).unwrap().into_string()).unwrap();
    let key = pair.pk.to_base64();
    let pack = [
        "signatures",
        "pack",
        "list",
        "--output",
        "packs/acme.pack",
        "--name",
        "acme",
        "--version",
        "7",
    ];
    let with = [
        "--signatures",
        "packs",
        "--signatures.enable",
        "acme",
        "--signatures.require-signed",
        "--signatures.keys",
        &*key,
    ];
    let capture = capture();
    let reading = [&["read", "--format", "json", &*capture], &with[..]].concat();

    done(at, &pack);
    assert!(refused(at, &reading).contains("acme.pack: has no signature"));
    done(at, &[&pack[..], &["--secret-key", "secret.key"]].concat());
    let output = vendorwatch(at, &reading);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let rows: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = rows.iter().find(|row| row["vendor"] == "acme").expect("the name of the pack");
    let hash = found["signatures"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    assert!(said.contains(&format!("reported), SHA-256 {hash}")), "{said}");
    assert!(said.contains("pack acme version 7: 1 names, SHA-256 "), "{said}");

    // Taken away, it is gone, and the hash says that the signatures are others.
    fs::remove_file(at.join("packs/acme.pack")).unwrap();
    let without = [&["read", "--format", "json", &*capture], &with[..2]].concat();
    let rows: Vec<Value> =
        done(at, &without).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().all(|row| row["vendor"] != "acme" && row["signatures"] != hash));
    // A key that is none is told.
    let said = refused(at, &["match", "a.example", "--signatures.keys", "abc"]);
    assert!(said.contains("signature key \"abc\""), "{said}");
}
