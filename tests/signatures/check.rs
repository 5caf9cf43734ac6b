//! `signatures check`, `list`, `show` and `diff`.

use std::fs;

use super::program::{acme, done, refused, text, vendorwatch};

#[test]
fn every_fault_of_every_file_is_told_in_one_run_with_line_and_advice() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(
        at.join("a.toml"),
        acme(&[
            "com",            // a public suffix
            "cloudfront.net", // a delivery network
            "akamaiedge.net",
            "co.uk",
            "upd.acme.example",
        ]),
    )
    .unwrap();
    let broad = acme(&["x.acme.example"]).replace("acme", "bold").replace(
        "kind = \"suffix\", value = \"x.bold.example\"",
        "kind = \"prefix\", value = \"11.0.0.0/8\"",
    );
    fs::write(at.join("b.toml"), broad).unwrap();
    fs::write(at.join("c.toml"), "[vendor]\nid = 7\n[[indicator\n").unwrap();
    fs::write(at.join("d.pack"), "no pack").unwrap();
    let part =
        acme(&["*.acme.example", "co.uk"]).replace("acme\"", "part\"").replace("acme.n", "part.n");
    fs::write(at.join("e.toml"), part).unwrap();
    let said = refused(at, &["signatures", "check", "."]);
    for part in [
        "./a.toml:8: indicator.match.value: \"com\" is a public suffix; ",
        "\"cloudfront.net\" is shared infrastructure (cloudfront.net); ",
        "\"akamaiedge.net\" is shared infrastructure (akamaiedge.net); ",
        "\"co.uk\" is a public suffix; ",
        "11.0.0.0/8 is over-broad; write the documented blocks",
        "is a prefix and strong; ",
        "c.toml:3: ",
        // Of a file with broken records the others are looked at all the same.
        "e.toml:11: indicator.match.value: \"*.acme.example\" holds a wildcard; ",
        "e.toml:20: indicator.match.value: \"co.uk\" is a public suffix; ",
        "d.pack",
    ] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    assert!(!said.contains("upd.acme.example"), "what is right is not spoken of:\n{said}");
    let (last, faults): (&str, Vec<&str>) = {
        let mut lines: Vec<&str> = said.lines().collect();
        (lines.pop().unwrap(), lines)
    };
    assert_eq!(last, format!("error: {} faults: these signatures would be refused", faults.len()));
    assert!(faults.iter().all(|fault| fault.contains("; ")), "every fault has its advice: {said}");
}

#[test]
fn what_is_only_warned_about_passes_unless_it_must_not() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let old = acme(&["upd.acme.example", "s1.upd.acme.example"])
        .replace("2027-05-21", "2026-11-22")
        .replace("2026-11-21", "2020-01-01")
        .replace("2026-11-22", "2020-05-01");
    fs::write(at.join("old.toml"), old).unwrap();
    let output = vendorwatch(at, &["signatures", "check", "old.toml"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning"), "{said}");
    assert!(said.contains("was to be reviewed by 2020-05-01"), "{said}");
    assert!(said.contains("2 indicators of 1 vendor, 0 exclusions: no fault"), "{said}");
    let said = refused(at, &["signatures", "check", "--strict", "old.toml"]);
    assert!(said.contains("these signatures would be refused"), "{said}");
}

#[test]
fn the_built_in_files_have_no_fault_and_a_directory_without_any_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let output = vendorwatch(directory.path(), &["signatures", "check"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).trim_end().ends_with(": no fault"), "{}", text(&output.stderr));
    let said = refused(directory.path(), &["signatures", "check", "."]);
    assert!(said.contains("no indicator"), "{said}");
    let said = refused(directory.path(), &["signatures", "check", "nowhere.toml"]);
    assert!(said.contains("cannot read nowhere.toml: No such file"), "{said}");
}

#[test]
fn a_list_of_indicators_is_cut_down_by_vendor_purpose_and_strength() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let rows = |more: &[&str]| -> Vec<Vec<String>> {
        let arguments = [&["signatures", "list", "--format", "tsv"], more].concat();
        let printed = done(at, &arguments);
        let mut lines = printed.lines();
        let head = lines.next().unwrap();
        assert_eq!(head, "indicator\tnumber\tkind\tvalue\tpurpose\tstrength\tevidence\tproduct");
        lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    };
    let all = rows(&[]);
    let kaspersky = rows(&["--vendor", "kaspersky"]);
    assert!(kaspersky.len() > 20 && all.len() > kaspersky.len() * 2, "{}", all.len());
    assert!(kaspersky.iter().all(|row| row[0].starts_with("kaspersky.")));
    let strong =
        rows(&["--vendor", "kaspersky", "--min-strength", "strong", "--purpose", "update"]);
    assert!(!strong.is_empty() && strong.len() < kaspersky.len());
    assert!(strong.iter().all(|row| row[4] == "update" && row[5] == "strong"), "{strong:?}");
    let json = done(at, &["signatures", "list", "--vendor", "kaspersky", "--format", "json"]);
    let objects: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), kaspersky.len());
    for (object, row) in objects.iter().zip(&kaspersky) {
        assert_eq!(
            (&object["id"], &object["vendor"]),
            (&row[0].as_str().into(), &"kaspersky".into())
        );
        assert!(object["evidence"][0]["reference"].is_string(), "{object}");
    }
    assert_eq!(vendorwatch(at, &["signatures", "list", "--purpose", "fun"]).status.code(), Some(2));
    let unknown = vendorwatch(at, &["signatures", "list", "--vendor", "kasperski"]);
    assert_eq!(
        (unknown.status.code(), &*unknown.stdout),
        (Some(2), &b""[..]),
        "no table of nothing"
    );
    assert!(text(&unknown.stderr).contains("no vendor is called \"kasperski\""));
    let both = ["signatures", "list", "--summary", "--vendor", "kaspersky"];
    assert_eq!(vendorwatch(at, &both).status.code(), Some(2), "the table is of all vendors");
    let own = at.join("acme.toml");
    fs::write(&own, acme(&["upd.acme.example"])).unwrap();
    let own = done(at, &["signatures", "list", "--format", "tsv", "--signatures", "acme.toml"]);
    assert!(
        own.contains(
            "acme.n1900001\t1900001\tsuffix\tupd.acme.example\tupdate\tstrong\tA\tAgent\n"
        )
    );
}

