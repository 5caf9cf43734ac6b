//! Single stages, each alone with what it needs.

use std::hint::black_box;

use vendorwatch::decode::fast::Head;
use vendorwatch::decode::{self, Packet, Seen, Tcp, Tenants};
use vendorwatch::flow::{Brought, Filter, FlowHasher, Segments, Spare};
use vendorwatch::frame::Frame;
use vendorwatch::inspect::dns::Message;
use vendorwatch::inspect::quic::{LongPacket, Packets, Salt, Schedules};
use vendorwatch::inspect::tls::{Hello, HelloStep};
use vendorwatch::net::{Addr, Endpoint, IpProtocol, Path, TenantId};
use vendorwatch::pipeline::quic::{Flights, Limits};
use vendorwatch::signature::{Pattern, Set, embedded};
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::Ledger;

use super::{Body, initials};
use crate::traffic::talk::{ACK, Ends, client_hello, dns};
use crate::traffic::wire::captured;

/// Looked at in one run.
pub(crate) const FRAMES: u64 = 1_000;
pub(crate) const MESSAGES: u64 = 1_000;
pub(crate) const NAMES: u64 = 1_000;
pub(crate) const CONNECTIONS: u64 = 1_000;
const PORTS: core::ops::Range<u16> = 20_000..21_000;

fn frame(data: &[u8]) -> Frame<'_> {
    captured(data, Timestamp::from_parts(1_700_000_000, 0), 1)
}

/// The middle of downloads, over IPv4 and IPv6.
fn downloads() -> Vec<Vec<u8>> {
    let bulk = [0x17, 3, 3, 4, 0].repeat(200);
    let ends =
        |port: u16| if port.is_multiple_of(2) { Ends::v4(port, 443) } else { Ends::v6(port, 443) };
    PORTS.map(|port| ends(port).reversed().tcp(5_000, 900, ACK, &bulk)).collect()
}

pub(crate) fn ordinary() -> Box<dyn Body> {
    let frames = downloads();
    Box::new(move || {
        for data in &frames {
            black_box(Head::of(black_box(&frame(data))));
        }
    })
}

pub(crate) fn tunnelled() -> Box<dyn Body> {
    let (frames, tenants) = (downloads(), Tenants::default());
    let frames: Vec<_> = frames
        .iter()
        .map(|inner| Ends::v4(50_000, 4_789).udp(&[&[8, 0, 0, 0, 0, 0, 42, 0][..], inner].concat()))
        .collect();
    Box::new(move || {
        for data in &frames {
            black_box(decode::frame(black_box(&frame(data)), &tenants));
        }
    })
}

/// What a packet in the middle of something does with its flow: it asks whether it is known.
pub(crate) fn filter() -> Box<dyn Body> {
    let (frames, hasher) = (downloads(), FlowHasher::new(1));
    let mut filter = Filter::<{ 1 << 10 }>::new();
    (0..1_000).for_each(|known| filter.add(hasher.word(7, known)));
    Box::new(move || {
        for data in &frames {
            let Some(head) = Head::of(&frame(data)) else { continue };
            let (source, destination) = head.ends();
            let pair = hasher.pair(source.addr, destination.addr);
            black_box(filter.may_know(hasher.flow(pair, source.port, destination.port)));
        }
    })
}

pub(crate) fn segments() -> Box<dyn Body> {
    let octets = [7; 1_400];
    Box::new(move || {
        for _ in 0..MESSAGES {
            let mut segments = Segments::default();
            segments.anchor(100);
            segments.push(1_500, black_box(&octets));
            segments.push(100, black_box(&octets));
            assert_eq!(black_box(segments.ready()).len(), 2_800);
        }
    })
}

pub(crate) fn question() -> Box<dyn Body> {
    let message = dns(7, false, "edge-12.cdn.provider.example.com", &[]);
    let mut name = String::new();
    Box::new(move || {
        for _ in 0..MESSAGES {
            let message = Message::read(black_box(&message)).expect("a sound message");
            let question = message.questions().next().and_then(Result::ok).expect("a question");
            question.name.write(&mut name).expect("a sound name");
            black_box(&name);
        }
    })
}

