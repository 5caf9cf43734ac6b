//! The fanout group on tunnelled flows: both directions of what is inside reach one worker.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use vendorwatch::capture::Source;
use vendorwatch::capture::live::{Backend, Options};

use super::lab::{Lab, Sender, ip, open, take};
use super::packets::{End, Flag, SERVER, erspan, geneve, gtp, tagged, tcp, tcp6, vxlan};

/// One way to carry a frame: the frame, whether it goes back, and a number that the
/// encapsulator varies.
type Carry = fn(&[u8], bool, u16) -> Vec<u8>;

fn plain(frame: &[u8], _back: bool, _entropy: u16) -> Vec<u8> {
    frame.to_vec()
}

fn tags(frame: &[u8], _back: bool, entropy: u16) -> Vec<u8> {
    tagged(frame, &[(0x88a8, entropy & 0xfff), (0x8100, 7)])
}

fn labels(frame: &[u8], _back: bool, entropy: u16) -> Vec<u8> {
    let [high, low] = entropy.to_be_bytes();
    let mut out = frame[..12].to_vec();
    out.extend([0x88, 0x47, high, low, 0, 64, 0, 1, 1, 64]);
    out.extend(&frame[14..]);
    out
}

fn mirrored(frame: &[u8], _back: bool, entropy: u16) -> Vec<u8> {
    erspan(frame, entropy)
}

fn nested(frame: &[u8], back: bool, entropy: u16) -> Vec<u8> {
    erspan(&vxlan(frame, back, entropy), entropy)
}

#[test]
#[ignore = "needs root"]
fn both_directions_of_a_tunnelled_flow_reach_one_worker() {
    const WORKERS: u16 = 4;
    const FLOWS: u16 = 200;
    let ways: [(&str, Carry); 8] = [
        ("plain", plain),
        ("tags", tags),
        ("mpls", labels),
        ("vxlan", vxlan),
        ("geneve", geneve),
        ("gtp", gtp),
        ("erspan", mirrored),
        ("vxlan in erspan", nested),
    ];
    let _lab = Lab::new();
    let mut opened = open(&Options {
        backend: Backend::Ring,
        workers: WORKERS,
        ring_bytes: 32 << 20,
        retire: Duration::from_millis(20),
        ..Options::default()
    });
    assert_eq!(opened.notices, []);
    let sender = Sender::on("wire");
    // Flows are told apart by a mark in the payload.
    let mark = |n: u16| [b"mark".as_slice(), &n.to_be_bytes()].concat();
    let mut home: HashMap<(bool, u16), usize> = HashMap::new();
    for (name, carry) in ways {
        for six in [false, true] {
            for n in 0..FLOWS {
                let [high, low] = n.to_be_bytes();
                let client = End([10, 0, high, low], 30_000 + n);
                let (there, back) = if six {
                    (
                        tcp6(client, SERVER, Flag::Ack, 1, &mark(n)),
                        tcp6(SERVER, client, Flag::Ack, 1, &mark(n)),
                    )
                } else {
                    (
                        tcp(client, SERVER, Flag::Ack, 1, 1, &mark(n)),
                        tcp(SERVER, client, Flag::Ack, 1, 1, &mark(n)),
                    )
                };
                sender.send(&carry(&there, false, 1_000 + n));
                sender.send(&carry(&back, true, 9_000 - n));
            }
            let (mut seen, end) = (0, Instant::now() + Duration::from_secs(30));
            let mut shares = [0; WORKERS as usize];
            while seen < 2 * u32::from(FLOWS) && Instant::now() < end {
                for (worker, source) in opened.sources.iter_mut().enumerate() {
                    for kept in take(source, Duration::from_millis(10)) {
                        let at = kept.data.windows(4).position(|four| four == b"mark").unwrap() + 4;
                        let n = u16::from_be_bytes([kept.data[at], kept.data[at + 1]]);
                        // The same worker for both directions, and for every way to carry them.
                        let first = *home.entry((six, n)).or_insert(worker);
                        assert_eq!(first, worker, "{name}, IPv6 {six}, flow {n}");
                        shares[worker] += 1;
                        seen += 1;
                    }
                }
            }
            let counters: Vec<_> = opened.sources.iter_mut().map(Source::counters).collect();
            assert_eq!(seen, 2 * u32::from(FLOWS), "{name}: {counters:?}");
            assert!(shares.iter().all(|share| *share > 40), "{name}: {shares:?}");
        }
    }
}

/// A driver that gives pages to the kernel puts no more than some headers into a frame's first
/// piece of memory. So does the kernel with a datagram of this length, sent by a socket.
#[test]
#[ignore = "needs root"]
fn what_lies_in_pages_is_read_as_what_lies_in_headers() {
    const WORKERS: u16 = 4;
    const FLOWS: u16 = 100;
    const LONG: usize = 20_000;
    let _lab = Lab::new();
    for words in [
        "link set wire mtu 40000",
        "link set span mtu 40000",
        "address add 203.0.113.1/24 dev wire",
        "neighbour add 203.0.113.2 lladdr 02:00:00:00:00:02 dev wire",
    ] {
        ip(&words.split(' ').collect::<Vec<_>>());
    }
    let mut opened = open(&Options {
        backend: Backend::Ring,
        workers: WORKERS,
        ring_bytes: 16 << 20,
        retire: Duration::from_millis(5),
        ..Options::default()
    });
    assert_eq!(opened.notices, []);
    let mark = |n: u16| [b"mark".as_slice(), &n.to_be_bytes()].concat();
    let packet = |n: u16, long: bool| {
        let [high, low] = n.to_be_bytes();
        let mut payload = mark(n);
        payload.resize(if long { LONG } else { payload.len() }, b'.');
        tcp(End([10, 0, high, low], 30_000 + n), SERVER, Flag::Ack, 1, 1, &payload)
    };
    let (sender, tunnel) = (Sender::on("wire"), UdpSocket::bind("203.0.113.1:0").unwrap());
    for n in 0..FLOWS {
        sender.send(&packet(n, false));
        let datagram = [&[8, 0, 0, 0, 0, 0, 42, 0], packet(n, true).as_slice()].concat();
        assert_eq!(tunnel.send_to(&datagram, "203.0.113.2:4789").unwrap(), datagram.len());
    }
    let (mut seen, end) = (0, Instant::now() + Duration::from_secs(30));
    let (mut home, mut shares) = (HashMap::new(), [0; WORKERS as usize]);
    while seen < 2 * u32::from(FLOWS) && Instant::now() < end {
        for (worker, source) in opened.sources.iter_mut().enumerate() {
            for kept in take(source, Duration::from_millis(10)) {
                let Some(at) = kept.data.windows(4).position(|four| four == b"mark") else {
                    continue;
                };
                let n = u16::from_be_bytes([kept.data[at + 4], kept.data[at + 5]]);
                assert_eq!(*home.entry(n).or_insert(worker), worker, "flow {n}");
                shares[worker] += 1;
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 2 * u32::from(FLOWS));
    assert!(shares.iter().all(|share| *share > 10), "{shares:?}");
}
