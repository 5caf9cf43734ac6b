//! What a ClientHello over TCP means: one handshake, one sighting.

use core::time::Duration;
use std::sync::Arc;

use super::Sink;
use super::dns::COPY;
use super::emitter::{Emitter, Named, Said, Scene};
use super::handshake::outcome;
use super::recent::Recent;
use crate::inspect::Signal;
use crate::inspect::tls::{ClientHello, certificate};
use crate::name::{Name, NameId, normalise_host};
use crate::signature::Indicator;
use crate::visibility::{HandshakeOutcome, HandshakeProtocol};

/// An answer without its ClientHello is told from a late one by what was seen this long ago.
const ANSWERED: Duration = Duration::from_secs(10);

/// How long after a hello its repetition is expected. The pauses double, to a minute at least
/// (RFC 6298 §2.4 and §5.5) and two on Linux; no other hello has its random. Beyond
/// [`Recent::WINDOW`] it is remembered for as long as nobody else needs the room.
const REPEATED: Duration = Duration::from_secs(130);

/// What is known of a stream's hello while it is unfinished.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Opening {
    /// Too little of it is there to tell it from another's copy.
    #[default]
    Unknown,
    /// It is counted as begun.
    Begun,
    /// It is counted already.
    Copy,
}

/// Asks memory for what will be needed of a hello with this random, and does not wait for it.
pub(super) fn prepare(emitter: &Emitter, scene: &Scene<'_>, random: &[u8; 32], syn: Option<u32>) {
    let identity = emitter.hasher.octets(scene.identity, random);
    emitter.recent.prepare(identity);
    if let Some(syn) = syn {
        emitter.recent.prepare(emitter.hasher.word(identity, syn.into()));
    }
    emitter.recent.prepare(emitter.hasher.word(scene.identity, EXPECTED));
}

/// So much of a hello is there that it can be told from others: counts it as begun, unless it is
/// a copy. `syn`: its client's initial sequence number, if that is known.
pub(super) fn begin(
    emitter: &mut Emitter,
    scene: &Scene<'_>,
    random: &[u8; 32],
    syn: Option<u32>,
) -> Opening {
    let identity = emitter.hasher.octets(scene.identity, random);
    begin_as(emitter, scene, identity, syn)
}

/// As [`begin`], when the hello's identity is known.
fn begin_as(emitter: &mut Emitter, scene: &Scene<'_>, identity: u64, syn: Option<u32>) -> Opening {
    let expected = emitter.hasher.word(scene.identity, EXPECTED);
    let now = emitter.now;
    // Its answer is repeated with it.
    emitter.recent.renew(expected, now, ANSWERED);
    if is_copy(emitter, identity, syn) {
        emitter.ledger.copies.add(1);
        return Opening::Copy;
    }
    emitter.ledger.handshake_begun(HandshakeProtocol::Tls);
    Opening::Begun
}

/// Was this hello met before? Behind another SYN it is another one, be its random the same, unless
/// it comes at once: by the other side of a firewall that gives connections sequence numbers of its
/// own.
fn is_copy(emitter: &mut Emitter, identity: u64, syn: Option<u32>) -> bool {
    let now = emitter.now;
    let age = emitter.recent.renew(identity, now, REPEATED);
    let same = syn.is_none_or(|syn| {
        let connection = emitter.hasher.word(identity, syn.into());
        emitter.recent.renew(connection, now, REPEATED).is_some()
    });
    age.is_some_and(|age| same || age < COPY)
}

/// A ClientHello is there, as far as it goes. `lost`: why its end is not. None when it is a copy.
pub(super) fn client_hello(
    emitter: &mut Emitter,
    scene: &Scene<'_>,
    hello: &ClientHello<'_>,
    (opening, syn): (Opening, Option<u32>),
    lost: Option<HandshakeOutcome>,
    out: &mut impl Sink,
) -> Option<Said> {
    let identity = emitter.hasher.octets(scene.identity, hello.random);
    let opening =
        if opening == Opening::Unknown { begin_as(emitter, scene, identity, syn) } else { opening };
    if opening == Opening::Copy {
        return None;
    }
    let outcome = outcome(hello, lost.unwrap_or(HandshakeOutcome::Gap));
    emitter.ledger.handshake(HandshakeProtocol::Tls, outcome);
    Some(emitter.hello(scene, Signal::TlsSni, hello, identity, out))
}

