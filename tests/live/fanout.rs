//! The fanout group on tunnelled flows: both directions of what is inside reach one worker.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use vendorwatch::capture::Source;
use vendorwatch::capture::live::{Backend, Opened, Options};

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
        retire: Duration::from_millis(5),
        ..Options::default()
    });
    assert_eq!(opened.notices, []);
    let sender = Sender::on("wire");
    let mut homes = Homes::default();
    for (name, carry) in ways {
        for six in [false, true] {
            let mut shares = vec![0; opened.sources.len()];
            for n in 0..FLOWS {
                let [high, low] = n.to_be_bytes();
                let client = End([10, 0, high, low], 30_000 + n);
                let flow = n + if six { FLOWS } else { 0 };
                let (there, back) = if six {
                    (
                        tcp6(client, SERVER, Flag::Ack, 1, &mark(flow)),
                        tcp6(SERVER, client, Flag::Ack, 1, &mark(flow)),
                    )
                } else {
                    (
                        tcp(client, SERVER, Flag::Ack, 1, 1, &mark(flow)),
                        tcp(SERVER, client, Flag::Ack, 1, 1, &mark(flow)),
                    )
                };
                sender.send(&carry(&there, false, 1_000 + n));
                sender.send(&carry(&back, true, 9_000 - n));
                if n % CHUNK == CHUNK - 1 {
                    homes.receive(&mut opened, 2 * CHUNK, &mut shares, name);
                }
            }
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
    let packet = |n: u16, long: bool| {
        let [high, low] = n.to_be_bytes();
        let mut payload = mark(n);
        payload.resize(if long { LONG } else { payload.len() }, b'.');
        tcp(End([10, 0, high, low], 30_000 + n), SERVER, Flag::Ack, 1, 1, &payload)
    };
    let (sender, tunnel) = (Sender::on("wire"), UdpSocket::bind("203.0.113.1:0").unwrap());
    let (mut homes, mut shares) = (Homes::default(), vec![0; opened.sources.len()]);
    for n in 0..FLOWS {
        sender.send(&packet(n, false));
        let datagram = [&[8, 0, 0, 0, 0, 0, 42, 0], packet(n, true).as_slice()].concat();
        assert_eq!(tunnel.send_to(&datagram, "203.0.113.2:4789").unwrap(), datagram.len());
        if n % CHUNK == CHUNK - 1 {
            homes.receive(&mut opened, 2 * CHUNK, &mut shares, "in pages");
        }
    }
    assert!(shares.iter().all(|share| *share > 10), "{shares:?}");
}

/// Flows that are sent before any is received: few enough that a slow machine's ring has room.
const CHUNK: u16 = 10;

/// What a flow is told by, in its payload.
fn mark(flow: u16) -> Vec<u8> {
    [b"mark".as_slice(), &flow.to_be_bytes()].concat()
}

/// The worker of each flow.
#[derive(Default)]
struct Homes(HashMap<u16, usize>);

impl Homes {
    /// Receives so many frames: each at the same worker as those of its flow before, whatever
    /// carries it, and whichever way it goes. Counts them by worker.
    fn receive(&mut self, opened: &mut Opened, wanted: u16, shares: &mut [u32], name: &str) {
        let (mut seen, end) = (0, Instant::now() + Duration::from_secs(30));
        while seen < wanted && Instant::now() < end {
            for (worker, source) in opened.sources.iter_mut().enumerate() {
                for kept in take(source, Duration::from_millis(1)) {
                    // The kernel says more on a link with an address.
                    let Some(at) = kept.data.windows(4).position(|four| four == b"mark") else {
                        continue;
                    };
                    let flow = u16::from_be_bytes([kept.data[at + 4], kept.data[at + 5]]);
                    let home = *self.0.entry(flow).or_insert(worker);
                    assert_eq!(home, worker, "{name}, flow {flow}");
                    shares[worker] += 1;
                    seen += 1;
                }
            }
        }
        let counters: Vec<_> = opened.sources.iter_mut().map(Source::counters).collect();
        assert_eq!(seen, wanted, "{name}: {counters:?}");
    }
}
