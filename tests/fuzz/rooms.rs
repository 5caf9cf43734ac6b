//! Seeds made from the standards: frames, files, and what operators hand over.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use vendorwatch::signature::pack::{Builder, FileText, List, Manifest};

use super::{Seed, named};
use crate::decode;

/// Every entry with its seeds.
pub(super) fn all() -> Vec<(&'static str, Vec<Seed>)> {
    vec![
        ("frame", decode::samples()),
        ("segments", named(segments())),
        ("capture_file", named(captures())),
        ("signature_file", named(signature_files())),
        ("pack", named(packs())),
        ("list", named(lists())),
        ("document", named(documents())),
    ]
}

fn segments() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("in-order", b"\0\0\x03abc\0\x03\x03def".to_vec()),
        ("backwards", b"\0\x06\x03ghi\0\x03\x03def\0\0\x03abc".to_vec()),
        (
            "overlapping",
            b"\0\x02\x04cdef\0\x09\x02xy\0\0\x03abX\0\x01\x09ZZZZZZZZZ\0\x06\x01g".to_vec(),
        ),
        ("across-the-wrap", b"\0\0\x01a\x3f\xfe\x04wxyz\x3f\xff\x01u".to_vec()),
    ]
}

/// The file formats of tcpdump (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).
fn captures() -> Vec<(&'static str, Vec<u8>)> {
    let packet = crate::support::wire::ethernet(0x0806, &[1; 28]);
    let len = u32::try_from(packet.len()).unwrap();
    let fields = |numbers: &[u32]| {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()
    };
    let header = |magic: u32| fields(&[magic, 4 << 16 | 2, 0, 0, 65_535, 1]);
    let record = [fields(&[1_700_000_000, 5, len, len + 9]), packet.clone()].concat();
    let classic = [header(0xa1b2_c3d4), record.clone(), record.clone()].concat();
    let nanos = [header(0xa1b2_3c4d), record.clone()].concat();
    let big: Vec<u8> = [0xa1b2_c3d4_u32, 2 << 16 | 4, 0, 0, 96, 101, 7, 8, len, len]
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .chain(packet.clone())
        .collect();
    let block = |kind: u32, body: &[u8]| {
        let body = [body, &vec![0; body.len().wrapping_neg() % 4]].concat();
        let total = u32::try_from(body.len() + 12).unwrap();
        [fields(&[kind, total]), body, fields(&[total])].concat()
    };
    let resolution = b"\x09\0\x01\0\x09\0\0\0\0\0\0\0";
    let pcapng = [
        block(0x0a0d_0d0a, &fields(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX])),
        block(1, &[&fields(&[1, 0])[..], resolution].concat()),
        block(6, &[fields(&[0, 0x0006_0000, 7, len, len]), packet.clone()].concat()),
        block(3, &[fields(&[len]), packet].concat()),
        block(5, &fields(&[0, 1, 2])),
    ]
    .concat();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&classic).unwrap();
    // More octets within than without, behind a skippable frame (RFC 8878 §3.1.2).
    let skippable = fields(&[0x184d_2a50, 4, 0]);
    let long = [classic.clone(), record.repeat(20)].concat();
    vec![
        ("pcap", classic.clone()),
        ("pcap-nanoseconds", nanos),
        ("pcap-big-endian", big),
        ("pcapng", pcapng.clone()),
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::encode_all(&pcapng[..], 1).unwrap()),
        ("zstd-skippable", [skippable, zstd::encode_all(&long[..], 1).unwrap()].concat()),
    ]
}

const SIGNATURES: &str = r#"
[vendor]
id = "acme"
name = "Acme"
country = "CN"
affiliates = ["Acme Cloud"]
default_enabled = false
disabled_reason = "not listed anywhere"

[[listing]]
id = "xx-1"
jurisdiction = "XX"
instrument = "an act"
issuer = "an office"
date = "2018-08-13"
binding = true
names_vendor = true
regulates = ["purchase", "use"]
scope = "agencies"
status = "in-force"
status_checked = "2026-11-21"
source = ["https://law.example/1"]
counter_evidence = []

