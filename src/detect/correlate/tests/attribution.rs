//! Connections without a name, and what DNS told of their servers.

use super::*;

#[test]
fn a_nameless_connection_is_what_its_client_resolved_while_that_holds() {
    let set = set();
    let told = |nanos| answer(&set, nanos, CLIENT, "upd.acme.test", SERVER, 60);
    let grace = Limits::default().grace.as_secs();
    let last = (60 + grace) * SECOND;
    let lines = said_alone([
        nameless(0, SERVER, 1),
        told(1),
        nameless(60 * SECOND, SERVER, 2),
        nameless(last + 1, SERVER, 3),
        nameless(last + 2, SERVER, 4),
        Record::Connection(connection(last + 3, SERVER, true, 5)),
    ]);
    assert_eq!(
        lines,
        [
            "nameless never resolved",
            "dns_attributed upd.acme.test strong #1 age=59 stale=false names=1 shared=false \
             resolved=by_client first_of_vendor",
            "attributed",
            "dns_attributed upd.acme.test strong #2 age=360 stale=true names=1 shared=false \
             resolved=by_client",
            "attributed",
            "nameless",
            "named",
        ]
    );
}

#[test]
fn an_attribution_is_to_the_client_that_asked_and_nobody_else() {
    let set = set();
    let lines = said_alone([
        answer(&set, 1, "192.0.2.11", "upd.acme.test", SERVER, 60),
        nameless(SECOND, SERVER, 1),
    ]);
    assert_eq!(lines, ["nameless"], "resolved, but by another");
}

#[test]
fn what_a_resolver_was_told_explains_its_clients_less_surely() {
    let set = set();
    let mut correlator = correlator(&set, 1);
    let resolver = Network {
        prefixes: vec!["192.0.2.53/32".parse().unwrap()],
        role: Some(Role::Resolver),
        ..Network::default()
    };
    let networks = Arc::new(Networks::new(&[resolver], &[]).unwrap());
    correlator.configure(Arc::clone(&set), networks, Arc::default());
    let told = |nanos, who| answer(&set, nanos, who, "upd.acme.test", SERVER, 60);
    let lines = said(
        &mut correlator,
        [told(1, "192.0.2.53"), nameless(2, SERVER, 1), told(3, CLIENT), nameless(4, SERVER, 2)],
    );
    assert_eq!(
        lines,
        [
            "dns_attributed upd.acme.test moderate #1 age=0 stale=false names=1 shared=false \
             resolved=elsewhere first_of_vendor",
            "attributed",
            "dns_attributed upd.acme.test strong #1 age=0 stale=false names=1 shared=false \
             resolved=by_client first_of_vendor",
            "attributed",
        ]
    );
}

#[test]
fn a_server_that_unrelated_names_share_is_never_above_weak() {
    let set = set();
    let cases = [
        // Names of one vendor, or below one registrable domain, are related.
        ("b.upd.acme.test", CLIENT, "strong", "names=2 shared=false"),
        ("acme-site.test", CLIENT, "strong", "names=2 shared=false"),
        ("www.unrelated.example", CLIENT, "weak", "names=2 shared=true"),
        ("www.unrelated.example", "192.0.2.99", "weak", "names=1 shared=true"),
    ];
    for (other, who, strength, words) in cases {
        let lines = said_alone([
            answer(&set, 1, who, other, SERVER, 60),
            answer(&set, 2, CLIENT, "upd.acme.test", SERVER, 60),
            nameless(SECOND, SERVER, 1),
        ]);
        let expected =
            format!("dns_attributed upd.acme.test {strength} #1 age=0 stale=false {words}");
        assert!(lines[0].starts_with(&expected), "{other}: {lines:?}");
    }
}

#[test]
fn the_listed_name_is_found_behind_a_later_one() {
    let set = set();
    let lines = said_alone([
        answer(&set, 1, CLIENT, "upd.acme.test", SERVER, 60),
        answer(&set, 2, CLIENT, "later.example", SERVER, 60),
        nameless(SECOND, SERVER, 1),
    ]);
    assert!(lines[0].starts_with("dns_attributed upd.acme.test weak"), "{lines:?}");
}

