//! What was seen a moment ago, so that copies and repetitions are told from events.

use core::time::Duration;

use crate::cache::{Cache, Held};
use crate::time::Timestamp;

/// A bounded memory of identities.
///
/// It starts small and doubles, up to its budget, when it would have to forget something still
/// within [`Recent::WINDOW`]; past the budget it forgets and counts.
#[derive(Debug)]
pub(super) struct Recent {
    met: Cache<Met, 4>,
}

/// With its key sixteen octets; four of them make a cache line.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
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

    /// Remembers nothing yet, and never uses more than `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { met: Cache::new(max_bytes) }
    }

    /// How long ago this identity was first noted, if that is within `window`; else notes it now.
    pub(super) fn note(
        &mut self,
        identity: u64,
        now: Timestamp,
        window: Duration,
    ) -> Option<Duration> {
        let (noted, now) = self.noted(identity, now);
        let age = noted.within(window, now);
        if age.is_none() {
            *noted = now;
        }
        age
    }

    /// As [`note`](Self::note), and the window begins anew: for what is said again after pauses
    /// that double.
    pub(super) fn renew(
        &mut self,
        identity: u64,
        now: Timestamp,
        window: Duration,
    ) -> Option<Duration> {
        let (noted, now) = self.noted(identity, now);
        core::mem::replace(noted, now).within(window, now)
    }

    /// When this identity was noted, to be set, and what time it is.
    fn noted(&mut self, identity: u64, now: Timestamp) -> (&mut Moment, Moment) {
        let met = self.met.enter(identity, now, |_| true).value;
        (&mut met.noted, Moment::of(now))
    }

    /// An answer came to what is noted under this identity. One look for both: whether the
    /// question was seen within [`Recent::WINDOW`], and the answer within `window`.
    pub(super) fn answer(&mut self, identity: u64, now: Timestamp, window: Duration) -> Answered {
        let met = self.met.enter(identity, now, |_| true).value;
        let now = Moment::of(now);
        let asked = met.noted.within(Self::WINDOW, now).is_some();
        let before = met.answered.within(window, now);
        if before.is_none() {
            met.answered = now;
        }
        Answered { asked, before }
    }

    /// Something with the upper half of this identity will soon be asked for.
    pub(super) fn prepare(&self, identity: u64) {
        self.met.prepare(identity);
    }

    /// Was this identity noted within `window`?
    pub(super) fn contains(&self, identity: u64, now: Timestamp, window: Duration) -> bool {
        let now = Moment::of(now);
        self.met.all(identity).any(|met| met.noted.within(window, now).is_some())
    }

    /// Identities remembered, the octets they take, and those forgotten too early for want of room.
    pub(super) const fn usage(&self) -> (usize, usize, u64) {
        (self.met.len(), self.met.bytes(), self.met.evicted())
    }
}

impl Held for Met {
    fn worth(&self, now: Timestamp) -> u64 {
        let now = Moment::of(now);
        let of = |moment: Moment| {
            let spent = moment == Moment::NEVER;
            if spent { 0 } else { Moment::WINDOW.saturating_sub(moment.age(now)) }
        };
        of(self.noted).max(of(self.answered))
    }
}

impl Moment {
    const NEVER: Self = Self(0);
    /// Nanoseconds in a unit, as a power of two.
    const UNIT: u32 = 20;
    /// [`Recent::WINDOW`] in units, rounded up.
    const WINDOW: u64 = (Recent::WINDOW.as_secs() * 1_000_000_000).div_ceil(1 << Self::UNIT);

    #[expect(clippy::cast_possible_truncation, reason = "it wraps")]
    fn of(time: Timestamp) -> Self {
        Self(((time.as_nanos() >> Self::UNIT) as u32).max(1))
    }

    /// In units.
    fn age(self, now: Self) -> u64 {
        now.0.wrapping_sub(self.0).into()
    }

    /// The age, when it is less than `window`.
    fn within(self, window: Duration, now: Self) -> Option<Duration> {
        if self == Self::NEVER {
            return None;
        }
        let age = Duration::from_nanos(self.age(now) << Self::UNIT);
        (age < window).then_some(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowHasher;

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
    fn what_is_renewed_is_new_after_a_window_of_silence() {
        let mut recent = Recent::new(1 << 20);
        let new = |millis| recent.renew(7, at(millis), WINDOW).is_none();
        let said = [0, 1_000, 3_000, 7_000, 11_000, 16_100];
        assert_eq!(said.map(new), [true, false, false, false, false, true]);
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
        let hasher = FlowHasher::new(7);
        let spread = |n| hasher.word(0, n);
        for n in 1..=20_000 {
            recent.note(spread(n), at(0), WINDOW);
        }
        let kept = (1..=20_000).filter(|&n| recent.contains(spread(n), at(1), WINDOW)).count();
        assert_eq!(kept as u64 + recent.usage().2, 20_000);
        assert!(kept > 19_900, "{kept}");
        for n in 20_001..=400_000 {
            recent.note(spread(n), at(2), WINDOW);
        }
        assert!(recent.usage().1 <= 1 << 20);
        assert!(recent.usage().2 > 0);
    }
}
