//! TLS over TCP.

use proptest::prelude::*;
use vendorwatch::detect::Record;
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;
use vendorwatch::visibility::{HandshakeOutcome, HandshakeProtocol};

use super::{SERVER, deliveries, open_on_both_sides};
use crate::support::talk::{ACK, Ends, FIN, PSH, RST, SYN, Tap, client_hello, server_hello};

pub(super) const NAME: &str = "update.example.com";
pub(super) const CLIENT: u32 = 0xffff_fe00;

pub(super) fn named(tap: &Tap) -> u64 {
    tap.ledger.handshakes[HandshakeProtocol::Tls as usize][HandshakeOutcome::Named as usize].value()
}

pub(super) fn begun(tap: &Tap) -> u64 {
    tap.ledger.handshakes_begun[HandshakeProtocol::Tls as usize].value()
}

pub(super) fn outcome(tap: &Tap, outcome: HandshakeOutcome) -> u64 {
    tap.ledger.handshakes[HandshakeProtocol::Tls as usize][outcome as usize].value()
}

/// A hello with its size, and the way it is delivered.
fn hellos() -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize)>)> {
    (0usize..1_900, prop_oneof![Just(1usize << 14), 20usize..600]).prop_flat_map(
        |(filler, record)| {
            let hello = client_hello(Some(NAME), 7, filler, record);
            let len = hello.len();
            (Just(hello), deliveries(len))
        },
    )
}

proptest! {
    /// However a hello is cut, ordered, repeated and overlapped, it is one sighting, one handshake
    /// and one connection, at once and not at the end.
    #[test]
    fn one_hello_is_one_sighting((hello, pieces) in hellos(), v6: bool, seed: u64) {
        let ends = if v6 { Ends::v6(40_000, 443) } else { Ends::v4(40_000, 443) };
        let mut tap = Tap::new(Settings { seed, ..Settings::default() });
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
        tap.frame(&ends.reversed().tcp(SERVER, CLIENT.wrapping_add(1), SYN | ACK, &[]));
        for (from, to) in pieces {
            let sequence = CLIENT.wrapping_add(1 + u32::try_from(from).unwrap());
            tap.frame(&ends.tcp(sequence, SERVER + 1, ACK | PSH, &hello[from..to]));
            tap.assert_conserved();
        }
        prop_assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
        prop_assert_eq!((begun(&tap), named(&tap), tap.connections()), (1, 1, 1));
        let reply = CLIENT.wrapping_add(1 + u32::try_from(hello.len()).unwrap());
        tap.frame(&ends.reversed().tcp(SERVER + 1, reply, ACK, &server_hello(9)));
        tap.finish();
        prop_assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
        prop_assert_eq!((begun(&tap), named(&tap), tap.connections()), (1, 1, 1));
        tap.assert_conserved();
    }

    /// The same in a connection whose beginning was not seen, when the hello's first octets come
    /// first.
    #[test]
    fn a_hello_mid_stream_is_one_sighting((hello, mut pieces) in hellos()) {
        let ends = Ends::v4(40_000, 8_443);
        let first = pieces.iter().position(|piece| piece.0 == 0).unwrap();
        pieces.swap(0, first);
        let mut tap = Tap::new(Settings::default());
        for (from, to) in pieces {
            let sequence = CLIENT.wrapping_add(u32::try_from(from).unwrap());
            tap.frame(&ends.tcp(sequence, SERVER, ACK, &hello[from..to]));
        }
        tap.finish();
        prop_assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
        prop_assert_eq!((begun(&tap), named(&tap), tap.connections()), (1, 1, 0));
        tap.assert_conserved();
    }

    /// Every frame delivered twice, the copies up to a second late, changes nothing.
    #[test]
    fn a_mirror_that_doubles_changes_nothing(
        (hello, pieces) in hellos(),
        delays in proptest::collection::vec(0usize..8, 64),
    ) {
        let ends = Ends::v4(40_000, 443);
        let mut frames = vec![ends.tcp(CLIENT, 0, SYN, &[])];
        for (from, to) in pieces {
            let sequence = CLIENT.wrapping_add(1 + u32::try_from(from).unwrap());
            frames.push(ends.tcp(sequence, SERVER + 1, ACK, &hello[from..to]));
        }
        let reply = CLIENT.wrapping_add(1 + u32::try_from(hello.len()).unwrap());
        frames.push(ends.reversed().tcp(SERVER + 1, reply, ACK, &server_hello(9)));
        let mut late: Vec<(usize, &Vec<u8>)> = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            late.push((at * 8, frame));
            late.push((at * 8 + 1 + delays[at % delays.len()] * 8, frame));
        }
        late.sort_by_key(|(at, _)| *at);
        let mut tap = Tap::new(Settings::default());
        for (_, frame) in late {
            tap.frame(frame);
            tap.assert_conserved();
        }
        tap.finish();
        prop_assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
        prop_assert_eq!((begun(&tap), named(&tap)), (1, 1));
        // A copy that comes when its connection is done and forgotten is nobody's.
        let follows_at_once = delays[1] == 0;
        prop_assert!(!follows_at_once || tap.ledger.copies.value() > 0);
        tap.assert_conserved();
    }
}

