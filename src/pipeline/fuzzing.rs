//! The fuzz entry of the whole pure side.

use std::sync::Arc;

use super::quic::Limits;
use super::{Budgets, Pipeline, Settings, Sighting, Sink};
use crate::detect::Record;
use crate::frame::{Frame, LinkType, SourceId};
use crate::signature::Set;
use crate::time::Timestamp;
use crate::visibility::{Counter, Ledger};

/// Ethernet frames, each behind two octets of length and one of milliseconds since the one
/// before. Nothing panics, every name is in its printed form, and all that began has ended when
/// the input has, with room enough and with hardly any.
pub fn frames(octets: &[u8]) {
    run(octets, Budgets::default());
    run(
        octets,
        Budgets {
            connections: 1 << 10,
            recent: 1 << 10,
            quic: Limits { flight_bytes: 1 << 10, settled: 64, derivations_per_second: 50 },
            volumes: 1 << 10,
            sample: 1 << 10,
            dtls: 1 << 10,
            fragments: 1 << 10,
        },
    );
}

fn run(mut octets: &[u8], budgets: Budgets) {
    let ledger = Arc::new(Ledger::default());
    let settings = Settings { budgets, ..Settings::default() };
    let mut pipeline = Pipeline::with(Arc::new(Set::default()), Arc::clone(&ledger), settings);
    let mut millis = 1_700_000_000_000;
    let mut number = 0;
    while let [high, low, later, rest @ ..] = octets {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let (data, rest) = rest.split_at(len.min(rest.len()));
        octets = rest;
        millis += u64::from(*later);
        number += 1;
        let frame = Frame {
            data,
            // What the length promised and is not there was cut.
            wire_len: u32::try_from(len).unwrap_or(u32::MAX),
            at: Timestamp::from_nanos(millis * 1_000_000),
            link: LinkType::ETHERNET,
            source: SourceId(0),
            number,
            vlan: None,
        };
        pipeline.frame(&frame, &mut Printed);
    }
    pipeline.finish(&mut Printed);
    let sum = |counters: &[Counter]| counters.iter().map(Counter::value).sum::<u64>();
    assert_eq!(ledger.frames.value(), number);
    assert_eq!(ledger.frames.value(), sum(&ledger.packets), "frames");
    for (begun, ended) in ledger.handshakes_begun.iter().zip(&ledger.handshakes) {
        assert_eq!(begun.value(), sum(ended), "handshakes");
    }
    for (begun, ended) in ledger.dns_begun.iter().zip(&ledger.dns) {
        assert_eq!(begun.value(), sum(ended), "DNS messages");
    }
}

/// Checks what it is given and keeps nothing.
struct Printed;

impl Sink for Printed {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        let printed = |octet: u8| octet.is_ascii_graphic() && !octet.is_ascii_uppercase();
        assert!(sighting.name.bytes().all(printed), "{:?}", sighting.name);
    }

    fn record(&mut self, _: Record) {}
}
