//! What comes before the stream proper: a request to a SOCKS proxy, or the header that a load
//! balancer puts in front.

pub mod header;
pub mod socks;

pub use header::Header;
pub use socks::Socks;
