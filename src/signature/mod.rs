#![forbid(unsafe_code)]
//! What is looked for: vendors, the instruments that list them, and the indicators by which their
//! products are recognised.
//!
//! In: TOML text and packs. Out: one immutable [`Set`] that answers "which indicator is this name
//! or address?". Knows names and addresses; knows neither packets nor clocks. Files are read by
//! its callers: this room only sees text and octets.

pub mod embedded;
pub mod fault;
pub mod format;
mod index;
mod labels;
pub mod pattern;
pub mod set;

pub use fault::{Fault, Severity};
pub use format::File;
pub use pattern::Pattern;
pub use set::{Hit, Set};

use std::sync::Arc;

use crate::inspect::Signal;

/// What the documentation says an endpoint is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Purpose {
    Telemetry,
    Reputation,
    Update,
    Licensing,
    Cloud,
    P2p,
    Push,
    Analytics,
    Ads,
    Account,
    Cdn,
    Website,
}

/// Who else asks for this name. Ordered from weak to strong.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Strength {
    /// A person browsing goes there too.
    Weak,
    /// The product, but also tools, integrators and libraries in other firms' software.
    Moderate,
    /// Only an installed product or device goes there.
    Strong,
}

impl Purpose {
    /// Every purpose, in the order of the design.
    pub const ALL: [Self; 12] = [
        Self::Telemetry,
        Self::Reputation,
        Self::Update,
        Self::Licensing,
        Self::Cloud,
        Self::P2p,
        Self::Push,
        Self::Analytics,
        Self::Ads,
        Self::Account,
        Self::Cdn,
        Self::Website,
    ];

    /// The metric label and file word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Reputation => "reputation",
            Self::Update => "update",
            Self::Licensing => "licensing",
            Self::Cloud => "cloud",
            Self::P2p => "p2p",
            Self::Push => "push",
            Self::Analytics => "analytics",
            Self::Ads => "ads",
            Self::Account => "account",
            Self::Cdn => "cdn",
            Self::Website => "website",
        }
    }

    /// The purpose that [`Self::label`] names.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.label() == label)
    }
}

impl Strength {
    /// Every strength, weakest first.
    pub const ALL: [Self; 3] = [Self::Weak, Self::Moderate, Self::Strong];

    /// The metric label and file word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Moderate => "moderate",
            Self::Strong => "strong",
        }
    }

    /// The strength that [`Self::label`] names.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strength| strength.label() == label)
    }
}

/// A vendor: one signature file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vendor {
    /// Stable id, as in labels: `kaspersky`.
    pub id: Arc<str>,
    /// As printed: `Kaspersky`.
    pub name: String,
    /// ISO 3166-1 alpha-2 of the head office.
    pub country: String,
    /// Brands and firms recorded under this vendor.
    pub affiliates: Vec<String>,
    pub default_enabled: bool,
    /// Why it is off by default; empty when on.
    pub disabled_reason: String,
    pub listings: Vec<Listing>,
}

/// The government instrument that names a vendor. Facts by reference, never a verdict.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listing {
    /// Stable id: `us-ndaa-2018-1634`.
    pub id: Arc<str>,
    /// `US`, `EU`, `GB` …
    pub jurisdiction: String,
    pub instrument: String,
    pub issuer: String,
    /// As precise as the source: `2017-12-12`, `2017-12` or `2017`.
    pub date: String,
    pub binding: bool,
    /// False for category rules that name no vendor.
    pub names_vendor: bool,
    pub regulates: Vec<Regulates>,
    pub scope: String,
    pub status: Status,
    /// The status in the source's words, where the closed set says too little.
    pub status_note: String,
    pub status_checked: String,
    pub source: Vec<String>,
    pub counter_evidence: Vec<String>,
}

/// What a listing speaks about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Regulates {
    Use,
    Purchase,
    Supply,
    Export,
    Naming,
    Advice,
}

impl Regulates {
    /// All of them, in the order of the design.
    pub const ALL: [Self; 6] =
        [Self::Use, Self::Purchase, Self::Supply, Self::Export, Self::Naming, Self::Advice];

    /// The file and configuration word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Purchase => "purchase",
            Self::Supply => "supply",
            Self::Export => "export",
            Self::Naming => "naming",
            Self::Advice => "advice",
        }
    }

    /// The value that [`Self::label`] names.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|regulates| regulates.label() == label)
    }
}

/// Whether a listing holds today.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Status {
    InForce,
    Superseded,
    Repealed,
    Proposal,
    NonBinding,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::InForce, Self::Superseded, Self::Repealed, Self::Proposal, Self::NonBinding];

    /// The metric label and file word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Superseded => "superseded",
            Self::Repealed => "repealed",
            Self::Proposal => "proposal",
            Self::NonBinding => "non-binding",
        }
    }

    /// The status that [`Self::label`] names.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.label() == label)
    }
}

/// One record of a signature. Shared by `Arc`, so that what holds one outlives a reload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Indicator {
    /// Stable id, quoted in every event: `kaspersky.update.upd`.
    pub id: Arc<str>,
    /// Stable event number (`signature_id`), unique over all files.
    pub number: u32,
    pub vendor: Arc<str>,
    pub product: Arc<str>,
    pub pattern: Pattern,
    pub purpose: Purpose,
    pub strength: Strength,
    /// Where it may match; all signals of a name when the file does not say.
    pub signals: Vec<Signal>,
    /// Also match the links of a CNAME chain, not only the queried name.
    pub cname: bool,
    pub evidence: Vec<Evidence>,
    /// What else could explain a match; one line each.
    pub confounders: Vec<String>,
    pub note: String,
    /// `YYYY-MM-DD`.
    pub first_seen: String,
    pub review_by: String,
}

impl Indicator {
    /// May it match what was seen as `signal`? A record that names no signals takes them all.
    /// (Links of a CNAME chain are asked about `cname` besides.)
    #[must_use]
    pub fn applies_to(&self, signal: Signal) -> bool {
        self.signals.is_empty() || self.signals.contains(&signal)
    }

    /// The best class among the evidence.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        self.evidence.iter().map(|evidence| evidence.class).min()
    }
}

/// A name or prefix that is documented as nobody's sign: shared infrastructure, divested brands,
/// tenants of a vendor's cloud. It wins over every shorter suffix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Excluded {
    pub vendor: Arc<str>,
    pub pattern: Pattern,
    pub reason: String,
    pub evidence: Vec<Evidence>,
}

/// Where a claim comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    pub class: Class,
    pub title: String,
    /// A URL, or `owner/repository: path @ commit`.
    pub reference: String,
    pub retrieved: String,
    pub says: String,
}

/// How good a source is (best first).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// The vendor's or a reseller's own documentation.
    A,
    /// A maintained public list with repository, path and commit.
    B1,
    /// A public source found without its repository's name: a lead.
    B2,
    /// Derived, as the parent of documented hosts.
    C,
}

impl Class {
    /// Every class, best first.
    pub const ALL: [Self; 4] = [Self::A, Self::B1, Self::B2, Self::C];

    /// The file word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B1 => "B1",
            Self::B2 => "B2",
            Self::C => "C",
        }
    }

    /// The class that [`Self::label`] names.
    #[must_use]
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.label() == label)
    }
}
