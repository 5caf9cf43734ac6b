//! Octets exchanged with servers that are known to be a vendor's.
//!
//! By pairs of client and server address: those of this worker's own detections, from the moment
//! of the detection, and those that the correlator attributed, from the moment it published them.

use core::time::Duration;
use std::sync::Arc;

use super::Sink;
use super::emitter::{Emitter, Scene};
use crate::detect::{Attributed, AttributedPair, Client, Origin, Record, Volume};
use crate::flow::{Filter, Removed, Table};
use crate::frame::SourceId;
use crate::net::{self, Addr, Endpoint, FlowKey, IpProtocol, Path, TenantId};
use crate::time::Timestamp;

/// The pairs of one worker.
#[derive(Debug)]
pub(super) struct Volumes {
    table: Table<Pair>,
    filter: Filter<{ 1 << 8 }>,
    due: Timestamp,
}

#[derive(Debug)]
struct Pair {
    client: Client,
    client_is_low: bool,
    vendor: Arc<str>,
    /// By the correlator, which also says when it ends.
    published: bool,
    /// By a detection of this worker's own.
    own: bool,
    sent: u64,
    received: u64,
    /// The last frame counted; of what a source left out, that source.
    last: Origin,
}

impl Volumes {
    /// How often volumes are reported.
    const EVERY: Duration = Duration::from_secs(10);
    /// A pair of this worker's own alone that is silent for this long is forgotten.
    const IDLE: Duration = Duration::from_secs(3_600);

    pub(super) fn new(max_bytes: usize) -> Self {
        Self { table: Table::new(max_bytes), filter: Filter::new(), due: Timestamp::ZERO }
    }

    /// Is there anything to count at all?
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// May packets between two addresses with this hash count?
    #[inline]
    pub(super) fn may_count(&self, pair: u64) -> bool {
        self.filter.may_know(pair)
    }

    /// A packet between two addresses, whose pair hashes to `pair`.
    #[cold]
    pub(super) fn count(
        &mut self,
        pair: u64,
        tenant: TenantId,
        (source, destination): (Addr, Addr),
        ip_len: u32,
        last: Origin,
        now: Timestamp,
    ) {
        let (key, forward) = key(tenant, source, destination);
        let Some(slot) = self.table.find(pair, &key) else { return };
        self.table.touch(slot, now);
        let Some(pair) = self.table.get_mut(slot) else { return };
        pair.last = last;
        let octets =
            if forward == pair.client_is_low { &mut pair.sent } else { &mut pair.received };
        *octets += u64::from(ip_len);
    }

    /// Octets that a pair sent and received in packets that `source` left out. They came just before
    /// `now`.
    pub(super) fn exchanged(
        &mut self,
        source: SourceId,
        hash: u64,
        pair: net::Pair,
        (sent, received): (u64, u64),
        now: Timestamp,
    ) {
        let (key, _) = key(TenantId::NONE, pair.client, pair.server);
        let Some(slot) = self.table.find(hash, &key) else { return };
        self.table.touch(slot, now);
        let Some(pair) = self.table.get_mut(slot) else { return };
        pair.last.source = source;
        pair.sent += sent;
        pair.received += received;
    }

    /// The server of a conversation turned out to be a vendor's.
    pub(super) fn own(
        &mut self,
        emitter: &Emitter,
        scene: &Scene<'_>,
        vendor: &Arc<str>,
        out: &mut impl Sink,
    ) {
        let (client, server) = (scene.client(), scene.path.destination.addr);
        let (pair, now) = (emitter.hasher.pair(client.addr, server), emitter.now);
        self.add(pair, client, server, vendor, scene.origin(), false, now, out);
    }

