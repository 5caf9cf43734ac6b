//! The signature data that ship.

mod bad;
mod data;