pub(crate) fn answer() -> Box<dyn Body> {
    let addresses = [(5, vec![1, b'a', 0xc0, 12]), (1, vec![192, 0, 2, 1]), (28, vec![0x20; 16])];
    let message = dns(7, true, "edge-12.cdn.provider.example.com", &addresses);
    Box::new(move || {
        for _ in 0..MESSAGES {
            let message = Message::read(black_box(&message)).expect("a sound message");
            let records = message.answers().expect("sound questions");
            let read = records.inspect(|record| assert!(black_box(record).is_ok()));
            assert_eq!(read.count(), 3);
        }
    })
}

/// As a browser of before the hybrid key shares sends it.
pub(crate) fn classic() -> Box<dyn Body> {
    let octets = client_hello(Some("www.example.com"), 1, 400, 1 << 14);
    Box::new(move || {
        for _ in 0..MESSAGES {
            let mut hello = Hello::default();
            let HelloStep::Read(read) = hello.push(black_box(&octets)) else { panic!("a hello") };
            assert!(black_box(read.server_name).is_some());
        }
    })
}

/// With a key share for X25519MLKEM768: 1,700 octets in two segments, the name in the second.
pub(crate) fn hybrid() -> Box<dyn Body> {
    let octets = client_hello(Some("www.example.com"), 1, 1_600, 1 << 14);
    let (first, second) = octets.split_at(1_400);
    let (first, second) = (first.to_vec(), second.to_vec());
    let mut spare = Spare::default();
    Box::new(move || {
        for _ in 0..MESSAGES {
            let mut segments = Segments::default();
            segments.anchor(100);
            assert_eq!(segments.push(100, black_box(&first)), Brought::InPlace(0..1_400));
            segments.hold(&mut spare, &first);
            let mut hello = Hello::default();
            assert!(matches!(hello.push(&first), HelloStep::More { .. }));
            segments.push(1_500, black_box(&second));
            let HelloStep::Read(read) = hello.push(segments.ready()) else { panic!("a hello") };
            assert!(black_box(read.server_name).is_some());
            segments.release(&mut spare);
        }
    })
}

const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

pub(crate) fn schedule() -> Box<dyn Body> {
    let (schedules, mut dcid) = (Schedules::default(), DCID);
    Box::new(move || {
        for _ in 0..MESSAGES {
            dcid[7] = dcid[7].wrapping_add(1);
            black_box(schedules.client(Salt::V1, black_box(&dcid)));
        }
    })
}

pub(crate) fn open() -> Box<dyn Body> {
    let schedules = Schedules::default();
    let octets = initials::initial(DCID, 1, 0, &initials::hello(1_000));
    let (keys, mut scratch) = (schedules.client(Salt::V1, &DCID), Vec::new());
    Box::new(move || {
        for _ in 0..MESSAGES {
            let first = Packets::new(black_box(&octets), false).next();
            let Some(Ok(LongPacket::Initial(first))) = first else { panic!("not an Initial") };
            assert!(keys.open(black_box(&first), &mut scratch).is_ok());
        }
    })
}

/// Connections, each with a port and a connection ID of its own.
struct Quic {
    connections: Vec<Connection>,
    flights: Flights,
    ledger: Ledger,
    at: Timestamp,
    /// Of [`Connection::datagrams`]: those seen before a run, and those seen in it.
    before: &'static [usize],
    measured: &'static [usize],
}

struct Connection {
    path: Path,
    /// A whole hello; its halves; the server's Initial; the client's next flight.
    datagrams: [Vec<u8>; 5],
}

impl Connection {
    const SERVERS: usize = 3;

