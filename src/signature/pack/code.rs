//! The code that names are kept in: about five bits a character, and equal only for equal names.
//!
//! A name is split at its longest *tail*, a suffix that many names share (`com`, `blogspot.com`),
//! which becomes a number. What stands before it is written with a Huffman code fitted to the
//! list. A name is compared by writing it down in the same way once and comparing octets; nothing
//! is ever decoded on the way of a packet.

use std::collections::BinaryHeap;

use super::Mark;
use crate::signature::labels::{self, Seed, Suffixes};

/// The characters of host names, as far as lists hold them: LDH (RFC 5890 §2.3.1), the underscore
/// of service names (RFC 8552) and the dot between labels.
const ALPHABET: &[u8; SYMBOLS] = b"abcdefghijklmnopqrstuvwxyz0123456789-_.";
pub(super) const SYMBOLS: usize = 39;

/// A name that the code has no way to write.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("holds a character that lists cannot hold")]
pub struct Unwritable;

/// May `name` stand in a list?
pub(super) fn is_writable(name: &str) -> bool {
    name.bytes().all(|octet| ALPHABET.contains(&octet))
}

/// A Huffman code over [`ALPHABET`] in its canonical form: the lengths say everything.
///
/// No codeword consists of ones alone: that one is left unused. So up to seven ones can fill the
/// last octet, and no two names are written alike: where one ends, what follows in the other
/// would have to be a codeword of ones.
#[derive(Clone, Debug)]
pub(super) struct Code {
    lengths: [u8; SYMBOLS],
    /// By octet: the codeword, at the lower end, and its length; zero for what cannot be written.
    words: Box<[(u32, u8); 256]>,
}

impl Code {
    /// Fits a code to how often each octet occurs.
    pub(super) fn fitted(counts: &[u64; 256]) -> Self {
        let total: u64 = counts.iter().sum();
        // A floor under the counts bounds the longest codeword well below `MAX_LENGTH`.
        let floor = total / 1024 + 1;
        let mut weights = [1; SYMBOLS + 1];
        for (weight, &octet) in weights.iter_mut().zip(ALPHABET) {
            *weight = counts[usize::from(octet)] + floor;
        }
        let all = huffman(&weights);
        let mut lengths = [0; SYMBOLS];
        lengths.copy_from_slice(&all[..SYMBOLS]);
        Self::canonical(lengths)
    }

    /// The code of these lengths, unless they are no prefix code that leaves the ones free.
    pub(super) fn from_lengths(lengths: [u8; SYMBOLS]) -> Option<Self> {
        let mut sum: u64 = 0;
        for length in lengths {
            if !(1..=MAX_LENGTH).contains(&length) {
                return None;
            }
            sum += 1 << (MAX_LENGTH - length);
        }
        // Kraft's inequality, strict: there is room for one more word.
        (sum < 1 << MAX_LENGTH).then(|| Self::canonical(lengths))
    }

    pub(super) const fn lengths(&self) -> &[u8; SYMBOLS] {
        &self.lengths
    }

    /// Writes `text` in code to the beginning of `out`, filled up to whole octets; says how many.
    /// What does not fit cannot be written.
    #[inline]
    pub(super) fn write(&self, text: &[u8], out: &mut [u8]) -> Result<usize, Unwritable> {
        let mut bits: u64 = 0;
        let mut held: u32 = 0;
        let mut at = 0;
        for &octet in text {
            let (word, length) = self.words[usize::from(octet)];
            if length == 0 {
                return Err(Unwritable);
            }
            bits = bits << length | u64::from(word);
            held += u32::from(length);
            if held >= 32 {
                held -= 32;
                let four = out.get_mut(at..at + 4).ok_or(Unwritable)?;
                four.copy_from_slice(&low_half(bits >> held).to_be_bytes());
                at += 4;
            }
        }
        // Ones to the end of the last octet, then as many octets as hold something.
        let last = (bits << (32 - held)) | ((1 << (32 - held)) - 1);
        let octets = held.div_ceil(8) as usize;
        let rest = out.get_mut(at..at + octets).ok_or(Unwritable)?;
        rest.copy_from_slice(&low_half(last).to_be_bytes()[..octets]);
        Ok(at + octets)
    }

