//! (room)

pub mod signatures;
