//! Mirrored twice: every count is of the event, not of its copies.
//!
//! A session that mirrors a port's both directions, or two ports that a packet crosses, delivers
//! each packet twice: as it was, or with another VLAN tag and one hop less to live; by one
//! interface or by two; at once or a little later.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use vendorwatch::detect::{Correlator, Event, Limits, Record};
use vendorwatch::export::account::Tally;
use vendorwatch::frame::{Frame, LinkType, SourceId};
use vendorwatch::pipeline::{Pipeline, Settings, Sighting, Sink};
use vendorwatch::signature::{Set, embedded};
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::{
    Counter, DnsOutcome, DnsTransport, HandshakeOutcome, HandshakeProtocol, Ledger,
};

use super::captures::{Kept, frames};
use crate::support::own_captures;
use crate::support::talk::assert_conserved;

static SHIPPED: LazyLock<Arc<Set>> =
    LazyLock::new(|| Arc::new(Set::build(embedded::files().unwrap()).unwrap()));

/// What a mirror did to the second delivery of a frame.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    /// The packet went through a router.
    Hop,
    /// It left by another VLAN.
    Vlan,
    HopAndVlan,
}

impl Change {
    fn apply(self, link: LinkType, frame: &[u8]) -> Vec<u8> {
        let mut octets = frame.to_vec();
        if link != LinkType::ETHERNET || octets.len() < 34 {
            return octets;
        }
        if matches!(self, Self::Hop | Self::HopAndVlan) {
            match [octets[12], octets[13]] {
                [0x08, 0x00] => octets[22] = octets[22].wrapping_sub(1),
                [0x86, 0xdd] => octets[21] = octets[21].wrapping_sub(1),
                _ => {}
            }
            // The router's own addresses.
            octets[..12].fill(0x0a);
        }
        if matches!(self, Self::Vlan | Self::HopAndVlan) {
            octets.splice(12..12, [0x81, 0x00, 0x00, 0x17]);
        }
        octets
    }
}

