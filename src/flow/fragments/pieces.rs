//! The octets of one datagram, as its fragments bring them.

use core::mem::size_of;

/// The longest datagram: what the 13 bits of the offset and 16 of the length can say.
pub(super) const MAX_DATAGRAM: u32 = 65_535;

/// How many pieces one datagram may be kept in. The longest datagram over links of 576 octets,
/// the least that IPv4 asks for, comes in 119.
pub(super) const MAX_PIECES: usize = 256;

/// Which of two fragments that tell different things about an octet is believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Overlap {
    /// The first. IPv4 leaves it open and hosts differ; an observer that keeps what came first
    /// is not led astray by what is sent after it, and loses nothing when a path or a mirror
    /// repeats fragments cut in another way.
    FirstWins,
    /// None: the datagram is discarded, as every IPv6 host must (RFC 5722, RFC 8200 §4.5).
    Discard,
}

/// What a fragment brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Added {
    /// It, or what is new of it, was kept.
    Kept,
    /// Everything in it was here.
    Known,
    /// It overlaps another where that is not allowed.
    Conflict,
    /// The datagram is in more pieces than are kept.
    TooMany,
}

/// Invariant: pieces are in order, do not overlap, and none is empty on the wire; `covered` is
/// the sum of their lengths there, and none ends after `total`.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    kept: Vec<Piece>,
    covered: u32,
    /// Where the datagram ends, once its last fragment is here.
    total: Option<u32>,
    heap: usize,
}

#[derive(Debug)]
struct Piece {
    start: u32,
    /// Where it ends on the wire; fewer octets may have been captured.
    end: u32,
    octets: Box<[u8]>,
}

impl Pieces {
    /// Adds a fragment of `len` octets on the wire, as many of which as were captured are in
    /// `octets`. `more`: it is not the last one.
    pub(super) fn add(
        &mut self,
        overlap: Overlap,
        offset: u32,
        len: u32,
        octets: &[u8],
        more: bool,
    ) -> Added {
        let mut end = offset + len;
        match self.total {
            // Another end, or octets beyond it.
            Some(total) if end > total || (!more && end != total) => {
                if overlap == Overlap::Discard {
                    return Added::Conflict;
                }
                // The first end stays; up to there the octets are what they are.
                end = end.min(total);
            }
            None if !more => {
                if self.kept.last().is_some_and(|last| last.end > end) {
                    if overlap == Overlap::Discard {
                        return Added::Conflict;
                    }
                    // What came first goes on behind this end: it is no end.
                } else {
                    self.total = Some(end);
                }
            }
            Some(_) | None => {}
        }
        if overlap == Overlap::Discard {
            let mut touching =
                self.kept.iter().filter(|piece| piece.start < end && offset < piece.end);
            match touching.next() {
                Some(piece) if piece.start == offset && piece.end == end => return Added::Known,
                Some(_) => return Added::Conflict,
                None => {}
            }
        }
        self.fill(offset, end, octets)
    }

    /// Keeps what of `offset..end` is not here yet.
    fn fill(&mut self, offset: u32, end: u32, octets: &[u8]) -> Added {
        let mut at = offset;
        let mut next = self.kept.partition_point(|piece| piece.end <= offset);
        let mut added = Added::Known;
        while at < end {
            let (gap_end, resume) = match self.kept.get(next) {
                Some(piece) if piece.start < end => (piece.start, piece.end),
                _ => (end, end),
            };
            if at < gap_end {
                if self.kept.len() == MAX_PIECES {
                    return Added::TooMany;
                }
                let within = |position: u32| ((position - offset) as usize).min(octets.len());
                let octets = Box::from(&octets[within(at)..within(gap_end)]);
                self.covered += gap_end - at;
                self.heap += cost(&octets);
                self.kept.insert(next, Piece { start: at, end: gap_end, octets });
                added = Added::Kept;
                next += 1;
            }
            at = at.max(resume);
            next += 1;
        }
        added
    }

    /// Where the datagram ends, when every piece of it is here.
    pub(super) fn complete(&self) -> Option<u32> {
        self.total.filter(|total| *total == self.covered)
    }

    /// Where the datagram ends as far as is known.
    pub(super) fn end(&self) -> u32 {
        self.total.or(self.kept.last().map(|last| last.end)).unwrap_or_default()
    }

