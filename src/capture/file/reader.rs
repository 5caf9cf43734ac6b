//! One capture file, from any stream of octets.

use core::fmt;
use core::ops::ControlFlow;
use core::ops::Deref;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

use super::BLOCK;
use super::decompress::{Compression, Decompressed};
use super::format::{Fault, Format, Step};
use super::pcap;
use super::pcapng;
use super::whole::Whole;
use crate::capture::sys::Mapping;
use crate::capture::{BATCH, Batch, CaptureError, Counters, Filter, Source};
use crate::frame::{Frame, SourceId};
use crate::prefetch::{LINE, prefetch};
use crate::time::Timestamp;

/// One capture, in the order of its records.
///
/// ```no_run
/// use core::time::Duration;
/// use vendorwatch::capture::file::Reader;
/// use vendorwatch::capture::{Batch, Source};
/// use vendorwatch::frame::SourceId;
///
/// let mut reader = Reader::open("office.pcapng.zst".as_ref(), SourceId(0))?;
/// while let Batch::Frames(_) = reader.batch(Duration::ZERO, &mut |frame| {
///     println!("{} {} octets", frame.number, frame.data.len());
/// })? {}
/// # Ok::<(), vendorwatch::capture::CaptureError>(())
/// ```
pub struct Reader {
    kind: Kind,
    tape: Tape,
}

/// Octets of a file that are in memory. Whoever keeps a clone may go on reading them; the reader
/// then goes on in another block.
pub(in crate::capture) type Block = Arc<Octets>;

/// How octets of a file come into memory.
#[derive(Debug)]
pub(in crate::capture) enum Octets {
    /// Copied there, as much at once as there was room for.
    Read(Vec<u8>),
    /// They are the kernel's own.
    Mapped(Mapping),
}

impl Deref for Octets {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(octets) => octets,
            Self::Mapped(octets) => octets,
        }
    }
}

/// Octets in a block of its own, if nobody else has the block and they were copied.
fn own(block: &mut Block) -> Option<&mut Vec<u8>> {
    match Arc::get_mut(block) {
        Some(Octets::Read(octets)) => Some(octets),
        Some(Octets::Mapped(_)) | None => None,
    }
}

/// The format of the records.
#[derive(Debug)]
enum Kind {
    PcapLittle(pcap::Records<false>),
    PcapBig(pcap::Records<true>),
    Pcapng(pcapng::Blocks),
}

/// Where [`Reader::run`] stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    /// As many frames were handed out as asked for.
    Full,
    /// Whoever takes the frames has enough.
    Enough,
    /// The next frame has this time, which is later than asked for.
    Later(Timestamp),
    /// The file ended.
    End,
}