[[indicator]]
id = "acme.cloud.acme-com"
number = 1900001
match = { kind = "suffix", value = "acme.com" }
purpose = "cloud"
product = "cloud"
strength = "moderate"
evidence = [
  { class = "B1", title = "a list", reference = "a list, line 1", retrieved = "2026-11-21", says = "listed" },
]
confounders = ["a \"reader\" of the web site"]
first_seen = "2026-11-21"
review_by = "2027-05-21"

[[indicator]]
id = "acme.net.prefix"
number = 1900002
match = { kind = "prefix", value = "192.0.2.0/24" }
purpose = "cloud"
product = "cloud"
strength = "weak"
evidence = [
  { class = "B1", title = "a list", reference = "a list, line 2", retrieved = "2026-11-21", says = "listed" },
]
first_seen = "2026-11-21"
review_by = "2027-05-21"

[[excluded]]
match = { kind = "host", value = "www.acme.com" }
reason = "the web site"
evidence = [
  { class = "B1", title = "a list", reference = "a list, line 3", retrieved = "2026-11-21", says = "listed" },
]
"#;

fn signature_files() -> Vec<(&'static str, Vec<u8>)> {
    let extending = SIGNATURES.split("[[listing]]").next().unwrap().split("name").next().unwrap();
    let records = &SIGNATURES[SIGNATURES.find("[[indicator]]").unwrap()..];
    vec![
        ("whole", SIGNATURES.into()),
        ("extends", format!("{extending}extends = true\n\n{records}").into()),
        ("no-toml", SIGNATURES.replace("number = 1900002", "number = [").into()),
        ("wide-letters", SIGNATURES.replace("\"acme.com\"", "\"\u{ff41}cme\u{3002}com\"").into()),
    ]
}

fn packs() -> Vec<(&'static str, Vec<u8>)> {
    let list = |indicator: &str, exact| List { indicator: indicator.into(), exact, names: 0 };
    let pack = |names: &[(&str, u16)]| {
        let mut builder = Builder::default();
        for (name, list) in names {
            builder.add(name, *list).unwrap();
        }
        let manifest = Manifest {
            name: "test".into(),
            version: "1".into(),
            created: "2026-11-21".into(),
            lists: vec![list("acme.list", false), list("acme.hosts", true)],
            files: vec![FileText { name: "acme.toml".into(), text: String::new() }],
        };
        let mut octets = builder.finish(manifest).unwrap();
        // Without its hash, which the entry puts there.
        octets.truncate(octets.len() - 32);
        octets
    };
    vec![
        ("empty", pack(&[])),
        ("few", pack(&[("example.com", 0), ("a.example.com", 1), ("com", 0), ("x--y_z.org", 1)])),
    ]
}

fn lists() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "hosts",
            b"\x000.0.0.0 ads.example.com b.example.com # x\n127.0.0.1 localhost\nexample\n"
                .to_vec(),
        ),
        (
            "domains",
            "\u{1}*.a.example.com\nb\u{fc}cher.de ; x\n\u{ff11}.2.3.4\na\u{3002}de\nco.uk\n".into(),
        ),
        (
            "adblock",
            b"\x02! title\n||a.example.com^$third-party\n@@||b.example.com^\n##.x\n".to_vec(),
        ),
    ]
}

fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let with = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
    vec![
        (
            "stix",
            with(
                0,
                r#"{"objects":[{"type":"domain-name","id":"d","value":"a.example.com"},
                {"type":"ipv4-addr","value":"192.0.2.1"},{"type":"indicator","id":"i","pattern_type":"stix",
                "pattern":"[domain-name:value = 'b.example.com' OR domain-name:value IN ('c.example.com')] OR [domain-name:value LIKE '%.d.example.com']"}]}"#,
            ),
        ),
        (
            "misp",
            with(
                1,
                r#"{"Event":{"Attribute":[{"type":"domain","value":"a.example.com"},{"type":"ip-dst","value":"2001:db8::/32"}],
                "Object":[{"Attribute":[{"type":"hostname","value":"b.example.com"}]}]}}"#,
            ),
        ),
        (
            "warning-list",
            with(1, r#"{"type":"hostname","list":[".a.example.com","b.example.com"]}"#),
        ),
    ]
}
