//! What would need a look at every flow, estimated from a sample: how many conversations a mirror
//! shows from one side only, and how many octets were acknowledged but never seen, which is loss
//! before the sensor.
//!
//! A flow is in the sample by a seeded hash of its ports, so all its packets are or none is; a filter
//! in the kernel lets its part of them pass whole. Each
//! ratio comes with its standard error; multiplied by two it holds in nineteen cases of twenty.

use super::Counter;

/// Sums over the sampled flows of one worker.
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

    /// A sampled flow has ended, or was watched long enough, and both its sides spoke.
    pub fn flow(&self, one_way: bool, acknowledged: u64, lost: u64) {
        self.flows.add(1);
        self.one_way.add(u64::from(one_way));
        let lost = lost.min(acknowledged);
        self.acknowledged.add(acknowledged);
        self.lost.add(lost);
        let (all, missing) = (acknowledged >> 10, lost >> 10);
        self.acknowledged_squared.add(all.saturating_mul(all));
        self.lost_squared.add(missing.saturating_mul(missing));
        self.product.add(all.saturating_mul(missing));
    }

    /// The share of conversations seen from one side only; none before there was one.
    #[must_use]
    pub fn one_way_ratio<'a>(workers: impl IntoIterator<Item = &'a Self>) -> Option<Ratio> {
        let (mut flows, mut one_way) = (0, 0);
        for worker in workers {
            flows += worker.flows.value();
            one_way += worker.one_way.value();
        }
        let count = float(flows);
        let value = (flows > 0).then(|| float(one_way) / count)?;
        Some(Ratio { value, error: (value * (1.0 - value) / count).sqrt() })
    }

    /// The share of acknowledged octets that was never seen; none before there was any.
    ///
    /// A lower bound: an octet seen twice may pass for one that was missing.
    #[must_use]
    pub fn lost_ratio<'a>(workers: impl IntoIterator<Item = &'a Self>) -> Option<Ratio> {
        let mut sums = [0; 5];
        for worker in workers {
            let counters = [
                &worker.acknowledged,
                &worker.lost,
                &worker.acknowledged_squared,
                &worker.lost_squared,
                &worker.product,
            ];
            for (sum, counter) in sums.iter_mut().zip(counters) {
                *sum += counter.value();
            }
        }
        let [acknowledged, lost, all_squared, lost_squared, product] = sums.map(float);
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
        for n in 0..100u64 {
            few.flow(n % 4 == 0, 1 << 20, if n % 10 == 0 { 1 << 19 } else { 0 });
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
