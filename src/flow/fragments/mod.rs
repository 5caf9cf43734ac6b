//! Whole datagrams from the fragments of IPv4 (RFC 791 §3.2), IPv6 (RFC 8200 §4.5) and CAPWAP
//! (RFC 5415 §3.4).
//!
//! In: fragments, in any order, twice, overlapping, cut. Out: [`Datagram`]s to be decoded like any
//! packet's contents; and of those that never become whole, the beginning, so that a name in it
//! is not lost with the rest. Bounded by a budget of octets: when it is full, the datagram that
//! began first is given up.
//!
//! Frames are conserved. Each pushed fragment is settled at once, as [`Taken`] says, or waits
//! (see [`Fragments::waiting`]) until its datagram is whole or [`GivenUp`].

mod pieces;

use core::time::Duration;

use self::pieces::{Added, MAX_DATAGRAM, Overlap, Pieces};
use crate::decode::{Carrier, Datagram, Fragment, Seen};
use crate::flow::{FlowHasher, Removed, Table};
use crate::net::{Addr, IpProtocol, TenantId};
use crate::time::Timestamp;

/// What became of a fragment.
#[derive(Debug)]
#[must_use]
pub enum Taken<'a> {
    /// It waits for the others.
    Waits,
    /// It was the last one missing: the datagram, and how many frames waited for it.
    Whole { datagram: Datagram<'a>, waited: u64 },
    /// Its datagram was whole just before: a mirror delivered it twice.
    Copy,
    /// Its datagram was given up, and so many frames that waited for it, because fragments
    /// contradict each other or are too many.
    Refused { waited: u64 },
    /// It cannot be a part of any datagram.
    Malformed,
}

/// A datagram that never became whole.
#[derive(Debug)]
pub struct GivenUp<'a> {
    /// How many frames waited for it.
    pub waited: u64,
    /// Its beginning as far as it is here, if it is.
    pub head: Option<Datagram<'a>>,
}

/// Datagrams that are not whole.
///
/// Before a fragment is pushed, [`Fragments::overdue`] and [`Fragments::overfull`] are asked
/// until they have nothing more. Datagrams are put together in a buffer that the caller lends.
#[derive(Debug)]
pub struct Fragments {
    hasher: FlowHasher,
    table: Table<Pending, Key>,
    waiting: u64,
}

/// What the fragments of one datagram have in common (RFC 791 §3.2, RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Key {
    tenant: TenantId,
    source: Addr,
    destination: Addr,
    carrier: Carrier,
    id: u32,
    /// IPv4 only: of IPv6 the first fragment alone says it.
    protocol: IpProtocol,
}

#[derive(Debug)]
struct Pending {
    seen: Seen,
    /// As the first fragment said, or until it comes, any.
    protocol: IpProtocol,
    pieces: Pieces,
    /// Frames that wait.
    frames: u64,
    state: State,
}

/// What further fragments are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Wanted,
    /// Copies, while they come within [`Fragments::COPIES`] of this.
    Whole(Timestamp),
    /// Refused, to the end of the time (RFC 5722 §4).
    Refused,
}

impl Fragments {
    /// How long a datagram may take. RFC 8200 §4.5 lets a host wait for 60 s and Linux waits for
    /// 30 s with IPv4, but fragments that a mirror delivers are milliseconds apart, while a busy
    /// sender uses an IPv4 identification again within seconds (RFC 4963).
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// How long after its datagram was whole a fragment is a copy, not a new datagram with the
    /// same identification.
    pub const COPIES: Duration = Duration::from_secs(1);

    /// An empty table that may use `budget` octets.
    #[must_use]
    pub fn new(budget: usize, hasher: FlowHasher) -> Self {
        // Octets are charged after they were put in.
        let table = budget.saturating_sub(2 * MAX_DATAGRAM as usize);
        Self { hasher, table: Table::new(table), waiting: 0 }
    }