    fn new(n: u16) -> Self {
        let (one, two) = (initials::hello(1_000), initials::hello(1_800));
        let mut dcid = DCID;
        dcid[..2].copy_from_slice(&n.to_be_bytes());
        let seal = |number, at, piece: &[u8]| initials::initial(dcid, number, at, piece);
        let mut next = seal(3, 0, b"");
        // The server's choice of an ID; the keys are those of the first.
        next[6..14].copy_from_slice(b"serverid");
        let mut server = initials::initial(*b"clientid", 0, 0, b"");
        server[5] = 0;
        server.drain(6..14);
        server[6] = 8;
        server.splice(7..7, *b"serverid");
        let halves = [seal(1, 0, &two[..900]), seal(2, 900, &two[900..])];
        let [first, second] = halves;
        Self {
            path: Path {
                tenant: TenantId::NONE,
                protocol: IpProtocol::UDP,
                source: Endpoint { addr: Addr::from_v4([192, 0, 2, 9]), port: n },
                destination: Endpoint { addr: Addr::from_v4([198, 51, 100, 1]), port: 443 },
            },
            datagrams: [seal(1, 0, &one), first, second, server, next],
        }
    }
}

impl Quic {
    fn make(before: &'static [usize], measured: &'static [usize]) -> Box<dyn Body> {
        let limits = Limits { derivations_per_second: u32::MAX, ..Limits::default() };
        Box::new(Self {
            connections: PORTS.map(Connection::new).collect(),
            flights: Flights::new(FlowHasher::new(1), &limits),
            ledger: Ledger::default(),
            at: Timestamp::from_parts(1_700_000_000, 0),
            before,
            measured,
        })
    }

    /// Shows these datagrams of every connection. Answers how many names were found.
    fn see(&mut self, datagrams: &[usize]) -> u64 {
        let mut named = 0;
        for connection in &self.connections {
            for datagram in datagrams {
                let path = match *datagram {
                    Connection::SERVERS => connection.path.reversed(),
                    _ => connection.path,
                };
                let payload = connection.datagrams[*datagram].as_slice();
                let packet = Packet {
                    seen: Seen { at: self.at, ..Seen::default() },
                    path,
                    tcp: Tcp::default(),
                    payload,
                    payload_wire_len: u32::try_from(payload.len()).unwrap_or(0),
                    ip_len: 0,
                };
                self.flights.datagram(&packet, self.at, &self.ledger, &mut |_| named += 1);
            }
        }
        named
    }
}

impl Body for Quic {
    /// Longer than connections are remembered.
    fn prepare(&mut self) {
        self.at = self.at.plus(core::time::Duration::from_secs(20));
        self.flights.advance(self.at, &self.ledger, &mut |_| ());
        let named = self.see(self.before);
        assert_eq!(named, if self.before.contains(&0) { CONNECTIONS } else { 0 });
    }

    fn run(&mut self) {
        let named = self.see(self.measured);
        let whole = self.measured.iter().any(|datagram| [0, 2].contains(datagram));
        assert_eq!(named, if whole { CONNECTIONS } else { 0 });
    }
}

pub(crate) fn flight_of_one() -> Box<dyn Body> {
    Quic::make(&[], &[0])
}

pub(crate) fn flight_first() -> Box<dyn Body> {
    Quic::make(&[], &[1])
}

pub(crate) fn flight_second() -> Box<dyn Body> {
    Quic::make(&[1], &[2])
}

pub(crate) fn flight_settled() -> Box<dyn Body> {
    Quic::make(&[0], &[Connection::SERVERS, 4])
}

/// The shipped set, asked for names of its own or of nobody.
fn asked(listed: bool) -> Box<dyn Body> {
    let set = Set::build(embedded::files().expect("sound files")).expect("a sound set");
    let names: Vec<String> = set
        .indicators()
        .iter()
        .filter_map(|indicator| match &indicator.pattern {
            Pattern::Suffix(name) if listed => Some(format!("edge-7.{name}")),
            Pattern::Suffix(name) => Some(format!("edge-7.{name}.example")),
            _ => None,
        })
        .cycle()
        .take(usize::try_from(NAMES).unwrap_or(0))
        .collect();
    let expected = if listed { NAMES } else { 0 };
    Box::new(move || {
        let found = names.iter().filter(|name| set.lookup(black_box(name.as_str())).is_some());
        assert!(found.count() as u64 * 100 >= expected * 95);
    })
}

pub(crate) fn listed() -> Box<dyn Body> {
    asked(true)
}

pub(crate) fn other() -> Box<dyn Body> {
    asked(false)
}
