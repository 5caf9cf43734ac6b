//! `signatures import` and `export`, against what others write and read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::program::{acme, done, refused, text, tsv, vendorwatch};

/// Imports `file` for Kaspersky in this format to `list`.
const fn importing<'a>(format: &'a str, file: &'a str) -> [&'a str; 11] {
    [
        "signatures",
        "import",
        "--vendor",
        "kaspersky",
        "--output",
        "list",
        "--reference",
        "made up",
        "--format",
        format,
        file,
    ]
}

#[test]
fn long_lists_are_taken_and_their_bad_lines_named() {
    const LINES: usize = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut hosts = String::with_capacity(LINES * 32);
    let mut bad = 0;
    for number in 0..LINES {
        if number % 10_000 == 7 {
            bad += 1;
            hosts.push_str("0.0.0.0 -> nowhere\n");
        } else {
            writeln!(hosts, "0.0.0.0 h{number}.made-up.example.com").unwrap();
        }
    }
    fs::write(at.join("hosts"), hosts).unwrap();
    let output = vendorwatch(at, &importing("hosts", "hosts"));
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("hosts:")).count(), 2 * bad.min(10));
    assert!(said.contains("hosts:8: "), "{said}");
    assert!(
        said.contains(&format!("{} names and 0 prefixes for kaspersky", LINES - bad)),
        "{said}"
    );
    assert!(!said.contains("off by default"), "{said}");
    let list = fs::read_to_string(at.join("list/kaspersky.hosts")).unwrap();
    assert_eq!(list.lines().count(), LINES - bad);
    // What was written is what a pack is made of, and the check has nothing against it.
    done(at, &["signatures", "pack", "list", "--output", "hosts.pack"]);
    let found = tsv(at, &["--signatures", "hosts.pack"], "h99999.made-up.example.com");
    assert_eq!(
        found,
        "h99999.made-up.example.com\tkaspersky\tkaspersky.import.hosts\tcloud\tweak\n"
    );
}

#[test]
fn a_new_vendor_is_said_to_be_off_and_how_it_is_enabled() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("hosts"), "0.0.0.0 made-up.example.com\n").unwrap();
    let words = importing("hosts", "hosts").map(|word| word.replace("kaspersky", "made-up"));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = text(&vendorwatch(at, &words).stderr);
    let enable = "nothing of it is reported without --signatures.enable made-up";
    assert!(said.contains("made-up is off by default") && said.contains(enable), "{said}");
}

#[test]
fn who_waits_at_a_terminal_sees_how_far_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let hosts: String =
        (0..50_000).fold(String::new(), |text, n| text + &format!("0.0.0.0 h{n}.example.com\n"));
    fs::write(at.join("hosts"), hosts).unwrap();
    let words = importing("hosts", "hosts").join(" ").replace("made up", "x");
    let line = format!("{} {words}", env!("CARGO_BIN_EXE_vendorwatch"));
    // script(1) gives the program a terminal.
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .current_dir(at)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let seen = text(&output.stdout);
    assert!(output.status.success(), "{seen}");
    assert!(
        seen.contains("/1.") && seen.contains("MiB"),
        "a bar with octets of all octets: {seen:?}"
    );
    assert!(seen.contains("50000 names"), "{seen:?}");
    let silent = vendorwatch(at, &importing("hosts", "hosts"));
    assert!(!text(&silent.stderr).contains("MiB"), "nothing where nobody looks");
}