    fn canonical(lengths: [u8; SYMBOLS]) -> Self {
        let mut order: Vec<usize> = (0..SYMBOLS).collect();
        order.sort_by_key(|&symbol| (lengths[symbol], symbol));
        let mut words = Box::new([(0, 0); 256]);
        let mut next: u32 = 0;
        let mut before = 0;
        for symbol in order {
            let length = lengths[symbol];
            next <<= length - before;
            before = length;
            words[usize::from(ALPHABET[symbol])] = (next, length);
            next += 1;
        }
        Self { lengths, words }
    }

    /// What undoes [`Self::write`]. For listing a pack, not for look-ups.
    pub(super) fn reader(&self) -> CodeReader {
        let mut words: Vec<(u8, u32, char)> = ALPHABET
            .iter()
            .map(|&octet| {
                let (word, length) = self.words[usize::from(octet)];
                (length, word, char::from(octet))
            })
            .collect();
        words.sort_unstable();
        let mut first = [(0, 0, 0); MAX_LENGTH as usize + 1];
        for (at, &(length, word, _)) in words.iter().enumerate() {
            let (begin, base, count) = &mut first[usize::from(length)];
            if *count == 0 {
                (*begin, *base) = (word, at);
            }
            *count += 1;
        }
        CodeReader { characters: words.iter().map(|&(.., character)| character).collect(), first }
    }
}

/// Reads what a [`Code`] wrote. Words of one length follow each other, so that a word is known by
/// its distance from the first of its length.
#[derive(Debug)]
pub(super) struct CodeReader {
    /// In the order of their words.
    characters: Box<[char]>,
    /// By length: the first word, the place of its character, and how many words there are.
    first: [(u32, usize, u32); MAX_LENGTH as usize + 1],
}

impl CodeReader {
    /// The text that `octets` were written from.
    pub(super) fn read(&self, octets: &[u8]) -> String {
        let mut text = String::new();
        let (mut word, mut length) = (0_u32, 0);
        for bit in octets.iter().flat_map(|octet| (0..8).rev().map(move |at| octet >> at & 1)) {
            word = word << 1 | u32::from(bit);
            length += 1;
            let (begin, base, count) = self.first[length];
            match word.checked_sub(begin) {
                Some(distance) if distance < count => {
                    text.push(self.characters[base + distance as usize]);
                    (word, length) = (0, 0);
                }
                _ if length == usize::from(MAX_LENGTH) => break,
                _ => {}
            }
        }
        text
    }
}

