//! The one integration binary.

mod bpf;
mod cli;
mod corpus;
mod decode;
mod e2e;
mod fuzz;
mod generated;
mod golden;
mod inventory;
mod laws;
mod live;
mod ops;
mod parallel;
mod rooms;
mod signatures;
mod support;
