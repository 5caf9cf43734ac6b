//! Conversations as frames, and what a pipeline makes of them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use vendorwatch::detect::Record;
use vendorwatch::frame::Frame;
use vendorwatch::inspect::Signal;
use vendorwatch::pipeline::{Pipeline, Settings, Sighting, Sink};
use vendorwatch::signature::Set;
use vendorwatch::time::Timestamp;
use vendorwatch::visibility::{Counter, DnsTransport, HandshakeProtocol, Ledger};

use super::handshake::{message, records, vector16};
use super::wire;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// Two ends, of which the first is the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) client: (IpAddr, u16),
    pub(crate) server: (IpAddr, u16),
}

impl Ends {
    pub(crate) fn v4(client_port: u16, server_port: u16) -> Self {
        Self {
            client: (Ipv4Addr::new(192, 0, 2, 10).into(), client_port),
            server: (Ipv4Addr::new(198, 51, 100, 20).into(), server_port),
        }
    }

    pub(crate) fn v6(client_port: u16, server_port: u16) -> Self {
        let addr = |n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n).into();
        Self { client: (addr(0x10), client_port), server: (addr(0x20), server_port) }
    }

    pub(crate) fn reversed(self) -> Self {
        Self { client: self.server, server: self.client }
    }

    /// A datagram from the client.
    pub(crate) fn udp(self, payload: &[u8]) -> Vec<u8> {
        let udp = wire::udp(self.client.1, self.server.1, payload);
        self.frame(17, &udp)
    }

    /// A segment from the client.
    pub(crate) fn tcp(
        self,
        sequence: u32,
        acknowledgment: u32,
        flags: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        let addresses = (self.client.0, self.server.0);
        let mut segment = wire::tcp(addresses, (self.client.1, self.server.1), payload);
        segment[4..8].copy_from_slice(&sequence.to_be_bytes());
        segment[8..12].copy_from_slice(&acknowledgment.to_be_bytes());
        segment[13] = flags;
        self.frame(6, &segment)
    }

    fn frame(self, protocol: u8, contents: &[u8]) -> Vec<u8> {
        let packet = wire::ip(self.client.0, self.server.0, protocol, contents);
        wire::ethernet(wire::ether_type(&packet), &packet)
    }
}

/// A ClientHello in records of at most `record` octets; `filler` octets of an unknown extension
/// stand before the name.
pub(crate) fn client_hello(
    name: Option<&str>,
    random: u8,
    filler: usize,
    record: usize,
) -> Vec<u8> {
    records(&client_hello_message(name, random, filler), record)
}

/// The message alone, as QUIC carries it.
pub(crate) fn client_hello_message(name: Option<&str>, random: u8, filler: usize) -> Vec<u8> {
    let mut extensions = extension(0x7777, &vec![0x55; filler]);
    if let Some(name) = name {
        let list = vector16(&[&[0][..], &vector16(name.as_bytes())].concat());
        extensions.extend(extension(0, &list));
    }
    extensions.extend(extension(43, &[2, 3, 4]));
    let mut body = vec![3, 3];
    body.extend([random; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(vector16(&extensions));
    message(1, &body)
}

/// A ServerHello that chooses TLS 1.3, or asks for another ClientHello.
pub(crate) fn server_hello(random: u8) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([random; 32]);
    body.extend([0, 0x13, 0x01, 0]);
    body.extend(vector16(&extension(43, &[3, 4])));
    records(&message(2, &body), 1 << 14)
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(data)].concat()
}

/// A DNS message with one question, and as many answers as given: (type, data). Their owner is
/// the queried name.
pub(crate) fn dns(id: u16, response: bool, name: &str, answers: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let flags: u16 = if response { 0x8180 } else { 0x0100 };
    let count = u16::try_from(answers.len()).unwrap();
    let mut message: Vec<u8> =
        [id, flags, 1, count, 0, 0].iter().flat_map(|field| field.to_be_bytes()).collect();
    message.extend(dns_name(name));
    message.extend([0, 1, 0, 1]);
    for (kind, data) in answers {
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60]);
        message.extend(vector16(data));
    }
    message
}

pub(crate) fn dns_name(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

/// What a pipeline said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// It wants no sightings.
    pub(crate) deaf: bool,
    pub(crate) names: Vec<(Signal, String)>,
    pub(crate) records: Vec<Record>,
}

impl Sink for Heard {
    fn sighting(&mut self, sighting: &Sighting<'_>) {
        self.names.push((sighting.signal, sighting.name.to_owned()));
    }

    fn wants_sightings(&self) -> bool {
        !self.deaf
    }

    fn record(&mut self, record: Record) {
        self.records.push(record);
    }
}

/// A pipeline that is fed frames by hand, a millisecond apart.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) pipeline: Pipeline,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) heard: Heard,
    pub(crate) now: Timestamp,
    number: u64,
}

impl Tap {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with_set(Arc::default(), settings)
    }

    /// A pipeline that looks for `set`.
    pub(crate) fn with_set(set: Arc<Set>, settings: Settings) -> Self {
        let ledger = Arc::<Ledger>::default();
        let pipeline = Pipeline::with(set, Arc::clone(&ledger), settings);
        let now = Timestamp::from_parts(1_700_000_000, 0);
        Self { pipeline, ledger, heard: Heard::default(), now, number: 0 }
    }

    pub(crate) fn frame(&mut self, octets: &[u8]) {
        self.cut(octets, octets.len());
    }

    /// A frame of which only `captured` octets are there.
    pub(crate) fn cut(&mut self, octets: &[u8], captured: usize) {
        self.number += 1;
        self.wait(1);
        let whole = wire::captured(octets, self.now, self.number);
        let frame = Frame { data: &octets[..captured.min(octets.len())], ..whole };
        self.pipeline.frame(&frame, &mut self.heard);
    }

    /// Milliseconds pass.
    pub(crate) fn wait(&mut self, millis: u64) {
        self.now = Timestamp::from_nanos(self.now.as_nanos() + millis * 1_000_000);
    }

    pub(crate) fn finish(&mut self) {
        self.pipeline.finish(&mut self.heard);
    }

    pub(crate) fn names(&self) -> Vec<(Signal, &str)> {
        self.heard.names.iter().map(|(signal, name)| (*signal, name.as_str())).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.heard.records.iter().filter(|one| matches!(one, Record::Connection(_))).count()
    }

    /// What began equals what ended plus what is pending, in every account.
    pub(crate) fn assert_conserved(&self) {
        assert_conserved(&self.ledger, &self.pipeline);
    }
}

pub(crate) fn assert_conserved(ledger: &Ledger, pipeline: &Pipeline) {
    let packets: u64 = ledger.packets.iter().map(Counter::value).sum();
    assert_eq!(ledger.frames.value(), packets + pipeline.pending_frames(), "frames");
    for protocol in HandshakeProtocol::ALL {
        let begun = ledger.handshakes_begun[protocol as usize].value();
        let ended: u64 = ledger.handshakes[protocol as usize].iter().map(Counter::value).sum();
        let pending = pipeline.pending_handshakes(protocol) as u64;
        assert_eq!(begun, ended + pending, "{protocol:?} handshakes, {pending} pending");
    }
    for transport in DnsTransport::ALL {
        let begun = ledger.dns_begun[transport as usize].value();
        let ended: u64 = ledger.dns[transport as usize].iter().map(Counter::value).sum();
        let pending = pipeline.pending_dns(transport) as u64;
        assert_eq!(begun, ended + pending, "{transport:?} messages, {pending} pending");
    }
}
