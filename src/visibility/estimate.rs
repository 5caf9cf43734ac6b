//! What would need a look at every flow, estimated from a sample: how many conversations a mirror
//! shows from one side only, and how many octets were acknowledged but never seen, which is loss
//! before the sensor.
//!
//! A flow is in the sample by a seeded hash of its ports, so all its packets are or none is; a filter
//! in the kernel lets its part of them pass whole. Each
//! ratio comes with its standard error; multiplied by two it holds in nineteen cases of twenty.
//!
//! The flows are those of the last while, not all since the start: a mirror that was whole for a year
//! and lost a direction would need another year to show it.

use core::time::Duration;
use std::collections::VecDeque;

use super::Counter;
use crate::time::Timestamp;

/// The flows that a worker's estimate rests on: the latest, in portions of which the oldest goes.
#[derive(Debug)]
pub struct Latest {
    /// The one that grows is the last.
    portions: VecDeque<Sums>,
    /// When the last one began.
    began: Timestamp,
}

impl Latest {
    /// So many portions, and each of this time or more: half an hour altogether.
    const PORTIONS: usize = 6;
    const PORTION: Duration = Duration::from_secs(5 * 60);
    /// A portion lasts until it has so many flows: where few talk, the estimate rests on some of them
    /// all the same, and while nobody does, on the last that did.
    const FEWEST: u64 = 8;

    /// None yet, at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { portions: VecDeque::from([Sums::default()]), began: now }
    }

    /// A sampled flow has ended, or was watched long enough, and both its sides spoke.
    pub fn flow(
        &mut self,
        one_way: bool,
        acknowledged: u64,
        lost: u64,
        now: Timestamp,
        estimate: &Estimate,
    ) {
        let full = self.portions.back().is_some_and(|last| last.flows >= Self::FEWEST);
        // Either way: the clock may have been set back.
        let age = now.since(self.began).max(self.began.since(now));
        if full && age >= Self::PORTION {
            if self.portions.len() >= Self::PORTIONS {
                self.portions.pop_front();
            }
            self.portions.push_back(Sums::default());
            self.began = now;
        }
        if let Some(last) = self.portions.back_mut() {
            last.flow(one_way, acknowledged, lost);
        }
        let mut sums = Sums::default();
        self.portions.iter().for_each(|portion| sums.add(portion));
        estimate.set(&sums);
    }
}

/// Sums over flows.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    flows: u64,
    one_way: u64,
    acknowledged: u64,
    lost: u64,
    acknowledged_squared: u64,
    lost_squared: u64,
    product: u64,
}

impl Sums {
    fn flow(&mut self, one_way: bool, acknowledged: u64, lost: u64) {
        let lost = lost.min(acknowledged);
        let (all, missing) = (acknowledged >> 10, lost >> 10);
        self.add(&Self {
            flows: 1,
            one_way: u64::from(one_way),
            acknowledged,
            lost,
            acknowledged_squared: all.saturating_mul(all),
            lost_squared: missing.saturating_mul(missing),
            product: all.saturating_mul(missing),
        });
    }

    fn add(&mut self, more: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.flows, more.flows);
        add(&mut self.one_way, more.one_way);
        add(&mut self.acknowledged, more.acknowledged);
        add(&mut self.lost, more.lost);
        add(&mut self.acknowledged_squared, more.acknowledged_squared);
        add(&mut self.lost_squared, more.lost_squared);
        add(&mut self.product, more.product);
    }
}

/// Sums over the sampled flows of one worker, the [latest](Latest) ones.
#[derive(Debug, Default)]
pub struct Estimate {
    /// Flows of which both sides are known to have spoken.
    pub flows: Counter,
    /// Of these, those of which one side was never seen.
    pub one_way: Counter,
    /// Octets that a receiver acknowledged, in flows seen from both sides.
    pub acknowledged: Counter,
    /// Of these, octets never seen.
    pub lost: Counter,
    /// Sums of squares and products a flow, in KiB², for the error.
    acknowledged_squared: Counter,
    lost_squared: Counter,
    product: Counter,
}

