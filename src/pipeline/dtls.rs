//! What the hellos of DTLS mean: one handshake however often its hello is sent, with a cookie or
//! without, whole or in fragments.
//!
//! A hello in one piece needs no state beyond the memory of what was just seen. Fragments wait
//! for each other, and a server's answer for its client's hello, [`Hellos::LIFETIME`] at most: a
//! mirror may deliver them in any order.

use core::time::Duration;

use super::Sink;
use super::dns::COPY;
use super::emitter::{Emitter, origin};
use super::handshake::{self, Handshake, Told};
use super::recent::Recent;
use super::volume::Volumes;
use crate::decode::{Packet, Seen};
use crate::flow::{Removed, Slot, Table};
use crate::inspect::dtls::{Fragment, Sender, fragments};
use crate::inspect::tls::{ClientHello, Dialect};
use crate::inspect::{Reassembly, Signal};
use crate::net::Path;
use crate::visibility::{HandshakeOutcome, HandshakeProtocol};

/// Hellos of which fragments are missing.
#[derive(Debug)]
pub(super) struct Hellos {
    unfinished: Table<Unfinished>,
}

/// Where what is found goes to.
pub(super) struct To<'a, S> {
    pub(super) emitter: &'a mut Emitter,
    pub(super) volumes: &'a mut Volumes,
    pub(super) out: &'a mut S,
}

/// A handshake of which something is missing.
#[derive(Debug)]
struct Unfinished {
    /// It is counted as begun: it is no copy of one that was dealt with, as far as that is known.
    counted: bool,
    /// From client to server.
    path: Path,
    seen: Seen,
    /// Nothing but an answer was seen of it.
    answer_only: bool,
    message_seq: u16,
    length: usize,
    stream: Reassembly,
}

/// What was read of a hello's body.
#[derive(Clone, Copy, Debug)]
struct Body<'a> {
    hello: Option<ClientHello<'a>>,
    identity: u64,
    /// Its handshake was not dealt with before.
    new: bool,
}

impl Hellos {
    /// How long a hello may take from its first fragment to its last.
    pub(super) const LIFETIME: Duration = Duration::from_secs(10);

    pub(super) fn new(max_bytes: usize) -> Self {
        Self { unfinished: Table::new(max_bytes) }
    }

    /// A UDP packet that begins like DTLS. Did it hold a piece of a hello?
    pub(super) fn datagram(&mut self, packet: &Packet<'_>, to: &mut To<'_, impl Sink>) -> bool {
        let mut any = false;
        for fragment in fragments(packet.payload, packet.is_cut()) {
            any = true;
            match fragment.sender {
                Sender::Server => self.answer(packet, to),
                Sender::Client if fragment.is_whole() => self.whole(packet, &fragment, to),
                Sender::Client => self.fragment(packet, &fragment, to),
            }
        }
        any
    }

    /// Ends what waited too long.
    pub(super) fn expire(&mut self, to: &mut To<'_, impl Sink>) {
        while let Some(removed) = self.unfinished.expired(to.emitter.now.minus(Self::LIFETIME)) {
            self.abandon(removed, HandshakeOutcome::Timeout, to);
        }
    }

    /// The input ends.
    pub(super) fn finish(&mut self, to: &mut To<'_, impl Sink>) {
        while let Some(removed) = self.unfinished.pop_oldest() {
            self.abandon(removed, HandshakeOutcome::Timeout, to);
        }
    }

    /// How many handshakes have begun and have no outcome yet.
    pub(super) fn pending(&self) -> usize {
        self.unfinished.values().filter(|hello| hello.counted).count()
    }

    /// Entries, octets, evictions.
    pub(super) fn usage(&self) -> (usize, usize, u64) {
        (self.unfinished.len(), self.unfinished.bytes(), self.unfinished.evicted())
    }

