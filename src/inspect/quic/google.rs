//! Google QUIC: the versions before Initial packets (Q025 to Q049), and the tagged messages of
//! QUIC crypto, which Q050 still has in its CRYPTO frames.
//!
//! The client's first packets are not encrypted: they carry a hash of their contents in the place
//! of a tag, and the CHLO message on stream 1.

use crate::inspect::Malformed;
use crate::inspect::reader::Reader;

use super::frame::Crypto;
use super::version::Version;

/// A client's packet of a version without Initials: in clear, when its hash says so.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub version: Version,
    pub connection_id: &'a [u8; 8],
    /// The number after the Q.
    revision: u8,
    /// What the hash covers besides the frames.
    header: &'a [u8],
    hash: &'a [u8; 12],
    /// Private flags where there are any, and the frames.
    body: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a UDP payload that carries a version, so comes from the client. `None`: not this.
    #[must_use]
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let first = reader.u8("Public Flags").ok()?;
        if first & 0x80 != 0 {
            return Self::read_long(datagram, first, reader);
        }
        let width = usize::from(flag::NUMBER_WIDTHS[usize::from(first >> 4 & 3)]);
        let own = flag::VERSION | flag::CONNECTION_ID;
        if first & (own | flag::RESET | flag::MULTIPATH) != own {
            return None;
        }
        let connection_id = reader.array("Connection ID").ok()?;
        let version = Version(reader.u32("Version").ok()?);
        let revision = revision(version).filter(|revision| *revision < 44)?;
        reader.take(width, "Packet Number").ok()?;
        Self::with_body(datagram, version, revision, connection_id, reader)
    }

    /// Q044 to Q049: a header shaped like the IETF's, nothing else.
    fn read_long(datagram: &'a [u8], first: u8, mut reader: Reader<'a>) -> Option<Self> {
        let version = Version(reader.u32("Version").ok()?);
        let revision = revision(version).filter(|revision| (44..50).contains(revision))?;
        // Both lengths in one octet, each less three: an eight-octet DCID and no SCID.
        if reader.u8("Connection ID Lengths").ok()? != 0x50 {
            return None;
        }
        let connection_id = reader.array("Destination Connection ID").ok()?;
        let width = if revision < 46 { 4 } else { usize::from(first & 3) + 1 };
        reader.take(width, "Packet Number").ok()?;
        Self::with_body(datagram, version, revision, connection_id, reader)
    }

    fn with_body(
        datagram: &'a [u8],
        version: Version,
        revision: u8,
        connection_id: &'a [u8; 8],
        mut reader: Reader<'a>,
    ) -> Option<Self> {
        let header = &datagram[..datagram.len() - reader.left()];
        let hash = reader.array("Message Authentication Hash").ok()?;
        Some(Self { version, connection_id, revision, header, hash, body: reader.rest() })
    }

    /// Does the hash say that the packet is whole and not encrypted? Reads all of it.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let perspective: &[u8] = if self.revision < 37 { b"" } else { b"Client" };
        let hash = fnv1a_128(&[self.header, self.body, perspective]);
        self.hash[..] == hash.to_le_bytes()[..12]
    }

    /// Does the packet, of which the hash cannot be told because its end was not captured, begin a
    /// hello in clear?
    #[must_use]
    pub fn begins_hello(&self) -> bool {
        self.crypto(true).next().is_some_and(|piece| piece.data.starts_with(b"CHLO"))
    }

    /// The pieces of the crypto stream in it. Ends at the first frame of a kind that a client's
    /// first packets do not have. `cut`: the last one may be shorter than it says.
    pub fn crypto(&self, cut: bool) -> impl Iterator<Item = Crypto<'a>> + use<'a> {
        let mut reader = Reader::new(self.body);
        if self.revision < 34 {
            // Private flags.
            let _ = reader.u8("Private Flags");
        }
        let little = self.revision < 39;
        core::iter::from_fn(move || {
            loop {
                match *reader.rest().first()? {
                    // Padding up to the end, or (later) one octet of it.
                    0 => {
                        let _ = reader.u8("PADDING");
                    }
                    0x80..=0xff => {
                        let (stream, crypto) = stream_frame(&mut reader, little, cut).ok()?;
                        if stream == CRYPTO_STREAM {
                            return Some(crypto);
                        }
                    }
                    _ => return None,
                }
            }
        })
    }

    /// Octets that stand for this packet: equal in its copies, not in a retransmission.
    #[must_use]
    pub fn sample(&self) -> u32 {
        let [a, b, c, d, ..] = *self.hash;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// A CHLO message (client hello) of QUIC crypto, as far as it is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientHello<'a> {
    /// The value of the SNI tag.
    pub server_name: Option<&'a [u8]>,
    /// All tags were read, so a name that is missing is missing.
    pub whole: bool,
}

