//! What a worker tells the correlator. Fixed-size values; ordinary packets emit none.

use core::time::Duration;
use std::sync::Arc;

use crate::frame::SourceId;
use crate::inspect::Signal;
use crate::name::Name;
use crate::net::{Addr, Mac, Path, TenantId};
use crate::signature::Indicator;
use crate::time::Timestamp;

/// Where a record comes from. Ordered as the correlator orders records.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    pub at: Timestamp,
    pub source: SourceId,
    /// The frame's number within its source.
    pub number: u64,
}

/// The side that asked. Identity is tenant and address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Client {
    pub tenant: TenantId,
    pub addr: Addr,
    pub mac: Option<Mac>,
    /// Attributes of the frame that showed it.
    pub vlan: Option<u16>,
    pub mirror: Option<Addr>,
}

/// Something for the correlator.
#[derive(Clone, Debug)]
pub enum Record {
    Detection(Detection),
    Answer(Answer),
    Connection(Connection),
    /// An HTTPS or SVCB record (RFC 9460) offered ECH for `name`.
    EchOffered {
        origin: Origin,
        name: Name,
        public_name: Name,
        config_id: u8,
    },
}

impl Record {
    /// When and where.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        match self {
            Self::Detection(detection) => detection.origin,
            Self::Answer(answer) => answer.origin,
            Self::Connection(connection) => connection.origin,
            Self::EchOffered { origin, .. } => *origin,
        }
    }
}

/// A sighting that matched an indicator.
#[derive(Clone, Debug)]
pub struct Detection {
    pub origin: Origin,
    pub signal: Signal,
    pub name: Name,
    pub indicator: Arc<Indicator>,
    pub client: Client,
    /// From client to server.
    pub path: Path,
    /// Equal for copies of one event, whatever mirror or ring delivered them.
    pub identity: u64,
    /// Set when the name is the outer name of an ECH hello.
    pub ech: Option<Ech>,
    /// For `dns_attributed`: how long ago the client resolved the address.
    pub resolved_ago: Option<Duration>,
    /// For `dns_attributed`: other names seen for the same address.
    pub ambiguous: bool,
}

/// What an `encrypted_client_hello` extension is taken for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Ech {
    /// Offered with a configuration that an HTTPS record announced.
    Real,
    /// Random octets to keep the extension usual (RFC 9849 §6.2).
    Grease,
    /// Present; not enough was seen to say which.
    Unknown,
}

/// An address of an answer: `client` learned that `name` is at `address`.
#[derive(Clone, Debug)]
pub struct Answer {
    pub origin: Origin,
    pub tenant: TenantId,
    pub client: Addr,
    pub address: Addr,
    /// The queried name, not the last link of its CNAME chain.
    pub name: Name,
    pub ttl: Duration,
    /// The indicator that the queried name matches.
    pub indicator: Option<Arc<Indicator>>,
}

/// A connection began and its first flight was classified.
#[derive(Clone, Debug)]
pub struct Connection {
    pub origin: Origin,
    pub client: Client,
    /// From client to server.
    pub path: Path,
    /// It carried a readable name of its own.
    pub named: bool,
    /// It goes to a resolver over an encrypted transport.
    pub encrypted_dns: Option<EncryptedDns>,
    /// An ECH extension, with its configuration id and outer name, for GREASE to be told apart.
    pub identity: u64,
}

/// An encrypted transport for DNS.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EncryptedDns {
    /// DNS over HTTPS (RFC 8484).
    Doh,
    /// DNS over TLS (RFC 7858).
    Dot,
    /// DNS over QUIC (RFC 9250).
    Doq,
}

impl EncryptedDns {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Doh => "doh",
            Self::Dot => "dot",
            Self::Doq => "doq",
        }
    }
}
