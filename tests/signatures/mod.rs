//! The signature data that ship.

mod data;
