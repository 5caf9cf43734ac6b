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

/// Sixteen octets; eight of them make two cache lines that are fetched together.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    identity: u64,
    /// When it was noted, and when it was answered.
    noted: Moment,
    answered: Moment,
}

/// A time in units of about a millisecond, the same for every worker; zero is never. It wraps
/// after seven weeks, long after what it dates is forgotten.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Moment(u32);

/// What is known of an answer's question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answered {
    /// The question was noted.
    pub(super) asked: bool,
    /// The same answer came so long ago.
    pub(super) before: Option<Duration>,
}

impl Recent {
    /// How long things are worth remembering.
    pub(super) const WINDOW: Duration = Duration::from_secs(10);
    const WAYS: usize = 8;
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
        let now = Moment::of(now);
        let entry = self.entry(identity, now);
        let age = entry.noted.within(window, now);
        if age.is_none() {
            entry.noted = now;
        }
        age
    }

    /// An answer came to what is noted under this identity. One look for both: whether the
    /// question was seen within [`Recent::WINDOW`], and the answer within `window`.
    pub(super) fn answer(&mut self, identity: u64, now: Timestamp, window: Duration) -> Answered {
        let now = Moment::of(now);
        let entry = self.entry(identity, now);
        let asked = entry.noted.within(Self::WINDOW, now).is_some();
        let before = entry.answered.within(window, now);
        if before.is_none() {
            entry.answered = now;
        }
        Answered { asked, before }
    }

    /// Was this identity noted within `window`?
    pub(super) fn contains(&self, identity: u64, now: Timestamp, window: Duration) -> bool {
        let start = self.start(identity);
        self.entries[start..start + Self::WAYS].iter().any(|entry| {
            entry.is(identity) && entry.noted.within(window, Moment::of(now)).is_some()
        })
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

    /// The entry of this identity, made if it is not there.
    fn entry(&mut self, identity: u64, now: Moment) -> &mut Entry {
        loop {
            let start = self.start(identity);
            let set = &self.entries[start..start + Self::WAYS];
            let mut found = None;
            let mut oldest = (0, 0);
            for (way, entry) in set.iter().enumerate() {
                if entry.is(identity) {
                    found = Some(way);
                    break;
                }
                let idle = entry.idle(now);
                if idle > oldest.1 {
                    oldest = (way, idle);
                }
            }
            if let Some(way) = found {
                return &mut self.entries[start + way];
            }
            let (way, idle) = oldest;
            let young = idle < Moment::span(Self::WINDOW);
            if young && self.entries.len() < self.max_entries {
                self.double(now);
                continue;
            }
            self.evicted += u64::from(young);
            let entry = &mut self.entries[start + way];
            *entry = Entry { identity, ..Entry::default() };
            return entry;
        }
    }

    fn double(&mut self, now: Moment) {
        let old = core::mem::take(&mut self.entries);
        self.entries = vec![Entry::default(); old.len() * 2];
        let window = Moment::span(Self::WINDOW);
        for entry in old.into_iter().filter(|entry| entry.idle(now) < window) {
            // A set's entries spread over two sets of the same size, so there is room.
            let start = self.start(entry.identity);
            let set = &mut self.entries[start..start + Self::WAYS];
            if let Some(free) = set.iter_mut().find(|entry| entry.is_free()) {
                *free = entry;
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    fn start(&self, identity: u64) -> usize {
        (identity as usize).wrapping_mul(Self::WAYS) & (self.entries.len() - 1)
    }
}

impl Entry {
    fn is(&self, identity: u64) -> bool {
        self.identity == identity && !self.is_free()
    }

    fn is_free(&self) -> bool {
        self.noted == Moment::NEVER && self.answered == Moment::NEVER
    }

    /// Units since it was last of use; for ever when it is free.
    fn idle(&self, now: Moment) -> u32 {
        self.noted.units(now).min(self.answered.units(now))
    }
}

impl Moment {
    const NEVER: Self = Self(0);
    /// Nanoseconds in a unit, as a power of two.
    const UNIT: u32 = 20;

    #[expect(clippy::cast_possible_truncation, reason = "it wraps")]
    fn of(time: Timestamp) -> Self {
        Self(((time.as_nanos() >> Self::UNIT) as u32).max(1))
    }

    /// How many units a duration is.
    #[expect(clippy::cast_possible_truncation, reason = "windows are seconds")]
    const fn span(window: Duration) -> u32 {
        (window.as_nanos() >> Self::UNIT) as u32
    }

    /// Units since; for ever when it never was.
    const fn units(self, now: Self) -> u32 {
        if self.0 == Self::NEVER.0 { u32::MAX } else { now.0.wrapping_sub(self.0) }
    }

    /// The age, when it is less than `window`.
    fn within(self, window: Duration, now: Self) -> Option<Duration> {
        if self == Self::NEVER {
            return None;
        }
        let age = Duration::from_nanos(u64::from(self.units(now)) << Self::UNIT);
        (age < window).then_some(age)
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
        let age = recent.note(7, at(800), WINDOW).unwrap();
        assert!(age.abs_diff(Duration::from_millis(800)) < Duration::from_millis(2));
        assert!(recent.contains(7, at(4_990), WINDOW));
        assert_eq!(recent.note(7, at(5_010), WINDOW), None);
        assert!(!recent.contains(8, at(0), WINDOW));
    }

    #[test]
    fn an_answer_knows_its_question_and_itself() {
        let mut recent = Recent::new(1 << 20);
        assert_eq!(recent.answer(7, at(0), WINDOW), Answered { asked: false, before: None });
        assert_eq!(recent.note(7, at(10), WINDOW), None, "a question after its answer is new");
        let again = recent.answer(7, at(20), WINDOW);
        assert!(again.asked && again.before.is_some());
        recent.note(8, at(0), WINDOW);
        assert_eq!(recent.answer(8, at(30), WINDOW), Answered { asked: true, before: None });
        assert_eq!(recent.answer(8, at(11_000), WINDOW), Answered { asked: false, before: None });
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
