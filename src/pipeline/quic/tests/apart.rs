//! Connections that resemble each other are told apart.

use super::*;

/// Chrome's own ID is empty.
#[test]
fn a_retry_is_the_same_connection_whatever_its_client_calls_itself() {
    let message = hello(b"a.example", 300);
    for scid in [&b""[..], b"client"] {
        let mut bench = Bench::default();
        let mut client = Client::new(Version::V1, DCID, scid);
        bench.datagram(path(50_000), &client.initial(&crypto(0, &message), 1_200));
        let mut retried = Client::new(Version::V1, b"retry-id", scid);
        retried.token = b"token".to_vec();
        bench.datagram(path(50_000), &retried.initial(&crypto(0, &message), 1_200));
        bench.later(60_000);
        assert_eq!((bench.names(), bench.outcomes().len()), (vec!["a.example"], 1), "{scid:?}");
    }
}

/// A token may be of an earlier connection (RFC 9000 §8.1.3), and what comes after a Retry may be
/// in several datagrams: it is what the hello says that tells a connection from the same one.
#[test]
fn a_token_is_no_proof_of_a_retry() {
    for scid in [&b""[..], b"client"] {
        for len in [300, 1_800] {
            let (first, second) = (hello(b"first.example", len), hello(b"second.example", len));
            let mut bench = Bench::default();
            let mut send = |id: &[u8], token: &[u8], message: &[u8]| {
                let mut client = Client::new(Version::V1, id, scid);
                client.token = token.to_vec();
                for (part, piece) in message.chunks(900).enumerate() {
                    let packet = client.initial(&crypto(900 * part, piece), 1_200);
                    bench.datagram(path(50_000), &packet);
                    bench.names();
                }
            };
            send(DCID, b"", &first);
            send(b"retry-id", b"token", &first);
            send(b"second-id", b"another token", &second);
            send(b"other-retry-id", b"token again", &second);
            send(b"second-id", b"another token", &second);
            bench.later(60_000);
            assert_eq!(bench.names(), ["first.example", "second.example"], "{scid:?} {len}");
            assert_eq!(bench.outcomes(), [HandshakeOutcome::Named; 2], "{scid:?} {len}");
        }
    }
}

/// A hello that is never finished, and one with the same ID and a token: neither is heard as the
/// other, also where they agree as far as the first goes.
#[test]
fn an_unfinished_hello_is_not_mixed_with_another() {
    let (decoy, hidden) = (hello(b"decoy0.example", 1_800), hello(b"hidden.example", 1_800));
    for known in [900, decoy.len() - 2] {
        for scid in [&b""[..], b"client"] {
            let mut bench = Bench::default();
            let mut client = Client::new(Version::V1, DCID, scid);
            bench.datagram(path(50_000), &client.initial(&crypto(0, &decoy[..known]), 1_200));
            let mut next = Client::new(Version::V1, b"second-id", scid);
            next.token = b"token".to_vec();
            for (part, piece) in hidden.chunks(900).enumerate() {
                bench.datagram(path(50_000), &next.initial(&crypto(900 * part, piece), 1_200));
                bench.names();
            }
            let rest = client.initial(&crypto(known, &decoy[known..]), 1_200);
            bench.datagram(path(50_000), &rest);
            bench.later(60_000);
            assert_eq!(bench.names(), ["hidden.example", "decoy0.example"], "{known} {scid:?}");
            assert_eq!(bench.outcomes().len(), 2, "{known} {scid:?}");
        }
    }
}

/// Whoever chooses an ID twice, or that of somebody else.
#[test]
fn an_id_that_is_used_again_hides_nobody() {
    let hidden = hello(b"hidden.example", 1_800);
    let stranger =
        Path { source: Endpoint { port: 50_000, addr: Addr::from_v4([192, 0, 2, 77]) }, ..path(0) };
    let elsewhere = Path {
        destination: Endpoint { port: 443, addr: Addr::from_v4([198, 51, 100, 99]) },
        ..path(50_001)
    };
    for second in [stranger, elsewhere] {
        for whole in [true, false] {
            let mut bench = Bench::default();
            let first = hello(b"first.example", if whole { 300 } else { 1_800 });
            let cut = first.len().min(900);
            let mut one = Client::new(Version::V1, DCID, b"one");
            let mut other = Client::new(Version::V1, DCID, b"other");
            bench.datagram(path(50_000), &one.initial(&crypto(0, &first[..cut]), 1_200));
            bench.datagram(second, &other.initial(&crypto(0, &hidden[..900]), 1_200));
            bench.datagram(second, &other.initial(&crypto(900, &hidden[900..]), 1_200));
            if !whole {
                bench.datagram(path(50_000), &one.initial(&crypto(900, &first[900..]), 1_200));
            }
            bench.later(60_000);
            let mut names = bench.names();
            names.sort_unstable();
            assert_eq!(names, ["first.example", "hidden.example"], "whole: {whole}");
            let its = bench.said.iter().find(|said| said.1.as_deref() == Some("hidden.example"));
            assert_eq!(its.unwrap().3, second);
        }
    }
}

