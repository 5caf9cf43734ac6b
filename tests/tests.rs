//! The one integration binary.

mod bpf;
mod corpus;
mod decode;
mod live;
mod rooms;
mod signatures;
mod support;
