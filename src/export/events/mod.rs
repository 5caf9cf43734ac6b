//! Events: one JSON object a line, in the shape of Suricata's EVE, with one object of our own.
//!
//! An event is written when a finding changes, and at most once an interval when it goes on.
//! [`line()`] makes the text; [`Log`] writes it, on a thread of its own behind a bounded queue.

mod eve;
mod log;

pub use eve::{base64, line};
pub use log::{Log, LogError, Output};
