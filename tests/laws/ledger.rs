//! Accounts and budgets, whatever comes.

use proptest::prelude::*;
use vendorwatch::export::account::Account;
use vendorwatch::pipeline::{Budgets, Settings, quic};
use vendorwatch::visibility::TableName;

use crate::support::handshake::{crypto, dtls, initial_to};
use crate::support::talk::{
    ACK, Ends, FIN, SYN, Tap, client_hello, client_hello_message, dns, server_hello,
};

/// Beginnings of what the pipeline knows, whole, cut and damaged.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let seeds = prop_oneof![
        Just(client_hello(Some("www.example.com"), 5, 0, 1 << 14)),
        Just(client_hello(Some("www.example.com"), 6, 700, 90)),
        Just(client_hello(None, 7, 0, 1 << 14)),
        Just(server_hello(8)),
        Just([&[0, 33][..], &dns(1, false, "www.example.com", &[])].concat()),
        Just(dns(2, false, "www.example.com", &[])),
        Just(dns(2, true, "www.example.com", &[(1, vec![192, 0, 2, 1])])),
        proptest::collection::vec(any::<u8>(), 0..60),
    ];
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (seeds, any::<prop::sample::Index>(), any::<bool>(), damage).prop_map(
        |(mut payload, cut, whole, damage)| {
            if !payload.is_empty() {
                for (at, octet) in damage {
                    let at = at.index(payload.len());
                    payload[at] = octet;
                }
                if !whole {
                    payload.truncate(cut.index(payload.len()));
                }
            }
            payload
        },
    )
}

#[derive(Clone, Debug)]
struct Step {
    client_port: u16,
    server_port: u16,
    from_server: bool,
    udp: bool,
    sequence: u32,
    flags: u8,
    payload: Vec<u8>,
    captured: usize,
    wait: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ports = (40_000u16..40_003, prop_oneof![Just(443u16), Just(53), Just(853), Just(5_353)]);
    let wait = prop_oneof![8 => 0u64..50, 1 => 900u64..40_000];
    let captured = prop_oneof![5 => Just(usize::MAX), 1 => 0usize..200];
    let step = (ports, any::<(bool, bool)>(), 0u32..900, 0u8..32, payloads(), captured, wait)
        .prop_map(
            |(
                (client_port, server_port),
                (from_server, udp),
                sequence,
                flags,
                payload,
                captured,
                wait,
            )| {
                Step {
                    client_port,
                    server_port,
                    from_server,
                    udp,
                    sequence,
                    flags,
                    payload,
                    captured,
                    wait,
                }
            },
        );
    proptest::collection::vec(step, 0..120)
}

fn play(tap: &mut Tap, steps: &[Step]) {
    for step in steps {
        let mut ends = Ends::v4(step.client_port, step.server_port);
        if step.from_server {
            ends = ends.reversed();
        }
        let frame = if step.udp {
            ends.udp(&step.payload)
        } else {
            ends.tcp(step.sequence, step.sequence, step.flags, &step.payload)
        };
        tap.wait(step.wait);
        tap.cut(&frame, step.captured);
        tap.assert_conserved();
    }
}

proptest! {
    /// At every moment what began is what ended and what is pending; at the end nothing is.
    #[test]
    fn accounts_balance_at_every_moment(steps in steps(), small: bool) {
        let mut settings = Settings::default();
        if small {
            settings.budgets = Budgets { connections: 1, recent: 1, ..Budgets::default() };
        }
        let mut tap = Tap::new(settings);
        play(&mut tap, &steps);
        tap.finish();
        tap.assert_conserved();
        for protocol in vendorwatch::visibility::HandshakeProtocol::ALL {
            prop_assert_eq!(tap.pipeline.pending_handshakes(protocol), 0);
        }
    }

    /// What is seen does not depend on the seed of the hashes.
    #[test]
    fn the_seed_shows_nowhere(steps in steps(), seed: u64) {
        let mut one = Tap::new(Settings::default());
        let mut other = Tap::new(Settings { seed, ..Settings::default() });
        play(&mut one, &steps);
        play(&mut other, &steps);
        one.finish();
        other.finish();
        prop_assert_eq!(one.names(), other.names());
        prop_assert_eq!(one.heard.records.len(), other.heard.records.len());
        for (a, b) in one.heard.records.iter().zip(&other.heard.records) {
            prop_assert_eq!(a.origin(), b.origin());
        }
    }
}

#[test]
fn a_flood_of_beginnings_stays_in_its_budget() {
    let budget = 1 << 20;
    // Less than ten seconds of this flood fill.
    let recent = 1 << 16;
    let budgets = Budgets { connections: budget, recent, ..Budgets::default() };
    let mut tap = Tap::new(Settings { budgets, ..Settings::default() });
    let hello = client_hello(Some("www.example.com"), 5, 3_000, 1 << 14);
    for n in 0..40_000u32 {
        let port = u16::try_from(n % 60_000).unwrap();
        let ends = if n % 2 == 0 { Ends::v4(port, 443) } else { Ends::v6(port, 8_443) };
        tap.frame(&ends.tcp(n, 0, SYN, &[]));
        // Beyond a hole, so that it is kept.
        tap.frame(&ends.tcp(n + 900, 0, 16, &hello[900..2_000]));
        tap.frame(&ends.udp(&dns(u16::try_from(n % 65_521).unwrap(), false, "flood.example", &[])));
    }
    tap.wait(1_500);
    tap.frame(&Ends::v4(1, 2).udp(b"publishes the tables' use"));
    for (name, budget) in [(TableName::Connections, budget), (TableName::Recent, recent)] {
        let table = &tap.ledger.tables[name as usize];
        assert!(table.bytes.value() <= budget as u64, "{name:?}: {}", table.bytes.value());
        assert!(table.evicted.value() > 0, "{name:?} gave nothing up");
    }
    tap.assert_conserved();
}

