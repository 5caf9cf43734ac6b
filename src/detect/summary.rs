//! Findings as people ask for them: by endpoint, and by client. Pure functions over findings.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Finding, Tally};
use crate::inspect::Signal;
use crate::net::Addr;
use crate::signature::{Class, Purpose, Strength};
use crate::time::Timestamp;

/// What was seen of one product, purpose, strength and signal in one network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    pub vendor: Arc<str>,
    pub product: Arc<str>,
    pub purpose: Purpose,
    pub strength: Strength,
    pub signal: Signal,
    pub network: Arc<str>,
    /// Distinct ones.
    pub clients: usize,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub count: u64,
    /// Stable ids of the indicators that matched.
    pub indicators: BTreeSet<Arc<str>>,
    /// The best class among their evidence.
    pub class: Option<Class>,
}

/// How findings of one client and vendor may be spoken of. Derived, never stored: what was seen
/// stays what was seen.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Observed {
    /// Names that a person browsing asks for too, however many.
    Visited,
    /// One name that only the product asks for; or, within a day, two of different purposes that
    /// mostly the product asks for. Of each name the first and the last time are known.
    ProductTraffic,
}

impl Observed {
    /// As printed.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Visited => "visited",
            Self::ProductTraffic => "product traffic observed",
        }
    }

    /// Of the findings of one client and vendor.
    #[must_use]
    pub fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        let mut moderate: Vec<&Tally> = Vec::new();
        for finding in findings {
            match finding.key.strength {
                Strength::Strong => return Self::ProductTraffic,
                Strength::Moderate => moderate.extend(finding.tallies.values()),
                Strength::Weak => {}
            }
        }
        let pair = |a: &Tally, b: &Tally| a.purpose != b.purpose && gap(a, b) <= DAY;
        if moderate.iter().any(|a| moderate.iter().any(|b| pair(a, b))) {
            Self::ProductTraffic
        } else {
            Self::Visited
        }
    }
}

/// Folds findings by endpoint: by vendor, strongest first, then product, purpose, signal, network.
#[must_use]
pub fn by_endpoint<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<Row> {
    type Clients<'a> = BTreeSet<(&'a Arc<str>, Addr)>;
    let mut rows = BTreeMap::<_, (Row, Clients<'a>)>::new();
    for finding in findings {
        let key = &finding.key;
        for ((indicator, signal), tally) in &finding.tallies {
            let order = (
                &key.vendor,
                Reverse(key.strength),
                &key.product,
                tally.purpose,
                *signal,
                &key.network,
            );
            let (row, clients) = rows.entry(order).or_insert_with(|| {
                let row = Row {
                    vendor: Arc::clone(&key.vendor),
                    product: Arc::clone(&key.product),
                    purpose: tally.purpose,
                    strength: key.strength,
                    signal: *signal,
                    network: Arc::clone(&key.network),
                    clients: 0,
                    first_seen: tally.first_seen,
                    last_seen: tally.last_seen,
                    count: 0,
                    indicators: BTreeSet::new(),
                    class: None,
                };
                (row, BTreeSet::new())
            });
            clients.insert((&key.tenant, key.client));
            row.first_seen = row.first_seen.min(tally.first_seen);
            row.last_seen = row.last_seen.max(tally.last_seen);
            row.count = row.count.saturating_add(tally.count);
            row.class = [row.class, tally.class].into_iter().flatten().min();
            if &**indicator != Finding::OTHERS {
                row.indicators.insert(Arc::clone(indicator));
            }
        }
    }
    rows.into_values().map(|(row, clients)| Row { clients: clients.len(), ..row }).collect()
}

/// Findings by client and vendor, each group with how it may be spoken of: in the order of
/// tenants, networks, clients and vendors, strongest first.
#[must_use]
pub fn by_client<'a>(
    findings: impl IntoIterator<Item = &'a Finding>,
) -> Vec<(Observed, &'a Finding)> {
    let mut groups = BTreeMap::<_, Vec<&Finding>>::new();
    for finding in findings {
        let key = &finding.key;
        groups.entry((&key.tenant, key.client, &key.vendor)).or_default().push(finding);
    }
    let mut rows: Vec<(Observed, &Finding)> = groups
        .into_values()
        .flat_map(|group| {
            let observed = Observed::of(group.iter().copied());
            group.into_iter().map(move |finding| (observed, finding))
        })
        .collect();
    rows.sort_by(|(_, a), (_, b)| {
        let order = |finding: &'a Finding| {
            let key = &finding.key;
            let client = (&key.tenant, &key.network, key.client);
            (client, &key.vendor, Reverse(key.strength), &key.product)
        };
        order(a).cmp(&order(b))
    });
    rows
}