/// The lengths of Huffman's code for these weights, the last symbol's as long as the longest.
fn huffman(weights: &[u64; SYMBOLS + 1]) -> [u8; SYMBOLS + 1] {
    use core::cmp::Reverse;
    // Nodes are numbered as they are made; the first are the symbols. The lightest are joined
    // first, and the last symbol weighs least.
    let mut parents = vec![0; 2 * weights.len() - 1];
    let mut heap: BinaryHeap<_> =
        weights.iter().enumerate().map(|(node, &weight)| Reverse((weight, node))).collect();
    for joined in weights.len()..parents.len() {
        let (Some(Reverse((a, first))), Some(Reverse((b, second)))) = (heap.pop(), heap.pop())
        else {
            break;
        };
        parents[first] = joined;
        parents[second] = joined;
        heap.push(Reverse((a + b, joined)));
    }
    let root = parents.len() - 1;
    core::array::from_fn(|symbol| {
        let mut node = symbol;
        let mut length = 0;
        while node != root {
            node = parents[node];
            length += 1;
        }
        length
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
const fn low_half(bits: u64) -> u32 {
    bits as u32
}

/// No codeword is longer; with the 31 bits that may be pending it fits a `u64`.
const MAX_LENGTH: u8 = 32;

/// Suffixes that many names share, numbered. Of each, its parents are among them too, so that the
/// longest one of a name is found by walking until the first that is not.
#[derive(Clone, Debug)]
pub(super) struct Tails {
    /// All tails, a line each; the first is empty.
    text: Box<str>,
    /// Where each line begins, and one past the end.
    starts: Box<[u32]>,
    /// By number.
    marks: Box<[Mark]>,
    seed: Seed,
    /// A bit for each tail's hash, sixteen for each tail that there is room for: it says of nearly
    /// every suffix that is no tail that it is none, and stays nearer than the slots.
    bits: Box<[u64]>,
    /// Open addressing; half full at most.
    slots: Box<[Slot]>,
}

/// The upper half of a tail's hash and the tail's number, zero for an empty slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: u32,
    number: u16,
    is_marked: bool,
}

impl Tails {
    /// More would not fit the number that an entry has for its tail.
    pub(super) const MAX: usize = 65_535;

    /// Tails, a line each, of which the first is empty.
    pub(super) fn new(text: &str, marks: Box<[Mark]>, seed: Seed) -> Option<Self> {
        let mut starts = vec![0];
        for end in memchr::memchr_iter(b'\n', text.as_bytes()) {
            starts.push(u32::try_from(end + 1).ok()?);
        }
        let count = starts.len();
        starts.push(u32::try_from(text.len() + 1).ok()?);
        if count > Self::MAX || count != marks.len() {
            return None;
        }
        let slots = vec![Slot::default(); (count * 2).next_power_of_two()].into_boxed_slice();
        let bits = vec![0; (count / 4).next_power_of_two()].into_boxed_slice();
        let starts = starts.into_boxed_slice();
        let mut tails = Self { text: text.into(), starts, marks, seed, bits, slots };
        if !tails.get(0)?.is_empty() {
            return None;
        }
        for number in 1..count {
            let number = u16::try_from(number).ok()?;
            let hash = labels::hash(tails.get(number)?, seed);
            let mut at = tails.home(hash);
            let mut chain = 0;
            while tails.slots[at].number != 0 {
                at = (at + 1) & (tails.slots.len() - 1);
                chain += 1;
                // Only tails that were made for the seed stand so close.
                if chain > MAX_CHAIN {
                    return None;
                }
            }
            let (word, bit) = tails.bit(hash);
            tails.bits[word] |= 1 << bit;
            let is_marked = tails.mark(number.into()) != Mark::default();
            tails.slots[at] = Slot { tag: tag(hash), number, is_marked };
        }
        Some(tails)
    }

    pub(super) const fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(super) const fn text(&self) -> &str {
        &self.text
    }

    /// What the tail with this number is as a name of its own.
    pub(super) fn mark(&self, number: usize) -> Mark {
        self.marks.get(number).copied().unwrap_or_default()
    }

    pub(super) fn get(&self, number: u16) -> Option<&str> {
        let number = usize::from(number);
        let (&start, &end) = (self.starts.get(number)?, self.starts.get(number + 1)?);
        self.text.get(start as usize..(end as usize).checked_sub(1)?)
    }

    /// The number of the longest tail of `name`, the text before it and its dot, and the hash of
    /// the suffix with one label more; none when the name is a tail itself.
    pub(super) fn split<'a>(&self, name: &'a str) -> (u16, &'a str, Option<u64>) {
        let (mut number, mut head) = (0, name);
        for suffix in Suffixes::new(name, self.seed) {
            let Some((found, _)) = self.find(suffix.hash, &name[suffix.start..]) else {
                return (number, head, Some(suffix.hash));
            };
            (number, head) = (found, &name[..suffix.start.saturating_sub(1)]);
        }
        (number, head, None)
    }

    /// The name of these two parts. A head in front of no tail is the whole name.
    pub(super) fn join(&self, number: u16, head: &str) -> Option<String> {
        Some(match (head, self.get(number)?) {
            (head, "") => head.to_owned(),
            ("", tail) => tail.to_owned(),
            (head, tail) => format!("{head}.{tail}"),
        })
    }

    /// The number of a tail, and its mark where it has one.
    #[inline]
    pub(super) fn find(&self, hash: u64, suffix: &str) -> Option<(u16, Option<Mark>)> {
        let (word, bit) = self.bit(hash);
        if self.bits[word] >> bit & 1 == 0 {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at];
            if slot.number == 0 {
                return None;
            }
            if slot.tag == tag(hash) && self.get(slot.number) == Some(suffix) {
                let mark = slot.is_marked.then(|| self.mark(slot.number.into()));
                return Some((slot.number, mark));
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn bit(&self, hash: u64) -> (usize, u32) {
        ((hash >> 19) as usize & (self.bits.len() - 1), (hash & 63) as u32)
    }

    fn home(&self, hash: u64) -> usize {
        (hash >> 13) as usize & (self.slots.len() - 1)
    }
}

/// A look-up goes past no more tails than these.
const MAX_CHAIN: usize = 1_024;

const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(text: &str) -> [u64; 256] {
        let mut counts = [0; 256];
        for octet in text.bytes() {
            counts[usize::from(octet)] += 1;
        }
        counts
    }

    fn written(code: &Code, text: &str) -> Vec<u8> {
        let mut out = vec![0; text.len() * 4 + 4];
        let len = code.write(text.as_bytes(), &mut out).unwrap();
        out.truncate(len);
        out
    }

    #[test]
    fn frequent_characters_are_short_and_the_lengths_say_everything() {
        let code = Code::fitted(&counts(&"eeeeeeeeaaaab.-".repeat(1_000)));
        assert!(code.words[usize::from(b'e')].1 < code.words[usize::from(b'q')].1);
        let again = Code::from_lengths(*code.lengths()).unwrap();
        assert_eq!(written(&again, "abe-q.e"), written(&code, "abe-q.e"));
    }

    #[test]
    fn lengths_that_are_no_code_are_refused() {
        assert!(Code::from_lengths([6; SYMBOLS]).is_some());
        assert!(Code::from_lengths([5; SYMBOLS]).is_none());
        assert!(Code::from_lengths([0; SYMBOLS]).is_none());
        assert!(Code::from_lengths([33; SYMBOLS]).is_none());
    }

    #[test]
    fn no_codeword_is_all_ones() {
        for text in ["", "a", "abcdefghijklmnopqrstuvwxyz0123456789-_.", "zzzzzzzzzzzzzzzz9"] {
            let code = Code::fitted(&counts(text));
            for &(word, length) in code.words.iter().filter(|(_, length)| *length > 0) {
                assert!(u64::from(word) + 1 < 1 << length, "{text:?}");
            }
        }
    }

    #[test]
    fn what_is_not_in_the_alphabet_cannot_be_written() {
        let code = Code::fitted(&counts("abc"));
        assert_eq!(code.write(b"a\\032", &mut [0; 64]), Err(Unwritable));
        assert_eq!(code.write(b"A", &mut [0; 64]), Err(Unwritable));
    }

    proptest! {
        #[test]
        fn different_texts_are_written_differently(
            sample in "[a-z0-9.-]{0,200}",
            a in "[a-e0-3.-]{0,12}",
            b in "[a-e0-3.-]{0,12}",
        ) {
            let code = Code::fitted(&counts(&sample));
            prop_assert_eq!(code.reader().read(&written(&code, &a)), a.clone());
            prop_assert_eq!(written(&code, &a) == written(&code, &b), a == b);
        }

        #[test]
        fn a_name_is_split_at_its_longest_tail(
            name in "[ab]{1,2}(\\.[ab]{1,2}){0,4}",
            tails in proptest::collection::btree_set("[ab]{1,2}(\\.[ab]{1,2}){0,2}", 0..20),
        ) {
            let mut closed = std::collections::BTreeSet::from([String::new()]);
            for tail in &tails {
                for suffix in Suffixes::new(tail, Seed(0)) {
                    closed.insert(tail[suffix.start..].to_owned());
                }
            }
            let lines: Vec<&str> = closed.iter().map(String::as_str).collect();
            let marks = vec![Mark::default(); lines.len()].into_boxed_slice();
            let tails = Tails::new(&lines.join("\n"), marks, Seed(5)).unwrap();
            let (number, head, beyond) = tails.split(&name);
            prop_assert_eq!(tails.join(number, head), Some(name.clone()));
            prop_assert_eq!(beyond.is_none(), closed.contains(&name));
            let longest = closed
                .iter()
                .filter(|tail| name == **tail || name.ends_with(&format!(".{tail}")))
                .map(String::len)
                .max()
                .unwrap_or(0);
            prop_assert_eq!(tails.get(number).unwrap().len(), longest);
        }
    }
}