/// How the copies come.
#[derive(Clone, Copy, Debug)]
struct Mirror {
    change: Change,
    /// By an interface of its own, with a worker of its own.
    apart: Apart,
    /// So many nanoseconds after the first.
    delay: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Apart {
    /// The same interface.
    No,
    /// Two interfaces of one worker.
    Source,
    Worker,
}

fn mirrors() -> impl Strategy<Value = Mirror> {
    let change =
        prop::sample::select(vec![Change::Nothing, Change::Hop, Change::Vlan, Change::HopAndVlan]);
    let apart = prop::sample::select(vec![Apart::No, Apart::Source, Apart::Worker]);
    // Up to what a busy switch and a full ring may take.
    let delay = prop_oneof![Just(0), 0u64..200_000, 0u64..300_000_000];
    (change, apart, delay).prop_map(|(change, apart, delay)| Mirror { change, apart, delay })
}

#[derive(Default)]
struct Heard {
    names: BTreeMap<(&'static str, String), u64>,
    records: Vec<Record>,
}

impl Sink for Heard {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        let name = (sighting.signal.kind(), sighting.name.to_owned());
        *self.names.entry(name).or_default() += 1;
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}

/// Everything that is counted of events.
#[derive(Debug, Default, Eq, PartialEq)]
struct Counts {
    /// In one worker only: another worker has accounts of its own.
    sightings: BTreeMap<(&'static str, String), u64>,
    handshakes: Vec<u64>,
    dns: Vec<u64>,
    /// By the correlator, of all workers.
    detections: BTreeMap<String, u64>,
    connections: [u64; 3],
    encrypted_dns: [u64; 3],
}

/// What is counted of a capture, and how many copies.
fn count(capture: &[Kept], mirror: Option<Mirror>) -> (Counts, u64) {
    let mut deliveries: Vec<(u64, bool, usize, Vec<u8>)> = Vec::new();
    for (index, kept) in capture.iter().enumerate() {
        let frame = kept.frame();
        deliveries.push((frame.at.as_nanos(), false, index, frame.data.to_vec()));
        if let Some(Mirror { change, delay, .. }) = mirror {
            let copy = change.apply(frame.link, frame.data);
            deliveries.push((frame.at.as_nanos() + delay, true, index, copy));
        }
    }
    deliveries.sort_by_key(|(at, copy, index, _)| (*at, *index, *copy));

    let apart = mirror.map_or(Apart::No, |mirror| mirror.apart);
    let workers = if apart == Apart::Worker { 2 } else { 1 };
    let ledgers: Vec<Arc<Ledger>> = (0..workers).map(|_| Arc::default()).collect();
    let settings = Settings { seed: 7, one_of_many: workers > 1, ..Settings::default() };
    let mut pipelines: Vec<Pipeline> = ledgers
        .iter()
        .map(|ledger| Pipeline::with(Arc::clone(&SHIPPED), Arc::clone(ledger), settings.clone()))
        .collect();
    let mut heard: Vec<Heard> = (0..workers).map(|_| Heard::default()).collect();
    for (number, (at, copy, index, octets)) in (1..).zip(&deliveries) {
        let original = capture[*index].frame();
        let there = usize::from(*copy && apart == Apart::Worker);
        let grown = octets.len() - original.data.len();
        let frame = Frame {
            data: octets,
            wire_len: original.wire_len + u32::try_from(grown).unwrap(),
            at: Timestamp::from_nanos(*at),
            source: SourceId(u16::from(*copy && apart != Apart::No)),
            number,
            ..original
        };
        pipelines[there].frame(&frame, &mut heard[there]);
    }
    for ((pipeline, heard), ledger) in pipelines.iter_mut().zip(&mut heard).zip(&ledgers) {
        pipeline.finish(heard);
        assert_conserved(ledger, pipeline);
    }

    let mut counts = Counts::default();
    let (mut tally, mut split) = (Tally::default(), 0);
    let mut correlator =
        Correlator::new(&Limits::default(), workers, Arc::clone(&SHIPPED), Arc::default());
    let mut each = |event: Event<'_>| {
        tally.observe(&event);
        match event {
            Event::Detected(detected) => {
                let signal = detected.detection.signal.label();
                let line = format!("{signal} {}", detected.detection.name.as_str());
                *counts.detections.entry(line).or_default() += 1;
            }
            Event::Split { .. } => split += 1,
            _ => {}
        }
    };
    for (lane, heard) in heard.iter_mut().enumerate() {
        for record in heard.records.drain(..) {
            correlator.push(lane, &mut vec![record], &mut each);
        }
    }
    correlator.finish(&mut each);
    assert_eq!(split, 0, "each worker saw both directions");
    counts.connections = tally.connections;
    counts.encrypted_dns = tally.encrypted_dns;
    counts.sightings = core::mem::take(&mut heard[0].names);
    let ledger = &ledgers[0];
    for protocol in HandshakeProtocol::ALL {
        counts.handshakes.push(ledger.handshakes_begun[protocol as usize].value());
        for outcome in HandshakeOutcome::ALL {
            let handshakes = &ledger.handshakes[protocol as usize];
            counts.handshakes.push(handshakes[outcome as usize].value());
        }
    }
    for transport in DnsTransport::ALL {
        // A question that comes again is a message of its own, with an outcome of its own.
        for outcome in DnsOutcome::ALL.into_iter().filter(|one| *one != DnsOutcome::Repeated) {
            counts.dns.push(ledger.dns[transport as usize][outcome as usize].value());
        }
    }
    let copies: u64 = ledgers.iter().map(|ledger| Counter::value(&ledger.copies)).sum();
    (counts, copies + tally.copies)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Real conversations of every protocol, and every frame of them twice.
    #[test]
    fn a_second_delivery_changes_no_count(mirror in mirrors()) {
        for path in own_captures() {
            let capture = frames(&path);
            let (once, before) = count(&capture, None);
            let (twice, copies) = count(&capture, Some(mirror));
            prop_assert_eq!(once, twice, "{}", path.display());
            prop_assert!(copies > before, "{}: copies are counted", path.display());
        }
    }
}
