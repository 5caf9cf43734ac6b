//! From names to the octets of a pack. The same names make the same octets.

use core::cmp::Reverse;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::code::{self, Code, Tails, Unwritable};
use super::manifest::Manifest;
use super::{COMMON_TAILS, Header, PackError, Wanted, bucket_of, filter_bits, list_octets};
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
        if !code::is_writable(name) {
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
        let mut numbers: Vec<u32> =
            (0..u32::try_from(self.names.len()).map_err(|_| BuildError::TooLarge)?).collect();
        numbers.sort_unstable_by_key(|&at| {
            let name = self.names[at as usize];
            (self.name(name), name.list)
        });
        // One name in two lists of a kind says nothing new; in a list of each kind it does.
        let exact: Vec<bool> = manifest.lists.iter().map(|list| list.exact).collect();
        let is_exact = |name: Name| exact[usize::from(name.list)];
        numbers.dedup_by(|next, kept| {
            let (next, kept) = (self.names[*next as usize], self.names[*kept as usize]);
            self.name(next) == self.name(kept) && is_exact(next) == is_exact(kept)
        });
        // In this order the same names are the same octets, whatever order they came in.
        self.names = numbers.into_iter().map(|at| self.names[at as usize]).collect();

        for list in &mut manifest.lists {
            list.names = 0;
        }
        for name in &self.names {
            manifest.lists[usize::from(name.list)].names += 1;
        }
        let (seed, order) = self.spread(&exact)?;
        self.write(seed, &order, &manifest)
    }

    fn name(&self, name: Name) -> &str {
        let start = name.start as usize;
        &self.text[start..start + usize::from(name.len)]
    }

    /// A seed under which no bucket is crowded, and the names in the order of their hashes; of one
    /// name, what is only meant exactly comes first, since what follows it would hide it.
    fn spread(&self, exact: &[bool]) -> Result<(Seed, Vec<(u64, u32)>), BuildError> {
        let first = self.names.iter().fold(0, |state, &name| {
            labels::fold(state ^ labels::hash(self.name(name), Seed(state)), SEED_STEP)
        });
        for attempt in 0..ATTEMPTS {
            let seed = Seed(labels::fold(first ^ attempt, SEED_STEP) | 1);
            let mut order: Vec<(u64, u32)> = Vec::with_capacity(self.names.len());
            for (at, &name) in (0..).zip(&self.names) {
                order.push((labels::hash(self.name(name), seed), at));
            }
            order.sort_unstable_by_key(|&(hash, at)| {
                let name = self.names[at as usize];
                (hash, !exact[usize::from(name.list)], at)
            });
            let buckets = buckets(self.names.len());
            let crowded = order
                .chunk_by(|(a, _), (b, _)| bucket_of(*a, buckets) == bucket_of(*b, buckets))
                .any(|bucket| bucket.len() > MAX_BUCKET);
            if !crowded {
                return Ok((seed, order));
            }
        }
        Err(BuildError::Crowded)
    }

    fn write(
        &self,
        seed: Seed,
        order: &[(u64, u32)],
        manifest: &Manifest,
    ) -> Result<Vec<u8>, BuildError> {
        let tails = self.tails(seed).ok_or(BuildError::TooLarge)?;
        let code = self.code(&tails);
        let buckets = buckets(self.names.len());
        let list_octets = list_octets(manifest.lists.len());

        let mut depths: u128 = 0;
        let mut filter = vec![0_u64; self.names.len() / NAMES_A_FILTER_WORD + 1];
        let filter_words = u32::try_from(filter.len()).map_err(|_| BuildError::TooLarge)?;
        let mut directory: Vec<u32> = Vec::with_capacity(buckets as usize + 1);
        let mut entries: Vec<u8> = Vec::with_capacity(self.names.len() * 12);
        let mut wanted = Wanted::new();
        for &(hash, at) in order {
            let name = self.names[at as usize];
            let text = self.name(name);
            while directory.len() <= bucket_of(hash, buckets) {
                directory.push(u32::try_from(entries.len()).map_err(|_| BuildError::TooLarge)?);
            }
            depths |= 1_u128.checked_shl(depth(text)).ok_or(Unwritable)?;
            let (word, bits) = filter_bits(hash, filter_words);
            filter[word] |= bits;
            let (tail, head) = tails.split(text);
            wanted.write(&code, tail, head.as_bytes())?;
            entries.extend_from_slice(wanted.octets());
            entries.extend_from_slice(&name.list.to_le_bytes()[..list_octets]);
        }
        while directory.len() <= buckets as usize {
            directory.push(u32::try_from(entries.len()).map_err(|_| BuildError::TooLarge)?);
        }

        let json = manifest.to_json()?;
        let tails = tails.text();
        let header = Header {
            names: self.names.len() as u64,
            seed,
            depths,
            manifest: u32::try_from(json.len()).map_err(|_| BuildError::TooLarge)?,
            tails: u32::try_from(tails.len()).map_err(|_| BuildError::TooLarge)?,
            filter: filter_words,
            buckets,
        };
        let mut out = Vec::new();
        header.write(&mut out);
        out.extend_from_slice(&json);
        out.extend_from_slice(code.lengths());
        out.extend_from_slice(tails.as_bytes());
        out.extend(filter.iter().flat_map(|word| word.to_le_bytes()));
        out.extend(directory.iter().flat_map(|start| start.to_le_bytes()));
        out.append(&mut entries);
        let digest = Sha256::digest(&out);
        out.extend_from_slice(&digest);
        Ok(out)
    }

    /// The suffixes that save more than they cost.
    fn tails(&self, seed: Seed) -> Option<Tails> {
        let mut counts: HashMap<&str, u64, foldhash::fast::RandomState> = HashMap::default();
        for &name in &self.names {
            let text = self.name(name);
            let mut rest = text;
            while let Some((_, parent)) = rest.split_once('.') {
                *counts.entry(parent).or_default() += 1;
                rest = parent;
            }
        }
        let mut top: Vec<(&str, u64)> = counts
            .iter()
            .filter(|(tail, _)| !tail.is_empty() && !tail.contains('.'))
            .map(|(&tail, &count)| (tail, count))
            .collect();
        top.sort_unstable_by_key(|&(tail, count)| (Reverse(count), tail));
        top.truncate(usize::from(COMMON_TAILS) - 1);
        let is_common = |tail: &str| top.iter().any(|&(common, _)| common == tail);

        // Gain in bits: the label and its dot, less the number of the tail where its parent needs
        // none, over all names; less the tail's own text and its place in memory.
        let mut gains: Vec<(i64, &str)> = counts
            .iter()
            .filter(|(tail, _)| !tail.is_empty())
            .map(|(&tail, &count)| {
                let (label, parent) = tail.split_once('.').unwrap_or((tail, ""));
                let octets = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
                let spared = (octets(label) + 1) * TENTHS_OF_BITS_A_CHARACTER / 10;
                let number =
                    if parent.is_empty() || is_common(parent) { TAIL_NUMBER_BITS } else { 0 };
                let number = if is_common(tail) { 0 } else { number };
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                (count.saturating_mul(spared - number) - 8 * (octets(tail) + TAIL_OCTETS), tail)
            })
            .filter(|&(gain, _)| gain > 0)
            .collect();
        gains.sort_unstable_by_key(|&(gain, tail)| (Reverse(gain), tail));

        let mut chosen: HashMap<&str, u64> = HashMap::new();
        for (_, tail) in gains {
            // With its parents, of which all but a few are there.
            let missing: Vec<&str> = Suffixes::new(tail, seed)
                .map(|suffix| &tail[suffix.start..])
                .filter(|parent| !chosen.contains_key(parent))
                .collect();
            if 1 + chosen.len() + missing.len() > Tails::MAX {
                break;
            }
            chosen.extend(missing.into_iter().map(|tail| (tail, 0)));
        }
        for &name in &self.names {
            let text = self.name(name);
            let longest = Suffixes::new(text, seed)
                .map(|suffix| &text[suffix.start..])
                .take_while(|suffix| chosen.contains_key(suffix))
                .last();
            if let Some(uses) = longest.and_then(|tail| chosen.get_mut(tail)) {
                *uses += 1;
            }
        }
        let mut ranked: Vec<(&str, u64)> = chosen.into_iter().collect();
        ranked.sort_unstable_by_key(|&(tail, uses)| (Reverse(uses), tail));
        let lines: Vec<&str> =
            core::iter::once("").chain(ranked.into_iter().map(|(tail, _)| tail)).collect();
        Tails::new(&lines.join("\n"), seed)
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

/// Labels but one.
fn depth(name: &str) -> u32 {
    name.bytes().fold(0, |dots, octet| dots + u32::from(octet == b'.'))
}

fn buckets(names: usize) -> u32 {
    u32::try_from(names / NAMES_A_BUCKET + 1).unwrap_or(u32::MAX)
}

/// Few enough to be read in one go, many enough that the directory costs a third of an octet a
/// name.
const NAMES_A_BUCKET: usize = 12;
/// Of ten million buckets that are filled by chance none is as full as this.
const MAX_BUCKET: usize = 56;
const NAMES_A_FILTER_WORD: usize = 8;
const ATTEMPTS: u64 = 8;
const SEED_STEP: u64 = 0xbe54_66cf_34e9_0c6d;
const TENTHS_OF_BITS_A_CHARACTER: i64 = 46;
const TAIL_NUMBER_BITS: i64 = 16;
/// What a tail costs in memory beside its text.
const TAIL_OCTETS: i64 = 24;