    /// A hello in one piece.
    fn whole(&mut self, packet: &Packet<'_>, fragment: &Fragment<'_>, to: &mut To<'_, impl Sink>) {
        let body = read((fragment.data, true), Some(fragment.record), &packet.path, to.emitter);
        if !body.new {
            return;
        }
        let random = body.hello.as_ref().map(|hello| &hello.random[..]);
        let begun = self.take_over(packet, random, to);
        if !begun {
            to.emitter.ledger.handshake_begun(HandshakeProtocol::Dtls);
        }
        conclude(body, HandshakeOutcome::Malformed, packet.path, packet.seen, to);
    }

    fn fragment(
        &mut self,
        packet: &Packet<'_>,
        fragment: &Fragment<'_>,
        to: &mut To<'_, impl Sink>,
    ) {
        let late = Late::of(packet, fragment, to.emitter);
        let fresh = |counted| Unfinished {
            counted,
            path: packet.path,
            seen: packet.seen,
            answer_only: false,
            message_seq: fragment.message_seq,
            length: fragment.length,
            stream: Reassembly::default(),
        };
        let found = self.find(packet, to);
        let slot = match found {
            Some(slot) => slot,
            None if late == Late::Yes => return,
            None => self.begin(fresh(late == Late::No), to),
        };
        let Some(hello) = self.unfinished.get_mut(slot) else { return };
        let adds = found.is_none() || hello.answer_only || !fragment.is_anonymous();
        if hello.path != packet.path || !adds {
            return;
        }
        let before = hello.stream.footprint();
        if (hello.message_seq, hello.length) != (fragment.message_seq, fragment.length) {
            if !hello.answer_only && (late != Late::No || hello.is_behind(fragment)) {
                return;
            }
            // The hello with the cookie takes the place of the one without, and any hello that of
            // its answer.
            *hello = fresh(hello.counted);
        }
        let taken = hello.stream.insert(fragment.offset as u64, fragment.data);
        let after = hello.stream.footprint();
        let whole = hello.stream.prefix().len() == hello.length;
        let known = !hello.counted && {
            let random = hello.stream.prefix().get(RANDOM);
            let known = random.is_some_and(|random| is_known(&packet.path, random, to.emitter));
            if !known && (random.is_some() || whole || taken.is_err()) {
                hello.counted = true;
                to.emitter.ledger.handshake_begun(HandshakeProtocol::Dtls);
            }
            known
        };
        self.unfinished.charge(before, after);
        if known {
            // It was sent again; so are those that follow.
            self.unfinished.discard(slot);
            self.unfinished.charge(after, 0);
            return;
        }
        let lost = match taken {
            _ if whole => None,
            Err(_) => Some(HandshakeOutcome::Malformed),
            Ok(fresh) if fragment.cut && (fresh || before == 0) => {
                Some(HandshakeOutcome::Truncated)
            }
            Ok(_) => {
                while let Some(removed) = self.unfinished.overcharged() {
                    self.abandon(removed, HandshakeOutcome::Evicted, to);
                }
                return;
            }
        };
        if let Some(removed) = self.unfinished.remove(slot) {
            self.unfinished.charge(after, 0);
            if !removed.value.counted {
                // What would tell it from the hello before it is cut off.
                to.emitter.ledger.copies.add(1);
                return;
            }
            let hello = (removed.value.stream.prefix(), lost.is_none());
            let lost = lost.unwrap_or(HandshakeOutcome::Malformed);
            end_of_fragments(hello, packet.path, packet.seen, lost, to);
        }
    }

    /// A server's answer. Without its client's hello, only one side of the traffic is seen, unless
    /// that hello is late.
    fn answer(&mut self, packet: &Packet<'_>, to: &mut To<'_, impl Sink>) {
        let path = packet.path.reversed();
        let flow = to.emitter.identity(&path);
        let expected = to.emitter.hasher.word(flow, EXPECTED);
        if self.find(packet, to).is_some()
            || to.emitter.recent.contains(expected, to.emitter.now, Recent::WINDOW)
        {
            return;
        }
        let answered = Unfinished {
            counted: true,
            path,
            seen: packet.seen,
            answer_only: true,
            message_seq: 0,
            length: 0,
            stream: Reassembly::default(),
        };
        self.begin(answered, to);
    }

