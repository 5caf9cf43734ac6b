//! A finding: detections of one client, vendor, product and strength, folded.

use std::collections::BTreeMap;
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
/// Invariants: `first_seen <= last_seen`; `count` is the sum over `signals`, and the sum over
/// `tallies` plus `untallied`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    pub key: FindingKey,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Detections counted, over all signals.
    pub count: u64,
    pub signals: BTreeMap<Signal, u64>,
    /// By indicator (stable id) and signal; at most [`Finding::MAX_TALLIES`].
    pub tallies: BTreeMap<(Arc<str>, Signal), Tally>,
    /// Detections beyond the most tallies.
    pub untallied: u64,
    /// The last name that matched.
    pub last_name: Name,
    pub mac: Option<Mac>,
    /// The client relays for others: a resolver or a proxy by the configuration.
    pub role: Option<Role>,
}

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

    /// A finding of nothing yet.
    #[must_use]
    pub fn new(key: FindingKey, at: Timestamp) -> Self {
        Self {
            key,
            first_seen: at,
            last_seen: at,
            count: 0,
            signals: BTreeMap::new(),
            tallies: BTreeMap::new(),
            untallied: 0,
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
        *self.signals.entry(detection.signal).or_default() += 1;
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
    /// the same finding as long as no tally is refused.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.key, other.key);
        self.count = self.count.saturating_add(other.count);
        self.untallied = self.untallied.saturating_add(other.untallied);
        for (signal, count) in &other.signals {
            let sum = self.signals.entry(*signal).or_default();
            *sum = sum.saturating_add(*count);
        }
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

    fn see(&mut self, first: Timestamp, last: Timestamp, name: &Name) {
        self.first_seen = self.first_seen.min(first);
        if last >= self.last_seen {
            self.last_seen = last;
            self.last_name = name.clone();
        }
    }

    fn tally(&mut self, indicator: &Arc<str>, signal: Signal, more: &Tally) -> bool {
        let key = (Arc::clone(indicator), signal);
        if let Some(tally) = self.tallies.get_mut(&key) {
            tally.count = tally.count.saturating_add(more.count);
            tally.first_seen = tally.first_seen.min(more.first_seen);
            if more.last_seen >= tally.last_seen {
                tally.last_seen = more.last_seen;
                // A reload may have given the indicator another purpose; the latest is told.
                tally.purpose = more.purpose;
                tally.class = more.class;
            }
            return false;
        }
        if self.tallies.len() >= Self::MAX_TALLIES {
            self.untallied = self.untallied.saturating_add(more.count);
            return false;
        }
        self.tallies.insert(key, *more);
        true
    }
}
