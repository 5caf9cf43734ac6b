//! A bounded memory of small values by hash: sets of a few, each giving up its own oldest.

use crate::time::Timestamp;

/// Values by the seeded hash of what they are about; several may be about the same.
///
/// A key is 64 bits of a hash whose seed nobody outside knows, so that two things with one key
/// are a matter of chance (one look-up in 2⁶⁰), not of choice. A set holds `WAYS` entries, in one
/// cache line or two where the user chooses so, and all that is asked of it is answered by them:
/// nothing is linked, moved or allocated, but when the table doubles because something still of
/// use would have to go.
///
/// A key whose set is full goes to the set beside it. So the table is more than a quarter full
/// before it doubles; sets alone would overflow, by chance, much sooner.
#[derive(Debug)]
pub(crate) struct Cache<V, const WAYS: usize> {
    sets: Vec<Set<V, WAYS>>,
    max_sets: usize,
    len: usize,
    evicted: u64,
}

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
    /// When it was last of use, seen from `now`: the least recent gives up its place first.
    fn at(&self, now: Timestamp) -> Timestamp;

    /// It says nothing any more.
    fn is_spent(&self, now: Timestamp) -> bool;
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
        let most = (octets / size_of::<Set<V, WAYS>>()).max(2);
        let max_sets = 1 << most.ilog2();
        let sets = vec![Set::default(); FIRST_SETS.min(max_sets)];
        Self { sets, max_sets, len: 0, evicted: 0 }
    }

    /// What [`Self::new`] needs to hold `entries`, were they evenly spread.
    pub(crate) const fn octets_for(entries: usize) -> usize {
        entries.div_ceil(WAYS).next_power_of_two() * size_of::<Set<V, WAYS>>()
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
            let mut place = home;
            if let Some(way) = self.sets[home].find(key, &same) {
                return Entered { value: &mut self.sets[home].0[way].value, new: false };
            }
            let mut least = self.sets[home].least(now);
            if least.0 != Worth::Free {
                if let Some(way) = self.sets[beside(home)].find(key, &same) {
                    return Entered {
                        value: &mut self.sets[beside(home)].0[way].value,
                        new: false,
                    };
                }
                let at_side = self.sets[beside(home)].least(now);
                if at_side < least {
                    (least, place) = (at_side, beside(home));
                }
            }
            let (worth, _, way) = least;
            if worth == Worth::OfUse {
                if self.sets.len() < self.max_sets {
                    self.double();
                    continue;
                }
                self.evicted += 1;
            }
            self.len += usize::from(worth == Worth::Free);
            let entry = &mut self.sets[place].0[way];
            *entry = Entry { key, value: V::default() };
            return Entered { value: &mut entry.value, new: true };
        }
    }

    /// Asks memory for what will be needed under `key`, and does not wait for it.
    pub(crate) fn prepare(&self, key: u64) {
        let set = &self.sets[self.place(filled(key))];
        core::hint::black_box((set.0[0].key, set.0[WAYS - 1].key));
    }

    /// Values held, spent ones included.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Octets in use.
    pub(crate) const fn bytes(&self) -> usize {
        self.sets.capacity() * size_of::<Set<V, WAYS>>()
    }

    /// Values given up for room so far that were still of use.
    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Each set's values spread over two sets of the same size, and those beside where they belong
    /// go home if there is room now.
    fn double(&mut self) {
        let half = self.sets.len();
        self.sets.reserve_exact(half);
        self.sets.resize(2 * half, Set::default());
        let (low, high) = self.sets.split_at_mut(half);
        let entries = |set| Set::entries_mut(set);
        for (low, high) in low.iter_mut().flat_map(entries).zip(high.iter_mut().flat_map(entries)) {
            if index(low.key) & half != 0 {
                *high = core::mem::take(low);
            }
        }
        for place in 0..2 * half {
            for way in 0..WAYS {
                let entry = self.sets[place].0[way];
                let home = self.place(entry.key);
                if entry.key != 0
                    && home != place
                    && let Some(free) = self.sets[home].0.iter_mut().find(|entry| entry.key == 0)
                {
                    *free = entry;
                    self.sets[place].0[way].key = 0;
                }
            }
        }
    }

    fn place(&self, key: u64) -> usize {
        index(key) & (self.sets.len() - 1)
    }
}

/// What a place of a set is worth, least first.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
enum Worth {
    #[default]
    Free,
    Spent,
    OfUse,
}

impl<V: Held, const WAYS: usize> Set<V, WAYS> {
    fn entries_mut(&mut self) -> &mut [Entry<V>] {
        &mut self.0
    }

    /// Where the value under `key` that is the `same` is held.
    #[inline]
    fn find(&self, key: u64, same: impl Fn(&V) -> bool) -> Option<usize> {
        self.0.iter().position(|entry| entry.key == key && same(&entry.value))
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.0.iter().all(|entry| entry.key != 0)
    }

    /// The place to take next: what it is worth, and since when.
    #[inline]
    fn least(&self, now: Timestamp) -> (Worth, Timestamp, usize) {
        if let Some(way) = self.0.iter().position(|entry| entry.key == 0) {
            return (Worth::Free, Timestamp::ZERO, way);
        }
        let worth = |held: &V| if held.is_spent(now) { Worth::Spent } else { Worth::OfUse };
        let places = self.0.iter().map(|entry| &entry.value).enumerate();
        places.map(|(way, held)| (worth(held), held.at(now), way)).min().unwrap_or_default()
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

#[expect(clippy::cast_possible_truncation, reason = "masked")]
const fn index(key: u64) -> usize {
    key as usize
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
        fn at(&self, _now: Timestamp) -> Timestamp {
            Timestamp::from_nanos(self.at)
        }

        fn is_spent(&self, now: Timestamp) -> bool {
            now.as_nanos() >= self.at + 1_000
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
        assert!(say(&mut cache, 9, 1, 1_086), "that of 85 is spent");
        assert_eq!((cache.len(), cache.evicted()), (16, 0));
        let mut left: Vec<u8> = cache.all(7).map(|held| held.word).collect();
        left.sort_unstable();
        assert_eq!(left, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16]);
        assert!(say(&mut cache, 9, 2, 1_050));
        assert_eq!(cache.evicted(), 1);
        assert!(cache.all(7).all(|held| held.word != 14), "the least recent went");
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
