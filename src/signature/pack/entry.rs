//! One name as it lies in a pack, and a name that is asked for, written in the same way.

use super::code::{Code, Unwritable};

/// One name of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) tail: u16,
    pub(super) code: &'a [u8],
    pub(super) list: usize,
    /// Octets of all of it.
    pub(super) len: usize,
}

impl<'a> Entry<'a> {
    /// The entry at the beginning of `octets`; none when they are no whole entry.
    #[inline]
    pub(super) fn read(octets: &'a [u8], list_octets: usize) -> Option<Self> {
        let (&first, mut rest) = octets.split_first()?;
        let mut code_len = usize::from(first & LENGTH_MASK);
        if code_len == usize::from(LENGTH_MASK) {
            let (len, tail) = rest.split_first_chunk()?;
            code_len = usize::from(u16::from_le_bytes(*len));
            rest = tail;
        }
        let mut tail = u16::from(first >> LENGTH_BITS);
        if tail == COMMON_TAILS {
            let (number, after) = rest.split_first_chunk()?;
            tail = u16::from_le_bytes(*number);
            rest = after;
        }
        let (code, rest) = rest.split_at_checked(code_len)?;
        let (list, rest) = rest.split_at_checked(list_octets)?;
        let list = list.iter().rev().fold(0, |number, &octet| number << 8 | usize::from(octet));
        Some(Self { tail, code, list, len: octets.len() - rest.len() })
    }
}

/// Octets of an entry before its list, when the first octet alone says it.
#[inline]
pub(super) fn short_len(first: u8) -> Option<usize> {
    let code = first & LENGTH_MASK;
    (code != LENGTH_MASK && u16::from(first >> LENGTH_BITS) != COMMON_TAILS)
        .then(|| 1 + usize::from(code))
}

/// Octets that the number of a list takes.
pub(super) const fn list_octets(lists: usize) -> usize {
    match lists {
        0 | 1 => 0,
        2..=256 => 1,
        _ => 2,
    }
}

/// A name written as its entry would be, without the list.
pub(super) struct Wanted {
    octets: [u8; Self::MAX],
    start: usize,
    end: usize,
}

impl Wanted {
    /// The longest name in the longest codewords that occur.
    const MAX: usize = 512;
    /// Room before the code for the first octet, the long form of the length and the tail.
    const CODE_AT: usize = 5;

    pub(super) const fn new() -> Self {
        Self { octets: [0; Self::MAX], start: 0, end: 0 }
    }

    /// Writes code first, since its length stands before it.
    #[inline]
    pub(super) fn write(&mut self, code: &Code, tail: u16, head: &[u8]) -> Result<(), Unwritable> {
        let code_len = code.write(head, &mut self.octets[Self::CODE_AT..])?;
        let mut before = [0; Self::CODE_AT];
        let mut at = 1;
        let short = u8::try_from(code_len).ok().filter(|&len| len < LENGTH_MASK);
        if short.is_none() {
            let long = u16::try_from(code_len).map_err(|_| Unwritable)?;
            before[at..at + 2].copy_from_slice(&long.to_le_bytes());
            at += 2;
        }
        let common = u8::try_from(tail).ok().filter(|_| tail < COMMON_TAILS);
        if common.is_none() {
            before[at..at + 2].copy_from_slice(&tail.to_le_bytes());
            at += 2;
        }
        let class = common.unwrap_or(u8::MAX >> LENGTH_BITS);
        before[0] = class << LENGTH_BITS | short.unwrap_or(LENGTH_MASK);
        // Up against the code, so that nothing has to be moved.
        self.start = Self::CODE_AT - at;
        self.end = Self::CODE_AT + code_len;
        self.octets[self.start..Self::CODE_AT].copy_from_slice(&before[..at]);
        Ok(())
    }

    #[inline]
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets[self.start..self.end]
    }
}

/// The first octet of an entry: length of the code below, tail above.
const LENGTH_BITS: u32 = 5;
const LENGTH_MASK: u8 = (1 << LENGTH_BITS) - 1;
/// Tails that fit the first octet.
pub(super) const COMMON_TAILS: u16 = 7;
