//! gzip and zstd around a capture, undone by a thread of its own.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::bufread::GzDecoder;

use super::BLOCK;

/// The largest zstd window that is accepted, as a power of two: 32 MiB. `zstd -22 --ultra` and
/// `--long` use larger ones; their memory is for the operator to spend: `zstd -dc --long=31`.
pub const MAX_ZSTD_WINDOW_LOG: u32 = 25;

/// Blocks between the thread and the reader: one being filled, one waiting, one being read.
const BLOCKS: usize = 3;

/// What surrounds a capture, by its magic number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Compression {
    /// RFC 1952 §2.3.1.
    Gzip,
    /// RFC 8878 §3.1.1; skippable frames (§3.1.2) may come first.
    Zstd,
}

impl Compression {
    /// What `octets`, the beginning of a file, are compressed with.
    pub(super) fn detect(octets: &[u8]) -> Option<Self> {
        match *octets {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// The octets inside a compressed stream.
#[derive(Debug)]
pub(super) struct Decompressed {
    full: Receiver<io::Result<Vec<u8>>>,
    spare: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    read: usize,
}

impl Decompressed {
    /// Starts the thread. It ends with `input`, with the first error, or when `self` is dropped.
    pub(super) fn start(
        compression: Compression,
        input: impl Read + Send + 'static,
    ) -> io::Result<Self> {
        let (filled, full) = sync_channel(BLOCKS);
        let (spare, spares) = sync_channel(BLOCKS);
        for _ in 1..BLOCKS {
            let _ = spare.send(Vec::with_capacity(BLOCK));
        }
        thread::Builder::new().name("decompress".into()).spawn(move || {
            let input = BufReader::with_capacity(BLOCK, input);
            let end = match compression {
                Compression::Gzip => fill(Members::new(input), &spares, &filled),
                Compression::Zstd => zstd::stream::read::Decoder::with_buffer(input)
                    .and_then(|mut decoder| {
                        decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
                        fill(decoder, &spares, &filled)
                    })
                    .map_err(explained),
            };
            if let Err(error) = end {
                let _ = filled.send(Err(error));
            }
        })?;
        Ok(Self { full, spare, block: Vec::with_capacity(BLOCK), read: 0 })
    }
}

impl Read for Decompressed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.block.len() {
            let Ok(next) = self.full.recv() else { return Ok(0) };
            let done = std::mem::replace(&mut self.block, next?);
            self.read = 0;
            let _ = self.spare.try_send(done);
        }
        let count = into.len().min(self.block.len() - self.read);
        into[..count].copy_from_slice(&self.block[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

/// The members of a gzip file (RFC 1952 §2.2) one after the other. Zeros behind the last are none
/// of it: tapes, and tools that write whole blocks, pad with them, and `gzip` takes no notice.
struct Members<R> {
    /// None behind the last.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(input: R) -> Self {
        Self { member: Some(GzDecoder::new(input)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let Some(mut input) = self.member.take().map(GzDecoder::into_inner) else { break };
            if !ends_in_zeros(&mut input)? {
                self.member = Some(GzDecoder::new(input));
            }
        }
        Ok(0)
    }
}

/// Passes over zeros: does nothing follow them?
fn ends_in_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let octets = input.fill_buf()?;
        if octets.is_empty() {
            return Ok(true);
        }
        let zeros = octets.iter().position(|octet| *octet != 0);
        let passed = zeros.unwrap_or(octets.len());
        input.consume(passed);
        if zeros.is_some() {
            return Ok(false);
        }
    }
}

/// Says what to do about a window that is too large; the library says only what it will not do.
fn explained(error: io::Error) -> io::Error {
    if error.to_string().contains("too much memory") {
        let most = 1 << (MAX_ZSTD_WINDOW_LOG - 20);
        let what =
            format!("its zstd window is over {most} MiB; pipe `zstd -dc --long=31` into `-`");
        io::Error::new(error.kind(), what)
    } else {
        error
    }
}

/// Fills spare blocks from `decoder` until it ends, fails, or nobody wants more. What was
/// decompressed before a failure is sent before the failure is returned.
fn fill(
    decoder: impl Read,
    spares: &Receiver<Vec<u8>>,
    filled: &SyncSender<io::Result<Vec<u8>>>,
) -> io::Result<()> {
    let mut decoder = decoder;
    while let Ok(mut block) = spares.recv() {
        block.clear();
        let end = decoder.by_ref().take(BLOCK as u64).read_to_end(&mut block);
        let last = block.len() < BLOCK;
        if !block.is_empty() && filled.send(Ok(block)).is_err() {
            return Ok(());
        }
        end?;
        if last {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    #[test]
    fn zeros_behind_a_capture_are_padding_and_other_octets_are_not() {
        let pack = |octets: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(octets).unwrap();
            encoder.finish().unwrap()
        };
        let members = [pack(b"one, "), pack(b"two")].concat();
        for (behind, sound) in [
            (vec![], true),
            (vec![0; 1], true),
            (vec![0; 3 * BLOCK], true),
            (vec![0, 0, 7], false),
            (members[..9].to_vec(), false),
        ] {
            let packed = [&members[..], &behind].concat();
            let mut inside = Vec::new();
            let mut outside = Decompressed::start(Compression::Gzip, Cursor::new(packed)).unwrap();
            assert_eq!(outside.read_to_end(&mut inside).is_ok(), sound, "{}", behind.len());
            assert_eq!(inside, b"one, two");
        }
    }

    #[test]
    fn of_a_window_that_is_too_large_it_is_said_what_to_do() {
        for (log, sound) in [(MAX_ZSTD_WINDOW_LOG, true), (MAX_ZSTD_WINDOW_LOG + 1, false)] {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.write_all(&[7; 4_096]).unwrap();
            let packed = encoder.finish().unwrap();
            let mut inside = Vec::new();
            let mut outside = Decompressed::start(Compression::Zstd, Cursor::new(packed)).unwrap();
            match outside.read_to_end(&mut inside) {
                Ok(_) => assert!(sound && inside == [7; 4_096], "{log}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(!sound && said.contains("over 32 MiB; pipe `zstd -dc"), "{said}");
                }
            }
        }
    }
}
