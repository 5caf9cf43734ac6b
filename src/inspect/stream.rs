//! The inspectors of byte streams, and how they are chosen.
//!
//! A stream is one direction of a TCP connection, in order, from its first octet or from the
//! first octet that looked like a beginning. [`Stream::probe`] decides by content which inspector
//! reads it; [`Stream::push`] feeds it. A new protocol is a variant here and a file beside this.

use super::dns::Framing;
use super::http::{Http1, Http2};
use super::proxy::{Header, Socks};
use super::starttls::Starttls;
use super::tls::{
    ClientHello, Hello, HelloStep, ServerFlight, ServerHello, content_type, handshake_type,
};
use super::{Malformed, Signal};

/// Whether octets begin a protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probe {
    Certain,
    /// Too short to say; nothing contradicts it.
    Unsure,
    NotOurs,
}

/// Which inspector a stream's first octets ask for.
#[derive(Debug)]
pub enum Choice {
    /// This one.
    Stream(Stream),
    /// More octets will tell.
    Unsure,
    /// None here.
    NotOurs,
}

/// How far an inspector has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Asks again when at least `need` octets follow the `consumed` ones.
    More { consumed: usize, need: usize },
    /// The first `consumed` octets were a wrapper. What follows is a stream of its own: TLS after
    /// STARTTLS, anything after CONNECT.
    Next { consumed: usize },
    /// Nothing more is wanted from this stream.
    Done,
}

