//! What a packet costs in allocations: none, unless it is a piece of a hello, and then a few.
//!
//! Every frame is held to the bound of its [`Kind`], which is told by its octets and by what was
//! said of its conversation before; most kinds are [`Kind::Ordinary`], whose bound is zero.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use vendorwatch::decode::{Decoded, Packet, TcpFlags, Tenants, frame as decoded};
use vendorwatch::detect::Record;
use vendorwatch::frame::{Frame, LinkType};
use vendorwatch::net::{FlowKey, IpProtocol, Path, Wish};
use vendorwatch::pipeline::{Pipeline, Settings, Sink};
use vendorwatch::signature::{Set, embedded, resolvers};
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::Ledger;

use super::captures::{Kept, frames};
use crate::decode;
use crate::support::counting::allocations;
use crate::support::handshake::{crypto, dtls, initial_to, vector16};
use crate::support::own_captures;
use crate::support::talk::{
    ACK, Ends, FIN, PSH, SYN, client_hello, client_hello_message, dns, server_hello,
};
use crate::support::wire::{self, captured};

const PLAIN: &str = "www.example.com";
const LISTED: &str = "s00.upd.kaspersky.com";

/// What a frame is to a pipeline that allocates for hellos only.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    /// None of the others.
    Ordinary,
    /// Messages of DNS, all of them whole.
    Dns,
    /// Messages of DNS in a segment, of which one is not whole.
    PartOfDns,
    /// Octets in the middle of a stream that is read, which do not come in their turn.
    OutOfTurn,
    /// A fragment of a client's hello, or the whole of it.
    Dtls,
    /// Octets of a client until its hello is read, wrapped or not.
    Tls,
    /// The head of a request, or a part of it.
    Http,
    /// Octets of a client of HTTP/2 in clear.
    Http2,
    /// A long header of a client until its hello is read.
    Quic,
    /// A fragment of a datagram.
    Fragment,
    /// Octets of a server between a client's hello and the end of what is read of the answer.
    Answer,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Ordinary,
        Self::Dns,
        Self::PartOfDns,
        Self::OutOfTurn,
        Self::Dtls,
        Self::Tls,
        Self::Http,
        Self::Http2,
        Self::Quic,
        Self::Fragment,
        Self::Answer,
    ];

    /// The most that one such frame may cost, beside what its records bring along.
    const fn bound(self) -> u64 {
        match self {
            Self::Ordinary | Self::Dns => 0,
            // Memory for the octets that wait for the rest, which grows once when that comes.
            Self::PartOfDns => 4,
            // Each piece has memory of its own, in a list; when the gap is filled they are joined.
            Self::OutOfTurn | Self::Dtls => 6,
            // The same, and what is gathered: fragments of records, or the names of a request in
            // the state of its connection.
            Self::Tls | Self::Http => 8,
            // Pieces of a hello in any order grow two lists; a fragment is kept, and the last one
            // may bring a hello.
            Self::Quic | Self::Fragment => 16,
            // A text for each field that is compressed.
            Self::Http2 => 96,
            // A certificate in clear is parsed into as many parts as it has.
            Self::Answer => 256,
        }
    }
}

/// What a record of a listed name or of ECH brings along: its box, the name where it is long, and
/// the same of the ECH extension.
const RECORD: u64 = 4;

/// Takes records and drops them, after a look.
struct Told {
    /// Allowed for the records of this frame.
    brought: u64,
    /// Conversations of which nothing more is wanted: within its room, so that it does not count.
    over: Vec<FlowKey>,
}

impl Told {
    fn new() -> Self {
        Self { brought: 0, over: Vec::with_capacity(256) }
    }
}

impl Sink for Told {
    fn wants_sightings(&self) -> bool {
        false
    }

    fn record(&mut self, record: Record) {
        let boxed = match &record {
            Record::Detection(_) | Record::EchOffered(_) => true,
            Record::Answer(answer) => answer.listed.is_some(),
            Record::Connection(connection) => connection.ech.is_some(),
            Record::Accepted(_) | Record::Volume(_) => false,
        };
        self.brought += if boxed { RECORD } else { 0 };
        if let Record::Connection(connection) = record
            && connection.protocol == IpProtocol::UDP
        {
            self.over.push(connection.path().key().0);
        }
    }

