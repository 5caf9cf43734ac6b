//! QUIC Initials, sealed as a client seals them.

use crate::traffic::handshake::{crypto, initial_to};
use crate::traffic::talk::client_hello_message;

/// A ClientHello message for `www.example.com` of `len` octets.
pub(crate) fn hello(len: usize) -> Vec<u8> {
    let of = |filler| client_hello_message(Some("www.example.com"), 7, filler);
    of(len - of(0).len())
}

/// A client's Initial of 1,200 octets with a piece of a message.
pub(crate) fn initial(dcid: [u8; 8], number: u8, offset: usize, piece: &[u8]) -> Vec<u8> {
    let mut frames = crypto(offset, piece);
    frames.resize(0x49e - 17, 0);
    initial_to(dcid, 1, number, &frames)
}
