//! From answers to connections: which name did the client have in mind when it connected to an
//! address without naming it?
//!
//! In: every address of every DNS answer. Out: for a connection, the names by which its client
//! knew the server's address, and whether unrelated names share it. Two tables, both of bounded
//! size: what each client was told, and what each address was given for.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use super::Answer;
use super::recent::Recent;
use crate::name::Name;
use crate::net::{Addr, TenantId};
use crate::time::Timestamp;

/// How a connection's server was known from answers seen before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attribution {
    /// How long before the connection the client learned the address under this name.
    pub age: Duration,
    /// The answer's TTL had run out; the connection fell into the grace after it.
    pub stale: bool,
    /// Names, this one included, by which the client knew the address at that moment.
    pub names: u16,
    /// Unrelated names were answered with this address, to whichever client: a shared server.
    /// Such an attribution is never above weak.
    pub shared: bool,
    /// Not the client itself was told, but a resolver that asks for others: some client of it
    /// meant this name. Such an attribution is never above moderate.
    pub relayed: bool,
}

/// Whether a name (or address) that a connection shows had been resolved in sight of the sensor.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Resolved {
    /// By this client, to this server's address.
    ByClient,
    /// By someone else, or to another address.
    Elsewhere,
    /// Never: only the connection itself says the name. Its client resolves out of sight, or the
    /// name is a cover.
    Never,
}

impl Resolved {
    /// The label in events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ByClient => "by_client",
            Self::Elsewhere => "elsewhere",
            Self::Never => "never",
        }
    }
}

/// What was answered to whom.
#[derive(Debug)]
pub(super) struct Answers {
    /// What a client knows an address by.
    known: Recent<(TenantId, Addr, Addr), Known>,
    /// Octets in `known`: the sum over its entries.
    known_octets: usize,
    known_budget: usize,
    known_evicted: u64,
    /// What an address was given for, to anyone.
    given: Recent<(TenantId, Addr), Given>,
    /// Names of indicators that anyone resolved.
    listed: Recent<Name, Timestamp>,
    grace: Duration,
}

/// The names by which one client knows one address.
#[derive(Debug)]
struct Known {
    latest: Heard,
    /// Names heard before that, latest first; most addresses have none.
    earlier: Vec<Heard>,
    /// What the entry takes, its place in the table included.
    octets: usize,
}

/// A name that was answered with an address.
#[derive(Clone, Debug)]
struct Heard {
    name: Name,
    at: Timestamp,
    /// When its TTL runs out.
    until: Timestamp,
    /// Equal for related names; see [`relation`].
    relation: u64,
}

/// The two relations an address was last given for.
#[derive(Clone, Copy, Debug)]
struct Given {
    relations: [(u64, Timestamp); 2],
}

/// A name by which a client knew an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub name: &'a Name,
    pub attribution: Attribution,
}

impl Answers {
    pub(super) fn new(octets: usize, addresses: usize, listed: usize, grace: Duration) -> Self {
        Self {
            // The budget in octets is what binds; the count only keeps indexes small.
            known: Recent::new(octets / Known::LEAST),
            known_octets: 0,
            known_budget: octets,
            known_evicted: 0,
            given: Recent::new(addresses),
            listed: Recent::new(listed),
            grace,
        }
    }

    /// Remembers one address of an answer. `relayed`: it was told to a resolver that asks for
    /// others.
    ///
    /// Two hash look-ups; an address heard again under its latest name costs no more.
    pub(super) fn hear(&mut self, answer: &Answer, relayed: bool) {
        let at = answer.origin.at;
        if answer.indicator.is_some() {
            *self.listed.enter(answer.name.clone(), || at).value = at;
        }
        let relation = self.remember(answer, answer.client);
        if relayed {
            self.remember(answer, ANYONE);
        }
        let given = self.given.enter((answer.tenant, answer.address), || Given::new(relation, at));
        given.value.hear(relation, at);
    }