impl Reader {
    /// Opens the file at `path`; `-` is standard input.
    ///
    /// # Errors
    /// When it cannot be opened or is not a capture.
    pub fn open(path: &Path, source: SourceId) -> Result<Self, CaptureError> {
        if path.as_os_str() == "-" {
            return Self::new("standard input", io::stdin(), source);
        }
        let what = path.display().to_string();
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return Err(CaptureError::Open { what, why: error.to_string() }),
        };
        // Advice only: a pipe has no pages to read ahead.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        let whole = file.try_clone().map(Whole::new).unwrap_or_default();
        Self::begin(&what, file, whole, source)
    }

    /// Reads `input`, which errors call `what`.
    ///
    /// # Errors
    /// When it cannot be read or is not a capture.
    pub fn new(
        what: &str,
        input: impl Read + Send + 'static,
        source: SourceId,
    ) -> Result<Self, CaptureError> {
        Self::begin(what, input, Whole::default(), source)
    }

    fn begin(
        what: &str,
        input: impl Read + Send + 'static,
        whole: Whole,
        source: SourceId,
    ) -> Result<Self, CaptureError> {
        let read = Arc::new(AtomicU64::new(0));
        let input = Counted { input, read: Arc::clone(&read) };
        let mut tape = Tape {
            what: what.to_owned(),
            source,
            input: Box::new(input),
            read,
            whole,
            long: LONG,
            octets: Arc::new(Octets::Read(vec![0; BLOCK])),
            spare: Vec::new(),
            start: 0,
            end: 0,
            base: 0,
            skip: 0,
            number: 0,
            counters: Counters::default(),
            filter: None,
            ended: false,
        };
        tape.fill_to(pcap::Header::LEN)?;
        if let Some(compression) = Compression::detect(tape.waiting()) {
            tape.decompress(compression)?;
            tape.fill_to(pcap::Header::LEN)?;
        }
        let kind = tape.detect()?;
        Ok(Self { kind, tape })
    }

    /// Hands out only frames that pass `filter`. The others keep their numbers.
    pub fn set_filter(&mut self, filter: Filter) {
        self.tape.filter = Some(filter);
    }

    /// From now on copies what it reads: it is one of many.
    pub(super) fn copy(&mut self) {
        self.tape.whole = Whole::default();
    }

    /// Are frames handed out where the kernel has them?
    #[cfg(test)]
    pub(super) fn is_mapped(&self) -> bool {
        matches!(*self.tape.octets, Octets::Mapped(_))
    }

    pub(super) fn set_source(&mut self, source: SourceId) {
        self.tape.source = source;
    }

    /// Frames walked past, handed out or not.
    pub(super) fn walked(&self) -> u64 {
        self.tape.number
    }

    /// Of these, how many the filter left out.
    pub(super) fn left_out(&self) -> u64 {
        self.tape.number - self.tape.counters.packets
    }

    /// How the file is called in errors.
    pub fn what(&self) -> &str {
        &self.tape.what
    }

    /// Octets read so far, as they lie on disk: compressed ones before decompression.
    pub fn octets_read(&self) -> u64 {
        self.tape.read.load(Relaxed)
    }

    /// The time of the next frame; `None` at the end.
    ///
    /// # Errors
    /// When the file breaks off before it.
    pub fn peek(&mut self) -> Result<Option<Timestamp>, CaptureError> {
        match self.run(Timestamp::ZERO, 1, &mut |_, _, _| ControlFlow::Continue(()), true)? {
            Stop::Later(at) => Ok(Some(at)),
            Stop::Full | Stop::Enough | Stop::End => Ok(None),
        }
    }

    /// Hands out frames up to and including the time `until`, at most `most`, each with the block
    /// it lies in and where it begins there, until `each` breaks off; with `peek`, none.
    pub(super) fn run(
        &mut self,
        until: Timestamp,
        most: usize,
        each: &mut impl FnMut(&Frame<'_>, &Block, usize) -> ControlFlow<()>,
        peek: bool,
    ) -> Result<Stop, CaptureError> {
        match &mut self.kind {
            Kind::PcapLittle(records) => self.tape.run(records, until, most, each, peek),
            Kind::PcapBig(records) => self.tape.run(records, until, most, each, peek),
            Kind::Pcapng(blocks) => self.tape.run(blocks, until, most, each, peek),
        }
    }
}

impl Source for Reader {
    fn batch(
        &mut self,
        _patience: Duration,
        each: &mut impl FnMut(&Frame<'_>),
    ) -> Result<Batch, CaptureError> {
        let before = self.tape.counters.packets;
        let forever = Timestamp::from_nanos(u64::MAX);
        let mut each = |frame: &Frame<'_>, _: &Block, _| {
            each(frame);
            ControlFlow::Continue(())
        };
        let stop = self.run(forever, BATCH, &mut each, false)?;
        let count = usize::try_from(self.tape.counters.packets - before).unwrap_or(usize::MAX);
        Ok(if stop == Stop::End && count == 0 { Batch::End } else { Batch::Frames(count) })
    }

    fn counters(&mut self) -> Counters {
        let mut counters = self.tape.counters;
        if let Kind::Pcapng(blocks) = &self.kind {
            let dropped = blocks.dropped();
            counters.dropped_interface = dropped.interface;
            counters.dropped_kernel = dropped.kernel;
        }
        counters
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("what", &self.tape.what)
            .field("number", &self.tape.number)
            .finish_non_exhaustive()
    }
}

/// The octets of a file as they pass by.
///
/// Invariant: `start <= end <= octets.len()`; `octets[start..end]` is read but not yet walked and
/// begins at the boundary of a record, `skip` octets of which are not wanted.
struct Tape {
    what: String,
    source: SourceId,
    input: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    whole: Whole,
    /// Octets of the last record that was longer than [`LONG`].
    long: usize,
    octets: Block,
    /// Blocks that others still read, or did: taken again when nobody does.
    spare: Vec<Block>,
    start: usize,
    end: usize,
    /// Where `octets[0]` lies in the (decompressed) file.
    base: u64,
    skip: u64,
    /// Number of the last frame.
    number: u64,
    counters: Counters,
    filter: Option<Filter>,
    ended: bool,
}

