//! From answers to connections: which name did the client have in mind when it connected to an
//! address without naming it?
//!
//! In: every address of every DNS answer. Out: for a connection, the names by which its client
//! knew the server's address, and whether unrelated names share it. Two tables, both of bounded
//! size: what each client was told, and what each address was given for. Names are kept by their
//! id; the text only of those that an indicator matched when they were answered. So signatures
//! that are loaded later attribute by later answers.

use core::hash::{BuildHasher, Hash, Hasher};
use core::time::Duration;

use foldhash::fast::{FixedState, RandomState};

use super::recent::Recent;
use super::{Answer, Connection, Limits};
use crate::cache::{Cache, Held};
use crate::name::{Name, NameId};
use crate::net::{Addr, TenantId};
use crate::signature::Indicator;
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

/// A number that related names have in common: names that indicators of one vendor match, and
/// names below one registrable domain (as the Public Suffix List draws the line).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Relation(u32);

impl Relation {
    /// Of a name, and the indicator that it matches.
    #[must_use]
    pub fn of(name: &str, indicator: Option<&Indicator>) -> Self {
        // Only compared with itself within one process, and a collision chosen by an attacker
        // hides nothing but that an address of theirs is shared; so the seed may be fixed.
        let mut hasher = FixedState::default().build_hasher();
        match indicator {
            Some(indicator) => (0_u8, &indicator.vendor).hash(&mut hasher),
            None => (1_u8, psl::domain_str(name).unwrap_or(name)).hash(&mut hasher),
        }
        #[expect(clippy::cast_possible_truncation, reason = "any half is as good")]
        Self(hasher.finish() as u32)
    }
}

/// What was answered to whom.
#[derive(Debug)]
pub(super) struct Answers {
    /// What a client knows an address by.
    told: Cache<Told, 4>,
    /// What an address was given for, to anyone.
    given: Cache<Given, 5>,
    /// Names of indicators that anyone resolved.
    listed: Recent<NameId, Name>,
    grace: Duration,
    /// Nobody can choose what shares a set.
    seed: RandomState,
}

/// A client that turns to a server, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contact {
    pub tenant: TenantId,
    pub client: Addr,
    pub server: Addr,
    pub at: Timestamp,
}

impl From<&Connection> for Contact {
    fn from(connection: &Connection) -> Self {
        let Connection { origin, client, server, .. } = connection;
        Self { tenant: client.tenant, client: client.addr, server: server.addr, at: origin.at }
    }
}

/// Under which keys the tables hold what a client and an address have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    told: u64,
    given: u64,
}

/// A name that a client was told for an address. More names than a set of the table holds are a
/// shared server, whichever they are.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    name: NameId,
    at: Timestamp,
    /// For how many milliseconds after that its TTL runs, rounded up.
    lasts: u32,
    /// It is that of a resolver which answers over HTTPS.
    over_https: bool,
}

/// The two relations an address was last given for.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    relations: [(Relation, Second); 2],
}

/// A time to the second, for what is remembered for hours: since the epoch, until 2106.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Second(u32);

/// A name by which a client knew an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub name: NameId,
    /// It is that of a resolver which answers over HTTPS.
    pub over_https: bool,
    pub attribution: Attribution,
}

