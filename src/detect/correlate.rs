//! The correlator: records in, events out.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::attributed::{Attributed, Pairs};
use super::attribution::{Answers, Attribution, Candidate, Contact, Keys, Resolved};
use super::duplicate::{Duplicates, Kind, Verdict};
use super::ech::{Ech, EchRule, Offers};
use super::event::{ConnectionOutcome, Detected, Event};
use super::ledger::{Ledger, Seen, Unexcepted, VendorKey, vendor_key};
use super::order::{Order, Part};
use super::split::Splits;
use super::{
    Answer, Client, Connection, Detection, EchHello, EncryptedDns, Exceptions, Finding, FindingKey,
    Listed, Networks, Origin, Record, Role, Volume,
};
use crate::inspect::Signal;
use crate::name::{Name, NameId};
use crate::net::Path;
use crate::signature::resolvers::Resolvers;
use crate::signature::{Indicator, Set, Strength};
use crate::time::Timestamp;

/// How much the correlator may remember, and for how long. Every table that is full gives up what
/// was touched least recently, and counts it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Records waiting to be put in order.
    pub records: usize,
    /// Events known by identity, so that copies are told. Those of names are asked for during ten
    /// seconds, and those of connections during 45 ([`super::CONNECTION_WINDOW`]).
    pub identities: usize,
    /// Octets of what clients were told by DNS.
    pub answers: usize,
    /// Addresses whose names are compared to find shared servers.
    pub addresses: usize,
    /// Listed names that someone resolved.
    pub listed: usize,
    /// Public names under which ECH was offered.
    pub offers: usize,
    /// Pairs of client and server whose volume is counted though no name was seen.
    pub attributed: usize,
    /// Findings in memory.
    pub findings: usize,
    /// How long after its TTL an answer still explains a connection: resolvers and applications
    /// keep addresses longer than they should.
    pub grace: Duration,
    /// After how long a finding with nothing new is spoken of again.
    pub repeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 65_536,
            identities: 163_840,
            answers: 32 << 20,
            addresses: 327_680,
            listed: 16_384,
            offers: 1_024,
            attributed: 4_096,
            findings: 65_536,
            grace: Duration::from_secs(5 * 60),
            repeat: Duration::from_secs(3_600),
        }
    }
}

/// Puts records in order and says what they mean together.
///
/// Records of all workers go in by [`push`](Self::push); each worker's promise that nothing
/// earlier will follow by [`advance`](Self::advance). Events come out through the closure that
/// either call is given.
#[derive(Debug)]
pub struct Correlator {
    order: Order,
    judge: Judge,
}

/// Everything behind the ordering.
#[derive(Debug)]
struct Judge {
    set: Arc<Set>,
    /// Resolvers that speak DNS over HTTPS, by name and address.
    resolvers: Arc<Resolvers>,
    networks: Arc<Networks>,
    exceptions: Arc<Exceptions>,
    duplicates: Duplicates,
    answers: Answers,
    offers: Offers,
    pairs: Pairs,
    splits: Splits,
    ledger: Ledger,
    /// The latest time of a record judged, of those whose age is the latest.
    now: Timestamp,
    age: u32,
}

/// What went by the limits, so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Records that left the ordering before their time, because it was full.
    pub early: u64,
    /// Records that came after later ones had left, and were judged out of order.
    pub late: u64,
    /// Changes of findings that were evicted before anyone took them.
    pub changes_lost: u64,
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TableUse {
    /// The metric label.
    pub table: &'static str,
    pub entries: usize,
    /// Octets.
    pub bytes: usize,
    /// Entries given up for room so far.
    pub evicted: u64,
}

impl Correlator {
    /// For `lanes` workers.
    #[must_use]
    pub fn new(limits: &Limits, lanes: usize, set: Arc<Set>, networks: Arc<Networks>) -> Self {
        Self {
            order: Order::new(lanes, limits.records),
            judge: Judge {
                set,
                resolvers: Arc::default(),
                networks,
                exceptions: Arc::default(),
                duplicates: Duplicates::new(limits.identities),
                answers: Answers::new(limits),
                offers: Offers::new(limits.offers),
                pairs: Pairs::new(limits.attributed),
                splits: Splits::new(limits.identities),
                ledger: Ledger::new(limits.findings, limits.repeat),
                now: Timestamp::ZERO,
                age: 0,
            },
        }
    }

    /// Takes over what an earlier run kept: none of it is new, or seen first, again.
    pub fn restore(
        &mut self,
        findings: Vec<Finding>,
        vendors: impl IntoIterator<Item = (VendorKey, Seen)>,
    ) {
        self.judge.ledger.restore(findings, vendors);
    }