/// A server's certificate in the clear: each name is seen, and one that is listed is detected. They
/// say by what a server may be called, not by what it was: so it is the name that most others ask
/// for, and weak where one of them is on no list, or on another vendor's.
///
/// Returns the vendor, where the server is nobody else's too.
pub(super) fn certificate(
    emitter: &mut Emitter,
    scene: &Scene<'_>,
    der: &[u8],
    out: &mut impl Sink,
) -> Option<Arc<str>> {
    let identity = emitter.hasher.octets(scene.identity, der);
    if emitter.recent.renew(identity, emitter.now, Recent::WINDOW).is_some() {
        emitter.ledger.copies.add(1);
        return None;
    }
    let signal = Signal::TlsCert;
    let mut text = core::mem::take(&mut emitter.text);
    let mut weakest: Option<(Name, NameId, Arc<Indicator>)> = None;
    let mut shared = false;
    certificate::names(der, |name| {
        normalise_host(&mut text, name);
        let id = emitter.hasher.name(&text);
        scene.sighting(&Named { signal, name: &text, id, identity, ech: None }, out);
        let Some(indicator) = &emitter.verdicts.of(id, &text).indicator else {
            shared = true;
            return;
        };
        if let Some((_, _, known)) = &weakest {
            shared |= known.vendor != indicator.vendor;
            if known.strength <= indicator.strength {
                return;
            }
        }
        if indicator.applies_to(signal) {
            weakest = Some((Name::new(&text), id, Arc::clone(indicator)));
        }
    });
    emitter.text = text;
    let (name, id, indicator) = weakest?;
    let named = Named { signal, name: &name, id, identity, ech: None };
    scene.detection_among(&named, &indicator, shared, out);
    (!shared).then(|| Arc::clone(&indicator.vendor))
}

/// Was a hello of this conversation just dealt with?
pub(super) fn follows_hello(emitter: &Emitter, scene: &Scene<'_>) -> bool {
    let expected = emitter.hasher.word(scene.identity, EXPECTED);
    emitter.recent.contains(expected, emitter.now, ANSWERED)
}

/// What began like a hello ended without one.
///
/// Where so little came that it cannot be told from others, it is taken for part of a copy if its
/// conversation just had a hello, or had when it came: that may be long ago.
pub(super) fn no_client_hello(
    emitter: &Emitter,
    scene: &Scene<'_>,
    (opening, follows): (Opening, bool),
    outcome: HandshakeOutcome,
) {
    if opening == Opening::Unknown {
        if follows || follows_hello(emitter, scene) {
            emitter.ledger.copies.add(1);
            return;
        }
        emitter.ledger.handshake_begun(HandshakeProtocol::Tls);
    }
    if opening != Opening::Copy {
        emitter.ledger.handshake(HandshakeProtocol::Tls, outcome);
    }
}

/// A ServerHello whose ClientHello is not there: `why`, unless it was just dealt with.
pub(super) fn orphaned_server_hello(
    emitter: &mut Emitter,
    scene: &Scene<'_>,
    why: HandshakeOutcome,
) {
    let expected = emitter.hasher.word(scene.identity, EXPECTED);
    // It is sent again after pauses that double, where its client is gone (RFC 6298 §5.5).
    if emitter.recent.renew(expected, emitter.now, ANSWERED).is_none() {
        emitter.ledger.handshake_begun(HandshakeProtocol::Tls);
        emitter.ledger.handshake(HandshakeProtocol::Tls, why);
    }
}

/// Tells "a hello was dealt with here" from other identities of a conversation.
const EXPECTED: u64 = 0x7365_7276_6572_6865;