/// A ratio and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub value: f64,
    /// One standard error.
    pub error: f64,
}

impl Estimate {
    /// One flow in so many is in the sample.
    pub const SHARE: u16 = 64;
    /// And so many where a filter in the kernel lets no more of them pass whole.
    pub const FILTERED_SHARE: u16 = 256;

    fn set(&self, sums: &Sums) {
        self.flows.set(sums.flows);
        self.one_way.set(sums.one_way);
        self.acknowledged.set(sums.acknowledged);
        self.lost.set(sums.lost);
        self.acknowledged_squared.set(sums.acknowledged_squared);
        self.lost_squared.set(sums.lost_squared);
        self.product.set(sums.product);
    }

    fn sums(&self) -> Sums {
        Sums {
            flows: self.flows.value(),
            one_way: self.one_way.value(),
            acknowledged: self.acknowledged.value(),
            lost: self.lost.value(),
            acknowledged_squared: self.acknowledged_squared.value(),
            lost_squared: self.lost_squared.value(),
            product: self.product.value(),
        }
    }

    /// Of all workers. Between two of its numbers a worker may have let a portion go: a part is no
    /// more than the whole all the same.
    fn together<'a>(workers: impl IntoIterator<Item = &'a Self>) -> Sums {
        let mut sums = Sums::default();
        workers.into_iter().for_each(|worker| sums.add(&worker.sums()));
        sums.one_way = sums.one_way.min(sums.flows);
        sums.lost = sums.lost.min(sums.acknowledged);
        sums
    }

    /// The share of conversations seen from one side only; none before there was one.
    #[must_use]
    pub fn one_way_ratio<'a>(workers: impl IntoIterator<Item = &'a Self>) -> Option<Ratio> {
        let Sums { flows, one_way, .. } = Self::together(workers);
        let count = float(flows);
        let value = (flows > 0).then(|| float(one_way) / count)?;
        Some(Ratio { value, error: (value * (1.0 - value) / count).sqrt() })
    }

    /// The share of acknowledged octets that was never seen; none before there was any.
    ///
    /// A lower bound: an octet seen twice may pass for one that was missing.
    #[must_use]
    pub fn lost_ratio<'a>(workers: impl IntoIterator<Item = &'a Self>) -> Option<Ratio> {
        let sums = Self::together(workers);
        let (acknowledged, lost) = (float(sums.acknowledged), float(sums.lost));
        let all_squared = float(sums.acknowledged_squared);
        let (lost_squared, product) = (float(sums.lost_squared), float(sums.product));
        let value = (acknowledged > 0.0).then(|| lost / acknowledged)?;
        // The error of a ratio of two sums over the same flows (Cochran, Sampling Techniques §6.4).
        let residual = lost_squared - 2.0 * value * product + value * value * all_squared;
        let error = residual.max(0.0).sqrt() / (acknowledged / 1024.0);
        Some(Ratio { value, error: error.min(1.0) })
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate has no more precision to offer")]
const fn float(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_add_up_over_workers_and_their_error_shrinks() {
        let few = Estimate::default();
        assert_eq!(Estimate::one_way_ratio([&few]), None);
        assert_eq!(Estimate::lost_ratio([&few]), None);
        let mut latest = Latest::new(Timestamp::ZERO);
        for n in 0..100u64 {
            let lost = if n % 10 == 0 { 1 << 19 } else { 0 };
            latest.flow(n % 4 == 0, 1 << 20, lost, Timestamp::ZERO, &few);
        }
        let one = Estimate::one_way_ratio([&few]).unwrap();
        let two = Estimate::one_way_ratio([&few, &few]).unwrap();
        assert!((one.value - 0.25).abs() < 1e-9 && (two.value - 0.25).abs() < 1e-9);
        assert!(two.error < one.error && one.error < 0.05);
        let lost = Estimate::lost_ratio([&few]).unwrap();
        assert!((lost.value - 0.05).abs() < 1e-9, "{lost:?}");
        assert!(lost.error > 0.005 && lost.error < 0.05, "{lost:?}");
    }
}