    /// From now on keeps what changes, for [`take_changes`](Self::take_changes).
    pub fn keep_changes(&mut self) {
        self.judge.ledger.keep_changes();
    }

    /// The resolvers that speak DNS over HTTPS, by name and address.
    pub fn set_resolvers(&mut self, resolvers: Arc<Resolvers>) {
        self.judge.resolvers = resolvers;
    }

    /// From now on judges by this configuration. What was counted stays counted.
    pub fn configure(
        &mut self,
        set: Arc<Set>,
        networks: Arc<Networks>,
        exceptions: Arc<Exceptions>,
    ) {
        self.judge.set = set;
        self.judge.networks = networks;
        self.judge.exceptions = exceptions;
    }

    /// Takes in what the worker `lane` brought, in the order in which it said it. `records` is then
    /// empty; its room is another's.
    pub fn push(&mut self, lane: usize, records: &mut Vec<Record>, mut out: impl FnMut(Event<'_>)) {
        self.order.push(lane, records);
        if self.order.is_over() {
            self.release(&mut out);
        }
    }

    /// The worker `lane` will bring nothing from before `to` any more.
    pub fn advance(&mut self, lane: usize, to: Timestamp, mut out: impl FnMut(Event<'_>)) {
        self.order.advance(lane, to);
        self.release(&mut out);
    }

    /// The clock of the worker `lane` was set back: what it brings from now on is later than what
    /// it brought, whatever the time says. All lanes must say so in the end, or the others' records
    /// wait for them.
    pub fn set_back(&mut self, lane: usize) {
        self.order.set_back(lane);
    }

    /// The worker `lane` has no frames, and only time to speak of: the others do not wait for it to
    /// say that its clock was set back.
    pub fn idle(&mut self, lane: usize) {
        self.order.idle(lane);
    }

    /// The worker `lane` brings nothing any more.
    pub fn end(&mut self, lane: usize, mut out: impl FnMut(Event<'_>)) {
        self.order.end(lane);
        self.release(&mut out);
    }

    /// No worker brings anything any more.
    pub fn finish(&mut self, mut out: impl FnMut(Event<'_>)) {
        self.order.close();
        self.release(&mut out);
    }

    /// What changed since this was last asked: findings that hold the differences only, to be
    /// [merged](Finding::merge) into what is kept elsewhere.
    pub fn take_changes(&mut self) -> Vec<Finding> {
        self.judge.ledger.take_changes()
    }

    /// The servers that workers should count volume for, when they changed since this was last
    /// asked.
    pub fn take_attributed(&mut self) -> Option<Attributed> {
        let now = self.now();
        self.judge.pairs.publish(now)
    }

    /// The findings in memory, the one seen least recently first.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.judge.ledger.findings()
    }

    /// When each vendor was seen first and last, by strength and network.
    pub fn vendors(&self) -> impl Iterator<Item = (&VendorKey, Seen)> {
        self.judge.ledger.vendors()
    }

    /// As [`vendors`](Self::vendors), but only what no exception covers: what may be alerted. A
    /// finding that an exception covered when it began is never seen first here.
    #[must_use]
    pub fn vendors_unexcepted(&self) -> BTreeMap<VendorKey, Unexcepted> {
        self.judge.unexcepted()
    }

    /// Distinct clients with a detection since `since`, by vendor, strength and network. Costs a
    /// walk over all findings when `since` is another than before, or a client came or went.
    #[must_use]
    pub fn clients(&mut self, since: Timestamp) -> Arc<BTreeMap<VendorKey, u64>> {
        self.judge.ledger.clients(since)
    }

    /// The packet time reached: that of the last record judged, or what all workers promised.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.judge.now.max(self.order.watermark())
    }

    /// What went by the limits.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            early: self.order.early(),
            late: self.order.late(),
            changes_lost: self.judge.ledger.changes_lost(),
        }
    }

    /// How full each table is.
    #[must_use]
    pub fn tables(&self) -> [TableUse; 9] {
        let Judge { duplicates, answers, offers, pairs, splits, ledger, .. } = &self.judge;
        [
            ("correlator_records", self.order.table_use()),
            ("correlator_identities", duplicates.table_use()),
            ("correlator_answers", answers.told_use()),
            ("correlator_addresses", answers.given_use()),
            ("correlator_listed_names", answers.listed_use()),
            ("correlator_ech_offers", offers.table_use()),
            ("correlator_attributed", pairs.table_use()),
            ("correlator_accepted", splits.table_use()),
            ("findings", ledger.table_use()),
        ]
        .map(|(table, (entries, bytes, evicted))| TableUse {
            table,
            entries,
            bytes,
            evicted,
        })
    }

