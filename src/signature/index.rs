//! Look-up of names by suffix and of addresses by prefix, for what signature files hold: some
//! thousands of patterns. Millions of names are a pack's matter.
//!
//! A name's suffixes are walked from the shortest. The hash of the last two labels is asked for in
//! a bitmap that stays in the first cache: nearly all names of ordinary traffic end there.

use super::Pattern;
use super::labels::{self, Seed, Suffixes};
use crate::net::Addr;

/// What a pattern says about what it matches; the numbers are the caller's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rule {
    Excluded(u32),
    Indicator(u32),
}

/// What matched, and where in the name its pattern begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) rule: Rule,
    pub(super) start: usize,
    /// The whole name was listed as itself.
    pub(super) exact: bool,
}

/// Exact names and suffixes.
#[derive(Debug)]
pub(super) struct Names {
    seed: Seed,
    /// Open addressing with linear probing; a power of two, at most half full.
    slots: Box<[Slot]>,
    entries: Vec<Entry>,
    /// A bit for each hash of the last two labels of a pattern.
    roots: Box<[u64; Self::ROOT_WORDS]>,
    /// Is a pattern a single label? Then every name's last label must be asked for.
    has_tops: bool,
    /// The greatest number of labels of a pattern: longer suffixes cannot match.
    depth: usize,
}

/// The upper half of a name's hash, and its entry. `EMPTY` ends a chain.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    entry: u32,
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    exact: Option<Rule>,
    suffix: Option<Rule>,
}

