//! Packet time made monotone: one clock a source, and one for the tables.

use core::time::Duration;

use crate::frame::SourceId;
use crate::time::Timestamp;

/// Orders the timestamps of a worker's sources.
///
/// Time within a source never runs backwards. A stamp that jumps ahead by more than
/// [`Clock::SILENCE`], or back by more than [`Clock::JUMP`], is believed only when the next frame
/// agrees with it: one frame with a wild stamp neither expires everything nor stops time. Less far
/// back, many frames in a row are needed: some may only be late. Less far ahead, one frame is
/// enough: a capture of one host may hold a frame a day.
#[derive(Debug, Default)]
pub struct Clock {
    sources: Vec<Source>,
    elapsed: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Source {
    now: Timestamp,
    /// A stamp that jumped and waits for a second one like it.
    suspect: Option<Timestamp>,
    /// What is added to this source's time to give the tables' time, which is never behind it where
    /// the source begins.
    offset: u64,
    /// Frames in a row behind, of which the first was more than [`Clock::LATE`] so.
    behind: u8,
    /// What it counted before it was set back by less than [`Clock::JUMP`].
    former: Option<Former>,
}

/// Where a source was before its clock was set back.
#[derive(Clone, Copy, Debug)]
struct Former {
    now: Timestamp,
    offset: u64,
    /// Where it began anew.
    begun: Timestamp,
}

/// A frame's time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tick {
    /// For reports: the source's own time.
    pub at: Timestamp,
    /// For tables: monotone over all sources.
    pub now: Timestamp,
    /// The stamp was not believed.
    pub clamped: bool,
    /// The source's time begins anew from here: its clock was set back.
    pub set_back: bool,
}

impl Tick {
    const fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now, clamped: false, set_back: false }
    }
}

impl Clock {
    /// The longest silence that one frame alone may end. Stamps that are wild are so by years.
    pub const SILENCE: Duration = Duration::from_secs(31 * 24 * 3_600);
    /// The furthest back that a stamp may lie without a second one like it being asked for.
    pub const JUMP: Duration = Duration::from_secs(3_600);
    /// The furthest that frames of one source overtake each other.
    pub const LATE: Duration = Duration::from_secs(10);
    /// So many frames in a row further behind than that, and the clock was set back.
    const AGREED: u8 = 32;

    /// A frame of `source` is stamped `stamp`.
    #[inline]
    pub fn tick(&mut self, source: SourceId, stamp: Timestamp) -> Tick {
        let index = usize::from(source.0);
        let Some(state) = self.sources.get_mut(index) else {
            return self.first(index, stamp);
        };
        let ahead = stamp.as_nanos().wrapping_sub(state.now.as_nanos());
        if ahead < LATE_NANOS && state.suspect.is_none() {
            state.now = stamp;
            state.behind = 0;
            let shifted = Timestamp::from_nanos(stamp.as_nanos().wrapping_add(state.offset));
            self.elapsed = self.elapsed.max(shifted);
            return Tick::new(stamp, self.elapsed);
        }
        self.unusual(index, stamp)
    }