    /// The correlator's pairs, whole: what is not among them any more ends.
    pub(super) fn set_attributed(
        &mut self,
        attributed: &Attributed,
        hash: impl Fn(Addr, Addr) -> u64,
        now: Timestamp,
        out: &mut impl Sink,
    ) {
        let mut gone = Vec::new();
        for (slot, key, pair) in self.table.iter_mut() {
            if pair.published && !is_in(attributed, key, pair) {
                pair.published = false;
                gone.extend((!pair.own).then_some(slot));
            }
        }
        for slot in gone {
            if let Some(removed) = self.table.remove(slot) {
                self.end(removed, out);
            }
        }
        let mut pairs: Vec<_> = attributed.pairs().collect();
        pairs.sort_unstable_by_key(|(AttributedPair { client, .. }, server)| {
            (client.tenant, client.addr, *server)
        });
        for (&AttributedPair { client, origin, ref vendor }, server) in pairs {
            self.add(hash(client.addr, server), client, server, vendor, origin, true, now, out);
        }
    }

    /// Reports what was counted, when that is due.
    pub(super) fn sweep(&mut self, now: Timestamp, out: &mut impl Sink) {
        if now < self.due {
            return;
        }
        self.due = now.plus(Self::EVERY);
        self.report(out);
        while let Some(removed) = self.table.expired(now.minus(Self::IDLE)) {
            if removed.value.published {
                // It is not published again as long as the correlator knows it.
                let Removed { key, hash, value, .. } = removed;
                self.table.insert(hash, key, now, value);
            } else {
                self.end(removed, out);
            }
        }
    }

    /// Reports what was counted.
    pub(super) fn report(&mut self, out: &mut impl Sink) {
        for (_, _, pair) in self.table.iter_mut() {
            pair.report(out);
        }
    }

    /// Entries, octets, evictions.
    pub(super) fn usage(&self) -> (usize, usize, u64) {
        (self.table.len(), self.table.bytes(), self.table.evicted())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a new pair")]
    fn add(
        &mut self,
        hash: u64,
        client: Client,
        server: Addr,
        vendor: &Arc<str>,
        last: Origin,
        published: bool,
        now: Timestamp,
        out: &mut impl Sink,
    ) {
        let (key, client_is_low) = key(client.tenant, client.addr, server);
        if let Some(slot) = self.table.find(hash, &key) {
            let Some(pair) = self.table.get_mut(slot) else { return };
            if pair.vendor != *vendor {
                pair.report(out);
                pair.vendor = Arc::clone(vendor);
            }
            pair.published |= published;
            pair.own |= !published;
            return;
        }
        while let Some(removed) = self.table.overfull() {
            self.end(removed, out);
        }
        if let Some(pair) = watched(client.tenant, client.addr, server) {
            out.watch(pair);
        }
        let vendor = Arc::clone(vendor);
        let own = !published;
        let pair =
            Pair { client, client_is_low, vendor, published, own, sent: 0, received: 0, last };
        self.table.insert(hash, key, now, pair);
        self.filter.add(hash);
    }

    fn end(&mut self, removed: Removed<Pair>, out: &mut impl Sink) {
        let Removed { key, hash, value: mut pair, .. } = removed;
        self.filter.remove(hash);
        if let Some(watched) = watched(key.tenant, pair.client.addr, pair.server(&key)) {
            out.unwatch(watched);
        }
        pair.report(out);
    }
}

impl Pair {
    const fn server(&self, key: &FlowKey) -> Addr {
        if self.client_is_low { key.high.addr } else { key.low.addr }
    }

