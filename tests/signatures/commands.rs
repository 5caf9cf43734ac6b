//! The commands around packs, as an operator runs them.

use std::fmt::Write as _;
use std::fs;

use tempfile::TempDir;

use super::program::{done, refused, text, tsv, vendorwatch};

/// A directory with an imported list of `hosts` and its pack in `packs/`.
fn imported(hosts: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("hosts"), hosts).unwrap();
    done(
        directory.path(),
        &[
            "signatures",
            "import",
            "--vendor",
            "kaspersky",
            "--format",
            "hosts",
            "--output",
            "list",
            "--reference",
            "owner/list: hosts @ 0123456789",
            "--class",
            "B1",
            "hosts",
        ],
    );
    fs::create_dir(directory.path().join("packs")).unwrap();
    directory
}

#[test]
fn a_hosts_file_becomes_a_list_a_pack_and_matches() {
    let hosts = "# ads\n0.0.0.0 one.example.com two.example.com\nbroken line\n0.0.0.0 com\n";
    let directory = imported(hosts);
    let at = directory.path();
    assert_eq!(
        fs::read_to_string(at.join("list/kaspersky.hosts")).unwrap(),
        "one.example.com\ntwo.example.com\n"
    );
    done(at, &["signatures", "pack", "list", "--output", "packs/list.pack", "--version", "7"]);
    let with = ["--signatures", "packs"];
    let found = tsv(at, &with, "one.example.com");
    assert_eq!(found, "one.example.com\tkaspersky\tkaspersky.import.hosts\tcloud\tweak\n");
    // A hosts file names hosts, not what is below them.
    assert_eq!(tsv(at, &with, "x.one.example.com"), "x.one.example.com\t-\t-\t-\t-\n");
    // What the files of the program say is still there.
    assert!(tsv(at, &with, "s00.upd.kaspersky.com").contains("\tkaspersky.update"));
    // A pack that is taken away is gone.
    fs::remove_file(at.join("packs/list.pack")).unwrap();
    assert_eq!(tsv(at, &with, "one.example.com"), "one.example.com\t-\t-\t-\t-\n");
}

/// What `import` advises after it has written to where it was called.
#[test]
fn a_pack_is_built_of_the_directory_that_one_is_in() {
    let directory = imported("0.0.0.0 one.example.com\n");
    let list = directory.path().join("list");
    done(&list, &["signatures", "pack", "."]);
    assert!(directory.path().join("list.pack").exists(), "as `pack list` names it from outside");
    fs::rename(directory.path().join("list.pack"), directory.path().join("packs/list.pack"))
        .unwrap();
    let found = tsv(directory.path(), &["--signatures", "packs"], "one.example.com");
    assert!(found.contains("\tkaspersky.import.hosts\t"), "{found}");
}

/// As root this would else take `/dev/null` out of its place.
#[test]
fn a_pack_is_written_to_what_is_no_file_and_not_over_it() {
    use std::os::unix::fs::FileTypeExt;

    let directory = imported("0.0.0.0 one.example.com\n");
    let at = directory.path();
    let made = std::process::Command::new("mkfifo").arg(at.join("pipe")).status().unwrap();
    assert!(made.success());
    let pipe = at.join("pipe");
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
    done(at, &["signatures", "pack", "list", "--output", "pipe", "--version", "7"]);
    assert!(fs::metadata(at.join("pipe")).unwrap().file_type().is_fifo());
    done(at, &["signatures", "pack", "list", "--output", "packs/list.pack", "--version", "7"]);
    assert_eq!(reader.join().unwrap(), fs::read(at.join("packs/list.pack")).unwrap());
}

/// A limit on the size of files stands for a disk without room.
#[test]
fn what_cannot_be_written_whole_leaves_what_was_there() {
    let directory = imported("0.0.0.0 one.example.com\n");
    let at = directory.path();
    let mut many = String::new();
    for n in 0..500 {
        writeln!(many, "0.0.0.0 host{n}.example.com").unwrap();
    }
    fs::write(at.join("hosts"), many).unwrap();
    let zone = ["signatures", "export", "--format", "rpz", "--vendor", "kaspersky", "-o", "zone"];
    let small = ["signatures", "export", "--format", "rpz", "--vendor", "autel", "-o", "zone"];
    done(at, &small);
    let import = ["signatures", "import", "--vendor=kaspersky", "--format=hosts", "--output=list"];
    let import = [&import[..], &["--reference=owner/list: hosts @ 0123456789", "hosts"]].concat();
    for (words, path) in [(&zone[..], "zone"), (&import, "list/kaspersky.hosts")] {
        let before = fs::read(at.join(path)).unwrap();
        let limited = "trap '' XFSZ; ulimit -f 4; exec \"$@\"";
        let output = std::process::Command::new("sh")
            .args(["-c", limited, "sh", env!("CARGO_BIN_EXE_vendorwatch")])
            .args(words)
            .current_dir(at)
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("cannot write {path}")), "{said}");
        assert_eq!(fs::read(at.join(path)).unwrap(), before, "{path}");
        assert!(!at.join(format!("{path}.new")).exists());
        done(at, words);
        assert!(fs::read(at.join(path)).unwrap().len() > before.len(), "with room it is written");
    }
}

