//! QUIC Initials, sealed as a client seals them.

use vendorwatch::inspect::quic::{Salt, Schedules};

use crate::traffic::talk::client_hello_message;

/// A ClientHello message for `www.example.com` of `len` octets.
pub(crate) fn hello(len: usize) -> Vec<u8> {
    let of = |filler| client_hello_message(Some("www.example.com"), 7, filler);
    of(len - of(0).len())
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