/// Something that an inspector read.
#[derive(Debug)]
pub enum Observation<'a> {
    /// The hosts that a request names, as on the wire and without their ports: one event.
    /// `offset`: where in its stream the request begins, modulo 2^32 as sequence numbers are.
    Names { offset: u32, names: &'a [(Signal, &'a [u8])] },
    /// A ClientHello, whole or cut.
    ClientHello(&'a ClientHello<'a>),
    /// What began like a ClientHello was none, or broke off before anything could be read.
    NoClientHello(Malformed),
    /// What the server of a ClientHello chose.
    ServerHello(ServerHello),
    /// The server's own certificate (X.509, DER), the first of its chain.
    Certificate(&'a [u8]),
    /// A whole DNS message.
    Dns(&'a [u8]),
    /// A DNS message that ends before its length says.
    DnsCut(&'a [u8]),
}

/// The inspector of one stream.
#[derive(Debug)]
pub enum Stream {
    Tls(Hello),
    /// The answer to a ClientHello; never probed for, since only who saw that expects it.
    TlsServer(ServerFlight),
    Dns(Framing),
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    Socks,
    /// The PROXY protocol.
    ProxyHeader,
    Starttls(Starttls),
}

impl Stream {
    /// Chooses the inspector for a stream that begins with `octets`. `port`: the server's.
    #[must_use]
    pub fn probe(octets: &[u8], port: u16) -> Choice {
        let mut unsure = false;
        let mut is = |probe: Probe| {
            unsure |= probe == Probe::Unsure;
            probe == Probe::Certain
        };
        if is(Hello::probe(octets)) {
            return Choice::Stream(Self::Tls(Hello::default()));
        }
        if port == super::dns::PORT && is(Framing::probe(octets)) {
            return Choice::Stream(Self::Dns(Framing));
        }
        // Before HTTP, of which its first word could be a method, were the line not awaited.
        if is(Header::probe(octets)) {
            return Choice::Stream(Self::ProxyHeader);
        }
        if is(Http1::probe(octets)) {
            // Its first line may be that of HTTP/2, whose preface is longer.
            return match Http2::probe(octets) {
                Probe::Certain => Choice::Stream(Self::Http2(Box::default())),
                Probe::Unsure => Choice::Unsure,
                Probe::NotOurs => Choice::Stream(Self::Http1(Box::default())),
            };
        }
        if is(Socks::probe(octets)) {
            return Choice::Stream(Self::Socks);
        }
        match Starttls::choose(octets) {
            Ok(starttls) => return Choice::Stream(Self::Starttls(starttls)),
            Err(probe) => unsure |= probe == Probe::Unsure,
        }
        if unsure { Choice::Unsure } else { Choice::NotOurs }
    }

    /// Is a payload that begins like this worth a closer look in a connection whose beginning was
    /// not seen? The hot path asks this of every packet that nothing is known about.
    #[must_use]
    #[inline]
    pub fn may_begin(octets: &[u8], source_port: u16, destination_port: u16) -> bool {
        match octets.first() {
            Some(0x16) => Hello::probe(octets) != Probe::NotOurs || is_server_hello(octets),
            Some(_) if source_port == super::dns::PORT || destination_port == super::dns::PORT => {
                Framing::probe(octets) == Probe::Certain
            }
            Some(b'A'..=b'Z') => Http1::may_begin(octets),
            _ => false,
        }
    }

    /// May something new begin behind octets that were never seen? The inspector forgets what it
    /// was about, and says what it has of it. Not behind a lost piece of TLS, which is encrypted,
    /// nor of HTTP/2, whose header fields refer to those before (RFC 7541 §2.3.2).
    pub fn break_off(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> bool {
        let again = !matches!(self, Self::Tls(_) | Self::TlsServer(_) | Self::Http2(_));
        if again {
            self.end(octets, observe);
        }
        again
    }

    /// Looks at the stream from its first unconsumed octet on.
    pub fn push(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) -> Progress {
        match self {
            Self::Tls(hello) => match hello.push(octets) {
                HelloStep::More { consumed, need } => return Progress::More { consumed, need },
                HelloStep::Read(hello) => observe(Observation::ClientHello(&hello)),
                HelloStep::Not(fault) => observe(Observation::NoClientHello(fault)),
            },
            Self::TlsServer(flight) => return flight.push(octets, observe),
            Self::Dns(framing) => return framing.push(octets, observe),
            Self::Http1(http) => return http.push(octets, observe),
            Self::Http2(http) => return http.push(octets, observe),
            Self::Socks => return Socks::push(octets, observe),
            Self::ProxyHeader => return Header::push(octets),
            Self::Starttls(starttls) => return starttls.push(octets),
        }
        Progress::Done
    }

    /// The stream ends, or is given up, with `octets` unconsumed.
    pub fn end(&mut self, octets: &[u8], observe: &mut impl FnMut(Observation<'_>)) {
        match self {
            Self::Tls(hello) => match hello.end(octets) {
                Ok(hello) => observe(Observation::ClientHello(&hello)),
                Err(fault) => observe(Observation::NoClientHello(fault)),
            },
            Self::Dns(framing) => framing.end(octets, observe),
            Self::Http1(http) => http.end(octets, observe),
            Self::TlsServer(_)
            | Self::Http2(_)
            | Self::Socks
            | Self::ProxyHeader
            | Self::Starttls(_) => {}
        }
    }

    /// Octets kept on the heap.
    #[must_use]
    pub fn heap(&self) -> usize {
        match self {
            Self::Tls(hello) => hello.heap(),
            Self::Http1(http) => size_of_val(&**http) + http.heap(),
            Self::Http2(http) => http.heap(),
            Self::TlsServer(flight) => flight.heap(),
            Self::Dns(_) | Self::Socks | Self::ProxyHeader | Self::Starttls(_) => 0,
        }
    }
}

/// A length or an offset as sequence numbers count it: modulo 2^32.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "it wraps")]
pub const fn sequence_space(octets: usize) -> u32 {
    octets as u32
}

/// Does a payload begin with a record that holds a ServerHello?
#[must_use]
#[inline]
pub fn is_server_hello(octets: &[u8]) -> bool {
    matches!(octets, [content_type::HANDSHAKE, 3, 0..=4, _, _, handshake_type::SERVER_HELLO, 0, ..])
}
