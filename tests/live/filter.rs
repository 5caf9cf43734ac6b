//! The in-kernel flow filter, on the ring's socket and in the driver: what passes, what is
//! counted, and that nothing is neither.

use std::process::Command;
use std::time::Duration;

use vendorwatch::capture::Source;
use vendorwatch::capture::bpf::{Exchange, SkipReason, Volume};
use vendorwatch::capture::live::{Backend, Lacking, Live, Options, open_live};
use vendorwatch::frame::SourceId;
use vendorwatch::inspect::quic::Version;
use vendorwatch::net::{Addr, Endpoint, IpProtocol, Pair, Path, TenantId, Wish};

use super::lab::{Lab, Sender, ip, open, take, wait_for_free_driver};
use super::packets::{End, Flag, SERVER, hello, tagged, tcp, tcp6, udp, vxlan};

fn options(backend: Backend) -> Options {
    Options {
        backend,
        ring_bytes: 32 << 20,
        retire: Duration::from_millis(5),
        sampled: Some(SAMPLED),
        ..Options::default()
    }
}

/// Which flows pass whole: not those of [`client`].
const SAMPLED: u8 = 0x9e;

/// Runs a test with each of the two places for the filter.
fn both(test: impl Fn(&Sender, &mut Live)) {
    for backend in [Backend::Auto, Backend::Xdp] {
        let _lab = Lab::new();
        let mut opened = open(&options(backend));
        assert_eq!(opened.notices, [], "{backend:?}");
        assert_eq!(opened.backend, backend);
        test(&Sender::on("wire"), &mut opened.sources[0]);
    }
}

/// A client whose flows are not among those that pass whole as a sample.
const fn client() -> End {
    End([192, 0, 2, 10], 40_000)
}

fn path(from: End, to: End) -> Path {
    let end = |end: End| Endpoint { addr: Addr::from_v4(end.0), port: end.1 };
    Path {
        tenant: TenantId::NONE,
        protocol: IpProtocol::TCP,
        source: end(from),
        destination: end(to),
    }
}

/// Sends `frames` and says which of them were delivered.
fn delivered(sender: &Sender, source: &mut Live, frames: &[Vec<u8>]) -> Vec<bool> {
    let before = source.counters();
    for frame in frames {
        sender.send(frame);
    }
    let mut got = take(source, Duration::from_millis(50)).into_iter().map(|kept| kept.data);
    let mut next = got.next();
    let passed: Vec<_> = frames
        .iter()
        .map(|frame| {
            let here = next.as_ref() == Some(frame);
            if here {
                next = got.next();
            }
            here
        })
        .collect();
    assert_eq!(next, None, "a frame came that was not sent, or not in order");
    let after = source.counters();
    let skipped = after.skipped_in_kernel - before.skipped_in_kernel;
    let came = after.packets - before.packets;
    assert_eq!(came + skipped, frames.len() as u64, "every frame is delivered or counted");
    assert_eq!(after.skipped.total().packets, after.skipped_in_kernel);
    passed
}

fn skipped(source: &mut Live, reason: SkipReason) -> u64 {
    source.counters().skipped.0[reason as usize].packets
}

#[test]
#[ignore = "needs root"]
fn a_flow_passes_at_its_beginning_and_at_its_end() {
    both(|sender, source| {
        let client = client();
        let bulk = vec![0x17; 1_000];
        let frames = [
            tcp(client, SERVER, Flag::Syn, 999, 0, b""),
            tcp(SERVER, client, Flag::SynAck, 4_999, 1_000, b""),
            tcp(client, SERVER, Flag::Ack, 1_000, 5_000, b""), // an empty acknowledgment
            tcp(client, SERVER, Flag::Ack, 1_000, 5_000, &hello(1_200)[..600]),
            tcp(client, SERVER, Flag::Ack, 1_600, 5_000, &hello(1_200)[600..]),
            tcp(SERVER, client, Flag::Ack, 5_000, 2_209, &bulk),
            tcp(SERVER, client, Flag::Ack, 5_000 + 32_767, 2_209, &bulk), // the last one wanted
            tcp(SERVER, client, Flag::Ack, 5_000 + 32_768, 2_209, &bulk),
            tcp(SERVER, client, Flag::Ack, 900_000, 2_209, &bulk),
            tcp(client, SERVER, Flag::Ack, 190_000, 5_000, &bulk),
            tcp(client, SERVER, Flag::Fin, 91_000, 5_000, b""),
            tcp(SERVER, client, Flag::Rst, 901_000, 0, b""),
        ];
        let passed = delivered(sender, source, &frames);
        let t = true;
        let f = false;
        assert_eq!(passed, [t, t, f, t, t, t, t, f, f, f, t, t]);
        assert_eq!(skipped(source, SkipReason::TcpEmpty), 1);
        assert_eq!(skipped(source, SkipReason::TcpOutside), 3);
    });
}