/// Several connections may share two sockets (RFC 9000 §5.1): resolvers and proxies have them so.
#[test]
fn connections_between_the_same_sockets_do_not_disturb_each_other() {
    let (one, other) = (hello(b"one.example", 1_800), hello(b"other.example", 1_800));
    // What is said twice is sent twice: a repetition is no copy.
    let whole = hello(b"other.example", 300);
    let mut a = Client::new(Version::V1, DCID, b"one");
    let mut b = Client::new(Version::V1, b"other-id", b"other");
    let mut bench = Bench::default();
    bench.datagram(path(50_000), &a.initial(&crypto(0, &one[..900]), 1_200));
    for _ in 0..3 {
        bench.datagram(path(50_000), &b.initial(&crypto(0, &whole), 1_200));
    }
    bench.datagram(path(50_000), &a.initial(&crypto(900, &one[900..]), 1_200));
    bench.later(60_000);
    assert_eq!(bench.names(), ["other.example", "one.example"]);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named; 2]);
    for order in ["ABab", "ABba", "AaBb", "AbBa", "bABa"] {
        let mut a = Client::new(Version::V1, DCID, b"one");
        let mut b = Client::new(Version::V1, b"other-id", b"other");
        let mut bench = Bench::default();
        for piece in order.chars() {
            let packet = match piece {
                'A' => a.initial(&crypto(0, &one[..900]), 1_200),
                'a' => a.initial(&crypto(900, &one[900..]), 1_200),
                'B' => b.initial(&crypto(0, &other[..900]), 1_200),
                _ => b.initial(&crypto(900, &other[900..]), 1_200),
            };
            // A mirror may deliver each twice.
            bench.datagram(path(50_000), &packet);
            bench.datagram(path(50_000), &packet);
            bench.names();
        }
        bench.later(60_000);
        let mut names = bench.names();
        names.sort_unstable();
        assert_eq!(names, ["one.example", "other.example"], "{order}");
        assert_eq!(bench.copies(), 4, "{order}");
        assert_eq!(bench.outcomes(), [HandshakeOutcome::Named; 2], "{order}");
    }
}

/// Nobody refused the first version, or somebody another client's.
#[test]
fn another_version_between_the_same_sockets_ends_no_hello() {
    let (halves, other) = (hello(b"halves.example", 1_800), hello(b"other.example", 300));
    for scid in [&b""[..], b"client", b"other"] {
        for offers in [false, true] {
            let mut bench = Bench::default();
            let mut client = Client::new(Version::V1, DCID, scid);
            bench.datagram(path(50_000), &client.initial(&crypto(0, &halves[..900]), 1_200));
            if offers {
                let offer = b"\x80\0\0\0\0\x05other\x08other-id\0\0\0\x01";
                bench.datagram(path(50_000).reversed(), offer);
            }
            let mut next = Client::new(Version::V2, b"other-id", b"other");
            bench.datagram(path(50_000), &next.initial(&crypto(0, &other), 1_200));
            bench.names();
            bench.datagram(path(50_000), &client.initial(&crypto(900, &halves[900..]), 1_200));
            bench.later(60_000);
            assert_eq!(bench.names(), ["other.example", "halves.example"], "{scid:?} {offers}");
            assert_eq!(bench.outcomes(), [HandshakeOutcome::Named; 2], "{scid:?} {offers}");
        }
    }
}

