//! What handshakes are sent in: TLS records, DTLS fragments and QUIC's Initials.

use vendorwatch::inspect::quic::{Salt, Schedules};

pub(crate) fn vector16(octets: &[u8]) -> Vec<u8> {
    [&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat()
}

pub(crate) fn u24(n: usize) -> Vec<u8> {
    u32::try_from(n).unwrap().to_be_bytes()[1..].to_vec()
}

/// A handshake message (RFC 8446 §4).
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &u24(body.len()), body].concat()
}

/// TLS records (RFC 8446 §5.1) of at most `size` octets.
pub(crate) fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &vector16(part)].concat()).collect()
}

/// A DTLS record with a fragment of a ClientHello (RFC 6347 §4.1, §4.2.2).
pub(crate) fn dtls(body: &[u8], number: u8, from: usize, to: usize) -> Vec<u8> {
    let fragment =
        [vec![1], u24(body.len()), vec![0, 0], u24(from), u24(to - from), body[from..to].to_vec()];
    let header = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, number];
    [&header[..], &vector16(&fragment.concat())].concat()
}

/// A CRYPTO frame (RFC 9000 §19.6).
pub(crate) fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    [&[6][..], &varint(offset), &varint(data.len()), data].concat()
}

/// In two octets (RFC 9000 §16).
fn varint(n: usize) -> [u8; 2] {
    (u16::try_from(n).unwrap() | 0x4000).to_be_bytes()
}

/// A client's Initial packet (RFC 9000 §17.2.2).
pub(crate) fn initial(version: u32, number: u8, frames: &[u8]) -> Vec<u8> {
    initial_to(*b"\x83\x94\xc8\xf0\x3e\x51\x57\x08", version, number, frames)
}

/// The same with this Destination Connection ID.
pub(crate) fn initial_to(dcid: [u8; 8], version: u32, number: u8, frames: &[u8]) -> Vec<u8> {
    let (first, salt) = match version {
        0x6b33_43cf => (0xd0, Salt::V2),
        0xff00_001d => (0xc0, Salt::Draft29),
        _ => (0xc0, Salt::V1),
    };
    let mut header = vec![first];
    header.extend(version.to_be_bytes());
    header.push(8);
    header.extend(dcid);
    header.extend([0, 0]);
    header.extend(varint(frames.len() + 17));
    Schedules::default().client(salt, &dcid).seal(&header, &[number], frames)
}