impl Tape {
    #[inline]
    fn run<F: Format>(
        &mut self,
        format: &mut F,
        until: Timestamp,
        most: usize,
        each: &mut impl FnMut(&Frame<'_>, &Block, usize) -> ControlFlow<()>,
        peek: bool,
    ) -> Result<Stop, CaptureError> {
        let mut walked = 0;
        loop {
            let mapped = matches!(*self.octets, Octets::Mapped(_));
            let want = loop {
                if self.skip > 0 {
                    let skipped = self.skip.min((self.end - self.start) as u64);
                    // `skipped` is at most the length of the block.
                    self.start += usize::try_from(skipped).unwrap_or_default();
                    self.skip -= skipped;
                    if self.skip > 0 {
                        break 1;
                    }
                }
                if walked == most {
                    return Ok(Stop::Full);
                }
                let octets = &self.octets[self.start..self.end];
                match format.step(octets) {
                    Step::Frame { head, used } => {
                        if peek || head.at > until {
                            return Ok(Stop::Later(head.at));
                        }
                        let begins = self.start + head.data.start;
                        // The next record was read into memory, but not looked at yet.
                        let next = octets.get(used..).unwrap_or_default();
                        soon(next);
                        if mapped {
                            // Where a record begins is known from the one before alone, and
                            // memory is slower than the walk. Long ones mostly follow long ones.
                            if used > LONG {
                                self.long = used;
                            }
                            soon(next.get(self.long..).unwrap_or_default());
                            soon(next.get(2 * self.long..).unwrap_or_default());
                        }
                        let data = &octets[head.data];
                        self.start += used;
                        format.passed();
                        self.number += 1;
                        walked += 1;
                        if let Some(filter) = &mut self.filter
                            && !filter.passes(head.link, data)?
                        {
                            continue;
                        }
                        self.counters.packets += 1;
                        self.counters.bytes += u64::from(head.wire_len);
                        let frame = Frame {
                            data,
                            wire_len: head.wire_len,
                            at: head.at,
                            link: head.link,
                            source: self.source,
                            number: self.number,
                            vlan: None,
                        };
                        if each(&frame, &self.octets, begins).is_break() {
                            return Ok(Stop::Enough);
                        }
                    }
                    Step::Skip { used } => self.skip = used,
                    Step::Need(octets) => break octets,
                    Step::Broken(fault) => return Err(self.broken(fault)),
                }
            };
            if !self.refill(want)? {
                return Ok(Stop::End);
            }
        }
    }

    /// Reads on, so that a record of `want` octets may become whole. `false` at the end of the
    /// file between two records.
    #[cold]
    fn refill(&mut self, want: usize) -> Result<bool, CaptureError> {
        if self.ended {
            return Ok(false);
        }
        if self.map(want) {
            return Ok(true);
        }
        self.compact();
        if self.read_some()? > 0 {
            return Ok(true);
        }
        self.ended = true;
        let have = self.end as u64;
        if have == 0 && self.skip == 0 {
            return Ok(false);
        }
        let want = if self.skip > 0 { self.skip } else { want as u64 - have };
        Err(self.broken_because(format!("cut short, {want} octets or more are missing")))
    }

    /// Goes on in a mapping of the file, if that can be had and there is more of the file than is
    /// here.
    fn map(&mut self, want: usize) -> bool {
        let (next, known) = (self.base + self.start as u64, self.base + self.end as u64);
        let Some((from, mapping)) = self.whole.stretch(next, known, want) else { return false };
        self.end = mapping.len();
        // Within the first page.
        self.start = usize::try_from(next - from).unwrap_or_default();
        self.base = from;
        self.read.store(from + self.end as u64, Relaxed);
        self.octets = Arc::new(Octets::Mapped(mapping));
        self.spare.clear();
        true
    }

    /// Brings what waits to the front of a block that nobody else reads, with room behind it.
    fn compact(&mut self) {
        let waiting = self.start..self.end;
        let capacity = match &*self.octets {
            Octets::Read(octets) => octets.len(),
            Octets::Mapped(_) => BLOCK.max(waiting.len()),
        };
        // Grown by what has come, not by what a record claims.
        let want = if waiting.len() == capacity { capacity * 2 } else { capacity };
        if let Some(octets) = own(&mut self.octets) {
            octets.copy_within(waiting.clone(), 0);
            octets.resize(want, 0);
        } else {
            let idle = self.spare.iter_mut().position(|block| own(block).is_some());
            let mut next = match idle {
                Some(at) => self.spare.swap_remove(at),
                None => Arc::new(Octets::Read(Vec::new())),
            };
            if let Some(octets) = own(&mut next) {
                octets.resize(want, 0);
                octets[..waiting.len()].copy_from_slice(&self.octets[waiting.clone()]);
            }
            let before = std::mem::replace(&mut self.octets, next);
            if matches!(*before, Octets::Read(_)) {
                self.spare.push(before);
            }
        }
        self.base += waiting.start as u64;
        self.end = waiting.len();
        self.start = 0;
    }

    fn read_some(&mut self) -> Result<usize, CaptureError> {
        loop {
            // Nobody else has the block: a new reader's is its own, a later one was compacted.
            let room = own(&mut self.octets).map(|octets| &mut octets[self.end..]);
            let input = &mut self.input;
            let count = |count: &io::Result<usize>| *count.as_ref().unwrap_or(&0) as u64;
            match self.whole.timed(|| input.read(room.unwrap_or_default()), count) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken_because(error.to_string())),
            }
        }
    }

    /// Reads until `want` octets are waiting or the input ends.
    fn fill_to(&mut self, want: usize) -> Result<(), CaptureError> {
        while self.end - self.start < want && self.read_some()? > 0 {}
        Ok(())
    }

    fn waiting(&self) -> &[u8] {
        &self.octets[self.start..self.end]
    }

    /// From here on reads what is inside the compressed stream that waits.
    fn decompress(&mut self, compression: Compression) -> Result<(), CaptureError> {
        let begun = Cursor::new(self.waiting().to_vec());
        let input = std::mem::replace(&mut self.input, Box::new(io::empty()));
        let inside = Decompressed::start(compression, begun.chain(input)).map_err(|error| {
            CaptureError::Open { what: self.what.clone(), why: error.to_string() }
        })?;
        self.input = Box::new(inside);
        // What is inside is not as it lies in the file.
        self.whole = Whole::default();
        self.end = self.start;
        Ok(())
    }

    /// What the waiting octets, the beginning of a file, are.
    fn detect(&mut self) -> Result<Kind, CaptureError> {
        let octets = self.waiting();
        if let Some(header) = octets.first_chunk()
            && let Some(header) = pcap::Header::parse(header)
        {
            self.start += pcap::Header::LEN;
            return Ok(if header.big {
                Kind::PcapBig(pcap::Records(header))
            } else {
                Kind::PcapLittle(pcap::Records(header))
            });
        }
        if pcapng::begins(octets) {
            return Ok(Kind::Pcapng(pcapng::Blocks::default()));
        }
        let what = self.what.clone();
        let (why, foreign) = match known(octets) {
            Some(form) => (form, true),
            None if octets.is_empty() => ("it is empty", false),
            None => ("neither pcap nor pcapng, nor gzip or zstd around them", false),
        };
        Err(CaptureError::NotACapture { what, why: why.to_owned(), foreign })
    }

    #[cold]
    fn broken(&mut self, fault: Fault) -> CaptureError {
        self.broken_because(fault.to_string())
    }

    #[cold]
    fn broken_because(&mut self, why: String) -> CaptureError {
        let offset = self.base + self.start as u64;
        self.start = self.end;
        self.skip = 0;
        self.ended = true;
        CaptureError::Broken { what: self.what.clone(), offset, why }
    }
}

