#![forbid(unsafe_code)]
//! From packets to the in-order octets of a direction: fragments, stream segments, and the
//! bounded tables of what is unfinished.
