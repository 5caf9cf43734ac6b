//! The one integration binary.

mod bpf;
mod corpus;
mod live;
mod rooms;
mod signatures;
mod support;
