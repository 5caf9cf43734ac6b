//! The frames of a client's Initial packet, of which only CRYPTO matters.

use crate::inspect::Malformed;
use crate::inspect::reader::Reader;

use super::packet::{varint, varint_len};
use super::version::Dialect;

/// A piece of the client's handshake (RFC 9000 §19.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crypto<'a> {
    pub offset: u64,
    pub data: &'a [u8],
}

/// The CRYPTO frames of a packet's payload. Ends at the first frame that may not be in an
/// Initial packet (RFC 9000 §12.4, Table 3), with an error.
#[derive(Clone, Debug)]
pub struct CryptoFrames<'a> {
    reader: Reader<'a>,
    dialect: Dialect,
    /// The payload was longer: its last frame is given as far as it goes.
    cut: bool,
}

impl<'a> CryptoFrames<'a> {
    /// Of an opened payload.
    #[must_use]
    pub const fn new(payload: &'a [u8], dialect: Dialect, cut: bool) -> Self {
        Self { reader: Reader::new(payload), dialect, cut }
    }

    /// Reads frames up to the next CRYPTO frame.
    fn advance(&mut self) -> Result<Option<Crypto<'a>>, Malformed> {
        loop {
            match self.reader.rest() {
                [] => return Ok(None),
                // Most of a first Initial may be PADDING: past it in one step.
                [PADDING, ..] => {
                    self.reader.take(zeros(self.reader.rest()), "PADDING")?;
                    continue;
                }
                _ => {}
            }
            let kind = self.reader.u8("Frame Type")?;
            match self.dialect {
                Dialect::Ietf => match kind {
                    PING => {}
                    ACK | ACK_ECN => self.ack(kind == ACK_ECN)?,
                    CRYPTO => return self.crypto().map(Some),
                    CONNECTION_CLOSE => {
                        varint(&mut self.reader, "Error Code")?;
                        varint(&mut self.reader, "Frame Type")?;
                        let len = varint_len(&mut self.reader, "Reason Phrase Length")?;
                        self.reader.take(len, "Reason Phrase")?;
                    }
                    _ => return Err(Malformed::Value { field: "Frame Type" }),
                },
                Dialect::GoogleTls | Dialect::GoogleTags => match kind {
                    GOOGLE_PING => {}
                    GOOGLE_CRYPTO => return self.crypto().map(Some),
                    // 0b01ntllmm. Its layout depends on all of its bits.
                    0x40..=0x7f => self.google_ack(kind)?,
                    _ => return Err(Malformed::Value { field: "Frame Type" }),
                },
            }
        }
    }

    /// RFC 9000 §19.6; Google's CRYPTO frame differs in its number alone.
    fn crypto(&mut self) -> Result<Crypto<'a>, Malformed> {
        let offset = varint(&mut self.reader, "Offset")?;
        let len = varint_len(&mut self.reader, "Length")?;
        let len = if self.cut { len.min(self.reader.left()) } else { len };
        Ok(Crypto { offset, data: self.reader.take(len, "Crypto Data")? })
    }

    /// RFC 9000 §19.3.
    fn ack(&mut self, ecn: bool) -> Result<(), Malformed> {
        varint(&mut self.reader, "Largest Acknowledged")?;
        varint(&mut self.reader, "ACK Delay")?;
        let ranges = varint(&mut self.reader, "ACK Range Count")?;
        varint(&mut self.reader, "First ACK Range")?;
        // Each round reads two octets or fails, so the count cannot spin us.
        for _ in 0..ranges {
            varint(&mut self.reader, "Gap")?;
            varint(&mut self.reader, "ACK Range Length")?;
        }
        if ecn {
            for field in ["ECT0 Count", "ECT1 Count", "ECN-CE Count"] {
                varint(&mut self.reader, field)?;
            }
        }
        Ok(())
    }

    /// Google's ACK frame: `01ntllmm`, largest acked (ll), delay, timestamps, blocks (mm).
    fn google_ack(&mut self, kind: u8) -> Result<(), Malformed> {
        let width = |bits: u8| [1, 2, 4, 6][usize::from(bits & 3)];
        self.reader.take(width(kind >> 2), "Largest Acked")?;
        self.reader.take(2, "Ack Delay Time")?;
        let blocks = if kind & 0x20 == 0 { 0 } else { self.reader.u8("Number Blocks")? };
        self.reader.take(width(kind), "First Ack Block Length")?;
        for _ in 0..blocks {
            self.reader.take(1 + width(kind), "Ack Block")?;
        }
        let stamps = self.reader.u8("Num Timestamps")?;
        for number in 0..stamps {
            self.reader.take(if number == 0 { 5 } else { 3 }, "Timestamp")?;
        }
        Ok(())
    }
}

