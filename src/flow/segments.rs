//! The in-order octets of one direction of a TCP connection, for as long as somebody wants them.
//!
//! Segments may come in any order, twice, overlapping, or not at all. Where two disagree about an
//! octet, the one that came first wins. A segment that comes in order when nothing waits is
//! handed on in place, without a copy.

use core::mem::size_of;
use core::ops::Range;

/// One direction. Sequence numbers (RFC 9293 §3.4) are compared modulo 2^32.
#[derive(Debug, Default)]
pub struct Segments {
    /// The sequence number of the first octet not yet in order, once a beginning is known.
    next: Option<u32>,
    /// Octets in order that the inspector has not consumed; they end at `next`.
    ready: Vec<u8>,
    /// Segments beyond `next`, by sequence, neither touching `next` nor each other's octets.
    early: Vec<Early>,
    early_bytes: usize,
}

#[derive(Debug)]
struct Early {
    sequence: u32,
    octets: Box<[u8]>,
}

/// Memory of streams that ended, for those that follow: a hello of two segments, as most are, asks
/// for none.
#[derive(Debug, Default)]
pub struct Spare {
    free: Vec<Vec<u8>>,
}

/// What a segment brought.
#[derive(Debug, Eq, PartialEq)]
pub enum Brought {
    /// Octets in order: this part of the segment itself. Nothing was kept of it.
    InPlace(Range<usize>),
    /// Octets in order, in [`Segments::ready`].
    Ready,
    /// It lies beyond a hole and was kept.
    Early,
    /// Nothing that was not here before.
    Old,
    /// It ends further ahead than anything is kept. Nothing was.
    Far,
    /// There is no room for it.
    Refused,
}

impl Segments {
    /// How far beyond the next octet a segment may lie.
    pub const WINDOW: u32 = 256 * 1024;
    /// Octets kept beyond a hole.
    pub const MAX_EARLY_BYTES: usize = 128 * 1024;
    /// Pieces kept beyond a hole. A hello of 64 KiB in segments of 536 octets has 123.
    pub const MAX_EARLY: usize = 256;

    /// The stream's next octet has this sequence number. Only the first word counts.
    pub fn anchor(&mut self, sequence: u32) {
        self.next.get_or_insert(sequence);
    }

    /// Is a beginning known?
    #[must_use]
    pub const fn is_anchored(&self) -> bool {
        self.next.is_some()
    }

    /// The sequence number of the first octet not yet in order.
    #[must_use]
    pub const fn next(&self) -> Option<u32> {
        self.next
    }

    /// Would a segment that ends there bring something behind all that came, and not far from it?
    #[must_use]
    pub fn goes_on(&self, end: u32) -> bool {
        let last = self.early.last();
        let known = last.map(|last| last.sequence.wrapping_add(length(&last.octets))).or(self.next);
        known.is_some_and(|known| end.wrapping_sub(known).wrapping_sub(1) < Self::WINDOW)
    }