impl<'a> ClientHello<'a> {
    /// The message tag and the number of entries.
    pub const HEADER_LEN: usize = 8;

    /// Reads the message that begins with `octets`.
    pub fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        if reader.array("message tag")? != b"CHLO" {
            return Err(Malformed::Value { field: "message tag" });
        }
        let [low, high, _, _] = *reader.array("number of entries")?;
        let entries = usize::from(u16::from_le_bytes([low, high]));
        if entries > MAX_ENTRIES {
            return Err(Malformed::Limit { field: "number of entries", limit: MAX_ENTRIES });
        }
        let Ok(index) = reader.take(entries * 8, "entries") else {
            return Ok(Self { server_name: None, whole: false });
        };
        let values = reader.rest();
        let mut start = 0;
        let mut server_name = None;
        for entry in index.chunks_exact(8) {
            let end = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]) as usize;
            if end < start {
                return Err(Malformed::Value { field: "end offset" });
            }
            if &entry[..4] == b"SNI\0" {
                server_name = values.get(start..end);
            }
            start = end;
        }
        let whole = start <= values.len();
        Ok(Self { server_name: server_name.filter(|name| !name.is_empty()), whole })
    }
}

/// A STREAM frame, `1fdoooss`: stream id, offset, length.
fn stream_frame<'a>(
    reader: &mut Reader<'a>,
    little: bool,
    cut: bool,
) -> Result<(u64, Crypto<'a>), Malformed> {
    let kind = reader.u8("Frame Type")?;
    let id_width = usize::from(kind & 3) + 1;
    let offset_width = match usize::from(kind >> 2 & 7) {
        0 => 0,
        n => n + 1,
    };
    let stream = integer(reader.take(id_width, "Stream ID")?, little);
    let offset = integer(reader.take(offset_width, "Offset")?, little);
    let len = if kind & 0x20 == 0 {
        reader.left()
    } else {
        let octets = *reader.array("Data Length")?;
        usize::from(if little { u16::from_le_bytes(octets) } else { u16::from_be_bytes(octets) })
    };
    let len = if cut { len.min(reader.left()) } else { len };
    Ok((stream, Crypto { offset, data: reader.take(len, "Stream Data")? }))
}

/// Up to eight octets; the byte order changed with Q039.
fn integer(octets: &[u8], little: bool) -> u64 {
    let fold = |value, &octet: &u8| value << 8 | u64::from(octet);
    if little { octets.iter().rev().fold(0, fold) } else { octets.iter().fold(0, fold) }
}

