//! A bounded table of flows, ordered by when each was last heard of.
//!
//! Values live in a slab that is grown by doubling and never shrunk; an index of open addressing
//! finds them by hash, and a list through the slab orders them by age. Full, or over its budget
//! of octets, it gives up the flow that was silent longest.

use core::mem::size_of;

use crate::net::FlowKey;
use crate::time::Timestamp;

/// Where a value is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot(u32);

/// See the [module](self).
#[derive(Debug)]
pub struct Table<V, K = FlowKey> {
    slab: Vec<Entry<V, K>>,
    /// Slots by hash, linear probing, at most half full. Length is a power of two.
    index: Vec<Bucket>,
    free: u32,
    oldest: u32,
    newest: u32,
    len: usize,
    max_entries: usize,
    /// Heap octets of the values, as their owner reports them.
    heap: usize,
    max_bytes: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Entry<V, K> {
    hash: u64,
    key: K,
    touched: Timestamp,
    older: u32,
    newer: u32,
    value: Option<V>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// The high half of the hash, so that most misses end here.
    tag: u32,
    slot: u32,
}

/// What a removed entry was.
#[derive(Debug)]
pub struct Removed<V, K = FlowKey> {
    pub key: K,
    pub hash: u64,
    /// When it was last heard of.
    pub touched: Timestamp,
    pub value: V,
}

impl<V, K: Copy + PartialEq> Table<V, K> {
    /// An empty table that may use `max_bytes` in all.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        // An index that just doubled has four buckets an entry.
        let entry = size_of::<Entry<V, K>>() + 4 * size_of::<Bucket>();
        let max_entries = (max_bytes / entry).clamp(16, 1 << 24);
        Self {
            slab: Vec::new(),
            index: vec![Bucket::EMPTY; 32],
            free: NONE,
            oldest: NONE,
            newest: NONE,
            len: 0,
            max_entries,
            heap: 0,
            max_bytes,
            evicted: 0,
        }
    }

    /// Where the flow is, if it is here.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: u64, key: &K) -> Option<Slot> {
        let mask = self.index.len() - 1;
        let mut at = low(hash) & mask;
        loop {
            let bucket = self.index[at];
            if bucket.slot == NONE {
                return None;
            }
            if bucket.tag == tag(hash) && self.entry(bucket.slot).key == *key {
                return Some(Slot(bucket.slot));
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts a flow in that is not here yet. Ask [`Self::overfull`] first.
    pub fn insert(&mut self, hash: u64, key: K, now: Timestamp, value: V) -> Slot {
        if (self.len + 1) * 2 > self.index.len() {
            self.grow_index();
        }
        let value = Some(value);
        let slot = if self.free == NONE {
            self.slab.push(Entry { hash, key, touched: now, older: NONE, newer: NONE, value });
            u32::try_from(self.slab.len() - 1).unwrap_or(NONE)
        } else {
            let slot = self.free;
            let entry = &mut self.slab[slot as usize];
            self.free = entry.newer;
            // Field by field: a whole entry would be built beside the slab and copied.
            entry.hash = hash;
            entry.key = key;
            entry.touched = now;
            entry.value = value;
            slot
        };
        self.place(Bucket { tag: tag(hash), slot }, hash);
        self.link(slot);
        self.len += 1;
        Slot(slot)
    }

    /// The flow that was silent longest, taken out, when there is no room for another.
    pub fn overfull(&mut self) -> Option<Removed<V, K>> {
        if self.is_full() { self.evict_oldest() } else { None }
    }

    /// Is there no room for another flow?
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len >= self.max_entries
            || self.bytes() + size_of::<Entry<V, K>>() > self.max_bytes && self.len > 0
    }

    /// The flow that was silent longest, taken out for want of room.
    pub fn evict_oldest(&mut self) -> Option<Removed<V, K>> {
        let removed = self.remove(Slot(self.oldest))?;
        self.evicted += 1;
        Some(removed)
    }

    /// The flow that was silent longest, taken out, while the heap octets that were charged exceed
    /// the budget.
    pub fn overcharged(&mut self) -> Option<Removed<V, K>> {
        if self.bytes() <= self.max_bytes {
            return None;
        }
        let removed = self.remove(Slot(self.oldest))?;
        self.evicted += 1;
        Some(removed)
    }

    /// The flow that was silent longest, taken out, when it was last heard of before `deadline`.
    pub fn expired(&mut self, deadline: Timestamp) -> Option<Removed<V, K>> {
        if self.oldest == NONE || self.entry(self.oldest).touched >= deadline {
            return None;
        }
        self.remove(Slot(self.oldest))
    }

    /// The flow that was silent longest, taken out.
    pub fn pop_oldest(&mut self) -> Option<Removed<V, K>> {
        self.remove(Slot(self.oldest))
    }

    /// Takes a flow out.
    pub fn remove(&mut self, slot: Slot) -> Option<Removed<V, K>> {
        let entry = self.slab.get_mut(slot.0 as usize)?;
        let value = entry.value.take()?;
        let (hash, key, touched) = (entry.hash, entry.key, entry.touched);
        self.release(slot, hash);
        Some(Removed { key, hash, touched, value })
    }

    /// Takes a flow out whose value nobody wants: it is dropped where it is.
    pub fn discard(&mut self, slot: Slot) {
        let Some(entry) = self.slab.get_mut(slot.0 as usize) else { return };
        if entry.value.is_some() {
            entry.value = None;
            let hash = entry.hash;
            self.release(slot, hash);
        }
    }

    /// Nothing is in this slot any more.
    fn release(&mut self, Slot(slot): Slot, hash: u64) {
        self.unlink(slot);
        let free = self.free;
        self.entry_mut(slot).newer = free;
        self.free = slot;
        self.unplace(slot, hash);
        self.len -= 1;
    }

    /// The flow was heard of at `now`.
    pub fn touch(&mut self, slot: Slot, now: Timestamp) {
        let Slot(slot) = slot;
        self.entry_mut(slot).touched = now;
        if self.newest != slot {
            self.unlink(slot);
            self.link(slot);
        }
    }

    /// A value whose slot was just found or filled.
    #[inline]
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut V> {
        self.slab.get_mut(slot.0 as usize)?.value.as_mut()
    }

    /// Every value, in the order of their slots.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.slab.iter().filter_map(|entry| entry.value.as_ref())
    }

