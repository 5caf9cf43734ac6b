use core::fmt::Write;
use core::hash::BuildHasher;
use core::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::detect::{EchOffered, Exception, Network, Relation, exception::Place};
use crate::frame::SourceId;
use crate::net::{Addr, Endpoint, IpProtocol, TenantId};
use crate::signature::format;
use crate::signature::resolvers::Resolvers;

/// Indicators: what they match, by kind and value, their purpose and strength.
type Lines = [(&'static str, &'static str, &'static str, &'static str)];

const ACME: &Lines = &[
    ("suffix", "upd.acme.test", "update", "strong"),
    ("suffix", "acme-site.test", "website", "weak"),
    ("prefix", "198.51.100.0/24", "cloud", "moderate"),
];

const RESOLVERS: &str = r#"
[[resolver]]
name = "dns.test"
operator = "T"
below = true
kinds = ["doh"]
addresses = ["9.9.9.9"]
evidence = ["https://dns.test/help"]
retrieved = "2026-11-21"
"#;

fn set_of(vendor: &str, lines: &Lines) -> Arc<Set> {
    let mut text = format!(
        "[vendor]\nid = '{vendor}'\nname = 'V'\ncountry = 'CN'\naffiliates = []\n\
         default_enabled = true\n"
    );
    for (number, (kind, value, purpose, strength)) in (1_000_001..).zip(lines) {
        let _ = write!(
            text,
            "[[indicator]]\nid = '{vendor}.{purpose}.n{number}'\nnumber = {number}\n\
             match = {{ kind = '{kind}', value = '{value}' }}\npurpose = '{purpose}'\n\
             product = 'agent'\nstrength = '{strength}'\nfirst_seen = '2026-11-21'\n\
             review_by = '2027-05-21'\nevidence = [{{ class = 'A', title = 't', \
             reference = 'r', retrieved = '2026-11-21', says = 's' }}]\n"
        );
    }
    let file = format::parse("test.toml", &text).unwrap();
    Arc::new(Set::build(vec![file]).unwrap())
}

fn set() -> Arc<Set> {
    set_of("acme", ACME)
}

const SECOND: u64 = 1_000_000_000;

const CLIENT: &str = "192.0.2.10";
const SERVER: &str = "203.0.113.5";

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

fn origin(nanos: u64) -> Origin {
    Origin { at: Timestamp::from_nanos(nanos), source: SourceId(0), number: nanos }
}

fn client(text: &str) -> Client {
    Client { addr: addr(text), ..Client::default() }
}

fn detection(set: &Set, nanos: u64, signal: Signal, name: &str, identity: u64) -> Record {
    let client = client(CLIENT);
    Record::Detection(Box::new(Detection {
        origin: origin(nanos),
        signal,
        name: name.into(),
        name_id: id(name),
        indicator: Arc::clone(set.lookup(name).unwrap().indicator),
        client,
        path: Path {
            source: Endpoint { addr: client.addr, port: 50_000 },
            destination: Endpoint { addr: addr(SERVER), port: 443 },
            protocol: IpProtocol::TCP,
            tenant: TenantId::NONE,
        },
        identity,
        ech: None,
    }))
}

fn resolvers() -> Resolvers {
    Resolvers::parse("resolvers", RESOLVERS).unwrap()
}

fn id(name: &str) -> NameId {
    NameId(foldhash::fast::FixedState::default().hash_one(name))
}

fn answer(set: &Set, nanos: u64, who: &str, name: &str, address: &str, ttl: u32) -> Record {
    let indicator = set.lookup(name).map(|hit| hit.indicator);
    let listed =
        indicator.map(|indicator| Listed { name: name.into(), indicator: Arc::clone(indicator) });
    Record::Answer(Answer {
        origin: origin(nanos),
        tenant: TenantId::NONE,
        client: addr(who),
        address: addr(address),
        name: id(name),
        relation: Relation::of(name, indicator.map(AsRef::as_ref)),
        ttl,
        over_https: Resolvers::over_https(resolvers().by_name(name)),
        listed: listed.map(Box::new),
    })
}

fn connection(nanos: u64, server: &str, named: bool, identity: u64) -> Connection {
    Connection {
        origin: origin(nanos),
        client: client(CLIENT),
        server: Endpoint { addr: addr(server), port: 443 },
        client_port: 50_000,
        protocol: IpProtocol::TCP,
        named,
        encrypted_dns: None,
        identity,
        ech: None,
    }
}