    fn find(&self, packet: &Packet<'_>, to: &To<'_, impl Sink>) -> Option<Slot> {
        let (key, _) = packet.path.key();
        self.unfinished.find(to.emitter.hasher.path(&packet.path), &key)
    }

    /// A handshake begins of which something is missing.
    fn begin(&mut self, unfinished: Unfinished, to: &mut To<'_, impl Sink>) -> Slot {
        while let Some(removed) = self.unfinished.overfull() {
            self.abandon(removed, HandshakeOutcome::Evicted, to);
        }
        if unfinished.counted {
            to.emitter.ledger.handshake_begun(HandshakeProtocol::Dtls);
        }
        let (key, _) = unfinished.path.key();
        let hash = to.emitter.hasher.path(&unfinished.path);
        self.unfinished.insert(hash, key, to.emitter.now, unfinished)
    }

    /// The hello came in one piece after all: is it that of an unfinished handshake, which is
    /// counted? Then what is here of that is no use any more.
    fn take_over(
        &mut self,
        packet: &Packet<'_>,
        random: Option<&[u8]>,
        to: &To<'_, impl Sink>,
    ) -> bool {
        let Some(slot) = self.find(packet, to) else { return false };
        let same = self.unfinished.get_mut(slot).is_some_and(|hello| {
            let known = hello.stream.prefix().get(RANDOM);
            hello.path == packet.path && (known.is_none() || known == random)
        });
        let Some(removed) = same.then(|| self.unfinished.remove(slot)).flatten() else {
            return false;
        };
        self.unfinished.charge(removed.value.stream.footprint(), 0);
        removed.value.counted
    }

    /// Reads what there is of a hello that will not become whole.
    fn abandon(
        &mut self,
        removed: Removed<Unfinished>,
        why: HandshakeOutcome,
        to: &mut To<'_, impl Sink>,
    ) {
        let Unfinished { counted, path, mut seen, answer_only, stream, .. } = removed.value;
        self.unfinished.charge(stream.footprint(), 0);
        if !counted {
            // So little that it cannot be told from a hello that was dealt with.
            to.emitter.ledger.copies.add(1);
            return;
        }
        if why == HandshakeOutcome::Timeout {
            seen.at = seen.at.plus(Self::LIFETIME);
        }
        if answer_only {
            let flow = to.emitter.identity(&path);
            let expected = to.emitter.hasher.word(flow, EXPECTED);
            to.emitter.recent.note(expected, to.emitter.now, Recent::WINDOW);
            return end(Told::Nothing, HandshakeOutcome::OneWay, path, seen, flow, to);
        }
        let lost = match why {
            HandshakeOutcome::Timeout if stream.has_hole() => HandshakeOutcome::Gap,
            why => why,
        };
        end_of_fragments((stream.prefix(), false), path, seen, lost, to);
    }
}

impl Unfinished {
    /// Is this a fragment, come late, of the hello without the cookie that this one has? The hello
    /// of another connection from the same port has another random.
    fn is_behind(&self, fragment: &Fragment<'_>) -> bool {
        let (known, random) = (self.stream.prefix().get(RANDOM), fragment.data.get(RANDOM));
        fragment.message_seq < self.message_seq
            && (fragment.offset > 0 || random.is_some() && random == known)
    }
}

/// Is a fragment, sent again, of a hello that was dealt with?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Late {
    Yes,
    No,
    /// It begins a hello, and the random that would tell is not all in it.
    Unsure,
}

impl Late {
    fn of(packet: &Packet<'_>, fragment: &Fragment<'_>, emitter: &Emitter) -> Self {
        let begins = fragment.offset == 0;
        if begins && let Some(random) = fragment.data.get(RANDOM) {
            let known = is_known(&packet.path, random, emitter);
            return if known { Self::Yes } else { Self::No };
        }
        let expected = emitter.hasher.word(emitter.identity(&packet.path), EXPECTED);
        match emitter.recent.contains(expected, emitter.now, Recent::WINDOW) {
            true if begins => Self::Unsure,
            true => Self::Yes,
            false => Self::No,
        }
    }
}

