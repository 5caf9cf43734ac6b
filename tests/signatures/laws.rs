//! The laws of matching, held against the set that ships: whatever its names are, names from the
//! wire meet them by whole labels, in one spelling, and the longest decides.

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use vendorwatch::name::{escape_into, normalise_host, normalise_text};
use vendorwatch::signature::pack::{Builder, List, Manifest};
use vendorwatch::signature::{Indicator, Pack, Pattern, Set, Verdict, embedded, format};

use crate::support::made_up;

static SHIPPED: LazyLock<Set> = LazyLock::new(|| Set::build(embedded::files().unwrap()).unwrap());

/// Every zone that ships, listed or excluded.
static ZONES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let listed = SHIPPED.indicators().iter().map(|indicator| &indicator.pattern);
    let excluded = SHIPPED.excluded().iter().map(|record| &record.pattern);
    listed
        .chain(excluded)
        .filter_map(|pattern| match pattern {
            Pattern::Suffix(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
});

fn zone() -> impl Strategy<Value = String> {
    any::<Index>().prop_map(|index| index.get(&ZONES).clone())
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9_]([a-z0-9-]{0,20}[a-z0-9])?"
}

/// What decides about a name, by its pattern.
fn decides(name: &str) -> Option<Pattern> {
    SHIPPED.explain(name).map(|verdict| match verdict {
        Verdict::Listed(hit) => hit.indicator.pattern.clone(),
        Verdict::Excluded { record, .. } => record.pattern.clone(),
    })
}

/// The name as a DNS message carries it: labels of octets.
fn printed(labels: &[Vec<u8>]) -> String {
    let mut name = String::new();
    for (at, label) in labels.iter().enumerate() {
        if at > 0 {
            name.push('.');
        }
        escape_into(&mut name, label, true);
    }
    name
}

/// A set of one record that matches `pattern`, and one exclusion.
fn small(kind: &str, value: &str, excluded: &str) -> Set {
    let exclusion = format!(
        r#"
        [[excluded]]
        match = {{ kind = "suffix", value = {excluded:?} }}
        reason = "made up"
        "#
    );
    let indicator = made_up::indicator("acme.one", 1_900_001, kind, value);
    let text = [made_up::vendor("acme"), indicator, exclusion].concat();
    Set::build(vec![format::parse("acme.toml", &text).unwrap()]).unwrap()
}

fn hit<'a>(set: &'a Set, name: &'a str) -> Option<&'a Indicator> {
    set.lookup(name).map(|hit| &**hit.indicator)
}

proptest! {
    #[test]
    fn a_zone_holds_whatever_label_stands_before_it(zone in zone(), label in label()) {
        let name = format!("{label}.{zone}");
        let pattern = decides(&name);
        // The zone itself, or something longer that the label happens to begin.
        prop_assert!(pattern.is_some_and(|pattern| pattern.value().len() >= zone.len()), "{name}");
    }

    #[test]
    fn a_label_that_is_glued_on_is_another_name(zone in zone(), label in label()) {
        let name = format!("{label}{zone}");
        if let Some(pattern) = decides(&name) {
            let value = pattern.value();
            prop_assert!(name == value || name.ends_with(&format!(".{value}")), "{name}: {pattern}");
        }
    }

    #[test]
    fn a_zone_in_the_middle_means_nothing(zone in zone(), label in label()) {
        prop_assert_eq!(decides(&format!("{zone}.{label}.invalid")), None);
        prop_assert_eq!(decides(&format!("{zone}.")), None, "names carry no trailing dot");
    }

    #[test]
    fn case_and_one_trailing_dot_do_not_matter(
        zone in zone(),
        upper in proptest::collection::vec(any::<bool>(), 64),
        dot in any::<bool>(),
    ) {
        let mut octets: Vec<u8> = zone
            .bytes()
            .zip(upper.iter().cycle())
            .map(|(octet, up)| if *up { octet.to_ascii_uppercase() } else { octet })
            .collect();
        if dot {
            octets.push(b'.');
        }
        for normalise in [normalise_host, normalise_text] {
            let mut name = String::new();
            normalise(&mut name, &octets);
            prop_assert_eq!(decides(&name), decides(&zone));
            prop_assert!(decides(&name).is_some());
        }
    }

    #[test]
    fn octets_that_must_be_escaped_are_still_within_their_label(
        zone in zone(),
        label in proptest::collection::vec(any::<u8>(), 1..=63),
    ) {
        let mut labels = vec![label];
        labels.extend(zone.split('.').map(|label| label.as_bytes().to_vec()));
        let name = printed(&labels);
        let pattern = decides(&name);
        prop_assert!(pattern.is_some_and(|pattern| pattern.value().len() >= zone.len()), "{name}");
        // The same octets glued to the zone's first label, dot and all, are one other label.
        let mut glued = labels.split_off(1);
        glued[0].splice(0..0, [&*labels[0], b"."].concat());
        let name = printed(&glued);
        if let Some(pattern) = decides(&name) {
            prop_assert!(pattern.value().len() < zone.len(), "{name}: {pattern}");
        }
    }

    #[test]
    fn names_of_255_octets_are_read_to_their_end(zone in zone(), octet in any::<u8>()) {
        let room = 253 - zone.len();
        let mut labels: Vec<Vec<u8>> = Vec::new();
        let mut left = room;
        while left >= 2 {
            let len = 63.min(left - 1);
            labels.push(vec![octet; len]);
            left -= len + 1;
        }
        labels.extend(zone.split('.').map(|label| label.as_bytes().to_vec()));
        let name = printed(&labels);
        prop_assert!(decides(&name).is_some_and(|pattern| pattern.value().len() >= zone.len()));
        // As many labels as a name can have.
        let mut labels = vec![vec![octet]; room / 2];
        labels.extend(zone.split('.').map(|label| label.as_bytes().to_vec()));
        let name = printed(&labels);
        prop_assert!(decides(&name).is_some_and(|pattern| pattern.value().len() >= zone.len()));
    }

    #[test]
    fn the_longest_match_decides_and_an_exclusion_is_a_match(
        head in label(),
        middle in label(),
        zone in "[a-z]{2,8}\\.example",
        exact in any::<bool>(),
    ) {
        let listed = format!("{middle}.{zone}");
        let set = small(if exact { "host" } else { "suffix" }, &listed, &zone);
        let below = format!("{head}.{listed}");
        prop_assert!(hit(&set, &listed).is_some());
        prop_assert_eq!(hit(&set, &below).is_some(), !exact);
        prop_assert!(hit(&set, &zone).is_none());
        let set = small("suffix", &zone, &listed);
        prop_assert!(hit(&set, &zone).is_some());
        prop_assert!(hit(&set, &listed).is_none());
        prop_assert!(hit(&set, &below).is_none());
    }

    #[test]
    fn scripts_are_compared_as_a_labels_and_only_in_files(
        word in select(vec!["bücher", "пример", "例え", "παράδειγμα", "münchen"]),
    ) {
        let set = small("suffix", &format!("{}.example", word.to_uppercase()), "x.example");
        let ascii = idna::domain_to_ascii(word).unwrap();
        let listed = format!("a.{ascii}.example");
        prop_assert!(hit(&set, &listed).is_some());
        // The same letters on the wire, not encoded, are other octets.
        let mut raw = String::new();
        normalise_host(&mut raw, format!("a.{word}.example").as_bytes());
        prop_assert!(hit(&set, &raw).is_none());
    }
}

