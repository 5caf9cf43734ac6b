//! Several workers: what only they show together, and that their number changes nothing.

use proptest::prelude::*;

use super::*;

#[test]
fn a_connection_is_split_when_its_directions_come_to_different_lanes() {
    let mut correlator = Correlator::new(&Limits::default(), 3, set(), Arc::default());
    let mut split = Vec::new();
    let mut hear = |event: Event<'_>| {
        if let Event::Split { source } = event {
            split.push(source);
        }
    };
    let elsewhere = Origin { source: SourceId(1), ..origin(30) };
    let whole = Record::Accepted(Accepted { origin: elsewhere, identity: 8 });
    // One split, and a mirror's copies of it; one whose answer came a little early to the same
    // lane; one that is seen from one side only; one whose client spoke too late.
    for (lane, record) in [
        (1, accepted(10, 7)),
        (2, accepted(11, 7)),
        (0, nameless(20, "203.0.113.7", 7)),
        (2, nameless(21, "203.0.113.7", 7)),
        (0, whole),
        (0, nameless(31, "203.0.113.8", 8)),
        (1, accepted(40, 9)),
        (1, accepted(50, 10)),
        (0, nameless(50 + 31 * SECOND, "203.0.113.9", 10)),
    ] {
        correlator.push(lane, &mut vec![record], &mut hear);
    }
    correlator.finish(&mut hear);
    assert_eq!(split, [SourceId(0)]);
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
            4 => offered(nanos, name, where_to),
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
            let mut batch =
                (0..batches[turn % 120]).filter_map(|_| workers[lane].pop_front()).collect();
            together.push(lane, &mut batch, |event| lines.push(line(&event)));
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
                    together.push(lane, &mut vec![record], |event| lines.push(line(&event)));
                }
            }
        }
        together.finish(|event| lines.push(line(&event)));
        prop_assert_eq!(lines, expected);
        prop_assert_eq!(together.counts(), Counts::default());
        prop_assert!(together.findings().eq(alone.findings()));
    }
}