impl Names {
    /// Of two patterns of one kind and name the first counts.
    pub(super) fn build<'a>(patterns: impl Iterator<Item = (&'a Pattern, Rule)>) -> Self {
        let mut sorted: Vec<(&str, bool, Rule)> = patterns
            .filter_map(|(pattern, rule)| match pattern {
                Pattern::Exact(name) => Some((name.as_str(), true, rule)),
                Pattern::Suffix(name) => Some((name.as_str(), false, rule)),
                Pattern::Prefix { .. } | Pattern::Listed { .. } => None,
            })
            .collect();
        sorted.sort_by_key(|&(name, ..)| name);
        let mut entries: Vec<Entry> = Vec::new();
        for (name, exact, rule) in sorted {
            if entries.last().is_none_or(|last| *last.name != *name) {
                entries.push(Entry { name: name.into(), exact: None, suffix: None });
            }
            if let Some(last) = entries.last_mut() {
                let place = if exact { &mut last.exact } else { &mut last.suffix };
                place.get_or_insert(rule);
            }
        }
        // A seed is taken only if no chain is long under it: the bound on the work of a look-up is
        // measured here, and holds for every name that can come.
        let mut attempt = 0;
        loop {
            let names = Self::place(&entries, Seed(labels::fold(attempt + 1, Self::SEED)));
            attempt += 1;
            if let Some((slots, seed)) = names
                && (Self::longest_chain(&slots) <= Self::MAX_CHAIN || attempt == Self::ATTEMPTS)
            {
                return Self::finish(entries, slots, seed);
            }
        }
    }

    /// The longest pattern that matches `name`.
    #[inline]
    pub(super) fn longest(&self, name: &str) -> Option<Found> {
        let mut found = None;
        for (depth, suffix) in Suffixes::new(name, self.seed).take(self.depth).enumerate() {
            if depth == 0 && !self.has_tops {
                continue;
            }
            if depth == 1 && !self.may_have_root(suffix.hash) {
                break;
            }
            if let Some(entry) = self.entry(suffix.hash, &name[suffix.start..]) {
                let exact = entry.exact.filter(|_| suffix.start == 0);
                if let Some(rule) = exact.or(entry.suffix) {
                    found = Some(Found { rule, start: suffix.start, exact: exact.is_some() });
                }
            }
        }
        found
    }

    fn entry(&self, hash: u64, name: &str) -> Option<&Entry> {
        let mask = self.slots.len() - 1;
        let mut at = Self::home(hash, mask);
        let tag = tag(hash);
        loop {
            let slot = self.slots[at];
            if slot.entry == Slot::EMPTY {
                return None;
            }
            if slot.tag == tag {
                let entry = &self.entries[slot.entry as usize];
                if *entry.name == *name {
                    return Some(entry);
                }
            }
            at = (at + 1) & mask;
        }
    }

    fn may_have_root(&self, hash: u64) -> bool {
        let (word, bit) = Self::root_bit(hash);
        self.roots[word] >> bit & 1 == 1
    }

    fn root_bit(hash: u64) -> (usize, u32) {
        let bit = hash >> 20 & (Self::ROOT_WORDS as u64 * 64 - 1);
        ((bit / 64) as usize, (bit % 64) as u32)
    }

    fn place(entries: &[Entry], seed: Seed) -> Option<(Box<[Slot]>, Seed)> {
        let len = (entries.len() * 2).next_power_of_two().max(2);
        let mut slots = vec![Slot { tag: 0, entry: Slot::EMPTY }; len].into_boxed_slice();
        for (number, entry) in entries.iter().enumerate() {
            let hash = labels::hash(&entry.name, seed);
            let mut at = Self::home(hash, len - 1);
            while slots[at].entry != Slot::EMPTY {
                at = (at + 1) & (len - 1);
            }
            slots[at] = Slot { tag: tag(hash), entry: u32::try_from(number).ok()? };
        }
        Some((slots, seed))
    }

    /// The longest run of slots in use, around the end too.
    fn longest_chain(slots: &[Slot]) -> usize {
        let (mut longest, mut run) = (0, 0);
        for slot in slots.iter().chain(slots) {
            run = if slot.entry == Slot::EMPTY { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        longest
    }

    fn finish(entries: Vec<Entry>, slots: Box<[Slot]>, seed: Seed) -> Self {
        let mut roots = Box::new([0; Self::ROOT_WORDS]);
        let mut has_tops = false;
        let mut depth = 0;
        for entry in &entries {
            match Suffixes::new(&entry.name, seed).nth(1) {
                Some(root) => {
                    let (word, bit) = Self::root_bit(root.hash);
                    roots[word] |= 1 << bit;
                }
                None => has_tops = true,
            }
            depth = depth.max(labels::count(&entry.name));
        }
        Self { seed, slots, entries, roots, has_tops, depth }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the mask keeps fewer bits")]
    fn home(hash: u64, mask: usize) -> usize {
        hash as usize & mask
    }

    /// 64 Kibit in 8 KiB: with some hundreds of vendors' zones under one per cent are set.
    const ROOT_WORDS: usize = 1024;
    const MAX_CHAIN: usize = 24;
    const ATTEMPTS: u64 = 16;
    const SEED: u64 = 0x4528_21e6_38d0_1377;
}

impl Slot {
    const EMPTY: u32 = u32::MAX;
}

impl Default for Names {
    fn default() -> Self {
        Self::build(core::iter::empty())
    }
}

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Address prefixes, flattened to ranges that do not overlap.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    /// First address of each range, ascending; a range ends where the next begins.
    starts: Vec<u128>,
    rules: Vec<Option<Rule>>,
}

impl Prefixes {
    /// Of two patterns of one prefix the first counts; of nested ones the longest.
    pub(super) fn build<'a>(patterns: impl Iterator<Item = (&'a Pattern, Rule)>) -> Self {
        let mut ranges: Vec<(u128, u128, Rule)> = patterns
            .filter_map(|(pattern, rule)| match pattern {
                Pattern::Prefix { address, length } => {
                    let (first, last) = range(Addr::from(*address), *length);
                    Some((first, last, rule))
                }
                _ => None,
            })
            .collect();
        // Outer before inner, and the first of equals first: then whatever is open last on the
        // stack is what counts.
        ranges.sort_by_key(|&(first, last, _)| (first, core::cmp::Reverse(last)));
        ranges.dedup_by_key(|&mut (first, last, _)| (first, last));
        let mut flat = Self::default();
        let mut open: Vec<(u128, Rule)> = Vec::new();
        for (first, last, rule) in ranges {
            flat.close(&mut open, Some(first));
            flat.push(first, Some(rule));
            open.push((last, rule));
        }
        flat.close(&mut open, None);
        flat
    }

    /// The rule of the longest prefix that holds `addr`.
    #[inline]
    pub(super) fn longest(&self, addr: Addr) -> Option<Rule> {
        let after = self.starts.partition_point(|&start| start <= addr.bits());
        self.rules[after.checked_sub(1)?]
    }

    /// Ends the open ranges that end before `until`.
    fn close(&mut self, open: &mut Vec<(u128, Rule)>, until: Option<u128>) {
        while let Some(&(last, _)) = open.last()
            && until.is_none_or(|until| last < until)
        {
            open.pop();
            if let Some(next) = last.checked_add(1) {
                self.push(next, open.last().map(|&(_, rule)| rule));
            }
        }
    }

    fn push(&mut self, start: u128, rule: Option<Rule>) {
        if self.starts.last() == Some(&start) {
            if let Some(last) = self.rules.last_mut() {
                *last = rule;
            }
        } else {
            self.starts.push(start);
            self.rules.push(rule);
        }
    }
}