proptest! {
    /// Both sides of a firewall that gives connections sequence numbers of its own, on one mirror.
    #[test]
    fn two_sides_with_other_sequence_numbers_are_one_handshake(
        filler in 0usize..3_000,
        (first, apart) in (any::<u32>(), 1u32 << 20..u32::MAX - (1 << 20)),
        order in proptest::collection::vec(any::<bool>(), 8),
        accepted_last: bool,
    ) {
        let ends = Ends::v4(40_000, 443);
        let hello = client_hello(Some(NAME), 7, filler, 1 << 14);
        let sides = [first, first.wrapping_add(apart)];
        let mut tap = Tap::new(Settings::default());
        open_on_both_sides(&mut tap, ends, sides, accepted_last);
        let mut at = [0, 0];
        let all = order.into_iter().map(usize::from).chain([0, 0, 0, 0, 1, 1, 1, 1]);
        for side in all {
            let Some(piece) = hello.chunks(1_000).nth(at[side]) else { continue };
            let from = u32::try_from(at[side] * 1_000).unwrap();
            at[side] += 1;
            let sequence = sides[side].wrapping_add(1).wrapping_add(from);
            tap.frame(&ends.tcp(sequence, SERVER + 1, ACK, piece));
            tap.assert_conserved();
        }
        tap.finish();
        prop_assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
        prop_assert_eq!((begun(&tap), named(&tap)), (1, 1));
        tap.assert_conserved();
    }
}

pub(super) fn syn(tap: &mut Tap, ends: Ends) {
    tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
}

#[test]
fn a_hello_without_its_tail_names_its_server_when_the_name_is_there() {
    // The name comes before the filler's end only if there is none.
    for (filler, seen) in [(0, true), (900, false)] {
        let hello = client_hello(Some(NAME), 1, filler, 1 << 14);
        let mut tap = Tap::new(Settings::default());
        let ends = Ends::v4(40_000, 443);
        syn(&mut tap, ends);
        let cut = hello.len() - 4;
        let part = &hello[..if seen { cut } else { 500 }];
        tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, part));
        assert!(tap.names().is_empty());
        tap.assert_conserved();
        tap.wait(120_000);
        tap.frame(&Ends::v4(1, 2).udp(b"another packet lets time pass"));
        assert_eq!(tap.names(), if seen { vec![(Signal::TlsSni, NAME)] } else { vec![] });
        assert_eq!(outcome(&tap, HandshakeOutcome::Timeout), u64::from(!seen));
        assert_eq!(tap.connections(), 1);
        tap.assert_conserved();
    }
}