#[test]
fn an_address_alone_is_at_most_moderate_and_yields_to_a_name() {
    let set = set();
    let own = "198.51.100.7";
    let lines = said_alone([
        nameless(1, own, 1),
        answer(&set, 2 * SECOND, CLIENT, "cdn.example", own, 60),
        nameless(3 * SECOND, own, 2),
        answer(&set, 4 * SECOND, CLIENT, "upd.acme.test", own, 60),
        Record::Connection(connection(5 * SECOND, own, true, 3)),
    ]);
    assert_eq!(
        lines,
        [
            "ip_prefix 198.51.100.7 moderate #1 resolved=never first_of_vendor",
            "nameless never resolved",
            "ip_prefix 198.51.100.7 moderate #2 resolved=by_client",
            "attributed",
            "named",
        ]
    );
}

#[test]
fn a_shown_name_agrees_with_an_answer_or_stands_alone() {
    let set = set();
    let hello = |nanos| detection(&set, nanos, Signal::TlsSni, "upd.acme.test", nanos);
    let lines = said_alone([
        hello(1),
        answer(&set, 2, "192.0.2.77", "upd.acme.test", SERVER, 60),
        hello(3),
        answer(&set, 4, CLIENT, "upd.acme.test", SERVER, 60),
        hello(5),
    ]);
    let resolved: Vec<_> =
        lines.iter().map(|line| line.split("resolved=").nth(1).unwrap()).collect();
    assert_eq!(resolved, ["never first_of_vendor", "elsewhere", "by_client"]);
}

#[test]
fn attributed_servers_are_published_when_they_change() {
    let set = set();
    let mut correlator = correlator(&set, 1);
    assert!(correlator.take_attributed().is_none());
    let told = answer(&set, 1, CLIENT, "upd.acme.test", SERVER, 60);
    said(&mut correlator, [told, nameless(2, SERVER, 1), nameless(3, SERVER, 2)]);
    let published = correlator.take_attributed().unwrap();
    assert_eq!(published.len(), 1);
    let vendor = published.vendor(TenantId::NONE, addr(CLIENT), addr(SERVER));
    assert_eq!(vendor.map(|vendor| &**vendor), Some("acme"));
    let (pair, server) = published.pairs().next().unwrap();
    assert_eq!((pair.client, pair.origin, server), (client(CLIENT), origin(3), addr(SERVER)));
    assert!(correlator.take_attributed().is_none(), "nothing changed");
    correlator.advance(0, Timestamp::from_nanos(7 * 3_600 * SECOND), |_| {});
    assert!(correlator.take_attributed().unwrap().is_empty(), "not used for hours");
}

#[test]
fn attributed_servers_stay_published_when_the_clock_is_set_back_by_hours() {
    let (set, hour) = (set(), 3_600 * SECOND);
    let mut correlator = correlator(&set, 1);
    let told = |nanos| answer(&set, nanos, CLIENT, "upd.acme.test", SERVER, 60);
    said(&mut correlator, [told(20 * hour), nameless(20 * hour + 1, SERVER, 1)]);
    assert_eq!(correlator.take_attributed().unwrap().len(), 1);
    correlator.set_back(0);
    let other = "203.0.113.6";
    let told_anew = answer(&set, 10 * hour, CLIENT, "upd.acme.test", other, 60);
    said(&mut correlator, [told_anew, nameless(10 * hour + 1, other, 2)]);
    assert_eq!(correlator.take_attributed().unwrap().len(), 2);
    correlator.advance(0, Timestamp::from_nanos(15 * hour), |_| {});
    assert!(correlator.take_attributed().is_none(), "nothing changed");
    correlator.advance(0, Timestamp::from_nanos(17 * hour), |_| {});
    assert!(correlator.take_attributed().unwrap().is_empty(), "not used for hours");
}