    fn release(&mut self, out: &mut impl FnMut(Event<'_>)) {
        let Self { order, judge } = self;
        while order.choose(TOGETHER) {
            let mut keys = [Keys::default(); TOGETHER];
            let records = order.leaving().flat_map(|part| part.records);
            for (record, keys) in records.zip(&mut keys) {
                *keys = judge.prepare(record);
            }
            let mut keys = keys.iter();
            for Part { lane, age, records } in order.leaving() {
                judge.reach(age);
                for (record, keys) in records.iter().zip(&mut keys) {
                    judge.record(lane, record, *keys, out);
                }
            }
            order.let_go();
        }
    }
}

impl Judge {
    /// Asks memory for what judging a record will need. An answer's keys are of use again then.
    fn prepare(&self, record: &Record) -> Keys {
        match record {
            &Record::Answer(Answer { tenant, client, address, .. }) => {
                return self.answers.prepare(tenant, client, address);
            }
            Record::Connection(connection) => {
                self.duplicates.prepare(connection.identity);
                if !connection.named || connection.ech.is_some() {
                    let Connection { client, server, .. } = connection;
                    self.answers.prepare(client.tenant, client.addr, server.addr);
                }
            }
            _ => {}
        }
        Keys::default()
    }

    /// Records of `age` are judged next. With a later one the time begins anew.
    fn reach(&mut self, age: u32) {
        if age > self.age {
            self.age = age;
            self.now = Timestamp::ZERO;
            self.pairs.set_back();
        }
    }