    fn wish(&mut self, path: &Path, wish: Wish) {
        if matches!(wish, Wish::Done(_)) {
            self.over.push(path.key().0);
        }
    }
}

/// Tells of each frame what it is.
#[derive(Default)]
struct Judge {
    /// Over TCP, until nothing more is wanted of them.
    talks: HashMap<FlowKey, Talk>,
    /// Over UDP, of which the hello was read.
    settled: HashSet<FlowKey>,
}

/// What is known of a connection.
struct Talk {
    client_is_low: bool,
    /// Where the server's and the client's octets go on.
    next: [Option<u32>; 2],
    stream: Stream,
}

/// What a client says.
#[derive(Clone, Copy)]
enum Stream {
    Unknown,
    Tls,
    Http { in_head: bool },
    Http2,
}

impl Judge {
    fn kind(&mut self, frame: &Frame<'_>) -> Kind {
        match decoded(frame, &Tenants::default()) {
            Decoded::Packet(packet) if packet.is_tcp() => self.tcp(&packet),
            Decoded::Packet(packet) => self.udp(&packet),
            Decoded::Fragment(_) => Kind::Fragment,
            Decoded::Not(_) => Kind::Ordinary,
        }
    }

    /// After a frame.
    fn heard(&mut self, told: &Told) {
        for key in &told.over {
            if self.talks.remove(key).is_none() {
                self.settled.insert(*key);
            }
        }
    }

    fn tcp(&mut self, packet: &Packet<'_>) -> Kind {
        let (key, forward) = packet.path.key();
        let (flags, payload) = (packet.tcp.flags, packet.payload);
        let is_dns = is_between(packet, 53);
        let opens = flags.has(TcpFlags::SYN) && !flags.has(TcpFlags::ACK);
        if opens || !self.talks.contains_key(&key) && (begins(payload) || is_dns) {
            let client_is_low = forward == (opens || packet.path.source.port != 53);
            let talk = Talk { client_is_low, next: [None; 2], stream: Stream::Unknown };
            self.talks.insert(key, talk);
        }
        let Some(talk) = self.talks.get_mut(&key) else { return Kind::Ordinary };
        let from_client = forward == talk.client_is_low;
        let in_turn = talk.is_in_turn(from_client, packet);
        if payload.is_empty() {
            let ends = flags.has(TcpFlags::FIN) || flags.has(TcpFlags::RST);
            // What there is of a hello or of a request is read as far as it goes.
            return match talk.stream {
                Stream::Tls if ends => Kind::Tls,
                Stream::Http { in_head: true } if ends => Kind::Http,
                _ => Kind::Ordinary,
            };
        }
        match (is_dns, from_client) {
            (true, _) if !in_turn => Kind::OutOfTurn,
            (true, _) if are_whole(payload) => Kind::Dns,
            (true, _) => Kind::PartOfDns,
            (false, true) => talk.client(payload, in_turn),
            (false, false) if matches!(talk.stream, Stream::Tls) => Kind::Answer,
            (false, false) => Kind::Ordinary,
        }
    }

    fn udp(&self, packet: &Packet<'_>) -> Kind {
        if [53, 5_353, 5_355].into_iter().any(|port| is_between(packet, port)) {
            return Kind::Dns;
        }
        // Of versions 1 and 2; a client's port is the higher one.
        let from_client = packet.path.source.port > packet.path.destination.port;
        match packet.payload {
            [0x80..=0xff, 0, 0, 0, 1, ..] | [0x80..=0xff, 0x6b, 0x33, 0x43, 0xcf, ..]
                if from_client && !self.settled.contains(&packet.path.key().0) =>
            {
                Kind::Quic
            }
            // The record's header, and then the message's type.
            [22, 0xfe, _, _, _, _, _, _, _, _, _, _, _, 1, ..] => Kind::Dtls,
            _ => Kind::Ordinary,
        }
    }
}

impl Talk {
    /// Does this segment go on where the octets of its side ended?
    fn is_in_turn(&mut self, from_client: bool, packet: &Packet<'_>) -> bool {
        let syn = u32::from(packet.tcp.flags.has(TcpFlags::SYN));
        let first = packet.tcp.sequence.wrapping_add(syn);
        let end = first.wrapping_add(packet.payload_wire_len);
        let next = &mut self.next[usize::from(from_client)];
        let expected = *next.get_or_insert(first);
        if end.wrapping_sub(expected) < 1 << 31 {
            *next = Some(end);
        }
        first == expected
    }

