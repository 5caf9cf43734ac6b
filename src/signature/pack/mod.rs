//! Packs: millions of names in one file, looked up as they lie there.
//!
//! In: the octets of a pack. Out: which list holds the longest suffix of a name. A pack is checked
//! once, whole, when it is read; after that every access is within bounds by the language, so a
//! look-up can answer wrongly at worst, and the hash and the signature stand against that.
//!
//! # Layout
//!
//! All numbers are little-endian. After the fixed [`Header`]: the manifest (JSON), the lengths of
//! the [`Code`], the tails (a line each), the filter, the directory, the entries. Then a SHA-256
//! of everything before it; then, in a signed pack, a [`Signature`](split_signature).
//!
//! * **Filter**: a Bloom filter whose bits for one name lie in one word. A name that is not in the
//!   pack costs one read of it, mostly.
//! * **Directory**: where the entries of each bucket begin. Names are spread over buckets by a
//!   seeded hash; the builder takes no seed under which a bucket is crowded.
//! * **Entry**: one octet with the length of the code and the commonest tails; the number of the
//!   tail where it is not one of those; the code; the number of the list where there are several.

mod build;
mod code;
mod manifest;

pub use build::{BuildError, Builder};
pub use code::Unwritable;
pub use manifest::{FileText, List, Manifest};

use core::ops::Range;

use sha2::{Digest, Sha256};

use self::code::{Code, SYMBOLS, Tails};
use super::labels::{self, Seed, Suffixes};

/// A pack, ready to be asked.
#[derive(Debug)]
pub struct Pack {
    octets: Vec<u8>,
    manifest: Manifest,
    header: Header,
    code: Code,
    tails: Tails,
    filter: Range<usize>,
    directory: Range<usize>,
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
    tails: u32,
    /// Words of 64 bits.
    filter: u32,
    buckets: u32,
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
        let filter = section("filter", u64::from(header.filter) * 8)?;
        let directory = section("directory", (u64::from(header.buckets) + 1) * 4)?;
        let entries = at..body_len;

        let manifest = Manifest::from_json(&octets[manifest])?;
        let inconsistent = |section| PackError::Inconsistent { section };
        let mut symbols = [0; SYMBOLS];
        symbols.copy_from_slice(&octets[lengths]);
        let code = Code::from_lengths(symbols).ok_or(inconsistent("code"))?;
        let tails = core::str::from_utf8(&octets[tails]).map_err(|_| inconsistent("tails"))?;
        let tails = Tails::new(tails, header.seed).ok_or(inconsistent("tails"))?;
        if header.filter == 0 || header.buckets == 0 {
            return Err(inconsistent("header"));
        }
        let pack =
            Self { octets, manifest, header, code, tails, filter, directory, entries, digest };
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

