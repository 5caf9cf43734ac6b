//! A bounded memory of small values by hash: sets of a few, each giving up its own oldest.

use crate::time::Timestamp;

/// Values by the seeded hash of what they are about; several may be about the same.
///
/// A key is 64 bits of a hash whose seed nobody outside knows, so that two things with one key
/// are a matter of chance (one look-up in 2⁶⁰), not of choice. Looking something up touches one
/// cache line, or two when it is there; nothing is linked, moved or allocated, but when the table
/// doubles because something still of use would have to go.
///
/// A key whose set is full goes to the set beside it. So the table is more than half full before
/// it doubles; sets alone would overflow, by chance, at a quarter.
#[derive(Debug)]
pub(super) struct Cache<V> {
    sets: Vec<Set<V>>,
    max_sets: usize,
    len: usize,
    evicted: u64,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set<V> {
    /// Zero: nothing is held there.
    keys: [u64; WAYS],
    held: [V; WAYS],
}

/// How long a value is worth its place.
pub(super) trait Held: Copy + Default {
    /// When it was last of use: the least recent gives up its place first.
    fn at(&self) -> Timestamp;

    /// It says nothing any more.
    fn is_spent(&self, now: Timestamp) -> bool;
}

/// What [`Cache::enter`] found or made.
#[derive(Debug)]
pub(super) struct Entered<'a, V> {
    pub value: &'a mut V,
    /// There was none; the value is the default.
    pub new: bool,
}

impl<V: Held> Cache<V> {
    /// An empty table that never uses more than `octets`, if that is room for two sets.
    pub(super) fn new(octets: usize) -> Self {
        let most = (octets / size_of::<Set<V>>()).max(2);
        let max_sets = 1 << most.ilog2();
        let sets = vec![Set::default(); FIRST_SETS.min(max_sets)];
        Self { sets, max_sets, len: 0, evicted: 0 }
    }

    /// What [`Self::new`] needs to hold `entries`, and no more, were they evenly spread.
    pub(super) const fn octets_for(entries: usize) -> usize {
        entries / WAYS * size_of::<Set<V>>()
    }

    /// All that is held under `key`.
    pub(super) fn all(&self, key: u64) -> impl Iterator<Item = &V> {
        let key = filled(key);
        let home = self.place(key);
        let set = &self.sets[home];
        let beside = set.is_full().then(|| &self.sets[Self::beside(home)]);
        let held = |set: &'_ Set<V>| set.ways(key);
        held(set)
            .map(move |way| &set.held[way])
            .chain(beside.into_iter().flat_map(move |set| set.ways(key).map(|way| &set.held[way])))
    }

    /// The value under `key` that is the `same`, made when there is none. Where there is no room,
    /// what is spent goes, else what was least recently of use, and that is counted.
    pub(super) fn enter(
        &mut self,
        key: u64,
        now: Timestamp,
        same: impl Fn(&V) -> bool,
    ) -> Entered<'_, V> {
        let key = filled(key);
        loop {
            let home = self.place(key);
            let mut place = home;
            let found = self.sets[home].ways(key).find(|&way| same(&self.sets[home].held[way]));
            if let Some(way) = found {
                return Entered { value: &mut self.sets[home].held[way], new: false };
            }
            if self.sets[home].is_full() {
                place = Self::beside(home);
                let set = &self.sets[place];
                let found = set.ways(key).find(|&way| same(&set.held[way]));
                if let Some(way) = found {
                    return Entered { value: &mut self.sets[place].held[way], new: false };
                }
            }
            let mut least = self.sets[place].least(now);
            if least.0 != Worth::Free {
                let at_home = self.sets[home].least(now);
                if at_home < least {
                    (least, place) = (at_home, home);
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
            let set = &mut self.sets[place];
            set.keys[way] = key;
            set.held[way] = V::default();
            return Entered { value: &mut set.held[way], new: true };
        }
    }

    /// Asks memory for what will be needed under `key`, and does not wait for it.
    pub(super) fn prepare(&self, key: u64) {
        core::hint::black_box(self.sets[self.place(filled(key))].keys[0]);
    }

    /// Values held, spent ones included.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Octets in use.
    pub(super) const fn bytes(&self) -> usize {
        self.sets.capacity() * size_of::<Set<V>>()
    }

    /// Values given up for room so far that were still of use.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Each set's values spread over two sets of the same size, and those beside where they belong
    /// go home if there is room now.
    fn double(&mut self) {
        let half = self.sets.len();
        self.sets.reserve_exact(half);
        self.sets.resize(2 * half, Set::default());
        let (low, high) = self.sets.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            for way in 0..WAYS {
                if index(low.keys[way]) & half != 0 {
                    high.keys[way] = core::mem::take(&mut low.keys[way]);
                    high.held[way] = low.held[way];
                }
            }
        }
        for place in 0..2 * half {
            for way in 0..WAYS {
                let key = self.sets[place].keys[way];
                let home = self.place(key);
                if key != 0
                    && home != place
                    && let Some(free) = self.sets[home].ways(0).next()
                {
                    self.sets[home].keys[free] = key;
                    self.sets[home].held[free] = self.sets[place].held[way];
                    self.sets[place].keys[way] = 0;
                }
            }
        }
    }

    fn place(&self, key: u64) -> usize {
        index(key) & (self.sets.len() - 1)
    }

    /// The set that takes what finds no room in the one at `place`.
    const fn beside(place: usize) -> usize {
        place ^ 1
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

impl<V: Held> Set<V> {
    /// Where `key` is held.
    #[inline]
    fn ways(&self, key: u64) -> Ways {
        let bit = |(way, held): (usize, &u64)| u8::from(*held == key) << way;
        Ways(self.keys.iter().enumerate().map(bit).fold(0, |all, bit| all | bit))
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.ways(0).0 == 0
    }

    /// The place to take next: what it is worth, and since when.
    fn least(&self, now: Timestamp) -> (Worth, Timestamp, usize) {
        if let Some(way) = self.ways(0).next() {
            return (Worth::Free, Timestamp::ZERO, way);
        }
        let worth = |held: &V| if held.is_spent(now) { Worth::Spent } else { Worth::OfUse };
        let places = self.held.iter().enumerate();
        places.map(|(way, held)| (worth(held), held.at(), way)).min().unwrap_or_default()
    }
}

/// Places of a set, a bit each.
struct Ways(u8);

impl Iterator for Ways {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let way = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (way < WAYS).then_some(way)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked")]
const fn index(key: u64) -> usize {
    key as usize
}

/// Zero marks a free place.
const fn filled(key: u64) -> u64 {
    if key == 0 { 1 } else { key }
}

/// Their keys fill a cache line.
const WAYS: usize = 8;

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

    impl Held for Word {
        fn at(&self) -> Timestamp {
            Timestamp::from_nanos(self.at)
        }

        fn is_spent(&self, now: Timestamp) -> bool {
            now.as_nanos() >= self.at + 1_000
        }
    }

    fn say(cache: &mut Cache<Word>, key: u64, word: u8, at: u64) -> bool {
        let entered = cache.enter(key, Timestamp::from_nanos(at), |held| held.word == word);
        *entered.value = Word { word, at };
        entered.new
    }

    #[test]
    fn what_is_spent_goes_first_and_what_is_of_use_is_counted() {
        let mut cache = Cache::new(1);
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
        let mut cache = Cache::new(1 << 16);
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
            let mut cache = Cache::new(budget);
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
            prop_assert!(cache.bytes() <= budget.max(2 * size_of::<Set<Word>>()));
        }
    }
}
