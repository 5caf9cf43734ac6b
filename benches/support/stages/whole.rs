//! The whole core on traffic in the proportions of a busy link: seven packets of eight are the
//! middle of a download, one in twenty-five is DNS, one in two hundred begins TLS.

use std::sync::Arc;

use vendorwatch::detect::{Correlator, Limits, Record};
use vendorwatch::pipeline::{Pipeline, Sink};
use vendorwatch::signature::{Set, embedded};
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::Ledger;

use super::{Body, initials};
use crate::traffic::talk::{ACK, Ends, SYN, client_hello, dns, server_hello};
use crate::traffic::wire::captured;

/// Conversations, each with its downloads.
const ROUNDS: u16 = 100;
/// What each brings, in packets.
const BULK: usize = 174;
const QUESTIONS: u16 = 4;
const MEDIA: usize = 12;
pub(crate) const PACKETS: u64 = ROUNDS as u64 * (BULK + 2 * QUESTIONS as usize + MEDIA + 6) as u64;

struct Mixed {
    frames: Vec<Vec<u8>>,
    pipeline: Pipeline,
    correlator: Correlator,
    found: Found,
    at: Timestamp,
    number: u64,
}

#[derive(Default)]
struct Found(Vec<Record>);

impl Sink for Found {
    fn wants_sightings(&self) -> bool {
        false
    }

    fn record(&mut self, record: Record) {
        self.0.push(record);
    }
}

pub(crate) fn mixed() -> Box<dyn Body> {
    let set = Arc::new(Set::build(embedded::files().expect("sound files")).expect("a sound set"));
    let frames: Vec<_> = (0..ROUNDS).flat_map(round).collect();
    assert_eq!(frames.len() as u64, PACKETS);
    Box::new(Mixed {
        frames,
        pipeline: Pipeline::new(Arc::clone(&set), Arc::<Ledger>::default()),
        correlator: Correlator::new(&Limits::default(), 1, set, Arc::default()),
        found: Found::default(),
        at: Timestamp::from_parts(1_700_000_000, 0),
        number: 0,
    })
}

/// A host asks for names, opens a connection with TLS (every second one with a hybrid key share)
/// and one with QUIC, and downloads.
fn round(n: u16) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let random = n.to_be_bytes()[1];
    for question in 0..QUESTIONS {
        let ends = Ends::v4(20_000 + n * QUESTIONS + question, 53);
        let name = format!("host{question}.zone{n}.example");
        frames.push(ends.udp(&dns(question, false, &name, &[])));
        let address = vec![198, 51, random, u8::try_from(question).unwrap_or(0)];
        frames.push(ends.reversed().udp(&dns(question, true, &name, &[(1, address)])));
    }
    let tls = Ends::v4(30_000 + n, 443);
    frames.push(tls.tcp(99, 0, SYN, &[]));
    let name = format!("www.zone{n}.example");
    let filler = if n.is_multiple_of(2) { 200 } else { 1_300 };
    let hello = client_hello(Some(&name), random, filler, 1 << 14);
    let mut sequence = 100;
    for part in hello.chunks(hello.len().div_ceil(2)) {
        frames.push(tls.tcp(sequence, 8, ACK, part));
        sequence += u32::try_from(part.len()).unwrap_or(0);
    }
    frames.push(tls.reversed().tcp(8, sequence, ACK, &server_hello(random)));
    let quic = Ends::v4(40_000 + n, 443);
    let dcid = [random, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    let hello = initials::hello(1_800);
    for (number, (at, piece)) in [(0, &hello[..900]), (900, &hello[900..])].into_iter().enumerate()
    {
        let number = u8::try_from(number).unwrap_or(0);
        frames.push(quic.udp(&initials::initial(dcid, number, at, piece)));
    }
    let bulk = [0x17, 3, 3, 5, 0x90].repeat(288);
    for packet in 0..BULK {
        let octet = u32::try_from(packet).unwrap_or(0) * 1_440;
        frames.push(match packet % 3 {
            0 => tls.tcp(sequence, 200 + octet, ACK, &[]),
            _ => tls.reversed().tcp(200 + octet, sequence, ACK, &bulk),
        });
    }
    frames.extend((0..MEDIA).map(|_| Ends::v4(50_000 + n, 5_004).udp(&[0x80; 172])));
    frames
}

impl Body for Mixed {
    /// Longer than anything is remembered as just seen.
    fn prepare(&mut self) {
        self.at = self.at.plus(std::time::Duration::from_secs(20));
        self.pipeline.advance(self.at, &mut self.found);
    }

    fn run(&mut self) {
        for data in &self.frames {
            self.number += 1;
            self.at = Timestamp::from_nanos(self.at.as_nanos() + 1_000);
            let frame = captured(data, self.at, self.number);
            self.pipeline.frame(&frame, &mut self.found);
        }
        assert!(!self.found.0.is_empty(), "there is DNS, TLS and QUIC in it");
        self.correlator.push(0, &mut self.found.0, |event| {
            std::hint::black_box(&event);
        });
        self.correlator.advance(0, self.at, |event| {
            std::hint::black_box(&event);
        });
    }
}