    /// Takes a segment's octets. An unknown beginning is where the first segment begins.
    pub fn push(&mut self, sequence: u32, octets: &[u8]) -> Brought {
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next);
        if ahead == 0 && self.early.is_empty() && self.ready.is_empty() {
            self.next = Some(sequence.wrapping_add(length(octets)));
            return Brought::InPlace(0..octets.len());
        }
        if ahead > BEHIND {
            let behind = next.wrapping_sub(sequence) as usize;
            return match octets.get(behind..) {
                None | Some([]) => Brought::Old,
                Some(fresh) if self.early.is_empty() && self.ready.is_empty() => {
                    self.next = Some(next.wrapping_add(length(fresh)));
                    Brought::InPlace(behind..octets.len())
                }
                Some(fresh) => self.append(next, fresh),
            };
        }
        if ahead == 0 {
            return if octets.is_empty() { Brought::Old } else { self.append(next, octets) };
        }
        self.keep(next, ahead, octets)
    }

    /// Octets in order that nobody consumed yet.
    #[must_use]
    pub fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// Lends [`Self::ready`] out, to be given back with [`Self::put_back`] before anything else.
    pub fn take_ready(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.ready)
    }

    /// See [`Self::take_ready`].
    pub fn put_back(&mut self, ready: Vec<u8>) {
        self.ready = ready;
    }

    /// Keeps octets that were handed on in place and not consumed, in spare memory if nothing is
    /// held yet.
    pub fn hold(&mut self, spare: &mut Spare, octets: &[u8]) {
        if self.ready.capacity() == 0 && !octets.is_empty() {
            self.ready = spare.free.pop().unwrap_or_default();
        }
        self.ready.extend_from_slice(octets);
    }

    /// Lets go of the first `n` octets of [`Self::ready`].
    pub fn consume(&mut self, n: usize) {
        if n >= self.ready.len() {
            self.ready = Vec::new();
        } else if n > 0 {
            self.ready.drain(..n);
        }
    }

    /// Does something wait beyond a hole?
    #[must_use]
    pub fn has_hole(&self) -> bool {
        !self.early.is_empty()
    }

    /// Gives the hole up: the first segment that waits behind it becomes the beginning. The octets
    /// in front of it that were not consumed are dropped. False when nothing waits.
    pub fn skip_hole(&mut self) -> bool {
        if self.early.is_empty() {
            return false;
        }
        let first = self.early.remove(0);
        self.early_bytes -= first.octets.len();
        self.next = Some(first.sequence.wrapping_add(length(&first.octets)));
        self.ready = first.octets.into_vec();
        true
    }

    /// Puts to [`Self::ready`] what follows it without a hole. Was there anything?
    pub fn join(&mut self) -> bool {
        let follows = self.early.first().is_some_and(|first| Some(first.sequence) == self.next);
        if let Some(next) = self.next.filter(|_| follows) {
            self.append(next, &[]);
        }
        follows
    }

    /// Forgets everything but the position.
    pub fn clear(&mut self) {
        self.ready = Vec::new();
        self.early = Vec::new();
        self.early_bytes = 0;
    }

    /// As [`Self::clear`], and leaves the memory to other streams.
    pub fn release(&mut self, spare: &mut Spare) {
        spare.add(core::mem::take(&mut self.ready));
        self.clear();
    }

    /// Octets on the heap.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.ready.capacity() + self.early_bytes + self.early.capacity() * size_of::<Early>()
    }

    /// Octets that begin at `next`, while others wait.
    fn append(&mut self, next: u32, octets: &[u8]) -> Brought {
        let mut octets = octets;
        let mut next = next;
        // An early piece came first, so its octets win over these.
        while let Some(piece) = self.early.first() {
            let free = piece.sequence.wrapping_sub(next) as usize;
            let Some((before, rest)) = octets.split_at_checked(free) else { break };
            let piece = self.early.remove(0);
            self.early_bytes -= piece.octets.len();
            self.ready.extend_from_slice(before);
            self.ready.extend_from_slice(&piece.octets);
            next = piece.sequence.wrapping_add(length(&piece.octets));
            octets = rest.get(piece.octets.len()..).unwrap_or_default();
        }
        self.ready.extend_from_slice(octets);
        self.next = Some(next.wrapping_add(length(octets)));
        Brought::Ready
    }

    /// Keeps the octets of a segment beyond `next` that no other piece holds.
    fn keep(&mut self, next: u32, ahead: u32, octets: &[u8]) -> Brought {
        let mut from = u64::from(ahead);
        let end = from + octets.len() as u64;
        if end > u64::from(Self::WINDOW) {
            return Brought::Far;
        }
        let mut kept = false;
        let mut at = 0;
        while from < end {
            // The octets up to the next piece are new; those within it are not.
            let piece = self.early.get(at).map(|piece| {
                let start = u64::from(piece.sequence.wrapping_sub(next));
                (start, start + piece.octets.len() as u64)
            });
            let (start, stop) = piece.unwrap_or((u64::MAX, u64::MAX));
            if stop <= from {
                at += 1;
                continue;
            }
            let free_until = start.min(end);
            if from < free_until {
                let fresh = slice(octets, from - u64::from(ahead), free_until - u64::from(ahead));
                let room = self.early_bytes + fresh.len() <= Self::MAX_EARLY_BYTES
                    && self.early.len() < Self::MAX_EARLY;
                if !room {
                    return Brought::Refused;
                }
                self.early_bytes += fresh.len();
                let offset = u32::try_from(from).unwrap_or(Self::WINDOW);
                let sequence = next.wrapping_add(offset);
                self.early.insert(at, Early { sequence, octets: fresh.into() });
                kept = true;
                at += 1;
            }
            from = stop;
            at += 1;
        }
        if kept { Brought::Early } else { Brought::Old }
    }
}

impl Spare {
    /// How many pieces of memory are kept.
    pub const MAX: usize = 16;
    /// Longer ones are not.
    pub const MAX_LEN: usize = 8 * 1024;

    /// The most octets of memory.
    pub const MAX_BYTES: usize = Self::MAX * Self::MAX_LEN;

    /// Octets of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.free.iter().map(Vec::capacity).sum()
    }

    fn add(&mut self, mut memory: Vec<u8>) {
        if (1..=Self::MAX_LEN).contains(&memory.capacity()) && self.free.len() < Self::MAX {
            memory.clear();
            self.free.push(memory);
        }
    }
}

fn slice(octets: &[u8], from: u64, to: u64) -> &[u8] {
    let index = |n| usize::try_from(n).unwrap_or(usize::MAX);
    octets.get(index(from)..index(to)).unwrap_or_default()
}