impl Answers {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            told: Cache::new(limits.answers),
            given: Cache::new(Cache::<Given, 5>::octets_for(limits.addresses)),
            listed: Recent::new(limits.listed),
            grace: limits.grace,
            seed: RandomState::default(),
        }
    }

    /// Remembers one address of an answer, whose keys are known since it was
    /// [prepared](Self::prepare). `relayed`: it was told to a resolver that asks for others.
    pub(super) fn hear(&mut self, answer: &Answer, keys: Keys, relayed: bool) {
        if let Some(listed) = &answer.listed {
            self.listed.enter(answer.name, || listed.name.clone());
        }
        self.tell(answer, keys.told);
        if relayed {
            self.tell(answer, self.key(answer.tenant, ANYONE, answer.address));
        }
        let at = answer.origin.at;
        let given = self.given.enter(keys.given, at, |_| true);
        let second = Second::of(at);
        if given.new {
            given.value.relations = [(answer.relation, second); 2];
        }
        given.value.hear(answer.relation, second);
    }

    /// An answer to `client` with `address` will soon be heard, or a connection between them looked
    /// at: asks memory for what that needs, and says under which keys it lies.
    pub(super) fn prepare(&self, tenant: TenantId, client: Addr, address: Addr) -> Keys {
        let keys = Keys {
            told: self.key(tenant, client, address),
            given: self.key(tenant, address, ANYONE),
        };
        self.told.prepare(keys.told);
        self.given.prepare(keys.given);
        keys
    }

    /// The names by which the client knew the server, latest first; those that a resolver may have
    /// told it, when it was told none in sight.
    pub(super) fn candidates(&self, contact: Contact) -> impl Iterator<Item = Candidate> {
        let Contact { tenant, server, at, .. } = contact;
        let (who, relayed) = self.asker(contact);
        let names = self.fresh(contact, who).count();
        let shared =
            names > 0 && self.given(tenant, server).is_some_and(|given| given.is_shared(at));
        let mut left = names;
        let mut before = (Timestamp::from_nanos(u64::MAX), NameId(u64::MAX));
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let earlier = self.fresh(contact, who).filter(|told| told.rank() < before);
            let told = earlier.max_by_key(|told| told.rank())?;
            before = told.rank();
            let attribution = Attribution {
                age: at.since(told.at),
                stale: at > told.until(),
                names: u16::try_from(names).unwrap_or(u16::MAX),
                shared,
                relayed,
            };
            Some(Candidate { name: told.name, over_https: told.over_https, attribution })
        })
    }

    /// Was the client itself told that the server has this name? What others of its resolver
    /// asked for does not count.
    pub(super) fn knew(&self, contact: Contact, name: NameId) -> bool {
        self.fresh(contact, contact.client).any(|told| told.name == name)
    }

    /// The text of a name that an indicator matched when it was answered.
    pub(super) fn text(&self, name: NameId) -> Option<&Name> {
        self.listed.get(&name)
    }

    /// Was `server` an answer to anyone, for whatever name?
    pub(super) fn was_given(&self, tenant: TenantId, server: Addr) -> bool {
        self.given(tenant, server).is_some()
    }

    /// Had `name`, which an indicator matches, been resolved when the client showed it?
    pub(super) fn resolved(&self, contact: Contact, name: NameId) -> Resolved {
        let told = |known: Candidate| known.name == name && !known.attribution.relayed;
        if self.candidates(contact).any(told) {
            Resolved::ByClient
        } else if self.listed.get(&name).is_some() {
            Resolved::Elsewhere
        } else {
            Resolved::Never
        }
    }

    /// Names that clients know addresses by, the octets they take, and those given up while fresh.
    pub(super) const fn told_use(&self) -> (usize, usize, u64) {
        (self.told.len(), self.told.bytes(), self.told.evicted())
    }

    /// Addresses remembered, the octets they take, and those given up.
    pub(super) const fn given_use(&self) -> (usize, usize, u64) {
        (self.given.len(), self.given.bytes(), self.given.evicted())
    }

    /// Listed names remembered, the octets they take, and those given up.
    pub(super) fn listed_use(&self) -> (usize, usize, u64) {
        (self.listed.len(), self.listed.allocated(), self.listed.evicted())
    }

    fn tell(&mut self, answer: &Answer, key: u64) {
        let at = answer.origin.at;
        let told =
            self.told.enter(key, at.minus(self.grace), |told| told.name == answer.name).value;
        let left = told.until().as_nanos().saturating_sub(at.as_nanos()).div_ceil(MILLISECOND);
        *told = Told {
            name: answer.name,
            at,
            lasts: u32::try_from(left).unwrap_or(u32::MAX).max(lifetime(answer)),
            over_https: answer.over_https,
        };
    }

    /// What `who` was told for the server, and may still act on.
    fn fresh(&self, contact: Contact, who: Addr) -> impl Iterator<Item = &Told> {
        let earliest = contact.at.minus(self.grace);
        let told = self.told.all(self.key(contact.tenant, who, contact.server));
        told.filter(move |told| told.until() >= earliest)
    }

    /// Whose answers count: the client's own or, where none of them is in sight, those that anyone
    /// was told. Is it the latter?
    fn asker(&self, contact: Contact) -> (Addr, bool) {
        let relayed = self.fresh(contact, contact.client).next().is_none();
        (if relayed { ANYONE } else { contact.client }, relayed)
    }

    fn given(&self, tenant: TenantId, server: Addr) -> Option<&Given> {
        self.given.all(self.key(tenant, server, ANYONE)).next()
    }

    fn key(&self, tenant: TenantId, first: Addr, second: Addr) -> u64 {
        self.seed.hash_one((tenant, first, second))
    }
}

