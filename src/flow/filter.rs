//! The question every packet asks first: is anything known about this flow?

/// Counters by flow hash, small enough to stay in a core's second-level cache.
///
/// "No" is certain; "yes" may be another flow's. With 10,000 flows one packet in 26 is told "yes"
/// wrongly and pays for one look into a table.
#[derive(Debug)]
pub struct Filter {
    counters: Box<[u8; Self::LEN]>,
}

impl Filter {
    /// Octets, one a counter.
    pub const LEN: usize = 1 << 18;

    /// Knows nothing.
    #[must_use]
    pub fn new() -> Self {
        let counters = vec![0; Self::LEN].into_boxed_slice();
        Self { counters: counters.try_into().expect("the slice was made this long") }
    }

    /// Is something known about a flow with this hash?
    #[inline]
    #[must_use]
    pub fn may_know(&self, hash: u64) -> bool {
        self.counters[slot(hash)] != 0
    }

    /// One more reason to know this flow.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        let counter = &mut self.counters[slot(hash)];
        *counter = counter.saturating_add(1);
    }

    /// One reason less. A counter that was full stays so: it may stand for more than it counts.
    #[inline]
    pub fn remove(&mut self, hash: u64) {
        let counter = &mut self.counters[slot(hash)];
        if *counter != u8::MAX {
            *counter = counter.saturating_sub(1);
        }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

/// The top bits; tables use the low ones.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "eighteen bits are left")]
const fn slot(hash: u64) -> usize {
    (hash >> (64 - Filter::LEN.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_known_until_it_is_removed_as_often() {
        let mut filter = Filter::new();
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
        let mut filter = Filter::new();
        for _ in 0..300 {
            filter.add(1);
        }
        for _ in 0..300 {
            filter.remove(1);
        }
        assert!(filter.may_know(1));
    }
}
