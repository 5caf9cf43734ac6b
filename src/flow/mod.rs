#![forbid(unsafe_code)]
//! From packets to the in-order octets of a direction: fragments, stream segments, and the
//! bounded tables of what is unfinished.

pub mod clock;
pub mod filter;
pub mod fragments;
#[doc(hidden)]
pub mod fuzzing;
pub mod hash;
pub mod segments;
pub mod table;

pub use clock::Clock;
pub use filter::Filter;
pub use fragments::{Fragments, GivenUp, Taken};
pub use hash::FlowHasher;
pub use segments::{Brought, Segments, Spare};
pub use table::{Removed, Slot, Table};
