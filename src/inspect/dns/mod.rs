//! DNS (RFC 1035), its multicast (RFC 6762) and link-local (RFC 4795) relatives, and its framing
//! in streams (RFC 7766).
//!
//! In: one message. Out: its questions and records in place. A message that breaks off or
//! contradicts itself is read up to the fault. Limits: [`Message::MAX_RECORDS`] records looked
//! at, names of [`NameRef::LIMIT`] octets, [`NameRef::MAX_POINTERS`] compression pointers in one.

pub mod framing;
pub mod message;
pub mod name;
pub mod svcb;

pub use framing::Framing;
pub use message::{Header, Message, Question, Questions, Record};
pub use name::NameRef;
pub use svcb::{EchConfig, Svcb};

/// The port of DNS.
pub const PORT: u16 = 53;
/// The port of multicast DNS.
pub const MDNS_PORT: u16 = 5353;
/// The port of LLMNR.
pub const LLMNR_PORT: u16 = 5355;

/// A resource record type (IANA "Resource Record TYPEs"). Unknown is a value.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct RecordType(pub u16);

impl RecordType {
    pub const A: Self = Self(1);
    pub const CNAME: Self = Self(5);
    pub const AAAA: Self = Self(28);
    pub const SVCB: Self = Self(64);
    pub const HTTPS: Self = Self(65);
}

/// Opcode of an ordinary query (RFC 1035 §4.1.1).
pub const OPCODE_QUERY: u8 = 0;