/// Was a hello with this random dealt with?
fn is_known(path: &Path, random: &[u8], emitter: &Emitter) -> bool {
    let identity = emitter.hasher.octets(emitter.identity(path), random);
    emitter.recent.contains(identity, emitter.now, Recent::WINDOW)
}

/// Reads the body of a hello, and whether it is whole; `record` when it came in one piece, for
/// copies to be known.
fn read<'a>(
    (body, whole): (&'a [u8], bool),
    record: Option<u64>,
    path: &Path,
    emitter: &mut Emitter,
) -> Body<'a> {
    let flow = emitter.identity(path);
    let now = emitter.now;
    emitter.recent.renew(emitter.hasher.word(flow, EXPECTED), now, Recent::WINDOW);
    let hello = ClientHello::read(body, whole, Dialect::Dtls).ok();
    let random = hello.as_ref().map_or(&[][..], |hello| hello.random);
    let identity = emitter.hasher.octets(flow, random);
    if let Some(record) = record {
        let copy = emitter.hasher.word(identity, record);
        if emitter.recent.note(copy, now, COPY).is_some() {
            emitter.ledger.copies.add(1);
            return Body { hello, identity, new: false };
        }
    }
    // The hello with the cookie has the random of the one without (RFC 6347 §4.2.1), and so has
    // one that is sent again, after pauses that double (§4.2.4.1).
    let new = emitter.recent.renew(identity, now, Recent::WINDOW).is_none();
    Body { hello, identity, new }
}

/// Fragments that are whole, or will never be. What they began has an outcome, even where the
/// same hello was dealt with in the meantime; only then it is not reported again.
fn end_of_fragments(
    hello: (&[u8], bool),
    path: Path,
    seen: Seen,
    lost: HandshakeOutcome,
    to: &mut To<'_, impl Sink>,
) {
    let body = read(hello, None, &path, to.emitter);
    if body.new {
        conclude(body, lost, path, seen, to);
    } else {
        to.emitter.ledger.handshake(HandshakeProtocol::Dtls, body.outcome(lost));
    }
}

/// The end of a handshake whose hello was read. `lost`: why its end is not there, if it is not.
fn conclude(
    body: Body<'_>,
    lost: HandshakeOutcome,
    path: Path,
    seen: Seen,
    to: &mut To<'_, impl Sink>,
) {
    let (outcome, identity) = (body.outcome(lost), body.identity);
    end(body.hello.map_or(Told::Nothing, Told::Hello), outcome, path, seen, identity, to);
}

impl Body<'_> {
    fn outcome(&self, lost: HandshakeOutcome) -> HandshakeOutcome {
        self.hello.as_ref().map_or(lost, |hello| handshake::outcome(hello, lost))
    }
}

/// Counts and reports the end of a handshake that was counted as begun.
fn end(
    told: Told<'_>,
    outcome: HandshakeOutcome,
    path: Path,
    seen: Seen,
    identity: u64,
    to: &mut To<'_, impl Sink>,
) {
    let protocol = HandshakeProtocol::Dtls;
    to.emitter.ledger.handshake(protocol, outcome);
    let handshake = Handshake {
        protocol,
        outcome,
        signal: Signal::DtlsSni,
        told,
        origin: origin(&seen),
        seen,
        path,
        identity,
    };
    handshake::emit(to.emitter, to.volumes, &handshake, to.out);
}

/// Tells "a hello was dealt with here" from other identities of a conversation.
const EXPECTED: u64 = 0x6474_6c73_6865_6c6c;

/// Where the random lies in a hello's body, behind the version (RFC 6347 §4.2.1).
const RANDOM: core::ops::Range<usize> = 2..34;

#[cfg(test)]
mod tests;