    /// The names by which `client` knew `server` at `at`, latest first; those that a resolver may
    /// have told it, when it was told none in sight.
    pub(super) fn candidates(
        &self,
        tenant: TenantId,
        client: Addr,
        server: Addr,
        at: Timestamp,
    ) -> impl Iterator<Item = Candidate<'_>> {
        let shared = self.given.get(&(tenant, server)).is_some_and(|given| given.is_shared(at));
        let fresh = move |heard: &&Heard| at <= heard.until.plus(self.grace);
        let (relayed, known) = [client, ANYONE]
            .into_iter()
            .filter_map(|who| Some((who == ANYONE, self.known.get(&(tenant, who, server))?)))
            .find(|(_, known)| known.all().any(|heard| fresh(&heard)))
            .unzip();
        let names = known.map_or(0, |known| known.all().filter(fresh).count());
        known.into_iter().flat_map(Known::all).filter(fresh).map(move |heard| Candidate {
            name: &heard.name,
            attribution: Attribution {
                age: at.since(heard.at),
                stale: at > heard.until,
                names: u16::try_from(names).unwrap_or(u16::MAX),
                shared,
                relayed: relayed == Some(true),
            },
        })
    }

    /// Was `server` an answer to anyone, for whatever name?
    pub(super) fn was_given(&self, tenant: TenantId, server: Addr) -> bool {
        self.given.get(&(tenant, server)).is_some()
    }

    /// Had `name`, which an indicator matches, been resolved when `client` showed it to `server`?
    pub(super) fn resolved(
        &self,
        name: &Name,
        tenant: TenantId,
        client: Addr,
        server: Addr,
        at: Timestamp,
    ) -> Resolved {
        let told = |known: Candidate<'_>| known.name == name && !known.attribution.relayed;
        if self.candidates(tenant, client, server, at).any(told) {
            Resolved::ByClient
        } else if self.listed.get(name).is_some() {
            Resolved::Elsewhere
        } else {
            Resolved::Never
        }
    }

    /// Clients times addresses remembered, the octets they take, and those given up while fresh.
    pub(super) fn known_use(&self) -> (usize, usize, u64) {
        (self.known.len(), self.known_octets, self.known_evicted)
    }

    /// Addresses remembered, the octets they take, and those given up.
    pub(super) fn given_use(&self) -> (usize, usize, u64) {
        (self.given.len(), self.given.allocated(), self.given.evicted())
    }

    /// Puts an answer with what `client` was told, and gives what its name is related to.
    fn remember(&mut self, answer: &Answer, client: Addr) -> u64 {
        let at = answer.origin.at;
        let key = (answer.tenant, client, answer.address);
        let full = self.known_octets + Known::LEAST > self.known_budget;
        let entered = self.known.enter_when(key, full, || Known::new(answer));
        let before = if entered.new {
            0
        } else {
            let before = entered.value.octets;
            entered.value.hear(answer);
            before
        };
        let relation = entered.value.latest.relation;
        self.known_octets = self.known_octets + entered.value.octets - before;
        if let Some((_, gone)) = entered.evicted {
            self.forget(&gone, at);
        }
        while self.known_octets > self.known_budget && self.known.len() > 1 {
            let Some((_, gone)) = self.known.pop_oldest() else { break };
            self.forget(&gone, at);
        }
        relation
    }

    fn forget(&mut self, gone: &Known, at: Timestamp) {
        self.known_octets = self.known_octets.saturating_sub(gone.octets);
        if gone.all().any(|heard| at <= heard.until.plus(self.grace)) {
            self.known_evicted += 1;
        }
    }
}

impl Known {
    /// More names than this for one address are a shared server, whichever they are; the oldest
    /// is forgotten.
    const MAX_NAMES: usize = 8;

    /// Octets of an entry with one short name, its place in the table included.
    const LEAST: usize = size_of::<((TenantId, Addr, Addr), Self)>() + 32;

    fn new(answer: &Answer) -> Self {
        let mut known = Self { latest: Heard::new(answer), earlier: Vec::new(), octets: 0 };
        known.measure();
        known
    }

    fn hear(&mut self, answer: &Answer) {
        if self.latest.name == answer.name {
            self.latest.again(answer);
            return;
        }
        let heard = match self.earlier.iter().position(|heard| heard.name == answer.name) {
            Some(at) => {
                let mut heard = self.earlier.remove(at);
                heard.again(answer);
                heard
            }
            None => Heard::new(answer),
        };
        self.earlier.truncate(Self::MAX_NAMES - 2);
        self.earlier.insert(0, core::mem::replace(&mut self.latest, heard));
        self.measure();
    }

    fn all(&self) -> impl Iterator<Item = &Heard> {
        core::iter::once(&self.latest).chain(&self.earlier)
    }

    fn measure(&mut self) {
        let long = |heard: &Heard| match heard.name.len() {
            len if len > Name::INLINE => len,
            _ => 0,
        };
        self.octets = Self::LEAST
            + self.earlier.capacity() * size_of::<Heard>()
            + self.all().map(long).sum::<usize>();
    }
}

impl Heard {
    fn new(answer: &Answer) -> Self {
        let at = answer.origin.at;
        Self { name: answer.name.clone(), at, until: expiry(answer), relation: relation(answer) }
    }

    fn again(&mut self, answer: &Answer) {
        self.at = answer.origin.at;
        self.until = self.until.max(expiry(answer));
    }
}

impl Given {
    const fn new(relation: u64, at: Timestamp) -> Self {
        Self { relations: [(relation, at); 2] }
    }

