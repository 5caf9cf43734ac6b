//! One direction of a connection: from segments to observations.

use crate::flow::{Brought, Segments, Spare};
use crate::inspect::dns::PORT as DNS_PORT;
use crate::inspect::stream::{Choice, Observation, Progress, Stream, sequence_space};
use crate::pipeline::Sink;
use crate::pipeline::dns::{self, COPY};
use crate::pipeline::emitter::{Emitter, Said, Scene};
use crate::pipeline::tls::{self, Opening};
use crate::visibility::{DnsOutcome, DnsTransport, HandshakeOutcome};

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) segments: Segments,
    pub(super) stage: Stage,
    /// The inspector asks for at least this many unconsumed octets.
    need: usize,
    /// Where this direction ends, when its FIN was seen.
    pub(super) fin: Option<u32>,
    opened: Opened,
    /// How far it had come when its source was last told that it goes on.
    told: Option<u32>,
}

/// What is counted as begun and has no outcome yet, and where it began.
#[derive(Debug, Default)]
struct Opened {
    /// The sequence number of the inspector's first octet.
    sequence: u32,
    hello: Opening,
    dns_message: bool,
}

#[derive(Debug, Default)]
pub(super) enum Stage {
    /// Nothing was classified yet.
    #[default]
    Beginning,
    /// What follows is nobody's business, or not yet.
    Ignored,
    Reading(Stream),
    Done,
}

/// Octets of a direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
    /// Why what follows them will not come.
    pub(super) lost: Option<HandshakeOutcome>,
}

/// What a step of inspection found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) said: Option<Said>,
    /// A ClientHello was dealt with; its answer is of interest.
    pub(super) hello: bool,
    /// A request was counted before: so was its connection.
    pub(super) copy: bool,
    /// The stream is nothing known here.
    pub(super) foreign: bool,
    /// The vendor that a certificate names; its connection is reported already.
    pub(super) listed: Option<std::sync::Arc<str>>,
}

impl Half {
    /// A direction that begins like this.
    pub(super) fn new(stage: Stage) -> Self {
        Self { stage, ..Self::default() }
    }