#[test]
fn an_import_takes_no_place_but_its_own() {
    let directory = imported("0.0.0.0 one.example.com\n");
    let at = directory.path();
    fs::write(at.join("hosts"), "0.0.0.0 two.example.com\n").unwrap();
    let import = |vendor: &str, reference: &str, more: &[&str]| {
        let words = ["signatures", "import", "--format", "hosts", "--output", "list"];
        let named = ["--vendor", vendor, "--reference", reference, "hosts"];
        vendorwatch(at, &[&words[..], &named, more].concat())
    };
    let names = || fs::read_to_string(at.join("list/kaspersky.hosts")).unwrap();
    let other = import("kaspersky", "owner/other: hosts @ 0123456789", &[]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("an import of another list is there"));
    assert_eq!(names(), "one.example.com\n", "nothing is lost");
    let same = import("kaspersky", "owner/list: hosts @ 0123456789", &[]);
    assert!(same.status.success(), "{}", text(&same.stderr));
    assert_eq!(names(), "two.example.com\n", "the list has changed");
    for id in ["../out", "A B", "", "-x"] {
        let refused = import(id, "r", &[]);
        assert_eq!(refused.status.code(), Some(2), "{id}: {}", text(&refused.stderr));
    }
    assert_eq!(fs::read_dir(at.join("list")).unwrap().count(), 2);
    let outside = import("acme", "r", &["--number", "5"]);
    let said = text(&outside.stderr);
    assert!(said.contains("5 is no event number; give one from 1000000 to 1999999"), "{said}");
}

#[test]
fn bad_lines_are_reported_and_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let mut hosts = String::new();
    for number in 0..100 {
        writeln!(hosts, "no address {number}\n0.0.0.0 h{number}.example.com").unwrap();
    }
    fs::write(directory.path().join("hosts"), hosts).unwrap();
    let output = vendorwatch(
        directory.path(),
        &[
            "signatures",
            "import",
            "--vendor",
            "new-vendor",
            "--format",
            "hosts",
            "--reference",
            "r",
            "--show-skipped",
            "3",
            "hosts",
        ],
    );
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("hosts:1: does not begin with an address: skipped"), "{said}");
    assert!(said.contains("97 more were skipped"), "{said}");
    assert!(said.contains("100 names and 0 prefixes"), "{said}");
    // A vendor that nobody described is off until somebody does.
    let written = fs::read_to_string(directory.path().join("new-vendor-import.toml")).unwrap();
    assert!(written.contains("default_enabled = false"), "{written}");
}

#[test]
fn a_pack_is_believed_only_under_its_key() {
    let directory = imported("0.0.0.0 one.example.com\n");
    let at = directory.path();
    let keys: Vec<String> = (0..2)
        .map(|number| {
            let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
            let secret = pair.sk.to_box(None).unwrap().into_string();
            fs::write(at.join(format!("{number}.key")), secret).unwrap();
            pair.pk.to_base64()
        })
        .collect();
    let pack = ["signatures", "pack", "list", "--output", "packs/list.pack"];
    let match_with = |more: &[&str]| {
        let mut arguments =
            vec!["match", "--format", "tsv", "one.example.com", "--signatures", "packs"];
        arguments.extend_from_slice(more);
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let require = ["--signatures.require-signed", "true"];

    done(at, &pack);
    let unsigned = match_with(&require);
    let unsigned: Vec<&str> = unsigned.iter().map(String::as_str).collect();
    assert!(refused(at, &unsigned).contains("has no signature"));

    done(at, &[&pack[..], &["--secret-key", "0.key"]].concat());
    let with_key = |key: &str| match_with(&[&require[..], &["--signatures.keys", key]].concat());
    let right = with_key(&keys[0]);
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    assert!(done(at, &right).contains("kaspersky.import.hosts"));
    let wrong = with_key(&keys[1]);
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    assert!(refused(at, &wrong).contains("none of the keys"));

    // One changed octet, and it is nobody's.
    let path = at.join("packs/list.pack");
    let mut octets = fs::read(&path).unwrap();
    octets[100] ^= 1;
    fs::write(&path, octets).unwrap();
    assert!(refused(at, &right).contains("none of the keys"));
    let lenient = match_with(&[]);
    let lenient: Vec<&str> = lenient.iter().map(String::as_str).collect();
    assert!(refused(at, &lenient).contains("does not hash"));
}

#[test]
fn what_is_exported_can_be_checked_and_differs_in_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    done(
        at,
        &["signatures", "export", "--format", "toml", "--output", "all", "--vendor", "huawei"],
    );
    done(at, &["signatures", "check", "all"]);
    let difference = done(at, &["signatures", "diff", "all", "all"]);
    assert_eq!(difference, "");
    let difference = done(at, &["signatures", "diff", "built-in", "all"]);
    assert!(difference.lines().any(|line| line == "- vendor kaspersky"), "{difference}");
    assert!(!difference.contains("huawei"), "{difference}");
    for form in ["stix", "misp", "hosts", "rpz", "suricata", "zeek"] {
        let text = done(at, &["signatures", "export", "--format", form, "--vendor", "huawei"]);
        assert!(text.contains("hicloud.com"), "{form}");
        assert!(!text.contains("kaspersky.com"), "{form}");
    }
}

#[test]
fn a_broken_file_is_refused_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("broken.toml"), "[vendor]\nid = \"x\"\nname = 7\n").unwrap();
    let said = refused(directory.path(), &["match", "a.example", "--signatures", "."]);
    assert!(said.contains("broken.toml:3: vendor.name: is an integer"), "{said}");
    let said = refused(directory.path(), &["signatures", "check", "broken.toml"]);
    assert!(said.contains("broken.toml:3"), "{said}");
    let said = refused(directory.path(), &["match", "a.example", "--signatures", "nowhere"]);
    assert!(said.contains("nowhere"), "{said}");
}
