#![forbid(unsafe_code)]
//! What is looked for: vendors, the instruments that list them, and the indicators by which their
//! products are recognised.
//!
//! In: TOML text and packs. Out: one immutable [`Set`] that answers "which indicator is this name
//! or address?". Knows names and addresses; knows neither packets nor clocks. Files are read by
//! its callers: this room only sees text and octets.

pub mod diff;
pub mod embedded;
pub mod exchange;
pub mod fault;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod labels;
pub mod lint;
pub mod pack;
pub mod pattern;
pub mod resolvers;
pub mod selection;
pub mod set;
pub mod summary;
mod words;

pub use fault::{Fault, Severity};
pub use format::File;
pub use pack::Pack;
pub use pattern::Pattern;
pub use selection::Selection;
pub use set::{Hit, Set, Source, Verdict};
pub use words::{Class, Purpose, Regulates, Status, Strength};

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::inspect::Signal;

/// A vendor: one signature file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Vendor {
    /// Stable id, as in labels: `kaspersky`.
    #[serde(serialize_with = "text")]
    pub id: Arc<str>,
    /// As printed: `Kaspersky`.
    pub name: String,
    /// ISO 3166-1 alpha-2 of the head office.
    pub country: String,
    /// Brands and firms recorded under this vendor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub affiliates: Vec<String>,
    pub default_enabled: bool,
    /// Why it is off by default; empty when on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub disabled_reason: String,
    #[serde(skip)]
    pub listings: Vec<Listing>,
}

/// The government instrument that names a vendor. Facts by reference, never a verdict.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Listing {
    /// Stable id: `us-ndaa-2018-1634`.
    #[serde(serialize_with = "text")]
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
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_note: String,
    pub status_checked: String,
    pub source: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counter_evidence: Vec<String>,
}

/// One record of a signature. Shared by `Arc`, so that what holds one outlives a reload.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Indicator {
    /// Stable id, quoted in every event: `kaspersky.update.upd`.
    #[serde(serialize_with = "text")]
    pub id: Arc<str>,
    /// Stable event number (`signature_id`), unique over all files.
    pub number: u32,
    /// The file's; so it is not written again with each record.
    #[serde(skip)]
    pub vendor: Arc<str>,
    #[serde(serialize_with = "text")]
    pub product: Arc<str>,
    #[serde(rename = "match")]
    pub pattern: Pattern,
    pub purpose: Purpose,
    pub strength: Strength,
    /// Where it may match; all signals of a name when the file does not say.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "labels")]
    pub signals: Vec<Signal>,
    /// Also match the links of a CNAME chain, not only the queried name.
    #[serde(skip_serializing_if = "is_false")]
    pub cname: bool,
    pub evidence: Vec<Evidence>,
    /// What else could explain a match; one line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub confounders: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
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
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Excluded {
    /// The file's; so it is not written again with each record.
    #[serde(skip)]
    pub vendor: Arc<str>,
    #[serde(rename = "match")]
    pub pattern: Pattern,
    pub reason: String,
    pub evidence: Vec<Evidence>,
}

/// Where a claim comes from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Evidence {
    pub class: Class,
    pub title: String,
    /// A URL, or `owner/repository: path @ commit`.
    pub reference: String,
    pub retrieved: String,
    pub says: String,
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn labels<S: Serializer>(signals: &[Signal], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(signals.iter().map(|signal| signal.label()))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}