    fn record(
        &mut self,
        lane: usize,
        record: &Record,
        keys: Keys,
        out: &mut impl FnMut(Event<'_>),
    ) {
        self.now = self.now.max(record.origin().at);
        match record {
            Record::Answer(answer) => {
                let &Answer { origin, tenant, client: addr, .. } = answer;
                let client = Client { tenant, addr, ..Client::default() };
                let role = self.networks.role(&client, origin.source);
                self.answers.hear(answer, keys, role == Some(Role::Resolver));
            }
            Record::Connection(connection) => {
                if let Some(origin) = self.splits.begun(lane, connection) {
                    out(Event::Split { source: origin.source });
                }
                self.connection(connection, out);
            }
            Record::Accepted(accepted) => self.splits.accepted(lane, accepted),
            Record::Detection(detection) => self.detection(detection, out),
            Record::EchOffered(offered) => self.offers.hear(offered),
            Record::Volume(volume) => self.volume(volume, out),
        }
    }

    fn detection(&mut self, detection: &Detection, out: &mut impl FnMut(Event<'_>)) {
        let Detection { origin, signal, identity, .. } = detection;
        match self.duplicates.judge(Kind::of(*signal), *signal, *identity, origin.at) {
            Verdict::First => {}
            Verdict::Copy => return out(Event::Copy { source: origin.source }),
            Verdict::Repeat => return,
        }
        let resolved = self.resolved(detection);
        self.count(detection, Inference { resolved, attribution: None }, out);
    }

    fn connection(&mut self, connection: &Connection, out: &mut impl FnMut(Event<'_>)) {
        let Connection { origin, client, identity, .. } = connection;
        let kind = Kind::Connection;
        match self.duplicates.judge(kind, Signal::DnsAttributed, *identity, origin.at) {
            Verdict::First => {}
            Verdict::Copy | Verdict::Repeat => {
                return out(Event::Copy { source: origin.source });
            }
        }
        let network = self.networks.classify(client, origin.source);
        let path = connection.path();
        let ech = connection.ech.as_deref().map(|hello| self.ech(hello, &path, *origin));
        if let Some(rule) = ech {
            out(Event::Ech { network, verdict: rule.verdict(), rule });
        }
        // With real ECH the name shown is the public name of the configuration, and the one meant
        // is as hidden as if none had been shown.
        let named = connection.named && ech.map(EchRule::verdict) != Some(Ech::Real);
        let outcome = if named { ConnectionOutcome::Named } else { self.nameless(connection, out) };
        if let Some(kind) = connection.encrypted_dns.or_else(|| self.encrypted_dns(connection)) {
            out(Event::EncryptedDns { network, kind });
        }
        let server = connection.server.addr;
        let never_resolved = outcome == ConnectionOutcome::Nameless
            && !self.answers.was_given(client.tenant, server);
        out(Event::Connection { network, outcome, never_resolved });
    }

    /// Does a connection go to a resolver, by what only its server's address tells?
    fn encrypted_dns(&self, connection: &Connection) -> Option<EncryptedDns> {
        let Connection { server, named, .. } = connection;
        if server.port != HTTPS_PORT {
            return None;
        }
        let by_address = Resolvers::over_https(self.resolvers.by_address(server.addr));
        let by_name = || self.answers.candidates(connection.into()).any(|known| known.over_https);
        (by_address || !named && by_name()).then_some(EncryptedDns::Doh)
    }

    /// A connection whose name cannot be read: what its client resolved before, and whose address
    /// its server has, may tell.
    fn nameless(
        &mut self,
        connection: &Connection,
        out: &mut impl FnMut(Event<'_>),
    ) -> ConnectionOutcome {
        let Connection { client, server, ech, .. } = connection;
        let shown = ech.as_deref().map(|hello| hello.outer_id);
        let mut known = None;
        let mut listed: Option<(Listed, Candidate)> = None;
        for candidate in self.answers.candidates(connection.into()) {
            if shown == Some(candidate.name) {
                continue;
            }
            known = Some(if candidate.attribution.relayed {
                Resolved::Elsewhere
            } else {
                Resolved::ByClient
            });
            // Asked anew: signatures may have been loaded since the answer.
            if let Some(name) = self.answers.text(candidate.name)
                && let Some(hit) = self.set.lookup(name)
                && bears_attribution(hit.indicator)
            {
                let indicator = Arc::clone(hit.indicator);
                listed = Some((Listed { name: name.clone(), indicator }, candidate));
                break;
            }
        }
        if let Some((listed, Candidate { name, attribution, .. })) = listed {
            let inference = Inference { resolved: known, attribution: Some(attribution) };
            self.infer(connection, Signal::DnsAttributed, listed, name, inference, out);
        } else if let Some(indicator) = self.set.lookup_addr(server.addr)
            && indicator.applies_to(Signal::IpPrefix)
        {
            let name = Name::new(&server.addr.to_string());
            let listed = Listed { name, indicator: Arc::clone(indicator) };
            let given = self.answers.was_given(client.tenant, server.addr);
            let unknown = if given { Resolved::Elsewhere } else { Resolved::Never };
            let resolved = known.unwrap_or(unknown);
            let inference = Inference { resolved: Some(resolved), attribution: None };
            self.infer(connection, Signal::IpPrefix, listed, NameId::default(), inference, out);
        }
        match known {
            Some(_) => ConnectionOutcome::Attributed,
            None => ConnectionOutcome::Nameless,
        }
    }

    /// Counts a detection that no packet showed by itself.
    fn infer(
        &mut self,
        connection: &Connection,
        signal: Signal,
        listed: Listed,
        name_id: NameId,
        inference: Inference,
        out: &mut impl FnMut(Event<'_>),
    ) {
        let Connection { origin, client, identity, .. } = connection;
        let Listed { name, indicator } = listed;
        self.pairs.add(connection, &indicator.vendor);
        let detection = Detection {
            origin: *origin,
            signal,
            name,
            name_id,
            indicator,
            client: *client,
            path: connection.path(),
            identity: *identity,
            ech: connection.ech.clone(),
            shared: false,
        };
        self.count(&detection, inference, out);
    }

    /// Counts a detection that is the first of its identity.
    fn count(
        &mut self,
        detection: &Detection,
        inference: Inference,
        out: &mut impl FnMut(Event<'_>),
    ) {
        let Detection { origin, indicator, client, ech, .. } = detection;
        let network = self.networks.classify(client, origin.source);
        let role = self.networks.role(client, origin.source);
        let ech = ech.as_deref().map(|hello| self.ech(hello, &detection.path, *origin));
        let strength = inference.bound(detection).min(indicator.strength);
        let key = FindingKey {
            tenant: Arc::clone(self.networks.tenant(client.tenant)),
            network: Arc::clone(self.networks.name(network)),
            client: client.addr,
            vendor: Arc::clone(&indicator.vendor),
            product: Arc::clone(&indicator.product),
            strength,
        };
        let exception = self.exceptions.covering(&key, origin.at);
        let folded = self.ledger.fold(key, detection, role);
        out(Event::Detected(Detected {
            detection,
            strength,
            network,
            role,
            attribution: inference.attribution,
            resolved: inference.resolved,
            ech: ech.map(|rule| (rule.verdict(), rule)),
            finding: folded.finding,
            new_finding: folded.new_finding,
            first_of_vendor: folded.first_of_vendor,
            notice: folded.notice,
            exception,
        }));
    }

    /// Of a vendor with exceptions each finding says when it was covered. What the findings in
    /// memory do not explain is of one that was removed: its client is not known any more, so that
    /// only an exception of its whole network is sure to cover it.
    fn unexcepted(&self) -> BTreeMap<VendorKey, Unexcepted> {
        let has_exceptions = |vendor: &str| {
            self.exceptions.all().iter().any(|exception| *exception.vendor == *vendor)
        };
        let mut seen: BTreeMap<VendorKey, Unexcepted> = BTreeMap::new();
        let mut explained: BTreeMap<VendorKey, Seen> = BTreeMap::new();
        for finding in self.ledger.findings().filter(|found| has_exceptions(&found.key.vendor)) {
            let Finding { key, first_seen: first, last_seen: last, .. } = finding;
            let known =
                explained.entry(vendor_key(key)).or_insert(Seen { first: *first, last: *last });
            known.first = known.first.min(*first);
            known.last = known.last.max(*last);
            let is_covered = |at| self.exceptions.covering(key, at).is_some();
            if is_covered(*last) {
                continue;
            }
            let first = Some(*first).filter(|&at| !is_covered(at));
            let known = seen.entry(vendor_key(key)).or_default();
            known.first = [known.first, first].into_iter().flatten().min();
            known.last = known.last.max(*last);
        }
        for (key, Seen { first, last }) in self.ledger.vendors() {
            let is_covered = |at| self.exceptions.covering_network(&key.0, &key.2, at).is_some();
            let explained = explained.get(key);
            let early = explained.is_none_or(|known| first < known.first) && !is_covered(first);
            let late = explained.is_none_or(|known| last > known.last) && !is_covered(last);
            if early || late {
                let known = seen.entry(key.clone()).or_default();
                known.first = [known.first, early.then_some(first)].into_iter().flatten().min();
                known.last = known.last.max(if late { last } else { first });
            }
        }
        seen
    }

    fn volume(&self, volume: &Volume, out: &mut impl FnMut(Event<'_>)) {
        let Volume { origin, client, vendor, sent, received } = volume;
        let network = self.networks.classify(client, origin.source);
        out(Event::Volume { network, vendor, sent: *sent, received: *received });
    }

    /// Does the connection that shows a name agree with an answer? Not asked of DNS itself.
    fn resolved(&self, detection: &Detection) -> Option<Resolved> {
        if Kind::of(detection.signal) == Kind::Dns {
            return None;
        }
        let Detection { origin, name_id, client, path, .. } = detection;
        let (tenant, server, at) = (client.tenant, path.destination.addr, origin.at);
        let contact = Contact { tenant, client: client.addr, server, at };
        Some(self.answers.resolved(contact, *name_id))
    }

    fn ech(&self, hello: &EchHello, path: &Path, origin: Origin) -> EchRule {
        let (client, server) = (path.source.addr, path.destination.addr);
        let contact = Contact { tenant: path.tenant, client, server, at: origin.at };
        self.offers.judge(hello, self.answers.knew(contact, hello.outer_id), origin.at)
    }
}

/// Records judged at a time: memory is asked for all of them first, and waited for once.
const TOGETHER: usize = 8;

/// Where DNS over HTTPS is served (RFC 8484 §8.1); elsewhere an address says nothing.
const HTTPS_PORT: u16 = 443;

/// An attribution rests on an answer: what may be recognised by DNS may be recognised by it.
fn bears_attribution(indicator: &Indicator) -> bool {
    [Signal::DnsAttributed, Signal::DnsAnswer, Signal::DnsQuery]
        .into_iter()
        .any(|signal| indicator.applies_to(signal))
}

/// What is known of a detection beside what its packet shows.
#[derive(Clone, Copy, Debug)]
struct Inference {
    resolved: Option<Resolved>,
    attribution: Option<Attribution>,
}

impl Inference {
    /// The most that a signal can bear: an address alone says less than a name, so does a name
    /// that a resolver asked for, and a server that unrelated names share says little.
    const fn bound(self, detection: &Detection) -> Strength {
        match (detection.signal, self.attribution) {
            _ if detection.shared => Strength::Weak,
            (Signal::IpPrefix, _) => Strength::Moderate,
            (_, Some(Attribution { shared: true, .. })) => Strength::Weak,
            (_, Some(Attribution { relayed: true, .. })) => Strength::Moderate,
            _ => Strength::Strong,
        }
    }
}

#[cfg(test)]
mod tests;
