//! The labels of a name in its printed form, right to left, and a hash that grows with them.
//!
//! A dot ends a label unless an odd number of backslashes stands before it: `\.` is a dot inside
//! a label, `\\.` a backslash at its end.

/// The labels of `name`, leftmost first.
pub(super) fn split(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    core::iter::from_fn(move || {
        let text = rest?;
        let dot = (0..text.len()).find(|&at| is_boundary(text.as_bytes(), at));
        match dot {
            Some(dot) => {
                rest = Some(&text[dot + 1..]);
                Some(&text[..dot])
            }
            None => rest.take(),
        }
    })
}

/// How many labels `name` has.
pub(super) fn count(name: &str) -> usize {
    split(name).count()
}

/// Does the octet at `at` separate labels?
fn is_boundary(octets: &[u8], at: usize) -> bool {
    octets[at] == b'.'
        && octets[..at].iter().rev().take_while(|&&octet| octet == b'\\').count() % 2 == 0
}

/// What a hash begins with. Kept out of the constants so that names cannot be prepared against a
/// set whose seed is not known; a set whose seed is known still bounds the work of a look-up,
/// because its chains were measured when it was built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seed(pub(super) u64);

/// Walks a name's suffixes from the shortest to the whole name: `com`, `example.com`, …
///
/// Each step hashes one label and goes on from the hash of the suffix before it, so that a whole
/// walk reads every octet once, whatever the number of labels.
#[derive(Debug)]
pub(super) struct Suffixes<'a> {
    octets: &'a [u8],
    /// Where the last suffix began; one past the end at first.
    start: usize,
    state: u64,
    done: bool,
}

/// One suffix of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Suffix {
    /// Offset of its first octet in the name.
    pub(super) start: usize,
    pub(super) hash: u64,
}

impl<'a> Suffixes<'a> {
    #[inline]
    pub(super) fn new(name: &'a str, seed: Seed) -> Self {
        let octets = name.as_bytes();
        Self { octets, start: octets.len() + 1, state: seed.0, done: false }
    }
}

impl Iterator for Suffixes<'_> {
    type Item = Suffix;

    #[inline]
    fn next(&mut self) -> Option<Suffix> {
        if self.done {
            return None;
        }
        let end = self.start - 1;
        let mut start = end;
        loop {
            let Some(dot) = last_dot(&self.octets[..start]) else {
                (start, self.done) = (0, true);
                break;
            };
            if is_boundary(self.octets, dot) {
                start = dot + 1;
                break;
            }
            start = dot;
        }
        self.start = start;
        self.state = absorb(self.state, &self.octets[start..end]);
        Some(Suffix { start, hash: self.state })
    }
}

/// The place of the last dot, eight octets at a time.
#[inline]
pub(super) fn last_dot(octets: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const DOTS: u64 = 0x2e2e_2e2e_2e2e_2e2e;
    let mut rest = octets;
    while let Some((head, eight)) = rest.split_last_chunk::<8>() {
        let other = u64::from_le_bytes(*eight) ^ DOTS;
        // The upper bit of each octet that is zero in `other`, and of no other octet.
        let found = !(((other & LOW) + LOW) | other | LOW);
        if found != 0 {
            return Some(rest.len() - 1 - (found.leading_zeros() / 8) as usize);
        }
        rest = head;
    }
    rest.iter().rposition(|&octet| octet == b'.')
}

/// The hash of `name` as [`Suffixes`] ends with it.
pub(super) fn hash(name: &str, seed: Seed) -> u64 {
    Suffixes::new(name, seed).last().map_or(seed.0, |suffix| suffix.hash)
}

/// Mixes a label into the state: a folded multiplication for each eight octets, the length in the
/// first so that `a.b` and `ab` differ.
#[inline]
fn absorb(state: u64, label: &[u8]) -> u64 {
    let mut state = state ^ (label.len() as u64).wrapping_mul(LENGTH);
    let mut rest = label;
    while let Some((eight, tail)) = rest.split_first_chunk::<8>() {
        state = fold(state ^ u64::from_le_bytes(*eight), MULTIPLIER);
        rest = tail;
    }
    fold(state ^ up_to_seven(rest), TAIL)
}

/// The octets of `rest` (fewer than eight) as one number.
#[inline]
fn up_to_seven(rest: &[u8]) -> u64 {
    if let (Some(head), Some(tail)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*head)) << 32 | u64::from(u32::from_le_bytes(*tail));
    }
    match *rest {
        [a] => u64::from(a),
        [a, b] => u64::from(a) << 8 | u64::from(b),
        [a, b, c] => u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c),
        _ => 0,
    }
}

/// Both halves of the 128-bit product, so that every input bit reaches every output bit.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the halves of the product are what is wanted")]
pub(super) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

// Odd numbers with about as many ones as zeros (fractional digits of pi, as in Blowfish).
const LENGTH: u64 = 0x243f_6a88_85a3_08d3;
const MULTIPLIER: u64 = 0x1319_8a2e_0370_7345;
const TAIL: u64 = 0xa409_3822_299f_31d1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn suffixes(name: &str) -> Vec<&str> {
        Suffixes::new(name, Seed(1)).map(|suffix| &name[suffix.start..]).collect()
    }

    #[test]
    fn suffixes_grow_by_whole_labels() {
        assert_eq!(suffixes("a.bc.d"), ["d", "bc.d", "a.bc.d"]);
        assert_eq!(suffixes("x"), ["x"]);
        assert_eq!(suffixes(""), [""]);
        assert_eq!(suffixes("."), ["", "."]);
        assert_eq!(suffixes("a..b"), ["b", ".b", "a..b"]);
        assert_eq!(suffixes("a\\.b.c"), ["c", "a\\.b.c"]);
        assert_eq!(suffixes("a\\\\.b"), ["b", "a\\\\.b"]);
        assert_eq!(suffixes("a\\\\\\.b"), ["a\\\\\\.b"]);
    }

    #[test]
    fn where_labels_end_is_part_of_the_hash() {
        let seed = Seed(7);
        let names = ["ab.c", "a.bc", "abc", "a.b.c", "c.ab", ".abc", "abc."];
        for (at, one) in names.iter().enumerate() {
            for other in &names[at + 1..] {
                assert_ne!(hash(one, seed), hash(other, seed), "{one} {other}");
            }
        }
        assert_ne!(hash("abc", Seed(1)), hash("abc", Seed(2)));
    }

    proptest! {
        #[test]
        fn both_walks_agree(name in "[a-c.\\\\]{0,40}") {
            let forward: Vec<_> = split(&name).collect();
            let backward = suffixes(&name);
            prop_assert_eq!(forward.len(), backward.len());
            for (taken, suffix) in backward.iter().enumerate() {
                let joined = forward[forward.len() - 1 - taken..].join(".");
                prop_assert_eq!(*suffix, joined);
            }
        }

        #[test]
        fn the_hash_of_a_suffix_does_not_depend_on_what_is_before_it(
            head in "[a-z]{1,70}(\\.[a-z0-9-]{1,20}){0,3}",
            tail in "[a-z]{1,20}(\\.[a-z]{1,20}){0,3}",
        ) {
            let seed = Seed(99);
            let name = format!("{head}.{tail}");
            let found = Suffixes::new(&name, seed)
                .find(|suffix| suffix.start == head.len() + 1)
                .unwrap();
            prop_assert_eq!(found.hash, hash(&tail, seed));
        }
    }
}
