//! Connections whose first flight is dealt with: what follows of them is known and left alone.
//!
//! A fixed set-associative table of small entries. A full set forgets its oldest entry; the worst
//! that follows is that a later Initial of that connection is looked into in vain.

use super::{Begun, ends, flow_tag, short};
use crate::flow::FlowHasher;
use crate::inspect::quic::Version;
use crate::prefetch::prefetch;
use crate::time::Timestamp;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Settled {
    sets: Box<[Set]>,
    /// Places that are taken.
    entries: usize,
    evicted: u64,
}

/// What entries are found by, and how old they are, is in one cache line; the entries themselves
/// are in the two behind it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set {
    /// Zero is no entry.
    tags: [u64; Settled::WAYS],
    /// When each was put in, in milliseconds.
    at: [u32; Settled::WAYS],
    entries: [Entry; Settled::WAYS],
}

/// One connection, found by the hash of its flow, and again by that of its DCID.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// Hashes of the client's first DCID, of another one it used later, and of the SCID that the
    /// server answered with. Zero: none.
    pub(super) dcid: u32,
    pub(super) alias: u32,
    pub(super) server: u32,
    /// The mark of its hello; zero when that told nothing.
    pub(super) hello: u32,
    pub(super) version: Version,
    /// Of the last two packets looked into, for copies to be known.
    pub(super) samples: [u32; 2],
    /// Hash of its client's address and its server's socket.
    pub(super) ends: u32,
    /// The client is the low end of the flow's key.
    pub(super) client_is_low: bool,
    /// Its hello was read, or will never be: nothing more is wanted of this connection. Otherwise
    /// these packets did not open, and the other direction was not seen.
    pub(super) client_known: bool,
    /// The server offered other versions.
    pub(super) negotiates: bool,
}

impl Settled {
    /// How long a connection is remembered after its hello was read, or was last sent again: Retry
    /// and second flights come within this time, and so does the next repetition of a client that
    /// gets no answer, whose pauses double (RFC 9002 §6.2).
    pub(super) const LINGER_MILLIS: u32 = 10_000;
    const WAYS: usize = 4;

    /// With room for `entries`, rounded up to a power of two.
    pub(super) fn new(entries: usize) -> Self {
        let sets = (entries / Self::WAYS).max(1).next_power_of_two();
        Self { sets: vec![Set::default(); sets].into_boxed_slice(), entries: 0, evicted: 0 }
    }

    /// The entry under `tag`, if it is not too old.
    pub(super) fn find(&mut self, tag: u64, now: Timestamp) -> Option<&mut Entry> {
        let (now, tag) = (millis(now), tag.max(1));
        let set = self.set(tag);
        let way = (0..Self::WAYS).find(|&way| set.tags[way] == tag && set.age(way, now).is_some());
        Some(&mut set.entries[way?])
    }

    /// The client said again what the entry under `tag` stands for.
    pub(super) fn renew(&mut self, tag: u64, now: Timestamp) {
        let (now, tag) = (millis(now), tag.max(1));
        let set = self.set(tag);
        if let Some(way) = (0..Self::WAYS).find(|&way| set.tags[way] == tag) {
            set.at[way] = now;
        }
    }

    /// Asks memory for what will be looked for under `tag`, and does not wait for it.
    pub(super) fn prepare(&mut self, tag: u64) {
        prefetch(&self.set(tag.max(1)).tags);
    }

    /// Remembers a connection, by its flow and by its DCID.
    pub(super) fn settle(
        &mut self,
        hasher: &FlowHasher,
        begun: &Begun,
        entry: Entry,
        now: Timestamp,
    ) {
        let client_is_low = begun.path.is_from_low();
        let entry = Entry {
            dcid: short(hasher, begun.dcid.octets()),
            version: begun.version,
            ends: ends(hasher, &begun.path),
            client_is_low,
            ..entry
        };
        self.insert(flow_tag(hasher, begun.hash, begun.path.tenant), now, entry);
        if entry.client_known {
            self.insert(begun.tag, now, entry);
        }
    }

