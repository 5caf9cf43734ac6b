#![forbid(unsafe_code)]
//! From sightings over time to findings.
//!
//! In: [`Record`]s from all workers. One single-threaded stage, the correlator, orders them by
//! packet time behind a watermark and does what needs more than one flow: attribution of nameless
//! connections from DNS answers, de-duplication across rings and mirrors, ECH against GREASE,
//! first seen. Out: [`Event`]s.

pub mod record;

pub use record::{Answer, Client, Connection, Detection, Ech, EncryptedDns, Origin, Record};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::inspect::Signal;
use crate::name::Name;
use crate::net::{Addr, Mac, NetworkId, TenantId};
use crate::signature::{Indicator, Strength};
use crate::time::Timestamp;

/// What a finding is filed under. Strength is in the key so that an old web visit never hides a
/// new agent.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FindingKey {
    pub tenant: TenantId,
    pub network: NetworkId,
    pub client: Addr,
    pub vendor: Arc<str>,
    pub product: Arc<str>,
    pub strength: Strength,
}

/// Detections of one client, vendor, product and strength, folded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    pub key: FindingKey,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Detections counted, over all signals.
    pub count: u64,
    pub signals: BTreeMap<Signal, u64>,
    /// The indicators that matched, by stable id, with how often; bounded.
    pub indicators: BTreeMap<Arc<str>, u64>,
    /// The last name that matched.
    pub last_name: Name,
    pub mac: Option<Mac>,
    /// The client relays for others: a resolver or a proxy by the configuration.
    pub role: Option<Role>,
}

/// What the configuration says a client does for others.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    Resolver,
    Proxy,
}

/// How a connection's server became known, or not.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConnectionOutcome {
    /// It carried a readable name.
    Named,
    /// It did not, but its client had resolved the address shortly before.
    Attributed,
    /// Neither.
    Nameless,
}

/// What the correlator says. The one vocabulary that metrics, events and inventory speak.
#[derive(Clone, Debug)]
pub enum Event {
    /// A detection, counted once however many copies were seen.
    Detected(Box<Detected>),
    /// A connection began.
    Connection { network: NetworkId, outcome: ConnectionOutcome },
    /// A connection to an encrypted resolver began: names that cannot be seen.
    EncryptedDns { network: NetworkId, kind: EncryptedDns },
    /// A record was a copy of one that another ring or mirror delivered.
    Copy { source: crate::frame::SourceId },
}

/// A counted detection and what it did to its finding.
#[derive(Clone, Debug)]
pub struct Detected {
    pub detection: Detection,
    pub network: NetworkId,
    pub role: Option<Role>,
    /// What the finding became.
    pub finding: Finding,
    /// This detection began the finding.
    pub new_finding: bool,
    /// No finding of this vendor, strength and network existed before.
    pub first_of_vendor: bool,
}

impl Detected {
    /// The indicator that matched.
    #[must_use]
    pub fn indicator(&self) -> &Indicator {
        &self.detection.indicator
    }
}
