//! Names that a connection hides: ECH, and DNS that is encrypted.

use super::*;

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
        offered(3, "outer.example", 7),
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

/// Behind a resolver that asks for others nobody knows which of its clients asked.
#[test]
fn what_another_client_of_a_resolver_asked_for_makes_no_grease() {
    let set = set();
    let mut correlator = correlator(&set, 1);
    let resolver = Network {
        name: "resolvers".into(),
        prefixes: vec!["198.51.100.53/32".parse().unwrap()],
        role: Some(Role::Resolver),
        ..Network::default()
    };
    let networks = Arc::new(Networks::new(&[resolver], &[]).unwrap());
    correlator.configure(Arc::clone(&set), networks, Arc::default());
    let hello = |nanos| {
        Record::Connection(Connection {
            ech: Some(Box::new(ech(9, "outer.example"))),
            ..connection(nanos, SERVER, true, nanos)
        })
    };
    let lines = said(
        &mut correlator,
        [
            answer(&set, 1, "198.51.100.53", "outer.example", SERVER, 60),
            offered(2, "outer.example", 7),
            hello(3),
        ],
    );
    assert_eq!(lines[0], "ech real public_name");
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
