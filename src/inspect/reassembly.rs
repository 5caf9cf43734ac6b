//! A message that arrives in pieces, each with its place: CRYPTO frames, DTLS fragments.
//!
//! Pieces may come in any order, twice, and overlapping. Completeness is a matter of which octets
//! are there, not of how many arrived: counting lengths takes a duplicate for the missing piece.

use core::ops::Range;

/// The octets of one message as far as they have arrived.
///
/// Invariant: `have` is sorted, its ranges neither touch nor overlap, and the last one ends where
/// `octets` ends. Where pieces overlap the first one to arrive is kept.
#[derive(Clone, Debug, Default)]
pub struct Reassembly {
    octets: Vec<u8>,
    have: Vec<Range<usize>>,
}

/// Why a piece was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// It ends beyond [`Reassembly::LIMIT`].
    TooLong,
    /// It would leave more than [`Reassembly::MAX_HOLES`] holes.
    TooManyHoles,
}

impl Reassembly {
    /// The longest message. Hellos with post-quantum key shares are below 2 KiB; an endpoint need
    /// not take more than 4,096 octets out of order (RFC 9000 §7.5).
    pub const LIMIT: usize = 16 * 1024;
    /// How many holes a message may have at a time. Chrome sends its hello in some twenty pieces.
    pub const MAX_HOLES: usize = 64;

    /// Takes the piece that begins at `offset`. Did it bring anything new?
    pub fn insert(&mut self, offset: u64, piece: &[u8]) -> Result<bool, Refused> {
        let end = offset.saturating_add(piece.len() as u64);
        let (Ok(start), Ok(end)) = (usize::try_from(offset), usize::try_from(end)) else {
            return Err(Refused::TooLong);
        };
        if end > Self::LIMIT {
            return Err(Refused::TooLong);
        }
        if piece.is_empty() {
            return Ok(false);
        }
        let len = self.octets.len();
        if start >= len {
            // Behind all that is here, as most pieces are: nothing to compare with.
            let ranges = self.have.len();
            match self.have.last_mut() {
                Some(last) if start == len => last.end = end,
                _ if ranges > Self::MAX_HOLES => return Err(Refused::TooManyHoles),
                _ => self.have.push(start..end),
            }
            self.octets.reserve(end - len);
            self.octets.resize(start, 0);
            self.octets.extend_from_slice(piece);
            return Ok(true);
        }
        // The ranges that `piece` touches or overlaps become one.
        let first = self.have.partition_point(|range| range.end < start);
        let last = self.have.partition_point(|range| range.start <= end);
        if first == last && self.have.len() > Self::MAX_HOLES {
            return Err(Refused::TooManyHoles);
        }
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
        let mut at = start;
        let mut new = false;
        for known in &self.have[first..last] {
            if at < known.start {
                let hole = at..known.start.min(end);
                self.octets[hole.clone()]
                    .copy_from_slice(&piece[hole.start - start..hole.end - start]);
                new = true;
            }
            at = at.max(known.end);
        }
        if at < end {
            self.octets[at..end].copy_from_slice(&piece[at - start..]);
            new = true;
        }
        if first == last {
            self.have.insert(first, start..end);
        } else {
            let merged = start.min(self.have[first].start)..end.max(self.have[last - 1].end);
            self.have[first] = merged;
            self.have.drain(first + 1..last);
        }
        Ok(new)
    }

    /// The octets from the beginning up to the first hole.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        match self.have.first() {
            Some(range) if range.start == 0 => &self.octets[..range.end],
            _ => &[],
        }
    }

    /// Has something arrived that lies behind octets which have not?
    #[must_use]
    pub fn has_hole(&self) -> bool {
        self.prefix().len() < self.octets.len()
    }

    /// Has nothing arrived?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.have.is_empty()
    }

    /// What it holds in memory, in octets.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.octets.capacity() + self.have.capacity() * size_of::<Range<usize>>()
    }

    /// Forgets everything, and keeps its memory for the next message.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.have.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_duplicate_is_not_the_missing_piece() {
        let mut message = Reassembly::default();
        assert_eq!(message.insert(0, b"abc"), Ok(true));
        assert_eq!(message.insert(6, b"ghi"), Ok(true));
        assert_eq!(message.insert(6, b"ghi"), Ok(false));
        assert_eq!(message.prefix(), b"abc");
        assert!(message.has_hole());
        assert_eq!(message.insert(2, b"Xdef"), Ok(true));
        assert_eq!(message.prefix(), b"abcdefghi");
        assert!(!message.has_hole());
    }

    #[test]
    fn limits_hold() {
        let mut message = Reassembly::default();
        let limit = Reassembly::LIMIT as u64;
        assert_eq!(message.insert(limit, b"x"), Err(Refused::TooLong));
        assert_eq!(message.insert(u64::MAX, b"x"), Err(Refused::TooLong));
        for hole in 0..=Reassembly::MAX_HOLES as u64 {
            assert_eq!(message.insert(2 * hole + 1, b"x"), Ok(true));
        }
        assert_eq!(message.insert(1_000, b"x"), Err(Refused::TooManyHoles));
        assert_eq!(message.insert(0, b"x"), Ok(true), "what closes a hole is welcome");
    }

    proptest! {
        /// Whatever pieces arrive in whatever order, what is there is there, and nothing else.
        #[test]
        fn the_prefix_is_what_a_byte_map_says(
            pieces in prop::collection::vec((0_usize..300, 0_usize..60), 0..60),
        ) {
            let whole: Vec<u8> = (0..400).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let mut message = Reassembly::default();
            let mut map = vec![false; whole.len()];
            for (start, len) in pieces {
                let new = map[start..start + len].iter().any(|there| !there);
                let taken = message.insert(start as u64, &whole[start..start + len]);
                if taken != Err(Refused::TooManyHoles) {
                    prop_assert_eq!(taken, Ok(new));
                    map[start..start + len].fill(true);
                }
                let prefix = map.iter().position(|there| !there).unwrap();
                prop_assert_eq!(message.prefix(), &whole[..prefix]);
                prop_assert_eq!(message.has_hole(), map[prefix..].iter().any(|there| *there));
            }
        }
    }
}
