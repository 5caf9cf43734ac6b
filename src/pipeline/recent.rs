//! What was seen a moment ago, so that copies and repetitions are told from events.

use core::time::Duration;

use crate::time::Timestamp;

/// A bounded memory of identities: sets of [`Recent::WAYS`], each giving up its oldest.
///
/// It starts small and doubles, up to its budget, when it would have to forget something still
/// within [`Recent::WINDOW`]; past the budget it forgets and counts.
#[derive(Debug)]
pub(super) struct Recent {
    entries: Vec<Entry>,
    max_entries: usize,
    evicted: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    identity: u64,
    at: Timestamp,
}

impl Recent {
    /// How long things are worth remembering.
    pub(super) const WINDOW: Duration = Duration::from_secs(10);
    const WAYS: usize = 4;
    const FIRST_ENTRIES: usize = 1 << 12;

    /// Remembers nothing yet, and never uses more than `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Self {
        let most = (max_bytes / size_of::<Entry>()).max(Self::FIRST_ENTRIES);
        let max_entries = 1 << most.ilog2();
        Self { entries: vec![Entry::default(); Self::FIRST_ENTRIES], max_entries, evicted: 0 }
    }

    /// How long ago this identity was first noted, if that is within `window`; else notes it now.
    pub(super) fn note(
        &mut self,
        identity: u64,
        now: Timestamp,
        window: Duration,
    ) -> Option<Duration> {
        let found = self.set(identity).iter().position(|entry| entry.is(identity));
        if let Some(way) = found {
            let at = &mut self.set_mut(identity)[way].at;
            let age = now.since(*at);
            if age < window {
                return Some(age);
            }
            *at = now;
            return None;
        }
        self.insert(Entry { identity, at: now }, now);
        None
    }

    /// Was this identity noted within `window`?
    pub(super) fn contains(&self, identity: u64, now: Timestamp, window: Duration) -> bool {
        self.set(identity).iter().any(|entry| entry.is(identity) && now.since(entry.at) < window)
    }

    /// Octets in use.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    /// How many identities can be remembered now.
    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// How many were forgotten too early for want of room.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn insert(&mut self, entry: Entry, now: Timestamp) {
        loop {
            let full = self.entries.len() >= self.max_entries;
            let set = self.set_mut(entry.identity);
            let Some(oldest) = set.iter_mut().min_by_key(|entry| entry.at) else { return };
            let young = oldest.at != Timestamp::ZERO && now.since(oldest.at) < Self::WINDOW;
            if !young {
                *oldest = entry;
                return;
            }
            if full {
                *oldest = entry;
                self.evicted += 1;
                return;
            }
            self.double();
        }
    }

    fn double(&mut self) {
        let old = core::mem::take(&mut self.entries);
        self.entries = vec![Entry::default(); old.len() * 2];
        for entry in old.into_iter().filter(|entry| entry.at != Timestamp::ZERO) {
            // A set's entries spread over two sets of the same size, so there is room.
            let set = self.set_mut(entry.identity);
            if let Some(free) = set.iter_mut().find(|entry| entry.at == Timestamp::ZERO) {
                *free = entry;
            }
        }
    }

    fn set(&self, identity: u64) -> &[Entry] {
        let start = self.start(identity);
        &self.entries[start..start + Self::WAYS]
    }

    fn set_mut(&mut self, identity: u64) -> &mut [Entry] {
        let start = self.start(identity);
        &mut self.entries[start..start + Self::WAYS]
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    fn start(&self, identity: u64) -> usize {
        (identity as usize).wrapping_mul(Self::WAYS) & (self.entries.len() - 1)
    }
}

impl Entry {
    fn is(&self, identity: u64) -> bool {
        self.identity == identity && self.at != Timestamp::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000 * (1_000_000 + millis))
    }

    #[test]
    fn an_event_is_new_once_a_window() {
        let mut recent = Recent::new(1 << 20);
        assert_eq!(recent.note(7, at(0), WINDOW), None);
        assert_eq!(recent.note(7, at(800), WINDOW), Some(Duration::from_millis(800)));
        assert!(recent.contains(7, at(4_999), WINDOW));
        assert_eq!(recent.note(7, at(5_000), WINDOW), None);
        assert!(!recent.contains(8, at(0), WINDOW));
    }

    #[test]
    fn it_grows_before_it_forgets_and_stays_in_its_budget() {
        let mut recent = Recent::new(1 << 20);
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 1..=20_000 {
            recent.note(spread(n), at(0), WINDOW);
        }
        let kept = (1..=20_000).filter(|&n| recent.contains(spread(n), at(1), WINDOW)).count();
        assert_eq!(kept as u64 + recent.evicted(), 20_000);
        assert!(kept > 19_900, "{kept}");
        for n in 20_001..=400_000 {
            recent.note(spread(n), at(2), WINDOW);
        }
        assert!(recent.bytes() <= 1 << 20);
        assert!(recent.evicted() > 0);
    }
}