    /// Every flow's key and value, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &K, &mut V)> {
        self.slab
            .iter_mut()
            .zip(0..)
            .filter_map(|(entry, slot)| Some((Slot(slot), &entry.key, entry.value.as_mut()?)))
    }

    /// The heap octets of a value changed.
    pub fn charge(&mut self, before: usize, after: usize) {
        self.heap = (self.heap + after).saturating_sub(before);
    }

    /// How many flows are here.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Is nothing here?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Octets in use: slab, index and what the values keep on the heap.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.len * size_of::<Entry<V, K>>() + self.index.len() * size_of::<Bucket>() + self.heap
    }

    /// How many flows were given up for room.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    #[inline]
    fn entry(&self, slot: u32) -> &Entry<V, K> {
        &self.slab[slot as usize]
    }

    #[inline]
    fn entry_mut(&mut self, slot: u32) -> &mut Entry<V, K> {
        &mut self.slab[slot as usize]
    }

    /// Puts `slot` at the young end of the list.
    fn link(&mut self, slot: u32) {
        let newest = self.newest;
        let entry = self.entry_mut(slot);
        entry.older = newest;
        entry.newer = NONE;
        if newest == NONE {
            self.oldest = slot;
        } else {
            self.entry_mut(newest).newer = slot;
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let (older, newer) = (self.entry(slot).older, self.entry(slot).newer);
        if older == NONE {
            self.oldest = newer;
        } else {
            self.entry_mut(older).newer = newer;
        }
        if newer == NONE {
            self.newest = older;
        } else {
            self.entry_mut(newer).older = older;
        }
    }

    fn place(&mut self, bucket: Bucket, hash: u64) {
        let mask = self.index.len() - 1;
        let mut at = low(hash) & mask;
        while self.index[at].slot != NONE {
            at = (at + 1) & mask;
        }
        self.index[at] = bucket;
    }

    /// Takes `slot` out of the index and closes the gap, so that probing never meets a tombstone.
    fn unplace(&mut self, slot: u32, hash: u64) {
        let mask = self.index.len() - 1;
        let mut gap = low(hash) & mask;
        while self.index[gap].slot != slot {
            if self.index[gap].slot == NONE {
                return;
            }
            gap = (gap + 1) & mask;
        }
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let bucket = self.index[at];
            if bucket.slot == NONE {
                break;
            }
            // A bucket may move into the gap unless that lies before its home.
            let home = low(self.entry(bucket.slot).hash) & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.index[gap] = bucket;
                gap = at;
            }
        }
        self.index[gap] = Bucket::EMPTY;
    }

    fn grow_index(&mut self) {
        let old = core::mem::take(&mut self.index);
        self.index = vec![Bucket::EMPTY; old.len() * 2];
        for bucket in old.into_iter().filter(|bucket| bucket.slot != NONE) {
            let hash = self.entry(bucket.slot).hash;
            self.place(bucket, hash);
        }
    }
}

