//! What is lost takes nothing with it but what it held.

use proptest::collection::vec;
use proptest::prelude::*;
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;
use vendorwatch::visibility::{HandshakeOutcome, HandshakeProtocol, PacketOutcome, TableName};

use crate::support::talk::{ACK, Ends, FIN, SYN, Tap, client_hello, server_hello};

const CLIENT: u32 = 0xffff_0000;
const SERVER: u32 = 5_000;
const SEGMENT: usize = 1_400;

fn host(number: usize) -> String {
    format!("host-{number}.example")
}

/// Segments of one connection with requests that have bodies of so many segments. Each request
/// begins a segment; `Some` says which it is.
fn requests(bodies: &[usize]) -> Vec<(Option<usize>, Vec<u8>)> {
    let mut segments = Vec::new();
    for (number, &body) in bodies.iter().enumerate() {
        let (host, length) = (host(number), body * SEGMENT);
        let head =
            format!("POST /{number} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
        segments.push((Some(number), head.into_bytes()));
        segments.extend((0..body).map(|_| (None, vec![b'x'; SEGMENT])));
    }
    segments
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whichever segments of a client are lost, and be they more than anybody waits for, each
    /// request that came is named, once; the connection is counted once.
    #[test]
    fn a_request_that_came_is_named_whatever_was_lost_before(
        bodies in vec(prop_oneof![Just(0), 0usize..6, 90usize..300], 1..7),
        lost in vec((any::<prop::sample::Index>(), prop_oneof![1usize..4, 100usize..250]), 0..4),
        closed: bool,
    ) {
        let segments = requests(&bodies);
        let mut kept = vec![true; segments.len()];
        for (from, length) in lost {
            let from = from.index(segments.len());
            let end = (from + length).min(segments.len());
            kept[from..end].fill(false);
        }
        let ends = Ends::v4(40_000, 80);
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
        let mut sequence = CLIENT;
        let mut expected = Vec::new();
        for ((request, octets), kept) in segments.iter().zip(kept) {
            if kept {
                tap.frame(&ends.tcp(sequence, SERVER, ACK, octets));
                expected.extend(request.map(|number| (Signal::HttpHost, host(number))));
            }
            sequence = sequence.wrapping_add(u32::try_from(octets.len()).unwrap());
        }
        if closed {
            tap.frame(&ends.tcp(sequence, SERVER, ACK | FIN, b""));
        }
        tap.finish();
        prop_assert_eq!(&tap.heard.names, &expected);
        let spoke = kept_any(&tap);
        prop_assert_eq!(tap.connections(), usize::from(spoke));
        tap.assert_conserved();
    }
}

/// Did anything come but the SYN and the FIN?
fn kept_any(tap: &Tap) -> bool {
    !tap.heard.records.is_empty()
}

/// A hello of which a segment is lost is given up while its connection goes on, and says so.
#[test]
fn a_hello_with_a_hole_does_not_wait_for_the_end_of_its_connection() {
    let (ends, hello) =
        (Ends::v4(40_000, 443), client_hello(Some("lost.example"), 7, 2_000, 1 << 14));
    let mut tap = Tap::new(Settings::default());
    tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
    tap.frame(&ends.tcp(CLIENT, SERVER, ACK, &hello[..1_000]));
    let end = CLIENT.wrapping_add(u32::try_from(hello.len()).unwrap());
    tap.frame(&ends.reversed().tcp(SERVER, end, ACK, &server_hello(3)));
    tap.frame(&ends.tcp(end, SERVER + 100, ACK, b"\x14\x03\x03\0\x01\x01"));
    let gaps = |tap: &Tap| {
        tap.ledger.handshakes[HandshakeProtocol::Tls as usize][HandshakeOutcome::Gap as usize]
            .value()
    };
    for second in 0..20u32 {
        let early = second < 9;
        assert!(!early || gaps(&tap) == 0, "after {second} s");
        tap.wait(1_000);
        tap.frame(&ends.reversed().tcp(SERVER + 100 + second, end, ACK, b"\x17"));
        tap.assert_conserved();
    }
    assert_eq!((gaps(&tap), tap.connections()), (1, 1));
    assert_eq!(tap.pipeline.pending_handshakes(HandshakeProtocol::Tls), 0);
}

/// What a hello with a hole took is given back, at whatever packet it is given up.
#[test]
fn what_is_given_up_takes_no_room() {
    let mut tap = Tap::new(Settings::default());
    let octets = vec![b'x'; 1_400];
    for number in 0..40 {
        let ends = Ends::v4(40_000 + number, 443);
        tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
        // The first octet is lost.
        for place in 0..88 {
            tap.frame(&ends.tcp(CLIENT.wrapping_add(1 + place * 1_400), SERVER, ACK, &octets));
        }
        tap.wait(11_000);
        tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
    }
    tap.finish();
    let table = &tap.ledger.tables[TableName::Connections as usize];
    assert_eq!(table.entries.value(), 0);
    let bytes = table.bytes.value();
    assert!(bytes < 1 << 20, "{bytes} octets for no connection");
}

/// A capture of headers alone counts what it left out, frame by frame.
#[test]
fn a_capture_of_headers_says_that_it_saw_nothing_behind_them() {
    let (tcp, udp) = (Ends::v4(40_000, 443), Ends::v6(40_000, 443));
    let mut tap = Tap::new(Settings::default());
    tap.cut(&tcp.tcp(CLIENT - 1, 0, SYN, b""), 54);
    tap.cut(&tcp.tcp(CLIENT, SERVER, ACK, &client_hello(Some("cut.example"), 7, 0, 1 << 14)), 54);
    tap.cut(&tcp.tcp(CLIENT + 500, SERVER, ACK, b""), 54);
    tap.cut(&udp.udp(b"a datagram of which nothing is there"), 62);
    tap.finish();
    let outcome = |outcome: PacketOutcome| tap.ledger.packets[outcome as usize].value();
    assert_eq!((outcome(PacketOutcome::Decoded), outcome(PacketOutcome::Truncated)), (2, 2));
    tap.assert_conserved();
}
