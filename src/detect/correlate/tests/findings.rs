//! Findings: what is new, told before, a copy, or expected.

use super::*;

#[test]
fn findings_are_new_once_and_spoken_of_again_after_a_while() {
    let set = set();
    let mut correlator = correlator(&set, 1);
    let hour = 3_600 * SECOND;
    let query = |nanos, name| detection(&set, nanos, Signal::DnsQuery, name, nanos);
    let lines = said(
        &mut correlator,
        [
            query(1, "a.upd.acme.test"),
            query(10 * SECOND, "b.upd.acme.test"),
            query(20 * SECOND, "acme-site.test"),
            detection(&set, 30 * SECOND, Signal::TlsSni, "b.upd.acme.test", 7),
            query(30 * SECOND + hour, "b.upd.acme.test"),
            query(31 * SECOND + hour, "b.upd.acme.test"),
        ],
    );
    assert_eq!(
        lines,
        [
            "dns_query a.upd.acme.test strong #1 first_of_vendor",
            "dns_query b.upd.acme.test strong #2",
            "dns_query acme-site.test weak #1 first_of_vendor",
            "tls_sni b.upd.acme.test strong #3 resolved=never new_evidence",
            "dns_query b.upd.acme.test strong #4",
            "dns_query b.upd.acme.test strong #5 repeat",
        ]
    );
    let vendors: Vec<_> = correlator.vendors().map(|(key, seen)| (key.1, seen.first)).collect();
    assert_eq!(
        vendors,
        [
            (Strength::Weak, Timestamp::from_nanos(20 * SECOND)),
            (Strength::Strong, Timestamp::from_nanos(1)),
        ]
    );
    let since = Timestamp::from_nanos(21 * SECOND);
    assert_eq!(correlator.clients(since).values().sum::<u64>(), 1, "the weak one is past");
}

#[test]
fn findings_are_spoken_of_again_when_the_clock_was_set_back() {
    let set = set();
    let (mut correlator, hour) = (correlator(&set, 1), 3_600 * SECOND);
    let query = |nanos| detection(&set, nanos, Signal::DnsQuery, "a.upd.acme.test", nanos);
    said(&mut correlator, [query(20 * hour)]);
    correlator.set_back(0);
    let lines = said(&mut correlator, [query(10 * hour), query(10 * hour + 9 * SECOND)]);
    let strong = "dns_query a.upd.acme.test strong";
    assert_eq!(lines, [format!("{strong} #2 repeat"), format!("{strong} #3")]);
}

#[test]
fn what_an_earlier_run_knew_is_not_new() {
    let set = set();
    let mut first = correlator(&set, 1);
    first.keep_changes();
    said(&mut first, [detection(&set, 1, Signal::DnsQuery, "a.upd.acme.test", 1)]);
    let findings: Vec<Finding> = first.findings().cloned().collect();
    assert_eq!(first.take_changes(), findings);
    assert!(first.take_changes().is_empty());

    let again = |nanos| detection(&set, nanos, Signal::DnsQuery, "a.upd.acme.test", nanos);
    let mut second = correlator(&set, 1);
    second.restore(findings, []);
    second.keep_changes();
    let lines = said(&mut second, [again(9 * SECOND)]);
    assert_eq!(lines, ["dns_query a.upd.acme.test strong #2"]);
    let changes = second.take_changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].count, 1, "the difference only");

    // The finding itself may be gone, by the caps or the retention; the vendor was still seen.
    let vendors: Vec<_> = first.vendors().map(|(key, seen)| (key.clone(), seen)).collect();
    let mut third = correlator(&set, 1);
    third.restore(Vec::new(), vendors);
    let lines = said(&mut third, [again(9 * SECOND)]);
    assert_eq!(lines, ["dns_query a.upd.acme.test strong #1 new_finding"]);
}

#[test]
fn copies_from_other_mirrors_are_copies_and_count_once() {
    let set = set();
    let copy = |nanos, source| {
        let mut record = detection(&set, nanos, Signal::TlsSni, "upd.acme.test", 7);
        if let Record::Detection(detection) = &mut record {
            detection.origin.source = SourceId(source);
            detection.client.vlan = Some(source);
        }
        record
    };
    let lines = said_alone([
        copy(1, 0),
        copy(2, 1),
        copy(SECOND, 2),
        copy(SECOND + 1, 3),
        detection(&set, 5 * SECOND, Signal::DnsQuery, "upd.acme.test", 9),
        detection(&set, 5 * SECOND + 1, Signal::DnsAnswer, "upd.acme.test", 9),
    ]);
    assert_eq!(
        lines,
        [
            "tls_sni upd.acme.test strong #1 resolved=never first_of_vendor",
            "copy 1",
            "copy 2",
            "tls_sni upd.acme.test strong #2 resolved=never",
            "dns_query upd.acme.test strong #3 new_evidence",
        ]
    );
}