    /// Takes a fragment. `frames`: how many wait with it; none, where its frame is counted as
    /// something else. `now` is the tables' time: that of its source may be another.
    pub fn push<'s>(
        &mut self,
        fragment: &Fragment<'_>,
        frames: u64,
        now: Timestamp,
        scratch: &'s mut Vec<u8>,
    ) -> Taken<'s> {
        if !is_possible(fragment) {
            return Taken::Malformed;
        }
        let key = Key::of(fragment);
        let hash = key.hash(&self.hasher);
        let mut found = self.table.find(hash, &key);
        if let Some(slot) = found
            && self.table.get_mut(slot).is_some_and(|pending| pending.is_long_whole(now))
        {
            self.table.remove(slot);
            found = None;
        }
        let slot =
            found.unwrap_or_else(|| self.table.insert(hash, key, now, Pending::new(fragment)));
        let Some(pending) = self.table.get_mut(slot) else { return Taken::Refused { waited: 0 } };
        match pending.state {
            State::Wanted => {}
            State::Whole(_) => return Taken::Copy,
            State::Refused => return Taken::Refused { waited: 0 },
        }
        let before = pending.pieces.heap();
        match pending.add(fragment) {
            Added::Kept | Added::Known => {}
            Added::Conflict | Added::TooMany => {
                // What was here before the contradiction is as doubtful as what came after it.
                let waited = pending.close(State::Refused);
                self.table.charge(before, 0);
                self.waiting -= waited;
                return Taken::Refused { waited };
            }
        }
        let Some(total) = pending.pieces.complete() else {
            let after = pending.pieces.heap();
            pending.frames += frames;
            self.waiting += frames;
            self.table.charge(before, after);
            return Taken::Waits;
        };
        pending.pieces.read(scratch);
        let protocol = pending.protocol;
        let waited = pending.close(State::Whole(now));
        self.table.charge(before, 0);
        self.waiting -= waited;
        let datagram = Datagram {
            seen: fragment.seen,
            source: key.source,
            destination: key.destination,
            carrier: key.carrier,
            protocol,
            payload: scratch,
            payload_wire_len: total,
        };
        Taken::Whole { datagram, waited }
    }

    /// The next datagram that took too long by `now`.
    pub fn overdue<'s>(&mut self, now: Timestamp, scratch: &'s mut Vec<u8>) -> Option<GivenUp<'s>> {
        let removed = self.table.expired(now.minus(Self::TIMEOUT))?;
        Some(self.settle(&removed, scratch))
    }

    /// The next datagram that makes room for a fragment.
    pub fn overfull<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Option<GivenUp<'s>> {
        let removed = self.table.overfull()?;
        Some(self.settle(&removed, scratch))
    }

    /// The next datagram, when the input has ended.
    pub fn unfinished<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Option<GivenUp<'s>> {
        let removed = self.table.pop_oldest()?;
        Some(self.settle(&removed, scratch))
    }

    /// Frames whose datagrams are neither whole nor given up.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Datagrams here, whole ones included while copies of them may come; octets in use; and how
    /// many were given up for room.
    #[must_use]
    pub const fn usage(&self) -> (usize, usize, u64) {
        (self.table.len(), self.table.bytes(), self.table.evicted())
    }

    /// Accounts for what was taken out of the table.
    fn settle<'s>(
        &mut self,
        removed: &Removed<Pending, Key>,
        scratch: &'s mut Vec<u8>,
    ) -> GivenUp<'s> {
        let Removed { key, value: pending, .. } = removed;
        self.table.charge(pending.pieces.heap(), 0);
        self.waiting -= pending.frames;
        let waited = pending.frames;
        if !pending.pieces.has_head() {
            return GivenUp { waited, head: None };
        }
        pending.pieces.read(scratch);
        let present = u32::try_from(scratch.len()).unwrap_or(MAX_DATAGRAM);
        let head = Datagram {
            seen: pending.seen,
            source: key.source,
            destination: key.destination,
            carrier: key.carrier,
            protocol: pending.protocol,
            payload: scratch,
            // At least one octet more is missing, or it would be whole.
            payload_wire_len: pending.pieces.end().max(present + 1),
        };
        GivenUp { waited, head: Some(head) }
    }

    /// Equal for the fragments of one datagram, and for those of another one between the same ends
    /// the other way.
    pub fn identity(hasher: &FlowHasher, fragment: &Fragment<'_>) -> u64 {
        Key::of(fragment).hash(hasher)
    }
}

impl Key {
    fn hash(&self, hasher: &FlowHasher) -> u64 {
        let pair = hasher.pair(self.source, self.destination);
        let low = u64::from(self.id) | u64::from(self.protocol.0) << 32;
        hasher.word(pair, low | u64::from(self.tenant.0) << 40)
    }

    fn of(fragment: &Fragment<'_>) -> Self {
        let v4 = fragment.source.is_v4();
        Self {
            tenant: fragment.seen.tenant,
            source: fragment.source,
            destination: fragment.destination,
            carrier: fragment.carrier,
            id: fragment.id,
            protocol: if v4 { fragment.protocol } else { IpProtocol::default() },
        }
    }
}

impl Pending {
    fn new(fragment: &Fragment<'_>) -> Self {
        Self {
            seen: fragment.seen,
            protocol: fragment.protocol,
            pieces: Pieces::default(),
            frames: 0,
            state: State::Wanted,
        }
    }

    /// Is it so long since it was whole that its identification may be another datagram's?
    fn is_long_whole(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Whole(at) if now.since(at) > Fragments::COPIES)
    }

    /// Lets the octets go; gives the number of frames that waited.
    fn close(&mut self, state: State) -> u64 {
        self.pieces = Pieces::default();
        self.state = state;
        core::mem::take(&mut self.frames)
    }

    fn add(&mut self, fragment: &Fragment<'_>) -> Added {
        if fragment.offset == 0 {
            self.protocol = fragment.protocol;
            self.seen = fragment.seen;
        }
        let overlap = if fragment.source.is_v4() { Overlap::FirstWins } else { Overlap::Discard };
        let (len, octets) = (fragment.payload_wire_len, fragment.payload);
        self.pieces.add(overlap, fragment.offset, len, octets, fragment.more)
    }
}

/// Can this be a part of a datagram at all? All but the last are of a multiple of eight octets,
/// and none reaches beyond the longest datagram.
fn is_possible(fragment: &Fragment<'_>) -> bool {
    let len = fragment.payload_wire_len;
    let room = MAX_DATAGRAM.saturating_sub(fragment.offset);
    (1..=room).contains(&len)
        && fragment.payload.len() <= len as usize
        && (!fragment.more || len.is_multiple_of(8))
}

#[cfg(test)]
mod tests;