impl Told {
    /// Later answers rank higher.
    const fn rank(&self) -> (Timestamp, NameId) {
        (self.at, self.name)
    }

    /// When its TTL runs out.
    fn until(&self) -> Timestamp {
        let lasts = u64::from(self.lasts) * MILLISECOND;
        Timestamp::from_nanos(self.at.as_nanos().saturating_add(lasts))
    }
}

impl Held for Told {
    fn worth(&self, now: Timestamp) -> u64 {
        if now > self.until() { 0 } else { self.at.as_nanos().max(1) }
    }
}

impl Given {
    fn hear(&mut self, relation: Relation, at: Second) {
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
        first.0 != second.0 && at.since(first.1.min(second.1).begins()) <= SHARED_FOR
    }
}

impl Held for Given {
    fn worth(&self, now: Timestamp) -> u64 {
        let [(_, first), (_, second)] = self.relations;
        let last = first.max(second);
        if now.since(last.begins()) > SHARED_FOR { 0 } else { u64::from(last.0).max(1) }
    }
}

impl Second {
    fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.as_nanos() / NANOS).unwrap_or(u32::MAX))
    }

    const fn begins(self) -> Timestamp {
        Timestamp::from_parts(self.0 as u64, 0)
    }
}

/// How many milliseconds the answer's TTL runs.
fn lifetime(answer: &Answer) -> u32 {
    answer.ttl.min(MAX_TTL) * 1_000
}

/// Stands for every client of the resolvers that ask for others. The unspecified address, which
/// asks for nothing itself (RFC 4291 §2.5.2).
const ANYONE: Addr = Addr::from_bits(0);

/// In nanoseconds.
const MILLISECOND: u64 = 1_000_000;

/// In a second.
const NANOS: u64 = 1_000_000_000;

/// A day. Longer promises are not believed: addresses change hands sooner.
const MAX_TTL: u32 = 86_400;

/// How long an address stays known as shared after the older of two unrelated names was answered
/// with it.
const SHARED_FOR: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Of an address two relations are remembered: the two heard last, which suffices.
        #[test]
        fn an_address_is_shared_while_two_unrelated_names_were_given_within_a_day(
            heard in proptest::collection::vec((0_u32..4, 0_u64..13 * 3_600), 1..40),
            later in 0_u64..40 * 3_600,
        ) {
            let mut given: Option<Given> = None;
            let mut last: BTreeMap<u32, Timestamp> = BTreeMap::new();
            let mut now = Timestamp::from_parts(1_000_000, 0);
            let shared = |last: &BTreeMap<u32, Timestamp>, now: Timestamp| {
                last.values().filter(|at| now.since(**at) <= SHARED_FOR).count() > 1
            };
            for (relation, passed) in heard {
                now = now.plus(Duration::from_secs(passed));
                last.insert(relation, now);
                let (relation, second) = (Relation(relation), Second::of(now));
                let given = given.get_or_insert(Given { relations: [(relation, second); 2] });
                given.hear(relation, second);
                prop_assert_eq!(given.is_shared(now), shared(&last, now), "{:?}", given);
            }
            let end = now.plus(Duration::from_secs(later));
            prop_assert_eq!(given.unwrap().is_shared(end), shared(&last, end));
        }
    }
}
