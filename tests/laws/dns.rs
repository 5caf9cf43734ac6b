//! DNS, over UDP and TCP.

use core::time::Duration;
use std::sync::{Arc, LazyLock};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use vendorwatch::detect::Record;
use vendorwatch::flow::FlowHasher;
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;
use vendorwatch::signature::resolvers::SHIPPED;
use vendorwatch::signature::{Set, embedded};
use vendorwatch::visibility::{Counter, DnsOutcome, DnsTransport};

use super::deliveries;
use crate::support::handshake::{crypto, dtls, initial, vector16};
use crate::support::talk::{ACK, Ends, SYN, Tap, client_hello_message, dns, dns_name};

const CLIENT: u32 = 77;

/// Listed ones, resolvers over HTTPS, others, and other spellings of them.
const NAMES: &[&str] = &[
    "www.example.org",
    "Www.Example.Org",
    "mail.example.org",
    "odd\u{1}.example.org",
    "s00.upd.kaspersky.com",
    "S00.UPD.kaspersky.com",
    "www.hikvision.com",
    "dns.google",
    "com",
];

static LISTED: LazyLock<Arc<Set>> =
    LazyLock::new(|| Arc::new(Set::build(embedded::files().unwrap()).unwrap()));

/// One ECHConfig (RFC 9849 §4) with the public name `outer`, in its list, as SVCB's `ech` parameter
/// (RFC 9848 §3).
fn ech_parameter() -> Vec<u8> {
    let mut contents = vec![7, 0, 32];
    contents.extend(vector16(&[9; 32]));
    contents.extend(vector16(&[0, 1, 0, 1]));
    contents.extend([0, 5]);
    contents.extend(b"outer");
    contents.extend([0, 0]);
    let config = [&[0xfe, 0x0d][..], &vector16(&contents)].concat();
    [&[0, 5][..], &vector16(&vector16(&config))].concat()
}

fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
    messages
        .iter()
        .flat_map(|message| {
            [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
        })
        .collect()
}

fn streams() -> impl Strategy<Value = (usize, Vec<u8>, Vec<(usize, usize)>)> {
    (1usize..6).prop_flat_map(|count| {
        let messages: Vec<_> = (0..count)
            .map(|n| dns(u16::try_from(n).unwrap(), false, &format!("host{n}.example"), &[]))
            .collect();
        let stream = stream(&messages);
        let len = stream.len();
        (Just(count), Just(stream), deliveries(len))
    })
}

proptest! {
    /// Any number of messages, cut and delivered in any way, are that many questions.
    #[test]
    fn messages_in_a_stream_are_found_however_it_is_cut((count, stream, pieces) in streams()) {
        let ends = Ends::v4(50_000, 53);
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
        for (from, to) in pieces {
            let sequence = CLIENT + 1 + u32::try_from(from).unwrap();
            tap.frame(&ends.tcp(sequence, 1, ACK, &stream[from..to]));
            tap.assert_conserved();
        }
        let expected: Vec<_> = (0..count).map(|n| format!("host{n}.example")).collect();
        let names: Vec<_> = tap.names().into_iter().map(|(_, name)| name.to_owned()).collect();
        prop_assert_eq!(names, expected);
        tap.finish();
        tap.assert_conserved();
        prop_assert_eq!(tap.connections(), 0);
    }

    /// Whoever wants no sightings is told the same: names that are known by how they are spelled are
    /// those that were read.
    #[test]
    fn what_is_reported_does_not_depend_on_who_wants_sightings(
        exchanges in vec((select(NAMES), select(NAMES), 0u16..4, any::<[bool; 3]>()), 1..60),
        change in 0usize..60,
    ) {
        let ends = Ends::v4(50_000, 53);
        let mut taps = [false, true].map(|deaf| {
            let settings = Settings { resolvers: Arc::clone(&SHIPPED), ..Settings::default() };
            let mut tap = Tap::with_set(Arc::default(), settings);
            tap.heard.deaf = deaf;
            tap
        });
        for (step, (name, other, id, [asked, chained, hinted])) in exchanges.into_iter().enumerate() {
            let mut answers = Vec::new();
            if chained {
                answers.push((5, dns_name(other)));
            }
            if hinted {
                answers.push((65, [&[0, 1][..], &dns_name(other), &ech_parameter()].concat()));
            }
            answers.push((1, vec![192, 0, 2, 1]));
            for tap in &mut taps {
                if step == change {
                    tap.pipeline.set_signatures(Arc::clone(&LISTED));
                }
                if asked {
                    tap.frame(&ends.udp(&dns(id, false, name, &[])));
                }
                tap.frame(&ends.reversed().udp(&dns(id, true, name, &answers)));
                tap.wait(700);
            }
        }
        let [heard, deaf] = taps;
        prop_assert_eq!(format!("{:?}", heard.heard.records), format!("{:?}", deaf.heard.records));
        prop_assert_eq!(format!("{:?}", heard.ledger.dns), format!("{:?}", deaf.ledger.dns));
    }

    /// Octets after a hole are read all the same, and a connection of DNS is none without a name.
    #[test]
    fn a_hole_costs_no_more_than_the_messages_it_touches(lost in 0usize..5) {
        let ends = Ends::v4(50_000, 53);
        let mut tap = Tap::new(Settings::default());
        tap.frame(&ends.tcp(CLIENT, 0, SYN, &[]));
        let mut sequence = CLIENT + 1;
        for n in 0..5usize {
            let name = format!("host{n}.example");
            let octets = stream(&[dns(u16::try_from(n).unwrap(), false, &name, &[])]);
            if n != lost {
                tap.frame(&ends.tcp(sequence, 1, ACK, &octets));
            }
            sequence += u32::try_from(octets.len()).unwrap();
        }
        tap.finish();
        prop_assert_eq!(tap.names().len(), 4);
        prop_assert_eq!(tap.connections(), 0);
        tap.assert_conserved();
    }
}

