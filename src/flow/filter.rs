//! The question every packet asks first: is anything known about this?

/// A counter for each of 64 × `WORDS` hashes, and a bit that says whether it is more than zero.
///
/// Every packet asks the bits and nothing else: an eighth of the counters' octets, few enough to
/// stay in a core's first cache.
///
/// "No" is certain; "yes" may be another's. With one thing known for every 26 bits, one question
/// in 26 is wrongly answered "yes" and pays for one look into a table.
#[derive(Debug)]
pub struct Filter<const WORDS: usize> {
    known: Box<[u64; WORDS]>,
    counters: Box<[[u8; 64]; WORDS]>,
}

impl<const WORDS: usize> Filter<WORDS> {
    /// Knows nothing.
    #[must_use]
    pub fn new() -> Self {
        let counters = vec![[0; 64]; WORDS].into_boxed_slice();
        let counters = counters.try_into().expect("the slice was made this long");
        Self { known: Box::new([0; WORDS]), counters }
    }

    /// Is something known that has this hash?
    #[inline]
    #[must_use]
    pub fn may_know(&self, hash: u64) -> bool {
        let (word, bit) = Self::place(hash);
        self.known[word] >> bit & 1 != 0
    }

    /// One more reason to know this hash.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        let (word, bit) = Self::place(hash);
        let counter = &mut self.counters[word][bit];
        *counter = counter.saturating_add(1);
        self.known[word] |= 1 << bit;
    }

    /// One reason less. A counter that was full stays so: it may stand for more than it counts.
    #[inline]
    pub fn remove(&mut self, hash: u64) {
        let (word, bit) = Self::place(hash);
        let counter = &mut self.counters[word][bit];
        if *counter != u8::MAX {
            *counter = counter.saturating_sub(1);
            if *counter == 0 {
                self.known[word] &= !(1 << bit);
            }
        }
    }

    /// By the top bits; tables use the low ones.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "few bits are left")]
    const fn place(hash: u64) -> (usize, usize) {
        const { assert!(WORDS.is_power_of_two() && WORDS > 1) };
        let slot = (hash >> (64 - WORDS.trailing_zeros() - 6)) as usize;
        (slot / 64, slot % 64)
    }
}

impl<const WORDS: usize> Default for Filter<WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_known_until_it_is_removed_as_often() {
        let mut filter = Filter::<16>::new();
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
        let mut filter = Filter::<16>::new();
        for _ in 0..300 {
            filter.add(1);
        }
        for _ in 0..300 {
            filter.remove(1);
        }
        assert!(filter.may_know(1));
    }

    #[test]
    fn neighbours_do_not_disturb_each_other() {
        let hashes: Vec<u64> = (0..1024).map(|slot| slot << 54).collect();
        let mut filter = Filter::<16>::new();
        for hash in &hashes {
            filter.add(*hash);
        }
        for (forgotten, hash) in hashes.iter().enumerate() {
            filter.remove(*hash);
            let known = |slot: usize| filter.may_know(hashes[slot]);
            assert!((0..hashes.len()).all(|slot| known(slot) == (slot > forgotten)));
        }
    }
}
