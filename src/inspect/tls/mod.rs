//! TLS (RFC 8446, RFC 5246) as far as a passive observer can read it: the records of a
//! connection's beginning, the ClientHello and the ServerHello.
//!
//! In: the octets of one direction of a stream. Out: a [`ClientHello`] in place. A hello that is
//! cut is read as far as it goes: a name in front of the cut is a name seen. Limits: a hello of
//! [`Hello::LIMIT`] octets, in any number of records and segments.

pub mod certificate;
pub mod client_hello;
pub mod hello;
pub mod server_flight;
pub mod server_hello;

pub use client_hello::{ClientHello, Dialect, EchExtension};
pub use hello::{Hello, HelloStep};
pub use server_flight::ServerFlight;
pub use server_hello::ServerHello;

/// Record types (RFC 8446 §5.1).
pub mod content_type {
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    pub const ALERT: u8 = 21;
    pub const HANDSHAKE: u8 = 22;
}

/// How long a record before or within a ClientHello may be. One that is empty says nothing, and of
/// an alert or a ChangeCipherSpec servers take no notice there before TLS 1.3 (RFC 8446 §5.1): the
/// hello goes on behind it. `None` for what cannot stand there.
#[must_use]
pub const fn hello_record_limit(content: u8, handshake: usize) -> Option<usize> {
    match content {
        content_type::HANDSHAKE => Some(handshake),
        content_type::ALERT => Some(2),
        content_type::CHANGE_CIPHER_SPEC => Some(1),
        _ => None,
    }
}

/// Handshake message types (RFC 8446 §4).
pub mod handshake_type {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    /// Of DTLS (RFC 6347 §4.3.2).
    pub const HELLO_VERIFY_REQUEST: u8 = 3;
    pub const CERTIFICATE: u8 = 11;
    pub const CERTIFICATE_STATUS: u8 = 22;
}

/// A protocol version as it is on the wire. Unknown is a value.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u16);

impl Version {
    pub const SSL2: Self = Self(0x0002);
    pub const SSL3: Self = Self(0x0300);
    pub const TLS1_0: Self = Self(0x0301);
    pub const TLS1_2: Self = Self(0x0303);
    pub const TLS1_3: Self = Self(0x0304);

    /// Is this TLS 1.3, or one of its drafts (`0x7fNN`) or Facebook's (`0xfbNN`)?
    #[must_use]
    pub const fn is_tls13(self) -> bool {
        matches!(self.0, 0x0304 | 0x7f00..=0x7fff | 0xfb00..=0xfbff)
    }
}

/// Is this a value that clients send so that servers learn to ignore the unknown (RFC 8701 §2)?
#[must_use]
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}
