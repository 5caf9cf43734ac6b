//! QUIC Initials, sealed as a client seals them.

use vendorwatch::inspect::quic::{Salt, Schedules};

/// A ClientHello message for `www.example.com` of `len` octets.
pub(crate) fn hello(len: usize) -> Vec<u8> {
    let name = b"\x00\x00\x00\x14\x00\x12\x00\x00\x0fwww.example.com";
    let padding = len - 4 - 41 - 2 - 4 - name.len();
    let mut extensions = vec![0, 21];
    extensions.extend(u16::try_from(padding).unwrap().to_be_bytes());
    extensions.extend(vec![0; padding]);
    extensions.extend(name);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1];
    message.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend(body);
    message
}

/// A client's Initial of 1,200 octets with a piece of `message`.
pub(crate) fn initial(
    schedules: &Schedules,
    dcid: [u8; 8],
    number: u8,
    offset: usize,
    piece: &[u8],
) -> Vec<u8> {
    let mut header = vec![0xc0, 0, 0, 0, 1, 8];
    header.extend(dcid);
    header.extend([0, 0, 0x44, 0x9e]);
    let mut payload = vec![6];
    payload.extend((u16::try_from(offset).unwrap() | 0x4000).to_be_bytes());
    payload.extend((u16::try_from(piece.len()).unwrap() | 0x4000).to_be_bytes());
    payload.extend(piece);
    payload.resize(0x49e - 17, 0);
    schedules.client(Salt::V1, &dcid).seal(&header, &[number], &payload)
}
