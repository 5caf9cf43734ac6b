//! What a look into a QUIC connection costs: the key schedule, an opening, a whole first flight,
//! and what is never opened.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vendorwatch::decode::{Packet, Seen, Tcp};
use vendorwatch::flow::FlowHasher;
use vendorwatch::inspect::quic::{LongPacket, Packets, Salt, Schedules};
use vendorwatch::net::{Addr, Endpoint, IpProtocol, Path, TenantId};
use vendorwatch::pipeline::quic::{Flights, Limits};
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::Ledger;

const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

/// A ClientHello message for `www.example.com` of `len` octets.
fn hello(len: usize) -> Vec<u8> {
    let name = b"\x00\x00\x00\x14\x00\x12\x00\x00\x0fwww.example.com";
    let padding = len - 4 - 41 - 2 - 4 - name.len();
    let mut extensions = vec![0, 21];
    extensions.extend(u16::try_from(padding).unwrap().to_be_bytes());
    extensions.extend(vec![0; padding]);
    extensions.extend(name);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1];
    message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend(body);
    message
}

/// A client's Initial of 1,200 octets with a piece of `message`.
fn initial(
    schedules: &Schedules,
    dcid: [u8; 8],
    number: u8,
    offset: usize,
    piece: &[u8],
) -> Vec<u8> {
    let mut header = vec![0xc0, 0, 0, 0, 1, 8];
    header.extend(dcid);
    header.extend([0, 0, 0x44, 0x9e]);
    let mut payload = vec![6];
    payload.extend((u16::try_from(offset).unwrap() | 0x4000).to_be_bytes());
    payload.extend((u16::try_from(piece.len()).unwrap() | 0x4000).to_be_bytes());
    payload.extend(piece);
    payload.resize(0x49e - 17, 0);
    schedules.client(Salt::V1, &dcid).seal(&header, &[number], &payload)
}

fn path(port: u16) -> Path {
    Path {
        tenant: TenantId::NONE,
        protocol: IpProtocol::UDP,
        source: Endpoint { addr: Addr::from_v4([192, 0, 2, 9]), port },
        destination: Endpoint { addr: Addr::from_v4([198, 51, 100, 1]), port: 443 },
    }
}

fn packet(path: Path, at: Timestamp, payload: &[u8]) -> Packet<'_> {
    Packet {
        seen: Seen { at, ..Seen::default() },
        path,
        tcp: Tcp::default(),
        payload,
        payload_wire_len: u32::try_from(payload.len()).unwrap(),
        ip_len: 0,
    }
}

fn parts(c: &mut Criterion) {
    let schedules = Schedules::default();
    let mut group = c.benchmark_group("quic");
    let mut dcid = DCID;
    group.bench_function("key schedule", |b| {
        b.iter(|| {
            dcid[7] = dcid[7].wrapping_add(1);
            black_box(schedules.client(Salt::V1, black_box(&dcid)))
        });
    });
    let octets = initial(&schedules, DCID, 1, 0, &hello(1_000));
    let Some(Ok(LongPacket::Initial(first))) = Packets::new(&octets, false).next() else {
        panic!("not an Initial");
    };
    let keys = schedules.client(Salt::V1, &DCID);
    let mut scratch = Vec::new();
    group.throughput(Throughput::Bytes(octets.len() as u64));
    group.bench_function("open 1,200 octets", |b| {
        b.iter(|| keys.open(black_box(&first), &mut scratch).map(<[u8]>::len));
    });
    group.finish();
}

/// Connections, each with an address and a DCID of its own; time per connection.
fn flights(c: &mut Criterion) {
    const CONNECTIONS: usize = 1_000;
    let schedules = Schedules::default();
    let (one, two) = (hello(1_000), hello(1_800));
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let mut dcid = DCID;
            dcid[..2].copy_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
            let first = initial(&schedules, dcid, 1, 0, &one);
            let pieces = [(0, &two[..900]), (900, &two[900..])].map(|(at, piece)| (at, piece));
            let both = pieces.map(|(at, piece)| initial(&schedules, dcid, 2, at, piece));
            let mut second = initial(&schedules, dcid, 3, 0, b"");
            // The server's choice of an ID; the keys are those of the first.
            second[6..14].copy_from_slice(b"serverid");
            let mut server = initial(&schedules, *b"clientid", 0, 0, b"");
            server[5] = 0;
            server.drain(6..14);
            server[6] = 8;
            server.splice(7..7, *b"serverid");
            (path(10_000 + u16::try_from(n).unwrap()), first, both, server, second)
        })
        .collect();
    let ledger = Ledger::default();
    let limits = Limits { derivations_per_second: u32::MAX, ..Limits::default() };
    let mut group = c.benchmark_group("quic connection");
    group.throughput(Throughput::Elements(CONNECTIONS as u64));
    let mut run = |name: &str, kind: usize| {
        let mut flights = Flights::new(FlowHasher::new(1), &limits);
        let mut at = Timestamp::from_parts(1_700_000_000, 0);
        group.bench_function(name, |b| {
            b.iter(|| {
                // Longer than connections are remembered.
                at = at.plus(core::time::Duration::from_secs(20));
                flights.advance(at, &ledger, &mut |_| ());
                let mut named = 0;
                let mut see = |path: Path, octets: &[u8]| {
                    let packet = packet(path, at, octets);
                    flights.datagram(&packet, at, &ledger, &mut |_| named += 1);
                };
                for (path, first, both, server, second) in &connections {
                    match kind {
                        0 => see(*path, first),
                        1 => {
                            see(*path, &both[0]);
                            see(*path, &both[1]);
                        }
                        _ => {
                            see(*path, first);
                            see(path.reversed(), server);
                            see(*path, second);
                        }
                    }
                }
                assert_eq!(named, CONNECTIONS);
            });
        });
    };
    run("hello in one Initial", 0);
    run("hello in two Initials", 1);
    run("one Initial, then the server's and the second flight", 2);
    group.finish();
}

criterion_group!(benches, parts, flights);
criterion_main!(benches);