/// A record longer than this is long.
const LONG: usize = 512;

/// A record that begins like this will soon be looked at: its headers are in two cache lines.
#[inline]
fn soon(record: &[u8]) {
    record.iter().step_by(LINE).take(2).for_each(prefetch);
}

/// Files that may hold a capture and cannot be read here, by how they begin, and what to do.
fn known(octets: &[u8]) -> Option<&'static str> {
    Some(match octets {
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "it is compressed with xz; pipe `xz -dc` into `-`",
        [b'B', b'Z', b'h', ..] => "it is compressed with bzip2; pipe `bzip2 -dc` into `-`",
        [0x04, 0x22, 0x4d, 0x18, ..] => "it is compressed with lz4; pipe `lz4 -dc` into `-`",
        [b'P', b'K', 3, 4, ..] => "it is a zip archive; unpack it first",
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed twice",
        [b's', b'n', b'o', b'o', b'p', 0, ..] => "it is in snoop format; convert it with editcap",
        [b'G', b'M', b'B', b'U', ..] => "it is in Network Monitor format; convert it with editcap",
        magic if magic.len() < pcap::Header::LEN && is_begun(magic) => "it ends within its header",
        _ => return None,
    })
}

/// Do these few octets begin like a capture?
fn is_begun(octets: &[u8]) -> bool {
    octets.first_chunk().is_some_and(|magic| {
        pcap::Header::is_magic(*magic) || u32::from_be_bytes(*magic) == pcapng::SECTION_HEADER
    })
}

/// Counts the octets that pass.
struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        self.read.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}