#[test]
#[ignore = "needs root"]
fn pieces_of_a_hello_pass_in_any_order_and_again() {
    both(|sender, source| {
        let client = client();
        let whole = hello(4_000);
        let piece = |at: usize| {
            let seq = 1_000 + u32::try_from(at).unwrap();
            tcp(client, SERVER, Flag::Ack, seq, 5_000, &whole[at..(at + 1_300).min(whole.len())])
        };
        let frames = [
            tcp(client, SERVER, Flag::Syn, 999, 0, b""),
            piece(2_600),
            piece(0),
            piece(1_300),
            piece(0),
            piece(3_900),
        ];
        assert_eq!(delivered(sender, source, &frames), [true; 6]);
    });
}

#[test]
#[ignore = "needs root"]
fn without_its_beginning_a_flow_passes_from_the_next_hello_or_request() {
    both(|sender, source| {
        let client = client();
        let bulk = vec![0x17; 800];
        let begin = |octets: &[u8]| tcp(client, SERVER, Flag::Ack, 50_000, 7_000, octets);
        for beginning in [&hello(3_000)[..1_000], b"GET /x HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n"] {
            let client_next = tcp(client, SERVER, Flag::Ack, 51_000, 7_000, &bulk);
            let server_next = tcp(SERVER, client, Flag::Ack, 7_000, 51_000, &bulk);
            let frames = [client_next.clone(), begin(beginning), client_next, server_next];
            let passed = delivered(sender, source, &frames);
            // The first round finds a flow that nobody knows.
            assert_eq!(passed[1..], [true; 3]);
            source.wish(&path(client, SERVER), Wish::Done(50_000));
        }
        assert_eq!(skipped(source, SkipReason::TcpUnknown), 1);
        assert_eq!(skipped(source, SkipReason::TcpOutside), 2);
    });
}

#[test]
#[ignore = "needs root"]
fn what_is_not_plainly_tcp_or_udp_passes_whole() {
    both(|sender, source| {
        let client = client();
        let bulk = vec![0x17; 800];
        let plain = tcp(client, SERVER, Flag::Ack, 1, 1, &bulk);
        let mut fragment = plain.clone();
        fragment[20] = 0x20; // more fragments
        let mut cut = plain.clone();
        cut.truncate(14 + 20 + 10);
        let mut arp = plain.clone();
        arp[12..14].copy_from_slice(&[8, 6]);
        let mut icmp = plain.clone();
        icmp[23] = 1;
        let mut short = plain.clone();
        short[46] = 0x40; // a TCP header of sixteen octets
        let three = tagged(&plain, &[(0x8100, 1), (0x8100, 2), (0x8100, 3), (0x8100, 4)]);
        let frames = [
            fragment,
            cut,
            arp,
            icmp,
            short,
            vxlan(&plain, false, 1_111),
            udp(End([192, 0, 2, 1], 9), End([192, 0, 2, 2], 53), &bulk),
            udp(End([192, 0, 2, 1], 5353), End([224, 0, 0, 251], 5353), &bulk),
            tcp(client, End([192, 0, 2, 2], 53), Flag::Ack, 1, 1, &bulk),
        ];
        assert_eq!(delivered(sender, source, &frames), [true; 9]);
        // The outermost tag is taken out on the way, so this one is told apart by its length.
        sender.send(&three);
        assert_eq!(take(source, Duration::from_millis(50)).len(), 1);
    });
}