#[test]
fn a_hole_in_a_hello_is_a_gap() {
    let hello = client_hello(Some(NAME), 1, 900, 1 << 14);
    let ends = Ends::v4(40_000, 443);
    let mut tap = Tap::new(Settings::default());
    syn(&mut tap, ends);
    tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, &hello[..300]));
    tap.frame(&ends.tcp(CLIENT.wrapping_add(601), SERVER, ACK, &hello[600..]));
    tap.finish();
    assert_eq!(outcome(&tap, HandshakeOutcome::Gap), 1);
    assert!(tap.names().is_empty());
    tap.assert_conserved();
}

#[test]
fn a_frame_cut_by_a_snaplen_is_read_at_once() {
    let hello = client_hello(Some(NAME), 1, 300, 1 << 14);
    let frame = Ends::v4(40_000, 443).tcp(CLIENT.wrapping_add(1), SERVER, ACK, &hello);
    let mut tap = Tap::new(Settings::default());
    syn(&mut tap, Ends::v4(40_000, 443));
    tap.cut(&frame, frame.len() - 3);
    assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
    assert_eq!(named(&tap), 1);

    let mut tap = Tap::new(Settings::default());
    syn(&mut tap, Ends::v4(40_000, 443));
    tap.cut(&frame, 200);
    assert_eq!(outcome(&tap, HandshakeOutcome::Truncated), 1);
    tap.assert_conserved();
}

/// By a second mirror, say, with a snap length.
#[test]
fn a_cut_copy_of_a_segment_ends_nothing() {
    let hello = client_hello(Some(NAME), 1, 900, 1 << 14);
    let ends = Ends::v4(40_000, 443);
    for captured in [60, 96, 400] {
        let mut tap = Tap::new(Settings::default());
        syn(&mut tap, ends);
        let first = ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, &hello[..500]);
        tap.frame(&first);
        tap.cut(&first, captured);
        tap.frame(&ends.tcp(CLIENT.wrapping_add(501), SERVER, ACK, &hello[500..]));
        assert_eq!(tap.names(), [(Signal::TlsSni, NAME)], "{captured} octets");
        assert_eq!((begun(&tap), named(&tap)), (1, 1));
        tap.assert_conserved();
    }
}

#[test]
fn a_second_hello_after_a_retry_is_the_same_handshake() {
    let ends = Ends::v4(40_000, 443);
    let hello = client_hello(Some(NAME), 3, 0, 1 << 14);
    let again = client_hello(Some(NAME), 3, 40, 1 << 14);
    let mut tap = Tap::new(Settings::default());
    syn(&mut tap, ends);
    tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, &hello));
    tap.wait(400);
    let next = CLIENT.wrapping_add(1 + u32::try_from(hello.len()).unwrap());
    tap.frame(&ends.tcp(next, SERVER + 99, ACK, &again));
    tap.finish();
    assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
    assert_eq!(named(&tap), 1);
    tap.assert_conserved();
}

#[test]
fn a_server_alone_is_one_way_and_a_late_server_is_not() {
    let ends = Ends::v4(40_000, 443);
    let answer = ends.reversed().tcp(SERVER, CLIENT, ACK, &server_hello(8));
    let mut tap = Tap::new(Settings::default());
    tap.frame(&answer);
    tap.frame(&answer);
    assert_eq!(outcome(&tap, HandshakeOutcome::OneWay), 1);

    // From the beginning of the connection on, too.
    for reset in [false, true] {
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.reversed().tcp(SERVER - 1, CLIENT, SYN | ACK, b""));
        tap.frame(&answer);
        tap.frame(&answer);
        if reset {
            tap.frame(&ends.reversed().tcp(SERVER + 9_000, CLIENT, RST, b""));
        }
        tap.finish();
        assert_eq!(outcome(&tap, HandshakeOutcome::OneWay), 1, "reset: {reset}");
        tap.assert_conserved();
    }

    let mut tap = Tap::new(Settings::default());
    tap.frame(&ends.tcp(CLIENT, SERVER, ACK, &client_hello(Some(NAME), 3, 0, 1 << 14)));
    for _ in 0..3 {
        tap.frame(&answer);
    }
    assert_eq!((outcome(&tap, HandshakeOutcome::OneWay), named(&tap)), (0, 1));
    tap.assert_conserved();
}

