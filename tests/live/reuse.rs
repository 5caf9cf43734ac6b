//! Another connection takes the ports of one that is done before the filter hears of that.

use std::sync::Arc;
use std::time::Duration;

use vendorwatch::capture::Source;
use vendorwatch::capture::live::{Backend, Live, Options};
use vendorwatch::signature::Set;

use super::judged::{Worker, judge};
use super::lab::{Lab, Sender, open, take};
use crate::support::talk::{ACK, Ends, RST, SYN, client_hello, server_hello};

/// Sends frames and has the worker look at what is delivered; the filter hears of it afterwards.
fn pass(sender: &Sender, source: &mut Live, worker: &mut Worker, frames: &[Vec<u8>]) -> usize {
    for frame in frames {
        sender.send(frame);
    }
    let delivered = take(source, Duration::from_millis(50));
    for kept in &delivered {
        worker.frame(&kept.frame());
    }
    for (path, wish) in worker.wishes() {
        source.wish(&path, wish);
    }
    delivered.len()
}

#[test]
#[ignore = "needs root"]
fn the_end_of_a_connection_closes_nothing_of_the_next_one() {
    let set = Arc::<Set>::default();
    let ends = Ends::v4(40_000, 443);
    let begin = |syn: u32| {
        [ends.tcp(syn, 0, SYN, &[]), ends.reversed().tcp(7_000, syn + 1, SYN | ACK, &[])]
    };
    let first = client_hello(Some("first.example"), 1, 0, 1 << 14);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let hello = client_hello(Some("second.example"), 2, 1_200, 1 << 14);
    // What it is does not show at the beginning of its second segment.
    let (piece, rest) = hello.split_at(hello.len() - 15);
    let behind = 301_000 + u32::try_from(piece.len()).unwrap();
    for backend in [Backend::Auto, Backend::Xdp] {
        for said in [&first, &preface] {
            let _lab = Lab::new();
            let retire = Duration::from_millis(5);
            let mut opened = open(&Options { backend, retire, ..Options::default() });
            assert_eq!((opened.backend, opened.notices.len()), (backend, 0));
            let (sender, source) = (Sender::on("wire"), &mut opened.sources[0]);
            let mut worker = Worker::new(&set, 1);
            let mut frames = begin(999).to_vec();
            frames.push(ends.tcp(1_000, 7_001, ACK, said));
            frames.push(ends.reversed().tcp(7_001, 1_900, ACK, &server_hello(3)));
            frames.push(ends.tcp(1_900, 7_200, RST, &[]));
            frames.extend(begin(300_999));
            frames.push(ends.tcp(301_000, 7_001, ACK, piece));
            assert_eq!(pass(&sender, source, &mut worker, &frames), frames.len());
            let frames = [ends.tcp(behind, 7_001, ACK, rest)];
            assert_eq!(pass(&sender, source, &mut worker, &frames), 1, "{}", backend.label());
            // That one is done, too, and what follows is nobody's business.
            let frames = [
                ends.reversed().tcp(7_001, 303_000, ACK, &server_hello(4)),
                ends.tcp(303_000, 7_200, ACK, &[0x17; 500]),
            ];
            pass(&sender, source, &mut worker, &frames);
            assert_eq!(pass(&sender, source, &mut worker, &frames[1..]), 0, "{}", backend.label());
            let judged = judge(&set, vec![worker]);
            let named = judged.sightings.keys().any(|(_, name, _)| name == "second.example");
            assert!(named, "{:?}", judged.sightings);
        }
    }
}
