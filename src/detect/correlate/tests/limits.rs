//! Tables that are full.

use super::*;

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
        let own = |mut record: Record| {
            match &mut record {
                Record::Detection(detection) => {
                    detection.client.addr = who;
                    detection.path.source.addr = who;
                }
                Record::Answer(answer) => answer.client = who,
                Record::Connection(connection) => connection.client.addr = who,
                Record::EchOffered(_) | Record::Volume(_) | Record::Accepted(_) => {}
            }
            record
        };
        let server = format!("203.0.{}.{}", n / 256, n % 256);
        let mut name = format!("{n}.upd.acme.test");
        name.insert_str(0, &"x".repeat(usize::try_from(n % 180).unwrap()));
        for record in [
            answer(&set, n, CLIENT, &name, &server, 60),
            nameless(n, &server, n),
            accepted(n, n + 1_000_000),
            detection(&set, n, Signal::DnsQuery, &name, n),
            offered(n, &name, 1),
        ] {
            correlator.push(0, &mut vec![own(record)], |_| events += 1);
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