    /// Octets that it takes in memory, apart from its manifest.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    /// The list with the longest suffix of `name`.
    #[inline]
    pub(super) fn longest(&self, name: &str) -> Option<Listed> {
        let mut depths = self.header.depths;
        let mut longest = None;
        for suffix in Suffixes::new(name, self.header.seed) {
            if depths & 1 == 1
                && self.may_hold(suffix.hash)
                && let Some(list) = self.find(suffix.hash, &name[suffix.start..], suffix.start == 0)
            {
                longest = Some(Listed { list, start: suffix.start, exact: self.is_exact(list) });
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
        let mut rest = self.entries.clone();
        core::iter::from_fn(move || {
            let entry = Entry::read(&self.octets[rest.clone()], self.list_octets())?;
            rest.start += entry.len;
            let head = self.code.read(entry.code);
            Some((self.tails.join(entry.tail, &head)?, entry.list))
        })
    }

    fn may_hold(&self, hash: u64) -> bool {
        let (word, bits) = filter_bits(hash, self.header.filter);
        self.word(word) & bits == bits
    }

    /// The list of `name`, which must be one for whole names only if `whole`.
    fn find(&self, hash: u64, name: &str, whole: bool) -> Option<usize> {
        let (tail, head) = self.tails.split(name);
        let mut wanted = Wanted::new();
        wanted.write(&self.code, tail, head.as_bytes()).ok()?;
        let list_octets = self.list_octets();
        let mut bucket = self.bucket(bucket_of(hash, self.header.buckets))?;
        while let Some(&first) = bucket.first() {
            if first == wanted.octets[0] && bucket.starts_with(wanted.octets()) {
                let list = Entry::read(bucket, list_octets)?.list;
                if whole || !self.is_exact(list) {
                    return Some(list);
                }
            }
            let len = match short_len(first) {
                Some(len) => len + list_octets,
                None => Entry::read(bucket, list_octets)?.len,
            };
            bucket = bucket.get(len..)?;
        }
        None
    }

    fn is_exact(&self, list: usize) -> bool {
        self.manifest.lists.get(list).is_some_and(|list| list.exact)
    }

    fn word(&self, number: usize) -> u64 {
        let octets = &self.octets[self.filter.clone()];
        octets
            .get(number * 8..)
            .and_then(|rest| rest.first_chunk())
            .map_or(0, |word| u64::from_le_bytes(*word))
    }

    fn bucket(&self, number: usize) -> Option<&[u8]> {
        let begin = self.bucket_start(number)?;
        let end = self.bucket_start(number + 1)?;
        self.octets[self.entries.clone()].get(begin..end)
    }

    fn bucket_start(&self, number: usize) -> Option<usize> {
        let octets = self.octets[self.directory.clone()].get(number * 4..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*octets)).ok()
    }

    fn list_octets(&self) -> usize {
        list_octets(self.manifest.lists.len())
    }

    /// Every bucket is made of whole entries, every entry of a known tail and list, and all are as
    /// many as the header says.
    fn check_entries(&self) -> Result<(), PackError> {
        let wrong = |section| PackError::Inconsistent { section };
        let buckets = self.header.buckets as usize;
        if self.bucket_start(0) != Some(0) || self.bucket_start(buckets) != Some(self.entries.len())
        {
            return Err(wrong("directory"));
        }
        let mut names = 0;
        for number in 0..buckets {
            let mut bucket = self.bucket(number).ok_or(wrong("directory"))?;
            while !bucket.is_empty() {
                let entry = Entry::read(bucket, self.list_octets()).ok_or(wrong("entries"))?;
                if usize::from(entry.tail) >= self.tails.len()
                    || entry.list >= self.manifest.lists.len()
                {
                    return Err(wrong("entries"));
                }
                names += 1;
                bucket = &bucket[entry.len..];
            }
        }
        if names == self.header.names { Ok(()) } else { Err(wrong("header")) }
    }

    const HASH_LEN: usize = 32;
}

/// May `name` stand in a pack's lists?
pub(super) fn is_writable(name: &str) -> bool {
    code::is_writable(name)
}

/// The octets that a signature covers, and the signature's text, if there is one. It lies at the
/// end: the text, its length (u32), [`SIGNED`].
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
            filter: take(&mut fields).map(u32::from_le_bytes)?,
            buckets: take(&mut fields).map(u32::from_le_bytes)?,
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
        out.extend_from_slice(&self.filter.to_le_bytes());
        out.extend_from_slice(&self.buckets.to_le_bytes());
    }
}

fn take<const N: usize>(fields: &mut &[u8]) -> Result<[u8; N], PackError> {
    let (field, rest) = fields.split_first_chunk().ok_or(PackError::Short { section: "header" })?;
    *fields = rest;
    Ok(*field)
}

/// One name of a bucket.
struct Entry<'a> {
    tail: u16,
    code: &'a [u8],
    list: usize,
    /// Octets of all of it.
    len: usize,
}

