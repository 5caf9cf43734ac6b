//! The signature data that ship.

mod bad;
mod commands;
mod data;
mod laws;
