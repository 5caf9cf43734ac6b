//! How much work a flood may cause.

use crate::time::Timestamp;

/// A bucket of tokens that fills with packet time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    per_second: u64,
    /// In billionths of a token.
    tokens: u64,
    filled: Timestamp,
}

impl Budget {
    /// Full, and holds what one second gives.
    pub(super) const fn new(per_second: u32) -> Self {
        let per_second = per_second as u64;
        Self { per_second, tokens: per_second * NANOS, filled: Timestamp::ZERO }
    }

    /// One token, if there is one.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        if now > self.filled {
            let nanos = u64::try_from(now.since(self.filled).as_nanos()).unwrap_or(u64::MAX);
            self.tokens = nanos
                .min(NANOS)
                .saturating_mul(self.per_second)
                .saturating_add(self.tokens)
                .min(self.per_second * NANOS);
            self.filled = now;
        }
        match self.tokens.checked_sub(NANOS) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_gives_so_many_and_no_more() {
        let mut budget = Budget::new(10);
        let taken = |budget: &mut Budget, nanos| {
            (0..100).filter(|_| budget.take(Timestamp::from_nanos(nanos))).count()
        };
        assert_eq!(taken(&mut budget, 5 * NANOS), 10);
        assert_eq!(taken(&mut budget, 5 * NANOS), 0);
        assert_eq!(taken(&mut budget, 4 * NANOS), 0);
        assert_eq!(taken(&mut budget, 5 * NANOS + NANOS / 2), 5);
        assert_eq!(taken(&mut budget, 500 * NANOS), 10);
    }
}
