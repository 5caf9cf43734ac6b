#![forbid(unsafe_code)]
//! From sightings over time to findings.
//!
//! In: [`Record`]s from all workers. One single-threaded stage, the [`Correlator`], orders them by
//! packet time behind a watermark and does what needs more than one flow: de-duplication across
//! rings and mirrors, attribution of nameless connections from DNS answers, ECH against GREASE,
//! networks, findings and what is seen for the first time. Out: [`Event`]s, in an order that
//! depends on the records alone, not on how many workers brought them.
//!
//! It keeps nothing without a limit: every table here has one in [`Limits`], gives up what was
//! touched least recently, and counts that in [`TableUse`].

pub mod attributed;
pub mod attribution;
pub mod correlate;
mod duplicate;
pub mod ech;
pub mod event;
pub mod exception;
pub mod finding;
mod ledger;
pub mod networks;
mod order;
mod recent;
pub mod record;
#[cfg(test)]
pub(crate) mod samples;
mod split;
pub mod summary;

pub use attributed::{Attributed, AttributedPair};
pub use attribution::{Attribution, Relation, Resolved};
pub use correlate::{Correlator, Counts, Limits, TableUse};
pub use duplicate::CONNECTION_WINDOW;
pub use ech::{Ech, EchRule};
pub use event::{ConnectionOutcome, Detected, Event, Notice};
pub use exception::{Exception, Exceptions};
pub use finding::{Finding, FindingKey, Tally, TallyKey};
pub use ledger::{Seen, Unexcepted, VendorKey, vendor_key};
pub use networks::{Network, Networks, Role};
pub use record::{
    Accepted, Answer, Client, Connection, Detection, EchHello, EchOffered, EncryptedDns, Listed,
    Origin, Record, Volume,
};
pub use summary::{Observed, Row};