/// A difference of sequence numbers above this is a segment from the past.
const BEHIND: u32 = 1 << 31;

/// The octets a segment takes of sequence space. A segment is smaller than 64 KiB.
#[expect(clippy::cast_possible_truncation, reason = "an IP packet's length has sixteen bits")]
const fn length(octets: &[u8]) -> u32 {
    octets.len() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pushes one segment and appends to `stream` what came into order.
    fn feed(segments: &mut Segments, stream: &mut Vec<u8>, sequence: u32, octets: &[u8]) {
        match segments.push(sequence, octets) {
            Brought::InPlace(range) => stream.extend_from_slice(&octets[range]),
            Brought::Ready => {
                stream.extend_from_slice(segments.ready());
                segments.consume(usize::MAX);
            }
            Brought::Early | Brought::Old | Brought::Far | Brought::Refused => {}
        }
    }

    proptest! {
        /// However a stream is cut, ordered, repeated and overlapped, it comes out once, whole,
        /// and nothing stays behind.
        #[test]
        fn any_order_gives_the_stream(
            start: u32,
            stream in proptest::collection::vec(any::<u8>(), 1..300),
            cuts in proptest::collection::vec((0usize..300, 1usize..80), 0..40),
            seed: u64,
        ) {
            let mut pieces: Vec<(usize, usize)> = (0..stream.len())
                .step_by(17)
                .map(|from| (from, (from + 17).min(stream.len())))
                .chain(cuts.into_iter().map(|(from, len)| {
                    let from = from % stream.len();
                    (from, (from + len).min(stream.len()))
                }))
                .collect();
            let mut state = seed | 1;
            for i in (1..pieces.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                pieces.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
            }
            let mut segments = Segments::default();
            segments.anchor(start);
            let mut out = Vec::new();
            for (from, to) in pieces {
                let sequence = start.wrapping_add(u32::try_from(from).unwrap());
                feed(&mut segments, &mut out, sequence, &stream[from..to]);
            }
            prop_assert_eq!(out, stream);
            prop_assert!(!segments.has_hole());
            prop_assert_eq!(segments.early_bytes, 0);
        }

        /// Whatever is pushed, memory stays within the limits.
        #[test]
        fn memory_is_bounded(pushes in proptest::collection::vec((any::<u32>(), 0usize..3_000), 0..400)) {
            let octets = vec![7; 3_000];
            let mut segments = Segments::default();
            segments.anchor(0);
            for (sequence, len) in pushes {
                segments.push(sequence % (2 * Segments::WINDOW), &octets[..len]);
                prop_assert!(segments.early_bytes <= Segments::MAX_EARLY_BYTES);
                prop_assert!(segments.early.len() <= Segments::MAX_EARLY);
                prop_assert_eq!(
                    segments.early_bytes,
                    segments.early.iter().map(|piece| piece.octets.len()).sum::<usize>()
                );
                segments.consume(usize::MAX);
            }
        }
    }

    #[test]
    fn spare_memory_is_used_again_and_bounded() {
        let mut spare = Spare::default();
        for len in [100, Spare::MAX_LEN + 1, 0] {
            let mut segments = Segments::default();
            segments.hold(&mut spare, &vec![7; len]);
            segments.release(&mut spare);
            assert_eq!((segments.heap(), spare.free.len()), (0, usize::from(len == 100)));
        }
        let mut segments = Segments::default();
        segments.hold(&mut spare, &[1; 60]);
        segments.hold(&mut spare, &[2; 30]);
        assert_eq!((segments.ready(), spare.bytes()), (&[[1; 60], [2; 60]].concat()[..90], 0));
        for _ in 0..2 * Spare::MAX {
            segments.hold(&mut Spare::default(), &[3; 40]);
            segments.release(&mut spare);
        }
        assert_eq!(spare.free.len(), Spare::MAX);
        assert!(spare.bytes() <= Spare::MAX_BYTES);
    }

    #[test]
    fn the_octets_that_came_first_win() {
        let mut segments = Segments::default();
        let mut out = Vec::new();
        segments.anchor(100);
        feed(&mut segments, &mut out, 102, b"cd");
        feed(&mut segments, &mut out, 101, b"XYZW");
        feed(&mut segments, &mut out, 100, b"a????f");
        assert_eq!(out, b"aXcdWf");
    }

    #[test]
    fn a_hole_given_up_lets_the_rest_begin() {
        let mut segments = Segments::default();
        let mut out = Vec::new();
        segments.anchor(0);
        feed(&mut segments, &mut out, 10, b"later");
        assert!(out.is_empty() && segments.has_hole());
        assert!(segments.skip_hole());
        assert_eq!(segments.ready(), b"later");
        assert_eq!(segments.next(), Some(15));
        assert!(!segments.skip_hole());
    }
}
