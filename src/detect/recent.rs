//! A bounded map that gives up what was touched least recently.

use core::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// A map of at most `limit` entries, ordered by when they were touched last.
///
/// Look-ups hash with a seed of their own: keys are chosen by whoever sends packets. The order of
/// iteration is the order of touching, never that of hashes, so that it may reach output.
///
/// One hash look-up an operation; no allocation once the table has grown to its size.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    /// Positions in `nodes`.
    index: HashTable<u32>,
    /// Dense: what leaves is replaced by the last.
    nodes: Vec<Node<K, V>>,
    oldest: u32,
    newest: u32,
    limit: usize,
    evicted: u64,
    seed: RandomState,
}

#[derive(Debug)]
struct Node<K, V> {
    hash: u64,
    older: u32,
    newer: u32,
    key: K,
    value: V,
}

/// What [`Recent::enter`] found or made.
#[derive(Debug)]
pub(super) struct Entered<'a, K, V> {
    pub value: &'a mut V,
    /// There was none.
    pub new: bool,
    /// What made room for it.
    pub evicted: Option<(K, V)>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// An empty map that holds `limit` entries, and at least one.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            index: HashTable::new(),
            nodes: Vec::new(),
            oldest: NIL,
            newest: NIL,
            limit: limit.clamp(1, NIL as usize),
            evicted: 0,
            seed: RandomState::default(),
        }
    }

    /// The value of `key`, made when there is none, as the newest entry. When the map is full the
    /// oldest entry makes room, and is counted.
    pub(super) fn enter(&mut self, key: K, make: impl FnOnce() -> V) -> Entered<'_, K, V> {
        let full = self.len() >= self.limit;
        self.enter_when(key, full, make)
    }

    /// As [`Self::enter`], for a map whose owner knows when it is full.
    pub(super) fn enter_when(
        &mut self,
        key: K,
        full: bool,
        make: impl FnOnce() -> V,
    ) -> Entered<'_, K, V> {
        let hash = self.seed.hash_one(&key);
        if let Some(at) = self.find(hash, &key) {
            self.refresh(at);
            let value = &mut self.nodes[at as usize].value;
            return Entered { value, new: false, evicted: None };
        }
        let node = Node { hash, older: NIL, newer: NIL, key, value: make() };
        let (at, evicted) = if (full || self.len() >= self.limit) && self.oldest != NIL {
            // The new entry takes the place of the oldest: nothing else moves.
            let at = self.oldest;
            self.unlink(at);
            self.unindex(at);
            self.evicted += 1;
            let gone = core::mem::replace(&mut self.nodes[at as usize], node);
            (at, Some((gone.key, gone.value)))
        } else {
            // `limit` keeps every position below `NIL`.
            let at = u32::try_from(self.nodes.len()).unwrap_or(NIL);
            self.nodes.push(node);
            (at, None)
        };
        self.link_newest(at);
        let nodes = &self.nodes;
        self.index.insert_unique(hash, at, |&at| nodes[at as usize].hash);
        Entered { value: &mut self.nodes[at as usize].value, new: true, evicted }
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.find(self.seed.hash_one(key), key)?;
        Some(self.take(at).1)
    }

    /// Takes the entry out that was touched least recently.
    pub(super) fn pop_oldest(&mut self) -> Option<(K, V)> {
        (self.oldest != NIL).then(|| self.take(self.oldest))
    }

    /// The value of `key`, which keeps its age.
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let at = self.find(self.seed.hash_one(key), key)?;
        Some(&self.nodes[at as usize].value)
    }

    /// The entry that was touched least recently.
    pub(super) fn oldest(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// All entries, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut at = self.oldest;
        core::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.newer;
            Some((&node.key, &node.value))
        })
    }

    /// Visits values from the newest on, while `visit` wants more.
    pub(super) fn visit_newest(&mut self, mut visit: impl FnMut(&mut V) -> bool) {
        let mut at = self.newest;
        while let Some(node) = self.nodes.get_mut(at as usize) {
            if !visit(&mut node.value) {
                break;
            }
            at = node.older;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Entries given up for room so far.
    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Octets that the map itself has allocated; what keys and values own is not counted.
    pub(super) fn allocated(&self) -> usize {
        self.nodes.capacity() * size_of::<Node<K, V>>()
            + self.index.capacity() * (size_of::<u32>() + 1)
    }

    fn find(&self, hash: u64, key: &K) -> Option<u32> {
        let same = |&at: &u32| {
            let node = &self.nodes[at as usize];
            node.hash == hash && node.key == *key
        };
        self.index.find(hash, same).copied()
    }

    fn take(&mut self, at: u32) -> (K, V) {
        self.unlink(at);
        self.unindex(at);
        let gone = self.nodes.swap_remove(at as usize);
        if let Some(moved) = self.nodes.get(at as usize) {
            let from = u32::try_from(self.nodes.len()).unwrap_or(NIL);
            if let Some(position) = self.index.find_mut(moved.hash, |&held| held == from) {
                *position = at;
            }
            let (older, newer) = (moved.older, moved.newer);
            self.join(older, at);
            self.join(at, newer);
        }
        (gone.key, gone.value)
    }

    fn unindex(&mut self, at: u32) {
        if let Ok(found) = self.index.find_entry(self.nodes[at as usize].hash, |&held| held == at) {
            found.remove();
        }
    }

    fn refresh(&mut self, at: u32) {
        if at != self.newest {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn link_newest(&mut self, at: u32) {
        self.join(self.newest, at);
        self.join(at, NIL);
    }

    fn unlink(&mut self, at: u32) {
        let Node { older, newer, .. } = self.nodes[at as usize];
        self.join(older, newer);
    }

    /// Makes `older` and `newer` neighbours; `NIL` is beyond either end.
    fn join(&mut self, older: u32, newer: u32) {
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
    }
}

/// No node.
const NIL: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the map does, said slowly.
    #[derive(Default)]
    struct Model(Vec<(u8, u32)>);

    impl Model {
        fn remove(&mut self, key: u8) -> Option<u32> {
            let at = self.0.iter().position(|(held, _)| *held == key)?;
            Some(self.0.remove(at).1)
        }

        fn insert(&mut self, key: u8, value: u32, limit: usize) -> Option<(u8, u32)> {
            let known = self.remove(key).is_some();
            let gone = (!known && self.0.len() == limit).then(|| self.0.remove(0));
            self.0.push((key, value));
            gone
        }
    }

    proptest! {
        #[test]
        fn it_is_a_list_ordered_by_touch(
            limit in 1_usize..12,
            steps in proptest::collection::vec((0_u8..5, 0_u8..16, any::<u32>()), 0..200),
        ) {
            let mut recent = Recent::new(limit);
            let mut model = Model::default();
            for (step, key, value) in steps {
                match step {
                    0 => {
                        let held = model.remove(key);
                        let gone = model.insert(key, held.unwrap_or(value), limit);
                        let entered = recent.enter(key, || value);
                        prop_assert_eq!(entered.new, held.is_none());
                        prop_assert_eq!(*entered.value, held.unwrap_or(value));
                        prop_assert_eq!(entered.evicted, gone);
                    }
                    1 => prop_assert_eq!(recent.remove(&key), model.remove(key)),
                    2 => {
                        let first = (!model.0.is_empty()).then(|| model.0.remove(0));
                        prop_assert_eq!(recent.pop_oldest(), first);
                    }
                    _ => {
                        let gone = model.insert(key, value, limit);
                        let entered = recent.enter(key, || value);
                        *entered.value = value;
                        prop_assert_eq!(entered.evicted, gone);
                    }
                }
                let held: Vec<(u8, u32)> = recent.iter().map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(&held, &model.0);
                prop_assert_eq!(recent.len(), model.0.len());
                prop_assert_eq!(recent.oldest().map(|(k, _)| *k), model.0.first().map(|e| e.0));
                for (key, value) in &model.0 {
                    prop_assert_eq!(recent.get(key), Some(value));
                }
                let mut backwards = Vec::new();
                recent.visit_newest(|value| {
                    backwards.push(*value);
                    true
                });
                backwards.reverse();
                let values: Vec<u32> = model.0.iter().map(|entry| entry.1).collect();
                prop_assert_eq!(backwards, values);
                prop_assert!(recent.len() <= limit);
            }
        }
    }
}