impl<'a> Entry<'a> {
    /// The entry at the beginning of `octets`; none when they are no whole entry.
    #[inline]
    fn read(octets: &'a [u8], list_octets: usize) -> Option<Self> {
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
fn short_len(first: u8) -> Option<usize> {
    let code = first & LENGTH_MASK;
    (code != LENGTH_MASK && u16::from(first >> LENGTH_BITS) != COMMON_TAILS)
        .then(|| 1 + usize::from(code))
}

/// A name written as its entry would be, without the list.
struct Wanted {
    octets: [u8; Self::MAX],
    len: usize,
}

impl Wanted {
    /// Longer than any name that the builder takes; longer ones are in no pack.
    const MAX: usize = 512;
    /// Room before the code for the first octet, the long form of the length and the tail.
    const CODE_AT: usize = 5;

    const fn new() -> Self {
        Self { octets: [0; Self::MAX], len: 0 }
    }

    /// Writes code first, since its length stands before it.
    fn write(&mut self, code: &Code, tail: u16, head: &[u8]) -> Result<(), Unwritable> {
        let code_len = code.write(head, &mut self.octets[Self::CODE_AT..])?;
        let code_len = u16::try_from(code_len).map_err(|_| Unwritable)?;
        let mut before = [0; Self::CODE_AT];
        let mut at = 1;
        let short = u8::try_from(code_len).ok().filter(|&len| len < LENGTH_MASK);
        if short.is_none() {
            before[at..at + 2].copy_from_slice(&code_len.to_le_bytes());
            at += 2;
        }
        let common = u8::try_from(tail).ok().filter(|_| tail < COMMON_TAILS);
        if common.is_none() {
            before[at..at + 2].copy_from_slice(&tail.to_le_bytes());
            at += 2;
        }
        let class = common.unwrap_or(u8::MAX >> LENGTH_BITS);
        before[0] = class << LENGTH_BITS | short.unwrap_or(LENGTH_MASK);
        let code_len = usize::from(code_len);
        self.octets.copy_within(Self::CODE_AT..Self::CODE_AT + code_len, at);
        self.octets[..at].copy_from_slice(&before[..at]);
        self.len = at + code_len;
        Ok(())
    }

    fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// The word of the filter that a name's bits are in, and the bits.
#[inline]
fn filter_bits(hash: u64, words: u32) -> (usize, u64) {
    let spread = labels::fold(hash, FILTER_SPREAD);
    let bits = (0..FILTER_BITS).fold(0, |bits, at| bits | 1 << (spread >> (at * 6) & 63));
    (below(spread, words), bits)
}

#[inline]
fn bucket_of(hash: u64, buckets: u32) -> usize {
    below(hash, buckets)
}

/// Maps a hash evenly to a number below `bound`, by its upper bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below a u32")]
fn below(hash: u64, bound: u32) -> usize {
    ((u128::from(hash) * u128::from(bound)) >> 64) as usize
}

/// Octets that the number of a list takes.
const fn list_octets(lists: usize) -> usize {
    match lists {
        0 | 1 => 0,
        2..=256 => 1,
        _ => 2,
    }
}

/// With a carriage return and a line feed, so that a transfer as text is noticed.
const MAGIC: &[u8] = b"VWPACK\r\n";
const SIGNED: &[u8] = b"VWSIGN\r\n";
/// Raised whenever an older program could not read what is written.
const FORMAT: u32 = 1;
/// The first octet of an entry: length of the code below, tail above.
const LENGTH_BITS: u32 = 5;
const LENGTH_MASK: u8 = (1 << LENGTH_BITS) - 1;
/// Tails that fit the first octet.
const COMMON_TAILS: u16 = 7;
/// Bits that a name sets in the filter: with eight bits of filter a name, three names in a hundred
/// that are not in the pack pass.
const FILTER_BITS: u32 = 4;
const FILTER_SPREAD: u64 = 0x082e_fa98_ec4e_6c89;

#[cfg(test)]
mod tests;