    /// The tables' time.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.elapsed
    }

    /// A source's own time: that of its last stamp that was believed.
    #[must_use]
    pub fn reached(&self, source: SourceId) -> Timestamp {
        self.sources.get(usize::from(source.0)).map_or(Timestamp::ZERO, |source| source.now)
    }

    /// The wall clock, or the end of a quiet file, says that time has come this far for every
    /// source.
    pub fn advance(&mut self, to: Timestamp) -> Timestamp {
        for source in &mut self.sources {
            if source.now < to && source.now != Timestamp::ZERO {
                source.now = to;
                let shifted = to.as_nanos().wrapping_add(source.offset);
                self.elapsed = self.elapsed.max(Timestamp::from_nanos(shifted));
            }
        }
        self.elapsed
    }

    #[cold]
    fn first(&mut self, index: usize, stamp: Timestamp) -> Tick {
        self.sources.resize(index + 1, Source::default());
        self.begin(index, stamp);
        Tick::new(stamp, self.elapsed)
    }

    /// From here on `index` counts from `stamp`; tables' time goes on from where it is.
    fn begin(&mut self, index: usize, stamp: Timestamp) {
        let offset = self.elapsed.as_nanos().saturating_sub(stamp.as_nanos());
        self.sources[index] = Source { now: stamp, offset, ..Source::default() };
        self.elapsed = self.elapsed.max(stamp);
    }

    #[cold]
    fn unusual(&mut self, index: usize, stamp: Timestamp) -> Tick {
        let state = &mut self.sources[index];
        if state.now == Timestamp::ZERO {
            self.begin(index, stamp);
            return Tick::new(stamp, self.elapsed);
        }
        let near = |a: Timestamp, b: Timestamp| a.as_nanos().abs_diff(b.as_nanos()) < JUMP_NANOS;
        let goes_on = stamp > state.now && stamp.since(state.now) <= Self::SILENCE;
        if goes_on || near(stamp, state.now) {
            // A little late, or the frame after a wild one.
            state.suspect = None;
            let far = state.now.since(stamp) > Self::LATE;
            let more = far || state.behind > 0 && stamp < state.now;
            state.behind = if more { state.behind + 1 } else { 0 };
            if state.behind >= Self::AGREED {
                let former = Former { now: state.now, offset: state.offset, begun: stamp };
                self.begin(index, stamp);
                self.sources[index].former = Some(former);
                return Tick { set_back: true, ..Tick::new(stamp, self.elapsed) };
            }
            // Two in one source, whose clocks differ: it is where it was, and no time has passed.
            if stamp > state.now
                && let Some(Former { now, offset, begun }) = state.former.take()
                && state.now.since(begun) < Self::JUMP / 60
                && stamp.as_nanos().abs_diff(now.as_nanos()) < LATE_NANOS
            {
                state.offset = offset;
            }
            let clamped = stamp < state.now;
            state.now = state.now.max(stamp);
            let shifted = Timestamp::from_nanos(state.now.as_nanos().wrapping_add(state.offset));
            self.elapsed = self.elapsed.max(shifted);
            return Tick { clamped, ..Tick::new(state.now, self.elapsed) };
        }
        // Two in a row that are further ahead each time are no accident either.
        let agrees =
            |suspect: Timestamp| near(suspect, stamp) || state.now < suspect && suspect <= stamp;
        if state.suspect.is_some_and(agrees) {
            let set_back = stamp < state.now;
            if set_back {
                self.begin(index, stamp);
            } else {
                state.suspect = None;
                state.now = stamp;
                let shifted = Timestamp::from_nanos(stamp.as_nanos().wrapping_add(state.offset));
                self.elapsed = self.elapsed.max(shifted);
            }
            return Tick { set_back, ..Tick::new(stamp, self.elapsed) };
        }
        state.suspect = Some(stamp);
        Tick { clamped: true, ..Tick::new(state.now, self.elapsed) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an hour in nanoseconds fits")]
const JUMP_NANOS: u64 = Clock::JUMP.as_nanos() as u64;
#[expect(clippy::cast_possible_truncation, reason = "seconds in nanoseconds fit")]
const LATE_NANOS: u64 = Clock::LATE.as_nanos() as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    const EPOCH: u64 = 1_700_000_000;
    const DAY: u64 = 24 * 3_600;
    const A: SourceId = SourceId(0);

    #[test]
    fn a_wild_stamp_moves_nothing() {
        let mut clock = Clock::default();
        clock.tick(A, at(EPOCH));
        let wild = clock.tick(A, at(EPOCH * 2));
        assert_eq!(wild, Tick { clamped: true, ..Tick::new(at(EPOCH), at(EPOCH)) });
        let next = clock.tick(A, at(EPOCH + 1));
        assert_eq!(next, Tick::new(at(EPOCH + 1), at(EPOCH + 1)));
    }

    #[test]
    fn a_silence_of_months_is_believed_on_the_second_frame() {
        for between in [1, 40 * DAY] {
            let mut clock = Clock::default();
            clock.tick(A, at(EPOCH));
            assert!(clock.tick(A, at(EPOCH + 90 * DAY)).clamped);
            let second = clock.tick(A, at(EPOCH + 90 * DAY + between));
            assert_eq!((second.at, second.clamped), (at(EPOCH + 90 * DAY + between), false));
        }
    }

    /// As a capture of one host or one port, or of a night in which nothing happened.
    #[test]
    fn frames_that_are_hours_apart_have_their_own_times() {
        let mut clock = Clock::default();
        for n in 0..40 {
            let (question, answer) = (at(EPOCH + n * DAY / 2), at(EPOCH + n * DAY / 2 + 1));
            assert_eq!(clock.tick(A, question), Tick::new(question, question));
            assert_eq!(clock.tick(A, answer), Tick::new(answer, answer));
        }
        assert!(clock.tick(A, at(EPOCH * 2)).clamped, "a wild one among them");
        let next = at(EPOCH + 21 * DAY);
        assert_eq!(clock.tick(A, next), Tick::new(next, next));
    }

    #[test]
    fn time_never_runs_backwards_but_a_wild_first_stamp_is_forgiven() {
        let mut clock = Clock::default();
        clock.tick(A, at(EPOCH + 5));
        let late = clock.tick(A, at(EPOCH + 3));
        assert_eq!(late, Tick { clamped: true, ..Tick::new(at(EPOCH + 5), at(EPOCH + 5)) });

        let mut clock = Clock::default();
        clock.tick(A, at(EPOCH * 2));
        assert!(clock.tick(A, at(EPOCH)).clamped);
        let third = clock.tick(A, at(EPOCH + 1));
        assert_eq!((third.at, third.clamped, third.set_back), (at(EPOCH + 1), false, true));
        assert_eq!(clock.tick(A, at(EPOCH + 11)).now.since(third.now).as_secs(), 10);
    }

    #[test]
    fn a_clock_that_is_set_back_by_minutes_is_believed_in_the_end() {
        let mut clock = Clock::default();
        clock.tick(A, at(EPOCH));
        // Late ones, however many, among others that are not.
        for n in 0..1_000 {
            assert!(!clock.tick(A, at(EPOCH - 60)).set_back);
            if n % 20 == 0 {
                assert_eq!(clock.tick(A, at(EPOCH)), Tick::new(at(EPOCH), at(EPOCH)));
            }
        }
        clock.tick(A, at(EPOCH));
        let ticks: Vec<_> = (0..40).map(|n| clock.tick(A, at(EPOCH - 600 + n))).collect();
        assert_eq!(ticks.iter().filter(|tick| tick.set_back).count(), 1);
        let [.., before, last] = &ticks[..] else { panic!("some") };
        assert_eq!((last.at, last.clamped), (at(EPOCH - 561), false));
        assert_eq!(last.now.since(before.now).as_secs(), 1, "time goes on");
    }

    /// As a file that was put together of others without regard to their order.
    #[test]
    fn two_in_one_source_that_differ_do_not_make_time_race() {
        let mut clock = Clock::default();
        for second in 0..50 {
            for clocks in [0, 20] {
                for _ in 0..40 {
                    clock.tick(A, at(EPOCH + second - clocks));
                }
            }
        }
        let passed = clock.now().since(at(EPOCH)).as_secs();
        assert!((49..=90).contains(&passed), "{passed} s of 50");
    }

    #[test]
    fn a_source_that_lives_in_another_year_shares_the_tables_time() {
        let mut clock = Clock::default();
        clock.tick(A, at(EPOCH));
        let before = clock.now();
        assert_eq!(clock.tick(SourceId(1), at(1_000)).at, at(1_000));
        let later = clock.tick(SourceId(1), at(1_030));
        assert_eq!(later.now.since(before).as_secs(), 30);
    }
}