#[test]
fn every_form_of_a_list_says_the_same_names() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let stix = r#"{"type": "bundle", "objects": [
        {"type": "indicator", "id": "indicator--1", "pattern_type": "stix",
         "pattern": "[domain-name:value = 'a.example.com' OR domain-name:value LIKE '%.a.example.com']"},
        {"type": "indicator", "id": "indicator--2", "pattern_type": "stix",
         "pattern": "[file:name = 'x']"},
        {"type": "domain-name", "id": "domain-name--1", "value": "b.example.com"}]}"#;
    let misp = r#"{"Event": {"info": "i", "Attribute": [
        {"type": "domain", "value": "a.example.com"}, {"type": "hostname", "value": "b.example.com"},
        {"type": "md5", "value": "d41d8cd98f00b204e9800998ecf8427e"},
        {"type": "ip-dst", "value": "93.184.216.0/24"}]}}"#;
    for (format, content, zones, hosts, skipped) in [
        (
            "adblock",
            "[Adblock Plus]\n||a.example.com^\n||b.example.com^$script\nc.example.com##.ad\n",
            2,
            0,
            1,
        ),
        ("domains", "# list\na.example.com\n*.b.example.com\nco.uk\nbad_\u{1}.x\n", 2, 0, 2),
        ("hosts", "0.0.0.0 a.example.com b.example.com\n::1 localhost\nbroken\n", 0, 2, 1),
        ("stix", stix, 1, 2, 1),
        ("misp", misp, 1, 1, 1),
    ] {
        let _ = fs::remove_dir_all(at.join("list"));
        fs::write(at.join("input"), content).unwrap();
        let output = vendorwatch(at, &importing(format, "input"));
        let said = text(&output.stderr);
        assert!(output.status.success(), "{format}: {said}");
        let count = |list: &str| {
            fs::read_to_string(at.join("list").join(list)).map_or(0, |text| text.lines().count())
        };
        assert_eq!(
            (count("kaspersky.names"), count("kaspersky.hosts")),
            (zones, hosts),
            "{format}: {said}"
        );
        assert_eq!(said.matches(": skipped").count(), skipped, "{format}: {said}");
        done(at, &["signatures", "pack", "list", "--output", "list.pack"]);
        let asked = |name| tsv(at, &["--signatures", "list.pack"], name);
        assert!(asked("a.example.com").contains("\tkaspersky.import."), "{format}");
        assert!(asked("b.example.com").contains("\tkaspersky.import."), "{format}");
        assert_eq!(asked("x.a.example.com").contains("\tkaspersky\t"), zones > 0, "{format}");
        assert_eq!(asked("93.184.216.34").contains("\tkaspersky\t"), format == "misp", "{format}");
        assert!(asked("a.example.comx").ends_with("\t-\t-\t-\t-\n"), "{format}");
    }
    fs::write(at.join("input"), "nothing to see\n").unwrap();
    let output = vendorwatch(at, &importing("hosts", "input"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no name to import"));
}

fn exported(at: &Path, format: &str, more: &[&str]) -> String {
    done(at, &[&["signatures", "export", "--format", format], more].concat())
}

#[test]
fn a_stix_bundle_has_the_parts_the_standard_asks_for_and_stable_ids() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let bundle = exported(at, "stix", &["--vendor", "huawei"]);
    let parsed: Value = serde_json::from_str(&bundle).unwrap();
    assert_eq!(parsed["type"], "bundle");
    let objects = parsed["objects"].as_array().unwrap();
    assert!(objects.len() > 10, "{}", objects.len());
    let mut ids = BTreeSet::new();
    for object in objects {
        let kind = object["type"].as_str().unwrap();
        let id = object["id"].as_str().unwrap();
        let uuid = id.strip_prefix(&format!("{kind}--")).unwrap_or_else(|| panic!("{id}"));
        // RFC 9562: a name-based UUID of the variant that is in use.
        let is_uuid = uuid.len() == 36
            && uuid.as_bytes()[14] == b'5'
            && b"89ab".contains(&uuid.as_bytes()[19])
            && uuid.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
        assert!(is_uuid, "{id}");
        assert!(ids.insert(id.to_owned()), "{id} stands there twice");
        assert_eq!(object["spec_version"], "2.1");
        for time in ["created", "modified"] {
            let time = object[time].as_str().unwrap();
            assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{time}");
        }
        if kind == "indicator" {
            // STIX 2.1 §4.7.
            assert_eq!(object["pattern_type"], "stix");
            assert!(object["valid_from"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
            let pattern = object["pattern"].as_str().unwrap();
            assert!(pattern.starts_with('[') && pattern.ends_with(']'), "{pattern}");
            assert_eq!(pattern.matches('\'').count() % 2, 0, "{pattern}");
            assert_eq!(object["created_by_ref"], objects[0]["id"]);
            let references = object["external_references"].as_array().unwrap();
            assert!(references.iter().all(|reference| reference["source_name"].is_string()));
        }
    }
    assert_eq!(exported(at, "stix", &["--vendor", "huawei"]), bundle, "the same again");
    // Another selection of the same records gives them the same ids.
    let more: Value =
        serde_json::from_str(&exported(at, "stix", &["--vendor", "huawei", "--vendor", "zte"]))
            .unwrap();
    let more: BTreeSet<&str> = more["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| object["id"].as_str().unwrap())
        .collect();
    assert!(ids.iter().all(|id| more.contains(&**id)));
}

#[test]
fn what_goes_out_as_stix_or_misp_comes_back_in() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for format in ["stix", "misp"] {
        fs::write(at.join("out.json"), exported(at, format, &["--vendor", "hikvision"])).unwrap();
        let mut words = importing(format, "out.json");
        words[3] = "other";
        done(at, &words);
        done(at, &["signatures", "pack", "list", "--output", "list.pack"]);
        let list = done(at, &["signatures", "list", "--vendor", "hikvision", "--format", "json"]);
        for line in list.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let name = record["match"]["value"].as_str().unwrap();
            if record["match"]["kind"] == "prefix" {
                continue;
            }
            let answer =
                tsv(at, &["--signatures", "list.pack", "--signatures.built-in=false"], name);
            assert!(answer.contains("\tother\t"), "{format}: {answer}");
        }
        fs::remove_dir_all(at.join("list")).unwrap();
    }
}

#[test]
fn a_misp_event_has_what_an_instance_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let event: Value =
        serde_json::from_str(&exported(at, "misp", &["--vendor", "huawei"])).unwrap();
    let event = &event["Event"];
    for field in ["uuid", "info", "date", "threat_level_id", "analysis", "distribution"] {
        assert!(event[field].is_string(), "{field}");
    }
    let attributes = event["Attribute"].as_array().unwrap();
    assert!(attributes.len() > 10);
    for attribute in attributes {
        let kind = attribute["type"].as_str().unwrap();
        assert!(["domain", "hostname", "ip-dst"].contains(&kind), "{attribute}");
        assert_eq!(attribute["category"], "Network activity");
        assert!(attribute["to_ids"].is_boolean());
        assert!(attribute["comment"].as_str().unwrap().contains("huawei."), "{attribute}");
    }
}

