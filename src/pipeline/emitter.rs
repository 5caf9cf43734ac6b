//! Where names leave the pipeline: counted once, looked up, and turned into records.

use std::sync::Arc;

use super::recent::Recent;
use super::{Sighting, Sink};
use crate::decode::Seen;
use crate::detect::{Client, Connection, Detection, EchHello, EncryptedDns, Origin, Record};
use crate::flow::FlowHasher;
use crate::inspect::Signal;
use crate::inspect::tls::{ClientHello, EchExtension};
use crate::name::{Name, normalise_host};
use crate::net::Path;
use crate::signature::resolvers::Resolvers;
use crate::signature::{Indicator, Set};
use crate::time::Timestamp;
use crate::visibility::Ledger;

/// What every part of the pipeline needs to report what it sees.
#[derive(Debug)]
pub(super) struct Emitter {
    pub(super) set: Arc<Set>,
    /// Names of resolvers that speak DNS over HTTPS.
    pub(super) resolvers: Arc<Resolvers>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) hasher: FlowHasher,
    pub(super) recent: Recent,
    /// The tables' time.
    pub(super) now: Timestamp,
    /// Room for names in their printed form; taken while in use.
    pub(super) text: String,
    pub(super) other_text: String,
}

/// One conversation, as the frame that is being read shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) seen: &'a Seen,
    /// From client to server.
    pub(super) path: Path,
    /// Did the client send this frame? Then its hardware address is the client's.
    pub(super) from_client: bool,
    /// Of the conversation: the same for its copies, and for every worker.
    pub(super) identity: u64,
}

/// A name and the event it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) signal: Signal,
    pub(super) name: &'a str,
    /// Of the event.
    pub(super) identity: u64,
    pub(super) ech: Option<&'a EchHello>,
}

impl Emitter {
    /// The conversation's identity.
    pub(super) fn identity(&self, path: &Path) -> u64 {
        let protocol = u64::from(path.protocol.0);
        self.hasher.word(self.hasher.path(path), u64::from(path.tenant.0) << 8 | protocol)
    }

    /// Reports a name and, when an indicator matches, a detection; returns the indicator.
    pub(super) fn name(
        &self,
        scene: &Scene<'_>,
        named: &Named<'_>,
        out: &mut impl Sink,
    ) -> Option<Arc<Indicator>> {
        scene.sighting(named, out);
        let hit = self.set.lookup(named.name)?;
        if !hit.indicator.applies_to(named.signal) {
            return None;
        }
        scene.detection(named, hit.indicator, out);
        Some(Arc::clone(hit.indicator))
    }

    /// Reports the hosts of one request: each is seen, and the first that is listed is detected.
    pub(super) fn names(
        &mut self,
        scene: &Scene<'_>,
        names: &[(Signal, &[u8])],
        identity: u64,
        out: &mut impl Sink,
    ) -> Option<Arc<Indicator>> {
        let mut found = None;
        let mut text = core::mem::take(&mut self.text);
        for (signal, host) in names {
            normalise_host(&mut text, host);
            let named = Named { signal: *signal, name: &text, identity, ech: None };
            if found.is_none() {
                found = self.name(scene, &named, out);
            } else {
                scene.sighting(&named, out);
            }
        }
        self.text = text;
        found
    }

    /// Reports hosts as seen, without asking whose they are.
    pub(super) fn sightings(
        &mut self,
        scene: &Scene<'_>,
        names: &[(Signal, &[u8])],
        out: &mut impl Sink,
    ) {
        for (signal, host) in names {
            normalise_host(&mut self.text, host);
            scene.sighting(
                &Named { signal: *signal, name: &self.text, identity: 0, ech: None },
                out,
            );
        }
    }