fn nameless(nanos: u64, server: &str, identity: u64) -> Record {
    Record::Connection(connection(nanos, server, false, identity))
}

fn ech(config_id: u8, outer_name: &str) -> EchHello {
    EchHello {
        outer_name: outer_name.into(),
        outer_id: id(outer_name),
        config_id,
        kdf_id: 1,
        aead_id: 1,
        enc_len: 32,
        payload_len: 208,
    }
}

/// An event as one line.
fn line(event: &Event<'_>) -> String {
    match event {
        Event::Detected(detected) => {
            let Detected { detection, strength, finding, attribution, resolved, .. } = detected;
            let mut line = format!(
                "{} {} {} #{}",
                detection.signal.label(),
                detection.name,
                strength.label(),
                finding.count
            );
            for word in [
                attribution.map(|a| {
                    let age = a.age.as_secs();
                    format!("age={age} stale={} names={} shared={}", a.stale, a.names, a.shared)
                }),
                resolved.map(|resolved| format!("resolved={}", resolved.label())),
                detected.ech.map(|(verdict, _)| format!("ech={}", verdict.label())),
                detected.notice.map(|notice| notice.label().to_owned()),
                detected.role.map(|role| role.label().to_owned()),
                detected.exception.map(|exception| format!("expected: {}", exception.reason)),
            ]
            .into_iter()
            .flatten()
            {
                line.push(' ');
                line.push_str(&word);
            }
            line
        }
        Event::Connection { outcome, never_resolved, .. } => {
            let unseen = if *never_resolved { " never resolved" } else { "" };
            format!("{}{unseen}", outcome.label())
        }
        Event::EncryptedDns { kind, .. } => kind.label().to_owned(),
        Event::Ech { verdict, rule, .. } => format!("ech {} {}", verdict.label(), rule.label()),
        Event::Copy { source } => format!("copy {}", source.0),
        Event::Volume { vendor, sent, received, .. } => format!("{vendor} {sent} {received}"),
        Event::Split { source } => format!("split {}", source.0),
    }
}

fn correlator(set: &Arc<Set>, lanes: usize) -> Correlator {
    Correlator::new(&Limits::default(), lanes, Arc::clone(set), Arc::default())
}

fn said(correlator: &mut Correlator, records: impl IntoIterator<Item = Record>) -> Vec<String> {
    let mut lines = Vec::new();
    for record in records {
        let at = record.origin().at;
        correlator.push(0, record, |event| lines.push(line(&event)));
        let next = Timestamp::from_nanos(at.as_nanos() + 1);
        correlator.advance(0, next, |event| lines.push(line(&event)));
    }
    lines
}

fn said_alone(records: impl IntoIterator<Item = Record>) -> Vec<String> {
    said(&mut correlator(&set(), 1), records)
}

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
fn real_ech_hides_the_name_and_grease_shows_it() {
    let set = set();
    let with = |nanos, config_id, outer: &str| {
        Record::Connection(Connection {
            ech: Some(Box::new(ech(config_id, outer))),
            ..connection(nanos, SERVER, true, nanos)
        })
    };
    let lines = said_alone([
        answer(&set, 1, CLIENT, "upd.acme.test", SERVER, 60),
        with(2, 7, "outer.example"),
        Record::EchOffered(Box::new(EchOffered {
            origin: origin(3),
            tenant: TenantId::NONE,
            client: addr(CLIENT),
            name: "upd.acme.test".into(),
            public_name: "outer.example".into(),
            config_id: 7,
            ttl: 60,
        })),
        with(4, 7, "outer.example"),
        with(5, 9, "upd.acme.test"),
    ]);
    assert_eq!(
        lines,
        [
            "ech unknown none",
            "named",
            "ech real offered",
            "dns_attributed upd.acme.test strong #1 age=0 stale=false names=1 shared=false \
             resolved=by_client ech=real first_of_vendor",
            "attributed",
            "ech grease resolved",
            "named",
        ]
    );
}