#[test]
fn a_policy_zone_is_one_that_a_name_server_loads() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let spared = "[[excluded]]\nmatch = { kind = \"suffix\", value = \"mirror.upd.acme.example\" }\n\
                  reason = \"made up\"\n";
    fs::write(at.join("acme.toml"), acme(&["upd.acme.example"]) + spared).unwrap();
    let all = ["--signatures=acme.toml", "--signatures.enable=acme,tp-link", "--output=rpz.zone"];
    exported(at, "rpz", &all);
    // BIND's own check; RPZ triggers are ordinary names of the zone. Addresses and TTLs are
    // checked by it, and so are wildcards, owner names and the SOA.
    let output = Command::new("named-checkzone")
        .args(["-i", "local", "rpz.example", "rpz.zone"])
        .current_dir(at)
        .output()
        .unwrap_or_else(|error| panic!("named-checkzone: {error} (`make deps` installs it)"));
    let said = text(&output.stdout);
    assert!(output.status.success() && said.ends_with("OK\n"), "{said}");
    assert!(!said.contains("ignoring") && !said.contains("bad"), "{said}");
    let zone = fs::read_to_string(at.join("rpz.zone")).unwrap();
    for line in [
        "*.upd.kaspersky.com CNAME .",
        "mirror.upd.acme.example CNAME rpz-passthru. ; excluded",
        "*.mirror.upd.acme.example CNAME rpz-passthru.",
    ] {
        assert!(zone.lines().any(|found| found.starts_with(line)), "{line}");
    }
    assert!(zone.lines().any(|line| line.contains(".rpz-ip CNAME . ; kaspersky.")));
}

/// The options of a rule: what stands between the brackets, at semicolons that no quote holds.
fn options(rule: &str) -> Vec<&str> {
    let inside = rule.split_once('(').unwrap().1.strip_suffix(')').unwrap();
    let mut quoted = false;
    inside
        .split(|character| {
            quoted ^= character == '"';
            character == ';' && !quoted
        })
        .map(str::trim)
        .filter(|option| !option.is_empty())
        .collect()
}

