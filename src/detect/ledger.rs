//! What is known now: findings, and what was ever seen of each vendor.

use core::time::Duration;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::recent::Recent;
use super::{Detection, Finding, FindingKey, Notice, Role};
use crate::net::Addr;
use crate::signature::Strength;
use crate::time::Timestamp;

/// What series of first and last seen are kept by: vendor, strength, network.
pub type VendorKey = (Arc<str>, Strength, Arc<str>);

/// When something was seen first and last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    pub first: Timestamp,
    pub last: Timestamp,
}

/// When a vendor was seen where no exception covers it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Unexcepted {
    /// None when all that was seen had begun under an exception.
    pub first: Option<Timestamp>,
    pub last: Timestamp,
}

/// All findings, and what was seen first. Bounded: of findings the one seen least recently makes
/// room; vendors, strengths and networks are closed sets.
#[derive(Debug)]
pub(super) struct Ledger {
    findings: Recent<FindingKey, Held>,
    vendors: BTreeMap<VendorKey, Seen>,
    /// What [`Self::clients`] said last, while it holds.
    counted: Option<Counted>,
    /// Someone takes the changes: they are kept until then.
    keeps_changes: bool,
    /// Changes of findings that were evicted before they were taken; as many as findings.
    orphans: Vec<Finding>,
    orphans_limit: usize,
    orphans_lost: u64,
    repeat: Duration,
}

#[derive(Debug)]
struct Held {
    finding: Finding,
    /// What was folded since the changes were last taken.
    change: Option<Box<Finding>>,
    /// When an event last spoke of it.
    noticed: Timestamp,
}

/// Clients of a tenant each.
type Clients<'a> = HashSet<(&'a str, Addr), foldhash::fast::RandomState>;

/// Distinct clients with a finding since a moment.
#[derive(Debug)]
struct Counted {
    since: Timestamp,
    clients: Arc<BTreeMap<VendorKey, u64>>,
}

/// What a detection did.
pub(super) struct Folded<'a> {
    pub finding: &'a Finding,
    pub new_finding: bool,
    pub first_of_vendor: bool,
    pub notice: Option<Notice>,
}

impl Ledger {
    pub(super) fn new(limit: usize, repeat: Duration) -> Self {
        Self {
            findings: Recent::new(limit),
            vendors: BTreeMap::new(),
            counted: None,
            keeps_changes: false,
            orphans: Vec::new(),
            orphans_limit: limit,
            orphans_lost: 0,
            repeat,
        }
    }

    /// Takes over what an earlier run knew, so that nothing of it is new again. What goes on is
    /// spoken of again, once: whether all that the earlier run said was written is not known.
    /// Findings beyond the limit: those seen least recently are left out.
    pub(super) fn restore(
        &mut self,
        mut findings: Vec<Finding>,
        vendors: impl IntoIterator<Item = (VendorKey, Seen)>,
    ) {
        self.counted = None;
        findings.sort_by(|a, b| (a.last_seen, &a.key).cmp(&(b.last_seen, &b.key)));
        for finding in findings {
            let seen = Seen { first: finding.first_seen, last: finding.last_seen };
            self.see(vendor_key(&finding.key), seen);
            let held = Held { finding, change: None, noticed: Timestamp::ZERO };
            self.findings.enter(held.finding.key.clone(), || held);
        }
        for (key, seen) in vendors {
            self.see(key, seen);
        }
    }

    /// From now on changes are kept for [`Self::take_changes`].
    pub(super) const fn keep_changes(&mut self) {
        self.keeps_changes = true;
    }