/// Beginnings of every kind at once, none of which ends: QUIC and DTLS hellos, DNS and HTTP in
/// streams, and datagrams in fragments.
#[test]
fn a_flood_of_every_kind_stays_in_its_budgets() {
    let budget = 1 << 18;
    let budgets = Budgets {
        connections: budget,
        recent: budget,
        quic: quic::Limits { flight_bytes: budget, settled: 64, derivations_per_second: 1 << 30 },
        volumes: budget,
        sample: budget,
        dtls: budget,
        fragments: budget,
    };
    let mut tap = Tap::new(Settings { budgets, ..Settings::default() });
    let hello = client_hello_message(Some("www.example.com"), 5, 2_000);
    for n in 0..4_000u16 {
        let ends = |port| Ends::v4(10_000 + n, port);
        tap.frame(&ends(80).tcp(1, 0, SYN, b"GET / HTTP/1.1\r\nCookie: "));
        tap.frame(&ends(80).tcp(999, 0, 16, &[b'c'; 900]));
        tap.frame(&ends(53).tcp(1, 0, SYN, &[0, 200, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
        tap.frame(&ends(4_433).udp(&dtls(&hello, 0, 0, 900)));
        let [high, low] = n.to_be_bytes();
        let first = initial_to([1, 2, 3, 4, 5, 6, high, low], 1, 0, &crypto(0, &hello[..0x400]));
        tap.frame(&ends(443).udp(&first));
        let mut fragment = ends(9).udp(&[7; 800]);
        // More Fragments, and an identification of its own (RFC 791 §3.1).
        fragment[18..22].copy_from_slice(&[high, low, 0x20, 0]);
        tap.frame(&fragment);
        if n % 100 == 0 {
            tap.assert_conserved();
        }
    }
    tap.wait(1_100);
    tap.frame(&Ends::v4(1, 2).udp(b"publishes the tables' use"));
    for name in TableName::ALL {
        let table = &tap.ledger.tables[name as usize];
        // Beside its flights QUIC keeps a few buffers and an index for the next ones.
        let allowed = if name == TableName::Quic { 2 * budget } else { budget };
        let bytes = table.bytes.value();
        assert!(bytes <= allowed as u64, "{name:?}: {bytes}");
    }
    for name in [TableName::Connections, TableName::Quic, TableName::Dtls, TableName::Fragments] {
        assert!(tap.ledger.tables[name as usize].evicted.value() > 0, "{name:?} gave nothing up");
    }
    tap.finish();
    tap.assert_conserved();
}

/// A connection is counted once, with a name or without one, whatever it speaks.
#[test]
fn a_connection_that_names_nothing_is_counted_as_well() {
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let streams: [&[u8]; 6] = [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: named.example\r\n\r\n",
        b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n",
        b"a1 LOGIN me pw\r\na2 LOGOUT\r\n",
        http2,
        b"\x7fneither of these",
    ];
    for (number, stream) in streams.into_iter().enumerate() {
        for closed in [true, false] {
            let ends = Ends::v4(40_000, 8_000);
            let mut tap = Tap::new(Settings::default());
            tap.frame(&ends.tcp(99, 0, SYN, b""));
            tap.frame(&ends.tcp(100, 5_000, ACK, stream));
            let end = 100 + u32::try_from(stream.len()).unwrap();
            if closed {
                tap.frame(&ends.tcp(end, 5_000, ACK | FIN, b""));
            }
            tap.finish();
            assert_eq!(tap.connections(), 1, "{number}, closed: {closed}");
            assert_eq!(tap.names().len(), usize::from(number == 1), "{number}, closed: {closed}");
        }
    }
}

/// A hello with an encrypted name counts as named where it has a name in the clear too, and what
/// the account says of one without is true of it.
#[test]
fn a_hello_whose_name_is_encrypted_is_unnamed_only_without_one_in_the_clear() {
    for (name, named) in [(Some("cover.example"), true), (None, false)] {
        // The filler becomes an `encrypted_server_name`, the forerunner of ECH.
        let mut hello = client_hello(name, 7, 90, 1 << 14);
        let filler = hello.windows(2).position(|pair| pair == [0x77, 0x77]).unwrap();
        hello[filler..filler + 2].copy_from_slice(&[0xff, 0xce]);
        let mut tap = Tap::new(Settings::default());
        let ends = Ends::v4(40_000, 443);
        tap.frame(&ends.tcp(99, 0, SYN, b""));
        tap.frame(&ends.tcp(100, 5_000, ACK, &hello));
        tap.finish();
        let account = Account::of([&*tap.ledger], 0, None);
        let (line, others) =
            if named { (&account.seen, &account.unseen) } else { (&account.unseen, &account.seen) };
        let of_tls: Vec<_> = line.iter().filter(|line| line.what.starts_with("TLS")).collect();
        assert_eq!(of_tls.iter().map(|line| line.count).sum::<u64>(), 1, "{account:?}");
        assert!(!others.iter().any(|line| line.what.starts_with("TLS")), "{account:?}");
        if !named {
            let words = "TLS handshakes whose name is encrypted (ECH), with none in the clear";
            assert_eq!(of_tls[0].what, words);
        }
    }
}
