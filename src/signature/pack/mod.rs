//! Packs: millions of names in one file, looked up as they lie there.
//!
//! In: the octets of a pack. Out: which list holds the longest suffix of a name. A pack is checked
//! once, whole, when it is read; after that every access is within bounds by the language, so a
//! look-up can answer wrongly at worst, and the hash and the signature stand against that.
//!
//! # Layout
//!
//! All numbers are little-endian. After the fixed `Header`: the manifest (JSON), the lengths of
//! the `Code`, the tails (a line each), the marks, zeros up to a multiple of sixteen, the groups,
//! the entries. Then a SHA-256 of
//! everything before it; then, in a signed pack, a [signature](split_signature).
//!
//! * **Tails**: suffixes that many names share, as `com` or `blogspot.com`. Few enough to stay in
//!   the caches. A tail may be listed itself: that is its **mark**, two numbers of lists.
//! * **Groups**: sixteen octets each: where the group's entries begin, and 96 bits of a Bloom
//!   filter over them. All names that agree in the label before their longest tail are in one
//!   group, so whatever the number of labels of a name that is asked for, one group is read for
//!   it; and where it is not listed, as a rule nothing besides. The builder makes a suffix a tail
//!   before too many names agree in it.
//! * **Entry**: one octet with the length of the code and the commonest tails; the number of the
//!   tail where it is not one of those; the code; the number of the list where there are several.

mod build;
mod code;
mod entry;
mod manifest;

pub use build::{BuildError, Builder};
pub use code::Unwritable;
pub use manifest::{FileText, List, Manifest};

use core::ops::Range;

use sha2::{Digest, Sha256};

use self::code::{Code, SYMBOLS, Tails};
use self::entry::{Entry, Wanted, list_octets, short_len};
use super::labels::{self, Seed, Suffix, Suffixes};
use crate::prefetch::prefetch;

/// A pack, ready to be asked.
#[derive(Debug)]
pub struct Pack {
    octets: Vec<u8>,
    manifest: Manifest,
    header: Header,
    code: Code,
    tails: Tails,
    groups: Range<usize>,
    entries: Range<usize>,
    digest: [u8; 32],
}

/// Why octets are no pack.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PackError {
    #[error("is no pack: the first octets differ")]
    Magic,
    #[error("has format {found}; this program reads format {FORMAT}")]
    Format { found: u32 },
    #[error("is cut off in its {section}")]
    Short { section: &'static str },
    #[error("does not hash to what it says: it was damaged or changed")]
    Hash,
    #[error("has a manifest that cannot be read: {0}")]
    Manifest(String),
    #[error("is inconsistent in its {section}")]
    Inconsistent { section: &'static str },
}

/// The fixed part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Header {
    names: u64,
    seed: Seed,
    /// Bit n: some name has n + 1 labels. Other depths need not be asked.
    depths: u128,
    manifest: u32,
    /// Octets of the tails' text, and how many there are.
    tails: u32,
    tail_count: u32,
    groups: u32,
}

/// The list that holds a suffix of a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Listed {
    /// Position among the manifest's lists.
    pub(super) list: usize,
    /// Offset in the name.
    pub(super) start: usize,
    pub(super) exact: bool,
}

/// What a tail is as a name of its own: the numbers plus one of the lists that hold it, with the
/// names below it or alone; zero for none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Mark {
    below: u16,
    exact: u16,
}

impl Pack {
    /// Takes the octets of a pack, with its signature or without; checks all of them.
    pub fn read(mut octets: Vec<u8>) -> Result<Self, PackError> {
        let signed = split_signature(&octets).0.len();
        let body_len =
            signed.checked_sub(Self::HASH_LEN).ok_or(PackError::Short { section: "header" })?;
        // Magic and format first: a foreign file should be called one, not a damaged pack.
        let (header, mut at) = Header::read(&octets)?;
        let digest: [u8; 32] = Sha256::digest(&octets[..body_len]).into();
        if octets[body_len..signed] != digest {
            return Err(PackError::Hash);
        }
        octets.truncate(body_len);

        let mut section = |name: &'static str, len: u64| {
            let short = PackError::Short { section: name };
            let len = usize::try_from(len).map_err(|_| short.clone())?;
            let range = at..at.checked_add(len).filter(|&end| end <= body_len).ok_or(short)?;
            at = range.end;
            Ok::<_, PackError>(range)
        };
        let manifest = section("manifest", header.manifest.into())?;
        let lengths = section("code", SYMBOLS as u64)?;
        let tails = section("tails", header.tails.into())?;
        let marks = section("marks", u64::from(header.tail_count) * MARK_LEN as u64)?;
        let padding = section("padding", padding(marks.end) as u64)?;
        let groups = section("groups", (u64::from(header.groups) + 1) * GROUP_LEN as u64)?;
        let entries = at..body_len;

