//! A bounded memory of small values by hash: sets of a few, each giving up its own oldest.

use crate::prefetch::prefetch;
use crate::time::Timestamp;

/// Values by the seeded hash of what they are about; several may be about the same.
///
/// A key is 64 bits of a hash whose seed nobody outside knows, so that two things with one key
/// are a matter of chance (one look-up in 2⁶⁰), not of choice. A set holds `WAYS` entries, in one
/// cache line or two where the user chooses so, and all that is asked of it is answered by them:
/// nothing is linked or allocated, and nothing moved but when the table doubles because something
/// still of use would have to go.
///
/// A key whose set is full goes to the set beside it: so a table fills more than twice as far
/// before some set overflows by chance.
#[derive(Debug)]
pub(crate) struct Cache<V, const WAYS: usize> {
    sets: Vec<Set<V, WAYS>>,
    /// 64 less the bits that choose a set.
    shift: u32,
    max_sets: usize,
    len: usize,
    evicted: u64,
}

/// Its free places are the last, so that a search ends at the first of them and often leaves the
/// second cache line alone.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Set<V, const WAYS: usize>([Entry<V>; WAYS]);

#[derive(Clone, Copy, Debug, Default)]
struct Entry<V> {
    /// Zero: nothing is held here.
    key: u64,
    value: V,
}

/// How long a value is worth its place.
pub(crate) trait Held: Copy + Default {
    /// How lately it was of use, seen from `now`, in any unit: what has least gives up its place
    /// first. Zero: it says nothing any more.
    fn worth(&self, now: Timestamp) -> u64;
}

/// What [`Cache::enter`] found or made.
#[derive(Debug)]
pub(crate) struct Entered<'a, V> {
    pub(crate) value: &'a mut V,
    /// There was none; the value is the default.
    pub(crate) new: bool,
}

impl<V: Held, const WAYS: usize> Cache<V, WAYS> {
    /// An empty table that never uses more than `octets`, if that is room for two sets.
    pub(crate) fn new(octets: usize) -> Self {
        let most = (octets / size_of::<Set<V, WAYS>>()).clamp(2, 1 << 32);
        let max_sets = 1 << most.ilog2();
        let first = FIRST_SETS.min(max_sets);
        let mut sets = Vec::new();
        // Room for all, which is memory only once it is written to: so the table grows in its
        // place. Where that much is refused, it moves as it grows.
        let _ = sets.try_reserve_exact(max_sets);
        sets.resize(first, Set::default());
        Self { sets, shift: u64::BITS - first.ilog2(), max_sets, len: 0, evicted: 0 }
    }

    /// What [`Self::new`] needs to hold `entries`, and no more, were they evenly spread.
    pub(crate) const fn octets_for(entries: usize) -> usize {
        entries / WAYS * size_of::<Set<V, WAYS>>()
    }

    /// All that is held under `key`.
    pub(crate) fn all(&self, key: u64) -> impl Iterator<Item = &V> {
        let key = filled(key);
        let home = self.place(key);
        let beside = self.sets[home].is_full().then(|| &self.sets[beside(home)]);
        let entries = self.sets[home].0.iter().chain(beside.into_iter().flat_map(|set| &set.0));
        entries.filter(move |entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The value under `key` that is the `same`, made when there is none. Where there is no room,
    /// what is spent goes, else what was least recently of use, and that is counted.
    pub(crate) fn enter(
        &mut self,
        key: u64,
        now: Timestamp,
        same: impl Fn(&V) -> bool,
    ) -> Entered<'_, V> {
        let key = filled(key);
        loop {
            let home = self.place(key);
            for place in [home, beside(home)] {
                let Some(way) = self.sets[place].find(key, &same) else { continue };
                let entry = &mut self.sets[place].0[way];
                let new = entry.key == 0;
                if new {
                    entry.key = key;
                    self.len += 1;
                }
                return Entered { value: &mut entry.value, new };
            }
            let least = |place: usize| (self.sets[place].least(now), place);
            let ((worth, way), place) = least(home).min(least(beside(home)));
            if worth > 0 {
                if self.sets.len() < self.max_sets {
                    self.double();
                    continue;
                }
                self.evicted += 1;
            }
            let entry = &mut self.sets[place].0[way];
            *entry = Entry { key, value: V::default() };
            return Entered { value: &mut entry.value, new: true };
        }
    }

    /// Asks memory for what will be needed under `key`, and does not wait for it. The upper half of
    /// the key is enough.
    pub(crate) fn prepare(&self, key: u64) {
        prefetch(&self.sets[self.place(filled(key))]);
    }

    /// Values held, spent ones included.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Octets in use.
    pub(crate) const fn bytes(&self) -> usize {
        self.sets.len() * size_of::<Set<V, WAYS>>()
    }

    /// Values given up for room so far that were still of use.
    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The values of two sets side by side spread over four, in the same order: from the last to
    /// the first, so that none is written over before it was read.
    fn double(&mut self) {
        let sets = self.sets.len();
        self.sets.resize(2 * sets, Set::default());
        self.shift -= 1;
        for pair in (0..sets).step_by(2).rev() {
            let first = 2 * pair;
            let mut spread = [Set::default(); 4];
            for entry in [self.sets[pair], self.sets[pair + 1]].iter().flat_map(Set::held) {
                let home = self.place(entry.key) - first;
                // Both hold as much as there is.
                let _ = spread[home].add(entry) || spread[beside(home)].add(entry);
            }
            self.sets[first..first + 4].copy_from_slice(&spread);
        }
    }

    /// By the upper bits, so that what is near stays near when the table doubles.
    #[expect(clippy::cast_possible_truncation, reason = "shifted")]
    const fn place(&self, key: u64) -> usize {
        (key >> self.shift) as usize
    }
}

impl<V: Held, const WAYS: usize> Set<V, WAYS> {
    /// Where the value under `key` that is the `same` is held, or may be.
    #[inline]
    fn find(&self, key: u64, same: impl Fn(&V) -> bool) -> Option<usize> {
        let is = |entry: &Entry<V>| entry.key == 0 || entry.key == key && same(&entry.value);
        self.0.iter().position(is)
    }

