//! vendorwatch: a passive sensor that finds endpoints of listed vendors.
//!
//! # The path of a packet
//!
//! 1. [`capture`] reads a frame from a file, an interface or a ring.
//! 2. [`decode`] peels link layers and tunnels down to a TCP or UDP packet.
//! 3. [`flow`] completes fragments and the first octets of streams, and forgets the rest.
//! 4. [`inspect`] reads names from DNS, TLS, QUIC, HTTP and their neighbours.
//! 5. [`signature`] says which documented endpoint a name is.
//! 6. [`detect`] folds what was seen into findings, each counted once.
//! 7. [`visibility`] accounts for everything that could not be seen.
//! 8. [`export`] and [`inventory`] show it: metrics, events, pages, a database.
//!
//! Steps 2 to 7 are pure: no I/O, no clock, no threads. [`pipeline`] is their front door.

mod cache;
pub mod capture;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod decode;
pub mod detect;
pub mod export;
pub mod flow;
pub mod frame;
pub mod inspect;
pub mod inventory;
pub mod manual;
pub mod name;
pub mod net;
pub mod pipeline;
mod prefetch;
pub mod signature;
pub mod time;
pub mod visibility;

/// What this was built from, as `VENDORWATCH_REVISION` said it at build time.
const REVISION: &str = match option_env!("VENDORWATCH_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
