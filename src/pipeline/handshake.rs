//! A handshake that came to its end: what the tables of the handshake protocols report.

use super::Sink;
use super::emitter::{Emitter, Said, Scene};
use super::volume::Volumes;
use crate::decode::Seen;
use crate::detect::Origin;
use crate::inspect::Signal;
use crate::inspect::tls::ClientHello;
use crate::name::is_address;
use crate::net::Path;
use crate::visibility::{HandshakeOutcome, HandshakeProtocol};

/// One handshake. It is counted already.
#[derive(Clone, Copy, Debug)]
pub struct Handshake<'a> {
    pub protocol: HandshakeProtocol,
    pub outcome: HandshakeOutcome,
    pub signal: Signal,
    pub told: Told<'a>,
    pub origin: Origin,
    /// The frame that began the handshake, for the attributes of its client.
    pub seen: Seen,
    /// From client to server.
    pub path: Path,
    /// Equal for copies of one handshake, whatever mirror or ring delivered them.
    pub identity: u64,
}

/// What was read of a hello, whichever protocol carried it.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    Nothing,
    /// A hello of TLS or DTLS, whole or cut.
    Hello(ClientHello<'a>),
    /// A name alone, from a hello that is not TLS.
    Name(&'a [u8]),
}

impl<'a> Handshake<'a> {
    /// The server's name as on the wire.
    #[must_use]
    pub const fn name(&self) -> Option<&'a [u8]> {
        match self.told {
            Told::Nothing => None,
            Told::Hello(hello) => hello.server_name,
            Told::Name(name) => Some(name),
        }
    }
}

/// How a handshake ends whose hello was read; `lost`: why its end is not there, if it is not.
pub(super) fn outcome(hello: &ClientHello<'_>, lost: HandshakeOutcome) -> HandshakeOutcome {
    match hello.server_name {
        Some(_) => HandshakeOutcome::Named,
        None if hello.cut => lost,
        None if hello.fault.is_some() => HandshakeOutcome::Malformed,
        None if hello.ech.is_some() || hello.esni => HandshakeOutcome::Ech,
        None => HandshakeOutcome::NoSni,
    }
}

/// Reports the handshake's name, and the connection that it began.
pub(super) fn emit(
    emitter: &mut Emitter,
    volumes: &mut Volumes,
    handshake: &Handshake<'_>,
    out: &mut impl Sink,
) {
    let Origin { at, source, number } = handshake.origin;
    let seen = Seen { at, source, number, ..handshake.seen };
    let scene = Scene {
        seen: &seen,
        path: handshake.path,
        from_client: handshake.outcome != HandshakeOutcome::OneWay,
        identity: handshake.identity,
    };
    let (signal, identity) = (handshake.signal, handshake.identity);
    let said = match &handshake.told {
        Told::Hello(hello) => emitter.hello(&scene, signal, hello, identity, out),
        Told::Name(name) => {
            let indicator = emitter.host(&scene, signal, name, identity, out);
            let vendor = indicator.map(|indicator| indicator.vendor.clone());
            Said { named: !is_address(name), vendor, ..Said::default() }
        }
        Told::Nothing => Said::default(),
    };
    if let Some(vendor) = &said.vendor {
        volumes.own(emitter, &scene, vendor, out);
    }
    scene.connection(said.named, said.encrypted_dns, identity, said.ech, out);
}