    fn client(&mut self, payload: &[u8], in_turn: bool) -> Kind {
        if is_client_hello(payload) {
            self.stream = Stream::Tls;
        } else if payload.starts_with(PREFACE) {
            self.stream = Stream::Http2;
        }
        let in_head = match self.stream {
            Stream::Tls => return Kind::Tls,
            Stream::Http2 => return Kind::Http2,
            Stream::Http { in_head } => Some(in_head),
            Stream::Unknown => None,
        };
        let rest = match (last_request(payload), in_head) {
            (Some(at), _) => &payload[at..],
            (None, Some(true)) => payload,
            (None, Some(false)) if in_turn => return Kind::Ordinary,
            (None, Some(false)) => return Kind::OutOfTurn,
            // Nobody knows yet what it is.
            (None, None) => return Kind::Tls,
        };
        self.stream = Stream::Http { in_head: !rest.windows(4).any(|four| four == b"\r\n\r\n") };
        Kind::Http
    }
}

fn is_between(packet: &Packet<'_>, port: u16) -> bool {
    packet.path.source.port == port || packet.path.destination.port == port
}

/// Does a payload say by itself that it begins something, in a connection that is not known?
fn begins(payload: &[u8]) -> bool {
    is_client_hello(payload) || payload.starts_with(PREFACE) || last_request(payload).is_some()
}

fn is_client_hello(payload: &[u8]) -> bool {
    matches!(payload, [0x16, 3, _, _, _, 1, ..])
}

/// Where the last request line ends, nearly.
fn last_request(payload: &[u8]) -> Option<usize> {
    payload.windows(8).rposition(|eight| eight == b" HTTP/1.")
}

