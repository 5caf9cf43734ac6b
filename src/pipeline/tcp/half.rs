//! One direction of a connection: from segments to observations.

mod elsewhere;
mod state;
mod step;

use core::time::Duration;

pub(super) use self::step::{Found, Segment};
use super::opened::{Opened, observed};
use crate::flow::{Brought, Segments, Spare};
use crate::inspect::dns::{Framing, PORT as DNS_PORT};
use crate::inspect::stream::{Choice, Probe, Progress, Stream, sequence_space};
use crate::inspect::tls::{Hello, content_type};
use crate::pipeline::Sink;
use crate::pipeline::emitter::{Emitter, Scene};
use crate::time::Timestamp;
use crate::visibility::HandshakeOutcome;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) segments: Segments,
    pub(super) stage: Stage,
    /// The inspector asks for at least this many unconsumed octets.
    need: usize,
    /// Where this direction ends, when its FIN was seen.
    pub(super) fin: Option<u32>,
    pub(super) opened: Opened,
    /// How far it had come when its source was last told that it goes on.
    told: Option<u32>,
    /// Since when octets are missing before others.
    waits: Option<Timestamp>,
    /// A segment of it was cut by a snap length.
    cut: bool,
    /// Octets were given up, and nothing known began since.
    astray: bool,
    /// What began where a segment lay too far ahead to be of this stream.
    elsewhere: Option<Box<Self>>,
    /// Since then nothing came in its place here.
    left: bool,
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
        match self.stage {
            Stage::Ignored => return Found::default(),
            Stage::Done => {
                let behind = self.segments.next().is_some_and(|next| {
                    next.wrapping_sub(segment.sequence).wrapping_sub(1) < Segments::WINDOW
                });
                emitter.ledger.copies.add(u64::from(behind));
                return Found::default();
            }
            Stage::Beginning | Stage::Reading(_) => {}
        }
        let mut found = Found::default();
        self.take(scene, segment, spare, &mut found, emitter, out);
        self.settle(scene, spare, &mut found, emitter, out);
        found
    }

    /// Puts a segment where it belongs and reads what is in order now.
    fn take(
        &mut self,
        scene: &Scene<'_>,
        segment: &Segment<'_>,
        spare: &mut Spare,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let Segment { sequence, payload, lost } = *segment;
        let mut brought = self.segments.push(sequence, payload);
        if brought == Brought::Far {
            if !(self.segments.has_hole() && self.segments.goes_on(segment.end())) {
                return self.stray(scene, segment, spare, found, emitter, out);
            }
            // What waits behind a hole grew as far as it may.
            brought = Brought::Refused;
        }
        if brought == Brought::Refused {
            self.give_up(scene, found, emitter, out);
            if !matches!(self.stage, Stage::Done) {
                brought = self.begin_again(scene, segment, found, emitter, out);
            }
        }
        if self.elsewhere.is_some() && matches!(brought, Brought::InPlace(_) | Brought::Ready) {
            self.left = false;
            self.waits = None;
        }
        let fresh = brought != Brought::Old;
        let consumed = match brought {
            Brought::InPlace(range) => {
                let octets = &payload[range];
                let consumed = self.inspect(scene, octets, found, emitter, out);
                if !matches!(self.stage, Stage::Done) {
                    let left = octets.get(consumed..).unwrap_or_default();
                    self.segments.hold(spare, left);
                }
                0
            }
            Brought::Ready => {
                self.waits = self.segments.has_hole().then_some(emitter.now);
                let ready = self.segments.take_ready();
                let consumed = self.inspect(scene, &ready, found, emitter, out);
                self.segments.put_back(ready);
                consumed
            }
            Brought::Early => {
                self.waits.get_or_insert(emitter.now);
                0
            }
            Brought::Far | Brought::Refused => 0,
            Brought::Old => {
                emitter.ledger.copies.add(1);
                0
            }
        };
        if !matches!(self.stage, Stage::Done) {
            self.segments.consume(consumed);
            // The rest of the segment is gone: what is here is all there will be. Not so of a copy,
            // whose original may be whole.
            if let Some(lost) = lost.filter(|_| fresh) {
                self.cut = true;
                if self.begins_like_tls() {
                    self.stage = Stage::Reading(Stream::Tls(Hello::default()));
                } else if self.begins_like_dns(scene) {
                    self.stage = Stage::Reading(Stream::Dns(Framing));
                    found.dns = true;
                }
                if matches!(self.stage, Stage::Reading(Stream::Tls(_))) {
                    *found = self.end(scene, lost, emitter, out);
                }
            }
        }
    }

    /// Are its first octets, be they too few to tell what begins, those of a handshake's record? In
    /// the midst of a connection any message of a handshake has them.
    fn begins_like_tls(&self) -> bool {
        let octets = self.segments.ready();
        matches!(self.stage, Stage::Beginning)
            && !self.astray
            && self.opened.syn.is_some()
            && matches!(octets, [content_type::HANDSHAKE, 3, ..])
            && Hello::probe(octets) != Probe::NotOurs
    }

    /// Are its first octets, be they too few to tell what begins, those of a question?
    fn begins_like_dns(&self, scene: &Scene<'_>) -> bool {
        matches!(self.stage, Stage::Beginning)
            && !self.astray
            && scene.from_client
            && scene.path.destination.port == DNS_PORT
            && Framing::probe(self.segments.ready()) != Probe::NotOurs
    }

    /// After a step: a direction that is done keeps nothing. One that lost its way among messages
    /// of DNS is not done, for each segment may begin the next message.
    fn settle(
        &mut self,
        scene: &Scene<'_>,
        spare: &mut Spare,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        if !matches!(self.stage, Stage::Done) {
            return;
        }
        self.segments.release(spare);
        self.leave_elsewhere(scene, HandshakeOutcome::Gap, found, emitter, out);
        if self.astray && scene.path.destination.port == DNS_PORT {
            self.segments = Segments::default();
            self.stage = Stage::Beginning;
            self.need = 0;
            found.foreign = false;
        }
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
                Stage::Beginning => match self.choose(scene, rest) {
                    Choice::Stream(stream) => {
                        found.dns |= scene.from_client && matches!(stream, Stream::Dns(_));
                        self.opened.sequence = end.wrapping_sub(sequence_space(rest.len()));
                        self.astray = false;
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
                            // It may be asked for an address, and so for no name.
                            found.proxied |= matches!(stream, Stream::Socks);
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
                            found.foreign |= scene.from_client && !matches!(stream, Stream::Dns(_));
                            self.stage = Stage::Done;
                            return octets.len();
                        }
                    }
                }
            }
        }
    }

    /// Which inspector reads a stream that begins with these octets? Behind a loss only what would
    /// be taken for a beginning in a connection that nothing is known of.
    fn choose(&self, scene: &Scene<'_>, octets: &[u8]) -> Choice {
        let (source, destination) = (scene.path.source.port, scene.path.destination.port);
        if !scene.from_client {
            // What a server says names nobody that its client asks for.
            let dns = source == DNS_PORT || destination == DNS_PORT;
            return match Framing::probe(octets) {
                Probe::Certain if dns => Choice::Stream(Stream::Dns(Framing)),
                Probe::Unsure if dns => Choice::Unsure,
                _ => Choice::NotOurs,
            };
        }
        if self.astray && !Stream::may_begin(octets, source, destination) {
            return Choice::NotOurs;
        }
        Stream::probe(octets, destination)
    }

    /// Gives holes up in a stream that has further beginnings: DNS messages, HTTP requests.
    fn resume(
        &mut self,
        scene: &Scene<'_>,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        while self.segments.has_hole() && self.break_off(scene, found, emitter, out) {
            // Most messages begin where a segment does, so each is tried by itself. What begins
            // there goes on in those that follow.
            self.segments.skip_hole();
            self.inspect_ready(scene, found, emitter, out);
            if !matches!(self.stage, Stage::Done) && self.segments.join() {
                self.inspect_ready(scene, found, emitter, out);
            }
            if matches!(self.stage, Stage::Done) {
                self.stage = Stage::Beginning;
            }
        }
    }

    /// Octets are missing. May what follows them begin something? Then it is waited for.
    fn break_off(
        &mut self,
        scene: &Scene<'_>,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> bool {
        let why = if self.cut { HandshakeOutcome::Truncated } else { HandshakeOutcome::Gap };
        let (opened, lost) = (&mut self.opened, Some(why));
        let again = match &mut self.stage {
            Stage::Beginning => true,
            Stage::Reading(stream) => stream.break_off(self.segments.ready(), &mut |observation| {
                observed(scene, &observation, lost, opened, found, emitter, out);
            }),
            Stage::Ignored | Stage::Done => false,
        };
        if again {
            self.stage = Stage::Beginning;
            self.need = 0;
            self.astray = true;
        }
        again
    }

    fn inspect_ready(
        &mut self,
        scene: &Scene<'_>,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        let ready = self.segments.take_ready();
        let consumed = self.inspect(scene, &ready, found, emitter, out);
        self.segments.put_back(ready);
        self.segments.consume(consumed);
    }

    /// The missing octets will not come. Reads what waits behind them as far as something begins
    /// there; where nothing can, or it has long gone on elsewhere, that was all.
    fn give_up(
        &mut self,
        scene: &Scene<'_>,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        self.waits = None;
        let elsewhere = self.elsewhere.is_some() && !self.segments.has_hole();
        self.resume(scene, found, emitter, out);
        if elsewhere || self.segments.has_hole() {
            self.conclude(scene, HandshakeOutcome::Gap, found, emitter, out);
        }
    }

    /// A segment that did not fit behind those that waited, which were given up.
    fn begin_again(
        &mut self,
        scene: &Scene<'_>,
        segment: &Segment<'_>,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Brought {
        let brought = self.segments.push(segment.sequence, segment.payload);
        let waits = brought == Brought::Early && matches!(self.stage, Stage::Beginning);
        if !waits || !self.break_off(scene, found, emitter, out) {
            return brought;
        }
        self.segments = Segments::default();
        self.segments.push(segment.sequence, segment.payload)
    }

    /// Octets have been missing for so long that they will not come, while the connection lives.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.waits.is_some_and(|since| now.since(since) > PATIENCE)
    }

    /// Goes on without them. Where nothing begins behind them, nothing more is wanted here: what
    /// begins later is seen without a connection, but for a message of DNS.
    pub(super) fn go_on_without(
        &mut self,
        scene: &Scene<'_>,
        spare: &mut Spare,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) -> Found {
        let mut found = Found::default();
        self.give_up(scene, &mut found, emitter, out);
        if matches!(self.stage, Stage::Beginning) {
            found.foreign = scene.from_client;
            self.stage = Stage::Done;
        }
        self.settle(scene, spare, &mut found, emitter, out);
        found
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
        self.conclude(scene, lost, &mut found, emitter, out);
        self.segments.clear();
        self.leave_elsewhere(scene, lost, &mut found, emitter, out);
        found
    }

    /// What is here is all there will be.
    fn conclude(
        &mut self,
        scene: &Scene<'_>,
        lost: HandshakeOutcome,
        found: &mut Found,
        emitter: &mut Emitter,
        out: &mut impl Sink,
    ) {
        if let Stage::Reading(stream) = &mut self.stage {
            let opened = &mut self.opened;
            stream.end(self.segments.ready(), &mut |observation| {
                observed(scene, &observation, Some(lost), opened, found, emitter, out);
            });
        }
        self.stage = Stage::Done;
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
}

/// How long octets may be missing before others. A sender has repeated a lost segment several times
/// by then: the waits double from at least one second (RFC 6298 §2 and §5).
const PATIENCE: Duration = Duration::from_secs(10);

/// A quarter of what an in-kernel filter delivers of a client unasked, and half of a server.
const GOES_ON: u32 = 16 << 10;
