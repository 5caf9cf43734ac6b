//! The question every packet asks first: is anything known about this?

/// `LEN` counters by hash, small enough to stay in a core's cache.
///
/// "No" is certain; "yes" may be another's. With one thing known for every 26 counters, one
/// question in 26 is wrongly answered "yes" and pays for one look into a table.
#[derive(Debug)]
pub struct Filter<const LEN: usize> {
    counters: Box<[u8; LEN]>,
}

impl<const LEN: usize> Filter<LEN> {
    /// Knows nothing.
    #[must_use]
    pub fn new() -> Self {
        let counters = vec![0; LEN].into_boxed_slice();
        Self { counters: counters.try_into().expect("the slice was made this long") }
    }

    /// Is something known that has this hash?
    #[inline]
    #[must_use]
    pub fn may_know(&self, hash: u64) -> bool {
        self.counters[Self::slot(hash)] != 0
    }

    /// One more reason to know this hash.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        let counter = &mut self.counters[Self::slot(hash)];
        *counter = counter.saturating_add(1);
    }

    /// One reason less. A counter that was full stays so: it may stand for more than it counts.
    #[inline]
    pub fn remove(&mut self, hash: u64) {
        let counter = &mut self.counters[Self::slot(hash)];
        if *counter != u8::MAX {
            *counter = counter.saturating_sub(1);
        }
    }

    /// The top bits; tables use the low ones.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "few bits are left")]
    const fn slot(hash: u64) -> usize {
        const { assert!(LEN.is_power_of_two() && LEN > 1) };
        (hash >> (64 - LEN.trailing_zeros())) as usize
    }
}

impl<const LEN: usize> Default for Filter<LEN> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_known_until_it_is_removed_as_often() {
        let mut filter = Filter::<1024>::new();
        let hash = 0xfedc_ba98_7654_3210;
        assert!(!filter.may_know(hash));
        filter.add(hash);
        filter.add(hash);
        filter.remove(hash);
        assert!(filter.may_know(hash));
        filter.remove(hash);
        assert!(!filter.may_know(hash));
    }

    #[test]
    fn a_full_counter_never_forgets() {
        let mut filter = Filter::<1024>::new();
        for _ in 0..300 {
            filter.add(1);
        }
        for _ in 0..300 {
            filter.remove(1);
        }
        assert!(filter.may_know(1));
    }
}