#[test]
#[ignore = "needs root"]
fn of_quic_the_long_headers_pass_and_dns_on_any_port() {
    both(|sender, source| {
        let client = End([192, 0, 2, 10], 40_000);
        let other = End([198, 51, 100, 7], 8_443);
        let packet = |first: u8, version: u32| {
            let mut octets = vec![first];
            octets.extend(version.to_be_bytes());
            octets.resize(1_200, 0);
            octets
        };
        let frames = [
            udp(client, SERVER, &packet(0xc3, 1)),
            udp(client, SERVER, &packet(0xd3, 0x0a1a_2a3a)), // a version not known here
            udp(client, other, &packet(0xc3, 1)),
            udp(client, other, &packet(0xd3, 0x6b33_43cf)),
            udp(SERVER, client, &packet(0x80, 0)), // Version Negotiation
            udp(client, SERVER, &packet(0x45, 0x0102_0304)),
            udp(SERVER, client, &packet(0x5f, 0xffff_ffff)),
            udp(client, other, &packet(0x45, 1)),
            udp(client, other, &packet(0x16, 0xfeff_0000)), // a DTLS handshake
            udp(client, other, &packet(0x17, 0xfefd_0000)), // DTLS data
            udp(client, other, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02b.\0\0\x01\0\x01"),
        ];
        let t = true;
        let f = false;
        assert_eq!(delivered(sender, source, &frames), [t, t, t, t, t, f, f, f, t, f, t]);
        assert_eq!(skipped(source, SkipReason::QuicShort), 2);
        assert_eq!(skipped(source, SkipReason::Udp), 2);
        // One of each family whose hellos are read.
        let versions = [
            1,
            0x6b33_43cf,
            0x709a_50c4,
            0xff00_0016,
            0xff00_0022,
            0xface_b001,
            0xface_b015,
            0x5130_3530,
            0x5430_3530,
            0x5430_3531,
        ];
        assert!(versions.iter().all(|&version| Version(version).scheme().is_some()));
        let frames = versions.map(|version| udp(client, other, &packet(0xc3, version)));
        assert_eq!(delivered(sender, source, &frames), [true; 10]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_whole_ipv6_packet_passes_on_any_port_that_of_quic_too() {
    both(|sender, source| {
        let (client, peer) = (End([192, 0, 2, 10], 40_000), End([198, 51, 100, 7], 41_000));
        let packet = |first: u8, length: u16| {
            let mut octets = vec![first, 0, 0, 0];
            octets.extend(length.to_be_bytes());
            octets.resize(140, 0x11);
            octets
        };
        let frames = [
            udp(client, peer, &packet(0x60, 100)),
            udp(client, SERVER, &packet(0x60, 100)),
            udp(SERVER, client, &packet(0x6f, 100)),
            udp(client, SERVER, &packet(0x60, 101)), // another length: no packet of IPv6
            udp(client, SERVER, &packet(0x50, 100)),
        ];
        assert_eq!(delivered(sender, source, &frames), [true, true, true, false, false]);
        assert_eq!(skipped(source, SkipReason::QuicShort), 2);
    });
}

#[test]
#[ignore = "needs root"]
fn tags_and_ipv6_change_nothing() {
    both(|sender, source| {
        let client = client();
        let bulk = vec![0x17; 800];
        let flow = |wrap: &dyn Fn(Vec<u8>) -> Vec<u8>, six: bool| {
            let segment = |flag, seq, octets: &[u8]| {
                wrap(if six {
                    tcp6(client, SERVER, flag, seq, octets)
                } else {
                    tcp(client, SERVER, flag, seq, 1, octets)
                })
            };
            [
                segment(Flag::Syn, 99, b""),
                segment(Flag::Ack, 100, &bulk),
                segment(Flag::Ack, 100_000, &bulk),
            ]
        };
        let inner = |frame: Vec<u8>| tagged(&frame, &[(0x8100, 7), (0x8100, 8)]);
        for (wrap, six) in [
            (&(|frame| frame) as &dyn Fn(Vec<u8>) -> Vec<u8>, true),
            (&inner, false),
            (&inner, true),
        ] {
            let before = source.counters();
            for frame in flow(wrap, six) {
                sender.send(&frame);
            }
            assert_eq!(take(source, Duration::from_millis(50)).len(), 2);
            assert_eq!(source.counters().skipped_in_kernel, before.skipped_in_kernel + 1);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn the_worker_closes_a_flow_and_opens_it_wider() {
    both(|sender, source| {
        let client = client();
        let bulk = vec![0x17; 800];
        let at = |offset: u32| tcp(client, SERVER, Flag::Ack, 1_000 + offset, 1, &bulk);
        delivered(sender, source, &[tcp(client, SERVER, Flag::Syn, 999, 0, b"")]);
        assert_eq!(delivered(sender, source, &[at(100), at(70_000)]), [true, false]);
        let back = tcp(SERVER, client, Flag::Ack, 500_000, 1, &bulk);
        source.wish(&path(client, SERVER), Wish::More);
        let passed = delivered(sender, source, &[at(100), at(70_000), at(9_000_000), back.clone()]);
        assert_eq!(passed, [true, true, true, false], "the client's octets alone");
        source.wish(&path(SERVER, client), Wish::More);
        assert_eq!(
            delivered(sender, source, &[at(70_000), back]),
            [true, true],
            "the server's too"
        );
        source.wish(&path(SERVER, client), Wish::Done(500_000));
        assert_eq!(delivered(sender, source, &[at(100), at(70_000)]), [false, false]);
        // The same ends in a tenant's tunnel are another flow's.
        let syn = tcp(client, SERVER, Flag::Syn, 999, 0, b"");
        delivered(sender, source, &[syn]);
        let tenants = Path { tenant: TenantId(1), ..path(client, SERVER) };
        source.wish(&tenants, Wish::Done(1_000));
        assert_eq!(delivered(sender, source, &[at(100), at(70_000)]), [true, false]);
        source.wish(&tenants, Wish::More);
        assert_eq!(delivered(sender, source, &[at(100), at(70_000)]), [true, false]);
        // A flow that the filter never saw is not made known by it.
        let stranger = End([192, 0, 2, 77], 1_234);
        source.wish(&path(stranger, SERVER), Wish::Done(1_000));
        let lone = tcp(stranger, SERVER, Flag::Ack, 1, 1, &bulk);
        let unknown = skipped(source, SkipReason::TcpUnknown);
        assert_eq!(delivered(sender, source, &[lone]), [false]);
        assert_eq!(skipped(source, SkipReason::TcpUnknown), unknown + 1);
    });
}

#[test]
#[ignore = "needs root"]
fn what_comes_late_passes_after_a_beginning_of_the_other_end() {
    both(|sender, source| {
        let client = client();
        let whole = hello(2_400);
        let piece = |from: usize, to: usize| {
            let seq = 1_000 + u32::try_from(from).unwrap();
            tcp(client, SERVER, Flag::Ack, seq, 5_000, &whole[from..to])
        };
        let frames = [
            tcp(client, SERVER, Flag::Syn, 999, 0, b""),
            piece(0, 1_200),
            // The ServerHello, before the last of what it answers.
            tcp(SERVER, client, Flag::Ack, 5_000, 3_400, b"\x16\x03\x03\x00\x7a\x02\0\0\x76"),
            piece(1_200, 2_400),
            tcp(SERVER, client, Flag::Ack, 5_100, 3_400, b"HTTP/1.1 200 OK"),
            piece(1_200, 2_400),
        ];
        assert_eq!(delivered(sender, source, &frames), [true; 6]);
    });
}

#[test]
#[ignore = "needs root"]
fn what_a_client_of_http2_says_passes_to_its_end() {
    both(|sender, source| {
        let client = client();
        let bulk = vec![0x17; 800];
        let at = |offset: u32| tcp(client, SERVER, Flag::Ack, 1_000 + offset, 1, &bulk);
        let frames = [
            tcp(client, SERVER, Flag::Ack, 1_000, 1, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            at(70_000),
            // Text in a DATA frame of either end, where a segment happens to begin.
            tcp(client, SERVER, Flag::Ack, 80_000, 1, b"AAAA and more of it"),
            tcp(SERVER, client, Flag::Ack, 1, 81_000, b"BBBB and more of it"),
            at(900_000_000),
            // And on, until sequence numbers are used again.
            at(1_900_000_000),
            at(4_000_000_000),
        ];
        assert_eq!(delivered(sender, source, &frames), [true; 7]);
    });
}

#[test]
#[ignore = "needs root"]
fn nothing_that_looks_like_a_beginning_narrows_what_is_wanted_to_its_end() {
    both(|sender, source| {
        let client = client();
        let bulk = vec![0x17; 800];
        let at =
            |offset: u32, octets: &[u8]| tcp(client, SERVER, Flag::Ack, 1_000 + offset, 1, octets);
        let frames = [
            at(0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            at(80_000, &hello(600)),
            at(1_000_000, &bulk),
            // From the other end, as text of an answer may look.
            tcp(SERVER, client, Flag::Ack, 1, 900_000, b"\x16\x03\x03\x00\x7a\x02\0\0\x76"),
            at(2_000_000, &bulk),
            // The ports are taken again: what is the new connection's, or what still was the old one's.
            tcp(client, SERVER, Flag::Syn, 3_999_999, 0, b""),
            tcp(SERVER, client, Flag::SynAck, 699_999, 4_000_000, b""),
            tcp(client, SERVER, Flag::Ack, 4_000_000, 700_000, &bulk),
            tcp(SERVER, client, Flag::Ack, 700_000, 4_000_800, &bulk),
            at(5_000_000, &bulk),
            // The other end is wanted for as long as ever.
            tcp(SERVER, client, Flag::Ack, 700_000 + 32_767, 4_000_800, &bulk),
            tcp(SERVER, client, Flag::Ack, 700_000 + 32_768, 4_000_800, &bulk),
        ];
        let passed = delivered(sender, source, &frames);
        assert_eq!(passed[..11], [true; 11]);
        assert!(!passed[11]);
        // Until the worker knows enough.
        source.wish(&path(client, SERVER), Wish::Done(5_000_000));
        assert_eq!(delivered(sender, source, &[at(6_000_000, &bulk)]), [false]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_beginning_at_one_end_leaves_the_other_what_is_wanted_of_it() {
    both(|sender, source| {
        let client = client();
        let bulk = vec![0x17; 800];
        let from_server = |seq: u32, octets: &[u8]| tcp(SERVER, client, Flag::Ack, seq, 1, octets);
        let syn = tcp(client, SERVER, Flag::Syn, 999, 0, b"");
        let accepted = tcp(SERVER, client, Flag::SynAck, 4_999, 1_000, b"");
        // A SYN that comes again, or behind its answer.
        let frames = [syn.clone(), accepted, syn, from_server(5_000, &bulk)];
        assert_eq!(delivered(sender, source, &frames), [true; 4]);
        source.wish(&path(SERVER, client), Wish::More);
        let frames = [
            from_server(900_000, &bulk),
            tcp(client, SERVER, Flag::Ack, 300_000, 900_000, b"GET / HTTP/1.1\r\n"),
            tcp(client, SERVER, Flag::Ack, 301_000, 900_000, &bulk),
            from_server(9_000_000, &bulk),
        ];
        assert_eq!(delivered(sender, source, &frames), [true; 4]);
    });
}

#[test]
#[ignore = "needs root"]
fn a_beginning_in_tiny_pieces_passes_whole_in_a_flow_that_was_closed_or_forgotten() {
    both(|sender, source| {
        let whole_hello = hello(1_000);
        let request: &[u8] = b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
        for (n, (whole, cut)) in
            (20_u8..).zip([(&*whole_hello, 5), (&*whole_hello, 1), (request, 4), (request, 1)])
        {
            let client = End([192, 0, 2, n], client().1);
            let at = |seq: u32, octets: &[u8]| tcp(client, SERVER, Flag::Ack, seq, 7_000, octets);
            let (first, rest) = whole.split_at(cut);
            let behind = 50_000 + u32::try_from(cut).unwrap();
            let answer = tcp(SERVER, client, Flag::Ack, 7_000, behind, &[0x17; 800]);
            // Of a flow that was forgotten, or never seen, and of one that was closed.
            let frames = [at(50_000, first), at(behind, rest), answer];
            assert_eq!(delivered(sender, source, &frames), [true; 3], "{first:?}");
            source.wish(&path(client, SERVER), Wish::Done(behind));
            assert_eq!(delivered(sender, source, &frames), [true; 3], "{first:?}");
            source.wish(&path(client, SERVER), Wish::Done(behind));
            assert_eq!(delivered(sender, source, &[at(behind, &[0x17; 800])]), [false]);
        }
        // What no beginning has in front passes, but opens nothing.
        let client = End([192, 0, 2, 19], client().1);
        let at = |seq: u32, octets: &[u8]| tcp(client, SERVER, Flag::Ack, seq, 7_000, octets);
        let frames =
            [at(1, b"\x17\x03"), at(3, &[0x17; 800]), at(1_000, b"ok\r\n"), at(1_004, b"and")];
        assert_eq!(delivered(sender, source, &frames), [true, false, true, true]);
        assert_eq!(delivered(sender, source, &[at(1_007, &[0x17; 800])]), [false]);
    });
}

#[test]
#[ignore = "needs root"]
fn the_middle_of_a_hello_that_looks_like_a_beginning_keeps_the_pieces_before_it_wanted() {
    both(|sender, source| {
        let client = client();
        let mut whole = hello(2_400);
        whole[9..].fill(0x17);
        let at = |offset: u32, octets: &[u8]| {
            tcp(client, SERVER, Flag::Ack, 1_000 + offset, 5_000, octets)
        };
        let frames = [
            tcp(client, SERVER, Flag::Syn, 999, 0, b""),
            at(2_404, b"END"),
            at(2_000, &[b"LETTERS", &whole[2_007..2_404]].concat()),
            at(1_000, &whole[1_000..2_000]),
            at(0, &whole[..1_000]),
        ];
        assert_eq!(delivered(sender, source, &frames), [true; 5]);
    });
}

#[test]
#[ignore = "needs root"]
fn what_a_client_hands_over_at_once_passes_before_the_worker_asks() {
    const UPLOAD: u32 = 64 << 20;
    both(|sender, source| {
        let bulk = [0x17; 800];
        for (n, request) in (20_u8..).zip([
            b"POST /x HTTP/1.1\r\n",
            b"PUT /xy HTTP/1.1\r\n",
            b"PATCH / HTTP/1.1\r\n",
            b"REPORT /x HTTP/1.1",
        ]) {
            let client = End([192, 0, 2, n], client().1);
            let at = |offset: u32, octets: &[u8]| {
                tcp(client, SERVER, Flag::Ack, 1_000 + offset, 1, octets)
            };
            let frames = [
                tcp(client, SERVER, Flag::Syn, 999, 0, b""),
                at(0, request),
                at(100_000, &bulk),
                at(200_000, b"AAAA and more text of what is handed over"),
                at(UPLOAD - 1, &bulk),
                at(UPLOAD, &bulk),
            ];
            assert_eq!(delivered(sender, source, &frames), [true, true, true, true, true, false]);
        }
        let client = client();
        let frames = [
            tcp(client, SERVER, Flag::Ack, 1_000, 1, b"GET /xyz HTTP/1.1\r\n"),
            tcp(client, SERVER, Flag::Ack, 100_000, 1, &bulk),
        ];
        assert_eq!(delivered(sender, source, &frames), [true, false]);
    });
}

#[test]
#[ignore = "needs root"]
fn what_a_client_hands_over_passes_behind_the_answer_to_it() {
    both(|sender, source| {
        let client = client();
        let at =
            |offset: u32, octets: &[u8]| tcp(client, SERVER, Flag::Ack, 1_000 + offset, 1, octets);
        let bulk = [0x17; 800];
        let frames = [
            tcp(client, SERVER, Flag::Syn, 999, 0, b""),
            at(0, b"POST /x HTTP/1.1\r\n"),
            tcp(SERVER, client, Flag::Ack, 1, 301_000, b"HTTP/1.1 200 OK\r\n"),
            at(100_000, &bulk),
            at(299_000, &bulk),
            at(310_000, &bulk),
        ];
        assert_eq!(delivered(sender, source, &frames), [true; 6]);
        let frames = [at((64 << 20) + 400_000, &bulk)];
        assert_eq!(delivered(sender, source, &frames), [false]);
    });
}

#[test]
#[ignore = "needs root"]
fn sampled_flows_pass_whole_and_are_those_of_the_core() {
    both(|sender, source| {
        let bulk = vec![0x17; 100];
        let mut frames = Vec::new();
        let mut expected = Vec::new();
        for port in 1_000..3_000 {
            let client = End([192, 0, 2, 200], port);
            let (from, to) = if port % 2 == 0 { (client, SERVER) } else { (SERVER, client) };
            frames.push(tcp(from, to, Flag::Ack, 1, 1, &bulk));
            // As in src/pipeline/sample.rs.
            let mixed = (port ^ SERVER.1).wrapping_mul(0x9e37);
            expected.push(mixed >> 8 == u16::from(SAMPLED));
        }
        assert_eq!(delivered(sender, source, &frames), expected);
        let sampled = expected.iter().filter(|sampled| **sampled).count();
        assert!((1..=30).contains(&sampled), "{sampled} of 2000 at one in 256");
    });
}

#[test]
#[ignore = "needs root"]
fn volume_of_a_pair_is_counted_where_its_packets_stay() {
    both(|sender, source| {
        let (client, other) = (client(), End([192, 0, 2, 11], 40_000));
        let bulk = vec![0x17; 800];
        let up = tcp(client, SERVER, Flag::Ack, 1, 1, &bulk);
        let down = tcp(SERVER, client, Flag::Ack, 1, 1, &bulk);
        let strangers = tcp(other, SERVER, Flag::Ack, 1, 1, &bulk);
        let pair =
            |client: End| Pair { client: Addr::from_v4(client.0), server: Addr::from_v4(SERVER.0) };
        let octets = up.len() as u64 - 14;
        let volume = |packets: u64| Volume { packets, octets: packets * octets };
        delivered(sender, source, std::slice::from_ref(&up));
        assert_eq!(source.exchanges(), [], "nobody asked yet");
        source.watch(pair(client));
        delivered(sender, source, &[up.clone(), up.clone(), down.clone(), strangers.clone()]);
        let counted = Exchange { pair: pair(client), sent: volume(2), received: volume(1) };
        assert_eq!(
            source.exchanges(),
            [counted],
            "from when it was asked for, and that pair alone"
        );
        assert_eq!(source.exchanges(), [], "once");
        source.watch(pair(other));
        source.watch(pair(client));
        delivered(sender, source, &[strangers, down.clone()]);
        let mut counted = source.exchanges();
        counted.sort_by_key(|exchange| exchange.pair.client);
        let received = Exchange { pair: pair(client), sent: volume(0), received: volume(1) };
        let sent = Exchange { pair: pair(other), sent: volume(1), received: volume(0) };
        assert_eq!(counted, [received, sent]);
        source.unwatch(pair(client));
        delivered(sender, source, &[up, down]);
        assert_eq!(source.exchanges(), []);
        source.watch(pair(client));
        assert_eq!(source.exchanges(), [], "what came in between is nobody's");
    });
}

#[test]
#[ignore = "needs root"]
fn the_driver_is_left_alone_where_the_interface_serves_more() {
    let _lab = Lab::new();
    let refused = |why: &str| {
        let opened = open_live("span", SourceId(0), &options(Backend::Xdp)).unwrap();
        assert_eq!(opened.backend, Backend::Auto, "the filter on the socket instead");
        assert_eq!(opened.notices.len(), 1);
        assert_eq!(opened.notices[0].what, Lacking::Xdp);
        assert!(opened.notices[0].why.contains(why), "{}", opened.notices[0]);
    };
    ip(&["address", "add", "192.0.2.1/24", "dev", "span"]);
    refused("192.0.2.1");
    ip(&["address", "flush", "dev", "span"]);

    // Kernels are built without one or the other.
    let made = ["vlan id 5", "macvlan", "ipvlan"].into_iter().any(|kind| {
        let words = format!("link add above link span type {kind}");
        Command::new("ip").args(words.split(' ')).output().unwrap().status.success()
    });
    if made {
        refused("above");
        ip(&["link", "delete", "above"]);
    } else {
        eprintln!("not tried: this kernel makes no interface on top of another");
    }

    ip(&["link", "add", "bridge", "type", "bridge"]);
    ip(&["link", "set", "span", "master", "bridge"]);
    refused("belongs to");
    ip(&["link", "delete", "bridge"]);

    let first = open(&options(Backend::Xdp));
    assert_eq!(first.backend, Backend::Xdp);
    refused("another XDP program");
    drop(first);
    // The link dies with its owner, so the interface is free again.
    wait_for_free_driver();
    assert_eq!(open(&options(Backend::Xdp)).backend, Backend::Xdp);
}

#[test]
#[ignore = "needs root"]
fn the_driver_is_filtered_again_after_the_interface_was_made_anew() {
    let _lab = Lab::new();
    let mut opened = open(&options(Backend::Xdp));
    let source = &mut opened.sources[0];
    Lab::unplug();
    while source.counters().outages == 0 {
        take(source, Duration::from_millis(20));
    }
    Lab::plug();
    let client = client();
    let syn = tcp(client, SERVER, Flag::Syn, 999, 0, b"");
    let sender = Sender::on("wire");
    let mut back = false;
    for _ in 0..200 {
        sender.send(&syn);
        back |= !take(source, Duration::from_millis(50)).is_empty();
        if back {
            break;
        }
    }
    assert!(back, "frames come again");
    assert_eq!(source.notices(), []);
    let bulk = tcp(client, SERVER, Flag::Ack, 900_000, 1, &[0x17; 500]);
    assert_eq!(delivered(&sender, source, &[bulk]), [false]);
}
