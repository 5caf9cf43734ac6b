//! TLS over TCP of which a part is missing, is copied alone, or comes from the other side.

use vendorwatch::detect::Record;
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;
use vendorwatch::visibility::HandshakeOutcome;

use super::SERVER;
use super::tls::{CLIENT, NAME, begun, named, outcome, syn};
use crate::support::talk::{ACK, Ends, PSH, RST, SYN, Tap, client_hello, server_hello};

/// As a client of FTP does, whose data connections its server opens, and whoever wins where both
/// open one at once (RFC 9293 §3.5).
#[test]
fn a_hello_of_who_accepted_the_connection_is_one_handshake() {
    let (ends, hello) = (Ends::v4(20, 40_000), client_hello(Some(NAME), 3, 900, 1 << 14));
    let syn = ends.tcp(CLIENT, 0, SYN, b"");
    let accepted = ends.reversed().tcp(SERVER, CLIENT.wrapping_add(1), SYN | ACK, b"");
    let (first, second) = hello.split_at(500);
    let hello = [(1, first), (501, second)].map(|(at, octets)| {
        ends.reversed().tcp(SERVER + at, CLIENT.wrapping_add(1), ACK | PSH, octets)
    });
    let answer = ends.tcp(CLIENT.wrapping_add(1), SERVER + 2_000, ACK, &server_hello(9));
    let other_syn = ends.reversed().tcp(SERVER, 0, SYN, b"");
    let crossed = ends.tcp(CLIENT, SERVER + 1, SYN | ACK, b"");
    for beginning in [
        vec![&syn, &accepted],
        vec![&syn, &accepted, &syn, &accepted],
        vec![&syn],
        vec![&accepted, &syn],
        vec![&accepted],
        vec![&syn, &other_syn, &crossed, &accepted],
    ] {
        let mut tap = Tap::new(Settings::default());
        let rest = [&hello[0], &accepted, &syn, &hello[0], &hello[1], &answer, &hello[1]];
        for frame in beginning.iter().copied().chain(rest) {
            tap.frame(frame);
            tap.assert_conserved();
        }
        tap.finish();
        assert_eq!(tap.names(), [(Signal::TlsSni, NAME)]);
        assert_eq!((begun(&tap), named(&tap)), (1, 1));
        let clients: Vec<_> = tap
            .heard
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Connection(connection) => Some((connection.client_port, connection.named)),
                _ => None,
            })
            .collect();
        assert_eq!(clients.first(), Some(&(40_000, true)));
        tap.assert_conserved();
    }
}

/// Its segments were lost before the sensor, which saw what they are answered with, and what the
/// client says then.
#[test]
fn an_answered_hello_that_is_not_here_is_a_gap() {
    let (ends, hello) = (Ends::v4(40_000, 443), client_hello(Some(NAME), 3, 900, 1 << 14));
    let syn = ends.tcp(CLIENT, 0, SYN, b"");
    let accepted = ends.reversed().tcp(SERVER, CLIENT.wrapping_add(1), SYN | ACK, b"");
    let part = |from: u32, octets: &[u8]| {
        ends.tcp(CLIENT.wrapping_add(1 + from), SERVER + 1, ACK | PSH, octets)
    };
    let (header, middle) = (part(0, &hello[..5]), part(300, &hello[300..600]));
    let after = CLIENT.wrapping_add(1 + u32::try_from(hello.len()).unwrap());
    let answer = ends.reversed().tcp(SERVER + 1, after, ACK, &server_hello(9));
    let data = ends.tcp(after, SERVER + 300, ACK, b"\x17\x03\x03\0\x03abc");
    let reset = ends.tcp(after.wrapping_add(8), SERVER + 300, RST, b"");
    for (frames, connections) in [
        (vec![&syn, &accepted, &answer, &data], 1),
        (vec![&syn, &accepted, &middle, &answer, &data, &reset], 1),
        (vec![&accepted, &answer, &data], 0),
        (vec![&accepted, &middle, &answer, &answer, &data, &answer], 0),
        (vec![&header, &middle, &answer, &data, &reset], 0),
    ] {
        for wait in [0, 11_000, 40_000] {
            let mut tap = Tap::new(Settings::default());
            for frame in &frames {
                tap.frame(frame);
                tap.assert_conserved();
            }
            tap.wait(wait);
            tap.frame(&data);
            tap.finish();
            assert_eq!((begun(&tap), outcome(&tap, HandshakeOutcome::Gap)), (1, 1));
            assert_eq!(tap.connections(), connections);
            tap.assert_conserved();
        }
    }
}

/// Of either side, with a number that its receiver drops it for.
#[test]
fn a_reset_that_nobody_believes_ends_no_hello() {
    let (ends, hello) = (Ends::v4(40_000, 443), client_hello(Some(NAME), 3, 900, 1 << 14));
    let (first, second) = hello.split_at(500);
    for stray in [
        ends.tcp(CLIENT.wrapping_add(90_000), 0, RST, b""),
        ends.reversed().tcp(SERVER + 90_000, 0, RST | ACK, b""),
    ] {
        for goes_on in [true, false] {
            let mut tap = Tap::new(Settings::default());
            syn(&mut tap, ends);
            tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, first));
            tap.frame(&stray);
            if goes_on {
                tap.frame(&ends.tcp(CLIENT.wrapping_add(501), SERVER, ACK, second));
            }
            tap.assert_conserved();
            tap.wait(40_000);
            tap.frame(&Ends::v4(1, 2).udp(b"time passes"));
            assert_eq!((begun(&tap), named(&tap)), (1, u64::from(goes_on)));
            assert_eq!(outcome(&tap, HandshakeOutcome::Timeout), u64::from(!goes_on));
            assert_eq!(tap.connections(), 1);
            tap.assert_conserved();
        }
    }
}

/// By a mirror that copies some packets, and late: when it is clear that nothing more will come,
/// the hello that they are of was long ago.
#[test]
fn copies_of_a_part_of_a_handshake_are_no_other_one() {
    let (ends, hello) = (Ends::v4(40_000, 443), client_hello(Some(NAME), 3, 0, 1 << 14));
    let begins = ends.tcp(CLIENT, 0, SYN, b"");
    let first = ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK, &hello[..20]);
    let second = ends.tcp(CLIENT.wrapping_add(21), SERVER, ACK, &hello[20..]);
    let after = CLIENT.wrapping_add(1 + u32::try_from(hello.len()).unwrap());
    let answer = ends.reversed().tcp(SERVER, after, ACK, &server_hello(9));
    let data = ends.tcp(after, SERVER + 300, ACK, b"\x17\x03\x03\0\x03abc");
    for copies in [
        vec![&begins, &answer],
        vec![&begins, &answer, &data],
        vec![&begins, &second, &answer, &data],
        vec![&first],
        vec![&begins, &first, &data],
        vec![&first, &answer],
    ] {
        let mut tap = Tap::new(Settings::default());
        for frame in [&begins, &first, &second, &answer].into_iter().chain(copies) {
            tap.frame(frame);
            tap.assert_conserved();
        }
        tap.wait(40_000);
        tap.frame(&Ends::v4(1, 2).udp(b"time passes"));
        assert_eq!((begun(&tap), named(&tap)), (1, 1));
        tap.assert_conserved();
    }
}