#[test]
fn rules_of_suricata_are_whole_and_lists_are_datasets() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::create_dir(at.join("list")).unwrap();
    let list = acme(&["acme.names"]).replace("\"suffix\"", "\"host-list\"");
    fs::write(at.join("list/acme.toml"), list).unwrap();
    fs::write(at.join("list/acme.names"), "a.example.com\nb.example.com\n").unwrap();
    done(at, &["signatures", "pack", "list", "--output", "list.pack"]);
    let words = ["--signatures", "list.pack", "--vendor", "acme", "--vendor", "huawei"];
    exported(at, "suricata", &[&words[..], &["--output", "vw.rules"]].concat());
    let rules = fs::read_to_string(at.join("vw.rules")).unwrap();
    let mut numbers = BTreeSet::new();
    for rule in rules.lines().filter(|line| !line.starts_with('#')) {
        let head = rule.split_once(" (").unwrap().0;
        let fits = |head: &str| {
            head.strip_prefix("alert ").is_some_and(|head| {
                ["dns any any -> any any", "tls any any -> any any"].contains(&head)
                    || head.starts_with("ip any any -> ") && head.ends_with(" any")
            })
        };
        assert!(fits(head), "{rule}");
        let options = options(rule);
        assert!(options[0].starts_with("msg:\"vendorwatch "), "{rule}");
        let number = options.iter().find_map(|option| option.strip_prefix("sid:")).unwrap();
        assert!(numbers.insert(number.parse::<u32>().unwrap()), "{number} stands there twice");
        assert!(options.contains(&"rev:1"), "{rule}");
    }
    assert!(
        rules.contains(
            "dns.query; to_lowercase; dataset:isset,vendorwatch-1900001,type string,load \
             acme.n1900001.lst; sid:1900001;"
        ),
        "{rules}"
    );
    let dataset = fs::read_to_string(at.join("acme.n1900001.lst")).unwrap();
    let names: BTreeSet<&str> = dataset.lines().collect();
    assert_eq!(names, BTreeSet::from(["YS5leGFtcGxlLmNvbQ==", "Yi5leGFtcGxlLmNvbQ=="]));
    let shown =
        vendorwatch(at, &[&["signatures", "export", "--format", "suricata"], &words[..]].concat());
    assert!(!text(&shown.stdout).contains("dataset"));
    assert!(text(&shown.stderr).contains("--output"), "{}", text(&shown.stderr));
}

/// A zone and a block of addresses, and what is not meant of them.
fn acme_with_exclusions() -> String {
    let listed = acme(&["upd.acme.example", "93.184.216.0/24"])
        .replace("\"suffix\", value = \"93.", "\"prefix\", value = \"93.")
        .replace("strength = \"strong\"", "strength = \"moderate\"")
        .replace("review_by = \"2027-05-21\"", "review_by = \"2027-01-21\"");
    let excluded = [
        ("suffix", "mirror.upd.acme.example"),
        ("host", "www.upd.acme.example"),
        ("suffix", "elsewhere.example.com"),
        ("prefix", "93.184.216.128/25"),
        ("prefix", "93.184.0.0/24"),
    ];
    excluded.iter().fold(listed, |text, (kind, value)| {
        text + &format!(
            "[[excluded]]\nmatch = {{ kind = \"{kind}\", value = \"{value}\" }}\n\
             reason = \"made up\"\n"
        )
    })
}

