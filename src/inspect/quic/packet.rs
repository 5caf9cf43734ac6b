//! Long header packets, and the several of them in one datagram.

use crate::inspect::Malformed;
use crate::inspect::reader::Reader;

use super::version::{Dialect, Scheme, Types, Version};

/// The header that every version has (RFC 8999 §5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Invariant<'a> {
    pub first: u8,
    pub version: Version,
    /// Destination Connection ID.
    pub dcid: &'a [u8],
    /// Source Connection ID.
    pub scid: &'a [u8],
}

/// A connection ID of a version known here, as a value.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct ConnectionId {
    len: u8,
    octets: [u8; MAX_CID_LEN],
}

impl ConnectionId {
    /// Of at most twenty octets; what is longer is cut, which no version known here allows.
    #[must_use]
    pub fn new(octets: &[u8]) -> Self {
        let octets = octets.get(..MAX_CID_LEN).unwrap_or(octets);
        let mut cid = Self { len: u8::try_from(octets.len()).unwrap_or(0), ..Self::default() };
        cid.octets[..octets.len()].copy_from_slice(octets);
        cid
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// One packet with a long header, as far as it is readable without keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LongPacket<'a> {
    /// The server speaks other versions (RFC 8999 §6). Ends the datagram.
    VersionNegotiation(Invariant<'a>),
    /// A version without a [`Scheme`]. Ends the datagram: its length is not known.
    Unsupported(Invariant<'a>),
    /// RFC 9000 §17.2.2.
    Initial(Initial<'a>),
    /// RFC 9000 §17.2.5: the client begins again, with `scid` as its new DCID.
    Retry(Invariant<'a>),
    /// 0-RTT or Handshake: keys that nobody but the ends has.
    Opaque(Invariant<'a>),
}

/// An Initial packet, still protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Initial<'a> {
    pub header: Invariant<'a>,
    pub scheme: Scheme,
    pub token: &'a [u8],
    /// From the first octet of its header to its last octet, or to where the capture was cut.
    pub octets: &'a [u8],
    /// Where in `octets` the protected packet number begins.
    pub number_at: usize,
    /// Some of its end was not captured.
    pub cut: bool,
}

impl Initial<'_> {
    /// Octets that stand for this packet: equal in its copies, different in a retransmission, which
    /// has a packet number and so a keystream of its own (RFC 9000 §13.3), and in a packet with
    /// other contents under the same keys. The end of its tag; of a packet that was cut, ciphertext
    /// behind the longest packet number, as header protection samples (RFC 9001 §5.4.2).
    #[must_use]
    pub fn sample(&self) -> u32 {
        let octets = if self.cut {
            self.octets.get(self.number_at + 4..).and_then(<[u8]>::first_chunk)
        } else {
            self.octets.get(self.number_at..).and_then(<[u8]>::last_chunk)
        };
        octets.map_or(0, |octets| u32::from_be_bytes(*octets))
    }

    /// May this be a client's first packet? Its DCID would be at least eight octets of the
    /// client's choice (RFC 9000 §7.2).
    #[must_use]
    pub const fn may_be_first(&self) -> bool {
        self.header.dcid.len() >= Self::FIRST_DCID_LEN
    }

    const FIRST_DCID_LEN: usize = 8;
}

/// The packets of one datagram that have long headers (RFC 9000 §12.2).
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
    /// The datagram was longer on the wire.
    cut: bool,
}

impl<'a> Packets<'a> {
    /// Of a UDP payload; `cut` when its end was not captured.
    #[must_use]
    pub const fn new(datagram: &'a [u8], cut: bool) -> Self {
        Self { rest: datagram, cut }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<LongPacket<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        // A short header, padding behind the last packet, or the end.
        if self.rest.first().is_none_or(|first| first & LONG_FORM == 0) {
            return None;
        }
        let octets = core::mem::take(&mut self.rest);
        match read(octets, self.cut) {
            Ok((packet, rest)) => {
                self.rest = rest;
                Some(Ok(packet))
            }
            Err(malformed) => Some(Err(malformed)),
        }
    }
}

/// One packet and what follows it.
fn read(octets: &[u8], cut: bool) -> Result<(LongPacket<'_>, &[u8]), Malformed> {
    let mut reader = Reader::new(octets);
    let header = Invariant::read(&mut reader)?;
    if header.version == Version::NEGOTIATION {
        return Ok((LongPacket::VersionNegotiation(header), &[]));
    }
    let Some(scheme) = header.version.scheme() else {
        return Ok((LongPacket::Unsupported(header), &[]));
    };
    if header.dcid.len() > MAX_CID_LEN || header.scid.len() > MAX_CID_LEN {
        return Err(Malformed::Value { field: "Connection ID Length" });
    }
    let kind = scheme.types.number(header.first);
    let token = match kind {
        INITIAL => {
            let len = varint_len(&mut reader, "Token Length")?;
            reader.take(len, "Token")?
        }
        RETRY => return Ok((LongPacket::Retry(header), &[])),
        _ => &[],
    };
    let len = varint_len(&mut reader, "Length")?;
    let number_at = octets.len() - reader.left();
    let (end, cut) = match octets.len().checked_sub(number_at) {
        Some(have) if have >= len => (number_at + len, false),
        _ if cut => (octets.len(), true),
        _ => {
            let have = octets.len() - number_at;
            return Err(Malformed::Overrun { field: "Length", need: len, have });
        }
    };
    let (octets, rest) = octets.split_at(end);
    let packet = if kind == INITIAL {
        LongPacket::Initial(Initial { header, scheme, token, octets, number_at, cut })
    } else {
        LongPacket::Opaque(header)
    };
    Ok((packet, rest))
}

impl<'a> Invariant<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let first = reader.u8("First Byte")?;
        let version = Version(reader.u32("Version")?);
        let len = usize::from(reader.u8("Destination Connection ID Length")?);
        let dcid = reader.take(len, "Destination Connection ID")?;
        let len = usize::from(reader.u8("Source Connection ID Length")?);
        let scid = reader.take(len, "Source Connection ID")?;
        Ok(Self { first, version, dcid, scid })
    }

    /// May this be a client's first packet of a version that is not known here? A datagram that
    /// begins a connection is filled up to 1,200 octets in every version so far, and its DCID is
    /// unpredictable, so not short.
    #[must_use]
    pub const fn may_be_first(&self, datagram_len: u32) -> bool {
        datagram_len >= MIN_FIRST_DATAGRAM
            && self.dcid.len() >= Initial::FIRST_DCID_LEN
            && self.dcid.len() <= MAX_CID_LEN
            && self.scid.len() <= MAX_CID_LEN
            && self.version.is_plausible()
    }
}

impl Types {
    /// Does a long header that begins with this octet begin an Initial packet?
    #[inline]
    #[must_use]
    pub const fn is_initial(self, first: u8) -> bool {
        self.number(first) == INITIAL
    }