impl<'a> Iterator for CryptoFrames<'a> {
    type Item = Result<Crypto<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.advance();
        if found.is_err() {
            self.reader = Reader::new(&[]);
            // Where the capture was cut, running out of octets is no fault of the packet.
            if self.cut {
                return None;
            }
        }
        found.transpose()
    }
}

/// How many octets from the first on are zero. Looks at many at once.
fn zeros(octets: &[u8]) -> usize {
    let chunks = octets.as_chunks::<64>().0;
    let whole = chunks.iter().position(|chunk| *chunk != [0; 64]).unwrap_or(chunks.len()) * 64;
    let rest = &octets[whole..];
    let words = rest.as_chunks::<8>().0;
    let word = words.iter().position(|word| *word != [0; 8]).unwrap_or(words.len()) * 8;
    let rest = &rest[word..];
    whole + word + rest.iter().position(|&octet| octet != 0).unwrap_or(rest.len())
}

/// RFC 9000 §19.
const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const ACK: u8 = 0x02;
const ACK_ECN: u8 = 0x03;
const CRYPTO: u8 = 0x06;
const CONNECTION_CLOSE: u8 = 0x1c;
/// Google's frame types before it took up those of the IETF.
const GOOGLE_PING: u8 = 0x07;
const GOOGLE_CRYPTO: u8 = 0x08;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crypto_frames_are_found_between_others() {
        let payload = [
            0, 0, 0x01, 0x02, 0x05, 0x00, 0x01, 0x00, 0x00, 0x02, // ACK with one more range
            0x06, 0x00, 0x03, b'a', b'b', b'c', 0x00, //
            0x06, 0x40, 0x64, 0x01, b'z', 0x01, 0x00, 0x00,
        ];
        let found: Vec<_> =
            CryptoFrames::new(&payload, Dialect::Ietf, false).collect::<Result<_, _>>().unwrap();
        assert_eq!(found, [Crypto { offset: 0, data: b"abc" }, Crypto { offset: 100, data: b"z" }]);
    }

    #[test]
    fn padding_ends_where_the_next_frame_begins() {
        for len in 0..200 {
            let mut octets = vec![0; len];
            assert_eq!(zeros(&octets), len);
            octets.extend([PING; 70]);
            assert_eq!(zeros(&octets), len);
        }
    }

    #[test]
    fn a_frame_that_has_no_place_here_ends_the_packet() {
        let payload = [0x06, 0x00, 0x01, b'a', 0x08, 0x00, 0x06, 0x01, 0x01, b'b'];
        let mut frames = CryptoFrames::new(&payload, Dialect::Ietf, false);
        assert!(frames.next().unwrap().is_ok());
        assert!(frames.next().unwrap().is_err());
        assert!(frames.next().is_none());
    }

    #[test]
    fn a_cut_frame_is_given_as_far_as_it_goes() {
        let payload = [0x06, 0x00, 0x09, b'a', b'b'];
        let cut: Vec<_> = CryptoFrames::new(&payload, Dialect::Ietf, true).collect();
        assert_eq!(cut, [Ok(Crypto { offset: 0, data: b"ab" })]);
        assert!(CryptoFrames::new(&payload, Dialect::Ietf, false).next().unwrap().is_err());
    }
}