#[test]
fn resolvers_are_known_by_what_the_worker_read_by_address_and_by_what_was_resolved() {
    let set = set();
    let mut correlator = correlator(&set, 1);
    correlator.set_resolvers(Arc::new(resolvers()));
    let lines = said(
        &mut correlator,
        [
            Record::Connection(Connection {
                encrypted_dns: Some(EncryptedDns::Dot),
                ..connection(1, SERVER, true, 1)
            }),
            nameless(2, "9.9.9.9", 2),
            answer(&set, 3, CLIENT, "eu.dns.test", SERVER, 60),
            nameless(4, SERVER, 3),
            Record::Connection(connection(5, SERVER, true, 4)),
        ],
    );
    assert_eq!(
        lines,
        ["dot", "named", "doh", "nameless never resolved", "doh", "attributed", "named"]
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
    assert!(correlator.take_attributed().is_none(), "nothing changed");
    correlator.advance(0, Timestamp::from_nanos(7 * 3_600 * SECOND), |_| {});
    assert!(correlator.take_attributed().unwrap().is_empty(), "not used for hours");
}

#[test]
fn a_connection_is_split_when_its_directions_come_to_different_lanes() {
    let mut correlator = Correlator::new(&Limits::default(), 3, set(), Arc::default());
    let accepted = |nanos, identity| Record::Accepted(Accepted { origin: origin(nanos), identity });
    let mut split = Vec::new();
    let mut hear = |event: Event<'_>| {
        if let Event::Split { source } = event {
            split.push(source);
        }
    };
    // One split, and a mirror's copies of it; one whose answer came a little early to the same
    // lane; one that is seen from one side only; one whose client spoke too late.
    for (lane, record) in [
        (1, accepted(10, 7)),
        (2, accepted(11, 7)),
        (0, nameless(20, "203.0.113.7", 7)),
        (2, nameless(21, "203.0.113.7", 7)),
        (0, accepted(30, 8)),
        (0, nameless(31, "203.0.113.8", 8)),
        (1, accepted(40, 9)),
        (1, accepted(50, 10)),
        (0, nameless(50 + 31 * SECOND, "203.0.113.9", 10)),
    ] {
        correlator.push(lane, record, &mut hear);
    }
    correlator.finish(&mut hear);
    assert_eq!(split, [SourceId(0)]);
}

#[test]
fn every_table_stays_within_its_limit_and_counts_what_it_gives_up() {
    let set = set();
    let limits = Limits {
        records: 50,
        identities: 60,
        answers: 20_000,
        addresses: 70,
        listed: 10,
        offers: 10,
        attributed: 20,
        findings: 30,
        ..Limits::default()
    };
    let mut correlator = Correlator::new(&limits, 1, Arc::clone(&set), Arc::default());
    correlator.keep_changes();
    let mut events = 0;
    for n in 0..2_000_u64 {
        let who = Addr::from_bits(u128::from(n));
        let own = |record: Record| match record {
            Record::Detection(mut detection) => {
                detection.client.addr = who;
                detection.path.source.addr = who;
                Record::Detection(detection)
            }
            Record::Answer(answer) => Record::Answer(Answer { client: who, ..answer }),
            Record::Connection(mut connection) => {
                connection.client.addr = who;
                Record::Connection(connection)
            }
            other => other,
        };
        let server = format!("203.0.{}.{}", n / 256, n % 256);
        let mut name = format!("{n}.upd.acme.test");
        name.insert_str(0, &"x".repeat(usize::try_from(n % 180).unwrap()));
        for record in [
            answer(&set, n, CLIENT, &name, &server, 60),
            nameless(n, &server, n),
            Record::Accepted(Accepted { origin: origin(n), identity: n + 1_000_000 }),
            detection(&set, n, Signal::DnsQuery, &name, n),
            Record::EchOffered(Box::new(EchOffered {
                origin: origin(n),
                tenant: TenantId::NONE,
                client: who,
                name: name.as_str().into(),
                public_name: name.as_str().into(),
                config_id: 1,
                ttl: 60,
            })),
        ] {
            correlator.push(0, own(record), |_| events += 1);
        }
        for table in correlator.tables() {
            let limit = match table.table {
                "correlator_records" => limits.records,
                "correlator_identities" | "correlator_accepted" => limits.identities,
                "correlator_addresses" => limits.addresses,
                "correlator_ech_offers" => limits.offers,
                "correlator_attributed" => limits.attributed,
                "findings" => limits.findings,
                _ => usize::MAX,
            };
            assert!(table.entries <= limit, "{table:?}");
            if table.table == "correlator_answers" {
                assert!(table.bytes <= limits.answers, "{table:?}");
            }
        }
    }
    assert!(events > 5_000, "{events}");
    for table in correlator.tables() {
        assert!(table.evicted > 0, "{table:?}");
    }
    assert!(correlator.take_changes().len() <= 2 * limits.findings);
    assert!(correlator.counts().changes_lost > 0);
}