    /// Reports a host as it is on the wire.
    pub(super) fn host(
        &mut self,
        scene: &Scene<'_>,
        signal: Signal,
        host: &[u8],
        identity: u64,
        ech: Option<&EchHello>,
        out: &mut impl Sink,
    ) -> Option<Arc<Indicator>> {
        let mut text = core::mem::take(&mut self.text);
        normalise_host(&mut text, host);
        let found = self.name(scene, &Named { signal, name: &text, identity, ech }, out);
        self.text = text;
        found
    }

    /// The encrypted transport for DNS that a hello asks for, by its port, its ALPN or its name.
    pub(super) fn encrypted_dns(
        &mut self,
        hello: &ClientHello<'_>,
        port: u16,
        over_quic: bool,
    ) -> Option<EncryptedDns> {
        let dns = if over_quic { EncryptedDns::Doq } else { EncryptedDns::Dot };
        if port == DNS_OVER_TLS_PORT
            || hello.alpn().any(|protocol| matches!(protocol, b"dot" | b"doq"))
        {
            return Some(dns);
        }
        normalise_host(&mut self.text, hello.server_name?);
        let resolver = self.resolvers.by_name(&self.text);
        Resolvers::over_https(resolver).then_some(EncryptedDns::Doh)
    }
}

impl Scene<'_> {
    /// The way that this frame went.
    pub(super) const fn direction(&self) -> Path {
        if self.from_client { self.path } else { self.path.reversed() }
    }

    /// Reports a name without asking whose it is.
    pub(super) fn sighting(&self, named: &Named<'_>, out: &mut impl Sink) {
        out.sighting(&Sighting {
            origin: self.origin(),
            signal: named.signal,
            name: named.name,
            path: self.path,
            ech: named.ech,
        });
    }

    /// Reports that `indicator` matches.
    pub(super) fn detection(
        &self,
        named: &Named<'_>,
        indicator: &Arc<Indicator>,
        out: &mut impl Sink,
    ) {
        out.record(Record::Detection(Box::new(Detection {
            origin: self.origin(),
            signal: named.signal,
            name: Name::new(named.name),
            indicator: Arc::clone(indicator),
            client: self.client(),
            path: self.path,
            identity: named.identity,
            ech: named.ech.cloned().map(Box::new),
        })));
    }

    /// Reports that a connection's first flight was classified.
    pub(super) fn connection(
        &self,
        named: bool,
        encrypted_dns: Option<EncryptedDns>,
        identity: u64,
        ech: Option<EchHello>,
        out: &mut impl Sink,
    ) {
        out.record(Record::Connection(Connection {
            origin: self.origin(),
            client: self.client(),
            server: self.path.destination,
            client_port: self.path.source.port,
            protocol: self.path.protocol,
            named,
            encrypted_dns,
            identity,
            ech: ech.map(Box::new),
        }));
    }

    pub(super) const fn origin(&self) -> Origin {
        Origin { at: self.seen.at, source: self.seen.source, number: self.seen.number }
    }

    pub(super) fn client(&self) -> Client {
        Client {
            tenant: self.seen.tenant,
            addr: self.path.source.addr,
            mac: self.seen.mac.filter(|_| self.from_client),
            vlan: self.seen.vlan,
            tunnel_id: self.seen.tunnel_id,
            mirror: self.seen.mirror,
        }
    }
}

/// The outer ECH extension of a hello, as records carry it.
pub(super) fn ech_hello(hello: &ClientHello<'_>) -> Option<EchHello> {
    let Some(EchExtension::Outer { config_id, kdf_id, aead_id, enc_len, payload_len }) = hello.ech
    else {
        return None;
    };
    let mut outer_name = String::new();
    if let Some(name) = hello.server_name {
        normalise_host(&mut outer_name, name);
    }
    let outer_name = Name::new(&outer_name);
    Some(EchHello { outer_name, config_id, kdf_id, aead_id, enc_len, payload_len })
}

/// RFC 7858 §3.1, RFC 9250 §4.1.1.
const DNS_OVER_TLS_PORT: u16 = 853;