#[test]
fn ports_used_again_begin_another_connection() {
    let ends = Ends::v4(40_000, 443);
    let mut tap = Tap::new(Settings::default());
    for round in 0..3u8 {
        let first = CLIENT.wrapping_add(u32::from(round) * 100_000);
        tap.frame(&ends.tcp(first, 0, SYN, &[]));
        let hello = client_hello(Some(NAME), round, 0, 1 << 14);
        tap.frame(&ends.tcp(first.wrapping_add(1), SERVER, ACK, &hello));
        tap.wait(2_000);
    }
    assert_eq!((named(&tap), tap.connections()), (3, 3));
    tap.assert_conserved();
}

/// Somebody whose hellos all have one random.
#[test]
fn ports_and_a_random_used_again_are_another_handshake() {
    let ends = Ends::v4(40_000, 443);
    let mut tap = Tap::new(Settings::default());
    for (round, name) in (0..).zip(["a.example", "b.example", "c.example"]) {
        let begun = CLIENT.wrapping_add(round * 100_000_000);
        let hello = client_hello(Some(name), 7, 0, 1 << 14);
        // Each is copied by a slow mirror, whose copies come when it is done and forgotten.
        for _ in 0..2 {
            tap.frame(&ends.tcp(begun, 0, SYN, &[]));
            tap.frame(&ends.tcp(begun.wrapping_add(1), SERVER, ACK, &hello));
            tap.frame(&ends.reversed().tcp(SERVER, begun, ACK, &server_hello(3)));
            tap.frame(&ends.tcp(begun.wrapping_add(600), SERVER, RST, &[]));
            tap.wait(3_000);
        }
    }
    let names = ["a.example", "b.example", "c.example"].map(|name| (Signal::TlsSni, name));
    assert_eq!(tap.names(), names);
    assert_eq!((begun(&tap), named(&tap)), (3, 3));
    tap.assert_conserved();
}

/// The connection before was met in its middle, and its own SYN comes late or never.
#[test]
fn ports_used_again_after_the_middle_of_a_connection_begin_another() {
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    for late in [false, true] {
        let mut tap = Tap::new(Settings::default());
        let ends = Ends::v4(50_000, 80);
        tap.frame(&ends.tcp(7_000, 1, ACK, &request("a.example")));
        if late {
            tap.frame(&ends.tcp(6_999, 0, SYN, b""));
        }
        tap.frame(&ends.tcp(3_000_000_000, 0, SYN, b""));
        tap.frame(&ends.tcp(3_000_000_001, 1, ACK, &request("b.example")));
        tap.finish();
        let names = [(Signal::HttpHost, "a.example"), (Signal::HttpHost, "b.example")];
        assert_eq!((tap.names(), tap.connections()), (names.to_vec(), 1), "late: {late}");
        tap.assert_conserved();
    }
}

/// A hello is sent again where its answer was lost behind the sensor, after pauses that double
/// (RFC 6298 §5.5), and so is its answer, more than once.
#[test]
fn a_hello_sent_again_is_the_same_handshake() {
    let (ends, mut tap) = (Ends::v4(40_000, 443), Tap::new(Settings::default()));
    let hello = client_hello(Some(NAME), 3, 0, 1 << 14);
    let next = CLIENT + 1 + u32::try_from(hello.len()).unwrap();
    tap.frame(&ends.tcp(CLIENT, 0, SYN, b""));
    for pause in [0, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200] {
        tap.wait(pause);
        tap.frame(&ends.tcp(CLIENT + 1, SERVER, ACK, &hello));
        for _ in 0..2 {
            tap.frame(&ends.reversed().tcp(SERVER, next, ACK, &server_hello(3)));
        }
    }
    tap.finish();
    assert_eq!(outcome(&tap, HandshakeOutcome::OneWay), 0);
    assert_eq!((begun(&tap), named(&tap), tap.names().len(), tap.connections()), (1, 1, 1, 1));
    tap.assert_conserved();
}

