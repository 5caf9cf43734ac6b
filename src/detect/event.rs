//! What the correlator says: the one vocabulary that metrics, events and inventory speak.

use std::sync::Arc;

use super::{
    Attribution, Detection, Ech, EchRule, EncryptedDns, Exception, Finding, Resolved, Role,
};
use crate::frame::SourceId;
use crate::net::NetworkId;
use crate::signature::{Indicator, Strength};

/// One thing that happened. Borrowed: a receiver copies what it keeps.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A detection, counted once however many copies were seen.
    Detected(Detected<'a>),
    /// A connection began.
    Connection {
        network: NetworkId,
        outcome: ConnectionOutcome,
        /// It is nameless, and nobody in sight ever resolved its server's address: its client
        /// resolves out of sight, or needs no names.
        never_resolved: bool,
    },
    /// A connection to an encrypted resolver began: names that cannot be seen.
    EncryptedDns { network: NetworkId, kind: EncryptedDns },
    /// A hello with an ECH extension, and what it is taken for.
    Ech { network: NetworkId, verdict: Ech, rule: EchRule },
    /// A record was a copy of one that another ring or mirror delivered.
    Copy { source: SourceId },
    /// The two directions of a connection came to different workers, of which this is the source
    /// of the server's: frames are not spread by flow.
    Split { source: SourceId },
    /// A client exchanged octets with a vendor's servers.
    Volume { network: NetworkId, vendor: &'a Arc<str>, sent: u64, received: u64 },
}

/// A counted detection and what it did to its finding.
#[derive(Clone, Copy, Debug)]
pub struct Detected<'a> {
    pub detection: &'a Detection,
    /// The indicator's strength, or less where the signal does not bear it.
    pub strength: Strength,
    pub network: NetworkId,
    /// What the configuration says the client does for others.
    pub role: Option<Role>,
    /// For `dns_attributed`: how the address was known.
    pub attribution: Option<Attribution>,
    /// Whether the name, or for `ip_prefix` the address, had been resolved in sight. None for DNS
    /// itself.
    pub resolved: Option<Resolved>,
    /// For an outer name of ECH: what it is taken for, and by which rule.
    pub ech: Option<(Ech, EchRule)>,
    /// The finding after this detection.
    pub finding: &'a Finding,
    /// This detection began the finding.
    pub new_finding: bool,
    /// No finding of this vendor, strength and network existed before, ever.
    pub first_of_vendor: bool,
    /// Worth an event of its own, and why.
    pub notice: Option<Notice>,
    /// The operator expects this: counted and reported, not alerted.
    pub exception: Option<&'a Exception>,
}

impl Detected<'_> {
    /// The indicator that matched.
    #[must_use]
    pub fn indicator(&self) -> &Arc<Indicator> {
        &self.detection.indicator
    }
}

/// Why a detection is worth an event of its own. Ordered: the first that holds is the reason.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Notice {
    /// The first of its vendor and strength in its network.
    FirstOfVendor,
    /// The first of its client, vendor, product and strength in its network.
    NewFinding,
    /// The finding's first by this indicator and signal.
    NewEvidence,
    /// Nothing new, but the finding was last spoken of longer than the repeat interval ago.
    Repeat,
}

impl Notice {
    /// The label in events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::FirstOfVendor => "first_of_vendor",
            Self::NewFinding => "new_finding",
            Self::NewEvidence => "new_evidence",
            Self::Repeat => "repeat",
        }
    }
}

/// How a connection's server became known, or not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum ConnectionOutcome {
    /// It carried a readable name.
    Named,
    /// It did not, but its client had resolved the address shortly before.
    Attributed,
    /// Neither.
    Nameless,
}

impl ConnectionOutcome {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Named, Self::Attributed, Self::Nameless];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Attributed => "attributed",
            Self::Nameless => "nameless",
        }
    }
}
