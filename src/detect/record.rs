//! What a worker tells the correlator. Fixed-size values; ordinary packets emit none.
//!
//! A worker judges nothing that another worker may have seen too: it emits each record it can
//! make, and the correlator drops the copies. A worker that recognises a copy itself may also
//! drop it, and then counts it; a record is counted in one of the two places.

use std::sync::Arc;

use super::attribution::Relation;
use crate::frame::SourceId;
use crate::inspect::Signal;
use crate::name::{Name, NameId};
use crate::net::{Addr, Endpoint, IpProtocol, Mac, Path, TenantId};
use crate::signature::Indicator;
use crate::time::Timestamp;

/// Where a record comes from. Ordered as the correlator orders records.
///
/// A record that a packet causes has the origin of its frame. A record that silence causes (a
/// timeout) has the moment at which it fell due, and the source and number of the frame that
/// began what ended: so it is the same whenever the worker gets round to it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    pub at: Timestamp,
    pub source: SourceId,
    /// The frame's number within its source.
    pub number: u64,
}

/// The side that asked. Identity is tenant and address; the rest are attributes of the frame that
/// showed it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Client {
    pub tenant: TenantId,
    pub addr: Addr,
    pub mac: Option<Mac>,
    /// The outermost VLAN id.
    pub vlan: Option<u16>,
    /// The id of the innermost tunnel that has one.
    pub tunnel_id: Option<u32>,
    /// The address that sent the outermost tunnel.
    pub mirror: Option<Addr>,
}

/// Something for the correlator.
#[derive(Clone, Debug)]
pub enum Record {
    /// Boxed: rare, and twice the size of the others.
    Detection(Box<Detection>),
    Answer(Answer),
    Connection(Connection),
    Accepted(Accepted),
    /// Boxed: rare, and a name long.
    EchOffered(Box<EchOffered>),
    Volume(Volume),
}

impl Record {
    /// When and where.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match self {
            Self::Detection(detection) => detection.origin,
            Self::Answer(answer) => answer.origin,
            Self::Connection(connection) => connection.origin,
            Self::Accepted(accepted) => accepted.origin,
            Self::EchOffered(offered) => offered.origin,
            Self::Volume(volume) => volume.origin,
        }
    }
}

/// A sighting that matched an indicator.
#[derive(Clone, Debug)]
pub struct Detection {
    pub origin: Origin,
    pub signal: Signal,
    pub name: Name,
    pub name_id: NameId,
    pub indicator: Arc<Indicator>,
    pub client: Client,
    /// From client to server.
    pub path: Path,
    /// Equal for copies of one event, whatever mirror or ring delivered them. A DNS question and
    /// its answer have the same one, so that an answer counts only where its question was not
    /// seen.
    pub identity: u64,
    /// Set when the name is the outer name of a hello with an ECH extension.
    pub ech: Option<Box<EchHello>>,
    /// Unrelated names stand beside it in the same certificate: any of them may be meant.
    pub shared: bool,
}

/// An address of an answer: `client` learned that a name is at `address`.
#[derive(Clone, Debug)]
pub struct Answer {
    pub origin: Origin,
    pub tenant: TenantId,
    pub client: Addr,
    pub address: Addr,
    /// Of the queried name, not the last link of its CNAME chain.
    pub name: NameId,
    /// What the name has in common with related ones.
    pub relation: Relation,
    /// In seconds, as on the wire.
    pub ttl: u32,
    /// The name is that of a resolver which answers over HTTPS.
    pub over_https: bool,
    /// Set when an indicator matches the name. Boxed: rare.
    pub listed: Option<Box<Listed>>,
}

/// A name that an indicator matches.
#[derive(Clone, Debug)]
pub struct Listed {
    pub name: Name,
    pub indicator: Arc<Indicator>,
}

/// A connection began and its first flight was classified.
#[derive(Clone, Debug)]
pub struct Connection {
    pub origin: Origin,
    pub client: Client,
    pub server: Endpoint,
    pub client_port: u16,
    pub protocol: IpProtocol,
    /// It carried a readable name of its own (an outer name of ECH counts as readable here).
    pub named: bool,
    /// Its port, its ALPN or its name says that it goes to a resolver over an encrypted
    /// transport. The correlator adds what only the server's address can tell.
    pub encrypted_dns: Option<EncryptedDns>,
    /// Equal for copies of one connection, whatever mirror or ring delivered them.
    pub identity: u64,
    /// The ECH extension of its hello.
    pub ech: Option<Box<EchHello>>,
}

impl Connection {
    /// From client to server.
    #[must_use]
    pub const fn path(&self) -> Path {
        Path {
            tenant: self.client.tenant,
            protocol: self.protocol,
            source: Endpoint { addr: self.client.addr, port: self.client_port },
            destination: self.server,
        }
    }
}

/// A server accepted a connection (SYN and ACK) whose client's SYN did not come to this worker. Only
/// said where there are others that it may have come to.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    pub origin: Origin,
    /// That of the [`Connection`] which the client's worker will report.
    pub identity: u64,
}

/// What a hello's `encrypted_client_hello` extension of type outer shows (RFC 9849 §5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EchHello {
    /// The name in the `server_name` extension beside it; empty when there is none.
    pub outer_name: Name,
    pub outer_id: NameId,
    pub config_id: u8,
    /// Octets of the encrypted inner hello, `payload`.
    pub payload_len: u16,
}

/// An HTTPS or SVCB record offered ECH (RFC 9848).
#[derive(Clone, Debug)]
pub struct EchOffered {
    pub origin: Origin,
    /// Of the configuration: what the outer hello shall show (RFC 9849 §4).
    pub public_name: Name,
    pub config_id: u8,
}

/// Octets that a client exchanged with a server of a vendor since the last such record. Deltas:
/// the correlator adds them up.
#[derive(Clone, Debug)]
pub struct Volume {
    pub origin: Origin,
    pub client: Client,
    pub vendor: Arc<str>,
    /// By the client.
    pub sent: u64,
    pub received: u64,
}

/// An encrypted transport for DNS.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EncryptedDns {
    /// DNS over HTTPS (RFC 8484).
    Doh,
    /// DNS over TLS (RFC 7858).
    Dot,
    /// DNS over QUIC (RFC 9250).
    Doq,
}

impl EncryptedDns {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Doh, Self::Dot, Self::Doq];

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_small_enough_for_a_channel() {
        assert!(size_of::<Record>() <= 136, "{}", size_of::<Record>());
    }
}
