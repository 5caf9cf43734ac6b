use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::signature::labels;

fn list(exact: bool) -> List {
    List { indicator: "test.list".into(), exact, names: 0 }
}

fn manifest(lists: &[bool]) -> Manifest {
    Manifest {
        name: "test".into(),
        version: "1".into(),
        created: "2026-11-21".into(),
        lists: lists.iter().map(|&exact| list(exact)).collect(),
        files: Vec::new(),
    }
}

fn built(lists: &[bool], names: &[(&str, u16)]) -> Vec<u8> {
    let mut builder = Builder::default();
    for (name, list) in names {
        builder.add(name, *list).unwrap();
    }
    builder.finish(manifest(lists)).unwrap()
}

fn pack(lists: &[bool], names: &[(&str, u16)]) -> Pack {
    Pack::read(built(lists, names)).unwrap()
}

fn found(pack: &Pack, name: &str) -> Option<(usize, String)> {
    pack.longest(name).map(|listed| (listed.list, name[listed.start..].to_owned()))
}

#[test]
fn suffixes_match_by_whole_labels_and_the_longest_wins() {
    let pack = pack(&[false, false], &[("example.com", 0), ("a.example.com", 1), ("com", 1)]);
    assert_eq!(found(&pack, "x.example.com"), Some((0, "example.com".into())));
    assert_eq!(found(&pack, "y.a.example.com"), Some((1, "a.example.com".into())));
    assert_eq!(found(&pack, "notexample.com"), Some((1, "com".into())));
    assert_eq!(found(&pack, "a..com"), Some((1, "com".into())));
    assert_eq!(found(&pack, "example.net"), None);
    assert_eq!(found(&pack, ""), None);
}

#[test]
fn a_list_of_hosts_means_these_hosts() {
    let pack = pack(
        &[false, true],
        &[("a.example", 1), ("example", 0), ("both.test", 0), ("both.test", 1)],
    );
    assert_eq!(found(&pack, "a.example"), Some((1, "a.example".into())));
    assert_eq!(found(&pack, "b.a.example"), Some((0, "example".into())));
    assert_eq!(found(&pack, "both.test"), Some((1, "both.test".into())));
    assert_eq!(found(&pack, "x.both.test"), Some((0, "both.test".into())));
}

#[test]
fn nothing_is_a_pack_too() {
    let pack = pack(&[false], &[]);
    assert!(pack.is_empty());
    assert_eq!(found(&pack, "example.com"), None);
}

#[test]
fn the_order_of_the_names_does_not_show() {
    let names = [("a.example", 0), ("b.example", 0), ("c.test", 0), ("a.example", 0)];
    let mut reversed = names;
    reversed.reverse();
    assert_eq!(built(&[false], &names), built(&[false], &reversed));
}

#[test]
fn names_that_a_list_cannot_hold_are_refused_by_the_builder() {
    let mut builder = Builder::default();
    assert!(builder.add("a\\032b.example", 0).is_err());
    assert!(builder.add("A.example", 0).is_err());
    assert!(builder.add(&["a"; 127].join("."), 0).is_ok());
    assert!(builder.add(&"z9-_".repeat(63), 0).is_ok());
    builder.finish(manifest(&[false])).unwrap();
    let mut builder = Builder::default();
    builder.add("a.example", 3).unwrap();
    assert_eq!(builder.finish(manifest(&[false])), Err(BuildError::UnknownList(3)));
}

#[test]
fn a_name_in_a_pack_may_be_as_long_as_names_are() {
    let longest = ["a"; 127].join(".");
    let wide = [&*"z".repeat(63), &*"9".repeat(63), &*"q".repeat(63), &*"x".repeat(61)].join(".");
    let pack = pack(&[false], &[(&longest, 0), (&wide, 0), ("example.com", 0)]);
    assert_eq!(found(&pack, &longest), Some((0, longest.clone())));
    assert_eq!(found(&pack, &wide), Some((0, wide.clone())));
    assert_eq!(found(&pack, &format!("a.{longest}")), Some((0, longest)));
    assert_eq!(found(&pack, &"\\".repeat(1_020)), None);
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let octets = built(&[false], &[("a.example", 0), ("b.example", 0)]);
    for at in 0..octets.len() {
        let mut damaged = octets.clone();
        damaged[at] ^= 0x10;
        assert!(Pack::read(damaged).is_err(), "octet {at}");
        assert!(Pack::read(octets[..at].to_vec()).is_err(), "cut at {at}");
    }
    assert_eq!(
        Pack::read(b"no pack".to_vec()).unwrap_err(),
        PackError::Short { section: "header" }
    );
    assert_eq!(Pack::read(vec![b'#'; 200]).unwrap_err(), PackError::Magic);
}

/// A wrong pack with a right hash: what a forger would write. It is refused or answers, and never
/// panics.
#[test]
fn a_forged_pack_does_no_harm() {
    let octets = built(&[false, false], &[("a.example", 0), ("b.example", 1), ("c.d.test", 1)]);
    let body = &octets[..octets.len() - Pack::HASH_LEN];
    for at in 0..body.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut forged = body.to_vec();
            forged[at] ^= change;
            let digest = Sha256::digest(&forged);
            forged.extend_from_slice(&digest);
            if let Ok(pack) = Pack::read(forged) {
                for name in ["a.example", "x.b.example", "c.d.test", "nothing"] {
                    let _ = pack.longest(name);
                }
                let _ = pack.names().count();
            }
        }
    }
}

#[test]
fn a_signature_is_taken_off_and_covers_all_the_rest() {
    let octets = built(&[false], &[("a.example", 0)]);
    let mut signed = octets.clone();
    append_signature(&mut signed, "untrusted comment: x\nAAAA\n");
    assert_eq!(split_signature(&octets), (&*octets, None));
    assert_eq!(split_signature(&signed), (&*octets, Some("untrusted comment: x\nAAAA\n")));
    assert_eq!(Pack::read(signed).unwrap().digest(), Pack::read(octets).unwrap().digest());
}

fn name() -> impl Strategy<Value = String> {
    "[a-c1-]{1,3}(\\.[a-c_]{1,2}){0,4}"
}

proptest! {
    #[test]
    fn a_pack_answers_as_a_plain_set_does(
        names in proptest::collection::btree_set(name(), 0..60),
        asked in proptest::collection::vec(name(), 1..60),
    ) {
        let given: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), 0)).collect();
        let pack = pack(&[false], &given);
        let kept: BTreeSet<String> = pack.names().map(|(name, _)| name).collect();
        prop_assert_eq!(&kept, &names);
        for name in asked.iter().chain(&names) {
            let parts: Vec<&str> = labels::split(name).collect();
            let want = (0..parts.len())
                .map(|from| parts[from..].join("."))
                .find(|suffix| names.contains(suffix));
            prop_assert_eq!(found(&pack, name).map(|(_, suffix)| suffix), want, "{}", name);
        }
    }
}