impl Bucket {
    const EMPTY: Self = Self { tag: 0, slot: NONE };
}

/// No slot.
const NONE: u32 = u32::MAX;

#[inline]
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked by the caller")]
const fn low(hash: u64) -> usize {
    hash as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::net::{Addr, Endpoint, IpProtocol, TenantId};

    fn key(n: u8) -> FlowKey {
        let end = |port| Endpoint { addr: Addr::from_v4([192, 0, 2, n]), port };
        FlowKey { tenant: TenantId::NONE, protocol: IpProtocol::TCP, low: end(1), high: end(2) }
    }

    /// Few values, so that buckets collide.
    fn hash(n: u8) -> u64 {
        u64::from(n % 7) << 40 | u64::from(n % 5)
    }

    proptest! {
        /// The table answers as a map does, and gives up the one that was silent longest.
        #[test]
        fn behaves_as_a_map_with_an_age(steps in proptest::collection::vec((0u8..5, 0u8..60), 0..400)) {
            let mut table: Table<u32> = Table::new(1 << 20);
            let mut model: HashMap<u8, (u32, u64)> = HashMap::new();
            for (time, (step, n)) in steps.into_iter().enumerate() {
                let now = Timestamp::from_nanos(time as u64);
                let found = table.find(hash(n), &key(n));
                prop_assert_eq!(found.is_some(), model.contains_key(&n));
                match (step, found) {
                    (0, None) => {
                        table.insert(hash(n), key(n), now, u32::from(n));
                        model.insert(n, (u32::from(n), time as u64));
                    }
                    (1, Some(slot)) => {
                        table.touch(slot, now);
                        model.get_mut(&n).unwrap().1 = time as u64;
                    }
                    (4, Some(slot)) => {
                        table.discard(slot);
                        model.remove(&n);
                    }
                    (2, Some(slot)) => {
                        let removed = table.remove(slot).unwrap();
                        prop_assert_eq!((removed.key, removed.value), (key(n), u32::from(n)));
                        model.remove(&n);
                    }
                    (3, _) => {
                        let oldest = model.iter().min_by_key(|(_, value)| value.1).map(|(k, _)| *k);
                        let popped = table.pop_oldest().map(|removed| removed.value);
                        prop_assert_eq!(popped, oldest.map(u32::from));
                        if let Some(oldest) = oldest {
                            model.remove(&oldest);
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(table.len(), model.len());
            }
        }
    }

    #[test]
    fn the_budget_holds() {
        let mut table: Table<[u8; 100]> = Table::new(64 * 1024);
        for n in 0..10_000u32 {
            let mut key = key(1);
            key.low.port = u16::try_from(n).unwrap();
            while table.overfull().is_some() {}
            table.insert(
                u64::from(n) << 32 | u64::from(n),
                key,
                Timestamp::from_nanos(n.into()),
                [0; 100],
            );
            assert!(table.bytes() <= 64 * 1024);
        }
        assert_eq!(table.evicted(), 10_000 - table.len() as u64);
        assert!(table.len() > 200);
    }

    #[test]
    fn what_an_entry_holds_elsewhere_counts_until_it_is_given_back() {
        let mut table: Table<u8> = Table::new(64 * 1024);
        let charged = |table: &mut Table<u8>, n: u8| {
            table.insert(hash(n), key(n), Timestamp::from_nanos(n.into()), n);
            table.charge(0, 1_000);
        };
        charged(&mut table, 1);
        let one = table.bytes();
        table.charge(1_000, 3_000);
        assert_eq!(table.bytes(), one + 2_000);
        table.charge(3_000, 0);
        assert_eq!(table.bytes(), one - 1_000);
        table.charge(0, 1_000);
        for n in 2..100 {
            charged(&mut table, n);
            while let Some(removed) = table.overcharged() {
                assert_eq!(usize::from(removed.value), usize::from(n) - table.len(), "the oldest");
                table.charge(1_000, 0);
            }
            assert!(table.bytes() <= 64 * 1024);
        }
        assert!(table.len() < 64, "{} entries of a thousand octets each", table.len());
        assert_eq!(table.evicted(), 99 - table.len() as u64);
    }
}