#[test]
fn what_is_excluded_is_excluded_from_rules_and_named_where_a_form_cannot_say_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("acme.toml"), acme_with_exclusions()).unwrap();
    let words = ["--signatures=acme.toml", "--vendor=acme"];
    let rules = exported(at, "suricata", &words);
    let rules: Vec<_> = rules.lines().filter(|line| !line.starts_with('#')).collect();
    let [dns, tls, addresses] = rules[..] else { panic!("{rules:#?}") };
    for (rule, field) in [(dns, "dns.query"), (tls, "tls.sni")] {
        let options = options(rule);
        let wanted = [
            field,
            "dotprefix",
            "content:\".upd.acme.example\"",
            "nocase",
            "endswith",
            "content:!\".mirror.upd.acme.example\"",
            "nocase",
            "endswith",
            "content:!\".www.upd.acme.example\"",
            "nocase",
            "startswith",
            "endswith",
        ];
        assert_eq!(options[1..=wanted.len()], wanted, "{rule}");
    }
    let head = "alert ip any any -> [93.184.216.0/24,!93.184.216.128/25] any (";
    assert!(addresses.starts_with(head), "{addresses}");

    let bundle: Value = serde_json::from_str(&exported(at, "stix", &words)).unwrap();
    let event: Value = serde_json::from_str(&exported(at, "misp", &words)).unwrap();
    let said = |records: &Value, field: &str| -> Vec<String> {
        let records = records.as_array().unwrap().iter();
        records.filter_map(|record| record[field].as_str().map(str::to_owned)).collect()
    };
    for said in
        [said(&bundle["objects"], "description"), said(&event["Event"]["Attribute"], "comment")]
    {
        let [zone, block] = &said[..] else { panic!("{said:#?}") };
        let names = "without mirror.upd.acme.example, www.upd.acme.example";
        assert!(zone.ends_with(names), "{zone}");
        assert!(block.ends_with("without 93.184.216.128/25"), "{block}");
    }

    let zone = exported(at, "rpz", &words);
    let passed = zone.lines().filter(|line| line.contains("rpz-passthru"));
    let passed: Vec<_> = passed.map(|line| line.split(' ').next().unwrap()).collect();
    let wanted = [
        "www.upd.acme.example",
        "mirror.upd.acme.example",
        "*.mirror.upd.acme.example",
        "25.128.216.184.93.rpz-ip",
    ];
    assert_eq!(passed, wanted, "and nothing of what is not exported anyway");

    let head = "[[excluded]]\nmatch = { kind = \"host\", value = \"upd.acme.example\" }\n\
                reason = \"made up\"\n";
    fs::write(at.join("acme.toml"), acme(&["upd.acme.example", "own.acme.example"]) + head)
        .unwrap();
    for form in ["hosts", "zeek"] {
        let printed = exported(at, form, &words);
        assert!(printed.contains("own.acme.example"), "{printed}");
        assert!(!printed.contains("upd.acme.example"), "{printed}");
    }
}

#[test]
fn the_intelligence_of_zeek_is_a_table_with_its_head() {
    let directory = tempfile::tempdir().unwrap();
    let printed = exported(directory.path(), "zeek", &["--vendor", "kaspersky"]);
    let (remarks, lines): (Vec<&str>, Vec<&str>) =
        printed.lines().partition(|line| line.starts_with("# "));
    assert!(remarks[0].contains("names whole"), "{remarks:?}");
    let mut lines = lines.into_iter();
    assert_eq!(
        lines.next().unwrap(),
        "#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\tmeta.url"
    );
    let mut rows = 0;
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let [value, kind, source, about, url] = fields[..] else { panic!("{line}") };
        match kind {
            "Intel::DOMAIN" => assert!(value.contains('.') && !value.contains('/'), "{line}"),
            "Intel::SUBNET" => assert!(value.parse::<ipnet::IpNet>().is_ok(), "{line}"),
            _ => panic!("{line}"),
        }
        assert_eq!(source, "vendorwatch");
        assert!(about.contains("kaspersky."), "{line}");
        assert!(url == "-" || url.starts_with("http"), "{line}");
        rows += 1;
    }
    assert!(rows > 20, "{rows}");
}

#[test]
fn a_hosts_file_names_hosts_and_a_vendor_that_is_not_there_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let hosts =
        exported(at, "hosts", &["--vendor", "kaspersky", "--signatures.min-strength", "strong"]);
    let all = exported(at, "hosts", &["--vendor", "kaspersky"]);
    assert!(hosts.lines().count() < all.lines().count(), "strong ones are fewer");
    for line in hosts.lines().filter(|line| !line.starts_with('#')) {
        let name = line.strip_prefix("0.0.0.0 ").unwrap_or_else(|| panic!("{line}"));
        assert!(name.contains('.') && !name.contains(char::is_whitespace), "{line}");
    }
    let said = refused(at, &["signatures", "export", "--format", "hosts", "--vendor", "nobody"]);
    assert!(said.contains("no vendor is called \"nobody\""), "{said}");
    let said = refused(at, &["signatures", "export", "--format", "toml"]);
    assert!(said.contains("--vendor"), "{said}");
}