    /// Puts the octets from the first one on into `into`, up to the first that is not here.
    pub(super) fn read(&self, into: &mut Vec<u8>) {
        into.clear();
        for piece in &self.kept {
            if piece.start as usize != into.len() {
                break;
            }
            into.extend_from_slice(&piece.octets);
        }
    }

    /// Is the first octet here?
    pub(super) fn has_head(&self) -> bool {
        self.kept.first().is_some_and(|first| first.start == 0 && !first.octets.is_empty())
    }

    /// Octets kept on the heap.
    pub(super) const fn heap(&self) -> usize {
        self.heap
    }
}

/// What keeping a piece costs, with what its allocation needs.
fn cost(octets: &[u8]) -> usize {
    size_of::<Piece>() + octets.len() + 16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// First wins, octet by octet, however fragments overlap.
        #[test]
        fn every_octet_is_the_first_that_came(
            parts in prop::collection::vec((0_u32..40, 1_u32..20, any::<u8>(), 0_u32..4), 0..30),
        ) {
            let mut pieces = Pieces::default();
            let mut model = [None; 64];
            for (offset, len, value, cut) in parts {
                let octets = vec![value; (len - cut.min(len)) as usize];
                pieces.add(Overlap::FirstWins, offset, len, &octets, true);
                for at in offset..offset + len {
                    let known = (at - offset < len - cut.min(len)).then_some(value);
                    model[at as usize].get_or_insert(known);
                }
            }
            let expected: Vec<u8> =
                model.iter().map_while(|octet| octet.flatten()).collect();
            let mut read = Vec::new();
            pieces.read(&mut read);
            prop_assert_eq!(read, expected);
            prop_assert_eq!(pieces.covered as usize, model.iter().flatten().count());
            let heap: usize = pieces.kept.iter().map(|piece| cost(&piece.octets)).sum();
            prop_assert_eq!(pieces.heap(), heap);
        }
    }

    #[test]
    fn ends_that_disagree() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.add(Overlap::FirstWins, 8, 8, &[1; 8], false), Added::Kept);
        assert_eq!(pieces.add(Overlap::FirstWins, 16, 8, &[2; 8], false), Added::Known);
        assert_eq!(pieces.add(Overlap::FirstWins, 0, 24, &[3; 24], true), Added::Kept);
        assert_eq!(pieces.complete(), Some(16));
        let mut read = Vec::new();
        pieces.read(&mut read);
        assert_eq!(read, [[3; 8], [1; 8]].concat());

        let mut pieces = Pieces::default();
        assert_eq!(pieces.add(Overlap::Discard, 8, 8, &[1; 8], false), Added::Kept);
        assert_eq!(pieces.add(Overlap::Discard, 8, 8, &[9; 8], false), Added::Known);
        assert_eq!(pieces.add(Overlap::Discard, 16, 8, &[2; 8], true), Added::Conflict);
        assert_eq!(pieces.add(Overlap::Discard, 4, 8, &[2; 8], true), Added::Conflict);
    }

    #[test]
    fn an_end_within_the_datagram_brings_no_more_than_its_octets() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.add(Overlap::FirstWins, 16, 8, &[1; 8], false), Added::Kept);
        assert_eq!(pieces.add(Overlap::FirstWins, 0, 8, &[2; 8], false), Added::Kept);
        assert_eq!(pieces.complete(), None);
        assert_eq!(pieces.add(Overlap::FirstWins, 8, 8, &[3; 8], true), Added::Kept);
        assert_eq!(pieces.complete(), Some(24));
        let mut read = Vec::new();
        pieces.read(&mut read);
        assert_eq!(read, [[2; 8], [3; 8], [1; 8]].concat());
    }

    #[test]
    fn a_datagram_in_too_many_pieces_is_refused() {
        let mut pieces = Pieces::default();
        for n in 0..u32::try_from(MAX_PIECES).unwrap() {
            assert_eq!(pieces.add(Overlap::FirstWins, n * 16, 8, &[0; 8], true), Added::Kept);
        }
        assert_eq!(pieces.add(Overlap::FirstWins, 8, 8, &[0; 8], true), Added::TooMany);
    }
}