    fn held(&self) -> impl Iterator<Item = &Entry<V>> {
        self.0.iter().take_while(|entry| entry.key != 0)
    }

    #[inline]
    const fn is_full(&self) -> bool {
        self.0[WAYS - 1].key != 0
    }

    /// Is there room for `entry`? Then it is held.
    fn add(&mut self, entry: &Entry<V>) -> bool {
        let free = self.0.iter_mut().find(|entry| entry.key == 0);
        free.map(|free| *free = *entry).is_some()
    }

    /// The place of a full set to take next, after what it is worth.
    fn least(&self, now: Timestamp) -> (u64, usize) {
        let places = self.0.iter().enumerate();
        places.map(|(way, entry)| (entry.value.worth(now), way)).min().unwrap_or_default()
    }
}

impl<V: Held, const WAYS: usize> Default for Set<V, WAYS> {
    fn default() -> Self {
        Self([Entry::default(); WAYS])
    }
}

/// The set that takes what finds no room in the one at `place`.
const fn beside(place: usize) -> usize {
    place ^ 1
}

/// Zero marks a free place.
const fn filled(key: u64) -> u64 {
    if key == 0 { 1 } else { key }
}

const FIRST_SETS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    struct Word {
        word: u8,
        at: u64,
    }

    type Words = Cache<Word, 8>;

    impl Held for Word {
        fn worth(&self, now: Timestamp) -> u64 {
            if now.as_nanos() >= self.at + 1_000 { 0 } else { self.at + 1 }
        }
    }

    fn say(cache: &mut Words, key: u64, word: u8, at: u64) -> bool {
        let entered = cache.enter(key, Timestamp::from_nanos(at), |held| held.word == word);
        *entered.value = Word { word, at };
        entered.new
    }

    #[test]
    fn what_is_spent_goes_first_and_what_is_of_use_is_counted() {
        let mut cache = Words::new(1);
        for word in 1..=16 {
            assert!(say(&mut cache, 7, word, 100 - u64::from(word)));
        }
        assert!(!say(&mut cache, 7, 16, 1_086), "it is known");
        assert!(say(&mut cache, 9, 1, 1_086), "those of 86 and 85 are spent");
        assert_eq!((cache.len(), cache.evicted()), (16, 0));
        let mut left: Vec<u8> = cache.all(7).map(|held| held.word).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16]);
        assert!(say(&mut cache, 9, 2, 1_050));
        assert_eq!(cache.evicted(), 1);
        assert!(cache.all(7).all(|held| held.word != 15), "the least recent went");
    }

    #[test]
    fn a_key_of_zero_is_a_key() {
        let mut cache = Words::new(1 << 16);
        assert!(say(&mut cache, 0, 1, 0));
        assert!(!say(&mut cache, 0, 1, 0));
        assert_eq!(cache.all(0).count(), 1);
    }

    proptest! {
        #[test]
        fn it_keeps_everything_while_there_is_room_and_stays_in_its_budget(
            keys in proptest::collection::hash_set(any::<u64>(), 1..3_000),
            budget in 1_usize..1 << 19,
        ) {
            let mut cache = Words::new(budget);
            let words = (0..7_u8).cycle();
            for (&key, (word, at)) in keys.iter().zip(words.clone().zip((0..900).cycle())) {
                say(&mut cache, key, word, at);
            }
            let kept = keys
                .iter()
                .zip(words)
                .filter(|&(&key, word)| cache.all(key).any(|held| held.word == word))
                .count();
            prop_assert_eq!(kept, cache.len());
            prop_assert_eq!(kept as u64 + cache.evicted(), keys.len() as u64);
            prop_assert!(cache.bytes() <= budget.max(2 * size_of::<Set<Word, 8>>()));
        }
    }
}
