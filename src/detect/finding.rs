//! A finding: detections of one client, vendor, product and strength, folded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{Detection, Role};
use crate::inspect::Signal;
use crate::name::Name;
use crate::net::{Addr, Mac};
use crate::signature::{Class, Purpose, Strength};
use crate::time::Timestamp;

/// What a finding is filed under. Strength is in the key so that an old web visit never hides a
/// new agent. Tenant and network are names, not numbers, so that a finding outlives the
/// configuration that numbered them.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FindingKey {
    /// The declared tenant's name; empty outside the declared ones.
    pub tenant: Arc<str>,
    pub network: Arc<str>,
    pub client: Addr,
    pub vendor: Arc<str>,
    pub product: Arc<str>,
    pub strength: Strength,
}

/// Detections of one client, vendor, product and strength, folded.
///
/// Invariants: `first_seen <= last_seen`; `count` is the sum over `tallies`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    pub key: FindingKey,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Detections counted.
    pub count: u64,
    /// By indicator (stable id) and signal; at most [`Finding::MAX_TALLIES`], and beyond them one
    /// for each signal under [`Finding::OTHERS`].
    pub tallies: BTreeMap<TallyKey, Tally>,
    /// The last name that matched.
    pub last_name: Name,
    pub mac: Option<Mac>,
    /// The client relays for others: a resolver or a proxy by the configuration.
    pub role: Option<Role>,
}

/// An indicator's stable id, and how it was seen.
pub type TallyKey = (Arc<str>, Signal);

/// What one indicator contributed to a finding by one signal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tally {
    pub purpose: Purpose,
    /// The best class among the indicator's evidence.
    pub class: Option<Class>,
    pub count: u64,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

impl Finding {
    /// Indicators times signals that one finding tells apart; a vendor's documentation seldom
    /// names more hosts of one product.
    pub const MAX_TALLIES: usize = 64;

    /// In place of the id of indicators beyond the most tallies. Purpose and class are then those
    /// of the latest.
    pub const OTHERS: &'static str = "";

    /// A finding of nothing yet.
    #[must_use]
    pub fn new(key: FindingKey, at: Timestamp) -> Self {
        Self {
            key,
            first_seen: at,
            last_seen: at,
            count: 0,
            tallies: BTreeMap::new(),
            last_name: Name::new(""),
            mac: None,
            role: None,
        }
    }

    /// Counts one detection. True when it is the first by its indicator and signal.
    pub fn fold(&mut self, detection: &Detection, role: Option<Role>) -> bool {
        let indicator = &detection.indicator;
        let at = detection.origin.at;
        self.count += 1;
        self.see(at, at, &detection.name);
        self.mac = detection.client.mac.or(self.mac);
        self.role = role;
        let one = Tally {
            purpose: indicator.purpose,
            class: indicator.class(),
            count: 1,
            first_seen: at,
            last_seen: at,
        };
        self.tally(&indicator.id, detection.signal, &one)
    }

    /// Adds what another finding of the same key counted.
    ///
    /// Folding detections one by one, or folding them into two findings and merging these, gives
    /// the same finding as long as there is room for each tally.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.key, other.key);
        self.count = self.count.saturating_add(other.count);
        if other.last_seen >= self.last_seen {
            self.mac = other.mac.or(self.mac);
            self.role = other.role;
        } else {
            self.mac = self.mac.or(other.mac);
        }
        self.see(other.first_seen, other.last_seen, &other.last_name);
        for ((indicator, signal), tally) in &other.tallies {
            self.tally(indicator, *signal, tally);
        }
    }

    /// Detections by signal.
    #[must_use]
    pub fn signals(&self) -> BTreeMap<Signal, u64> {
        let mut signals = BTreeMap::new();
        for ((_, signal), tally) in &self.tallies {
            let sum: &mut u64 = signals.entry(*signal).or_default();
            *sum = sum.saturating_add(tally.count);
        }
        signals
    }

    fn see(&mut self, first: Timestamp, last: Timestamp, name: &Name) {
        self.first_seen = self.first_seen.min(first);
        if last >= self.last_seen {
            self.last_seen = last;
            self.last_name = name.clone();
        }
    }

    /// Adds to a tally. True when it is the first of its indicator and signal.
    fn tally(&mut self, indicator: &Arc<str>, signal: Signal, more: &Tally) -> bool {
        let mut key = (Arc::clone(indicator), signal);
        let full = self.tallies.len() >= Self::MAX_TALLIES;
        if full && !self.tallies.contains_key(&key) {
            key.0 = Self::OTHERS.into();
        }
        match self.tallies.entry(key) {
            Entry::Vacant(place) => {
                place.insert(*more);
                true
            }
            Entry::Occupied(mut place) => {
                place.get_mut().merge(more);
                false
            }
        }
    }
}