    fn hear(&mut self, relation: u64, at: Timestamp) {
        let [first, second] = &mut self.relations;
        if first.0 == relation {
            if second.0 == relation {
                second.1 = at;
            }
            first.1 = at;
        } else if second.0 == relation {
            second.1 = at;
        } else if first.1 <= second.1 && first.0 != second.0 {
            *first = (relation, at);
        } else {
            *second = (relation, at);
        }
    }

    /// Was the address given for two unrelated names within memory?
    fn is_shared(&self, at: Timestamp) -> bool {
        let [first, second] = self.relations;
        first.0 != second.0 && at.since(first.1.min(second.1)) <= SHARED_FOR
    }
}

/// When the answer's TTL runs out.
fn expiry(answer: &Answer) -> Timestamp {
    answer.origin.at.plus(Duration::from_secs(u64::from(answer.ttl.min(MAX_TTL))))
}

/// A number that related names have in common: names that indicators of one vendor match, and
/// names below one registrable domain (as the Public Suffix List draws the line).
fn relation(answer: &Answer) -> u64 {
    use core::hash::{BuildHasher, Hash, Hasher};
    // Only compared with itself within one process, and a collision chosen by an attacker hides
    // nothing but that an address of theirs is shared; so the seed may be fixed.
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    match &answer.indicator {
        Some(indicator) => (0_u8, &indicator.vendor).hash(&mut hasher),
        None => {
            let name = answer.name.as_str();
            (1_u8, psl::domain_str(name).unwrap_or(name)).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Stands for every client of the resolvers that ask for others. The unspecified address, which
/// asks for nothing itself (RFC 4291 §2.5.2).
const ANYONE: Addr = Addr::from_bits(0);

/// A day. Longer promises are not believed: addresses change hands sooner.
const MAX_TTL: u32 = 86_400;

/// How long an address stays known as shared after the older of two unrelated names was answered
/// with it.
const SHARED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Servers that are known to be a vendor's, for clients that connected to them: what workers need
/// to count volume. A plain value, swapped whole.
#[derive(Clone, Debug, Default)]
pub struct Attributed {
    vendors: HashMap<(TenantId, Addr, Addr), Arc<str>, foldhash::fast::RandomState>,
}

impl Attributed {
    /// The vendor whose server `server` is, for `client`.
    #[must_use]
    pub fn vendor(&self, tenant: TenantId, client: Addr, server: Addr) -> Option<&Arc<str>> {
        self.vendors.get(&(tenant, client, server))
    }

    /// Pairs of client and server, in no order.
    pub fn pairs(&self) -> impl Iterator<Item = (TenantId, Addr, Addr, &Arc<str>)> {
        self.vendors
            .iter()
            .map(|((tenant, client, server), vendor)| (*tenant, *client, *server, vendor))
    }

    /// How many pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.vendors.len()
    }

    /// No pair at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vendors.is_empty()
    }
}

/// The pairs of client and server that are published, and when each was last used.
#[derive(Debug)]
pub(super) struct Pairs {
    recent: Recent<(TenantId, Addr, Addr), (Arc<str>, Timestamp)>,
    changed: bool,
}

impl Pairs {
    pub(super) fn new(limit: usize) -> Self {
        Self { recent: Recent::new(limit), changed: false }
    }

    /// `client` connected to a server that is `vendor`'s.
    pub(super) fn add(
        &mut self,
        tenant: TenantId,
        client: Addr,
        server: Addr,
        vendor: &Arc<str>,
        at: Timestamp,
    ) {
        let key = (tenant, client, server);
        let entered = self.recent.enter(key, || (Arc::clone(vendor), at));
        let (known, last) = entered.value;
        self.changed |= entered.new || known != vendor;
        known.clone_from(vendor);
        *last = at;
    }

    /// What to publish, when it differs from what was published last. Pairs not used for
    /// [`Self::IDLE`] before `now` are dropped.
    pub(super) fn publish(&mut self, now: Timestamp) -> Option<Attributed> {
        while self.recent.oldest().is_some_and(|(_, (_, last))| now.since(*last) > Self::IDLE) {
            self.recent.pop_oldest();
            self.changed = true;
        }
        core::mem::take(&mut self.changed).then(|| Attributed {
            vendors: self
                .recent
                .iter()
                .map(|(key, (vendor, _))| (*key, Arc::clone(vendor)))
                .collect(),
        })
    }

    pub(super) fn table_use(&self) -> (usize, usize, u64) {
        (self.recent.len(), self.recent.allocated(), self.recent.evicted())
    }

    /// A connection that moves octets for longer than this without another beginning is no longer
    /// counted.
    const IDLE: Duration = Duration::from_secs(6 * 3_600);
}