    /// Octets come in.
    pub(super) fn feed(
        &mut self,
        scene: &Scene<'_>,
        segment: &Segment<'_>,
        spare: &mut Spare,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Found {
        let Segment { sequence, payload, lost } = *segment;
        match self.stage {
            Stage::Ignored => return Found::default(),
            Stage::Done => {
                let behind = self.segments.next().is_some_and(|next| {
                    next.wrapping_sub(sequence).wrapping_sub(1) < Segments::WINDOW
                });
                emitter.ledger.copies.add(u64::from(behind));
                return Found::default();
            }
            Stage::Beginning | Stage::Reading(_) => {}
        }
        let brought = self.segments.push(sequence, payload);
        let mut found = Found::default();
        let consumed = match brought {
            Brought::InPlace(range) => {
                let octets = &payload[range];
                let consumed = self.inspect(scene, octets, &mut found, emitter, out);
                if !matches!(self.stage, Stage::Done) {
                    let left = octets.get(consumed..).unwrap_or_default();
                    self.segments.hold(spare, left);
                }
                0
            }
            Brought::Ready => {
                let ready = self.segments.take_ready();
                let consumed = self.inspect(scene, &ready, &mut found, emitter, out);
                self.segments.put_back(ready);
                consumed
            }
            Brought::Early => 0,
            Brought::Refused => {
                self.resume(scene, &mut found, emitter, out);
                0
            }
            Brought::Old => {
                emitter.ledger.copies.add(1);
                0
            }
        };
        if !matches!(self.stage, Stage::Done) {
            self.segments.consume(consumed);
            // The rest of the segment is gone: what is here is all there will be.
            if let Some(lost) = lost
                && matches!(self.stage, Stage::Reading(Stream::Tls(_)))
            {
                found = self.end(scene, lost, emitter, out);
                self.stage = Stage::Done;
            }
        }
        if matches!(self.stage, Stage::Done) {
            self.segments.release(spare);
        }
        found
    }

    /// Feeds the inspector, choosing one first where there is none; returns how much it consumed.
    fn inspect(
        &mut self,
        scene: &Scene<'_>,
        octets: &[u8],
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> usize {
        let mut consumed = 0;
        let mut handed_on = false;
        let end = self.segments.next().unwrap_or_default();
        loop {
            let rest = octets.get(consumed..).unwrap_or_default();
            if rest.len() < self.need || rest.is_empty() {
                return consumed;
            }
            match &mut self.stage {
                Stage::Ignored | Stage::Done => return octets.len(),
                Stage::Beginning => match Stream::probe(rest, scene.path.destination.port) {
                    Choice::Stream(stream) => {
                        self.opened.sequence = end.wrapping_sub(sequence_space(rest.len()));
                        self.stage = Stage::Reading(stream);
                    }
                    Choice::Unsure => {
                        self.need = rest.len() + 1;
                        return consumed;
                    }
                    Choice::NotOurs => {
                        found.foreign = true;
                        self.stage = Stage::Done;
                        return octets.len();
                    }
                },
                Stage::Reading(stream) => {
                    let opened = &mut self.opened;
                    opened.prepare(scene, stream, rest, emitter);
                    let progress = stream.push(rest, &mut |observation| {
                        observed(scene, &observation, None, opened, found, emitter, out);
                    });
                    match progress {
                        Progress::More { consumed: more, need } => {
                            self.need = need;
                            opened.note(scene, stream, &rest[more.min(rest.len())..], emitter);
                            return consumed + more;
                        }
                        Progress::Next { consumed: more @ 1.. } => {
                            consumed += more;
                            self.need = 0;
                            self.stage = Stage::Beginning;
                            handed_on = false;
                        }
                        // What it waited for begins here: TLS, or HTTP/2 after an upgrade. Once, or
                        // a wrapper of nothing would be unwrapped for ever.
                        Progress::Next { consumed: 0 } if !handed_on => {
                            self.need = 0;
                            self.stage = Stage::Beginning;
                            handed_on = true;
                        }
                        Progress::Next { consumed: 0 } | Progress::Done => {
                            self.stage = Stage::Done;
                            return octets.len();
                        }
                    }
                }
            }
        }
    }

    /// Gives holes up in a stream that has further beginnings: DNS messages, HTTP requests.
    fn resume(
        &mut self,
        scene: &Scene<'_>,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        while self.segments.has_hole() {
            let (opened, lost) = (&mut self.opened, Some(HandshakeOutcome::Gap));
            let again = match &mut self.stage {
                Stage::Beginning => scene.path.destination.port == DNS_PORT,
                Stage::Reading(stream) => {
                    stream.break_off(self.segments.ready(), &mut |observation| {
                        observed(scene, &observation, lost, opened, found, emitter, out);
                    })
                }
                Stage::Ignored | Stage::Done => false,
            };
            if !again {
                return;
            }
            // Segments mostly begin where messages do.
            self.segments.skip_hole();
            self.stage = Stage::Beginning;
            self.need = 0;
            let ready = self.segments.take_ready();
            let consumed = self.inspect(scene, &ready, found, emitter, out);
            self.segments.put_back(ready);
            self.segments.consume(consumed);
            if matches!(self.stage, Stage::Done) {
                self.stage = Stage::Beginning;
            }
        }
    }

    /// Nothing more will come.
    pub(super) fn end(
        &mut self,
        scene: &Scene<'_>,
        lost: HandshakeOutcome,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Found {
        let mut found = Found::default();
        self.resume(scene, &mut found, emitter, out);
        if let Stage::Reading(stream) = &mut self.stage {
            let opened = &mut self.opened;
            stream.end(self.segments.ready(), &mut |observation| {
                observed(scene, &observation, Some(lost), opened, &mut found, emitter, out);
            });
        }
        self.segments.clear();
        found
    }

    /// Has it come so far, and is still being read, that a source which leaves out packets has to
    /// hear of it? Once in [`GOES_ON`] octets.
    pub(super) fn goes_on(&mut self) -> bool {
        let Some(next) = self.segments.next().filter(|_| matches!(self.stage, Stage::Reading(_)))
        else {
            return false;
        };
        let told = self.told.get_or_insert(next);
        let goes_on = next.wrapping_sub(*told) >= GOES_ON;
        if goes_on {
            *told = next;
        }
        goes_on
    }

    /// Would octets with this sequence number be the stream's first?
    pub(super) fn begins_at(&self, sequence: u32) -> bool {
        matches!(self.stage, Stage::Beginning)
            && self.segments.ready().is_empty()
            && self.segments.next().is_none_or(|next| next == sequence)
    }

    /// Hellos and DNS messages that have begun and have no outcome yet.
    pub(super) fn pending(&self) -> (usize, usize) {
        let hello = self.opened.hello == Opening::Begun;
        (usize::from(hello), usize::from(self.opened.dns_message))
    }

    /// Octets on the heap.
    pub(super) fn heap(&self) -> usize {
        let stream = match &self.stage {
            Stage::Reading(stream) => stream.heap(),
            _ => 0,
        };
        self.segments.heap() + stream
    }
}

/// A quarter of what an in-kernel filter delivers of a client unasked, and half of a server.
const GOES_ON: u32 = 16 << 10;

/// Hands an inspector's observation to those who know what it means.
fn observed(
    scene: &Scene<'_>,
    observation: &Observation<'_>,
    lost: Option<HandshakeOutcome>,
    opened: &mut Opened,
    found: &mut Found,
    emitter: &mut Emitter,
    out: &mut impl Sink,
) {
    match *observation {
        Observation::ClientHello(hello) => {
            found.hello = true;
            let opening = core::mem::take(&mut opened.hello);
            found.said = tls::client_hello(emitter, scene, hello, opening, lost, out);
        }
        Observation::NoClientHello(_) => {
            found.hello = true;
            found.said = Some(Said::default());
            let outcome = lost.unwrap_or(HandshakeOutcome::Malformed);
            tls::no_client_hello(emitter, scene, core::mem::take(&mut opened.hello), outcome);
        }
        Observation::ServerHello(_) => {}
        Observation::Certificate(der) => found.listed = tls::certificate(emitter, scene, der, out),
        Observation::Names { offset, names } => {
            // Where a request begins is the same for its copies, whatever was seen before it, and
            // another for the next one, whatever that asks for.
            let host = names.first().map_or(&[][..], |(_, host)| host);
            let sequence = opened.sequence.wrapping_add(offset);
            let identity = emitter.hasher.word(scene.identity, u64::from(sequence));
            let identity = emitter.hasher.octets(identity, host);
            if emitter.recent.note(identity, emitter.now, COPY).is_some() {
                emitter.ledger.copies.add(1);
                found.copy = true;
                return;
            }
            let indicator = emitter.names(scene, names, identity, out);
            let vendor = indicator.map(|indicator| indicator.vendor.clone());
            found.said = Some(Said { named: true, vendor, ..Said::default() });
        }
        Observation::Dns(message) => opened.dns(scene, message, None, emitter, out),
        Observation::DnsCut(message) => {
            let cut = match lost {
                Some(HandshakeOutcome::Timeout) => DnsOutcome::Timeout,
                Some(HandshakeOutcome::Evicted) => DnsOutcome::Evicted,
                Some(HandshakeOutcome::Truncated) => DnsOutcome::Truncated,
                _ => DnsOutcome::Gap,
            };
            opened.dns(scene, message, Some(cut), emitter, out);
        }
    }
}

impl Opened {
    /// What will be asked about these octets is on its way while they are read.
    fn prepare(&self, scene: &Scene<'_>, stream: &Stream, octets: &[u8], emitter: &Emitter) {
        if let Stream::Tls(hello) = stream
            && self.hello == Opening::Unknown
            && let Some(random) = hello.random(octets)
        {
            tls::prepare(emitter, scene, random);
        }
    }

    /// After a step of inspection these octets are left unconsumed: has something begun?
    fn note(&mut self, scene: &Scene<'_>, stream: &Stream, left: &[u8], emitter: &mut Emitter) {
        match stream {
            Stream::Tls(hello) if self.hello == Opening::Unknown => {
                if let Some(random) = hello.random(left) {
                    self.hello = tls::begin(emitter, scene, random);
                }
            }
            Stream::Dns(_) if !left.is_empty() && !self.dns_message => {
                emitter.ledger.dns_begun(DnsTransport::Tcp);
                self.dns_message = true;
            }
            _ => {}
        }
    }

    fn dns(
        &mut self,
        scene: &Scene<'_>,
        message: &[u8],
        cut: Option<DnsOutcome>,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        if !core::mem::take(&mut self.dns_message) {
            emitter.ledger.dns_begun(DnsTransport::Tcp);
        }
        let path = scene.direction();
        dns::message(emitter, scene.seen, &path, DnsTransport::Tcp, message, cut, out);
    }
}