impl Tally {
    fn merge(&mut self, more: &Self) {
        self.count = self.count.saturating_add(more.count);
        self.first_seen = self.first_seen.min(more.first_seen);
        if more.last_seen >= self.last_seen {
            self.last_seen = more.last_seen;
            // A reload may have given the indicator another purpose; the latest is told.
            self.purpose = more.purpose;
            self.class = more.class;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::samples::{indicator, key};
    use crate::detect::{Client, Origin};
    use crate::name::NameId;
    use crate::net::{Mac, Path};
    use crate::signature::Indicator;

    fn detection(indicator: &Arc<Indicator>, signal: Signal, at: Timestamp) -> Detection {
        Detection {
            origin: Origin { at, ..Origin::default() },
            signal,
            name_id: NameId::default(),
            name: indicator.id.as_ref().into(),
            indicator: Arc::clone(indicator),
            client: Client::default(),
            path: Path::default(),
            identity: 0,
            ech: None,
            shared: false,
        }
    }

    proptest! {
        #[test]
        fn folding_apart_and_merging_is_folding_together(
            detections in proptest::collection::vec(
                (0_usize..5, 0_usize..4, any::<Option<u8>>(), any::<bool>()),
                1..40,
            ),
            cut in any::<prop::sample::Index>(),
        ) {
            let indicators: Vec<_> = (0..5)
                .map(|n| indicator(&format!("acme.{n}"), Purpose::Update, Strength::Strong))
                .collect();
            let detections: Vec<_> = detections
                .iter()
                .enumerate()
                .map(|(at, (which, signal, mac, relays))| {
                    let at = Timestamp::from_nanos(at as u64);
                    let mut one = detection(&indicators[*which], Signal::ALL[*signal], at);
                    one.client.mac = mac.map(|last| Mac([2, 0, 0, 0, 0, last]));
                    (one, relays.then_some(Role::Resolver))
                })
                .collect();
            let fold = |detections: &[(Detection, Option<Role>)]| {
                let first = detections.first().map_or(Timestamp::ZERO, |(one, _)| one.origin.at);
                let mut finding = Finding::new(key(), first);
                for (detection, role) in detections {
                    finding.fold(detection, *role);
                }
                finding
            };
            let together = fold(&detections);
            let (before, after) = detections.split_at(1 + cut.index(detections.len()));
            let mut apart = fold(before);
            if !after.is_empty() {
                let mut later = fold(after);
                later.merge(&apart);
                apart.merge(&fold(after));
                prop_assert_eq!(&later, &together, "whichever is merged into the other");
            }
            prop_assert_eq!(&apart, &together);
            let (last, role) = &detections[detections.len() - 1];
            prop_assert_eq!((together.last_seen, together.role), (last.origin.at, *role));
            let latest = detections.iter().rev().find_map(|(one, _)| one.client.mac);
            prop_assert_eq!(together.mac, latest);
            let sum: u64 = together.tallies.values().map(|tally| tally.count).sum();
            prop_assert_eq!(together.count, sum);
            prop_assert_eq!(together.signals().values().sum::<u64>(), sum);
        }
    }

    #[test]
    fn tallies_beyond_the_most_are_kept_together() {
        let mut finding = Finding::new(key(), Timestamp::ZERO);
        for n in 0..1_000 {
            let indicator = indicator(&format!("acme.{n}"), Purpose::Update, Strength::Strong);
            finding.fold(&detection(&indicator, Signal::DnsQuery, Timestamp::ZERO), None);
        }
        assert_eq!(finding.tallies.len(), Finding::MAX_TALLIES + 1);
        let others = &finding.tallies[&(Finding::OTHERS.into(), Signal::DnsQuery)];
        assert_eq!(others.count, 1_000 - Finding::MAX_TALLIES as u64);
        assert_eq!(finding.count, 1_000);
    }
}