#[test]
fn a_question_counts_once_in_five_seconds() {
    let ends = Ends::v4(50_000, 53);
    let query = ends.udp(&dns(9, false, "Example.COM", &[]));
    let mut tap = Tap::new(Settings::default());
    tap.frame(&query);
    tap.wait(500);
    tap.frame(&query);
    assert_eq!(tap.ledger.copies.value(), 1);
    tap.wait(3_000);
    tap.frame(&query);
    assert_eq!(tap.ledger.copies.value(), 1, "a repetition after a second is no copy");
    assert_eq!(tap.names(), [(Signal::DnsQuery, "example.com")]);
    tap.wait(2_000);
    tap.frame(&query);
    assert_eq!(tap.names().len(), 2);
    let udp = &tap.ledger.dns[DnsTransport::Udp as usize];
    assert_eq!(udp[DnsOutcome::Repeated as usize].value(), 2);
    tap.assert_conserved();
}

/// What the mirror copies is one message, also where no question tells it from others.
#[test]
fn a_copy_is_no_message_whatever_it_says() {
    let host = |port| Ends::v4(50_000, port);
    let announcement = dns(0, true, "", &[(16, b"\x04a=b1".to_vec())]);
    let mut update = dns(9, false, "example.com", &[]);
    update[2] |= 5 << 3;
    let mut forward = dns(9, false, "example.com", &[]);
    forward.splice(12.., [0xc0, 40, 0, 1, 0, 1]);
    for (transport, octets, outcome) in [
        (DnsTransport::Mdns, announcement, DnsOutcome::Response),
        (DnsTransport::Udp, update, DnsOutcome::OtherOpcode),
        (DnsTransport::Udp, forward, DnsOutcome::Malformed),
    ] {
        let port = if transport == DnsTransport::Mdns { 5_353 } else { 53 };
        let mut tap = Tap::new(Settings::default());
        for _ in 0..2 {
            tap.frame(&host(port).udp(&octets));
            tap.wait(300);
            tap.frame(&host(port).udp(&octets));
            tap.wait(2_000);
        }
        let mut other = octets.clone();
        other[1] ^= 1;
        tap.frame(&host(port).udp(&other));
        let counts = &tap.ledger.dns[transport as usize];
        assert_eq!(counts[outcome as usize].value(), 3, "{outcome:?}");
        assert_eq!(counts[DnsOutcome::Repeated as usize].value(), 2, "{outcome:?}");
        assert_eq!(tap.ledger.copies.value(), 2);
        tap.assert_conserved();
    }
}

#[test]
fn an_answer_is_named_only_where_its_question_was_not_seen() {
    let ends = Ends::v4(50_000, 53);
    let records = [(5, dns_name("edge.cdn.example")), (1, vec![192, 0, 2, 80])];
    let answer = ends.reversed().udp(&dns(9, true, "www.example.com", &records));
    let link = (Signal::DnsAnswer, "edge.cdn.example");

    let mut tap = Tap::new(Settings::default());
    tap.frame(&ends.udp(&dns(9, false, "www.example.com", &[])));
    tap.frame(&answer);
    tap.frame(&answer);
    assert_eq!(tap.names(), [(Signal::DnsQuery, "www.example.com"), link]);

    let mut tap = Tap::new(Settings::default());
    tap.frame(&answer);
    assert_eq!(tap.names(), [(Signal::DnsAnswer, "www.example.com"), link]);
    let [Record::Answer(learned)] = &tap.heard.records[..] else {
        panic!("{:?}", tap.heard.records)
    };
    assert_eq!(learned.name, FlowHasher::new(Settings::default().seed).name("www.example.com"));
    assert_eq!(learned.address.to_string(), "192.0.2.80");
    assert_eq!(learned.client.to_string(), "192.0.2.10");
    assert_eq!(Duration::from_secs(learned.ttl.into()), Duration::from_secs(60));
}

