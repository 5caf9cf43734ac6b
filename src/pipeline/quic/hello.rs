//! The client's hello in its stream of handshake octets: how far it has come, what it says.

use super::{Begun, To};
use crate::detect::Origin;
use crate::flow::FlowHasher;
use crate::inspect::quic::packet::ConnectionId;
use crate::inspect::quic::{CryptoFrames, Dialect, Initial, google};
use crate::inspect::tls::{self, ClientHello};
use crate::inspect::{Reassembly, Signal};
use crate::pipeline::handshake::{Handshake, Told, outcome};
use crate::visibility::{HandshakeOutcome, HandshakeProtocol};

/// How its hello can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// In Initial packets.
    Initial(Dialect),
    /// In clear: Google's versions before Q050.
    Clear,
    /// Not in this version. The client may come back with another (RFC 9000 §6.2).
    Unsupported,
}

/// How far a hello has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    More,
    Whole,
    /// There is no use in waiting for the rest.
    Broken(HandshakeOutcome),
}

impl Kind {
    pub(super) const fn protocol(self) -> HandshakeProtocol {
        match self {
            Self::Initial(Dialect::GoogleTags) | Self::Clear => HandshakeProtocol::Gquic,
            Self::Initial(_) | Self::Unsupported => HandshakeProtocol::Quic,
        }
    }

    pub(super) const fn signal(self) -> Signal {
        match self.protocol() {
            HandshakeProtocol::Gquic => Signal::GquicSni,
            _ => Signal::QuicSni,
        }
    }

    /// May a hello begin with these octets?
    pub(super) fn begins(self, octets: &[u8]) -> bool {
        match octets.first() {
            Some(&first) => !self.carries_tls() || first == tls::handshake_type::CLIENT_HELLO,
            None => false,
        }
    }

    /// Is the hello TLS?
    const fn carries_tls(self) -> bool {
        !matches!(self, Self::Initial(Dialect::GoogleTags) | Self::Clear)
    }
}

/// Puts the pieces of an opened packet into the stream.
pub(super) fn feed(
    stream: &mut Reassembly,
    frames: CryptoFrames<'_>,
    initial: &Initial<'_>,
    kind: Kind,
) -> Step {
    let (mut fault, mut new) = (false, false);
    for frame in frames {
        match frame.map(|piece| stream.insert(piece.offset, piece.data)) {
            Ok(Ok(brings)) => new |= brings,
            Ok(Err(_)) | Err(_) => fault = true,
        }
    }
    match progress(stream, kind) {
        Step::More if fault => Step::Broken(HandshakeOutcome::Malformed),
        // The other packets of a connection whose packets are cut are cut too; unless this is but
        // a copy, from another mirror, of one that was not.
        Step::More if initial.cut && new => Step::Broken(HandshakeOutcome::Truncated),
        step => step,
    }
}

/// Is the hello at the beginning of the stream whole?
pub(super) fn progress(stream: &Reassembly, kind: Kind) -> Step {
    let prefix = stream.prefix();
    if !kind.carries_tls() {
        return match google::ClientHello::read(prefix) {
            Ok(hello) if hello.whole => Step::Whole,
            Ok(_) => Step::More,
            Err(_) if prefix.len() < google::ClientHello::HEADER_LEN => Step::More,
            Err(_) => Step::Broken(HandshakeOutcome::Malformed),
        };
    }
    match *prefix {
        [kind, ..] if kind != tls::handshake_type::CLIENT_HELLO => {
            Step::Broken(HandshakeOutcome::Malformed)
        }
        [_, a, b, c, ref body @ ..] => {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            if len > Reassembly::LIMIT - MESSAGE_HEADER {
                Step::Broken(HandshakeOutcome::Malformed)
            } else if body.len() >= len {
                Step::Whole
            } else {
                Step::More
            }
        }
        _ => Step::More,
    }
}

/// Ends a connection's handshake with what its hello says, and gives the hello's mark. One that
/// only says again what was said before a Retry is no handshake.
pub(super) fn end(
    hasher: &FlowHasher,
    begun: &Begun,
    stream: &Reassembly,
    step: Step,
    origin: Origin,
    to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
) -> u32 {
    let (outcome, told) = tell(stream, begun.kind, step);
    let mark = mark(hasher, &begun.scid, &told);
    if begun.repeats != 0 {
        if mark == begun.repeats {
            return mark;
        }
        to.ledger.handshake_begun(begun.kind.protocol());
    }
    report(begun, (outcome, told), origin, to);
    mark
}

/// What a hello is known again by, in few bits: its client's ID, its random, and its name, since a
/// client may choose the others twice. Zero when it tells nothing.
#[expect(clippy::cast_possible_truncation, reason = "a hash may be cut")]
fn mark(hasher: &FlowHasher, scid: &ConnectionId, told: &Told<'_>) -> u32 {
    let (random, name) = match told {
        Told::Nothing => return 0,
        Told::Hello(hello) => (&hello.random[..], hello.server_name),
        Told::Name(name) => (&[][..], Some(*name)),
    };
    let parts = [scid.octets(), random, name.unwrap_or_default()];
    let hash = parts.into_iter().fold(HELLO_DOMAIN, |hash, part| hasher.octets(hash, part));
    (hash as u32).max(1)
}

/// What the stream's hello says, and how its handshake ends with that.
fn tell(stream: &Reassembly, kind: Kind, step: Step) -> (HandshakeOutcome, Told<'_>) {
    let prefix = stream.prefix();
    let lost = match step {
        Step::Broken(outcome) => outcome,
        Step::More | Step::Whole => HandshakeOutcome::Malformed,
    };
    if !kind.carries_tls() {
        return match google::ClientHello::read(prefix) {
            Ok(google::ClientHello { server_name: Some(name), .. }) => {
                (HandshakeOutcome::Named, Told::Name(name))
            }
            Ok(google::ClientHello { whole: true, .. }) => (HandshakeOutcome::NoSni, Told::Nothing),
            _ => (lost, Told::Nothing),
        };
    }
    let [tls::handshake_type::CLIENT_HELLO, a, b, c, body @ ..] = prefix else {
        return (lost, Told::Nothing);
    };
    let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    let (body, whole) = body.get(..len).map_or((body, false), |body| (body, true));
    match ClientHello::read(body, whole, tls::Dialect::Tls) {
        Ok(hello) => (outcome(&hello, lost), Told::Hello(hello)),
        Err(_) => (lost, Told::Nothing),
    }
}

/// Counts the end of a connection's handshake and hands it on.
pub(super) fn report(
    begun: &Begun,
    (outcome, told): (HandshakeOutcome, Told<'_>),
    origin: Origin,
    to: &mut To<'_, impl FnMut(&Handshake<'_>)>,
) {
    let protocol = begun.kind.protocol();
    to.ledger.handshake(protocol, outcome);
    (to.out)(&Handshake {
        protocol,
        outcome,
        signal: begun.kind.signal(),
        told,
        origin,
        seen: begun.seen,
        path: begun.path,
        identity: begun.identity,
    });
}

/// What hashes of hellos begin with.
const HELLO_DOMAIN: u64 = 0x6865_6c6c_6f00_0000;
/// The header of a TLS handshake message (RFC 8446 §4).
const MESSAGE_HEADER: usize = 4;