    /// Counts a detection.
    pub(super) fn fold(
        &mut self,
        key: FindingKey,
        detection: &Detection,
        role: Option<Role>,
    ) -> Folded<'_> {
        let at = detection.origin.at;
        let first_of_vendor = self.see(vendor_key(&key), Seen { first: at, last: at });
        let entered = self.findings.enter(key.clone(), || Held {
            finding: Finding::new(key.clone(), at),
            change: None,
            noticed: at,
        });
        if let Some(change) = entered.evicted.and_then(|(_, gone)| gone.change) {
            if self.orphans.len() < self.orphans_limit {
                self.orphans.push(*change);
            } else {
                self.orphans_lost += 1;
            }
        }
        let held = entered.value;
        // Another client, or one that is back; a new one may also have taken the place of any.
        let last_seen = held.finding.last_seen;
        self.counted.take_if(|counted| entered.new || last_seen < counted.since);
        if self.keeps_changes {
            held.change
                .get_or_insert_with(|| Box::new(Finding::new(key, at)))
                .fold(detection, role);
        }
        let new_evidence = held.finding.fold(detection, role);
        let notice = if first_of_vendor {
            Some(Notice::FirstOfVendor)
        } else if entered.new {
            Some(Notice::NewFinding)
        } else if new_evidence {
            Some(Notice::NewEvidence)
        } else if at.since(held.noticed).max(held.noticed.since(at)) > self.repeat {
            // What was spoken of in the future was before the clock was set back.
            Some(Notice::Repeat)
        } else {
            None
        };
        if notice.is_some() {
            held.noticed = at;
        }
        Folded { finding: &held.finding, new_finding: entered.new, first_of_vendor, notice }
    }

    /// What was folded since this was last asked: each finding holds the difference only.
    pub(super) fn take_changes(&mut self) -> Vec<Finding> {
        let mut changes = core::mem::take(&mut self.orphans);
        // Every change makes its finding the newest: the changed ones come first.
        self.findings.visit_newest(|held| {
            let change = held.change.take();
            let changed = change.is_some();
            changes.extend(change.map(|change| *change));
            changed
        });
        changes
    }

    /// Distinct clients with a finding since `since`, by vendor, strength and network.
    pub(super) fn clients(&mut self, since: Timestamp) -> Arc<BTreeMap<VendorKey, u64>> {
        if let Some(counted) = &self.counted
            && counted.since == since
        {
            return Arc::clone(&counted.clients);
        }
        let mut distinct: BTreeMap<_, Clients<'_>> = BTreeMap::new();
        for (key, held) in self.findings.iter() {
            if held.finding.last_seen >= since {
                let vendor = (&key.vendor, key.strength, &key.network);
                distinct.entry(vendor).or_default().insert((&key.tenant, key.client));
            }
        }
        let clients = distinct.into_iter().map(|((vendor, strength, network), clients)| {
            ((Arc::clone(vendor), strength, Arc::clone(network)), clients.len() as u64)
        });
        let clients: Arc<BTreeMap<VendorKey, u64>> = Arc::new(clients.collect());
        self.counted = Some(Counted { since, clients: Arc::clone(&clients) });
        clients
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().map(|(_, held)| &held.finding)
    }

    pub(super) fn vendors(&self) -> impl Iterator<Item = (&VendorKey, Seen)> {
        self.vendors.iter().map(|(key, seen)| (key, *seen))
    }

    /// Changes that nobody took in time.
    pub(super) const fn changes_lost(&self) -> u64 {
        self.orphans_lost
    }

    pub(super) fn table_use(&self) -> (usize, usize, u64) {
        (self.findings.len(), self.findings.allocated(), self.findings.evicted())
    }

    /// True when nothing was known of the key.
    fn see(&mut self, key: VendorKey, seen: Seen) -> bool {
        match self.vendors.get_mut(&key) {
            Some(known) => {
                known.first = known.first.min(seen.first);
                known.last = known.last.max(seen.last);
                false
            }
            None => {
                self.vendors.insert(key, seen);
                true
            }
        }
    }
}

/// Under which key a finding is among the [`VendorKey`]s.
#[must_use]
pub fn vendor_key(key: &FindingKey) -> VendorKey {
    (Arc::clone(&key.vendor), key.strength, Arc::clone(&key.network))
}