/// By whichever port it goes: a snap length leaves the header, which tells it, and what it leaves of
/// the name is not the whole message.
#[test]
fn a_cut_message_is_counted_where_no_port_speaks_for_it() {
    for response in [false, true] {
        let ends = Ends::v4(50_000, 5_300);
        let records = [(1, vec![192, 0, 2, 80])];
        let message = dns(9, response, "www.example.com", &records[..usize::from(response)]);
        let frame = ends.udp(&message);
        let headers = frame.len() - message.len();
        for len in headers + 14..frame.len() {
            let mut tap = Tap::new(Settings::default());
            tap.cut(&frame, len);
            let udp = DnsTransport::Udp as usize;
            assert_eq!(tap.ledger.dns_begun[udp].value(), 1, "{len}");
            assert_eq!(tap.ledger.dns[udp][DnsOutcome::Truncated as usize].value(), 1, "{len}");
            assert_eq!(tap.names().len(), usize::from(len - headers >= 33), "{len}");
            tap.assert_conserved();
        }
    }
}

#[test]
fn every_cut_of_an_answer_yields_what_lies_before_it() {
    let ends = Ends::v4(50_000, 53);
    let records = [(1, vec![192, 0, 2, 80]), (1, vec![192, 0, 2, 81])];
    let message = dns(9, true, "www.example.com", &records);
    let frame = ends.reversed().udp(&message);
    let headers = frame.len() - message.len();
    for len in headers..frame.len() {
        let mut tap = Tap::new(Settings::default());
        tap.cut(&frame, len);
        let read = tap.heard.records.len();
        assert_eq!(read, (len - headers).saturating_sub(33) / 16, "{len}");
        let udp = &tap.ledger.dns[DnsTransport::Udp as usize];
        assert_eq!(udp[DnsOutcome::Truncated as usize].value(), 1);
        tap.assert_conserved();
    }
}

/// The ports of DNS are open where others are not, so other protocols use them.
#[test]
fn what_is_no_dns_on_its_ports_is_read_as_what_it_is() {
    let hello = client_hello_message(Some("tunnel.example"), 7, 0);
    let (head, tail) = hello[4..].split_at(2 + 32 + 1);
    let body = [head, &[0], tail].concat();
    let datagrams = [
        (Signal::QuicSni, initial(1, 0, &crypto(0, &hello))),
        (Signal::QuicSni, initial(0x6b33_43cf, 0, &crypto(0, &hello))),
        (Signal::DtlsSni, dtls(&body, 0, 0, body.len())),
    ];
    for port in [53, 5_353, 5_355] {
        for (signal, datagram) in &datagrams {
            let mut tap = Tap::new(Settings::default());
            tap.frame(&Ends::v4(40_000, port).udp(datagram));
            tap.finish();
            assert_eq!(tap.names(), [(*signal, "tunnel.example")], "port {port}");
            let begun = DnsTransport::ALL.map(|t| tap.ledger.dns_begun[t as usize].value());
            assert_eq!(begun, [0; 4]);
            tap.assert_conserved();
        }
    }
}

/// An empty message says nothing, and leaves nothing begun, wherever a segment ends in it.
#[test]
fn an_empty_message_in_a_stream_is_none() {
    let octets = [&stream(&[dns(7, false, "a.example", &[])])[..], &[0, 0]].concat();
    for cut in 1..octets.len() {
        let (ends, mut tap) = (Ends::v4(40_000, 53), Tap::new(Settings::default()));
        let (first, second) = octets.split_at(cut);
        let next = CLIENT + u32::try_from(cut).unwrap();
        tap.frame(&ends.tcp(CLIENT - 1, 0, SYN, b""));
        tap.frame(&ends.tcp(CLIENT, 1, ACK, first));
        tap.frame(&ends.tcp(next, 1, ACK, second));
        tap.assert_conserved();
        tap.finish();
        tap.assert_conserved();
        assert_eq!(tap.names(), [(Signal::DnsQuery, "a.example")], "cut at {cut}");
    }
}

/// NetBIOS names travel in messages like DNS's (RFC 1002 §4.2), and some keep-alives are a header of
/// zeros: neither is DNS, in a tunnel or not.
#[test]
fn what_only_looks_like_dns_is_none_in_a_tunnel_either() {
    let mut netbios = dns(7, false, "ckaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &[]);
    netbios[2..4].copy_from_slice(&[0x01, 0x10]);
    let frames = [
        Ends::v4(137, 137).udp(&netbios),
        Ends::v4(40_000, 9_999).udp(b"\x12\x34\x56\x78\0\0\0\0\0\0\0\0"),
    ];
    for frame in frames {
        let mut tap = Tap::new(Settings::default());
        tap.frame(&frame);
        let tunnelled = [&[8, 0, 0, 0, 0, 0, 42, 0][..], &frame].concat();
        tap.frame(&Ends::v4(50_000, 4_789).udp(&tunnelled));
        tap.finish();
        assert!(tap.names().is_empty(), "{:?}", tap.names());
        let begun: u64 = tap.ledger.dns_begun.iter().map(Counter::value).sum();
        assert_eq!(begun, 0);
        tap.assert_conserved();
    }
}