        let manifest = Manifest::from_json(&octets[manifest])?;
        let inconsistent = |section| PackError::Inconsistent { section };
        if octets[padding].iter().any(|&octet| octet != 0) {
            return Err(inconsistent("padding"));
        }
        let mut symbols = [0; SYMBOLS];
        symbols.copy_from_slice(&octets[lengths]);
        let code = Code::from_lengths(symbols).ok_or(inconsistent("code"))?;
        let tails = core::str::from_utf8(&octets[tails]).map_err(|_| inconsistent("tails"))?;
        let marks = octets[marks].chunks_exact(MARK_LEN).map(Mark::read).collect();
        let tails = Tails::new(tails, marks, header.seed).ok_or(inconsistent("tails"))?;
        if header.groups == 0 {
            return Err(inconsistent("header"));
        }
        let pack = Self { octets, manifest, header, code, tails, groups, entries, digest };
        pack.check_entries()?;
        Ok(pack)
    }

    /// Name, version, lists and files.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many names it holds.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.header.names
    }

    /// Does it hold no name?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.header.names == 0
    }

    /// SHA-256 of the pack without its signature.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What a signature of it covers, in two parts.
    #[must_use]
    pub fn signed_octets(&self) -> [&[u8]; 2] {
        [&self.octets, &self.digest]
    }

    /// Octets that it takes in memory, apart from its manifest and tails.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    /// The list with the longest suffix of `name`.
    ///
    /// Reads the tails of the name, one group and, where its filter says so, the group's entries.
    #[inline]
    pub(super) fn longest(&self, name: &str) -> Option<Listed> {
        let mut suffixes = Suffixes::new(name, self.header.seed);
        let mut depths = self.header.depths;
        let mut longest = None;
        let mut tail = 0;
        let mut head_end = name.len();
        let beyond = loop {
            let suffix = suffixes.next()?;
            // An empty first label must stay in the head, or `.com` would be written as `com`.
            let found = match suffix.start {
                1 => None,
                start => self.tails.find(suffix.hash, &name[start..]),
            };
            let Some((number, mark)) = found else { break suffix };
            longest = Self::marked(mark, suffix.start).or(longest);
            if suffix.start == 0 {
                return longest;
            }
            (tail, head_end) = (number, suffix.start - 1);
            depths >>= 1;
        };
        let group = below(labels::fold(beyond.hash, GROUP_SPREAD), self.header.groups);
        let (_, filter) = self.group(group);
        for Suffix { start, hash } in core::iter::once(beyond).chain(suffixes) {
            if depths & 1 == 1
                && may_hold(filter, hash)
                && let Some(list) = self.find(group, tail, &name[start..head_end], start == 0)
            {
                longest = Some(Listed { list, start, exact: self.is_exact(list) });
            }
            depths >>= 1;
            if depths == 0 {
                break;
            }
        }
        longest
    }

    /// Every name with its list's number, in no useful order.
    pub fn names(&self) -> impl Iterator<Item = (String, usize)> {
        let marked = (0..self.tails.len()).flat_map(move |number| {
            let mark = self.tails.mark(number);
            [mark.below, mark.exact].into_iter().filter_map(move |list| {
                let name = self.tails.get(u16::try_from(number).ok()?)?;
                Some((name.to_owned(), usize::from(list.checked_sub(1)?)))
            })
        });
        let mut rest = self.entries.clone();
        let code = self.code.reader();
        let entries = core::iter::from_fn(move || {
            let entry = Entry::read(&self.octets[rest.clone()], self.list_octets())?;
            rest.start += entry.len;
            let head = code.read(entry.code);
            Some((self.tails.join(entry.tail, &head)?, entry.list))
        });
        marked.chain(entries)
    }

    /// Does the list with this number hold `name` itself? Not for the way of a packet.
    pub(super) fn holds(&self, name: &str, list: usize) -> bool {
        let (tail, head, beyond) = self.tails.split(name);
        let Some(beyond) = beyond else {
            let Mark { below, exact } = self.tails.mark(tail.into());
            return [below, exact].into_iter().any(|marked| usize::from(marked) == list + 1);
        };
        let mut wanted = Wanted::new();
        if wanted.write(&self.code, tail, head.as_bytes()).is_err() {
            return false;
        }
        let group = below(labels::fold(beyond, GROUP_SPREAD), self.header.groups);
        let mut entries = self.entries_of(group).unwrap_or_default();
        while let Some(entry) = Entry::read(entries, self.list_octets()) {
            if entry.list == list && entries.starts_with(wanted.octets()) {
                return true;
            }
            entries = &entries[entry.len..];
        }
        false
    }

    /// What the mark of a tail that begins at `start` of the name says.
    fn marked(mark: Option<Mark>, start: usize) -> Option<Listed> {
        let mark = mark?;
        let exact = mark.exact.checked_sub(1).filter(|_| start == 0);
        let list = exact.or(mark.below.checked_sub(1))?;
        Some(Listed { list: list.into(), start, exact: exact.is_some() })
    }

    /// The list of the name with this tail and head, which must be one for whole names only if
    /// `whole`.
    fn find(&self, group: usize, tail: u16, head: &str, whole: bool) -> Option<usize> {
        let mut entries = self.entries_of(group)?;
        // All lines of the cache are asked for at a time, before the name is written, so that they
        // come while it is.
        LINES.iter().filter_map(|&at| entries.get(at)).for_each(prefetch);
        let mut wanted = Wanted::new();
        wanted.write(&self.code, tail, head.as_bytes()).ok()?;
        let wanted = wanted.octets();
        let list_octets = self.list_octets();
        while let Some(&first) = entries.first() {
            if first == wanted[0] && entries.starts_with(wanted) {
                let list = Entry::read(entries, list_octets)?.list;
                if whole || !self.is_exact(list) {
                    return Some(list);
                }
            }
            let len = match short_len(first) {
                Some(len) => len + list_octets,
                None => Entry::read(entries, list_octets)?.len,
            };
            entries = entries.get(len..)?;
        }
        None
    }

    fn is_exact(&self, list: usize) -> bool {
        self.manifest.lists.get(list).is_some_and(|list| list.exact)
    }

    /// Where the entries of a group begin, and its filter.
    #[inline]
    fn group(&self, number: usize) -> (u32, [u32; 3]) {
        let groups = &self.octets[self.groups.clone()];
        let record = groups.get(number * GROUP_LEN..).and_then(|rest| rest.first_chunk());
        let record = record.map_or(0, |record| u128::from_le_bytes(*record));
        let word = |at: u32| low_word(record >> (32 * at));
        (word(0), [word(1), word(2), word(3)])
    }

    #[inline]
    fn entries_of(&self, group: usize) -> Option<&[u8]> {
        let (begin, end) = (self.group_start(group)?, self.group_start(group + 1)?);
        self.octets[self.entries.clone()].get(begin..end)
    }

    fn group_start(&self, number: usize) -> Option<usize> {
        usize::try_from(self.group(number).0).ok()
    }

    fn list_octets(&self) -> usize {
        list_octets(self.manifest.lists.len())
    }

    /// Every group is made of whole entries, every entry of a known tail and list, and all are as
    /// many as the header says.
    fn check_entries(&self) -> Result<(), PackError> {
        let wrong = |section| PackError::Inconsistent { section };
        let groups = self.header.groups as usize;
        if self.group_start(0) != Some(0) || self.group_start(groups) != Some(self.entries.len()) {
            return Err(wrong("groups"));
        }
        let lists = self.manifest.lists.len();
        let mut names = 0;
        for number in 0..self.tails.len() {
            let Mark { below, exact } = self.tails.mark(number);
            if usize::from(below) > lists || usize::from(exact) > lists {
                return Err(wrong("marks"));
            }
            names += u64::from(below != 0) + u64::from(exact != 0);
        }
        for number in 0..groups {
            let mut entries = self.entries_of(number).ok_or(wrong("groups"))?;
            while !entries.is_empty() {
                let entry = Entry::read(entries, self.list_octets()).ok_or(wrong("entries"))?;
                if usize::from(entry.tail) >= self.tails.len() || entry.list >= lists {
                    return Err(wrong("entries"));
                }
                names += 1;
                entries = &entries[entry.len..];
            }
        }
        if names == self.header.names { Ok(()) } else { Err(wrong("header")) }
    }

    const HASH_LEN: usize = 32;
}