    /// The packet's type as version 1 numbers it.
    const fn number(self, first: u8) -> u8 {
        match self {
            Self::V1 => first >> 4 & 3,
            Self::V2 => (first >> 4).wrapping_sub(1) & 3,
        }
    }
}

impl Dialect {
    /// Is the handshake in its CRYPTO frames TLS?
    #[must_use]
    pub const fn carries_tls(self) -> bool {
        matches!(self, Self::Ietf | Self::GoogleTls)
    }
}

/// A variable-length integer (RFC 9000 §16).
pub(super) fn varint(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, Malformed> {
    let first = reader.u8(field)?;
    let value = u64::from(first & 0x3f);
    Ok(match first >> 6 {
        0 => value,
        1 => value << 8 | u64::from(reader.u8(field)?),
        2 => value << 24 | u64::from(reader.u24(field)?),
        _ => {
            let [a, b, c, d, e, f, g] = *reader.array(field)?;
            value << 56 | u64::from_be_bytes([0, a, b, c, d, e, f, g])
        }
    })
}

/// A variable-length integer that counts octets here.
#[inline]
pub(super) fn varint_len(reader: &mut Reader<'_>, field: &'static str) -> Result<usize, Malformed> {
    usize::try_from(varint(reader, field)?).map_err(|_| Malformed::Value { field })
}

/// Header Form bit: a long header (RFC 8999 §5.1).
const LONG_FORM: u8 = 0x80;
/// The type numbers of version 1 (RFC 9000 §17.2, Table 5).
const INITIAL: u8 = 0;
const RETRY: u8 = 3;
/// Of the versions known here (RFC 9000 §17.2).
const MAX_CID_LEN: usize = 20;
/// RFC 9000 §14.1.
const MIN_FIRST_DATAGRAM: u32 = 1_200;

#[cfg(test)]
mod tests {
    use super::*;

    /// A long header packet: type bits, version, token where it has one, payload.
    fn packet(first: u8, version: u32, token: Option<&[u8]>, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        out.extend(version.to_be_bytes());
        out.extend([8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0xaa, 0xbb]);
        if let Some(token) = token {
            out.push(u8::try_from(token.len()).unwrap());
            out.extend(token);
        }
        out.extend((u16::try_from(payload.len()).unwrap() | 0x4000).to_be_bytes());
        out.extend(payload);
        out
    }

    fn kind(octets: &[u8]) -> LongPacket<'_> {
        Packets::new(octets, false).next().unwrap().unwrap()
    }

    #[test]
    fn coalesced_packets_come_one_by_one() {
        let mut datagram = packet(0xc3, 1, Some(b"tok"), &[7; 40]);
        datagram.extend(packet(0xd3, 1, None, &[8; 30]));
        datagram.extend(packet(0xe3, 1, None, &[9; 20]));
        datagram.extend([0x40, 1, 2, 3]);
        let packets: Vec<_> = Packets::new(&datagram, false).map(Result::unwrap).collect();
        let [LongPacket::Initial(initial), LongPacket::Opaque(_), LongPacket::Opaque(_)] =
            packets[..]
        else {
            panic!("{packets:?}");
        };
        assert_eq!(initial.token, b"tok");
        assert_eq!(initial.header.dcid, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(initial.header.scid, [0xaa, 0xbb]);
        assert_eq!(initial.octets[initial.number_at..], [7; 40]);
        assert!(initial.may_be_first() && !initial.cut);
    }

    /// RFC 9000 §17.2.
    #[test]
    fn the_ids_of_either_end_have_up_to_twenty_octets() {
        for (dcid, scid) in [(0, 0), (8, 20), (20, 8), (20, 20), (8, 21), (21, 8)] {
            let id = |len: u8| [&[len][..], &[0xaa; 21][..usize::from(len)]].concat();
            let whole = packet(0xc3, 1, Some(b""), &[7; 40]);
            let datagram = [&whole[..5], &id(dcid), &id(scid), &whole[17..]].concat();
            match Packets::new(&datagram, false).next().unwrap() {
                Ok(LongPacket::Initial(initial)) if dcid <= 20 && scid <= 20 => {
                    assert_eq!(initial.header.dcid.len(), usize::from(dcid));
                    assert_eq!(initial.header.scid.len(), usize::from(scid));
                    assert_eq!(initial.octets[initial.number_at..], [7; 40]);
                }
                Err(_) if dcid > 20 || scid > 20 => {}
                other => panic!("{dcid} and {scid} octets: {other:?}"),
            }
        }
    }

    /// The examples of RFC 9000 §A.1.
    #[test]
    fn a_variable_length_integer_has_one_to_eight_octets() {
        let examples: [(&[u8], u64); 5] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (octets, value) in examples {
            let mut reader = Reader::new(octets);
            assert_eq!(varint(&mut reader, "number"), Ok(value));
            assert!(reader.is_empty());
            for len in 0..octets.len() {
                assert!(varint(&mut Reader::new(&octets[..len]), "number").is_err());
            }
        }
    }

    #[test]
    fn version_2_numbers_its_types_anew() {
        let initial = packet(0xd3, Version::V2.0, Some(b""), &[7; 40]);
        let zero_rtt = packet(0xe3, Version::V2.0, None, &[7; 40]);
        let retry = packet(0xc3, Version::V2.0, None, &[7; 40]);
        assert!(matches!(kind(&initial), LongPacket::Initial(_)));
        assert!(matches!(kind(&zero_rtt), LongPacket::Opaque(_)));
        assert!(matches!(kind(&retry), LongPacket::Retry(_)));
        for (types, initial) in [(Types::V1, 0xc3), (Types::V2, 0xd3)] {
            let first = (0xc3..=0xf3).step_by(0x10).filter(|&first| types.is_initial(first));
            assert_eq!(first.collect::<Vec<u8>>(), [initial]);
        }
    }

    #[test]
    fn a_length_beyond_the_datagram_is_malformed_unless_the_capture_cut_it() {
        let mut datagram = packet(0xc3, 1, Some(b""), &[7; 100]);
        datagram.truncate(80);
        assert!(Packets::new(&datagram, false).next().unwrap().is_err());
        let Some(Ok(LongPacket::Initial(initial))) = Packets::new(&datagram, true).next() else {
            panic!("not read");
        };
        assert!(initial.cut);
        assert_eq!(initial.octets.len(), 80);
    }

    #[test]
    fn no_prefix_of_a_datagram_is_a_surprise() {
        let datagram = packet(0xc3, 1, Some(b"token"), &[7; 40]);
        for len in 0..datagram.len() {
            for cut in [false, true] {
                for packet in Packets::new(&datagram[..len], cut).flatten() {
                    if let LongPacket::Initial(initial) = packet {
                        assert!(initial.number_at <= initial.octets.len());
                        assert!(initial.cut);
                    }
                }
            }
        }
    }
}
