//! The examples of the manual: every command, and what it says when it is run. `make generate`
//! writes them anew.

use std::fmt::Write as _;
use std::fs;

use super::program::{acme, text, vendorwatch};
use crate::support::repository;

const EXAMPLES: &str = "src/manual/signature-commands.md";

/// Each command with what stands above it.
const COMMANDS: &[(&str, &str)] = &[
    (
        "Every fault in one run, with file, line and advice; exit code 2.",
        "signatures check wrong.toml",
    ),
    ("", "signatures check acme.toml"),
    (
        "What is looked for, as a table, `tsv` or `json`; `--summary` counts by vendor.",
        "signatures list --signatures acme.toml --vendor acme",
    ),
    (
        "One vendor or one indicator, with all that stands behind it.",
        "signatures show acme --signatures acme.toml",
    ),
    ("", "signatures show acme.n1900001 --signatures acme.toml"),
    (
        "Names of others become a list of a vendor and a record that describes it. Bad lines are \
      named and skipped; at a terminal a bar shows how far it is.",
        "signatures import --vendor acme --signatures acme.toml --format hosts \
      --reference owner/list:hosts@0123abc --output list hosts",
    ),
    (
        "Files and lists become one file, signed where there is a key (`minisign -G` makes one).",
        "signatures pack list --output packs/acme.pack --name acme --version 7 --secret-key secret.key \
      --signatures acme.toml",
    ),
    ("", "match --format tsv --signatures acme.toml,packs one.example.com x.one.example.com"),
    (
        "What changes from one set to another: records, and the names of lists. `--against` an \
      inventory or a capture says which findings would appear, vanish or change.",
        "signatures diff acme.toml next.toml",
    ),
    ("", "signatures diff 1.pack 2.pack"),
    (
        "For resolvers: a response policy zone.",
        "signatures export --format rpz --signatures acme.toml --vendor acme",
    ),
    (
        "For sensors: rules and intelligence. Lists become datasets beside the rules.",
        "signatures export --format suricata --signatures acme.toml --vendor acme",
    ),
    ("", "signatures export --format zeek --signatures acme.toml --vendor acme"),
    ("", "signatures export --format hosts --signatures acme.toml --vendor acme"),
];

#[test]
fn the_examples_of_the_manual_say_what_the_program_says() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    // Of today, so that no review is ever overdue.
    let write = |name: &str, content: &str| {
        let [today, review] = days();
        let content = content.replace("2026-11-21", &today).replace("2027-05-21", &review);
        fs::write(at.join(name), content).unwrap();
    };
    write("acme.toml", &acme(&["upd.acme.example"]));
    write(
        "next.toml",
        &acme(&["upd.acme.example", "cloud.acme.example"]).replacen("strong", "moderate", 1),
    );
    let wrong = acme(&["co.uk", "cloudfront.net", "*.acme.example"]);
    write("wrong.toml", &wrong.replace("confounders = [\"none known\"]\n", ""));
    write(
        "hosts",
        "# adverts\n0.0.0.0 one.example.com two.example.com\nthree.example.com\n0.0.0.0 com\n",
    );
    fs::create_dir(at.join("packs")).unwrap();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    write("secret.key", &pair.sk.to_box(None).unwrap().into_string());
    for (version, names) in
        [("1", "a.example.com\nb.example.com\n"), ("2", "b.example.com\nc.example.com\n")]
    {
        fs::create_dir_all(at.join("versions")).unwrap();
        write("versions/acme.toml", &acme(&["names"]).replace("\"suffix\"", "\"list\""));
        write("versions/names", names);
        let pack = format!("{version}.pack");
        let made = vendorwatch(at, &["signatures", "pack", "versions", "--output", &pack]);
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    let mut said = String::new();
    for (about, line) in COMMANDS {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = vendorwatch(at, &words);
        if !about.is_empty() {
            write!(said, "{about}\n\n").unwrap();
        }
        write!(said, "```text\n$ vendorwatch {}\n", words.join(" ")).unwrap();
        said += &text(&output.stdout);
        said += &text(&output.stderr);
        said += "```\n\n";
    }
    let said = lasting(&said);
    let path = repository(EXAMPLES);
    if std::env::var_os("VENDORWATCH_BLESS").is_some() {
        fs::write(&path, &said).unwrap();
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(said, held, "{EXAMPLES} is stale: `make generate`, then read the difference");
}

/// Today, and half a year from now.
fn days() -> [String; 2] {
    let today = jiff::Zoned::now().date();
    let review = today.checked_add(jiff::Span::new().days(181)).unwrap();
    [today.to_string(), review.to_string()]
}

/// Without what another day changes: the day itself, and hashes over it.
fn lasting(said: &str) -> String {
    let [today, review] = days();
    let said = said
        .replace(&today, "2026-11-21")
        .replace(&review, "2027-05-21")
        .replace(&today.replace('-', ""), "20261121");
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let line = |line: &str| -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let words = words.iter().map(|word| if is_hash(word) { "3f0c…" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    // As a terminal shows them.
    let said = said.replace('\t', "    ");
    said.lines().map(line).collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n"
}