/// The server says which of two beginnings it accepts.
#[test]
fn a_beginning_that_no_server_accepted_hides_nothing() {
    let (ends, mut tap) = (Ends::v4(40_000, 443), Tap::new(Settings::default()));
    let accepted = CLIENT + 1;
    tap.frame(&ends.tcp(CLIENT, 0, SYN, b""));
    tap.frame(&ends.tcp(CLIENT.wrapping_add(1 << 30), 0, SYN, b""));
    tap.frame(&ends.reversed().tcp(SERVER - 1, accepted, SYN | ACK, b""));
    tap.frame(&ends.tcp(accepted, SERVER, ACK, &client_hello(Some(NAME), 3, 0, 1 << 14)));
    tap.finish();
    assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
    assert_eq!((named(&tap), tap.connections()), (1, 1));
    tap.assert_conserved();
}

#[test]
fn data_in_the_syn_is_the_beginning() {
    let ends = Ends::v4(40_000, 443);
    let hello = client_hello(Some(NAME), 3, 0, 1 << 14);
    let mut tap = Tap::new(Settings::default());
    tap.frame(&ends.tcp(CLIENT, 0, SYN, &hello[..50]));
    tap.frame(&ends.tcp(CLIENT.wrapping_add(51), SERVER, ACK, &hello[50..]));
    assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
    assert_eq!(tap.connections(), 1);
}

/// TCP Fast Open (RFC 7413 §4.2.2): the server accepts the data with the SYN.
#[test]
fn data_in_the_syn_is_accepted_with_it() {
    let (ends, mut tap) = (Ends::v4(40_000, 443), Tap::new(Settings::default()));
    let hello = client_hello(Some(NAME), 3, 0, 1 << 14);
    let next = CLIENT.wrapping_add(1 + u32::try_from(hello.len()).unwrap());
    tap.frame(&ends.tcp(CLIENT, 0, SYN, &hello));
    tap.frame(&ends.reversed().tcp(SERVER - 1, next, SYN | ACK, b""));
    tap.frame(&ends.reversed().tcp(SERVER, next, ACK, &server_hello(3)));
    tap.frame(&ends.tcp(next, SERVER, ACK, b"\x14\x03\x03\0\x01\x01"));
    tap.finish();
    assert_eq!((begun(&tap), named(&tap), tap.connections()), (1, 1, 1));
    tap.assert_conserved();
}

/// A mirror of two ports keeps no order between them.
#[test]
fn data_in_the_syn_is_read_behind_its_acceptance() {
    let ends = Ends::v4(40_000, 443);
    let hello = client_hello(Some(NAME), 3, 0, 1 << 14);
    for cut in [20, 50, hello.len()] {
        let mut tap = Tap::new(Settings::default());
        let next = CLIENT.wrapping_add(1 + u32::try_from(cut).unwrap());
        tap.frame(&ends.reversed().tcp(SERVER - 1, next, SYN | ACK, b""));
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &hello[..cut]));
        tap.frame(&ends.tcp(next, SERVER, ACK, &hello[cut..]));
        tap.frame(&ends.reversed().tcp(SERVER, next, ACK, &server_hello(3)));
        tap.finish();
        assert_eq!(tap.names(), [(Signal::TlsSni, NAME)], "{cut}");
        assert_eq!((begun(&tap), named(&tap), tap.connections()), (1, 1, 1));
        tap.assert_conserved();
    }
}

#[test]
fn padding_that_counts_as_payload_hides_nothing() {
    let ends = Ends::v4(40_000, 443);
    let hello = client_hello(Some(NAME), 3, 0, 1 << 14);
    let padded = ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, &[0; 6]);
    let mut tagged = ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, &[0; 2]);
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    for padded in [padded, tagged] {
        let mut tap = Tap::new(Settings::default());
        syn(&mut tap, ends);
        tap.frame(&padded);
        tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK | PSH, &hello));
        assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
    }
}

