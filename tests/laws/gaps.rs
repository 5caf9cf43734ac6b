//! What is lost takes nothing with it but what it held.

use proptest::collection::vec;
use proptest::prelude::*;
use vendorwatch::flow::Segments;
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;
use vendorwatch::visibility::{
    DnsOutcome, DnsTransport, HandshakeOutcome, HandshakeProtocol, PacketOutcome, TableName,
};

use super::SERVER;
use crate::support::talk::{ACK, Ends, FIN, RST, SYN, Tap, client_hello, dns, server_hello};

const CLIENT: u32 = 0xffff_0000;
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

/// Octets that somebody may send to where their receiver drops them.
fn strays() -> impl Strategy<Value = Vec<u8>> {
    let decoy = client_hello(Some("decoy.example"), 9, 0, 1 << 14);
    let post = b"POST / HTTP/1.1\r\nHost: decoy.example\r\nContent-Length: 99999\r\n\r\n";
    prop_oneof![
        Just(b"noise".to_vec()),
        Just(b"GET /".to_vec()),
        Just(post.to_vec()),
        Just(decoy[..60].to_vec()),
        Just(decoy),
    ]
}

proptest! {
    /// A segment that lies outside of every window moves nothing, wherever it lies, whatever it
    /// holds and however often it comes.
    #[test]
    fn a_segment_out_of_the_window_hides_nothing(
        hello: bool,
        stray in strays(),
        far in Segments::WINDOW..1 << 30,
        places in vec((any::<prop::sample::Index>(), 1usize..3), 1..4),
    ) {
        let (port, segments, signal) = if hello {
            let octets = client_hello(Some("host-0.example"), 7, 2_000, 1 << 14);
            (443, octets.chunks(700).map(<[u8]>::to_vec).collect(), Signal::TlsSni)
        } else {
            let segments: Vec<_> = requests(&[0, 2, 0]).into_iter().map(|(_, segment)| segment).collect();
            (80, segments, Signal::HttpHost)
        };
        let ends = Ends::v4(40_000, port);
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
        let mut sequence = CLIENT;
        for (at, octets) in segments.iter().enumerate() {
            for (_, times) in places.iter().filter(|(place, _)| place.index(segments.len()) == at) {
                for _ in 0..*times {
                    tap.frame(&ends.tcp(sequence.wrapping_add(far), SERVER, ACK, &stray));
                    tap.assert_conserved();
                }
            }
            tap.frame(&ends.tcp(sequence, SERVER, ACK, octets));
            tap.assert_conserved();
            sequence = sequence.wrapping_add(u32::try_from(octets.len()).unwrap());
        }
        tap.finish();
        tap.assert_conserved();
        let names: Vec<_> =
            tap.heard.names.iter().filter(|(_, name)| name != "decoy.example").cloned().collect();
        let count = if hello { 1 } else { 3 };
        let expected: Vec<_> = (0..count).map(|number| (signal, host(number))).collect();
        prop_assert_eq!(names, expected);
        prop_assert_eq!(tap.connections(), 1);
    }

    /// Behind more than anybody waits for, what begins with the first segment is read to its end,
    /// however it is cut.
    #[test]
    fn what_begins_behind_a_wide_hole_is_read_whole(
        hole in Segments::WINDOW..1 << 30,
        cut in 16usize..60,
        repeated: bool,
    ) {
        let request = |host: &str| format!("GET / HTTP/1.1\r\nCookie: {:>40}\r\nHost: {host}\r\n\r\n", 1);
        let ends = Ends::v4(40_000, 80);
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
        tap.frame(&ends.tcp(CLIENT, SERVER, ACK, request("a.example").as_bytes()));
        let mut sequence = CLIENT.wrapping_add(1_000 + hole);
        for name in ["b.example", "c.example"] {
            let whole = request(name);
            let (first, second) = whole.as_bytes().split_at(cut);
            for part in [first, second] {
                for _ in 0..=u8::from(repeated) {
                    tap.frame(&ends.tcp(sequence, SERVER, ACK, part));
                    tap.assert_conserved();
                }
                sequence = sequence.wrapping_add(u32::try_from(part.len()).unwrap());
            }
        }
        let names = ["a.example", "b.example", "c.example"].map(|name| (Signal::HttpHost, name));
        prop_assert_eq!(tap.names(), names);
    }
}

