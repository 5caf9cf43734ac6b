//! Captures in files: classic pcap and pcapng, plain or inside gzip or zstd, from paths,
//! directories and standard input.
//!
//! A file is what its octets say, whatever its name. It is read in blocks of [`BLOCK`] octets by
//! `read(2)`, or in a mapping of some MiB where nobody can write to it (so on local file systems) and
//! that was measured to cost less, and frames are handed out where they lie. A compressed file is
//! decompressed by a thread of its own. One file is a [`Reader`]; several in the order of time are
//! [`Files`]. Memory is constant whatever the size of a file: the block or the mapping, grown when a
//! single record wants it, to at most 32 MiB.

mod decompress;
mod files;
mod format;
mod pcap;
mod pcapng;
mod reader;
#[cfg(test)]
mod tests;
mod whole;

pub use decompress::MAX_ZSTD_WINDOW_LOG;
pub use files::{Files, MAX_FILES, MAX_OPEN};
pub(super) use reader::Block;
pub use reader::Reader;

/// How much is asked of the kernel at once: fits a second-level cache, so that the copy made by
/// `read(2)` is still there when the frame is looked at.
pub const BLOCK: usize = 256 << 10;

/// Entry points for fuzzing; each asserts a property, not merely that nothing panics.
#[doc(hidden)]
pub mod fuzzing {
    use core::time::Duration;
    use std::io::Cursor;

    use super::Reader;
    use super::decompress::Compression;
    use crate::capture::{Batch, Source};
    use crate::frame::SourceId;

    /// Reads `octets` as a file: no frame lies about its length, and the numbers count up.
    pub fn capture_file(octets: &[u8]) {
        let input = Cursor::new(octets.to_vec());
        let Ok(mut reader) = Reader::new("fuzz", input, SourceId(0)) else { return };
        let mut number = 0;
        let mut held = 0;
        loop {
            let batch = reader.batch(Duration::ZERO, &mut |frame| {
                number += 1;
                held += frame.data.len();
                assert_eq!(frame.number, number);
                assert!(frame.data.len() <= frame.wire_len as usize);
            });
            if !matches!(batch, Ok(Batch::Frames(_))) {
                break;
            }
        }
        assert_eq!(reader.counters().packets, number);
        let compressed = Compression::detect(octets).is_some();
        assert!(compressed || held <= octets.len(), "octets out of nothing");
    }
}