/// What a law's case is made of: when, and what.
fn step() -> impl Strategy<Value = (u64, u8, u8, u8)> {
    (0_u64..12 * SECOND, 0_u8..6, 0_u8..4, 0_u8..3)
}

/// Records in the order of their frames.
fn records(set: &Set, mut steps: Vec<(u64, u8, u8, u8)>) -> Vec<Record> {
    steps.sort_unstable();
    let names = ["a.upd.acme.test", "b.upd.acme.test", "acme-site.test", "other.example"];
    let servers = [SERVER, "198.51.100.7", "203.0.113.6"];
    let mut records = Vec::new();
    for (number, (nanos, kind, which, where_to)) in (0_u64..).zip(steps) {
        let (name, server) = (names[usize::from(which)], servers[usize::from(where_to)]);
        let identity = u64::from(which);
        let mut record = match kind {
            0 if which < 3 => detection(set, nanos, Signal::DnsQuery, name, identity),
            1 if which < 3 => detection(set, nanos, Signal::TlsSni, name, identity),
            2 => nameless(nanos, server, number),
            3 => Record::Connection(Connection {
                ech: Some(Box::new(ech(which, name))),
                ..connection(nanos, server, true, identity)
            }),
            4 => Record::EchOffered(Box::new(EchOffered {
                origin: origin(nanos),
                tenant: TenantId::NONE,
                client: addr(CLIENT),
                name: "inner.example".into(),
                public_name: name.into(),
                config_id: where_to,
                ttl: 60,
            })),
            _ => answer(set, nanos, CLIENT, name, server, u32::from(which)),
        };
        match &mut record {
            Record::Detection(detection) => detection.origin.number = number,
            Record::Answer(answer) => answer.origin.number = number,
            Record::Connection(connection) => connection.origin.number = number,
            Record::EchOffered(offered) => offered.origin.number = number,
            Record::Volume(volume) => volume.origin.number = number,
            Record::Accepted(accepted) => accepted.origin.number = number,
        }
        records.push(record);
    }
    records
}

proptest! {
    #[test]
    fn however_many_workers_bring_the_records_the_events_are_the_same(
        steps in proptest::collection::vec(step(), 1..120),
        lanes in 1_usize..5,
        spread in proptest::collection::vec(any::<u8>(), 120),
        batches in proptest::collection::vec(1_usize..20, 120),
    ) {
        let set = set();
        let mut alone = correlator(&set, 1);
        let mut expected = said(&mut alone, records(&set, steps.clone()));
        alone.finish(|event| expected.push(line(&event)));

        // Each worker gets some of the frames, and hands its records over in batches; whose turn
        // it is, is up to chance.
        let mut workers: Vec<std::collections::VecDeque<Record>> =
            (0..lanes).map(|_| std::collections::VecDeque::new()).collect();
        for (record, worker) in records(&set, steps).into_iter().zip(&spread) {
            workers[usize::from(*worker) % lanes].push_back(record);
        }
        let mut together = correlator(&set, lanes);
        let mut lines = Vec::new();
        let mut turn = 0;
        while workers.iter().any(|worker| !worker.is_empty()) {
            let lane = usize::from(spread[turn % 120]) % lanes;
            for record in (0..batches[turn % 120]).filter_map(|_| workers[lane].pop_front()) {
                together.push(lane, record, |event| lines.push(line(&event)));
            }
            let next = workers[lane].front().map(|record| record.origin().at);
            let promise = next.unwrap_or(Timestamp::from_nanos(u64::MAX));
            together.advance(lane, promise, |event| lines.push(line(&event)));
            turn += 1;
            if turn > 100_000 {
                break;
            }
            // A lane that chance forgets gets its turn.
            if turn % 7 == 0 {
                let lane = turn / 7 % lanes;
                if let Some(record) = workers[lane].pop_front() {
                    together.push(lane, record, |event| lines.push(line(&event)));
                }
            }
        }
        together.finish(|event| lines.push(line(&event)));
        prop_assert_eq!(lines, expected);
        prop_assert_eq!(together.counts(), Counts::default());
        prop_assert!(together.findings().eq(alone.findings()));
    }
}
