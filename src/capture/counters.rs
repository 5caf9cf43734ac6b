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

    /// Takes a reading of a counter that others may set back, as an interface that is gone or a
    /// driver that starts again does: what is less than before, and no wrap, is no loss.
    pub(super) fn read_resettable(&mut self, now: u32) -> u64 {
        if now.wrapping_sub(self.last) >= 1 << 31 {
            self.last = now;
        }
        self.read(now)
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

    #[test]
    fn a_counter_that_was_set_back_has_lost_nothing_and_goes_on() {
        let mut counter = Widened::default();
        let readings = [(7, 7), (0, 7), (2, 9), (u32::MAX, 9), (3, 13)];
        for (now, total) in readings {
            assert_eq!(counter.read_resettable(now), total, "{now}");
        }
    }

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
