//! Counters that wrap where they are kept, as totals that do not.

/// A total fed by readings of a 32-bit counter, which wraps after 72 minutes at a million packets
/// a second. Asked more often than that, nothing is missed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Widened {
    last: u32,
    total: u64,
}

impl Widened {
    /// Takes a reading and gives the total.
    pub(super) fn read(&mut self, now: u32) -> u64 {
        self.total += u64::from(now.wrapping_sub(self.last));
        self.last = now;
        self.total
    }

    /// The counter starts again at zero: it belongs to another handle.
    pub(super) fn restart(&mut self) {
        self.last = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_the_steps(steps in prop::collection::vec(any::<u32>(), 0..50)) {
            let mut counter = 0_u32;
            let mut widened = Widened::default();
            let mut sum = 0;
            for step in steps {
                counter = counter.wrapping_add(step);
                sum += u64::from(step);
                prop_assert_eq!(widened.read(counter), sum);
            }
            widened.restart();
            prop_assert_eq!(widened.read(5), sum + 5);
        }
    }
}
