//! What an ordinary packet costs in allocations: none. What a name costs: a few.

use std::sync::Arc;

use vendorwatch::detect::Record;
use vendorwatch::pipeline::{Pipeline, Sink};
use vendorwatch::signature::Set;
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::Ledger;

use crate::support::counting::allocations;
use crate::support::talk::{ACK, Ends, FIN, SYN, client_hello, dns, server_hello};
use crate::support::wire::captured;

/// Takes records and drops them.
struct Nobody;

impl Sink for Nobody {
    fn wants_sightings(&self) -> bool {
        false
    }

    fn record(&mut self, _record: Record) {}
}

struct Run {
    pipeline: Pipeline,
    at: Timestamp,
}

impl Run {
    fn new() -> Self {
        let pipeline = Pipeline::new(Arc::<Set>::default(), Arc::<Ledger>::default());
        Self { pipeline, at: Timestamp::from_parts(1_700_000_000, 0) }
    }

    /// The allocations that these frames cost, a microsecond apart.
    fn cost(&mut self, frames: &[Vec<u8>]) -> u64 {
        let before = allocations();
        for data in frames {
            self.at = Timestamp::from_nanos(self.at.as_nanos() + 1_000);
            self.pipeline.frame(&captured(data, self.at, 1), &mut Nobody);
        }
        allocations() - before
    }
}

fn ports() -> impl Iterator<Item = u16> {
    20_000..20_400
}

/// A connection from SYN to FIN.
fn connection(ends: Ends, random: u8, filler: usize, segment: usize) -> Vec<Vec<u8>> {
    let mut frames = vec![ends.tcp(99, 0, SYN, &[]), ends.reversed().tcp(7, 100, SYN | ACK, &[])];
    let hello = client_hello(Some("www.example.com"), random, filler, 1 << 14);
    let mut sequence = 100;
    for part in hello.chunks(segment) {
        frames.push(ends.tcp(sequence, 8, ACK, part));
        sequence += u32::try_from(part.len()).unwrap();
    }
    frames.push(ends.reversed().tcp(8, sequence, ACK, &server_hello(random)));
    frames
}

fn ordinary() -> Vec<Vec<u8>> {
    ports()
        .flat_map(|port| {
            let (v4, v6) = (Ends::v4(port, 443), Ends::v6(port, 443));
            let bulk = [0x17, 3, 3, 4, 0].repeat(200);
            [
                v4.reversed().tcp(5_000, 900, ACK, &bulk),
                v4.tcp(900, 6_000, ACK, &[]),
                v6.reversed().tcp(5_000, 900, ACK, &bulk),
                v6.tcp(900, 6_000, ACK, b"anything that begins nothing known"),
                v4.tcp(900, 6_000, ACK | FIN, &[]),
                v4.udp(&[0x40; 1_200]),
                v6.udp(&[0x5a; 60]),
                Ends::v4(port, 5_004).udp(&[0x80, 96, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]),
            ]
        })
        .collect()
}

#[test]
fn an_ordinary_packet_allocates_nothing() {
    let mut run = Run::new();
    for port in ports() {
        run.cost(&connection(Ends::v4(port, 443), 1, 0, 2_000));
    }
    let frames = ordinary();
    run.cost(&frames);
    assert_eq!(run.cost(&frames), 0);
}

#[test]
fn a_name_costs_a_few_allocations_and_a_known_question_none() {
    let mut run = Run::new();
    let warm: Vec<_> =
        ports().flat_map(|port| connection(Ends::v4(port, 443), 1, 0, 2_000)).collect();
    run.cost(&warm);
    let whole = connection(Ends::v4(30_001, 443), 2, 0, 2_000);
    assert_eq!(run.cost(&whole), 0, "a hello in one segment is read in place");
    let split = connection(Ends::v4(30_002, 443), 3, 1_400, 700);
    let cost = run.cost(&split);
    assert!((1..=4).contains(&cost), "a hello in three segments cost {cost}");

    let query = |id| Ends::v4(40_000, 53).udp(&dns(id, false, "www.example.com", &[]));
    let answers = [(1, vec![192, 0, 2, 1]), (28, vec![0x20; 16])];
    let answer =
        |id| Ends::v4(40_000, 53).reversed().udp(&dns(id, true, "www.example.com", &answers));
    run.cost(&[query(1), answer(1)]);
    assert_eq!(run.cost(&[query(2), answer(2), query(2), answer(2)]), 0);

    // A name of octets that print as escapes, and one that is not even text, cost nothing either.
    let odd = |id| {
        let mut frame = dns(id, false, "www.example.com", &[]);
        frame[13..16].copy_from_slice(if id % 2 == 0 { b"w\\ " } else { b"\xff\xc0w" });
        Ends::v4(40_000, 53).udp(&frame)
    };
    run.cost(&[odd(3), odd(4)]);
    assert_eq!(run.cost(&[odd(5), odd(6), query(7)]), 0);
}
