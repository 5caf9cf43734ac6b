//! A file in a mapping, stretch by stretch, where that costs less than to copy it.
//!
//! Copying touches every octet of a file, of which a walk over its frames needs two cache lines
//! each. A mapping costs the kernel an entry for each page: next to nothing where it keeps the file
//! in pages of 2 MiB, and up to as much as the copy where they are of 4 KiB. So it is measured: what
//! the first blocks cost to copy, and what each stretch costs to map.

use core::time::Duration;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};

use super::BLOCK;
use crate::capture::sys::{Leased, Mapping};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Whole {
    state: State,
    copied: Cost,
    /// Since it was last judged.
    mapped: Cost,
}

#[derive(Debug, Default)]
enum State {
    /// The input is no file, or not as it lies there, or may change: it is read in order.
    #[default]
    Elsewhere,
    /// It will be mapped when it is known what copying costs.
    Copied(File),
    Leased(Arc<Leased>),
}

/// Processor time for so many octets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Cost {
    octets: u64,
    spent: Duration,
}

impl Whole {
    /// A file that is read from its beginning through another descriptor of the same open file.
    pub(super) fn new(file: File) -> Self {
        match file.metadata() {
            Ok(meta) if meta.is_file() => Self { state: State::Copied(file), ..Self::default() },
            _ => Self::default(),
        }
    }

    /// What reading `octets` costs is of interest; `read` does it.
    pub(super) fn timed<T>(&mut self, read: impl FnOnce() -> T, octets: impl Fn(&T) -> u64) -> T {
        let State::Copied(_) = self.state else { return read() };
        let begun = spent();
        let outcome = read();
        let octets = octets(&outcome);
        // The memory of the first block is new, which costs as much again.
        if self.copied == Cost::default() {
            self.copied.octets = 1;
        } else {
            self.copied.add(octets, spent().saturating_sub(begun));
        }
        outcome
    }

    /// The stretch from about `next` on, with a record of `want` octets in it, and where it begins.
    ///
    /// `None`: the file is read in order from `known` on, now or for good.
    pub(super) fn stretch(&mut self, next: u64, known: u64, want: usize) -> Option<(u64, Mapping)> {
        if let State::Copied(file) = &self.state {
            if self.copied.octets < COPIED {
                return None;
            }
            let lease = file.try_clone().and_then(Leased::take);
            self.state = lease.map_or(State::Elsewhere, |lease| State::Leased(Arc::new(lease)));
        }
        let State::Leased(lease) = &self.state else { return None };
        let begun = spent();
        let dear = self.mapped.is_dear(self.copied);
        if self.mapped.octets >= Cost::JUDGED {
            self.mapped = Cost::default();
        }
        let stays = dear || lease.is_wanted();
        let window = if stays { None } else { Window::at(lease.size(), next, want) };
        let window = window.filter(|window| window.end() > known);
        let mapping = window.and_then(|window| {
            Some((window.from, Mapping::new(lease, window.from, window.length).ok()?))
        });
        if let Some((_, mapping)) = &mapping {
            self.mapped.add(mapping.len() as u64, spent().saturating_sub(begun));
        } else {
            // Somebody wants to write, or the end is reached, or copying is cheaper: what is left is
            // read in order. The lease goes with the last stretch that is still looked at. A regular
            // file lets itself be positioned anywhere.
            let _ = lease.file().seek(SeekFrom::Start(known));
            self.state = State::Elsewhere;
        }
        mapping
    }
}

/// What is copied before anything is mapped, so that its cost is known.
const COPIED: u64 = 7 * BLOCK as u64;

impl Cost {
    /// A file begins with smaller pages, and a moment of a busy machine is not its rule.
    const JUDGED: u64 = 64 << 20;

    fn add(&mut self, octets: u64, spent: Duration) {
        self.octets += octets;
        self.spent += spent;
    }

    /// Does mapping cost more than three quarters of what copying does? Unmapping, and memory that
    /// is not in a cache, cost as well.
    fn is_dear(self, copied: Self) -> bool {
        let nanos = |cost: Self, octets: u64| cost.spent.as_nanos() * u128::from(octets);
        self.octets >= Self::JUDGED
            && 4 * nanos(self, copied.octets) > 3 * nanos(copied, self.octets)
    }
}

/// Processor time of this thread.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Where a stretch lies.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: u64,
    length: usize,
}

impl Window {
    /// A page of this size is mapped whole where a stretch has all of it.
    const LARGE: u64 = 2 << 20;
    /// The smallest pages differ between processors; all of them divide this.
    const PAGE: u64 = 64 << 10;
    /// Large enough that making and unmaking it is not felt: of 4 MiB, 5 ns for a frame of 900
    /// octets, of 2 MiB five times as much.
    const LENGTH: u64 = 4 << 20;

    /// From `next` on, with room for a record of `want` octets; none behind the end.
    fn at(size: u64, next: u64, want: usize) -> Option<Self> {
        let from = next / Self::PAGE * Self::PAGE;
        let least = next.checked_add(want as u64)?;
        let usual = (from + Self::PAGE + Self::LENGTH) / Self::LARGE * Self::LARGE;
        let end = usual.max(least).min(size);
        let length = usize::try_from(end.checked_sub(from)?).ok()?;
        (length > 0).then_some(Self { from, length })
    }

    const fn end(&self) -> u64 {
        self.from + self.length as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_is_given_up_when_it_costs_nearly_as_much_as_a_copy_and_not_at_once() {
        let cost = |octets, micros| Cost { octets, spent: Duration::from_micros(micros) };
        let copied = cost(1 << 20, 1_000);
        assert!(!cost(64 << 20, 48_000).is_dear(copied));
        assert!(cost(64 << 20, 48_001).is_dear(copied));
        assert!(!cost((64 << 20) - 1, 1_000_000).is_dear(copied));
        assert!(!Cost::default().is_dear(copied));
    }

    #[test]
    fn a_stretch_ends_where_a_large_page_does_or_the_file_or_the_record() {
        let at = |next, want| Window::at(20 << 20, next, want).map(|w| (w.from, w.end()));
        assert_eq!(at(1 << 20, 16), Some((1 << 20, 4 << 20)));
        assert_eq!(at((4 << 20) - 1, 16), Some(((4 << 20) - (64 << 10), 8 << 20)));
        assert_eq!(at(5, 9 << 20), Some((0, (9 << 20) + 5)));
        assert_eq!(at((20 << 20) - 5, 16), Some(((20 << 20) - (64 << 10), 20 << 20)));
        assert_eq!(at(21 << 20, 16), None);
    }
}