/// The first and last address of a prefix, in sixteen octets.
pub(super) fn range(addr: Addr, length: u8) -> (u128, u128) {
    let length = u32::from(length) + if addr.is_v4() { 96 } else { 0 };
    let hosts = u128::MAX.checked_shr(length).unwrap_or(0);
    (addr.bits() & !hosts, addr.bits() | hosts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(patterns: &[Pattern]) -> Names {
        Names::build(patterns.iter().zip(0..).map(|(pattern, at)| (pattern, Rule::Indicator(at))))
    }

    fn rule(at: usize) -> Rule {
        Rule::Indicator(u32::try_from(at).unwrap())
    }

    /// The specification, said slowly: every pattern is tried, by whole labels.
    fn naive(patterns: &[Pattern], name: &str) -> Option<usize> {
        let name: Vec<_> = labels::split(name).collect();
        let matches = |pattern: &Pattern| match pattern {
            Pattern::Exact(exact) => labels::split(exact).eq(name.iter().copied()),
            Pattern::Suffix(suffix) => {
                let suffix: Vec<_> = labels::split(suffix).collect();
                name.ends_with(&suffix)
            }
            _ => false,
        };
        let rank = |pattern: &Pattern| {
            (labels::count(&pattern.value()), matches!(pattern, Pattern::Exact(_)))
        };
        (0..patterns.len())
            .filter(|&at| matches(&patterns[at]))
            .max_by_key(|&at| (rank(&patterns[at]), core::cmp::Reverse(at)))
    }

    fn label() -> impl Strategy<Value = String> {
        prop_oneof!["[ab]", "[a-c]{1,3}", Just("a\\.b".to_owned()), Just("a\\\\".to_owned())]
    }

    fn dotted(labels: core::ops::Range<usize>) -> impl Strategy<Value = String> {
        proptest::collection::vec(label(), labels).prop_map(|labels| labels.join("."))
    }

    fn pattern() -> impl Strategy<Value = Pattern> {
        (dotted(1..5), any::<bool>()).prop_map(|(name, exact)| {
            if exact { Pattern::Exact(name) } else { Pattern::Suffix(name) }
        })
    }

    proptest! {
        #[test]
        fn the_index_answers_as_the_specification(
            patterns in proptest::collection::vec(pattern(), 0..40),
            asked in proptest::collection::vec(dotted(0..7), 1..40),
        ) {
            let index = names(&patterns);
            for name in &asked {
                let want = naive(&patterns, name);
                let got = index.longest(name);
                prop_assert_eq!(got.map(|found| found.rule), want.map(rule), "{}", name);
                if let (Some(found), Some(at)) = (got, want) {
                    prop_assert_eq!(&name[found.start..], patterns[at].value());
                }
            }
        }

        #[test]
        fn nested_prefixes_answer_as_the_longest_that_holds(
            prefixes in proptest::collection::vec((any::<u16>(), 0u8..=16), 0..20),
            v6 in any::<bool>(),
            asked in proptest::collection::vec(any::<u16>(), 1..50),
        ) {
            // Sixteen bits in the middle of the address stand for all of it.
            let place = |bits: u16| if v6 {
                Addr::from_bits(u128::from(bits) << 96 | 0x2001 << 112)
            } else {
                let [high, low] = bits.to_be_bytes();
                Addr::from_v4([198, high, low, 0])
            };
            let base = if v6 { 16 } else { 8 };
            let patterns: Vec<_> = prefixes
                .iter()
                .map(|&(bits, length)| {
                    let (first, _) = range(place(bits), base + length);
                    Pattern::Prefix { address: Addr::from_bits(first).to_ip(), length: base + length }
                })
                .collect();
            let index = Prefixes::build(
                patterns.iter().zip(0..).map(|(pattern, at)| (pattern, Rule::Indicator(at))),
            );
            for bits in asked {
                let addr = place(bits);
                let want = (0..patterns.len())
                    .filter(|&at| {
                        let (first, last) = range(place(prefixes[at].0), base + prefixes[at].1);
                        (first..=last).contains(&addr.bits())
                    })
                    .max_by_key(|&at| (prefixes[at].1, core::cmp::Reverse(at)));
                prop_assert_eq!(index.longest(addr), want.map(rule));
            }
        }
    }

    #[test]
    fn a_name_of_a_thousand_labels_costs_its_length_once() {
        let index = names(&[Pattern::Suffix("a.a.a".into())]);
        let long = vec!["a"; 1_000].join(".");
        assert!(index.longest(&long).is_some());
        assert!(index.longest(&"\\".repeat(1_020)).is_none());
        assert!(index.longest(&".".repeat(255)).is_none());
    }

    #[test]
    fn the_prefix_of_everything_ends_at_the_last_address() {
        let all = Pattern::Prefix { address: "::".parse().unwrap(), length: 0 };
        let index = Prefixes::build([(&all, Rule::Indicator(1))].into_iter());
        assert_eq!(index.longest(Addr::from_bits(u128::MAX)), Some(Rule::Indicator(1)));
        assert_eq!(index.longest(Addr::from_bits(0)), Some(Rule::Indicator(1)));
    }
}
