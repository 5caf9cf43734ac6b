//! The signature data that ship, and the commands around them.

mod bad;
mod check;
mod commands;
mod data;
mod exchange;
mod laws;
mod manual;
mod program;
mod reports;
