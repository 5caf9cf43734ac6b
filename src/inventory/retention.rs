//! When the retention is applied.

use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// The wall clock, held against one that nobody sets.
///
/// What the retention removes does not come back. A clock that is a year ahead at boot, before
/// somebody sets it right, would empty the inventory; so it is believed when it went on for
/// [`Retention::TRIAL`] and was not set.
#[derive(Debug)]
pub(super) struct Retention {
    begun: Instant,
    wall: SystemTime,
}

impl Retention {
    /// How long the wall clock is watched before it is believed, and how often the retention is
    /// applied. Whatever sets clocks does so minutes after there is a network.
    pub(super) const TRIAL: Duration = Duration::from_secs(3_600);
    /// A clock that is slewed gains or loses some seconds an hour (adjtimex(2): 500 ppm). More, and
    /// it was set.
    const SLEW: Duration = Duration::from_secs(10);

    pub(super) const fn new(now: Instant, wall: SystemTime) -> Self {
        Self { begun: now, wall }
    }

    /// The time that findings are old by, once for each trial that the wall clock stood.
    pub(super) fn due(&mut self, now: Instant, wall: SystemTime) -> Option<Timestamp> {
        let passed = now.duration_since(self.begun);
        if passed < Self::TRIAL {
            return None;
        }
        let shown = wall.duration_since(self.wall).unwrap_or_default();
        *self = Self::new(now, wall);
        let since = wall.duration_since(UNIX_EPOCH).ok()?;
        (shown.abs_diff(passed) <= Self::SLEW).then(|| Timestamp::ZERO.plus(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

    #[test]
    fn a_clock_is_believed_that_nobody_set_for_an_hour() {
        let (begun, today) = (Instant::now(), UNIX_EPOCH + 56 * YEAR);
        let after = |minutes: u64| Duration::from_secs(minutes * 60);
        let mut retention = Retention::new(begun, today + YEAR);
        // A year ahead at boot, and set right after two minutes.
        assert_eq!(retention.due(begun, today + YEAR), None, "at the start");
        for minutes in [1, 2, 59, 60, 119] {
            let wall = if minutes < 2 { today + YEAR } else { today };
            assert_eq!(retention.due(begun + after(minutes), wall + after(minutes)), None);
        }
        let believed =
            |wall: SystemTime| Some(Timestamp::ZERO.plus(wall.duration_since(UNIX_EPOCH).unwrap()));
        let slewed = today + after(120) + Duration::from_secs(2);
        assert_eq!(retention.due(begun + after(120), slewed), believed(slewed));
        assert_eq!(retention.due(begun + after(121), today + after(121)), None, "once");
        // A jump ahead and one back, each in its hour.
        assert_eq!(retention.due(begun + after(180), today + YEAR + after(180)), None);
        assert_eq!(retention.due(begun + after(240), today + after(240)), None);
        let wall = today + after(300);
        assert_eq!(retention.due(begun + after(300), wall), believed(wall));
    }
}
