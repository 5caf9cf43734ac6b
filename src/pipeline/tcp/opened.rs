//! What an inspector observes in one direction of a connection, and the accounts it is part of.

use core::time::Duration;

use super::Connections;
use super::half::Found;
use crate::detect::CONNECTION_WINDOW;
use crate::inspect::stream::{Observation, Stream};
use crate::name::is_address;
use crate::pipeline::Sink;
use crate::pipeline::dns;
use crate::pipeline::emitter::{Emitter, Said, Scene};
use crate::pipeline::tls::{self, Opening};
use crate::visibility::{DnsOutcome, DnsTransport, HandshakeOutcome};

/// What is counted as begun and has no outcome yet, and where it began.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Of the client, when its SYN was seen.
    pub(super) syn: Option<u32>,
    /// Of the other side of a firewall that gives connections sequence numbers of its own.
    pub(super) other_syn: Option<u32>,
    /// What is to be added to sequence numbers to have those of this side.
    pub(super) shift: u32,
    /// The sequence number of the inspector's first octet.
    pub(super) sequence: u32,
    pub(super) hello: Opening,
    /// What is here of a hello came just behind another one.
    pub(super) follows: bool,
    pub(super) dns_message: bool,
    /// What is read may be a copy of what another place of the stream will bring whole: a hello
    /// is counted when it ends.
    pub(super) beside: bool,
}

/// Hands an inspector's observation to those who know what it means.
pub(super) fn observed(
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
            let opening = (core::mem::take(&mut opened.hello), opened.syn);
            found.said = tls::client_hello(emitter, scene, hello, opening, lost, out);
        }
        Observation::NoClientHello(_) => {
            found.hello = true;
            found.said = Some(Said::default());
            let outcome = lost.unwrap_or(HandshakeOutcome::Malformed);
            let opening = (core::mem::take(&mut opened.hello), opened.follows);
            tls::no_client_hello(emitter, scene, opening, outcome);
        }
        Observation::ServerHello(_) => {}
        Observation::Certificate(der) => found.listed = tls::certificate(emitter, scene, der, out),
        Observation::Names { offset, names } => {
            found.proxied |= names.iter().any(|(signal, _)| signal.is_of_proxy());
            // Where a request begins is the same for its copies, whatever was seen before it, and
            // another for the next one, whatever that asks for.
            let host = names.first().map_or(&[][..], |(_, host)| host);
            let sequence = opened.sequence.wrapping_add(opened.shift).wrapping_add(offset);
            let identity = emitter.hasher.word(scene.identity, u64::from(sequence));
            let identity = emitter.hasher.octets(identity, host);
            if emitter.recent.note(identity, emitter.now, REPEATED).is_some() {
                emitter.ledger.copies.add(1);
                found.copy = true;
                return;
            }
            let indicator = emitter.names(scene, names, identity, out);
            let vendor = indicator.map(|indicator| indicator.vendor.clone());
            let named = names.iter().any(|(_, host)| !is_address(host));
            // Through a tunnel to an address a name may follow.
            if named || !names.iter().any(|(signal, _)| signal.is_of_tunnel()) {
                found.said = Some(Said { named, vendor, ..Said::default() });
            }
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
    pub(super) fn prepare(
        &self,
        scene: &Scene<'_>,
        stream: &Stream,
        octets: &[u8],
        emitter: &Emitter,
    ) {
        if let Stream::Tls(hello) = stream
            && self.hello == Opening::Unknown
            && let Some(random) = hello.random(octets)
        {
            tls::prepare(emitter, scene, random, self.syn);
        }
    }

    /// After a step of inspection these octets are left unconsumed: has something begun?
    pub(super) fn note(
        &mut self,
        scene: &Scene<'_>,
        stream: &Stream,
        left: &[u8],
        emitter: &mut Emitter,
    ) {
        match stream {
            Stream::Tls(hello) if self.hello == Opening::Unknown => match hello.random(left) {
                Some(random) if !self.beside => {
                    self.hello = tls::begin(emitter, scene, random, self.syn);
                }
                Some(_) => {}
                None => self.follows |= tls::follows_hello(emitter, scene),
            },
            // Behind a length; one of zero would have been consumed, for it says nothing.
            Stream::Dns(_) if left.len() >= 2 && !self.dns_message => {
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

/// For how long a request is known by where it begins: as long as its connection is. A copy with a
/// hole is given up, and read as far as it goes, only when nothing came for [`Connections::IDLE`].
const REPEATED: Duration = CONNECTION_WINDOW;

const _: () = assert!(Connections::IDLE.as_secs() < REPEATED.as_secs());