/// How long the nearest two moments are apart of which one is known to be of either. What was seen
/// between the first and the last time has no moment: that spans overlap says nothing.
fn gap(a: &Tally, b: &Tally) -> Duration {
    let moments = |tally: &Tally| [tally.first_seen, tally.last_seen];
    let apart = |a: Timestamp, b: Timestamp| a.since(b).max(b.since(a));
    let gaps = moments(a).into_iter().flat_map(|a| moments(b).map(|b| apart(a, b)));
    gaps.min().unwrap_or_default()
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::FindingKey;

    fn finding(client: u128, strength: Strength, tallies: &[(&str, Purpose, u64)]) -> Finding {
        let key = FindingKey {
            tenant: "".into(),
            network: "other".into(),
            client: Addr::from_bits(client),
            vendor: "acme".into(),
            product: "agent".into(),
            strength,
        };
        let mut finding = Finding::new(key, Timestamp::ZERO);
        for (indicator, purpose, seconds) in tallies {
            let at = Timestamp::from_parts(*seconds, 0);
            let tally = Tally {
                purpose: *purpose,
                class: Some(Class::B1),
                count: 2,
                first_seen: at,
                last_seen: at,
            };
            finding.tallies.insert(((*indicator).into(), Signal::DnsQuery), tally);
        }
        finding
    }

    #[test]
    fn many_weak_sightings_are_still_a_visit() {
        let weak = [("a", Purpose::Website, 0), ("b", Purpose::Cdn, 1), ("c", Purpose::Ads, 2)];
        assert_eq!(Observed::of(&[finding(1, Strength::Weak, &weak)]), Observed::Visited);
        assert_eq!(Observed::of(&[]), Observed::Visited);
    }

    #[test]
    fn one_strong_or_two_moderate_purposes_within_a_day_are_product_traffic() {
        let strong = finding(1, Strength::Strong, &[("a", Purpose::Update, 0)]);
        assert_eq!(Observed::of(&[strong]), Observed::ProductTraffic);
        let moderate = |second: Purpose, seconds| {
            let tallies = [("a", Purpose::Update, 0), ("b", second, seconds)];
            Observed::of(&[finding(1, Strength::Moderate, &tallies)])
        };
        let day = 24 * 3_600;
        assert_eq!(moderate(Purpose::Push, day), Observed::ProductTraffic);
        assert_eq!(moderate(Purpose::Push, day + 1), Observed::Visited);
        assert_eq!(moderate(Purpose::Update, 1), Observed::Visited, "one purpose only");
    }

    #[test]
    fn names_seen_months_apart_are_not_seen_together_because_their_spans_overlap() {
        let day = |n: u64| Timestamp::from_parts(n * 24 * 3_600, 0);
        let observed = |update: [u64; 2], push: [u64; 2]| {
            let tallies = [("a", Purpose::Update, 0), ("b", Purpose::Push, 0)];
            let mut finding = finding(1, Strength::Moderate, &tallies);
            for (tally, [first, last]) in finding.tallies.values_mut().zip([update, push]) {
                (tally.first_seen, tally.last_seen) = (day(first), day(last));
            }
            Observed::of(&[finding])
        };
        assert_eq!(observed([0, 330], [150, 150]), Observed::Visited);
        assert_eq!(observed([0, 330], [150, 329]), Observed::ProductTraffic);
        assert_eq!(observed([1, 330], [0, 150]), Observed::ProductTraffic);
        assert_eq!(observed([150, 330], [0, 151]), Observed::ProductTraffic);
    }

    #[test]
    fn endpoints_count_clients_once_and_sightings_all() {
        let findings = [
            finding(1, Strength::Strong, &[("a", Purpose::Update, 5), ("b", Purpose::Update, 9)]),
            finding(2, Strength::Strong, &[("a", Purpose::Update, 3)]),
            finding(2, Strength::Weak, &[("w", Purpose::Website, 1)]),
        ];
        let rows = by_endpoint(&findings);
        assert_eq!(rows.len(), 2);
        let update = &rows[0];
        assert_eq!((update.strength, update.clients, update.count), (Strength::Strong, 2, 6));
        assert_eq!(update.first_seen, Timestamp::from_parts(3, 0));
        assert_eq!(update.last_seen, Timestamp::from_parts(9, 0));
        assert_eq!(update.indicators.len(), 2);
        let by_client = by_client(&findings);
        let observed: Vec<_> = by_client.iter().map(|(observed, _)| *observed).collect();
        assert_eq!(
            observed,
            [Observed::ProductTraffic; 3],
            "the weak one is of a client with more"
        );
    }
}
