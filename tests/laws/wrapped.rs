//! Names in wrappers: what a proxy is asked for, and what is inside; TLS after STARTTLS. And
//! requests that follow each other on one connection.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::Index;
use vendorwatch::detect::Record;
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;
use vendorwatch::signature::{Set, embedded};
use vendorwatch::visibility::{DnsOutcome, DnsTransport, HandshakeOutcome, HandshakeProtocol};

use super::{SERVER, deliveries, open_on_both_sides};
use crate::support::talk::{ACK, Ends, PSH, RST, SYN, Tap, client_hello, dns, server_hello};

const INSIDE: &str = "inside.example";
const PROXIED: &str = "proxied.example";
const CLIENT: u32 = 0xffff_ff00;

/// What goes before TLS, and the names in it.
type Wrapper = (&'static str, Vec<u8>, Vec<Signal>);

fn wrappers() -> Vec<Wrapper> {
    let connect = format!("CONNECT {PROXIED}:443 HTTP/1.1\r\nHost: {PROXIED}:443\r\n\r\n");
    let socks_host = [&[15][..], PROXIED.as_bytes()].concat();
    let request = [&[5, 1, 0, 3][..], &socks_host, &[1, 187]].concat();
    let header_1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 50000 443\r\n".to_vec();
    let header_2 = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[192, 0, 2, 1], &[7; 8]].concat();
    let of_connect = vec![Signal::ProxyConnect, Signal::HttpTarget, Signal::HttpHost];
    let socks_4a = [&[4, 1, 1, 187, 0, 0, 0, 1][..], b"me\0", PROXIED.as_bytes(), &[0]].concat();
    vec![
        ("none", vec![], vec![]),
        ("CONNECT", connect.clone().into(), of_connect.clone()),
        ("SOCKS 4a", socks_4a, vec![Signal::Socks]),
        ("SOCKS 5", [&[5, 1, 0][..], &request].concat(), vec![Signal::Socks]),
        (
            "SOCKS 5 with a password",
            [&[5, 2, 0, 2, 1, 2][..], b"me\x02pw", &request].concat(),
            vec![Signal::Socks],
        ),
        ("PROXY 1", header_1.clone(), vec![]),
        ("PROXY 2", header_2.clone(), vec![]),
        ("PROXY 1, CONNECT", [&header_1, connect.as_bytes()].concat(), of_connect.clone()),
        ("PROXY 2, SMTP", [&header_2[..], b"EHLO me.example\r\nSTARTTLS\r\n"].concat(), vec![]),
        ("SMTP", b"EHLO me.example\r\nSTARTTLS\r\n".to_vec(), vec![]),
        ("IMAP", b"a001 CAPABILITY\r\na002 STARTTLS\r\n".to_vec(), vec![]),
        ("POP3", b"CAPA\r\nSTLS\r\n".to_vec(), vec![]),
        ("FTP", b"FEAT\r\nAUTH TLS\r\n".to_vec(), vec![]),
        ("LDAP", b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037".to_vec(), vec![]),
        (
            "XMPP",
            b"<?xml version='1.0'?><stream:stream to='a.example' xmlns='jabber:client' version=\
              '1.0' xmlns:stream='http://etherx.jabber.org/streams'>\
              <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                .to_vec(),
            vec![],
        ),
        ("PostgreSQL", vec![0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f], vec![]),
        ("an empty record", b"\x16\x03\x01\0\0".to_vec(), vec![]),
        ("an alert", b"\x15\x03\x01\0\x02\x01\0\x16\x03\x01\0\0".to_vec(), vec![]),
        (
            "SQL Server",
            b"\x12\x01\0\x14\0\0\0\0\0\0\x06\0\x06\xff\x10\0\0\0\0\0\x12\x01\x0c\0\0\0\0\0"
                .to_vec(),
            vec![],
        ),
    ]
}

/// A wrapper, the stream that begins with it, and the way that is delivered.
fn streams() -> impl Strategy<Value = (Wrapper, Vec<u8>, Vec<(usize, usize)>)> {
    (prop::sample::select(wrappers()), 0usize..1_900).prop_flat_map(|(wrapper, filler)| {
        let stream = [&wrapper.1[..], &client_hello(Some(INSIDE), 7, filler, 1 << 14)].concat();
        let len = stream.len();
        (Just(wrapper), Just(stream), deliveries(len))
    })
}

fn tls(tap: &Tap) -> (u64, u64) {
    let tls = HandshakeProtocol::Tls as usize;
    let named = tap.ledger.handshakes[tls][HandshakeOutcome::Named as usize].value();
    (tap.ledger.handshakes_begun[tls].value(), named)
}

fn sequence(offset: usize) -> u32 {
    CLIENT.wrapping_add(1 + u32::try_from(offset).unwrap())
}

proptest! {
    /// However the stream is cut, ordered, repeated and overlapped, and when the whole of it is
    /// delivered a second time: the name that the proxy is asked for and the one inside, once
    /// each, of one connection and one handshake.
    #[test]
    fn what_is_asked_of_a_proxy_and_what_is_inside_are_seen_once(
        (wrapper, stream, pieces) in streams(),
        twice: bool,
    ) {
        let (what, prefix, signals) = wrapper;
        let ends = Ends::v4(40_000, if what == "SMTP" { 25 } else { 8_080 });
        let mut frames = vec![
            ends.tcp(CLIENT, 0, SYN, &[]),
            ends.reversed().tcp(SERVER, CLIENT.wrapping_add(1), SYN | ACK, &[]),
        ];
        for (from, to) in pieces {
            frames.push(ends.tcp(sequence(from), SERVER + 1, ACK | PSH, &stream[from..to]));
        }
        let end = sequence(stream.len());
        frames.push(ends.reversed().tcp(SERVER + 1, end, ACK, &server_hello(9)));
        let mut tap = Tap::new(Settings::default());
        let mut expected: Vec<_> = signals.iter().map(|signal| (*signal, PROXIED)).collect();
        expected.push((Signal::TlsSni, INSIDE));
        for _ in 0..=u8::from(twice) {
            for frame in &frames {
                tap.frame(frame);
                tap.assert_conserved();
            }
            prop_assert_eq!(tap.names(), expected.clone(), "{} {:?}", what, prefix);
        }
        let copies = tap.ledger.copies.value();
        prop_assert!(!twice || copies > 0);
        tap.finish();
        prop_assert_eq!(tap.names(), expected);
        prop_assert_eq!((tls(&tap), tap.connections()), ((1, 1), 1), "{}", what);
        tap.assert_conserved();
    }
}

/// A reset may be none to its receiver, or come before what was sent before it.
#[test]
fn a_reset_before_what_a_wrapper_leads_to_takes_its_connection_from_no_name() {
    let hello = client_hello(Some(INSIDE), 7, 0, 1 << 14);
    for (what, prefix, _) in wrappers().into_iter().filter(|(_, prefix, _)| !prefix.is_empty()) {
        let (ends, mut tap) = (Ends::v4(40_000, 8_080), Tap::new(Settings::default()));
        let (next, end) = (sequence(prefix.len()), sequence(prefix.len() + hello.len()));
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
        tap.frame(&ends.reversed().tcp(SERVER, CLIENT.wrapping_add(1), SYN | ACK, &[]));
        tap.frame(&ends.tcp(sequence(0), SERVER + 1, ACK, &prefix));
        tap.frame(&ends.tcp(end, SERVER + 1, RST, &[]));
        tap.frame(&ends.tcp(next, SERVER + 1, ACK, &hello));
        tap.finish();
        assert_eq!(tap.names().last(), Some(&(Signal::TlsSni, INSIDE)), "{what}");
        assert_eq!((tls(&tap), tap.connections()), ((1, 1), 1), "{what}");
        tap.assert_conserved();
    }
}

static SHIPPED: LazyLock<Arc<Set>> =
    LazyLock::new(|| Arc::new(Set::build(embedded::files().unwrap()).unwrap()));

const LISTED: &str = "s00.upd.kaspersky.com";

/// Requests with bodies in between, and where each begins.
fn requests(bodies: &[usize]) -> (Vec<u8>, Vec<usize>) {
    let (mut stream, mut starts) = (Vec::new(), Vec::new());
    for len in bodies {
        starts.push(stream.len());
        let head = format!("POST / HTTP/1.1\r\nHost: {LISTED}\r\nContent-Length: {len}\r\n\r\n");
        stream.extend(head.into_bytes());
        stream.extend(vec![b'x'; *len]);
    }
    (stream, starts)
}

/// The identities of the detections, which are equal where one event was seen twice.
fn identities(tap: &Tap) -> Vec<u64> {
    let of = |record: &Record| match record {
        Record::Detection(detection) => Some(detection.identity),
        _ => None,
    };
    tap.heard.records.iter().filter_map(of).collect()
}

proptest! {
    /// Requests for one host on one connection, pipelined or one after the other within a second,
    /// are as many events; sent again, mirrored, or seen by somebody who did not see the
    /// connection begin, they are the same events.
    #[test]
    fn every_request_of_a_connection_is_one_event(
        bodies in prop::collection::vec(0usize..300, 1..6),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
        repeat in any::<bool>(),
        late in 0usize..6,
    ) {
        let ends = Ends::v4(40_000, 80);
        let (stream, starts) = requests(&bodies);
        let mut bounds: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        bounds.extend(starts.iter().chain([&stream.len()]));
        bounds.sort_unstable();
        bounds.dedup();
        let mut tap = Tap::with_set(Arc::clone(&SHIPPED), Settings::default());
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
        let segment = |part: &[usize]| {
            ends.tcp(sequence(part[0]), SERVER, ACK, &stream[part[0]..part[1]])
        };
        for part in bounds.windows(2) {
            tap.frame(&segment(part));
            if repeat {
                tap.frame(&segment(part));
            }
        }
        prop_assert_eq!(tap.names(), vec![(Signal::HttpHost, LISTED); bodies.len()]);
        let seen = identities(&tap);
        let mut distinct = seen.clone();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assert_eq!((seen.len(), distinct.len()), (bodies.len(), bodies.len()));

        // Another mirror, of which the beginning was not captured, and which cuts otherwise.
        let late = late.min(starts.len() - 1);
        let mut other = Tap::with_set(Arc::clone(&SHIPPED), Settings::default());
        let ends_of_requests = starts[late + 1..].iter().copied().chain([stream.len()]);
        for (start, end) in starts[late..].iter().copied().zip(ends_of_requests) {
            other.frame(&segment(&[start, end]));
        }
        prop_assert_eq!(identities(&other), &seen[late..]);
    }
}

proptest! {
    /// Both sides of a firewall that gives connections sequence numbers of its own, on one mirror.
    #[test]
    fn two_sides_with_other_sequence_numbers_are_the_same_requests(
        bodies in prop::collection::vec(0usize..300, 1..6),
        (first, apart) in (any::<u32>(), 1u32 << 20..u32::MAX - (1 << 20)),
        order in prop::collection::vec(any::<bool>(), 10),
        accepted_last: bool,
    ) {
        let ends = Ends::v4(40_000, 80);
        let (stream, starts) = requests(&bodies);
        let bounds: Vec<_> = starts.iter().copied().chain([stream.len()]).collect();
        let sides = [first, first.wrapping_add(apart)];
        let mut tap = Tap::new(Settings::default());
        open_on_both_sides(&mut tap, ends, sides, accepted_last);
        let mut at = [0, 0];
        for side in order.into_iter().map(usize::from).chain([0; 6]).chain([1; 6]) {
            let Some(&[from, to]) = bounds.windows(2).nth(at[side]).map(|part| {
                part.first_chunk::<2>().unwrap()
            }) else { continue };
            at[side] += 1;
            let sequence = sides[side].wrapping_add(1 + u32::try_from(from).unwrap());
            tap.frame(&ends.tcp(sequence, SERVER + 1, ACK, &stream[from..to]));
            tap.assert_conserved();
        }
        tap.finish();
        prop_assert_eq!(tap.names(), vec![(Signal::HttpHost, LISTED); bodies.len()]);
        prop_assert_eq!(tap.connections(), 1);
        tap.assert_conserved();
    }
}

#[test]
fn requests_inside_a_proxys_tunnel_are_events_of_their_own() {
    let ends = Ends::v4(40_000, 3_128);
    let connect = format!("CONNECT {LISTED}:80 HTTP/1.1\r\nHost: {LISTED}\r\n\r\n");
    let get = format!("GET / HTTP/1.1\r\nHost: {LISTED}\r\n\r\n");
    let mut tap = Tap::with_set(Arc::clone(&SHIPPED), Settings::default());
    tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
    tap.frame(&ends.tcp(sequence(0), SERVER, ACK, connect.as_bytes()));
    tap.frame(&ends.tcp(sequence(connect.len()), SERVER, ACK, get.as_bytes()));
    let seen = identities(&tap);
    assert_eq!(seen.len(), 2, "a CONNECT prints both kinds of name and is one");
    assert_ne!(seen[0], seen[1]);
}

/// The name of the request in RFC 7541 C.4.1, Huffman-coded; then by reference to the table.
#[test]
fn every_stream_of_http_2_is_one_event() {
    let ends = Ends::v4(40_000, 8_080);
    let mut stream = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let sections: [&[u8]; 3] = [
        b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
        b"\x82\x86\x84\xbe",
        b"\x82\x86\x84\xbe",
    ];
    for (section, id) in sections.into_iter().zip([1, 3, 5]) {
        let len = u8::try_from(section.len()).unwrap();
        stream.extend([0, 0, len, 1, 5, 0, 0, 0, id]);
        stream.extend(section);
    }
    for step in [1, 7, stream.len()] {
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
        for from in (0..stream.len()).step_by(step) {
            let to = (from + step).min(stream.len());
            for _ in 0..2 {
                tap.frame(&ends.tcp(sequence(from), SERVER, ACK, &stream[from..to]));
            }
        }
        assert_eq!(tap.names(), [(Signal::Http2Authority, "www.example.com"); 3], "{step}");
    }
}

/// The design counts a question by its flow, id, name and type for five seconds, whatever carries
/// it; a client must not use an id twice that is in flight (RFC 7766 §6.2.1), so over TCP too the
/// second of two is the first sent again. It is a message all the same, and has its outcome.
#[test]
fn the_same_question_twice_on_a_connection_is_one_and_its_message_is_accounted_for() {
    let ends = Ends::v4(50_000, 53);
    let framed = |id: u16| {
        let message = dns(id, false, "www.example.com", &[]);
        [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat()
    };
    let mut tap = Tap::new(Settings::default());
    tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
    let stream = [framed(7), framed(7), framed(8)].concat();
    tap.frame(&ends.tcp(sequence(0), SERVER, ACK, &stream));
    let asked = (Signal::DnsQuery, "www.example.com");
    assert_eq!(tap.names(), [asked, asked]);
    tap.wait(5_000);
    tap.frame(&ends.tcp(sequence(stream.len()), SERVER, ACK, &framed(7)));
    assert_eq!(tap.names(), [asked; 3]);
    let tcp = &tap.ledger.dns[DnsTransport::Tcp as usize];
    assert_eq!(tcp[DnsOutcome::Query as usize].value(), 3);
    assert_eq!(tcp[DnsOutcome::Repeated as usize].value(), 1);
    tap.assert_conserved();
}

/// A mirror that delivers twice and loses something of the copies: what is left of them is given up
/// long after the original was counted, or longer where nothing else is heard of.
#[test]
fn a_copy_with_a_hole_is_given_up_without_a_count() {
    let connect =
        format!("CONNECT {LISTED}:443 HTTP/1.1\r\nHost: {LISTED}:443\r\n\r\n").into_bytes();
    let hello = client_hello(Some("inside.example"), 7, 0, 1 << 14);
    let wrapped = [&connect[..], &hello].concat();
    let mut request = requests(&[40]).0;
    request.truncate(request.len() - 10);
    for (stream, kept) in
        [(&wrapped, connect.len()..wrapped.len()), (&request, 0..request.len() - 20)]
    {
        for silence in [31_000, 400_000] {
            let (ends, mut tap) = (Ends::v4(40_000, 3_128), Tap::new(Settings::default()));
            let whole = ends.tcp(CLIENT + 1, SERVER, ACK, stream);
            let end = sequence(stream.len());
            for (from, octets) in [(0, &[][..]), (kept.start, &stream[kept.clone()])] {
                tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
                if from == 0 && octets.is_empty() {
                    tap.frame(&whole);
                    tap.frame(&ends.reversed().tcp(SERVER, end, ACK, &server_hello(3)));
                    tap.frame(&ends.reversed().tcp(SERVER + 500, end, RST, &[]));
                } else {
                    tap.frame(&ends.tcp(sequence(from), SERVER, ACK, octets));
                }
            }
            let (names, begun) = (tap.names().len(), tls(&tap));
            tap.wait(silence);
            tap.frame(&Ends::v4(40_001, 80).tcp(CLIENT, 0, SYN, &[]));
            tap.finish();
            assert_eq!((tap.names().len(), tls(&tap)), (names, begun), "{:?}", tap.names());
            tap.assert_conserved();
        }
    }
}

/// What a client says to a proxy afterwards is said to whomever it asks for then.
#[test]
fn a_proxy_is_no_server_of_the_vendor_that_is_asked_for_through_it() {
    let set = Arc::new(Set::build(embedded::files().unwrap()).unwrap());
    let name = "s00.upd.kaspersky.com";
    let hello = client_hello(Some(name), 7, 0, 1 << 14);
    let host = [&[21][..], name.as_bytes(), &[1, 187]].concat();
    let socks = |to: &[u8]| [&[5, 1, 0, 5, 1, 0][..], to].concat();
    for (first, is_own) in [
        (vec![], true),
        (format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n").into_bytes(), false),
        (socks(&[&[3][..], &host].concat()), false),
        (socks(&[1, 192, 0, 2, 7, 1, 187]), false),
        (format!("GET http://{name}/ HTTP/1.1\r\nHost: {name}\r\n\r\n").into_bytes(), false),
        (format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").into_bytes(), true),
        (b"EHLO me.example\r\nSTARTTLS\r\n".to_vec(), true),
    ] {
        let ends = Ends::v4(40_000, 3_128);
        let mut tap = Tap::with_set(Arc::clone(&set), Settings::default());
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
        let mut next = CLIENT.wrapping_add(1);
        let inside = if first.starts_with(b"GET") { &[][..] } else { &hello };
        for said in [&first[..], inside, &[0x17; 100]] {
            if !said.is_empty() {
                tap.frame(&ends.tcp(next, SERVER, ACK | PSH, said));
                next = next.wrapping_add(u32::try_from(said.len()).unwrap());
            }
        }
        tap.frame(&Ends::v4(40_001, 3_128).tcp(9, SERVER, ACK | PSH, &[0x17; 1_000]));
        tap.finish();
        let detected = |one: &Record| matches!(one, Record::Detection(_));
        assert!(tap.heard.records.iter().any(detected), "{first:?}");
        let volume = tap.heard.records.iter().any(|one| matches!(one, Record::Volume(_)));
        assert_eq!(volume, is_own, "{:?}", String::from_utf8_lossy(&first));
    }
}

/// What is only an address may be known by DNS, or by whose the address is.
#[test]
fn an_address_in_place_of_a_name_names_no_server() {
    let connect = b"CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\r\n";
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
    let hello = |name| client_hello(Some(name), 7, 0, 1 << 14);
    for (stream, is_named, seen) in [
        (request("198.51.100.20"), false, 1),
        (request("198.51.100.20:8080"), false, 1),
        (request("[2001:db8::20]:80"), false, 1),
        (b"GET http://192.0.2.7/ HTTP/1.1\r\nHost: 192.0.2.7\r\n\r\n".to_vec(), false, 2),
        (b"GET http://192.0.2.7/ HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec(), true, 2),
        (request("20.example"), true, 1),
        (request("192.0.2.7.example"), true, 1),
        (hello("198.51.100.20"), false, 1),
        (hello("2001:db8::20"), false, 1),
        (hello("a.example"), true, 1),
        (connect.to_vec(), false, 3),
        ([&connect[..], &hello("a.example")].concat(), true, 4),
        ([&connect[..], &hello("192.0.2.7")].concat(), false, 4),
        ([&connect[..], b"SSH-2.0-x\r\n"].concat(), false, 3),
    ] {
        let (ends, mut tap) = (Ends::v4(40_000, 8_080), Tap::new(Settings::default()));
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
        tap.frame(&ends.tcp(CLIENT.wrapping_add(1), SERVER, ACK | PSH, &stream));
        tap.finish();
        let named = |one: &Record| match one {
            Record::Connection(connection) => Some(connection.named),
            _ => None,
        };
        let said: Vec<_> = tap.heard.records.iter().filter_map(named).collect();
        assert_eq!(said, [is_named], "{}", String::from_utf8_lossy(&stream));
        assert_eq!(tap.names().len(), seen, "all that is said is seen");
        tap.assert_conserved();
    }
}
