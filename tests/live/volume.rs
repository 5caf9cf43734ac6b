//! The volume of a vendor is the same whether its packets are delivered or stay in the kernel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vendorwatch::capture::Source;
use vendorwatch::capture::live::{Backend, Options};
use vendorwatch::detect::Record;
use vendorwatch::frame::SourceId;
use vendorwatch::net::{Pair, Path, Wish};
use vendorwatch::pipeline::{Pipeline, Settings, Sink, sample_mark};
use vendorwatch::signature::{Set, embedded};
use vendorwatch::visibility::{Estimate, Ledger};

use super::lab::{Lab, Sender, open, take, wait_for_free_driver};
use super::packets::{End, Flag, SERVER, tcp};
use crate::support::talk::client_hello;

/// Of a vendor that the built-in signatures list.
const LISTED: &str = "www.kaspersky.com";

#[derive(Default)]
struct Found {
    sent: u64,
    received: u64,
    wishes: Vec<(Path, Wish)>,
    pairs: Vec<(Pair, bool)>,
}

impl Sink for Found {
    fn record(&mut self, record: Record) {
        if let Record::Volume(volume) = record {
            self.sent += volume.sent;
            self.received += volume.received;
        }
    }

    fn wish(&mut self, path: &Path, wish: Wish) {
        self.wishes.push((*path, wish));
    }

    fn watch(&mut self, pair: Pair) {
        self.pairs.push((pair, true));
    }

    fn unwatch(&mut self, pair: Pair) {
        self.pairs.push((pair, false));
    }
}

/// A connection whose name is listed: what comes up to its hello, and what comes after.
fn conversation(client: End) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (hello, bulk) = (client_hello(Some(LISTED), 1, 0, 1 << 14), [0x17; 1_000]);
    let begun = 1_000 + u32::try_from(hello.len()).unwrap();
    let up = |seq, ack, octets: &[u8]| tcp(client, SERVER, Flag::Ack, seq, ack, octets);
    let beginning = vec![
        tcp(client, SERVER, Flag::Syn, 999, 0, b""),
        tcp(SERVER, client, Flag::SynAck, 4_999, 1_000, b""),
        up(1_000, 5_000, &hello),
    ];
    let mut rest = Vec::new();
    let (mut client_next, mut server_next) = (begun, 5_000);
    for _ in 0..80 {
        rest.push(tcp(SERVER, client, Flag::Ack, server_next, client_next, &bulk));
        server_next += 1_000;
        rest.push(up(client_next, server_next, b""));
        rest.push(up(client_next, server_next, &bulk));
        client_next += 1_000;
    }
    rest.push(tcp(SERVER, client, Flag::Fin, server_next, client_next, b""));
    (beginning, rest)
}

/// Octets that the client and the server sent after its name was seen, as the core has them, and
/// the share of octets that its estimate takes for lost.
fn through(backend: Backend, clients: &[End]) -> (u64, u64, Option<f64>) {
    wait_for_free_driver();
    let settings = Settings { seed: 7, ..Settings::default() };
    let mut opened = open(&Options {
        backend,
        ring_bytes: 32 << 20,
        retire: Duration::from_millis(2),
        sampled: Some(sample_mark(settings.seed)),
        ..Options::default()
    });
    assert_eq!((opened.backend, opened.notices.len()), (backend, 0));
    let source = &mut opened.sources[0];
    assert_eq!(source.leaves_out(), backend != Backend::Ring);
    let settings = Settings { filtered: source.leaves_out(), ..settings };
    let set = Set::build(embedded::files().unwrap()).unwrap();
    let ledger = Arc::new(Ledger::default());
    let mut pipeline = Pipeline::with(Arc::new(set), Arc::clone(&ledger), settings);
    let (sender, mut found, mut sent) = (Sender::on("wire"), Found::default(), 0);
    let mut pass = |frames: &[Vec<u8>], found: &mut Found| {
        sent += frames.len() as u64;
        for frame in frames {
            sender.send(frame);
        }
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            for kept in take(source, Duration::from_millis(5)) {
                pipeline.frame(&kept.frame(), found);
            }
            // As a worker does.
            for (pair, counts) in found.pairs.drain(..) {
                if counts { source.watch(pair) } else { source.unwatch(pair) }
            }
            for (path, wish) in found.wishes.drain(..) {
                source.wish(&path, wish);
            }
            let counters = source.counters();
            if counters.packets + counters.skipped_in_kernel >= sent || Instant::now() > end {
                break;
            }
        }
        for exchange in source.exchanges() {
            let (sent, received) = (exchange.sent.octets, exchange.received.octets);
            pipeline.exchanged(SourceId::default(), exchange.pair, sent, received);
        }
    };
    for &client in clients {
        let (beginning, rest) = conversation(client);
        pass(&beginning, &mut found);
        pass(&rest, &mut found);
    }
    pipeline.finish(&mut found);
    let lost = Estimate::lost_ratio([&ledger.estimate]).map(|ratio| ratio.value);
    (found.sent, found.received, lost)
}

#[test]
#[ignore = "needs root"]
fn it_is_the_same_with_every_frame_and_with_few() {
    let _lab = Lab::new();
    // So many that some are in the sample, the smaller one too.
    let clients: Vec<_> = (40_000..40_500).map(|port| End([192, 0, 2, 10], port)).collect();
    let (sent, received, lost) = through(Backend::Ring, &clients);
    assert!(sent > 10_000_000 && received > 10_000_000, "{sent} {received}");
    assert_eq!(lost, Some(0.0), "nothing was lost");
    for backend in [Backend::Auto, Backend::Xdp] {
        let (filtered_sent, filtered_received, lost) = through(backend, &clients);
        // The first hello of the pair, and what came with it, was delivered in either case.
        assert_eq!((filtered_sent, filtered_received), (sent, received), "{backend:?}");
        assert_eq!(lost, Some(0.0), "{backend:?}: what the filter left out is not lost");
    }
}