    /// Puts `entry` under `tag`, in the place of one with the same tag, or of the oldest.
    pub(super) fn insert(&mut self, tag: u64, now: Timestamp, entry: Entry) {
        let (now, tag) = (millis(now), tag.max(1));
        let set = self.set(tag);
        let rank = |way: usize| match set.age(way, now) {
            _ if set.tags[way] == tag => u32::MAX,
            None => u32::MAX - 1,
            Some(age) => age,
        };
        let way = (0..Self::WAYS).max_by_key(|&way| rank(way)).unwrap_or_default();
        let (free, too_early) = (set.tags[way] == 0, rank(way) < u32::MAX - 1);
        set.tags[way] = tag;
        set.at[way] = now;
        set.entries[way] = entry;
        self.entries += usize::from(free);
        self.evicted += u64::from(too_early);
    }

    /// Entries, the octets they take, and those forgotten too early for want of room.
    pub(super) fn usage(&self) -> (usize, usize, u64) {
        (self.entries, size_of_val(&*self.sets), self.evicted)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits choose the set")]
    fn set(&mut self, tag: u64) -> &mut Set {
        let mask = self.sets.len() - 1;
        &mut self.sets[tag as usize & mask]
    }
}

impl Set {
    /// Milliseconds since an entry was put in; `None` when there is none, or it is too old.
    fn age(&self, way: usize, now: u32) -> Option<u32> {
        // Packet time may run back a little between the frames of one source.
        let age = now.wrapping_sub(self.at[way]);
        let age = if age > u32::MAX / 2 { 0 } else { age };
        (self.tags[way] != 0 && age <= Settled::LINGER_MILLIS).then_some(age)
    }
}

impl Entry {
    /// Was the packet with this sample looked into?
    pub(super) fn knows(&self, sample: u32) -> bool {
        self.samples.contains(&sample)
    }

    /// As [`knows`](Self::knows), and remembers it if not.
    pub(super) fn is_copy(&mut self, sample: u32) -> bool {
        if self.knows(sample) {
            return true;
        }
        self.samples = [sample, self.samples[0]];
        false
    }
}

#[expect(clippy::cast_possible_truncation, reason = "compared by wrapping difference")]
const fn millis(at: Timestamp) -> u32 {
    (at.as_nanos() / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn an_entry_is_found_until_it_is_too_old() {
        let mut settled = Settled::new(64);
        settled.insert(7, at(5), Entry { dcid: 9, ..Entry::default() });
        assert_eq!(settled.find(7, at(10_005)).unwrap().dcid, 9);
        assert_eq!(settled.find(7, at(1)).unwrap().dcid, 9);
        assert!(settled.find(7, at(10_006)).is_none());
        assert!(settled.find(8, at(5)).is_none());
        assert!(settled.find(0, at(5)).is_none());
    }

    #[test]
    fn a_full_set_forgets_its_oldest() {
        let mut settled = Settled::new(4);
        for tag in 1..=5 {
            settled.insert(tag, at(tag), Entry::default());
        }
        assert!(settled.find(1, at(6)).is_none());
        assert!((2..=5).all(|tag| settled.find(tag, at(6)).is_some()));
        settled.insert(3, at(7), Entry { dcid: 1, ..Entry::default() });
        assert!((2..=5).all(|tag| settled.find(tag, at(8)).is_some()));
        assert_eq!((settled.usage().0, settled.usage().2), (4, 1));
        // What is too old is no loss.
        settled.insert(6, at(20_000), Entry::default());
        assert_eq!((settled.usage().0, settled.usage().2), (4, 1));
    }

    #[test]
    fn copies_are_known_by_their_sample() {
        let mut entry = Entry { samples: [1, 2], ..Entry::default() };
        assert!(entry.is_copy(1) && entry.is_copy(2));
        assert!(!entry.is_copy(3));
        assert!(entry.is_copy(3) && entry.is_copy(1) && !entry.is_copy(2));
    }
}