#[test]
fn look_alikes_in_other_scripts_are_other_names() {
    for text in
        ["k\u{430}spersky.com", "\u{ff4b}aspersky.com", "hu\u{430}wei.com", "tiktok\u{3002}com"]
    {
        let mut name = String::new();
        normalise_host(&mut name, text.as_bytes());
        assert_eq!(decides(&name), None, "{text}");
    }
}

/// A record for each pattern; the kinds as in files.
fn records(patterns: &[(&str, String)]) -> String {
    let mut text = "[vendor]\nid = \"acme\"\nname = \"Acme\"\ncountry = \"XX\"\n\
                    default_enabled = false\ndisabled_reason = \"made up\"\n"
        .to_owned();
    for (number, (kind, value)) in (1_900_001..).zip(patterns) {
        if *kind == "excluded" {
            write!(
                text,
                "[[excluded]]\nmatch = {{ kind = \"suffix\", value = \"{value}\" }}\nreason = \"r\"\n"
            )
            .unwrap();
            continue;
        }
        write!(
            text,
            "[[indicator]]\nid = \"acme.{kind}-{value}\"\nnumber = {number}\n\
             match = {{ kind = \"{kind}\", value = \"{value}\" }}\npurpose = \"update\"\n\
             product = \"Agent\"\nstrength = \"strong\"\nconfounders = [\"none\"]\n\
             evidence = [{{ class = \"C\", title = \"t\", reference = \"r\", \
             retrieved = \"2026-11-21\", says = \"s\" }}]\n\
             first_seen = \"2026-11-21\"\nreview_by = \"2027-05-21\"\n"
        )
        .unwrap();
    }
    text
}

fn short_name() -> impl Strategy<Value = String> {
    "[ab]{1,2}(\\.[ab]){0,3}"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_pack_beside_files_answers_as_files_that_say_the_same(
        filed in proptest::collection::btree_map(short_name(), 0..3_usize, 0..12),
        packed in proptest::collection::btree_set((short_name(), any::<bool>()), 0..24),
        asked in proptest::collection::vec(short_name(), 1..60),
    ) {
        let kinds = ["suffix", "host", "excluded"];
        let mut patterns: Vec<(&str, String)> =
            filed.iter().map(|(name, kind)| (kinds[*kind], name.clone())).collect();
        let lists = [("list", "zones".to_owned()), ("host-list", "hosts".to_owned())];
        let text = records(&[&patterns[..], &lists[..]].concat());
        let mut builder = Builder::default();
        for (name, exact) in &packed {
            builder.add(name, u16::from(*exact)).unwrap();
        }
        let list = |indicator: &str, exact| List { indicator: indicator.into(), exact, names: 0 };
        let manifest = Manifest {
            lists: vec![list("acme.list-zones", false), list("acme.host-list-hosts", true)],
            ..Manifest::default()
        };
        let pack = Pack::read(builder.finish(manifest).unwrap()).unwrap();
        let file = format::parse("acme.toml", &text).unwrap();
        let with_pack = Set::with_packs(vec![file], vec![std::sync::Arc::new(pack)]).unwrap();

        // The same, said in one file; where both speak of a name in one way, the file's word counts.
        for (name, exact) in &packed {
            let kind = if *exact { "host" } else { "suffix" };
            let is_said = patterns.iter().any(|(known, value)| {
                value == name && (*known == kind || *known == "excluded" && kind == "suffix")
            });
            if !is_said {
                patterns.push((kind, name.clone()));
            }
        }
        let file = format::parse("acme.toml", &records(&patterns)).unwrap();
        let alone = Set::build(vec![file]).unwrap();
        for name in asked.iter().chain(filed.keys()).chain(packed.iter().map(|(name, _)| name)) {
            let matched = |set: &Set| set.lookup(name).map(|hit| hit.matched.to_owned());
            prop_assert_eq!(matched(&with_pack), matched(&alone), "{}", name);
        }
    }
}