/// The length of PostgreSQL's SSLRequest begins with three octets of zero. (Two alone make a packet
/// as long as one that was padded in a tagged frame.)
#[test]
fn real_octets_of_zero_are_no_padding() {
    let ends = Ends::v4(40_000, 5_432);
    let hello = client_hello(Some(NAME), 3, 0, 1 << 14);
    let request = b"\0\0\0\x08\x04\xd2\x16\x2f";
    let stream = [&request[..], &hello].concat();
    for cut in (1..request.len()).filter(|cut| *cut != 2) {
        let mut tap = Tap::new(Settings::default());
        syn(&mut tap, ends);
        tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, &stream[..cut]));
        let next = CLIENT.wrapping_add(1 + u32::try_from(cut).unwrap());
        tap.frame(&ends.tcp(next, SERVER, ACK, &stream[cut..60]));
        tap.frame(&ends.tcp(CLIENT.wrapping_add(61), SERVER, ACK, &stream[60..]));
        tap.finish();
        assert_eq!(tap.names(), [(Signal::TlsSni, NAME)], "cut after {cut}");
        tap.assert_conserved();
    }
}

#[test]
fn other_protocols_are_nameless_connections_and_leave_nothing_behind() {
    let mut tap = Tap::new(Settings::default());
    for port in 0..50 {
        let ends = Ends::v4(40_000 + port, 22);
        syn(&mut tap, ends);
        tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, b"SSH-2.0-OpenSSH_9.9\r\n"));
    }
    let ends = Ends::v4(50_000, 22);
    syn(&mut tap, ends);
    tap.frame(&ends.reversed().tcp(0, CLIENT.wrapping_add(1), RST | ACK, &[]));
    let ends = Ends::v4(50_001, 22);
    syn(&mut tap, ends);
    tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, FIN | ACK, &[]));
    let nameless = tap
        .heard
        .records
        .iter()
        .filter(|record| matches!(record, Record::Connection(connection) if !connection.named));
    assert_eq!(nameless.count(), 50);
    tap.wait(1_500);
    tap.frame(&Ends::v4(1, 2).udp(b"publishes the tables' use"));
    assert_eq!(tap.ledger.tables[0].entries.value(), 0);
    tap.assert_conserved();
}

/// What a client agreed on with its server may begin with a segment, as it does where the client
/// has to wait for the answer, or in the midst of one.
#[test]
fn what_an_agreement_leads_to_is_read_wherever_it_begins() {
    let ends = Ends::v4(40_000, 25);
    let settings_and_headers =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x0c\x01\x05\0\0\0\x01\x41\x0ah2.example";
    let upgrade = b"GET / HTTP/1.1\r\nHost: h1.example\r\nUpgrade: h2c\r\n\r\n";
    let hello = client_hello(Some(NAME), 5, 0, 1 << 14);
    let http = [(Signal::HttpHost, "h1.example"), (Signal::Http2Authority, "h2.example")];
    let anonymous: &[u8] = b"EHLO client.example\r\nX-ANONYMOUSTLS\r\n";
    let agreements = [
        (anonymous, hello.as_slice(), &[(Signal::TlsSni, NAME)][..]),
        (upgrade, settings_and_headers, &http),
    ];
    for (before, after, names) in agreements {
        for together in [true, false] {
            let mut tap = Tap::new(Settings::default());
            tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
            let whole = [before, after].concat();
            let cut = if together { whole.len() } else { before.len() };
            tap.frame(&ends.tcp(CLIENT, SERVER, ACK, &whole[..cut]));
            if cut < whole.len() {
                let next = CLIENT + u32::try_from(cut).unwrap();
                tap.frame(&ends.tcp(next, SERVER, ACK, &whole[cut..]));
            }
            tap.finish();
            assert_eq!(tap.names(), names, "together: {together}");
            tap.assert_conserved();
        }
    }
}