impl Mark {
    fn read(octets: &[u8]) -> Self {
        match *octets {
            [a, b, c, d] => {
                Self { below: u16::from_le_bytes([a, b]), exact: u16::from_le_bytes([c, d]) }
            }
            _ => Self::default(),
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.below.to_le_bytes());
        out.extend_from_slice(&self.exact.to_le_bytes());
    }
}

/// May `name` stand in a pack's lists?
pub(super) fn is_writable(name: &str) -> bool {
    code::is_writable(name)
}

/// The octets that a signature covers, and the signature's text, if there is one. It lies at the
/// end: the text, its length (u32), `SIGNED`.
#[must_use]
pub fn split_signature(octets: &[u8]) -> (&[u8], Option<&str>) {
    let signature = || {
        let rest = octets.strip_suffix(SIGNED)?;
        let (rest, len) = rest.split_last_chunk::<4>()?;
        let at = rest.len().checked_sub(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        let (body, text) = rest.split_at(at);
        Some((body, core::str::from_utf8(text).ok()?))
    };
    match signature() {
        Some((body, text)) => (body, Some(text)),
        None => (octets, None),
    }
}

/// Puts a signature at the end of a pack.
pub fn append_signature(octets: &mut Vec<u8>, text: &str) {
    octets.extend_from_slice(text.as_bytes());
    octets.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    octets.extend_from_slice(SIGNED);
}

impl Header {
    fn read(octets: &[u8]) -> Result<(Self, usize), PackError> {
        let rest = octets.strip_prefix(MAGIC).ok_or(PackError::Magic)?;
        let mut fields = rest;
        let format = take(&mut fields).map(u32::from_le_bytes)?;
        if format != FORMAT {
            return Err(PackError::Format { found: format });
        }
        let header = Self {
            manifest: take(&mut fields).map(u32::from_le_bytes)?,
            names: take(&mut fields).map(u64::from_le_bytes)?,
            seed: take(&mut fields).map(u64::from_le_bytes).map(Seed)?,
            depths: take(&mut fields).map(u128::from_le_bytes)?,
            tails: take(&mut fields).map(u32::from_le_bytes)?,
            tail_count: take(&mut fields).map(u32::from_le_bytes)?,
            groups: take(&mut fields).map(u32::from_le_bytes)?,
        };
        Ok((header, octets.len() - fields.len()))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.manifest.to_le_bytes());
        out.extend_from_slice(&self.names.to_le_bytes());
        out.extend_from_slice(&self.seed.0.to_le_bytes());
        out.extend_from_slice(&self.depths.to_le_bytes());
        out.extend_from_slice(&self.tails.to_le_bytes());
        out.extend_from_slice(&self.tail_count.to_le_bytes());
        out.extend_from_slice(&self.groups.to_le_bytes());
    }
}