/// A hello that stopped while its stream goes on far ahead is given up in time.
#[test]
fn a_hello_before_a_wide_hole_does_not_wait_for_the_end_of_its_connection() {
    let hello = client_hello(Some("lost.example"), 7, 2_000, 1 << 14);
    let ends = Ends::v4(40_000, 443);
    let mut tap = Tap::new(Settings::default());
    tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
    tap.frame(&ends.tcp(CLIENT, SERVER, ACK, &hello[..1_000]));
    for second in 0..20 {
        tap.wait(1_000);
        let sequence = CLIENT.wrapping_add(400_000 + second * 1_000);
        tap.frame(&ends.tcp(sequence, SERVER, ACK, &[0x17; 1_000]));
        tap.assert_conserved();
    }
    let tls = &tap.ledger.handshakes[HandshakeProtocol::Tls as usize];
    assert_eq!(tls[HandshakeOutcome::Gap as usize].value(), 1);
    assert_eq!(tap.pipeline.pending_handshakes(HandshakeProtocol::Tls), 0);
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

/// The classic snap length of 68 octets leaves two of a payload behind a TCP header with time stamps.
#[test]
fn a_snap_length_that_leaves_little_of_a_hello_leaves_its_handshake() {
    const HEADERS: usize = 54;
    let (ends, hello) = (Ends::v4(40_000, 443), client_hello(Some("cut.example"), 7, 0, 1 << 14));
    let next = CLIENT.wrapping_add(u32::try_from(hello.len()).unwrap());
    let talk = |octets: &[u8], kept: usize, begins: bool| {
        let mut tap = Tap::new(Settings::default());
        if begins {
            tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
        }
        for frame in [
            ends.tcp(CLIENT, SERVER, ACK, octets),
            ends.reversed().tcp(SERVER, next, ACK, &server_hello(3)),
            ends.tcp(next, SERVER + 100, ACK, b"\x16\x03\x03\0\x28 a finished message, encrypted"),
        ] {
            tap.cut(&frame, HEADERS + kept);
            tap.assert_conserved();
        }
        tap.finish();
        tap.assert_conserved();
        let tls = HandshakeProtocol::Tls as usize;
        let truncated = tap.ledger.handshakes[tls][HandshakeOutcome::Truncated as usize].value();
        (tap.ledger.handshakes_begun[tls].value(), truncated, tap.connections())
    };
    for kept in 2..=6 {
        assert_eq!(talk(&hello, kept, true), (1, 1, 1), "{kept} octets");
        // Any message of a handshake begins so.
        assert_eq!(talk(&hello, kept, false), (0, 0, 0), "{kept} octets, without the SYN");
    }
    for (other, kept) in [(&hello[..], 1), (b"\x16\x09 other", 2), (b"\x17\x03\x03\0\x28", 4)] {
        assert_eq!(talk(other, kept, true), (0, 0, 1), "{other:?}");
    }
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

/// Behind a SYN the end of a client's octets tells that there were some, though none is here.
#[test]
fn a_connection_whose_client_was_missed_is_one_without_a_name() {
    let request = b"GET / HTTP/1.1\r\nHost: late.example\r\n\r\n";
    let end = CLIENT + u32::try_from(request.len()).unwrap();
    let talk = |port: u16, ended: u32, flags: u8, late: bool| {
        let (ends, mut tap) = (Ends::v4(40_000, port), Tap::new(Settings::default()));
        tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
        tap.frame(&ends.reversed().tcp(SERVER - 1, CLIENT, SYN | ACK, b""));
        tap.frame(&ends.tcp(ended, SERVER, flags, b""));
        if late {
            tap.frame(&ends.tcp(CLIENT, SERVER, ACK, request));
        }
        tap.wait(31_000);
        tap.frame(&Ends::v4(40_001, 80).tcp(CLIENT, 0, SYN, &[]));
        tap.finish();
        tap.assert_conserved();
        (tap.connections(), tap.names().len())
    };
    for flags in [FIN | ACK, RST | ACK] {
        assert_eq!(talk(80, end, flags, false), (1, 0));
        assert_eq!(talk(80, end, flags, true), (1, 1), "it comes behind the end");
        assert_eq!(talk(53, end, flags, false), (0, 0), "a client of DNS");
        assert_eq!(talk(80, CLIENT, flags, false), (0, 0), "it said nothing");
        assert_eq!(talk(80, CLIENT - 9_999, flags, false), (0, 0), "of another connection");
    }
}

/// Ten octets behind the headers of TCP, as 64 leave, are too few to tell DNS by.
#[test]
fn a_snap_length_that_leaves_little_of_a_question_leaves_its_message() {
    let ends = Ends::v4(40_000, 53);
    let message = dns(7, false, "cut.example", &[]);
    let framed = [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
    for kept in 1..20 {
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
        tap.cut(&ends.tcp(CLIENT, SERVER, ACK, &framed), 54 + kept);
        let next = CLIENT + u32::try_from(framed.len()).unwrap();
        tap.cut(&ends.tcp(next, SERVER, ACK, &framed), 54 + kept);
        tap.finish();
        let tcp = DnsTransport::Tcp as usize;
        let truncated = tap.ledger.dns[tcp][DnsOutcome::Truncated as usize].value();
        assert!(truncated > 0, "{kept} octets");
        assert_eq!(tap.ledger.dns_begun[tcp].value(), truncated, "{kept} octets");
        assert_eq!(tap.connections(), 0);
        tap.assert_conserved();
    }
}
