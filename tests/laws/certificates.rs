//! Certificates in the clear.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, SanType};
use vendorwatch::detect::{Correlator, Event, Limits, Record};
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::Settings;
use vendorwatch::signature::{Set, Strength, embedded};
use vendorwatch::visibility::HandshakeOutcome;

use super::SERVER;
use super::tls::{CLIENT, NAME, outcome};
use crate::support::handshake::{message, records, vector16};
use crate::support::talk::{ACK, Ends, RST, SYN, Tap, client_hello};

/// A ServerHello of TLS 1.2, and a certificate in the clear for these hosts.
fn server_flight(hosts: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names =
        hosts.iter().map(|&host| SanType::DnsName(host.try_into().unwrap())).collect();
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let chain = [&[0][..], &vector16(certificate.der())].concat();
    let hello = [&[3, 3][..], &[9; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let messages = [message(2, &hello), message(11, &[&[0][..], &vector16(&chain)].concat())];
    records(&messages.concat(), 1 << 14)
}

/// Whichever of the two directions a mirror delivers first, and on whichever port; and what a
/// server says in clear is nothing that its client asked for.
#[test]
fn a_certificate_in_the_clear_is_seen_in_any_order() {
    let hello = client_hello(None, 3, 0, 1 << 14);
    let flight = server_flight(&["cert.example"]);
    let begun = CLIENT + 1;
    let next = begun + u32::try_from(hello.len()).unwrap();
    for port in [443, 53] {
        for client_first in [true, false] {
            let (ends, mut tap) = (Ends::v4(40_000, port), Tap::new(Settings::default()));
            tap.frame(&ends.tcp(CLIENT, 0, SYN, b""));
            tap.frame(&ends.reversed().tcp(SERVER - 1, begun, SYN | ACK, b""));
            let mut frames = [
                ends.tcp(begun, SERVER, ACK, &hello),
                ends.reversed().tcp(SERVER, next, ACK, &flight),
            ];
            if !client_first {
                frames.reverse();
            }
            for frame in &frames {
                tap.frame(frame);
            }
            tap.finish();
            // On the port of DNS a server's octets are only read for what its client began.
            let read = client_first || port != 53;
            let names = if read { vec![(Signal::TlsCert, "cert.example")] } else { vec![] };
            assert_eq!(tap.names(), names, "port {port}, client first: {client_first}");
            assert_eq!(outcome(&tap, HandshakeOutcome::OneWay), 0);
            tap.assert_conserved();
        }
    }
    // Behind words in clear, as of a mail server or a proxy, which nobody follows.
    let (ends, mut tap) = (Ends::v4(40_000, 25), Tap::new(Settings::default()));
    tap.frame(&ends.tcp(CLIENT, 0, SYN, b""));
    tap.frame(&ends.reversed().tcp(SERVER - 1, begun, SYN | ACK, b""));
    tap.frame(&ends.reversed().tcp(SERVER, begun, ACK, b"220 ready\r\n"));
    tap.frame(&ends.reversed().tcp(SERVER + 11, begun, ACK, &flight));
    tap.finish();
    assert_eq!(tap.names(), [(Signal::TlsCert, "cert.example")]);
    tap.assert_conserved();

    let (ends, mut tap) = (Ends::v4(40_000, 53), Tap::new(Settings::default()));
    tap.frame(&ends.tcp(CLIENT, 0, SYN, b""));
    let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    tap.frame(&ends.reversed().tcp(SERVER, begun, ACK, request));
    tap.finish();
    assert!(tap.names().is_empty());
}

/// The client does not like the certificate, and its direction is delivered first.
#[test]
fn a_certificate_that_its_client_reset_the_connection_for_is_seen() {
    let hello = client_hello(Some(NAME), 3, 0, 1 << 14);
    let flight = server_flight(&["cert.example"]);
    let (begun, half) = (CLIENT + 1, flight.len() / 2);
    let next = begun.wrapping_add(u32::try_from(hello.len()).unwrap());
    let told = SERVER + u32::try_from(flight.len()).unwrap();
    for come in [0, half] {
        let (ends, mut tap) = (Ends::v4(40_000, 443), Tap::new(Settings::default()));
        tap.frame(&ends.tcp(CLIENT, 0, SYN, b""));
        tap.frame(&ends.reversed().tcp(SERVER - 1, begun, SYN | ACK, b""));
        tap.frame(&ends.tcp(begun, SERVER, ACK, &hello));
        let late = SERVER + u32::try_from(come).unwrap();
        if come > 0 {
            tap.frame(&ends.reversed().tcp(SERVER, next, ACK, &flight[..come]));
        }
        tap.frame(&ends.tcp(next, told, RST | ACK, b""));
        tap.frame(&ends.reversed().tcp(late, next, ACK, &flight[come..]));
        tap.finish();
        assert_eq!(tap.names(), [(Signal::TlsSni, NAME), (Signal::TlsCert, "cert.example")]);
        tap.assert_conserved();
    }
}

/// A certificate of names that many share is presented to whoever asks for one of them.
#[test]
fn a_certificate_bears_no_more_than_the_least_of_its_names() {
    let set = Arc::new(Set::build(embedded::files().unwrap()).unwrap());
    let (update, site) = ("s00.upd.kaspersky.com", "www.kaspersky.com");
    let product = Some((update, Strength::Strong));
    let moderate = set.lookup("a.ksc.kaspersky.com").unwrap().indicator;
    assert_eq!(moderate.strength, Strength::Moderate);
    for (hosts, found, is_own) in [
        (&[update][..], product, true),
        (&[update, "s01.upd.kaspersky.com"], product, true),
        (&[update, site], Some((site, Strength::Weak)), true),
        (&[update, "a.ksc.kaspersky.com"], Some(("a.ksc.kaspersky.com", Strength::Moderate)), true),
        (&["www.shop.example", update], Some((update, Strength::Weak)), false),
        (&[update, "www.shop.example"], Some((update, Strength::Weak)), false),
        (&[update, "dev.hik-connect.com"], Some((update, Strength::Weak)), false),
        (&["www.shop.example"], None, false),
    ] {
        let (ends, mut tap) =
            (Ends::v4(40_000, 443), Tap::with_set(Arc::clone(&set), Settings::default()));
        let hello = client_hello(Some("www.shop.example"), 3, 0, 1 << 14);
        let begun = CLIENT + 1;
        let next = begun.wrapping_add(u32::try_from(hello.len()).unwrap());
        tap.frame(&ends.tcp(CLIENT, 0, SYN, b""));
        tap.frame(&ends.reversed().tcp(SERVER - 1, begun, SYN | ACK, b""));
        tap.frame(&ends.tcp(begun, SERVER, ACK, &hello));
        tap.frame(&ends.reversed().tcp(SERVER, next, ACK, &server_flight(hosts)));
        tap.frame(&ends.tcp(next, SERVER + 9_000, ACK, &[0x17; 100]));
        tap.finish();
        let names: Vec<_> = hosts.iter().map(|&host| (Signal::TlsCert, host)).collect();
        assert_eq!(tap.names()[1..], names, "each is seen");
        let volume = tap.heard.records.iter().any(|one| matches!(one, Record::Volume(_)));
        assert_eq!(volume, is_own, "{hosts:?}");
        let mut correlator =
            Correlator::new(&Limits::default(), 1, Arc::clone(&set), Arc::default());
        let mut detected = Vec::new();
        let mut each = |event: Event<'_>| {
            if let Event::Detected(one) = event {
                detected.push((one.detection.name.to_string(), one.strength));
            }
        };
        correlator.push(0, &mut tap.heard.records, &mut each);
        correlator.finish(&mut each);
        let found: Vec<_> = found.into_iter().map(|(name, s)| (name.to_owned(), s)).collect();
        assert_eq!(detected, found, "{hosts:?}");
    }
}