fn take<const N: usize>(fields: &mut &[u8]) -> Result<[u8; N], PackError> {
    let (field, rest) = fields.split_first_chunk().ok_or(PackError::Short { section: "header" })?;
    *fields = rest;
    Ok(*field)
}

/// Octets between the marks, which end at `end`, and the groups: so that no record of a group lies
/// in two lines of the cache.
const fn padding(end: usize) -> usize {
    end.next_multiple_of(GROUP_LEN) - end
}

/// The bits that a name sets in the filter of its group, at their place above the group's start:
/// one in each word of thirty-two.
fn filter_bits(hash: u64) -> u128 {
    let drawn = labels::fold(hash, FILTER_SPREAD);
    (1..=FILTER_WORDS).fold(0, |bits, word| bits | 1 << (32 * word + (drawn >> (5 * word) & 31)))
}

/// Are the bits of [`filter_bits`] set in the filter of a group?
#[inline]
fn may_hold(filter: [u32; 3], hash: u64) -> bool {
    let drawn = labels::fold(hash, FILTER_SPREAD);
    let [a, b, c] = filter;
    (a >> (drawn >> 5 & 31)) & (b >> (drawn >> 10 & 31)) & (c >> (drawn >> 15 & 31)) & 1 == 1
}

/// Maps a hash evenly to a number below `bound`, by its upper bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below a u32")]
fn below(hash: u64, bound: u32) -> usize {
    ((u128::from(hash) * u128::from(bound)) >> 64) as usize
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lowest word is what is wanted")]
const fn low_word(bits: u128) -> u32 {
    bits as u32
}

/// With a carriage return and a line feed, so that a transfer as text is noticed.
const MAGIC: &[u8] = b"VWPACK\r\n";
const SIGNED: &[u8] = b"VWSIGN\r\n";
/// Raised whenever an older program could not read what is written.
const FORMAT: u32 = 1;
const MARK_LEN: usize = 4;
const GROUP_LEN: usize = 16;
/// Places in the entries of a group, a line of the cache apart: nearly all groups end there.
const LINES: [usize; 3] = [0, 64, 128];
/// A group's filter in words of 32 bits, after the word that says where its entries begin. A name
/// sets a bit in each: three in a hundred names that are not in the pack pass.
const FILTER_WORDS: u64 = 3;
const FILTER_SPREAD: u64 = 0x082e_fa98_ec4e_6c89;
const GROUP_SPREAD: u64 = 0x3f84_d5b5_b547_0917;

#[cfg(test)]
mod tests;