/// Does a segment end where a message of DNS ends, if it begins where one begins?
fn are_whole(segment: &[u8]) -> bool {
    let mut rest = segment;
    while let Some((&len, after)) = rest.split_first_chunk() {
        match after.get(usize::from(u16::from_be_bytes(len))..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    rest.is_empty()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame, and what a person needs to find it again beside its number.
struct Sent<'a> {
    what: &'a str,
    frame: Frame<'a>,
}

/// What the frames of each kind cost.
#[derive(Default)]
struct Account {
    /// How many there were, and the dearest one.
    kinds: BTreeMap<Kind, (u64, u64)>,
    /// Those that cost more than they may.
    excesses: Vec<String>,
}

impl Account {
    /// How often frames are delivered before they are looked at, and how often in all.
    const WARM: u64 = 2;
    const PASSES: u64 = 4;
    /// Between two deliveries, so that the second is of new conversations, in seconds: more than
    /// anything waits, less than a clock's jump.
    const PAUSE: u64 = 120;

    /// Delivers frames again and again to one pipeline, and holds each to its bound.
    fn take(&mut self, file: &str, set: &Arc<Set>, sent: &[Sent<'_>]) {
        let settings =
            Settings { resolvers: Arc::clone(&resolvers::SHIPPED), ..Settings::default() };
        let mut pipeline = Pipeline::with(Arc::clone(set), Arc::<Ledger>::default(), settings);
        let times = || sent.iter().map(|one| one.frame.at.as_nanos());
        let (first, last) = (times().min().unwrap(), times().max().unwrap());
        assert!(last - first < 5_000_000_000, "{file}: a frame would pay for what is overdue");
        let mut told = Told::new();
        for pass in 0..Self::PASSES {
            let shift = pass * (last - first + Self::PAUSE * 1_000_000_000);
            if pass > 0 {
                pipeline.advance(Timestamp::from_nanos(first + shift), &mut told);
            }
            let mut judge = Judge::default();
            for Sent { what, frame } in sent {
                let at = Timestamp::from_nanos(frame.at.as_nanos() + shift);
                let frame = Frame { at, ..*frame };
                let kind = judge.kind(&frame);
                told.brought = 0;
                told.over.clear();
                let before = allocations();
                pipeline.frame(&frame, &mut told);
                let cost = allocations() - before;
                judge.heard(&told);
                if pass < Self::WARM {
                    continue;
                }
                let (count, most) = self.kinds.entry(kind).or_default();
                *count += 1;
                *most = cost.max(*most);
                // Only a name can be listed.
                let brought = if kind == Kind::Ordinary { 0 } else { told.brought };
                let bound = kind.bound() + brought;
                if cost > bound {
                    let number = frame.number;
                    self.excesses.push(format!(
                        "{file}: frame {number} ({what}), {kind:?}: \
                         {cost} allocations, {bound} allowed"
                    ));
                }
            }
        }
    }

    #[track_caller]
    fn assert_kept(&self) {
        let mut text = String::new();
        for excess in self.excesses.iter().take(40) {
            let _ = writeln!(text, "{excess}");
        }
        for (kind, (count, most)) in &self.kinds {
            let _ = writeln!(text, "{kind:?}: {count} frames, the dearest {most}");
        }
        assert!(self.excesses.is_empty(), "{} too dear:\n{text}", self.excesses.len());
    }
}

/// Nothing listed, and what the program ships.
fn sets() -> [(&'static str, Arc<Set>); 2] {
    let shipped = Set::build(embedded::files().unwrap()).unwrap();
    [("nothing listed", Arc::default()), ("shipped", Arc::new(shipped))]
}

#[test]
fn in_real_captures_only_pieces_of_hellos_allocate_and_a_bounded_number() {
    let mut account = Account::default();
    for (listed, set) in sets() {
        for path in own_captures() {
            let kept = frames(&path);
            let sent: Vec<_> =
                kept.iter().map(Kept::frame).map(|frame| Sent { what: listed, frame }).collect();
            let file = path.file_name().unwrap().to_string_lossy();
            account.take(&file, &set, &sent);
        }
    }
    account.assert_kept();
    // The other kinds are not so wide that little is left to hold to zero.
    let (mut free, mut bounded) = (0_u64, 0_u64);
    for (kind, (count, _)) in &account.kinds {
        let sum = if kind.bound() == 0 { &mut free } else { &mut bounded };
        *sum += count;
    }
    assert!(free > 2 * bounded, "{free} frames held to zero, {bounded} to another bound");
}

#[test]
fn whatever_carries_it_only_a_piece_of_a_hello_allocates_and_a_bounded_number() {
    let generated = generated();
    let start = Timestamp::from_parts(1_700_000_000, 0).as_nanos();
    let sent: Vec<_> = (1..)
        .zip(&generated)
        .map(|(number, (what, link, data))| {
            let at = Timestamp::from_nanos(start + number * 1_000);
            Sent { what, frame: Frame { link: *link, ..captured(data, at, number) } }
        })
        .collect();
    let mut account = Account::default();
    for (listed, set) in sets() {
        account.take(listed, &set, &sent);
    }
    account.assert_kept();
    assert!(account.kinds.keys().eq(&Kind::ALL), "{:?}", account.kinds);
}

/// Frames of many kinds: what each is, its link type and its octets.
fn generated() -> Vec<(String, LinkType, Vec<u8>)> {
    let mut all: Vec<_> = decode::samples()
        .into_iter()
        .map(|(name, sample)| (name, LinkType(sample[0].into()), sample[1..].to_vec()))
        .collect();
    let mut add = |what: &str, frames: Vec<Vec<u8>>| {
        all.extend(frames.into_iter().map(|data| (what.to_owned(), LinkType::ETHERNET, data)));
    };
    let tagged = |mut frame: Vec<u8>| {
        frame.splice(12..12, [0x81, 0x00, 0x00, 0x17]);
        frame
    };
    add("ordinary", ordinary());
    add("ordinary, tagged", ordinary().into_iter().map(tagged).collect());
    add("no TCP or UDP", others());
    add("behind extension headers", behind_extensions());
    for (name, first) in [(PLAIN, 50_000), (LISTED, 50_100)] {
        for family in [Ends::v4, Ends::v6] {
            let ends = |at: u16, port| family(first + at, port);
            let whole = |at| connection(ends(at, 443), name, 1, 0, 2_000);
            let mut shuffled = connection(ends(3, 443), name, 3, 1_400, 400);
            shuffled[2..].reverse();
            let server = long(0xc0, &[], &[8; 8], 1_100);
            add("TLS", whole(0));
            add("TLS, tagged", whole(1).into_iter().map(tagged).collect());
            add("TLS in segments", connection(ends(2, 443), name, 2, 1_400, 700));
            add("TLS out of turn", shuffled);
            add("TLS in small records", small_records(ends(4, 443), name));
            add("STARTTLS", starttls(ends(5, 25), name));
            add("HTTP", http(ends(6, 80), name));
            add("HTTP/2", http2(ends(7, 8_080)));
            add("QUIC", quic(ends(8, 443), name, 0));
            add("QUIC in two datagrams", quic(ends(9, 443), name, 1_600));
            add("QUIC of a server alone", vec![ends(10, 443).reversed().udp(&server)]);
            add("DTLS", datagram_tls(ends(11, 4_433), name));
            add("DNS", questions(ends(12, 53), name));
            add("DNS over TCP", questions_in_a_stream(ends(13, 53), name));
            add("fragments", in_fragments(ends(14, 443), name));
        }
    }
    all
}

/// Frames without ports.
fn others() -> Vec<Vec<u8>> {
    let (v4, v6) = (Ends::v4(1, 2), Ends::v6(1, 2));
    let echo = [8, 0, 0, 0, 0, 1, 0, 1, b'p', b'i', b'n', b'g'];
    let quoted = v4.tcp(1, 2, ACK, b"what was not delivered");
    let unreachable = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &quoted[14..]].concat();
    let solicitation = [&[135_u8, 0, 0, 0, 0, 0, 0, 0][..], &[0xfe; 16]].concat();
    let ip = |ends: Ends, protocol, contents: &[u8]| {
        let packet = wire::ip(ends.client.0, ends.server.0, protocol, contents);
        wire::ethernet(wire::ether_type(&packet), &packet)
    };
    let arp = [&[0_u8, 1, 8, 0, 6, 4, 0, 1][..], &[2; 20]].concat();
    vec![
        wire::ethernet(0x0806, &arp),
        wire::ethernet(0x88cc, &[2, 7, 4, 2, 0, 0, 0, 0, 0x51, 0, 0]),
        wire::ethernet(0x88e5, &[&[0x2c_u8, 0, 0, 0, 0, 1][..], &[0x5a; 100]].concat()),
        ip(v4, 1, &echo),
        ip(v4, 1, &unreachable),
        ip(v4, 50, &[0x5a; 100]),
        ip(v4, 132, &[0; 40]),
        ip(v6, 58, &solicitation),
        ip(v6, 59, &[]),
    ]
}

/// Hop-by-hop options, routing and destination options (RFC 8200 §4) before TCP and UDP.
fn behind_extensions() -> Vec<Vec<u8>> {
    let ends = Ends::v6(41_000, 443);
    let (source, destination) = (ends.client.0, ends.server.0);
    let tcp = wire::tcp((source, destination), (41_000, 443), &[0x5a; 600]);
    let udp = wire::udp(41_000, 5_004, &[0x5a; 600]);
    let of = |extension| {
        [(6, &tcp), (17, &udp)].map(|(protocol, contents)| {
            let header = [protocol, 0, 1, 4, 0, 0, 0, 0];
            let contents = [&header[..], contents].concat();
            wire::ethernet(0x86dd, &wire::ip(source, destination, extension, &contents))
        })
    };
    [0, 43, 60].into_iter().flat_map(of).collect()
}

/// A client's side of a connection whose first octet has the sequence number 100.
struct Speaker {
    ends: Ends,
    sequence: u32,
    frames: Vec<Vec<u8>>,
}

impl Speaker {
    fn new(ends: Ends) -> Self {
        let frames = vec![ends.tcp(99, 0, SYN, &[]), ends.reversed().tcp(7, 100, SYN | ACK, &[])];
        Self { ends, sequence: 100, frames }
    }

    fn say(&mut self, octets: &[u8]) {
        self.frames.push(self.ends.tcp(self.sequence, 8, ACK | PSH, octets));
        self.sequence += u32::try_from(octets.len()).unwrap();
    }

    /// From the server.
    fn hear(&mut self, octets: &[u8]) {
        self.frames.push(self.ends.reversed().tcp(8, self.sequence, ACK, octets));
    }
}

/// A connection from SYN to the middle of its data.
fn connection(ends: Ends, name: &str, random: u8, filler: usize, segment: usize) -> Vec<Vec<u8>> {
    let mut speaker = Speaker::new(ends);
    for part in client_hello(Some(name), random, filler, 1 << 14).chunks(segment) {
        speaker.say(part);
    }
    speaker.hear(&server_hello(random));
    speaker.frames
}

fn small_records(ends: Ends, name: &str) -> Vec<Vec<u8>> {
    let mut speaker = Speaker::new(ends);
    for part in client_hello(Some(name), 5, 700, 90).chunks(300) {
        speaker.say(part);
    }
    speaker.hear(&server_hello(5));
    for _ in 0..4 {
        speaker.say(&[0x17; 900]);
    }
    speaker.frames
}

fn starttls(ends: Ends, name: &str) -> Vec<Vec<u8>> {
    let mut speaker = Speaker::new(ends);
    speaker.hear(b"220 mail.example ESMTP\r\n");
    speaker.say(b"EHLO me.example\r\n");
    speaker.hear(b"250-mail.example\r\n250 STARTTLS\r\n");
    speaker.say(b"STARTTLS\r\n");
    speaker.hear(b"220 go ahead\r\n");
    speaker.say(&client_hello(Some(name), 6, 0, 1 << 14));
    speaker.hear(&server_hello(6));
    speaker.frames
}

/// A request with a body, of which two segments change places; its answer; another request.
fn http(ends: Ends, name: &str) -> Vec<Vec<u8>> {
    let mut speaker = Speaker::new(ends);
    let head = format!("POST / HTTP/1.1\r\nHost: {name}\r\nContent-Length: 4000\r\n\r\n");
    speaker.say(head.as_bytes());
    for _ in 0..4 {
        speaker.say(&[b'x'; 1_000]);
    }
    let last = speaker.frames.len() - 1;
    speaker.frames.swap(last, last - 1);
    speaker.hear(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    speaker.say(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes());
    speaker.frames
}

/// The request of RFC 7541 C.4.1, whose authority is compressed, and another by reference to it.
fn http2(ends: Ends) -> Vec<Vec<u8>> {
    let mut speaker = Speaker::new(ends);
    speaker.say(PREFACE);
    let first = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    for (stream, section) in [(1, &first[..]), (3, &b"\x82\x86\x84\xbe"[..])] {
        let len = u8::try_from(section.len()).unwrap();
        speaker.say(&[&[0, 0, len, 1, 5, 0, 0, 0, stream][..], section].concat());
    }
    speaker.frames
}

/// A packet with a long header of version 1 (RFC 9000 §17.2) that nobody can open.
fn long(first: u8, dcid: &[u8], scid: &[u8], len: u16) -> Vec<u8> {
    let mut packet = vec![first, 0, 0, 0, 1];
    for cid in [dcid, scid] {
        packet.push(u8::try_from(cid.len()).unwrap());
        packet.extend(cid);
    }
    if first & 0x30 == 0 {
        // Without a token.
        packet.push(0);
    }
    packet.extend((len | 0x4000).to_be_bytes());
    packet.resize(packet.len() + usize::from(len), 0x77);
    packet
}

/// A hello, in one datagram or, when it is long, in two of which the second comes first; the
/// server's first flight; the client's second; what follows.
fn quic(ends: Ends, name: &str, filler: usize) -> Vec<Vec<u8>> {
    // A connection is known by its first connection id, whatever its addresses.
    let family = u8::from(ends.client.0.is_ipv6());
    let [high, low] = ends.client.1.to_be_bytes();
    let dcid = [high, low, family, 1, 2, 3, 4, 5];
    let hello = client_hello_message(Some(name), low, filler);
    let mut initials: Vec<_> = (0..)
        .zip(hello.chunks(1_100))
        .map(|(number, part)| {
            initial_to(dcid, 1, number, &crypto(usize::from(number) * 1_100, part))
        })
        .collect();
    initials.reverse();
    let server: &[u8] = &[9; 8];
    let client: Vec<_> = initials.iter().map(|initial| ends.udp(initial)).collect();
    let short = [&[0x41_u8][..], &[0x5a; 900]].concat();
    let answer = [long(0xc1, &[], server, 150), long(0xe1, &[], server, 900)].concat();
    let rest = [
        // A connection id that the server's side did not show, and the one that it did.
        ends.udp(&long(0xc2, &[6; 8], &[], 1_100)),
        ends.reversed().udp(&answer),
        ends.reversed().udp(&long(0xe2, &[], server, 1_100)),
        ends.udp(&long(0xc3, server, &[], 1_100)),
        ends.udp(&long(0xe3, server, &[], 200)),
        ends.udp(&short),
        ends.reversed().udp(&short),
    ];
    client.into_iter().chain(rest).collect()
}

/// A hello in one record; a server's answer; the hello with another random in two fragments; data.
fn datagram_tls(ends: Ends, name: &str) -> Vec<Vec<u8>> {
    // An empty cookie behind the empty session id (RFC 6347 §4.2.1).
    let body = |random| {
        let message = client_hello_message(Some(name), random, 0);
        let (head, tail) = message[4..].split_at(2 + 32 + 1);
        [head, &[0], tail].concat()
    };
    let (first, second) = (body(1), body(2));
    let len = first.len();
    let mut answer = dtls(&first, 0, 0, 60);
    // A ServerHello.
    answer[13] = 2;
    let other = Ends { client: (ends.client.0, ends.client.1 + 1_000), ..ends };
    vec![
        ends.udp(&dtls(&first, 0, 0, len)),
        ends.reversed().udp(&answer),
        other.udp(&dtls(&second, 1, 40, len)),
        other.udp(&dtls(&second, 0, 0, 40)),
        other.reversed().udp(&answer),
        ends.udp(&[&[23_u8, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 60][..], &[0x5a; 60]].concat()),
    ]
}

fn questions(ends: Ends, name: &str) -> Vec<Vec<u8>> {
    let answers = [(1, vec![192, 0, 2, 1]), (28, vec![0x20; 16])];
    let mut frames = vec![
        ends.udp(&dns(1, false, name, &[])),
        ends.reversed().udp(&dns(1, true, name, &answers)),
        ends.reversed().udp(&dns(2, true, name, &answers)),
    ];
    for port in [5_353, 5_355] {
        let link = Ends { server: (ends.server.0, port), ..ends };
        frames.push(link.udp(&dns(3, false, name, &[])));
        frames.push(link.reversed().udp(&dns(3, true, name, &answers)));
    }
    frames
}

/// Two questions in a segment, one in two, and two segments that change places.
fn questions_in_a_stream(ends: Ends, name: &str) -> Vec<Vec<u8>> {
    let question = |id| vector16(&dns(id, false, name, &[]));
    let mut speaker = Speaker::new(ends);
    speaker.say(&[question(1), question(2)].concat());
    speaker.hear(&vector16(&dns(1, true, name, &[(1, vec![192, 0, 2, 1])])));
    let split = question(3);
    speaker.say(&split[..20]);
    speaker.say(&split[20..]);
    speaker.say(&question(4));
    speaker.say(&question(5));
    let last = speaker.frames.len() - 1;
    speaker.frames.swap(last, last - 1);
    speaker.frames.push(ends.tcp(speaker.sequence, 9, ACK | FIN, &[]));
    speaker.frames
}

/// Datagrams of other protocols and a hello, each in two fragments.
fn in_fragments(ends: Ends, name: &str) -> Vec<Vec<u8>> {
    let [.., low] = ends.client.1.to_be_bytes();
    let hello = client_hello(Some(name), low, 600, 1 << 14);
    let addresses = (ends.client.0, ends.server.0);
    let segment = wire::tcp(addresses, (ends.client.1, ends.server.1), &hello);
    let datagram = wire::udp(ends.client.1, 5_004, &[0x5a; 900]);
    [(6, segment), (17, datagram)]
        .into_iter()
        .flat_map(|(protocol, contents)| {
            let cut = contents.len() / 16 * 8;
            let (first, second) = contents.split_at(cut);
            [
                fragment(addresses, (protocol, low), (0, true), first),
                fragment(addresses, (protocol, low), (cut, false), second),
            ]
        })
        .collect()
}

/// A fragment (RFC 791 §3.2, RFC 8200 §4.5) at `place`, and whether more follow it.
fn fragment(
    (source, destination): (core::net::IpAddr, core::net::IpAddr),
    (protocol, id): (u8, u8),
    (place, more): (usize, bool),
    part: &[u8],
) -> Vec<u8> {
    let place = u16::try_from(place).unwrap();
    if source.is_ipv6() {
        let place = (place | u16::from(more)).to_be_bytes();
        let header = [protocol, 0, place[0], place[1], 0, 0, protocol, id];
        let contents = [&header[..], part].concat();
        return wire::ethernet(0x86dd, &wire::ip(source, destination, 44, &contents));
    }
    let mut packet = wire::ip(source, destination, protocol, part);
    packet[5] = id;
    packet[6..8].copy_from_slice(&((u16::from(more) << 13) | (place / 8)).to_be_bytes());
    packet[10..12].fill(0);
    let sum = !wire::sum(&packet[..20], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    wire::ethernet(0x0800, &packet)
}

struct Run {
    pipeline: Pipeline,
    at: Timestamp,
}

impl Run {
    fn new() -> Self {
        let pipeline = Pipeline::new(Arc::<Set>::default(), Arc::<Ledger>::default());
        Self { pipeline, at: Timestamp::from_parts(1_700_000_000, 0) }
    }

    /// The allocations that these frames cost, a microsecond apart.
    fn cost(&mut self, frames: &[Vec<u8>]) -> u64 {
        let mut told = Told::new();
        let before = allocations();
        for data in frames {
            self.at = Timestamp::from_nanos(self.at.as_nanos() + 1_000);
            told.over.clear();
            self.pipeline.frame(&captured(data, self.at, 1), &mut told);
        }
        allocations() - before
    }
}

fn ports() -> impl Iterator<Item = u16> {
    20_000..20_400
}

fn ordinary() -> Vec<Vec<u8>> {
    ports()
        .flat_map(|port| {
            let (v4, v6) = (Ends::v4(port, 443), Ends::v6(port, 443));
            let bulk = [0x17, 3, 3, 4, 0].repeat(200);
            [
                v4.reversed().tcp(5_000, 900, ACK, &bulk),
                v4.tcp(900, 6_000, ACK, &[]),
                v6.reversed().tcp(5_000, 900, ACK, &bulk),
                v6.tcp(900, 6_000, ACK, b"anything that begins nothing known"),
                v4.tcp(900, 6_000, ACK | FIN, &[]),
                v4.udp(&[0x40; 1_200]),
                v6.udp(&[0x5a; 60]),
                Ends::v4(port, 5_004).udp(&[0x80, 96, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4]),
            ]
        })
        .collect()
}

#[test]
fn an_ordinary_packet_allocates_nothing() {
    let mut run = Run::new();
    for port in ports() {
        run.cost(&connection(Ends::v4(port, 443), PLAIN, 1, 0, 2_000));
    }
    let frames = ordinary();
    run.cost(&frames);
    assert_eq!(run.cost(&frames), 0);
}

#[test]
fn a_name_costs_a_few_allocations_and_a_known_question_none() {
    let mut run = Run::new();
    let warm: Vec<_> =
        ports().flat_map(|port| connection(Ends::v4(port, 443), PLAIN, 1, 0, 2_000)).collect();
    run.cost(&warm);
    let whole = connection(Ends::v4(30_001, 443), PLAIN, 2, 0, 2_000);
    assert_eq!(run.cost(&whole), 0, "a hello in one segment is read in place");
    let split = connection(Ends::v4(30_002, 443), PLAIN, 3, 1_400, 700);
    let cost = run.cost(&split);
    assert!((1..=4).contains(&cost), "a hello in three segments cost {cost}");

    let query = |id| Ends::v4(40_000, 53).udp(&dns(id, false, PLAIN, &[]));
    let answers = [(1, vec![192, 0, 2, 1]), (28, vec![0x20; 16])];
    let answer = |id| Ends::v4(40_000, 53).reversed().udp(&dns(id, true, PLAIN, &answers));
    run.cost(&[query(1), answer(1)]);
    assert_eq!(run.cost(&[query(2), answer(2), query(2), answer(2)]), 0);

    // A name of octets that print as escapes, and one that is not even text, cost nothing either.
    let odd = |id| {
        let mut frame = dns(id, false, PLAIN, &[]);
        frame[13..16].copy_from_slice(if id % 2 == 0 { b"w\\ " } else { b"\xff\xc0w" });
        Ends::v4(40_000, 53).udp(&frame)
    };
    run.cost(&[odd(3), odd(4)]);
    assert_eq!(run.cost(&[odd(5), odd(6), query(7)]), 0);
}