/// The rest of a hello may come with the server's ID, whether the server was seen or not.
#[test]
fn connections_between_the_same_sockets_may_each_go_on_with_its_servers_id() {
    let names = ["a.example", "b.example", "c.example"];
    for scids in [[&b"one"[..], b"two", b"three"], [&b""[..]; 3], [&b"same"[..]; 3]] {
        for seen in [false, true] {
            for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
                let mut bench = Bench::default();
                let messages = names.map(|name| hello(name.as_bytes(), 1_800));
                let ids = [[b'1'; 8], [b'2'; 8], [b'3'; 8]];
                let mut clients: Vec<_> = ids
                    .iter()
                    .zip(scids)
                    .map(|(id, scid)| Client::new(Version::V1, id, scid))
                    .collect();
                for (client, message) in clients.iter_mut().zip(&messages) {
                    let packet = client.initial(&crypto(0, &message[..900]), 1_200);
                    bench.datagram(path(50_000), &packet);
                }
                for number in order {
                    let id = [b'x', u8::try_from(number).unwrap()];
                    if seen {
                        let mut server = Client::new(Version::V1, scids[number], &id);
                        bench.datagram(path(50_000).reversed(), &server.initial(&[0], 1_200));
                    }
                    let client = &mut clients[number];
                    client.dcid = id.to_vec();
                    let packet = client.initial(&crypto(900, &messages[number][900..]), 1_200);
                    bench.datagram(path(50_000), &packet);
                    bench.names();
                }
                bench.later(60_000);
                let its = order.map(|number| names[number]);
                assert_eq!(bench.names(), its, "{scids:?} {seen} {order:?}");
                assert_eq!(bench.outcomes().len(), 3, "{scids:?} {seen} {order:?}");
                assert_eq!(bench.flights.beside.len(), 0);
            }
        }
    }
}

/// A client may choose all that its next connection could be taken for the same by.
#[test]
fn a_decoy_hides_nothing() {
    let hidden = hello(b"hidden.example", 300);
    for (decoy, version) in [(300, Version::V1), (300, Version::V2), (1_800, Version::V1)] {
        for scid in [&b""[..], b"me"] {
            let mut bench = Bench::default();
            let first = hello(b"innocent.example", decoy);
            let mut client = Client::new(Version::V1, DCID, scid);
            let begins = &first[..first.len().min(900)];
            bench.datagram(path(50_000), &client.initial(&crypto(0, begins), 1_200));
            let mut next = Client::new(version, b"second-id", scid);
            bench.datagram(path(50_000), &next.initial(&crypto(0, &hidden), 1_200));
            bench.later(60_000);
            assert!(bench.names().contains(&"hidden.example"), "{decoy} {version} {scid:?}");
        }
    }
}

/// What is cut off takes the proof of the keys with it.
#[test]
fn a_packet_that_was_cut_ends_no_hello_between_the_same_sockets() {
    let (one, other) = (hello(b"one.example", 1_800), hello(b"other.example", 100));
    let mut a = Client::new(Version::V1, DCID, b"one");
    let mut b = Client::new(Version::V1, b"other-id", b"other");
    let mut bench = Bench::default();
    bench.datagram(path(50_000), &a.initial(&crypto(0, &one[..900]), 1_200));
    // A cut copy, from another mirror, of what is to come with the ID of a server that is unseen.
    a.dcid = b"server-id".to_vec();
    let rest = a.initial(&crypto(900, &one[900..]), 1_200);
    bench.cut(path(50_000), &rest[..300], rest.len());
    bench.cut(path(50_000), &b.initial(&crypto(0, &other), 1_200)[..256], 1_200);
    bench.names();
    bench.datagram(path(50_000), &rest);
    bench.later(60_000);
    assert_eq!(bench.names(), ["other.example", "one.example"]);
    assert_eq!(bench.outcomes(), [HandshakeOutcome::Named; 2]);
}

/// What is cut off takes the proof of the keys with it.
#[test]
fn a_server_that_was_cut_is_not_taken_for_its_client() {
    let mut server = Client::new(Version::V1, b"server keys", b"server-id");
    server.dcid = b"client-id".to_vec();
    let answer = server.initial(&crypto(0, b"\x02"), 1_200);
    let mut client = Client::new(Version::V1, DCID, b"client-id");
    let first = client.initial(&crypto(0, &hello(b"a.example", 100)), 1_200);
    let mut bench = Bench::default();
    bench.cut(path(50_000).reversed(), &answer[..256], 1_200);
    bench.names();
    bench.cut(path(50_000), &first[..256], 1_200);
    bench.later(60_000);
    assert_eq!(bench.names(), ["a.example"]);
    assert_eq!((bench.outcomes().len(), bench.said[0].3), (1, path(50_000)));
}
