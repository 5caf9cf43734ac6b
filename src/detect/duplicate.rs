//! One event, delivered by several mirrors or rings, is one event.

use core::time::Duration;

use crate::cache::{Cache, Held};
use crate::inspect::Signal;
use crate::time::Timestamp;

/// Which record a first one was.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    Dns,
    Name,
    Connection,
}

/// What a record is to those before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The first of its identity within the window: it counts.
    First,
    /// The same packet again, from another mirror or ring.
    Copy,
    /// A question asked again, or the answer to a question that was counted.
    Repeat,
}

/// The identities that counted lately.
#[derive(Debug)]
pub(super) struct Duplicates {
    counted: Cache<Counted, 5>,
}

/// A record that counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    at: Timestamp,
    signal: Signal,
    kind: Kind,
}

impl Duplicates {
    pub(super) fn new(limit: usize) -> Self {
        Self { counted: Cache::new(Cache::<Counted, 5>::octets_for(limit)) }
    }

    /// Judges a record. The window begins at the record that counted and is not prolonged by its
    /// copies, so that something repeated for ever is counted for ever, once a window.
    pub(super) fn judge(
        &mut self,
        kind: Kind,
        signal: Signal,
        identity: u64,
        at: Timestamp,
    ) -> Verdict {
        let entered = self.counted.enter(identity, at, |counted| counted.kind == kind);
        let Counted { signal: first, at: counted, .. } = *entered.value;
        // What seems to have been met in the future was, before the clock was set back.
        let gap = if counted.since(at) > LONGEST { Duration::MAX } else { at.since(counted) };
        let window = match (kind, signal) {
            (Kind::Dns, Signal::DnsAnswer) if first != signal => ANSWER_WINDOW,
            (Kind::Dns, _) => QUESTION_WINDOW,
            (Kind::Name, _) => COPY_WINDOW,
            (Kind::Connection, _) => CONNECTION_WINDOW,
        };
        if entered.new || gap >= window {
            *entered.value = Counted { at, signal, kind };
            return Verdict::First;
        }
        if first == signal && gap < COPY_WINDOW { Verdict::Copy } else { Verdict::Repeat }
    }

    /// A record will soon be judged: asks memory for what it needs.
    pub(super) fn prepare(&self, identity: u64) {
        self.counted.prepare(identity);
    }

    pub(super) const fn table_use(&self) -> (usize, usize, u64) {
        (self.counted.len(), self.counted.bytes(), self.counted.evicted())
    }
}

impl Held for Counted {
    fn worth(&self, now: Timestamp) -> u64 {
        if now.since(self.at) >= LONGEST { 0 } else { self.at.as_nanos().max(1) }
    }
}

/// Of a place that is free: nothing reads it.
impl Default for Counted {
    fn default() -> Self {
        Self { at: Timestamp::ZERO, signal: Signal::DnsQuery, kind: Kind::Dns }
    }
}

impl Kind {
    /// Of a sighting by `signal`.
    pub(super) const fn of(signal: Signal) -> Self {
        match signal {
            Signal::DnsQuery | Signal::DnsAnswer | Signal::MdnsQuery | Signal::LlmnrQuery => {
                Self::Dns
            }
            _ => Self::Name,
        }
    }
}

/// Copies of one packet by several mirrors arrive within this.
const COPY_WINDOW: Duration = Duration::from_secs(1);

/// The same question from the same port with the same id is the same question for this long.
const QUESTION_WINDOW: Duration = Duration::from_secs(5);

/// An answer belongs to its question, and counts with it, for this long.
const ANSWER_WINDOW: Duration = Duration::from_secs(10);

/// A connection is told from others by its client's initial sequence number, and no other one
/// between its ends begins with the same for minutes (RFC 9293 §3.4.1). Where a mirror
/// lost octets of a copy, that is given up after half a minute, and speaks of the connection only
/// then.
pub const CONNECTION_WINDOW: Duration = Duration::from_secs(45);

/// Nothing older than this matters, but that a connection is remembered for as long as nobody else
/// needs the room.
const LONGEST: Duration = ANSWER_WINDOW;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn judge(seen: &mut Duplicates, signal: Signal, identity: u64, nanos: u64) -> Verdict {
        seen.judge(Kind::of(signal), signal, identity, Timestamp::from_nanos(nanos))
    }

    #[test]
    fn a_hello_seen_twice_within_a_second_is_one() {
        let mut seen = Duplicates::new(8);
        assert_eq!(judge(&mut seen, Signal::TlsSni, 7, SECOND), Verdict::First);
        assert_eq!(judge(&mut seen, Signal::TlsSni, 7, SECOND), Verdict::Copy);
        assert_eq!(judge(&mut seen, Signal::TlsSni, 7, 2 * SECOND - 1), Verdict::Copy);
        assert_eq!(judge(&mut seen, Signal::TlsSni, 7, 2 * SECOND), Verdict::First);
        assert_eq!(judge(&mut seen, Signal::TlsSni, 8, 2 * SECOND), Verdict::First);
    }

    #[test]
    fn a_question_is_one_for_five_seconds_and_its_answer_belongs_to_it() {
        let mut seen = Duplicates::new(8);
        assert_eq!(judge(&mut seen, Signal::DnsQuery, 7, 0), Verdict::First);
        assert_eq!(judge(&mut seen, Signal::DnsQuery, 7, 10), Verdict::Copy);
        assert_eq!(judge(&mut seen, Signal::DnsAnswer, 7, 20), Verdict::Repeat);
        assert_eq!(judge(&mut seen, Signal::DnsQuery, 7, SECOND - 1), Verdict::Copy);
        assert_eq!(judge(&mut seen, Signal::DnsQuery, 7, SECOND), Verdict::Repeat);
        assert_eq!(judge(&mut seen, Signal::DnsQuery, 7, 5 * SECOND - 1), Verdict::Repeat);
        assert_eq!(judge(&mut seen, Signal::DnsAnswer, 7, 10 * SECOND - 1), Verdict::Repeat);
        assert_eq!(judge(&mut seen, Signal::DnsQuery, 7, 5 * SECOND), Verdict::First);
        assert_eq!(judge(&mut seen, Signal::DnsAnswer, 8, 10 * SECOND), Verdict::First);
        assert_eq!(judge(&mut seen, Signal::DnsAnswer, 8, 15 * SECOND - 1), Verdict::Repeat);
        assert_eq!(judge(&mut seen, Signal::DnsAnswer, 8, 15 * SECOND), Verdict::First);
    }

    #[test]
    fn copies_do_not_prolong_the_window() {
        let mut seen = Duplicates::new(8);
        let firsts = (0..100)
            .filter(|tenth| {
                judge(&mut seen, Signal::QuicSni, 1, tenth * SECOND / 10) == Verdict::First
            })
            .count();
        assert_eq!(firsts, 10, "one a second");
    }

    #[test]
    fn identities_of_other_kinds_are_others() {
        let mut seen = Duplicates::new(8);
        assert_eq!(judge(&mut seen, Signal::DnsQuery, 7, 0), Verdict::First);
        assert_eq!(judge(&mut seen, Signal::TlsSni, 7, 0), Verdict::First);
        assert_eq!(
            seen.judge(Kind::Connection, Signal::TlsSni, 7, Timestamp::ZERO),
            Verdict::First
        );
    }
}