#[test]
fn a_vendor_and_an_indicator_are_shown_with_what_stands_behind_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let vendor = done(at, &["signatures", "show", "kaspersky"]);
    assert!(vendor.starts_with("Kaspersky (kaspersky, RU)\n"), "{vendor}");
    for part in ["us-ndaa-2018-1634", "kaspersky.update", "in-force on "] {
        assert!(vendor.contains(part), "{part}: {vendor}");
    }
    let first = done(at, &["signatures", "list", "--vendor", "kaspersky", "--format", "json"]);
    let record: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let indicator = done(at, &["signatures", "show", record["id"].as_str().unwrap()]);
    for field in
        [&record["match"]["value"], &record["evidence"][0]["reference"], &record["confounders"][0]]
    {
        assert!(indicator.contains(field.as_str().unwrap()), "{field}: {indicator}");
    }
    let said = refused(at, &["signatures", "show", "nobody"]);
    assert!(said.contains("\"nobody\" is no vendor and no indicator"), "{said}");
}

#[test]
fn a_difference_names_records_and_the_names_of_lists() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    fs::write(at.join("old.toml"), acme(&["upd.acme.example", "gone.acme.example"])).unwrap();
    let new = acme(&["upd.acme.example", "gone.acme.example", "new.acme.example"]);
    let new = new.replacen("strength = \"strong\"", "strength = \"moderate\"", 1);
    let gone = new.find("\n[[indicator]]\nid = \"acme.n1900002\"").unwrap();
    let next = new.find("\n[[indicator]]\nid = \"acme.n1900003\"").unwrap();
    fs::write(at.join("new.toml"), format!("{}{}", &new[..gone], &new[next..])).unwrap();
    assert_eq!(
        done(at, &["signatures", "diff", "old.toml", "new.toml"]),
        "~ acme.n1900001: strength: suffix upd.acme.example (update, strong) -> \
         suffix upd.acme.example (update, moderate)\n\
         - acme.n1900002: suffix gone.acme.example (update, strong)\n\
         + acme.n1900003: suffix new.acme.example (update, strong)\n"
    );
    assert_eq!(done(at, &["signatures", "diff", "old.toml", "old.toml"]), "");

    // Two versions of one list: what is in both is not spoken of.
    fs::create_dir(at.join("list")).unwrap();
    let list = acme(&["acme.names"]).replace("\"suffix\"", "\"list\"");
    fs::write(at.join("list/acme.toml"), list).unwrap();
    for (version, names) in [
        ("1", "a.example.com\nb.example.com\n"),
        ("2", "b.example.com\nc.d.example.com\nexample.org\n"),
    ] {
        fs::write(at.join("list/acme.names"), names).unwrap();
        let pack = format!("{version}.pack");
        done(at, &["signatures", "pack", "list", "--output", &pack, "--version", version]);
    }
    let said = done(at, &["signatures", "diff", "1.pack", "2.pack"]);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "+ acme.n1900001: c.d.example.com",
            "+ acme.n1900001: example.org",
            "- acme.n1900001: a.example.com",
            "~ acme.n1900001: names: 2 added, 1 removed",
        ]
    );
    let counted = done(at, &["signatures", "diff", "1.pack", "2.pack", "--show-names", "0"]);
    assert_eq!(counted, "~ acme.n1900001: names: 2 added, 1 removed\n");
}

/// Of what is no name, that nothing matches says nothing.
#[test]
fn what_is_no_name_is_told_from_a_name_that_nothing_matches() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let match_of = |name: &str| done(at, &["match", name]);
    assert_eq!(match_of("kaspersky.example"), "kaspersky.example\n  no indicator matches\n\n");
    for (name, part) in [
        ("https://kaspersky.com/x", "it is not a name alone; leave scheme, port, path"),
        ("kaspersky.com:443", "it is not a name alone"),
        ("upd.kaspersky.com..", "it has an empty label"),
        ("\u{ff4b}aspersky.com", "on the wire it is kaspersky.com"),
        ("", "it is empty"),
    ] {
        let said = match_of(name);
        assert!(
            said.contains("no indicator matches\n  but        ") && said.contains(part),
            "{said}"
        );
    }
}