/// The number of a version `Q025` to `Q049`.
fn revision(version: Version) -> Option<u8> {
    let [b'Q', b'0', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = version.0.to_be_bytes() else {
        return None;
    };
    Some((tens - b'0') * 10 + (ones - b'0')).filter(|revision| (25..50).contains(revision))
}

/// FNV-1a over 128 bits (draft-eastlake-fnv).
fn fnv1a_128(parts: &[&[u8]]) -> u128 {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(OFFSET_BASIS, |hash, &octet| (hash ^ u128::from(octet)).wrapping_mul(PRIME))
}

/// Bits of the public flags.
mod flag {
    pub(super) const VERSION: u8 = 0x01;
    pub(super) const RESET: u8 = 0x02;
    /// Eight octets of it; older versions set a second bit (0x04) to say so.
    pub(super) const CONNECTION_ID: u8 = 0x08;
    pub(super) const MULTIPATH: u8 = 0x40;
    pub(super) const NUMBER_WIDTHS: [u8; 4] = [1, 2, 4, 6];
}

/// The stream that carries the handshake.
const CRYPTO_STREAM: u64 = 1;
/// Real hellos have some thirty tags; Google's own parser takes 128.
const MAX_ENTRIES: usize = 128;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A CHLO with a name and a tag of padding before it.
    pub(crate) fn chlo(name: &[u8], padding: usize) -> Vec<u8> {
        let mut message = b"CHLO\x02\0\0\0PAD\0".to_vec();
        let padding_ends = u32::try_from(padding).unwrap();
        message.extend(padding_ends.to_le_bytes());
        message.extend(b"SNI\0");
        message.extend((padding_ends + u32::try_from(name.len()).unwrap()).to_le_bytes());
        message.extend(vec![b'-'; padding]);
        message.extend(name);
        message
    }

    /// A Q043 packet with one piece of the crypto stream.
    pub(crate) fn q043(connection_id: [u8; 8], offset: u16, data: &[u8]) -> Vec<u8> {
        let mut header = vec![0x09];
        header.extend(connection_id);
        header.extend(b"Q043\x01");
        let mut body = vec![0xa4, 1];
        body.extend(offset.to_be_bytes());
        body.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        body.extend(data);
        let hash = fnv1a_128(&[&header, &body, b"Client"]);
        [&header[..], &hash.to_le_bytes()[..12], &body].concat()
    }

    #[test]
    fn a_clear_packet_is_known_by_its_hash() {
        let message = chlo(b"www.example.com", 100);
        let mut octets = q043(*b"12345678", 0, &message);
        let packet = Packet::read(&octets).unwrap();
        assert!(packet.is_clear());
        let pieces: Vec<_> = packet.crypto(false).collect();
        assert_eq!(pieces, [Crypto { offset: 0, data: &message }]);
        *octets.last_mut().unwrap() ^= 1;
        assert!(!Packet::read(&octets).unwrap().is_clear());
    }

    /// What the revisions changed: private flags went with Q034, the hash says who speaks since Q037,
    /// numbers are big-endian since Q039, the header is shaped like the IETF's since Q044, and its
    /// packet number as long as it says since Q046.
    #[test]
    fn a_clear_packet_is_read_in_the_form_of_each_revision() {
        let message = chlo(b"www.example.com", 100);
        let length = u16::try_from(message.len()).unwrap();
        for (revision, width) in
            (30..46).map(|revision| (revision, 4)).chain((1..=4).map(|width| (46, width)))
        {
            let version = format!("Q{revision:03}").into_bytes();
            let number = vec![7; usize::from(width)];
            let header = if revision < 44 {
                [&[0x29][..], b"12345678", &version, &number].concat()
            } else {
                [&[0xbf + width][..], &version, &[0x50], b"12345678", &number].concat()
            };
            let mut body = if revision < 34 { vec![0] } else { vec![] };
            body.extend([0xa4, 1]);
            for field in [0x0102, length] {
                body.extend(if revision < 39 { field.to_le_bytes() } else { field.to_be_bytes() });
            }
            body.extend(&message);
            let speaker: &[u8] = if revision < 37 { b"" } else { b"Client" };
            let hash = fnv1a_128(&[&header, &body, speaker]);
            let octets = [&header[..], &hash.to_le_bytes()[..12], &body].concat();
            let packet = Packet::read(&octets).unwrap();
            assert!(packet.is_clear(), "Q{revision:03}");
            let pieces: Vec<_> = packet.crypto(false).collect();
            assert_eq!(pieces, [Crypto { offset: 0x0102, data: &message }], "Q{revision:03}");
        }
    }

    #[test]
    fn a_hello_is_read_as_far_as_it_is_there() {
        let message = chlo(b"www.example.com", 100);
        for len in 8..=message.len() {
            let hello = ClientHello::read(&message[..len]).unwrap();
            let all = len == message.len();
            assert_eq!(hello.whole, all);
            assert_eq!(hello.server_name, all.then_some(&b"www.example.com"[..]));
        }
        assert!(ClientHello::read(b"REJ\0\x01\0\0\0").is_err());
    }

    #[test]
    fn other_datagrams_are_not_taken_for_it() {
        for octets in [&b"\x09Q043"[..], b"", b"\x0912345678Q050\x01", b"\xc3Q050\x50"] {
            assert!(Packet::read(octets).is_none());
        }
    }
}