    fn report(&mut self, out: &mut impl Sink) {
        if self.sent == 0 && self.received == 0 {
            return;
        }
        out.record(Record::Volume(Volume {
            origin: self.last,
            client: self.client,
            vendor: Arc::clone(&self.vendor),
            sent: core::mem::take(&mut self.sent),
            received: core::mem::take(&mut self.received),
        }));
    }
}

fn is_in(attributed: &Attributed, key: &FlowKey, pair: &Pair) -> bool {
    attributed.vendor(key.tenant, pair.client.addr, pair.server(key)).is_some()
}

/// A pair as a source knows it, where its packets may be left out: those of tenants are in tunnels.
fn watched(tenant: TenantId, client: Addr, server: Addr) -> Option<net::Pair> {
    (tenant == TenantId::NONE).then_some(net::Pair { client, server })
}

/// The key of a pair: a flow without protocol and ports.
fn key(tenant: TenantId, source: Addr, destination: Addr) -> (FlowKey, bool) {
    let end = |addr| Endpoint { addr, port: 0 };
    let protocol = IpProtocol::default();
    Path { tenant, protocol, source: end(source), destination: end(destination) }.key()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client of VLAN 7 that interface 2 showed, and a server.
    fn attributed(server: Addr) -> Attributed {
        let client = Client { addr: Addr::from_bits(1), vlan: Some(7), ..Client::default() };
        let origin = Origin { source: SourceId(2), ..Origin::default() };
        [(AttributedPair { client, origin, vendor: "acme".into() }, server)].into_iter().collect()
    }

    #[test]
    fn the_volume_of_an_attributed_pair_is_of_the_network_that_its_connection_showed() {
        let (mut volumes, mut out) = (Volumes::new(1 << 16), Heard::default());
        let (now, hash, server) = (Timestamp::ZERO, |_, _| 1, Addr::from_bits(2));
        volumes.set_attributed(&attributed(server), hash, now, &mut out);
        let pair = net::Pair { client: Addr::from_bits(1), server };
        for (source, octets) in [(SourceId(2), 10), (SourceId(3), 20)] {
            volumes.exchanged(source, 1, pair, (0, octets), now);
            volumes.report(&mut out);
        }
        let heard =
            out.0.iter().map(|volume| (volume.client.vlan, volume.origin.source, volume.received));
        assert_eq!(
            heard.collect::<Vec<_>>(),
            [(Some(7), SourceId(2), 10), (Some(7), SourceId(3), 20)]
        );
    }

    #[test]
    fn a_pair_is_counted_for_as_long_as_the_correlator_or_its_own_worker_knows_it() {
        let (mut volumes, mut out) = (Volumes::new(1 << 16), Heard::default());
        let (hash, server) = (|_, _| 1, Addr::from_bits(2));
        let pair = net::Pair { client: Addr::from_bits(1), server };
        let hours = |n: u64| Timestamp::from_parts(n * 3_600, 0);
        let mut exchange = |volumes: &mut Volumes, at| {
            volumes.sweep(at, &mut out);
            volumes.exchanged(SourceId(2), 1, pair, (0, 10), at);
            volumes.report(&mut out);
            core::mem::take(&mut out.0).len()
        };
        let mut said = Heard::default();
        volumes.set_attributed(&attributed(server), hash, hours(0), &mut said);
        assert_eq!(exchange(&mut volumes, hours(5)), 1, "silent for hours");
        volumes.set_attributed(&Attributed::default(), hash, hours(6), &mut said);
        assert_eq!(exchange(&mut volumes, hours(6)), 0, "published no more");

        let client = Client { addr: pair.client, ..Client::default() };
        let mut own = |volumes: &mut Volumes, at| {
            let vendor = "acme".into();
            volumes.add(1, client, server, &vendor, Origin::default(), false, at, &mut said);
        };
        own(&mut volumes, hours(6));
        assert_eq!(exchange(&mut volumes, hours(8)), 0, "silent for longer than an hour");
        own(&mut volumes, hours(8));
        volumes.set_attributed(&attributed(server), hash, hours(8), &mut Heard::default());
        volumes.set_attributed(&Attributed::default(), hash, hours(9), &mut Heard::default());
        assert_eq!(exchange(&mut volumes, hours(9)), 1, "its own detection goes on counting");
        assert_eq!(exchange(&mut volumes, hours(11)), 0);
    }

    #[derive(Default)]
    struct Heard(Vec<Volume>);

    impl Sink for Heard {
        fn record(&mut self, record: Record) {
            if let Record::Volume(volume) = record {
                self.0.push(volume);
            }
        }
    }
}
