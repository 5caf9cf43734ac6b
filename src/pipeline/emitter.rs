//! Where names leave the pipeline: counted once, looked up, and turned into records.

use std::sync::Arc;

use super::recent::Recent;
use super::verdicts::Verdicts;
use super::{Sighting, Sink};
use crate::decode::Seen;
use crate::detect::{Client, Connection, Detection, EchHello, EncryptedDns, Origin, Record};
use crate::flow::FlowHasher;
use crate::inspect::Signal;
use crate::inspect::tls::{ClientHello, EchExtension};
use crate::name::{Name, NameId, is_address, normalise_host};
use crate::net::Path;
use crate::signature::Indicator;
use crate::time::Timestamp;
use crate::visibility::Ledger;

/// What every part of the pipeline needs to report what it sees.
#[derive(Debug)]
pub(super) struct Emitter {
    pub(super) verdicts: Verdicts,
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
    pub(super) id: NameId,
    /// Of the event.
    pub(super) identity: u64,
    pub(super) ech: Option<&'a EchHello>,
}

/// What a hello said about its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// By a name, not by an address.
    pub(super) named: bool,
    pub(super) encrypted_dns: Option<EncryptedDns>,
    pub(super) ech: Option<EchHello>,
    /// Of the name, when it is listed.
    pub(super) vendor: Option<Arc<str>>,
}

impl Emitter {
    /// The conversation's identity.
    pub(super) fn identity(&self, path: &Path) -> u64 {
        self.identity_of(self.hasher.path(path), path)
    }

    /// The same, where the hash of the path is known.
    pub(super) fn identity_of(&self, hash: u64, path: &Path) -> u64 {
        let protocol = u64::from(path.protocol.0);
        self.hasher.word(hash, u64::from(path.tenant.0) << 8 | protocol)
    }

    /// Reports a name and, when an indicator matches, a detection; returns the indicator.
    pub(super) fn name(
        &mut self,
        scene: &Scene<'_>,
        named: &Named<'_>,
        out: &mut impl Sink,
    ) -> Option<Arc<Indicator>> {
        scene.sighting(named, out);
        let indicator = self.verdicts.of(named.id, named.name).indicator.as_ref()?;
        if !indicator.applies_to(named.signal) {
            return None;
        }
        scene.detection(named, indicator, out);
        Some(Arc::clone(indicator))
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
            let id = self.hasher.name(&text);
            let named = Named { signal: *signal, name: &text, id, identity, ech: None };
            if found.is_none() {
                found = self.name(scene, &named, out);
            } else {
                scene.sighting(&named, out);
            }
        }
        self.text = text;
        found
    }

    /// Reports a host as it is on the wire.
    pub(super) fn host(
        &mut self,
        scene: &Scene<'_>,
        signal: Signal,
        host: &[u8],
        identity: u64,
        out: &mut impl Sink,
    ) -> Option<Arc<Indicator>> {
        self.names(scene, &[(signal, host)], identity, out)
    }

    /// Reports the name of a hello; returns what the hello says of its connection.
    pub(super) fn hello(
        &mut self,
        scene: &Scene<'_>,
        signal: Signal,
        hello: &ClientHello<'_>,
        identity: u64,
        out: &mut impl Sink,
    ) -> Said {
        let mut text = core::mem::take(&mut self.text);
        normalise_host(&mut text, hello.server_name.unwrap_or_default());
        let id = self.hasher.name(&text);
        self.verdicts.prepare(id);
        let mut said = Said {
            named: hello.server_name.is_some_and(|name| !is_address(name)),
            encrypted_dns: encrypted_dns(hello, scene.path.destination.port, signal),
            ech: ech_hello(hello, &text, id),
            vendor: None,
        };
        if hello.server_name.is_some() {
            if said.encrypted_dns.is_none() && self.verdicts.of(id, &text).over_https {
                said.encrypted_dns = Some(EncryptedDns::Doh);
            }
            let named = Named { signal, name: &text, id, identity, ech: said.ech.as_ref() };
            let indicator = self.name(scene, &named, out);
            said.vendor = indicator.map(|indicator| Arc::clone(&indicator.vendor));
        }
        self.text = text;
        said
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
        self.detection_among(named, indicator, false, out);
    }

    /// The same of a name that stands beside others, which are `shared` with somebody else or not.
    pub(super) fn detection_among(
        &self,
        named: &Named<'_>,
        indicator: &Arc<Indicator>,
        shared: bool,
        out: &mut impl Sink,
    ) {
        out.record(Record::Detection(Box::new(Detection {
            origin: self.origin(),
            signal: named.signal,
            name: Name::new(named.name),
            name_id: named.id,
            indicator: Arc::clone(indicator),
            client: self.client(),
            path: self.path,
            identity: named.identity,
            ech: named.ech.cloned().map(Box::new),
            shared,
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
        origin(self.seen)
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

/// Where a packet was seen, as records carry it.
pub(super) const fn origin(seen: &Seen) -> Origin {
    Origin { at: seen.at, source: seen.source, number: seen.number }
}

/// The outer ECH extension of a hello, as records carry it.
fn ech_hello(hello: &ClientHello<'_>, name: &str, id: NameId) -> Option<EchHello> {
    let Some(EchExtension::Outer { config_id, payload_len, .. }) = hello.ech else {
        return None;
    };
    Some(EchHello { outer_name: Name::new(name), outer_id: id, config_id, payload_len })
}

/// The encrypted transport for DNS that a hello asks for by its port or its ALPN.
fn encrypted_dns(hello: &ClientHello<'_>, port: u16, signal: Signal) -> Option<EncryptedDns> {
    let asked = port == DNS_OVER_TLS_PORT
        || hello.alpn().any(|protocol| matches!(protocol, b"dot" | b"doq"));
    let over_quic = signal == Signal::QuicSni;
    asked.then_some(if over_quic { EncryptedDns::Doq } else { EncryptedDns::Dot })
}

/// RFC 7858 §3.1, RFC 9250 §4.1.1.
const DNS_OVER_TLS_PORT: u16 = 853;
