//! From names to the octets of a pack. The same names make the same octets.

use core::cmp::Reverse;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::code::{self, Code, Tails, Unwritable};
use super::entry::{COMMON_TAILS, Wanted, list_octets};
use super::manifest::Manifest;
use super::{GROUP_SPREAD, Header, Mark, PackError, below, filter_bits, padding};
use crate::signature::labels::{self, Seed, Suffixes};

/// Collects names, then writes the pack.
#[derive(Debug, Default)]
pub struct Builder {
    /// All names, one behind the other.
    text: String,
    names: Vec<Name>,
}

/// A name of the text and its list.
#[derive(Clone, Copy, Debug)]
struct Name {
    start: u32,
    len: u8,
    list: u16,
}

/// Why there is no pack.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError {
    #[error("the names take more than 4 GiB")]
    TooLarge,
    #[error("list {0} is not in the manifest")]
    UnknownList(u16),
    /// Only names made for it can do this.
    #[error("the names cannot be spread evenly under any seed that was tried")]
    Crowded,
    #[error(transparent)]
    Name(#[from] Unwritable),
    #[error(transparent)]
    Manifest(#[from] PackError),
}

impl Builder {
    /// Adds a name (canonical, see [`canonical_name`](crate::signature::pattern::canonical_name))
    /// to the list with this number. Double ones are dropped at the end.
    pub fn add(&mut self, name: &str, list: u16) -> Result<(), BuildError> {
        let len = u8::try_from(name.len()).map_err(|_| Unwritable)?;
        if name.is_empty() || !code::is_writable(name) {
            return Err(Unwritable.into());
        }
        let start = u32::try_from(self.text.len()).map_err(|_| BuildError::TooLarge)?;
        self.text.push_str(name);
        self.names.push(Name { start, len, list });
        Ok(())
    }

    /// How many names were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Was none added?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Writes the pack. `manifest` names the lists; their counts are filled in here.
    pub fn finish(mut self, mut manifest: Manifest) -> Result<Vec<u8>, BuildError> {
        for name in &self.names {
            if usize::from(name.list) >= manifest.lists.len() {
                return Err(BuildError::UnknownList(name.list));
            }
        }
        let exact: Vec<bool> = manifest.lists.iter().map(|list| list.exact).collect();
        self.sort_and_unite(&exact);
        for list in &mut manifest.lists {
            list.names = 0;
        }
        for name in &self.names {
            manifest.lists[usize::from(name.list)].names += 1;
        }
        let chosen = self.choose_tails();
        let first = self.names.iter().fold(0, |state, &name| {
            labels::fold(state ^ labels::hash(self.name(name), FIRST_SEED), SEED_STEP)
        });
        for attempt in 0..ATTEMPTS {
            let seed = Seed(labels::fold(first ^ attempt, SEED_STEP) | 1);
            let tails = self.tails(&chosen, &exact, seed).ok_or(BuildError::TooLarge)?;
            if let Some(groups) = self.spread(&tails)? {
                return self.write(seed, &tails, &groups, &manifest);
            }
        }
        Err(BuildError::Crowded)
    }

    fn name(&self, name: Name) -> &str {
        let start = name.start as usize;
        &self.text[start..start + usize::from(name.len)]
    }

    /// From here on the same names lie in the same order, whatever order they came in. One name in
    /// two lists of a kind says nothing new and stays in the first; in a list of each kind it does,
    /// and what is only meant exactly comes first, since what follows it would hide it.
    fn sort_and_unite(&mut self, exact: &[bool]) {
        let is_exact = |name: Name| exact[usize::from(name.list)];
        let mut order: Vec<(u64, Name)> = self
            .names
            .iter()
            .map(|&name| (labels::hash(self.name(name), FIRST_SEED), name))
            .collect();
        order.sort_unstable_by(|(a_hash, a), (b_hash, b)| {
            a_hash.cmp(b_hash).then_with(|| {
                let key = |name: Name| (self.name(name), !is_exact(name), name.list);
                key(*a).cmp(&key(*b))
            })
        });
        order.dedup_by(|(next_hash, next), (hash, kept)| {
            next_hash == hash
                && is_exact(*next) == is_exact(*kept)
                && self.name(*next) == self.name(*kept)
        });
        self.names = order.into_iter().map(|(_, name)| name).collect();
    }

    /// The suffixes that are written as numbers, with their parents: those that save more than they
    /// cost, and those that so many names share that their group would be crowded.
    fn choose_tails(&self) -> Vec<&str> {
        // By hash, not by text: of two suffixes with one hash the second would go unnoticed, which
        // costs some octets and is never wrong.
        let mut counts: HashMap<u64, (u64, &str), foldhash::fast::RandomState> = HashMap::default();
        for &name in &self.names {
            let text = self.name(name);
            for suffix in Suffixes::new(text, FIRST_SEED).take_while(|suffix| suffix.start > 0) {
                counts.entry(suffix.hash).or_insert((0, &text[suffix.start..])).0 += 1;
            }
        }
        let mut worth: Vec<(u64, &str)> = counts
            .into_values()
            .filter(|&(count, tail)| count > MOST_OF_ONE_SUFFIX || gain(count, tail) > 0)
            .collect();
        worth.sort_unstable_by_key(|&(count, tail)| (Reverse(count), tail));
        let mut chosen: HashMap<&str, u64, foldhash::fast::RandomState> = HashMap::default();
        for (_, tail) in worth {
            let parents = Suffixes::new(tail, FIRST_SEED).map(|suffix| &tail[suffix.start..]);
            let missing: Vec<&str> =
                parents.filter(|parent| !chosen.contains_key(parent)).collect();
            if 1 + chosen.len() + missing.len() > Tails::MAX {
                break;
            }
            chosen.extend(missing.into_iter().map(|tail| (tail, 0)));
        }
        for &name in &self.names {
            let text = self.name(name);
            let longest = Suffixes::new(text, FIRST_SEED)
                .map(|suffix| &text[suffix.start..])
                .take_while(|suffix| chosen.contains_key(suffix))
                .last();
            if let Some(uses) = longest.and_then(|tail| chosen.get_mut(tail)) {
                *uses += 1;
            }
        }
        let mut ranked: Vec<(&str, u64)> = chosen.into_iter().collect();
        ranked.sort_unstable_by_key(|&(tail, uses)| (Reverse(uses), tail));
        core::iter::once("").chain(ranked.into_iter().map(|(tail, _)| tail)).collect()
    }

    /// The tails under a seed, with the marks of those that are names of the lists.
    fn tails(&self, chosen: &[&str], exact: &[bool], seed: Seed) -> Option<Tails> {
        let numbers: HashMap<&str, usize, foldhash::fast::RandomState> =
            chosen.iter().enumerate().map(|(number, &tail)| (tail, number)).collect();
        let mut marks = vec![Mark::default(); chosen.len()].into_boxed_slice();
        for &name in &self.names {
            if let Some(&number) = numbers.get(self.name(name)) {
                let mark = &mut marks[number];
                let place =
                    if exact[usize::from(name.list)] { &mut mark.exact } else { &mut mark.below };
                *place = name.list.checked_add(1)?;
            }
        }
        Tails::new(&chosen.join("\n"), marks, seed)
    }

    /// The names that are no tails, by group; none when a group is crowded.
    fn spread(&self, tails: &Tails) -> Result<Option<Vec<(u32, u32)>>, BuildError> {
        let count = groups(self.names.len());
        let mut order = Vec::with_capacity(self.names.len());
        for (at, &name) in self.names.iter().enumerate() {
            if let (.., Some(beyond)) = tails.split(self.name(name)) {
                let group = below(labels::fold(beyond, GROUP_SPREAD), count);
                let fits = |number: usize| u32::try_from(number).map_err(|_| BuildError::TooLarge);
                order.push((fits(group)?, fits(at)?));
            }
        }
        order.sort_unstable();
        let is_crowded = |group: &[(u32, u32)]| group.len() > MOST_OF_A_GROUP;
        let crowded = order.chunk_by(|(a, _), (b, _)| a == b).any(is_crowded);
        Ok((!crowded).then_some(order))
    }

    fn write(
        &self,
        seed: Seed,
        tails: &Tails,
        order: &[(u32, u32)],
        manifest: &Manifest,
    ) -> Result<Vec<u8>, BuildError> {
        let code = self.code(tails);
        let group_count = groups(self.names.len());
        let list_octets = list_octets(manifest.lists.len());
        let mut depths: u128 = 0;
        for &name in &self.names {
            depths |= 1_u128.checked_shl(depth(self.name(name))).ok_or(Unwritable)?;
        }
        let mut groups: Vec<u128> = Vec::with_capacity(group_count as usize + 1);
        let mut entries: Vec<u8> = Vec::with_capacity(order.len() * 12);
        let mut wanted = Wanted::new();
        for &(group, at) in order {
            let name = self.names[at as usize];
            let text = self.name(name);
            let start = u32::try_from(entries.len()).map_err(|_| BuildError::TooLarge)?;
            groups.resize(groups.len().max(group as usize + 1), start.into());
            groups[group as usize] |= filter_bits(labels::hash(text, seed));
            let (tail, head, _) = tails.split(text);
            wanted.write(&code, tail, head.as_bytes())?;
            entries.extend_from_slice(wanted.octets());
            entries.extend_from_slice(&name.list.to_le_bytes()[..list_octets]);
        }
        let end = u32::try_from(entries.len()).map_err(|_| BuildError::TooLarge)?;
        groups.resize(group_count as usize + 1, end.into());

        let json = manifest.to_json()?;
        let fits = |len: usize| u32::try_from(len).map_err(|_| BuildError::TooLarge);
        let header = Header {
            names: self.names.len() as u64,
            seed,
            depths,
            manifest: fits(json.len())?,
            tails: fits(tails.text().len())?,
            tail_count: fits(tails.len())?,
            groups: group_count,
        };
        let mut out = Vec::new();
        header.write(&mut out);
        out.extend_from_slice(&json);
        out.extend_from_slice(code.lengths());
        out.extend_from_slice(tails.text().as_bytes());
        for number in 0..tails.len() {
            tails.mark(number).write(&mut out);
        }
        out.resize(out.len() + padding(out.len()), 0);
        out.reserve_exact(groups.len() * 16 + entries.len() + 32);
        out.extend(groups.iter().flat_map(|group| group.to_le_bytes()));
        out.append(&mut entries);
        let digest = Sha256::digest(&out);
        out.extend_from_slice(&digest);
        Ok(out)
    }

    fn code(&self, tails: &Tails) -> Code {
        let mut counts = [0; 256];
        for &name in &self.names {
            for octet in tails.split(self.name(name)).1.bytes() {
                counts[usize::from(octet)] += 1;
            }
        }
        Code::fitted(&counts)
    }
}

/// What a suffix saves as a tail, in bits: its first label and dot in all names that have it, less
/// the tail's number in each, the tail's own text and its place in memory.
fn gain(count: u64, tail: &str) -> i64 {
    let octets = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let label = tail.split_once('.').map_or(tail, |(label, _)| label);
    let saved = (octets(label) + 1) * TENTHS_OF_BITS_A_CHARACTER / 10 - TAIL_NUMBER_BITS;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    count.saturating_mul(saved).saturating_sub(8 * (octets(tail) + TAIL_OCTETS))
}

/// Labels but one.
fn depth(name: &str) -> u32 {
    name.bytes().fold(0, |dots, octet| dots + u32::from(octet == b'.'))
}

fn groups(names: usize) -> u32 {
    u32::try_from(names / NAMES_A_GROUP + 1).unwrap_or(u32::MAX)
}

/// Few enough to be read in one go and to be told apart by 96 bits, many enough that the group
/// itself costs little more than an octet a name.
const NAMES_A_GROUP: usize = 12;
/// Names below one suffix before it becomes a tail. There are fewer than 65,536 tails: from 1.6
/// million names on, more names than these may agree in a suffix, the largest packs' some hundreds.
const MOST_OF_ONE_SUFFIX: u64 = 24;
/// A look-up reads no more entries than these.
const MOST_OF_A_GROUP: usize = 4096;
/// More attempts than names that were not chosen for it ever need.
const ATTEMPTS: u64 = 8;
const FIRST_SEED: Seed = Seed(0x9216_d5d9_8979_fb1b);
const SEED_STEP: u64 = 0xbe54_66cf_34e9_0c6d;
const TENTHS_OF_BITS_A_CHARACTER: i64 = 46;
const TAIL_NUMBER_BITS: i64 = 16;
/// What a tail costs in memory beside its text.
const TAIL_OCTETS: i64 = 28;

const _: () = assert!(COMMON_TAILS < 8, "three bits of an entry's first octet are the tail's");