#[test]
fn exceptions_and_roles_are_said_and_change_no_count() {
    let set = set();
    let mut correlator = correlator(&set, 1);
    let networks = Network {
        name: "lab".into(),
        prefixes: vec!["192.0.2.0/24".parse().unwrap()],
        role: Some(Role::Proxy),
        ..Network::default()
    };
    let exception = Exception {
        vendor: "acme".into(),
        place: Place::Network("lab".into()),
        until: Timestamp::from_nanos(100),
        reason: "trial".into(),
    };
    correlator.configure(
        Arc::clone(&set),
        Arc::new(Networks::new(&[networks], &[]).unwrap()),
        Arc::new(Exceptions::new(vec![exception])),
    );
    let query = |nanos| detection(&set, nanos, Signal::DnsQuery, "upd.acme.test", nanos);
    assert_eq!(
        said(&mut correlator, [query(99), query(100)]),
        [
            "dns_query upd.acme.test strong #1 first_of_vendor proxy expected: trial",
            "dns_query upd.acme.test strong #2 proxy",
        ]
    );
    assert_eq!(&*correlator.findings().next().unwrap().key.network, "lab");
}

#[test]
fn what_may_be_alerted_is_what_no_exception_covered_when_it_began() {
    let set = set();
    let mut correlator = correlator(&set, 1);
    let from = |who: &str, nanos: u64| {
        let mut record = detection(&set, nanos, Signal::DnsQuery, "upd.acme.test", nanos);
        if let Record::Detection(detection) = &mut record {
            detection.client = client(who);
        }
        record
    };
    let exception = |prefix: &str, until| Exception {
        vendor: "acme".into(),
        place: Place::Prefix(prefix.parse().unwrap()),
        until: Timestamp::from_nanos(until),
        reason: "trial".into(),
    };
    let unexcepted = |correlator: &Correlator| {
        let seen = correlator.vendors_unexcepted();
        let nanos = |at: Timestamp| at.as_nanos();
        seen.values().next().map(|seen| (seen.first.map(nanos), nanos(seen.last)))
    };
    let configure = |correlator: &mut Correlator, exceptions| {
        let networks = Arc::new(Networks::default());
        correlator.configure(Arc::clone(&set), networks, Arc::new(Exceptions::new(exceptions)));
    };
    configure(&mut correlator, vec![exception("192.0.2.0/28", 100)]);
    said(&mut correlator, [from("192.0.2.1", 10)]);
    assert_eq!(unexcepted(&correlator), None, "covered");
    assert_eq!(correlator.vendors().count(), 1, "and seen all the same");
    said(&mut correlator, [from("192.0.2.99", 20), from("192.0.2.99", 30)]);
    assert_eq!(unexcepted(&correlator), Some((Some(20), 30)), "a neighbour is news");
    // The day has passed: the alert about that is the exception's own, this one is no news.
    said(&mut correlator, [from("192.0.2.1", 150)]);
    assert_eq!(unexcepted(&correlator), Some((Some(20), 150)));
    configure(&mut correlator, vec![exception("192.0.2.0/24", 1_000)]);
    assert_eq!(unexcepted(&correlator), None, "a new exception covers what was seen before");
    configure(&mut correlator, Vec::new());
    assert_eq!(unexcepted(&correlator), Some((Some(10), 150)));
}

/// As after a start with an inventory whose findings were removed: only first and last are known.
#[test]
fn an_exception_elsewhere_hides_nothing_of_what_was_seen_of_removed_findings() {
    let set = set();
    let mut correlator = correlator(&set, 1);
    let (first, last) = (Timestamp::from_nanos(10), Timestamp::from_nanos(50));
    let key = ("acme".into(), Strength::Strong, "other".into());
    correlator.restore(Vec::new(), [(key, Seen { first, last })]);
    let unexcepted = |correlator: &mut Correlator, place: Place, until| {
        let exception = Exception {
            vendor: "acme".into(),
            place,
            until: Timestamp::from_nanos(until),
            reason: "trial".into(),
        };
        let exceptions = Arc::new(Exceptions::new(vec![exception]));
        correlator.configure(Arc::clone(&set), Arc::new(Networks::default()), exceptions);
        let seen = correlator.vendors_unexcepted();
        let nanos = |at: Timestamp| at.as_nanos();
        seen.values().next().map(|seen| (seen.first.map(nanos), nanos(seen.last)))
    };
    let prefix = || Place::Prefix("203.0.113.0/24".parse().unwrap());
    let network = |name: &str| Place::Network(name.into());
    let all = Some((Some(10), 50));
    assert_eq!(unexcepted(&mut correlator, prefix(), 100), all, "whose it was is not known");
    assert_eq!(unexcepted(&mut correlator, network("lab"), 100), all);
    assert_eq!(unexcepted(&mut correlator, network("other"), 100), None);
    assert_eq!(unexcepted(&mut correlator, network("other"), 30), Some((None, 50)));
    // A finding in memory explains what it spans, and covers nothing else.
    let record = detection(&set, 70, Signal::DnsQuery, "upd.acme.test", 70);
    said(&mut correlator, [record]);
    assert_eq!(unexcepted(&mut correlator, prefix(), 100), Some((Some(10), 70)));
}

#[test]
fn a_connection_that_is_given_up_half_a_minute_late_is_the_one_that_was_counted() {
    let again = |seconds| nameless(SECOND * seconds, SERVER, 7);
    assert_eq!(
        said_alone([
            nameless(0, SERVER, 7),
            again(10),
            again(31),
            nameless(SECOND * 32, SERVER, 8)
        ]),
        ["nameless never resolved", "copy 0", "copy 0", "nameless never resolved"]
    );
    assert_eq!(said_alone([nameless(0, SERVER, 7), again(60)]), ["nameless never resolved"; 2]);
}
